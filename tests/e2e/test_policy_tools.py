# SPDX-License-Identifier: Apache-2.0
"""mqward policy test and explain; a policy whose own tests fail is neither accepted nor served."""
import glob
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

from servers import binary, run_cli
from signatures import EVA, PLC7, PLC8, REFUSED, events, publish, signed, signed_world, user
from test_check import Folder
from test_keys import Keys

pytestmark = pytest.mark.brokerless

POLICIES = os.path.join(os.path.dirname(__file__), "..", "policies")
# A policy with one test that passes, one that fails, and a rule that no test reaches.
FAILING = """\
version: 1
policy: failing
identity:
  - cert: {ca: fleet, id: cn, attrs: {site: ou}}
rules:
  - {rule: own, who: everyone, allow: publish, topics: [dt/<site>/<id>/#], if: {max_qos: 1}}
  - {rule: "news", who: everyone, allow: subscribe, topics: [news/#]}
tests:
  - as: cert "a&b <c>" site=a
    allow: ['publish "dt/a/a&b <c>/t" qos=2']
    deny: [publish dt/a/other/t by no_allow]
"""
TESTS = "tests:\n  - {as: anonymous anonymous, allow: publish a/b, deny: publish b by no_allow}\n"


@pytest.fixture
def policies(tmp_path):
    """A folder with plant.yaml, the policy of a plant with its tests, and failing.yaml."""
    shutil.copy(os.path.join(POLICIES, "good", "tests.yaml"), tmp_path / "plant.yaml")
    (tmp_path / "failing.yaml").write_text(FAILING)
    return tmp_path


@pytest.fixture
def signatures(tmp_path):
    """A folder with plant.yaml, a policy with each kind of check of signatures, and its tests."""
    shutil.copy(os.path.join(POLICIES, "good", "signatures.yaml"), tmp_path / "plant.yaml")
    return tmp_path


@pytest.fixture
def scans(tmp_path):
    """A folder with plant.yaml, a policy with each kind of check of YARA, and its tests."""
    shutil.copy(os.path.join(POLICIES, "good", "yara.yaml"), tmp_path / "plant.yaml")
    return tmp_path


@pytest.fixture
def folder(tmp_path, certs):
    return Folder(tmp_path, certs)


def run(folder, verb, *arguments, status=0):
    result = run_cli("policy", verb, *arguments, folder=folder)
    assert result.returncode == status, result.stdout + result.stderr
    return result


# ---- policy test ----

def test_each_case_is_a_line_with_the_rule_that_decided(policies):
    lines = run(policies, "test", "plant.yaml").stdout.splitlines()
    assert lines[-1] == "plant.yaml: 37 cases, 0 failed; 9 of 9 rules reached"
    assert all(line.startswith("ok      as ") for line in lines[:-1])
    assert "ok      as cert plc-7 site=a: publish dt/a/plc-7/temp qos=1: allowed by telemetry (plant.yaml:15)" in lines
    assert "ok      as cert plc-7 site=a: publish fw/a: denied by firmware-guard (plant.yaml:42)" in lines
    assert ("ok      as password op:eva: subscribe dt/a/#: granted by read-site (plant.yaml:33), deliveries filtered"
            in lines)
    assert ("ok      as cert plc-9: connect: refused at CONNECT: identity_missing: site, because of telemetry"
            " (plant.yaml:15)" in lines)


def test_a_failure_says_what_was_expected_and_ends_with_1(policies):
    lines = run(policies, "test", "failing.yaml", status=1).stdout.splitlines()
    assert lines == [
        'FAILED  as cert "a&b <c>" site=a: publish "dt/a/a&b <c>/t" qos=2: denied: no_allow, nearest is own'
        " (failing.yaml:6) but for max_qos; expected: allowed (failing.yaml:10)",
        'ok      as cert "a&b <c>" site=a: publish dt/a/other/t: denied: no_allow',
        "not reached by any test: own (failing.yaml:6)",
        "not reached by any test: news (failing.yaml:7)",
        "failing.yaml: 2 cases, 1 failed; 0 of 2 rules reached",
    ]


def test_several_policies_are_tested_and_one_that_fails_counts(policies):
    lines = run(policies, "test", "plant.yaml", "failing.yaml", status=1).stdout.splitlines()
    assert any(line.startswith("plant.yaml: ") for line in lines) and lines[-1].startswith("failing.yaml: ")


def test_a_policy_with_errors_is_not_tested(policies):
    (policies / "bad.yaml").write_text(FAILING.replace("everyone", "nobody"))
    result = run(policies, "test", "bad.yaml", status=1)
    assert "bad.yaml: not tested, 2 errors\n" == result.stdout
    assert re.search(r"bad\.yaml:6:\d+: error: unknown group 'nobody'", result.stderr)
    assert "nowhere.yaml" in run(policies, "test", "nowhere.yaml", status=1).stderr


def test_a_policy_without_tests_says_what_is_not_tested(policies):
    (policies / "none.yaml").write_text(FAILING[:FAILING.index("tests:")])
    lines = run(policies, "test", "none.yaml").stdout.splitlines()
    assert lines[-1] == "none.yaml: 0 cases, 0 failed; 0 of 2 rules reached"


