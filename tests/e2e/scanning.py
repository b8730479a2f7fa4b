# SPDX-License-Identifier: Apache-2.0
"""Payload scanning for tests: rule sets, policies with checks that scan, the shipped library and its samples."""
import base64
import functools
import os

import pytest

import raw
from audit import get
from processes import wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LIBRARY = os.path.join(ROOT, "rules", "library")
TELEMETRY = os.path.join(ROOT, "tests", "vectors", "rules", "telemetry")
VERSIONS = pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
QOS = pytest.mark.parametrize("qos", (0, 1, pytest.param(2, marks=pytest.mark.needs("qos2"))),
                              ids=lambda qos: f"qos{qos}")
INVALID, REFUSED = 0x99, 0x87  # the two codes that a sender may be told
INLINE = 16 * 1024  # larger messages are scanned by the pool
FAILED = "mqtt-scan-failed"


def MATCHED(action):
    """What a rule was found in: reported or blocked. audit.py holds each event's action against what became of it."""
    return action in ("mqtt-payload-matched", "mqtt-payload-blocked")


POLICY = """\
version: 1
policy: scanned
identity:
  - anonymous: {{id: guest}}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
checks:
{checks}
limits: {{packet: {packet}}}
audit: {{deny: all, payload: none}}
"""


def policy(*checks, packet="1MiB", more=""):
    """Each check as YAML in one line; see scan()."""
    return POLICY.format(packet=packet, checks="".join(f"  - {check}\n" for check in checks)) + more


def scan(terms="", *, name="scanned", topics="dt/#", rules="iot", check=""):
    """A check. terms: of yara, such as "on_match: drop"; check: of the check, such as "mode: monitor"."""
    return (f"{{check: {name}, topics: \"{topics}\"{check and ', ' + check}, "
            f"yara: {{rules: [{rules}]{terms and ', ' + terms}}}}}")


# ---- rules ----

EVIL = b"EVIL-MARK"
# Finds EVIL; what its meta says is in the audit.
RULE = """\
rule evil_mark : demo mark
{
    meta:
        id = "test-001"
        description = "the mark of these tests"
        reference = "https://example.com/evil"
        severity = "high"
        mitre_attack = "T1105, T1059.004"
    strings:
        $mark = "EVIL-MARK"
    condition:
        $mark
}
"""


def rule(name, condition, **strings):
    """A rule; strings: as YARA writes them, '"text"' or '/regex/' or '{ 00 }'."""
    rows = "".join(f"        ${key} = {value}\n" for key, value in strings.items())
    strings = f"    strings:\n{rows}" if rows else ""
    return f"rule {name}\n{{\n{strings}    condition:\n        {condition}\n}}\n"


# Takes as long as it is allowed to: the square of the payload's size.
ENDLESS = rule("endless", "$a and for any i in (0..filesize) : (for any j in (0..filesize) :"
                          " (uint8(i) == 1 and uint8(j) == 2))", a='"SLOWLY"')


def write_rules(world, text, name="iot"):
    """The file of a rule set."""
    with open(os.path.join(world.proxy.folder, f"{name}.yar"), "w", encoding="utf-8") as file:
        file.write(text)


QUARANTINE = {"quarantine": {"directory": "quarantine"}}


def scan_world(make_world, *checks, sets=None, text=None, scan=None, start=True, packet="1MiB", more="", **options):
    """A world whose mqward has these rule sets ({name: text}, or {name: a mapping with "text"}) and checks.
    scan: of mqward.yaml; text: another policy."""
    sets = {"iot": RULE} if sets is None else sets
    configuration = {**options.pop("configuration", {}), "rules": {}, **({"scan": scan} if scan else {})}
    for name, value in sets.items():
        terms = {key: term for key, term in value.items() if key != "text"} if isinstance(value, dict) else {}
        # The largest with which small payloads are still scanned on the worker: a busy machine has no time to spare.
        configuration["rules"][name] = {"files": [f"{name}.yar"], "budget": "100us", **terms}
    text = text or policy(*checks, packet=packet, more=more)
    world = make_world(text, configuration=configuration, start=False, **options)
    for name, value in sets.items():
        if isinstance(value, str) or "text" in value:
            write_rules(world, value if isinstance(value, str) else value["text"], name)
    if start:
        world.proxy.start()
    return world


SHIPPED = {"iot": {"files": [LIBRARY], "budget": "20us"}}  # as users have them


def sample(name):
    """What the shipped rules have to find, or let pass."""
    with open(os.path.join(LIBRARY, "samples", name), "rb") as file:
        data = file.read()
    return base64.b64decode(data) if name.endswith(".b64") else data


def telemetry():
    """{name: payload} of all that the shipped rules must let pass."""
    found = {}
    for name in sorted(os.listdir(TELEMETRY)):
        with open(os.path.join(TELEMETRY, name), "rb") as file:
            found[name] = file.read()
    return found


# ---- payloads ----

@functools.lru_cache(maxsize=256)
def harmless(size, seed=0):
    """Text of this size in which nothing is found and nothing decoded: words of one case, and numbers."""
    words = b" ".join(b"value%d %d," % (number, number * 7919 + seed) for number in range(size // 12 + 2))
    return (b"seed %d; " % seed + words)[:size]


def evil(size=0):
    """What the rule finds, behind so much else."""
    return harmless(max(0, size - len(EVIL))) + EVIL


SIZES = pytest.mark.parametrize("size", (64, 4 * INLINE), ids=("here", "pool"))


# ---- what becomes of them ----

def found(world, topic, count=1, *, rule="evil_mark", check="scanned", **fields):
    """The events of a match on this topic, once there are count of them."""
    events = world.audit.wait_for_count(count, action=MATCHED, topic=topic, **fields)
    for event in events:
        said = [get(event, path) for path in ("event.kind", "rule", "mqward.check", "line", "reason", "event.code")]
        wanted = ["alert", rule, check, world.line(f"check: {check}"), "payload_matched", "YAR-1001"]
        assert said == wanted, f"{said} instead of {wanted}"
    return events


def unfinished(world, topic, why, *, check="scanned", reason="scan_incomplete", **fields):
    """The event of a message that was not scanned to its end."""
    event = world.audit.wait_for(action=FAILED, topic=topic, reason=reason, **fields)
    said = [get(event, path) for path in ("mqward.yara.incomplete", "mqward.yara.scan_complete", "rule")]
    assert said == [why, False, check], f"{said} instead of {[why, False, check]}"
    return event


def payloads(messages):
    return [message.payload for message in messages]


def settled(world):
    """After a reload: what lives is under the new rules. No client of mqward may have messages to read."""
    for client in world.clients:
        if client.sock.getpeername()[1] in world.proxy.ports.values():
            client.ping()


# ---- the threads ----

def threads(world):
    """{number: name} of mqward's threads."""
    names, folder = {}, f"/proc/{world.proxy.process.pid}/task"
    for number in os.listdir(folder):
        with open(f"{folder}/{number}/comm", encoding="ascii") as file:
            names[int(number)] = file.read().strip()
    return names


def cpu(world, thread):
    """Nanoseconds that a thread of mqward has run."""
    with open(f"/proc/{world.proxy.process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def worker(world):
    """The number of its only worker."""
    assert world.proxy.configuration["workers"] == 1
    number, = [number for number, name in threads(world).items() if name.startswith("worker")]
    return number


def wait_idle(world, thread):
    """Until a thread has nothing to do."""
    before = [0]

    def idle():
        last, before[0] = before[0], cpu(world, thread)
        return last == before[0]
    wait_until(idle, "an idle thread")
