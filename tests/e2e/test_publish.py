# SPDX-License-Identifier: Apache-2.0
"""PUBLISH that the policy forbids: the answer that each version and QoS demands, nothing at the broker, a record in Redis."""
import hashlib
import time

import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
QOS = pytest.mark.parametrize("qos", (0, 1, 2), ids=("qos0", "qos1", "qos2"))
POLICY = """\
version: 1
policy: plant-a
identity:
  - anonymous: {id: guest}
rules:
  - rule: telemetry
    who: everyone
    allow: publish
    topics: [dt/<client_id>/#]
    if: {max_qos: 1, retain: false, max_size: 1KiB}
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
    except: [open/except/#]
  - rule: firmware-guard
    who: everyone
    deny: publish
    topics: [open/fw/#, "open/+/locked"]
  - rule: only-watched
    mode: monitor
    who: everyone
    deny: publish
    topics: [open/watched/#]
audit: {deny: all, allow: 0%, payload: hash}
"""


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


def on_deny(action):
    return POLICY + f"on_deny: {{publish: {action}}}\n"


def code(version):
    return 0x87 if version == raw.V5 else 0


@pytest.mark.core
@VERSIONS
@QOS
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_denied_publish_is_answered_and_goes_nowhere(world, version, qos, tls):
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version, tls=tls)
    topic = f"elsewhere/{client_id}"
    client.publish(topic, b"payload", qos=qos, code=code(version))
    client.publish("open/ok", b"fine", qos=world.qos(qos))
    assert [message.topic for message in world.arrived(observer, client)] == ["open/ok"]
    event = world.audit.wait_for(action="mqtt-publish-denied", client_id=client_id)
    assert get(event, "reason") == "no_allow"
    assert (get(event, "topic"), get(event, "qos"), get(event, "version")) == (topic, qos, raw.VERSION_NAMES[version])
    assert get(event, "rule") == "default deny"
    assert get(event, "mqtt.payload.bytes") == 7
    assert get(event, "mqtt.payload.sha256") == hashlib.sha256(b"payload").hexdigest()
    assert get(event, "disposition") == ("rejected" if version == raw.V5 and qos else "dropped")
    if version == raw.V5 and qos:
        assert get(event, "reason_code") == 0x87


@VERSIONS
def test_a_deny_rule_wins_over_an_allow_and_is_named(world, version):
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version)
    client.publish("open/fw/a", b"x", qos=1, code=code(version))
    client.publish("open/1/locked", b"x", qos=1, code=code(version))
    client.publish("open/1/locked/not", b"x", qos=1)
    client.publish("open/except/1", b"x", qos=1, code=code(version))
    assert [message.topic for message in world.arrived(observer, client)] == ["open/1/locked/not"]
    first, second, third = world.audit.wait_for_count(3, action="mqtt-publish-denied", client_id=client_id)
    for event in first, second:
        assert (get(event, "reason"), get(event, "rule")) == ("denied_by_rule", "firmware-guard")
        assert get(event, "line") == world.line("rule: firmware-guard")
    assert get(third, "reason") == "no_allow"


@pytest.mark.core
def test_every_forbidden_act_is_in_redis_within_a_second_with_rule_and_line(world):
    client_id = world.name()
    client = world.connected(client_id)
    acts = [
        (lambda: client.publish("open/fw/a", b"x", qos=1, code=0x87), {"action": "mqtt-publish-denied", "rule": "firmware-guard"}),
        (lambda: client.publish("nowhere", b"x", qos=1, code=0x87), {"action": "mqtt-publish-denied", "rule": "default deny"}),
        (lambda: client.subscribe("nowhere", codes=[0x87]), {"action": "mqtt-subscribe-denied", "rule": "default deny"}),
    ]
    slow = []
    for round_ in range(1, 4):
        took = []
        for act, wanted in acts:
            act()
            began = time.monotonic()
            event = world.audit.wait_for_count(round_, client_id=client_id, **wanted)[-1]
            took.append(time.monotonic() - began)
            if wanted["rule"] != "default deny":
                assert get(event, "line") == world.line(f"rule: {wanted['rule']}")
            for path in ("@timestamp", "ecs.version", "message", "event.code", "event.severity", "event.id", "event.module",
                         "source.ip", "source.port", "user.name", "mqtt.session_id", "mqtt.topic", "observer.hostname",
                         "rule.ruleset", "mqward.policy_version"):
                assert get(event, path) is not None, f"{path} is missing: {event}"
        if sorted(took)[1] < 1.0:
            return
        slow.append(took)
    pytest.fail(f"a busy machine or disk may hold up some of them, not those of each round: {slow}")


@pytest.mark.parametrize("qos, retain, size, nearest", (
    (2, False, 10, "max_qos"), (1, True, 10, "retain"), (1, False, 1025, "max_size"), (0, False, 65536, "max_size")))
