# SPDX-License-Identifier: Apache-2.0
"""The form of the tables: a row is one statement of the specifications, a change that takes it away, and who notices.

Rates and a policy that is reloaded have no rows."""
from typing import NamedTuple


class Row(NamedTuple):
    name: str     # for --only
    text: str     # what mqward does, in short
    edits: tuple  # (file, text that is there exactly once, text in its place)
    tests: tuple  # pytest node ids below tests/e2e; at least one of them must fail


def row(name, text, file, search, replace, *tests):
    """One change in one file."""
    return Row(name, text, ((file, search, replace),), tests)


def rows(name, text, edits, *tests):
    """A behaviour that more than one place upholds: all of them have to go."""
    return Row(name, text, tuple(edits), tests)
