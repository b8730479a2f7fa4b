# SPDX-License-Identifier: Apache-2.0
"""The README, followed to the letter: its files are parts of examples/minimal, and its commands work with them."""
import os
import re
import shlex
import shutil
import subprocess
import textwrap

import pytest
import yaml

from processes import wait_until
from servers import binary, make_password_file, run_cli, sanitizer_environment

pytestmark = pytest.mark.brokerless
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def blocks():
    """The indented parts of the README."""
    return [textwrap.dedent(block) for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", read("README.md"), re.M)]


def block(start):
    found = [text for text in blocks() if start in text]
    assert len(found) == 1, start
    return found[0]


FILES = {"mqward.yaml": "listeners:", "policy.yaml": "rules:\n"}


@pytest.mark.parametrize("name", FILES)
def test_what_is_shown_is_in_the_example(name):
    whole = yaml.safe_load(read("examples", "minimal", name))
    for key, value in yaml.safe_load(block(FILES[name])).items():
        if key == "rules":
            assert all(rule in whole["rules"] for rule in value)
        else:
            assert value == whole[key], key


def commands():
    lines = [shlex.split(line, comments=True) for line in block("mqward check").splitlines()]
    return [line[1:] for line in lines if line[:1] == ["mqward"]]


def test_the_commands_work(tmp_path, certs):
    for name, start in FILES.items():
        text = block(start).replace("0.0.0.0:8883", "127.0.0.1:0")
        text = text.replace("/var/lib/mqward", str(tmp_path / "audit")).replace("/run/mqward", str(tmp_path))
        (tmp_path / name).write_text(text)
    shutil.copy(certs.server[0], tmp_path / "server.pem")
    shutil.copy(certs.server[1], tmp_path / "server.key")
    shutil.copy(certs.fleet_ca.path, tmp_path / "devices-ca.pem")
    make_password_file(str(tmp_path / "operators.passwd"), {"eva": "secret"}, tool=True)
    ours = {"/etc/mqward/mqward.yaml": str(tmp_path / "mqward.yaml")}
    asked = [[ours.get(word, word) for word in words if word != "-f"] for words in commands()]
    run = [words for words in asked if words[0] == "run"]
    assert len(run) == 1 and len(asked) > 7
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(
            [binary(), *run[0]], cwd=tmp_path, env=sanitizer_environment(str(tmp_path)), stderr=log) as mqward:
        try:
            wait_until(lambda: b'"ready"' in (tmp_path / "log").read_bytes() or
                       b"msg=ready" in (tmp_path / "log").read_bytes(), "the start")
            for words in asked:
                if words[0] != "run":
                    result = run_cli(*words, folder=tmp_path)
                    assert result.returncode == 0, (words, result.stdout + result.stderr)
        finally:
            mqward.terminate()
    assert mqward.returncode == 0