def test_junit(policies):
    run(policies, "test", "--junit", "out.xml", "plant.yaml", "failing.yaml", status=1)
    root = xml.etree.ElementTree.parse(policies / "out.xml").getroot()
    assert root.tag == "testsuites"
    plant, failing = root.findall("testsuite")
    counts = ("name", "tests", "failures", "errors")
    assert [plant.get(name) for name in counts] == ["plant.yaml", "37", "0", "0"]
    assert [failing.get(name) for name in counts] == ["failing.yaml", "2", "1", "0"]
    assert len(plant.findall("testcase")) == 37 and plant.find("testcase/failure") is None
    case = failing.find("testcase")
    assert (case.get("classname"), case.get("name")) == ('cert "a&b <c>" site=a', 'publish "dt/a/a&b <c>/t" qos=2')
    failure = case.find("failure")
    assert "own (failing.yaml:6) but for max_qos" in failure.get("message")
    assert failure.text == "expected: allowed (failing.yaml:10)"


def test_junit_of_a_policy_with_errors_and_with_characters_that_xml_does_not_have(policies):
    (policies / "bad.yaml").write_text(FAILING.replace("who: everyone", 'who: "x\\uFFFF<y>"'))
    run(policies, "test", "--junit", "out.xml", "bad.yaml", status=1)
    suite = xml.etree.ElementTree.parse(policies / "out.xml").getroot().find("testsuite")
    assert suite.get("errors") == "1"
    assert "bad.yaml:6:" in suite.find("testcase/error").text and "<y>" in suite.find("testcase/error").text


def test_a_report_that_can_not_be_written_is_a_failure(policies):
    result = run(policies, "test", "--junit", "nowhere/out.xml", "plant.yaml", status=1)
    assert "nowhere/out.xml" in result.stderr


def test_results_as_json(policies):
    document = json.loads(run(policies, "test", "--json", "failing.yaml", status=1).stdout)
    assert document["ok"] is False
    policy, = document["policies"]
    assert (policy["file"], policy["cases"], policy["failed"], policy["rules"]) == ("failing.yaml", 2, 1, 2)
    failed, passed = policy["results"]
    assert failed["passed"] is False and failed["expected"] == "allow" and failed["allowed"] is False
    assert failed["reason"] == "no_allow" and failed["location"] == "failing.yaml:10"
    assert passed["passed"] is True and passed["expected_by"] == "no_allow" and passed["rule"] is None
    assert [rule["name"] for rule in policy["unreached"]] == ["own", "news"]


def test_the_policy_of_a_configuration_is_tested_with_its_names(folder):
    folder.policy += TESTS
    folder.run()
    path = os.path.join(folder.path, "mqward.yaml")
    assert "2 cases, 0 failed; 1 of 1 rules reached" in run(folder.path, "test", "-c", path).stdout
    folder.replace("  - anonymous: {id: anonymous}", "  - cert: {ca: nobody, id: cn}")
    folder.run()
    assert "unknown CA 'nobody'" in run(folder.path, "test", "-c", path, status=1).stderr
    # Alone, a policy may name what it likes.
    assert "CA" not in run(folder.path, "test", "policy.yaml", status=1).stderr


def test_a_policy_whose_tests_fail_is_refused_by_check_and_run(folder):
    folder.policy += TESTS.replace("by no_allow", "by all").replace("deny: publish b", "deny: publish a/c")
    for command in ("check", "run"):
        result = folder.run(command)
        assert result.returncode == 1
        output = result.stdout + result.stderr
        assert re.search(r"policy\.yaml:\d+:\d+: error: test failed: 'publish a/c', as 'anonymous anonymous', "
                         r"is allowed by all \(policy\.yaml:7\)", output), output
        assert "hint: expected: denied by all" in output
    folder.replace("deny: publish a/c by all", "deny: publish c")
    assert folder.run().returncode == 0


# ---- policy explain ----

def explain(folder, *words, options=("-p", "plant.yaml"), **keywords):
    return run(folder, "explain", *options, *words, **keywords)


def test_an_explanation_lists_every_rule_with_what_it_has_to_do_with_it(policies):
    words = "as cert plc-7 site=a publish dt/a/plc-7/debug/x qos=2"
    lines = explain(policies, *words.split()).stdout.splitlines()
    assert lines == [
        "as        cert plc-7 site=a",
        "act       publish dt/a/plc-7/debug/x qos=2",
        "policy    plant-a, enforced",
        "identity  plc-7",
        "source    cert",
        "client id plc-7",
        "dialect   mosquitto",
        "values    site=a",
        "groups    devices",
        "verdict   denied: no_allow, nearest is telemetry (plant.yaml:15) but for max_qos",
        "          no rule allows it",
        "rules: would deny, if it were enforced",
        "  deny  no-debug (plant.yaml:51), monitor: in monitor mode, denies nothing",
        "rules: missed by one condition",
        "  allow telemetry (plant.yaml:15): max_qos is 1, the QoS is 2",
        "rules: the topic does not match",
        "  allow status (plant.yaml:20): topics are st/a/plc-7",
        "  deny  firmware-guard (plant.yaml:42): topics are fw/#",
        "rules: not about this client",
        "  allow operate (plant.yaml:29): who is operators",
        "  allow firmware (plant.yaml:47): who is releasers",
        "rules: about other acts",
        "  allow commands-in (plant.yaml:25)",
        "  allow read-site (plant.yaml:33)",
        "  deny  secrets-stay-in (plant.yaml:38)",
    ]


