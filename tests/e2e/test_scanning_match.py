# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message in which a rule has found something: `on_match`, `reason_code` and monitor mode, for
publishes, wills and deliveries, small ones that are scanned at once and large ones that wait for the pool."""
import pytest

import raw
from audit import get
from clients import Paho, mosquitto_pub
from mqttjs import MqttJs, MqttJsProcess
from scanning import (EVIL, INVALID, MATCHED, QOS, QUARANTINE, REFUSED, SIZES, VERSIONS, evil, found, harmless,
                      payloads, policy, scan, scan_world)

pytestmark = pytest.mark.brokerless

CHECKS = (
    scan("at: [publish, receive]", name="reject", topics="reject/#"),
    scan("reason_code: not_authorized", name="secret", topics="secret/#"),
    scan("at: [publish, receive], on_match: drop", name="drop", topics="drop/#"),
    scan("at: [publish, receive], on_match: disconnect", name="disconnect", topics="disconnect/#"),
    scan("at: [publish, receive], on_match: alert, on_error: alert", name="alert", topics="alert/#"),
    scan("at: [publish, receive], on_match: quarantine", name="quarantine", topics="quarantine/#"),
    scan("at: [publish, receive], on_match: reject", name="watch", topics="watch/#", check="mode: monitor"),
    scan("at: [publish, receive], on_match: disconnect", name="watched", topics="watched/#", check="mode: monitor"),
    scan("at: receive", name="late", topics="late/#"),
)
TWO = pytest.mark.needs("qos2")
REFUSING = pytest.mark.parametrize("action, code, qos", (
    ("reject", INVALID, 0), ("reject", INVALID, 1), pytest.param("reject", INVALID, 2, marks=TWO),
    ("secret", REFUSED, 1), ("drop", 0, 1), pytest.param("drop", 0, 2, marks=TWO), ("quarantine", INVALID, 1)))
PASSING = pytest.mark.parametrize("action, disposition, qos", (
    ("alert", "informed", 0), ("alert", "informed", 1), pytest.param("alert", "informed", 2, marks=TWO),
    ("watch", "monitored", 1), ("watched", "monitored", 1)))
KEEPING_BACK = pytest.mark.parametrize("action, qos", (
    ("reject", 0), ("reject", 1), pytest.param("reject", 2, marks=TWO), ("drop", 1), ("disconnect", 1),
    ("quarantine", 1), ("late", 1)))


@pytest.fixture(scope="module")
def world(make_shared_world):
    return scan_world(make_shared_world, *CHECKS, scan=QUARANTINE)


# ---- publishes ----

@pytest.mark.core
@VERSIONS
@SIZES
@REFUSING
def test_what_is_found_does_not_go_on(world, version, size, action, code, qos):
    topic = f"{action}/{world.name()}"
    observer, sender = world.observer(f"{action}/#", qos=2), world.connected(version=version)
    sender.publish(topic, b"before", qos)
    sender.publish(topic, evil(size), qos, code)
    sender.publish(topic, harmless(size), qos)
    assert payloads(world.arrived(observer, sender)) == [b"before", harmless(size)]
    event, = found(world, topic, check=action)
    told = version == raw.V5 and qos > 0 and code != 0
    assert get(event, "disposition") == ("rejected" if told else "dropped")
    assert get(event, "reason_code") == (code if told else None)
    assert (get(event, "outcome"), get(event, "event.type")) == ("failure", ["info", "denied"])


@VERSIONS
@QOS
@SIZES
def test_disconnect_ends_the_senders_session(world, version, qos, size):
    """What it had sent before has arrived, what comes behind has not."""
    topic, client_id = f"disconnect/{world.name()}", world.name()
    observer = world.observer("disconnect/#", qos=2)
    sender = world.connected(client_id, version, will=raw.Will(topic, b"gone"))
    sender.publish(topic, b"before", qos)
    sender.send(raw.publish(version, topic, evil(size), qos, packet_id=9 if qos else None) +
                raw.publish(version, topic, b"behind") + raw.pingreq())
    sender.expect_disconnect(INVALID)
    event, = found(world, topic, check="disconnect")
    assert (get(event, "disposition"), get(event, "client_id")) == ("closed", client_id)
    # It had to leave: whether its will is due is mqtt-semantics' matter, and the same as for any denial.
    assert [payload for payload in payloads(world.arrived(observer)) if payload != b"gone"] == [b"before"]


@pytest.mark.core
@VERSIONS
@SIZES
@PASSING
def test_what_only_reports_lets_it_go_on_as_it_came(world, version, size, action, disposition, qos):
    topic = f"{action}/{world.name()}"
    observer, sender = world.observer(f"{action}/#", qos=2), world.connected(version=version)
    props = [(raw.USER_PROPERTY, ("a", "b"))] if version == raw.V5 else []
    sender.publish(topic, evil(size), qos, props=props)
    sender.publish(topic, harmless(size), qos)
    messages = world.arrived(observer, sender)
    assert payloads(messages) == [evil(size), harmless(size)]
    assert messages[0].properties == props
    event, = found(world, topic, check=action, qos=qos)
    assert (get(event, "disposition"), get(event, "reason_code")) == (disposition, None)
    assert (get(event, "outcome"), get(event, "event.type")) == ("success", ["info", "allowed"])


@VERSIONS
@SIZES
def test_the_audit_says_all_that_the_rule_says(world, version, size):
    topic = f"reject/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, evil(size), 1, INVALID)
    event, = found(world, topic, check="reject")
    assert event["rule"] == {"ruleset": "iot", "name": "evil_mark", "category": "yara", "uuid": "test-001",
                             "description": "the mark of these tests", "reference": "https://example.com/evil"}
    technique = {"id": ["T1105", "T1059"], "subtechnique": {"id": ["T1059.004"]}}
    assert event["threat"] == {"framework": "MITRE ATT&CK", "technique": technique}
    assert event["mqward"]["yara"] == {"rules": ["evil_mark"], "namespaces": ["iot"], "tags": ["demo", "mark"],
                                       "matches": 1, "first_offset": max(0, size - len(EVIL)), "view": "raw",
                                       "part": "payload", "scan_complete": True}
    assert (get(event, "severity"), get(event, "mqward.policy"), get(event, "qos")) == (73, "scanned", 1)


@VERSIONS
@SIZES
def test_a_retained_message_is_not_kept(world, version, size):
    topic = f"reject/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, b"kept", 1, retain=True)
    sender.publish(topic, evil(size), 1, INVALID, retain=True)
    late = world.observer(topic)
    assert payloads(world.arrived(late, sender)) == [b"kept"]
    event, = found(world, topic, check="reject")
    assert get(event, "retained") is True
    sender.publish(topic, b"", 1, retain=True)


@pytest.mark.needs("v5.0")
@SIZES
def test_behind_a_topic_alias(world, size):
    """The alias that the refused message brought holds all the same."""
    topic = f"reject/{world.name()}"
    observer, sender = world.observer("reject/#", qos=1), world.connected(version=raw.V5)
    sender.publish(topic, evil(size), 1, INVALID, props=[(raw.TOPIC_ALIAS, 1)])
    sender.publish("", b"by its alias", 1, props=[(raw.TOPIC_ALIAS, 1)])
    sender.publish("", evil(size), 1, INVALID, props=[(raw.TOPIC_ALIAS, 1)])
    arrived = world.arrived(observer, sender)
    assert [(message.topic, message.payload) for message in arrived] == [(topic, b"by its alias")]
    found(world, topic, 2, check="reject")


@TWO
@VERSIONS
@pytest.mark.parametrize("dup", (False, True))
def test_a_message_that_was_refused_may_come_again_without_its_mark(world, version, dup):
    """Under the same packet id: the refusal has ended its use."""
    topic = f"reject/{world.name()}"
    observer, sender = world.observer("reject/#", qos=2), world.connected(version=version)
    for qos in (1, 2):
        sender.publish(topic, evil(), qos, INVALID, packet_id=7, dup=dup)
        sender.publish(topic, b"clean", qos, packet_id=7)
    assert payloads(world.arrived(observer, sender)) == [b"clean", b"clean"]


# ---- wills ----

@pytest.mark.core
@VERSIONS
@SIZES
@pytest.mark.parametrize("action, code", (("reject", INVALID), ("secret", REFUSED), ("drop", INVALID),
                                          ("disconnect", INVALID), ("quarantine", INVALID)))
def test_a_will_in_which_something_is_found_refuses_connect(world, version, size, action, code):
    topic, client_id = f"{action}/{world.name()}", world.name()
    client = world.client(version)
    client.connect(client_id, code, will=raw.Will(topic, evil(size - 100), 1, True))
    client.expect_closed()
    event, = found(world, topic, check=action, client_id=client_id)
    assert (get(event, "packet"), get(event, "disposition")) == ("connect", "rejected")
    assert not world.broker.knows(client_id)
    world.connected(client_id, version, will=raw.Will(topic, harmless(size - 100))).disconnect()


@VERSIONS
@SIZES
@PASSING
def test_a_will_that_is_only_reported_is_published(world, version, size, action, disposition, qos):
    topic = f"{action}/{world.name()}"
    observer = world.observer(topic, qos=2)
    client = world.connected(version=version, will=raw.Will(topic, evil(size - 100), qos))
    event, = found(world, topic, check=action)
    assert (get(event, "packet"), get(event, "disposition")) == ("connect", disposition)
    client.reset()
    assert observer.message().payload == evil(size - 100)


@VERSIONS
def test_what_is_sent_behind_connect_waits_for_the_wills_scan(world, version):
    """A client need not wait for CONNACK."""
    topic = f"reject/{world.name()}"
    observer, client = world.observer("reject/#", qos=1), world.client(version)
    client.send(raw.connect(version, world.name(), will=raw.Will(topic, harmless(60_000))) +
                raw.publish(version, topic, b"at once", 1, packet_id=1) +
                raw.publish(version, topic, evil(20_000), 1, packet_id=2))
    client.expect(raw.CONNACK, code=0)
    client.expect(raw.PUBACK, packet_id=1)
    client.expect(raw.PUBACK, packet_id=2, code=client.in_version(raw.PUBACK, INVALID))
    assert payloads(world.arrived(observer, client)) == [b"at once"]
    client.disconnect()  # no will for the observers of the next test


# ---- deliveries ----

@pytest.mark.core
@VERSIONS
@SIZES
@KEEPING_BACK
def test_what_came_to_the_broker_otherwise_is_not_delivered(world, version, qos, size, action):
    """It is acknowledged in the receiver's place: more of them than may be in flight hold nothing up."""
    topic, client_id = f"{action}/{world.name()}", world.name()
    receiver, other = world.connected(client_id, version), world.observer(topic, qos=qos)
    receiver.subscribe(topic, qos=qos)
    wanted = []
    with world.direct(version=version) as behind:
        for number in range(25):
            behind.publish(topic, evil(size), qos)
            wanted.append(b"%d" % number)
            behind.publish(topic, wanted[-1], qos)
    assert [receiver.message().payload for _ in wanted] == wanted
    assert len(world.arrived(other)) == 2 * len(wanted)
    events = found(world, topic, len(wanted), check=action)
    assert {(get(event, "disposition"), get(event, "client_id")) for event in events} == {("dropped", client_id)}
    receiver.send(raw.pingreq())
    while receiver.receive().type == raw.PUBREL:
        pass


