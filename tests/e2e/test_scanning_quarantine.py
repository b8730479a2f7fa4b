# SPDX-License-Identifier: Apache-2.0
"""The quarantine: what was found is kept for an analyst, once and bounded, and refused whether it could be kept or
not."""
import hashlib
import json
import os
import shutil
import stat

import pytest

import raw
from audit import get
from scanning import (EVIL, INVALID, MATCHED, RULE, SIZES, VERSIONS, evil, found, harmless, payloads, policy, scan,
                      scan_world)
from servers import run_cli, wait_until
from test_reload import reload

pytestmark = pytest.mark.brokerless
KEEP = scan("at: [publish, receive], on_match: quarantine", name="keep")
BOTH = RULE + RULE.replace("evil_mark", "second").replace("EVIL-MARK", "SECOND").replace('"high"', '"low"')
LOCK = "quarantine.lock"


def keeping_world(make_world, *checks, **limits):
    return scan_world(make_world, *(checks or [KEEP]), sets={"iot": BOTH},
                      scan={"quarantine": {"directory": "quarantine", **limits}})


def folder(world):
    return os.path.join(world.proxy.folder, "quarantine")


def kept(world):
    """{SHA-256: (payload, description)} of all that is there; nothing else is, and nothing half."""
    names = sorted(set(os.listdir(folder(world))) - {LOCK})
    sums = [name[:-len(".payload")] for name in names if name.endswith(".payload")]
    assert names == sorted(f"{item}.{kind}" for item in sums for kind in ("json", "payload"))
    result = {}
    for item in sums:
        paths = [os.path.join(folder(world), f"{item}.{kind}") for kind in ("payload", "json")]
        assert {stat.S_IMODE(os.stat(path).st_mode) for path in paths} == {0o400}
        with open(paths[0], "rb") as file:
            payload = file.read()
        with open(paths[1], encoding="utf-8") as file:
            result[item] = (payload, json.load(file))
        assert hashlib.sha256(payload).hexdigest() == item
    return result


def digest(payload):
    return hashlib.sha256(payload).hexdigest()


@pytest.mark.core
@VERSIONS
@SIZES
def test_the_payload_and_what_was_found(make_world, version, size):
    world = keeping_world(make_world)
    observer, sender = world.observer("dt/#"), world.connected("plc-7", version)
    payload = evil(size) + b" SECOND"
    props = [(raw.CONTENT_TYPE, "text/plain"), (raw.USER_PROPERTY, ("site", "north")), (raw.CORRELATION_DATA, b"\0\1")]
    sender.publish("dt/x", payload, 1, INVALID, props=props if version == raw.V5 else [])
    assert world.arrived(observer, sender) == []
    event, = found(world, "dt/x", check="keep")
    assert get(event, "mqward.quarantine") == {"result": "stored", "sha256": digest(payload)}
    assert stat.S_IMODE(os.stat(folder(world)).st_mode) == 0o700
    (name, (stored, about)), = kept(world).items()
    assert stored == payload and name == digest(payload) == about["sha256"]
    wanted = {"size": len(payload), "topic": "dt/x", "direction": "in", "qos": 1, "retain": False, "client_id": "plc-7",
              "identity": "guest", "more_findings": False}
    assert {key: about[key] for key in wanted} == wanted
    first, second = about["findings"]
    assert (first["rule"], first["set"], first["offset"], first["view"], first["part"]) == \
        ("evil_mark", "iot", max(0, size - len(EVIL)), "raw", "payload")
    assert (first["severity"], first["tags"], first["id"]) == ("high", ["demo", "mark"], "test-001")
    assert second["rule"] == "second"
    if version == raw.V5:
        assert about["content_type"] == "text/plain" and about["correlation_data"] == "0001"
        assert {"site", "north"} <= set(about["user_properties"])