@pytest.mark.parametrize("words, verdict", (
    ("cert plc-7 site=a subscribe cmd/a/plc-7/#", "granted by commands-in (plant.yaml:25)"),
    ("cert plc-7 site=a receive dt/a/plc-7/secret/k", "denied by secrets-stay-in (plant.yaml:38)"),
    ("cert plc-7 site=a will st/a/plc-7 retain=true", "allowed by status (plant.yaml:20)"),
    ("password op:eva connect", "accepted"),
    ("password op:eva client_id=eva connect",
     'refused at CONNECT: client_id_not_allowed: the client identifier does not fit "<id>", '
     "because of client_id (plant.yaml:8)"),
    ("password op:eva subscribe $share/g/dt/#",
     "denied: shared_needs_filter, because of secrets-stay-in (plant.yaml:38)"),
    ("password op:eva dialect=emqx subscribe $queue/st/#",
     "denied: feature_not_granted, nearest is read-site (plant.yaml:33) but for feature"),
))
def test_verdicts(policies, words, verdict):
    assert f"verdict   {verdict}\n" in explain(policies, "as", *words.split()).stdout


def test_words_with_blanks_and_quotes_arrive_as_they_are(policies):
    output = explain(policies, "as", "cert", 'plc "9', "site=Plant A", "publish", 'dt/Plant A/plc "9/t').stdout
    assert 'identity  plc "9\n' in output
    assert "verdict   allowed by telemetry (plant.yaml:15)\n" in output


def test_an_explanation_as_json(policies):
    options = ("-p", "plant.yaml", "--json")
    document = json.loads(explain(policies, "as", "cert", "plc-7", "publish", "fw/a", options=options).stdout)
    assert document["verdict"]["refused"] is True and document["verdict"]["reason"] == "identity_missing"
    assert document["without"] == ["site"] and document["rules"] == [] and document["agrees"] is True
    document = json.loads(explain(policies, "as", "cert", "plc-7", "site=a", "publish", "fw/a", options=options).stdout)
    assert document["groups"] == ["devices"] and document["values"] == ["site=a"]
    assert document["verdict"]["rule"] == {"name": "firmware-guard", "location": "plant.yaml:42"}
    rules = {rule["name"]: rule for rule in document["rules"]}
    assert len(rules) == 9
    assert rules["firmware-guard"]["consideration"] == "decided" and rules["firmware-guard"]["effect"] == "deny"
    assert rules["firmware"]["consideration"] == "other_client"
    assert rules["telemetry"]["consideration"] == "other_topic"
    assert rules["commands-in"]["consideration"] == "other_act"


def test_failing_tests_do_not_keep_a_policy_from_being_explained(policies):
    words = "as cert x site=a publish dt/a/x/t"
    output = explain(policies, *words.split(), options=("-p", "failing.yaml")).stdout
    assert "verdict   allowed by own (failing.yaml:6)\n" in output


@pytest.mark.parametrize("words, message", (
    (("as", "cert", "plc-7", "publish"), "the topic name is missing"),
    (("as", "cert", "plc-7", "sitte=a", "connect"), "did you mean 'site'?"),
    (("as", "cert", "plc-7", "publsh", "x"), "did you mean 'publish'?"),
    (("as", "cert", "plc-7", "publish", "x", "qso=1"), "did you mean 'qos='?"),
    (("as", "cert", "plc-7", "publish", "x", "by", "telemetry"), "unknown word 'by'"),
    (("cert", "plc-7", "connect"), "expected 'as"),
    ((), "expected 'as"),
))
def test_a_wrong_line_is_a_wrong_command_line(policies, words, message):
    assert message in explain(policies, *words, status=2).stderr


def test_errors_in_the_words_have_their_place(policies):
    assert explain(policies, "as", "cert", "plc-7", "site=a", "publish", "x", "qos=3", status=2).stderr == (
        "command line:1:29: error: not a QoS: '3'\n"
        "cert plc-7 site=a publish x qos=3\n"
        "                            ^~~~~\n"
        "  hint: qos=0, qos=1 or qos=2\n")


# ---- signatures ----

def test_a_check_that_refuses_no_case_is_told(signatures):
    lines = run(signatures, "test", "plant.yaml").stdout.splitlines()
    assert "ok      as cert plc-7 site=a: publish dt/a/t: denied by signed-telemetry (plant.yaml:25): sig_missing" in lines
    assert ("ok      as cert plc-7 site=a: publish free/x: allowed by telemetry (plant.yaml:12), "
            "would be denied by on-trial (plant.yaml:49): sig_missing") in lines
    assert lines[-1] == "plant.yaml: 34 cases, 0 failed; 3 of 3 rules reached, 6 of 6 signature checks"
    text = (signatures / "plant.yaml").read_text()
    text = text.replace("      - receive dt/a/checked/t signed=ops-1 by delivered\n", "")
    (signatures / "plant.yaml").write_text(text)
    lines = run(signatures, "test", "plant.yaml").stdout.splitlines()
    assert lines[-2] == "refused nothing in any test: delivered (plant.yaml:54)"
    assert lines[-1] == "plant.yaml: 33 cases, 0 failed; 3 of 3 rules reached, 5 of 6 signature checks"
    policy, = json.loads(run(signatures, "test", "--json", "plant.yaml").stdout)["policies"]
    assert policy["signature_checks"] == 6
    assert policy["unreached_checks"] == [{"name": "delivered", "location": "plant.yaml:54"}]
    denied = next(result for result in policy["results"] if result["act"] == "publish dt/a/t")
    assert (denied["reason"], denied["rule"]["name"], denied["allowed_by"]["name"]) == (
        "sig_missing", "signed-telemetry", "telemetry")


