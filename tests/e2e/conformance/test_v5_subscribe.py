# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK."""
import pytest

import raw
from raw import V5
from v5 import (FILTER_INVALID, MALFORMED, NO_LOCAL, NO_SUBSCRIPTION_EXISTED, PROTOCOL, QOS_UNSUPPORTED, UNSPECIFIED,
                pubcomp, pubrec, refused, refuses, refuses_filter, take, v5)
from vectors import BAD_FILTERS

UNSUBACK_CODES = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}


@v5("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2")
def test_suback_has_a_code_for_each_filter_in_order(broker):
    client = broker.connected()
    wanted = [2, 0, 1, 1, 0, 2]
    client.send(raw.subscribe(V5, 4242, [(broker.topic(str(index)), qos) for index, qos in enumerate(wanted)]))
    answer = client.expect(raw.SUBACK, packet_id=4242)
    assert answer.codes == wanted
    return answer.codes


@v5("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-2")
def test_a_hundred_filters_in_one_packet(broker):
    client = broker.connected()
    answer = client.subscribe(*((broker.topic(f"{number}/+"), number % 3) for number in range(100)))
    assert answer.codes == [number % 3 for number in range(100)]
    broker.connected().publish(broker.topic("77/x"), b"x", qos=2)
    assert client.message().qos == 77 % 3


@v5("MQTT-3.8.4-5", "MQTT-3.8.4-3")
def test_a_filter_twice_in_one_packet_is_a_subscription_replaced(broker):
    client = broker.connected()
    assert client.subscribe((broker.topic("t"), 0), (broker.topic("t"), 2)).codes == [0, 2]
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    assert take(client).qos == 2
    broker.nothing_more(client)


@pytest.mark.parametrize("before, after", ((0, 2), (2, 0), (1, 2), (2, 1)))
@v5("MQTT-3.8.4-3")
def test_a_second_subscription_replaces_the_first(broker, before, after):
    client = broker.connected()
    client.subscribe((broker.topic("t"), before))
    assert client.subscribe((broker.topic("t"), after)).codes == [after]
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    assert take(client).qos == after
    client.unsubscribe(broker.topic("t"))
    broker.connected().publish(broker.topic("t"), b"y", qos=2)
    broker.nothing_more(client)


@v5("MQTT-3.8.4-3")
def test_a_second_subscription_replaces_the_options(broker):
    client = broker.connected()
    client.subscribe((broker.topic("t"), NO_LOCAL))
    client.publish(broker.topic("t"), b"hidden")
    client.subscribe((broker.topic("t"), 0))
    client.publish(broker.topic("t"), b"seen")
    assert take(client, timeout=1).payload == b"seen"


@v5("MQTT-3.8.4-4")
def test_replacing_a_subscription_loses_nothing(broker):
    client = broker.connected()
    client.subscribe((broker.topic("t"), 1))
    sender = broker.connected()
    for number in range(40):
        sender.publish(broker.topic("t"), str(number), qos=1)
        if number % 4 == 0:
            client.send(raw.subscribe(V5, 100 + number, [(broker.topic("t"), 1)]))
    got = []
    while len(got) < 40:
        packet = client.receive()
        if packet.type == raw.PUBLISH:
            got.append(packet.payload)
            client.acknowledge(packet)
        else:
            assert packet.type == raw.SUBACK and packet.codes == [1]
    assert got == [str(number).encode() for number in range(40)]


@v5("MQTT-3.8.3-2")
def test_a_subscribe_without_a_filter_is_refused(broker):
    refuses(broker, raw.subscribe(V5, 1, []), PROTOCOL, MALFORMED)


@pytest.mark.parametrize("options", (0x03, 0x40, 0x80, 0xC0, 0x43), ids=hex)
@v5("MQTT-3.8.3-5", "MQTT-4.13.1-1")
def test_reserved_options_are_refused(broker, options):
    refuses(broker, raw.subscribe(V5, 1, [("a", options)]), PROTOCOL, MALFORMED, QOS_UNSUPPORTED)


@pytest.mark.parametrize("name", ("", *BAD_FILTERS), ids=lambda name: name or "empty")
@v5("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1")
def test_a_malformed_filter_is_refused(broker, name):
    refuses_filter(broker, raw.subscribe(V5, 1, [(name, 0)]), raw.SUBACK, UNSPECIFIED, FILTER_INVALID)


