# SPDX-License-Identifier: Apache-2.0
"""What goes on of a signed message: strip and pass, in both carriers, to subscribers of both versions."""
import random

import pytest

import raw
from peer import TIMEOUT
from signatures import (ENVELOPE, EVA, PAYLOAD, PLC7, PROPERTY, PROPS, QOS, REFUSED, RETAIN, VERSIONS, carried, events,
                        packet, payloads, publish, signed, signed_world, user, user_properties, versions)

CARRIERS = pytest.mark.parametrize("version, carrier", (
    (raw.V31, ENVELOPE), (raw.V311, ENVELOPE), (raw.V5, ENVELOPE), (raw.V5, PROPERTY)),
                                   ids=("v3.1-envelope", "v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))
EVERY_BYTE = bytes(range(256))
COUNT = 18  # messages in flight: below the broker's receive maximum
ALL_PROPERTIES = {"flags": PROPS, "content_type": "application/json", "response_topic": "dt/answers",
                  "correlation_data": b"\x00\xff"}


@pytest.fixture(scope="module")
def world(make_shared_world):
    return signed_world(make_shared_world, signed(topics="dt/#", name="stripped"),
                        signed("forward: pass", topics="pass/#", name="passed", keys="m25a, ops-1"))


@pytest.fixture
def subscribers(world):
    """subscribers(filter): of 3.1.1 and of 5.0, through mqward, and one of the broker itself."""
    def subscribe(name, qos=2):
        clients = [*(world.connected(version=version) for version in versions(world)), world.direct()]
        for client in clients:
            client.subscribe(name, qos=qos)
        return clients
    return subscribe


# ---- strip ----

@CARRIERS
@QOS
@pytest.mark.parametrize("payload", (PAYLOAD, b"", EVERY_BYTE), ids=("text", "empty", "binary"))
def test_strip_gives_the_payload_as_it_was_before_it_was_signed(world, subscribers, version, carrier, qos, payload):
    topic = f"dt/{world.name()}"
    receivers = subscribers(topic)
    publish(user(world, version=version), PLC7.sign(topic, payload), qos, carrier)
    for receiver in receivers:
        message = receiver.message()
        assert (message.topic, message.payload, message.properties) == (topic, payload, [])
        assert message.qos == world.qos(qos)


@pytest.mark.needs("v5.0")
@pytest.mark.parametrize("carrier", (ENVELOPE, PROPERTY))
def test_strip_keeps_all_other_properties_in_their_order(world, subscribers, carrier):
    topic = f"dt/{world.name()}"
    old, new, behind = subscribers(topic)
    message = PLC7.sign(topic, **ALL_PROPERTIES)
    payload, own = carried(message, carrier)
    pairs = [(raw.USER_PROPERTY, pair) for pair in (("b", "2"), ("a", "1"), ("MPS1", "another"), ("a", ""), ("b", "2"))]
    sender = user(world, version=raw.V5)
    text = [(raw.PAYLOAD_FORMAT_INDICATOR, 1)] if carrier == PROPERTY else []  # an envelope is no text
    props = [pairs[0], *own[:2], pairs[1], *text, *own[2:], *pairs[2:]]
    sender.publish(topic, payload, 1, props=props)
    for receiver in (new, behind):
        received = receiver.message()
        assert received.payload == message.payload
        assert user_properties(received) == [pair for _, pair in pairs]
        for identifier, value in ((raw.CONTENT_TYPE, "application/json"), (raw.RESPONSE_TOPIC, "dt/answers"),
                                  (raw.CORRELATION_DATA, b"\x00\xff"), *text):
            assert received.prop(identifier) == value
        assert len(received.properties) == len(pairs) + 3 + len(text)
    assert old.message().payload == message.payload


@pytest.mark.needs("v5.0")
@pytest.mark.parametrize("carrier", (ENVELOPE, PROPERTY))
def test_message_expiry_is_not_lost_with_the_signature(world, subscribers, carrier):
    topic = f"dt/{world.name()}"
    receivers = subscribers(topic)[1:]
    publish(user(world, version=raw.V5), PLC7.sign(topic), 1, carrier, props=[(raw.MESSAGE_EXPIRY_INTERVAL, 100)])
    for receiver in receivers:
        message = receiver.message()
        assert [identifier for identifier, _ in message.properties] == [raw.MESSAGE_EXPIRY_INTERVAL]


# ---- pass ----

@CARRIERS
@QOS
def test_pass_gives_what_was_sent(world, subscribers, version, carrier, qos):
    """A 5.0 property does not reach a subscriber of 3.1.1, an envelope reaches both."""
    topic = f"pass/{world.name()}"
    receivers = subscribers(topic)
    message = PLC7.sign(topic, EVERY_BYTE)
    payload, props = carried(message, carrier)
    publish(user(world, version=version), message, qos, carrier)
    for receiver in receivers:
        received = receiver.message()
        assert (received.payload, received.qos) == (payload, world.qos(qos))
        assert received.properties == (props if receiver.version == raw.V5 else [])


@pytest.mark.needs("v5.0")
def test_pass_keeps_all_properties_as_they_were(world, subscribers):
    topic = f"pass/{world.name()}"
    receivers = subscribers(topic)[1:]
    message = EVA.sign(topic, **ALL_PROPERTIES)
    _, own = carried(message, PROPERTY)
    props = [(raw.USER_PROPERTY, ("b", "2")), *own, (raw.USER_PROPERTY, ("a", "1"))]
    user(world, "eva", raw.V5).publish(topic, message.payload, 1, props=props)
    for receiver in receivers:
        received = receiver.message()
        assert sorted(map(repr, received.properties)) == sorted(map(repr, props))
        assert user_properties(received) == [("b", "2"), own[-1][1], ("a", "1")]


# ---- retained messages ----

def retained(world, name, version):
    """What a new subscriber gets of the retained message of a topic: a list of it, or of nothing."""
    with world.connected(version=version) as receiver:
        receiver.subscribe(name, "zz/marker/#", qos=1)
        return world.arrived(receiver)


@CARRIERS
@pytest.mark.parametrize("tree", ("dt", "pass"), ids=("strip", "pass"))
def test_a_retained_message_is_kept_and_cleared(world, version, carrier, tree):
    """A signed empty payload with RETAIN clears, although the envelope makes it none."""
    topic = f"{tree}/{world.name()}"
    sender = user(world, version=version)
    message = PLC7.sign(topic, flags=RETAIN)
    payload, props = carried(message, carrier) if tree == "pass" else (message.payload, [])
    publish(sender, message, 1, carrier)
    for other in versions(world):
        (received,) = retained(world, topic, other)
        assert received.retain and received.payload == payload
        assert received.properties == (props if other == raw.V5 else [])
    publish(sender, PLC7.sign(topic, b"", flags=RETAIN), 1, carrier)
    sender.ping()
    for other in versions(world):
        assert retained(world, topic, other) == []


# ---- topic aliases ----

@pytest.mark.needs("v5.0")
@pytest.mark.parametrize("carrier", (ENVELOPE, PROPERTY))
@pytest.mark.parametrize("tree", ("dt", "pass"), ids=("strip", "pass"))
def test_a_topic_alias_stands_for_the_signed_topic(world, subscribers, carrier, tree):
    topic = f"{tree}/{world.name()}"
    old, new, _ = subscribers(topic)
    sender = user(world, version=raw.V5)
    wanted = []
    for index, content in enumerate((b"first", b"second", b"third")):
        payload, props = carried(PLC7.sign(topic, content), carrier)
        wanted.append((topic, payload if tree == "pass" else content, props if tree == "pass" else []))
        sender.publish("" if index else topic, payload, 1, props=[(raw.TOPIC_ALIAS, 3), *props])
    for receiver in (old, new):
        for topic, payload, props in wanted:
            message = receiver.message()
            assert (message.topic, message.payload) == (topic, payload)
            assert message.properties == (props if receiver.version == raw.V5 else [])


@pytest.mark.needs("v5.0")
def test_what_is_refused_sets_its_alias_all_the_same(world):
    """The client takes it for set, and so the next message means this topic."""
    topic = f"dt/{world.name()}"
    observer = world.observer(topic)
    sender = user(world, version=raw.V5)
    sender.publish(topic, b"unsigned", 1, REFUSED, props=[(raw.TOPIC_ALIAS, 1)])
    payload, props = carried(PLC7.sign(topic, b"signed"), PROPERTY)
    sender.publish("", payload, 1, props=[(raw.TOPIC_ALIAS, 1), *props])
    assert payloads(world.arrived(observer, sender)) == [b"signed"]
    payload, props = carried(PLC7.sign("dt/other", b"of another topic"), PROPERTY)
    sender.publish("", payload, 1, REFUSED, props=[(raw.TOPIC_ALIAS, 1), *props])
    events(world, "sig_invalid", topic=topic)


# ---- how it comes ----

@CARRIERS
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_message_may_come_in_any_pieces(world, version, carrier, tls):
    topic = f"dt/{world.name()}"
    observer = world.observer(topic, qos=1)
    sender = user(world, version=version, tls=tls)
    sender.send_bytewise(packet(sender, PLC7.sign(topic, b"byte for byte"), carrier=carrier, packet_id=1))
    sender.expect(raw.PUBACK, packet_id=1)
    large = random.Random(7).randbytes(900_000)
    data, at, pieces = packet(sender, PLC7.sign(topic, large), carrier=carrier, packet_id=2), 0, random.Random(8)
    sender.sock.settimeout(TIMEOUT)
    while at < len(data):
        size = pieces.choice((1, 70, 1000, 16384, 40000))
        sender.send(data[at:at + size])
        at += size
    sender.expect(raw.PUBACK, packet_id=2)
    assert payloads(world.arrived(observer, sender)) == [b"byte for byte", large]


@VERSIONS
def test_many_messages_in_one_piece_keep_their_order(world, version):
    """Signed, unsigned and forged ones between each other; each answer in its place."""
    topic = f"dt/{world.name()}"
    observer = world.observer(topic, "open", qos=1)
    sender = user(world, version=version)
    good = [packet(sender, PLC7.sign(topic, b"%d" % index), packet_id=index + 1) for index in range(0, COUNT, 3)]
    forged = [packet(sender, PLC7.sign(topic, b"forged", key=bytes(32)), packet_id=index + 1)
              for index in range(1, COUNT, 3)]
    free = [raw.publish(version, "open", b"%d" % index, 1, packet_id=index + 1) for index in range(2, COUNT, 3)]
    sender.send(b"".join(data for three in zip(good, forged, free) for data in three))
    for index in range(COUNT):
        code = REFUSED if index % 3 == 1 and version == raw.V5 else 0
        assert sender.expect(raw.PUBACK, packet_id=index + 1).code in (code, 0x10 if code == 0 else code)
    assert payloads(world.arrived(observer, sender)) == [b"%d" % index for index in range(COUNT) if index % 3 != 1]
