"""Writes what a Kafka directory may hold, and tells everything that a cluster serves, one fact a line.

Run: kafka_directories.py BOOTSTRAP write | write-more | tell | commit GROUP TOPIC PARTITION OFFSET
     kafka_directories.py BOOTSTRAP go-on TOPIC COUNT | once TOPIC COUNT
`write` fills topics of every kind (codecs, compacted, idempotent, transactional with commits, aborts and one left
open, a group that commits plainly and in transactions); `write-more` adds records as a later cluster would; `tell`
prints each record of each topic under both isolation levels, ids, configs and committed offsets as JSON lines, so
that two clusters are equal when their lines are. `go-on` is one idempotent producer that lives as long as its records
need, whoever serves them, and says how many are acknowledged; `once` checks that each is there once and in order.
"""

import json
import sys
import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

OF_THE_TOPIC = 1  # ConfigSource of what was set on the topic itself
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# Kafka has no segment below 1 MiB, but a full index ends one, too.
SEGMENTS = {"segment.index.bytes": "256", "index.interval.bytes": "256"}
TOPICS = {
    **{f"codec-{codec}": (2, {**SEGMENTS, "retention.ms": "-1"}) for codec in CODECS},
    "compacted": (1, {"cleanup.policy": "compact", **SEGMENTS, "min.cleanable.dirty.ratio": "0.01"}),
    "transactions": (2, SEGMENTS),
    "hanging": (1, {"max.message.bytes": "2000000"}),
    "trimmed": (1, SEGMENTS),
    "empty.topic_1": (3, {}),
}


def producer(bootstrap, **settings):
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", **settings}
    return Producer({name.replace("_", "."): value for name, value in settings.items()})


def send(client, topic, number, **more):
    """One record whose every part follows from its number; some have no key, some no value, some headers."""
    headers = [(f"h{n}", f"header {number}".encode()) for n in range(number % 3)]
    if number % 5 == 0:
        headers.append(("null", None))
    key = None if number % 7 == 0 else f"key-{number % 50}".encode()
    value = f"{topic} {number} ".encode() + b"x" * (number * 37 % 200)
    record = {"key": key, "value": value, "headers": headers, "timestamp": 1_700_000_000_000 + number * 1000}
    client.produce(topic, **{**record, **more})
    client.poll(0)


def create(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(name, count, 1, config=config) for name, (count, config) in TOPICS.items()]
    for created in admin.create_topics(topics).values():
        created.result(30)
    return admin


def write_codecs(bootstrap, begin, end):
    for codec in CODECS:
        client = producer(bootstrap, compression_type=codec, enable_idempotence=codec != "gzip", batch_num_messages=20)
        for number in range(begin, end):
            send(client, f"codec-{codec}", number)
        client.flush()


def write_compacted(bootstrap, begin, end):
    """Few keys, some of them deleted, with pauses so that segments roll and the cleaner has something to do."""
    client = producer(bootstrap, batch_num_messages=10)
    for number in range(begin, end):
        value = None if number % 11 == 0 else f"version {number}".encode()
        client.produce("compacted", key=f"key-{number % 9}".encode(), value=value)
        if number % 60 == 59:
            client.flush()
            time.sleep(0.25)
    client.flush()


def write_transactions(bootstrap):
    """Interleaved producers: one commits, one aborts, one does both and commits offsets in its transactions."""
    clients = [producer(bootstrap, transactional_id=f"txn-{name}", compression_type="lz4") for name in range(3)]
    for client in clients:
        client.init_transactions(30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "in-transactions"})
    for turn in range(12):
        for client in clients:
            client.begin_transaction()
        for number in range(40):
            for who, client in enumerate(clients):
                send(client, "transactions", turn * 1000 + who * 100 + number, partition=number % 2)
        for client in clients:
            client.flush()
        offsets = [TopicPartition("transactions", 0, turn * 10 + 1)]
        clients[2].send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 30)
        clients[0].commit_transaction(30)
        clients[1].abort_transaction(30)
        clients[2].commit_transaction(30) if turn % 2 == 0 else clients[2].abort_transaction(30)
    plain = producer(bootstrap)
    for number in range(20):
        send(plain, "transactions", number)
    plain.flush()


def leave_open(bootstrap):
    """A transaction that nobody ends before Kafka stops, between records that belong to none."""
    plain = producer(bootstrap)
    hanging = producer(bootstrap, transactional_id="hanging", transaction_timeout_ms=900_000)
    for number in range(10):
        send(plain, "hanging", number)
    plain.flush()
    hanging.init_transactions(30)
    hanging.begin_transaction()
    for number in range(100, 110):
        send(hanging, "hanging", number)
    hanging.flush()
    for number in range(20, 30):
        send(plain, "hanging", number)
    plain.flush()


def commit(bootstrap, group, topic, partition, offset):
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    client.commit(offsets=[TopicPartition(topic, partition, offset, metadata="a word")], asynchronous=False)
    client.close()


def trim(bootstrap, admin):
    client = producer(bootstrap, batch_num_messages=10)
    for number in range(400):
        send(client, "trimmed", number)
    client.flush()
    for trimmed in admin.delete_records([TopicPartition("trimmed", 0, 237)]).values():
        trimmed.result(30)


