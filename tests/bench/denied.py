#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a refused message costs, by what an allowed one costs: CPU of all threads, exporter and journal included.

    tests/bench/denied.py --build build/release            # the table of README.md; half a minute
    tests/bench/denied.py --build build/release --help

Each case is a mqward of its own, all in front of one sink; they have their turns one after the other, round by round. A
measurement begins when all connections are open, and ends when the last of them has ended, which mqward does when it has
handled all that was sent: what it refuses no broker can count."""

import argparse
import os
import shutil
import statistics
import sys
import tempfile

import peers
from processes import LOOPBACK, BenchError, Process, Sink, cpu_nanoseconds, free_port

CONFIGURATION = """\
version: 1
workers: 1
policy: policy.yaml
listeners:
  - name: bench
    address: {host}:{port}
    tls: {{certificate: {folder}/server.pem, key: {folder}/server.key, min_version: "1.3"}}
    limits: {{connections: {limit}, connections_per_address: 0}}
upstreams: [{{name: sink, address: "{host}:{sink}"}}]
audit: {{directory: {own}/audit}}
"""

POLICY = """\
version: 1
policy: bench
identity: [{anonymous: {id: anonymous}}]
rules:
"""

ALLOW = '  - {rule: data, who: everyone, allow: publish, topics: ["bench/<client_id>/#"]}\n'
DENY = '  - {rule: none, who: everyone, deny: publish, topics: ["bench/#"]}\n'
NOTHING = '  - {rule: other, who: everyone, allow: publish, topics: ["other/#"]}\n'
RATE = 'checks:\n  - {check: rate, topics: "#", rate: {per: id, messages: 1/m}}\n'

QOS_1 = ["--qos", "1", "--version", "5.0"]
# (case, policy, options of the load generator, the case that it is compared with)
CASES = [
    ("allowed", POLICY + ALLOW, [], None),
    ("nothing allows", POLICY + NOTHING, [], "allowed"),
    ("a rule denies", POLICY + ALLOW + DENY, [], "allowed"),
    ("over a rate", POLICY + ALLOW + RATE, [], "allowed"),
    ("allowed, 4 topics", POLICY + ALLOW, ["--topics", "4"], None),
    ("a rule denies, 4 topics", POLICY + ALLOW + DENY, ["--topics", "4"], "allowed, 4 topics"),
    ("allowed, QoS 1, 5.0", POLICY + ALLOW, QOS_1, None),
    ("a rule denies, QoS 1, 5.0", POLICY + ALLOW + DENY, QOS_1, "allowed, QoS 1, 5.0"),
]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add = parser.add_argument
    add("--build", required=True, help="build folder")
    add("--mqward", help="the binary (default: proxy/mqward in the build folder)")
    add("--cases", help="some of them, by number, as 1,2,4 (default: all)")
    add("--rounds", type=int, default=3, help="default: 3")
    add("--messages", type=int, default=4000000, help="of a measurement; with QoS 1 a tenth (default: 4,000,000)")
    add("--connections", type=int, default=100, help="default: 100")
    add("--mode", choices=["batch", "single", "cork"], default="batch", help="default: batch")
    return parser.parse_args()


class Case:
    """A mqward with its policy."""

    def __init__(self, bench, number):
        self.bench = bench
        self.name, policy, self.load, self.base = CASES[number]
        own = f"{bench.folder}/case-{number}"
        os.makedirs(own)
        self.port = free_port()
        peers.write(f"{own}/policy.yaml", policy)
        text = CONFIGURATION.format(host=LOOPBACK, port=self.port, sink=bench.sink.port, folder=bench.folder, own=own,
                                    limit=bench.options.connections + 100)
        command = [bench.mqward, "run", "-c", peers.write(f"{own}/mqward.yaml", text)]
        self.process = Process(f"mqward, {self.name}", command, bench.cores, f"{own}/log")
        self.costs = []

    def messages(self):
        return self.bench.options.messages // (10 if "--qos" in self.load else 1)

    def measure(self):
        options = self.bench.options
        command = [self.bench.generator, "--target", f"{LOOPBACK}:{self.port}", "--tls", "--ca", f"{self.bench.folder}/ca.pem",
                   "--mode", options.mode, "--connections", str(options.connections), "--messages", str(self.messages()), *self.load]
        before = cpu_nanoseconds(self.process.child.pid)
        generator = Process("load", command, self.bench.cores, f"{self.bench.folder}/load.log", pipe=True)
        try:
            generator.line(60)
            before = cpu_nanoseconds(self.process.child.pid)
            sent = generator.line(120)
            spent = cpu_nanoseconds(self.process.child.pid) - before
        finally:
            generator.stop()
        if sent["sent"] != self.messages() or sent["lost"]:
            raise BenchError(f"{self.name}: {sent}\n{generator.log_tail()}{self.process.log_tail()}")
        self.costs.append(spent / 1000 / sent["sent"])


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.mqward = options.mqward or f"{options.build}/proxy/mqward"
        self.generator = f"{options.build}/tests/bench/mqward-bench-load"
        self.cores = {min(os.sched_getaffinity(0))}
        self.sink = None
        self.cases = []

    def start(self):
        chosen = range(len(CASES)) if self.options.cases is None else [int(number) for number in self.options.cases.split(",")]
        peers.make_certificates(self.folder)
        self.sink = Sink(f"{self.options.build}/tests/bench/mqward-bench-sink", self.cores, f"{self.folder}/sink.log")
        for number in chosen:
            case = Case(self, number)
            self.cases.append(case)
            case.process.wait_listening(case.port, 30)

    def stop(self):
        for case in self.cases:
            case.process.stop()
        if self.sink is not None:
            self.sink.stop()

    def print_table(self):
        medians = {case.name: statistics.median(case.costs) for case in self.cases}
        print(f"\n| {self.options.mode}, 64 B | us of CPU | min to max | of an allowed one |\n|---|---|---|---|")
        for case in self.cases:
            ratio = f"{medians[case.name] / medians[case.base]:.2f}" if case.base in medians else ""
            print(f"| {case.name} | {medians[case.name]:.3f} | {min(case.costs):.3f} to {max(case.costs):.3f} | {ratio} |")


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    folder = tempfile.mkdtemp(prefix="mqward-bench-")
    bench = Bench(parse_arguments(), folder)
    try:
        bench.start()
        for _ in range(bench.options.rounds):
            for case in bench.cases:
                case.measure()
        bench.print_table()
    except BenchError as error:
        sys.exit(f"denied: {error}")
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
