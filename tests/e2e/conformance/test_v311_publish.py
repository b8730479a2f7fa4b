# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, section 3.3 PUBLISH as a server takes and delivers it. Retained messages are in test_v311_retain.py,
acknowledgements and redelivery in test_v311_qos.py."""
import pytest

import raw
from harness import statement
from raw import V31, V311
from vectors import ILL_FORMED


def refused(broker, data):
    """This ends the connection and reaches nobody."""
    observer = broker.subscribed()
    client = broker.connected()
    client.send(data)
    assert broker.expect_refused(client) == ()
    assert broker.delivered(observer) == []


# ---- what is refused ----

@pytest.mark.parametrize("retain", (False, True), ids=("not retained", "retained"))
@statement("MQTT-3.3.1-4", version=(V31, V311))
def test_qos_3_ends_the_connection(broker, retain):
    refused(broker, raw.publish(broker.version, broker.topic(), b"x", qos=3, retain=retain))


@statement("MQTT-3.3.1-2", "MQTT-4.3.1-1", version=(V31, V311))
def test_dup_with_qos_0_ends_the_connection(broker):
    """3.1, section 2.1, wants a message identifier where DUP is set, and QoS 0 has none."""
    refused(broker, raw.publish(broker.version, broker.topic(), b"x", dup=True))


@pytest.mark.parametrize("qos", (0, 1, 2))
@pytest.mark.parametrize("suffix", ("#", "a/#", "+", "+/b", "a/+/b", "a#", "a+b", "#/a"))
@statement("MQTT-3.3.2-2", "MQTT-4.7.1-1", "MQTT-4.8.0-1")
def test_wildcards_in_a_topic_name_end_the_connection(broker, suffix, qos):
    refused(broker, raw.publish(V311, broker.topic(suffix), b"x", qos=qos))


@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-4.7.3-1", version=(V31, V311))
def test_an_empty_topic_name_ends_the_connection(broker, qos):
    refused(broker, raw.publish(broker.version, "", b"x", qos=qos))


@pytest.mark.parametrize("name", ILL_FORMED)
@statement("MQTT-1.5.3-1", "MQTT-3.3.2-1")
def test_an_ill_formed_topic_name_ends_the_connection(broker, name):
    refused(broker, raw.publish(V311, broker.topic().encode() + ILL_FORMED[name], b"x", qos=1))


@pytest.mark.parametrize("text", (b"\0", b"a\0b", b"ab\0"), ids=("alone", "inside", "at the end"))
@statement("MQTT-1.5.3-2", "MQTT-4.7.3-2")
def test_a_null_character_in_a_topic_name_ends_the_connection(broker, text):
    refused(broker, raw.publish(V311, broker.topic().encode() + text, b"x", qos=1))


# ---- topic names ----

NAMES = {
    "one level": "t", "leading slash": "/t", "trailing slash": "t/", "empty level": "a//b", "only slashes": "///",
    "blanks": " a / b ", "upper case": "T/T", "beyond ASCII": "ü/€/😀", "byte order mark": "\ufeffa/\ufeff",
    "composed": "\u00e9", "decomposed": "e\u0301", "dollar inside": "a/$b", "dots": "a/../b/./c", "percent": "%2f%00",
    "backslash": "a\\b", "quotes": "\"'`", "zero width": "a\u200bb", "right to left": "\u202eab",
}


@statement("MQTT-3.3.2-3", "MQTT-4.7.3-4", "MQTT-1.5.3-3", "MQTT-3.3.2-1", version=(V31, V311))
def test_topic_names_are_delivered_as_they_are(broker):
    observer = broker.subscribed()
    publisher = broker.connected()
    names = [broker.topic(name) for name in NAMES.values()]
    for name in names:
        publisher.publish(name, name.encode(), qos=1)
    messages = broker.delivered(observer)
    assert [(message.topic, message.payload) for message in messages] == [(name, name.encode()) for name in names]


@pytest.mark.parametrize("name", NAMES)
@statement("MQTT-4.7.3-4", "MQTT-3.3.2-3")
def test_a_filter_matches_a_name_byte_for_byte(broker, name):
    """All the names are published; the filter without wildcards gets the one."""
    topic = broker.topic(NAMES[name])
    subscriber = broker.subscribed(topic, broker.topic("marker"))
    publisher = broker.connected()
    for other in NAMES.values():
        publisher.publish(broker.topic(other), b"x")
    assert [message.topic for message in broker.delivered(subscriber, publisher)] == [topic]


@pytest.mark.parametrize("length", (127, 128, 1000, 16383, 65534, 65535))
@statement("MQTT-4.7.3-3")
def test_long_topic_names_are_delivered(broker, length):
    topic = broker.topic("x" * (length - len(broker.topic(""))))
    assert len(topic) == length
    subscriber = broker.subscribed(topic)
    subscriber.publish(topic, b"x")
    assert subscriber.message().topic == topic


@pytest.mark.parametrize("levels", (10, 50, 100, 150, 190))
@statement()
def test_deep_topic_names_are_delivered(broker, levels):
    topic = broker.topic("/".join("abcdefghij"[level % 10] for level in range(levels)))
    subscriber = broker.subscribed(topic, f"{broker.root}/#")
    broker.connected().publish(topic, b"x", qos=1)
    assert subscriber.message().topic == topic


# ---- payloads ----

@pytest.mark.parametrize("size", (0, 1, 127, 128, 16383, 16384, 65535, 65536, 262144, 2097152))
@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-3.3.4-1", version=(V31, V311))
def test_payloads_of_any_size_are_delivered(broker, size, qos):
    topic = broker.topic()
    subscriber = broker.subscribed(topic, qos=qos)
    payload = bytes(range(256)) * (size // 256 + 1)
    broker.connected().publish(topic, payload[:size], qos=qos)
    message = subscriber.message()
    assert (message.payload, message.qos, message.dup, message.retain) == (payload[:size], qos, False, False)


@pytest.mark.parametrize("payload", (b"\0", b"\xff\xfe", b"\xed\xa0\x80", "ü€😀".encode(), b"\x30\x00" * 100),
                         ids=("null", "not UTF-8", "surrogate", "UTF-8", "packets"))
@statement()
def test_payloads_are_bytes_without_a_meaning(broker, payload):
    subscriber = broker.subscribed(qos=1)
    broker.connected().publish(broker.topic(), payload, qos=1)
    assert subscriber.message().payload == payload


# ---- delivery ----

@statement("MQTT-3.3.5-1", "MQTT-3.8.4-6", "MQTT-2.3.1-5", version=(V31, V311))
def test_the_qos_is_the_lower_of_published_and_granted(broker):
    subscribers = [broker.subscribed(qos=granted) for granted in range(3)]
    publisher = broker.connected()
    for qos in range(3):
        publisher.publish(broker.topic(str(qos)), b"x", qos=qos)
    publisher.ping()
    got = [[(message.topic[-1], message.qos) for message in broker.delivered(subscriber)] for subscriber in subscribers]
    assert got == [[(str(qos), min(qos, granted)) for qos in range(3)] for granted in range(3)]


@statement("MQTT-3.3.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1", version=(V31, V311))
def test_dup_is_not_passed_on(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for qos in (1, 2):
        publisher.publish(broker.topic(), b"x", qos=qos, dup=True)
    messages = broker.delivered(subscriber)
    assert [(message.qos, message.dup) for message in messages] == [(1, False), (2, False)]


@statement("MQTT-3.3.5-1")
def test_overlapping_subscriptions_get_the_highest_qos(broker):
    topic = broker.topic("a/b")
    subscriber = broker.subscribed(broker.topic("marker"), (f"{broker.root}/a/#", 1), (f"{broker.root}/+/b", 2),
                                   (topic, 0))
    broker.connected().publish(topic, b"x", qos=2)
    assert max([message.qos for message in broker.delivered(subscriber)]) == 2


@statement("MQTT-3.3.5-1", version=(V31, V311))
def test_overlapping_subscriptions_of_one_qos_get_the_message(broker):
    """Once or once for each, as the server likes."""
    filters = (broker.topic("marker"), f"{broker.root}/a/#", f"{broker.root}/+/b", broker.topic("a/b"))
    subscriber = broker.subscribed(*filters, qos=1)
    broker.connected().publish(broker.topic("a/b"), b"x", qos=1)
    messages = broker.delivered(subscriber)
    assert {(message.payload, message.qos) for message in messages} == {(b"x", 1)}
    return len(messages)


@statement("MQTT-4.6.0-5", "MQTT-4.6.0-6", version=(V31, V311))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_messages_of_one_qos_stay_in_order(broker, qos):
    """Ten at a time: as many unfinished ones every server takes."""
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for first in range(0, 100, 10):
        batch = range(first, first + 10)
        publisher.send(b"".join(raw.publish(broker.version, broker.topic(), str(number), qos=qos,
                                            packet_id=number + 1 if qos else None) for number in batch))
        acknowledge_all(publisher, qos, batch)
    assert [int(message.payload) for message in broker.delivered(subscriber, publisher)] == list(range(100))


def acknowledge_all(publisher, qos, batch):
    """Reads the acknowledgements of these messages, which come in order, and completes QoS 2."""
    for number in batch if qos else ():
        publisher.expect(raw.PUBACK if qos == 1 else raw.PUBREC, packet_id=number + 1)
    for number in batch if qos == 2 else ():
        publisher.send(raw.ack(raw.PUBREL, publisher.version, number + 1))
        publisher.expect(raw.PUBCOMP, packet_id=number + 1)


@statement("MQTT-4.6.0-6")
def test_messages_of_several_topics_and_qos_stay_in_order_each(broker):
    subscriber = broker.subscribed(qos=2)
    publisher = broker.connected()
    for number in range(60):
        publisher.publish(broker.topic(f"t{number % 2}"), str(number), qos=number % 3)
    messages = broker.delivered(subscriber, publisher)
    assert len(messages) == 60
    for topic in ("t0", "t1"):
        for qos in range(3):
            numbers = [int(message.payload) for message in messages
                       if message.topic == broker.topic(topic) and message.qos == qos]
            assert numbers == sorted(numbers) and len(numbers) == 10


@statement("MQTT-4.5.0-1", version=(V31, V311))
def test_every_subscriber_gets_every_message(broker):
    subscribers = [broker.subscribed(qos=qos) for qos in (0, 1, 2, 0, 1, 2)]
    publishers = [broker.connected() for _ in range(3)]
    for number in range(10):
        for index, publisher in enumerate(publishers):
            publisher.publish(broker.topic(str(index)), str(number), qos=1)
    for subscriber in subscribers:
        messages = broker.delivered(subscriber)
        for index in range(3):
            mine = [int(message.payload) for message in messages if message.topic == broker.topic(str(index))]
            assert mine == list(range(10))


@statement(version=(V31, V311))
def test_a_publisher_that_subscribes_gets_its_own_message(broker):
    client = broker.subscribed(qos=0)
    client.publish(broker.topic(), b"mine")
    assert client.message().payload == b"mine"


@statement()
def test_a_message_without_a_subscriber_is_acknowledged_and_gone(broker):
    publisher = broker.connected()
    for qos in range(3):
        publisher.publish(broker.topic(), b"x", qos=qos)
    publisher.ping()
    assert broker.delivered(broker.subscribed()) == []


@pytest.mark.parametrize("character", ("\x01", "\x1f", "\x7f", "\x9f", "\ufdd0", "\uffff"), ids=ascii)
@statement()
def test_characters_that_should_not_be_in_a_topic_name_are_treated_alike(broker, character):
    """Section 1.5.3 only says SHOULD NOT: delivered or closed, both are right."""
    observer = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V311, broker.topic("a" + character), b"x", qos=1) + raw.pingreq())
    packets = [client.receive()]
    while packets[-1] is not None and packets[-1].type != raw.PINGRESP:
        packets.append(client.receive())
    return [packet and packet.name for packet in packets], len(broker.delivered(observer))
