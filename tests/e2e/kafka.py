# SPDX-License-Identifier: Apache-2.0
"""A Kafka cluster of one broker (librdkafka's mock), and what is in its topic."""
import json
import os
import subprocess
import threading

import confluent_kafka

from processes import START, wait_until
from servers import binary

PRODUCE, INIT_PRODUCER_ID = 0, 22  # API keys
NOT_LEADER, TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED = 6, 29, 31  # error codes
TOPIC = "mqward-audit"


class Kafka:
    def __init__(self, partitions=1):
        program = os.path.join(os.path.dirname(binary()), "..", "tests", "e2e", "mqward-kafka-mock")
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        word, self.brokers = self._answer().split()
        assert word == "brokers"
        self.partitions = partitions
        self.command(f"topic {TOPIC} {partitions}")

    def _answer(self):
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(START)
        assert lines and lines[0], "the mock cluster does not answer"
        return lines[0].strip()

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        assert self._answer() == "ok", text

    def down(self):
        self.command("down")

    def up(self):
        self.command("up")

    def refuse(self, api, error, count=1):
        self.command(f"refuse {api} {error} {count}")

    def sink(self, name="kafka", **options):
        """The entry of audit.sinks."""
        return {"name": name, "kafka": {"brokers": self.brokers, "topic": TOPIC, **options}}

    def events(self):
        """All records so far: [(partition, key or None, event)], a partition's in order."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.brokers, "group.id": "reader",
                                             "enable.partition.eof": True, "enable.auto.commit": False})
        consumer.assign([confluent_kafka.TopicPartition(TOPIC, index, confluent_kafka.OFFSET_BEGINNING)
                         for index in range(self.partitions)])
        found, ended = [], set()
        while len(ended) < self.partitions:
            message = consumer.poll(START)
            assert message is not None, "the records are not there"
            if message.error() is None:
                found.append((message.partition(), message.key(), json.loads(message.value())))
            else:
                assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()  # pylint: disable=protected-access
                ended.add(message.partition())
        consumer.close()
        return found

    def wait_for(self, wanted, what, timeout=20):
        """The events, once wanted(them) is true."""
        def look():
            events = self.events()
            return events if wanted(events) else None
        return wait_until(look, what, timeout)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
