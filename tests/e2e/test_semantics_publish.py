# SPDX-License-Identifier: Apache-2.0
"""PUBLISH and its acknowledgements, seen from both ends: what the proxy drops leaves no trace and holds nothing up."""
import pytest

import raw
from played import POLICY, connected, nothing_came, played_world, session
from raw import V5, V311

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
QOS = pytest.mark.parametrize("qos", (1, 2), ids=("qos1", "qos2"))


@pytest.fixture(scope="module")
def world(make_shared_world):
    return played_world(make_shared_world)


def answer_of(qos):
    return raw.PUBACK if qos == 1 else raw.PUBREC


def denied(version, packet_id, qos=1, **options):
    return raw.publish(version, "closed", b"x", qos=qos, packet_id=packet_id, **options)


def allowed(version, packet_id, qos=1, **options):
    return raw.publish(version, "open/a", b"x", qos=qos, packet_id=packet_id, **options)


# ---- denied ----

@VERSIONS
def test_a_denied_message_is_answered_without_the_broker(world, version):
    client, broker = session(world, version)
    client.publish("closed", b"x")
    client.publish("closed", b"x", qos=1, code=0x87)
    client.publish("closed", b"x", qos=2, code=0x87)
    nothing_came(broker, client)


@VERSIONS
@QOS
def test_a_retransmission_is_judged_as_the_first_was(world, version, qos):
    """The PUBLISH that it repeats may have been sent in an earlier connection: nothing is known of it here."""
    client, broker = session(world, version, clean=False)
    client.send(denied(version, 9, qos, dup=True))
    assert client.expect(answer_of(qos), packet_id=9).code == (0x87 if version == V5 else 0)
    sent = allowed(version, 10, qos, dup=True)
    client.send(sent)
    assert broker.expect(raw.PUBLISH).raw == sent


def test_pubrec_0x87_ends_the_flow(world):
    """[MQTT-4.3.3-4]: the packet id is free at once, whatever it is used for next."""
    client, broker = session(world)
    for _ in range(3):
        client.send(denied(V5, 7, 2))
        client.expect(raw.PUBREC, packet_id=7, code=0x87)
    client.send(allowed(V5, 7, 2))
    broker.expect(raw.PUBLISH, packet_id=7)
    broker.send(raw.ack(raw.PUBREC, V5, 7))
    client.expect(raw.PUBREC, packet_id=7, code=0)
    client.send(raw.ack(raw.PUBREL, V5, 7))
    broker.expect(raw.PUBREL, packet_id=7)


@pytest.mark.parametrize("version", (raw.V31, V311), ids=("v3.1", "v3.1.1"))
def test_a_denied_qos_2_flow_of_3_x_is_the_proxys_from_end_to_end(world, version):
    client, broker = session(world, version)
    client.send(denied(version, 7, 2))
    client.expect(raw.PUBREC, packet_id=7)
    client.send(denied(version, 7, 2, dup=True))
    client.expect(raw.PUBREC, packet_id=7)
    client.send(raw.ack(raw.PUBREL, version, 7))
    client.expect(raw.PUBCOMP, packet_id=7)
    nothing_came(broker, client)
    client.send(allowed(version, 7, 2))
    broker.expect(raw.PUBLISH, packet_id=7)


BOUNDED = """\
version: 1
policy: bounded
identity:
  - anonymous: {id: guest}
rules:
  - rule: bounded
    who: everyone
    allow: publish
    topics: [open/#]
    if: {max_qos: 1, retain: false, max_size: 10}
"""


@VERSIONS
def test_what_was_allowed_once_opens_nothing_that_is_not(make_world, version):
    """Every message is judged with its own QoS, retain flag and size, however often its topic has passed."""
    world = played_world(make_world, BOUNDED)
    client, broker = session(world, version)
    for _ in range(3):
        sent = raw.publish(version, "open/a", b"0123456789", qos=1, packet_id=1)
        client.send(sent)
        assert broker.expect(raw.PUBLISH).raw == sent
        broker.send(raw.ack(raw.PUBACK, version, 1))
        client.expect(raw.PUBACK)
        client.publish("open/a", b"0123456789", qos=2, code=0x87)
        client.publish("open/a", b"0123456789", qos=1, retain=True, code=0x87)
        client.publish("open/a", b"", qos=1, retain=True, code=0x87)
        client.publish("open/a", b"0123456789a", qos=1, code=0x87)
    nothing_came(broker, client)


