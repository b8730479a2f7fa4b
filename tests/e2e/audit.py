# SPDX-License-Identifier: Apache-2.0
"""Audit events, as a SIEM reads them: from the Redis stream."""
import time

import redis

import ecs

FIELDS = {
    "action": "event.action", "reason": "event.reason", "outcome": "event.outcome", "severity": "event.severity",
    "code": "event.code", "user": "user.name", "client_id": "mqtt.client_id", "topic": "mqtt.topic", "qos": "mqtt.qos",
    "retained": "mqtt.retained", "version": "mqtt.version", "packet": "mqtt.packet", "reason_code": "mqtt.reason_code",
    "statement": "mqtt.statement", "message_id": "mqtt.message_id", "rule": "rule.name", "line": "mqward.rule_line",
    "disposition": "mqward.disposition", "ip": "source.ip", "kid": "mqward.signature.kid",
    "signer": "mqward.signature.signer", "check": "mqward.check", "techniques": "threat.technique.id",
    "yara": "mqward.yara.rules", "view": "mqward.yara.view", "part": "mqward.yara.part",
    "incomplete": "mqward.yara.incomplete", "quarantine": "mqward.quarantine.result",
}


def get(event, path, default=None):
    """The value of a dotted path ("mqtt.topic") or of one of the short names above."""
    value = event
    for key in FIELDS.get(path, path).split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def matches(event, fields):
    return all(wanted(get(event, key)) if callable(wanted) else get(event, key) == wanted
               for key, wanted in fields.items())


def check_payload_action(event):
    """A payload in which something was found is blocked, or it goes on and is said to match."""
    went_on = get(event, "disposition") in ("informed", "monitored")
    wanted = {"mqtt-payload-matched": True, "mqtt-payload-blocked": False}.get(get(event, "action"), went_on)
    assert went_on == wanted, event


def summary(event):
    parts = {key: get(event, key) for key in ("action", "reason", "user", "client_id", "topic", "rule", "line",
                                              "statement", "disposition")}
    return " ".join(f"{key}={value!r}" for key, value in parts.items() if value is not None)


class Audit:
    def __init__(self, port, stream="mqward:audit", field="event", password=None):
        self.connection = redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=5)
        self.stream, self.field = stream, field
        self.last, self.seen = "-", []

    def events(self):
        """All events so far, oldest first."""
        while True:
            rows = self.connection.xrange(self.stream, self.last, count=5000)
            for identifier, fields in rows:
                self.last = "(" + identifier.decode()
                event = ecs.parse(fields[self.field.encode()])
                ecs.check(event)
                check_payload_action(event)
                event["_stream_id"] = identifier.decode()
                self.seen.append(event)
            if not rows:
                return self.seen

    def all(self, **fields):
        return [event for event in self.events() if matches(event, fields)]

    def wait_for(self, timeout=30.0, **fields):
        """The first event with these fields."""
        return self.wait_for_count(1, timeout, **fields)[0]

    def wait_for_count(self, count, timeout=30.0, **fields):
        """All events with these fields, once there are count of them."""
        deadline = time.monotonic() + timeout
        while True:
            found = []
            try:
                found = self.all(**fields)
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                listing = "\n  ".join(summary(event) for event in self.seen[-40:]) or "none"
                raise AssertionError(f"{len(found)} of {count} events {fields} within {timeout} s; events:\n  {listing}")
            time.sleep(0.01)

    def sequences(self):
        """{epoch: [sequence, ...]} in the order of the stream."""
        epochs = {}
        for event in self.events():
            epoch, sequence = get(event, "event.id").rsplit("-", 1)
            assert int(sequence) == get(event, "event.sequence"), event
            epochs.setdefault(epoch, []).append(int(sequence))
        return epochs

    def assert_gapless(self):
        """Every epoch's sequences are all there: repeated perhaps (at least once), none missing."""
        for epoch, numbers in self.sequences().items():
            distinct = sorted(set(numbers))
            wanted = list(range(distinct[0], distinct[0] + len(distinct)))
            assert distinct == wanted, f"epoch {epoch}: missing {sorted(set(range(distinct[0], distinct[-1])) - set(distinct))[:20]}"
            assert distinct[0] in (0, 1), f"epoch {epoch} starts at {distinct[0]}"
