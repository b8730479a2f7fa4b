# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.1.2.11.3, 3.1.2.11.4 and 4.9: the client's Receive Maximum and Maximum Packet Size."""
import pytest

import raw
from raw import V5
from v5 import IMPLEMENTATION, puback, pubcomp, pubrec, session, take, takes, v5


def limited(broker, maximum, *, qos=2, name=None, subscribe=True):
    """A subscriber with this Receive Maximum."""
    client = broker.connected(name or broker.name(), **session(60, (raw.RECEIVE_MAXIMUM, maximum)))
    if subscribe:
        client.subscribe(broker.topic("t"), qos=qos)
    return client


def send(broker, count, qos, sender=None):
    sender = sender or broker.connected()
    for number in range(count):
        sender.publish(broker.topic("t"), str(number), qos=qos)
    return sender


@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("maximum", (1, 3))
@v5("MQTT-3.3.4-9", "MQTT-4.9.0-2", "MQTT-4.9.0-1", "MQTT-4.9.0-3", "MQTT-3.3.4-10")
def test_no_more_than_the_receive_maximum_is_under_way(broker, maximum, qos):
    client = limited(broker, maximum)
    sender = send(broker, maximum + 3, qos)
    messages = [client.message(acknowledge=False) for _ in range(maximum)]
    sender.publish(broker.topic("t"), b"QoS 0")
    sender.ping()
    client.send(raw.subscribe(V5, 900, [(broker.topic("other"), 0)]) + raw.pingreq())
    found = set()
    while "PINGRESP" not in found:
        packet = client.receive()
        found.add(packet.name)
        assert packet.type != raw.PUBLISH or packet.qos == 0, "one too many"
    assert {"SUBACK", "PINGRESP"} <= found, "nothing else may wait"
    for _ in range(3):
        message = messages.pop(0)
        (puback if qos == 1 else pubrec)(client, message)
        if qos == 2:
            client.expect(raw.PUBREL, packet_id=message.packet_id)
            pubcomp(client, message)
        messages.append(client.message(acknowledge=False))
    assert [int(message.payload) for message in messages] == list(range(3, maximum + 3))
    client.ping()


@v5("MQTT-3.3.4-9", "MQTT-4.9.0-2")
def test_pubrec_alone_does_not_make_room(broker):
    client = limited(broker, 1)
    send(broker, 2, 2)
    message = client.message(acknowledge=False)
    pubrec(client, message)
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    broker.nothing_more(client)
    pubcomp(client, message)
    assert take(client).payload == b"1"


@v5("MQTT-3.3.4-9", "MQTT-4.4.0-2")
def test_pubrec_with_an_error_makes_room(broker):
    client = limited(broker, 1)
    send(broker, 2, 2)
    pubrec(client, client.message(acknowledge=False), IMPLEMENTATION)
    assert take(client).payload == b"1"


@v5("MQTT-3.3.4-9")
def test_puback_with_an_error_makes_room(broker):
    client = limited(broker, 1)
    send(broker, 2, 1)
    puback(client, client.message(acknowledge=False), IMPLEMENTATION)
    assert take(client).payload == b"1"


@v5("MQTT-3.3.4-9")
def test_qos_1_and_qos_2_share_the_receive_maximum(broker):
    client = limited(broker, 2)
    sender = broker.connected()
    for qos in (1, 2, 1):
        sender.publish(broker.topic("t"), str(qos), qos=qos)
    first, second = (client.message(acknowledge=False) for _ in range(2))
    broker.nothing_more(client)
    assert (first.qos, second.qos) == (1, 2)
    puback(client, first)
    assert client.message().qos == 1


@v5("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.4.0-1")
def test_redelivery_keeps_to_the_receive_maximum_of_the_new_connection(broker):
    name = broker.name()
    client = limited(broker, 5, qos=1, name=name)
    send(broker, 5, 1)
    first = [client.message(acknowledge=False) for _ in range(5)]
    client.reset()
    client = limited(broker, 2, name=name, subscribe=False)
    again = [client.message(acknowledge=False) for _ in range(2)]
    assert [message.packet_id for message in again] == [message.packet_id for message in first[:2]]
    broker.nothing_more(client)
    for number in range(2, 5):
        puback(client, again.pop(0))
        again.append(client.message(acknowledge=False))
        assert again[-1].payload == str(number).encode() and again[-1].dup


@v5("MQTT-3.3.4-9")
def test_queued_messages_keep_to_the_receive_maximum(broker):
    name = broker.name()
    limited(broker, 10, qos=1, name=name).disconnect()
    send(broker, 5, 1)
    client = limited(broker, 2, name=name, subscribe=False)
    found = [client.message(acknowledge=False) for _ in range(2)]
    broker.nothing_more(client)
    for _ in range(3):
        puback(client, found.pop(0))
        found.append(client.message(acknowledge=False))
    assert [message.payload for message in found] == [b"3", b"4"]


@v5("MQTT-3.3.4-9", "MQTT-3.3.1-9")
def test_retained_messages_keep_to_the_receive_maximum(broker):
    sender = broker.connected()
    for number in range(4):
        sender.publish(broker.topic(f"r/{number}"), str(number), qos=1, retain=True)
    client = limited(broker, 2, subscribe=False)
    client.send(raw.subscribe(V5, 1, [(broker.topic("r/+"), 1)]) + raw.pingreq())
    found = []
    while True:
        packet = client.receive()
        if packet.type == raw.PUBLISH:
            found.append(packet)
        if packet.type == raw.PINGRESP:
            break
    assert len(found) == 2
    for message in list(found):
        puback(client, message)
        found.append(client.message(acknowledge=False))
    assert sorted(message.payload for message in found) == [b"0", b"1", b"2", b"3"]


