# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.2.2.3: a server that has less to offer says so in CONNACK, and holds clients to it."""
import pytest

import raw
from raw import V5
from v5 import (PROTOCOL, QOS_UNSUPPORTED, RECEIVE_MAXIMUM_EXCEEDED, RETAIN_UNSUPPORTED, TOO_LARGE, puback, refused,
                refuses, refuses_connect, takes, v5, world_of)

LIMITS = ("max_qos 1", "retain_available false", "max_keepalive 30", "max_packet_size 2000", "max_inflight_messages 5")


@pytest.fixture(scope="module")
def conformance_servers(request, make_shared_world):
    return world_of(request, make_shared_world, *LIMITS)


@v5("MQTT-3.2.2-9")
def test_connack_tells_the_limits(broker):
    answer = broker.client().connect(broker.name(), keep_alive=60)
    assert answer.prop(raw.MAXIMUM_QOS) == 1
    assert answer.prop(raw.RETAIN_AVAILABLE) == 0
    assert answer.prop(raw.SERVER_KEEP_ALIVE) == 30
    assert answer.prop(raw.MAXIMUM_PACKET_SIZE) == 2000
    return answer.prop(raw.RECEIVE_MAXIMUM)


@v5("MQTT-3.2.2-10", "MQTT-3.8.4-7")
def test_subscriptions_of_every_qos_are_taken(broker):
    client = broker.connected()
    codes = client.subscribe(*((broker.topic(str(qos)), qos) for qos in range(3))).codes
    assert codes[:2] == [0, 1] and codes[2] in (1, 2)
    return codes


@pytest.mark.parametrize("qos", (0, 1))
@v5("MQTT-3.2.2-11")
def test_what_the_limits_allow_passes(broker, qos):
    subscriber = broker.subscribed(qos=1)
    broker.connected().publish(broker.topic("t"), b"x", qos=qos)
    assert subscriber.message().qos == qos


@v5("MQTT-3.2.2-11")
def test_a_higher_qos_is_refused(broker):
    refuses(broker, raw.publish(V5, broker.topic("t"), qos=2, packet_id=1), QOS_UNSUPPORTED, PROTOCOL)


@v5("MQTT-3.2.2-12")
def test_a_will_of_a_higher_qos_is_refused(broker):
    refuses_connect(broker, raw.connect(V5, broker.name(), will=raw.Will(broker.topic("will"), qos=2)), QOS_UNSUPPORTED)


@pytest.mark.parametrize("payload", (b"x", b""), ids=("message", "deletion"))
@v5("MQTT-3.2.2-14")
def test_a_retained_message_is_refused(broker, payload):
    subscriber = broker.subscribed()
    refuses(broker, raw.publish(V5, broker.topic("t"), payload, retain=True), RETAIN_UNSUPPORTED, PROTOCOL)
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.2.2-13")
def test_a_retained_will_is_refused(broker):
    refuses_connect(broker, raw.connect(V5, broker.name(), will=raw.Will(broker.topic("will"), retain=True)),
                    RETAIN_UNSUPPORTED)


@pytest.mark.parametrize("asked, told", ((0, 30), (31, 30), (65535, 30), (30, None), (1, None)))
@v5("MQTT-3.2.2-21", "MQTT-3.2.2-22", "MQTT-3.1.2-21")
def test_the_servers_keep_alive_counts(broker, asked, told):
    assert broker.client().connect(broker.name(), keep_alive=asked).prop(raw.SERVER_KEEP_ALIVE) == told


@pytest.mark.parametrize("qos", (0, 1))
@v5("MQTT-3.2.2-15")
def test_a_packet_of_the_servers_maximum_size_passes(broker, qos):
    topic = broker.topic("t")
    subscriber = broker.subscribed(topic, qos=1)
    client = broker.client()
    size = client.connect(broker.name()).prop(raw.MAXIMUM_PACKET_SIZE)
    overhead = len(raw.publish(V5, topic, b"x" * 1000, qos=qos, packet_id=1 if qos else None)) - 1000
    client.publish(topic, b"x" * (size - overhead), qos=qos)
    assert len(subscriber.message().payload) == size - overhead


@pytest.mark.parametrize("build", (
    lambda topic, size: raw.publish(V5, topic, b"x" * (size + 1)),
    lambda topic, size: raw.publish(V5, topic, b"x" * size * 100, qos=1, packet_id=1),
    lambda topic, size: raw.publish(V5, topic, props=[(raw.USER_PROPERTY, ("n", "v" * size))]),
    lambda topic, size: raw.subscribe(V5, 1, [(f"{topic}/{number}", 0) for number in range(size // len(topic))]),
), ids=("payload", "large payload", "property", "SUBSCRIBE"))
@v5("MQTT-3.2.2-15")
def test_a_packet_above_the_servers_maximum_size_is_refused(broker, build):
    subscriber = broker.subscribed()
    client = broker.client()
    size = client.connect(broker.name()).prop(raw.MAXIMUM_PACKET_SIZE)
    client.send(build(broker.topic("t"), size))
    refused(broker, client, TOO_LARGE)
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.2.2-15", "MQTT-3.1.4-2")
def test_a_connect_above_the_maximum_size_is_refused(broker):
    refuses_connect(broker, raw.connect(V5, broker.name(), username="u" * 5000))


@v5("MQTT-3.3.4-7", "MQTT-4.9.0-1")
def test_the_servers_receive_maximum_can_be_used_up_again_and_again(broker):
    client = broker.client()
    maximum = client.connect(broker.name()).prop(raw.RECEIVE_MAXIMUM)
    for first in range(1, 4 * maximum, maximum):
        for number in range(first, first + maximum):
            client.send(raw.publish(V5, broker.topic("t"), qos=1, packet_id=number))
        for number in range(first, first + maximum):
            client.expect(raw.PUBACK, packet_id=number)
    return maximum


@v5("MQTT-3.3.4-9")
def test_the_servers_window_bounds_what_is_under_way(broker):
    """Less than the client would take; nothing is lost."""
    subscriber = broker.subscribed(qos=1)
    sender = broker.connected()
    for number in range(12):
        sender.publish(broker.topic("t"), str(number), qos=1)
    messages = [subscriber.message(acknowledge=False) for _ in range(5)]
    broker.nothing_more(subscriber)
    for message in messages:
        puback(subscriber, message)
    assert [message.payload for message in takes(subscriber, 7)] == [str(number).encode() for number in range(5, 12)]


@v5("MQTT-3.3.4-7")
def test_more_than_the_servers_receive_maximum(broker):
    """Only while the server owes answers; QoS 1 is answered at once, so that all may be taken."""
    client = broker.connected()
    for number in range(1, 51):
        client.send(raw.publish(V5, broker.topic("t"), qos=1, packet_id=number))
    answers = []
    while len(answers) < 50:
        packet = client.receive()
        if packet is None:
            break
        assert packet.type == raw.PUBACK or (packet.type == raw.DISCONNECT and packet.code == RECEIVE_MAXIMUM_EXCEEDED)
        answers.append(packet.packet_id)
    assert answers == sorted(answers, key=lambda number: number or 99)
