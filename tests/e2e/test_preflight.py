# SPDX-License-Identifier: Apache-2.0
"""What 'mqward run' would not start with, or would never deliver to, 'mqward check' says before, with its place."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml

from servers import binary, run_cli
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless

REDIS = {"address": "127.0.0.1:1"}
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["a/#"]')  # of which no lint is told
KAFKA = {"brokers": "127.0.0.1:1"}
SYSLOG = {"address": "127.0.0.1:1"}
SENTINEL = {"addresses": ["127.0.0.1:1"], "master": "m"}


class Place:
    """A folder with a configuration that starts, and files of which some are no good."""

    def __init__(self, path, certs):
        self.path = str(path)
        self.configuration = {
            "version": 1, "workers": 1, "policy": "policy.yaml",
            "cas": {"none": "none.pem", "good": certs.server_ca.path},
            "listeners": [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True}],
            "upstreams": [{"name": "main", "address": "127.0.0.1:1"}], "audit": {"directory": "audit"}}
        self.write("policy.yaml", POLICY)
        self.write("open.pass", "s3cret\n", 0o644)
        self.write("good.pass", "s3cret\n")
        self.write("file", "")
        for name, mode in (("open", 0o777), ("sticky", 0o1777), ("group", 0o770), ("shut", 0o755)):
            os.mkdir(os.path.join(self.path, name))
            os.chmod(os.path.join(self.path, name), mode)
        shutil.copy(certs.server[0], os.path.join(self.path, "server.pem"))

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def set(self, change):
        for key, value in change.items():
            if key == "sink":
                self.configuration["audit"].setdefault("sinks", []).append({"name": "siem", **value})
            elif key == "audit":
                self.configuration["audit"] |= value
            else:
                self.configuration[key] = value
        return self

    def run(self, command="check", *options, mode=0o600):
        self.write("mqward.yaml", yaml.safe_dump(self.configuration), mode)
        return run_cli(command, "-c", "mqward.yaml", *options, folder=self.path)

    def names(self):
        return sorted(os.path.join(folder, name) for folder, folders, files in os.walk(self.path)
                      for name in folders + files)


@pytest.fixture
def place(tmp_path, certs):
    return Place(tmp_path, certs)


def findings(result, severity):
    return re.findall(rf"^mqward\.yaml:\d+:\d+: {severity}: (.*)$", result.stderr, re.M)


def test_what_starts_has_no_findings_and_nothing_is_made(place):
    place.set({"audit": {"chain": {"signing_key": "./audit/own.key"}}})  # in a folder that is made, too
    place.set({"control": {"socket": "shut/control.sock"}, "admin": {"listen": "127.0.0.1:0"},
               "scan": {"quarantine": {"directory": "held"}}, "sink": {"file": {"path": "shut/audit.ndjson"}}})
    place.set({"sink": {"kafka": {**KAFKA, "tls": {"ca": "good"},
                                  "sasl": {"username": "u", "password_file": "good.pass"},
                                  "properties": {"linger.ms": 10, "ssl.cipher.suites": "HIGH:!aNULL"}}}})
    place.configuration["audit"]["sinks"][1]["name"] = "kafka"
    place.write("mqward.yaml", "")
    before = place.names()
    result = place.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "mqward.yaml: 0 errors, 0 warnings\n", result.stderr
    assert place.names() == before


REFUSED = {
    # what: (change, what is said)
    "the password of Redis is open to others": (
        {"sink": {"redis": {**REDIS, "password_file": "open.pass"}}}, "sink 'siem': .*open.pass.*open to other users"),
    "the password of Redis is missing": (
        {"sink": {"redis": {**REDIS, "password_file": "none.pass"}}}, "none.pass.*No such file"),
    "the password of sentinels is missing": (
        {"sink": {"redis": {"sentinel": {**SENTINEL, "password_file": "none.pass"}}}}, "none.pass.*No such file"),
    "the password of the replay store is open to others": (
        {"replay": {"redis": {**REDIS, "password_file": "open.pass"}}},
        "replay.redis: .*open.pass.*open to other users"),
    "the authorities of Redis are missing": (
        {"sink": {"redis": {**REDIS, "tls": {"ca": "none"}}}}, "sink 'siem': .*none.pem"),
    "the certificate for syslog is missing": (
        {"sink": {"syslog": {**SYSLOG, "tls": {"certificate": "none.pem", "key": "none.key"}}}},
        "sink 'siem': .*none.pem"),
    "the key for syslog is missing": (
        {"sink": {"syslog": {**SYSLOG, "tls": {"certificate": "server.pem", "key": "none.key"}}}},
        "sink 'siem': .*none.key"),
    "the password of Kafka is open to others": (
        {"sink": {"kafka": {**KAFKA, "sasl": {"username": "u", "password_file": "open.pass"}}}},
        "open.pass.*open to other users"),
    "the authorities of Kafka are missing": (
        {"sink": {"kafka": {**KAFKA, "tls": {"ca": "none"}}}}, "sink 'siem': .*none.pem"),
    "Kafka's settings do not fit together": (
        {"sink": {"kafka": {**KAFKA, "timeout": "1s", "properties": {"linger.ms": 5000}}}},
        "must be less than the sink's timeout"),
    "the audit directory is a file": (
        {"audit": {"directory": "file"}}, "directory: 'file' can't be used: Not a directory"),
    "the audit directory would lie in a file": (
        {"audit": {"directory": "file/audit"}}, "directory: 'file/audit' can't be used: Not a directory"),
    "the signing key is open to others": (
        {"audit": {"chain": {"signing_key": "open.pass"}}}, "signing_key: open.pass.*open to other users"),
    "the signing key is none": ({"audit": {"chain": {"signing_key": "good.pass"}}}, "signing_key: good.pass"),
    "others may write to the folder of the control socket": (
        {"control": {"socket": "open/s"}}, "folder of the control socket, .*open: others may write"),
    "others may be first in the folder of the control socket": (
        {"control": {"socket": "sticky/s"}}, "folder of the control socket, .*sticky: others"),
    "there is a file where the control socket would be": (
        {"control": {"socket": "file"}}, "socket: there is a file that is no socket"),
    "others may write to the folder of the admin socket": (
        {"admin": {"listen": "%s/group/s"}}, "folder of the admin socket, .*group: others may write"),
    "others may write to the quarantine": (
        {"scan": {"quarantine": {"directory": "sticky"}}}, "directory: sticky: other users of this machine can write"),
    "the quarantine is a file": (
        {"scan": {"quarantine": {"directory": "file"}}}, "directory: 'file' can't be used: Not a directory"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_check_refuses_what_run_refuses(place, what):
    change, said = REFUSED[what]
    if "admin" in change:
        change = {"admin": {"listen": change["admin"]["listen"] % place.path}}
    result = place.set(change).run()
    errors = findings(result, "error")
    assert result.returncode == 1 and len(errors) == 1 and re.search(said, errors[0]), result.stderr
    assert place.run("run").returncode == 1, "run accepts what check refuses"


WARNED = {
    "the folder of the audit directory is missing": (
        {"audit": {"directory": "nowhere/audit"}}, "the folder of 'nowhere/audit' is not there", 1),
    "the folder of the control socket is missing": (
        {"control": {"socket": "nowhere/s"}}, "folder of the control socket, .*nowhere: No such file", 1),
    "the folder of the signing key is missing": (
        {"audit": {"chain": {"signing_key": "nowhere/a.key"}}}, "the folder of 'nowhere/a.key' is not there", 1),
    "the folder of the quarantine is missing": (
        {"scan": {"quarantine": {"directory": "nowhere/q"}}}, "the folder of 'nowhere/q' is not there", 1),
    "the address is another machine's": (
        {"admin": {"listen": "192.0.2.1:0", "allow": "remote"}}, "can't listen on '192.0.2.1:0': Cannot assign", 1),
    "the folder of a file is missing": (
        {"sink": {"file": {"path": "nowhere/a"}}}, "sink 'siem': 'nowhere/a' can't be written.*No such file", None),
    "the file is a folder": (
        {"sink": {"file": {"path": "shut"}}}, "sink 'siem': 'shut' can't be written.*it is no file", None),
    "the library calls a property deprecated": (
        {"sink": {"kafka": {**KAFKA, "properties": {"produce.offset.report": "false"}}}},
        "sink 'siem': .*produce.offset.report.*No longer used", None),
}


@pytest.mark.parametrize("what", WARNED)
def test_what_may_be_there_by_then_is_a_warning(place, what):
    change, said, status = WARNED[what]
    result = place.set(change).run()
    (warning,) = findings(result, "warning")
    assert result.returncode == 0 and re.search(said, warning), result.stderr
    if status is not None:
        assert place.run("run").returncode == status, "it starts: no reason to warn"


def test_findings_are_told_beside_those_of_other_files(place):
    place.write("policy.yaml", POLICY.replace("mode: enforce", "mode: maybe"))
    result = place.set({"sink": {"redis": {**REDIS, "password_file": "none.pass"}}}).run()
    assert result.returncode == 1 and "none.pass" in result.stderr and "policy.yaml:" in result.stderr


def test_secrets_are_not_shown(place):
    result = place.set({"sink": {"redis": {**REDIS, "password_file": "open.pass"}}}).run()
    assert "s3cret" not in result.stdout + result.stderr


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = 65534


@pytest.fixture
def service(certs):
    """What a mqward has that runs as nobody, as systemd and the manual have it, and is not root's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Place(folder, certs).set({
            "control": {"socket": "own/control.sock"}, "sink": {"redis": {**REDIS, "password_file": "good.pass"}}})
        os.chmod(os.path.join(folder, "policy.yaml"), 0o644)
        for name in ("own", "audit"):
            os.mkdir(os.path.join(folder, name), 0o700)
        for name in ("own", "audit", "good.pass"):
            os.chown(os.path.join(folder, name), NOBODY, NOBODY)
        yield place


