# SPDX-License-Identifier: Apache-2.0
"""Checks of rates: limits per identity, address and group over all workers, of messages, bytes and connects."""
import time

import pytest

import raw
from audit import get
from peer import Client, dial
from processes import wait_until
from test_reload import reload

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
AGGREGATING = {"audit": {"aggregate": "1s"}}
USERS = {"eva": "secret", "adam": "secret", "op-1": "secret", "op-2": "secret"}
TOO_MANY = 0x97
# By the hour: nothing comes back while a test runs.
POLICY = """\
version: 1
policy: rates
identity:
  - password: {{file: users}}
  - anonymous: {{id: guest}}
groups:
  operators: {{ids: [op-*]}}
  people: {{source: password}}
rules:
  - rule: all
    who: [everyone, people, operators]
    allow: [publish, subscribe]
    topics: [dt/#, st/#]
checks:
{checks}
audit: {{deny: all, payload: none}}
"""


def policy(*checks, more=""):
    return POLICY.format(checks="".join(f"  - {check}\n" for check in checks)) + more


def user(world, name, version=None, client_id=None, **options):
    return world.connected(client_id, version, username=name, password=b"secret", **options)


def count_passed(client, tries, topic="dt/x", payload=b"x"):
    """How many of tries publishes at QoS 1 are not refused; MQTT 5.0 says so."""
    passed = 0
    for _ in range(tries):
        identifier = next(client.identifiers)
        client.send(raw.publish(client.version, topic, payload, 1, packet_id=identifier))
        code = client.expect(raw.PUBACK, packet_id=identifier).code
        assert code in (0, 0x10, TOO_MANY)
        passed += code != TOO_MANY
    return passed


def on_different_workers(world, name, **options):
    """Two connections of a user that two workers serve: session ids tell."""
    first = {}
    for _ in range(50):
        client_id = world.name()
        client = user(world, name, client_id=client_id, **options)
        event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client_id)
        worker = get(event, "mqtt.session_id").split("-")[1]
        for other, one in first.items():
            if other != worker:
                return one, client
        first.setdefault(worker, client)
    raise AssertionError("all connections came to one worker")


def told(events):
    """For how many messages events stand."""
    return sum(1 + get(event, "mqward.suppressed", 0) for event in events)


# ---- what the audit hears ----

def test_the_audit_hears_of_all_messages_although_the_client_falls_silent(make_world):
    """A flood is one event and then one for the rest, even if nothing comes any more."""
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 5/h}}"), passwords=USERS,
                       configuration=AGGREGATING)
    client = user(world, "eva", raw.V5)
    assert count_passed(client, 45) == 5
    wait_until(lambda: told(world.audit.all(action="rate-limited", user="eva")) == 40, "all 40 are told of")
    assert len(world.audit.all(action="rate-limited", user="eva")) < 20
    assert not world.audit.all(action="mqtt-disconnect", user="eva")


# ---- who shares a limit ----

@pytest.mark.core
def test_an_identity_has_one_limit_over_all_workers(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 10/h}}"), passwords=USERS)
    first, second = on_different_workers(world, "eva", version=raw.V5)
    assert count_passed(first, 6) == 6
    assert count_passed(second, 6) == 4
    assert count_passed(first, 3) == 0
    assert count_passed(user(world, "adam", raw.V5), 12) == 10
    event = world.audit.wait_for(action="rate-limited", user="eva", reason_code=TOO_MANY)
    assert get(event, "reason") == "rate_exceeded" and get(event, "rule") == "flood"
    assert get(event, "line") == world.line("check: flood")
    assert get(event, "disposition") == "rejected" and get(event, "outcome") == "failure"
    assert get(event, "topic") == "dt/x"


@VERSIONS
def test_what_is_refused_does_not_arrive(make_world, version):
    world = make_world(policy("{check: flood, topics: \"dt/#\", rate: {per: id, messages: 3/h}}"), passwords=USERS)
    observer = world.observer("dt/#", "st/#")
    client = user(world, "eva", version)
    for number in range(5):
        client.publish("dt/x", b"%d" % number, qos=1, code=TOO_MANY if number > 2 else 0)
    for number in range(5, 8):
        client.publish("dt/x", b"%d" % number)
    client.publish("st/x", b"another topic")
    payloads = [message.payload for message in world.arrived(observer, client)]
    assert payloads == [b"0", b"1", b"2", b"another topic"]


def test_an_address_has_one_limit_whoever_it_is(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: address, messages: 6/h}}"), passwords=USERS)
    assert count_passed(user(world, "eva", raw.V5), 4) == 4
    assert count_passed(user(world, "adam", raw.V5), 4) == 2
    elsewhere = Client(dial(("127.0.0.1", world.proxy.ports["plain"]), source="127.0.0.2"), raw.V5)
    with elsewhere:
        elsewhere.connect("elsewhere", username="eva", password=b"secret")
        assert count_passed(elsewhere, 8) == 6


