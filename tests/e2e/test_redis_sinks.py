# SPDX-License-Identifier: Apache-2.0
"""The Redis sink against real servers: its modes, TLS, the users of the manual, a master that dies, a cluster that
moves the key. Nothing that a client saw refused is missing, and the cursor waits for the answer."""
import contextlib
import json
import os
import re
import threading
import time

import pytest

from audit import get
from processes import wait_until
from redis_groups import Cluster, Watched, ask, connect
from servers import Redis
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
MANUAL = os.path.join(os.path.dirname(__file__), "../../docs/audit.md")
KEY = "{mqward}:audit"


def proxy(make_world, **redis):
    """A proxy whose only sink is this Redis. One worker: its events are sealed in the order in which they happened."""
    sink = {"name": "siem", "redis": {"timeout": "30s", **redis}}
    return make_world(POLICY, broker=False, redis=False, configuration={"workers": 1, "audit": {"sinks": [sink]}})


class Traffic:
    """Connects that are refused, each recorded before its answer; the client identifiers are what must arrive."""

    def __init__(self, world):
        self.world, self.names, self.stopping = world, [], threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run)

    def one(self):
        name = f"n-{len(self.names)}"
        with self.world.client() as client:
            client.connect(name, code=0x88)
        self.names.append(name)

    def make(self, count):
        for _ in range(count):
            self.one()

    def _run(self):
        try:
            while not self.stopping.is_set():
                self.one()
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        assert self.error is None, self.error

    def wait(self, count):
        """So many more."""
        wanted = len(self.names) + count
        wait_until(lambda: len(self.names) >= wanted or self.error, "traffic goes on")


def names_of(lines):
    """The client identifiers of the refused connects among the lines, in their order."""
    events = [json.loads(line) for line in lines]
    return [get(event, "client_id") for event in events if get(event, "action") == "mqtt-connect-refused"]


def sequences_of(lines):
    return [get(json.loads(line), "event.sequence") for line in lines]


def stream_of(port, key=KEY):
    with connect(port) as connection:
        return [fields[b"event"] for _, fields in connection.xrange(key)]


def gapless(lines):
    """Every sequence from the first to the last, in order; repeats are behind what they repeat."""
    first_seen = list(dict.fromkeys(sequences_of(lines)))
    assert first_seen == list(range(1, len(first_seen) + 1)), "missing or out of order"
    return len(lines) - len(first_seen)


def cursor(world):
    path = os.path.join(world.proxy.folder, "audit", "siem.cursor")
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
        return file.read()
    return ""


def users_of_the_manual():
    """{the mode: its ACL SETUSER line}, with a password."""
    with open(MANUAL, encoding="utf-8") as file:
        lines = re.findall(r"^    (ACL SETUSER .*)$", file.read(), re.M)
    modes = {"stream": "+xadd", "list": "+rpush", "channel": "+publish", "sentinel": "+sentinel|"}
    return {mode: next(line for line in lines if mark in line).replace("<password>", "secret")
            for mode, mark in modes.items()}


# ---- modes, TLS and users ----

@pytest.fixture(name="tls_redis")
def make_tls_redis(tmp_path, certs):
    """Over TLS only, for users with a password only."""
    server = Redis(str(tmp_path / "redis"))
    server.arguments += ["--tls-port", str(server.port), "--tls-cert-file", certs.server[0], "--tls-key-file",
                         certs.server[1], "--tls-ca-cert-file", certs.server_ca.path, "--tls-auth-clients", "no",
                         "--requirepass", "root"]
    server.arguments[server.arguments.index("--port") + 1] = "0"
    server.start()
    server.admin = connect(server.port, password="root", ssl=True, ssl_ca_certs=certs.server_ca.path)
    yield server
    server.stop()


@pytest.mark.core
@pytest.mark.parametrize("mode", ("stream", "list", "channel"))
def test_the_user_of_the_manual_over_tls(make_world, tls_redis, tmp_path, mode):
    assert tls_redis.admin.execute_command(*users_of_the_manual()[mode].split())
    (tmp_path / "password").write_text("secret\n", encoding="ascii")
    os.chmod(tmp_path / "password", 0o600)
    subscriber = tls_redis.admin.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe("mqward:audit")
    wait_until(lambda: tls_redis.admin.pubsub_numsub("mqward:audit")[0][1] == 1, "a subscriber")
    world = proxy(make_world, address=f"localhost:{tls_redis.port}", username="mqward", tls={"ca": "server"},
                  password_file=str(tmp_path / "password"), **{mode: "mqward:audit"})
    traffic = Traffic(world)
    published = []

    def arrived():
        if mode == "stream":
            return [fields[b"event"] for _, fields in tls_redis.admin.xrange("mqward:audit")]
        if mode == "list":
            return tls_redis.admin.lrange("mqward:audit", 0, -1)
        while (message := subscriber.get_message()) is not None:
            published.append(message["data"])
        return published
    traffic.make(30)
    wait_until(lambda: len(names_of(arrived())) >= 30, "all are there")
    assert names_of(arrived()) == traffic.names and gapless(arrived()) == 0


