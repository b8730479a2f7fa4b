# SPDX-License-Identifier: Apache-2.0
"""Prefixes that brokers give a meaning of their own: what the policy sees behind them, and what it must grant."""
import pytest

import raw
from audit import get
from played import nothing_came, played_world, session
from raw import V5, V311

pytestmark = pytest.mark.brokerless
DIALECTS = ("mosquitto", "emqx", "hivemq", "vernemq", "nanomq", "rabbitmq", "activemq", "artemis", "aws", "azure")
POLICY = """\
version: 1
policy: dialects
identity:
  - anonymous: {id: guest}
rules:
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
    features: [FEATURES]
  - rule: plain
    who: everyone
    allow: [publish, subscribe]
    topics: [plain/#]
  - rule: named
    who: everyone
    allow: [publish, subscribe]
    topics: ["$aws/things/x/#", "$iothub/x/#", "$dps/x"]
  - rule: hidden
    who: everyone
    deny: receive
    topics: [open/hidden/#]
"""
ALL = POLICY.replace("FEATURES", "shared, queue, exclusive, stream, delayed")
# {prefix: (feature, dialects that know it)}
FILTERS = {
    "$share/g/": ("shared", DIALECTS),
    "$queue/": ("queue", ("emqx", "nanomq")),
    "$exclusive/": ("exclusive", ("emqx",)),
    "$stream/": ("stream", ("emqx",)),
}


def subscribed(client, broker, name, granted, version=V5):
    client.send(raw.subscribe(version, 1, [(name, 0)]))
    if granted:
        assert broker.expect(raw.SUBSCRIBE).filters == [(name, 0)]
        broker.send(raw.suback(version, 1, [0]))
    assert client.expect(raw.SUBACK).codes == [0 if granted else 0x87 if version == V5 else 0x80], name


def published(client, broker, topic, granted, version=V5):
    sent = raw.publish(version, topic, b"x", qos=1, packet_id=1)
    client.send(sent)
    if granted:
        assert broker.expect(raw.PUBLISH).raw == sent, topic
        broker.send(raw.ack(raw.PUBACK, version, 1))
    assert client.expect(raw.PUBACK).code == (0 if granted or version != V5 else 0x87), topic


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("version", (V311, V5), ids=("v3.1.1", "v5.0"))
def test_the_policy_sees_what_is_behind_the_prefixes_that_the_broker_knows(make_world, dialect, version):
    """Unknown ones are literal, so nothing allows them."""
    world = played_world(make_world, ALL, dialect)
    client, broker = session(world, version)
    for prefix, (_, dialects) in FILTERS.items():
        subscribed(client, broker, prefix + "open/a", dialect in dialects, version)
        subscribed(client, broker, prefix + "closed/a", False, version)
        subscribed(client, broker, prefix + "plain/a", False, version)
    published(client, broker, "$delayed/5/open/a", dialect == "emqx", version)
    published(client, broker, "$delayed/5/closed/a", False, version)
    published(client, broker, "$delayed/5/plain/a", False, version)
    for unknown in ("$unknown/open/a", "$SHARE/g/open/a", "$retain/open/a"):
        published(client, broker, unknown, False, version)
        subscribed(client, broker, unknown, False, version)
    nothing_came(broker, client)


@pytest.mark.parametrize("missing", ("shared", "queue", "exclusive", "stream", "delayed"))
def test_each_prefix_is_a_feature_of_its_own(make_world, missing):
    features = [feature for feature in ("shared", "queue", "exclusive", "stream", "delayed") if feature != missing]
    world = played_world(make_world, POLICY.replace("FEATURES", ", ".join(features)), "emqx")
    client, broker = session(world)
    for prefix, (feature, _) in FILTERS.items():
        subscribed(client, broker, prefix + "open/a", feature != missing)
    published(client, broker, "$delayed/5/open/a", missing != "delayed")
    event = world.audit.wait_for(reason="feature_not_granted")
    assert "open:feature" in str(event)


def test_nested_prefixes_ask_for_all_of_their_features(make_world):
    world = played_world(make_world, ALL, "emqx")
    client, broker = session(world)
    subscribed(client, broker, "$share/g/$exclusive/open/a", True)
    subscribed(client, broker, "$share/g/$exclusive/closed/a", False)
    published(client, broker, "$delayed/5/$delayed/6/open/a", True)
    published(client, broker, "$delayed/5/$delayed/6/closed/a", False)
    world = played_world(make_world, POLICY.replace("FEATURES", "shared"), "emqx")
    client, broker = session(world)
    subscribed(client, broker, "$share/g/$exclusive/open/a", False)


