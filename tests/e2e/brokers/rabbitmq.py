# SPDX-License-Identifier: Apache-2.0
"""Debian's RabbitMQ with its MQTT plugin: a virtual host for each world in a node that all worlds of a worker share.

RabbitMQ takes ten seconds to be ready, a virtual host twenty milliseconds. The node listens on a few MQTT ports; each
world takes one of them, and RabbitMQ maps the port to the world's virtual host.
"""
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request

import raw
from brokers.base import Broker
from brokers.rabbitmq_users import UserServer
from peer import Client, dial
from processes import Process, free_port, wait_until

PORTS = {"tcp": 12, "ssl": 3}  # worlds that may live at the same time
CATEGORIES = ("default", "channel", "connection", "federation", "mirroring", "queue", "ra", "upgrade")
START = 60.0  # seconds that the node may take to be ready
LOGGED = 10.0  # and a line to be in its log
LOOPBACK = "127.0.0.1"


class Epmd(Process):
    """Erlang's port mapper, on a port of its own so that it has nothing to do with the system's."""
    name = "epmd"

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()

    def command(self):
        return ["setpriv", "--pdeathsig", "KILL", "epmd", "-address", LOOPBACK, "-port", str(self.port)]

    def stop(self):
        """Should this one have died before RabbitMQ, then RabbitMQ has put another in its place, as a daemon."""
        super().stop()
        subprocess.run(["epmd", "-port", str(self.port), "-kill"], check=False, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


class Node(Process):
    """A node of RabbitMQ on loopback, run by the current user; it ends with the process that started it."""
    name = "rabbitmq"
    certificate = None  # (certificate, key) of the TLS listeners
    running_nodes = {}  # by client_ca: the options of TLS are those of a whole node

    def __init__(self, folder, client_ca):
        super().__init__(folder)
        self.client_ca = client_ca
        self.users = UserServer()
        self.epmd = Epmd(os.path.join(self.folder, "epmd"))
        self.mapping, self.numbers, self.marker_port = {}, itertools.count(1), None
        self.configure()

    def configure(self):
        """Takes ports and writes the configuration."""
        self.management, self.distribution = free_port(), free_port()
        self.free = {kind: [free_port() for _ in range(count)] for kind, count in PORTS.items()}
        certificate, key = self.certificate
        lines = ["listeners.tcp = none", "log.console = true", "log.console.use_colors = off", "log.file = false",
                 # below debug, the handler drops what is above 500 lines a second
                 "log.console.level = debug", *(f"log.{category}.level = info" for category in CATEGORIES),
                 f"management.tcp.ip = {LOOPBACK}", f"management.tcp.port = {self.management}",
                 "management_agent.disable_metrics_collector = true",
                 "mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_ets",
                 # "guest" is who gives no name; everybody else is decided upon by the world that they belong to
                 "auth_backends.1 = internal", "auth_backends.2 = http", "auth_http.http_method = post",
                 *(f"auth_http.{what}_path = {self.users.url}/{what}"
                   for what in ("user", "vhost", "resource", "topic")),
                 *(f"mqtt.listeners.{kind}.{index} = {LOOPBACK}:{port}" for kind, ports in self.free.items()
                   for index, port in enumerate(ports, 1)),
                 f"ssl_options.certfile = {certificate}", f"ssl_options.keyfile = {key}"]
        if self.client_ca:
            lines += [f"ssl_options.cacertfile = {self.client_ca}", "ssl_options.verify = verify_peer",
                      "ssl_options.fail_if_no_peer_cert = true"]
        self.write("rabbitmq.conf", "\n".join(lines) + "\n")
        self.write("enabled_plugins", "[rabbitmq_auth_backend_http,rabbitmq_management,rabbitmq_mqtt].\n")

    @classmethod
    def shared(cls, client_ca):
        """The running node whose clients need a certificate of client_ca, if one is given."""
        if client_ca not in cls.running_nodes:
            cls.running_nodes[client_ca] = cls(tempfile.mkdtemp(prefix="mqward-rabbitmq-"), client_ca)
        node = cls.running_nodes[client_ca]
        return node if node.running() else node.start()

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self):
        return ["setpriv", "--pdeathsig", "KILL", "/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self):
        def path(name):
            return os.path.join(self.folder, name)
        return {
            **os.environ, "HOME": self.folder, "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": LOOPBACK, "ERL_EPMD_PORT": str(self.epmd.port),
            "RABBITMQ_NODENAME": f"mqward-{os.getpid()}-{self.management}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK, "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_CONFIG_FILE": path("rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": path("enabled_plugins"), "RABBITMQ_GENERATED_CONFIG_DIR": path("schema"),
            "RABBITMQ_MNESIA_BASE": path("mnesia"), "RABBITMQ_LOG_BASE": path("log"), "RABBITMQ_PID_FILE": path("pid"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": path("plugins"), "RABBITMQ_FEATURE_FLAGS_FILE": path("feature_flags"),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the virtual machine instead of waiting for it
        }

    def start(self):
        if not self.epmd.running():
            self.epmd.spawn()
        try:
            self.launch()
        except AssertionError:
            if "eaddrinuse" not in self.output() or self.mapping:
                raise
            self.configure()  # seconds lie between our look at the ports and RabbitMQ's bind
            self.launch()
        if not self.marker_port:
            _, self.marker_port = self.open("tcp", None)
        return self

    def launch(self):
        self.spawn()
        self.wait_output("Server startup complete", START)

    def flush(self):
        """The log is written behind: waits until it has all that has happened, by a client whose name is unique.

        Erlang's logger drops lines while it has too many to write: another client then.
        """
        offset, names = os.path.getsize(self.log_path), []
        for _ in range(5):
            names.append(f"marker-{next(self.numbers)}")
            with Client(dial((LOOPBACK, self.marker_port)), raw.V311) as client:
                client.connect(names[-1])
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: any(f"client id: {name})" in self.read(offset) for name in names),
                               f"{names[-1]} in the log of RabbitMQ", LOGGED)
                    return
        raise AssertionError(f"none of {names} in the log of RabbitMQ")

    def read(self, offset):
        """The log from a byte on."""
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def stop(self):
        super().stop()
        self.epmd.stop()
        self.users.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, path, body=None):
        """A request to the management API; path: its parts."""
        url = f"http://{LOOPBACK}:{self.management}/api/" + "/".join(urllib.parse.quote(part, "") for part in path)
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=",  # guest:guest
                                                  "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    # ---- worlds ----

    def open(self, kind, passwords):
        """A virtual host of its own for a world: (its name, its port). kind: tcp or ssl."""
        name, port = f"world-{next(self.numbers)}", self.free[kind].pop(0)
        self.users.allow(name, passwords)
        self.call("PUT", ("vhosts", name))
        if not passwords:
            self.call("PUT", ("permissions", name, "guest"), {"configure": ".*", "write": ".*", "read": ".*"})
        self.mapping[str(port)] = name
        self._map()
        return name, port

    def close(self, kind, name, port):
        del self.mapping[str(port)]
        self.free[kind].append(port)
        if self.running():
            self._map()
            self.call("DELETE", ("vhosts", name))

    def _map(self):
        self.call("PUT", ("global-parameters", "mqtt_port_to_vhost_mapping"), {"value": self.mapping})


