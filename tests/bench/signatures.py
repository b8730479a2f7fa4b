#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a verified message of 128 bytes costs, by what OpenSSL's own HMAC-SHA-256 of the same bytes costs.

    tests/bench/run.sh --signatures                           # the table of README.md
    tests/bench/signatures.py --build build/release --check   # the bound that it must keep, in instructions; 20 seconds
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import micro
from processes import BenchError

# What --check allows: a verification by the cheapest of OpenSSL's ways to the same MAC.
RATIO = 2.0
REFERENCE = "openssl"


def name_parts(name):
    """ "verify-1000 envelope, replay" -> ("verify", 1000, "envelope, replay")"""
    what, case = name.split(" ", 1)
    kind, devices = what.split("-")
    return kind, int(devices), case


def measure_times(command):
    """{name: median nanoseconds of the CPU}; all subjects alternate, so that they see the same hour."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if result.returncode != 0:
        raise BenchError(f"{command[0]}: {result.stderr[-2000:]}")
    lines = [line.rsplit(None, 3) for line in result.stdout.splitlines()[1:]]
    return {name.strip(): float(median) for name, median, _, _ in lines}


def references(values):
    """{devices: (the cheapest of OpenSSL's, its name)}"""
    found = {}
    for name, value in values.items():
        kind, devices, case = name_parts(name)
        if kind == REFERENCE:
            found[devices] = min(found.get(devices, (value, case)), (value, case))
    return found


def ratios(values):
    """[(devices, case, value, ratio)] of the verifications."""
    cheapest = references(values)
    parts = [(name_parts(name), value) for name, value in values.items()]
    return [(devices, case, value, value / cheapest[devices][0])
            for (kind, devices, case), value in parts if kind != REFERENCE]


def print_table(unit, values):
    print(f"\n| devices | verified | {unit} | of OpenSSL's |\n|---|---|---|---|")
    for devices, (value, case) in references(values).items():
        print(f"| {devices} | OpenSSL: {case} | {value:,.0f} | 1 |")
    for devices, case, value, ratio in ratios(values):
        print(f"| {devices} | {case} | {value:,.0f} | {ratio:.2f} |")


def binary_of(build):
    path = f"{build}/tests/bench/mqward-bench-signatures"
    if not os.access(path, os.X_OK):
        raise BenchError(f"{path} is not there")
    return path


def count(build):
    with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
        return micro.count_instructions([binary_of(build)], folder)


def run(build):
    print_table("ns of CPU", measure_times([binary_of(build)]))
    counts = count(build) if shutil.which("valgrind") else {}
    if counts:
        print_table("instructions", counts)
    else:
        print("\nno instructions: valgrind is not installed, or its header was not when this was built")


def judge(counts):
    """Prints a line for each verification; returns whether all are within the bound."""
    good = True
    for devices, case, value, ratio in ratios(counts):
        verdict = "ok" if ratio <= RATIO else "FAILED"
        good = good and verdict == "ok"
        print(f"{verdict:<6} {case:<20} {devices:>5} devices: {value:>7,.0f} instructions, {ratio:.2f} of OpenSSL's")
    return good


def check(build):
    """Instructions are the same at every hour, so this may fail a build; time may not. Returns whether every
    verification is within the bound. tests/bench/run.sh --instructions --check does it, too."""
    counts = count(build)
    if not counts:
        raise BenchError("no instructions: built without valgrind/callgrind.h")
    return judge(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, help="build folder, optimised")
    parser.add_argument("--check", action="store_true",
                        help=f"exit with 1 if a verification costs more than {RATIO:g} times OpenSSL's HMAC")
    options = parser.parse_args()
    try:
        if not options.check:
            run(options.build)
        elif not check(options.build):
            sys.exit(1)
    except BenchError as error:
        sys.exit(f"signatures: {error}")


if __name__ == "__main__":
    main()
