# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.8.2.1.2 and 3.3.2.3.8: subscription identifiers."""
import pytest

import raw
from raw import V5
from v5 import FILTER_INVALID, MALFORMED, PROTOCOL, refuses, session, v5


def identifier(number):
    return [(raw.SUBSCRIPTION_IDENTIFIER, number)]


def given(message):
    return sorted(message.props(raw.SUBSCRIPTION_IDENTIFIER))


@pytest.mark.parametrize("number", (1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455))
@v5("MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-1.5.5-1")
def test_an_identifier_comes_back_with_each_message(broker, number):
    client, sender = broker.connected(), broker.connected()
    client.subscribe(broker.topic("t"), props=identifier(number))
    for qos in range(3):
        sender.publish(broker.topic("t"), qos=qos)
    assert [given(client.message()) for _ in range(3)] == [[number]] * 3


@v5("MQTT-3.3.4-3")
def test_without_an_identifier_there_is_none(broker):
    client = broker.subscribed(broker.topic("t"))
    broker.connected().publish(broker.topic("t"))
    assert given(client.message()) == []


@v5("MQTT-3.3.4-3")
def test_one_identifier_for_all_filters_of_a_packet(broker):
    client, sender = broker.connected(), broker.connected()
    client.subscribe(broker.topic("a"), broker.topic("b"), props=identifier(5))
    for name in "ab":
        sender.publish(broker.topic(name))
    assert [given(client.message()) for _ in range(2)] == [[5], [5]]


@v5("MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
def test_overlapping_subscriptions_bring_all_their_identifiers(broker):
    """In one message, or each in its own."""
    client = broker.connected()
    client.subscribe(broker.topic("a/b"), props=identifier(1))
    client.subscribe(broker.topic("a/+"), props=identifier(2))
    client.subscribe(broker.topic("#"), props=identifier(3))
    sender = broker.connected()
    sender.publish(broker.topic("a/b"))
    sender.publish(broker.topic("marker"))
    messages = client.messages_until(broker.topic("marker"))
    assert len(messages) in (1, 3)
    assert sorted(number for message in messages for number in given(message)) == [1, 2, 3]
    return sorted(given(message) for message in messages)


@v5("MQTT-3.3.4-4", "MQTT-3.3.4-5")
def test_overlapping_subscriptions_with_the_same_identifier(broker):
    client = broker.connected()
    client.subscribe(broker.topic("a/b"), broker.topic("a/+"), props=identifier(9))
    sender = broker.connected()
    sender.publish(broker.topic("a/b"))
    sender.publish(broker.topic("a/b"), b"end")
    seen = []
    while not seen or seen[-1][0] != b"end":
        message = client.message()
        seen.append((message.payload, given(message)))
    assert all(numbers and set(numbers) == {9} for _, numbers in seen)
    return seen


@v5("MQTT-3.3.4-5", "MQTT-3.3.4-3")
def test_a_subscription_with_and_one_without(broker):
    client = broker.connected()
    client.subscribe(broker.topic("a/b"), props=identifier(1))
    client.subscribe(broker.topic("a/+"))
    sender = broker.connected()
    sender.publish(broker.topic("a/b"))
    sender.publish(broker.topic("a/end"))
    messages = client.messages_until(broker.topic("a/end"))
    assert sorted(number for message in messages for number in given(message)) == [1]
    return sorted(given(message) for message in messages)


@pytest.mark.parametrize("after", (identifier(8), []), ids=("another", "none"))
@v5("MQTT-3.8.4-3", "MQTT-3.3.4-3")
def test_a_new_subscription_has_the_new_identifier(broker, after):
    client = broker.connected()
    client.subscribe(broker.topic("t"), props=identifier(7))
    client.subscribe(broker.topic("t"), props=after)
    broker.connected().publish(broker.topic("t"))
    assert given(client.message()) == [number for _, number in after]


@v5("MQTT-3.3.4-3", "MQTT-4.1.0-1")
def test_identifiers_are_kept_with_the_session(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1, props=identifier(77))
    client.disconnect()
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"away", qos=1)
    client = broker.connected(name, **session())
    assert given(client.message()) == [77]
    sender.publish(broker.topic("t"), b"back", qos=1)
    assert given(client.message()) == [77]


@v5("MQTT-3.3.4-3", "MQTT-3.3.1-9")
def test_retained_messages_have_the_identifier_of_the_subscription(broker):
    broker.connected().publish(broker.topic("t"), b"x", retain=True)
    client = broker.connected()
    client.subscribe(broker.topic("t"), props=identifier(33))
    assert given(client.message()) == [33]


@v5("MQTT-3.3.4-3", "MQTT-4.8.2-1")
def test_a_shared_subscription_may_have_one(broker):
    client = broker.connected()
    client.subscribe(f"$share/g/{broker.topic('t')}", props=identifier(11))
    broker.connected().publish(broker.topic("t"))
    assert given(client.message()) == [11]


@v5("MQTT-3.3.4-6")
def test_a_client_must_not_send_one_in_publish(broker):
    refuses(broker, raw.publish(V5, "a", props=identifier(1)), PROTOCOL, MALFORMED)


@pytest.mark.parametrize("encoded", (b"\x0b\x00", b"\x0b\x80\x80\x80\x80\x01", b"\x0b\x01\x0b\x02"),
                         ids=("0", "too large", "two"))
@v5("MQTT-4.13.1-1")
def test_an_illegal_identifier_is_refused(broker, encoded):
    body = b"\0\1" + raw.varint(len(encoded)) + encoded + raw.string("a") + b"\0"
    refuses(broker, raw.packet(raw.SUBSCRIBE, 2, body), PROTOCOL, MALFORMED, FILTER_INVALID)
