# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.3: PUBLISH, its flags, its topic and retained messages."""
import pytest

import raw
from raw import V5
from v5 import (AS_PUBLISHED, FILTER_INVALID, MALFORMED, NEVER, ONLY_NEW, PROTOCOL, QOS_UNSUPPORTED, TOPIC_INVALID,
                refuses, summary, v5)

# ---- flags ----


@v5("MQTT-3.3.1-4")
def test_qos_3_is_refused(broker):
    refuses(broker, raw.packet(raw.PUBLISH, 6, raw.string("a") + b"\0\1\0"), MALFORMED, PROTOCOL, QOS_UNSUPPORTED)


@v5("MQTT-3.3.1-2", "MQTT-4.3.1-1")
def test_dup_with_qos_0_is_refused(broker):
    refuses(broker, raw.publish(V5, "a", dup=True), MALFORMED, PROTOCOL)


@pytest.mark.parametrize("qos", (1, 2))
@v5("MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2")
def test_dup_does_not_pass_on(broker, qos):
    subscriber = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=qos, dup=True)
    message = subscriber.message()
    assert not message.dup and message.qos == qos


@pytest.mark.parametrize("granted", range(3))
@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.8.4-8", "MQTT-3.3.4-1", "MQTT-3.3.1-2", "MQTT-4.3.1-1")
def test_the_lower_qos_counts(broker, qos, granted):
    subscriber = broker.subscribed(qos=granted)
    broker.connected().publish(broker.topic("t"), b"x", qos=qos)
    message = subscriber.message()
    assert message.qos == min(qos, granted) and not message.dup and bool(message.packet_id) == bool(message.qos)


@v5("MQTT-3.3.4-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8")
def test_all_three_qos_on_one_connection(broker):
    client = broker.subscribed(qos=2)
    for qos in range(3):
        client.send(raw.publish(V5, broker.topic("t"), str(qos), qos=qos, packet_id=qos or None))
    got, acked = [], set()
    while len(got) < 3 or acked != {"PUBACK", "PUBREC", "PUBCOMP"}:
        packet = client.receive()
        if packet.type == raw.PUBLISH:
            got.append((packet.payload, packet.qos))
            client.acknowledge(packet)
        elif packet.type == raw.PUBREL:
            client.send(raw.ack(raw.PUBCOMP, V5, packet.packet_id))
        else:
            acked.add(packet.name)
            if packet.type == raw.PUBREC:
                client.send(raw.ack(raw.PUBREL, V5, packet.packet_id))
    assert sorted(got) == [(b"0", 0), (b"1", 1), (b"2", 2)]


# ---- the topic ----

@pytest.mark.parametrize("topic", ("#", "+", "a/#", "a/+/b", "a#", "a+b", "/+"))
@v5("MQTT-3.3.2-2", "MQTT-4.7.0-1")
def test_wildcards_in_a_topic_name_are_refused(broker, topic):
    refuses(broker, raw.publish(V5, topic), MALFORMED, PROTOCOL, TOPIC_INVALID)


@v5("MQTT-4.7.3-1", "MQTT-3.3.2-1")
def test_an_empty_topic_without_alias_is_refused(broker):
    refuses(broker, raw.publish(V5, ""), MALFORMED, PROTOCOL, TOPIC_INVALID)


@v5("MQTT-3.3.2-3", "MQTT-3.3.2-1")
def test_the_topic_of_a_delivery_is_that_of_the_message(broker):
    subscriber = broker.connected()
    subscriber.subscribe(broker.topic("+/x/#"))
    sender = broker.connected()
    topics = [broker.topic(name) for name in ("a/x", "b/x", "a/x/y", "a/x/y/z")]
    for topic in [*topics, broker.topic("a/y"), broker.topic("x")]:
        sender.publish(topic)
    sender.publish(broker.topic("end/x"))
    assert [message.topic for message in subscriber.messages_until(broker.topic("end/x"))] == topics


@pytest.mark.parametrize("payload", (b"", b"\0", b"\xff" * 10, bytes(range(256)), b"x" * 70000),
                         ids=("empty", "zero", "ff", "all", "long"))
@v5("MQTT-3.3.4-1")
def test_a_payload_is_any_bytes(broker, payload):
    subscriber = broker.subscribed(qos=1)
    broker.connected().publish(broker.topic("t"), payload, qos=1)
    assert subscriber.message().payload == payload


