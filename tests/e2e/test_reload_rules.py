# SPDX-License-Identifier: Apache-2.0
"""SIGHUP with thousands of YARA rules: they are put in force as one, the traffic goes on while they are compiled, and the
memory of those that were in force before is given back."""
import signal
import time

import pytest

import raw
from scanning import EVIL, INVALID, RULE, found, harmless, scan, scan_world, settled, write_rules
from servers import binary, wait_until

RULES = 2000
RELOADS = 5
MIB = 1 << 20


def many(salt):
    """The rule that finds EVIL, and others as vendors write them."""
    return RULE + "".join(
        f"rule r{salt}_{number}\n{{\n    meta:\n        severity = \"low\"\n    strings:\n"
        f"        $a = \"{salt}:/tool{number * 7919 % 100003}/run\"\n        $b = \"key{number * 104729 % 1000003}=\" nocase\n"
        f"        $c = {{ {number % 256:02x} {number // 256:02x} e8 ?? ?? 00 00 {number * 31 % 256:02x} 5d c3 }}\n"
        "    condition:\n        all of them\n}\n" for number in range(RULES))


def request_reload(world):
    """SIGHUP. The result: is it in force?"""
    count = len(world.proxy.logged("reloaded"))
    world.proxy.signal(signal.SIGHUP)
    return lambda: len(world.proxy.logged("reloaded")) > count


def reload(world):
    in_force = request_reload(world)
    wait_until(in_force, "the reload", timeout=60)
    settled(world)


def scan_on_both_workers(world, clients):
    for client in clients:
        client.publish("dt/x", EVIL, 1, INVALID)
        client.publish("dt/x", EVIL + harmless(64 << 10), 1, INVALID)  # the pool's threads


@pytest.fixture
def world(make_world):
    return scan_world(make_world, scan(), sets={"iot": many("a")}, configuration={"workers": 2})


def sanitized():
    with open(binary(), "rb") as file:
        return b"__asan_init" in file.read() or b"__tsan_init" in file.read()


@pytest.mark.needs("v5.0")
def test_another_generation_is_in_force_for_the_next_message(world):
    client = world.connected(version=raw.V5)
    client.publish("dt/x", EVIL, 1, INVALID)
    client.publish("dt/x", b"NEW-MARK", 1)
    write_rules(world, RULE.replace("evil_mark", "new_mark").replace("EVIL-MARK", "NEW-MARK"))
    reload(world)
    client.publish("dt/x", EVIL, 1)
    client.publish("dt/y", b"NEW-MARK", 1, INVALID)
    found(world, "dt/y", rule="new_mark")


@pytest.mark.needs("v5.0")
def test_bad_rules_leave_those_that_are_in_force(world):
    client = world.connected(version=raw.V5)
    write_rules(world, RULE + "rule broken { condition: $a }\n")
    world.proxy.signal(signal.SIGHUP)
    world.audit.wait_for(action="policy-rejected")
    line, = world.proxy.logged("not reloaded: what was in force stays")
    assert 'iot.yar:14:1: undefined string "$a"' in line["error"]
    client.publish("dt/x", EVIL, 1, INVALID)


@pytest.mark.needs("v5.0")
def test_traffic_goes_on_while_thousands_of_rules_are_compiled(world):
    """A pause of the machine may look like one of the proxy's, but not each time."""
    client, seen = world.connected(version=raw.V5), []
    client.publish("dt/x", b"before", 1)
    for number in range(4):
        write_rules(world, many("ba"[number % 2]))
        in_force, start, longest, count = request_reload(world), time.monotonic(), 0.0, 0
        while not in_force():
            before = time.monotonic()
            client.publish("dt/x", b"meanwhile", 1)
            longest, count = max(longest, time.monotonic() - before), count + 1
            assert before < start + 60, "no reload"
        took = time.monotonic() - start
        if count >= 20 and longest < took / 2:
            return
        seen.append(f"{count} messages in {took:.2f} s, one took {longest:.2f} s")
    pytest.fail(f"each time: {seen}")


@pytest.mark.skipif(sanitized(), reason="with a sanitizer, memory is not given back: tests/run.sh release runs it")
@pytest.mark.needs("v5.0")
def test_memory_of_old_generations_is_returned(world):
    clients = [world.connected(version=raw.V5) for _ in range(8)]
    scan_on_both_workers(world, clients)
    before = world.proxy.resident()
    for number in range(RELOADS):
        write_rules(world, many("ab"[number % 2]))
        reload(world)
        scan_on_both_workers(world, clients)
    bound = before * 5 // 4 + 8 * MIB
    wait_until(lambda: world.proxy.resident() < bound, f"less than {bound / MIB:.0f} MiB, after {before / MIB:.0f} at first "
               f"and {RELOADS} reloads")
    print(f"{before / MIB:.1f} MiB, after {RELOADS} reloads {world.proxy.resident() / MIB:.1f} MiB")