def test_a_group_has_one_limit_for_its_members(make_world):
    world = make_world(policy("{check: flood, who: operators, topics: \"#\", rate: {per: group, messages: 5/h}}"),
                       passwords=USERS)
    assert count_passed(user(world, "op-1", raw.V5), 3) == 3
    assert count_passed(user(world, "op-2", raw.V5), 3) == 2
    assert count_passed(user(world, "eva", raw.V5), 10) == 10


def test_bytes_of_payload_are_counted(make_world):
    world = make_world(policy("{check: volume, topics: \"#\", rate: {per: id, bytes: 1000B/h, bytes_burst: 1000B}}"),
                       passwords=USERS)
    client = user(world, "eva", raw.V5)
    assert count_passed(client, 1, payload=b"x" * 1001) == 0
    assert count_passed(client, 3, payload=b"x" * 400) == 2
    assert count_passed(client, 2, payload=b"x" * 150) == 1
    assert count_passed(client, 2, payload=b"x" * 50) == 1
    assert count_passed(client, 5, payload=b"") == 5


def test_every_check_must_let_it_pass_and_a_refusal_costs_nothing(make_world):
    world = make_world(policy("{check: many, topics: \"#\", rate: {per: id, messages: 8/h}}",
                              "{check: few, topics: dt/#, rate: {per: id, messages: 2/h}}"), passwords=USERS)
    client = user(world, "eva", raw.V5)
    assert count_passed(client, 10, "dt/x") == 2
    assert count_passed(client, 10, "st/x") == 6
    for rule in ("many", "few"):
        world.audit.wait_for(action="rate-limited", rule=rule)
    assert {get(event, "rule") for event in world.audit.all(action="rate-limited")} == {"many", "few"}


def test_the_limit_comes_back_with_time(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 20/s, burst: 5}}"),
                       passwords=USERS)
    client = user(world, "eva", raw.V5)
    began = time.monotonic()
    passed = count_passed(client, 200)
    seconds = time.monotonic() - began
    while passed < 40 and seconds < 30:
        passed += count_passed(client, 10)
        seconds = time.monotonic() - began
    assert passed >= 40 and passed <= 5 + 20 * seconds + 1


# ---- connections ----

def test_a_new_connection_does_not_reset_the_limit(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 4/h}}"), passwords=USERS)
    for connection in range(4):
        client = user(world, "eva", raw.V5, client_id="the-same")
        assert count_passed(client, 3) == (3, 1, 0, 0)[connection]
        client.disconnect()
        world.audit.wait_for_count(connection + 1, action="mqtt-disconnect")


@VERSIONS
def test_connects_of_an_address(make_world, version):
    world = make_world(policy("{check: visitors, rate: {per: address, connects: 3/h}}"), passwords=USERS)
    refused = 0x9F if version == raw.V5 else 3
    user(world, "eva", version)
    world.client(version).connect("c", username="eva", password=b"wrong", code=0x86)
    user(world, "adam", version)
    world.client(version).connect("d", username="eva", password=b"secret", code=0x9F)
    event = world.audit.wait_for(action="mqtt-connect-refused", reason="connect_rate_exceeded")
    assert get(event, "rule") == "visitors" and get(event, "line") == world.line("check: visitors")
    assert get(event, "user") is None and get(event, "reason_code") == refused
    with Client(dial(("127.0.0.1", world.proxy.ports["plain"]), source="127.0.0.2"), version) as elsewhere:
        elsewhere.connect("elsewhere", username="eva", password=b"secret")


@VERSIONS
def test_connects_of_an_identity_need_its_credential(make_world, version):
    world = make_world(policy("{check: entrants, rate: {per: id, connects: 2/h}}"), passwords=USERS)
    for number in range(4):
        world.client(version).connect(f"guess-{number}", username="eva", password=b"wrong", code=0x86)
    for number in range(2):
        user(world, "eva", version)
    world.client(version).connect("third", username="eva", password=b"secret", code=0x9F)
    event = world.audit.wait_for(action="mqtt-connect-refused", reason="connect_rate_exceeded")
    assert get(event, "rule") == "entrants" and get(event, "user") == "eva"
    user(world, "adam", version)


def test_connects_of_a_group(make_world):
    world = make_world(policy("{check: entrants, who: operators, rate: {per: group, connects: 2/h}}"), passwords=USERS)
    user(world, "op-1", raw.V5)
    user(world, "op-2", raw.V5)
    world.client(raw.V5).connect("third", username="op-1", password=b"secret", code=0x9F)
    user(world, "eva", raw.V5)


