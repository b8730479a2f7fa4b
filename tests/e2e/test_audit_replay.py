# SPDX-License-Identifier: Apache-2.0
"""mqward audit replay: a part of the journal to a sink once more, beside the daemon and without it."""
import json
import os
import time

import pytest

import raw
from processes import wait_until
from servers import run_cli
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
COUNT = 300


def deny(world, count=COUNT):
    client = world.connected("thief")
    for number in range(count):
        client.send(raw.publish(client.version, f"closed/{number}", b"x"))
    client.ping()


def replay(world, *arguments, configuration=None, timeout=60):
    return run_cli("audit", "replay", "-c", configuration or world.proxy.path, "--sink", "siem", *arguments,
                   folder=world.proxy.folder, timeout=timeout)


def lines(world):
    result = run_cli("audit", "tail", "--json", "--since", "1h", "audit", folder=world.proxy.folder)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def world(make_world):
    world = make_world(POLICY, configuration={"audit": {"segment": "16KiB"}})
    deny(world)
    world.audit.wait_for_count(COUNT, action="mqtt-publish-denied")
    return world


def stream(world):
    return [json.loads(fields[b"event"])["event"]["id"] for _, fields in world.audit.connection.xrange("mqward:audit")]


def test_a_stream_gets_what_it_does_not_have(world):
    """The daemon runs meanwhile; entries that are there are recognised, and those that were lost come back."""
    before = stream(world)
    identifiers = [key for key, _ in world.audit.connection.xrange("mqward:audit")]
    world.audit.connection.xdel("mqward:audit", *identifiers[50:120])
    cursor = os.path.join(world.proxy.folder, "audit", "siem.cursor")
    result = replay(world)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"siem: {len(lines(world))} of {len(lines(world))} events delivered" in result.stderr
    after = stream(world)
    assert set(after) >= set(before) and len(after) == len(set(after))
    deny(world, 3)
    world.audit.wait_for_count(COUNT + 3, action="mqtt-publish-denied")
    wait_until(lambda: os.path.exists(cursor), "the daemon's own cursor")
    world.proxy.check()


def test_from_and_to_a_point(world):
    events = lines(world)
    first, last = events[100]["event"], events[199]["event"]
    world.audit.connection.delete("mqward:audit")
    result = replay(world, "--since", first["id"], "--until", last["id"])
    assert result.returncode == 0 and "siem: 100 of 100 events delivered" in result.stderr, result.stderr
    assert stream(world) == [event["event"]["id"] for event in events[100:200]]
    world.audit.connection.delete("mqward:audit")
    result = replay(world, "--until", first["created"])
    assert result.returncode == 0, result.stderr
    assert stream(world) == [event["event"]["id"] for event in events if event["event"]["created"] < first["created"]]


def test_a_dry_run_delivers_nothing(world):
    world.audit.connection.delete("mqward:audit")
    result = replay(world, "--dry-run", "--since", "1h")
    assert result.returncode == 0 and f"siem: {len(lines(world))} events, " in result.stdout, result.stdout
    assert stream(world) == []
    result = replay(world, "--since", "0")
    assert result.returncode == 0 and "0 of 0 events delivered" in result.stderr


def test_without_the_daemon_and_with_another_sink(world):
    assert world.proxy.terminate() == 0
    world.killed = True
    world.proxy.configuration["audit"]["sinks"].append(
        {"name": "more", "redis": {"address": f"127.0.0.1:{world.redis.port}", "list": "more"}})
    world.proxy.write()
    result = run_cli("audit", "replay", "-c", world.proxy.path, "--sink", "more", folder=world.proxy.folder)
    assert result.returncode == 0, result.stderr
    delivered = [json.loads(line) for line in world.audit.connection.lrange("more", 0, -1)]
    assert delivered == lines(world)
    audit = os.path.join(world.proxy.folder, "audit")
    assert "more.cursor" not in os.listdir(audit)