def write(bootstrap):
    admin = create(bootstrap)
    write_codecs(bootstrap, 0, 600)
    write_compacted(bootstrap, 0, 600)
    write_transactions(bootstrap)
    trim(bootstrap, admin)
    for partition in range(2):
        commit(bootstrap, "readers", "codec-zstd", partition, 100 + partition)
    leave_open(bootstrap)


def write_more(bootstrap):
    write_codecs(bootstrap, 1000, 1400)
    write_compacted(bootstrap, 1000, 1100)
    commit(bootstrap, "readers", "codec-zstd", 0, 222)
    commit(bootstrap, "later-readers", "codec-gzip", 1, 17)


def go_on(bootstrap, topic, count):
    """Numbered records, a few at a time, until all are acknowledged; a broker that is gone is waited for."""
    acknowledged = 0

    def delivered(error, _record):
        nonlocal acknowledged
        if error:
            raise KafkaException(error)
        acknowledged += 1

    settings = {"enable_idempotence": True, "batch_num_messages": 10, "message_timeout_ms": 240_000}
    client = producer(bootstrap, reconnect_backoff_max_ms=500, **settings)
    for number in range(count):
        client.produce(topic, partition=number % 2, value=str(number).encode(), on_delivery=delivered)
        client.poll(0.001)
        if number % 50 == 0:
            print(f"acknowledged {acknowledged}", flush=True)
    client.flush()
    print(f"all {acknowledged}", flush=True)


def once(bootstrap, topic, count):
    """Each of the numbers is there once, and those of a partition are in order."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False}
    client = Consumer({**settings, "enable.partition.eof": True})
    client.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
    found, unfinished = {0: [], 1: []}, {0, 1}
    while unfinished:
        record = client.poll(30)
        if record is None:
            raise TimeoutError(f"nothing more of {unfinished}")
        if record.error():
            if record.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(record.error())
            unfinished.discard(record.partition())
            continue
        found[record.partition()].append(int(record.value()))
    for partition, numbers in found.items():
        wanted = list(range(partition, count, 2))
        if numbers != wanted:
            at = next((n for n, pair in enumerate(zip(numbers, wanted)) if pair[0] != pair[1]), len(numbers))
            raise AssertionError(f"{topic}-{partition} at {at}: {numbers[at:at + 4]} instead of {wanted[at:at + 4]}")
    print("once")


def say(**fact):
    print(json.dumps(fact, sort_keys=True))


def tell_records(bootstrap, partitions, isolation):
    """Every record from each partition's first offset to what this isolation level shows as its end."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "teller", "enable.auto.commit": False}
    settings |= {"isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 20}
    client = Consumer(settings)
    facts, begin = [], []
    for topic, partition in partitions:
        low, high = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        facts.append(dict(topic=topic, partition=partition, isolation=isolation, low=low, high=high))
        begin.append(TopicPartition(topic, partition, low))
    client.assign(begin)
    unfinished = set(partitions)
    while unfinished:
        record = client.poll(30)
        if record is None:
            raise TimeoutError(f"nothing more of {unfinished}")
        at = {"topic": record.topic(), "partition": record.partition(), "isolation": isolation}
        if record.error():
            if record.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(record.error())
            unfinished.discard((at["topic"], at["partition"]))
            continue
        headers = [(name, value and value.decode()) for name, value in record.headers() or []]
        key, value = (part and part.decode() for part in (record.key(), record.value()))
        at |= {"offset": record.offset(), "timestamp": record.timestamp()}
        facts.append({**at, "key": key, "value": value, "headers": headers})
    client.close()
    for fact in sorted(facts, key=lambda fact: (fact["topic"], fact["partition"], fact.get("offset", -1))):
        say(**fact)


def tell(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = admin.list_topics(timeout=30).topics
    names = sorted(name for name in topics if not name.startswith("__"))
    described = admin.describe_topics(TopicCollection(names))
    for name in names:
        say(topic=name, id=str(described[name].result(30).topic_id), partitions=len(topics[name].partitions))
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        configs = admin.describe_configs([resource])[resource].result(30)
        say(topic=name, configs={entry.name: entry.value for entry in configs.values() if entry.source == OF_THE_TOPIC})
    partitions = [(name, partition) for name in names for partition in sorted(topics[name].partitions)]
    for isolation in ("read_uncommitted", "read_committed"):
        tell_records(bootstrap, partitions, isolation)
    for group in ("readers", "later-readers", "in-transactions"):
        request = [ConsumerGroupTopicPartitions(group)]
        offsets = admin.list_consumer_group_offsets(request)[group].result(30).topic_partitions
        say(group=group, offsets=sorted((o.topic, o.partition, o.offset, o.metadata) for o in offsets))


def main():
    bootstrap, task, *rest = sys.argv[1:]
    if task == "commit":
        group, topic, partition, offset = rest
        commit(bootstrap, group, topic, int(partition), int(offset))
    elif task in ("go-on", "once"):
        topic, count = rest
        {"go-on": go_on, "once": once}[task](bootstrap, topic, int(count))
    else:
        {"write": write, "write-more": write_more, "tell": tell}[task](bootstrap)


main()
