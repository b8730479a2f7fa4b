# SPDX-License-Identifier: Apache-2.0
"""The processes of a test: Mosquitto, Redis and mqward, each in a folder of its own on a free port of loopback."""
import contextlib
import copy
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time

import yaml

START = 15.0  # seconds that a process may take to be ready, or to end

# Ports below the ephemeral range, another part of it for each xdist worker, so that neither outgoing connections
# nor a neighbour take a port between our look and the server's bind.
_WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0)
_PORTS = iter(random.Random(os.getpid()).sample(range(12000 + _WORKER % 8 * 2500, 14500 + _WORKER % 8 * 2500), 2500))


def free_port():
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port left")


def raise_file_limit():
    """1,000 clients need two descriptors each in the proxy: the soft limit goes up to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def wait_until(condition, what, timeout=START):
    """Polls until condition() is true; its value is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


class Process:
    """A child process with its output in a file."""
    name = "process"

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.log_path = os.path.join(self.folder, f"{self.name}.log")
        self.process = None
        self.offset = 0  # where the log of the present run begins

    def command(self):
        raise NotImplementedError

    def environment(self):
        return os.environ

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.offset = log.tell()
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=self.environment())

    def output(self):
        """What the present run wrote."""
        with open(self.log_path, "rb") as log:
            log.seek(self.offset)
            return log.read().decode(errors="replace")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_output(self, pattern, timeout=START):
        """The first match of pattern in the output."""
        def look():
            match = re.search(pattern, self.output(), re.M)
            if not match and not self.running():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output()[-4000:]}")
            return match
        return wait_until(look, f"{pattern!r} in the output of {self.name}:\n{self.output()[-4000:]}", timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9."""
        if self.running():
            self.process.kill()
        self.process.wait(START)

    def terminate(self, timeout=START):
        """SIGTERM; returns the exit status."""
        if self.running():
            self.resume()
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s of SIGTERM:\n{self.output()[-4000:]}") from None

    def stop(self):
        if self.process is not None:
            self.kill()


class Mosquitto(Process):
    """Debian's Mosquitto. tls: (certificate, key); client_ca: clients need a certificate of it."""
    name = "mosquitto"

    def __init__(self, folder, tls=None, client_ca=None, passwords=None, extra=()):
        super().__init__(folder)
        self.port = free_port()
        lines = [f"listener {self.port} 127.0.0.1", "socket_domain ipv4", "persistence false", "log_dest stderr",
                 "log_type all", "connection_messages true", "max_queued_messages 0", "set_tcp_nodelay true"]
        if os.getuid() == 0:
            lines.append("user root")
        if passwords:
            path = os.path.join(self.folder, "passwords")
            make_password_file(path, passwords)
            lines += ["allow_anonymous false", f"password_file {path}"]
        else:
            lines.append("allow_anonymous true")
        if tls:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if client_ca:
            lines += [f"cafile {client_ca}", "require_certificate true"]
        self.configuration = os.path.join(self.folder, "mosquitto.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, *extra]) + "\n")

    def command(self):
        return ["/usr/sbin/mosquitto", "-c", self.configuration]

    def start(self):
        self.spawn()
        self.wait_output(r"mosquitto version \S+ running")
        return self

    def subscribed(self, pattern):
        """Waits until Mosquitto's log shows pattern, e.g. a client's subscription."""
        return self.wait_output(pattern)


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


def make_password_file(path, users):
    """A password file as mosquitto_passwd writes it."""
    for index, (user, password) in enumerate(users.items()):
        subprocess.run(["mosquitto_passwd", *(["-c"] if index == 0 else []), "-b", path, user, password], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(path, 0o600)


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
        return [binary(), "run", "-c", self.path]

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


def run_cli(*arguments, folder, timeout=60):
    """mqward with these arguments, to its end: CompletedProcess with text output."""
    result = subprocess.run([binary(), *arguments], cwd=folder, env=sanitizer_environment(str(folder)), timeout=timeout,
                            stdin=subprocess.DEVNULL, capture_output=True, check=False)
    result.stdout, result.stderr = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    for name in os.listdir(folder):
        if name.startswith("sanitizer."):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                raise AssertionError(file.read()[:8000])
    return result
