# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, section 3.3.1.3: retained messages."""
import pytest

import raw
from harness import statement
from raw import V31, V311


def kept(broker, *filters, qos=2):
    """What a new subscriber gets at once: (topic, payload, QoS, retain)."""
    subscriber = broker.subscribed(*((*filters, broker.topic("marker")) if filters else ()), qos=qos)
    return [(message.topic, message.payload, message.qos, message.retain) for message in broker.delivered(subscriber)]


@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8", version=(V31, V311))
def test_a_retained_message_is_kept_for_later_subscribers(broker, qos):
    topic = broker.topic()
    publisher = broker.connected()
    publisher.publish(topic, b"kept", qos=qos, retain=True)
    publisher.ping()
    for granted in range(3):
        assert kept(broker, topic, qos=granted) == [(topic, b"kept", min(qos, granted), True)]


@statement("MQTT-3.3.1-9", version=(V31, V311))
def test_an_established_subscription_gets_it_without_the_flag(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for qos in range(3):
        publisher.publish(broker.topic(str(qos)), b"x", qos=qos, retain=True)
    messages = broker.delivered(subscriber, publisher)
    assert [(message.qos, message.retain) for message in messages] == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize("first", (0, 1, 2))
@pytest.mark.parametrize("second", (0, 1, 2))
@statement("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", version=(V31, V311))
def test_the_last_retained_message_of_a_topic_replaces_the_one_before(broker, first, second):
    """[MQTT-3.3.1-7] lets a server forget a retained QoS 0 message, but not keep the one before it."""
    topic = broker.topic()
    publisher = broker.connected()
    publisher.publish(topic, b"old", qos=first, retain=True)
    publisher.publish(topic, b"new", qos=second, retain=True)
    publisher.ping()
    assert kept(broker, topic) == [(topic, b"new", second, True)]


@statement("MQTT-3.3.1-12", version=(V31, V311))
def test_a_message_without_the_flag_leaves_the_retained_one(broker):
    topic = broker.topic()
    publisher = broker.connected()
    publisher.publish(topic, b"kept", qos=1, retain=True)
    for qos in range(3):
        publisher.publish(topic, b"passing", qos=qos)
        publisher.publish(topic, b"", qos=qos)
    publisher.ping()
    assert kept(broker, topic) == [(topic, b"kept", 1, True)]


@statement("MQTT-3.3.1-12")
def test_a_message_without_the_flag_is_not_kept(broker):
    publisher = broker.connected()
    for qos in range(3):
        publisher.publish(broker.topic(str(qos)), b"x", qos=qos)
    publisher.ping()
    assert kept(broker) == []


@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-3.3.1-10", "MQTT-3.3.1-11", version=(V31, V311))
def test_an_empty_retained_message_deletes_and_is_delivered_as_any_other(broker, qos):
    topic = broker.topic()
    publisher = broker.connected()
    publisher.publish(topic, b"kept", qos=1, retain=True)
    subscriber = broker.subscribed(qos=2)
    assert subscriber.message().retain
    publisher.publish(topic, b"", qos=qos, retain=True)
    publisher.ping()
    message = subscriber.message()
    assert (message.topic, message.payload, message.qos, message.retain) == (topic, b"", qos, False)
    assert kept(broker) == []


@statement("MQTT-3.3.1-11")
def test_an_empty_retained_message_without_one_before_is_not_kept(broker):
    broker.connected().publish(broker.topic(), b"", qos=1, retain=True)
    assert kept(broker) == []


@statement("MQTT-3.3.1-6", "MQTT-4.7.1-2", "MQTT-4.7.1-3", version=(V31, V311))
def test_a_filter_with_wildcards_brings_all_that_match(broker):
    publisher = broker.connected()
    for name in ("a", "a/b", "a/c", "a/b/c", "b", "/", "a/"):
        publisher.publish(broker.topic(name), name, qos=1, retain=True)

    def payloads(suffix):
        return sorted(payload.decode() for _, payload, _, _ in kept(broker, broker.topic(suffix)))

    assert payloads("a") == ["a"]
    assert payloads("a/#") == ["a", "a/", "a/b", "a/b/c", "a/c"]
    assert payloads("a/+") == ["a/", "a/b", "a/c"]
    assert payloads("+/b") == ["a/b"]
    assert payloads("+") == ["a", "b"]
    assert payloads("+/+") == ["/", "a/", "a/b", "a/c"]
    assert payloads("nothing") == []


@statement("MQTT-3.3.1-6", "MQTT-3.8.4-4")
def test_each_filter_of_a_subscribe_brings_its_retained_messages(broker):
    publisher = broker.connected()
    for name in "abc":
        publisher.publish(broker.topic(name), name, qos=1, retain=True)
    messages = kept(broker, broker.topic("a"), broker.topic("b"), broker.topic("nothing"))
    assert sorted(payload for _, payload, _, _ in messages) == [b"a", b"b"]


@statement("MQTT-3.3.1-6", "MQTT-3.8.4-3", version=(V31, V311))
def test_subscribing_again_brings_retained_messages_again(broker):
    topic = broker.topic()
    broker.connected().publish(topic, b"kept", qos=1, retain=True)
    client = broker.connected()
    for _ in range(3):
        client.subscribe(topic, qos=1)
        message = client.message()
        assert (message.payload, message.retain, message.dup) == (b"kept", True, False)


@statement("MQTT-3.1.2-7", version=(V31, V311))
def test_retained_messages_outlive_the_session_of_their_publisher(broker):
    topic = broker.topic()
    name = broker.name()
    broker.connected(name, clean=False).publish(topic, b"kept", qos=1, retain=True)
    broker.connected(name, clean=True).disconnect()
    assert kept(broker, topic) == [(topic, b"kept", 1, True)]


@statement("MQTT-3.3.1-6")
def test_a_resumed_session_does_not_bring_retained_messages_again(broker):
    """No new subscription is established by it."""
    topic, name = broker.topic(), broker.name()
    broker.connected().publish(topic, b"kept", qos=1, retain=True)
    client = broker.subscribed(topic, broker.topic("marker"), qos=1, client_id=name, clean=False)
    assert client.message().payload == b"kept"
    client.ping()
    client.disconnect()
    client = broker.connected(name, clean=False)
    assert broker.delivered(client) == []


@statement("MQTT-3.3.1-5")
def test_retained_messages_of_many_topics_are_kept_each(broker):
    publisher = broker.connected()
    for number in range(200):
        publisher.publish(broker.topic(f"t{number}"), str(number), qos=1, retain=True)
    assert sorted(int(payload) for _, payload, _, _ in kept(broker)) == list(range(200))


@pytest.mark.parametrize("size", (1, 65536, 262144))
@statement("MQTT-3.3.1-5")
def test_retained_messages_of_any_size_are_kept(broker, size):
    topic = broker.topic()
    broker.connected().publish(topic, b"r" * size, qos=1, retain=True)
    assert kept(broker, topic) == [(topic, b"r" * size, 1, True)]


@statement("MQTT-3.3.1-3", "MQTT-3.3.1-8")
def test_a_retained_message_is_delivered_without_the_dup_flag_of_its_publisher(broker):
    topic = broker.topic()
    broker.connected().publish(topic, b"kept", qos=1, retain=True, dup=True)
    subscriber = broker.subscribed(topic, qos=1)
    message = subscriber.message()
    assert (message.retain, message.dup) == (True, False)


@statement("MQTT-3.3.1-5", version=(V31, V311))
def test_a_retained_qos_2_message_counts_when_it_is_released(broker):
    topic = broker.topic()
    publisher = broker.connected()
    publisher.send(raw.publish(broker.version, topic, b"kept", qos=2, retain=True, packet_id=1))
    publisher.expect(raw.PUBREC, packet_id=1)
    publisher.send(raw.ack(raw.PUBREL, broker.version, 1))
    publisher.expect(raw.PUBCOMP, packet_id=1)
    assert kept(broker, topic) == [(topic, b"kept", 2, True)]