def test_to_the_standard_output(world):
    configuration = {**world.proxy.configuration["audit"], "sinks": [{"name": "out", "stdout": {}}]}
    world.proxy.configuration["audit"] = configuration
    world.proxy.write()
    result = run_cli("audit", "replay", "-c", world.proxy.path, "--sink", "out", folder=world.proxy.folder)
    assert result.returncode == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == lines(world)


def test_a_sink_that_is_away_is_given_up(world):
    world.redis.kill()
    began = time.monotonic()
    result = replay(world, "--patience", "2s")
    assert 1 < time.monotonic() - began < 30
    assert result.returncode == 1, result.stdout
    assert "gave no answer for 2 s: sink_unreachable: siem: " in result.stderr
    world.redis.start()
    result = replay(world)
    assert result.returncode == 0, result.stderr


def test_a_redis_out_of_memory_is_waited_for_and_said(world):
    world.audit.connection.delete("mqward:audit")
    world.audit.connection.config_set("maxmemory-policy", "noeviction")
    world.audit.connection.config_set("maxmemory", "1")
    result = replay(world, "--patience", "10s")
    assert result.returncode == 1 and "OOM" in result.stderr, result.stderr
    world.audit.connection.config_set("maxmemory", "0")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the place of another user")
def test_a_file_that_root_makes_is_the_daemons(make_world):
    """Else the daemon, another user, could never write to it again."""
    world = make_world(POLICY, configuration={"audit": {"sinks": [{"name": "siem", "file": {"path": "siem.ndjson"}}]}})
    world.proxy.terminate()
    folder = world.proxy.folder
    path = os.path.join(folder, "siem.ndjson")
    for owner, group, bits, expected in ((65534, 65533, 0, (65534, 65533)), (65534, 65533, 0o2000, (65534, 65532))):
        if os.path.exists(path):
            os.unlink(path)
        os.chown(os.path.join(folder, "audit"), owner, group)
        os.chown(folder, 0, 65532)
        os.chmod(folder, 0o755 | bits)
        result = replay(world)
        assert result.returncode == 0, result.stderr
        status = os.stat(path)
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (*expected, 0o640)


@pytest.mark.parametrize("arguments, message", [
    (("--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"), "--until is before --since"),
    (("--since", "{1}", "--until", "{0}"), "--until is before --since"),
    (("--since", "{1}", "--until", "1h"), "--until is before --since"),
    (("--since", "0", "--until", "{0}"), "--until is before --since"),
])
def test_a_part_that_ends_before_it_begins_is_refused(world, arguments, message):
    identifiers = [event["event"]["id"] for event in lines(world)[10:12]]
    result = replay(world, *(word.format(*identifiers) for word in arguments))
    assert result.returncode == 2 and message in result.stderr, result.stderr


def test_a_part_before_the_first_line_is_empty_and_no_mistake(world):
    result = replay(world, "--since", "2h", "--until", "1h")
    assert result.returncode == 0 and "0 of 0 events delivered" in result.stderr, result.stderr


def test_a_short_patience_is_said_as_it_is(world):
    world.redis.kill()
    result = replay(world, "--patience", "150ms")
    assert result.returncode == 1 and "gave no answer for 150 ms: " in result.stderr, result.stderr


@pytest.mark.parametrize("arguments, message", [
    ((), "to which sink?"),
    (("--sink", "other"), "no sink 'other'"),
    (("--sink", "siem", "--since", "soon"), "--since: expected a time"),
    (("--sink", "siem", "--until", "0000000000000001-1"), "does not have event"),
    (("--sink", "siem", "--patience", "0s"), "--patience: expected a time"),
])
def test_what_it_does_not_understand(make_world, arguments, message):
    world = make_world(POLICY)
    result = run_cli("audit", "replay", "-c", world.proxy.path, *arguments, folder=world.proxy.folder)
    assert result.returncode == 2 and message in result.stderr, result.stderr
