# SPDX-License-Identifier: Apache-2.0
"""audit.on_full: what clients see when neither sink nor journal take anything, and that every loss is counted."""
import time

import pytest

import raw
from audit import get
from full import (UNAVAILABLE, by_severity, check_gaps, fill_journal, fill_until_denied, full_world, is_held, journal_epochs,
                  lost, pour, refused, topics_of, wait_accounted)
from processes import wait_until

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))


# ---- deny ----

@pytest.mark.core
@VERSIONS
def test_deny_refuses_what_can_not_be_recorded_and_goes_on_by_itself(make_world, version):
    world = full_world(make_world, "deny")
    observer = world.observer("open/#")
    client = world.connected("client", version)
    client.subscribe("open/to-client")
    happened, (filler, *_) = fill_until_denied(world, 1)
    v5 = version == raw.V5
    # PUBLISH
    client.publish("open/0", b"lost")
    client.publish("open/1", b"lost", qos=1, code=UNAVAILABLE if v5 else 0)
    identifier = next(client.identifiers)
    client.send(raw.publish(version, "open/2", b"lost", 2, packet_id=identifier))
    client.expect(raw.PUBREC, code=UNAVAILABLE if v5 else 0)
    if not v5:
        client.send(raw.packet(raw.PUBREL, 2, identifier.to_bytes(2, "big")))
        client.expect(raw.PUBCOMP)
    happened += 3
    # SUBSCRIBE: each filter
    client.send(raw.subscribe(version, 77, [("open/a", 1), ("open/b", 0)]))
    assert client.expect(raw.SUBACK, packet_id=77).codes == [UNAVAILABLE if v5 else 0x80] * 2
    happened += 2
    # what needs no record goes on
    client.ping()
    client.send(raw.unsubscribe(version, 78, ["open/none"]))
    client.expect(raw.UNSUBACK)
    # a delivery: to nobody but the observer, who is not behind the proxy
    with world.direct() as sender:
        sender.publish("open/to-client", b"not delivered", qos=1)
    assert observer.message().payload == b"not delivered"
    client.ping()
    happened += 1
    # CONNECT
    world.client(version).connect("late", code=UNAVAILABLE if v5 else 3)
    happened += 1
    # and back again
    world.redis.start()

    def goes_through():
        nonlocal happened
        happened += 1
        return refused(filler, "closed/again") == 0x87
    wait_until(goes_through, "the audit has room again", 30)
    client.publish("open/3", b"arrives", qos=1)
    assert observer.message().payload == b"arrives"
    world.connected("welcome", version)
    happened += 1
    events, gaps = wait_accounted(world, happened)
    check_gaps(gaps, "deny")
    assert lost(gaps) > 100


def test_deny_refuses_those_who_flood_on_all_their_connections_and_nobody_else(make_world):
    world = full_world(make_world, "deny")

    def user(name):
        return world.connected(version=raw.V5, username=name, password=b"secret")
    flooder, topics = user("eva"), topics_of()
    others = [user("eva") for _ in range(5)]
    happened = 1 + 5 + fill_journal(world, flooder)
    while refused(flooder, next(topics)) != UNAVAILABLE:
        happened += 1
    for index, other in enumerate(others):
        assert refused(other, f"closed/{index}") == UNAVAILABLE
        assert refused(user("adam"), f"closed/{index}") == 0x87
    again = world.client(raw.V5)
    again.send(raw.connect(raw.V5, "again", username="eva", password=b"secret"))
    assert again.expect(raw.CONNACK).code == UNAVAILABLE, "nor has a new connection a new share"
    world.redis.start()
    _, gaps = wait_accounted(world, happened + 1 + 5 + 10 + 1)
    check_gaps(gaps, "deny")
    assert 4 <= lost(gaps) <= 7, "some are refused for what they may take, and their events may be smaller"


def test_deny_counts_through_a_kill(make_world):
    world = full_world(make_world, "deny")
    world.killed = True
    happened, _ = fill_until_denied(world, 0)
    world.proxy.kill()
    world.redis.start()
    world.proxy.start()
    world.killed = False
    _, gaps = wait_accounted(world, happened)
    check_gaps(gaps, "deny")
    assert get(gaps[-1], "event.id").split("-")[0] == journal_epochs(world)[-1], "the next start tells it"


