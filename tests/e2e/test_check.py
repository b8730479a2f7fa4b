# SPDX-License-Identifier: Apache-2.0
"""The command line: check, help, version, usage; every error of a configuration in one run."""
import json
import os
import re

import pytest

from servers import run_cli
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless


class Folder:
    """A folder with a mqward.yaml and a policy.yaml."""

    def __init__(self, path, certs):
        self.path = str(path)
        self.configuration = f"""\
version: 1
workers: 1
policy: policy.yaml
listeners:
  - name: devices
    address: 127.0.0.1:0
    tls:
      certificate: {certs.server[0]}
      key: {certs.server[1]}
      client_certificate: optional
      client_ca: [fleet]
upstreams:
  - name: main
    address: 127.0.0.1:1883
cas: {{fleet: {certs.fleet_ca.path}}}
audit:
  directory: audit
  sinks:
    - name: siem
      redis: {{address: "127.0.0.1:6379"}}
"""
        self.policy = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["a/#"]')

    def replace(self, old, new):
        assert old in self.configuration + self.policy, f"{old!r} is in neither file"
        self.configuration = self.configuration.replace(old, new)
        self.policy = self.policy.replace(old, new)
        return self

    def run(self, command="check", *arguments):
        for name, text in (("mqward.yaml", self.configuration), ("policy.yaml", self.policy)):
            with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
                file.write(text)
        return run_cli(command, "-c", os.path.join(self.path, "mqward.yaml"), *arguments, folder=self.path)


@pytest.fixture
def folder(tmp_path, certs):
    return Folder(tmp_path, certs)


def test_a_good_configuration_is_accepted(folder):
    result = folder.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert not os.path.exists(os.path.join(folder.path, "audit")), "check must change nothing"


def test_a_good_configuration_as_json(folder):
    result = folder.run("check", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout) is not None