@only_root
def test_root_finds_what_mqwards_own_user_would_find(service):
    result = service.run(mode=0o644)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "mqward.yaml: 0 errors, 0 warnings, looked at as user nobody\n"
    assert json.loads(service.run("check", "--json", mode=0o644).stdout)["user"] == "nobody"
    # Root by itself would not start with it, and what only root can read is nothing to mqward.
    errors = findings(service.run("check", "--user", "root", mode=0o644), "error")
    assert len(errors) == 2 and "belongs to user 65534" in errors[0] and "somebody else's" in errors[1], errors
    result = service.run(mode=0o600)
    assert result.returncode == 1 and re.search("mqward.yaml: error: .*Permission denied", result.stderr), result.stderr
    os.chown(os.path.join(service.path, "good.pass"), 0, 0)
    (error,) = findings(service.run(mode=0o644), "error")
    assert re.search("good.pass.*Permission denied", error), error


@only_root
def test_the_user_can_be_named_before_there_is_a_directory(service):
    os.rmdir(os.path.join(service.path, "audit"))
    os.chown(service.path, NOBODY, NOBODY)
    assert service.run(mode=0o644).returncode == 1, "nobody said who it is for"
    result = service.run("check", "--user", "nobody", mode=0o644)
    assert result.returncode == 0 and "looked at as user nobody" in result.stdout, result.stderr
    result = service.run("check", "--user", "no-such-user", mode=0o644)
    assert result.returncode == 1 and result.stderr == "mqward: there is no user 'no-such-user'\n"


