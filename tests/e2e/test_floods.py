# SPDX-License-Identifier: Apache-2.0
"""Floods are aggregated: what is alike is one event, and then a number. The sum is what happened, also through kill -9."""
import os
import socket
import time

import pytest

import raw
from audit import get
from processes import wait_until
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
COUNT = 10_000
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
NAMED = POLICY.replace("anonymous: {id: anonymous}", "password: {file: users}")
USERS = {"eva": "secret", "adam": "secret"}


def aggregating(interval):
    return {"audit": {"aggregate": interval}}


def told(events):
    """For how many acts events stand."""
    return sum(1 + get(event, "mqward.suppressed", 0) for event in events)


def wait_told(world, count, **fields):
    """Events that stand for count acts, once there are so many; never for more."""
    wait_until(lambda: told(world.audit.all(**fields)) >= count, f"events for {count} acts", 30)
    events = world.audit.all(**fields)
    assert told(events) == count, [get(event, "mqward.suppressed") for event in events]
    return events


def assert_few(events, began):
    """Each of two workers tells two events a second: a first one and a number."""
    assert len(events) <= 4 * (time.monotonic() - began + 2)


def flood(client, topic="closed/x", count=COUNT, payload=b"x"):
    data = raw.publish(client.version, topic, payload)
    for _ in range(count // 100):
        client.send(data * 100)
    client.ping()


@pytest.mark.core
def test_a_flood_is_one_event_and_then_a_number(make_world):
    world = make_world(POLICY, configuration=aggregating("1s"))
    client = world.connected("flooder")
    flood(client)
    first, *rest = wait_told(world, COUNT, action="mqtt-publish-denied")
    assert get(first, "mqward.suppressed") is None and get(first, "mqtt.payload.sha256")
    assert 1 <= len(rest) < 120
    for event in rest:
        assert get(event, "topic") == "closed/x" and get(event, "client_id") == "flooder"
        assert get(event, "reason") == "no_allow" and get(event, "mqtt.session_id") == get(first, "mqtt.session_id")
        assert get(first, "@timestamp") <= get(event, "@timestamp")
        if get(event, "mqward.suppressed"):
            assert get(event, "mqtt.payload") is None, "it is about many payloads"
            assert get(event, "event.start") <= get(event, "event.end") == get(event, "@timestamp")
    world.audit.assert_gapless()


@pytest.mark.core
def test_a_kill_in_the_middle_loses_no_number(make_world):
    world = make_world(POLICY, configuration=aggregating("1h"))
    world.killed = True
    for round_ in range(1, 4):
        flood(world.connected(), f"closed/{round_}")
        world.proxy.kill()
        world.proxy.start()
        assert len(wait_told(world, COUNT, action="mqtt-publish-denied", topic=f"closed/{round_}")) == 2
    world.killed = False
    assert not world.audit.all(action="audit-gap")
    world.audit.assert_gapless()


def test_a_kill_at_any_moment_tells_what_was_answered_and_no_more_than_was_sent(make_world):
    world = make_world(POLICY, configuration=aggregating("20ms"))
    world.killed = True
    for round_ in range(6):
        client = world.connected(version=raw.V5)
        topics = [f"closed/{round_}/{index}" for index in range(3)]
        answered = 0
        for index in range(150 + 31 * round_):
            client.publish(topics[index % 3], b"x", qos=1, code=0x87)
            answered += 1
        client.send(b"".join(raw.publish(raw.V5, topic, b"x", 1, packet_id=1000 + number)
                             for number, topic in enumerate(topics * 50)))
        world.proxy.kill()
        world.proxy.start()
        marker = f"closed/marker/{round_}"
        world.connected().publish(marker)
        world.audit.wait_for(topic=marker)
        found = told([event for topic in topics for event in world.audit.all(topic=topic)])
        assert answered <= found <= answered + 150
    world.killed = False


def test_a_stop_tells_all(make_world):
    world = make_world(POLICY, configuration=aggregating("1h"))
    flood(world.connected())
    world.proxy.terminate()
    assert len(wait_told(world, COUNT, action="mqtt-publish-denied")) == 2
    leftover = [name for name in os.listdir(os.path.join(world.proxy.folder, "audit")) if name.endswith((".table", ".ring"))]
    assert leftover == []


def test_principals_and_topics_are_told_apart(make_world):
    world = make_world(NAMED, passwords=USERS, configuration=aggregating("300ms"))
    clients = {name: world.connected(name, username=name, password=b"secret") for name in USERS}
    for name, client in clients.items():
        flood(client, "closed/both", 300)
        flood(client, f"closed/{name}", 200)
    for name in USERS:
        wait_told(world, 300, user=name, topic="closed/both")
        wait_told(world, 200, user=name, topic=f"closed/{name}")


def test_zero_switches_it_off(make_world):
    world = make_world(POLICY, configuration=aggregating("0s"))
    flood(world.connected(), count=500)
    assert len(wait_told(world, 500, action="mqtt-publish-denied")) == 500


# ---- what is no repeat ----

def test_each_refused_response_topic_is_named(make_world):
    world = make_world(POLICY, configuration=aggregating("1s"))
    client = world.connected(version=raw.V5)
    for index in range(5):
        for _ in range(3):
            client.send(raw.publish(raw.V5, "open/x", b"x", props=[(8, f"secret/{index}")]))
    client.ping()
    events = wait_told(world, 15, reason="response_topic_denied")
    assert {get(event, "mqtt.response_topic") for event in events} == {f"secret/{index}" for index in range(5)}


def test_what_goes_on_in_monitor_mode_is_no_repeat_of_something_else(make_world):
    """A message that would have been denied, and was let pass: each other one has an event that says what it was."""
    world = make_world(POLICY.replace("mode: enforce", "mode: monitor"), configuration=aggregating("1h"))
    client = world.connected(version=raw.V5)
    for payload, retain in ((b"harmless", False), (b"open", False), (b"open", True), (b"open", True)):
        client.publish("closed/valve", payload, qos=1, retain=retain)
    events = world.audit.wait_for_count(3, topic="closed/valve")
    assert len({(get(event, "mqtt.payload.sha256"), get(event, "mqtt.retained")) for event in events}) == 3
    world.proxy.terminate()
    *_, last = wait_told(world, 4, topic="closed/valve")
    assert get(last, "mqtt.retained") is True and get(last, "mqtt.payload.sha256") == get(events[2], "mqtt.payload.sha256")


def test_however_long_its_texts_are_a_flood_is_one(make_world):
    world = make_world(NAMED, passwords={"u" * 900: "secret"}, configuration=aggregating("1h"))
    client = world.connected("c" * 1000, raw.V5, username="u" * 900, password=b"secret")
    topic, other = "closed/" + "t" * 3000, "closed/" + "t" * 2999 + "u"
    for _ in range(100):
        client.send(raw.publish(raw.V5, topic, b"x", props=[(8, "r" * 3000)]))
    client.send(raw.publish(raw.V5, other, b"x", props=[(8, "r" * 3000)]))
    client.ping()
    world.proxy.terminate()
    events = wait_told(world, 101, action="mqtt-publish-denied")
    assert sorted(get(event, "mqward.suppressed", 0) for event in events) == [0, 0, 98]


# ---- what an earlier run left ----

def counting_world(make_world, interval):
    """Nothing is drained, and the ring of the only worker is small."""
    audit = {"on_full": "block", "ring": "256KiB", "quota": "1MiB", "segment": "64KiB", "aggregate": interval}
    return make_world(POLICY.replace("allow: 0%", "allow: 100%"), redis=False, configuration={"workers": 1, "audit": audit})


def count_twice(client, kinds):
    for _ in range(2):
        for index in range(kinds):
            client.publish(f"closed/kind/{index}", b"x", qos=1, code=0x87)
    return 2 * kinds


def kinds_of(world):
    return [event for event in world.audit.events() if get(event, "topic", "").startswith("closed/kind/")]


def fill(world):
    """Until the journal is full, and one has to wait: the ring is not empty. What is allowed is no kind that is counted."""
    filler, number = world.connected("filler", raw.V5), 0
    filler.sock.settimeout(1)
    try:
        while True:
            filler.send(raw.publish(raw.V5, f"open/fill/{number}/" + "x" * 700, b"x"))
            number += 1
    except TimeoutError:
        pass


def test_what_was_counted_is_told_while_the_next_run_goes_on(make_world):
    world = counting_world(make_world, "1h")
    world.killed = True
    happened = count_twice(world.connected("counted", raw.V5), 480)  # more than the ring has room for at the start
    fill(world)
    world.proxy.kill()
    world.proxy.configuration["audit"]["aggregate"] = "5s"
    world.proxy.write()
    world.redis.start()
    world.proxy.start()
    wait_until(lambda: told(kinds_of(world)) >= happened, "what was counted is told", 20)
    assert told(kinds_of(world)) == happened
    happened += count_twice(world.connected("again", raw.V5), 5)
    wait_until(lambda: told(kinds_of(world)) >= happened, "and what is new, too", 20)
    world.killed = False


def test_aggregation_begins_where_there_was_none_before(make_world):
    world = counting_world(make_world, "0s")
    world.killed = True
    count_twice(world.connected("counted", raw.V5), 3)
    fill(world)
    world.proxy.kill()
    world.proxy.configuration["audit"]["aggregate"] = "1h"
    world.proxy.write()
    world.redis.start()
    world.proxy.start()
    client = world.connected("again", raw.V5)
    for _ in range(5):
        count_twice(client, 1)
    world.killed = False
    world.proxy.terminate()
    events = wait_told(world, 2 + 10, topic="closed/kind/0")
    assert len(events) == 2 + 2, "one, and then a number"


# ---- what else can be poured in ----

def test_monitor_mode(make_world):
    world = make_world(POLICY.replace("mode: enforce", "mode: monitor"), configuration=aggregating("1s"))
    flood(world.connected(), count=1000)
    events = wait_told(world, 1000, action="mqtt-publish-denied", disposition="monitored")
    assert len(events) < 30


def test_subscribes(make_world):
    world = make_world(POLICY, configuration=aggregating("1s"))
    client = world.connected(version=raw.V5)
    for identifier in range(1, 301):
        client.send(raw.subscribe(raw.V5, identifier, [("closed/#", 0)]))
        client.expect(raw.SUBACK)
    assert len(wait_told(world, 300, action="mqtt-subscribe-denied")) < 30


def test_deliveries(make_world):
    policy = POLICY.replace("rules:", "rules:\n  - rule: secret\n    who: everyone\n    deny: receive\n"
                                      "    topics: [open/secret]")
    world = make_world(policy, configuration=aggregating("1s"))
    client = world.connected(version=raw.V311)
    client.subscribe("open/#")
    with world.direct() as sender:
        for _ in range(300):
            sender.publish("open/secret", b"x", qos=1)
    assert len(wait_told(world, 300, action="mqtt-delivery-filtered")) < 60


def test_connects_with_a_wrong_password(make_world):
    world = make_world(NAMED, passwords=USERS, configuration=aggregating("1s") | {
        "limits": {"login_failures_per_address": 0, "login_failures_per_name": 0}})
    began = time.monotonic()
    for index in range(40):
        world.client(raw.V5).connect(f"guess-{index}", username="eva", password=b"wrong", code=0x86)
    events = wait_told(world, 40, action="mqtt-connect-refused")
    assert_few(events, began)
    for event in events:
        if get(event, "mqward.suppressed"):
            assert get(event, "mqtt.session_id") is None and get(event, "source.port") is None, "of many connections"
            assert get(event, "client_id") is None, "nobody is named for what others did"
            assert get(event, "source.ip") == "127.0.0.1"


def test_what_is_no_tls(make_world):
    world = make_world(POLICY, configuration=aggregating("1s"))
    began = time.monotonic()
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", world.proxy.ports["tls"])) as sock:
            sock.settimeout(30)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                while sock.recv(100):
                    pass
            except ConnectionError:
                pass
    assert_few(wait_told(world, 60, action="tls-handshake-failed"), began)


def test_broken_protocol(make_world):
    world = make_world(POLICY, configuration=aggregating("1s"))
    began = time.monotonic()
    for _ in range(40):
        client = world.client(raw.V311)
        client.send(raw.pingreq())
        client.until_closed()
    assert_few(wait_told(world, 40, action="mqtt-protocol-error"), began)
