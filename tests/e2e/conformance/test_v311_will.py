# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, section 3.1.2.5: when a will is published, how, and when it is not."""
import pytest

import raw
from harness import statement
from raw import V31, V311


def violate(data):
    """A way to end a connection: the client sends what it must not."""
    def end(broker, client, _):
        client.send(data(broker))
        broker.expect_refused(client)
    return end


def take_over(broker, client, name):
    broker.connected(name)
    client.expect_closed()


ABNORMAL = {
    "close": lambda broker, client, name: client.abort(),
    "reset": lambda broker, client, name: client.reset(),
    "takeover": take_over,
    "malformed packet": violate(lambda broker: raw.publish(broker.version, "a/#", b"x")),
    "packet of a server": violate(lambda broker: raw.connack(broker.version)),
    "packet type 0": violate(lambda broker: b"\x00\x00"),
    "QoS 3": violate(lambda broker: raw.publish(broker.version, "a", b"x", qos=3)),
}


@pytest.mark.parametrize("how", ABNORMAL)
@statement("MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-4.8.0-1", version=(V31, V311))
def test_a_will_is_published_once_when_the_connection_ends_without_disconnect(broker, how):
    observer = broker.subscribed(qos=2)
    name = broker.name()
    client = broker.connected(name, will=raw.Will(broker.topic("will"), b"gone", 1))
    ABNORMAL[how](broker, client, name)
    message = observer.message()
    assert (message.topic, message.payload, message.qos, message.retain, message.dup) \
        == (broker.topic("will"), b"gone", 1, False, False)
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.2-8", "MQTT-3.1.2-24", version=(V31, V311), at_once=True)
def test_a_will_is_published_when_keep_alive_runs_out(broker):
    observer = broker.subscribed()
    client = broker.connected(keep_alive=1, will=broker.farewell())
    broker.gone(observer, client, close=client.expect_closed)


@statement("MQTT-3.1.2-8", "MQTT-3.1.0-2", version=(V31, V311), at_once=True)
def test_a_will_is_published_after_a_second_connect(broker):
    observer = broker.subscribed()
    client = broker.connected(will=broker.farewell())
    client.send(raw.connect(broker.version, broker.name()))
    broker.expect_refused(client)
    assert observer.message(timeout=8).topic == broker.topic("farewell")


@statement("MQTT-3.14.1-1", "MQTT-3.1.2-8")
def test_a_disconnect_with_reserved_flags_is_none(broker):
    observer = broker.subscribed()
    client = broker.connected(will=broker.farewell())
    client.send(b"\xe1\x00")
    broker.expect_refused(client)
    assert observer.message().topic == broker.topic("farewell")
    assert broker.delivered(observer) == []


@statement("MQTT-3.14.4-3", "MQTT-3.1.2-10", version=(V31, V311))
def test_a_will_is_not_published_after_disconnect(broker):
    observer = broker.subscribed()
    client = broker.connected(will=raw.Will(broker.topic("will"), b"gone", 2, True))
    client.disconnect()
    assert broker.delivered(observer) == []
    newcomer = broker.subscribed()
    assert broker.delivered(newcomer) == []


@statement("MQTT-3.14.4-3", "MQTT-3.14.4-2")
def test_what_follows_disconnect_does_not_bring_the_will_back(broker):
    observer = broker.subscribed()
    client = broker.connected(will=raw.Will(broker.topic("will"), b"gone"))
    client.send(raw.disconnect(V311) + b"\x00\x00")
    client.until_closed()
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.2-12", version=(V31, V311))
def test_without_will_flag_nothing_is_published(broker):
    """What tells that the server has noticed is another client's will, later on the same way."""
    observer = broker.subscribed()
    broker.connected().abort()
    last = broker.connected(will=broker.farewell())
    broker.gone(observer, last)
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.2-10", "MQTT-3.1.2-12", version=(V31, V311))
@pytest.mark.parametrize("clean", (True, False), ids=("clean", "persistent"))
def test_a_will_is_of_one_connection_only(broker, clean):
    """The next connection of the same client has its own will, or none."""
    observer = broker.subscribed()
    name = broker.name()
    client = broker.connected(name, clean=clean, will=raw.Will(broker.topic("first"), b"1"))
    client.abort()
    assert observer.message().topic == broker.topic("first")
    client = broker.connected(name, clean=clean, will=raw.Will(broker.topic("second"), b"2"))
    client.abort()
    assert observer.message().topic == broker.topic("second")
    client = broker.connected(name, clean=clean)
    client.abort()
    last = broker.connected(will=broker.farewell())
    broker.gone(observer, last)
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.2-10", "MQTT-3.14.4-3")
def test_a_will_is_not_published_by_a_reconnect_after_disconnect(broker):
    observer = broker.subscribed()
    name = broker.name()
    broker.connected(name, clean=False, will=raw.Will(broker.topic("first"), b"1")).disconnect()
    broker.connected(name, clean=False).disconnect()
    assert broker.delivered(observer) == []


