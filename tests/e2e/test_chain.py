# SPDX-License-Identifier: Apache-2.0
"""The chain over the audit trail, followed by an implementation of the documented formulas that knows nothing of mqward
(tests/vectors/audit): over restarts and deaths, on the disk and as it comes out of Redis."""
import base64
import datetime
import glob
import importlib.util
import json
import os
import subprocess
import sys
import threading

import pytest
from cryptography.hazmat.primitives import serialization

import raw
from audit import get
from servers import wait_until
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "audit")
SPECIFICATION = importlib.util.spec_from_file_location("chain_reference", os.path.join(FOLDER, "chain_reference.py"))
chain = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(chain)
EPOCH = datetime.datetime(1970, 1, 1)


def verification_key(world):
    with open(os.path.join(world.proxy.folder, "audit", "chain.key"), encoding="ascii") as file:
        header, digits = file.read().split()
    assert header == "mqward-chain-key-1"
    return bytes.fromhex(digits)


def public_key(world):
    with open(os.path.join(world.proxy.folder, "audit", "checkpoint.pub"), "rb") as file:
        return serialization.load_pem_public_key(file.read())


def journal(world, whole=True):
    """All lines of the journal, as bytes, in order. whole: the last one, too; otherwise mqward may be writing it."""
    lines = []
    for path in sorted(glob.glob(os.path.join(world.proxy.folder, "audit", "journal-*.ndjson"))):
        with open(path, "rb") as file:
            content = file.read()
        assert not whole or content.endswith(b"\n")
        lines += content[:content.rfind(b"\n") + 1].splitlines()
    return lines


def delivered(world):
    """The lines that are in Redis, each once, in the order of their ids."""
    entries = world.audit.connection.xrange("mqward:audit")
    lines = {fields[b"event"] for _, fields in entries}

    def place(line):
        event = json.loads(line)["event"]
        return event["id"].split("-")[0], event["sequence"]
    return sorted(lines, key=place)


