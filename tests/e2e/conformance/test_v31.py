# SPDX-License-Identifier: Apache-2.0
"""What IBM's MQTT 3.1 has of its own. What it has in common with 3.1.1 is tested with both in test_v311_*.py."""
import pytest

import raw
from harness import statement
from raw import V31, V311

v31 = statement(version=V31)


def connect_packet(flags, *fields):
    return raw.packet(raw.CONNECT, 0, raw.string("MQIsdp") + bytes([3, flags, 0, 60])
                      + b"".join(raw.string(field) for field in fields))


def answer_of(broker, data):
    """The code of CONNACK, or None when the connection is closed without one."""
    client = broker.client()
    client.send(data)
    packet = client.receive()
    assert packet is None or packet.type == raw.CONNACK
    if packet and packet.code == 0:
        client.ping()
        client.disconnect()
    elif packet:
        client.expect_closed()
    return packet and packet.code


# ---- CONNECT ----

@pytest.mark.parametrize("name, level", (("MQIsdp", 4), ("MQIsdp", 2), ("MQTT", 3), ("MQTT", 2), ("MQIsdp", 0)))
@v31
def test_another_level_is_refused_with_code_1(broker, name, level):
    assert answer_of(broker, raw.connect(V31, broker.name(), name=name, level=level)) == 1


@pytest.mark.parametrize("clean", (True, False), ids=("clean", "not clean"))
@v31
def test_an_empty_client_id_is_refused_with_code_2(broker, clean):
    assert answer_of(broker, raw.connect(V31, "", clean=clean)) == 2


@pytest.mark.parametrize("length", (24, 65, 1000))
@v31
def test_client_ids_of_more_than_23_characters_are_treated_alike(broker, length):
    """3.1 refuses them with code 2; brokers take them."""
    return answer_of(broker, raw.connect(V31, "c" * length))


@v31
def test_a_user_name_flag_without_a_user_name_is_valid(broker):
    """For compatibility with version 3: the remaining length takes precedence over the flag."""
    assert answer_of(broker, connect_packet(0x82, broker.name())) == 0


@v31
def test_a_password_flag_without_a_password_is_valid(broker):
    assert answer_of(broker, connect_packet(0xC2, broker.name(), "user")) == 0


@v31
def test_a_will_without_its_message_is_refused(broker):
    assert answer_of(broker, connect_packet(0x06, broker.name(), "topic")) is None


@v31
def test_the_first_byte_of_connack_is_not_used(broker):
    name = broker.name()
    for clean in (True, False, False):
        client = broker.client()
        client.send(raw.connect(V31, name, clean=clean))
        assert client.expect(raw.CONNACK).raw == b"\x20\x02\x00\x00"
        client.disconnect()


@v31
def test_a_client_of_3_1_and_one_of_3_1_1_share_one_session(broker):
    name, topic = broker.name(), broker.topic()
    broker.subscribed(topic, qos=1, client_id=name, clean=False).disconnect()
    broker.connected().publish(topic, b"for the next", qos=1)
    client = broker.connected(name, version=V311, clean=False)
    assert client.message().payload == b"for the next"


# ---- flags of the fixed header ----

@pytest.mark.parametrize("dup", (False, True), ids=("first", "again"))
@v31
def test_subscribe_unsubscribe_and_pubrel_may_have_dup(broker, dup):
    """They have QoS 1, and a client that sends them again sets DUP."""
    def with_dup(data):
        return bytes([data[0] | dup << 3]) + data[1:]

    client = broker.connected()
    client.send(with_dup(raw.subscribe(V31, 1, [(broker.topic(), 2)])))
    assert client.expect(raw.SUBACK, packet_id=1).codes == [2]
    client.send(with_dup(raw.unsubscribe(V31, 2, [broker.topic()])))
    client.expect(raw.UNSUBACK, packet_id=2)
    client.send(raw.publish(V31, broker.topic(), b"x", qos=2, packet_id=3))
    client.expect(raw.PUBREC, packet_id=3)
    client.send(with_dup(raw.ack(raw.PUBREL, V31, 3)))
    client.expect(raw.PUBCOMP, packet_id=3)


UNUSED = {
    "PINGREQ": raw.pingreq(),
    "PUBACK": raw.ack(raw.PUBACK, V31, 1),
    "PUBREC": raw.ack(raw.PUBREC, V31, 1),
    "PUBCOMP": raw.ack(raw.PUBCOMP, V31, 1),
}


@pytest.mark.parametrize("name", UNUSED)
@v31
def test_flags_that_a_packet_does_not_use_end_the_connection(broker, name):
    """The acknowledgements are of deliveries, as the client would send them."""
    client = broker.subscribed(qos=2)
    qos = {"PINGREQ": 0, "PUBACK": 1}.get(name, 2)
    if qos:
        broker.connected().publish(broker.topic(), b"x", qos=qos)
        message = client.message(acknowledge=False)
        assert message.packet_id == 1
    if name == "PUBCOMP":
        client.acknowledge(message)
        client.expect(raw.PUBREL)
    client.send(bytes([UNUSED[name][0] | 8]) + UNUSED[name][1:])
    return broker.expect_refused(client)



@pytest.mark.parametrize("data", (b"\xf0\x00", b"\x00\x00", raw.connack(V31), b"\x30\xff\xff\xff\xff\x7f"),
                         ids=("type 15", "type 0", "CONNACK", "remaining length of five bytes"))
@v31
def test_packets_that_no_client_may_send_end_the_connection(broker, data):
    client = broker.connected()
    client.send(data)
    assert broker.expect_refused(client) == ()


@pytest.mark.parametrize("kind", ("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"))
@v31
def test_message_identifier_0_ends_the_connection(broker, kind):
    client = broker.connected()
    client.send({
        "PUBLISH": raw.publish(V31, "t", b"x", qos=1, packet_id=0),
        "SUBSCRIBE": raw.subscribe(V31, 0, [("t", 0)]),
        "UNSUBSCRIBE": raw.unsubscribe(V31, 0, ["t"]),
    }[kind])
    assert broker.expect_refused(client) == ()


@pytest.mark.parametrize("text", ("#", "a/#", "+/b"))
@v31
def test_wildcards_in_a_topic_name_end_the_connection(broker, text):
    client = broker.connected()
    client.send(raw.publish(V31, broker.topic(text), b"x", qos=1))
    assert broker.expect_refused(client) == ()


# ---- SUBACK ----

@v31
def test_suback_grants_a_qos_for_each_topic(broker):
    client = broker.connected()
    client.send(raw.subscribe(V31, 10, [(broker.topic("a"), 0), (broker.topic("b"), 1), (broker.topic("c"), 2)]))
    assert client.expect(raw.SUBACK).raw == b"\x90\x05\x00\x0a\x00\x01\x02"


# ---- between versions ----

@pytest.mark.parametrize("qos", (0, 1, 2))
@v31
def test_messages_pass_between_the_versions(broker, qos):
    versions = (V31, V311, raw.V5)
    subscribers = [broker.subscribed(qos=2, version=version) for version in versions]
    for version in versions:
        publisher = broker.connected(version=version)
        publisher.publish(broker.topic(str(version)), b"x", qos=qos)
        publisher.ping()
    wanted = [(broker.topic(str(version)), b"x", qos) for version in versions]
    for subscriber in subscribers:
        got = [(message.topic, message.payload, message.qos) for message in broker.delivered(subscriber)]
        assert got == wanted
