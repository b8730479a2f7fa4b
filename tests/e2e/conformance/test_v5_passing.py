# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.3.2.3: what a message's properties mean on the way from a sender to a subscriber."""
import pytest

import raw
from raw import V5
from v5 import AS_PUBLISHED, let_pass, pubrec, session, spoken, v5

EXPIRY = raw.MESSAGE_EXPIRY_INTERVAL


def passes(broker, *properties, qos=1, payload=b"x"):
    """Publishes with these properties; returns the message that a subscriber gets."""
    subscriber = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic("t"), payload, qos=qos, props=properties)
    return subscriber.message()


@pytest.mark.parametrize("qos", range(3))
@pytest.mark.parametrize("value", (0, 1))
@v5("MQTT-3.3.2-4", "MQTT-3.3.2-20")
def test_payload_format_and_content_type_pass_unaltered(broker, qos, value):
    given = ((raw.PAYLOAD_FORMAT_INDICATOR, value), (raw.CONTENT_TYPE, "My name"))
    message = passes(broker, *given, qos=qos, payload="水")
    assert message.prop(raw.PAYLOAD_FORMAT_INDICATOR, 0) == value and message.prop(raw.CONTENT_TYPE) == "My name"
    return spoken(message)


@pytest.mark.parametrize("given", ("answers/1", "a/b//c/", "/", "水"), ids=ascii)
@v5("MQTT-3.3.2-15", "MQTT-3.3.2-13")
def test_the_response_topic_passes_unaltered(broker, given):
    assert passes(broker, (raw.RESPONSE_TOPIC, given)).prop(raw.RESPONSE_TOPIC) == given


@pytest.mark.parametrize("given", (b"", b"\0", b"\xff\xfe\0", b"x" * 5000), ids=("empty", "zero", "binary", "long"))
@v5("MQTT-3.3.2-16")
def test_correlation_data_pass_unaltered(broker, given):
    assert passes(broker, (raw.CORRELATION_DATA, given)).prop(raw.CORRELATION_DATA) == given


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.3.2-17", "MQTT-3.3.2-18")
def test_user_properties_pass_in_order_with_repetitions(broker, qos):
    pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("b", "0"), ("", ""), ("ä", "水"), ("a", "")]
    message = passes(broker, *((raw.USER_PROPERTY, pair) for pair in pairs), qos=qos)
    assert message.props(raw.USER_PROPERTY) == pairs


@v5("MQTT-3.3.2-17", "MQTT-3.3.2-18")
def test_many_user_properties_pass(broker):
    pairs = [(f"name {number % 7}", "v" * number) for number in range(200)]
    assert passes(broker, *((raw.USER_PROPERTY, pair) for pair in pairs)).props(raw.USER_PROPERTY) == pairs


@v5("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-20")
def test_all_properties_pass_to_all_subscribers(broker):
    """Also to those that come later, by a retained message, and to those whose session waits."""
    given = [(raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.CONTENT_TYPE, "text"), (raw.RESPONSE_TOPIC, "r"),
             (raw.CORRELATION_DATA, b"c"), (raw.USER_PROPERTY, ("n", "v")), (raw.USER_PROPERTY, ("a", "b"))]
    name = broker.name()
    broker.subscribed(qos=1, client_id=name, **session()).disconnect()
    current = [broker.subscribed(qos=qos) for qos in range(3)]
    broker.connected().publish(broker.topic("t"), b"x", qos=2, retain=True, props=given)
    others = [broker.subscribed(qos=2), broker.connected(name, **session())]
    messages = [subscriber.message() for subscriber in current + others]
    assert [spoken(message) for message in messages] == [sorted(given)] * 5


@v5("MQTT-3.3.2-17")
def test_properties_are_lost_on_older_versions_and_nothing_else(broker):
    older = broker.client(raw.V311)
    older.connect(broker.name())
    older.subscribe(broker.topic("t"), qos=1)
    newer = broker.subscribed(qos=1)
    broker.connected().publish(broker.topic("t"), b"x", qos=1,
                               props=[(raw.CONTENT_TYPE, "text"), (raw.USER_PROPERTY, ("a", "b"))])
    message = older.message()
    assert (message.topic, message.payload, message.qos) == (broker.topic("t"), b"x", 1)
    assert newer.message().prop(raw.CONTENT_TYPE) == "text"
    older.unsubscribe(broker.topic("t"))
    older.publish(broker.topic("t"), b"y", qos=1)
    assert newer.message().properties == []