def check_checkpoint(public, line, event):
    """Its signature, over what the line says of its place."""
    epoch, start, prev, _, _ = chain.parse(line)
    said = event["mqward"]["checkpoint"]
    happened = datetime.datetime.strptime(event["@timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    covered = chain.checkpoint_bytes(epoch, start, event["event"]["sequence"], prev, said.get("previous", ""),
                                     said["events"], said["interval"]["events"], said["interval"]["seconds"],
                                     (happened - EPOCH) // datetime.timedelta(microseconds=1))
    public.verify(base64.b64decode(said["signature"], validate=True), covered)


def follow(lines, key, public, interval=10000):
    """One unbroken chain with its checkpoints; returns the numbers of its starts."""
    walk, starts, previous, since = chain.Walk(key), [], None, 0
    for line in lines:
        event = json.loads(line)
        walk.follow(line, event["event"]["sequence"])
        checkpoint = event["event"]["action"] == "checkpoint"
        if walk.start not in starts:
            assert checkpoint, f"the first line of start {walk.start} is none"
            starts.append(walk.start)
        if checkpoint:
            check_checkpoint(public, line, event)
            assert event["mqward"]["checkpoint"].get("previous") == previous
            assert event["mqward"]["checkpoint"]["events"] == since
            previous, since = event["event"]["id"], 0
        else:
            since += 1
            assert since <= interval
    return starts


def traffic(world, until):
    """Denied publishes of three clients until the proxy is gone; calls until() when there are enough of them."""
    done = []

    def run(client):
        try:
            for index in range(1000000):
                client.publish(f"closed/{index}", b"x", qos=1, code=0x87 if client.version == raw.V5 else 0)
                done.append(index)
        except (OSError, AssertionError, raw.Malformed):
            pass
    threads = [threading.Thread(target=run, args=(world.connected(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(done) > 300, "traffic")
        until()
    finally:
        for thread in threads:
            thread.join()


@pytest.mark.core
def test_kills_and_restarts_leave_one_chain(make_world):
    world = make_world(POLICY, configuration={"audit": {"chain": {"checkpoint": {"events": 100}}, "segment": "64KiB"}})
    world.killed = True
    for how in (world.proxy.kill, world.proxy.terminate, world.proxy.kill, world.proxy.kill):
        traffic(world, how)
        world.proxy.start()
    world.killed = False
    wait_until(lambda: len(delivered(world)) == len(journal(world, whole=False)), "all of it in Redis", 30)
    world.proxy.terminate()
    key, public = verification_key(world), public_key(world)
    lines = journal(world)
    assert follow(lines, key, public, 100) == [1, 2, 3, 4, 5]
    assert get(json.loads(lines[-1]), "event.action") == "checkpoint", "the last line of a clean stop"
    gaps = [event for event in map(json.loads, lines) if event["event"]["action"] == "audit-gap"]
    assert not gaps, gaps
    # What was delivered is the same chain, to its last line.
    assert delivered(world) == lines


def test_the_verification_key_is_moved_away(make_world):
    world = make_world(POLICY)
    world.proxy.terminate()
    key = verification_key(world)
    os.unlink(os.path.join(world.proxy.folder, "audit", "chain.key"))
    for _ in range(2):
        world.proxy.start()
        world.connected().disconnect()
        world.proxy.terminate()
    assert not os.path.exists(os.path.join(world.proxy.folder, "audit", "chain.key"))
    assert follow(journal(world), key, public_key(world)) == [1, 2, 3]


def test_nothing_that_seals_a_line_is_left_behind(make_world):
    """Keys of lines and secrets of starts that are over are not in the directory, once the verification key is not."""
    world = make_world(POLICY)
    world.connected().disconnect()
    world.proxy.terminate()
    key = verification_key(world)
    os.unlink(os.path.join(world.proxy.folder, "audit", "chain.key"))
    secret, sequence = chain.next_secret(key), len(journal(world))
    line_key, past = chain.first_key(key, chain.parse(journal(world)[0])[0], 1), []
    for _ in range(sequence):
        past.append(line_key)
        line_key = chain.next_key(line_key)
    with open(os.path.join(world.proxy.folder, "audit", "chain.state"), "rb") as file:
        state = file.read()
    assert line_key in state and secret in state, "what comes"
    for path in glob.glob(os.path.join(world.proxy.folder, "audit", "*")):
        with open(path, "rb") as file:
            content = file.read()
        for old in [key, *past]:
            assert old not in content and old.hex().encode() not in content, path


def test_a_journal_that_was_cut_is_said_and_clients_are_served(make_world):
    world = make_world(POLICY)
    world.connected().disconnect()
    world.audit.wait_for(action="mqtt-disconnect")
    world.proxy.terminate()
    starts = 1
    while len(delivered(world)) < len(journal(world)):  # what a stop has no time for comes with the next start
        world.proxy.start()
        world.proxy.terminate()
        starts += 1
        assert starts < 6
    segment = max(glob.glob(os.path.join(world.proxy.folder, "audit", "journal-*.ndjson")))
    with open(segment, "rb+") as file:
        lines = file.read().splitlines(keepends=True)
        file.truncate(sum(map(len, lines[:-2])))
    os.unlink(os.path.join(world.proxy.folder, "audit", "siem.cursor"))
    world.proxy.start()
    world.connected().disconnect()
    event = world.audit.wait_for(action="audit-gap", reason="chain_broken")
    assert get(event, "mqward.count") == 2
    cut = [get(json.loads(line), "event.sequence") for line in lines[-2:]]
    assert [get(event, f"mqward.gap.{which}_sequence") for which in ("first", "last")] == cut
    # Redis had them before: there the chain is whole.
    world.proxy.terminate()
    assert follow(delivered(world), verification_key(world), public_key(world)) == list(range(1, starts + 2))
    with pytest.raises(AssertionError, match="does not follow the line before it"):
        follow(journal(world), verification_key(world), public_key(world))


def test_the_signing_key_of_the_configuration(make_world):
    settings = {"signing_key": "trail.pem", "checkpoint": {"interval": "1s"}}
    world = make_world(POLICY, configuration={"audit": {"chain": settings}})
    assert os.stat(os.path.join(world.proxy.folder, "trail.pem")).st_mode & 0o777 == 0o600
    world.connected().disconnect()
    event = world.audit.wait_for_count(2, action="checkpoint")[1]
    assert get(event, "mqward.checkpoint.interval") == {"events": 10000, "seconds": 1}
    assert get(event, "mqward.checkpoint.events") > 0
    world.proxy.terminate()
    with open(os.path.join(world.proxy.folder, "trail.pub"), "rb") as file:
        public = serialization.load_pem_public_key(file.read())
    assert follow(journal(world), verification_key(world), public) == [1]


def test_the_vectors_are_what_their_script_writes(tmp_path):
    subprocess.run([sys.executable, "-B", os.path.join(FOLDER, "make.py"), str(tmp_path)], check=True, timeout=60)
    with open(os.path.join(FOLDER, "chain.txt"), "rb") as file:
        assert (tmp_path / "chain.txt").read_bytes() == file.read()