@v5("MQTT-4.9.0-1")
def test_without_a_receive_maximum_many_may_be_under_way(broker):
    client = broker.subscribed(broker.topic("t"), qos=1)
    send(broker, 20, 1)
    messages = [client.message(acknowledge=False) for _ in range(20)]
    assert [int(message.payload) for message in messages] == list(range(20))


@v5("MQTT-3.3.4-8")
def test_a_client_may_send_other_packets_while_its_publishes_wait(broker):
    client = broker.connected()
    for number in range(1, 11):
        client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=number))
        client.expect(raw.PUBREC, packet_id=number)
    client.subscribe(broker.topic("other"))
    client.unsubscribe(broker.topic("other"))
    client.ping()
    for number in range(1, 11):
        client.send(raw.ack(raw.PUBREL, V5, number))
        client.expect(raw.PUBCOMP, packet_id=number)


# ---- packet sizes ----

def small(broker, size, *, qos=2, name=None, subscribe=True):
    client = broker.connected(name or broker.name(), **session(60, (raw.MAXIMUM_PACKET_SIZE, size)))
    if subscribe:
        client.subscribe(broker.topic("t"), qos=qos)
    return client


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25", "MQTT-3.3.4-9")
def test_a_message_that_is_too_large_for_a_client_is_left_out(broker, qos):
    """And the flow goes on behind it, and others get it."""
    client, other = small(broker, 100), broker.subscribed(broker.topic("t"), qos=2)
    sender = broker.connected()
    for payload in (b"before", b"x" * 200, b"after"):
        sender.publish(broker.topic("t"), payload, qos=qos)
    assert [message.payload for message in takes(client, 2)] == [b"before", b"after"]
    assert [len(message.payload) for message in takes(other, 3)] == [6, 200, 5]


def overhead(broker, qos):
    """How much longer a PUBLISH is than its payload."""
    return len(raw.publish(V5, broker.topic("t"), b"x" * 50, qos=qos, packet_id=1 if qos else None)) - 50


@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.1.2-24")
def test_a_message_of_just_the_maximum_size_comes(broker, qos):
    client = small(broker, overhead(broker, qos) + 50)
    broker.connected().publish(broker.topic("t"), b"x" * 50, qos=qos)
    assert len(takes(client, 1)[0].payload) == 50


@pytest.mark.parametrize("more", range(1, 6))
@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_a_message_of_a_few_bytes_more_is_left_out(broker, more):
    """Neither sent, nor the end of the connection."""
    client = small(broker, overhead(broker, 1) + 50)
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"x" * (50 + more), qos=1)
    sender.publish(broker.topic("t"), b"small", qos=1)
    assert takes(client, 1)[0].payload == b"small"


@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_properties_count(broker):
    client = small(broker, 150)
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"1", qos=1, props=[(raw.USER_PROPERTY, ("n", "v" * 200))])
    sender.publish(broker.topic("t"), b"2", qos=1, props=[(raw.USER_PROPERTY, ("n", "v"))])
    assert take(client).payload == b"2"
    broker.nothing_more(client)


@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25", "MQTT-3.3.1-9")
def test_a_retained_message_that_is_too_large_is_left_out(broker):
    sender = broker.connected()
    sender.publish(broker.topic("t/large"), b"x" * 200, qos=1, retain=True)
    sender.publish(broker.topic("t/small"), b"x", qos=1, retain=True)
    client = small(broker, 100, subscribe=False)
    client.subscribe(broker.topic("t/+"), qos=1)
    assert take(client).topic == broker.topic("t/small")
    broker.nothing_more(client)


@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_a_queued_message_that_is_too_large_is_left_out(broker):
    name = broker.name()
    small(broker, 1000, qos=1, name=name).disconnect()
    sender = broker.connected()
    for payload in (b"x" * 200, b"small"):
        sender.publish(broker.topic("t"), payload, qos=1)
    client = small(broker, 100, name=name, subscribe=False)
    assert take(client).payload == b"small"
    broker.nothing_more(client)


@v5("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_a_will_that_is_too_large_is_left_out(broker):
    client, other = small(broker, 100), broker.subscribed(broker.topic("t"))
    broker.connected(will=raw.Will(broker.topic("t"), b"x" * 200)).abort()
    assert len(take(other).payload) == 200
    broker.nothing_more(client)


@v5("MQTT-3.1.2-24")
def test_each_connection_has_its_own_maximum(broker):
    name = broker.name()
    small(broker, 100, qos=1, name=name).disconnect()
    client = small(broker, 10000, name=name, subscribe=False)
    broker.connected().publish(broker.topic("t"), b"x" * 200, qos=1)
    assert len(take(client).payload) == 200


@v5("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2",
    "MQTT-3.7.2-3")
def test_acknowledgements_keep_to_the_clients_maximum_packet_size(broker):
    client = small(broker, 60, subscribe=False)
    sizes = []
    client.send(raw.publish(V5, broker.topic("t"), qos=1, packet_id=1))
    sizes.append(len(client.expect(raw.PUBACK).raw))
    client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=2))
    sizes.append(len(client.expect(raw.PUBREC).raw))
    client.send(raw.ack(raw.PUBREL, V5, 2))
    sizes.append(len(client.expect(raw.PUBCOMP).raw))
    assert max(sizes) <= 60
