# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.3.2.3.4: topic aliases, the client's and the server's."""
import pytest

import raw
from raw import V5
from v5 import ALIAS_INVALID, MALFORMED, PROTOCOL, TOPIC_INVALID, refused, refuses, session, v5


def alias(number):
    return [(raw.TOPIC_ALIAS, number)]


def allowed(broker, **options):
    """A connected client and the server's Topic Alias Maximum."""
    client = broker.client()
    return client, client.connect(broker.name(), **options).prop(raw.TOPIC_ALIAS_MAXIMUM, 0)


def received(broker, subscriber, *senders):
    return [(message.topic, message.payload) for message in broker.delivered(subscriber, *senders)]


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.3.2-12")
def test_every_alias_up_to_the_maximum_is_taken(broker, qos):
    subscriber = broker.subscribed(qos=qos)
    client, maximum = allowed(broker)
    assert maximum > 0, "the servers under test offer aliases"
    numbers = sorted({1, 2, maximum // 2 or 1, maximum})
    for number in numbers:
        client.publish(broker.topic(str(number)), b"define", qos=qos, props=alias(number))
    for number in numbers:
        client.publish("", b"use", qos=qos, props=alias(number))
    assert received(broker, subscriber, client) == [(broker.topic(str(number)), payload)
                                                    for payload in (b"define", b"use") for number in numbers]


@v5("MQTT-3.3.2-12")
def test_an_alias_may_be_used_again_and_again_beside_full_topics(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.publish(broker.topic("a"), b"1", props=alias(1))
    client.publish("", b"2", props=alias(1))
    client.publish(broker.topic("b"), b"3")
    client.publish(broker.topic("a"), b"4")
    client.publish("", b"5", props=alias(1))
    assert [payload for _, payload in received(broker, subscriber, client)] == [b"1", b"2", b"3", b"4", b"5"]


@v5("MQTT-3.3.2-12")
def test_an_alias_may_be_given_another_topic(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    for topic, payload in (("a", b"1"), ("", b"2"), ("b", b"3"), ("", b"4"), ("a", b"5"), ("", b"6")):
        client.publish(topic and broker.topic(topic), payload, props=alias(2))
    assert [topic[-1] for topic, _ in received(broker, subscriber, client)] == list("aabbaa")


@v5("MQTT-3.3.2-12")
def test_two_aliases_may_stand_for_one_topic(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    for topic, number in ((broker.topic("a"), 1), (broker.topic("a"), 2), ("", 1), ("", 2)):
        client.publish(topic, b"x", props=alias(number))
    assert received(broker, subscriber, client) == [(broker.topic("a"), b"x")] * 4


@v5("MQTT-3.3.2-7")
def test_clients_have_their_own_aliases(broker):
    subscriber = broker.subscribed()
    first, second = broker.connected(), broker.connected()
    first.publish(broker.topic("first"), props=alias(1))
    second.publish(broker.topic("second"), props=alias(1))
    first.publish("", props=alias(1))
    second.publish("", props=alias(1))
    topics = sorted(topic for topic, _ in received(broker, subscriber, first, second))
    assert topics == [broker.topic("first")] * 2 + [broker.topic("second")] * 2


@v5("MQTT-3.3.2-7")
def test_a_new_connection_knows_no_aliases(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    client = broker.connected(name, **session())
    client.publish(broker.topic("t"), b"1", qos=1, props=alias(1))
    client.disconnect()
    client = broker.connected(name, **session())
    client.send(raw.publish(V5, "", b"2", props=alias(1)))
    refused(broker, client, ALIAS_INVALID, PROTOCOL, MALFORMED, TOPIC_INVALID)
    assert received(broker, subscriber) == [(broker.topic("t"), b"1")]


@v5("MQTT-3.3.2-7")
def test_a_new_connection_may_define_them_anew(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    for topic in ("a", "b"):
        client = broker.connected(name, **session())
        client.publish(broker.topic(topic), qos=1, props=alias(1))
        client.publish("", qos=1, props=alias(1))
        client.disconnect()
    assert [topic[-1] for topic, _ in received(broker, subscriber)] == list("aabb")


@pytest.mark.parametrize("topic", ("", "a"), ids=("alone", "with a topic"))
@v5("MQTT-3.3.2-8")
def test_alias_0_is_refused(broker, topic):
    refuses(broker, raw.publish(V5, topic, props=alias(0)), ALIAS_INVALID, PROTOCOL, MALFORMED, TOPIC_INVALID)


@pytest.mark.parametrize("beyond", (1, 65535), ids=("maximum + 1", "65535"))
@v5("MQTT-3.3.2-9", "MQTT-3.2.2-17")
def test_an_alias_above_the_maximum_is_refused(broker, beyond):
    client, maximum = allowed(broker)
    client.send(raw.publish(V5, broker.topic("t"), props=alias(min(maximum + beyond, 65535))))
    return refused(broker, client, ALIAS_INVALID, PROTOCOL)


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-4.13.1-1", "MQTT-4.7.3-1")
def test_an_unknown_alias_is_refused(broker, qos):
    refuses(broker, raw.publish(V5, "", qos=qos, packet_id=1 if qos else None, props=alias(3)), ALIAS_INVALID, PROTOCOL,
            MALFORMED, TOPIC_INVALID)


# ---- the server's ----

@v5("MQTT-3.1.2-27")
def test_a_client_that_allows_none_gets_none(broker):
    sender = broker.connected()
    for props in ((), [(raw.TOPIC_ALIAS_MAXIMUM, 0)]):
        subscriber = broker.connected(props=props)
        subscriber.subscribe(broker.topic("t"))
        for _ in range(5):
            sender.publish(broker.topic("t"), b"x")
        messages = [subscriber.message() for _ in range(5)]
        assert all(message.topic == broker.topic("t") and message.prop(raw.TOPIC_ALIAS) is None for message in messages)


@pytest.mark.parametrize("maximum", (1, 2, 65535))
@v5("MQTT-3.1.2-26", "MQTT-3.3.2-11", "MQTT-3.3.2-10", "MQTT-3.3.2-8")
def test_a_client_that_allows_some_can_resolve_what_it_gets(broker, maximum):
    sender = broker.connected()
    subscriber = broker.subscribed(broker.topic("+"), props=[(raw.TOPIC_ALIAS_MAXIMUM, maximum)])
    topics = [broker.topic(name) for name in "abcabcaabbcc"]
    for topic in topics:
        sender.publish(topic)
    known, got = {}, []
    for _ in topics:
        message = subscriber.message()
        number = message.prop(raw.TOPIC_ALIAS)
        if number is not None:
            assert 1 <= number <= maximum
            known[number] = message.topic or known[number]
        got.append(message.topic or known[number])
    assert got == topics