# ---- what a refusal is ----

def test_monitor_mode_blocks_nothing_and_reports_all(make_world):
    trial = "{check: trial, mode: monitor, topics: \"#\", rate: {per: id, messages: 2/h, connects: 1/h}}"
    world = make_world(policy(trial), passwords=USERS)
    client = user(world, "eva", raw.V5)
    assert count_passed(client, 20) == 20
    user(world, "eva", raw.V5)
    client.disconnect()
    world.audit.wait_for(action="mqtt-disconnect")
    events = world.audit.all(action="rate-limited")
    assert told(events) == 18 and all(get(event, "disposition") == "monitored" for event in events)
    assert all(get(event, "outcome") == "success" and get(event, "rule") == "trial" for event in events)
    refused = world.audit.wait_for(action="mqtt-connect-refused", reason="connect_rate_exceeded")
    assert get(refused, "disposition") == "monitored"


@VERSIONS
def test_the_connection_ends_if_the_policy_says_so(make_world, version):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 1/h}}",
                              more="on_deny: {publish: disconnect}\n"), passwords=USERS)
    client = user(world, "eva", version)
    client.publish("dt/x", b"1", qos=1)
    client.send(raw.publish(version, "dt/x", b"2", 1, packet_id=77))
    if version == raw.V5:
        client.expect(raw.DISCONNECT, code=0x96)
    assert client.receive() is None
    event = world.audit.wait_for(action="rate-limited")
    assert get(event, "disposition") == "closed" and get(event, "reason_code") == (0x96 if version == raw.V5 else None)
    assert get(world.audit.wait_for(action="mqtt-disconnect"), "reason") == "rate_exceeded"


@pytest.mark.core
def test_the_audit_accounts_for_each_message_of_a_flood(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 200/h}}"), passwords=USERS,
                       configuration=AGGREGATING)
    observer = world.observer("dt/#")
    clients = on_different_workers(world, "eva")
    for client in clients:
        client.send(b"".join(raw.publish(client.version, f"dt/{number % 20}", b"%d" % number)
                             for number in range(3000)))
    arrived = len(world.arrived(observer, *clients))
    assert arrived == 200
    for client in clients:
        client.disconnect()
    wait_until(lambda: told(world.audit.all(action="rate-limited")) >= 2 * 3000 - arrived, "all are told of")
    events = world.audit.all(action="rate-limited", rule="flood")
    assert told(events) == 2 * 3000 - arrived
    assert len(events) < 60, "a flood of messages is no flood of events"
    world.audit.assert_gapless()


def test_what_rules_deny_is_not_counted(make_world):
    world = make_world(policy("{check: flood, topics: \"#\", rate: {per: id, messages: 3/h}}"), passwords=USERS)
    client = user(world, "eva", raw.V5)
    for _ in range(10):
        client.publish("no/where", b"x", qos=1, code=0x87)
    assert count_passed(client, 5) == 3


# ---- reload ----

FLOOD = "{check: flood, topics: \"#\", rate: {per: id, messages: %s}}"


def test_a_reload_changes_the_limit_of_live_sessions(make_world):
    world = make_world(policy(FLOOD % "3/h"), passwords=USERS)
    client = user(world, "eva", raw.V5)
    assert count_passed(client, 5) == 3
    reload(world, policy("{check: other, topics: st/#, rate: {per: id, messages: 1/h}}", FLOOD % "3/h"))
    client.ping()
    assert count_passed(client, 5) == 0, "a reload gives nothing"
    reload(world, policy(FLOOD % "1000/s, burst: 4"))
    client.ping()
    deadline = time.monotonic() + 10
    while count_passed(client, 1) == 0:
        assert time.monotonic() < deadline, "an hour's debt is not that of a thousand a second"
    reload(world, policy(FLOOD % "1/h"))
    client.ping()
    assert count_passed(client, 5) <= 1
    reload(world, policy("{check: other, topics: st/#, rate: {per: id, messages: 1/h}}"))
    client.ping()
    assert count_passed(client, 20) == 20
    assert count_passed(client, 3, "st/x") == 1


def test_a_check_that_comes_holds_for_live_sessions(make_world):
    world = make_world(policy("{check: other, topics: st/#, rate: {per: id, messages: 1/h}}"), passwords=USERS)
    clients = on_different_workers(world, "eva", version=raw.V5)
    assert [count_passed(client, 10) for client in clients] == [10, 10]
    reload(world, policy(FLOOD % "4/h"))
    for client in clients:
        client.ping()
    assert [count_passed(client, 3) for client in clients] == [3, 1]
    for client in clients:
        client.disconnect()
    world.audit.wait_for_count(2, action="mqtt-disconnect", user="eva")
    assert told(world.audit.all(action="rate-limited", rule="flood")) == 2