def test_the_same_payload_is_kept_once(make_world):
    """However it comes: again, as a will, from somebody else, behind mqward."""
    world = keeping_world(make_world)
    sender, receiver = world.connected(), world.connected()
    receiver.subscribe("dt/#", qos=1)
    for _ in range(3):
        sender.publish("dt/x", evil(), 1, INVALID)
    world.client().connect("with-a-will", INVALID, will=raw.Will("dt/will", evil()))
    with world.direct() as behind:
        behind.publish("dt/out", evil(), 1)
        behind.publish("dt/out", b"end", 1)
    assert receiver.message().payload == b"end"
    events = world.audit.wait_for_count(5, action=MATCHED)
    assert sorted(get(event, "quarantine") for event in events) == ["known"] * 4 + ["stored"]
    (stored, about), = kept(world).values()
    assert stored == evil() and about["topic"] == "dt/x"


@pytest.mark.needs("v5.0")
def test_what_stands_beside_a_payload_is_kept_for_itself(make_world):
    """Not the harmless payload, which would be known from the second time on; nor the sender's other properties."""
    world = keeping_world(make_world)
    observer, sender = world.observer("dt/#"), world.connected("plc-7", raw.V5)
    hidden = [b"1 " + evil(), b"2 " + evil()]
    for value in [*hidden, hidden[0]]:
        sender.publish("dt/x", b"{}", 1, INVALID, props=[(raw.USER_PROPERTY, ("site", "north")),
                                                         (raw.USER_PROPERTY, ("agent", value))])
    sender.publish("dt/x", evil(), 1, INVALID, props=[(raw.CORRELATION_DATA, hidden[1])])
    assert world.arrived(observer, sender) == []
    events = found(world, "dt/x", 4, check="keep")
    assert [(get(event, "quarantine"), get(event, "mqward.quarantine.sha256")) for event in events] == \
        [("stored", digest(hidden[0])), ("stored", digest(hidden[1])), ("known", digest(hidden[0])),
         ("stored", digest(evil()))]
    assert all(get(event, "mqward.quarantine.sha256") in get(event, "related.hash") for event in events)
    files = kept(world)
    assert {stored for stored, _ in files.values()} == {*hidden, evil()}
    _, about = files[digest(hidden[1])]
    assert (about["part"], about["part_index"], about["size"]) == ("user_property", 4, len(hidden[1]))
    assert about["payload"] == {"sha256": digest(b"{}"), "size": 2}
    _, about = files[digest(evil())]
    assert [(part["part"], part["sha256"]) for part in about["kept"]] == \
        [("payload", digest(evil())), ("correlation_data", digest(hidden[1]))]


@pytest.mark.core
def test_a_full_quarantine_refuses_all_the_same(make_world):
    """By number. What is there stays, and what is known is known; who takes files away makes room."""
    world = keeping_world(make_world, files=2)
    observer, sender = world.observer("dt/#"), world.connected()
    sent = [b"%d " % number + evil() for number in range(4)]
    for payload in [*sent, sent[0]]:
        sender.publish("dt/x", payload, 1, INVALID)
    events = found(world, "dt/x", 5, check="keep")
    assert [get(event, "quarantine") for event in events] == ["stored", "stored", "full", "full", "known"]
    assert set(kept(world)) == {digest(payload) for payload in sent[:2]}
    for kind in ("payload", "json"):
        os.remove(os.path.join(folder(world), f"{digest(sent[0])}.{kind}"))

    def is_stored():
        """A full folder is not counted again for each message."""
        sender.publish("dt/x", sent[3], 1, INVALID)
        return digest(sent[3]) in kept(world)
    wait_until(is_stored, "room in the quarantine")
    assert get(found(world, "dt/x", 6, check="keep")[-1], "quarantine") in ("full", "stored")
    assert set(kept(world)) == {digest(payload) for payload in (sent[1], sent[3])}
    assert world.arrived(observer, sender) == []


