# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE, UNSUBSCRIBE and deliveries, seen from both ends; and which topics a filter covers."""
import pytest

import raw
from audit import get
from played import POLICY, nothing_came, played_world, session
from raw import V5, V31, V311

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
QOS = pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
NO = {V31: 0, V311: 0x80, V5: 0x87}


@pytest.fixture(scope="module")
def world(make_shared_world):
    return played_world(make_shared_world)


# ---- the packet that goes on ----

@VERSIONS
def test_denied_filters_are_left_out_and_the_answers_merged(world, version):
    client, broker = session(world, version)
    filters = [("closed/a", 1), ("open/a", 1), ("low/b", 2), ("closed/b", 2), ("open/c", 2)]
    client.send(raw.subscribe(version, 77, filters))
    packet = broker.expect(raw.SUBSCRIBE, packet_id=77)
    assert packet.filters == [("open/a", 1), ("low/b", 0), ("open/c", 2)]
    failure = 0x80 if version != V31 else 1
    broker.send(raw.suback(version, 77, [1, 0, failure]))
    client.expect(raw.SUBACK, packet_id=77, codes=[NO[version], 1, 0, NO[version], failure])


@VERSIONS
def test_a_subscribe_that_is_denied_as_a_whole_is_answered_by_the_proxy(world, version):
    client, broker = session(world, version)
    client.send(raw.subscribe(version, 5, [("closed/a", 1), ("closed/#", 2)]))
    client.expect(raw.SUBACK, packet_id=5, codes=[NO[version]] * 2)
    nothing_came(broker, client)


@VERSIONS
def test_an_allowed_subscribe_goes_on_byte_for_byte(world, version):
    client, broker = session(world, version)
    options = 0x2D if version == V5 else 1
    props = [(raw.SUBSCRIPTION_IDENTIFIER, 268435455), (raw.USER_PROPERTY, ("a", "b"))] if version == V5 else []
    sent = raw.subscribe(version, 5, [("open/a", options), ("open/+/b", 2), ("low/c", 0)], props)
    client.send(sent)
    assert broker.expect(raw.SUBSCRIBE).raw == sent


def test_options_and_identifier_of_a_rewritten_subscribe_are_kept(world):
    """No Local 0x04, Retain As Published 0x08, Retain Handling 0x10 and 0x20; the QoS alone is lowered."""
    client, broker = session(world)
    props = [(raw.USER_PROPERTY, ("a", "b")), (raw.SUBSCRIPTION_IDENTIFIER, 300)]
    filters = [("closed/x", 0), ("open/a", 0x04 | 1), ("open/b", 0x08 | 0x10), ("low/c", 0x2C | 2)]
    client.send(raw.subscribe(V5, 9, filters, props))
    packet = broker.expect(raw.SUBSCRIBE, packet_id=9)
    assert packet.filters == [("open/a", 0x05), ("open/b", 0x18), ("low/c", 0x2C)]
    assert packet.properties == props


def test_nothing_is_delivered_for_a_filter_that_3_1_was_told_is_granted(world):
    client, broker = session(world, V31)
    client.send(raw.subscribe(V31, 5, [("closed/a", 1), ("open/a", 1)]))
    assert broker.expect(raw.SUBSCRIBE).filters == [("open/a", 1)]
    broker.send(raw.suback(V31, 5, [1]))
    client.expect(raw.SUBACK, codes=[0, 1])
    broker.send(raw.publish(V31, "closed/a", b"1") + raw.publish(V31, "open/a", b"2"))
    assert client.expect(raw.PUBLISH).topic == "open/a"


# ---- UNSUBSCRIBE ----

@VERSIONS
def test_the_broker_sees_an_unsubscribe_without_the_filters_that_it_never_saw(world, version):
    client, broker = session(world, version)
    client.send(raw.subscribe(version, 1, [("closed/a", 0), ("open/a", 0)]))
    broker.expect(raw.SUBSCRIBE)
    broker.send(raw.suback(version, 1, [0]))
    client.expect(raw.SUBACK)
    client.send(raw.unsubscribe(version, 2, ["closed/a", "open/a", "open/of-an-earlier-connection"]))
    packet = broker.expect(raw.UNSUBSCRIBE, packet_id=2)
    assert [name for name, _ in packet.filters] == ["open/a", "open/of-an-earlier-connection"]
    broker.send(raw.unsuback(version, 2, [0, 0x11]))
    answer = client.expect(raw.UNSUBACK, packet_id=2)
    assert answer.codes == ([0x11, 0, 0x11] if version == V5 else [])


