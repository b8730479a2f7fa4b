# SPDX-License-Identifier: Apache-2.0
"""MQTT.js clients with the interface of clients.Paho, all in one Node.js process (node/client.js)."""
import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from types import SimpleNamespace

import raw
from peer import TIMEOUT

SCRIPT = os.path.join(os.path.dirname(__file__), "node", "client.js")


class MqttJsProcess:
    """The process; answers and messages are sorted to whom they are for."""

    def __init__(self):
        self.process = subprocess.Popen([shutil.which("node") or "node", SCRIPT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.numbers, self.answers, self.messages = itertools.count(1), {}, {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            if "message" in line:
                self.messages[line["client"]].put(line["message"])
            else:
                self.answers[line["number"]].put(line)

    def act(self, act, client, **fields):
        """Has a client do something; the result, once it is done."""
        number = next(self.numbers)
        self.answers[number] = queue.Queue()
        self.process.stdin.write(json.dumps({"number": number, "act": act, "client": client, **fields}) + "\n")
        answer = self.answers[number].get(timeout=TIMEOUT)
        assert "error" not in answer, f"MQTT.js: {act}: {answer['error']}"
        return answer.get("result")

    def stop(self):
        self.process.kill()
        self.process.wait(TIMEOUT)


class MqttJs:
    """tls: None, or paths: {"ca": of the server, "cert": of the client, "key": of the client}; login: a pair."""

    def __init__(self, process, version, client_id, port, tls=None, clean=True, will=None, login=None):
        self.process, self.client_id, self.name = process, client_id, f"{client_id}@{port}"
        self.messages = process.messages[self.name] = queue.Queue()
        self.dropped = False
        options = {"port": port, "clientId": client_id, "clean": clean, "protocolVersion": version,
                   "protocolId": "MQIsdp" if version == raw.V31 else "MQTT", "protocol": "mqtts" if tls else "mqtt",
                   **(tls or {})}
        if login:
            options["username"], options["password"] = login
        if will:
            topic, payload, qos, retain = will
            options["will"] = {"topic": topic, "payload": _text(payload), "qos": qos, "retain": retain}
        process.act("connect", self.name, options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.dropped:
            self.process.act("end", self.name)

    def subscribe(self, name, qos=0):
        return self.process.act("subscribe", self.name, topic=name, qos=qos)

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=None):
        """properties: of 5.0, as MQTT.js names them."""
        self.process.act("publish", self.name, topic=topic, payload=_text(payload),
                         options={"qos": qos, "retain": retain, **({"properties": properties} if properties else {})})

    def message(self, timeout=TIMEOUT):
        message = self.messages.get(timeout=timeout)
        return SimpleNamespace(**{**message, "payload": base64.b64decode(message["payload"])})

    def drop(self):
        """The connection breaks: no DISCONNECT."""
        self.process.act("drop", self.name)
        self.dropped = True


def _text(payload):
    return base64.b64encode(raw.as_bytes(payload)).decode()
