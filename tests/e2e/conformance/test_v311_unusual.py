# SPDX-License-Identifier: Apache-2.0
"""What clients do that no statement speaks of, or only of the client: the server under test and the one behind it must
treat it alike."""
import pytest

import raw
from harness import statement
from raw import V31, V311


def observed(client, count=None):
    """The packets up to PINGRESP or the end, or so many, as (name, identifier or payload)."""
    got = []
    while count is None or len(got) < count:
        packet = client.receive()
        if packet is None:
            return got + ["end"]
        if packet.type == raw.PINGRESP and count is None:
            return got
        got.append((packet.name, packet.payload if packet.type == raw.PUBLISH else packet.packet_id))
    return got


# ---- all in one segment ----

@pytest.mark.parametrize("qos", (0, 1, 2))
@pytest.mark.parametrize("end", ("disconnect", "close", "reset after reading"))
@statement("MQTT-3.1.4-5", version=(V31, V311))
def test_a_client_may_connect_publish_and_leave_without_waiting(broker, qos, end):
    """What small devices do: nothing is read, and the message arrives."""
    observer = broker.subscribed(qos=2)
    client = broker.client()
    data = raw.connect(broker.version, broker.name()) + raw.publish(broker.version, broker.topic(), b"x", qos=qos)
    if qos == 2:
        data += raw.ack(raw.PUBREL, broker.version, 1)
    client.send(data + (raw.disconnect(broker.version) if end == "disconnect" else b""))
    if end == "close":
        client.sock.shutdown(1)
    elif end == "reset after reading":
        client.expect(raw.CONNACK, code=0)
        if qos:
            client.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
        else:
            client.ping()
    message = observer.message()
    assert (message.payload, message.qos) == (b"x", qos)
    if end == "reset after reading":
        client.reset()


@statement("MQTT-3.1.2-8", version=(V31, V311))
def test_a_client_that_connects_and_vanishes_leaves_its_will(broker):
    observer = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(broker.version, broker.name(), will=broker.farewell()))
    client.expect(raw.CONNACK, code=0)
    client.reset()
    assert observer.message().topic == broker.topic("farewell")


@statement("MQTT-3.14.4-3", version=(V31, V311))
def test_a_client_that_connects_and_disconnects_in_one_segment_leaves_no_will(broker):
    observer = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(broker.version, broker.name(), will=broker.farewell()) + raw.disconnect(broker.version))
    client.expect(raw.CONNACK, code=0)
    client.expect_closed()
    assert broker.delivered(observer) == []


@statement(version=(V31, V311))
def test_a_client_that_closes_its_side_after_a_subscribe_keeps_its_subscription(broker):
    name, topic = broker.name(), broker.topic()
    observer = broker.subscribed(broker.topic("farewell"))
    client = broker.client()
    client.send(raw.connect(broker.version, name, clean=False, will=broker.farewell())
                + raw.subscribe(broker.version, 1, [(topic, 1)]))
    client.sock.shutdown(1)
    assert observer.message().topic == broker.topic("farewell")
    broker.connected().publish(topic, b"x", qos=1)
    client = broker.connected(name, clean=False)
    assert client.message().payload == b"x"


@statement("MQTT-3.1.2-4")
def test_a_session_survives_twenty_quick_reconnects(broker):
    name, topic = broker.name(), broker.topic()
    broker.subscribed(topic, qos=1, client_id=name, clean=False).disconnect()
    publisher = broker.connected()
    for number in range(20):
        publisher.publish(topic, str(number), qos=1)
        client = broker.connected(name, clean=False)
        assert client.message().payload == str(number).encode()
        client.ping()
        client.disconnect()


# ---- identifiers in use ----

@statement("MQTT-2.3.1-2", version=(V31, V311))
def test_one_identifier_for_packets_of_several_types_at_once(broker):
    client = broker.connected()
    version = broker.version
    client.send(raw.subscribe(version, 1, [(broker.topic(), 0)]) + raw.publish(version, broker.topic("x"), b"1", qos=1)
                + raw.publish(version, broker.topic("x"), b"2", qos=2) + raw.unsubscribe(version, 1, [broker.topic()])
                + raw.pingreq())
    return observed(client)


@pytest.mark.parametrize("kind", ("PUBLISH QoS 1", "SUBSCRIBE", "UNSUBSCRIBE"))
@statement("MQTT-2.3.1-2", version=(V31, V311))
def test_one_identifier_for_several_packets_of_a_type_at_once(broker, kind):
    client = broker.connected()
    version, topic = broker.version, broker.topic()
    packet = {"PUBLISH QoS 1": raw.publish(version, topic, b"x", qos=1, packet_id=9),
              "SUBSCRIBE": raw.subscribe(version, 9, [(topic, 0)]),
              "UNSUBSCRIBE": raw.unsubscribe(version, 9, [topic])}[kind]
    client.send(packet * 3 + raw.pingreq())
    got = observed(client)
    assert len(got) == 3 and len(set(got)) == 1
    return got


