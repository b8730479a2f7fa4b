# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 4.8.2: shared subscriptions."""
import pytest

import raw
from raw import V5
from v5 import (FILTER_INVALID, IMPLEMENTATION, MALFORMED, NO_LOCAL, PROTOCOL, UNSPECIFIED, puback, pubrec, refuses,
                refuses_filter, session, take, v5)


def share(broker, suffix="t", group="g"):
    return f"$share/{group}{broker.root.replace('/', '-')}/{broker.topic(suffix)}"


def member(broker, *filters, **options):
    """A client of these filters that drain() can ask, too."""
    client = broker.connected(**options)
    client.subscribe(*filters, broker.topic("drain"))
    return client


def drain(broker, *members):
    """What each of the members has got so far."""
    broker.connected().publish(broker.topic("drain"), qos=1)
    return [[message.payload for message in client.messages_until(broker.topic("drain"))] for client in members]


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-4.8.2-1", "MQTT-4.8.2-2")
def test_each_message_comes_to_one_member(broker, qos):
    first, second = (member(broker, (share(broker), 2)) for _ in range(2))
    sender = broker.connected()
    for number in range(20):
        sender.publish(broker.topic("t"), str(number), qos=qos)
    sender.ping()
    got = drain(broker, first, second)
    assert sorted(map(int, got[0] + got[1])) == list(range(20))
    assert all(got), "both have a share"
    return [len(payloads) for payloads in got]


@v5("MQTT-4.8.2-1")
def test_groups_and_plain_subscriptions_are_apart(broker):
    one, other, plain = broker.connected(), broker.connected(), broker.connected()
    one.subscribe(share(broker, group="one"))
    other.subscribe(share(broker, group="two"))
    plain.subscribe(broker.topic("t"))
    broker.connected().publish(broker.topic("t"), b"x")
    assert [take(client).payload for client in (one, other, plain)] == [b"x"] * 3


@v5("MQTT-4.8.2-1")
def test_a_client_may_have_a_share_and_a_plain_subscription(broker):
    client = member(broker, broker.topic("t"), share(broker))
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    return drain(broker, client)


@v5("MQTT-4.8.2-1", "MQTT-4.7.1-1", "MQTT-4.7.1-2")
def test_a_share_may_have_wildcards(broker):
    client = member(broker, share(broker, "a/+/#"))
    sender = broker.connected()
    for topic in ("a/b", "a/b/c", "b/a", "a"):
        sender.publish(broker.topic(topic), topic, qos=1)
    assert drain(broker, client) == [[b"a/b", b"a/b/c"]]


@pytest.mark.parametrize("granted", range(3))
@v5("MQTT-4.8.2-3", "MQTT-3.8.4-8")
def test_the_granted_qos_counts(broker, granted):
    client = broker.connected()
    assert client.subscribe((share(broker), granted)).codes == [granted]
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    assert take(client).qos == granted


@v5("MQTT-3.8.4-3", "MQTT-4.8.2-3")
def test_a_second_subscription_to_a_share_changes_its_qos(broker):
    client = broker.connected()
    client.subscribe((share(broker), 2))
    assert client.subscribe((share(broker), 1)).codes == [1]
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    assert take(client).qos == 1
    assert client.unsubscribe(share(broker)).codes == [0]
    broker.connected().publish(broker.topic("t"), b"y", qos=1)
    broker.nothing_more(client)


@pytest.mark.parametrize("options", (0x00, 0x10), ids=("retain handling 0", "retain handling 1"))
@v5("MQTT-4.8.2-1")
def test_a_new_member_gets_no_retained_messages(broker, options):
    broker.connected().publish(broker.topic("t"), b"x", retain=True, qos=1)
    client = broker.connected()
    client.subscribe((share(broker), options))
    broker.nothing_more(client)


@v5("MQTT-4.8.2-2", "MQTT-3.10.4-1")
def test_leaving_a_share(broker):
    first, second = (member(broker, share(broker)) for _ in range(2))
    first.unsubscribe(share(broker))
    sender = broker.connected()
    for number in range(4):
        sender.publish(broker.topic("t"), str(number), qos=1)
    assert drain(broker, first, second) == [[], [b"0", b"1", b"2", b"3"]]


@v5("MQTT-3.10.4-1")
def test_unsubscribing_from_the_plain_filter_leaves_the_share(broker):
    client = broker.connected()
    client.subscribe(share(broker))
    codes = client.unsubscribe(broker.topic("t")).codes
    broker.connected().publish(broker.topic("t"), b"x")
    assert take(client).payload == b"x"
    return codes


@v5("MQTT-4.8.2-1")
def test_a_member_that_goes_leaves_its_work_to_the_others(broker):
    first, second = (member(broker, share(broker)) for _ in range(2))
    first.disconnect()
    sender = broker.connected()
    for number in range(4):
        sender.publish(broker.topic("t"), str(number), qos=1)
    assert drain(broker, second) == [[b"0", b"1", b"2", b"3"]]


@v5("MQTT-4.8.2-4", "MQTT-4.8.2-5")
def test_a_qos_2_delivery_stays_with_its_member(broker):
    """It was sent to one, whose connection breaks: nobody else gets it, and it comes again on the next connection."""
    name = broker.name()
    chosen = broker.connected(name, **session())
    chosen.subscribe((share(broker), 2))
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    first = chosen.message(acknowledge=False)
    chosen.reset()
    other = broker.connected()
    other.subscribe((share(broker), 2))
    broker.nothing_more(other)
    chosen = broker.connected(name, **session())
    again = take(chosen)
    assert (again.payload, again.packet_id, again.dup) == (b"x", first.packet_id, True)
    broker.nothing_more(other)


@pytest.mark.parametrize("qos", (1, 2))
@v5("MQTT-4.8.2-6")
def test_what_a_member_refuses_goes_to_nobody_else(broker, qos):
    chosen = broker.connected()
    chosen.subscribe((share(broker), 2))
    broker.connected().publish(broker.topic("t"), b"x", qos=qos)
    message = chosen.message(acknowledge=False)
    other = broker.connected()
    other.subscribe((share(broker), 2))
    (puback if qos == 1 else pubrec)(chosen, message, IMPLEMENTATION)
    broker.nothing_more(chosen)
    broker.nothing_more(other)


@pytest.mark.parametrize("name", ("$share//t", "$share/g", "$share/g/", "$share/", "$share/+/t", "$share/#/t",
                                  "$share/g+/t", "$share/g#/t", "$share/g/a#", "$share/g/#/a"))
@v5("MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-4.7.1-1", "MQTT-4.7.3-1")
def test_a_malformed_share_is_refused(broker, name):
    refuses_filter(broker, raw.subscribe(V5, 1, [(name, 0)]), raw.SUBACK, UNSPECIFIED, FILTER_INVALID)


@v5("MQTT-3.8.3-4")
def test_no_local_on_a_share_is_a_protocol_error(broker):
    refuses(broker, raw.subscribe(V5, 1, [("$share/g/t", NO_LOCAL)]), PROTOCOL, MALFORMED)


@v5("MQTT-4.8.2-1", "MQTT-4.7.2-1")
def test_a_topic_that_looks_like_a_share_is_none(broker):
    """A PUBLISH to "$share/..." is no message to a group."""
    client = member(broker, share(broker))
    sender = broker.connected()
    sender.send(raw.publish(V5, f"$share/g/{broker.topic('t')}", b"x"))
    sender.send(raw.pingreq())
    sender.receive()
    assert drain(broker, client) == [[]]
