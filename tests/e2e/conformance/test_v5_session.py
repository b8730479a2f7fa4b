# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.1.2.4, 3.1.2.11.2, 3.14.2.2.2 and 4.1: what a session keeps, and for how long."""
import pytest

import raw
from raw import V5
from v5 import MALFORMED, PROTOCOL, let_pass, puback, refused, session, v5


def present(broker, name, seconds=60):
    """Whether the server still has the session of this name, which then goes on."""
    client = broker.client()
    answer = client.connect(name, **session(seconds))
    client.disconnect()
    return answer.session_present


def ended(broker, name, **options):
    """A session whose connection has ended with a DISCONNECT."""
    broker.connected(name, **options).disconnect()


def expiring(seconds):
    return [(raw.SESSION_EXPIRY_INTERVAL, seconds)]


# ---- clean start ----

@v5("MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2")
def test_clean_start_discards_subscriptions_and_messages(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    client.disconnect()
    broker.connected().publish(broker.topic("t"), b"lost", qos=1)
    client = broker.client()
    assert not client.connect(name, **session(clean=True)).session_present
    broker.connected().publish(broker.topic("t"), b"lost, too", qos=1)
    broker.nothing_more(client)


@v5("MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-4.1.0-1", "MQTT-4.5.0-1")
def test_a_session_keeps_subscriptions_and_what_arrives_meanwhile(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe((broker.topic("one"), 1), (broker.topic("two"), 2), (broker.topic("zero"), 0))
    client.disconnect()
    sender = broker.connected()
    for number, topic in enumerate(("one", "two", "one", "two")):
        sender.publish(broker.topic(topic), str(number), qos=2)
    client = broker.client()
    assert client.connect(name, **session()).session_present
    messages = [client.message() for _ in range(4)]
    assert sorted(message.payload for message in messages) == [b"0", b"1", b"2", b"3"]
    assert [message.payload for message in messages if message.qos == 1] == [b"0", b"2"]
    assert [message.payload for message in messages if message.qos == 2] == [b"1", b"3"]
    sender.publish(broker.topic("zero"), b"now")
    while True:
        packet = client.receive()
        if packet.type == raw.PUBLISH:
            break
        assert packet.type == raw.PUBREL
    assert packet.payload == b"now"
    return [(message.payload, message.qos, message.dup) for message in messages]


@v5("MQTT-3.1.2-23")
def test_whether_qos_0_is_kept_meanwhile_is_the_brokers_choice(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("#"), qos=2)
    client.disconnect()
    sender = broker.connected()
    for qos in range(3):
        sender.publish(broker.topic("t"), str(qos), qos=qos)
    sender.publish(broker.topic("end"), qos=1)
    client = broker.connected(name, **session())
    found = [message.payload for message in client.messages_until(broker.topic("end"))]
    assert [payload for payload in found if payload != b"0"] == [b"1", b"2"]
    return found


@v5("MQTT-3.1.2-5", "MQTT-3.1.2-23")
def test_a_session_survives_a_broken_connection(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    client.reset()
    assert present(broker, name)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert broker.connected(name, **session()).message().payload == b"x"


@v5("MQTT-3.1.2-23", "MQTT-3.1.2-5")
def test_clean_start_may_begin_a_lasting_session(broker):
    name = broker.name()
    ended(broker, name, **session(clean=True))
    assert present(broker, name)


@v5("MQTT-4.1.0-1")
def test_subscriptions_made_twice_are_kept_once(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    client.disconnect()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert client.message().payload == b"x"
    broker.nothing_more(client)


# ---- expiry ----

@pytest.mark.parametrize("options", ({}, {"props": expiring(0)}), ids=("absent", "0"))
@v5("MQTT-4.1.0-2", "MQTT-3.2.2-3")
def test_without_expiry_the_session_ends_with_the_connection(broker, options):
    name = broker.name()
    ended(broker, name, **options)
    assert not present(broker, name)


@v5("MQTT-4.1.0-2", "MQTT-4.1.0-1", "MQTT-3.1.2-23")
def test_a_session_ends_when_its_time_is_over_and_not_before(broker):
    """Expiry 10 and then 1, of a session that has ended its connection and of one that has not; and two that last."""
    short, open_, long, forever = (broker.name() for _ in range(4))
    client = broker.connected(short, **session(10))
    client.subscribe(broker.topic("short"), qos=1)
    client.disconnect()
    assert present(broker, short, 1)
    for name, seconds in ((long, 60), (forever, 0xFFFFFFFF)):
        ended(broker, name, **session(seconds))
    client = broker.subscribed(broker.topic("open"), client_id=open_, **session(1))
    let_pass(2.5)
    sender = broker.connected()
    sender.publish(broker.topic("open"), b"x")
    assert client.message().payload == b"x"
    sender.publish(broker.topic("short"), b"x", qos=1)
    late = broker.client()
    assert not late.connect(short, **session()).session_present
    broker.nothing_more(late)
    assert present(broker, long) and present(broker, forever)


@v5("MQTT-4.1.0-2")
def test_the_last_connect_says_when_the_session_ends(broker):
    name = broker.name()
    ended(broker, name, **session(60))
    ended(broker, name, **session(0))
    assert not present(broker, name)


@v5("MQTT-3.1.2-23", "MQTT-4.1.0-2")
def test_disconnect_may_lengthen_or_shorten_the_session(broker):
    longer, shorter = broker.name(), broker.name()
    broker.connected(longer, **session(1)).disconnect(0, expiring(60))
    broker.connected(shorter, **session(60)).disconnect(0, expiring(1))
    let_pass(2.5)
    assert present(broker, longer)
    assert not present(broker, shorter)


@v5("MQTT-4.1.0-2")
def test_disconnect_may_end_the_session(broker):
    name = broker.name()
    broker.connected(name, **session(60)).disconnect(0, expiring(0))
    assert not present(broker, name)


@v5("MQTT-4.1.0-2")
def test_disconnect_may_say_0_where_connect_did(broker):
    name = broker.name()
    broker.connected(name).disconnect(0, expiring(0))
    assert not present(broker, name)


@pytest.mark.parametrize("options", ({}, {"props": expiring(0)}), ids=("absent", "0"))
@v5("MQTT-4.13.1-1", "MQTT-4.1.0-2")
def test_disconnect_must_not_begin_an_expiry_where_there_was_none(broker, options):
    """3.14.2.2.2: a non-zero value after zero in CONNECT is a Protocol Error."""
    name = broker.name()
    client = broker.connected(name, **options)
    client.send(raw.disconnect(V5, 0, expiring(60)))
    refused(broker, client, PROTOCOL, MALFORMED)
    assert not present(broker, name)


@v5("MQTT-4.13.1-1", "MQTT-3.1.2-8")
def test_a_disconnect_that_is_a_protocol_error_does_not_delete_the_will(broker):
    subscriber = broker.subscribed()
    client = broker.connected(will=raw.Will(broker.topic("will"), b"w"))
    client.send(raw.disconnect(V5, 0, expiring(60)))
    refused(broker, client, PROTOCOL)
    assert subscriber.message().payload == b"w"


# ---- what is kept of message flows ----

@v5("MQTT-4.1.0-1", "MQTT-4.3.3-10")
def test_a_session_remembers_the_clients_half_finished_qos_2(broker):
    """PUBLISH and PUBREC on one connection, the repetition on the next: the message arrives once."""
    subscriber = broker.subscribed(qos=2)
    name = broker.name()
    client = broker.connected(name, **session())
    client.send(raw.publish(V5, broker.topic("t"), b"once", qos=2, packet_id=7))
    client.expect(raw.PUBREC, packet_id=7)
    client.reset()
    client = broker.connected(name, **session())
    client.send(raw.publish(V5, broker.topic("t"), b"once", qos=2, packet_id=7, dup=True))
    client.expect(raw.PUBREC, packet_id=7)
    client.send(raw.ack(raw.PUBREL, V5, 7))
    client.expect(raw.PUBCOMP, packet_id=7, code=0)
    assert [message.payload for message in broker.delivered(subscriber, client)] == [b"once"]


@v5("MQTT-4.1.0-1", "MQTT-4.3.3-11")
def test_pubrel_may_come_on_the_next_connection(broker):
    subscriber = broker.subscribed(qos=2)
    name = broker.name()
    client = broker.connected(name, **session())
    client.send(raw.publish(V5, broker.topic("t"), b"once", qos=2, packet_id=7))
    client.expect(raw.PUBREC, packet_id=7)
    client.reset()
    client = broker.connected(name, **session())
    client.send(raw.ack(raw.PUBREL, V5, 7))
    client.expect(raw.PUBCOMP, packet_id=7, code=0)
    assert [message.payload for message in broker.delivered(subscriber, client)] == [b"once"]


@v5("MQTT-3.1.2-4", "MQTT-4.3.3-12")
def test_clean_start_forgets_half_finished_flows(broker):
    subscriber = broker.subscribed(qos=2)
    name = broker.name()
    client = broker.connected(name, **session())
    client.send(raw.publish(V5, broker.topic("t"), b"first", qos=2, packet_id=7))
    client.expect(raw.PUBREC, packet_id=7)
    client.reset()
    client = broker.connected(name, **session(clean=True))
    client.publish(broker.topic("t"), b"second", qos=2, packet_id=7)
    assert [message.payload for message in broker.delivered(subscriber, client)] == [b"second"]


@v5("MQTT-3.1.2-5")
def test_a_client_of_an_older_version_may_go_on_with_the_session(broker):
    """3.1.1 without clean session: the same session, which then lasts."""
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    client.disconnect()
    broker.connected().publish(broker.topic("t"), b"x", qos=1, props=[(raw.CONTENT_TYPE, "text")])
    older = broker.client(raw.V311)
    assert older.connect(name, clean=False).session_present
    message = older.message()
    assert (message.payload, message.qos) == (b"x", 1)
    older.disconnect()
    client = broker.client()
    assert client.connect(name, **session()).session_present
    return message.dup


@v5("MQTT-4.4.0-1")
def test_an_acknowledged_message_does_not_come_again(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.subscribe(broker.topic("t"), qos=1)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    puback(client, client.message(acknowledge=False))
    client.ping()
    client.reset()
    client = broker.connected(name, **session())
    broker.nothing_more(client)
