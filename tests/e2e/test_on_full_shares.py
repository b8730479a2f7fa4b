# SPDX-License-Identifier: Apache-2.0
"""audit.on_full: what is let in is recorded, whoever pours in leaves room to the others, and who waits loses nothing."""
import os
import socket
import struct
import time

import pytest

import metrics
import raw
from audit import get
from full import (POLICY, UNAVAILABLE, configuration, fill_journal, full_world, lost, refused, topics_of, wait_accounted)
from processes import wait_until
from scanning import EVIL, MATCHED, RULE, scan, scan_world

pytestmark = pytest.mark.brokerless
MONITOR = POLICY.replace("policy: plant\n", "policy: plant\nmode: monitor\n")
FULL = "journal quota is full of unconfirmed events"


def fill_half(world, client):
    """PUBLISHes with an event each until this client has its share. Returns how many; the last is refused."""
    count, topics = fill_journal(world, client), topics_of("closed/half")
    while True:
        count += 1
        if refused(client, next(topics)) == UNAVAILABLE:
            return count


def connected(world, address, client_id, code=0, **options):
    client = world.client(raw.V5, source=address)
    client.connect(client_id, code=code, **options)
    return client


# ---- deny ----

@pytest.mark.core
@pytest.mark.parametrize("count", (2, 8, 60))
def test_deny_records_all_of_what_it_lets_in(make_world, count):
    """Of a SUBSCRIBE that monitor mode lets pass each filter has its event, or all of it is refused."""
    world = full_world(make_world, "deny", MONITOR)
    happened = 1 + fill_half(world, connected(world, "127.0.0.2", "filler"))
    granted, subscribers = set(), [connected(world, f"127.0.0.{10 + index}", f"{index}" + "y" * 900) for index in range(4)]
    happened += len(subscribers)
    for index, client in enumerate(subscribers):
        for turn in range(6):
            filters = [f"closed/sub/{index}/{turn}/{number}/" + "x" * 900 for number in range(count)]
            client.send(raw.subscribe(raw.V5, 1 + turn, [(name, 0) for name in filters]))
            codes = client.expect(raw.SUBACK, packet_id=1 + turn).codes
            assert set(codes) in ({0}, {UNAVAILABLE}), "all of it or nothing"
            granted.update(filters if codes[0] == 0 else ())
            happened += count
    assert granted or count > 8
    world.redis.start()
    events, gaps = wait_accounted(world, happened)
    told = {get(event, "topic") for event in events if get(event, "disposition") == "monitored"}
    assert granted <= told, f"{len(granted - told)} of {len(granted)} went through without a record"


def test_a_name_that_is_not_proven_costs_its_owner_nothing(make_world):
    world = full_world(make_world, "deny", more={"limits": {"login_failures_per_address": 0, "login_failures_per_name": 0}})
    happened = 1 + fill_half(world, connected(world, "127.0.0.2", "filler"))
    for index in range(300):
        client = world.client(raw.V5, source="127.0.0.9")
        client.send(raw.connect(raw.V5, f"{index}" + "z" * 900, username="adam", password=b"wrong"))
        happened += 1
        if client.expect(raw.CONNACK).code == UNAVAILABLE:
            break
    else:
        raise AssertionError("there was room for all guesses")
    owner = world.connected("owner", raw.V5, username="adam", password=b"secret")
    for index in range(3):
        assert refused(owner, f"closed/{index}") == 0x87
    world.redis.start()
    events, _ = wait_accounted(world, happened + 4)
    assert sum(get(event, "client_id") == "owner" for event in events) == 4


def test_who_comes_anew_has_no_new_share(make_world):
    """Each connection has its events: an identity that comes again and again is charged for them, and so is its address."""
    world = full_world(make_world, "deny")
    happened = 1 + fill_half(world, connected(world, "127.0.0.2", "filler"))
    for index in range(300):
        client = world.client(raw.V5, source="127.0.0.3")
        client.send(raw.connect(raw.V5, f"{index}" + "z" * 900, username="adam", password=b"secret"))
        happened += 1
        if client.expect(raw.CONNACK).code == UNAVAILABLE:
            break
        client.disconnect()
        happened += 1
    assert index < 60, "an eighth of half of the ring"
    elsewhere = world.client(raw.V5, source="127.0.0.4")
    elsewhere.send(raw.connect(raw.V5, "elsewhere" + "z" * 900, username="adam", password=b"secret"))
    assert elsewhere.expect(raw.CONNACK).code == UNAVAILABLE
    for user in ("eva", None):
        options = {"username": user, "password": b"secret"} if user else {}
        other = connected(world, "127.0.0.5", f"other-{user}", **options)
        assert refused(other, "closed/x") == 0x87
    world.redis.start()
    wait_accounted(world, happened + 1 + 4)