@statement("MQTT-2.3.1-2")
def test_identifiers_go_around(broker):
    """All 65535 of them, and the first again."""
    client = broker.connected()
    topic = broker.topic("t")
    for first in range(1, 65536, 1000):
        batch = range(first, min(first + 1000, 65536))
        client.send(b"".join(raw.publish(V311, topic, b"", qos=1, packet_id=number) for number in batch))
        assert [client.expect(raw.PUBACK).packet_id for _ in batch] == list(batch)
    client.publish(topic, b"", qos=1, packet_id=1)


@statement("MQTT-2.3.1-3", version=(V31, V311))
def test_another_message_with_the_identifier_of_an_unreleased_one_is_treated_alike(broker):
    observer = broker.subscribed(qos=2)
    client = broker.connected()
    version, topic = broker.version, broker.topic()
    client.send(raw.publish(version, topic, b"first", qos=2, packet_id=9))
    client.expect(raw.PUBREC, packet_id=9)
    client.send(raw.publish(version, topic, b"another", qos=2, packet_id=9) + raw.pingreq())
    got = observed(client)
    if got[-1:] != ["end"]:
        client.send(raw.ack(raw.PUBREL, version, 9) + raw.pingreq())
        got += observed(client)
    return got, [message.payload for message in broker.delivered(observer)]


# ---- acknowledgements that do not fit ----

WRONG_ANSWERS = {
    "PUBREC to QoS 1": (1, (raw.PUBREC,)),
    "PUBCOMP to QoS 1": (1, (raw.PUBCOMP,)),
    "PUBREL to QoS 1": (1, (raw.PUBREL,)),
    "PUBACK twice": (1, (raw.PUBACK, raw.PUBACK)),
    "PUBACK to QoS 2": (2, (raw.PUBACK,)),
    "PUBCOMP to QoS 2": (2, (raw.PUBCOMP,)),
    "PUBREL to QoS 2": (2, (raw.PUBREL,)),
    "PUBREC three times": (2, (raw.PUBREC, raw.PUBREC, raw.PUBREC)),
    "PUBREC and PUBACK": (2, (raw.PUBREC, raw.PUBACK)),
    "PUBREC after PUBCOMP": (2, (raw.PUBREC, raw.PUBCOMP, raw.PUBREC)),
    "PUBCOMP twice": (2, (raw.PUBREC, raw.PUBCOMP, raw.PUBCOMP)),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
@statement(version=(V31, V311))
def test_a_wrong_answer_to_a_delivery_is_treated_alike(broker, name):
    qos, kinds = WRONG_ANSWERS[name]
    client = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic(), b"x", qos=qos)
    message = client.message(acknowledge=False)
    got = []
    for kind in kinds:
        client.send(raw.ack(kind, broker.version, message.packet_id) + raw.pingreq())
        got.append(observed(client))
        if got[-1][-1:] == ["end"]:
            break
    return got


# ---- much at once ----

@statement("MQTT-4.1.0-1")
def test_two_thousand_subscriptions_of_one_session(broker):
    name = broker.name()
    client = broker.connected(name, clean=False)
    for first in range(0, 2000, 100):
        client.subscribe(*[(broker.topic(f"t/{number}"), 1) for number in range(first, first + 100)])
    client.disconnect()
    client = broker.connected(name, clean=False)
    publisher = broker.connected()
    for number in range(0, 2000, 97):
        publisher.publish(broker.topic(f"t/{number}"), b"x", qos=1)
        assert client.message().topic == broker.topic(f"t/{number}")


@statement("MQTT-3.10.4-6")
def test_one_unsubscribe_may_name_a_filter_twice(broker):
    client = broker.subscribed(broker.topic("t"), broker.topic("marker"))
    client.unsubscribe(broker.topic("t"), broker.topic("t"))
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert broker.delivered(client) == []


@statement()
def test_fifty_clients_at_once(broker):
    clients = [broker.client() for _ in range(50)]
    for client in clients:
        client.send(raw.connect(V311, broker.name()) + raw.subscribe(V311, 1, [(broker.topic("all"), 1)]))
    for client in clients:
        client.expect(raw.CONNACK, code=0)
        client.expect(raw.SUBACK)
    clients[0].send(raw.publish(V311, broker.topic("all"), b"x" * 10000, qos=1, packet_id=7))
    for client in clients[1:]:
        assert client.message().payload == b"x" * 10000


# ---- shared subscriptions, as brokers have them in 3.1.1 too ----

@statement(version=(V31, V311))
def test_a_message_goes_to_one_of_a_shared_group(broker):
    text = f"$share/{broker.name('g')}/{broker.topic('t')}"
    subscribers = [broker.subscribed(text, broker.topic("marker"), qos=1) for _ in range(3)]
    alone = broker.subscribed(broker.topic("t"), broker.topic("marker"), qos=1)
    publisher = broker.connected()
    for number in range(30):
        publisher.publish(broker.topic("t"), str(number), qos=1)
    got = [sorted(int(message.payload) for message in broker.delivered(subscriber)) for subscriber in subscribers]
    assert sorted(sum(got, [])) == list(range(30))
    assert [int(message.payload) for message in broker.delivered(alone)] == list(range(30))
    return sorted(len(part) for part in got)