def test_a_channel_without_a_subscriber_confirms(make_world, tmp_path):
    server = Redis(str(tmp_path / "redis")).start()
    try:
        world = proxy(make_world, address=f"127.0.0.1:{server.port}", channel="mqward:news")
        Traffic(world).make(10)
        wait_until(lambda: world.proxy.logged("sink is up"), "nobody listens, and that is no error")
        wait_until(lambda: cursor(world), "the cursor")
        assert not world.proxy.logged("sink is down")
    finally:
        server.stop()


# ---- a list and its readers ----

def test_a_list_is_never_trimmed_and_its_reader_gets_all(make_world, tmp_path):
    server = Redis(str(tmp_path / "redis")).start()
    try:
        world = proxy(make_world, address=f"127.0.0.1:{server.port}", list=KEY, max_length=40)
        traffic = Traffic(world)
        traffic.make(120)
        connection = connect(server.port)
        wait_until(lambda: connection.llen(KEY) == 40, "the list is full")
        wait_until(lambda: world.proxy.logged("sink is down"), "that is said")
        assert "the list is full" in world.proxy.logged("sink is down")[0]["detail"]
        confirmed = sum(len(line) + 1 for line in connection.lrange(KEY, 0, -1))
        wait_until(lambda: cursor(world).split()[4:5] == [str(confirmed)], "the cursor stands behind the list")
        stands = cursor(world)
        traffic.make(20)
        time.sleep(1.2)  # it is written once a second
        assert connection.llen(KEY) == 40 and cursor(world) == stands, "the rest waits in the journal"
        lines, longest = [], 0

        def read():
            nonlocal longest
            longest = max(longest, connection.llen(KEY))
            while (line := connection.lpop(KEY)) is not None:
                lines.append(line)
            return len(names_of(lines)) >= 140
        wait_until(read, "the reader has all")
        assert names_of(lines) == traffic.names and gapless(lines) == 0 and longest <= 40
    finally:
        server.stop()


def test_redis_is_killed_and_out_of_memory_while_a_list_is_filled(make_world, tmp_path):
    server = Redis(str(tmp_path / "redis")).start()
    try:
        world = proxy(make_world, address=f"127.0.0.1:{server.port}", list=KEY, timeout="500ms")
        with Traffic(world) as traffic:
            traffic.wait(50)
            server.kill()
            traffic.wait(50)
            server.start()
            wait_until(lambda: len(ask(server.port, "LRANGE", KEY, 0, -1) or ()) > 80, "it goes on")
            wait_until(lambda: ask(server.port, "CONFIG", "SET", "maxmemory", "1") == "OK", "it has no memory")
            wait_until(
                lambda: any("OOM" in line["detail"] for line in world.proxy.logged("sink is down")), "it is told")
            full = wait_until(lambda: ask(server.port, "LLEN", KEY), "what it holds")
            traffic.wait(50)
            assert wait_until(lambda: ask(server.port, "LLEN", KEY), "what it holds") == full
            wait_until(lambda: ask(server.port, "CONFIG", "SET", "maxmemory", "0") == "OK", "it has memory again")

        def everything():
            return ask(server.port, "LRANGE", KEY, 0, -1) or ()
        wait_until(lambda: set(traffic.names) <= set(names_of(everything())), "all are there")
        gapless(wait_until(everything, "the list"))  # what was under way at the kill may be there twice
    finally:
        server.stop()


# ---- Sentinel ----

@pytest.fixture(name="watched")
def make_watched(tmp_path):
    made = Watched(tmp_path / "watched")
    yield made
    made.stop()


def test_a_failover_loses_nothing_that_a_replica_has(make_world, watched):
    world = proxy(make_world, sentinel={"addresses": watched.addresses(), "master": "plant"}, stream=KEY, replicas=1,
                  timeout="2s")
    watched.sentinels[0].kill()  # the first of the list is away: the next one is asked
    with Traffic(world) as traffic:
        wait_until(lambda: len(stream_of(watched.master.port)) > 50, "events arrive")
        watched.sentinels[0].spawn()
        watched.fail_over()
        traffic.wait(50)
        watched.come_back()
        traffic.wait(50)
    wait_until(lambda: set(traffic.names) <= set(names_of(stream_of(watched.replica.port))), "the new master has all")
    gapless(stream_of(watched.replica.port))


def test_after_a_failover_without_waiting_for_replicas_delivery_goes_on(make_world, watched):
    """What the old master confirmed in its last moment may be gone with it; nothing after that."""
    world = proxy(make_world, sentinel={"addresses": watched.addresses(), "master": "plant"}, stream=KEY, timeout="2s")
    with Traffic(world) as traffic:
        wait_until(lambda: len(stream_of(watched.master.port)) > 50, "events arrive")
        watched.fail_over()
        before = len(traffic.names)
        traffic.wait(50)
    wait_until(lambda: set(traffic.names[before:]) <= set(names_of(stream_of(watched.replica.port))), "the later ones")
    missing = set(traffic.names) - set(names_of(stream_of(watched.replica.port)))
    assert len(missing) < 50, missing
    found = list(dict.fromkeys(names_of(stream_of(watched.replica.port))))
    assert found == [name for name in traffic.names if name not in missing], "order is kept"


