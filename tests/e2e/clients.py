# SPDX-License-Identifier: Apache-2.0
"""Real clients: paho and the mosquitto_pub/sub commands."""
import queue
import subprocess
import threading

import paho.mqtt.client as mqtt

import raw
from peer import TIMEOUT

PAHO_VERSIONS = {raw.V31: mqtt.MQTTv31, raw.V311: mqtt.MQTTv311, raw.V5: mqtt.MQTTv5}
COMMAND_VERSIONS = {raw.V31: "mqttv31", raw.V311: "mqttv311", raw.V5: "mqttv5"}


class Paho:
    """paho.mqtt.client with waits instead of callbacks."""

    def __init__(self, version, client_id, port, context=None, clean=True, will=None, username=None, password=None):
        options = {} if version == raw.V5 else {"clean_session": clean}
        self.client = mqtt.Client(client_id, protocol=PAHO_VERSIONS[version], **options)
        self.version, self.client_id, self.messages = version, client_id, queue.Queue()
        self.connected, self.disconnected, self.acknowledged = threading.Event(), threading.Event(), queue.Queue()
        self.code = self.flags = None
        self.dropped = False
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self.disconnected.set()
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_subscribe = lambda _client, _data, _mid, granted, *_: self.acknowledged.put(granted)
        if context:
            self.client.tls_set_context(context)
        if username is not None:
            self.client.username_pw_set(username, password)
        if will:
            self.client.will_set(*will)
        extra = {"clean_start": clean} if version == raw.V5 else {}
        self.client.connect("127.0.0.1", port, keepalive=60, **extra)
        self.client.loop_start()
        assert self.connected.wait(TIMEOUT), "no CONNACK"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _on_connect(self, _client, _data, flags, code, *_):
        self.code, self.flags = getattr(code, "value", code), flags
        self.connected.set()

    def subscribe(self, name, qos=0):
        self.client.subscribe(name, qos)
        granted = self.acknowledged.get(timeout=TIMEOUT)
        return [getattr(item, "value", item) for item in granted]

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=None):
        info = self.client.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(TIMEOUT)
        assert info.is_published(), f"PUBLISH {topic} was not acknowledged"

    def message(self, timeout=TIMEOUT):
        return self.messages.get(timeout=timeout)

    def drop(self):
        """The connection breaks: no DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()
        self.dropped = True

    def stop(self):
        if not self.dropped:
            self.client.disconnect()
            self.client.loop_stop()


def mosquitto_pub(version, port, topic, *arguments, payload=None):
    """mosquitto_pub to its end: CompletedProcess."""
    body = ["-s"] if payload is not None else []
    return subprocess.run(["mosquitto_pub", "-V", COMMAND_VERSIONS[version], "-h", "127.0.0.1", "-p", str(port), "-t", topic,
                           *body, *arguments], input=payload, capture_output=True, timeout=30, check=False)


class MosquittoSub:
    """mosquitto_sub in the background; count messages and it ends. Ready when the broker's log shows it."""

    def __init__(self, version, port, topic, *arguments, count=1):
        self.process = subprocess.Popen(
            ["mosquitto_sub", "-V", COMMAND_VERSIONS[version], "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-C", str(count),
             "-W", "30", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def output(self):
        out, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors.decode()
        return out