# ---- Receive Maximum ----

@QOS
def test_messages_that_were_denied_and_answered_leave_the_brokers_receive_maximum_free(world, qos):
    client, broker = session(world, connack=[(raw.RECEIVE_MAXIMUM, 2)])
    for packet_id in range(1, 21):
        client.send(denied(V5, packet_id, qos))
        client.expect(answer_of(qos), packet_id=packet_id, code=0x87)
    for packet_id in (21, 22):
        client.send(allowed(V5, packet_id, qos))
        broker.expect(raw.PUBLISH, packet_id=packet_id)
    client.send(allowed(V5, 23, qos))
    client.expect_disconnect(0x93)
    broker.expect_closed()


@QOS
def test_messages_that_were_denied_and_wait_for_their_answer_count(world, qos):
    client, broker = session(world, connack=[(raw.RECEIVE_MAXIMUM, 2)])
    client.send(allowed(V5, 1, qos))
    broker.expect(raw.PUBLISH, packet_id=1)
    client.send(denied(V5, 2, qos) + denied(V5, 3, qos))
    client.expect_disconnect(0x93)


def test_the_clients_receive_maximum_is_the_brokers_to_keep(world):
    """What the proxy filters takes a place in the broker's window until it is acknowledged, and it is, in its turn."""
    client, broker, connect, _ = connected(world, props=[(raw.RECEIVE_MAXIMUM, 2)])
    assert connect.prop(raw.RECEIVE_MAXIMUM) == 2
    for first in range(1, 41, 2):
        broker.send(raw.publish(V5, "open/a", b"x", qos=1, packet_id=first)
                    + raw.publish(V5, "open/hidden/a", b"x", qos=1, packet_id=first + 1))
        client.expect(raw.PUBLISH, packet_id=first)
        client.send(raw.ack(raw.PUBACK, V5, first))
        assert [broker.expect(raw.PUBACK).packet_id for _ in range(2)] == [first, first + 1]


# ---- the order of acknowledgements ----

@VERSIONS
@QOS
def test_acks_for_filtered_deliveries_wait_behind_the_clients(world, version, qos):
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3] hold for a client, too, and so for what the proxy acknowledges in its stead."""
    client, broker = session(world, version)
    kind = answer_of(qos)
    for packet_id, topic in ((1, "open/a"), (2, "open/hidden/a"), (3, "open/b"), (4, "open/hidden/b")):
        broker.send(raw.publish(version, topic, b"x", qos=qos, packet_id=packet_id))
    assert [client.expect(raw.PUBLISH).packet_id for _ in range(2)] == [1, 3]
    with pytest.raises(TimeoutError):
        broker.receive(0.3)
    client.send(raw.ack(kind, version, 1))
    assert [broker.expect(kind).packet_id for _ in range(2)] == [1, 2]
    with pytest.raises(TimeoutError):
        broker.receive(0.3)
    client.send(raw.ack(kind, version, 3))
    assert [broker.expect(kind).packet_id for _ in range(2)] == [3, 4]


@VERSIONS
@QOS
def test_a_filtered_delivery_is_acknowledged_to_its_end(world, version, qos):
    client, broker = session(world, version)
    for packet_id in (5, 6, 5):
        broker.send(raw.publish(version, "open/hidden/a", b"x", qos=qos, packet_id=packet_id))
        broker.expect(answer_of(qos), packet_id=packet_id, code=0)
        if qos == 2:
            broker.send(raw.ack(raw.PUBREL, version, packet_id))
            broker.expect(raw.PUBCOMP, packet_id=packet_id, code=0)
    broker.send(raw.publish(version, "open/a", b"end"))
    assert client.expect(raw.PUBLISH).payload == b"end"


# ---- topics and properties ----

def test_a_message_without_its_alias_is_otherwise_the_same(world):
    client, broker = session(world)
    kept = [(raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.MESSAGE_EXPIRY_INTERVAL, 5), (raw.CONTENT_TYPE, "text/x"),
            (raw.CORRELATION_DATA, b"\0\1"), (raw.USER_PROPERTY, ("a", "1")), (raw.USER_PROPERTY, ("a", "2"))]
    for packet_id, topic in ((1, "open/a"), (2, ""), (3, "")):
        flags = {"qos": packet_id - 1, "retain": packet_id == 2, "dup": packet_id == 3}
        client.send(raw.publish(V5, topic, b"text", packet_id=packet_id if flags["qos"] else None,
                                props=kept[:2] + [(raw.TOPIC_ALIAS, 4)] + kept[2:], **flags))
        packet = broker.expect(raw.PUBLISH, topic="open/a", payload=b"text", **flags)
        assert packet.properties == kept


PRIVILEGE = """\
version: 1
policy: privilege
identity:
  - anonymous: {id: guest}