@pytest.mark.parametrize("prefix", ("$share/g/", "$queue/"))
def test_a_share_that_would_have_to_be_filtered_is_refused(make_world, prefix):
    world = played_world(make_world, ALL, "emqx")
    client, broker = session(world)
    subscribed(client, broker, prefix + "open/#", False)
    assert get(world.audit.wait_for(action="mqtt-subscribe-denied"), "reason") == "shared_needs_filter"
    subscribed(client, broker, "open/#", True)


@pytest.mark.parametrize("topic", ("$delayed/x/open/a", "$delayed//open/a", "$delayed/5", "$delayed/5/",
                                   "$delayed/-1/open/a"))
def test_a_malformed_prefix_of_a_topic_is_refused(make_world, topic):
    world = played_world(make_world, ALL, "emqx")
    client, broker = session(world)
    client.publish(topic, b"x", qos=1, code=0x90)
    nothing_came(broker, client)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
def test_a_malformed_share_is_a_protocol_error_towards_every_broker(make_world, dialect, version):
    world = played_world(make_world, ALL, dialect)
    for name in ("$share//open/a", "$share/g", "$share/g/", "$share/+/open/a", "$share/a#/open/a"):
        client, broker = session(world, version)
        client.send(raw.subscribe(version, 1, [("open/first", 0), (name, 0)]))
        client.expect_disconnect(0x82)
        broker.expect_closed()


DOTS = """\
version: 1
policy: dots
identity:
  - broker: {id: username}
rules:
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#, "one/+/value", "own/<id>/#", "star/*"]
  - rule: hidden
    who: everyone
    deny: [publish, receive]
    topics: ["open/hidden/#"]
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dots_are_slashes_where_the_broker_takes_them_for_slashes(make_world, dialect):
    """RabbitMQ and Artemis join the levels by dots: "a.b" and "a/b" are one topic there, and "*" is '+'."""
    world = played_world(make_world, DOTS, dialect)
    dots = dialect in ("rabbitmq", "artemis")
    client, broker = session(world, username="eva", password="x")
    for topic, with_dots, without in (
            ("open.a", True, False), ("open/a.b", True, True), ("open.hidden.a", False, False),
            ("open/hidden.a", False, True), ("own.eva.x", True, False), ("one/a.value", True, False),
            ("one.a.b.value", False, False), ("open/*", True, True), ("star.*", True, False),
            ("star/*", True, True), ("closed.a", False, False)):
        published(client, broker, topic, with_dots if dots else without)
    for name, with_dots, without in (
            ("open.a", True, False), ("one/*/value", True, True), ("one.*.value", True, False),
            ("one/*.value", True, False), ("one.a*.value", True, False), ("open.hidden/#", False, False),
            ("own.*/#", False, False), ("open/hidden.x", False, True), ("star/*", False, True),
            ("star.*", False, False)):
        subscribed(client, broker, name, with_dots if dots else without)
    broker.send(raw.publish(V5, "open.hidden.a", b"1") + raw.publish(V5, "open/hidden.a", b"2")
                + raw.publish(V5, "open/a", b"3"))
    assert client.expect(raw.PUBLISH).payload == (b"3" if dots else b"2")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", ("a.b", "*", "a*"))
def test_a_value_with_dots_is_unsafe_where_dots_separate(make_world, dialect, value):
    world = played_world(make_world, DOTS, dialect)
    if dialect in ("rabbitmq", "artemis"):
        world.client(V5).connect("c", username=value, password="x", code=0x87)
        assert get(world.audit.wait_for(action="mqtt-connect-refused"), "reason") == "identity_unsafe"
    else:
        client, broker = session(world, username=value, password="x")
        published(client, broker, f"own/{value}/x", True)


@pytest.mark.parametrize("dialect", ("aws", "azure", "mosquitto"))
def test_reserved_trees_are_literal_and_allowed_by_name_only(make_world, dialect):
    world = played_world(make_world, ALL, dialect)
    client, broker = session(world)
    for name, granted in (("$aws/things/x/shadow/update", True), ("$aws/things/y/shadow/update", False),
                          ("$iothub/x/post", True), ("$iothub/y", False), ("$dps/x", True),
                          ("$dps/registrations", False)):
        published(client, broker, name, granted)
        subscribed(client, broker, name, granted)
