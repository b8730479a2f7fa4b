# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, sections 3.1.2.4 and 4.1: what a server keeps for a client, and for how long. What was in flight when the
connection broke is in test_v311_qos.py."""
import pytest

import raw
from harness import statement
from raw import V31, V311


def connect(broker, name, clean, **options):
    """(client, CONNACK)"""
    client = broker.client()
    return client, client.connect(name, clean=clean, **options)


# ---- session present ----

@statement("MQTT-3.2.2-1")
def test_a_clean_session_is_never_present(broker):
    name = broker.name()
    for clean in (True, False, True, True):
        client, answer = connect(broker, name, clean)
        assert not answer.session_present
        client.disconnect()


@statement("MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.2-4", "MQTT-3.1.4-3")
def test_a_kept_session_is_present(broker):
    name = broker.name()
    answers = []
    for _ in range(3):
        client, answer = connect(broker, name, False)
        answers.append(answer.body)
        client.disconnect()
    assert answers == [b"\0\0", b"\1\0", b"\1\0"]


@statement("MQTT-3.2.2-3", "MQTT-3.1.2-6")
def test_the_session_of_a_clean_connection_is_not_kept(broker):
    name = broker.name()
    client, _ = connect(broker, name, True)
    client.subscribe((broker.topic(), 1))
    client.disconnect()
    assert not connect(broker, name, False)[1].session_present


@statement("MQTT-3.1.2-6", "MQTT-3.2.2-3", "MQTT-3.1.4-3")
def test_a_clean_connection_discards_the_session_kept_before(broker):
    name = broker.name()
    for clean in (False, True):
        connect(broker, name, clean)[0].disconnect()
    assert not connect(broker, name, False)[1].session_present


@statement("MQTT-3.2.2-2", "MQTT-4.1.0-2")
def test_a_session_is_present_while_another_connection_holds_it(broker):
    name = broker.name()
    first, _ = connect(broker, name, False)
    second, answer = connect(broker, name, False)
    assert answer.session_present
    first.expect_closed()
    second.ping()


@statement("MQTT-3.2.2-2", "MQTT-3.1.2-4")
def test_a_session_is_present_after_the_connection_broke(broker):
    name = broker.name()
    observer = broker.subscribed()
    client, _ = connect(broker, name, False, will=broker.farewell())
    broker.gone(observer, client)
    assert connect(broker, name, False)[1].session_present


@statement("MQTT-3.2.2-3", "MQTT-3.1.3-2")
def test_sessions_of_different_clients_are_different(broker):
    names = [broker.name() for _ in range(3)]
    for name in names:
        client, answer = connect(broker, name, False)
        assert not answer.session_present
        client.subscribe((broker.topic(name), 1))
        client.disconnect()
    for name in names:
        broker.connected().publish(broker.topic(name), name, qos=1)
    for name in names:
        client, answer = connect(broker, name, False)
        assert answer.session_present
        assert client.message().payload == name.encode()
        broker.nothing_more(client)


# ---- subscriptions ----

@statement("MQTT-3.1.2-4", "MQTT-4.1.0-1", version=(V31, V311))
def test_subscriptions_are_kept(broker):
    name = broker.name()
    client, _ = connect(broker, name, False)
    client.subscribe((broker.topic("a"), 0), (broker.topic("b/+"), 1), (broker.topic("c/#"), 2), broker.topic("marker"))
    client.disconnect()
    client, _ = connect(broker, name, False)
    publisher = broker.connected()
    for topic in ("a", "b/x", "c/x/y", "d"):
        publisher.publish(broker.topic(topic), topic, qos=2)
    got = [(message.payload, message.qos) for message in broker.delivered(client)]
    assert got == [(b"a", 0), (b"b/x", 1), (b"c/x/y", 2)]


@statement("MQTT-3.1.2-4", "MQTT-3.10.4-2", version=(V31, V311))
def test_what_was_unsubscribed_stays_so(broker):
    name = broker.name()
    client, _ = connect(broker, name, False)
    client.subscribe((broker.topic("a"), 1), (broker.topic("b"), 1), (broker.topic("marker"), 1))
    client.unsubscribe(broker.topic("a"))
    client.disconnect()
    publisher = broker.connected()
    publisher.publish(broker.topic("a"), b"x", qos=1)
    publisher.publish(broker.topic("b"), b"x", qos=1)
    client, _ = connect(broker, name, False)
    assert [message.topic for message in broker.delivered(client)] == [broker.topic("b")]


@statement("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.1.2-4", version=(V31, V311))
def test_a_subscription_of_an_earlier_connection_can_be_unsubscribed(broker):
    name = broker.name()
    client, _ = connect(broker, name, False)
    client.subscribe(*[broker.topic(name) for name in ("a", "b/#", "c", "marker")], qos=1)
    client.disconnect()
    client, _ = connect(broker, name, False)
    client.unsubscribe(broker.topic("a"), broker.topic("b/#"))
    publisher = broker.connected()
    for topic in ("a", "b", "b/x", "c"):
        publisher.publish(broker.topic(topic), b"x", qos=1)
    assert [message.topic for message in broker.delivered(client)] == [broker.topic("c")]


@statement("MQTT-3.1.2-6", version=(V31, V311))
def test_a_clean_connection_has_none_of_the_subscriptions_before(broker):
    name = broker.name()
    client, _ = connect(broker, name, False)
    client.subscribe((broker.topic("t"), 1))
    client.disconnect()
    client, _ = connect(broker, name, True)
    client.subscribe(broker.topic("marker"))
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert broker.delivered(client) == []


@statement("MQTT-3.1.2-6", version=(V31, V311))
def test_subscriptions_of_a_clean_connection_end_with_it(broker):
    name = broker.name()
    client, _ = connect(broker, name, True)
    client.subscribe((broker.topic("t"), 1))
    client.disconnect()
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    client, _ = connect(broker, name, False)
    client.subscribe(broker.topic("marker"))
    assert broker.delivered(client) == []


@statement("MQTT-3.8.4-3", "MQTT-3.1.2-4", version=(V31, V311))
def test_a_subscription_is_replaced_in_a_resumed_session_too(broker):
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 0), broker.topic("marker"))
    client.disconnect()
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 2))
    broker.connected().publish(topic, b"x", qos=2)
    assert [message.qos for message in broker.delivered(client)] == [2]


# ---- messages for a client that is away ----

@pytest.mark.parametrize("leave", ("disconnect", "abort"))
@statement("MQTT-3.1.2-5", "MQTT-4.5.0-1", "MQTT-4.6.0-6", version=(V31, V311))
def test_messages_are_kept_for_a_client_that_is_away(broker, leave):
    name, topic = broker.name(), broker.topic("t")
    observer = broker.subscribed(broker.topic("farewell"))
    client, _ = connect(broker, name, False, will=broker.farewell())
    client.subscribe((topic, 2), (broker.topic("marker"), 2))
    if leave == "disconnect":
        client.disconnect()
    else:
        broker.gone(observer, client)
    publisher = broker.connected()
    for number in range(20):
        publisher.publish(topic, str(number), qos=1 + number % 2)
    client, _ = connect(broker, name, False)
    got = [(int(message.payload), message.qos, message.dup, message.retain) for message in broker.delivered(client)]
    assert got == [(number, 1 + number % 2, False, False) for number in range(20)]


@statement("MQTT-3.1.2-5", version=(V31, V311))
def test_more_messages_than_fit_in_flight_are_kept(broker):
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 1))
    client.disconnect()
    publisher = broker.connected()
    for number in range(150):
        publisher.publish(topic, str(number), qos=1)
    client, _ = connect(broker, name, False)
    assert [int(client.message().payload) for _ in range(150)] == list(range(150))


@statement("MQTT-3.1.2-5")
def test_qos_0_messages_for_a_client_that_is_away_are_treated_alike(broker):
    """A server may keep them (section 4.1), and need not."""
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 2), (broker.topic("marker"), 1))
    client.disconnect()
    publisher = broker.connected()
    publisher.publish(topic, b"zero", qos=0)
    publisher.publish(topic, b"one", qos=1)
    client, _ = connect(broker, name, False)
    payloads = [message.payload for message in broker.delivered(client)]
    assert b"one" in payloads
    return payloads


@statement("MQTT-3.1.2-5", "MQTT-3.8.4-6")
def test_messages_kept_have_the_qos_of_the_subscription(broker):
    name = broker.name()
    client, _ = connect(broker, name, False)
    client.subscribe((broker.topic("one"), 1), (broker.topic("two"), 2))
    client.disconnect()
    publisher = broker.connected()
    publisher.publish(broker.topic("one"), b"x", qos=2)
    publisher.publish(broker.topic("two"), b"x", qos=1)
    client, _ = connect(broker, name, False)
    assert [client.message().qos for _ in range(2)] == [1, 1]


@statement("MQTT-3.1.2-5", "MQTT-3.3.1-9", version=(V31, V311))
def test_a_retained_message_that_came_meanwhile_is_delivered_once(broker):
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 1), (broker.topic("marker"), 1))
    client.disconnect()
    broker.connected().publish(topic, b"kept", qos=1, retain=True)
    client, _ = connect(broker, name, False)
    messages = broker.delivered(client)
    assert [(message.payload, message.retain) for message in messages] == [(b"kept", False)]


@statement("MQTT-3.1.2-5", "MQTT-4.1.0-1")
def test_messages_kept_are_delivered_once(broker):
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 2))
    client.disconnect()
    broker.connected().publish(topic, b"x", qos=2)
    client, _ = connect(broker, name, False)
    message = client.message()
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    client.send(raw.ack(raw.PUBCOMP, broker.version, message.packet_id))
    client.ping()
    client.disconnect()
    client, _ = connect(broker, name, False)
    broker.nothing_more(client)


@statement("MQTT-4.1.0-2", "MQTT-3.1.2-6")
def test_a_clean_session_lasts_as_long_as_its_connection(broker):
    client = broker.subscribed(qos=1)
    publisher = broker.connected()
    for number in range(5):
        publisher.publish(broker.topic(), str(number), qos=1)
        assert client.message().payload == str(number).encode()


@statement("MQTT-3.1.2-4", "MQTT-3.2.0-1", version=(V31, V311))
def test_connack_comes_before_what_was_kept(broker):
    name, topic = broker.name(), broker.topic("t")
    client, _ = connect(broker, name, False)
    client.subscribe((topic, 1))
    client.disconnect()
    broker.connected().publish(topic, b"kept", qos=1)
    client = broker.client()
    client.send(raw.connect(broker.version, name, clean=False) + raw.pingreq())
    client.expect(raw.CONNACK)
    assert {client.receive().name for _ in range(2)} == {"PUBLISH", "PINGRESP"}
