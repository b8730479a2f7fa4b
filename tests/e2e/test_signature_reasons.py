# SPDX-License-Identifier: Apache-2.0
"""Each reason for which a signature is refused, reached by what devices use: paho, MQTT.js, mosquitto_pub."""
import itertools
from dataclasses import dataclass

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import raw
from audit import get
from clients import Paho, mosquitto_pub
from mqttjs import MqttJs, MqttJsProcess
from signatures import (ENVELOPE, PAYLOAD, RETAIN, USERS, VERSIONS, Key, Signer,
                        carried, carrier_of, events, now, payloads, signed, signed_world)
from wire import FROM_BROKER, Wire

pytestmark = pytest.mark.brokerless
MASTER = Key(more={"revoked": ["plc-9"], "min_generation": {"plc-3": 2}})
OLD, NEW = Key("m24a", more={"not_after": -60}), Key("m26a", more={"not_before": 3600})
GOOD, GOOD8 = Signer("plc-7", MASTER), Signer("plc-8", MASTER)


@dataclass
class Sent:
    """What an application gives to its library."""
    payload: bytes
    pairs: tuple = ()  # User Properties
    content: bytes = PAYLOAD  # what was signed
    content_type: str = None
    retain: bool = False


def sent(message, version, carrier=None, **fields):
    payload, props = carried(message, carrier or carrier_of(version))
    return Sent(payload, tuple(pair for _, pair in props), message.payload, **fields)


def cut(message, version):
    """A header that ends before its tag."""
    result = sent(message, version)
    if version == raw.V5:
        return Sent(result.payload, (("mps1", result.pairs[0][1][:40]),))
    return Sent(message.header()[:40])


def one(make, **fields):
    return lambda topic, version: [sent(make(topic), version, **fields)]


def twice(topic, version):
    return [sent(GOOD.sign(topic), version)] * 2


def same_nonce(topic, version):
    first = GOOD.sign(topic, b"first")
    return [sent(first, version), sent(GOOD.sign(topic, b"second", nonce=first.nonce), version)]


def both(topic, version):
    message = GOOD.sign(topic)
    return [Sent(message.header() + message.payload, sent(message, raw.V5).pairs)]


# reason: what is published, of which the last message is refused; who sends it, if it is not plc-7.
CASES = {
    "sig_missing": lambda topic, version: [Sent(PAYLOAD)],
    "sig_malformed": lambda topic, version: [cut(GOOD.sign(topic), version)],
    "sig_version": one(lambda topic: GOOD.sign(topic, version=2)),
    "sig_alg": one(lambda topic: GOOD.sign(topic, alg=7)),
    "sig_key_unknown": one(lambda topic: Signer("plc-7", Key("m99z")).sign(topic)),
    "sig_key_inactive": one(lambda topic: Signer("plc-7", OLD).sign(topic)),
    "sig_key_revoked": one(lambda topic: Signer("plc-9", MASTER).sign(topic)),
    "sig_identity": one(lambda topic: GOOD8.sign(topic)),
    "sig_flags": one(lambda topic: GOOD.sign(topic, flags=RETAIN)),
    "sig_invalid": one(lambda topic: GOOD.sign(topic, key=bytes(32))),
    "sig_replay_mode": one(lambda topic: GOOD.count(1, topic=topic)),
    "sig_future": one(lambda topic: GOOD.sign(topic, t=now() + 120_000)),
    "sig_expired": one(lambda topic: GOOD.sign(topic, t=now() - 310_000)),
    "sig_nonce_reuse": same_nonce,
    "sig_replay": twice,
    # With properties of 5.0 alone:
    "sig_two_carriers": both,
    "sig_props_unsigned": one(lambda topic: GOOD.sign(topic), content_type="text/plain"),
}
ONLY_5 = ("sig_two_carriers", "sig_props_unsigned")
SENDERS = {"sig_key_revoked": "plc-9"}
# What is wrong with the header before these, nobody knows whose it is.
NAMELESS = ("sig_missing", "sig_two_carriers", "sig_malformed", "sig_version")


@pytest.fixture(scope="module")
def world(make_shared_world):
    return signed_world(make_shared_world, signed(keys="m25a, m24a, m26a"), keys=(MASTER, OLD, NEW))


@pytest.fixture(scope="module")
def mqttjs():
    process = MqttJsProcess()
    yield process
    process.stop()


