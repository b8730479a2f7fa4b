# SPDX-License-Identifier: Apache-2.0
"""Payload signatures for tests: keys.yaml, policies with checks, and signers that know the specification alone."""
import datetime
import os
import secrets
import sys
import time
from dataclasses import dataclass, field

import pytest
import yaml

import raw
from audit import get
from mps1_table import FOLDER

sys.path.append(FOLDER)
from mps1_reference import (EGRESS, HASHES, NAMES, PROPS, RECEIVER, RETAIN, SEQ, WILL, Message,  # noqa: E402,F401
                            derive, property_text, sequence)

VERSIONS = pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
QOS = pytest.mark.parametrize("qos", (0, 1, pytest.param(2, marks=pytest.mark.needs("qos2"))),
                              ids=lambda qos: f"qos{qos}")
PASSWORD = b"secret"
USERS = dict.fromkeys(("plc-3", "plc-7", "plc-8", "plc-9", "gw-1", "eva", "adam"), PASSWORD.decode())
REFUSED = 0x87  # all that a client gets to know
PAYLOAD = b'{"c":21.5}'

# Whoever is in USERS may do all, and so may others that read; what the checks say is what counts.
POLICY = """\
version: 1
policy: signed
identity:
  - password: {{file: users}}
  - anonymous: {{id: guest}}
groups:
  devices: {{source: password, ids: [plc-*]}}
  gateways: {{source: password, ids: [gw-*]}}
  people: {{source: password, ids: [eva, adam]}}
rules:
  - rule: all
    who: [devices, gateways, people, everyone]
    allow: [publish, subscribe]
    topics: ["#"]
checks:
{checks}
audit: {{deny: all, payload: none}}
"""
ENVELOPE, PROPERTY = "envelope", "property"


def now():
    """The time of a header."""
    return int(time.time() * 1000)


def policy(*checks, more=""):
    """Each check as YAML in one line; see signed()."""
    return POLICY.format(checks="".join(f"  - {check}\n" for check in checks)) + more


def signed(terms="", *, name="signed", topics="dt/#", keys="m25a", check=""):
    """A check. terms: of the signature, such as "replay: seq"; check: of the check, such as "mode: monitor"."""
    return (f"{{check: {name}, topics: \"{topics}\"{check and ', ' + check}, "
            f"signature: {{keys: [{keys}]{terms and ', ' + terms}}}}}")


# ---- keys ----

@dataclass
class Key:
    """One of keys.yaml. more: not_after and the like; times are seconds from now."""
    kid: str = "m25a"
    alg: int = 5
    sub: str = None  # of a static key
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(64))
    more: dict = field(default_factory=dict)

    def of(self, sub, generation=None):
        """A signer's key."""
        return self.secret if self.sub else derive(self.secret, self.alg, self.name(generation), sub)

    def receivers(self, sub):
        """The key that a receiver verifies with."""
        return derive(self.secret, self.alg, self.kid, sub, RECEIVER)

    def name(self, generation):
        return f"{self.kid}.{generation}" if generation else self.kid

    def entry(self):
        return {"kid": self.kid, "type": "static" if self.sub else "master", "alg": NAMES[self.alg],
                "secret": {"file": f"{self.kid}.key"}, **({"sub": self.sub} if self.sub else {}),
                **{key: _instant(value) if isinstance(value, int) and key.startswith("not_") else value
                   for key, value in self.more.items()}}


def _instant(seconds):
    instant = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def write_keys(world, *keys):
    """keys.yaml and its secrets, beside mqward.yaml."""
    folder = world.proxy.folder
    for key in keys:
        _write(os.path.join(folder, f"{key.kid}.key"), key.secret.hex() + "\n")
    _write(os.path.join(folder, "keys.yaml"),
           yaml.dump({"version": 1, "keys": [key.entry() for key in keys]}, Dumper=yaml.SafeDumper))


MASTER = Key()
OPERATOR = Key("ops-1", sub="eva")


def signed_world(make_world, *checks, keys=(MASTER, OPERATOR), more="", text=None, start=True, **options):
    """A world whose mqward has these keys and checks (without any: one for dt/#). text: another policy."""
    configuration = {"keys": "keys.yaml", **options.pop("configuration", {})}
    options.setdefault("passwords", USERS)
    world = make_world(text or policy(*(checks or [signed()]), more=more), configuration=configuration, start=False,
                       **options)
    write_keys(world, *keys)
    if start:
        world.proxy.start()
    return world