@v5("MQTT-3.3.4-1")
def test_a_sender_may_be_its_own_receiver(broker):
    client = broker.subscribed(qos=0)
    client.publish(broker.topic("t"), b"x")
    assert client.message().payload == b"x"


# ---- retained messages ----

def retained(broker, *filters, qos=0, **options):
    """What a new subscriber gets at once."""
    subscriber = broker.subscribed(*filters, qos=qos, **options)
    subscriber.send(raw.pingreq())
    found = []
    while True:
        packet = subscriber.receive()
        if packet.type == raw.PINGRESP:
            return sorted(found, key=lambda message: message.topic)
        if packet.type == raw.PUBLISH:
            found.append(packet)
            subscriber.acknowledge(packet)


@v5("MQTT-3.3.1-5", "MQTT-3.3.1-9")
def test_a_retained_message_reaches_later_subscribers(broker):
    sender = broker.connected()
    pairs = [(raw.USER_PROPERTY, ("a", "2")), (raw.USER_PROPERTY, ("c", "3"))]
    for qos in range(3):
        sender.publish(broker.topic(f"qos{qos}"), str(qos), qos=qos, retain=True, props=pairs)
    found = retained(broker, broker.topic("+"), qos=2)
    assert [(message.payload, message.qos, message.retain) for message in found] \
        == [(b"0", 0, True), (b"1", 1, True), (b"2", 2, True)]
    assert all(message.properties == pairs for message in found)


@v5("MQTT-3.3.1-5")
def test_a_new_retained_message_replaces_the_old_one(broker):
    sender = broker.connected()
    for qos, payload in ((1, b"old"), (0, b"new"), (2, b"newest")):
        sender.publish(broker.topic("t"), payload, qos=qos, retain=True)
    assert [summary(message)[:3] for message in retained(broker, qos=1)] == [(b"newest", 1, True)]


@v5("MQTT-3.3.1-6", "MQTT-3.3.1-7")
def test_an_empty_retained_message_deletes_and_is_not_kept(broker):
    current = broker.subscribed()
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"x", retain=True)
    sender.publish(broker.topic("other"), b"x", retain=True)
    sender.publish(broker.topic("t"), b"", retain=True, qos=1)
    assert [message.payload for message in broker.delivered(current, sender)] == [b"x", b"x", b""]
    assert [message.topic for message in retained(broker)] == [broker.topic("other")]


@v5("MQTT-3.3.1-6")
def test_deleting_what_is_not_there_is_harmless(broker):
    subscriber = broker.subscribed()
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"", retain=True, qos=1)
    assert [message.payload for message in broker.delivered(subscriber)] == [b""]
    assert retained(broker) == []


@v5("MQTT-3.3.1-8")
def test_a_plain_message_leaves_the_retained_one_alone(broker):
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"kept", retain=True)
    sender.publish(broker.topic("t"), b"plain")
    sender.publish(broker.topic("t"), b"")
    sender.publish(broker.topic("never"), b"plain", qos=1)
    assert [message.payload for message in retained(broker)] == [b"kept"]


@v5("MQTT-3.3.1-12")
def test_a_current_subscriber_gets_it_without_the_flag(broker):
    subscriber = broker.subscribed()
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"x", retain=True)
    assert not subscriber.message().retain


@v5("MQTT-3.3.1-13")
def test_retain_as_published_keeps_the_flag(broker):
    subscriber = broker.connected()
    subscriber.subscribe((broker.topic("#"), AS_PUBLISHED))
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"1", retain=True)
    sender.publish(broker.topic("t"), b"0")
    messages = [subscriber.message() for _ in range(2)]
    assert [(message.payload, message.retain) for message in messages] == [(b"1", True), (b"0", False)]


@v5("MQTT-3.3.1-12", "MQTT-3.3.1-13")
def test_retain_as_published_is_of_each_subscription(broker):
    plain, kept = broker.connected(), broker.connected()
    plain.subscribe((broker.topic("t"), 0))
    kept.subscribe((broker.topic("t"), AS_PUBLISHED))
    broker.connected().publish(broker.topic("t"), b"x", retain=True)
    assert (plain.message().retain, kept.message().retain) == (False, True)
    late = broker.connected()
    late.subscribe((broker.topic("t"), 0))
    assert late.message().retain, "a retained message sent for a new subscription has the flag in any case"


