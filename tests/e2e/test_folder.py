# SPDX-License-Identifier: Apache-2.0
"""`policy:` names a folder: its files are one policy, checked and served."""
import os
import re

import pytest

from servers import run_cli
from test_check import Folder

pytestmark = pytest.mark.brokerless


@pytest.fixture
def folder(tmp_path, certs):
    os.mkdir(tmp_path / "policy.d")
    folder = Folder(tmp_path, certs)
    folder.replace("policy: policy.yaml", "policy: policy.d")
    with open(tmp_path / "mqward.yaml", "w", encoding="utf-8") as file:
        file.write(folder.configuration)
    return folder


def write(folder, **files):
    for name, text in files.items():
        with open(os.path.join(folder.path, "policy.d", name + ".yaml"), "w", encoding="utf-8") as file:
            file.write("version: 1\n" + text)


def check(folder):
    result = run_cli("check", "-c", os.path.join(folder.path, "mqward.yaml"), folder=folder.path)
    return result.returncode, result.stdout + result.stderr


IDENTITY = "policy: parts\nidentity: [anonymous: {}]\n"
RULES = "rules:\n  - {rule: a, who: us, allow: publish, topics: [a/#]}\n"
GROUPS = "groups: {us: {source: anonymous}}\n"


def test_files_of_a_folder_are_one_policy(folder):
    write(folder, identity=IDENTITY, rules=RULES, groups=GROUPS)
    status, output = check(folder)
    assert status == 0, output
    assert "warning: " not in output, output


def test_errors_of_all_files_are_reported_in_one_run(folder):
    write(folder, identity=IDENTITY.replace("anonymous: {}", "anonymos: {}"), rules=RULES.replace("us", "them"), groups=GROUPS + "mod: monitor\n")
    status, output = check(folder)
    assert status == 1, output
    assert {os.path.basename(path) for path in re.findall(r"^(\S+?):\d+:\d+: error: ", output, re.M)} == {"identity.yaml", "rules.yaml", "groups.yaml"}


def test_a_key_in_two_files_is_reported_at_both(folder):
    write(folder, identity=IDENTITY + "mode: enforce\n", rules=RULES, groups=GROUPS + "mode: enforce\n")
    status, output = check(folder)
    assert status == 1, output
    assert re.search(r"groups\.yaml:3:1: error: 'mode'", output), output
    assert re.search(r"identity\.yaml:4:1: error: 'mode'", output), output
    assert re.search(r"also given at \S*groups\.yaml:3", output), output


def test_an_empty_folder_is_refused_where_it_is_named(folder):
    status, output = check(folder)
    assert status == 1, output
    assert re.search(r"mqward\.yaml:\d+:9: error: no policy in the folder '\S*policy\.d'", output), output


def test_a_folder_that_cannot_be_read_is_an_error(folder):
    os.rmdir(os.path.join(folder.path, "policy.d"))
    status, output = check(folder)
    assert status == 1, output
    assert re.search(r"mqward\.yaml:\d+:9: error: cannot read '\S*policy\.d': No such file", output), output