BAD = {
    # name: (old, new, file, expected in the message)
    "an unknown key": ("workers: 1", "wokers: 1", "mqward.yaml", "workers"),
    "a listener without TLS that does not say so": ("    tls:\n", "    tsl:\n", "mqward.yaml", "tls"),
    "an address without a port": ("address: 127.0.0.1:0", "address: 127.0.0.1", "mqward.yaml", "port"),
    "a number out of range": ("workers: 1", "workers: 300", "mqward.yaml", "256"),
    "a word that YAML takes for a boolean": ("name: devices", "name: yes", "mqward.yaml", "quote"),
    "an anchor": ("name: devices", "name: &a devices", "mqward.yaml", "anchor"),
    "a tag": ("name: devices", "name: !!str devices", "mqward.yaml", "tag"),
    "a key twice": ("workers: 1", "workers: 1\nworkers: 2", "mqward.yaml", "workers"),
    "an unknown CA": ("client_ca: [fleet]", "client_ca: [fleets]", "mqward.yaml", "did you mean 'fleet'"),
    "a client certificate without a CA": ("      client_ca: [fleet]\n", "", "mqward.yaml", "client_ca"),
    "a missing certificate file": ("certificate: /", "certificate: /nowhere/", "mqward.yaml", "nowhere"),
    "on_full": ("  directory: audit", "  directory: audit\n  on_full: deni", "mqward.yaml", "did you mean 'deny'"),
    "proxy protocol": ("    tls:\n", "    proxy_protocol: true\n    tls:\n", "mqward.yaml", "not supported"),
    "a missing policy": ("policy: policy.yaml", "policy: polici.yaml", "mqward.yaml", "polici.yaml"),
    "a token source without its keys": ("  - anonymous: {id: anonymous}", "  - jwt: {in: password}", "policy.yaml", "'jwks'"),
    "a YARA check without rules": ("audit:\n  directory", None, "policy.yaml", "no rule set 'iot'"),
    "an unknown group": ("who: everyone", "who: operatros", "policy.yaml", "operatros"),
    "a bad filter": ('topics: ["a/#"]', 'topics: ["a#"]', "policy.yaml", "a#"),
    "a second wildcard level": ('topics: ["a/#"]', 'topics: ["a/#/b"]', "policy.yaml", "#"),
    "an unknown operation": ("allow: [publish, subscribe]", "allow: [publich]", "policy.yaml", "publish"),
    "an unknown placeholder": ('topics: ["a/#"]', 'topics: ["a/<idd>"]', "policy.yaml", "idd"),
    "a bad mode": ("mode: enforce", "mode: enforced", "policy.yaml", "enforce"),
    "a version of the future": ("version: 1\npolicy: allow-all", "version: 2\npolicy: allow-all", "policy.yaml", "version"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_has_file_line_caret_and_advice(folder, name):
    old, new, file, wanted = BAD[name]
    if new is None:
        folder.policy += "checks:\n  - check: malware\n    topics: [a/#]\n    yara: {rules: [iot]}\n"
    else:
        folder.replace(old, new)
    result = folder.run()
    output = result.stdout + result.stderr
    assert result.returncode == 1, output
    assert re.search(rf"{re.escape(file)}:\d+:\d+: error: ", output), output
    assert wanted in output, output
    assert re.search(r"^ *(\d* *\| *)?\^~*", output, re.M), output
    assert folder.run("run").returncode == 1, "run accepts what check refuses"


def test_errors_and_warnings_of_rules_have_file_and_line(folder):
    """Those of all rule sets in one run, beside those of other files."""
    folder.configuration += "rules:\n  iot: [a.yar, b.yar]\n  more: {files: c.yar, allow_slow: true}\n"
    folder.replace("mode: enforce", "mode: maybe")
    rules = {"a.yar": 'rule a\n{\n    condition:\n        $b\n}\n',
             "b.yar": 'import "pe"\nrule b { strings: $a = /[a-z]+.*b/ condition: $a }\n',
             "c.yar": "rule c\n{\n    strings:\n        $a = /.{1,3}a/\n    condition:\n        $a\n}\n"}
    for name, text in rules.items():
        with open(os.path.join(folder.path, name), "w", encoding="utf-8") as file:
            file.write(text)
    result = folder.run()
    assert result.returncode == 1
    found = re.findall(r"^(?:\S*/)?(\S+?):(\d+):\d+: (error|warning): (.*)$", result.stdout + result.stderr, re.M)
    places = {(file, int(line), severity) for file, line, severity, _ in found}
    assert {("a.yar", 5, "error"), ("b.yar", 1, "error"), ("c.yar", 4, "warning")} <= places, result.stderr
    assert "policy.yaml" in {file for file, *_ in found}


def test_the_shipped_rules_are_accepted_as_the_manual_names_them(folder):
    library = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "rules", "library")
    folder.configuration += f"rules: {{shipped: {library}, personal: {library}/personal, strict: {library}/strict}}\n"
    folder.policy += "checks:\n  - check: malware\n    topics: [a/#]\n    yara: {rules: [shipped, personal]}\n"
    result = folder.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no rule set" not in result.stderr and ".yar" not in result.stderr, "no finding about the rules"


def test_all_errors_are_reported_in_one_run(folder):
    folder.replace("workers: 1", "workers: many").replace("client_ca: [fleet]", "client_ca: [nobody]")
    folder.replace("who: everyone", "who: nobody").replace("mode: enforce", "mode: maybe").replace('["a/#"]', '["a/#b"]')
    result = folder.run()
    assert result.returncode == 1
    errors = re.findall(r"^\S+:\d+:\d+: error: .*$", result.stdout + result.stderr, re.M)
    assert len(errors) >= 5, errors
    assert {re.sub(r".*/", "", error.split(":")[0]) for error in errors} == {"mqward.yaml", "policy.yaml"}


def test_errors_as_json(folder):
    folder.replace("workers: 1", "wokers: 1").replace("mode: enforce", "mode: maybe")
    result = folder.run("check", "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    found = document if isinstance(document, list) else next(value for value in document.values() if isinstance(value, list))
    assert len(found) >= 2
    for item in found:
        assert {"severity", "file", "line", "column", "message"} <= set(item)
    assert any("workers" in str(item.get("hint")) for item in found)


def test_a_lint_is_shown_and_is_not_an_error(folder):
    folder.replace('topics: ["a/#"]', 'topics: ["#"]')
    result = folder.run()
    assert "warning: " in result.stdout + result.stderr
    assert result.returncode in (0, 1)


def test_hostile_files_are_errors_not_crashes(folder, tmp_path):
    for text in ("", "\0", "[" * 10000, "a: " * 5000, "version: 1\n" * 3, "\xff\xfe", "- 1", "{a: {b: {c: " * 200, "? !!x y\n: z", "%YAML 9.9"):
        folder.configuration = text
        result = folder.run()
        assert result.returncode == 1, repr(text[:40])
        assert "error: " in result.stdout + result.stderr


def test_a_key_that_is_not_the_certificates_is_found(folder, certs):
    folder.replace(certs.server[1], certs.plc7[1])
    result = folder.run()
    assert result.returncode == 1, result.stdout + result.stderr
    assert "key" in result.stdout + result.stderr


# ---- usage ----

@pytest.mark.parametrize("arguments", (["--help"], ["help"], ["help", "run"], ["help", "check"], ["run", "--help"], ["check", "--help"]),
                         ids=" ".join)
def test_help_goes_to_stdout_and_ends_with_0(tmp_path, arguments):
    result = run_cli(*arguments, folder=tmp_path)
    assert result.returncode == 0
    assert "mqward" in result.stdout and result.stderr == ""


def test_help_lists_every_subcommand(tmp_path):
    text = run_cli("--help", folder=tmp_path).stdout
    for word in ("run", "check", "--version"):
        assert word in text


def test_the_version(tmp_path):
    result = run_cli("--version", folder=tmp_path)
    assert result.returncode == 0
    assert re.fullmatch(r"mqward \d+\.\d+\.\d+\S*\n", result.stdout)


@pytest.mark.parametrize("arguments", ([], ["--nonsense"], ["nonsense"], ["check", "-c"], ["run", "--nonsense"],
                                       ["check", "-c", "a", "b"], ["help", "nonsense"]), ids=lambda value: " ".join(value) or "none")
def test_a_wrong_command_line_ends_with_2(tmp_path, arguments):
    result = run_cli(*arguments, folder=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stderr


def test_an_unknown_subcommand_gets_a_suggestion(tmp_path):
    assert "check" in run_cli("chekc", folder=tmp_path).stderr


def test_a_missing_configuration_is_a_finding(tmp_path):
    result = run_cli("check", "-c", "nowhere.yaml", folder=tmp_path)
    assert result.returncode == 1
    assert "nowhere.yaml" in result.stdout + result.stderr
