#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What mqward costs beside other proxies in front of the same sink, in one interleaved run, as tables; README.md beside this says
what is measured and how to read it."""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

import decisions
import groups
import micro
import peers
import report
import signatures
from measure import Bench
from processes import BenchError

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "README.md")
BEGIN = "<!-- measured: begin; written by tests/bench/run.sh --write -->\n"
END = "<!-- measured: end -->\n"
FAMILIES = ["mqward", *peers.PROXIES, "mosquitto"]
# What --quick and --smoke set, unless the command line says otherwise. pilot: messages that tell what one costs a broker; lane:
# connections to one port, for which the system has some 28,000 of its own; descriptors: what a process may have, None: the limit.
FULL = {"rounds": 3, "seconds": 1.2, "warmup": 0.5, "idle": 50000, "scale": [1, 10, 100, 1000, 10000], "subscribers": 1000, "crowd": 500,
        "start_rules": 10000, "start_yara": 5000, "rules": [10, 1000, 10000], "feature_rules": [10, 1000, 10000], "connections": 100,
        "concurrency": 8, "rate": 20000, "loads": list(groups.LOADS), "feature_loads": groups.FEATURE_LOADS, "pilot": 20000,
        "lane": 20000, "descriptors": None}
QUICK = {**FULL, "rounds": 1, "seconds": 0.6, "warmup": 0.3, "idle": 2000, "scale": [1, 100, 1000], "rules": [1000]}
SMOKE = {**FULL, "rounds": 1, "seconds": 0.1, "warmup": 0.05, "idle": 40, "scale": [1, 5], "subscribers": 5, "crowd": 5,
         "start_rules": 100, "start_yara": 20, "rules": [10], "feature_rules": [10, 1000], "connections": 5, "concurrency": 2, "rate": 500,
         "feature_loads": ["batch-64"], "pilot": 500, "lane": 10, "descriptors": 450}


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


def add_sizes(add):
    add("--rounds", type=bounded(int, 1, 100), help=f"default: {FULL['rounds']}")
    add("--seconds", type=bounded(float, 0.1, 600), help=f"of a measurement (default: {FULL['seconds']})")
    add("--warmup", type=bounded(float, 0, 60), help=f"seconds before it (default: {FULL['warmup']})")
    add("--rules", type=numbers, help="messages: rules in mqward's policy, one mqward for each number (default: 10,1000,10000)")
    add("--connections", type=bounded(int, 1, 20000), help="of the groups that don't vary them (default: 100)")
    add("--concurrency", type=bounded(int, 1, 1000), help="handshakes: connections at the same time (default: 8)")
    add("--rate", type=bounded(int, 1, 1000000), help="messages a second in paced loads (default: 20000)")
    add("--subscribers", type=bounded(int, 1, 20000), help=f"of the fan-out (default: {FULL['subscribers']})")
    add("--crowd", type=bounded(int, 1, 5000), help=f"storm: connections at the same time (default: {FULL['crowd']})")
    add("--idle", type=bounded(int, 1, 100000), help=f"connections (default: {FULL['idle']})")
    add("--scale", type=numbers, help="numbers of connections of the group scale (default: 1,10,100,1000,10000)")
    add("--start-rules", type=bounded(int, 1, 100000), help="of the group start (default: 10000)")
    add("--start-yara", type=bounded(int, 1, 100000), help="YARA rules of the group start (default: 5000)")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add = parser.add_argument
    add("--build", required=True, help="build folder")
    add("--mqward", help="the binary (default: proxy/mqward in the build folder)")
    add("--groups", type=words(list(groups.GROUPS)), help=f"default: all: {','.join(groups.GROUPS)}; with --loads: messages")
    add("--proxies", type=words(FAMILIES), help=f"default: all that are installed of {','.join(FAMILIES)}")
    add("--loads", type=words(list(groups.LOADS)), help=f"of the group messages (default: all: {','.join(groups.LOADS)})")
    add("--quick", action="store_true", help="everything in a few minutes: small numbers, one round")
    add("--smoke", action="store_true", help="everything once, as short as it can be: does it work?")
    add_sizes(add)
    add("--qos", choices=["0", "1"], default="0", help="of the group messages, where the load does not say (default: 0)")
    add("--topics", type=bounded(int, 1, 100000), default=1, help="messages: topics of a connection, in turn (default: 1)")
    add("--version", choices=["3.1.1", "5.0"], default="3.1.1", help="of MQTT (default: 3.1.1)")
    add("--client-certificates", action="store_true", help="clients show a certificate, proxies demand it")
    add("--pin", choices=["one", "split", "none"],
        help="one: proxy, generator and sink share a core; split: the proxy has its own (default: as the group has it)")
    add("--json", metavar="FILE", help="write every measurement to FILE")
    add("--markdown", metavar="FILE", help="write the tables to FILE, too")
    add("--write", action="store_true", help="put the tables into README.md")
    add("--render", metavar="FILE", help="measure nothing: the tables of what --json has written")
    add("--micro", action="store_true", help="run the micro-benchmarks instead")
    add("--decisions", action="store_true", help="instead: what decisions cost, by rules and groups")
    add("--signatures", action="store_true", help="instead: what a verified message costs, by OpenSSL's HMAC of it")
    return complete(parser.parse_args())


def complete(options):
    """Fills in what the command line does not say."""
    defaults = SMOKE if options.smoke else QUICK if options.quick else FULL
    options.groups = options.groups or (["messages"] if options.loads else list(groups.GROUPS))
    if options.write and not options.render and options.groups != list(groups.GROUPS):
        sys.exit("bench: --write would leave README.md without the other groups")
    for name, value in defaults.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    options.mqward = options.mqward or f"{options.build}/proxy/mqward"
    return options


def raise_file_limit():
    """As many descriptors as this user may have; returns the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    wanted = max(hard, 250000)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        wanted = hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    return wanted