# ---- signers ----

@dataclass
class Signer:
    sub: str = "plc-7"
    key: Key = field(default_factory=lambda: MASTER)
    generation: int = None

    def sign(self, topic="dt/x", payload=PAYLOAD, **fields):
        """A message that stands, but for what fields say."""
        return Message(**{"key": self.key.of(self.sub, self.generation), "kid": self.key.name(self.generation),
                          "sub": self.sub, "alg": self.key.alg, "t": now(), "nonce": secrets.token_bytes(16),
                          "topic": topic, "payload": raw.as_bytes(payload), **fields})

    def count(self, counter, epoch=1, topic="dt/x", payload=PAYLOAD, **fields):
        """The same with a counter, and without a clock."""
        return self.sign(topic, payload, **{"flags": SEQ, "nonce": sequence(epoch, counter), "t": 0, **fields})


PLC7, PLC8, EVA = Signer("plc-7"), Signer("plc-8"), Signer("eva", OPERATOR)


def carrier_of(version):
    """The carrier that a client of this version takes."""
    return PROPERTY if version == raw.V5 else ENVELOPE


def carried(message, carrier):
    """What is on the wire: payload, and properties in front of which others may stand."""
    props = []
    if message.flags & PROPS:
        props = [(identifier, value) for identifier, value in (
            (raw.CONTENT_TYPE, message.content_type), (raw.RESPONSE_TOPIC, message.response_topic),
            (raw.CORRELATION_DATA, message.correlation_data)) if value]
    if carrier == PROPERTY:
        return message.payload, props + [(raw.USER_PROPERTY, ("mps1", property_text(message.header())))]
    return message.header() + message.payload, props


def packet(client, message, qos=1, carrier=None, *, packet_id=None, dup=False, retain=None, props=()):
    """The PUBLISH of a signed message."""
    payload, own = carried(message, carrier or carrier_of(client.version))
    retain = bool(message.flags & RETAIN) if retain is None else retain
    return raw.publish(client.version, message.topic, payload, qos, retain, dup, packet_id, [*props, *own])


def publish(client, message, qos=1, carrier=None, code=0, *, dup=False, retain=None, props=(), packet_id=None):
    """Publishes a signed message, up to the end of its acknowledgement, which must have this code (in_version)."""
    payload, own = carried(message, carrier or carrier_of(client.version))
    retain = bool(message.flags & RETAIN) if retain is None else retain
    return client.publish(message.topic, payload, qos, code, dup=dup, retain=retain, props=[*props, *own],
                          packet_id=packet_id)


def will(version, message, qos=0, carrier=None, retain=None):
    payload, props = carried(message, carrier or carrier_of(version))
    retain = bool(message.flags & RETAIN) if retain is None else retain
    return raw.Will(message.topic, payload, qos, retain, tuple(props))


# ---- clients, and what becomes of their messages ----

def versions(world):
    """Of subscribers: 3.1.1, and 5.0 where the broker speaks it."""
    return [version for version in (raw.V311, raw.V5) if version in world.broker.versions()]


def user(world, name="plc-7", version=None, client_id=None, **options):
    """A client that has logged in."""
    return world.connected(client_id, version, username=name, password=PASSWORD, **options)


def settled(world):
    """After a reload: what lives is under the new policy and keys. No client of mqward may have messages to read."""
    for client in world.clients:
        if client.sock.getpeername()[1] in world.proxy.ports.values():
            client.ping()


def events(world, reason, count=1, **fields):
    """The events of a signature that was refused, once there are count of them."""
    fields = {"action": "mqtt-signature-rejected", "reason": reason, **fields}
    return world.audit.wait_for_count(count, **fields)


def refuses(world, client, message, reason, *, check="signed", **options):
    """Publishes what must be refused for this reason; the event. What arrives is for the caller to look at."""
    known = len(world.audit.all(action="mqtt-signature-rejected", reason=reason, topic=message.topic))
    publish(client, message, code=REFUSED, **options)
    event = events(world, reason, known + 1, topic=message.topic)[known]
    assert get(event, "rule") == check and get(event, "line") == world.line(f"check: {check}")
    return event


def payloads(messages):
    return [message.payload for message in messages]


def user_properties(message):
    return message.props(raw.USER_PROPERTY)