@VERSIONS
@SIZES
@PASSING
def test_what_is_only_reported_is_delivered(world, version, size, action, disposition, qos):
    topic = f"{action}/{world.name()}"
    receiver = world.connected(version=version)
    receiver.subscribe(topic, qos=qos)
    with world.direct(version=version) as behind:
        for payload in (b"before", evil(size), b"after"):
            behind.publish(topic, payload, qos)
    assert [receiver.message().payload for _ in range(3)] == [b"before", evil(size), b"after"]
    event, = found(world, topic, check=action)
    assert get(event, "disposition") == disposition


@pytest.mark.needs("retained-wildcard")
@VERSIONS
@SIZES
def test_a_retained_message_is_kept_from_who_comes_later(world, version, size):
    topic = f"late/{world.name()}"
    with world.direct(version=version) as behind:
        behind.publish(f"{topic}/a", b"first", 1, retain=True)
        behind.publish(f"{topic}/b", evil(size), 1, retain=True)
        behind.publish(f"{topic}/c", b"third", 1, retain=True)
        receiver = world.connected(version=version)
        receiver.subscribe(f"{topic}/#", qos=1)
        assert {receiver.message().payload for _ in range(2)} == {b"first", b"third"}
        event, = found(world, f"{topic}/b", check="late")
        assert get(event, "retained") is True
        receiver.ping()
        for name in "abc":
            behind.publish(f"{topic}/{name}", b"", 1, retain=True)


