# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, sections 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. What filters match is in
test_v311_topics.py."""
import pytest

import raw
from harness import statement
from raw import V31, V311
from vectors import BAD_FILTERS, ILL_FORMED


def refused(broker, data):
    client = broker.connected()
    client.send(data)
    assert broker.expect_refused(client) == ()


# ---- SUBSCRIBE that is refused ----

@statement("MQTT-3.8.3-3", "MQTT-4.8.0-1", version=(V31, V311))
def test_a_subscribe_without_a_filter_ends_the_connection(broker):
    refused(broker, raw.subscribe(broker.version, 1, []))


@pytest.mark.parametrize("options", (3, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xFF))
@statement("MQTT-3.8.3-4")
def test_a_qos_of_3_and_reserved_bits_end_the_connection(broker, options):
    refused(broker, raw.subscribe(V311, 1, [(broker.topic(), options)]))


@pytest.mark.parametrize("position", (0, 1, 2))
@statement("MQTT-3.8.3-4", "MQTT-4.8.0-1")
def test_one_bad_qos_among_good_ones_ends_the_connection(broker, position):
    filters = [(broker.topic(str(index)), 3 if index == position else 1) for index in range(3)]
    refused(broker, raw.subscribe(V311, 1, filters))


@pytest.mark.parametrize("name", ILL_FORMED)
@statement("MQTT-1.5.3-1", "MQTT-3.8.3-1")
def test_an_ill_formed_filter_ends_the_connection(broker, name):
    refused(broker, raw.subscribe(V311, 1, [(b"a/" + ILL_FORMED[name], 0)]))


@pytest.mark.parametrize("text", (b"\0", b"a\0b", b"ab\0"), ids=("alone", "inside", "at the end"))
@statement("MQTT-1.5.3-2", "MQTT-4.7.3-2", "MQTT-3.8.3-1")
def test_a_null_character_in_a_filter_ends_the_connection(broker, text):
    refused(broker, raw.subscribe(V311, 1, [(text, 0)]))


@pytest.mark.parametrize("text", BAD_FILTERS)
@statement("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.8.0-1")
def test_a_wildcard_in_the_wrong_place_ends_the_connection(broker, text):
    refused(broker, raw.subscribe(V311, 1, [(broker.topic(text), 0)]))


@statement("MQTT-4.7.3-1", "MQTT-4.8.0-1")
def test_an_empty_filter_ends_the_connection(broker):
    refused(broker, raw.subscribe(V311, 1, [("", 0)]))


# ---- SUBACK ----

@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.9.3-2", version=(V31, V311))
def test_a_subscribe_is_answered_with_what_was_granted(broker, qos):
    client = broker.connected()
    client.send(raw.subscribe(broker.version, 0x1234, [(broker.topic(), qos)]))
    assert client.expect(raw.SUBACK).raw == bytes((0x90, 3, 0x12, 0x34, qos))


@statement("MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2", version=(V31, V311))
def test_suback_has_a_code_for_each_filter_in_their_order(broker):
    wanted = [2, 0, 1, 1, 0, 2, 2, 1, 0]
    client = broker.connected()
    answer = client.subscribe(*[(broker.topic(str(index)), qos) for index, qos in enumerate(wanted)])
    assert answer.codes == wanted


@statement("MQTT-3.8.4-4", "MQTT-3.9.3-1")
def test_a_subscribe_of_1000_filters_has_1000_codes(broker):
    client = broker.connected()
    answer = client.subscribe(*[(broker.topic(str(index)), index % 3) for index in range(1000)])
    assert answer.codes == [index % 3 for index in range(1000)]
    client.publish(broker.topic("999"), b"x")
    assert client.message().topic == broker.topic("999")
    client.unsubscribe(*[broker.topic(str(index)) for index in range(1000)])
    client.publish(broker.topic("999"), b"x")
    broker.nothing_more(client)


@statement("MQTT-3.8.4-4", "MQTT-3.8.4-3", version=(V31, V311))
def test_a_filter_twice_in_one_subscribe_is_as_in_two(broker):
    """The last one counts."""
    topic = broker.topic()
    client = broker.connected()
    answer = client.subscribe((topic, 2), (topic, 0), broker.topic("marker"))
    assert answer.codes == [2, 0, 0]
    broker.connected().publish(topic, b"x", qos=2)
    assert [message.qos for message in broker.delivered(client)] == [0]


@statement("MQTT-3.8.4-1")
def test_many_subscribes_in_one_segment_are_each_answered(broker):
    client = broker.connected()
    client.send(b"".join(raw.subscribe(V311, number, [(broker.topic(str(number)), 0)]) for number in range(1, 101)))
    assert [client.expect(raw.SUBACK).packet_id for _ in range(100)] == list(range(1, 101))


@statement("MQTT-3.8.4-1")
def test_messages_come_only_after_they_were_asked_for(broker):
    client = broker.connected()
    publisher = broker.connected()
    publisher.publish(broker.topic("before"), b"x", qos=1)
    client.subscribe(f"{broker.root}/#")
    publisher.publish(broker.topic("after"), b"x", qos=1)
    assert [message.topic for message in broker.delivered(client)] == [broker.topic("after")]


# ---- the same filter again ----

@pytest.mark.parametrize("first", (0, 1, 2))
@pytest.mark.parametrize("second", (0, 1, 2))
@statement("MQTT-3.8.4-3", version=(V31, V311))
def test_the_same_filter_again_replaces_the_subscription(broker, first, second):
    topic = broker.topic()
    client = broker.connected()
    client.subscribe((topic, first), broker.topic("marker"))
    assert client.subscribe((topic, second)).codes == [second]
    broker.connected().publish(topic, b"x", qos=2)
    assert [message.qos for message in broker.delivered(client)] == [second]


@statement("MQTT-3.8.4-3")
def test_the_flow_is_not_interrupted_by_subscribing_again(broker):
    topic = broker.topic()
    client = broker.subscribed(topic, qos=1)
    publisher = broker.connected()
    for number in range(50):
        publisher.send(raw.publish(V311, topic, str(number), qos=1, packet_id=number + 1))
        if number % 5 == 0:
            client.send(raw.subscribe(V311, 1000 + number, [(topic, 1)]))
    got = []
    while len(got) < 50:
        packet = client.receive()
        assert packet is not None and packet.type in (raw.SUBACK, raw.PUBLISH)
        if packet.type == raw.PUBLISH:
            client.acknowledge(packet)
            got.append(int(packet.payload))
    assert got == list(range(50))


@statement("MQTT-3.8.4-3", "MQTT-4.7.3-4")
def test_another_filter_that_matches_the_same_replaces_nothing(broker):
    topic = broker.topic("a/b")
    client = broker.subscribed(topic, qos=2)
    client.subscribe((f"{broker.root}/a/+", 2), broker.topic("marker"))
    client.unsubscribe(f"{broker.root}/a/+")
    broker.connected().publish(topic, b"x", qos=2)
    assert [message.qos for message in broker.delivered(client)] == [2]


# ---- UNSUBSCRIBE ----

@statement("MQTT-3.10.3-2", "MQTT-4.8.0-1", version=(V31, V311))
def test_an_unsubscribe_without_a_filter_ends_the_connection(broker):
    refused(broker, raw.unsubscribe(broker.version, 1, []))


@pytest.mark.parametrize("name", ILL_FORMED)
@statement("MQTT-1.5.3-1", "MQTT-3.10.3-1")
def test_an_ill_formed_filter_in_unsubscribe_ends_the_connection(broker, name):
    refused(broker, raw.unsubscribe(V311, 1, [b"a/" + ILL_FORMED[name]]))


@pytest.mark.parametrize("text", (b"\0", b"a\0b"), ids=("alone", "inside"))
@statement("MQTT-1.5.3-2", "MQTT-4.7.3-2", "MQTT-3.10.3-1")
def test_a_null_character_in_unsubscribe_ends_the_connection(broker, text):
    refused(broker, raw.unsubscribe(V311, 1, [text]))


@pytest.mark.parametrize("text", BAD_FILTERS)
@statement("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.8.0-1")
def test_a_wildcard_in_the_wrong_place_of_unsubscribe_ends_the_connection(broker, text):
    refused(broker, raw.unsubscribe(V311, 1, [broker.topic(text)]))


@statement("MQTT-4.7.3-1", "MQTT-4.8.0-1")
def test_an_empty_filter_in_unsubscribe_ends_the_connection(broker):
    refused(broker, raw.unsubscribe(V311, 1, [""]))


@statement("MQTT-3.10.4-4", "MQTT-3.10.4-2", "MQTT-2.3.1-7", version=(V31, V311))
def test_unsubscribe_is_answered_and_nothing_more_comes(broker):
    client = broker.subscribed(broker.topic("t"), broker.topic("marker"))
    client.send(raw.unsubscribe(broker.version, 0x1234, [broker.topic("t")]))
    assert client.expect(raw.UNSUBACK).raw == b"\xb0\x02\x12\x34"
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert broker.delivered(client) == []


@statement("MQTT-3.10.4-5", "MQTT-3.10.4-4", version=(V31, V311))
def test_unsubscribe_of_nothing_is_answered(broker):
    client = broker.connected()
    for name in ("never", "+", "#", "a/+/b/#"):
        client.unsubscribe(broker.topic(name))


@statement("MQTT-3.10.4-6", "MQTT-3.10.4-5", version=(V31, V311))
def test_unsubscribe_of_several_filters_has_one_answer(broker):
    client = broker.subscribed(*(broker.topic(name) for name in ("a", "b", "c", "marker")))
    client.unsubscribe(broker.topic("a"), broker.topic("never"), broker.topic("c"))
    publisher = broker.connected()
    for name in "abc":
        publisher.publish(broker.topic(name), b"x", qos=1)
    assert [message.topic for message in broker.delivered(client)] == [broker.topic("b")]


@statement("MQTT-3.10.4-1", "MQTT-4.7.3-4", version=(V31, V311))
def test_unsubscribe_compares_filters_character_by_character(broker):
    """None of these is the subscription a/+, though they match it, are matched by it or look alike."""
    client = broker.subscribed(broker.topic("a/+"), broker.topic("marker"))
    for other in ("a/b", "a/#", "#", "+/+", "A/+", "a/+/", "/a/+", "b/+"):
        client.unsubscribe(broker.topic(other))
    broker.connected().publish(broker.topic("a/b"), b"x", qos=1)
    assert [message.topic for message in broker.delivered(client)] == [broker.topic("a/b")]
    client.unsubscribe(broker.topic("a/+"))
    broker.connected().publish(broker.topic("a/b"), b"x", qos=1)
    assert broker.delivered(client) == []


@pytest.mark.parametrize("qos", (1, 2))
@statement("MQTT-3.10.4-3", version=(V31, V311))
def test_a_delivery_that_has_begun_is_completed_after_unsubscribe(broker, qos):
    name = broker.name()
    topic = broker.topic("t")
    observer = broker.subscribed(broker.topic("farewell"))
    client = broker.subscribed(topic, qos=qos, client_id=name, clean=False, will=broker.farewell())
    broker.connected().publish(topic, b"begun", qos=qos)
    begun = client.message(acknowledge=False)
    client.unsubscribe(topic)
    broker.gone(observer, client)
    client = broker.connected(name, clean=False)
    again = client.message()
    assert (again.payload, again.packet_id, again.dup) == (b"begun", begun.packet_id, True)
    if qos == 2:
        client.expect(raw.PUBREL, packet_id=begun.packet_id)
        client.send(raw.ack(raw.PUBCOMP, broker.version, begun.packet_id))
    broker.nothing_more(client)


@statement("MQTT-3.10.4-2", "MQTT-3.8.4-3", version=(V31, V311))
def test_a_filter_can_be_subscribed_again_after_unsubscribe(broker):
    topic = broker.topic()
    client = broker.subscribed(topic, qos=1)
    client.unsubscribe(topic)
    client.subscribe(topic, qos=2)
    broker.connected().publish(topic, b"x", qos=2)
    assert client.message().qos == 2


@statement("MQTT-3.10.4-1")
def test_the_subscriptions_of_others_stay(broker):
    topic = broker.topic("t")
    client, other = (broker.subscribed(topic, broker.topic("marker")) for _ in range(2))
    client.unsubscribe(topic)
    broker.connected().publish(topic, b"x", qos=1)
    assert [len(broker.delivered(subscriber)) for subscriber in (client, other)] == [0, 1]
