# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 1.5 and 2: strings, integers, the fixed header, packet identifiers."""
import pytest

import raw
from raw import V5
from v5 import (CLIENT_ID_INVALID, FILTER_INVALID, FORMAT_INVALID, MALFORMED, PROTOCOL, TOPIC_INVALID, block,
                connect_body, refused, refuses, refuses_connect, v5)
from vectors import ILL_FORMED

STRING_CODES = (MALFORMED, PROTOCOL, CLIENT_ID_INVALID, TOPIC_INVALID, FILTER_INVALID, FORMAT_INVALID)


def will_with(identifier, value):
    return raw.connect(V5, "c", will=raw.Will("w", properties=((identifier, value),)))


IN_CONNECT = {
    "client identifier": lambda text: raw.connect(V5, b"c" + text),
    "user name": lambda text: raw.connect(V5, "c", username=text),
    "will topic": lambda text: raw.connect(V5, "c", will=raw.Will(text)),
    "will's response topic": lambda text: will_with(raw.RESPONSE_TOPIC, text),
    "will's user property": lambda text: will_with(raw.USER_PROPERTY, ("n", text)),
    "user property of CONNECT": lambda text: raw.connect(V5, "c", props=[(raw.USER_PROPERTY, ("n", text))]),
    "authentication method": lambda text: raw.connect(V5, "c", props=[(raw.AUTHENTICATION_METHOD, text)]),
}
LATER = {
    "topic name": lambda text: raw.publish(V5, b"a" + text),
    "filter of SUBSCRIBE": lambda text: raw.subscribe(V5, 1, [(b"a" + text, 0)]),
    "filter of UNSUBSCRIBE": lambda text: raw.unsubscribe(V5, 1, [b"a" + text]),
    "content type": lambda text: raw.publish(V5, "a", props=[(raw.CONTENT_TYPE, text)]),
    "response topic": lambda text: raw.publish(V5, "a", props=[(raw.RESPONSE_TOPIC, text)]),
    "user property's name": lambda text: raw.publish(V5, "a", props=[(raw.USER_PROPERTY, (text, "v"))]),
    "user property's value": lambda text: raw.publish(V5, "a", props=[(raw.USER_PROPERTY, ("n", text))]),
    "reason string of PUBACK": lambda text: raw.ack(raw.PUBACK, V5, 1, 0, [(raw.REASON_STRING, text)]),
    "reason string of DISCONNECT": lambda text: raw.disconnect(V5, 0x80, [(raw.REASON_STRING, text)]),
}


@pytest.mark.parametrize("place", IN_CONNECT)
@v5("MQTT-1.5.4-1", "MQTT-1.5.7-1", "MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12")
def test_a_surrogate_in_connect_is_refused(broker, place):
    refuses_connect(broker, IN_CONNECT[place](b"\xed\xa0\x80"), *STRING_CODES)


@pytest.mark.parametrize("place", LATER)
@v5("MQTT-1.5.4-1", "MQTT-1.5.7-1", "MQTT-3.3.2-1", "MQTT-3.3.2-13", "MQTT-3.3.2-19", "MQTT-3.8.3-1", "MQTT-3.10.3-1")
def test_a_surrogate_is_refused(broker, place):
    refuses(broker, LATER[place](b"\xed\xa0\x80"), *STRING_CODES)


@pytest.mark.parametrize("name", ILL_FORMED)
@v5("MQTT-1.5.4-1")
def test_ill_formed_utf8_is_refused(broker, name):
    refuses(broker, raw.publish(V5, b"a" + ILL_FORMED[name]), *STRING_CODES)


@pytest.mark.parametrize("place", IN_CONNECT)
@v5("MQTT-1.5.4-2")
def test_the_null_character_in_connect_is_refused(broker, place):
    refuses_connect(broker, IN_CONNECT[place](b"a\0b"), *STRING_CODES)


@pytest.mark.parametrize("place", LATER)
@v5("MQTT-1.5.4-2", "MQTT-4.7.3-2")
def test_the_null_character_is_refused(broker, place):
    refuses(broker, LATER[place](b"a\0b"), *STRING_CODES)