def explain_plant(folder, words, *options):
    return run(folder, "explain", "-p", "plant.yaml", *options, "as", *words.split()).stdout


def test_an_explanation_has_what_a_check_demands_and_why_it_refuses(signatures):
    output = explain_plant(signatures, "cert plc-7 site=a publish dt/a/t signed=m25a:plc-8")
    assert ("verdict   denied by signed-telemetry (plant.yaml:25): sig_identity\n"
            "          the signer is neither the client nor somebody whom it may relay\n"
            "rules: decided\n"
            "  allow telemetry (plant.yaml:12)\n") in output
    assert output.endswith(
        "checks: what it is to pass, too\n"
        "  signed-telemetry (plant.yaml:25): signature: {keys: [m25a], max_age: 1d, skew: 2m, replay: seq, "
        "store_down: local, forward: strip, relay: {gateways: [plc-*, pump:*], devices: [twin]}}\n"
        "    refuses it: sig_identity, the signer is neither the client nor somebody whom it may relay\n")
    output = explain_plant(signatures, "cert plc-7 site=a publish free/x")
    assert "    would refuse it: sig_missing, the payload has no signature\n" in output
    output = explain_plant(signatures, "cert plc-7 site=a publish dt/a/t signed=m25a")
    assert "verdict   allowed by telemetry (plant.yaml:12)\n" in output
    assert "refuse it" not in output and "refuses" not in output


def test_an_explanation_of_a_signature_as_json(signatures):
    explained = json.loads(explain_plant(signatures, "password eva receive st/a/plc-7", "--json"))
    assert explained["verdict"]["reason"] == "sig_missing"
    assert explained["verdict"]["rule"]["name"] == "signed-status"
    assert explained["verdict"]["allowed_by"]["name"] == "operate"
    assert [(check["name"], check["reason"]) for check in explained["checks"]] == [("signed-status", "sig_missing")]
    explained = json.loads(explain_plant(signatures, "password eva receive st/a/plc-7 signed=m25a:plc-7", "--json"))
    assert (explained["verdict"]["allowed"], explained["verdict"]["allowed_by"]) == (True, None)
    assert [check["reason"] for check in explained["checks"]] == [None]


RECEIVER_KEY = """\
checks:
  - check: signed
    topics: [a/#]
    signature: {keys: [m25a, ops-1], forward: resign, receiver_key: KID}
"""


@pytest.mark.parametrize("kid, finding", (
    ("m25a", None),
    ("ops-1", "69: error: 'ops-1' is no master in keys.yaml"),
    ("m25b", "69: error: no key has the kid 'm25b' in keys.yaml"),
))
def test_receivers_get_keys_of_a_master_of_the_configuration(folder, kid, finding):
    Keys(folder.path).add("m25a").add("ops-1", ", sub: eva", kind="static").write()
    folder.configuration += "keys: keys.yaml\n"
    folder.policy += RECEIVER_KEY.replace("KID", kid)
    path = os.path.join(folder.path, "mqward.yaml")
    checked = folder.run()
    tested = run(folder.path, "test", "-c", path, status=finding is not None)
    for result in (checked, tested):
        assert (result.returncode, finding is None or finding in result.stderr) == (finding is not None, True)
    # Alone, a policy may name what it likes.
    run(folder.path, "test", "policy.yaml")


def test_a_configuration_without_keys_says_so(folder):
    folder.policy += RECEIVER_KEY.replace("KID", "m25a")
    result = folder.run()
    assert result.returncode == 1
    assert "no key has the kid 'm25a' in keys.yaml" in result.stderr
    assert "hint: mqward.yaml names the file of keys with 'keys: keys.yaml'" in result.stderr


# ---- YARA ----

def test_a_check_that_finds_nothing_in_any_case_is_told(scans):
    lines = run(scans, "test", "plant.yaml").stdout.splitlines()
    assert ("ok      as cert plc-7 site=a: publish dt/a/t matches=iot: denied by malware (plant.yaml:26): "
            "payload_matched") in lines
    assert ("ok      as cert plc-7 site=a: publish free/x matches=iot: allowed by telemetry (plant.yaml:12), "
            "reported by watched (plant.yaml:49)") in lines
    total = "3 of 3 rules reached, 1 of 1 signature check"
    assert lines[-1] == f"plant.yaml: 19 cases, 0 failed; {total}, 7 of 7 YARA checks"
    text = (scans / "plant.yaml").read_text()
    (scans / "plant.yaml").write_text(re.sub(r".*(publish free/x|by unnoticed).*\n", "", text))
    lines = run(scans, "test", "plant.yaml").stdout.splitlines()
    assert lines[-3] == "refused nothing in any test: unnoticed (plant.yaml:44)"
    assert lines[-2] == "refused nothing in any test: watched (plant.yaml:49)"
    assert lines[-1] == f"plant.yaml: 16 cases, 0 failed; {total}, 5 of 7 YARA checks"
    policy, = json.loads(run(scans, "test", "--json", "plant.yaml").stdout)["policies"]
    assert (policy["signature_checks"], policy["yara_checks"]) == (1, 7)
    assert [check["name"] for check in policy["unreached_checks"]] == ["unnoticed", "watched"]
    reported = next(result for result in policy["results"] if result["reported_by"] is not None)
    assert (reported["allowed"], reported["reported_by"]["name"]) == (True, "counted")


