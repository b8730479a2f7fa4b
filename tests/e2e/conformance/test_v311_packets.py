# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, chapter 2 and the fixed headers of chapter 3: flags, lengths, types, identifiers, ping, disconnect."""
import pytest

import raw
from harness import statement
from raw import V31, V311


def refused(broker, data):
    """This from a connected client ends its connection, and what follows has no effect."""
    observer = broker.subscribed()
    client = broker.connected()
    client.send(data + raw.publish(V311, broker.topic(), b"after the violation"))
    assert broker.expect_refused(client) == ()
    assert broker.delivered(observer) == []


def with_flags(data, flags):
    return bytes([data[0] & 0xF0 | flags]) + data[1:]


# ---- flags ----

FLAGS = {
    "PUBACK": (raw.ack(raw.PUBACK, V311, 1), 0),
    "PUBREC": (raw.ack(raw.PUBREC, V311, 1), 0),
    "PUBREL": (raw.ack(raw.PUBREL, V311, 1), 2),
    "PUBCOMP": (raw.ack(raw.PUBCOMP, V311, 1), 0),
    "SUBSCRIBE": (raw.subscribe(V311, 1, [("t", 0)]), 2),
    "UNSUBSCRIBE": (raw.unsubscribe(V311, 1, ["t"]), 2),
    "PINGREQ": (raw.pingreq(), 0),
    "DISCONNECT": (raw.disconnect(V311), 0),
}


@pytest.mark.parametrize("name", FLAGS)
@statement("MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1")
def test_reserved_flags_end_the_connection(broker, name):
    data, right = FLAGS[name]
    for flags in {0, 1, 2, 4, 8, 15} - {right}:
        client = broker.connected()
        client.send(with_flags(data, flags))
        assert broker.expect_refused(client) == (), f"flags {flags:#x}"


# ---- types and lengths ----

WRONG = {
    "type 0": b"\x00\x00",
    "type 15": b"\xf0\x00",
    "type 15 with a body": b"\xf0\x02\x00\x00",
    "CONNACK": raw.connack(V311),
    "SUBACK": raw.suback(V311, 1, [0]),
    "UNSUBACK": raw.unsuback(V311, 1),
    "PINGRESP": raw.pingresp(),
}


@pytest.mark.parametrize("name", WRONG)
@statement("MQTT-4.8.0-1", "MQTT-2.2.2-2")
def test_packets_that_no_client_may_send_end_the_connection(broker, name):
    client = broker.connected()
    client.send(WRONG[name])
    assert broker.expect_refused(client) == ()


WRONG_LENGTHS = {
    "remaining length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "remaining length longer than needed": b"\xc0\x80\x00",
    "PINGREQ with a body": b"\xc0\x01x",
    "DISCONNECT with a body": b"\xe0\x01x",
    "PUBACK of three bytes": b"\x40\x03\x00\x01\x00",
    "PUBACK of one byte": b"\x40\x01\x00",
    "PUBACK of none": b"\x40\x00",
    "PUBREC of three bytes": b"\x50\x03\x00\x01\x00",
    "PUBREL of three bytes": b"\x62\x03\x00\x01\x00",
    "PUBREL of one byte": b"\x62\x01\x00",
    "PUBCOMP of three bytes": b"\x70\x03\x00\x01\x00",
    "SUBSCRIBE of none": b"\x82\x00",
    "SUBSCRIBE of one byte": b"\x82\x01\x00",
    "SUBSCRIBE without a QoS": b"\x82\x05\x00\x01\x00\x01a",
    "SUBSCRIBE with half a filter": b"\x82\x05\x00\x01\x00\x09a",
    "SUBSCRIBE with a trailing byte": b"\x82\x07\x00\x01\x00\x01a\x00x",
    "UNSUBSCRIBE of none": b"\xa2\x00",
    "UNSUBSCRIBE of one byte": b"\xa2\x01\x00",
    "UNSUBSCRIBE with half a filter": b"\xa2\x05\x00\x01\x00\x09a",
    "UNSUBSCRIBE with a trailing byte": b"\xa2\x06\x00\x01\x00\x01ax",
    "PUBLISH of none": b"\x30\x00",
    "PUBLISH of one byte": b"\x30\x01\x00",
    "PUBLISH with half a topic": b"\x30\x04\x00\x09ab",
    "PUBLISH QoS 1 without an identifier": b"\x32\x03\x00\x01a",
    "PUBLISH QoS 1 with half an identifier": b"\x32\x04\x00\x01a\x00",
}


@pytest.mark.parametrize("name", WRONG_LENGTHS)
@statement("MQTT-3.3.2-1", "MQTT-3.8.3-3", "MQTT-3.10.3-2", "MQTT-4.8.0-1")
def test_bodies_that_do_not_fit_end_the_connection(broker, name):
    client = broker.connected()
    client.send(WRONG_LENGTHS[name])
    assert broker.expect_refused(client) == ()


@statement("MQTT-4.8.0-1")
def test_nothing_after_a_violation_has_an_effect(broker):
    refused(broker, raw.connack(V311))


@statement("MQTT-4.8.0-1")
def test_what_came_before_a_violation_has_its_effect(broker):
    observer = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V311, broker.topic(), b"before") + b"\x00\x00"
                + raw.publish(V311, broker.topic(), b"after"))
    broker.expect_refused(client)
    assert [message.payload for message in broker.delivered(observer)] == [b"before"]


# ---- packet identifiers ----