@VERSIONS
def test_an_unsubscribe_of_denied_filters_alone_is_answered_by_the_proxy(world, version):
    client, broker = session(world, version)
    client.subscribe("closed/a", "closed/b", codes=[0x87, 0x87])
    answer = client.unsubscribe("closed/b", "closed/a")
    assert answer.codes == ([0x11, 0x11] if version == V5 else [])
    nothing_came(broker, client)


@VERSIONS
def test_an_unsubscribe_of_what_a_kept_session_may_hold_goes_on(world, version):
    """The policy may have allowed it when the session began."""
    client = world.client(version)
    client.send(raw.connect(version, world.name(), clean=False))
    broker, _ = world.fake.accept_session(session_present=version != V31)
    client.expect(raw.CONNACK, code=0)
    client.subscribe("closed/a", codes=[0x87])
    client.send(raw.unsubscribe(version, 9, ["closed/a"]))
    assert [name for name, _ in broker.expect(raw.UNSUBSCRIBE, packet_id=9).filters] == ["closed/a"]
    broker.send(raw.unsuback(version, 9, [0]))
    assert client.expect(raw.UNSUBACK, packet_id=9).codes == ([0] if version == V5 else [])


# ---- deliveries ----

@VERSIONS
@QOS
def test_a_delivery_that_nobody_subscribed_to_is_judged(world, version, qos):
    """Brokers subscribe on behalf of their clients: $queue rules, auto-subscriptions, bridges."""
    client, broker = session(world, version)
    broker.send(raw.publish(version, "closed/a", b"x", qos=qos, packet_id=3 if qos else None))
    if qos:
        broker.expect(raw.PUBACK if qos == 1 else raw.PUBREC, packet_id=3)
    broker.send(raw.publish(version, "open/a", b"x"))
    assert client.expect(raw.PUBLISH).topic == "open/a"


@VERSIONS
@pytest.mark.parametrize("options", ({"retain": True}, {"dup": True, "qos": 1, "packet_id": 3}),
                         ids=("retained", "dup"))
def test_what_a_session_or_the_broker_kept_is_judged_again(world, version, options):
    known = len(world.audit.all(action="mqtt-delivery-filtered", topic="open/hidden/a"))
    client, broker = session(world, version, clean=False)
    broker.send(raw.publish(version, "open/hidden/a", b"x", **options) + raw.publish(version, "closed/a", b"x")
                + raw.publish(version, "open/a", b"x", retain=True))
    assert client.expect(raw.PUBLISH).topic == "open/a"
    world.audit.wait_for_count(known + 1, action="mqtt-delivery-filtered", topic="open/hidden/a")


# ---- which topics a filter matches ----

TOPICS = """\
version: 1
policy: topics
identity:
  - anonymous: {id: guest}
rules:
  - rule: patterns
    who: everyone
    allow: [publish, subscribe]
    topics: [PATTERNS]
"""
LEVELS = '"one/+", "many/#", "one/+/two", "slash/", "empty//x", "/first", "last/+/"'
PUBLISHED = {
    LEVELS: (
        ("one/a", True), ("one/", True), ("one", False), ("one/a/b", False), ("one/a/two", True), ("one//two", True),
        ("one/a/b/two", False), ("many", True), ("many/", True), ("many/a/b/c", True), ("many//", True),
        ("manyx", False), ("/many", False), ("slash/", True), ("slash", False), ("slash//", False),
        ("empty//x", True), ("empty/x", False), ("empty/a/x", False), ("/first", True), ("first", False),
        ("//first", False), ("last/a/", True), ("last/a", False), ("last//", True), ("ONE/a", False)),
    '"+/+"': (
        ("/x", True), ("x/", True), ("/", True), ("a/b", True), ("a", False), ("a/b/c", False), ("//", False),
        ("$x/y", False), ("$SYS/y", False)),
    '"#"': (
        ("a", True), ("/", True), ("a/$x", True), ("$x", False), ("$x/y", False), ("$share/g/a", False)),
    '"+/y", "$lit/#"': (
        ("a/y", True), ("$x/y", False), ("$lit/y", True), ("$lit", True), ("$liter", False)),
}