def test_an_explanation_has_what_is_scanned_and_what_follows(scans):
    output = explain_plant(scans, "cert plc-7 site=a publish dt/a/t matches=iot")
    assert ("verdict   denied by malware (plant.yaml:26): payload_matched\n"
            "          a rule has found something in the payload\n") in output
    assert output.endswith(
        "checks: what it is to pass, too\n"
        "  malware (plant.yaml:26): yara: {rules: [iot], max_scan: 256KiB, views: all, timeout: 50ms, on_match: reject, "
        "on_error: reject, reason_code: payload_format_invalid}\n"
        "    refuses it: payload_matched, a rule has found something in the payload\n")
    assert "    reports it: payload_matched, " in explain_plant(scans, "cert plc-7 site=a publish free/x matches=iot")
    output = explain_plant(scans, "cert plc-7 site=a publish free/new/x matches=packers")
    assert "    would refuse it: payload_matched, " in output
    assert "payload_matched" not in explain_plant(scans, "cert plc-7 site=a publish dt/a/t")
    explained = json.loads(explain_plant(scans, "cert plc-7 site=a publish free/x matches=iot", "--json"))
    assert (explained["verdict"]["allowed"], explained["verdict"]["reported_by"]["name"]) == (True, "watched")
    assert [(check["name"], check["reason"], check["reports"]) for check in explained["checks"]] == [
        ("watched", "payload_matched", True), ("counted", None, True)]


@pytest.mark.parametrize("name, finding", (
    ("iot", None),
    ("iott", "error: mqward.yaml defines no rule set 'iott'"),
))
def test_a_policy_names_rule_sets_of_the_configuration(folder, name, finding):
    with open(os.path.join(folder.path, "iot.yar"), "w", encoding="ascii") as file:
        file.write('rule eicar { strings: $a = "EICAR-STANDARD" condition: $a }\n')
    folder.configuration += "rules: {iot: {files: [iot.yar]}}\n"
    folder.policy += f"checks:\n  - {{check: malware, topics: [a/#], yara: {{rules: [{name}]}}}}\n"
    path = os.path.join(folder.path, "mqward.yaml")
    checked = folder.run()
    tested = run(folder.path, "test", "-c", path, status=finding is not None)
    for result in (checked, tested):
        assert (result.returncode, finding is None or finding in result.stderr) == (finding is not None, True)
    # Alone, a policy may name what it likes.
    run(folder.path, "test", "policy.yaml")


# ---- from audit records ----

RECORD = {
    "event": {"action": "mqtt-publish-denied", "reason": "no_allow"},
    "client": {"ip": "10.20.1.5"},
    "tls": {"client": {"subject": "CN=plc-7,OU=a\\,b,O=Plant"}},
    "user": {"name": "plc-7", "roles": ["devices"]},
    "mqtt": {"client_id": "plc-7", "topic": "dt/a/plc-7/t", "qos": 2, "retained": False, "payload": {"bytes": 12}},
    "mqward": {"identity_source": "cert", "upstream": "main"},
    "rule": {"id": "default-deny"},
}


def changed(**changes):
    record = json.loads(json.dumps(RECORD))
    for path, value in changes.items():
        *outer, last = path.split("__")
        inner = record
        for key in outer:
            inner = inner[key]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return json.dumps(record)


def explain_record(folder, record, *words, status=0):
    (folder / "record.json").write_text(record)
    return run(folder, "explain", "-p", "plant.yaml", "--event", "record.json", *words, status=status)


def test_a_record_is_explained_under_the_present_policy(policies):
    lines = explain_record(policies, changed()).stdout.splitlines()
    assert lines[0] == "record    mqtt-publish-denied, no_allow, default-deny"
    assert lines[1] == "as        cert plc-7 client_id=plc-7 address=10.20.1.5 attrs.site=a,b"
    assert lines[2] == "act       publish dt/a/plc-7/t qos=2 retain=false size=12"
    assert "verdict   denied: no_allow" in lines


def test_a_record_may_come_through_a_pipe(policies):
    command = [binary(), "policy", "explain", "-p", "plant.yaml", "--event", "-"]
    result = subprocess.run(command, cwd=policies, timeout=60, input=changed() + "\n", text=True, capture_output=True,
                            check=True)
    assert "act       publish dt/a/plc-7/t qos=2 retain=false size=12\n" in result.stdout


def test_a_record_that_is_not_there_is_a_finding(policies):
    assert "nowhere.json" in run(policies, "explain", "-p", "plant.yaml", "-e", "nowhere.json", status=1).stderr


def test_words_add_to_a_record_and_win_over_it(policies):
    output = explain_record(policies, changed(mqtt__qos=1), "site=a").stdout
    assert "as        cert plc-7 site=a client_id=plc-7 address=10.20.1.5\n" in output
    assert "verdict   allowed by telemetry (plant.yaml:15)\n" in output


@pytest.mark.parametrize("changes, lack", (
    ({"tls__client__subject": None}, "the attribute 'site' (ou); give it with 'site=...'"),
    ({"tls__client__subject": "CN=plc-7,OU=a,OU=b"}, "which ou is the attribute 'site': the certificate has several"),
    ({"tls__client__subject": "CN=plc-7,OU=a\u2026"}, "the attribute 'site' (ou); give it with 'site=...'"),
    ({"mqtt__payload": None}, "the size of the payload: taken as 0"),
    ({"mqtt__topic": "dt/a/\u2026"}, "mqtt.topic is cut in the record"),
    ({"mqtt__topic": "$SYS/a"}, "the broker's dialect: -c with the mqward.yaml that has upstream 'main' says it"),
    ({"event__action": "mqtt-connect-refused", "mqward__detail": "will"},
     "the will that was refused: explain the event of the same session that is about it"),
))
def test_what_a_record_lacks_is_said(policies, changes, lack):
    assert f"lacks     {lack}\n" in explain_record(policies, changed(**changes)).stdout


