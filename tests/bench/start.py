#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a start costs with 10,000 rules of the policy and 5,000 of YARA: time, CPU, and the most memory.

    tests/bench/start.py --build build/release [--policy-rules 10000] [--yara-rules 5000] [--rounds 5]

For each case, side by side in each round: 'mqward check', which reads all that a start needs, and 'mqward run' until its
port accepts a connection. Times are by the clock, the least and the median of the rounds; CPU is of all threads, and with
'mqward check' of the whole process. Loading compiles on all processors: --processors 2 takes that many."""

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import rulesets
from peers import make_certificates, write
from processes import LOOPBACK, BenchError, free_port

CONFIG = """\
version: 1
policy: policy.yaml
cas: {{fleet: {certificates}/ca.pem}}
listeners:
  - name: mqtt
    address: "{host}:{port}"
    tls:
      certificate: {certificates}/server.pem
      key: {certificates}/server.key
      client_certificate: required
      client_ca: [fleet]
upstreams:
  - {{name: main, address: "{host}:1"}}
audit: {{directory: audit}}
"""
RULES = "rules: {fleet: {files: rules.yar}}\n"
TEN_RULES = 10
WAIT = 60  # seconds for a start


class Start:
    """One of the cases: a folder with all that it reads."""

    def __init__(self, options, folder, name, policy_rules, yara_rules):
        self.name = name
        self.binary = f"{options.build}/proxy/mqward"
        self.folder = f"{folder}/{name.replace(' ', '-')}"
        self.port = free_port()
        self.checks, self.runs = [], []
        os.makedirs(f"{self.folder}/audit", mode=0o700)
        write(f"{self.folder}/policy.yaml", rulesets.fleet(policy_rules, 1))
        config = CONFIG.format(host=LOOPBACK, port=self.port, certificates=folder)
        if yara_rules:
            with open(f"{self.folder}/rules.yar", "wb") as out:
                command = [f"{options.build}/tests/bench/mqward-bench-rules", str(yara_rules)]
                subprocess.run(command, stdout=out, check=True)
            config += RULES
        self.config = write(f"{self.folder}/mqward.yaml", config)

    def spawn(self, command):
        with open(f"{self.folder}/log", "wb") as log:
            return subprocess.Popen([self.binary, command, "-c", self.config], cwd=self.folder, stdout=log, stderr=log)

    def fail(self, what):
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as log:
            raise BenchError(f"{self.name}: {what}: {log.read()[-2000:]}")

    def check(self):
        """(seconds, CPU seconds, MiB)"""
        begun = time.monotonic()
        process = self.spawn("check")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - begun
        if process.returncode != 0:
            self.fail("mqward check")
        self.checks.append((took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))

    def run(self):
        """Seconds until the port accepts."""
        begun = time.monotonic()
        process = self.spawn("run")
        try:
            while True:
                try:
                    socket.create_connection((LOOPBACK, self.port), timeout=WAIT).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() - begun > WAIT:
                        self.fail("mqward run")
                    time.sleep(0.002)
            self.runs.append(time.monotonic() - begun)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WAIT)

    def row(self):
        took, cpu, memory = (list(column) for column in zip(*self.checks))
        cells = [f"{min(took):.2f} ({statistics.median(took):.2f})", f"{min(cpu):.2f} ({statistics.median(cpu):.2f})",
                 f"{max(memory):.0f}", f"{min(self.runs):.2f} ({statistics.median(self.runs):.2f})"]
        return f"| {self.name} | " + " | ".join(cells) + " |"


def measure(options, folder):
    make_certificates(folder)
    policy, yara = options.policy_rules, options.yara_rules
    starts = [Start(options, folder, f"{TEN_RULES} rules", TEN_RULES, 0),
              Start(options, folder, f"{policy} rules", policy, 0),
              Start(options, folder, f"{yara} YARA rules", TEN_RULES, yara),
              Start(options, folder, f"{policy} rules and {yara} YARA rules", policy, yara)]
    for _ in range(options.rounds):
        for start in starts:
            start.check()
            start.run()
    print("| | check: s, least (median) | CPU s | most MiB | run: s until it accepts |\n|---|---|---|---|---|")
    for start in starts:
        print(start.row())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--policy-rules", type=int, default=10000)
    parser.add_argument("--yara-rules", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processors", type=int, default=0, help="use only so many (default: all)")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.processors:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.processors])
    try:
        with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
            measure(options, folder)
    except BenchError as error:
        sys.exit(f"start.py: {error}")


if __name__ == "__main__":
    main()