# ---- drop ----

@pytest.mark.core
def test_who_pours_in_what_is_most_severe_leaves_room_to_others(make_world):
    world = scan_world(make_world, scan(), sets={"iot": RULE.replace('"high"', '"critical"')}, redis=False,
                       configuration=configuration("drop"))
    index, topics = 0, topics_of("dt")

    def match(client, topic):
        identifier = next(client.identifiers)
        client.send(raw.publish(raw.V5, topic, EVIL, 1, packet_id=identifier))
        assert client.expect(raw.PUBACK, packet_id=identifier).code == 0x99
    flooder = connected(world, "127.0.0.2", "flooder")
    while not world.proxy.logged(FULL):
        match(flooder, next(topics))
        index += 1
    for _ in range(1200):
        match(flooder, next(topics))
    for number in range(12):
        match(connected(world, f"127.0.0.{10 + number}", f"other-{number}"), f"dt/other/{number}")
    assert world.proxy.logged("an event was lost: the ring has no room"), "the flooder loses"
    world.redis.start()
    events, gaps = wait_accounted(world, 1 + index + 1200 + 2 * 12)
    assert {get(event, "severity") for event in events if MATCHED(get(event, "action"))} == {99}
    assert sum(get(event, "topic", "").startswith("dt/other/") for event in events) == 12, "there was room for them"
    assert lost(gaps) > 100


@pytest.mark.parametrize("on_full, then", (("deny", "what can't be recorded is refused"), ("drop", "events are lost")))
def test_losses_are_seen_while_they_happen(make_world, on_full, then):
    world = full_world(make_world, on_full, more=metrics.LISTEN)
    client = connected(world, "127.0.0.2", "filler")
    happened, topics = 1 + fill_journal(world, client), topics_of()
    for _ in range(2000):
        refused(client, next(topics))
    assert then in world.proxy.logged(FULL)[0]["then"]
    scrape = metrics.scrape_when(world, lambda scrape: scrape("mqward_audit_events_lost_untold") > 100, "losses are shown")
    assert scrape("mqward_audit_events_lost_total") == 0 and scrape("mqward_audit_blocked") == 1
    assert metrics.status(world)["audit"]["lost_untold"] > 100
    world.redis.start()
    _, gaps = wait_accounted(world, happened + 2000)
    metrics.scrape_when(world, lambda scrape: scrape("mqward_audit_events_lost_untold") == 0
                        and scrape("mqward_audit_events_lost_total") == lost(gaps), "losses are told")


# ---- block ----

def pour_until_it_waits(client, topics, patience=0.7):
    """patience: seconds without an answer, after which the client is taken to wait for room. The machine may take as long."""
    client.sock.settimeout(None)
    while True:
        client.send(raw.publish(raw.V5, next(topics), b"x", 1, packet_id=next(client.identifiers)))
        try:
            client.expect(raw.PUBACK, timeout=patience)
        except TimeoutError:
            return


def fill_all(world):
    """Clients of so many addresses, each with its share, that not even one that is new finds room. All of them."""
    topics, fillers = topics_of(), []
    for address in range(3, 120):
        client = world.client(raw.V5, source=f"127.0.0.{address}")
        fillers.append(client)
        client.send(raw.connect(raw.V5, f"filler-{address}"))
        try:
            client.expect(raw.CONNACK, timeout=3, code=0)  # much longer than any that has room waits
        except TimeoutError:
            return fillers
        pour_until_it_waits(client, topics)
    raise AssertionError("there was room for all")


def descriptors(world):
    return len(os.listdir(f"/proc/{world.proxy.process.pid}/fd"))


@pytest.mark.core
@pytest.mark.parametrize("leaves", (True, False))
def test_who_waits_for_its_share_has_its_time_outs(make_world, leaves):
    """Else clients that are gone, or never meant to stay, hold slots and connections for as long as the journal is full."""
    listeners = [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "timeouts": {"connect": "5s"}}]
    world = full_world(make_world, "block", listeners=listeners)
    filler = connected(world, "127.0.0.2", "filler")
    pour_until_it_waits(filler, topics_of(), 5)  # or else the crowd is let in
    before = min(descriptors(world) for _ in range(5))  # now and then the sink has one for a moment
    flood = b"".join(raw.publish(raw.V5, "open/x", b"y" * 900) for _ in range(60))
    crowd = [world.client(raw.V5, source="127.0.0.2") for _ in range(40)]
    for index, client in enumerate(crowd):
        client.send(raw.connect(raw.V5, f"{index}" + "z" * 900) + flood)
    wait_until(lambda: descriptors(world) >= before + len(crowd), "they are there")
    if leaves:
        for client in crowd:
            client.sock.close()
    wait_until(lambda: descriptors(world) <= before, "they are gone")
    other = connected(world, "127.0.0.3", "other")
    other.ping()
    world.redis.start()
    filler.expect(raw.PUBACK, timeout=60)
    world.audit.assert_gapless()


