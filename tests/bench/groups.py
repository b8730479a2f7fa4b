# SPDX-License-Identifier: Apache-2.0
"""What is measured in a run: each group has its rows and loads, which have their turns one after the other, round by round."""

import os
import sys

import features
import peers
import yararules
from peers import BROKERS, DIRECT, PROXIES
from processes import BenchError, free_port

# name: options of the load generator
LOADS = {
    "batch-64": ["--mode", "batch", "--payload", "64"],
    "single-64": ["--mode", "single", "--payload", "64"],
    "cork-64": ["--mode", "cork", "--payload", "64"],
    "paced-64": ["--mode", "paced", "--payload", "64"],
    "batch-1k": ["--mode", "batch", "--payload", "1024"],
    "single-1k": ["--mode", "single", "--payload", "1024"],
    "batch-64-qos1": ["--mode", "batch", "--payload", "64", "--qos", "1"],
    "single-64-qos1": ["--mode", "single", "--payload", "64", "--qos", "1"],
}
FEATURE_LOADS = ["batch-64", "single-64"]
SHAKES = (("full", False), ("resumed", True))
CERTIFICATES = (("ECDSA", "server"), ("RSA", "rsa"))


def first_rules(options):
    """The number of rules that stands for mqward where only one does."""
    return 1000 if 1000 in options.rules else options.rules[0]


class Run:
    """The groups' results, and what was left out."""

    def __init__(self, bench):
        self.bench = bench
        self.options = bench.options
        self.results = []
        self.left_out = set()  # programs
        self.failures = []     # texts of measurements that don't count

    def there(self, rows, peers_too=True):
        """Those whose programs are installed; the others are told of at the end. The smoke test takes the peers where peers_too."""
        found = []
        for row in rows:
            if self.options.proxies and row.family not in [*self.options.proxies, "direct"]:
                continue
            if self.options.smoke and not peers_too and row.family not in ("mqward", "direct"):
                continue
            if row.missing():
                self.left_out.add(row.missing())
            else:
                found.append(row)
        return found

    def note(self, group, result):
        result["group"] = group
        self.results.append(result)
        figures = " ".join(f"{key} {result[key]:.3f}" for key in ("us", "p50", "p99", "rss", "wall", "cpu") if key in result)
        print(f"{group:<11} {result['load']:<15} {result['row']:<20} {figures}", file=sys.stderr, flush=True)

    def attempt(self, group, measure, *arguments):
        """One measurement; one that fails is told of at the end, and the others go on."""
        try:
            self.note(group, measure(*arguments))
        except BenchError as error:
            self.failures.append(f"{group}: {error}")
            print(f"FAILED: {group}: {error}", file=sys.stderr, flush=True)
            for sink in self.bench.sinks:
                sink.totals_when_idle()

    def rounds(self, group, rows, loads, measure):
        for _ in range(self.options.rounds):
            for load in loads:
                for row in rows:
                    if self.options.smoke and row.family != "mqward" and load != next(iter(loads)):
                        continue
                    self.attempt(group, measure, row, load)

    def mqward(self):
        return features.with_rules(first_rules(self.options))

    def standing(self, group, how, rows, connections, measure, loads):
        """A group whose processes stand all the time."""
        rows = self.there(rows, group in ("messages", "features"))
        self.bench.pin(self.options.pin or how)
        try:
            self.bench.start(rows, connections)
            self.rounds(group, rows, loads, measure)
        finally:
            self.bench.stop()


def messages(run):
    options = run.options
    rows = [*PROXIES.values(), *(features.with_rules(count) for count in options.rules)]
    run.standing("messages", "one", rows, options.connections,
                 lambda row, load: run.bench.messages(row, load, [*qos_of(options), *LOADS[load]], options.connections), options.loads)


def qos_of(options):
    return ["--qos", options.qos, "--topics", str(options.topics)]


def feature_rows(run):
    options = run.options
    rows = [PROXIES["haproxy"], *BROKERS.values(), *features.rows(run.bench.folder, options.feature_rules)]
    run.standing("features", "one", rows, options.connections,
                 lambda row, load: run.bench.messages(row, load, LOADS[load], options.connections), options.feature_loads)


def latency(run):
    rows = [DIRECT, *(row for name, row in PROXIES.items() if name != "haproxy-mqtt"), run.mqward()]
    run.standing("latency", "split", rows, run.options.connections,
                 lambda row, load: run.bench.trips(row, int(load[-1])), ["QoS 0", "QoS 1"])