def test_conditions_are_enforced_and_the_nearest_miss_is_named(world, qos, retain, size, nearest):
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id)
    topic = f"dt/{client_id}/t"
    client.publish(topic, b"x" * size, qos=qos, retain=retain, code=0x87)
    client.publish(topic, b"x" * 1024, qos=1)
    assert [len(message.payload) for message in world.arrived(observer, client)] == [1024]
    event = world.audit.wait_for(action="mqtt-publish-denied", client_id=client_id)
    assert get(event, "reason") == "no_allow"
    assert f"telemetry:{nearest}" in str(event)


def test_an_empty_retained_message_is_judged_as_a_retained_one(world):
    client_id = world.name()
    observer = world.observer(f"dt/{client_id}/#")
    direct = world.direct()
    direct.publish(f"dt/{client_id}/kept", b"kept", qos=1, retain=True)
    client = world.connected(client_id)
    client.publish(f"dt/{client_id}/kept", b"", qos=1, retain=True, code=0x87)
    assert [message.payload for message in world.arrived(observer, client)] == [b"kept"]
    direct.publish(f"dt/{client_id}/kept", b"", qos=1, retain=True)


@VERSIONS
def test_other_clients_topics_are_denied_however_they_are_written(world, version):
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version)
    forbidden = [f"dt/{client_id}x/t", "dt/other/t", f"/dt/{client_id}/t", f"DT/{client_id}/t", f"dt//{client_id}/t", "dt",
                 f"dt/{client_id}\u200b/t", f"\ufeffdt/{client_id}/t", "$SYS/x", "$CONTROL/dynamic-security/v1", "open", "openx/y"]
    # open/# matches "open", too
    forbidden.remove("open")
    for topic in forbidden:
        client.publish(topic, b"x", qos=1, code=code(version))
    client.publish(f"dt/{client_id}", b"x", qos=1)
    assert [message.topic for message in world.arrived(observer, client)] == [f"dt/{client_id}"]
    events = world.audit.wait_for_count(len(forbidden), action="mqtt-publish-denied", client_id=client_id)
    assert [get(event, "topic") for event in events] == forbidden


@VERSIONS
def test_a_denied_qos_2_publish_is_finished_by_the_proxy_alone(world, version):
    """3.x: PUBREC, PUBREL, PUBCOMP are the proxy's; retransmissions get the same; 5.0: PUBREC 0x87 ends it."""
    observer = world.observer("denied")
    client_id = world.name()
    client = world.connected(client_id, version)
    for packet_id in (5, 5, 6):
        client.send(raw.publish(version, "denied", b"x", qos=2, packet_id=packet_id))
        answer = client.expect(raw.PUBREC, packet_id=packet_id)
        assert answer.code == code(version)
        if version != raw.V5:
            client.send(raw.publish(version, "denied", b"x", qos=2, dup=True, packet_id=packet_id))
            client.expect(raw.PUBREC, packet_id=packet_id)
            client.send(raw.ack(raw.PUBREL, version, packet_id))
            client.expect(raw.PUBCOMP, packet_id=packet_id)
    if version == raw.V5:
        client.send(raw.ack(raw.PUBREL, version, 5))
        assert client.expect(raw.PUBCOMP, packet_id=5).code in (0, 0x92)  # the flow is over: whose answer it is does not matter
    assert world.arrived(observer, client) == []
    assert world.broker.knows(client_id) and world.broker.received(client_id) == []


@VERSIONS
@QOS
def test_on_deny_drop_looks_like_success(make_world, version, qos):
    world = make_world(on_deny("drop"))
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version)
    client.publish("nowhere", b"x", qos=qos)
    client.publish("open/x", b"x", qos=world.qos(qos))
    assert [message.topic for message in world.arrived(observer, client)] == ["open/x"]
    assert get(world.audit.wait_for(action="mqtt-publish-denied", client_id=client_id), "disposition") == "dropped"


@VERSIONS
@QOS
def test_on_deny_disconnect_ends_the_connection(make_world, version, qos):
    world = make_world(on_deny("disconnect"))
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version)
    client.send(raw.publish(version, "nowhere", b"x", qos=qos, packet_id=1 if qos else None)
                + raw.publish(version, "open/behind", b"x", qos=0))
    packets = client.until_closed()
    assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x87)] if version == raw.V5 else [])
    assert world.arrived(observer) == []
    assert get(world.audit.wait_for(action="mqtt-publish-denied", client_id=client_id), "disposition") == "closed"
    world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)


@pytest.mark.parametrize("where", ("rule", "policy"))
def test_monitor_mode_blocks_nothing_and_says_what_it_would_deny(make_world, where):
    world = make_world(POLICY if where == "rule" else POLICY.replace("policy: plant-a", "policy: plant-a\nmode: monitor"))
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id)
    topic = "open/watched/x" if where == "rule" else "open/fw/x"
    client.publish(topic, b"x", qos=1)
    assert [message.topic for message in world.arrived(observer, client)] == [topic]
    event = world.audit.wait_for(client_id=client_id, topic=topic, disposition="monitored")
    assert get(event, "rule") == ("only-watched" if where == "rule" else "firmware-guard")