def test_a_client_that_leaves_while_it_waits_is_heard_to_the_end(make_world):
    """Its DISCONNECT is behind what has to wait: no will follows."""
    world = full_world(make_world, "block")
    observer = world.observer("open/#")
    filler = connected(world, "127.0.0.2", "filler")
    leaver = world.client(raw.V5, source="127.0.0.2")
    leaver.connect("leaver", will=raw.Will("open/will", b"gone"))
    pour_until_it_waits(filler, topics_of())
    leaver.send(raw.publish(raw.V5, "closed/" + "z" * 900, b"x") + raw.publish(raw.V5, "open/last", b"word") + raw.disconnect(raw.V5))
    leaver.sock.close()
    world.redis.start()
    assert observer.message(timeout=60).payload == b"word"
    world.audit.wait_for(action="mqtt-disconnect", client_id="leaver", reason="client_disconnected")


def test_more_filters_than_can_be_recorded_hold_nobody_up(make_world):
    """A SUBSCRIBE that could never be waited for is refused, with one event, and others go on."""
    world = full_world(make_world, "block", more={"audit": {**configuration("block")["audit"], "ring": "256KiB"}})
    other = connected(world, "127.0.0.3", "other")
    client = connected(world, "127.0.0.2", "subscriber" + "y" * 900)
    filler = connected(world, "127.0.0.4", "filler")
    pour_until_it_waits(filler, topics_of())
    filters = [f"closed/{number}/" + "x" * 900 for number in range(200)]
    client.send(raw.subscribe(raw.V5, 1, [(name, 0) for name in filters]))
    assert set(client.expect(raw.SUBACK, packet_id=1).codes) == {UNAVAILABLE}
    other.ping()
    client.ping()
    world.redis.start()
    event = world.audit.wait_for(action="mqtt-subscribe-denied", reason="audit_unavailable")
    assert get(event, "topic") == filters[0] and "all filters" in get(event, "mqward.detail")
    client.send(raw.subscribe(raw.V5, 2, [(name, 0) for name in filters[:4]]))
    assert set(client.expect(raw.SUBACK, packet_id=2, timeout=60).codes) == {0x87}
    assert len(world.audit.all(reason="audit_unavailable")) == 1


def test_who_waits_for_room_is_not_timed_out_and_all_ends_are_told(make_world):
    listeners = [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "timeouts": {"connect": "12s"}}]
    world = full_world(make_world, "block", more={"audit": {**configuration("block")["audit"], "ring": "256KiB"}},
                       listeners=listeners)
    held = [world.connected(f"held-{index}", raw.V5, username="adam", password=b"secret") for index in range(2)]
    first = [connected(world, "127.0.0.2", f"first-{index}") for index in range(3)]
    for index, client in enumerate(first):
        pour_until_it_waits(client, topics_of(f"closed/{index}"))
    *fillers, newcomer = fill_all(world)
    # one is reset, one sends what is no MQTT, one just leaves: what is to be said of it waits for room
    held[0].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held[0].sock.close()
    held[1].send(b"\x00\x00")
    fillers[0].sock.close()
    # a crowd that comes while listeners rest
    crowd = [world.client(raw.V5, source=f"127.0.1.{index}") for index in range(1, 9)]
    for index, client in enumerate(crowd):
        client.send(raw.connect(raw.V5, f"crowd-{index}"))
    time.sleep(10)  # with the 3 s of fill_all() longer than a CONNECT may take, and much shorter than twice that, which is the end
    world.redis.start()
    for client in (newcomer, *crowd):
        client.expect(raw.CONNACK, timeout=60, code=0)
    for client in (*first, *fillers[1:]):
        client.expect(raw.PUBACK, timeout=60)
        client.ping()
    world.audit.wait_for(action="mqtt-disconnect", client_id="held-0")
    world.audit.wait_for(action="mqtt-protocol-error", client_id="held-1")
    world.audit.wait_for(action="mqtt-disconnect", client_id="filler-3")
    assert not world.audit.all(action="audit-gap") and not world.audit.all(reason="connect_timeout")
    wait_until(lambda: len(world.audit.all(action="mqtt-connect-accepted")) == len(held) + len(first) + len(fillers) + 1 + len(crowd),
               "each has one event")
    world.audit.assert_gapless()
