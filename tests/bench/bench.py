#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU-microseconds that a proxy spends on one message, side by side for several proxies in one interleaved run.

Every measurement: the load generator opens its connections through the proxy, sends for the warm-up, and then the proxy's
CPU (all threads, user and system) and the sink's count are read at the start and at the end of a window. At the end of each
the sink must have got exactly what was sent."""

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time

import decisions
import micro
import peers
import signatures
from processes import LOOPBACK, BenchError, Process, Sink, cpu_nanoseconds, free_port

# name: options of the load generator
LOADS = {
    "batch-64": ["--mode", "batch", "--payload", "64"],
    "single-64": ["--mode", "single", "--payload", "64"],
    "cork-64": ["--mode", "cork", "--payload", "64"],
    "paced-64": ["--mode", "paced", "--payload", "64"],
    "batch-1k": ["--mode", "batch", "--payload", "1024"],
    "single-1k": ["--mode", "single", "--payload", "1024"],
}


def words(known):
    def parse(text):
        chosen = text.split(",")
        for word in chosen:
            if word not in known:
                raise argparse.ArgumentTypeError(f"unknown '{word}', expected some of {','.join(known)}")
        return chosen

    return parse


def numbers(text):
    chosen = [int(word) for word in text.split(",")]
    if min(chosen) < 1 or max(chosen) > 100000:
        raise argparse.ArgumentTypeError("expected numbers from 1 to 100000")
    return chosen


def bounded(kind, least, most):
    def parse(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}")
        return value

    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add = parser.add_argument
    add("--build", required=True, help="build folder")
    add("--mqward", help="the binary (default: proxy/mqward in the build folder)")
    add("--proxies", type=words(["mqward", "haproxy", "nginx"]), help="default: mqward,haproxy,nginx, those that are there")
    add("--loads", type=words(list(LOADS)), default=list(LOADS), help=f"default: {','.join(LOADS)}")
    add("--rules", type=numbers, default=[1000], help="rules in mqward's policy; several numbers: one mqward each (default: 1000)")
    add("--rounds", type=bounded(int, 1, 100), default=5, help="default: 5")
    add("--seconds", type=bounded(float, 0.2, 600), default=2.0, help="of a measurement (default: 2)")
    add("--warmup", type=bounded(float, 0, 60), default=0.7, help="seconds before it (default: 0.7)")
    add("--connections", type=bounded(int, 1, 20000), default=100, help="default: 100")
    add("--rate", type=bounded(int, 1, 1000000), default=20000, help="messages a second in paced loads (default: 20000)")
    add("--qos", choices=["0", "1"], default="0", help="default: 0")
    add("--topics", type=bounded(int, 1, 100000), default=1, help="topics of a connection, in turn (default: 1)")
    add("--version", choices=["3.1.1", "5.0"], default="3.1.1", help="of MQTT (default: 3.1.1)")
    add("--client-certificates", action="store_true", help="clients show a certificate, proxies demand it")
    add("--pin", choices=["one", "split", "none"], default="one",
        help="one: proxy, generator and sink share a core; split: the proxy has its own (default: one)")
    add("--json", metavar="FILE", help="write every measurement to FILE")
    add("--micro", action="store_true", help="run the micro-benchmarks instead")
    add("--decisions", action="store_true", help="instead: what decisions cost, by rules and groups")
    add("--signatures", action="store_true", help="instead: what a verified message costs, by OpenSSL's HMAC of it")
    return parser.parse_args()


def cores_of(pin):
    """The proxy's cores and the others'. The script itself stays off the proxy's core where there are two."""
    available = sorted(os.sched_getaffinity(0))
    if pin == "none" or len(available) < 2:
        return set(available), set(available)
    os.sched_setaffinity(0, {available[1]})
    return {available[0]}, {available[1] if pin == "split" else available[0]}


