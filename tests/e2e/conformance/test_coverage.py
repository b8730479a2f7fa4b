# SPDX-License-Identifier: Apache-2.0
"""The suite's own books: each statement of the specifications has a test or a reason in README.md why it has none, and
the tables of deviations name tests that exist."""
import importlib
import os
import re

import pytest

import harness
import raw
import statements
from deviations import DEVIATIONS, STRICTER

FOLDER = os.path.dirname(os.path.abspath(__file__))
EDITIONS = {"3.1.1": (raw.V311, statements.V311), "5.0": (raw.V5, statements.V5)}


@pytest.fixture(scope="module")
def entries():
    """Everything that @statement has decorated in any file of the suite."""
    for name in sorted(os.listdir(FOLDER)):
        if re.fullmatch(r"test_v\w+\.py", name):
            importlib.import_module(name.removesuffix(".py"))
    return list(harness.REGISTRY)


def untested(edition):
    """Rows "| MQTT-x.y.z-n | reason |" of README.md below the edition's heading."""
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as file:
        text = file.read()
    section = text.split(f"### Statements of {edition} without a test\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (MQTT-\S+) \| (.+) \|$", section, re.M)
    assert len(rows) == len(dict(rows)), "a statement twice"
    return dict(rows)


def covered(entries, edition):
    version = EDITIONS[edition][0]
    return {identifier for entry in entries if version in entry.versions for identifier in entry.statements}


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("edition", EDITIONS)
def test_each_statement_has_a_test_or_a_reason(entries, edition):
    known = set(EDITIONS[edition][1])
    reasons, names = untested(edition), covered(entries, edition)
    assert known, "no list of statements"
    assert names - known == set(), "tests name statements that the specification does not have"
    assert set(reasons) - known == set(), "README.md names statements that the specification does not have"
    assert known - names - set(reasons) == set(), "neither tested nor listed in README.md"
    assert names & set(reasons) == set(), "listed in README.md as untested, but tested"


@pytest.mark.needs("mosquitto")
def test_the_tables_name_tests_that_exist(entries):
    keys = {entry.key for entry in entries}
    assert len(keys) == len(entries), "two tests of one name"
    for table in (DEVIATIONS, STRICTER):
        assert {key.split("[")[0] for key in table} - keys == set()
        assert all(re.match(r"[A-Z].*\.$", sentence) for sentence in table.values()), "not a sentence"
    assert set(DEVIATIONS) & set(STRICTER) == set()
