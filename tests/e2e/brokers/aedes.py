# SPDX-License-Identifier: Apache-2.0
"""aedes, the broker of npm: a Node.js process for each world (node/broker.js)."""
import json
import os
import re
import shutil

from brokers.base import Broker
from processes import free_port

NODE = os.path.join(os.path.dirname(__file__), "..", "node")


class Aedes(Broker):
    name = "aedes"
    features = frozenset({"v3.1", "v3.1.1", "no-5.0", "qos2", "retained-wildcard"})
    session_present_in_31 = True
    crowd = 300
    topic_levels = 100  # more of them end the process
    keep_alive_reasons = ("keep_alive_timeout", "broker_closed")  # it counts as exactly as mqward does

    def __init__(self, folder, tls=None, client_ca=None, passwords=None):
        super().__init__(folder, tls, client_ca, passwords)
        self.port = free_port()

    def command(self):
        options = {"port": self.port, "passwords": self.passwords, "clientCa": self.client_ca,
                   **({"certificate": self.tls[0], "key": self.tls[1]} if self.tls else {})}
        return [shutil.which("node") or "node", os.path.join(NODE, "broker.js"), json.dumps(options)]

    def start(self):
        self.spawn()
        self.wait_output('"event":"listening"')
        return self

    def events(self, client_id):
        """What it wrote about a client."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("client") == client_id]

    def subscriptions(self, client_id):
        found = {}
        for event in self.events(client_id):
            if event["event"] == "subscribe":
                found.update({item["topic"]: item["qos"] for item in event["subscriptions"]})
            elif event["event"] == "unsubscribe":
                for topic in event["topics"]:
                    found.pop(topic, None)
        return found

    def knows(self, client_id):
        return bool(self.events(client_id))

    def received(self, client_id):
        return [event["topic"] for event in self.events(client_id) if event["event"] == "publish"]

    def wait_gone(self, client_id):
        self.wait_output(rf'"event":"gone","client":{re.escape(json.dumps(client_id))}')