def test_sentinels_and_servers_have_users_of_their_own(make_world, watched, tmp_path):
    for name in ("redis", "sentinel"):
        (tmp_path / name).write_text("secret\n", encoding="ascii")
        os.chmod(tmp_path / name, 0o600)
    users = users_of_the_manual()
    ask(watched.master.port, *users["stream"].split(), "+role")
    for sentinel in watched.sentinels:
        assert ask(sentinel.port, *users["sentinel"].split())
        ask(sentinel.port, "ACL", "SETUSER", "default", "nocommands", "+ping", "+hello", "+publish", "+info")
    sentinel = {"addresses": watched.addresses(), "master": "plant", "username": "mqward",
                "password_file": str(tmp_path / "sentinel")}
    world = proxy(make_world, stream="mqward:audit", username="mqward", password_file=str(tmp_path / "redis"),
                  sentinel=sentinel)
    traffic = Traffic(world)
    traffic.make(20)
    wait_until(lambda: names_of(stream_of(watched.master.port, "mqward:audit")) == traffic.names, "all are there")
    assert not world.proxy.logged("a sentinel is passed over")


# ---- a cluster ----

PATIENT = 5000  # ms: no node takes the place of one that stands still for a while


@pytest.fixture(name="cluster")
def make_cluster(tmp_path, request):
    made = Cluster(tmp_path / "cluster", node_timeout=getattr(request, "param", PATIENT))
    yield made
    made.stop()


def test_a_key_that_moves_within_a_cluster_is_followed(make_world, cluster):
    source = wait_until(lambda: cluster.owner(KEY) is not None and (cluster.owner(KEY),), "the owner")[0]
    target = next(index for index in (0, 1, 2) if index != source)
    other = next(index for index in (2, 1, 0) if index not in (source, target))
    world = proxy(make_world, cluster=cluster.addresses(other), stream=KEY)
    with Traffic(world) as traffic:
        wait_until(lambda: len(stream_of(cluster.nodes[source].port)) > 30, "events arrive by a redirection")
        for here, there in ((source, target), (target, source), (source, target)):
            cluster.move(KEY, here, there, during=lambda: traffic.wait(15))
            traffic.wait(15)
    owner = cluster.nodes[target].port
    wait_until(lambda: set(traffic.names) <= set(names_of(stream_of(owner))), "all are there")
    assert gapless(stream_of(owner)) == 0, "a redirection repeats nothing"
    assert not world.proxy.logged("sink is down"), "and is no failure"


@pytest.mark.parametrize("cluster", [600], indirect=True, ids=["600 ms"])
def test_a_node_that_dies_is_followed_by_its_replica(make_world, cluster):
    key = next(key for key in (f"{{{index}}}:audit" for index in range(1000)) if cluster.slot(key) < 5000)
    world = proxy(make_world, cluster=cluster.addresses(1, 2), stream=key, replicas=1, timeout="1s")
    with Traffic(world) as traffic:
        wait_until(lambda: len(stream_of(cluster.nodes[0].port, key)) > 30, "events arrive")
        cluster.nodes[0].kill()
        wait_until(lambda: cluster.owner(key) == 3, "the replica has the slots", timeout=20)
        traffic.wait(30)
        cluster.nodes[0].start()  # as the replica of its replica
    wait_until(lambda: set(traffic.names) <= set(names_of(stream_of(cluster.nodes[3].port, key))), "all are there")
    gapless(stream_of(cluster.nodes[3].port, key))


@pytest.mark.parametrize("hostname,trusted", (("localhost", True), ("127.0.0.2", False)))
def test_a_node_that_redirections_name_proves_that_name(make_world, tmp_path, certs, hostname, trusted):
    """The certificate has localhost and 127.0.0.1; the server is at 127.0.0.2, too."""
    cluster = Cluster(tmp_path / "cluster", certs, hostname, PATIENT)
    try:
        key = next(key for key in (f"{{{index}}}:audit" for index in range(1000)) if cluster.slot(key) < 5000)
        world = proxy(make_world, cluster=cluster.addresses(1), stream=key, tls={"ca": "server"})
        traffic = Traffic(world)
        traffic.make(20)
        if trusted:
            wait_until(lambda: names_of(stream_of(cluster.nodes[0].port, key)) == traffic.names, "all are there")
        else:
            reason = wait_until(lambda: world.proxy.logged("sink is down"), "it is refused")[0]["detail"]
            assert f"{hostname}:{cluster.nodes[0].tls_port}: TLS: the server's certificate" in reason
            assert stream_of(cluster.nodes[0].port, key) == []
    finally:
        cluster.stop()
