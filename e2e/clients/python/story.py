"""A story told by librdkafka: every codec, replay, seek by time, a group of three with rebalances.

Prints facts, one per line with tabs: what was written, what was read in which phase, who held how many
partitions, what was committed. The test that started this compares them; nothing is judged here.
Run: python3 story.py BOOTSTRAP TOPIC
"""

import os
import sys
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

TIME_OF_RECORD_0 = 1_700_000_000_000
PARTITIONS = 6
bootstrap, topic = sys.argv[1:3]
written = 0
printing = threading.Lock()


def tell(*fact):
    with printing:
        print(*fact, sep="\t")


def write(codec, count):
    """Writes the next numbered records, the number as value and half of the key, one second apart."""
    global written
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True})

    def delivered(error, message):
        if error:
            raise KafkaException(error)
        value = message.value().decode()
        tell("wrote", codec, message.partition(), message.offset(), message.timestamp()[1], value)

    for number in range(written, written + count):
        at = TIME_OF_RECORD_0 + number * 1000
        producer.produce(topic, str(number), f"key {number}", timestamp=at, on_delivery=delivered)
    producer.flush()
    written += count


def consumer(group, **more):
    return Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "enable.partition.eof": False, "fetch.wait.max.ms": 20, **more,
    })


def read(phase, message):
    if message.error():
        raise KafkaException(message.error())
    value = message.value().decode()
    tell("read", phase, message.partition(), message.offset(), message.timestamp()[1], value)


def read_to_end(phase, reader, positions):
    """From these positions to where the partitions end now."""
    ends = {p: reader.get_watermark_offsets(TopicPartition(topic, p))[1] for p in range(PARTITIONS)}
    while any(positions[p] < ends[p] for p in range(PARTITIONS)):
        message = reader.poll(1)
        if message is not None:
            read(phase, message)
            positions[message.partition()] = message.offset() + 1


def replay():
    reader = consumer("unused")
    reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    read_to_end("replay", reader, dict.fromkeys(range(PARTITIONS), 0))
    reader.close()


def read_from_time(at):
    reader = consumer("unused")
    found = reader.offsets_for_times([TopicPartition(topic, p, at) for p in range(PARTITIONS)], timeout=30)
    reader.assign(found)
    read_to_end("time", reader, {place.partition: place.offset for place in found})
    reader.close()


class Member(threading.Thread):
    """Reads and commits when it gives partitions up."""

    def __init__(self, phase, assignor, name, total):
        super().__init__(daemon=True)
        self.phase, self.member, self.total = phase, name, total
        self.held, self.leaving = 0, False
        self.reader = consumer(f"story-{phase}", **{
            "partition.assignment.strategy": assignor, "heartbeat.interval.ms": 100, "session.timeout.ms": 10_000,
        })
        self.processed = {}
        self.start()

    def run(self):
        self.reader.subscribe([topic], on_revoke=self.on_revoke)
        while not self.leaving:
            message = self.reader.poll(0.05)
            if message is not None:
                read(self.phase, message)
                self.processed[message.partition()] = message.offset() + 1
                with printing:
                    self.total[0] += 1
            now = len(self.reader.assignment())
            if now != self.held:
                tell("held", self.phase, self.member, now)
            self.held = now
        self.reader.close()

    def on_revoke(self, reader, partitions):
        done = [TopicPartition(topic, p.partition, self.processed.pop(p.partition))
                for p in partitions if p.partition in self.processed]
        if done:
            reader.commit(offsets=done, asynchronous=False)

    def leave(self):
        self.leaving = True
        self.join()


def group_of_three(phase, assignor):
    total, members = [0], []
    for name in "abc":
        members.append(Member(phase, assignor, name, total))
        wait_for(lambda: all(member.held == PARTITIONS // len(members) for member in members))
        write("none", 100)
        wait_for(lambda: total[0] == written)
    members.pop(0).leave()
    wait_for(lambda: all(member.held == 3 for member in members))
    write("none", 100)
    wait_for(lambda: total[0] == written)
    while members:
        members.pop(0).leave()
        wait_for(lambda: all(member.held == PARTITIONS // len(members) for member in members))
    reader = consumer(f"story-{phase}")
    for place in reader.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=30):
        tell("committed", phase, place.partition, place.offset)
    reader.close()


def replay_inside_of_group(phase):
    reader = consumer(f"story-{phase}")
    reader.subscribe([topic], on_assign=lambda reader, partitions: reader.assign(
        [TopicPartition(topic, p.partition, OFFSET_BEGINNING) for p in partitions]))
    positions = dict.fromkeys(range(PARTITIONS), 0)
    while not reader.assignment():
        message = reader.poll(0.05)
        if message is not None:
            read("again", message)
            positions[message.partition()] = message.offset() + 1
    read_to_end("again", reader, positions)
    reader.close()


def wait_for(done):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.005)


def fail(failed):
    """A member that fails ends the story."""
    sys.excepthook(failed.exc_type, failed.exc_value, failed.exc_traceback)
    os._exit(1)


threading.excepthook = fail
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    write(codec, 200)
replay()
read_from_time(TIME_OF_RECORD_0 + 499_500)
group_of_three("eager", "range")
group_of_three("cooperative", "cooperative-sticky")
replay_inside_of_group("eager")
