# SPDX-License-Identifier: Apache-2.0
"""Proxies whose audit has no room: neither sink nor journal take anything."""
import re
import threading

import raw
from audit import get
from processes import wait_until

UNAVAILABLE = 0x97
POLICY = """\
version: 1
policy: plant
identity:
  - password: {file: users}
  - anonymous: {id: guest}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
  - rule: never
    who: everyone
    deny: publish
    topics: [secret/#]
audit: {deny: all, allow: 0%, payload: none}
"""
USERS = {"eva": "secret", "adam": "secret"}
OWN = {"audit-gap", "audit-recovered", "sink-up", "sink-down", "proxy-started", "proxy-stopping", "checkpoint"}


def configuration(on_full, **audit):
    """The smallest journal fills, and then the ring of the only worker."""
    return {"workers": 1, "drain": "1s", "log": {"level": "info"},
            "audit": {"on_full": on_full, "ring": "1MiB", "quota": "1MiB", "segment": "64KiB", **audit}}


def full_world(make_world, on_full, policy=POLICY, more=None, **options):
    """Redis is not there. more: of mqward.yaml."""
    return make_world(policy, redis=False, passwords=USERS, configuration={**configuration(on_full), **(more or {})}, **options)


def topics_of(prefix="closed"):
    """Long ones, so that events are large."""
    index = 0
    while True:
        yield f"{prefix}/{index:06}/" + "x" * 700
        index += 1


def refused(client, topic, qos=1):
    """The code of the answer to a PUBLISH (MQTT 5.0)."""
    identifier = next(client.identifiers)
    client.send(raw.publish(client.version, topic, b"x", qos, packet_id=identifier))
    return client.expect(raw.PUBACK if qos == 1 else raw.PUBREC, packet_id=identifier).code


def lost(gaps):
    return sum(get(event, "mqward.count") for event in gaps)


def wait_accounted(world, happened, timeout=60):
    """Events of clients and those that gaps declare lost are together what happened, exactly. Returns both."""
    def look():
        try:
            events = world.audit.events()
        except Exception:  # Redis is on its way up
            return False
        return sum(get(event, "action") not in OWN for event in events) + lost(world.audit.all(action="audit-gap")) >= happened
    try:
        wait_until(look, "all is accounted for", timeout)
    finally:
        gaps = world.audit.all(action="audit-gap")
        events = [event for event in world.audit.events() if get(event, "action") not in OWN]
        print(len(events), "events,", lost(gaps), "lost,", happened, "happened")
    assert len(events) + lost(gaps) == happened
    world.audit.assert_gapless()
    return events, gaps


def fill_journal(world, client):
    """Denied PUBLISHes until the journal takes nothing more. Returns how many."""
    def is_full():
        return bool(world.proxy.logged("journal quota is full of unconfirmed events"))
    topics, count = topics_of("closed/journal"), 0
    while not is_full():
        for _ in range(20):
            count += 1
            if refused(client, next(topics)) == UNAVAILABLE:  # the journal is slower than we are
                wait_until(is_full, "the journal is full")
                break
    return count


def fill_until_denied(world, happened):
    """Clients of so many addresses that not even one that is new finds room: each has a share of what is left only.
    Returns what has happened by then, and those that were let in."""
    topics = topics_of()
    fillers = [world.connected("first", raw.V5)]
    happened += 1 + fill_journal(world, fillers[0])
    for address in range(2, 200):
        client = world.client(raw.V5, source=f"127.0.0.{address}")
        client.send(raw.connect(raw.V5, f"filler-{address}"))
        code = client.expect(raw.CONNACK).code
        happened += 1
        if code == UNAVAILABLE:
            return happened, fillers
        fillers.append(client)
        for denied in range(20):
            while denied == 0 and (code := refused(client, next(topics))) != UNAVAILABLE:
                assert code == 0x87
                happened += 1
            assert denied == 0 or refused(client, next(topics)) == UNAVAILABLE
            happened += 1
    raise AssertionError("there was room for all")


def check_gaps(gaps, policy):
    for gap in gaps:
        assert get(gap, "reason") == "audit_lost" and get(gap, "severity") == 99
        assert f"on_full: {policy}" in get(gap, "mqward.detail")
        assert get(gap, "event.start") <= get(gap, "event.end") <= get(gap, "@timestamp")


def journal_epochs(world):
    return sorted(world.audit.sequences())


def by_severity(gaps):
    """{47: 12, ...}: what all gaps together say."""
    counts = {}
    for gap in gaps:
        for severity, number in re.findall(r"(\d+): (\d+)", get(gap, "mqward.detail").split("severity ")[1]):
            counts[int(severity)] = counts.get(int(severity), 0) + int(number)
    return counts


def pour(client, count, prefix):
    """QoS 0, from a thread: it stands still when it is not read."""
    def run():
        topics = topics_of(prefix)
        client.sock.settimeout(None)
        for _ in range(count // 10):
            client.send(b"".join(raw.publish(client.version, next(topics), b"x") for _ in range(10)))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def is_held(client):
    """No answer to its PINGREQ, which is behind its flood."""
    try:
        return client.receive(0.2).type != raw.PINGRESP
    except TimeoutError:
        return True