def versions():
    """Of the peers' packages, where dpkg knows them."""
    names = ["haproxy", "nginx", "hitch", "stunnel4", "mosquitto", "openssl"]
    try:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *names], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return said.stdout.removesuffix(", ")


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
        models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    return f"{os.cpu_count()} processors{' ' + models[0] if models else ''}"


def commit():
    """Of the tree that this script is in; what is not committed makes it dirty."""
    try:
        said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return f"Commit {said.stdout.strip()}. " if said.returncode == 0 else ""


def heading(options):
    """What the tables were measured with. The load average tells whether the machine did something else."""
    rounds = f"{options.rounds} round{'s' if options.rounds > 1 else ''} of {options.seconds} s"
    return (f"{commit()}{processor()}, Linux {os.uname().release.split('-')[0]}; {versions()}. {options.connections} connections, "
            f"MQTT {options.version}, {rounds}, load average at the start {os.getloadavg()[0]:.2f}, {options.descriptors} descriptors "
            f"for a process")


def run(options):
    if not os.access(options.mqward, os.X_OK):
        raise BenchError(f"no program {options.mqward}")
    options.descriptors = options.descriptors or raise_file_limit()
    began = time.monotonic()
    title = heading(options)
    bench = Bench(options, tempfile.mkdtemp(prefix="mqward-bench-"))
    try:
        outcome = groups.run_groups(bench)
    finally:
        bench.stop()
        bench.remove()
    if options.json:
        peers.write(options.json, json.dumps({"run": title, "results": outcome.results}, indent=1) + "\n")
    show(options, title, outcome.results)
    print(f"{len(outcome.results)} measurements in {time.monotonic() - began:.0f} s")
    for program in sorted(outcome.left_out):
        print(f"NOT MEASURED: {program} is not installed (scripts/install-bench.sh)", file=sys.stderr)
    if outcome.failures:
        raise BenchError(f"{len(outcome.failures)} measurements failed:\n" + "\n".join(outcome.failures))


def show(options, title, results):
    text = f"{title}\n\n{report.render(results)}"
    print("\n" + text)
    if options.markdown:
        peers.write(options.markdown, text)
    if options.write:
        write_readme(text)


def write_readme(text):
    with open(README, encoding="utf-8") as source:
        before, rest = source.read().split(BEGIN)
    peers.write(README, before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1])


def render(options):
    with open(options.render, encoding="utf-8") as source:
        saved = json.load(source)
    show(options, saved["run"], saved["results"])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by SIGTERM"))  # what runs is stopped on the way out
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian has HAProxy and nginx
    options = parse_arguments()
    try:
        if options.micro:
            micro.run(options.build)
        elif options.decisions:
            decisions.run(options.build)
        elif options.signatures:
            signatures.run(options.build)
        elif options.render:
            render(options)
        else:
            run(options)
    except BenchError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