def raise_file_limit(needed):
    """Descriptors: a proxy has two a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed and hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(f"needs {needed} open files, the limit is {hard} (ulimit -n)")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Bench:
    """A run: the processes, and a measurement of one proxy under one load."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.load_binary = f"{options.build}/tests/bench/mqward-bench-load"
        self.proxy_cores, self.other_cores = cores_of(options.pin)
        self.sink = None
        self.proxies = {}  # name: (process, port)

    def start(self, rows):
        options = self.options
        raise_file_limit(options.connections * 2 + 400)
        peers.make_certificates(self.folder)
        self.sink = Sink(f"{options.build}/tests/bench/mqward-bench-sink", self.other_cores, f"{self.folder}/sink.log")
        setting = peers.Setting(self.folder, self.sink.port, options.connections, options.client_certificates, options.mqward)
        for name, configure in rows:
            port = free_port()
            log = f"{self.folder}/{name.replace('/', '-')}.log"
            process = Process(name, configure(setting, port), self.proxy_cores, log)
            self.proxies[name] = (process, port)
            process.wait_listening(port, 30)

    def stop(self):
        for process, _ in self.proxies.values():
            process.stop()
        if self.sink is not None and self.sink.stop() != 0:
            raise BenchError(f"the sink failed\n{self.sink.log_tail()}")

    def load_command(self, load, port):
        options = self.options
        command = [self.load_binary, "--target", f"{LOOPBACK}:{port}", "--tls", "--ca", f"{self.folder}/ca.pem", *LOADS[load],
                   "--connections", str(options.connections), "--rate", str(options.rate), "--qos", options.qos,
                   "--topics", str(options.topics), "--version", options.version]
        if options.client_certificates:
            command += ["--certificate", f"{self.folder}/client.pem", "--key", f"{self.folder}/client.key"]
        return command

    def sample(self, pid):
        """(messages that arrived, CPU ns, wall ns), all read when the sink's answer is here."""
        return self.sink.totals()["publishes"], cpu_nanoseconds(pid), time.monotonic_ns()

    def measure(self, name, load):
        process, port = self.proxies[name]
        pid = process.child.pid
        before = self.sink.totals()
        generator = Process("load", self.load_command(load, port), self.other_cores, f"{self.folder}/load.log", pipe=True)
        try:
            generator.line(20 + self.options.connections / 50)
            time.sleep(self.options.warmup)
            start = self.sample(pid)
            time.sleep(self.options.seconds)
            end = self.sample(pid)
            generator.child.terminate()
            sent = generator.line(30)
        except (BenchError, OSError) as error:
            ended = process.child.poll()
            state = "runs" if ended is None else f"ended with {ended}"
            raise BenchError(f"{name}, {load}: {error}\n{name} {state}; it said:\n{process.log_tail()}") from error
        finally:
            code = generator.stop()
        after = self.sink.totals_when_idle()
        messages, cpu, wall = (last - first for first, last in zip(start, end))
        arrived = after["publishes"] - before["publishes"]
        if arrived != sent["sent"] or sent["lost"] or sent["unfinished"] or sent["refused"] or code != 0:
            raise BenchError(f"{name}, {load}: {sent['sent']} messages sent, {arrived} arrived; generator: {sent}, exit code {code}\n"
                             f"{generator.log_tail()}{process.log_tail()}")
        if messages == 0:
            raise BenchError(f"{name}, {load}: no message arrived in {self.options.seconds} s")
        return {"proxy": name, "load": load, "us": cpu / 1000 / messages, "rate": messages * 1e9 / wall, "busy": cpu / wall,
                "messages": messages, "skipped": sent["skipped"]}


def print_table(results, loads, names):
    bases = [name for name in ("haproxy", "nginx") if name in names]
    print(f"\n{'load':<10} {'proxy':<13} {'us/message':>10} {'min':>8} {'max':>8} "
          + " ".join(f"{'/' + base:>9}" for base in bases) + f" {'messages/s':>12} {'core':>5}")
    for load in loads:
        cells = {name: [r for r in results if r["proxy"] == name and r["load"] == load] for name in names}
        median = {name: statistics.median(r["us"] for r in cells[name]) for name in names}
        for name in names:
            costs = [r["us"] for r in cells[name]]
            ratios = " ".join(f"{median[name] / median[base]:9.2f}" for base in bases)
            rate = statistics.median(r["rate"] for r in cells[name])
            busy = statistics.median(r["busy"] for r in cells[name])
            skipped = sum(r["skipped"] for r in cells[name])
            print(f"{load:<10} {name:<13} {median[name]:10.3f} {min(costs):8.3f} {max(costs):8.3f} {ratios} {rate:12,.0f} "
                  f"{busy:4.0%}" + (f"  {skipped} not sent when due" if skipped else ""))


def run(options, rows):
    names = [name for name, _ in rows]
    results = []
    folder = tempfile.mkdtemp(prefix="mqward-bench-")
    bench = Bench(options, folder)
    print(f"{options.connections} connections, QoS {options.qos}, MQTT {options.version}, {options.rounds} rounds of "
          f"{options.seconds} s, pin {options.pin}, load average {os.getloadavg()[0]:.2f}", flush=True)
    try:
        bench.start(rows)
        for number in range(options.rounds):
            for load in options.loads:
                for name in names:
                    results.append(bench.measure(name, load))
                    last = results[-1]
                    print(f"round {number + 1} {load:<10} {name:<13} {last['us']:8.3f} us", file=sys.stderr, flush=True)
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)
        if options.json:
            peers.write(options.json, json.dumps(results, indent=1) + "\n")
    print_table(results, options.loads, names)


def choose_rows(options):
    options.mqward = options.mqward or f"{options.build}/proxy/mqward"
    there = {"mqward": os.access(options.mqward, os.X_OK), "haproxy": shutil.which("haproxy"), "nginx": shutil.which("nginx")}
    chosen = options.proxies or [name for name in there if there[name]]
    missing = [name for name in chosen if not there[name]]
    if missing or not chosen:
        raise BenchError(f"not found: {', '.join(missing) or 'any proxy'}")
    return peers.rows(chosen, options.rules)


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian has HAProxy and nginx
    options = parse_arguments()
    try:
        if options.micro:
            micro.run(options.build)
        elif options.decisions:
            decisions.run(options.build)
        elif options.signatures:
            signatures.run(options.build)
        else:
            run(options, choose_rows(options))
    except BenchError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