@pytest.mark.parametrize("qos", (0, 1, 2))
@statement("MQTT-3.1.2-9", "MQTT-3.1.2-14", "MQTT-3.8.4-6", version=(V31, V311))
def test_a_will_has_its_qos(broker, qos):
    subscribers = [broker.subscribed(qos=granted) for granted in range(3)]
    broker.connected(will=raw.Will(broker.topic("will"), b"gone", qos)).abort()
    assert [subscriber.message().qos for subscriber in subscribers] == [min(qos, granted) for granted in range(3)]


@pytest.mark.parametrize("qos", (0, 1, 2))
@pytest.mark.parametrize("retain", (False, True), ids=("not retained", "retained"))
@statement("MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.3.1-9", version=(V31, V311))
def test_a_will_is_retained_as_it_says(broker, qos, retain):
    observer = broker.subscribed(qos=2)
    broker.connected(will=raw.Will(broker.topic("will"), b"gone", qos, retain)).abort()
    message = observer.message()
    assert (message.retain, message.qos) == (False, qos)
    newcomer = broker.subscribed(broker.topic("will"), broker.topic("marker"), qos=2)
    kept = [(message.payload, message.retain, message.qos) for message in broker.delivered(newcomer)]
    assert kept == ([(b"gone", True, qos)] if retain else [])


@statement("MQTT-3.1.2-17", "MQTT-3.3.1-10")
def test_an_empty_retained_will_deletes_the_retained_message(broker):
    topic = broker.topic("status")
    broker.connected().publish(topic, b"here", qos=1, retain=True)
    observer = broker.subscribed()
    assert observer.message().retain
    broker.connected(will=raw.Will(topic, b"", 1, True)).abort()
    assert observer.message().payload == b""
    newcomer = broker.subscribed()
    assert broker.delivered(newcomer) == []


@pytest.mark.parametrize("payload", (b"", b"\0", bytes(range(256)), b"w" * 65535), ids=("0", "1", "256", "65535"))
@statement("MQTT-3.1.2-9", version=(V31, V311))
def test_the_message_of_a_will_is_any_bytes(broker, payload):
    observer = broker.subscribed()
    broker.connected(will=raw.Will(broker.topic("will"), payload)).abort()
    assert observer.message().payload == payload


@pytest.mark.parametrize("topic", ("a/#", "+/b", "a/+/b", "#", ""),
                         ids=("a multi-level wildcard", "a single-level wildcard", "one inside", "alone", "nothing"))
@statement("MQTT-4.7.1-1", "MQTT-4.7.3-1", "MQTT-3.1.4-1")
def test_a_will_topic_is_no_filter(broker, topic):
    client = broker.client()
    client.send(raw.connect(V311, broker.name(), will=raw.Will(topic, b"m")))
    return broker.expect_refused(client, connected=False)


@statement("MQTT-3.1.2-8")
def test_the_will_of_a_refused_connect_is_not_published(broker):
    observer = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(V311, "", clean=False, will=raw.Will(broker.topic("will"), b"gone")))
    client.expect(raw.CONNACK, code=2)
    client.expect_closed()
    assert broker.delivered(observer) == []


@statement("MQTT-3.1.2-8", "MQTT-3.1.2-5", version=(V31, V311))
def test_a_client_gets_its_own_will_in_its_next_connection(broker):
    name, topic = broker.name(), broker.topic("will")
    observer = broker.subscribed()
    client = broker.subscribed(topic, qos=1, client_id=name, clean=False, will=raw.Will(topic, b"mine", 1))
    client.abort()
    assert observer.message().payload == b"mine"
    client = broker.connected(name, clean=False)
    message = client.message()
    assert (message.topic, message.payload, message.qos) == (topic, b"mine", 1)


@statement("MQTT-3.1.2-8")
def test_wills_come_in_the_order_of_what_their_clients_published(broker):
    """A message that the client sent just before it vanished comes first, and comes."""
    observer = broker.subscribed(qos=1)
    client = broker.connected(will=raw.Will(broker.topic("t"), b"will", 1))
    client.send(raw.publish(V311, broker.topic("t"), b"last words", qos=1, packet_id=1))
    client.abort()
    assert [observer.message().payload for _ in range(2)] == [b"last words", b"will"]