def with_paho(request, world, version, name, topic, messages):
    with Paho(version, world.name(), world.proxy.ports["plain"], username=name, password=USERS[name]) as client:
        for message in messages:
            properties = None
            if version == raw.V5:
                properties = Properties(PacketTypes.PUBLISH)
                properties.UserProperty = list(message.pairs)
                if message.content_type:
                    properties.ContentType = message.content_type
            client.publish(topic, message.payload, 1, message.retain, properties)


def with_mqttjs(request, world, version, name, topic, messages):
    process = request.getfixturevalue("mqttjs")
    with MqttJs(process, version, world.name(), world.proxy.ports["plain"], login=(name, USERS[name])) as client:
        for number, message in enumerate(messages, 1):
            properties = {"userProperties": dict(message.pairs)} if message.pairs else {}
            if message.content_type:
                properties["contentType"] = message.content_type
            refused = version == raw.V5 and number == len(messages)
            try:
                client.publish(topic, message.payload, 1, message.retain, properties if version == raw.V5 else None)
            except AssertionError as error:
                assert refused and "Not authorized" in str(error)
            else:
                assert not refused


def with_mosquitto_pub(request, world, version, name, topic, messages):
    for number, message in enumerate(messages, 1):
        properties = [text for pair in message.pairs for text in ("-D", "publish", "user-property", *pair)]
        if message.content_type:
            properties += ["-D", "publish", "content-type", message.content_type]
        result = mosquitto_pub(version, world.proxy.ports["plain"], topic, "-q", "1", "-u", name, "-P", USERS[name],
                               *properties, payload=message.payload)
        told = b"Not authorized" in result.stdout + result.stderr
        assert told == (version == raw.V5 and number == len(messages)), result


CLIENTS = {"paho": with_paho, "MQTT.js": with_mqttjs, "mosquitto_pub": with_mosquitto_pub}
EACH = [(reason, version) for reason, version in itertools.product(CASES, (raw.V311, raw.V5))
        if version == raw.V5 or reason not in ONLY_5]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("reason, version", EACH, ids=[f"{reason}-v{raw.VERSION_NAMES[version]}"
                                                       for reason, version in EACH])
def test_each_reason_is_reached(request, world, client, reason, version):
    name, topic = SENDERS.get(reason, "plc-7"), f"dt/{world.name()}"
    observer, reader = world.observer(topic), world.connected()
    reader.subscribe(topic)
    messages = CASES[reason](topic, version)
    CLIENTS[client](request, world, version, name, topic, messages)
    event = events(world, reason, topic=topic)[0]
    assert (get(event, "rule"), get(event, "user")) == ("signed", name)
    assert get(event, "reason_code") == (0x87 if version == raw.V5 else None)
    assert get(event, "disposition") == ("rejected" if version == raw.V5 else "dropped")
    if reason in NAMELESS:
        assert get(event, "kid") is None and get(event, "signer") is None
    else:
        assert get(event, "signer") == ("plc-8" if reason == "sig_identity" else name)
        assert get(event, "kid") == {"sig_key_unknown": "m99z", "sig_key_inactive": "m24a"}.get(reason, "m25a")
    wanted = [message.content for message in messages[:-1]]
    assert payloads(world.arrived(observer)) == wanted
    reader.ping() if not wanted else reader.message()
    reader.publish(f"{topic}/after", PAYLOAD)
    events(world, "sig_missing", topic=f"{topic}/after")  # a second one would be there by now
    assert len(world.audit.all(action="mqtt-signature-rejected", topic=topic)) == 1


@VERSIONS
def test_what_has_arrived_is_acknowledged_and_not_sent_on(world, version):
    """sig_dup_suppressed: the library did not get its PUBACK, and sends again by itself."""
    topic = f"dt/{world.name()}"
    observer, wire = world.observer(topic), Wire(world.proxy.ports["plain"])
    message = GOOD.sign(topic)
    try:
        wire.lose((FROM_BROKER, raw.PUBACK))
        with Paho(version, world.name(), wire.port, clean=False, username="plc-7", password=USERS["plc-7"]) as paho:
            paho.client.reconnect_delay_set(1, 1)
            info = paho.client.publish(topic, carried(message, ENVELOPE)[0], 1)
            wire.wait_lost()
            wire.lose()
            wire.cut()
            info.wait_for_publish(20)
            assert info.is_published()
    finally:
        wire.stop()
    event = events(world, "sig_dup_suppressed", topic=topic)[0]
    assert (get(event, "signer"), get(event, "kid"), get(event, "rule")) == ("plc-7", "m25a", "signed")
    assert payloads(world.arrived(observer)) == [message.payload]
