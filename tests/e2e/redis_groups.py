# SPDX-License-Identifier: Apache-2.0
"""Several Redis servers that belong together: a master with its replica and sentinels, a cluster."""
import os

import redis

from processes import Process, free_port, wait_until
from servers import Redis

SLOTS = 16384
# Seconds: a sentinel that stood still for 2 does nothing for 30, and after that takes only a replica whose link has not
# been down for much more than ten times down-after-milliseconds.
SENTINELS = 60


def connect(port, **options):
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=5, **options)


def ask(port, *words):
    """What the server answers, as text where it is one; None while it can't be reached."""
    try:
        with connect(port) as connection:
            answer = connection.execute_command(*words)
    except redis.RedisError:
        return None
    return answer.decode() if isinstance(answer, bytes) else answer


def role(port):
    answer = ask(port, "ROLE")
    return answer and answer[0].decode()


def in_step(port):
    """A replica of the server is in step with it."""
    return (ask(port, "INFO", "replication") or {}).get("slave0", {}).get("state") == "online"


def replica_of(folder, port, extra=()):
    """A replica that is ready as soon as it can be."""
    return Redis(folder, appendfsync="everysec", extra=("--replicaof", "127.0.0.1", str(port), *extra))


class Sentinel(Process):
    name = "sentinel"

    def __init__(self, folder, master_port, quorum=2):
        super().__init__(folder)
        self.port = free_port()
        with open(os.path.join(self.folder, "sentinel.conf"), "w", encoding="ascii") as file:
            file.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
                       f"sentinel monitor plant 127.0.0.1 {master_port} {quorum}\n"
                       "sentinel down-after-milliseconds plant 4000\nsentinel failover-timeout plant 3000\n")

    def command(self):
        return ["/usr/bin/redis-server", os.path.join(self.folder, "sentinel.conf"), "--sentinel"]

    def master(self):
        """The port of the server that it takes for the master."""
        answer = ask(self.port, "SENTINEL", "get-master-addr-by-name", "plant")
        return answer and int(answer[1])


class Watched:
    """A master, a replica, and three sentinels that know each other."""

    def __init__(self, folder):
        self.folder = str(folder)
        options = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self.master = Redis(os.path.join(self.folder, "a"), appendfsync="everysec", extra=options)
        self.replica = replica_of(os.path.join(self.folder, "b"), self.master.port, options)
        self.sentinels = []
        try:
            self.master.start()
            self.replica.start()
            wait_until(lambda: in_step(self.master.port), "the replica is in step")
            self.sentinels = [Sentinel(os.path.join(self.folder, f"s{index}"), self.master.port) for index in range(3)]
            for sentinel in self.sentinels:
                sentinel.spawn()
            for sentinel in self.sentinels:
                wait_until(lambda port=sentinel.port: self._sees_all(port), "the sentinels know each other")
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _sees_all(port):
        answer = ask(port, "SENTINEL", "master", "plant") or []
        state = dict(zip(answer[::2], answer[1::2]))
        wanted = {b"num-other-sentinels": b"2", b"num-slaves": b"1", b"flags": b"master"}
        return wanted.items() <= state.items()

    def addresses(self):
        return [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]

    def fail_over(self):
        """kill -9 the master; returns when the replica is the master and all sentinels say so."""
        self.master.kill()
        wait_until(lambda: role(self.replica.port) == "master", "the replica is the master", SENTINELS)
        wait_until(lambda: {sentinel.master() for sentinel in self.sentinels} == {self.replica.port}, "sentinels agree",
                   SENTINELS)

    def come_back(self):
        """The old master comes back as the replica of the new one."""
        self.master.arguments += ["--replicaof", "127.0.0.1", str(self.replica.port)]
        self.master.start()

    def stop(self):
        for process in (*self.sentinels, self.replica, self.master):
            process.stop()


