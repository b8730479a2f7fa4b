# SPDX-License-Identifier: Apache-2.0
"""The admin listener: who may ask, what for, and that no peer of it disturbs the traffic or the other peers."""
import json
import os
import resource
import signal
import socket
import stat
import threading
import time

import pytest

from metrics import LISTEN, Scrape, address, ask, dial, exchange, status, until_end
from servers import wait_until
from test_lifecycle import slow_clients
from test_reload import reload

pytestmark = pytest.mark.brokerless

PATHS = ("/metrics", "/healthz", "/readyz", "/status")
FEW = 64  # connections at a time


@pytest.fixture
def world(make_world):
    """Nobody who asks makes the library write on mqward's standard error."""
    made = make_world(configuration=LISTEN)
    yield made
    assert "[warn]" not in made.proxy.output() and "[err]" not in made.proxy.output()


def open_descriptors(world):
    return len(os.listdir(f"/proc/{world.proxy.process.pid}/fd"))


def cpu_seconds(process):
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- what is answered ----

@pytest.mark.core
def test_each_path_is_answered(world):
    where = address(world)
    assert ask(where, "/healthz")[::2] == (200, b"ok\n")
    assert ask(where, "/readyz")[::2] == (200, b"ready\n")
    assert status(world)["ready"] is True
    assert Scrape(world)("mqward_ready") == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_query_is_not_looked_at_and_head_gets_no_body(world, path):
    where = address(world)
    assert ask(where, path + "?a=b&c")[0] == 200
    code, headers, body = ask(where, path, "HEAD")
    assert (code, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0
    for name, value in (("Connection", "close"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")):
        assert headers[name] == value


@pytest.mark.parametrize("path", ("/", "/metrics/", "/metricsx", "/Metrics", "/../metrics", "/%6Detrics",
                                  "/status/..", "/favicon.ico", "//metrics", "//localhost/status",
                                  "//127.0.0.1:1/status", "//"))
def test_there_is_nothing_else(world, path):
    assert ask(address(world), path)[0] == 404


@pytest.mark.parametrize("method", ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"))
@pytest.mark.parametrize("path", ("/metrics", "/elsewhere"))
def test_nothing_but_get_and_head_is_allowed(world, method, path):
    code, headers, _ = ask(address(world), path, method)
    assert (code, headers["Allow"]) == (405, "GET, HEAD")


def test_status_says_what_an_operator_asks_first(world):
    client = world.connected()
    client.publish("a", b"x", 1)  # a packet later, the session is counted
    found = status(world)
    assert found["policy"]["name"] == "allow-all" and found["policy"]["version"].startswith("sha256:")
    assert found["policy"]["mode"] == "enforce" and found["policy"]["rules"] == 1
    assert [(one["name"], one["tls"], one["connections"]) for one in found["listeners"]] == [
        ("plain", False, 1), ("tls", True, 0)]
    assert sum(one["connections"] for one in found["workers"]) == 1 and found["sessions"] == 1
    assert [(one["name"], one["kind"]) for one in found["audit"]["sinks"]] == [("siem", "redis")]
    assert [ring["name"] for ring in found["audit"]["rings"]] == ["0", "1", "main"]
    assert {(one["kind"], one.get("name")) for one in found["certificates"]} == {
        ("certificate", "default"), ("ca", "fleet")}
    assert found["reloads"] == {"ok": 0, "failed": 0} and found["bans"] == {"id": 0, "address": 0}
    assert found["upstreams"][0]["last"] == "reached"


# ---- who may ask ----

@pytest.mark.parametrize("host", ("localhost", "LOCALHOST:9883", "127.0.0.1", "127.0.0.1:9883", "[::1]:1", "192.0.2.1",
                                  "[2001:db8::1]"))
def test_hosts_that_nobody_owns_may_be_named(world, host):
    assert ask(address(world), "/status", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("host", ("evil.example", "evil.example:9883", "localhost.evil.example",
                                  "127.0.0.1.evil.example", "[::1].evil.example", "127.0.0.1@evil", "0x7f.1"))
def test_a_name_that_leads_to_loopback_is_refused(world, host):
    """DNS rebinding: a page in a browser on this machine."""
    for path in (*PATHS, "/elsewhere"):
        code, _, body = ask(address(world), path, headers={"Host": host})
        assert code == 403 and b"mqward_" not in body


@pytest.mark.parametrize("target", (b"/status", b"//localhost/status", b"//127.0.0.1/status",
                                    b"http://localhost/status"))
def test_no_target_takes_the_place_of_the_name_in_the_header(world, target):
    """A page chooses the target, and the browser writes the header."""
    answer = exchange(address(world), b"GET " + target + b" HTTP/1.1\r\nHost: evil.example:9883\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ") and b"policy" not in answer


def test_the_host_of_an_absolute_target_counts(world):
    answer = exchange(address(world), b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    answer = exchange(address(world), b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_http_1_0_needs_no_host(world):
    answer = exchange(address(world), b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.split(b"\r\n")[0].endswith(b"200 OK") and answer.endswith(b"ok\n")


def test_a_unix_socket(make_world, tmp_path):
    path = str(tmp_path / "admin.sock")
    world = make_world(configuration={"admin": {"listen": path}})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert ask(path, "/healthz", headers={"Host": "any.example"})[0] == 200
    world.proxy.kill()  # leaves the socket, which the next start replaces
    assert os.path.exists(path)
    world.proxy.start()
    assert ask(path, "/readyz")[0] == 200
    world.proxy.terminate()
    assert not os.path.exists(path)
    world.proxy.start()


@pytest.mark.parametrize("kind", ("file", "answered"))
def test_somebody_elses_path_is_not_taken(make_world, tmp_path, kind):
    path = str(tmp_path / "admin.sock")
    world = make_world(configuration={"admin": {"listen": path}}, start=False)
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            with open(path, "w", encoding="ascii") as file:
                file.write("mine")
        else:
            other.bind(path)
            other.listen(1)
        world.proxy.spawn()
        world.proxy.wait_output("can't open the admin listener")
        assert world.proxy.process.wait(10) == 1
    assert os.path.exists(path)


def test_a_port_in_use_is_an_error_of_the_start(make_world):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        world = make_world(configuration={"admin": {"listen": f"127.0.0.1:{other.getsockname()[1]}"}}, start=False)
        world.proxy.spawn()
        world.proxy.wait_output("can't open the admin listener.*Address already in use")
        assert world.proxy.process.wait(10) == 1


def test_ipv6(make_world):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    world = make_world(configuration={"admin": {"listen": "[::1]:0"}})
    assert ask(address(world), "/healthz")[0] == 200


def test_without_the_section_nobody_listens(make_world):
    world = make_world()
    assert not world.proxy.logged("metrics and health are answered")


def test_remote_listeners_answer_to_any_name_and_say_so_in_the_log(make_world):
    world = make_world(configuration={"admin": {"listen": "127.0.0.1:0", "allow": "remote"}})
    assert ask(address(world), "/healthz", headers={"Host": "mqward.plant.example"})[0] == 200
    assert world.proxy.logged("whoever reaches the address may ask: allow is remote")


# ---- health ----

def readiness(where):
    """The status of /readyz; None: nobody answers any more."""
    try:
        return ask(where, "/readyz")[0]
    except OSError:
        return None


@pytest.mark.core
def test_readiness_through_a_drain(make_world):
    """Alive and not ready, until the last connection is gone."""
    world = make_world(broker="fake", configuration={**LISTEN, "drain": "30s"})
    where = address(world)
    clients = slow_clients(world)
    assert ask(where, "/readyz")[0] == 200
    world.proxy.signal(signal.SIGTERM)
    wait_until(lambda: readiness(where) != 200, "not to be ready")
    assert readiness(where) == 503
    assert ask(where, "/readyz")[2] == b"stopping: connections are drained\n"
    assert ask(where, "/healthz")[0] == 200
    assert Scrape(world)("mqward_ready") == 0 and status(world)["unready"] == ["stopping: connections are drained"]
    for client in clients:
        client.abort()
    assert world.proxy.process.wait(30) == 0
    world.proxy.start()


def test_signals_during_a_drain_change_nothing(make_world):
    world = make_world(broker="fake", configuration={**LISTEN, "drain": "30s"})
    where = address(world)
    clients = slow_clients(world)
    world.proxy.signal(signal.SIGTERM)
    wait_until(lambda: ask(where, "/readyz")[0] == 503, "not to be ready")
    world.proxy.signal(signal.SIGHUP)
    world.proxy.signal(signal.SIGTERM)
    assert ask(where, "/healthz")[0] == 200
    for client in clients:
        client.abort()
    assert world.proxy.process.wait(30) == 0
    assert not world.proxy.logged("reloaded")
    world.proxy.start()


def test_only_a_restart_changes_it(world):
    reload(world, configuration=lambda text: text.update(admin={"listen": "127.0.0.1:1"}),
           event="not reloaded: what was in force stays")
    assert ask(address(world), "/healthz")[0] == 200
    assert "'admin' changes only with a restart" in status(world)["reloads"]["error"]


def test_status_shows_where_a_reload_failed_and_nothing_that_stands_there(world):
    """Who may ask for /status may not read the policy for that: topics and names are in the log."""
    policy = """\
version: 1
policy: wrong
identity: [anonymous: {id: guest}]
rules:
  - rule: all
    who: everyone
    allow: publish
    topics: [cmd/#]
tests:
  - {as: anonymous guest, deny: publish cmd/secret-topic}
"""
    reload(world, policy, event="not reloaded: what was in force stays")
    assert "secret-topic" in str(world.proxy.logged("an error")), "or else the text below proves nothing"
    text = json.dumps(status(world))
    assert "secret" not in text and "policy.yaml:" in status(world)["reloads"]["error"]


# ---- peers that mean no good ----

def test_a_slow_request_ends_in_bounded_time_and_holds_up_nobody(world):
    where = address(world)
    with dial(where, 30) as peer:
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 25:
                peer.sendall(b"X: y\r\n")
                assert ask(where, "/healthz")[0] == 200
                time.sleep(0.5)
        except OSError:
            pass
        assert time.monotonic() - begun < 22


def test_large_headers_are_refused(world):
    where, before = address(world), world.proxy.resident()
    for request in (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n",
                    b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200000 + b"\r\n"):
        with dial(where) as peer:
            try:
                peer.sendall(request)
            except OSError:
                pass
            answer = until_end(peer)
            assert b"mqward_" not in answer and not answer.startswith(b"HTTP/1.1 200")
    assert ask(where, "/healthz")[0] == 200
    assert world.proxy.resident() - before < 8 << 20


def test_bodies_are_refused(world):
    where = address(world)
    for request in (b"GET /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100000,
                    b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + b"x" * 100000,
                    b"GET /metrics HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
        with dial(where) as peer:
            try:
                peer.sendall(request)
            except OSError:
                pass
            assert b"mqward_" not in until_end(peer)
    assert ask(where, "/healthz")[0] == 200


@pytest.mark.parametrize("request_", (
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n", b"GET /metrics\r\n\r\n", b"FOO /metrics HTTP/1.1\r\n\r\n",
    b"GET * HTTP/1.1\r\n\r\n", b"GET http:// HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\n b\r\nHost: c\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"\x10\x0e\x00\x04MQTT\x05\x02\x00<\x00\x00\x00\x00\r\n\r\n"))
def test_what_is_no_request_gets_no_metrics(world, request_):
    with dial(address(world)) as peer:
        peer.sendall(request_)
        peer.shutdown(socket.SHUT_WR)
        assert b"mqward_" not in until_end(peer)
    assert ask(address(world), "/healthz")[0] == 200


def test_a_connection_has_one_request(world):
    answer = exchange(address(world), b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    assert answer.count(b"HTTP/1.1 200 OK") == 1 and answer.endswith(b"\r\n\r\nok\n")


def test_a_thousand_connections_keep_nobody_from_asking(world):
    where, before = address(world), open_descriptors(world)
    peers = [dial(where) for _ in range(1000)]
    try:
        for _ in range(5):
            assert ask(where, "/healthz")[0] == 200
        assert open_descriptors(world) - before <= FEW + 8
        client = world.connected()
        client.ping()
    finally:
        for peer in peers:
            peer.close()
    wait_until(lambda: open_descriptors(world) <= before + 6, "the descriptors to be given back")


def test_without_descriptors_nobody_is_accepted_and_the_loop_rests(world):
    where, process = address(world), world.proxy.process.pid
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (open_descriptors(world), before[1]))
    with dial(where) as peer:
        peer.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        wait_until(lambda: world.proxy.logged("can't accept"), "the log to tell")
        begun = cpu_seconds(process)
        time.sleep(1)
        assert cpu_seconds(process) - begun < 0.5
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)
        assert until_end(peer).endswith(b"ok\n")


def test_who_does_not_take_the_answer_is_closed(world):
    where, before = address(world), open_descriptors(world)
    peers = []
    for _ in range(FEW * 2):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.settimeout(10)
        peer.connect(where)
        peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 200000)
        peers.append(peer)
    assert ask(where, "/healthz")[0] == 200
    wait_until(lambda: open_descriptors(world) <= before + 2, "the descriptors to be given back", 30)
    for peer in peers:
        peer.close()


def test_traffic_goes_on_under_a_flood_of_scrapes(world):
    where, over = address(world), threading.Event()

    def flood():
        while not over.is_set():
            try:
                ask(where, "/metrics")
            except OSError:
                pass
    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        sender, receiver = world.connected(), world.connected()
        receiver.subscribe("a")
        for number in range(100):
            sender.publish("a", b"%d" % number, 1)
            assert receiver.message().payload == b"%d" % number
    finally:
        over.set()
        for thread in threads:
            thread.join()
