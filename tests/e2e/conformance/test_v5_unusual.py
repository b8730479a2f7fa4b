# SPDX-License-Identifier: Apache-2.0
"""What 5.0 clients do that no statement speaks of: the server under test and the one behind it must treat it alike."""
import socket

import pytest

import raw
from raw import V5
from v5 import BAD_METHOD, CLIENT_ID_INVALID, IMPLEMENTATION, session, spoken, take, v5


def until_ping(client):
    """The packets up to PINGRESP or the end: (name, identifier or payload, code); DISCONNECT is a part of the end."""
    found = []
    while not found or found[-1][0] not in ("PINGRESP", "closed"):
        packet = client.receive()
        if packet is None:
            found.append(("closed", 0, 0))
        elif packet.type != raw.DISCONNECT:
            found.append((packet.name, packet.packet_id or packet.payload, packet.code))
    return found


@pytest.mark.parametrize("end", ("disconnect", "close"))
@pytest.mark.parametrize("qos", range(3))
@v5()
def test_what_was_sent_before_a_hasty_end_counts(broker, qos, end):
    """All in one segment, nothing is read. QoS 2 is delivered when its PUBREL is there."""
    subscriber = broker.subscribed(qos=2)
    client = broker.client()
    packets = [raw.connect(V5, broker.name(), will=broker.farewell())]
    for number in range(1, 11):
        packets.append(raw.publish(V5, broker.topic("t"), str(number), qos=qos, packet_id=number if qos else None))
        packets.append(raw.ack(raw.PUBREL, V5, number) if qos == 2 else b"")
    if end == "disconnect":
        packets.append(raw.disconnect(V5, 0x04))
    client.send(b"".join(packets))
    if end == "close":
        client.sock.shutdown(socket.SHUT_WR)  # without RST, for all of the answers that nobody reads
    messages = subscriber.messages_until(broker.topic("farewell"))
    assert [message.payload for message in messages] == [str(number).encode() for number in range(1, 11)]


@v5()
def test_connect_subscribe_and_disconnect_at_once(broker):
    name = broker.name()
    client = broker.client()
    client.send(raw.connect(V5, name, **session()) + raw.subscribe(V5, 1, [(broker.topic("t"), 1)])
                + raw.disconnect(V5))
    names = [packet.name for packet in client.until_closed()]
    assert names in (["CONNACK", "SUBACK"], ["CONNACK"], [])
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    client = broker.client()
    assert client.connect(name, **session()).session_present
    assert take(client).payload == b"x"


@pytest.mark.parametrize("first, second", ((0x01, 0x01), (0x01, 0x02), (0x02, 0x01), (0x02, 0x02)),
                         ids=("1 1", "1 2", "2 1", "2 2"))
@v5()
def test_a_publish_with_the_identifier_of_another_that_is_under_way(broker, first, second):
    """Another topic and payload while the first has no PUBREL."""
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("a"), b"first", qos=first, packet_id=5) + raw.pingreq())
    answers = until_ping(client)
    client.send(raw.publish(V5, broker.topic("b"), b"second", qos=second, packet_id=5) + raw.pingreq())
    answers += until_ping(client)
    if answers[-1][0] != "closed":
        client.send(raw.ack(raw.PUBREL, V5, 5) + raw.pingreq())
        answers += until_ping(client)
    return answers, [message.payload for message in broker.delivered(subscriber)]


@pytest.mark.parametrize("kind", ("SUBSCRIBE", "UNSUBSCRIBE"))
@v5()
def test_a_request_with_the_identifier_of_a_publish_that_is_under_way(broker, kind):
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("a"), b"x", qos=2, packet_id=5))
    client.expect(raw.PUBREC, packet_id=5)
    requests = {"SUBSCRIBE": raw.subscribe(V5, 5, [(broker.topic("b"), 0)]),
                "UNSUBSCRIBE": raw.unsubscribe(V5, 5, [broker.topic("b")])}
    client.send(requests[kind] + raw.pingreq())
    answers = until_ping(client)
    client.send(raw.ack(raw.PUBREL, V5, 5))
    client.expect(raw.PUBCOMP, packet_id=5, code=0)
    return answers


@v5()
def test_requests_with_the_same_identifier_at_once(broker):
    client = broker.connected()
    client.send(raw.subscribe(V5, 5, [(broker.topic("a"), 0)])
                + raw.subscribe(V5, 5, [(broker.topic("b"), 1), (broker.topic("c"), 2)])
                + raw.unsubscribe(V5, 5, [broker.topic("a")]) + raw.pingreq())
    return until_ping(client)


