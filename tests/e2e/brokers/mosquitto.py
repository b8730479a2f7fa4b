# SPDX-License-Identifier: Apache-2.0
"""Debian's Mosquitto: a process for each world."""
import os
import re

from brokers.base import FEATURES, Broker
from processes import free_port, make_password_file


class Mosquitto(Broker):
    """extra: further lines of its configuration."""
    name = "mosquitto"
    features = frozenset(FEATURES) - {"no-5.0"}

    def __init__(self, folder, tls=None, client_ca=None, passwords=None, extra=()):
        super().__init__(folder, tls, client_ca, passwords)
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

    def subscriptions(self, client_id):
        """Its log has "<id> <qos> <filter>" for each, also for those that have ended."""
        found = {}
        for line in self.output().splitlines():
            parts = line.split(": ", 1)[-1].split(" ", 2)
            if len(parts) == 3 and parts[0] == client_id and parts[1].isdigit():
                found[parts[2]] = int(parts[1])
        return found

    def knows(self, client_id):
        return client_id in self.output()

    def received(self, client_id):
        pattern = rf"Received PUBLISH from {re.escape(client_id)} \(d\d, q\d, r\d, m\d+, '(.*)', \.\.\. \(\d+ bytes\)\)"
        return re.findall(pattern, self.output())

    def wait_gone(self, client_id):
        self.wait_output(rf"Client {re.escape(client_id)} (disconnected|closed its connection)")
