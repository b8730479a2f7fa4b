# SPDX-License-Identifier: Apache-2.0
"""What the broker delivers is judged again: overlaps, retained messages, leftovers of earlier sessions."""
import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: deliveries
identity:
  - anonymous: {id: guest}
rules:
  - rule: read
    who: everyone
    allow: [subscribe, publish]
    topics: [d/#]
    except: [d/except/#]
  - rule: secrets-stay-in
    who: everyone
    deny: receive
    topics: ["d/+/secret/#"]
"""


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
def test_an_overlapping_subscription_is_granted_and_its_deliveries_filtered(world, version, qos):
    """150 filtered messages are far more than the broker's window of 20: the proxy acknowledges them."""
    client_id, base = world.name(), f"d/{world.name()}"
    client = world.connected(client_id, version)
    client.subscribe("d/#", qos=qos)
    direct = world.direct()
    for index in range(150):
        direct.publish(f"{base}/secret/{index}", b"secret", qos=world.qos(qos))
    direct.publish("d/except/x", b"secret", qos=world.qos(qos))
    direct.publish(f"{base}/open", b"open", qos=world.qos(qos))
    message = client.message()
    assert (message.topic, message.qos) == (f"{base}/open", world.qos(qos))
    client.unsubscribe("d/#") if qos < 2 else None
    events = world.audit.wait_for_count(151, action="mqtt-delivery-filtered", client_id=client_id)
    by_rule = [event for event in events if get(event, "rule") == "secrets-stay-in"]
    assert len(by_rule) == 150
    assert {get(event, "line") for event in by_rule} == {world.line("rule: secrets-stay-in")}
    assert get(by_rule[0], "network.direction") == "outbound"


@pytest.mark.needs("retained-wildcard")
@VERSIONS
def test_retained_messages_are_filtered(world, version):
    client_id, base = world.name(), f"d/{world.name()}"
    direct = world.direct()
    direct.publish(f"{base}/secret/kept", b"secret", qos=1, retain=True)
    direct.publish(f"{base}/kept", b"open", qos=1, retain=True)
    client = world.connected(client_id, version)
    client.subscribe(f"{base}/#", qos=1)
    assert client.message().topic == f"{base}/kept"
    client.ping()
    world.audit.wait_for(action="mqtt-delivery-filtered", client_id=client_id, topic=f"{base}/secret/kept")
    for topic in (f"{base}/secret/kept", f"{base}/kept"):
        direct.publish(topic, b"", qos=1, retain=True)


@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("qos", (1, 2), ids=("qos1", "qos2"))
def test_leftovers_of_a_session_that_was_made_elsewhere_are_filtered(world, version, qos):
    """The session and its subscription were made at the broker itself, past the proxy."""
    client_id, topic = world.name("leftover"), f"elsewhere/{world.name()}"
    options = {"clean": False}
    if version == raw.V5:
        options["props"] = [(raw.SESSION_EXPIRY_INTERVAL, 600)]
    first = world.direct(client_id, version, **options)
    first.subscribe(topic, f"d/{client_id}", qos=qos)
    first.disconnect()
    direct = world.direct()
    for index in range(50):
        direct.publish(topic, str(index), qos=world.qos(qos))
    direct.publish(f"d/{client_id}", b"end", qos=world.qos(qos))
    client = world.connected(client_id, version, **options)
    assert client.message().payload == b"end"
    world.audit.wait_for_count(50, action="mqtt-delivery-filtered", client_id=client_id, topic=topic)
    # and live ones, from a subscription that the proxy never saw
    direct.publish(topic, b"live", qos=world.qos(qos))
    direct.publish(f"d/{client_id}", b"second end", qos=world.qos(qos))
    assert client.message().payload == b"second end"


def test_a_qos_2_delivery_that_is_filtered_is_completed_towards_the_broker(make_world):
    """Seen from the broker: PUBREC, then PUBCOMP for its PUBREL."""
    world = make_world(POLICY, broker="fake")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c"))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK)
    broker.send(raw.publish(raw.V5, "d/x/secret/y", b"s", qos=2, packet_id=7))
    broker.expect(raw.PUBREC, packet_id=7)
    broker.send(raw.ack(raw.PUBREL, raw.V5, 7))
    broker.expect(raw.PUBCOMP, packet_id=7)
    broker.send(raw.publish(raw.V5, "d/x/secret/y", b"s", qos=1, packet_id=8))
    broker.expect(raw.PUBACK, packet_id=8)
    broker.send(raw.publish(raw.V5, "d/x/secret/y", b"s"))
    broker.send(raw.publish(raw.V5, "d/x/open", b"o", qos=2, packet_id=7))
    assert client.message().topic == "d/x/open"
    broker.expect(raw.PUBREC, packet_id=7)


def test_the_clients_acks_and_the_proxys_do_not_mix(make_world):
    """Filtered and delivered messages in flight at the same time: the broker gets one ack for each."""
    world = make_world(POLICY, broker="fake")
    client = world.client(raw.V311)
    client.send(raw.connect(raw.V311, "c"))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK)
    for packet_id in range(1, 41):
        topic = "d/x/secret/y" if packet_id % 2 else "d/x/open"
        broker.send(raw.publish(raw.V311, topic, b"s", qos=1, packet_id=packet_id))
    delivered = [client.message(acknowledge=False).packet_id for _ in range(20)]
    assert delivered == list(range(2, 41, 2))
    for packet_id in delivered:
        client.send(raw.ack(raw.PUBACK, raw.V311, packet_id))
    assert sorted(broker.expect(raw.PUBACK).packet_id for _ in range(40)) == list(range(1, 41))


def test_monitor_mode_delivers_and_says_what_it_would_filter(make_world):
    world = make_world(POLICY.replace("policy: deliveries", "policy: deliveries\nmode: monitor"))
    client_id = world.name()
    client = world.connected(client_id)
    client.subscribe("d/#")
    world.direct().publish("d/x/secret/y", b"seen", qos=1)
    assert client.message().payload == b"seen"
    world.audit.wait_for(client_id=client_id, topic="d/x/secret/y", disposition="monitored")
