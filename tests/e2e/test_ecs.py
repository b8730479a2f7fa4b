# SPDX-License-Identifier: Apache-2.0
"""The validator of records (tests/ecs) finds what an index would refuse, and its tables are those of the manual. Each
event of every other test goes through it: audit.py, world.py."""
import copy
import glob
import json
import os
import re
import subprocess
import sys

import pytest

import ecs
import validate
from audit import Audit, get
from ecs import GOOD
from servers import Redis
from siem import documented, manual

pytestmark = pytest.mark.brokerless


def changed(path, value):
    """GOOD with another value at a dotted path; None takes the field away."""
    record = copy.deepcopy(GOOD)
    *parents, name = path.split(".")
    node = record
    for parent in parents:
        node = node.setdefault(parent, {})
    if value is None:
        del node[name]
    else:
        node[name] = value
    return record


def test_a_good_record_has_no_findings():
    assert validate.findings(GOOD) == []


WRONG = [
    # names
    ("event.acton", "x", "event.acton: no such field"),
    ("extra", 1, "extra: no such field"),
    ("user.client_id", "x", "user.client_id: no such field"),
    ("process.pid", 1, "process: no such field"),
    ("mqward.new", 1, "mqward.new: no such field"),
    ("tls.client.hash.sha512", "x", "tls.client.hash.sha512: no such field"),
    ("source", "203.0.113.9", "source: '203.0.113.9' is no object"),
    ("event.action", {"a": "b"}, "event.action: {'a': 'b'} is no text"),
    ("mqward.yara", {}, "mqward.yara: an object without a field"),
    ("labels", "x", "labels: 'x' is no object"),
    # types
    ("event.sequence", "1042", "event.sequence: '1042' is no integer"),
    ("event.sequence", 1.0, "event.sequence: 1.0 is no integer"),
    ("event.severity", True, "event.severity: True is no integer"),
    ("client.bytes", 2**63, f"client.bytes: {2**63} is no 64 bit integer"),
    ("mqtt.retained", "false", "mqtt.retained: 'false' is neither true nor false"),
    ("mqtt.retained", 0, "mqtt.retained: 0 is neither true nor false"),
    ("event.code", 1001, "event.code: 1001 is no text"),
    ("event.reason", ["no_allow"], "event.reason: an array, where the schema has one value"),
    ("event.category", "network", "event.category: 'network' is no array with values, as the schema has it"),
    ("related.ip", [], "related.ip: [] is no array with values, as the schema has it"),
    ("related.hash", ["AB" * 32, "9f" * 32, None], "related.hash: None is no text"),
    ("user.roles", "sensor", "user.roles: 'sensor' is no array with values, as the schema has it"),
    # formats
    ("@timestamp", "2026-01-02T03:04:06Z", "@timestamp: '2026-01-02T03:04:06Z' is no timestamp with microseconds in UTC"),
    ("@timestamp", "2026-01-02T03:04:06.001245+01:00", "is no timestamp"),
    ("event.created", "2026-02-31T03:04:06.001245Z", "event.created: '2026-02-31T03:04:06.001245Z': day is out of range for month"),
    ("mqward.ban.until", 1767323046, "mqward.ban.until: 1767323046 is no timestamp"),
    ("source.ip", "edge-1", "source.ip: 'edge-1' is no IP address"),
    ("source.ip", "fe80::1%eth0", "source.ip: 'fe80::1%eth0' is no IP address"),
    ("related.ip", ["203.0.113.9", "2001:db8::5", "203.0.113.256"], "related.ip: '203.0.113.256' is no IP address"),
    ("chain.hash", "A" * 64, "chain.hash: "),
    ("mqtt.payload.sha256", "9f", "mqtt.payload.sha256: '9f' does not match"),
    # values
    ("event.kind", "incident", "event.kind: 'incident' is not one of"),
    ("event.outcome", "denied", "event.outcome: 'denied' is not one of failure, success, unknown"),
    ("event.category", ["networking"], "event.category: 'networking' is not one of"),
    ("event.type", ["refused"], "event.type: 'refused' is not one of"),
    ("network.direction", "in", "network.direction: 'in' is not one of"),
    ("mqward.disposition", "gone", "mqward.disposition: 'gone' is not one of"),
    ("ecs.version", "8.11.0", "ecs.version: '8.11.0', checked against 9.4.0"),
    # pairs
    ("event.category", ["configuration"], "event.type: 'denied' is expected of none of ['configuration']"),
    ("event.category", ["malware"], "event.category: 'malware' expects none of ['access', 'denied']"),
    ("event.category", ["network", "authentication"], "event.category: 'authentication' expects none of ['access', 'denied']"),
    ("event.type", ["access", "creation"], "event.type: 'creation' is expected of none of ['network']"),
    # lengths
    ("mqtt.topic", "x" * 1025, "mqtt.topic: 1025 characters: Elasticsearch does not index a keyword of more than 1024"),
    ("user.roles", ["\U0001f40d" * 513], "user.roles: 513 characters: Elasticsearch does not index a keyword of more than 1024"),
    ("mqward.detail", "x" * 32767, "mqward.detail: a keyword of more than 32766 bytes: Elasticsearch may refuse the document"),
    ("mqward.detail", "\u20ac" * 10923, "mqward.detail: a keyword of more than 32766 bytes"),
    # what must be there
    ("event.id", None, "event.id: missing"),
    ("observer.type", None, "observer.type: missing"),
    ("event", None, "event.action: missing"),
    ("related.ip", ["203.0.113.9"], "related.ip: server.ip '2001:db8::5' is not in it"),
    ("related.user", ["sensor-18"], "related.user: user.name 'sensor-17' is not in it"),
    ("related.hash", ["AB" * 32], "related.hash: mqtt.payload.sha256"),
    ("related", None, "related.hash: tls.client.hash.sha256"),
]


