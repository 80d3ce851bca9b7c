"""Asks one broker for things that it must not forget, one command a line on standard input, one answer a line.

    topic NAME                        creates a topic of one partition            -> ok
    commit GROUP TOPIC OFFSET         commits for partition 0, waits for the answer -> ok
    committed GROUP TOPIC             the committed offset of partition 0         -> a number
    exists NAME                       whether the topic is there                  -> yes or no
    delete NAME                       deletes a topic                             -> ok
    send ACKS TOPIC PARTITION VALUE   one record, one try                         -> ok
    read TOPIC PARTITION              every value from the beginning              -> the values, or "nothing"

An error is answered as "error <Kafka's name> <words>". The clients live as long as the process, as a service's would.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE_S = 20


def main() -> None:
    common = {"bootstrap.servers": sys.argv[1], "reconnect.backoff.max.ms": 100, "log_level": 0}
    admin = AdminClient(common)
    consumers, producers = {}, {}

    def consumer(group):
        if group not in consumers:
            consumers[group] = Consumer({**common, "group.id": group, "enable.auto.commit": False})
        return consumers[group]

    def send(acks, topic, partition, value):
        if acks not in producers:
            one_try = {"acks": acks, "retries": 0, "enable.idempotence": False, "linger.ms": 0}
            producers[acks] = Producer({**common, **one_try, "message.timeout.ms": 60000})
        errors = []
        delivered = lambda error, _message: errors.append(error) if error else None
        producers[acks].produce(topic, value, partition=int(partition), on_delivery=delivered)
        producers[acks].flush()
        if errors:
            raise KafkaException(errors[0])
        return "ok"

    def read(topic, partition):
        reader = Consumer({**common, "group.id": "read", "enable.auto.commit": False, "enable.partition.eof": True})
        reader.assign([TopicPartition(topic, int(partition), 0)])
        values = []
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                message = reader.poll(1)
                if message is None:
                    continue
                if message.error() is None:
                    values.append(message.value().decode())
                elif message.error().name() == "_PARTITION_EOF":
                    return " ".join(values)
                else:
                    raise KafkaException(message.error())
            return f"error TIMEOUT after {len(values)} values"
        finally:
            reader.close()

    def answer(words):
        match words:
            case ["topic", name]:
                admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=PATIENCE_S)[name].result(PATIENCE_S)
                return "ok"
            case ["commit", group, topic, offset]:
                consumer(group).commit(offsets=[TopicPartition(topic, 0, int(offset))], asynchronous=False)
                return "ok"
            case ["committed", group, topic]:
                return str(consumer(group).committed([TopicPartition(topic, 0)], timeout=PATIENCE_S)[0].offset)
            case ["delete", name]:
                admin.delete_topics([name], operation_timeout=PATIENCE_S)[name].result(PATIENCE_S)
                return "ok"
            case ["send", acks, topic, partition, value]:
                return send(acks, topic, partition, value)
            case ["read", topic, partition]:
                return read(topic, partition)
            case ["exists", name]:
                return "yes" if name in admin.list_topics(timeout=PATIENCE_S).topics else "no"

    for line in sys.stdin:
        try:
            print(answer(line.split()) or "nothing", flush=True)
        except KafkaException as error:
            print("error", error.args[0].name(), error.args[0].str().replace("\n", " "), flush=True)
        except Exception as error:
            print("error OTHER", str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
