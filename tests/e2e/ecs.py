# SPDX-License-Identifier: Apache-2.0
"""Every event that a test reads or mqward has sealed is held against the Elastic Common Schema (tests/ecs)."""
import glob
import os
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "ecs"))

import validate  # noqa: E402

ALL = 20000  # lines of one journal that are looked at one by one; of those after them one in RARELY
RARELY = 50


# A record with most of the fields, for tests of what looks at records.
GOOD = {
    "@timestamp": "2026-01-02T03:04:06.001245Z",
    "event": {"created": "2026-01-02T03:04:06.001300Z", "sequence": 1042, "id": "3f1c9a523f1c9a52-1042", "kind": "event",
              "category": ["network"], "type": ["access", "denied"], "action": "mqtt-publish-denied", "outcome": "failure",
              "reason": "no_allow", "code": "ACL-1001", "severity": 47, "module": "mqward", "dataset": "mqward.audit"},
    "message": "PUBLISH denied: sensor-17 -> plant/a/valve/3/cmd",
    "network": {"transport": "tcp", "protocol": "mqtt", "direction": "inbound"},
    "source": {"ip": "203.0.113.9", "port": 51724}, "client": {"ip": "203.0.113.9", "port": 51724},
    "server": {"ip": "2001:db8::5", "port": 1883},
    "user": {"name": "sensor-17", "roles": ["sensor"]},
    "tls": {"version": "1.3", "version_protocol": "tls", "resumed": False,
            "client": {"subject": "CN=sensor-17", "hash": {"sha256": "AB" * 32}, "x509": {"serial_number": "0A"}}},
    "rule": {"ruleset": "plant-a", "id": "default-deny", "name": "default deny", "category": "access-control"},
    "threat": {"framework": "MITRE ATT&CK", "technique": {"id": ["T1059"], "subtechnique": {"id": ["T1059.004"]}}},
    "observer": {"vendor": "mqward", "product": "mqward", "type": "proxy", "version": "0.1.0", "hostname": "edge-1"},
    "related": {"ip": ["203.0.113.9", "2001:db8::5"], "user": ["sensor-17"], "hash": ["9f" * 32, "AB" * 32]},
    "mqtt": {"packet": "publish", "version": "5.0", "client_id": "sensor-17", "topic": "plant/a/valve/3/cmd", "qos": 1,
             "retained": False, "duplicate": False, "message_id": 7, "payload": {"bytes": 4, "sha256": "9f" * 32}},
    "mqward": {"origin": "3f1c9a523f1c9a52.0.17", "disposition": "dropped", "yara": {"rules": ["a"], "scan_complete": True}},
    "ecs": {"version": "9.4.0"},
    "chain": {"epoch": "3f1c9a523f1c9a52", "start": 1, "prev": "0" * 64, "hash": "a" * 64},
}


def parse(text):
    """A record as a dict; AssertionError for what is no JSON."""
    try:
        return validate.parse(text)
    except ValueError as error:
        raise AssertionError(f"a record that is no JSON: {error}: {text[:2000]!r}") from None


def check(record):
    found = validate.findings(record)
    assert not found, "a record that is not ECS:\n  " + "\n  ".join(found) + f"\n{record}"


class Journal:
    """The lines of a journal's folder, each looked at once."""

    def __init__(self, folder):
        self.folder, self.offsets, self.seen = folder, {}, 0

    def _lines(self, path):
        """Whole lines that were not there the last time."""
        try:
            with open(path, "rb") as file:
                file.seek(self.offsets.get(path, 0))
                text = file.read()
        except OSError:  # its retention has ended
            return []
        whole = text[:text.rfind(b"\n") + 1]
        self.offsets[path] = self.offsets.get(path, 0) + len(whole)
        return whole.splitlines()

    def check(self):
        """AssertionError for new lines that are not ECS. What is no JSON was damaged by the test: mqward tells of it."""
        for path in sorted(glob.glob(os.path.join(glob.escape(self.folder), "journal-*.ndjson"))):
            for line in self._lines(path):
                self.seen += 1
                if self.seen > ALL and self.seen % RARELY:
                    continue
                try:
                    record = validate.parse(line)
                except ValueError:
                    continue
                check(record)
