# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE: each filter judged by itself, one truthful SUBACK."""
import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: subscriptions
identity:
  - anonymous: {id: guest}
rules:
  - rule: open
    who: everyone
    allow: subscribe
    topics: [open/#, "state/+/value"]
    features: [shared]
  - rule: plain
    who: everyone
    allow: subscribe
    topics: [plain/#]
  - rule: qos-one
    who: everyone
    allow: subscribe
    topics: [low/#]
    if: {max_qos: 1}
  - rule: secret
    who: everyone
    deny: subscribe
    topics: [open/secret/#]
  - rule: commands
    who: everyone
    allow: publish
    topics: [write/#]
"""
NOT_GRANTED = {raw.V31: 0, raw.V311: 0x80, raw.V5: 0x87}


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


@pytest.mark.core
@VERSIONS
def test_a_denied_subscription_gets_the_code_of_its_version(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe("closed/#", codes=[NOT_GRANTED[version]])
    client.ping()
    assert world.broker.subscriptions(client_id) == {}
    event = world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id)
    assert (get(event, "reason"), get(event, "topic")) == ("no_allow", "closed/#")
    assert get(event, "rule") == "default deny"


@VERSIONS
def test_a_deny_rule_that_covers_the_filter_is_named(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe("open/secret/x", codes=[NOT_GRANTED[version]])
    event = world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id)
    assert (get(event, "reason"), get(event, "rule")) == ("denied_by_rule", "secret")
    assert get(event, "line") == world.line("rule: secret")


@pytest.mark.core
@VERSIONS
def test_a_partly_denied_subscribe_answers_every_filter_in_its_place(world, version):
    no = NOT_GRANTED[version]
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe(("closed/a", 1), ("open/a", 1), ("closed/b", 2), ("open/b", 2), ("plain/c", 0), ("closed/d", 0),
                     codes=[no, 1, no, world.qos(2), 0, no])
    assert world.broker.subscriptions(client_id) == {"open/a": 1, "open/b": world.qos(2), "plain/c": 0}
    world.audit.wait_for_count(3, action="mqtt-subscribe-denied", client_id=client_id)
    direct = world.direct()
    for topic in ("closed/a", "open/a", "closed/b", "open/b", "closed/d", "plain/c"):
        direct.publish(topic, b"x", qos=1)
    assert [client.message().topic for _ in range(3)] == ["open/a", "open/b", "plain/c"]


@pytest.mark.needs("suback-each")
@VERSIONS
def test_the_same_filter_twice_in_one_packet_has_two_codes(world, version):
    client = world.connected(version=version)
    client.subscribe(("open/x", 0), ("closed", 1), ("open/x", 1), codes=[0, NOT_GRANTED[version], 1])


@VERSIONS
def test_a_qos_above_the_policys_is_lowered_at_the_broker_and_told(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe(("low/a", 2), ("low/b", 1), ("low/c", 0), ("open/d", 2), codes=[1, 1, 0, world.qos(2)])
    assert world.broker.subscriptions(client_id) == {"low/a": 1, "low/b": 1, "low/c": 0, "open/d": world.qos(2)}
    world.direct().publish("low/a", b"x", qos=world.qos(2))
    assert client.message().qos == 1


@pytest.mark.needs("v5.0")
def test_options_and_identifier_survive_a_rewritten_subscribe(world):
    client = world.connected()
    world.direct().publish("open/options/kept", b"old", qos=1, retain=True)
    client.subscribe(("closed/x", 0), ("open/options/rap", 0x08), ("open/options/kept", 0x20), ("low/z", 0x0A),
                     codes=[0x87, 0, 0, 1], props=[(raw.SUBSCRIPTION_IDENTIFIER, 300), (raw.USER_PROPERTY, ("a", "b"))])
    direct = world.direct()
    direct.publish("open/options/rap", b"live", qos=1, retain=True)
    message = client.message()
    assert (message.topic, message.retain, message.prop(raw.SUBSCRIPTION_IDENTIFIER)) == ("open/options/rap", True, 300)
    for name in ("rap", "kept"):
        direct.publish(f"open/options/{name}", b"", qos=1, retain=True)


@VERSIONS
@pytest.mark.parametrize("name, code", (
    ("#", None), ("+/#", None), ("open", 0), ("open/#", 0), ("open/+", 0), ("+/x", None), ("state/+/value", 0),
    ("state/#", None), ("state/+/+", None), ("state/1/value", 0), ("$SYS/#", None), ("$SYS/broker/version", None),
    ("OPEN/#", None), ("/open/#", None)))
def test_a_filter_is_granted_only_if_the_allows_cover_it(world, version, name, code):
    client = world.connected(version=version)
    client.subscribe(name, codes=[NOT_GRANTED[version] if code is None else code])


def test_a_filter_that_reaches_too_far_says_so(world):
    client_id = world.name()
    world.connected(client_id).subscribe("state/#", codes=[0x87])
    assert get(world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id), "reason") == "not_covered"


def test_uncovered_filter_is_granted_and_filtered_where_the_policy_says_so(make_world):
    world = make_world(POLICY + "uncovered: filter\n")
    client = world.connected()
    client.subscribe("#")
    direct = world.direct()
    for topic in ("closed/x", "open/secret/x", "state/1/other", "state/1/value", "plain/end"):
        direct.publish(topic, b"x", qos=1)
    assert [client.message().topic for _ in range(2)] == ["state/1/value", "plain/end"]


# ---- shared subscriptions ----

@pytest.mark.needs("shared")
@VERSIONS
def test_a_shared_subscription_is_judged_by_its_filter(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    no = NOT_GRANTED[version]
    share = f"$share/{client_id}"  # one with the tests before has perhaps other members still
    client.subscribe(f"{share}/state/1/value", f"{share}/closed/x", f"{share}/plain/x", codes=[0, no, no])
    reasons = {get(event, "topic"): get(event, "reason")
               for event in world.audit.wait_for_count(2, action="mqtt-subscribe-denied", client_id=client_id)}
    assert set(reasons.values()) == {"no_allow", "feature_not_granted"}
    world.direct().publish("state/1/value", b"x", qos=1)
    assert client.message().topic == "state/1/value"


@VERSIONS
def test_a_shared_subscription_that_would_need_filtering_is_refused(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe("$share/g/open/#", codes=[NOT_GRANTED[version]])
    assert get(world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id), "reason") == "shared_needs_filter"


@VERSIONS
@pytest.mark.parametrize("name", ("$share//open/x", "$share/g", "$share/+/open/x", "$share/g/", "$share/#/open", "$share/g+/open"))
def test_a_malformed_share_is_a_protocol_error_whatever_the_broker_thinks(world, version, name):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.send(raw.subscribe(version, 1, [("open/first", 0), (name, 0)]))
    packets = client.until_closed()
    if version == raw.V5:
        assert [packet.name for packet in packets] == ["DISCONNECT"]
        assert packets[0].code in (0x81, 0x82, 0x8F)
    else:
        assert packets == []
    world.audit.wait_for(action="mqtt-protocol-error", client_id=client_id)
    assert world.broker.subscriptions(client_id) == {}


@pytest.mark.needs("v5.0")
def test_no_local_on_a_share_is_a_protocol_error(world):
    client = world.connected()
    client.send(raw.subscribe(raw.V5, 1, [("$share/g/state/1/value", 0x04)]))
    assert [(packet.name, packet.code) for packet in client.until_closed()] == [("DISCONNECT", 0x82)]


@pytest.mark.needs("shared")
def test_a_share_splits_the_messages_among_its_members(world):
    members = [world.connected() for _ in range(2)]
    for member in members:
        member.subscribe("$share/workers/state/split/value", qos=1)
    direct = world.direct()
    for index in range(20):
        direct.publish("state/split/value", str(index), qos=1)
    got = [[], []]
    for index, member in enumerate(members):
        member.send(raw.pingreq())
        while True:
            packet = member.receive()
            if packet.type == raw.PINGRESP:
                break
            member.acknowledge(packet)
            got[index].append(int(packet.payload))
    assert sorted(got[0] + got[1]) == list(range(20)) and got[0] and got[1]


# ---- UNSUBSCRIBE ----

@VERSIONS
def test_unsubscribe_passes_for_what_is_held_and_is_answered_for_what_never_was(world, version):
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe("open/a", "closed/b", codes=[0, NOT_GRANTED[version]])
    answer = client.unsubscribe("closed/b", "open/a", "open/never")
    if version == raw.V5:
        assert answer.codes == [0x11, 0, 0x11] or answer.codes == [0, 0, 0x11]
    world.direct().publish("open/a", b"x", qos=1)
    client.ping()


@VERSIONS
def test_on_deny_disconnect_ends_the_connection(make_world, version):
    world = make_world(POLICY + "on_deny: {subscribe: disconnect}\n")
    client_id = world.name()
    client = world.connected(client_id, version)
    client.send(raw.subscribe(version, 1, [("open/a", 0), ("closed/b", 0)]))
    packets = client.until_closed()
    assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x87)] if version == raw.V5 else [])
    assert get(world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id), "disposition") == "closed"


# ---- limits ----

def test_a_session_has_as_many_subscriptions_as_it_may_have(make_world):
    world = make_world(POLICY + "limits: {subscriptions: 3, topic_levels: 4}\n")
    client_id = world.name()
    client = world.connected(client_id)
    client.subscribe("open/1", "open/2", codes=[0, 0])
    client.subscribe("open/2", "open/3", "open/4", codes=[0, 0, 0x97])
    assert get(world.audit.wait_for(action="mqtt-subscribe-denied", client_id=client_id), "reason") == "subscriptions_exceeded"
    client.unsubscribe("open/1")
    client.subscribe("open/4", codes=[0])
    client.subscribe("open/2/3/4/5", codes=[0x97])
    client.publish("write/2/3/4/5", qos=1, code=0x97)
    client.publish("write/2/3/4", qos=1)


def test_a_subscribe_of_too_many_filters_is_refused(make_world):
    world = make_world(configuration={"limits": {"filters": 5}})
    client = world.connected()
    client.subscribe(*[f"a/{index}" for index in range(5)])
    client.send(raw.subscribe(client.version, 9, [(f"b/{index}", 0) for index in range(6)]))
    client.expect_disconnect(0x97)
    world.audit.wait_for(reason="too_many_filters")


@VERSIONS
def test_monitor_mode_grants_and_says_what_it_would_deny(make_world, version):
    world = make_world(POLICY.replace("policy: subscriptions", "policy: subscriptions\nmode: monitor"))
    client_id = world.name()
    client = world.connected(client_id, version)
    client.subscribe(("closed/a", 1), ("open/a", 1), ("low/a", 2), codes=[1, 1, world.qos(2)])
    assert world.broker.subscriptions(client_id) == {"closed/a": 1, "open/a": 1, "low/a": world.qos(2)}
    assert get(world.audit.wait_for(client_id=client_id, topic="closed/a"), "disposition") == "monitored"