class Node(Redis):
    """A node of a cluster. certs: it speaks TLS, too, and calls itself by this host name. timeout: ms."""

    def __init__(self, folder, certs=None, hostname=None, timeout=600):
        self.bus, self.tls_port = free_port(), certs and free_port()
        super().__init__(folder, appendfsync="everysec", extra=(*(self._tls(folder, certs, hostname) if certs else ()),
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout), "--cluster-port", str(self.bus),
            "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"))

    def _tls(self, folder, certs, hostname):
        """Nodes show each other client certificates."""
        os.makedirs(folder, exist_ok=True)
        authorities = os.path.join(folder, "authorities.pem")
        with open(authorities, "wb") as file:
            for authority in (certs.server_ca, certs.fleet_ca):
                with open(authority.path, "rb") as source:
                    file.write(source.read())
        return ("--bind", "127.0.0.1", "127.0.0.2", "--tls-port", str(self.tls_port),
                "--tls-cert-file", certs.server[0], "--tls-key-file", certs.server[1],
                "--tls-client-cert-file", certs.plc7[0], "--tls-client-key-file",
                certs.plc7[1], "--tls-ca-cert-file", authorities, "--tls-auth-clients", "no", "--tls-cluster", "yes",
                "--tls-replication", "yes", "--cluster-announce-hostname", hostname,
                "--cluster-preferred-endpoint-type", "hostname")

    @property
    def id(self):
        return ask(self.port, "CLUSTER", "MYID")


class Cluster:
    """Three masters, and a replica of the first one. node_timeout: ms until others take a node for dead."""

    def __init__(self, folder, certs=None, hostname=None, node_timeout=600):
        self.nodes = [Node(os.path.join(str(folder), f"n{index}"), certs, hostname, node_timeout) for index in range(4)]
        try:
            for node in self.nodes:
                node.start()
            for index, node in enumerate(self.nodes[:3]):
                ask(node.port, "CLUSTER", "ADDSLOTSRANGE", index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1)
                ask(node.port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            first, replica = self.nodes[0], self.nodes[3]
            for node in self.nodes[1:]:
                ask(node.port, "CLUSTER", "MEET", "127.0.0.1", first.tls_port or first.port, first.bus)
            self.wait("cluster_known_nodes:4")
            wait_until(lambda: ask(replica.port, "CLUSTER", "REPLICATE", first.id) == "OK", "a replica")
            self.wait("cluster_state:ok")  # it is without full coverage, too
            self.wait(f"cluster_slots_assigned:{SLOTS}")
            wait_until(lambda: in_step(first.port), "the replica is in step")
        except BaseException:
            self.stop()
            raise

    def wait(self, state):
        """Until CLUSTER INFO of each node says so."""
        for node in self.nodes:
            wait_until(lambda node=node: state in (ask(node.port, "CLUSTER", "INFO") or ""), state)

    def addresses(self, *indexes):
        return [f"127.0.0.1:{self.nodes[index].tls_port or self.nodes[index].port}" for index in indexes]

    def slot(self, key):
        return ask(self.nodes[1].port, "CLUSTER", "KEYSLOT", key)

    def owner(self, key):
        """The index of the master that has the key's slot, as all that run see it; None while they do not agree."""
        slot, seen = self.slot(key), set()
        for node in self.nodes:
            if not node.running():
                continue
            masters = [int(master[1]) for start, end, master, *_ in ask(node.port, "CLUSTER", "SLOTS") or ()
                       if start <= slot <= end]
            if not masters:
                return None
            seen.update(masters)
        return [node.port for node in self.nodes].index(seen.pop()) if len(seen) == 1 else None

    def move(self, key, source, target, during=lambda: None):
        """The key's slot, with what is in it, as redis-cli --cluster reshard does. during: between the steps."""
        slot, source, target = self.slot(key), self.nodes[source], self.nodes[target]
        ask(target.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        ask(source.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        during()
        ask(source.port, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        during()
        for node in (target, source, *self.nodes):
            if node.running() and role(node.port) == "master":
                ask(node.port, "CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def stop(self):
        for node in self.nodes:
            node.stop()