class RabbitMQ(Broker):
    """A virtual host. kill(), pause() and start() are those of the whole node: only one test at a time uses it."""
    name = "rabbitmq"
    features = frozenset({"v3.1", "v3.1.1", "no-5.0", "suback-each", "isolation"})
    highest_qos = 1
    crowd = 300
    session_present_in_31 = True
    delivers_before_unsuback = False

    def __init__(self, folder, tls=None, client_ca=None, passwords=None):
        super().__init__(folder, tls, client_ca, passwords)
        self.node, self.kind = Node.shared(client_ca), "ssl" if tls else "tcp"
        self.virtual_host, self.port = self.node.open(self.kind, passwords)
        self.offset = os.path.getsize(self.node.log_path)

    @classmethod
    def prepare(cls, certs):
        Node.certificate = certs.broker

    @classmethod
    def shut_down(cls):
        for node in Node.running_nodes.values():
            node.stop()
        Node.running_nodes.clear()

    # ---- the process ----

    def running(self):
        return self.node.running()

    def start(self):
        Node.shared(self.client_ca)
        return self

    def kill(self):
        self.node.kill()

    def signal(self, number):
        self.node.signal(number)

    def pause(self):
        self.node.pause()

    def output(self):
        return self.node.read(self.offset)

    def stop(self):
        if self.virtual_host:
            if self.node.running():
                self.node.resume()
            self.node.close(self.kind, self.virtual_host, self.port)
            self.virtual_host = None

    # ---- what it knows ----

    def subscriptions(self, client_id):
        """Each is a binding of the client's queue of QoS 0 or 1 to the topic exchange, in the words of AMQP."""
        found = {}
        for binding in self.node.call("GET", ("bindings", self.virtual_host)):
            queue = re.fullmatch(rf"mqtt-subscription-{re.escape(client_id)}qos([01])", binding["destination"])
            if queue and binding["source"] == "amq.topic":
                found[binding["routing_key"].replace("*", "+").replace(".", "/")] = int(queue[1])
        return found

    def knows(self, client_id):
        self.node.flush()
        return f":{self.port}, client id: {client_id})" in self.output()

    def received(self, client_id):
        """It does not say. What it takes it delivers at once, as it knows no QoS 2: an observer sees all."""
        return []

    def wait_gone(self, client_id):
        """The log names the client with its address when it comes, and only the address when it goes."""
        accepted = self.wait_output(
            rf"accepting MQTT connection \S+ \((\S+ -> \S+:{self.port}), client id: {re.escape(client_id)}\)")
        self.wait_output(rf"(closing MQTT connection \S+ \(|MQTT connection \"|disconnecting client \"){accepted[1]}")
