# SPDX-License-Identifier: Apache-2.0
"""The files of examples/siem, and the names that they may use: those of the manual."""
import glob
import os
import re

import ecs

FOLDER = os.path.join(ecs.ROOT, "examples", "siem")


def path_of(*parts):
    return os.path.join(FOLDER, *parts)


def read(*parts):
    with open(path_of(*parts), encoding="utf-8") as file:
        return file.read()


def page(name):
    with open(os.path.join(ecs.ROOT, "docs", name), encoding="utf-8") as file:
        return file.read()


def names(pattern):
    return sorted(os.path.relpath(path, FOLDER) for path in glob.glob(path_of(pattern)))


def manual():
    return page("audit.md")


def documented():
    """{field: what the manual says of it}."""
    text = manual()
    section = text[text.index("\n## The record\n"):text.index("<!-- generated: audit reference -->")]
    rows = re.findall(r"^\| `([\w@.]+)` \|(.*)\|$", section, re.M)
    assert len(rows) == len(dict(rows)) > 90
    return dict(rows)


def reasons():
    with open(os.path.join(ecs.ROOT, "base", "reason.def"), encoding="utf-8") as file:
        return set(re.findall(r"^REASON\((\w+),", file.read(), re.M))


def actions():
    """{action: (kind, categories, types)}"""
    return {row[0]: row[1:] for row in re.findall(r"^\| `([\w-]+)` \| (\w+) \| ([\w,]+) \| ([\w,]+) \|$", manual(), re.M)}