ZERO = {
    "PUBLISH QoS 1": raw.publish(V311, "t", b"x", qos=1, packet_id=0),
    "PUBLISH QoS 2": raw.publish(V311, "t", b"x", qos=2, packet_id=0),
    "SUBSCRIBE": raw.subscribe(V311, 0, [("t", 0)]),
    "UNSUBSCRIBE": raw.unsubscribe(V311, 0, ["t"]),
}


@pytest.mark.parametrize("name", ZERO)
@statement("MQTT-2.3.1-1")
def test_packet_identifier_0_ends_the_connection(broker, name):
    client = broker.connected()
    client.send(ZERO[name])
    assert broker.expect_refused(client) == ()


@pytest.mark.parametrize("packet_id", (1, 2, 255, 256, 0x7FFF, 0x8000, 65535))
@statement("MQTT-2.3.1-1", "MQTT-2.3.1-6", "MQTT-2.3.1-7", "MQTT-3.8.4-2", "MQTT-3.10.4-4", version=(V31, V311))
def test_answers_carry_the_identifier_of_their_question(broker, packet_id):
    client = broker.connected()
    version, topic = broker.version, broker.topic()
    client.publish(topic, b"x", qos=1, packet_id=packet_id)
    client.publish(topic, b"x", qos=2, packet_id=packet_id)
    client.send(raw.subscribe(version, packet_id, [(topic, 0)]))
    client.expect(raw.SUBACK, packet_id=packet_id)
    client.send(raw.unsubscribe(version, packet_id, [topic]))
    client.expect(raw.UNSUBACK, packet_id=packet_id)


@statement("MQTT-2.3.1-4", "MQTT-2.3.1-5", "MQTT-4.3.1-1")
def test_identifiers_of_both_directions_are_independent(broker):
    """The server's own identifiers collide with those of the client, and nothing is confused."""
    topic = broker.topic()
    client = broker.subscribed(topic, qos=2)
    client.send(raw.publish(V311, topic, b"x", qos=2, packet_id=1))
    client.expect(raw.PUBREC, packet_id=1)
    client.send(raw.ack(raw.PUBREL, V311, 1))
    kinds = {}
    while set(kinds) != {raw.PUBCOMP, raw.PUBLISH}:
        packet = client.receive()
        kinds[packet.type] = packet
    mine = kinds[raw.PUBLISH]
    client.send(raw.publish(V311, topic, b"y", qos=1, packet_id=mine.packet_id))
    packets = [client.receive(), client.receive()]
    assert {(packet.name, packet.payload) for packet in packets} == {("PUBACK", b""), ("PUBLISH", b"y")}
    client.send(raw.ack(raw.PUBREC, V311, mine.packet_id))
    client.expect(raw.PUBREL, packet_id=mine.packet_id)


# ---- ping and disconnect ----

@statement("MQTT-3.12.4-1", version=(V31, V311))
def test_every_pingreq_is_answered(broker):
    client = broker.connected()
    client.send(raw.pingreq() * 50)
    for _ in range(50):
        assert client.expect(raw.PINGRESP).raw == b"\xd0\x00"


@statement("MQTT-3.14.4-1", "MQTT-3.14.4-2", version=(V31, V311))
def test_disconnect_ends_the_connection_and_what_follows_is_ignored(broker):
    observer = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(broker.version, broker.topic(), b"before") + raw.disconnect(broker.version)
                + raw.publish(broker.version, broker.topic(), b"after"))
    assert client.until_closed() == []
    assert [message.payload for message in broker.delivered(observer)] == [b"before"]


# ---- segments ----

def conversation(version, topic):
    """Packets of a client that talks to itself, and the answers, each given by name and identifier."""
    return b"".join((
        raw.subscribe(version, 1, [(topic, 2)]), raw.publish(version, topic, b"zero"), raw.pingreq(),
        raw.publish(version, topic, b"one", qos=1, packet_id=2),
        raw.publish(version, topic, b"two", qos=2, packet_id=3),
        raw.ack(raw.PUBREL, version, 3), raw.unsubscribe(version, 4, ["nothing"]), raw.pingreq(),
    )), sorted([("SUBACK", 1), ("PUBLISH", b"zero"), ("PINGRESP", 0), ("PUBACK", 2), ("PUBLISH", b"one"), ("PUBREC", 3),
                ("PUBCOMP", 3), ("PUBLISH", b"two"), ("UNSUBACK", 4), ("PINGRESP", 0)], key=repr)


def answers(client, count):
    got = []
    while len(got) < count:
        packet = client.receive()
        assert packet is not None, f"closed after {got}"
        got.append((packet.name, packet.payload if packet.type == raw.PUBLISH else packet.packet_id))
    return sorted(got, key=repr)


@pytest.mark.parametrize("size", (1, 2, 3, 7, 1000))
@statement(version=(V31, V311))
def test_the_segments_of_the_stream_do_not_matter(broker, size):
    client = broker.connected()
    data, wanted = conversation(broker.version, broker.topic())
    for at in range(0, len(data), size):
        client.send(data[at:at + size])
    assert answers(client, len(wanted)) == wanted


@statement()
def test_many_packets_in_one_segment_are_each_answered_in_order(broker):
    client = broker.connected()
    topic = broker.topic()
    client.send(b"".join(raw.publish(V311, topic, b"x" * 10, qos=1, packet_id=number) for number in range(1, 1001)))
    assert [client.expect(raw.PUBACK).packet_id for _ in range(1000)] == list(range(1, 1001))


@statement()
def test_connections_are_independent(broker):
    """A packet that is only half there on one connection holds up nobody else."""
    stuck = broker.connected()
    stuck.send(raw.publish(V311, broker.topic(), b"x" * 100)[:50])
    others = [broker.connected() for _ in range(10)]
    for other in others:
        other.ping()
