"""Requests one after another, or all at once, for the tests that watch the broker's system calls.

Usage: lone_requests.py BOOTSTRAP MODE COUNT. Warms up (connections, metadata, producer ids), prints "ready", waits for a
line on standard input, sends COUNT requests, prints "done". MODE is one of
produce (each acknowledged before the next), concurrent (COUNT producers, one record each, at once),
create-topics, offset-commit.
"""

import sys
import threading

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, MODE, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
QUIET = {"bootstrap.servers": BOOTSTRAP, "log_level": 3}


def wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def send(producer: Producer, value: str) -> None:
    failures = []
    producer.produce("lone", value, partition=0, on_delivery=lambda e, _m: failures.append(e) if e else None)
    if producer.flush(30) != 0 or failures:
        sys.exit(f"not delivered: {failures}")


def new_producer() -> Producer:
    producer = Producer({**QUIET, "acks": "all", "linger.ms": 0})
    send(producer, "warm-up")
    return producer


def produce() -> None:
    producer = new_producer()
    wait_for_go()
    for number in range(COUNT):
        send(producer, str(number))


def concurrent() -> None:
    producers = [new_producer() for _ in range(COUNT)]
    wait_for_go()
    threads = [threading.Thread(target=send, args=(p, str(i))) for i, p in enumerate(producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def create_topics() -> None:
    admin = AdminClient(QUIET)
    admin.create_topics([NewTopic("made-warm-up", 1, 1)])["made-warm-up"].result(30)
    wait_for_go()
    for number in range(COUNT):
        name = f"made-{number}"
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)


def offset_commit() -> None:
    consumer = Consumer({**QUIET, "group.id": "lone", "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition("lone", 0, 0)], asynchronous=False)
    wait_for_go()
    for number in range(COUNT):
        consumer.commit(offsets=[TopicPartition("lone", 0, number)], asynchronous=False)


{"produce": produce, "concurrent": concurrent, "create-topics": create_topics, "offset-commit": offset_commit}[MODE]()
print("done", flush=True)