def storm(run):
    rows = [PROXIES["haproxy"], PROXIES["nginx"], run.mqward()]
    crowd = run.options.crowd
    loads = {"quiet": 0, f"{crowd:,} at a time": crowd}
    run.standing("storm", "split", rows, crowd + run.options.connections, lambda row, load: run.bench.storm(row, load, loads[load]), loads)


def fanout(run):
    rows = [PROXIES["haproxy"], PROXIES["nginx"], run.mqward()]
    count = run.options.subscribers
    run.standing("fanout", "one", rows, count, lambda row, load: run.bench.fanout(row, int(load[-1]), count), ["QoS 0", "QoS 1"])


def handshakes(run):
    """Each certificate has its own processes, of which all stand all the time."""
    bench = run.bench
    rows = run.there([row for name, row in PROXIES.items() if name != "haproxy-mqtt"] + [run.mqward()], False)
    bench.pin(run.options.pin or "one")
    try:
        bench.start([], 1)
        for title, certificate in CERTIFICATES:
            for row in rows:
                name = f"{row.name}, {title}"
                bench.launch(row, name, [(free_port(), bench.sink.port)], run.options.concurrency * 10, certificate)
        for process, port in bench.proxies.values():
            process.wait_listening(port, 60)
        loads = {f"{shake}, {title}": (title, resume) for title, _ in CERTIFICATES for shake, resume in SHAKES}
        run.rounds("handshakes", rows, loads,
                   lambda row, load: bench.handshakes(row, f"{row.name}, {loads[load][0]}", load, loads[load][1]))
    finally:
        bench.stop()


def idle(run):
    """Each row alone, once: memory does not drift. The last is mqward with as many connections as it is to bear."""
    options, bench = run.options, run.bench
    fitting = min(options.idle, (options.descriptors - 400) // 2)
    rows = run.there([row for name, row in PROXIES.items() if name != "haproxy-mqtt"] + [run.mqward()], False)
    bench.pin("none")
    cases = [(row, fitting) for row in rows]
    if options.idle > fitting:
        cases += [(row, options.idle) for row in rows if row.family == "mqward"]
    for row, count in cases:
        try:
            run.attempt("idle", bench.idle, row, count, f"{count:,}")
        finally:
            bench.stop()


def scale(run):
    """Cost by connections. The sockets of the generator keep little, or what waits in ten thousand of them would be gigabytes, and
    that would be all that is measured."""
    rows = [PROXIES["haproxy"], run.mqward()]
    most = (run.options.descriptors - 400) // 2
    counts = sorted({min(count, most) for count in run.options.scale})
    run.standing("scale", "one", rows, counts[-1],
                 lambda row, load: run.bench.messages(row, load, [*LOADS["batch-64"], "--buffer", "32768"],
                                                    int(load.replace(",", ""))),
                 [f"{count:,}" for count in counts])


def workers(run):
    """One worker and two, both with both cores and with two generators, so that each worker always finds input waiting: what two can
    do more is what a message does not cost more."""
    if len(run.bench.available) < 2:
        return
    rules = first_rules(run.options)
    rows = [features.mqward_row(f"{count} worker{'s' if count > 1 else ''}", features.mqward(rules, workers=count)) for count in (1, 2)]
    run.standing("workers", "none", rows, run.options.connections,
                 lambda row, load: run.bench.messages(row, load, LOADS[load], run.options.connections, 2), run.options.feature_loads)


def start(run):
    """The command to the first connection; no sink is asked."""
    bench, options = run.bench, run.options
    folder = f"{bench.folder}/yara"
    os.makedirs(folder, exist_ok=True)
    peers.write(f"{folder}/generated.yar", yararules.generate(options.start_yara))
    rules, yara = options.start_rules, options.start_yara
    cases = [(f"{rules:,} rules", features.mqward(rules)), (f"{yara:,} YARA rules", features.mqward(10, yara=folder)),
             ("both", features.mqward(rules, yara=folder))]
    bench.pin("none")
    run.rounds("start", run.there([features.mqward_row(name, command) for name, command in cases]), ["start"], bench.begin)


GROUPS = {"messages": messages, "features": feature_rows, "latency": latency, "handshakes": handshakes, "storm": storm,
          "fanout": fanout, "idle": idle, "scale": scale, "workers": workers, "start": start}


def run_groups(bench):
    run = Run(bench)
    for name in bench.options.groups:
        try:
            GROUPS[name](run)
        except BenchError as error:  # one of its processes did not start
            run.failures.append(f"{name}: {error}")
    if not run.results and not run.failures:
        raise BenchError(f"nothing to measure; not installed: {', '.join(sorted(run.left_out)) or 'nothing'}")
    return run
