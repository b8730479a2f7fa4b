# SPDX-License-Identifier: Apache-2.0
"""Runs mqward-bench-micro with generated policies: nanoseconds, and instructions where valgrind is installed."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

import peers
from processes import BenchError

RULES = (10, 1000, 10000)


def instructions(folder):
    """{name: instructions for one time} from callgrind's dumps."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/callgrind.out.*"), key=lambda path: int(path.rsplit(".", 1)[1])):
        with open(path, encoding="utf-8", errors="replace") as dump:
            text = dump.read()
        label = re.search(r"^desc: Trigger: Client Request: (.+) (\d+)$", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if label and total and int(total[1]) > 0:
            found[label[1]] = int(total[1]) / int(label[2])
    return found


def count_instructions(command, folder, timeout=600, environment=None):
    """Runs one of the micro-benchmarks under callgrind: {name: instructions for one time}, empty if it was built
    without callgrind's header. environment: instead of this process's."""
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/callgrind.out"]
    result = subprocess.run(
        [*callgrind, *command], capture_output=True, text=True, check=False, timeout=timeout, env=environment)
    if result.returncode != 0:
        raise BenchError(f"callgrind: {result.stderr[-2000:]}")
    return instructions(folder)


def run(build):
    binary = f"{build}/tests/bench/mqward-bench-micro"
    if not os.access(binary, os.X_OK):
        raise BenchError(f"{binary} is not there")
    with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
        command = [binary]
        for count in RULES:
            command.append(peers.write(f"{folder}/{count}-rules", peers.policy_text(count, False)))
        if subprocess.run(command, check=False, timeout=300).returncode != 0:
            raise BenchError("the micro-benchmarks failed")
        if not shutil.which("valgrind"):
            print("no instructions: valgrind is not installed")
            return
        counts = count_instructions(command, folder)
        if not counts:
            print("no instructions: built without valgrind/callgrind.h")
            return
        print(f"\n{'instructions':<44}")
        for name, count in counts.items():
            print(f"{name:<44} {count:9.1f}")