def test_many_denied_and_allowed_messages_keep_their_answers_apart(world):
    observer = world.observer("open/#", qos=0)
    client_id = world.name()
    client = world.connected(client_id)
    count, window = 200, 20  # Mosquitto's receive maximum
    answers = []
    for start in range(0, count, window):
        client.send(b"".join(raw.publish(client.version, "open/n" if index % 2 else "closed/n", str(index), qos=1,
                                         packet_id=index + 1) for index in range(start, start + window)))
        answers += [client.expect(raw.PUBACK) for _ in range(window)]
    assert [answer.packet_id for answer in answers] == list(range(1, count + 1))
    assert [answer.code for answer in answers] == [0 if index % 2 else code(client.version) for index in range(count)]
    assert [message.payload.decode() for message in world.arrived(observer, client)] == [str(i) for i in range(1, count, 2)]
    world.audit.wait_for_count(count // 2, action="mqtt-publish-denied", client_id=client_id)


RESPONSE = """\
version: 1
policy: response
identity:
  - anonymous: {id: guest}
rules:
  - rule: ask
    who: everyone
    allow: publish
    topics: [ask/#]
  - rule: hear
    who: everyone
    allow: subscribe
    topics: [answer/<client_id>/#]
"""


@pytest.mark.needs("v5.0")
def test_a_response_topic_must_be_one_that_the_requester_may_receive(make_world):
    world = make_world(RESPONSE)
    observer = world.observer("ask/#")
    client_id = world.name()
    client = world.connected(client_id)
    mine, other = f"answer/{client_id}/1", "answer/other/1"
    client.publish("ask/x", b"1", qos=1, props=[(raw.RESPONSE_TOPIC, mine)])
    client.publish("ask/x", b"2", qos=1, props=[(raw.RESPONSE_TOPIC, other)], code=0x87)
    client.publish("ask/x", b"3", props=[(raw.RESPONSE_TOPIC, other)])
    assert [message.prop(raw.RESPONSE_TOPIC) for message in world.arrived(observer, client)] == [mine]
    events = world.audit.wait_for_count(2, action="mqtt-publish-denied", client_id=client_id)
    assert {get(event, "reason") for event in events} == {"response_topic_denied"}


def test_the_brokers_own_topics_need_a_privileged_rule(make_world):
    rule = """\
  - rule: control
    who: everyone
    allow: publish
    topics: ["$CONTROL/x/v1", "$OTHER/#"]
"""
    policy = POLICY.replace("rules:\n", "rules:\n" + rule)
    world = make_world(policy, broker="fake")

    def try_(world, topic, code):
        client = world.client(raw.V5)
        client.send(raw.connect(raw.V5, world.name()))
        broker, _ = world.fake.accept_session()
        client.expect(raw.CONNACK, code=0)
        client.send(raw.publish(raw.V5, topic, b"x", qos=1, packet_id=1))
        if code == 0:
            broker.expect(raw.PUBLISH, topic=topic)
        else:
            client.expect(raw.PUBACK, code=code)
    try_(world, "$CONTROL/x/v1", 0x87)
    try_(world, "$OTHER/y", 0)
    world.audit.wait_for(action="mqtt-publish-denied", reason="not_privileged", topic="$CONTROL/x/v1")
    try_(make_world(policy.replace("who: everyone", "who: everyone\n    privileged: true", 1), broker="fake"), "$CONTROL/x/v1", 0)


@pytest.mark.parametrize("version", (raw.V31, raw.V311), ids=("v3.1", "v3.1.1"))
def test_a_denied_qos_2_publish_is_completed_after_a_reconnect(world, version):
    """The client has PUBREC and lost the connection: its PUBREL in the next one is answered; a repeated PUBLISH stays denied."""
    observer = world.observer()
    client_id = world.name()
    client = world.connected(client_id, version, clean=False)
    client.send(raw.publish(version, "denied", b"x", qos=2, packet_id=9))
    client.expect(raw.PUBREC, packet_id=9)
    client.reset()
    client = world.connected(client_id, version, clean=False)
    client.send(raw.publish(version, "denied", b"x", qos=2, dup=True, packet_id=9))
    client.expect(raw.PUBREC, packet_id=9)
    client.send(raw.ack(raw.PUBREL, version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert world.arrived(observer, client) == []


def test_allowed_publishes_are_audited_as_often_as_the_policy_says(make_world):
    world = make_world(POLICY.replace("allow: 0%", "allow: 100%"))
    client_id = world.name()
    client = world.connected(client_id)
    for index in range(20):
        client.publish(f"dt/{client_id}/{index}", b"x", qos=index % 2)
    client.ping()
    events = world.audit.wait_for_count(20, action="mqtt-publish-allowed", client_id=client_id)
    assert {get(event, "rule") for event in events} == {"telemetry"}
    assert {get(event, "disposition") for event in events} == {"forwarded"}
    assert [get(event, "topic") for event in events] == [f"dt/{client_id}/{index}" for index in range(20)]