@pytest.mark.parametrize("qos, answer", ((1, raw.PUBREC), (1, raw.PUBCOMP), (1, raw.PUBREL), (2, raw.PUBACK),
                                         (2, raw.PUBCOMP), (2, raw.PUBREL)),
                         ids=("1 PUBREC", "1 PUBCOMP", "1 PUBREL", "2 PUBACK", "2 PUBCOMP", "2 PUBREL"))
@v5()
def test_a_wrong_answer_to_a_delivery(broker, qos, answer):
    client = broker.subscribed(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=qos)
    message = client.message(acknowledge=False)
    client.send(raw.ack(answer, V5, message.packet_id) + raw.pingreq())
    found = until_ping(client)
    if found[-1][0] == "PINGRESP":
        broker.connected().publish(broker.topic("t"), b"y")
        assert client.message().payload == b"y"
    return found


@v5()
def test_pubrec_twice(broker):
    client = broker.subscribed(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    client.send(raw.ack(raw.PUBREC, V5, message.packet_id) * 2 + raw.pingreq())
    found = until_ping(client)
    client.send(raw.ack(raw.PUBCOMP, V5, message.packet_id) + raw.pingreq())
    return found, until_ping(client)


@v5()
def test_pubrec_with_an_error_after_one_without(broker):
    client = broker.subscribed(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    client.send(raw.ack(raw.PUBREC, V5, message.packet_id) + raw.ack(raw.PUBREC, V5, message.packet_id, IMPLEMENTATION)
                + raw.pingreq())
    return until_ping(client)


@pytest.mark.parametrize("size", (1 << 20, 5 << 20))
@v5()
def test_a_large_message(broker, size):
    subscriber = broker.subscribed(qos=1)
    payload = bytes(range(256)) * (size // 256)
    broker.connected().publish(broker.topic("t"), payload, qos=1)
    assert subscriber.message().payload == payload


@v5()
def test_a_thousand_retained_messages_at_once(broker):
    sender = broker.connected()
    for number in range(1000):
        sender.send(raw.publish(V5, broker.topic(f"r/{number}"), str(number), retain=True))
    sender.ping()
    subscriber = broker.subscribed(broker.topic("r/+"))
    assert sorted(int(subscriber.message().payload) for _ in range(1000)) == list(range(1000))


@v5()
def test_a_message_to_fifty_subscribers(broker):
    subscribers = [broker.subscribed(qos=1) for _ in range(50)]
    broker.connected().publish(broker.topic("t"), b"x", qos=1, props=[(raw.CONTENT_TYPE, "c")])
    messages = [take(subscriber) for subscriber in subscribers]
    assert [(message.payload, spoken(message)) for message in messages] == [(b"x", [(raw.CONTENT_TYPE, "c")])] * 50


@v5()
def test_a_thousand_subscriptions_with_identifiers(broker):
    client = broker.connected()
    for number in range(1, 1001):
        identifier = [(raw.SUBSCRIPTION_IDENTIFIER, number)]
        client.send(raw.subscribe(V5, number, [(broker.topic(f"s/{number}"), 1)], identifier))
    for number in range(1, 1001):
        client.expect(raw.SUBACK, packet_id=number)
    sender = broker.connected()
    for number in (1, 500, 1000):
        sender.publish(broker.topic(f"s/{number}"), qos=1)
        assert take(client).props(raw.SUBSCRIPTION_IDENTIFIER) == [number]


@pytest.mark.parametrize("text", ("\x01", "a\x7fb", "\u0085", "\ufffe"), ids=ascii)
@v5()
def test_a_control_character_in_the_client_identifier(broker, text):
    client = broker.client()
    client.send(raw.connect(V5, broker.name() + text))
    answer = client.receive()
    assert answer is None or answer.type == raw.CONNACK
    return answer is not None and answer.code == 0


@v5()
def test_connections_that_never_say_anything_do_no_harm(broker):
    idle = [broker.client() for _ in range(20)]
    broker.connected().ping()
    for client in idle:
        client.send(raw.connect(V5, broker.name()))
    for client in idle:
        client.expect(raw.CONNACK, code=0)


@v5()
def test_the_answer_to_a_method_is_the_same_whoever_asks(broker):
    """With and without user name, clean start and session."""
    codes = []
    for options in ({}, {"username": "u", "password": b"p"}, {"clean": False}):
        client = broker.client()
        client.send(raw.connect(V5, broker.name(), props=[(raw.AUTHENTICATION_METHOD, "m")], **options))
        codes.append([packet.code for packet in client.until_closed()])
    assert all(code in (BAD_METHOD, 0x87, CLIENT_ID_INVALID) for found in codes for code in found)
    return codes