def test_what_a_client_chose_does_not_reach_the_terminal(policies):
    topic = "a\n\x1b[2Jverdict   allowed\u202e\u009b"
    lines = explain_record(policies, changed(mqtt__topic=topic), "site=a").stdout.split("\n")
    assert [line for line in lines if line.startswith("verdict")] == ["verdict   denied: no_allow"]
    assert 'act       publish "a??[2Jverdict   allowed??" qos=2 retain=false size=12' in lines
    assert "event.action is 'a??[2J'" in explain_record(policies, changed(event__action="a\n\x1b[2J"), status=1).stderr


def test_what_a_policy_says_does_not_reach_the_terminal_as_it_is(policies):
    hostile = FAILING.replace("a&b <c>", "a\\u202eb").replace("failing", "hostile").replace("'publish \"dt/a/", '"publish \\"dt/a/').replace(
        "/t\" qos=2'", '/t\\" qos=2"').replace('cert "a', '"cert \\"a').replace('b" site=a', 'b\\" site=a"')
    (policies / "x\x1b[2J.yaml").write_text(hostile)
    output = run(policies, "test", "x\x1b[2J.yaml", status=1).stdout
    assert 'as cert "a?b" site=a: publish "dt/a/a?b/t" qos=2: denied' in output and "(x?[2J.yaml:10)" in output
    assert not set("\x1b\u202e") & set(output)


@pytest.mark.parametrize("arguments", (["schema"], ["test", "plant.yaml"], ["test", "--json", "plant.yaml"],
                                       ["explain", "-p", "plant.yaml", "as", "cert", "plc-7", "site=a", "connect"]), ids=" ".join)
def test_output_that_can_not_be_written_is_no_success(policies, arguments):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([binary(), "policy", *arguments], cwd=policies, timeout=60, text=True, stdout=full, stderr=subprocess.PIPE,
                                check=False)
    assert result.returncode == 1 and "standard output can't be written: No space left on device" in result.stderr


def test_an_identity_that_looks_like_words_is_no_word(policies):
    output = explain_record(policies, changed(user__name="plc-7 site=b")).stdout
    assert 'as        cert "plc-7 site=b" client_id=plc-7 address=10.20.1.5 attrs.site=a,b\n' in output


@pytest.mark.parametrize("action, topic, act", (
    ("mqtt-connect-refused", None, "connect"),
    ("mqtt-subscribe-denied", "dt/#", "subscribe dt/# qos=2"),
    ("mqtt-delivery-filtered", "dt/a/x/secret/k", "receive dt/a/x/secret/k"),
    ("mqtt-will-denied", "st/a/x", "will st/a/x qos=2 retain=false size=12"),
))
def test_each_action_is_an_act(policies, action, topic, act):
    record = changed(event__action=action, mqtt__topic=topic)
    assert f"act       {act}\n" in explain_record(policies, record, "site=a").stdout


@pytest.mark.parametrize("packet, act", (("publish", "publish dt/a/plc-7/t qos=2 retain=false size=12"), ("connect", "connect")))
def test_what_a_rate_refused_is_an_act(policies, packet, act):
    record = changed(event__action="rate-limited", event__reason="rate_exceeded", mqtt__packet=packet)
    assert f"act       {act}\n" in explain_record(policies, record, "site=a").stdout


def signature_record(reason, kid="m25a", signer="plc-8", **changes):
    signature = {"kid": kid, "signer": signer} if kid else {}
    changes = {"event__action": "mqtt-signature-rejected", "mqtt__topic": "dt/a/t", "mqtt__packet": "publish",
               "tls__client__subject": "CN=plc-7,OU=a", **changes}
    record = json.loads(changed(event__reason=reason, **changes))
    record["rule"] = {"id": "signed-telemetry"}
    record["mqward"].update(rule_line="policy.yaml:25", signature=signature)
    return json.dumps(record)


def test_a_rejected_signature_is_explained(signatures):
    lines = explain_record(signatures, signature_record("sig_identity")).stdout.splitlines()
    assert lines[:3] == ["record    mqtt-signature-rejected, sig_identity, signed-telemetry (policy.yaml:25)",
                         "as        cert plc-7 client_id=plc-7 address=10.20.1.5 attrs.site=a",
                         "act       publish dt/a/t qos=2 retain=false size=12 signed=m25a:plc-8"]
    assert "verdict   denied by signed-telemetry (plant.yaml:25): sig_identity" in lines
    assert not any(line.startswith("lacks") for line in lines)
    lines = explain_record(signatures, signature_record("sig_missing", kid=None)).stdout.splitlines()
    assert lines[2] == "act       publish dt/a/t qos=2 retain=false size=12"
    assert "verdict   denied by signed-telemetry (plant.yaml:25): sig_missing" in lines
    assert not any(line.startswith("lacks") for line in lines)


