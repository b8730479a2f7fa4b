# SPDX-License-Identifier: Apache-2.0
"""Processes that the benchmark starts, what CPU they used, and the two of our own: sink and load generator."""

import json
import os
import select
import signal
import socket
import subprocess
import time

LOOPBACK = "127.0.0.1"


class BenchError(Exception):
    """Something that makes the measurement worthless; its text is for the user."""


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


class Process:
    """A child on the given cores, its output in a file or, as lines, in a pipe."""

    def __init__(self, name, argv, cores, log_path, pipe=False):
        self.name = name
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

    def wait_listening(self, port, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.child.returncode}\n{self.log_tail()}")
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
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
    """CPU of all threads, user and system, exact (the scheduler's sum_exec_runtime)."""
    total = 0
    for member in family(pid):
        for task in os.listdir(f"/proc/{member}/task"):
            try:
                with open(f"/proc/{member}/task/{task}/schedstat", encoding="ascii") as schedstat:
                    total += int(schedstat.read().split()[0])
            except FileNotFoundError:
                pass
    return total


class Sink(Process):
    def __init__(self, binary, cores, log_path):
        super().__init__("sink", [binary], cores, log_path, pipe=True)
        self.port = self.line(10)["port"]

    def totals(self):
        self.child.send_signal(signal.SIGUSR1)
        return self.line(10)

    def totals_when_idle(self, seconds=10):
        """The totals once no connection is open, or those at the end of the time."""
        deadline = time.monotonic() + seconds
        while True:
            totals = self.totals()
            if totals["open"] == 0 or time.monotonic() > deadline:
                return totals
            time.sleep(0.02)