@v5("MQTT-3.3.2-15", "MQTT-3.3.2-16")
def test_request_and_response(broker):
    """Section 4.10, with both sides as clients."""
    responder = broker.connected()
    responder.subscribe(broker.topic("requests"), qos=1)
    requester = broker.connected()
    requester.subscribe(broker.topic("answers"), qos=1)
    requester.publish(broker.topic("requests"), b"?", qos=1,
                      props=[(raw.RESPONSE_TOPIC, broker.topic("answers")), (raw.CORRELATION_DATA, b"\x01\x02")])
    request = responder.message()
    responder.publish(request.prop(raw.RESPONSE_TOPIC), b"!", qos=1,
                      props=[(raw.CORRELATION_DATA, request.prop(raw.CORRELATION_DATA))])
    answer = requester.message()
    assert (answer.payload, answer.prop(raw.CORRELATION_DATA)) == (b"!", b"\x01\x02")


# ---- expiry ----

@v5("MQTT-3.3.2-6")
def test_what_is_delivered_at_once_has_its_whole_expiry(broker):
    assert passes(broker, (EXPIRY, 60)).prop(EXPIRY) == 60
    assert passes(broker, (EXPIRY, 0xFFFFFFFF)).prop(EXPIRY) == 0xFFFFFFFF
    assert passes(broker).prop(EXPIRY) is None


@v5("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_messages_that_wait_grow_old_and_expire(broker):
    """A session away, and a retained message: after two seconds, 1 has expired and of 60 the time is subtracted."""
    name = broker.name()
    broker.subscribed(broker.topic("queue/#"), qos=2, client_id=name, **session()).disconnect()
    sender = broker.connected()
    for qos in (1, 2):
        for seconds in (1, 60):
            sender.publish(broker.topic(f"queue/{qos}"), f"{qos} {seconds}", qos=qos, props=[(EXPIRY, seconds)])
    sender.publish(broker.topic("queue/1"), b"1 forever", qos=1)
    sender.publish(broker.topic("kept/1"), b"kept 1", qos=1, retain=True, props=[(EXPIRY, 1)])
    sender.publish(broker.topic("kept/60"), b"kept 60", qos=1, retain=True, props=[(EXPIRY, 60)])
    let_pass(2.2)
    client = broker.connected(name, **session())
    messages = [client.message() for _ in range(3)]
    assert sorted(message.payload for message in messages) == [b"1 60", b"1 forever", b"2 60"]
    assert [message.prop(EXPIRY) is None for message in messages if message.payload == b"1 forever"] == [True]
    assert all(50 <= message.prop(EXPIRY) <= 58 for message in messages if message.payload != b"1 forever")
    late = broker.subscribed(broker.topic("kept/#"), qos=1)
    message = late.message()
    assert message.payload == b"kept 60" and 50 <= message.prop(EXPIRY) <= 58
    broker.nothing_more(late)


@v5("MQTT-4.3.3-7", "MQTT-4.3.3-13", "MQTT-4.4.0-1")
def test_expiry_does_not_end_a_delivery_that_has_begun(broker):
    """The PUBLISH of QoS 2 was sent, to one of them also PUBREL: what comes next is owed, though the time is over."""
    sent, released = broker.name(), broker.name()
    clients = {name: broker.subscribed(qos=2, client_id=name, **session()) for name in (sent, released)}
    broker.connected().publish(broker.topic("t"), b"begun", qos=2, props=[(EXPIRY, 4)])
    first = clients[sent].message(acknowledge=False)
    other = clients[released].message(acknowledge=False)
    pubrec(clients[released], other)
    clients[released].expect(raw.PUBREL, packet_id=other.packet_id)
    for client in clients.values():
        client.reset()
    let_pass(6)
    again = broker.connected(sent, **session()).message(timeout=1)
    assert (again.payload, again.packet_id, again.dup) == (b"begun", first.packet_id, True)
    broker.connected(released, **session()).expect(raw.PUBREL, timeout=1, packet_id=other.packet_id)


@v5("MQTT-4.3.3-13")
def test_a_senders_qos_2_flow_outlives_the_expiry(broker):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("t"), b"x", qos=2, packet_id=3, props=[(EXPIRY, 1)]))
    client.expect(raw.PUBREC, packet_id=3)
    let_pass(2.2)
    client.send(raw.ack(raw.PUBREL, V5, 3))
    client.expect(raw.PUBCOMP, packet_id=3, code=0)
    return [message.payload for message in broker.delivered(subscriber, client)]


@v5("MQTT-3.3.2-6", "MQTT-3.3.1-13")
def test_what_the_server_forwards_has_only_what_belongs_to_the_message(broker):
    """No topic alias of the sender, and nothing of the hop."""
    subscriber = broker.connected()
    subscriber.subscribe((broker.topic("#"), AS_PUBLISHED))
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"x", props=[(raw.TOPIC_ALIAS, 1), (raw.CONTENT_TYPE, "c")])
    sender.publish("", b"y", props=[(raw.TOPIC_ALIAS, 1)])
    messages = [subscriber.message(), subscriber.message()]
    assert [(message.topic, message.payload, message.properties) for message in messages] \
        == [(broker.topic("t"), b"x", [(raw.CONTENT_TYPE, "c")]), (broker.topic("t"), b"y", [])]
