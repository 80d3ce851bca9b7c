"""Asks one broker for things that it must not forget, one command a line on standard input, one answer a line.

    topic NAME                        creates a topic of one partition            -> ok
    commit GROUP TOPIC OFFSET         commits for partition 0, waits for the answer -> ok
    committed GROUP TOPIC             the committed offset of partition 0         -> a number
    exists NAME                       whether the topic is there                  -> yes or no

An error is answered as "error <words>". The clients live as long as the process, as a service's would.
"""

import sys

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE_S = 20


def main() -> None:
    common = {"bootstrap.servers": sys.argv[1], "reconnect.backoff.max.ms": 100, "log_level": 0}
    admin = AdminClient(common)
    consumers = {}

    def consumer(group):
        if group not in consumers:
            consumers[group] = Consumer({**common, "group.id": group, "enable.auto.commit": False})
        return consumers[group]

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
            case ["exists", name]:
                return "yes" if name in admin.list_topics(timeout=PATIENCE_S).topics else "no"

    for line in sys.stdin:
        try:
            print(answer(line.split()), flush=True)
        except Exception as error:
            print("error", str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