rules:
  - rule: trees
    who: everyone
    allow: [publish, subscribe]
    topics: ["$CONTROL/#", "$SYS/#", "$other/#", "#"]
"""


@pytest.mark.parametrize("privileged", (False, True), ids=("without", "with"))
def test_the_brokers_own_trees_need_the_privilege(make_world, privileged):
    """For a will as for a publish; not for what is read."""
    policy = PRIVILEGE + ("    privileged: true\n" if privileged else "")
    world = played_world(make_world, policy)
    client, broker = session(world)
    for topic in ("$CONTROL/dynamic-security/v1", "$SYS/broker/x", "$SYS", "$CONTROL"):
        if privileged:
            client.send(raw.publish(V5, topic, b"x"))
            broker.expect(raw.PUBLISH, topic=topic)
            session(world, will=raw.Will(topic, b"x"))
        else:
            client.publish(topic, b"x", qos=1, code=0x87)
            world.client(V5).connect(world.name(), will=raw.Will(topic, b"x"), code=0x87)
            world.audit.wait_for(action="mqtt-will-denied", reason="not_privileged", topic=topic)
    client.send(raw.publish(V5, "$other/x", b"x") + raw.publish(V5, "a/$SYS", b"x"))
    assert [broker.expect(raw.PUBLISH).topic for _ in range(2)] == ["$other/x", "a/$SYS"]
    broker.send(raw.publish(V5, "$SYS/uptime", b"1"))
    assert client.expect(raw.PUBLISH).topic == "$SYS/uptime"


def test_a_response_topic_that_the_requester_may_not_receive_is_refused(world):
    """Else it could have a responder write where it may not."""
    client, broker = session(world)
    for response in ("open/answer", "open/hidden/x", "closed"):
        sent = raw.publish(V5, "open/ask", b"x", qos=1, packet_id=1, props=[(raw.RESPONSE_TOPIC, response)])
        client.send(sent)
        if response == "open/answer":
            assert broker.expect(raw.PUBLISH).raw == sent
            broker.send(raw.ack(raw.PUBACK, V5, 1))
            client.expect(raw.PUBACK, code=0)
        else:
            client.expect(raw.PUBACK, code=0x87)
    nothing_came(broker, client)


def test_a_quota_says_0x97(make_world):
    world = played_world(make_world, POLICY + "limits: {topic_levels: 3}\n")
    client, broker = session(world)
    client.publish("open/2/3/4", b"x", qos=1, code=0x97)
    client.publish("open/2/3/4", b"x", qos=2, code=0x97)
    client.subscribe("open/2/3/4", codes=[0x97])
    world.audit.wait_for_count(2, action="mqtt-publish-denied", reason="topic_too_deep")
    client.send(raw.publish(V5, "open/2/3", b"x"))
    assert broker.expect(raw.PUBLISH).topic == "open/2/3"