@VERSIONS
def test_a_publish_is_no_delivery(world, version):
    """A check `at: receive` lets clients publish what they may not get; one `at: publish` lets them get it."""
    topic = world.name()
    client = world.connected(version=version)
    client.subscribe(f"late/{topic}", f"secret/{topic}", qos=1)
    observer = world.observer("late/#")
    client.publish(f"late/{topic}", evil(), 1)
    assert payloads(world.arrived(observer)) == [evil()]
    found(world, f"late/{topic}", check="late")
    with world.direct() as behind:
        behind.publish(f"secret/{topic}", evil(), 1)
    assert client.message().payload == evil()


@VERSIONS
def test_the_whole_policy_in_monitor_mode(make_world, version):
    text = policy(scan("at: [publish, receive]")).replace("policy: scanned\n", "policy: scanned\nmode: monitor\n")
    world = scan_world(make_world, text=text)
    receiver = world.connected(version=version, will=raw.Will("dt/x", evil()))
    receiver.subscribe("dt/#", qos=1)
    sender = world.connected(version=version)
    for size in (64, 20_000):
        sender.publish("dt/x", evil(size), 1)
        assert receiver.message().payload == evil(size)
    events = found(world, "dt/x", 5)
    assert {get(event, "disposition") for event in events} == {"monitored"} and len(events) == 5