# ---- retain handling ----

def at_once(broker, client, filter_, options):
    """Payloads of the retained messages that a SUBSCRIBE brings, and nothing else."""
    client.send(raw.subscribe(V5, next(client.identifiers), [(filter_, options)]) + raw.pingreq())
    found, kinds = [], set()
    while raw.PINGRESP not in kinds:
        packet = client.receive()
        kinds.add(packet.type)
        if packet.type == raw.PUBLISH:
            assert packet.retain
            found.append(packet.payload)
    assert kinds <= {raw.SUBACK, raw.PINGRESP, raw.PUBLISH}
    return sorted(found)


THREE = [b"0", b"1", b"2"]


def store(broker):
    sender = broker.connected()
    for qos in range(3):
        sender.publish(broker.topic(f"r/{qos}"), str(qos), qos=qos, retain=True)


@v5("MQTT-3.3.1-9", "MQTT-3.8.4-4")
def test_retain_handling_0_sends_them_each_time(broker):
    store(broker)
    client = broker.connected()
    assert [at_once(broker, client, broker.topic("r/+"), 0) for _ in range(2)] == [THREE, THREE]


@v5("MQTT-3.3.1-10")
def test_retain_handling_1_sends_them_to_new_subscriptions_only(broker):
    store(broker)
    client = broker.connected()
    assert at_once(broker, client, broker.topic("r/+"), ONLY_NEW) == THREE
    assert at_once(broker, client, broker.topic("r/+"), ONLY_NEW) == []
    assert at_once(broker, client, broker.topic("r/#"), ONLY_NEW) == THREE, "another filter is a new subscription"
    client.unsubscribe(broker.topic("r/+"))
    assert at_once(broker, client, broker.topic("r/+"), ONLY_NEW) == THREE, "after UNSUBSCRIBE it is new again"


@v5("MQTT-3.3.1-11")
def test_retain_handling_2_sends_none(broker):
    store(broker)
    client = broker.connected()
    assert [at_once(broker, client, broker.topic("r/+"), NEVER) for _ in range(2)] == [[], []]
    broker.connected().publish(broker.topic("r/0"), b"new", retain=True)
    assert client.message().payload == b"new"


@v5("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
def test_retain_handling_is_of_each_filter(broker):
    store(broker)
    client = broker.connected()
    client.send(raw.subscribe(V5, 1, [(broker.topic("r/0"), 0), (broker.topic("r/1"), NEVER),
                                      (broker.topic("r/2"), ONLY_NEW)]) + raw.pingreq())
    found = []
    while True:
        packet = client.receive()
        if packet.type == raw.PINGRESP:
            break
        if packet.type == raw.PUBLISH:
            found.append(packet.payload)
    assert sorted(found) == [b"0", b"2"]


@v5("MQTT-4.13.1-1")
def test_retain_handling_3_is_a_protocol_error(broker):
    refuses(broker, raw.subscribe(V5, 1, [("a", 0x30)]), PROTOCOL, MALFORMED, FILTER_INVALID)


@v5("MQTT-3.3.1-5", "MQTT-4.7.2-1")
def test_retained_messages_are_found_by_wildcards_as_live_ones_are(broker):
    sender = broker.connected()
    for topic in ("a", "a/b", "a/b/c", "/a", "b//c"):
        sender.publish(broker.topic(topic), topic, retain=True, qos=1)
    expected = {"#": {"a", "a/b", "a/b/c", "/a", "b//c"}, "+": {"a"}, "a/#": {"a", "a/b", "a/b/c"}, "a/+": {"a/b"},
                "+/b": {"a/b"}, "/+": {"/a"}, "+/a": {"/a"}, "b/+/c": {"b//c"}, "+/+/c": {"a/b/c", "b//c"},
                "a/b/c": {"a/b/c"}, "b/#": {"b//c"}}
    for filter_, payloads in expected.items():
        assert {message.payload.decode() for message in retained(broker, broker.topic(filter_))} == payloads, filter_


@v5("MQTT-3.3.1-9", "MQTT-3.8.4-8")
def test_a_retained_message_has_the_lower_qos(broker):
    broker.connected().publish(broker.topic("t"), b"x", retain=True, qos=2)
    assert [retained(broker, qos=qos)[0].qos for qos in range(3)] == [0, 1, 2]
