# SPDX-License-Identifier: Apache-2.0
"""docs/siem.md: what it names is there, its sample is a record, its configuration passes the check."""
import os
import re
import shutil
import textwrap

import pytest
import yaml

import ecs
import validate
from servers import run_cli
from siem import actions, documented, page, read, reasons
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless


def alert_rules():
    return [rule for group in yaml.safe_load(read("prometheus", "mqward.rules.yml"))["groups"] for rule in group["rules"]]


def test_what_alerts_and_queries_name_is_there():
    """Actions, reasons, fields and alerts that the texts for people name."""
    texts = " ".join(text for rule in alert_rules() for text in rule["annotations"].values())
    guide = page("siem.md")
    for name in re.findall(r"\b(?:mqtt|audit|sink|policy|key)-[a-z-]+\b", texts) + re.findall(r"`((?:mqtt|audit|sink)-[a-z-]+)`", guide):
        assert name in actions(), name
    for name in re.findall(r"event\.reason (\w+)", texts):
        assert name in reasons(), name
    for name in re.findall(r"\b(?:event|mqtt|mqward|user|rule|source|observer)\.[a-z_.]*[a-z]\b", texts) + re.findall(
            r"\b(?:event|mqtt|user|rule|source|observer)\.[a-z_]+\b", re.sub(r"\S+\.(?:md|ya?ml|conf|example\.net)\b", "", guide)):
        assert name in documented(), name
    alerts = {rule["alert"] for rule in alert_rules()}
    assert set(re.findall(r"`(Mqward\w+)`", guide)) - alerts == set()


def test_the_sample_event_is_one():
    (text,) = re.findall(r"<!-- sample event -->\n```json\n(.*?)```", page("siem.md"), re.S)
    assert validate.findings_of_line(text.replace("\n", "")) == []


def test_the_files_that_the_guide_names_are_there():
    for name in ("docs/siem.md", "examples/siem/README.md", "tests/ecs/README.md"):
        folder = os.path.join(ecs.ROOT, os.path.dirname(name))
        with open(os.path.join(ecs.ROOT, name), encoding="utf-8") as file:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", file.read()):
                assert os.path.exists(os.path.join(folder, target)), f"{name}: {target}"


def test_the_configuration_of_the_guide_is_one(tmp_path, certs):
    """Its audit and admin sections, in an otherwise minimal mqward.yaml, pass mqward check."""
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)(?:^    .*\n|^\n(?=    ))*", page("siem.md"), re.M)]
    (audit,) = [block for block in blocks if "\naudit:\n" in block]
    (admin,) = [block for block in blocks if block.startswith("admin:")]
    for place in ("/var/lib/mqward", "/var/log/mqward"):
        audit = audit.replace(place, str(tmp_path) + place)
        os.makedirs(str(tmp_path) + place)
    for name in ("redis-ca.pem", "siem-ca.pem"):
        shutil.copy(certs.server_ca.path, tmp_path / name)
    (tmp_path / "redis.password").write_text("secret\n")
    os.chmod(tmp_path / "redis.password", 0o600)
    (tmp_path / "policy.yaml").write_text(ALLOW_ALL)
    (tmp_path / "mqward.yaml").write_text(
        "version: 1\npolicy: policy.yaml\nlisteners: [{name: plain, address: \"127.0.0.1:1883\", plaintext: true}]\n"
        "upstreams: [{name: main, address: \"127.0.0.1:1884\"}]\n" + audit + admin)
    result = run_cli("check", "-c", str(tmp_path / "mqward.yaml"), folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