@only_root
@pytest.mark.parametrize("mode,good", ((0o440, True), (0o640, True), (0o460, False), (0o444, False)), ids=oct)
def test_a_secret_that_root_gives_to_the_group(service, mode, good):
    """As Kubernetes mounts it: root:fsGroup."""
    path = os.path.join(service.path, "good.pass")
    os.chown(path, 0, NOBODY)
    os.chmod(path, mode)
    errors = findings(service.run(mode=0o644), "error")
    assert (errors == []) == good and all("open to other users" in error for error in errors), errors
    os.chown(path, 0, 7003)  # which nobody is not in
    assert len(findings(service.run(mode=0o644), "error")) == 1


SEGMENTS = tuple(f"journal-00000000000000aa-0000000000000000000{number}.ndjson" for number in (1, 2))
FOREIGN = {
    # what: (names in audit.directory, what is said); all are root's, and closed
    "the state": (("chain.state",), "chain.state: Permission denied"),
    "segments": (SEGMENTS, r"journal-.*\.ndjson: Permission denied( \(and 1 more\))?"),
    "the lock": (("lock",), "lock: Permission denied|can't be locked: Permission denied"),
    "a ring": (("ring-00000000000000aa-0.ring",), "ring-.*: (cannot be opened: )?Permission denied"),
}