def test_deny_counts_what_a_stop_finds(make_world):
    """The process ends while nothing fits: what is in no ring is told by the next start."""
    world = full_world(make_world, "deny")
    happened, fillers = fill_until_denied(world, 0)
    world.proxy.terminate()
    world.redis.start()
    world.proxy.start()
    _, gaps = wait_accounted(world, happened + len(fillers))  # each has an end
    assert lost(gaps) > 100


# ---- drop ----

@pytest.mark.core
def test_drop_lets_traffic_go_on_and_keeps_what_is_severe(make_world):
    world = full_world(make_world, "drop")
    observer = world.observer("open/#")
    client = world.connected("filler", raw.V5)
    happened, topics = 1 + fill_journal(world, client), topics_of()
    for _ in range(3000):  # severity 47
        assert refused(client, next(topics)) == 0x87
        happened += 1
    client.publish("open/x", b"goes on", qos=1)
    assert observer.message().payload == b"goes on"
    for index in range(50):  # severity 73: of a client that poured in nothing yet
        with world.client(raw.V5) as other:
            other.connect(f"other-{index}", username="adam", password=b"secret")
            assert refused(other, f"secret/{index}") == 0x87
            other.disconnect()
        happened += 3  # accepted, denied, disconnected
    wait_until(lambda: len(world.proxy.logged("an event was lost: the ring has no room")) > 0, "the log says it")
    world.redis.start()
    events, gaps = wait_accounted(world, happened)
    check_gaps(gaps, "drop")
    severe = [event for event in events if get(event, "severity") == 73]
    assert len(severe) == 50, "there was room for what is more severe"
    assert not [event for event in events if get(event, "client_id", "").startswith("other") and get(event, "severity") == 21]
    counts = by_severity(gaps)
    assert set(counts) == {21, 47} and counts[21] == 100 and counts[47] > 1000 and sum(counts.values()) == lost(gaps)


def test_drop_counts_through_a_kill(make_world):
    world = full_world(make_world, "drop")
    world.killed = True
    client, topics = world.connected("filler", raw.V5), topics_of("secret")
    happened = 1 + fill_journal(world, client)
    for _ in range(3000):  # severity 73
        assert refused(client, next(topics)) == 0x87
    world.proxy.kill()
    world.redis.start()
    world.proxy.start()
    world.killed = False
    _, gaps = wait_accounted(world, happened + 3000)
    check_gaps(gaps, "drop")
    assert get(gaps[-1], "event.id").split("-")[0] == journal_epochs(world)[-1], "the next start tells it"


# ---- block ----

@pytest.mark.core
def test_who_floods_waits_alone(make_world):
    """On one worker, with one client or many of an identity that pour in denials while nothing is drained."""
    world = full_world(make_world, "block")
    quiet = world.connected("quiet", raw.V5, username="adam", password=b"secret")
    flooders = [world.connected(f"flooder-{index}", raw.V5, username="eva", password=b"secret") for index in range(8)]
    per_client = 500
    threads = [pour(client, per_client, f"closed/{index}") for index, client in enumerate(flooders)]
    answers, slowest = 40, 0
    for number in range(answers):
        begun = time.monotonic()
        assert refused(quiet, f"closed/quiet/{number}") == 0x87
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 10, "it would wait as long as Redis is away"
    for client, thread in zip(flooders, threads):
        thread.join(30)  # sockets hold the rest
        client.send(raw.pingreq())
    held = [client for client in flooders if is_held(client)]  # the first of them may be through
    assert held
    assert not world.proxy.logged("the ring is full: clients are not read until it has room")
    world.connected("newcomer", raw.V5, username="adam", password=b"secret").ping()
    world.redis.start()
    for client in held:
        client.expect(raw.PINGRESP, timeout=60)
    _, gaps = wait_accounted(world, 1 + 8 + 1 + answers + 8 * per_client)
    assert gaps == []


def test_block_loses_nothing(make_world):
    world = full_world(make_world, "block")
    client = world.connected("filler", raw.V5)
    thread = pour(client, 6000, "closed")
    wait_until(lambda: world.proxy.logged("journal quota is full of unconfirmed events"), "full")
    world.redis.start()
    thread.join(60)
    assert not thread.is_alive()
    client.send(raw.pingreq())
    client.expect(raw.PINGRESP, timeout=60)
    _, gaps = wait_accounted(world, 6001)
    assert gaps == []
