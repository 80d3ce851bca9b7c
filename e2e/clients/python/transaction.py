"""Asks for a transaction and tells how that ended: error code, whether it is final, seconds, words.

Run: python3 transaction.py BOOTSTRAP
"""

import sys
import time

from confluent_kafka import KafkaException, Producer

producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "payments"})
began = time.monotonic()
try:
    producer.init_transactions(30)
    print("granted", sep="\t")
except KafkaException as refused:
    error = refused.args[0]
    print("refused", error.name(), error.fatal(), f"{time.monotonic() - began:.2f}", error.str(), sep="\t")
