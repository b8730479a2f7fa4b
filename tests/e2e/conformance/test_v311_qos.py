# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, sections 4.3 and 4.4: acknowledgements in both directions, and what is sent again on the next
connection."""
import pytest

import raw
from harness import statement
from raw import V31, V311


# ---- the client sends ----

@statement("MQTT-3.3.4-1", "MQTT-4.3.1-1", version=(V31, V311))
def test_qos_0_is_not_acknowledged(broker):
    client = broker.connected()
    client.send(raw.publish(broker.version, broker.topic(), b"x"))
    client.ping()


@statement("MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-2.3.1-6", version=(V31, V311))
def test_qos_1_is_acknowledged_with_puback(broker):
    client = broker.connected()
    client.send(raw.publish(broker.version, broker.topic(), b"x", qos=1, packet_id=7))
    assert client.expect(raw.PUBACK).raw == b"\x40\x02\x00\x07"


@statement("MQTT-3.3.4-1", "MQTT-4.3.3-2", "MQTT-2.3.1-6", version=(V31, V311))
def test_qos_2_is_acknowledged_with_pubrec_and_pubcomp(broker):
    client = broker.connected()
    client.send(raw.publish(broker.version, broker.topic(), b"x", qos=2, packet_id=7))
    assert client.expect(raw.PUBREC).raw == b"\x50\x02\x00\x07"
    client.send(raw.ack(raw.PUBREL, broker.version, 7))
    assert client.expect(raw.PUBCOMP).raw == b"\x70\x02\x00\x07"


@pytest.mark.parametrize("dup", (False, True), ids=("not dup", "dup"))
@statement("MQTT-4.3.2-2", version=(V31, V311))
def test_after_puback_the_same_identifier_is_a_new_message(broker, dup):
    observer = broker.subscribed(qos=2)
    client = broker.connected()
    client.publish(broker.topic(), b"first", qos=1, packet_id=7)
    client.publish(broker.topic(), b"second", qos=1, packet_id=7, dup=dup)
    assert [message.payload for message in broker.delivered(observer)] == [b"first", b"second"]


@pytest.mark.parametrize("times", (2, 4))
@statement("MQTT-4.3.3-2", version=(V31, V311))
def test_before_pubrel_the_same_identifier_is_the_same_message(broker, times):
    observer = broker.subscribed(qos=2)
    client = broker.connected()
    for repeat in range(times):
        client.send(raw.publish(broker.version, broker.topic(), b"once", qos=2, packet_id=7, dup=repeat > 0))
        client.expect(raw.PUBREC, packet_id=7)
    client.send(raw.ack(raw.PUBREL, broker.version, 7))
    client.expect(raw.PUBCOMP, packet_id=7)
    assert [message.payload for message in broker.delivered(observer)] == [b"once"]


@statement("MQTT-4.3.3-2", version=(V31, V311))
def test_after_pubcomp_the_same_identifier_is_a_new_message(broker):
    observer = broker.subscribed(qos=2)
    client = broker.connected()
    for text in (b"first", b"second"):
        client.publish(broker.topic(), text, qos=2, packet_id=7)
    assert [message.payload for message in broker.delivered(observer)] == [b"first", b"second"]


@statement("MQTT-4.3.3-2", version=(V31, V311))
def test_several_qos_2_messages_at_once_do_not_mix(broker):
    """Released in another order than sent: each is delivered once, and each PUBCOMP is for its PUBREL."""
    observer = broker.subscribed(qos=2)
    client = broker.connected()
    for packet_id in range(1, 6):
        client.send(raw.publish(broker.version, broker.topic(), str(packet_id), qos=2, packet_id=packet_id))
    assert [client.expect(raw.PUBREC).packet_id for _ in range(5)] == [1, 2, 3, 4, 5]
    for packet_id in (3, 1, 5, 2, 4):
        client.send(raw.ack(raw.PUBREL, broker.version, packet_id))
        client.expect(raw.PUBCOMP, packet_id=packet_id)
    messages = broker.delivered(observer)
    assert sorted(int(message.payload) for message in messages) == [1, 2, 3, 4, 5]
    return [int(message.payload) for message in messages]


@statement("MQTT-4.3.2-2", "MQTT-4.3.3-2")
def test_qos_1_and_2_use_one_set_of_identifiers_each_way(broker):
    client = broker.connected()
    client.send(b"".join(raw.publish(V311, broker.topic(), b"x", qos=packet_id % 3, packet_id=packet_id)
                         for packet_id in (1, 2, 4, 5, 7, 8)) + raw.pingreq())
    got = []
    while not got or got[-1][0] != "PINGRESP":
        packet = client.receive()
        got.append((packet.name, packet.packet_id))
    assert got == [("PUBACK", 1), ("PUBREC", 2), ("PUBACK", 4), ("PUBREC", 5), ("PUBACK", 7), ("PUBREC", 8),
                   ("PINGRESP", 0)]


@pytest.mark.parametrize("kind", (raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP), ids=raw.TYPE_NAMES.get)
@statement(version=(V31, V311))
def test_an_acknowledgement_of_nothing_is_treated_alike(broker, kind):
    """No statement says what to do with one; a client that has lost its state sends PUBREL."""
    client = broker.connected()
    client.send(raw.ack(kind, broker.version, 4242) + raw.pingreq())
    packets = [client.receive()]
    while packets[-1] is not None and packets[-1].type != raw.PINGRESP:
        packets.append(client.receive())
    return [packet and (packet.name, packet.packet_id) for packet in packets]


# ---- the client's connection breaks ----

def breaks(broker, client, observer):
    """The client vanishes, and the server knows."""
    broker.gone(observer, client)


def watched(broker, *filters, qos=2):
    """An observer that sees wills and, of the rest, what these filters match."""
    return broker.subscribed(broker.topic("farewell"), broker.topic("marker"), *filters, qos=qos)


def persistent(broker, name):
    """A connection of the client's session: (client, CONNACK)."""
    client = broker.client()
    return client, client.connect(name, clean=False, will=broker.farewell())


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-2", "MQTT-3.3.1-1", version=(V31, V311))
def test_a_publish_of_which_pubrec_was_lost_is_delivered_once(broker):
    observer, name = watched(broker, broker.topic("t")), broker.name()
    client, _ = persistent(broker, name)
    client.send(raw.publish(broker.version, broker.topic("t"), b"once", qos=2, packet_id=9))
    client.expect(raw.PUBREC)
    breaks(broker, client, observer)
    client, _ = persistent(broker, name)
    client.send(raw.publish(broker.version, broker.topic("t"), b"once", qos=2, packet_id=9, dup=True))
    client.expect(raw.PUBREC, packet_id=9)
    client.send(raw.ack(raw.PUBREL, broker.version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert [message.payload for message in broker.delivered(observer)] == [b"once"]


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-2", "MQTT-4.1.0-1", version=(V31, V311))
def test_a_pubrel_may_come_on_the_next_connection(broker):
    observer, name = watched(broker, broker.topic("t")), broker.name()
    client, _ = persistent(broker, name)
    client.send(raw.publish(broker.version, broker.topic("t"), b"once", qos=2, packet_id=9))
    client.expect(raw.PUBREC, packet_id=9)
    breaks(broker, client, observer)
    assert broker.delivered(observer) == []
    client, _ = persistent(broker, name)
    client.send(raw.ack(raw.PUBREL, broker.version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert [message.payload for message in broker.delivered(observer)] == [b"once"]


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-2", version=(V31, V311))
def test_a_pubrel_of_which_pubcomp_was_lost_is_answered_again(broker):
    observer, name = watched(broker, broker.topic("t")), broker.name()
    client, _ = persistent(broker, name)
    client.publish(broker.topic("t"), b"once", qos=2, packet_id=9)
    assert observer.message().payload == b"once"
    breaks(broker, client, observer)
    client, _ = persistent(broker, name)
    client.send(raw.ack(raw.PUBREL, broker.version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert broker.delivered(observer) == []


@statement("MQTT-4.4.0-1", "MQTT-4.3.2-2", version=(V31, V311))
def test_a_qos_1_publish_sent_again_is_acknowledged_again(broker):
    observer, name = watched(broker, broker.topic("t")), broker.name()
    client, _ = persistent(broker, name)
    client.publish(broker.topic("t"), b"twice", qos=1, packet_id=9)
    assert observer.message().payload == b"twice"
    breaks(broker, client, observer)
    client, _ = persistent(broker, name)
    client.publish(broker.topic("t"), b"twice", qos=1, packet_id=9, dup=True)
    assert [message.dup for message in broker.delivered(observer)] == [False]


@statement("MQTT-3.1.2-6", version=(V31, V311))
def test_an_unreleased_publish_is_forgotten_with_a_clean_session(broker):
    """With clean session the same identifier is a new message, and the old one is never delivered."""
    observer, name = watched(broker, broker.topic("t")), broker.name()
    client = broker.connected(name, will=broker.farewell())
    client.send(raw.publish(broker.version, broker.topic("t"), b"old", qos=2, packet_id=9))
    client.expect(raw.PUBREC)
    breaks(broker, client, observer)
    client = broker.connected(name)
    client.publish(broker.topic("t"), b"new", qos=2, packet_id=9)
    assert [message.payload for message in broker.delivered(observer)] == [b"new"]


# ---- the server sends ----

@statement("MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-2.3.1-4", version=(V31, V311))
def test_messages_in_flight_have_different_identifiers(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for number in range(10):
        publisher.publish(broker.topic(), str(number), qos=1 + number % 2)
    messages = [subscriber.message(acknowledge=False) for _ in range(10)]
    assert len({message.packet_id for message in messages}) == 10 and all(message.packet_id for message in messages)
    assert not any(message.dup for message in messages)
    assert [int(message.payload) for message in messages] == list(range(10))


@statement("MQTT-4.3.3-1", "MQTT-2.3.1-6", "MQTT-3.6.1-1", version=(V31, V311))
def test_pubrec_is_answered_with_pubrel(broker):
    subscriber = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic(), b"x", qos=2)
    message = subscriber.message(acknowledge=False)
    for _ in range(2):
        subscriber.send(raw.ack(raw.PUBREC, broker.version, message.packet_id))
        assert subscriber.expect(raw.PUBREL).raw == b"\x62\x02" + message.packet_id.to_bytes(2, "big")
    subscriber.send(raw.ack(raw.PUBCOMP, broker.version, message.packet_id))
    broker.nothing_more(subscriber)


@statement("MQTT-4.3.2-1")
def test_acknowledgements_may_come_in_any_order(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for number in range(8):
        publisher.publish(broker.topic(), str(number), qos=1 + number % 2)
    messages = [subscriber.message(acknowledge=False) for _ in range(8)]
    for message in reversed(messages):
        subscriber.acknowledge(message)
    released = [subscriber.expect(raw.PUBREL).packet_id for _ in range(4)]
    assert released == [message.packet_id for message in reversed(messages) if message.qos == 2]
    for packet_id in released:
        subscriber.send(raw.ack(raw.PUBCOMP, broker.version, packet_id))
    assert broker.delivered(subscriber) == []


@statement(version=(V31, V311))
def test_more_messages_than_a_server_keeps_in_flight_all_come(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for number in range(200):
        publisher.publish(broker.topic(), str(number), qos=1 + number % 2)
    assert [int(message.payload) for message in broker.delivered(subscriber)] == list(range(200))


@pytest.mark.parametrize("qos", (1, 2))
@statement("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-4", "MQTT-4.6.0-1", "MQTT-4.6.0-6", version=(V31, V311))
def test_unacknowledged_messages_come_again_in_their_order(broker, qos):
    """The same identifiers, DUP set; those that were acknowledged do not come."""
    observer, name = watched(broker), broker.name()
    client, _ = persistent(broker, name)
    client.subscribe(broker.topic("t"), qos=qos)
    publisher = broker.connected()
    for number in range(6):
        publisher.publish(broker.topic("t"), str(number), qos=qos)
    messages = [client.message(acknowledge=False) for _ in range(6)]
    complete(client, messages[2])
    client.ping()
    breaks(broker, client, observer)
    client, answer = persistent(broker, name)
    assert broker.version == V31 or answer.session_present
    again = [client.message() for _ in range(5)]
    assert [(message.payload, message.packet_id, message.qos, message.dup) for message in again] \
        == [(message.payload, message.packet_id, qos, True) for message in messages if message is not messages[2]]


def complete(client, message):
    """Acknowledges to the end."""
    client.acknowledge(message)
    if message.qos == 2:
        client.expect(raw.PUBREL, packet_id=message.packet_id)
        client.send(raw.ack(raw.PUBCOMP, client.version, message.packet_id))


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-1", version=(V31, V311))
def test_a_pubrel_without_pubcomp_comes_again_and_the_message_does_not(broker):
    observer, name = watched(broker), broker.name()
    client, _ = persistent(broker, name)
    client.subscribe(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"once", qos=2)
    message = client.message()
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    breaks(broker, client, observer)
    client, _ = persistent(broker, name)
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    client.send(raw.ack(raw.PUBCOMP, broker.version, message.packet_id))
    broker.nothing_more(client)
    breaks(broker, client, observer)
    client, _ = persistent(broker, name)
    broker.nothing_more(client)


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-1", version=(V31, V311))
def test_a_lost_pubrec_brings_the_message_again_until_it_is_received(broker):
    observer, name = watched(broker), broker.name()
    client, _ = persistent(broker, name)
    client.subscribe(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"once", qos=2)
    identifiers, dups = [], []
    for _ in range(3):
        message = client.message(acknowledge=False)
        identifiers.append(message.packet_id)
        dups.append(message.dup)
        breaks(broker, client, observer)
        client, _ = persistent(broker, name)
    complete(client, client.message(acknowledge=False))
    broker.nothing_more(client)
    assert (len(set(identifiers)), dups) == (1, [False, True, True])


@statement("MQTT-4.4.0-1", "MQTT-4.6.0-1")
def test_messages_in_flight_come_again_before_newer_ones(broker):
    observer, name = watched(broker), broker.name()
    client, _ = persistent(broker, name)
    client.subscribe(broker.topic("t"), qos=1)
    publisher = broker.connected()
    for number in range(3):
        publisher.publish(broker.topic("t"), str(number), qos=1)
    for _ in range(3):
        client.message(acknowledge=False)
    breaks(broker, client, observer)
    for number in range(3, 6):
        publisher.publish(broker.topic("t"), str(number), qos=1)
    client, _ = persistent(broker, name)
    messages = [client.message() for _ in range(6)]
    assert [int(message.payload) for message in messages] == list(range(6))
    assert [message.dup for message in messages] == [True] * 3 + [False] * 3


@statement("MQTT-3.1.2-6", version=(V31, V311))
def test_messages_in_flight_do_not_come_again_in_a_clean_session(broker):
    observer, name = watched(broker), broker.name()
    client = broker.connected(name, will=broker.farewell())
    client.subscribe(broker.topic("t"), qos=2)
    publisher = broker.connected()
    for qos in (1, 2):
        publisher.publish(broker.topic("t"), b"x", qos=qos)
        client.message(acknowledge=False)
    breaks(broker, client, observer)
    client = broker.connected(name)
    broker.nothing_more(client)
