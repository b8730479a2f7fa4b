#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the steps of a message cost in instructions, held against the numbers that README.md keeps.

    tests/bench/run.sh --instructions               # each step: now, kept, ratio
    tests/bench/run.sh --instructions --check       # fails if one differs by more than a tenth, is new, or is gone
    tests/bench/run.sh --instructions --write       # keeps the numbers of now in README.md, with the commit
    tests/bench/run.sh --instructions --dumps DIR   # leaves callgrind's files there, for callgrind_annotate

--check also holds the bounds of decisions.py and signatures.py, from the same run.
"""

import argparse
import concurrent.futures
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import decisions
import micro
import rulesets
import signatures
from processes import BenchError

ROOT = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
README = f"{ROOT}/tests/bench/README.md"
BEGIN = "<!-- instructions: begin; written by tests/bench/run.sh --instructions --write -->\n"
END = "<!-- instructions: end -->\n"
ALLOWED = 0.10
FLEETS = [(10, 1), (1000, 1), (10000, 1), (10, 50), (10000, 50)]  # rules, groups


def write_fleets(folder, fleets):
    return [rulesets.write(folder, "fleet", rules, groups) for rules, groups in fleets]


# name: (program, what makes its arguments in the job's folder). The longest are first: they run side by side.
JOBS = {
    "load": ("decisions", lambda folder: ["--load", *write_fleets(folder, [(1000, 1), (10000, 1)])]),
    "path": ("path", lambda folder: []),
    "scanned path": ("path", lambda folder: [f"{folder}/library"]),
    "decisions": ("decisions", lambda folder: ["--decisions", *write_fleets(folder, FLEETS)]),
    "signatures": ("signatures", lambda folder: []),
    "micro": ("micro", lambda folder: []),
    "views": ("views", lambda folder: []),
    "library": ("library", lambda folder: [f"{folder}/library"]),
    "events": ("events", lambda folder: []),
    "checks": ("checks", lambda folder: []),
}
# In the order of the table.
PROGRAMS = ["path", "micro", "decisions", "signatures", "library", "views", "events", "checks"]


# ---- counting ----

def count(build, folder, job):
    """{name of the step: instructions for one time}. Paths of the same length and the same environment each time: where
    things come to lie in memory decides which of its ways memcmp() takes."""
    program, arguments = JOBS[job]
    binary = f"{build}/tests/bench/mqward-bench-{program}"
    if not os.access(binary, os.X_OK):
        raise BenchError(f"{binary} is not there")
    os.mkdir(folder)
    os.symlink(binary, f"{folder}/bench")
    os.symlink(f"{ROOT}/rules/library", f"{folder}/library")
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": folder}
    counts = micro.count_instructions([f"{folder}/bench", *arguments(folder)], folder, environment=environment)
    if not counts:
        raise BenchError("no instructions: built without valgrind/callgrind.h")
    return counts


def count_all(build, dumps=None):
    """{job: {name: instructions}}, on all cores."""
    if not shutil.which("valgrind"):
        raise BenchError("valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="mqward-bench-", dir="/tmp") as folder:
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            futures = {job: pool.submit(count, build, f"{folder}/{number:02}", job) for number, job in enumerate(JOBS)}
            counts = {job: future.result() for job, future in futures.items()}
        if dumps:
            shutil.copytree(folder, dumps, symlinks=True, dirs_exist_ok=True)
    return counts


def steps_of(counts):
    """{step: instructions}: what is kept. OpenSSL's own HMAC is not ours, and 50 groups cost what one does."""
    steps = {}
    for job, found in sorted(counts.items(), key=lambda item: PROGRAMS.index(JOBS[item[0]][0])):
        for name, value in found.items():
            if not name.startswith(signatures.REFERENCE) and not re.match(r"fleet-\d+-50 ", name):
                steps[f"{JOBS[job][0]}: {name}"] = value
    return steps


# ---- kept numbers ----