@pytest.mark.parametrize("reason, kid, act, lacks", (
    ("sig_replay", "m25a", " signed=m25a:plc-7",
     ["what a policy does not know, the signature itself (sig_replay): taken as valid, fresh and new"]),
    ("sig_malformed", None, "",
     ["the key and the signer, which could not be read: taken as not signed",
      "what a policy does not know, the signature itself (sig_malformed): taken as valid, fresh and new"]),
    ("sig_invalid", "a b\n", "",
     ["the key and the signer, which could not be read: taken as not signed",
      "what a policy does not know, the signature itself (sig_invalid): taken as valid, fresh and new"]),
))
def test_what_a_policy_does_not_know_of_a_signature_is_said(signatures, reason, kid, act, lacks):
    record = signature_record(reason, kid=kid, signer="plc-7")
    lines = explain_record(signatures, record).stdout.splitlines()
    assert [line[10:] for line in lines if line.startswith("lacks")] == lacks
    assert f"act       publish dt/a/t qos=2 retain=false size=12{act}" in lines


@pytest.mark.parametrize("changes, act", (
    ({"mqtt__packet": "connect"}, "will dt/a/t qos=2 retain=false size=12 signed=m25a:plc-8"),
    ({"network": {"direction": "inbound"}}, "publish dt/a/t qos=2 retain=false size=12 signed=m25a:plc-8"),
    ({"network": {"direction": "outbound"}}, "receive dt/a/t signed=m25a:plc-8"),
))
def test_a_rejected_signature_is_of_a_will_a_publish_or_a_delivery(signatures, changes, act):
    assert f"act       {act}\n" in explain_record(signatures, signature_record("sig_identity", **changes)).stdout


def test_a_denied_response_topic_is_about_receiving_it(policies):
    record = changed(event__reason="response_topic_denied", mqtt__response_topic="rsp/x")
    assert "act       receive rsp/x\n" in explain_record(policies, record, "site=a").stdout


@pytest.mark.parametrize("record, message", (
    ("", "not one JSON document"),
    ("{", "not one JSON document"),
    ("[]", "not a JSON object"),
    ("{}{}", "not one JSON document"),
    ("[" * 100000, "not one JSON document"),
    ("{}", "not a record of what a policy decides"),
    (changed(event__action="sink-down"), "event.action is 'sink-down'"),
    (changed(user=None), "it has no user.name"),
    (changed(mqward__identity_source=None), "it has no mqward.identity_source"),
    (changed(mqtt__topic=None), "the record has no mqtt.topic"),
    (changed(mqward__identity_source="anonymous"), "the policy has no identity source 'anonymous'"),
    (changed(mqtt__qos=7), "not a QoS: '7'"),
), ids=lambda value: value[:20])
def test_a_record_that_can_not_be_explained_is_a_finding(policies, record, message):
    assert message in explain_record(policies, record, status=1).stderr


def test_a_record_of_the_audit_trail_is_explained(make_world, tmp_path):
    world = make_world("version: 1\npolicy: who\nidentity:\n"
                       '  - cert: {ca: fleet, id: san.uri, strip: "urn:dev:", attrs: {site: ou}}\n'
                       "rules:\n  - {rule: own, who: everyone, allow: publish, topics: [dt/<site>/<id>/#]}\n")
    client_id = world.name()
    client = world.connected(client_id, certificate=world.certs.plc7)
    client.publish("fw/x", b"12345")
    event = world.audit.wait_for(action="mqtt-publish-denied", client_id=client_id)
    path = os.path.join(world.proxy.folder, "mqward.yaml")
    (tmp_path / "record.json").write_text(json.dumps(event))
    lines = run(tmp_path, "explain", "-c", path, "--event", "record.json").stdout.splitlines()
    assert lines[0] == "record    mqtt-publish-denied, no_allow, default-deny"
    assert lines[1] == (f"as        cert plc-7 client_id={client_id} address=127.0.0.1 dialect=mosquitto attrs.site=a")
    assert lines[2] == "act       publish fw/x qos=0 retain=false size=5"
    assert "verdict   denied: no_allow" in lines
    assert "  allow own (policy.yaml:6): topics are dt/a/plc-7/#" in lines

    # As the journal and the stream have it, byte for byte.
    journal = [line for path in glob.glob(os.path.join(world.proxy.folder, "audit", "**", "*.ndjson"), recursive=True)
               for line in open(path, encoding="utf-8") if "mqtt-publish-denied" in line]
    stream = subprocess.run(["redis-cli", "-p", str(world.redis.port), "--raw", "XREVRANGE", "mqward:audit", "+", "-"], timeout=60,
                            check=True, text=True, capture_output=True).stdout.splitlines()
    stream = [line for line in stream if "mqtt-publish-denied" in line]
    assert len(journal) == len(stream) == 1
    for text in (*journal, *stream):
        (tmp_path / "record.json").write_text(text)
        assert run(tmp_path, "explain", "-c", path, "--event", "record.json").stdout.splitlines() == lines