@v5("MQTT-1.5.4-3", "MQTT-4.7.3-4")
def test_u_feff_is_kept_wherever_it_is(broker):
    topic, plain = broker.topic("\ufeffa\ufeff"), broker.topic("a")
    subscriber = broker.subscribed(topic)
    other = broker.subscribed(plain)
    sender = broker.connected()
    sender.publish(topic, props=[(raw.CONTENT_TYPE, "\ufeffx"), (raw.USER_PROPERTY, ("\ufeff", "y\ufeff"))])
    sender.publish(plain, b"plain")
    message = subscriber.message()
    assert message.topic == topic
    assert message.prop(raw.CONTENT_TYPE) == "\ufeffx"
    assert message.props(raw.USER_PROPERTY) == [("\ufeff", "y\ufeff")]
    assert other.message().payload == b"plain"
    broker.nothing_more(other)
    broker.nothing_more(subscriber)


@pytest.mark.parametrize("text", ("ä", "ß/水/Ω", "😀", "\ud7ff\ue000", "\U0010fffd"), ids=ascii)
@v5("MQTT-1.5.4-1")
def test_what_is_well_formed_passes(broker, text):
    subscriber = broker.subscribed(broker.topic("#"))
    broker.connected().publish(broker.topic(text), text)
    message = subscriber.message()
    assert (message.topic, message.payload) == (broker.topic(text), text.encode())


@pytest.mark.parametrize("text", ("\x01", "\x1f", "\x7f", "\x80", "\x9f", "\ufdd0", "\uffff"), ids=ascii)
@v5()
def test_what_should_not_be_in_a_string_is_treated_as_the_broker_treats_it(broker, text):
    """Section 1.5.4: control characters and non-characters SHOULD NOT be sent; a receiver MAY refuse them."""
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic(text), qos=1, packet_id=1) + raw.pingreq())
    answer = client.receive()
    if answer is not None and answer.type == raw.PUBACK:
        client.expect(raw.PINGRESP)
        return "taken"
    return (answer.name, answer.code) if answer else "closed"


# ---- integers ----

@v5("MQTT-1.5.5-1")
def test_a_property_length_longer_than_needed_is_refused(broker):
    refuses(broker, raw.packet(raw.PUBLISH, 0, raw.string("a") + b"\x80\x00"), MALFORMED, PROTOCOL)


@v5("MQTT-1.5.5-1")
def test_a_subscription_identifier_longer_than_needed_is_refused(broker):
    body = b"\0\1" + block(b"\x0b\x81\x00") + raw.string("a") + b"\0"
    refuses(broker, raw.packet(raw.SUBSCRIBE, 2, body), MALFORMED, PROTOCOL)


@v5("MQTT-1.5.5-1")
def test_a_remaining_length_longer_than_needed_is_refused(broker):
    refuses(broker, b"\xc0\x80\x00", MALFORMED, PROTOCOL)


@v5("MQTT-1.5.5-1")
def test_a_remaining_length_of_five_bytes_is_refused(broker):
    refuses(broker, b"\xc0\x80\x80\x80\x80\x00", MALFORMED, PROTOCOL)


@v5("MQTT-1.5.5-1")
def test_a_property_length_of_five_bytes_is_refused(broker):
    body = raw.string("a") + b"\x80\x80\x80\x80\x01" + b"x" * 20
    refuses(broker, raw.packet(raw.PUBLISH, 0, body), MALFORMED, PROTOCOL)


@pytest.mark.parametrize("length", (0, 120, 121, 122, 16376, 16377, 16378, 20000))
@v5("MQTT-1.5.5-1")
def test_remaining_lengths_around_their_steps(broker, length):
    subscriber = broker.subscribed()
    broker.connected().publish(broker.topic("t"), b"x" * length)
    assert len(subscriber.message().payload) == length


@v5("MQTT-1.5.5-1")
def test_a_packet_of_three_length_bytes_passes(broker):
    subscriber = broker.subscribed()
    payload = bytes(range(256)) * 1024
    broker.connected().publish(broker.topic("t"), payload, qos=1)
    assert subscriber.message().payload == payload


# ---- the fixed header ----

