# SPDX-License-Identifier: Apache-2.0
"""Other rules for sessions that go on: `mqward reload` puts them in force without a loss, or changes nothing; and what
old ones took is given back."""
import os
import threading

import pytest

import raw
from audit import get
from scanning import (INVALID, MATCHED, RULE, VERSIONS, evil, harmless, payloads, policy, rule, scan, scan_world,
                      settled, write_rules)
from servers import run_cli
from test_reload import reload

pytestmark = pytest.mark.brokerless
MIB = 1 << 20
CONTROL = {"control": {"socket": "control.sock"}}
CHECKS = [scan("at: [publish, receive]"), scan("at: receive", name="delivered", topics="out/#")]
OTHER = RULE.replace("evil_mark", "other_mark").replace("EVIL-MARK", "OTHER-MARK")
BROKEN = RULE + "rule broken\n{\n    condition:\n        $missing\n}\n"


def reloading_world(make_world, **options):
    return scan_world(make_world, *CHECKS, configuration=CONTROL, **options)


def reload_rules(world, text, status=0):
    """The rules on disk change, and mqward is asked to take them."""
    write_rules(world, text)
    result = run_cli("reload", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == status, result.stdout + result.stderr
    return result


@pytest.mark.core
@VERSIONS
def test_new_rules_are_in_force_for_live_clients(make_world, version):
    world = reloading_world(make_world)
    observer = world.observer("dt/#", qos=1)
    sender, receiver = world.connected(version=version), world.connected(version=version)
    receiver.subscribe("out/#", qos=1)
    sender.publish("dt/x", evil(), 1, INVALID)
    sender.publish("dt/x", b"OTHER-MARK", 1)
    reload_rules(world, OTHER)
    settled(world)
    sender.publish("dt/x", b"2 OTHER-MARK", 1, INVALID)
    sender.publish("dt/x", harmless(50_000) + b"OTHER-MARK", 1, INVALID)
    sender.publish("dt/x", evil(), 1)
    assert payloads(world.arrived(observer, sender)) == [b"OTHER-MARK", evil()]
    with world.direct() as behind:
        for payload in (b"OTHER-MARK", evil(), b"end"):
            behind.publish("out/x", payload, 1)
    assert [receiver.message().payload for _ in range(2)] == [evil(), b"end"]
    assert [get(event, "rule") for event in world.audit.wait_for_count(4, action=MATCHED)] == \
        ["evil_mark", "other_mark", "other_mark", "other_mark"]


@pytest.mark.core
def test_broken_rules_change_nothing_and_say_where(make_world):
    world = reloading_world(make_world)
    sender = world.connected()
    result = reload_rules(world, BROKEN, status=1)
    line = BROKEN.splitlines().index("        $missing") + 2  # libyara sees it at the end of the condition
    assert f"iot.yar:{line}:1: error: undefined string \"$missing\"" in result.stderr
    assert "not reloaded" in result.stdout
    assert f"iot.yar:{line}" in str(world.audit.wait_for(action="policy-rejected"))
    sender.publish("dt/x", evil(), 1, INVALID)
    for text in ("", "rule {", "include \"../users.yar\"\n" + RULE, "import \"pe\"\nrule r { condition: pe.is_pe }\n"):
        reload_rules(world, text + " ", status=0 if not text else 1)
        settled(world)
    reload_rules(world, OTHER)
    settled(world)
    sender.publish("dt/x", b"OTHER-MARK", 1, INVALID)


def test_a_check_for_rules_that_are_not_there_changes_nothing(make_world):
    world = reloading_world(make_world)
    sender = world.connected()
    reload(world, policy(scan(rules="elsewhere")), event="not reloaded: what was in force stays")
    assert "no rule set 'elsewhere'" in str(world.audit.wait_for(action="policy-rejected"))
    os.remove(os.path.join(world.proxy.folder, "iot.yar"))
    reload(world, policy(*CHECKS), event="not reloaded: what was in force stays")
    sender.publish("dt/x", evil(), 1, INVALID)
    write_rules(world, RULE)
    reload(world, policy(scan(topics="elsewhere")))
    settled(world)
    sender.publish("dt/x", evil(), 1)


def flow(world, count, over, errors, sizes=(20, 40_000)):
    """Messages from a client through the broker to another, at QoS 1 both ways, until it is over."""
    sender, receiver = world.connected(f"sender-{count}"), world.connected(f"receiver-{count}")
    receiver.subscribe(f"dt/flow/{count}", qos=1)
    sent = 0
    try:
        while not over.is_set() or sent < 20:
            size = sizes[sent % len(sizes)]
            wanted = harmless(size, sent)
            sender.publish(f"dt/flow/{count}", wanted, 1)
            sender.publish(f"dt/flow/{count}", evil(size), 1, INVALID)
            assert receiver.message().payload == wanted
            sent += 1
    except BaseException as error:
        errors.append(error)
        raise


def test_traffic_goes_on_and_nothing_slips_through(make_world):
    """Both rules find EVIL, so that none of it may ever pass, whichever of them is in force."""
    world = reloading_world(make_world)
    over, errors = threading.Event(), []
    threads = [threading.Thread(target=flow, args=(world, number, over, errors), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    many = RULE + "".join(rule(f"filler_{number}", "$a", a=f'"filler-{number:05d}"') for number in range(200))
    for number in range(6):
        reload_rules(world, many if number % 2 else RULE.replace("evil_mark", "evil_too"))
    over.set()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_a_reload_while_messages_are_on_the_pool(make_world):
    """They are judged by the rules under which they came, those behind them by the new ones, and none is lost."""
    world = reloading_world(make_world, scan={"threads": 1, "inline": 0})
    observer = world.observer("dt/#", qos=1)
    senders = [world.connected() for _ in range(8)]
    large = [harmless(200_000, number) for number in range(4)]
    for sender in senders:
        sender.send(b"".join(raw.publish(sender.version, "dt/x", payload, 1, packet_id=number)
                             for number, payload in enumerate(large, 1)))
    reload_rules(world, OTHER)
    for sender in senders:
        for number in range(1, 5):
            sender.expect(raw.PUBACK, 20, packet_id=number, code=0)
    settled(world)
    for sender in senders:
        sender.publish("dt/x", b"OTHER-MARK", 1, INVALID)
    found = payloads(world.arrived(observer, *senders))
    assert sorted(found) == sorted(large * len(senders))


def generated(count, generation):
    """Rules of realistic make: texts, regular expressions and bytes."""
    kinds = (lambda number: {"a": f'"generated-{generation}-{number}"', "b": f'"/bin/tool{number}" nocase'},
             lambda number: {"a": f"/token{number:05d}=[a-z0-9]{{4,16}};/"},
             lambda number: {"a": f"{{ 7F 45 4C {number % 256:02X} {number // 256:02X} (01 | 02) ?? 55 }}"})
    return "".join(rule(f"r{generation}_{number}", "any of them", **kinds[number % 3](number))
                   for number in range(count))


def test_old_rules_are_given_back(make_world):
    """A thousand rules, again and again others, with clients that have been scanned under each, and idle ones."""
    world = reloading_world(make_world, sets={"iot": generated(1000, 0)})
    idle, busy = [world.connected() for _ in range(10)], [world.connected() for _ in range(4)]
    resident = []
    for generation in range(1, 5):
        reload_rules(world, generated(1000, generation))
        settled(world)
        for client in busy:
            for size in (100, 20_000):
                client.publish("dt/x", harmless(size) + b"generated-%d-3" % generation, 1, INVALID)
        resident.append(world.proxy.resident())
    assert resident[-1] - resident[1] < 24 * MIB, [value // MIB for value in resident]
    for client in idle:
        client.ping()
