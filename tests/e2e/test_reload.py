# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: another configuration and policy for sessions that go on."""
import contextlib
import os
import random
import signal
import threading
import time

import pytest

import raw
from audit import get
from servers import make_password_file, wait_until

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: before
identity:
  - password: {file: users}
  - anonymous: {id: guest}
rules:
  - rule: both
    who: everyone
    allow: [publish, subscribe]
    topics: [both/#, gone/#, st/<client_id>]
"""
AFTER = POLICY.replace("policy: before", "policy: after").replace("gone/#", "new/#")


def reload(world, policy=None, configuration=None, event="reloaded"):
    """Rewrites the files, sends SIGHUP and waits until the log says how it went."""
    count = len(world.proxy.logged(event))
    if policy is not None:
        world.policy = world.proxy.policy = policy
    if configuration:
        configuration(world.proxy.configuration)
    world.proxy.write()
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: len(world.proxy.logged(event)) > count, f"{event!r} in the log")


def refusal(version, five, three):
    return five if version == raw.V5 else three


@pytest.mark.core
@VERSIONS
def test_the_next_publish_of_a_live_session_is_judged_by_the_new_policy(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret"})
    client = world.connected(version=version)
    client.publish("gone/x", b"1", qos=1)
    client.publish("new/x", b"1", qos=1, code=refusal(version, 0x87, 0))
    reload(world, AFTER)
    client.ping()
    client.publish("gone/x", b"2", qos=1, code=refusal(version, 0x87, 0))
    observer = world.observer("new/#")
    client.publish("new/x", b"2", qos=1)
    assert [message.payload for message in world.arrived(observer, client)] == [b"2"]
    event = world.audit.wait_for(action="mqtt-publish-denied", topic="gone/x")
    assert get(event, "rule.ruleset") == "after"


def test_the_audit_has_both_versions_of_the_policy(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"})
    before = world.audit.wait_for(action="proxy-started")
    reload(world, AFTER)
    event = world.audit.wait_for(action="policy-reloaded")
    assert get(event, "mqward.previous_policy_version") == get(before, "mqward.policy_version")
    assert get(event, "mqward.policy_version") != get(before, "mqward.policy_version")


@pytest.mark.core
def test_a_policy_with_errors_changes_nothing(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"})
    client = world.connected()
    reload(world, POLICY.replace("allow:", "alow:"), event="not reloaded: what was in force stays")
    client.publish("gone/x", b"1", qos=1)
    event = world.audit.wait_for(action="policy-rejected")
    assert "policy.yaml:9" in str(event)
    assert any("alow" in line.get("finding", "") for line in world.proxy.logged("an error"))
    reload(world, AFTER)
    client.ping()
    client.publish("gone/x", b"1", qos=1, code=0x87)


def test_a_policy_whose_own_test_fails_changes_nothing(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"})
    client = world.connected()
    reload(world, AFTER + "tests:\n  - {as: password eva, allow: publish gone/x}\n", event="not reloaded: what was in force stays")
    client.publish("gone/x", b"1", qos=1)
    assert "test failed: 'publish gone/x'" in str(world.audit.wait_for(action="policy-rejected"))
    reload(world, AFTER + "tests:\n  - {as: password eva, deny: publish gone/x}\n")
    client.ping()
    client.publish("gone/x", b"1", qos=1, code=0x87)


@pytest.mark.parametrize("key, change", (
    ("workers", lambda configuration: configuration.update(workers=1)),
    ("listeners", lambda configuration: configuration["listeners"].pop()),
    ("audit", lambda configuration: configuration["audit"].update(directory="elsewhere")),
), ids=("workers", "listeners", "audit"))
def test_what_only_a_restart_can_change_is_refused(make_world, key, change):
    world = make_world(POLICY, passwords={"eva": "secret"})
    client = world.connected()
    reload(world, AFTER, change, event="not reloaded: what was in force stays")
    assert [line["key"] for line in world.proxy.logged("this key changes only with a restart")] == [key]
    client.publish("gone/x", b"1", qos=1)


@pytest.mark.parametrize("name", ("mqward.yaml", "policy.yaml", "users.passwd", "server.pem", "fleet.pem"))
@pytest.mark.parametrize("make", (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)),
                         ids=("pipe", "folder", "device"))
def test_what_is_no_file_is_refused_at_once(make_world, name, make):
    """A pipe would let the main thread wait for its other end, and a device has no end."""
    world = make_world(POLICY, passwords={"eva": "secret"}, start=False)
    for key, source in (("server.pem", world.certs.server[0]), ("fleet.pem", world.certs.fleet_ca.path)):
        with open(f"{world.proxy.folder}/{key}", "wb") as copy, open(source, "rb") as original:
            copy.write(original.read())
    world.proxy.configuration["cas"]["fleet"] = "fleet.pem"
    world.proxy.configuration["listeners"][1]["tls"]["certificate"] = "server.pem"
    world.proxy.write()
    world.proxy.start()
    client = world.connected()
    path = f"{world.proxy.folder}/{name}"
    os.rename(path, path + ".was")
    make(path)
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: world.proxy.logged("not reloaded: what was in force stays"), "the refusal")
    client.publish("gone/x", b"1", qos=1)
    (os.rmdir if os.path.isdir(path) else os.remove)(path)
    os.rename(path + ".was", path)
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: world.proxy.logged("reloaded"), "the reload")


@VERSIONS
def test_what_monitor_mode_let_in_unproven_is_not_believed_later(make_world, version):
    """A wrong password: in monitor mode nobody, and gone once the policy is enforced."""
    policy = """\
version: 1
policy: watched
mode: monitor
identity:
  - password: {file: users}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [own/<id>/#]
"""
    world = make_world(policy, passwords={"eva": "secret"})
    liar = world.connected("liar", version, username="eva", password="wrong")
    eva = world.connected("eva", version, username="eva", password="secret")
    liar.publish("own/eva/x", b"1", qos=1)
    event = world.audit.wait_for(action="mqtt-publish-denied", client_id="liar")
    assert (get(event, "disposition"), get(event, "user")) == ("monitored", None)
    reload(world, policy + "# another version\n")
    liar.ping()
    liar.publish("own/eva/y", b"1", qos=1)
    world.audit.wait_for(action="mqtt-publish-denied", client_id="liar", topic="own/eva/y")
    reload(world, policy.replace("mode: monitor", "mode: enforce"))
    assert [packet.code for packet in liar.until_closed()] == ([0x87] if version == raw.V5 else [])
    event = world.audit.wait_for(action="mqtt-disconnect", client_id="liar")
    assert get(event, "reason") == "credential_changed"
    eva.publish("own/eva/z", b"1", qos=1)


@pytest.mark.parametrize("version", (raw.V31, raw.V311), ids=("v3.1", "v3.1.1"))
def test_a_client_without_a_known_identifier_is_judged_as_at_its_connack(make_world, version):
    """A broker of 3.x does not say which identifier it has chosen: rules with <client_id> can't be applied."""
    world = make_world(POLICY.replace(", st/<client_id>", ""), broker="fake", passwords={"eva": "secret"})
    client = world.client(version)
    client.send(raw.connect(version, "" if version == raw.V311 else "x"))
    peer, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    reload(world, POLICY + "  - rule: own\n    who: everyone\n    deny: publish\n    topics: [x/<client_id>/#]\n")
    if version == raw.V311:
        peer.expect(raw.DISCONNECT)
        client.expect_closed()
    else:
        client.send(raw.publish(version, "both/x", b"1"))
        assert peer.message().payload == b"1"


@VERSIONS
def test_a_subscription_that_is_forbidden_now_is_withdrawn_at_the_broker(make_world, version):
    world = make_world(POLICY, broker="fake", passwords={"eva": "secret"})
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    peer, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    client.send(raw.subscribe(version, 1, [("gone/#", 1), ("both/#", 0), ("gone/a", 0)]))
    peer.expect(raw.SUBSCRIBE)
    peer.send(raw.suback(version, 1, [1, 0, 0]))
    client.expect(raw.SUBACK)
    reload(world, AFTER)
    packet = peer.expect(raw.UNSUBSCRIBE)
    assert sorted(name for name, _ in packet.filters) == ["gone/#", "gone/a"]
    # what is under way is not delivered, and acknowledged to the broker
    peer.send(raw.publish(version, "gone/x", b"late", qos=1, packet_id=9))
    peer.expect(raw.PUBACK, packet_id=9)
    # the answer is not the client's
    peer.send(raw.unsuback(version, packet.packet_id, [0, 0]))
    peer.send(raw.publish(version, "both/x", b"still"))
    assert client.message().payload == b"still"
    events = world.audit.wait_for_count(2, action="mqtt-subscription-withdrawn")
    assert sorted(get(event, "topic") for event in events) == ["gone/#", "gone/a"]
    assert all(get(event, "mqward.previous_policy_version") != get(event, "mqward.policy_version") for event in events)
    # the client's own UNSUBSCRIBE for it is the proxy's to answer now
    client.send(raw.unsubscribe(version, 5, ["gone/#"]))
    client.expect(raw.UNSUBACK, packet_id=5)


@VERSIONS
def test_who_is_not_in_the_password_file_any_more_is_disconnected(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret", "adam": "other", "carl": "third"})
    eva = world.connected(version=version, username="eva", password="secret")
    adam = world.connected(version=version, username="adam", password="other")
    carl = world.connected(version=version, username="carl", password="third")
    observer = world.observer("both/#")
    path = f"{world.proxy.folder}/users.passwd"
    with open(path, encoding="ascii") as file:
        lines = [line for line in file if not line.startswith("eva:")]
    make_password_file(path, {"adam": "changed"})
    with open(path, encoding="ascii") as file:
        changed = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(changed + "".join(line for line in lines if not line.startswith("adam:")))
    reload(world)
    for client in (eva, adam):
        answers = client.until_closed()
        assert [packet.code for packet in answers] == ([0x87] if version == raw.V5 else [])
    carl.publish("both/x", b"here", qos=1)
    assert [message.payload for message in world.arrived(observer, carl)] == [b"here"]
    event = world.audit.wait_for(action="mqtt-disconnect", user="eva")
    assert get(event, "reason") == "credential_changed"


@VERSIONS
def test_a_will_that_is_forbidden_now_is_taken_back_with_its_session(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret"})
    observer = world.observer("gone/#", "both/#")
    gone = world.connected(version=version, will=raw.Will("gone/will", b"x"))
    kept = world.connected(version=version, will=raw.Will("both/will", b"x"))
    reload(world, AFTER)
    assert [packet.code for packet in gone.until_closed()] == ([0x87] if version == raw.V5 else [])
    kept.ping()
    world.audit.wait_for(action="mqtt-will-denied", topic="gone/will")
    assert world.arrived(observer, kept) == []
    kept.abort()
    assert observer.message().topic == "both/will"


@VERSIONS
def test_a_connect_that_is_under_way_is_bound_after_its_connack(make_world, version):
    world = make_world(POLICY, broker="fake", passwords={"eva": "secret"})
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    peer, _ = world.fake.accept_connect()
    reload(world, AFTER)
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    client.send(raw.publish(version, "gone/x", b"1") + raw.publish(version, "new/x", b"2"))
    assert peer.message().payload == b"2"


def test_a_ca_that_is_trusted_no_more_ends_its_clients(make_world):
    world = make_world(POLICY.replace("- password: {file: users}", "- cert: {ca: fleet, id: san.uri, strip: 'urn:dev:'}"))
    client = world.connected(certificate=world.certs.plc7)
    reload(world)
    client.ping()
    reload(world, configuration=lambda configuration: configuration["cas"].update(fleet=world.certs.foreign_ca.path))
    client.until_closed()
    event = world.audit.wait_for(action="mqtt-disconnect", user="plc-7")
    assert get(event, "reason") == "tls_certificate_rejected"


@pytest.mark.needs("v5.0")
def test_hundreds_of_clients_with_traffic_lose_nothing(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"})
    observer = world.observer("both/#")
    clients = [world.connected(version=raw.VERSIONS[index % 3]) for index in range(300)]
    sent = []

    def traffic():
        for round_number in range(20):
            for index, client in enumerate(clients[:60]):
                payload = b"%d-%d" % (index, round_number)
                client.publish(f"both/{index}", payload, qos=1)
                sent.append(payload)

    thread = threading.Thread(target=traffic)
    thread.start()
    for number in range(5):
        reload(world, AFTER if number % 2 == 0 else POLICY)
    thread.join(60)
    assert not thread.is_alive() and len(sent) == 1200
    for client in clients:
        client.ping()
    assert sorted(message.payload for message in world.arrived(observer)) == sorted(sent)


@pytest.mark.needs("v5.0")
def test_reloads_one_upon_the_other_lose_nothing(make_world):
    """While clients come and go, with TLS and with passwords that take their time, and messages flow at every QoS."""
    world = make_world(POLICY, passwords={"eva": "secret"})
    publisher, subscriber = world.connected("publisher"), world.connected("subscriber")
    subscriber.subscribe("both/flow/#", qos=2)
    began, over, sent, received, errors = time.monotonic(), threading.Event(), [], [], []

    def come_and_go():
        options = random.choice(({"certificate": world.certs.plc7}, {"tls": True},
                                 {"username": "eva", "password": "secret"}))
        client = world.connected(version=random.choice(raw.VERSIONS), **options)
        client.publish("both/other", b"1", qos=random.randrange(3))
        random.choice((client.disconnect, client.reset, client.abort))()

    def flow():
        sent.append(b"%d" % len(sent))
        publisher.publish("both/flow/x", sent[-1], qos=1 + len(sent) % 2)

    def until_the_end(action):
        try:
            while not over.is_set():
                action()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=until_the_end, args=(action,)) for action in (come_and_go, come_and_go, flow)]
    for thread in threads:
        thread.start()
    def enough():
        """Some seconds of it, and on a slow machine as many reloads and messages as they would have been."""
        seconds = time.monotonic() - began
        return seconds > 60 or (seconds > 4 and len(sent) > 50 and len(world.proxy.logged("reloaded")) > 10)

    for number in range(10000):
        if enough():
            break
        world.proxy.policy = AFTER if number % 2 == 0 else POLICY
        world.proxy.write()
        world.proxy.signal(signal.SIGHUP)
        time.sleep(random.choice((0, 0.001, 0.03)))
    over.set()
    for thread in threads:
        thread.join(30)
    with contextlib.suppress(TimeoutError):
        while len(received) < len(sent):
            received.append(subscriber.message(timeout=5).payload)
    assert not errors
    assert len(world.proxy.logged("reloaded")) > 10 and len(sent) > 50
    assert sorted(received) == sorted(sent)


@pytest.mark.needs("v5.0")
def test_a_snapshot_that_nobody_uses_any_more_is_given_back(make_world):
    """Idle clients, who send nothing, hold none of them."""
    rules = "".join(f"  - rule: r{number}\n    who: everyone\n    allow: publish\n    topics: [r/{number}/<id>/#]\n"
                    for number in range(400))
    world = make_world(POLICY + rules, passwords={"eva": "secret"})
    clients = [world.connected(version=raw.VERSIONS[index % 3]) for index in range(30)]
    resident = []
    for number in range(60):
        reload(world, (POLICY if number % 2 == 0 else AFTER) + rules)
        resident.append(world.proxy.resident())
    assert resident[-1] - resident[19] < 16 << 20, resident
    for client in clients:
        client.ping()