# ---- what devices use ----

@pytest.fixture(scope="module")
def mqttjs():
    process = MqttJsProcess()
    yield process
    process.stop()


def with_paho(request, world, version, topic, messages):
    with Paho(version, world.name(), world.proxy.ports["plain"]) as client:
        for message in messages:
            client.publish(topic, message, 1)


def with_mqttjs(request, world, version, topic, messages):
    with MqttJs(request.getfixturevalue("mqttjs"), version, world.name(), world.proxy.ports["plain"]) as client:
        for message in messages:
            refused = version == raw.V5 and EVIL in message
            try:
                client.publish(topic, message, 1)
            except AssertionError as error:
                assert refused and "Payload format invalid" in str(error)
            else:
                assert not refused


def with_mosquitto_pub(request, world, version, topic, messages):
    for message in messages:
        result = mosquitto_pub(version, world.proxy.ports["plain"], topic, "-q", "1", payload=message)
        told = b"Payload format invalid" in result.stdout + result.stderr
        assert told == (version == raw.V5 and EVIL in message), result


@VERSIONS
@pytest.mark.parametrize("publish", (with_paho, with_mqttjs, with_mosquitto_pub),
                         ids=("paho", "MQTT.js", "mosquitto_pub"))
def test_client_libraries_live_with_it(request, world, version, publish):
    topic = f"reject/{world.name()}"
    observer = world.observer(topic, qos=1)
    publish(request, world, version, topic, [b"first", evil(), evil(40_000), harmless(40_000)])
    assert payloads(world.arrived(observer)) == [b"first", harmless(40_000)]
    assert len(world.audit.wait_for_count(2, action=MATCHED, topic=topic)) == 2
