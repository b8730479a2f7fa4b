#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a policy's decisions cost for 10 to 10,000 rules and for clients in 1 to 50 groups: CPU time and instructions.

    tests/bench/run.sh --decisions                         # the tables of README.md
    tests/bench/decisions.py --build build/release --check # the bounds that it must keep, in instructions; 20 seconds
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import micro
import rulesets
from processes import BenchError

RULES = (10, 100, 1000, 10000)
GROUPS = (1, 10, 50)
# What --check allows: a decision's instructions for 10,000 rules by those for 10; loading's by those for 1,000.
DECISION_RATIO = 2.0
LOAD_RATIO = 15.0


def name_parts(name):
    """ "fleet-10-1 publish: allowed" -> ("fleet", 10, 1, "publish: allowed")"""
    policy, case = name.split(" ", 1)
    kind, rules, groups = policy.split("-")
    return kind, int(rules), int(groups), case


def measure_times(command):
    """{name: (median, least) nanoseconds}"""
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    if result.returncode != 0:
        raise BenchError(f"{command[0]}: {result.stderr[-2000:]}")
    times = {}
    for line in result.stdout.splitlines()[1:]:
        name, median, least, _ = line.rsplit(None, 3)
        times[name.strip()] = (float(median), float(least))
    return times


def duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def number(count):
    return f"{count:,.0f}"


def print_table(title, values, show, note):
    """values: {name: number}. A row for each case and number of groups, a column for each number of rules."""
    rows = {}
    for name, value in values.items():
        kind, rules, groups, case = name_parts(name)
        rows.setdefault((kind, case, groups), {})[rules] = value
    columns = ["set", "decision", "groups", *(f"{rules:,} rules" for rules in RULES), note]
    print(f"\n{title}\n\n| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    for (kind, case, groups), found in sorted(rows.items(), key=lambda item: list(rulesets.SETS).index(item[0][0])):
        cells = [show(found[rules]) if rules in found else "" for rules in RULES]
        print(f"| {kind} | {case} | {groups} | " + " | ".join(cells) + f" | {found[RULES[-1]] / found[RULES[0]]:.2f} |")


def write_policies(folder, rules, groups, kinds):
    return [rulesets.write(folder, kind, count, number_of_groups)
            for kind in kinds for number_of_groups in (groups if kind == "fleet" else groups[:1]) for count in rules]


def binary_of(build):
    path = f"{build}/tests/bench/mqward-bench-decisions"
    if not os.access(path, os.X_OK):
        raise BenchError(f"{path} is not there")
    return path


def run(build):
    with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
        policies = write_policies(folder, RULES, GROUPS, rulesets.SETS)
        times = measure_times([binary_of(build), *policies])
        ratio = f"{RULES[-1]:,} / {RULES[0]}"
        print_table("CPU time, least of 15 rounds", {name: time[1] for name, time in times.items()}, duration, ratio)
        print_table("CPU time, median of them", {name: time[0] for name, time in times.items()}, duration, ratio)
        if not shutil.which("valgrind"):
            print("\nno instructions: valgrind is not installed")
            return
        counts = micro.count_instructions([binary_of(build), "--decisions", *policies], folder, timeout=1800)
        if not counts:
            print("\nno instructions: built without valgrind/callgrind.h")
            return
        print_table("Instructions", counts, number, ratio)


def judge(counts, rules, ratio):
    """Prints a line for each case of the most rules, and what the fewest cost; returns whether all are within the ratio."""
    good = True
    for name, many in counts.items():
        kind, count, number_of_groups, case = name_parts(name)
        if count != rules[1]:
            continue
        few = counts[f"{kind}-{rules[0]}-{number_of_groups} {case}"]
        verdict = "ok" if many <= ratio * few else "FAILED"
        good = good and verdict == "ok"
        print(f"{verdict:<6} {case:<40} {number_of_groups:>2} groups: {number(few):>11} instructions with {rules[0]:,} "
              f"rules, {number(many):>13} with {rules[1]:,}")
    return good


def compare(build, what, rules, groups, ratio):
    with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
        policies = write_policies(folder, rules, groups, ("fleet",))
        counts = micro.count_instructions([binary_of(build), what, *policies], folder, timeout=300)
    if not counts:
        raise BenchError("no instructions: built without valgrind/callgrind.h")
    return judge(counts, rules, ratio)


def check(build):
    """Instructions are the same on every machine and at every hour, so this may fail a build; time may not. Returns
    whether decisions and loading are as they should be. tests/bench/run.sh --instructions --check does it, too."""
    decisions = compare(build, "--decisions", (RULES[0], RULES[-1]), (GROUPS[0], GROUPS[-1]), DECISION_RATIO)
    return compare(build, "--load", RULES[-2:], GROUPS[:1], LOAD_RATIO) and decisions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, help="build folder, optimised")
    parser.add_argument("--check", action="store_true",
                        help="exit with 1 if 10,000 rules cost more than twice what 10 cost, or loading is not linear")
    options = parser.parse_args()
    try:
        if not options.check:
            run(options.build)
        elif not check(options.build):
            sys.exit(1)
    except BenchError as error:
        sys.exit(f"decisions: {error}")


if __name__ == "__main__":
    main()