@v5("MQTT-4.7.1-1", "MQTT-3.8.4-5")
def test_a_malformed_filter_beside_good_ones_is_refused(broker):
    client = broker.connected()
    client.send(raw.subscribe(V5, 1, [(broker.topic("good"), 0), ("a/#/b", 0)]))
    answer = client.receive()
    if answer is not None and answer.type == raw.SUBACK:
        assert answer.codes == [0, FILTER_INVALID]
    else:
        assert answer is None or answer.type == raw.DISCONNECT


@v5("MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2")
def test_answers_keep_to_the_clients_maximum_packet_size(broker):
    client = broker.connected(props=[(raw.MAXIMUM_PACKET_SIZE, 60)])
    filters = [broker.topic("t"), broker.topic("u")]
    assert len(client.subscribe(*filters).raw) <= 60
    assert len(client.unsubscribe(*filters, "never").raw) <= 60


# ---- overlapping subscriptions ----

@v5("MQTT-3.3.4-2")
def test_overlapping_subscriptions_bring_the_highest_qos(broker):
    """One message, or one for each: a choice of the server."""
    client = broker.connected()
    client.subscribe((broker.topic("a/#"), 2), (broker.topic("+/b"), 1), (broker.topic("#"), 0))
    broker.connected().publish(broker.topic("a/b"), b"x", qos=2)
    broker.connected().publish(broker.topic("marker"))
    messages = client.messages_until(broker.topic("marker"))
    assert len(messages) in (1, 3) and max(message.qos for message in messages) == 2
    if len(messages) == 3:
        assert sorted(message.qos for message in messages) == [0, 1, 2]
    return sorted(message.qos for message in messages)


# ---- No Local ----

@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.8.3-3")
def test_no_local(broker, qos):
    client, other = broker.connected(), broker.connected()
    client.subscribe((broker.topic("t"), NO_LOCAL | 2))
    other.subscribe((broker.topic("t"), NO_LOCAL | 2))
    client.publish(broker.topic("t"), b"x", qos=qos)
    assert other.message().payload == b"x"
    broker.nothing_more(client)
    broker.connected().publish(broker.topic("t"), b"of another")
    assert client.message().payload == b"of another"


@v5("MQTT-3.8.3-3")
def test_no_local_is_of_the_client_identifier(broker):
    """What another connection of the same client has sent does not come either."""
    name = broker.name()
    client = broker.connected(name, clean=False, props=[(raw.SESSION_EXPIRY_INTERVAL, 60)])
    client.subscribe((broker.topic("t"), NO_LOCAL | 1))
    client.disconnect()
    client = broker.connected(name, clean=False, props=[(raw.SESSION_EXPIRY_INTERVAL, 60)])
    client.publish(broker.topic("t"), b"x", qos=1)
    broker.nothing_more(client)


@v5("MQTT-3.8.3-3")
def test_no_local_is_of_each_subscription(broker):
    client = broker.connected()
    client.subscribe((broker.topic("+"), NO_LOCAL), (broker.topic("t"), 0))
    client.publish(broker.topic("t"), b"x")
    assert client.message().payload == b"x"
    broker.nothing_more(client)


@v5("MQTT-3.8.3-3", "MQTT-3.3.1-9")
def test_no_local_and_a_retained_message_of_ones_own(broker):
    client = broker.connected()
    client.publish(broker.topic("t"), b"own", retain=True)
    client.send(raw.subscribe(V5, 1, [(broker.topic("t"), NO_LOCAL)]) + raw.pingreq())
    names = []
    while "PINGRESP" not in names:
        names.append(client.receive().name)
    return sorted(names)


# ---- unsubscribe ----

@v5("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2")
def test_unsuback_has_a_code_for_each_filter_in_order(broker):
    client = broker.connected()
    client.subscribe(broker.topic("a"), broker.topic("b"), broker.topic("c"))
    client.send(raw.unsubscribe(V5, 777, [broker.topic(name) for name in ("never", "c", "a", "never", "a")]))
    answer = client.expect(raw.UNSUBACK, packet_id=777)
    assert len(answer.codes) == 5 and set(answer.codes) <= UNSUBACK_CODES and answer.codes[1:3] == [0, 0]
    assert all(answer.codes[index] in (0, NO_SUBSCRIPTION_EXISTED) for index in (0, 3, 4))
    return answer.codes


