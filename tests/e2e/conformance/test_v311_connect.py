# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, section 3.1 CONNECT and 3.2 CONNACK: what is taken and what is refused. Sessions are in
test_v311_sessions.py, wills in test_v311_will.py, client ids and keep alive in test_v311_identity.py."""
import pytest

import raw
from harness import statement
from raw import V31, V311
from vectors import ILL_FORMED


def refused_silently(broker, data):
    """This as the first packet closes the connection without a CONNACK."""
    client = broker.client()
    client.send(data)
    assert broker.expect_refused(client, connected=False) == ()


def connect_packet(flags, *fields, keep_alive=60):
    """A CONNECT of these flags whose payload has these fields."""
    return raw.packet(raw.CONNECT, 0, raw.string("MQTT") + bytes([4, flags]) + keep_alive.to_bytes(2, "big")
                      + b"".join(raw.string(field) for field in fields))


# ---- the first packet ----

FIRST = {
    "PUBLISH": raw.publish(V311, "a", b"x"),
    "PUBLISH QoS 1": raw.publish(V311, "a", b"x", qos=1),
    "PUBACK": raw.ack(raw.PUBACK, V311, 1),
    "PUBREC": raw.ack(raw.PUBREC, V311, 1),
    "PUBREL": raw.ack(raw.PUBREL, V311, 1),
    "PUBCOMP": raw.ack(raw.PUBCOMP, V311, 1),
    "SUBSCRIBE": raw.subscribe(V311, 1, [("a", 0)]),
    "UNSUBSCRIBE": raw.unsubscribe(V311, 1, ["a"]),
    "PINGREQ": raw.pingreq(),
    "DISCONNECT": raw.disconnect(V311),
    "CONNACK": raw.connack(V311),
    "type 0": b"\x00\x00",
    "type 15": b"\xf0\x00",
}


@pytest.mark.parametrize("name", FIRST)
@statement("MQTT-3.1.0-1", "MQTT-4.8.0-1")
def test_the_first_packet_must_be_connect(broker, name):
    client = broker.client()
    client.send(FIRST[name])
    return broker.expect_refused(client, connected=False)


@statement("MQTT-3.1.0-1")
def test_nothing_before_connect_has_an_effect(broker):
    observer = broker.subscribed()
    client = broker.client()
    client.send(raw.publish(V311, broker.topic(), b"early") + raw.connect(V311, broker.name()))
    assert broker.expect_refused(client, connected=False) == ()
    assert broker.delivered(observer) == []


@pytest.mark.parametrize("same", (True, False), ids=("same client id", "other client id"))
@statement("MQTT-3.1.0-2", "MQTT-4.8.0-1", version=(V31, V311))
def test_a_second_connect_is_a_protocol_violation(broker, same):
    name = broker.name()
    client = broker.connected(name)
    client.send(raw.connect(broker.version, name if same else broker.name()))
    return broker.expect_refused(client)


@statement("MQTT-3.1.0-2")
def test_a_second_connect_in_the_same_segment_is_a_protocol_violation(broker):
    name = broker.name()
    client = broker.client()
    client.send(raw.connect(V311, name) * 2)
    client.expect(raw.CONNACK, code=0)
    return broker.expect_refused(client)


# ---- protocol name and level ----

@pytest.mark.parametrize("name", ("MQTX", "mqtt", "MQT", "MQTTT", "MQIsdp", "", "\ufeffMQTT"))
@statement("MQTT-3.1.2-1")
def test_another_protocol_name_is_not_processed(broker, name):
    client = broker.client()
    client.send(raw.connect(V311, broker.name(), name=name))
    return broker.expect_refused(client, connected=False)


@pytest.mark.parametrize("level", (0, 1, 2, 3, 6, 7, 127, 0x84, 255))
@statement("MQTT-3.1.2-2", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
def test_an_unknown_protocol_level_is_refused_with_code_1(broker, level):
    client = broker.client()
    client.send(raw.connect(V311, broker.name(), level=level))
    answer = client.expect(raw.CONNACK)
    assert answer.body == b"\x00\x01", f"{answer} {answer.body.hex()}"
    client.expect_closed()


# ---- flags and fields ----

MALFORMED = {
    "reserved flag": connect_packet(0x03, "x"),
    "will QoS 3": connect_packet(0x1E, "x", "t", "m"),
    "will QoS 1 without will": connect_packet(0x0A, "x"),
    "will QoS 2 without will": connect_packet(0x12, "x"),
    "will retain without will": connect_packet(0x22, "x"),
    "will QoS and its fields without will": connect_packet(0x0A, "x", "t", "m"),
    "will fields without will": connect_packet(0x02, "x", "t", "m"),
    "will without its fields": connect_packet(0x06, "x"),
    "will without its message": connect_packet(0x06, "x", "t"),
    "user name without its flag": connect_packet(0x02, "x", "u"),
    "user name flag without it": connect_packet(0x82, "x"),
    "password without its flag": connect_packet(0x82, "x", "u", "p"),
    "password flag without it": connect_packet(0xC2, "x", "u"),
    "password flag without user name flag": connect_packet(0x42, "x", "p"),
    "no client id": connect_packet(0x02),
    "client id shorter than its length": connect_packet(0x02)[:1] + b"\x0d" + connect_packet(0x02)[2:] + b"\x00\x05x",
    "no keep alive": raw.packet(raw.CONNECT, 0, raw.string("MQTT") + b"\x04\x02"),
    "no level": raw.packet(raw.CONNECT, 0, raw.string("MQTT")),
    "empty": raw.packet(raw.CONNECT, 0),
    "trailing byte": connect_packet(0x02, "x")[:1] + b"\x0e" + connect_packet(0x02, "x")[2:] + b"y",
    "fixed header flags": b"\x11" + connect_packet(0x02, "x")[1:],
    "remaining length of five bytes": b"\x10\xff\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("name", MALFORMED)
@statement("MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.1.2-3", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-13",
           "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21",
           "MQTT-3.1.2-22", "MQTT-3.1.3-3", "MQTT-3.1.4-1", "MQTT-3.2.2-6", "MQTT-4.8.0-1")
def test_a_malformed_connect_is_closed_without_connack(broker, name):
    refused_silently(broker, MALFORMED[name])


@pytest.mark.parametrize("text", ILL_FORMED)
@pytest.mark.parametrize("where", ("client id", "will topic", "user name"))
@statement("MQTT-1.5.3-1", "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT-3.1.4-1")
def test_ill_formed_text_in_connect_is_refused(broker, where, text):
    refused_silently(broker, connect_with(where, ILL_FORMED[text]))


@pytest.mark.parametrize("text", (b"\0", b"a\0b", b"ab\0"), ids=("alone", "inside", "at the end"))
@pytest.mark.parametrize("where", ("client id", "will topic", "user name"))
@statement("MQTT-1.5.3-2", "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT-4.7.3-2")
def test_a_null_character_in_connect_is_refused(broker, where, text):
    refused_silently(broker, connect_with(where, text))


def connect_with(where, text):
    return {
        "client id": lambda: connect_packet(0x02, text),
        "will topic": lambda: connect_packet(0x06, "x", text, "m"),
        "user name": lambda: connect_packet(0x82, "x", text),
    }[where]()


# ---- what is taken ----

CREDENTIALS = {
    "none": {},
    "user name": {"username": "user"},
    "user name and password": {"username": "user", "password": "secret"},
    "empty user name": {"username": ""},
    "empty user name and password": {"username": "", "password": ""},
    "password of any bytes": {"username": "user", "password": bytes(range(256))},
    "long": {"username": "u" * 1000, "password": b"p" * 65535},
}


@pytest.mark.parametrize("name", CREDENTIALS)
@statement("MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.4-4", version=(V31, V311))
def test_connect_with_and_without_credentials_is_taken(broker, name):
    client = broker.client()
    client.send(raw.connect(broker.version, broker.name(), **CREDENTIALS[name]))
    answer = client.expect(raw.CONNACK)
    assert (answer.flags, answer.body) == (0, b"\x00\x00"), f"{answer} {answer.body.hex()}"
    client.ping()


@statement("MQTT-3.1.3-1", "MQTT-3.1.2-9")
def test_the_fields_are_read_in_their_order(broker):
    """Each field says which one it is: the client id by a takeover, topic and message by the will."""
    name = broker.name()
    observer = broker.subscribed()
    client = broker.connected(name, username="user", password="secret", will=raw.Will(broker.topic("will"), b"message"))
    taking_over = broker.connected(name)
    client.expect_closed()
    message = observer.message()
    assert (message.topic, message.payload) == (broker.topic("will"), b"message")
    taking_over.ping()


@statement("MQTT-3.2.0-1", "MQTT-3.1.4-4", version=(V31, V311))
def test_connack_is_the_first_packet_whatever_the_client_pipelines(broker):
    name, topic = broker.name(), broker.topic()
    client = broker.client()
    client.send(raw.connect(broker.version, name) + raw.subscribe(broker.version, 1, [(topic, 1)])
                + raw.publish(broker.version, topic, b"x", qos=1, packet_id=2) + raw.pingreq())
    client.expect(raw.CONNACK, code=0)
    kinds = sorted(client.receive().name for _ in range(4))
    assert kinds == ["PINGRESP", "PUBACK", "PUBLISH", "SUBACK"]


@statement("MQTT-3.1.4-5", "MQTT-3.1.3-8", version=(V31, V311))
def test_nothing_after_a_refused_connect_is_processed(broker):
    observer = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(broker.version, "", clean=False) + raw.publish(broker.version, broker.topic(), b"late"))
    client.expect(raw.CONNACK, code=2)
    client.expect_closed()
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.4-4", version=(V31, V311))
def test_connect_a_byte_at_a_time_is_taken(broker):
    client = broker.client()
    client.send_bytewise(raw.connect(broker.version, broker.name(), username="user", password="secret",
                                     will=raw.Will(broker.topic(), b"will")))
    client.expect(raw.CONNACK, code=0)
    client.disconnect()
