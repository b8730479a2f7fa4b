# SPDX-License-Identifier: Apache-2.0
"""Topic aliases (MQTT 5.0): every message is judged by its full topic, whatever was dropped before."""
import pytest

import raw
from audit import get

pytestmark = pytest.mark.needs("v5.0")
POLICY = """\
version: 1
policy: aliases
identity:
  - anonymous: {id: guest}
rules:
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
"""


def alias(number):
    return [(raw.TOPIC_ALIAS, number)]


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


def test_the_proxys_own_maximum_is_announced(world):
    client = world.client()
    assert client.connect(world.name()).prop(raw.TOPIC_ALIAS_MAXIMUM) == 16


def test_no_alias_is_announced_where_the_listener_allows_none(make_world):
    world = make_world(POLICY, listeners=[{"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "topic_alias_maximum": 0}])
    client = world.client()
    assert client.connect(world.name()).prop(raw.TOPIC_ALIAS_MAXIMUM, 0) == 0
    client.send(raw.publish(raw.V5, "open/a", props=alias(1)))
    assert [(packet.name, packet.code) for packet in client.until_closed()] == [("DISCONNECT", 0x94)]


@pytest.mark.core
@pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
def test_an_alias_stands_for_its_topic(world, qos):
    observer = world.observer("open/#", qos=qos)
    client = world.connected()
    for number in range(1, 17):
        client.publish(f"open/{number}", b"define", qos=qos, props=alias(number))
    for number in range(16, 0, -1):
        client.publish("", b"use", qos=qos, props=alias(number))
    got = [(message.topic, message.payload) for message in world.arrived(observer, client)]
    assert got == ([(f"open/{number}", b"define") for number in range(1, 17)]
                   + [(f"open/{number}", b"use") for number in range(16, 0, -1)])


@pytest.mark.core
@pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
def test_an_alias_of_a_denied_topic_stays_denied(world, qos):
    """The definition is dropped; the alias alone is judged by the topic that it stands for, and refused, too."""
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id)
    client.publish("closed/x", b"define", qos=qos, props=alias(1), code=0x87)
    client.publish("", b"use", qos=qos, props=alias(1), code=0x87)
    assert world.arrived(observer, client) == []
    events = world.audit.wait_for_count(2, action="mqtt-publish-denied", client_id=client_id)
    assert [get(event, "topic") for event in events] == ["closed/x", "closed/x"]


@pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
def test_an_alias_that_is_redefined_to_a_denied_topic_does_not_keep_the_old_one(world, qos):
    """The bypass: the broker knows the alias as open/a; the dropped redefinition must not leave it so."""
    observer = world.observer()
    client = world.connected()
    client.publish("open/a", b"1", qos=qos, props=alias(3))
    client.publish("closed/b", b"2", qos=qos, props=alias(3), code=0x87)
    client.publish("", b"3", qos=qos, props=alias(3), code=0x87)
    client.publish("open/c", b"4", qos=qos, props=alias(3))
    client.publish("", b"5", qos=qos, props=alias(3))
    got = [(message.topic, message.payload) for message in world.arrived(observer, client)]
    assert got == [("open/a", b"1"), ("open/c", b"4"), ("open/c", b"5")]


@pytest.mark.parametrize("name, packet", (
    ("alias 0", raw.publish(raw.V5, "open/a", props=alias(0))),
    ("above the maximum", raw.publish(raw.V5, "open/a", props=alias(17))),
    ("65535", raw.publish(raw.V5, "open/a", props=alias(65535))),
    ("unknown", raw.publish(raw.V5, "", props=alias(5))),
    ("unknown, QoS 1", raw.publish(raw.V5, "", qos=1, packet_id=1, props=alias(5))),
), ids=lambda value: value if isinstance(value, str) else "")
def test_an_invalid_alias_ends_the_connection(world, name, packet):
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id)
    client.send(packet + raw.publish(raw.V5, "open/behind", b"x"))
    packets = client.until_closed()
    codes = (0x94,) if name != "unknown" and name != "unknown, QoS 1" else (0x94, 0x82)
    assert [packet.name for packet in packets] == ["DISCONNECT"] and packets[0].code in codes
    assert world.arrived(observer) == []
    assert get(world.audit.wait_for(action="mqtt-protocol-error", client_id=client_id), "reason") == "topic_alias_invalid"


def test_an_empty_topic_without_an_alias_ends_the_connection(world):
    client = world.connected()
    client.send(raw.publish(raw.V5, ""))
    packets = client.until_closed()
    assert [packet.name for packet in packets] == ["DISCONNECT"] and packets[0].code in (0x81, 0x82, 0x90)


def test_an_alias_twice_in_one_packet_ends_the_connection(world):
    client = world.connected()
    client.send(raw.publish(raw.V5, "open/a", props=alias(1) + alias(2)))
    assert [(packet.name, packet.code) for packet in client.until_closed()] == [("DISCONNECT", 0x82)]


def test_aliases_end_with_the_connection(world):
    client_id = world.name()
    options = {"clean": False, "props": [(raw.SESSION_EXPIRY_INTERVAL, 60)]}
    client = world.connected(client_id, **options)
    client.publish("open/a", qos=1, props=alias(1))
    client.disconnect()
    client = world.connected(client_id, **options)
    client.send(raw.publish(raw.V5, "", props=alias(1)))
    packets = client.until_closed()
    assert [packet.name for packet in packets] == ["DISCONNECT"] and packets[0].code in (0x94, 0x82)


# ---- the broker's side ----

def session(world, props=(), client_props=()):
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", props=client_props))
    broker, connect = world.fake.accept_session(props)
    return client, broker, connect, client.expect(raw.CONNACK, code=0)


@pytest.mark.parametrize("maximum", (0, 2, 100))
def test_what_goes_to_the_broker_uses_only_aliases_that_the_broker_allows(make_world, maximum):
    world = make_world(POLICY, broker="fake")
    client, broker, _, answer = session(world, [(raw.TOPIC_ALIAS_MAXIMUM, maximum)])
    assert answer.prop(raw.TOPIC_ALIAS_MAXIMUM) == 16
    known = {}
    for round_ in range(3):
        for number in (1, 2, 3, 4):
            client.send(raw.publish(raw.V5, "" if round_ else f"open/{number}", str(number), props=alias(number)))
            packet = broker.expect(raw.PUBLISH)
            used = packet.prop(raw.TOPIC_ALIAS)
            if used is not None:
                assert 1 <= used <= maximum
                known[used] = packet.topic or known[used]
            assert (packet.topic or known[used]) == f"open/{number}"


def test_a_dropped_delivery_does_not_lose_the_alias_that_it_defined(make_world):
    world = make_world(POLICY, broker="fake")
    client, broker, connect, _ = session(world, client_props=[(raw.TOPIC_ALIAS_MAXIMUM, 5)])
    allowed = connect.prop(raw.TOPIC_ALIAS_MAXIMUM, 0)
    known = {}

    def deliver(topic, number, name):
        broker.send(raw.publish(raw.V5, topic, name, props=alias(number)))

    def received():
        packet = client.expect(raw.PUBLISH)
        used = packet.prop(raw.TOPIC_ALIAS)
        if used is not None:
            assert 1 <= used <= 5
            known[used] = packet.topic or known[used]
        return packet.topic or known[used], packet.payload

    if allowed == 0:  # the proxy asked the broker for none: then none may come
        deliver("open/a", 1, b"1")
        assert broker.until_closed() is not None
        return
    deliver("open/a", 1, b"1")
    deliver("", 1, b"2")
    deliver("closed/b", 1, b"3")
    deliver("", 1, b"4")
    deliver("open/c", 2 if allowed > 1 else 1, b"5")
    deliver("", 2 if allowed > 1 else 1, b"6")
    assert [received() for _ in range(4)] == [("open/a", b"1"), ("open/a", b"2"), ("open/c", b"5"), ("open/c", b"6")]