def test_records_of_rejected_signatures_are_explained(make_world, tmp_path):
    """As the running proxy writes them: what a policy knows of a signature is in the record."""
    world = signed_world(make_world, signed(), signed("at: receive", name="delivered", topics="end/#"))
    client, reader = user(world), user(world, "eva")
    reader.subscribe("end/#")
    path = os.path.join(world.proxy.folder, "mqward.yaml")

    def explained(reason, **fields):
        (tmp_path / "record.json").write_text(json.dumps(events(world, reason, **fields)[0]))
        return run(tmp_path, "explain", "-c", path, "--event", "record.json").stdout.splitlines()

    place = f"signed ({world.line('check: signed')})"
    publish(client, PLC8.sign("dt/x", b"12345"), code=REFUSED)
    lines = explained("sig_identity")
    assert lines[0] == f"record    mqtt-signature-rejected, sig_identity, {place}"
    act = re.compile(r"act       publish dt/x qos=1 retain=false size=\d+ signed=m25a:plc-8")
    assert any(act.fullmatch(line) for line in lines)
    assert f"verdict   denied by {place}: sig_identity" in lines
    assert not any(line.startswith("lacks") for line in lines)

    client.publish("dt/x", b"12345", 1, REFUSED)
    lines = explained("sig_missing")
    assert "act       publish dt/x qos=1 retain=false size=5" in lines
    assert f"verdict   denied by {place}: sig_missing" in lines

    publish(client, PLC7.sign("dt/x", b"forged", key=bytes(32)), code=REFUSED)
    lines = explained("sig_invalid")
    assert ("lacks     what a policy does not know, the signature itself (sig_invalid): "
            "taken as valid, fresh and new") in lines
    assert any(line.startswith("verdict   allowed by all") for line in lines)

    publish(client, EVA.sign("end/x", b"12345"))
    lines = explained("sig_key_unknown", action="mqtt-delivery-filtered")
    assert "act       receive end/x signed=ops-1:eva" in lines
    assert f"verdict   denied by delivered ({world.line('check: delivered')}): sig_key_unknown" in lines


def found(**changes):
    """The record of a finding in what plc-7 publishes to dt/a/t."""
    record = json.loads(
        changed(mqtt__topic="dt/a/t", event__action="mqtt-payload-blocked", event__reason="payload_matched"))
    del record["rule"]["id"]
    record["rule"] = {"ruleset": "iot", "name": "eicar", "category": "yara"}
    record["mqtt"]["packet"] = "publish"
    record["network"] = {"direction": "inbound"}
    record["mqward"] |= {"check": "malware", "rule_line": "plant.yaml:26",
                         "yara": {"rules": ["eicar"], "namespaces": ["iot"]}}
    record["mqward"]["yara"] |= changes.pop("yara", {})
    for path, value in changes.items():
        outer, last = path.split("__")
        record[outer][last] = value
    return json.dumps(record)


@pytest.mark.parametrize("changes, act, verdict", (
    ({}, "publish dt/a/t qos=2 retain=false size=12 matches=iot", "denied by malware (plant.yaml:26): payload_matched"),
    ({"yara": {"namespaces": ["iot", "packers"]}}, "publish dt/a/t qos=2 retain=false size=12 matches=iot,packers",
     "denied by malware (plant.yaml:26): payload_matched"),
    ({"yara": {"namespaces": ["gone"]}}, "publish dt/a/t qos=2 retain=false size=12 matches=gone",
     "allowed by telemetry (plant.yaml:12)"),
    ({"mqtt__packet": "connect"}, "will dt/a/t qos=2 retain=false size=12 matches=iot",
     "denied by malware (plant.yaml:26): payload_matched"),
    ({"network__direction": "outbound", "mqtt__topic": "cmd/a/x"}, "receive cmd/a/x matches=iot",
     "denied by commands (plant.yaml:29): payload_matched"),
))
def test_a_record_of_a_finding_has_the_rule_sets(scans, changes, act, verdict):
    output = explain_record(scans, found(**changes), "site=a").stdout
    assert output.startswith("record    mqtt-payload-blocked, payload_matched, malware (plant.yaml:26)\n")
    assert f"act       {act}\n" in output and f"verdict   {verdict}\n" in output


@pytest.mark.parametrize("changes, lack", (
    ({"yara": {"namespaces": None}}, "the rule sets that found something: taken as clean"),
    ({"yara": {"namespaces": ["a b", 7, "\x1b[2J", ""]}}, "the rule sets that found something: taken as clean"),
    ({"event__action": "mqtt-scan-failed", "event__reason": "scan_incomplete", "yara": {"namespaces": []}},
     "what a policy does not know, how the scan ended (scan_incomplete): taken as scanned to its end"),
    ({"event__action": "mqtt-scan-failed", "event__reason": "scan_failed"},
     "what a policy does not know, how the scan ended (scan_failed): taken as scanned to its end"),
))
def test_what_a_record_of_a_scan_lacks_is_said(scans, changes, lack):
    assert f"lacks     {lack}\n" in explain_record(scans, found(**changes), "site=a").stdout


# ---- the command line ----

@pytest.mark.parametrize("arguments", (["policy"], ["policy", "tset"], ["policy", "explain", "--event"],
                                       ["policy", "explain", "-c", "a", "-p", "b", "as", "x"],
                                       ["policy", "explain", "-e", "-", "word"],
                                       ["policy", "test", "a.yaml", "--junit", "out.xml"]), ids=" ".join)
def test_a_wrong_command_line_ends_with_2(tmp_path, arguments):
    result = run_cli(*arguments, folder=tmp_path)
    assert result.returncode == 2 and result.stderr


@pytest.mark.parametrize("arguments", (["policy", "--help"], ["help", "policy"], ["policy", "test", "--help"],
                                       ["help", "policy", "explain"]), ids=" ".join)
def test_help_of_the_verbs(tmp_path, arguments):
    result = run_cli(*arguments, folder=tmp_path)
    assert result.returncode == 0 and "policy" in result.stdout
    if "policy" == arguments[-1] or arguments == ["policy", "--help"]:
        assert "policy test" in result.stdout and "policy explain" in result.stdout
