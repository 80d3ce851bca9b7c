"""Idempotent acks=all load by librdkafka, at its default settings, until standard input is closed.

Writes one line per acknowledgement, "ack <partition> <offset> <value>", and at the end one line per writer,
"sent <writer> <count>". Writer i sends "w<i>-0", "w<i>-1", ... to partition i. A delivery that librdkafka gives up
is printed as "failed <value> <reason>"; the reader decides what that means. Nothing else goes to standard output.
"""

import sys
import threading
import time

from confluent_kafka import Producer


def main() -> None:
    bootstrap, topic, writers, per_second = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 120000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 3,
        }
    )
    out, lock = sys.stdout, threading.Lock()

    def delivered(error, message):
        value = message.value().decode()
        with lock:
            if error is None:
                out.write(f"ack {message.partition()} {message.offset()} {value}\n")
            else:
                out.write(f"failed {value} {error.str()}\n")

    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    sent = [0] * writers
    tick = 0.01
    share = max(1, int(per_second * tick / writers))
    while not stop.is_set():
        for writer in range(writers):
            for _ in range(share):
                value = f"w{writer}-{sent[writer]}".encode()
                try:
                    producer.produce(topic, value, partition=writer, on_delivery=delivered)
                except BufferError:
                    break  # The queue is full while the broker is down: try again next tick.
                sent[writer] += 1
        producer.poll(0)
        time.sleep(tick)
    left = producer.flush(90)
    for writer in range(writers):
        out.write(f"sent {writer} {sent[writer]}\n")
    out.write(f"unflushed {left}\n")
    out.flush()


if __name__ == "__main__":
    main()