@pytest.mark.parametrize("path,value,finding", WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_found(path, value, finding):
    found = validate.findings(changed(path, value))
    assert any(finding in text for text in found), found


@pytest.mark.parametrize("path,value", [
    ("mqtt.topic", "x" * 1024), ("mqtt.topic", "\U0001f40d" * 512), ("mqtt.topic", ""), ("message", "x" * 40000),
    ("source.ip", "203.0.113.9"), ("source.address", "/run/mqward/in.sock"), ("event.sequence", 2**63 - 1), ("labels", {"site": "a"}),
    ("event.start", "2026-01-02T03:04:06.000000Z"), ("event.type", ["access", "allowed"]), ("threat", None), ("chain", None),
])
def test_what_is_right_is_not_found(path, value):
    assert validate.findings(changed(path, value)) == []


@pytest.mark.parametrize("line,finding", [
    (b'{"a":1,"a":2}', "the key 'a' is there twice"), (b'{"a":{"b":1,"b":1}}', "the key 'b' is there twice"), (b'{"a":NaN}', "NaN is no JSON"),
    (b'{"a":1', "no JSON"), (b'', "no JSON"), (b'{"a":"\xff"}', "no JSON"), (b'[1]', "the record is no object"), (b'{} {}', "no JSON"),
    (b"[" * 100000, "no JSON"), (b'{"event":7}', "event.id: missing"),
    (b'{"event":{"category":[{}],"type":[[]]}}', "event.category: {} is no text"),
])
def test_hostile_lines_are_findings(line, finding):
    found = validate.findings_of_line(line)
    assert any(finding in text for text in found), found


def run(folder, *arguments, text=b""):
    result = subprocess.run([sys.executable, os.path.join(ecs.ROOT, "tests", "ecs", "validate.py"), *arguments], cwd=folder, input=text,
                            capture_output=True, timeout=60, check=False)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def test_the_command_names_file_line_and_field(tmp_path):
    good = json.dumps(GOOD) + "\n"
    (tmp_path / "good").write_text(good * 2)
    (tmp_path / "bad").write_text(good + json.dumps(changed("event.kind", "x")) + "\n{\n")
    assert run(tmp_path, "good") == (0, "", "2 records, 0 with findings (ECS 9.4.0)\n")
    status, output, _ = run(tmp_path, "good", "bad")
    assert status == 1 and output.startswith("bad:2: event.kind: 'x' is not one of alert,") and "\nbad:3: no JSON: " in output
    assert run(tmp_path, "-", text=good.encode())[0] == 0
    assert run(tmp_path, "-", text=b"{}\n")[0] == 1
    assert run(tmp_path, "missing")[0] == 2
    assert run(tmp_path)[0] == 2


def test_a_journal_is_read_once_and_whole_lines_only(tmp_path):
    journal, good = ecs.Journal(str(tmp_path)), json.dumps(GOOD) + "\n"
    path = tmp_path / "journal-3f1c9a523f1c9a52-00000000000000000001.ndjson"
    journal.check()
    path.write_text(good + good[:100])
    journal.check()
    assert journal.seen == 1
    path.write_text(good * 3 + "damaged\n")
    journal.check()
    assert journal.seen == 4
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(changed("event.severity", "47")) + "\n")
    with pytest.raises(AssertionError, match="event.severity"):
        journal.check()
    journal.check()  # it failed the test that made it, no other