@pytest.mark.parametrize("patterns", PUBLISHED, ids=("levels", "plus", "hash", "dollar"))
def test_a_pattern_matches_as_mqtt_says(make_world, patterns):
    """[MQTT-4.7.1-1] to [MQTT-4.7.3-4], for what is published and for what is delivered."""
    world = played_world(make_world, TOPICS.replace("PATTERNS", patterns))
    client, broker = session(world)
    for topic, matches in PUBLISHED[patterns]:
        client.send(raw.publish(V5, topic, b"x", qos=1, packet_id=1))
        if matches:
            broker.expect(raw.PUBLISH, topic=topic)
            broker.send(raw.ack(raw.PUBACK, V5, 1))
        answer = client.expect(raw.PUBACK)
        assert answer.code == (0 if matches else 0x87), topic
    delivered = [topic for topic, matches in PUBLISHED[patterns] if matches]
    broker.send(b"".join(raw.publish(V5, topic, b"x") for topic, _ in PUBLISHED[patterns]))
    assert [client.expect(raw.PUBLISH).topic for _ in delivered] == delivered


SUBSCRIBED = {
    LEVELS: (
        ("one/+", True), ("one/a", True), ("one/#", False), ("one/+/#", False), ("one/+/two", True), ("many/#", True),
        ("many", True), ("many/+", True), ("many/+/#", True), ("many/a/#", True), ("slash/", True),
        ("slash/#", False), ("slash/+", False), ("slash", False), ("empty/+/x", False), ("empty//x", True),
        ("/first", True), ("+/first", False), ("last/+/", True), ("last/+", False), ("#", False), ("+", False)),
    '"+/+"': (
        ("+/+", True), ("/+", True), ("+/", True), ("/", True), ("a/#", False), ("+", False), ("#", False),
        ("+/#", False), ("$x/+", False), ("$x/y", False)),
    '"#"': (
        ("#", True), ("+/#", True), ("+", True), ("/#", True), ("$x/#", False), ("$SYS/#", False), ("$x", False)),
    '"+/y", "$lit/#"': (
        ("+/y", True), ("$x/y", False), ("$lit/#", True), ("$lit/+/y", True), ("$lit", True), ("+/#", False)),
}


@pytest.mark.parametrize("patterns", SUBSCRIBED, ids=("levels", "plus", "hash", "dollar"))
def test_a_pattern_covers_a_filter_only_if_it_matches_all_of_its_topics(make_world, patterns):
    """'+' never covers '#', and no leading wildcard reaches a '$' topic."""
    world = played_world(make_world, TOPICS.replace("PATTERNS", patterns))
    client, broker = session(world)
    for packet_id, (name, covered) in enumerate(SUBSCRIBED[patterns], 1):
        client.send(raw.subscribe(V5, packet_id, [(name, 0)]))
        if covered:
            assert broker.expect(raw.SUBSCRIBE).filters == [(name, 0)]
            broker.send(raw.suback(V5, packet_id, [0]))
        assert client.expect(raw.SUBACK, packet_id=packet_id).codes == [0 if covered else 0x87], name


# ---- an empty policy ----

@VERSIONS
def test_an_empty_policy_denies_everything(make_world, version):
    world = played_world(make_world, "version: 1\npolicy: empty\nidentity: [anonymous: {id: guest}]\nrules: []\n")
    client, broker = session(world, version)
    for topic in ("a", "$SYS/x", "guest"):
        client.publish(topic, b"x", qos=1, code=0x87)
        client.subscribe(topic, codes=[0x87])
        broker.send(raw.publish(version, topic, b"x"))
    client.subscribe("#", "+/#", "$share/g/#", codes=[0x87] * 3)
    nothing_came(broker, client)
    client.disconnect()
    will = raw.Will("a", b"x")
    world.client(version).connect("w", will=will, code=0x87)


@VERSIONS
def test_a_policy_without_an_identity_lets_nobody_in(make_world, version):
    policy = POLICY.replace("identity:\n  - anonymous: {id: guest}\n", "identity: []\n")
    world = played_world(make_world, policy)
    client = world.client(version)
    client.connect("c", username="eva", password="x", code=0x87)
    client.expect_closed()
    assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id="c"), "reason") == "identity_no_credential"