def run_as_nobody(place):
    """mqward run, which is to end by itself."""
    return subprocess.run([binary(), "run", "-c", "mqward.yaml"], cwd=place.path, capture_output=True, text=True,
                          timeout=60, check=False, user=NOBODY, group=NOBODY, extra_groups=[])


@only_root
@pytest.mark.parametrize("what", FOREIGN)
def test_what_root_left_in_the_audit_directory(service, what):
    names, said = FOREIGN[what]
    for name in names:
        service.write(os.path.join("audit", name), "x\n")
    (error,) = findings(service.run(mode=0o644), "error")
    assert error.startswith("directory: audit/") and re.search(said, error), error
    assert error.endswith("(and 1 more)") == (len(names) == 2)
    result = run_as_nobody(service)
    assert result.returncode == 1 and re.search(said, result.stderr), result.stderr


@only_root
def test_a_state_that_root_left_open(service):
    """It could be written; and it would be root's to change."""
    service.write("audit/chain.state", "x\n", 0o666)
    (error,) = findings(service.run(mode=0o644), "error")
    assert error == "directory: audit/chain.state: not a regular file of this process's user"
    assert run_as_nobody(service).returncode == 1


def test_what_the_start_sets_right_in_the_audit_directory_is_no_error(place):
    """A state without a byte, one that does not hold, a segment's name for what is no file."""
    os.makedirs(os.path.join(place.path, "audit", SEGMENTS[0]))
    for text in ("", "x" * 4096):
        place.write("audit/chain.state", text)
        assert place.run().returncode == 0


def test_a_folder_where_the_lock_would_be(place):
    os.makedirs(os.path.join(place.path, "audit", "lock"))
    (error,) = findings(place.run(), "error")
    assert error == "directory: audit/lock: Is a directory" and place.run("run").returncode == 1


@only_root
def test_a_cursor_that_can_not_be_read(service):
    service.write("audit/siem.cursor", "x\n")
    result = service.run(mode=0o644)
    assert findings(result, "error") == []
    assert findings(result, "warning") == [
        "directory: audit/siem.cursor: Permission denied: sink 'siem' starts with the oldest event"]


@only_root
def test_what_only_others_may_write_to(certs):
    """As the user that mqward runs as would find it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        check_as_nobody(Place(folder, certs))


def check_as_nobody(place):
    program = "import os, sys\nos.setgid(65534); os.setuid(65534)\nos.execv(sys.argv[1], sys.argv[1:])\n"

    def run():
        place.write("mqward.yaml", yaml.safe_dump(place.configuration), 0o644)
        return subprocess.run([sys.executable, "-c", program, binary(), "check", "-c", "mqward.yaml"], cwd=place.path,
                              capture_output=True, text=True, timeout=60, check=False)

    os.chmod(os.path.join(place.path, "policy.yaml"), 0o644)
    result = place.set({"audit": {"directory": "shut/audit"}, "sink": {"file": {"path": "shut/a.ndjson"}}}) and run()
    assert findings(result, "error") == ["directory: 'shut/audit' can't be made: Permission denied"], result.stderr
    (warning,) = findings(result, "warning")
    assert "'shut/a.ndjson' can't be written" in warning and "Permission denied" in warning
    # What root has made there for it, without giving it away.
    os.mkdir(os.path.join(place.path, "shut", "audit"))
    os.chown(os.path.join(place.path, "shut", "audit"), 65534, 65534)
    for name in ("chain.state", "checkpoint.key"):
        place.write(os.path.join("shut", "audit", name), "x")
    errors = findings(run(), "error")
    assert len(errors) == 2 and all("Permission denied" in error for error in errors), errors
    assert {"chain.state", "checkpoint.key"} == set(re.findall(r"chain\.state|checkpoint\.key", " ".join(errors)))


def test_a_mqward_that_runs_is_no_finding(make_world, tmp_path):
    """Its port, its sockets, its locks."""
    world = make_world(POLICY, configuration={"control": {"socket": "control.sock"},
                                              "scan": {"quarantine": {"directory": "held"}},
                                              "admin": {"listen": str(tmp_path / "admin.sock")}})
    result = run_cli("check", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == 0 and "0 errors, 0 warnings" in result.stdout, result.stdout + result.stderr