def show(value):
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def split(text):
    """What stands before the kept numbers, they, and what stands behind."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchError(f"{README}: the lines around the kept numbers are not there, or not once")
    before, rest = text.split(BEGIN)
    kept, after = rest.split(END)
    return before, kept, after


def parse(kept):
    """The kept numbers, and what they were counted with: (machine, compiler, {step: instructions}); all empty if there
    are none."""
    head = re.search(r"^Counted with `(.+?)` on (.+?), ", kept, re.M)
    steps = {}
    for line in kept.splitlines():
        if not line.startswith("| ") or line.startswith("| step |"):
            continue
        row = re.fullmatch(r"\| (.+) \| ([\d,]+(?:\.\d)?) \|", line)
        if not row or row[1] in steps:
            raise BenchError(f"{README}: no kept number, or one that is there twice: {line}")
        steps[row[1]] = float(row[2].replace(",", ""))
    if steps and not head:
        raise BenchError(f"{README}: it is not said what the kept numbers were counted with")
    return (head[2], head[1], steps) if head else ("", "", {})


def render(steps, machine, compiler, commit):
    rows = "".join(f"| {name} | {show(value)} |\n" for name, value in steps.items())
    return f"\nCounted with `{compiler}` on {machine}, {commit}.\n\n| step | instructions |\n|---|---|\n{rows}\n"


def compare(kept, steps):
    """[(step, now or None, kept or None, verdict)]; the verdict is empty where all is well."""
    rows = []
    for name, now in steps.items():
        was = kept.get(name)
        if was is None:
            verdict = "new"
        elif now > was * (1 + ALLOWED):
            verdict = "grew"
        else:
            verdict = "shrank" if now < was * (1 - ALLOWED) else ""
        rows.append((name, now, was, verdict))
    return rows + [(name, None, was, "gone") for name, was in kept.items() if name not in steps]


# ---- what it was counted with ----

def cached(build, key):
    with open(f"{build}/CMakeCache.txt", encoding="utf-8") as cache:
        found = re.search(rf"^{key}:\w+=(.*)$", cache.read(), re.M)
    return found[1] if found else ""


def compiler_of(build):
    if cached(build, "CMAKE_BUILD_TYPE") != "RelWithDebInfo" or cached(build, "MQWARD_SANITIZE"):
        raise BenchError(f"{build} is not built as the preset 'release' is")
    command = [cached(build, "CMAKE_C_COMPILER"), "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[0]


def machine_of():
    """Callgrind shows programs the same processor on all machines of this kind."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        wide = re.search(r"^flags\s*:.*\bavx2\b", cpuinfo.read(), re.M)
    return f"{platform.machine()}{' with AVX2' if wide else ''}"


def commit_of():
    def git(*arguments):
        result = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BenchError(f"git {arguments[0]}: {result.stderr.strip()}")
        return result.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    head = git("rev-parse", "--short", "HEAD")
    return f"commit {head}{', with changes that were not committed yet' if changed else ''}"


# ---- what is printed ----

def print_rows(rows):
    print(f"{'step':<72} {'now':>13} {'kept':>13} {'ratio':>6}")
    for name, now, was, verdict in rows:
        ratio = f"{now / was:6.2f}" if now is not None and was else f"{'':>6}"
        cells = [f"{'' if value is None else show(value):>13}" for value in (now, was)]
        print(f"{name:<72} {' '.join(cells)} {ratio} {verdict.upper()}".rstrip())


def print_verdict(rows, compiler, kept_compiler):
    """Returns whether all is well. What is wrong comes last, so that it is seen."""
    bad = [row for row in rows if row[3]]
    if not bad:
        print(f"ok: {len(rows)} steps, each within {ALLOWED:.0%} of what is kept")
        return True
    print(f"\nFAILED: {len(bad)} of {len(rows)} steps")
    print_rows(bad)
    if compiler != kept_compiler:
        print(f"The kept numbers are those of {kept_compiler}; this is {compiler}.")
    if any(verdict == "grew" for *_, verdict in bad):
        print("What grew: make it cheaper, or, if it is worth it, keep the new number and say why in the commit.")
    if any(verdict != "grew" for *_, verdict in bad):
        print("What is new, gone or cheaper: keep the numbers of now (tests/bench/run.sh --instructions --write), or "
              "the next one that grows would not be seen.")
    return False


def check(rows, counts, comparable, compilers):
    good = decisions.judge(counts["decisions"], (10, 10000), decisions.DECISION_RATIO)
    good = decisions.judge(counts["load"], (1000, 10000), decisions.LOAD_RATIO) and good
    good = signatures.judge(counts["signatures"]) and good
    if comparable:
        return print_verdict(rows, *compilers) and good
    print("NOT COMPARED: this machine is of another kind than that of the kept numbers, so only the bounds were held")
    return good


def read_kept():
    with open(README, encoding="utf-8") as readme:
        return split(readme.read())


def keep(steps, machine, compiler):
    before, _, after = read_kept()
    with open(README, "w", encoding="utf-8") as readme:
        readme.write(before + BEGIN + render(steps, machine, compiler, commit_of()) + END + after)
    print(f"kept: {len(steps)} steps")


def run(options):
    compiler, machine = compiler_of(options.build), machine_of()
    kept_machine, kept_compiler, kept_steps = parse(read_kept()[1])
    counts = count_all(os.path.abspath(options.build), options.dumps)
    steps = steps_of(counts)
    if options.write:
        keep(steps, machine, compiler)
        return True
    rows = compare(kept_steps, steps)
    print_rows(rows)
    print(f"kept: {kept_compiler} on {kept_machine}; now: {compiler} on {machine}")
    return not options.check or check(rows, counts, kept_machine in ("", machine), (compiler, kept_compiler))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, help="build folder, of the preset release")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--check", action="store_true",
                      help="exit with 1 if a step differs from its kept number by more than a tenth, is new or gone")
    does.add_argument("--write", action="store_true", help="keep the numbers of now in README.md")
    parser.add_argument("--dumps", metavar="DIR", help="leave callgrind's files there")
    try:
        if not run(parser.parse_args()):
            sys.exit(1)
    except BenchError as error:
        sys.exit(f"instructions: {error}")


if __name__ == "__main__":
    main()
