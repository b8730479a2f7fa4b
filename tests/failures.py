#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What failed, in a few lines, from a log of tests/run.sh: failures.py pytest|unit|step LOG [MOST LINES].

pytest: the names of the tests, each with the first lines of its assertion. unit: Criterion's failing tests with their
messages, what a sanitizer says, and the programs that ended badly. step: the errors of a build, or else the end of the log."""
import re
import sys

EACH = 4  # lines that are told of one test
WIDTH = 200
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SANITIZER = re.compile(r"SUMMARY: |runtime error:|WARNING: ThreadSanitizer|ERROR: (Address|Leak)Sanitizer|"
                       r"Assertion Failed: ")
SEED = re.compile(r"(\w+/\w+): (MQWARD_SEED=\d+)")


def of_pytest(lines):
    """In the order of the short summary, whose lines name the tests as pytest takes them."""
    told, name = {}, None  # {name without its file: lines of its assertion}
    for line in lines:
        head = re.fullmatch(r"_{3,} (?:ERROR at \w+ of )?(.+?) _{3,}", line)
        if head:
            name = head[1]
        elif name and line.startswith("E  ") and len(told.setdefault(name, [])) < EACH:
            told[name].append("    " + line[1:].strip())
    for line in lines:
        match = re.match(r"(?:FAILED|ERROR) (\S+?\.py(?:::(.*?))?)(?: - .*)?$", line)
        if match:
            assertion = told.get((match[2] or "").replace("::", "."), ())
            yield line.split()[0] + " " + match[1] if assertion else line
            yield from assertion


def of_unit(lines):
    before = []  # what Criterion says of a test comes in front of its name
    lines = [re.sub(r"^ *\d+: ", "", line) for line in lines]
    seeds = {match[1]: match[2] for match in map(SEED.match, lines) if match}
    for line in lines:
        said = re.match(r"\[----\] *(.*)", line) or re.match(r"(.*: Assertion `.*)", line)  # many tests want to die by one
        if said:
            before = (before + [said[1]] if said[1] else before)[-EACH:]
            continue
        if re.match(r"\[FAIL\]|.*\*\*\*(Failed|Timeout|Exception)|.*\*\*\*Not Run", line):
            name = re.match(r"\[FAIL\] (\w+)(?:::|/)(\w+)", line)
            seed = seeds.get(f"{name[1]}/{name[2]}") if name else None
            yield line.strip() + (f" {seed}" if seed else "")
            yield from ("    " + text for text in before)
        elif SANITIZER.search(line):
            yield "    " + line.strip()
        before = []


def of_step(lines):
    errors = [line for line in lines if re.search(r"\berror\b|FAILED|Error:|\bfailed\b", line)]
    end = [line for line in lines if line.strip()][-2 * EACH:]
    yield from ("    " + line.strip() for line in errors[:2 * EACH] or end)


def main():
    kind, path, most = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 40
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [ESCAPES.sub("", line.rstrip("\n")) for line in file]
    found = list({"pytest": of_pytest, "unit": of_unit, "step": of_step}[kind](lines))
    for line in found[:most]:
        print(line[:WIDTH])
    if len(found) > most:
        print(f"    ... and {len(found) - most} lines more: {path}")


main()