@v5("MQTT-3.10.4-4", "MQTT-3.10.4-5")
def test_unsubscribing_from_nothing_is_answered(broker):
    return broker.connected().unsubscribe(broker.topic("never")).codes


@v5("MQTT-3.10.4-1", "MQTT-3.10.4-2")
def test_after_unsubscribe_nothing_more_comes(broker):
    client, sender = broker.connected(), broker.connected()
    for name in ("a", "b", "c"):
        client.subscribe(broker.topic(name), qos=2)
    client.unsubscribe(broker.topic("a"))
    for name in ("a", "b", "c"):
        sender.publish(broker.topic(name), name, qos=1)
    assert [client.message().payload for _ in range(2)] == [b"b", b"c"]
    broker.nothing_more(client)


@pytest.mark.parametrize("subscribed, unsubscribed", (("a/+", "a/b"), ("a/#", "a/+"), ("a/b", "a/+"), ("a/b", "#"),
                                                      ("a/b", "A/b"), ("a/b", "a/b/")))
@v5("MQTT-3.10.4-1", "MQTT-4.7.3-4")
def test_unsubscribe_compares_character_by_character(broker, subscribed, unsubscribed):
    client = broker.connected()
    client.subscribe(broker.topic(subscribed))
    answer = client.unsubscribe(broker.topic(unsubscribed))
    broker.connected().publish(broker.topic("a/b"), b"x")
    assert client.message().payload == b"x"
    return answer.codes


@v5("MQTT-3.10.4-6")
def test_unsubscribe_of_several_filters_ends_them_all(broker):
    client, sender = broker.connected(), broker.connected()
    client.subscribe(*(broker.topic(name) for name in "abc"))
    client.unsubscribe(broker.topic("a"), broker.topic("c"))
    for name in "abc":
        sender.publish(broker.topic(name), name)
    sender.ping()
    assert client.message().payload == b"b"
    broker.nothing_more(client)


@v5("MQTT-3.10.4-3")
def test_a_delivery_that_has_begun_is_finished_after_unsubscribe(broker):
    client = broker.subscribed(broker.topic("t"), qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    client.unsubscribe(broker.topic("t"))
    pubrec(client, message)
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    pubcomp(client, message)
    client.ping()


@v5("MQTT-3.10.3-2")
def test_an_unsubscribe_without_a_filter_is_refused(broker):
    refuses(broker, raw.unsubscribe(V5, 1, []), PROTOCOL, MALFORMED)


@pytest.mark.parametrize("name", ("", *BAD_FILTERS), ids=lambda name: name or "empty")
@v5("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1")
def test_unsubscribe_with_a_malformed_filter_is_refused(broker, name):
    packet = raw.unsubscribe(V5, 1, [name])
    refuses_filter(broker, packet, raw.UNSUBACK, UNSPECIFIED, FILTER_INVALID, NO_SUBSCRIPTION_EXISTED)


@v5("MQTT-3.10.4-3", "MQTT-3.8.4-4")
def test_subscribing_anew_after_unsubscribe(broker):
    client, sender = broker.connected(), broker.connected()
    for payload in (b"1", b"2"):
        client.subscribe(broker.topic("t"), qos=1)
        sender.publish(broker.topic("t"), payload, qos=1)
        assert client.message().payload == payload
        assert client.unsubscribe(broker.topic("t")).codes == [0]
        sender.publish(broker.topic("t"), b"lost", qos=1)
    broker.nothing_more(client)


@v5("MQTT-3.8.4-1")
def test_subscribe_and_unsubscribe_without_waiting(broker):
    client = broker.connected()
    for number in range(1, 21):
        if number % 2:
            client.send(raw.subscribe(V5, number, [(broker.topic("t"), 1)]))
        else:
            client.send(raw.unsubscribe(V5, number, [broker.topic("t")]))
    for number in range(1, 21):
        client.expect(raw.SUBACK if number % 2 else raw.UNSUBACK, packet_id=number)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    broker.nothing_more(client)


@v5("MQTT-4.13.1-1")
def test_a_refused_subscribe_leaves_no_subscription(broker):
    subscriber = broker.connected()
    subscriber.send(raw.subscribe(V5, 1, [(broker.topic("t"), 0), ("a", 0x80)]))
    refused(broker, subscriber, PROTOCOL, MALFORMED)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
