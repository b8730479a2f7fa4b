#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes each behaviour of the specifications away, one at a time, and requires that an end-to-end test notices.

    tests/mutants/run.py [--only NAME]... [-j N]

A row (of one of the tables, see load_rows()) names a change of the sources and the tests that must fail with it. The
tree is copied into a temporary folder, once for each of the N runners, and built there; the sources themselves are
not touched. First all tests that the rows name must pass without any change. Then each row's change is applied,
built, tested and taken back. Only a failed assertion of a test counts: what does not build, a mqward that crashes, or
a text that is not there exactly once is an error of the row. The exit status is 0 only if every row is noticed.
"""
import argparse
import concurrent.futures
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
SKIPPED = (".git", "build", "build-*", "__pycache__", "node_modules")
# What a test fails with when mqward does not do what it should; anything else is a fault of the row or the harness.
EXPECTED = ("assert ", "AssertionError", "TimeoutError", "Malformed", "UnicodeDecodeError", "ConnectionResetError",
            "BrokenPipeError", "Failed: DID NOT RAISE")
CRASHED = ("mqward ended with", "ERROR: AddressSanitizer", "runtime error:")


class RowError(Exception):
    """The row is wrong, or the run is: it says nothing about the tests."""


class Outcome(NamedTuple):
    """Of one run of pytest."""
    passed: int
    failures: list  # (test, first line of the message, whole text)
    errors: list    # the same, of what is not a failure of a test


def load_rows():
    import decoding
    import floods
    import metrics
    import policy
    import publish
    import replay
    import scanning
    import secrets_kept
    import sessions
    import signatures
    import subscribe
    import tail
    tables = (decoding, sessions, publish, subscribe, policy, signatures, replay, scanning, secrets_kept, floods, metrics, tail)
    rows = [row for table in tables for row in table.ROWS]
    names = [row.name for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RowError(f"rows of the same name: {', '.join(twice)}")
    return rows


class Tree:
    """A copy of the sources with a build of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.source = os.path.join(folder, "source")
        self.build = os.path.join(folder, "build")
        self.runs = 0
        shutil.copytree(SOURCE, self.source, symlinks=True, ignore=shutil.ignore_patterns(*SKIPPED))
        self._command(["cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                       "-DMQWARD_TESTS=OFF", "-DMQWARD_BENCH=OFF"])
        self.compile()

    def _command(self, command):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            lines = [line for line in result.stdout.splitlines() if "error" in line or "FAILED" in line]
            raise RowError("does not build: " + " | ".join(lines[:4] or result.stdout.splitlines()[-4:]))

    def compile(self):
        self._command(["cmake", "--build", self.build, "--target", "mqward", "-j", "2"])

    def apply(self, row):
        """Makes the row's changes; returns what take_back() needs. All texts are looked for before any is changed."""
        texts = {}
        for name, search, replace in row.edits:
            path = os.path.join(self.source, name)
            if path not in texts:
                with open(path, encoding="utf-8") as file:
                    texts[path] = [file.read()] * 2
            found = texts[path][1].count(search)
            if found != 1:
                raise RowError(f"{name}: found {found} times, not once: {search!r}")
            texts[path][1] = texts[path][1].replace(search, replace)
        for path, (_, changed) in texts.items():
            self._write(path, changed)
        return {path: original for path, (original, _) in texts.items()}

    def take_back(self, originals):
        for path, text in originals.items():
            self._write(path, text)

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def test(self, tests, *options):
        self.runs += 1
        report = os.path.join(self.folder, f"report-{self.runs}.xml")
        base = os.path.join(self.folder, "pytest")
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", f"--basetemp={base}"]
        environment = {**os.environ, "MQWARD_BINARY": os.path.join(self.build, "proxy", "mqward"),
                       "PYTHONDONTWRITEBYTECODE": "1"}
        result = subprocess.run([*command, *options, *tests], cwd=os.path.join(self.source, "tests", "e2e"), text=True,
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if result.returncode not in (0, 1) or not os.path.exists(report):
            lines = [line for line in result.stdout.splitlines() if line.startswith("ERROR")]
            lines = lines or result.stdout.splitlines()[-4:]
            raise RowError(f"pytest ended with {result.returncode}:\n" + "\n".join(lines))
        return read_report(report)


def read_report(path):
    passed, failures, errors = 0, [], []
    for case in xml.parse(path).getroot().iter("testcase"):
        found = {kind: case.findall(kind) for kind in ("failure", "error", "skipped")}
        for kind, items in found.items():
            for item in items:
                message = ((item.get("message") or "").splitlines() or [""])[0]
                (failures if kind == "failure" else errors).append((case.get("name"), message, item.text or ""))
        passed += not any(found.values())
    return Outcome(passed, failures, errors)


def judge(outcome):
    """The test that noticed and what it said; RowError if none did in a way that counts."""
    for test, message, text in outcome.failures:
        if any(mark in text for mark in CRASHED):
            raise RowError(f"mqward crashed in {test}: {message}")
        if not any(message.startswith(kind) or f".{kind}" in message.split(":")[0] for kind in EXPECTED):
            raise RowError(f"{test} failed for another reason: {message}")
    for test, message, text in outcome.errors:
        if any(mark in message + text for mark in CRASHED):
            raise RowError(f"mqward crashed in {test}: {message}")
    return outcome.failures[0][:2] if outcome.failures else None


def run_row(tree, row):
    """("noticed" | "SURVIVED" | "ERROR", seconds, what there is to say)"""
    began = time.monotonic()
    originals = {}
    try:
        originals = tree.apply(row)
        tree.compile()
        noticed = judge(tree.test(row.tests, "-x"))
        verdict, detail = ("noticed", f"{noticed[0]}: {noticed[1]}") if noticed else ("SURVIVED", row.text)
    except RowError as error:
        verdict, detail = "ERROR", str(error)
    finally:
        tree.take_back(originals)
    return verdict, time.monotonic() - began, detail


def check_unchanged(tree, rows, jobs):
    tests = sorted({test for row in rows for test in row.tests})
    print(f"{len(rows)} rows; {len(tests)} selections of tests must pass without a change ...", flush=True)
    parallel = ["-n", str(jobs)] if jobs > 1 else []
    outcome = tree.test(tests, *parallel)
    bad = outcome.failures + outcome.errors
    for name, message, _ in bad:
        print(f"  {name}: {message}")
    if bad:
        raise RowError(f"{len(bad)} tests do not pass without a change")
    print(f"{outcome.passed} tests pass", flush=True)


def run_rows(trees, rows):
    free = queue.Queue()
    for tree in trees:
        free.put(tree)

    def one(row):
        tree = free.get()
        try:
            return row, *run_row(tree, row)
        finally:
            free.put(tree)
    counts = {}
    with concurrent.futures.ThreadPoolExecutor(len(trees)) as pool:
        for number, future in enumerate(concurrent.futures.as_completed([pool.submit(one, row) for row in rows]), 1):
            row, verdict, seconds, detail = future.result()
            counts[verdict] = counts.get(verdict, 0) + 1
            print(f"{number:3}/{len(rows)} {verdict:8} {seconds:5.1f} s  {row.name}\n{'':27}{detail[:150]}", flush=True)
    return counts


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this row; may be given several times")
    parser.add_argument("-j", type=int, default=1, metavar="N", dest="jobs", help="as many rows at a time (default: 1)")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    return parser.parse_args()


def main():
    options = arguments()
    sys.dont_write_bytecode = True
    sys.path.insert(0, HERE)
    rows = load_rows()
    if options.only:
        unknown = set(options.only) - {row.name for row in rows}
        if unknown:
            raise RowError(f"no such row: {', '.join(sorted(unknown))}")
        rows = [row for row in rows if row.name in options.only]
    if options.list:
        print("\n".join(f"{row.name:26} {row.text}" for row in rows))
        return 0
    with tempfile.TemporaryDirectory(prefix="mqward-mutants-") as folder:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            folders = [os.path.join(folder, str(index)) for index in range(min(options.jobs, len(rows)))]
            trees = list(pool.map(Tree, folders))
        check_unchanged(trees[0], rows, options.jobs)
        counts = run_rows(trees, rows)
    noticed, survived, errors = (counts.get(verdict, 0) for verdict in ("noticed", "SURVIVED", "ERROR"))
    print(f"{noticed} of {len(rows)} noticed, {survived} survived, {errors} errors")
    return 0 if noticed == len(rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RowError as error:
        sys.exit(f"error: {error}")