FLAGGED = {
    "PUBACK": (raw.PUBACK, 1, b"\0\1"), "PUBREC": (raw.PUBREC, 1, b"\0\1"),
    "PUBREL without its bit": (raw.PUBREL, 0, b"\0\1"),
    "PUBREL with another": (raw.PUBREL, 3, b"\0\1"), "PUBCOMP": (raw.PUBCOMP, 1, b"\0\1"),
    "SUBSCRIBE without its bit": (raw.SUBSCRIBE, 0, b"\0\1\0\0\1a\0"),
    "SUBSCRIBE with another": (raw.SUBSCRIBE, 3, b"\0\1\0\0\1a\0"),
    "UNSUBSCRIBE without its bit": (raw.UNSUBSCRIBE, 0, b"\0\1\0\0\1a"),
    "UNSUBSCRIBE with another": (raw.UNSUBSCRIBE, 10, b"\0\1\0\0\1a"),
    "PINGREQ": (raw.PINGREQ, 1, b""), "DISCONNECT": (raw.DISCONNECT, 1, b""), "AUTH": (raw.AUTH, 1, b"\x18\0"),
}


@pytest.mark.parametrize("name", FLAGGED)
@v5("MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1")
def test_reserved_flags_are_refused(broker, name):
    refuses(broker, raw.packet(*FLAGGED[name]), MALFORMED, PROTOCOL)


@v5("MQTT-2.1.3-1", "MQTT-3.1.4-1")
def test_reserved_flags_of_connect_are_refused(broker):
    packet = raw.connect(V5, broker.name())
    refuses_connect(broker, b"\x11" + packet[1:], MALFORMED, PROTOCOL)


@pytest.mark.parametrize("first", (0x00, 0x20, 0x90, 0xB0, 0xD0),
                         ids=("type 0", "CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"))
@v5("MQTT-4.13.1-1")
def test_a_type_that_no_client_sends_is_refused(broker, first):
    refuses(broker, bytes([first, 4]) + b"\0\1\0\0", MALFORMED, PROTOCOL)


BODIES = {
    "PUBLISH without a topic": b"\x30\x00", "PUBLISH cut in its topic": b"\x30\x04\0\5ab",
    "PUBLISH cut in its identifier": b"\x32\x04\0\1a\0",
    "PUBLISH without a property length": b"\x30\x03\0\1a",
    "PUBLISH with properties beyond its end": b"\x30\x05\0\1a\x7fx",
    "PUBACK of one byte": b"\x40\x01\0", "SUBSCRIBE without options": b"\x82\x06\0\1\0\0\1a",
    "SUBSCRIBE cut in its filter": b"\x82\x06\0\1\0\0\7a",
    "UNSUBSCRIBE cut in its filter": b"\xa2\x06\0\1\0\0\7a", "PINGREQ with a body": b"\xc0\x01\0",
    "DISCONNECT with a byte too many": b"\xe0\x03\0\0\0", "PUBACK with a byte too many": b"\x40\x05\0\1\0\0\0",
}


@pytest.mark.parametrize("name", BODIES)
@v5("MQTT-4.13.1-1")
def test_a_body_that_does_not_fit_is_refused(broker, name):
    refuses(broker, BODIES[name], MALFORMED, PROTOCOL)


# ---- packet identifiers ----

@v5("MQTT-2.2.1-2")
def test_qos_0_has_no_packet_identifier(broker):
    """Two bytes in its place are payload, both ways."""
    subscriber = broker.subscribed(qos=2)
    topic = broker.topic("t")
    broker.connected().send(raw.packet(raw.PUBLISH, 0, raw.string(topic) + b"\0" + b"\0\1rest"))
    message = subscriber.message()
    assert message.body == raw.string(topic) + b"\0" + b"\0\1rest"


ZERO = {
    "PUBLISH QoS 1": raw.publish(V5, "a", qos=1, packet_id=0),
    "PUBLISH QoS 2": raw.publish(V5, "a", qos=2, packet_id=0),
    "SUBSCRIBE": raw.subscribe(V5, 0, [("a", 0)]), "UNSUBSCRIBE": raw.unsubscribe(V5, 0, ["a"]),
}