def test_an_event_that_is_read_is_looked_at(tmp_path):
    server = Redis(str(tmp_path))
    server.start()
    try:
        audit = Audit(server.port)
        for record in (GOOD, changed("event.severity", "47"), GOOD):
            audit.connection.xadd(audit.stream, {audit.field: json.dumps(record)})
        with pytest.raises(AssertionError, match="event.severity: '47' is no integer"):
            audit.events()
        assert len(audit.events()) == 2
    finally:
        server.stop()


def test_a_record_that_nobody_reads_fails_its_test_too(make_world):
    world = make_world()
    world.connected()
    world.proxy.terminate()
    world.killed = True  # it has ended on purpose
    world.check()
    assert world.journal.seen >= 2
    path = sorted(glob.glob(os.path.join(world.journal.folder, "journal-*.ndjson")))[-1]
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(changed("event.kind", "x")) + "\n")
    with pytest.raises(AssertionError, match="event.kind: 'x' is not one of"):
        world.check()


# ---- the tables and the manual ----

def test_the_own_fields_are_those_of_the_manual():
    own = validate.own_table()
    listed = {name for name in documented() if name.split(".")[0] in own["namespaces"]}
    assert listed == set(own["fields"]), listed ^ set(own["fields"])


def test_the_other_fields_of_the_manual_are_of_ecs():
    own = validate.own_table()
    others = {name for name in documented() if name.split(".")[0] not in own["namespaces"]}
    assert others - set(validate.ecs_table()["fields"]) == set()
    assert set(own["required"]) - set(documented()) == set()
    assert not set(own["namespaces"]) & {name.split(".")[0] for name in validate.ecs_table()["fields"]}


def test_every_action_has_types_that_its_categories_expect():
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| ([\w,]+) \| ([\w,]+) \|$", manual(), re.M)
    assert len(rows) >= 30
    for action, kind, categories, types in rows:
        for went_on in (types, types.replace("denied", "allowed")):
            record = copy.deepcopy(GOOD)
            record["event"].update(kind=kind, category=categories.split(","), type=went_on.split(","), action=action)
            assert validate.findings(record) == [], action


def test_values_are_those_of_the_manual():
    rows = documented()
    page = manual()
    dispositions = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", page[page.index("### Dispositions"):page.index("### Reasons")], re.M)
    assert validate.own_table()["fields"]["mqward.disposition"]["values"] == dispositions
    for name, spec in validate.own_table()["fields"].items():
        if "values" in spec and name not in ("mqward.disposition", "mqtt.packet"):
            assert set(spec["values"]) == set(re.findall(r"`([^`]+)`", rows[name].replace("`deny`; what", "`deny`").split("(")[0])) - {
                "shadow-diff", "event.reason", "rule"}, name


def test_filebeat_has_the_same_names_and_types():
    """What Filebeat's input `mqtt` calls them: both kinds of events can be searched together."""
    fields = validate.own_table()["fields"]
    for name, kind in {"topic": "keyword", "qos": "long", "retained": "boolean", "duplicate": "boolean", "message_id": "long"}.items():
        assert fields[f"mqtt.{name}"]["type"] == kind


def test_the_version_is_that_of_the_records():
    assert f"`{validate.ecs_table()['ecs']}`" in documented()["ecs.version"]
    assert get(GOOD, "ecs.version") == validate.ecs_table()["ecs"]