def test_its_size_is_bounded(make_world):
    world = keeping_world(make_world, size="256KiB")
    observer, sender = world.observer("dt/#"), world.connected()
    for number in range(12):
        sender.publish("dt/x", harmless(50_000, number) + evil(), 1, INVALID)
    results = [get(event, "quarantine") for event in found(world, "dt/x", 12, check="keep")]
    assert results in (["stored"] * 4 + ["full"] * 8, ["stored"] * 5 + ["full"] * 7)
    total = sum(os.stat(os.path.join(folder(world), name)).st_size for name in os.listdir(folder(world)))
    assert total <= 256 * 1024
    assert world.arrived(observer, sender) == []


def test_a_folder_that_is_gone_refuses_all_the_same(make_world):
    world = keeping_world(make_world)
    observer, sender = world.observer("dt/#"), world.connected()
    shutil.rmtree(folder(world))
    sender.publish("dt/x", evil(), 1, INVALID)
    assert get(found(world, "dt/x", check="keep")[0], "quarantine") == "failed"
    assert world.arrived(observer, sender) == []


def test_what_is_kept_survives_a_restart_and_counts(make_world):
    world = keeping_world(make_world, files=2)
    sender = world.connected()
    sender.publish("dt/x", evil(), 1, INVALID)
    found(world, "dt/x", check="keep")
    world.proxy.kill()
    world.proxy.start()
    sender = world.connected()
    for payload in (evil(), b"1 " + evil(), b"2 " + evil()):
        sender.publish("dt/y", payload, 1, INVALID)
    events = found(world, "dt/y", 3, check="keep")
    assert [get(event, "quarantine") for event in events] == ["known", "stored", "full"]
    assert set(kept(world)) == {digest(evil()), digest(b"1 " + evil())}


def test_many_at_once_are_all_kept(make_world):
    """From several clients to two threads, the same payloads at the same time: each is there once and whole."""
    world = keeping_world(make_world)
    senders = [world.connected() for _ in range(6)]
    sent = [harmless(20_000, number) + evil() for number in range(8)]
    for index, sender in enumerate(senders):
        order = sent[index:] + sent[:index]
        sender.send(b"".join(raw.publish(sender.version, "dt/x", payload, 1, packet_id=number)
                             for number, payload in enumerate(order, 1)))
    for sender in senders:
        for number in range(1, len(sent) + 1):
            sender.expect(raw.PUBACK, 20, packet_id=number, code=sender.in_version(raw.PUBACK, INVALID))
    events = found(world, "dt/x", len(sent) * len(senders), check="keep")
    results = [get(event, "quarantine") for event in events]
    assert results.count("stored") == len(sent) and set(results) == {"stored", "known"}
    assert {payload for payload, _ in kept(world).values()} == set(sent)


def test_monitor_mode_keeps_and_lets_pass(make_world):
    world = keeping_world(make_world, scan("on_match: quarantine", name="keep", check="mode: monitor"))
    observer, sender = world.observer("dt/#"), world.connected()
    sender.publish("dt/x", evil(), 1)
    assert payloads(world.arrived(observer, sender)) == [evil()]
    event, = found(world, "dt/x", check="keep")
    assert get(event, "disposition") == "monitored"
    assert get(event, "quarantine") == "stored" and len(kept(world)) == 1


def test_a_check_without_a_quarantine_is_an_error(make_world):
    world = scan_world(make_world, scan(), sets={"iot": RULE})
    sender = world.connected()
    reload(world, policy(KEEP), event="not reloaded: what was in force stays")
    assert "quarantine" in str(world.audit.wait_for(action="policy-rejected"))
    result = run_cli("check", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == 1 and "check 'keep'" in result.stderr
    sender.publish("dt/x", evil(), 1, INVALID)


def test_two_processes_do_not_share_a_folder(make_world):
    first = keeping_world(make_world)
    shared = {"quarantine": {"directory": folder(first)}}
    second = scan_world(make_world, KEEP, sets={"iot": BOTH}, scan=shared, start=False)
    with pytest.raises(AssertionError, match="can't use the folder"):
        second.proxy.start()
    second.proxy.process = None
