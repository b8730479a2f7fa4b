# SPDX-License-Identifier: Apache-2.0
"""Child processes of a test, each in a folder of its own on a free port of loopback, and waiting for them."""
import base64
import contextlib
import hashlib
import itertools
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time

START = 45.0  # seconds that a process may take to be ready, or to end

# Ports below the ephemeral range, another part of it for each xdist worker, so that neither outgoing connections
# nor a neighbour take a port between our look and the server's bind. MQWARD_E2E_PORTS: the part of the first worker, if
# two runs go on at the same time.
_WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0) + int(os.environ.get("MQWARD_E2E_PORTS", "0"))
_PARTS, _SIZE = 16, 1250
_FIRST = 12000 + _WORKER % _PARTS * _SIZE
_PORTS = itertools.cycle(random.Random(os.getpid()).sample(range(_FIRST, _FIRST + _SIZE), _SIZE))


def free_port():
    for port in itertools.islice(_PORTS, _SIZE):
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
        """Stops it; on return, none of its threads runs any more."""
        self.signal(signal.SIGSTOP)
        wait_until(self._stands, f"{self.name} stands still")

    def _stands(self):
        states = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{self.process.pid}/task/{task}/stat", encoding="ascii", errors="replace") as file:
                    states.append(file.read().rpartition(") ")[2][0])
        return states and all(state in "TtZX" for state in states)

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


def _password_line(user, password, rounds=101):
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"


def make_password_file(path, users, tool=False):
    """A password file as mosquitto_passwd writes it; tool: by mosquitto_passwd itself, a process for each user."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("" if tool else "".join(_password_line(*user) for user in users.items()))
    os.chmod(path, 0o600)
    for user, password in users.items() if tool else ():
        subprocess.run(["mosquitto_passwd", "-b", path, user, password], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