@pytest.mark.parametrize("name", ZERO)
@v5("MQTT-2.2.1-3")
def test_packet_identifier_0_is_refused(broker, name):
    refuses(broker, ZERO[name], MALFORMED, PROTOCOL)


@v5("MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
def test_the_servers_identifiers_are_not_zero_and_not_in_use_twice(broker):
    subscriber = broker.subscribed(qos=2)
    sender = broker.connected()
    for number in range(16):
        sender.publish(broker.topic("t"), str(number), qos=1 + number % 2)
    messages = [subscriber.message(acknowledge=False) for _ in range(16)]
    identifiers = [message.packet_id for message in messages]
    assert 0 not in identifiers and len(set(identifiers)) == 16
    return [message.payload for message in messages]


@pytest.mark.parametrize("identifier", (1, 2, 255, 256, 65535))
@v5("MQTT-2.2.1-5", "MQTT-2.2.1-6", "MQTT-3.8.4-2", "MQTT-3.10.4-5", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11")
def test_answers_carry_the_identifier_of_what_they_answer(broker, identifier):
    client = broker.connected()
    client.send(raw.subscribe(V5, identifier, [(broker.topic("other"), 0)]))
    client.expect(raw.SUBACK, packet_id=identifier)
    client.send(raw.unsubscribe(V5, identifier, [broker.topic("other")]))
    client.expect(raw.UNSUBACK, packet_id=identifier)
    client.publish(broker.topic("t"), qos=1, packet_id=identifier)
    client.publish(broker.topic("t"), qos=2, packet_id=identifier)


@v5("MQTT-2.2.1-3")
def test_both_sides_count_for_themselves(broker):
    """The identifiers of the two directions are apart: the same one may be in use in both."""
    client = broker.subscribed(qos=1)
    client.publish(broker.topic("t"), b"first", qos=0)
    client.expect(raw.PUBLISH)
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"second", qos=1)
    message = client.message(acknowledge=False)
    client.send(raw.publish(V5, "elsewhere/" + broker.root, qos=2, packet_id=message.packet_id))
    client.expect(raw.PUBREC, packet_id=message.packet_id)
    client.send(raw.ack(raw.PUBACK, V5, message.packet_id))
    client.send(raw.ack(raw.PUBREL, V5, message.packet_id))
    client.expect(raw.PUBCOMP, packet_id=message.packet_id)


@v5("MQTT-2.2.2-1")
def test_without_properties_their_length_is_zero(broker):
    client = broker.subscribed(qos=1)
    client.publish(broker.topic("t"))
    message = client.message()
    assert message.properties == [] and message.body == raw.string(broker.topic("t")) + b"\0"
    client.send(raw.packet(raw.SUBSCRIBE, 2, b"\0\7" + b"\0" + raw.string(broker.topic("u")) + b"\0"))
    assert client.expect(raw.SUBACK).body == b"\0\7\0\0"


@v5("MQTT-2.2.2-1")
def test_connect_without_a_property_length_is_refused(broker):
    refuses_connect(broker, connect_body(raw.string(broker.name()), properties=b""), MALFORMED, PROTOCOL)


@v5()
def test_a_packet_in_single_bytes_is_whole(broker):
    client = broker.client()
    client.send_bytewise(raw.connect(V5, broker.name()))
    client.expect(raw.CONNACK, code=0)
    client.send_bytewise(raw.subscribe(V5, 1, [(broker.topic("t"), 0)]) + raw.publish(V5, broker.topic("t"), b"whole"))
    client.expect(raw.SUBACK)
    assert client.message().payload == b"whole"


@v5()
def test_an_unfinished_packet_is_no_packet(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("t"), b"unfinished")[:-1])
    client.abort()
    assert broker.delivered(subscriber) == []


@v5("MQTT-4.13.1-1")
def test_what_came_before_the_mistake_counts_and_what_comes_after_it_does_not(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("before")) + b"\x34\x00" + raw.publish(V5, broker.topic("after")))
    refused(broker, client, MALFORMED, PROTOCOL)
    assert [message.topic for message in broker.delivered(subscriber)] == [broker.topic("before")]
