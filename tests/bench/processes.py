# SPDX-License-Identifier: Apache-2.0
"""Processes that the benchmark starts, what CPU they used, and the two of our own: sink and load generator."""

import json
import os
import random
import select
import signal
import socket
import subprocess
import time

LOOPBACK = "127.0.0.1"


class BenchError(Exception):
    """Something that makes the measurement worthless; its text is for the user."""


# Below those that the system gives to connections: one of these may take a port between free_port() and the listener.
# Those of the end-to-end tests, which may run meanwhile, are above.
PORTS = range(2000, 12000)
HANDED_OUT = set()


def free_port():
    """A port that nobody listens on and that was not handed out before."""
    for port in random.sample(PORTS, len(PORTS)):
        if port in HANDED_OUT:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        HANDED_OUT.add(port)
        return port
    raise BenchError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


class Process:
    """A child on the given cores, its output in a file or, as lines, in a pipe."""

    def __init__(self, name, argv, cores, log_path, pipe=False):
        self.name = name
        self.started = time.monotonic()
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self.pending = b""

    def log_tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def line(self, seconds):
        """The next JSON line of its output."""
        deadline = time.monotonic() + seconds
        descriptor = self.child.stdout.fileno()
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise BenchError(f"{self.name} said nothing for {seconds} s\n{self.log_tail()}")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise BenchError(f"{self.name} ended early\n{self.log_tail()}")
            self.pending += chunk
        text, self.pending = self.pending.split(b"\n", 1)
        return json.loads(text)

    def ask(self, seconds=10):
        """What it says to SIGUSR1: its totals."""
        self.child.send_signal(signal.SIGUSR1)
        return self.line(seconds)

    def wait_listening(self, port, seconds):
        """Returns the seconds since its start."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.child.returncode}\n{self.log_tail()}")
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                return time.monotonic() - self.started
            except OSError:
                time.sleep(0.005)
        raise BenchError(f"{self.name} does not listen after {seconds} s\n{self.log_tail()}")

    def stop(self, seconds=15):
        """SIGTERM, then SIGKILL. Returns the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()
        return self.child.returncode


def family(pid):
    """pid and its descendants (nginx: a master and its worker)."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                for child in children.read().split():
                    found += family(int(child))
        except FileNotFoundError:
            pass
    return found


def cpu_nanoseconds(pid):
    """CPU of the process and its children, of all threads, those that have ended included, user and system: exact (the scheduler's
    sum_exec_runtime, by each process's CPU clock: clock_getcpuclockid(3))."""
    total = 0
    for member in family(pid):
        try:
            total += time.clock_gettime_ns(~member << 3 | 2)
        except OSError:
            pass  # a child that has ended
    return total


def memory(pid):
    """(RSS, PSS) of the process and its children, in bytes. RSS counts what they share once for each."""
    total = {"Rss:": 0, "Pss:": 0}
    for member in family(pid):
        with open(f"/proc/{member}/smaps_rollup", encoding="ascii") as rollup:
            for line in rollup:
                key = line.split()[0]
                if key in total:
                    total[key] += int(line.split()[1]) * 1024
    return total["Rss:"], total["Pss:"]


class Sink(Process):
    def __init__(self, binary, cores, log_path):
        super().__init__("sink", [binary], cores, log_path, pipe=True)
        self.port = self.line(10)["port"]

    def totals(self):
        return self.ask()

    def totals_when_idle(self, seconds=10):
        """The totals once no connection is open, or those at the end of the time."""
        deadline = time.monotonic() + seconds
        while True:
            totals = self.totals()
            if totals["open"] == 0 or time.monotonic() > deadline:
                return totals
            time.sleep(0.02)
