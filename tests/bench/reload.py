#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a reload costs with 10,000 connected clients: CPU, how long it takes, and how long clients wait meanwhile.

    tests/bench/reload.py --build build/release [--clients 10000] [--rules 1000] [--rounds 5]

In front of Mosquitto, on loopback. Two policies alternate, whose rules are the same but for one tree; each client has a
subscription that both grant. Probes publish what no policy allows, so that the answer (PUBACK with 0x87) is the proxy's
own: what a probe waits is what its worker's loop was busy, besides this script's own time."""

import argparse
import os
import signal
import sys
import tempfile
import time

# The brokers, the proxy and the clients are those of the end-to-end tests.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import raw  # noqa: E402
from brokers.mosquitto import Mosquitto  # noqa: E402
from crowd import Crowd, possible  # noqa: E402
from servers import Mqward, raise_file_limit  # noqa: E402

PROBES = 8
QUIET = 0.3  # seconds without CPU time: the reload is over

HEAD = """\
version: 1
policy: {name}
identity:
  - anonymous: {{id: guest}}
groups:
  g0: {{source: anonymous}}
rules:
  - {{rule: both, who: g0, allow: [publish, subscribe], topics: ["both/#", "{tree}/#"]}}
"""
FILLER = '  - {{rule: r-{n}, who: g0, allow: publish, topics: ["plant-{n}/+/<client_id>/#"]}}\n'


def policy(tree, rules):
    return HEAD.format(name=tree, tree=tree) + "".join(FILLER.format(n=n) for n in range(rules - 1))


class Bench:
    def __init__(self, options, folder):
        self.rules = options.rules
        self.clients = possible(options.clients)
        self.broker = Mosquitto(f"{folder}/broker").start()
        configuration = {
            "version": 1, "workers": options.workers, "policy": "policy.yaml",
            "listeners": [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True,
                           "limits": {"connections": 0, "connections_per_address": 0}}],
            "upstreams": [{"name": "main", "address": f"127.0.0.1:{self.broker.port}"}],
            "audit": {"directory": "audit"}, "log": {"level": "info", "format": "json"}, "drain": "1s",
        }
        self.proxy = Mqward(f"{folder}/mqward", configuration, policy("first", self.rules)).start()
        self.crowd = Crowd()

    def stop(self):
        self.crowd.close()
        self.proxy.stop()
        self.broker.stop()

    def fill(self):
        names = [f"c{index}" for index in range(self.clients - PROBES)]
        self.all = self.crowd.open_all(self.proxy.ports["plain"], names, lambda index: (raw.V311, raw.V5)[index % 2])
        for index, member in enumerate(self.all):
            member.subscribe(f"both/in/{index}")
        self.crowd.run_until(lambda: all(member.granted for member in self.all), "all subscriptions", 120, every=0.2)
        names = [f"p{index}" for index in range(PROBES)]
        self.probes = self.crowd.open_all(self.proxy.ports["plain"], names, lambda _: raw.V5)

    def cpu(self):
        """Seconds that all of its threads have used."""
        total = 0
        for task in os.listdir(f"/proc/{self.proxy.process.pid}/task"):
            with open(f"/proc/{self.proxy.process.pid}/task/{task}/schedstat", encoding="ascii") as schedstat:
                total += int(schedstat.read().split()[0])
        return total / 1e9

    def prepare(self, tree):
        self.proxy.policy = policy(tree, self.rules)
        self.proxy.write()
        self.reloads = len(self.proxy.logged("reloaded"))

    def measure_cost(self, tree):
        """(CPU seconds, seconds until 95 % of them were used), without any traffic."""
        self.prepare(tree)
        began = time.monotonic()
        samples = [(began, self.cpu())]
        self.proxy.signal(signal.SIGHUP)
        while len(samples) < 2 or samples[-1][0] - began < QUIET or samples[-1][1] - self.at(samples, QUIET) > 0.001:
            time.sleep(0.002)
            samples.append((time.monotonic(), self.cpu()))
        before, used = samples[0][1], samples[-1][1] - samples[0][1]
        return used, next(when for when, cpu in samples if cpu - before >= 0.95 * used) - began

    @staticmethod
    def at(samples, ago):
        """What the sample of so many seconds ago said."""
        return next(cpu for when, cpu in reversed(samples) if when <= samples[-1][0] - ago)

    def measure_waits(self, seconds, tree=None):
        """The waits of all probes, in milliseconds, sorted; with a reload in it if there is a tree."""
        self.prepare(tree or "first")
        for probe in self.probes:
            probe.answers.clear()
        if tree:
            self.proxy.signal(signal.SIGHUP)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for probe in self.probes:
                if not probe.sending:
                    probe.publish("nobody/may", b"probe")
            self.crowd.turn(0.01)
        self.crowd.run_until(lambda: not any(probe.sending for probe in self.probes), "the last answers")
        assert not tree or len(self.proxy.logged("reloaded")) > self.reloads, "not reloaded in time"
        assert all(code == 0x87 for probe in self.probes for _, code, _ in probe.answers)
        return sorted(seconds * 1000 for probe in self.probes for _, _, seconds in probe.answers)


def show_waits(title, waits):
    print(f"{title:<34} {len(waits):>6} waits: median {waits[len(waits) // 2]:.2f} ms, "
          f"p99 {waits[len(waits) * 99 // 100]:.2f} ms, longest {waits[-1]:.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["MQWARD_BINARY"] = os.path.abspath(f"{options.build}/proxy/mqward")
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="mqward-bench-") as folder:
        bench = Bench(options, folder)
        try:
            bench.fill()
            print(f"{bench.clients} clients, {options.rules} rules, {options.workers} workers", flush=True)
            trees = [("second", "first")[index % 2] for index in range(2 * options.rounds)]
            for tree in trees[:options.rounds]:
                cpu, wall = bench.measure_cost(tree)
                print(f"reload without traffic: {cpu * 1000:.0f} ms of CPU "
                      f"({cpu / bench.clients * 1e6:.1f} us a client), "
                      f"95 % of it within {wall * 1000:.0f} ms", flush=True)
            show_waits("probes, no reload", bench.measure_waits(3))
            for tree in trees[options.rounds:]:
                show_waits("probes, with a reload", bench.measure_waits(3, tree))
            assert not any(member.closed for member in bench.all), "connections were lost"
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
