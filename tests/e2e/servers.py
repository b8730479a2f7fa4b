# SPDX-License-Identifier: Apache-2.0
"""The servers of a test beside the broker (brokers/): Redis and mqward."""
import contextlib
import copy
import json
import os
import re
import subprocess

import yaml

from brokers.mosquitto import Mosquitto  # noqa: F401
from processes import Process, free_port, make_password_file, raise_file_limit, wait_until  # noqa: F401


class Redis(Process):
    """Debian's Redis with an append-only file, so that a kill -9 loses nothing that it confirmed."""
    name = "redis"

    def __init__(self, folder, appendfsync="always", password=None, extra=()):
        super().__init__(folder)
        self.port = free_port()
        self.arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", "",
                          "--appendonly", "yes", "--appendfsync", appendfsync, "--daemonize", "no",
                          *(["--requirepass", password] if password else []), *extra]

    def command(self):
        return ["/usr/bin/redis-server", *self.arguments]

    def start(self):
        self.spawn()
        self.wait_output("Ready to accept connections")
        return self


class _Dumper(yaml.SafeDumper):
    """YAML without anchors and aliases: mqward refuses them."""

    def ignore_aliases(self, data):
        return True


def merge(base, changes):
    """base with changes on top; mappings are merged, None removes."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def binary():
    """The mqward under test; conftest.py has made sure that it is there."""
    return os.path.abspath(os.environ["MQWARD_BINARY"])


def sanitizer_environment(folder):
    """Reports go to files in folder, so that none is overlooked. Small quarantines keep RSS comparable."""
    path = os.path.join(folder, "sanitizer")
    return {
        **os.environ,
        "ASAN_OPTIONS": f"log_path={path}:exitcode=99:detect_leaks=1:quarantine_size_mb=4"
                        ":strict_string_checks=1",
        "UBSAN_OPTIONS": f"log_path={path}:exitcode=99:print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": f"log_path={path}:exitcode=99:halt_on_error=0:second_deadlock_stack=1",
    }


class Mqward(Process):
    """The proxy. policy: the text of policy.yaml; configuration: mqward.yaml as a dict."""
    name = "mqward"

    def __init__(self, folder, configuration, policy):
        super().__init__(folder)
        self.configuration, self.policy = configuration, policy
        self.path = os.path.join(self.folder, "mqward.yaml")
        self.notify = None
        self.ports = {}
        self.write()

    def write(self):
        with open(os.path.join(self.folder, "policy.yaml"), "w", encoding="utf-8") as file:
            file.write(self.policy)
        with open(self.path, "w", encoding="utf-8") as file:
            yaml.dump(self.configuration, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    def command(self):
        # Tests look into the process, which only root may do if it can't be dumped.
        return [binary(), "run", "-c", self.path, *(() if os.geteuid() == 0 else ("--core-dumps",))]

    def environment(self):
        environment = sanitizer_environment(self.folder)
        if self.notify:
            environment["NOTIFY_SOCKET"] = self.notify
        return environment

    def log(self):
        """The log lines of the present run, as dicts (log format: json)."""
        lines = []
        for line in self.output().splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    lines.append(value)
        return lines

    def logged(self, event):
        return [line for line in self.log() if line.get("message") == event]

    def start(self):
        """Starts and waits for "ready"; learns the ports that the listeners took."""
        self.spawn()

        def ready():
            if not self.running():
                raise AssertionError(f"mqward ended with {self.process.returncode}:\n{self.output()[-4000:]}{self.sanitizer_reports()}")
            return self.logged("ready")
        wait_until(ready, f"the log event ready of mqward (see {self.log_path})")
        for line in self.logged("listening"):
            self.ports[line["listener"]] = int(line["address"].rsplit(":", 1)[1])
        return self

    def resident(self):
        """Bytes of resident memory."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    def sanitizer_reports(self):
        found = []
        for name in sorted(os.listdir(self.folder)):
            if name.startswith("sanitizer."):
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                    found.append(file.read().split("Shadow bytes around")[0])
        return "\n".join(found)

    def check(self):
        """It still runs, and no sanitizer has said a word."""
        reports = self.sanitizer_reports()
        assert not reports, reports[:8000]
        assert self.running(), f"mqward ended with {self.process.returncode}:\n{self.output()[-4000:]}"

    def finish(self):
        """Stops gracefully: exit status 0, no sanitizer report, no leak."""
        if self.process is None:
            return
        was_running = self.running()
        status = self.terminate() if was_running else self.process.returncode
        reports = self.sanitizer_reports()
        assert not reports, reports[:8000]
        if was_running:
            assert status == 0, f"mqward ended with {status} on SIGTERM:\n{self.output()[-4000:]}"


def run_cli(*arguments, folder, timeout=60, standard_input=b"", text=True):
    """mqward with these arguments, to its end: CompletedProcess with its output as text, or as bytes."""
    result = subprocess.run([binary(), *arguments], cwd=folder, env=sanitizer_environment(str(folder)), timeout=timeout,
                            input=standard_input, capture_output=True, check=False)
    if text:
        result.stdout, result.stderr = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    for name in os.listdir(folder):
        if name.startswith("sanitizer."):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                raise AssertionError(file.read()[:8000])
    return result
