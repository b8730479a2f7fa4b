# SPDX-License-Identifier: Apache-2.0
"""Start and stop: readiness, SIGTERM, SIGINT, several listeners and upstreams."""
import contextlib
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import yaml

import brokers
import raw
from audit import get
from servers import binary, wait_until
from world import ALLOW_ALL

PLAIN = {"version": 1, "workers": 1, "policy": "policy.yaml",
         "listeners": [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True}],
         "upstreams": [{"name": "main", "address": "127.0.0.1:1"}], "audit": {"directory": "audit"}}


@pytest.mark.core
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT), ids=("SIGTERM", "SIGINT"))
def test_a_graceful_stop_tells_the_clients_and_ends_with_0(make_world, number):
    world = make_world()
    clients = {(version, tls): world.connected(version=version, tls=tls) for version in world.broker.versions()
               for tls in (False, True)}
    world.killed = True
    world.proxy.signal(number)
    for (version, _), client in clients.items():
        packets = client.until_closed()
        assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x8B)] if version == raw.V5 else [])
    assert world.proxy.process.wait(15) == 0
    world.audit.wait_for(action="proxy-started")
    world.audit.wait_for(action="proxy-stopping")
    assert len(world.audit.wait_for_count(len(clients), action="mqtt-disconnect", reason="server_shutdown")) == len(clients)
    world.audit.assert_gapless()
    with pytest.raises(OSError):
        world.client()


def test_what_is_under_way_at_a_stop_still_arrives(make_world):
    world = make_world()
    observer = world.observer("a/#")
    world.killed = True
    sender = world.connected(version=raw.V311)
    for index in range(50):
        sender.publish("a/b", str(index), qos=1)
    world.proxy.terminate()
    assert [message.payload.decode() for message in world.arrived(observer)] == [str(index) for index in range(50)]


def test_a_stop_does_not_wait_for_a_client_that_never_reads(make_world):
    world = make_world()
    world.killed = True
    deaf = world.client(receive_buffer=4096)
    deaf.connect("deaf")
    deaf.subscribe("flood")
    sender = world.direct()
    for _ in range(100):
        sender.send(raw.publish(sender.version, "flood", b"x" * 65536))
    sender.ping()
    assert world.proxy.terminate(timeout=12) == 0


@pytest.mark.brokerless
def test_a_stop_does_not_wait_for_a_redis_that_is_away(make_world):
    world = make_world()
    world.killed = True
    world.redis.kill()
    world.connected()
    assert world.proxy.terminate(timeout=12) == 0
    world.redis.start()
    world.proxy.start()
    world.audit.wait_for(action="proxy-stopping")
    world.audit.assert_gapless()


def slow_clients(world):
    """For whom more waits in mqward than the kernel takes, as they read nothing; the broker is a fake."""
    clients = [world.client(raw.V5) for _ in range(3)]
    for number, client in enumerate(clients):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(raw.connect(raw.V5, f"slow-{number}"))
        broker, _ = world.fake.accept_session()
        client.expect(raw.CONNACK, code=0)
        broker.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                broker.send(raw.publish(raw.V5, "a", bytes(1000 + number)) * 100)
    return clients


@pytest.mark.brokerless
def test_a_stop_sends_what_is_under_way_to_a_client_that_is_slow(make_world):
    """For as long as `drain` says, and not only for the time that a closed connection has."""
    world = make_world(broker="fake", configuration={"workers": 1, "drain": "30s"})
    clients = slow_clients(world)
    world.proxy.signal(signal.SIGTERM)
    wait_until(lambda: len(world.proxy.logged("closing")) == len(clients), "the end of the connections")
    time.sleep(4)  # they read nothing
    for client in clients:
        *messages, last = client.until_closed()
        assert {message.name for message in messages} == {"PUBLISH"}
        assert (last.name, last.code) == ("DISCONNECT", 0x8B)
    assert world.proxy.process.wait(30) == 0
    world.proxy.start()


@pytest.mark.brokerless
def test_a_stop_does_not_wait_for_a_journal_that_takes_nothing(make_world):
    """The ring is full: all events of the stop together wait for the drain time, not each of them."""
    world = make_world(configuration={"workers": 1, "audit": {"ring": "256KiB"}})
    world.killed = True
    for _ in range(20):
        world.connected()
    resource.prlimit(world.proxy.process.pid, resource.RLIMIT_FSIZE, (1, 1))
    with contextlib.suppress(OSError):
        for index in range(1000):
            with world.client() as client:
                client.sock.settimeout(3)
                client.connect(f"filler-{index}", timeout=3)
    assert world.proxy.terminate(timeout=12) == 0


@pytest.mark.brokerless
def test_readiness_is_told_over_the_notify_socket(make_world, tmp_path):
    world = make_world(start=False)
    path = str(tmp_path / "notify")
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(path)
    receiver.settimeout(15)
    world.proxy.notify = path
    world.proxy.spawn()
    world.killed = True
    message = receiver.recv(4096).decode()
    assert "READY=1" in message.splitlines()
    listening = world.proxy.logged("listening")
    assert len(listening) == 2, "READY=1 before the listeners listen"
    port = int(listening[0]["address"].rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port)).close()
    assert world.proxy.terminate() == 0
    receiver.settimeout(2)
    messages = message
    while "STOPPING=1" not in messages:
        messages += receiver.recv(4096).decode()
    receiver.close()


@pytest.mark.brokerless
def test_an_address_in_use_is_an_error_that_says_so(make_world):
    world = make_world(start=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        world.proxy.configuration["listeners"] = [{"name": "taken", "address": address, "plaintext": True}]
        world.proxy.write()
        world.proxy.spawn()
        assert world.proxy.process.wait(15) == 1
        assert address in world.proxy.output() and "in use" in world.proxy.output()


@pytest.mark.brokerless
def test_an_audit_folder_that_cannot_be_made_is_an_error(make_world):
    world = make_world(start=False)
    world.proxy.configuration["audit"]["directory"] = "missing/parent/audit"
    world.proxy.write()
    world.proxy.spawn()
    assert world.proxy.process.wait(15) == 1
    assert "missing/parent/audit" in world.proxy.output()


@pytest.mark.brokerless
def test_two_instances_cannot_share_an_audit_folder(make_world, tmp_path):
    world = make_world()
    other = make_world(start=False)
    other.proxy.configuration["audit"]["directory"] = os.path.join(world.proxy.folder, "audit")
    other.proxy.write()
    other.proxy.spawn()
    assert other.proxy.process.wait(15) == 1
    world.connected().ping()


def test_listeners_have_their_own_upstreams(make_world, tmp_path):
    world = make_world(start=False)
    second = brokers.chosen()(tmp_path / "second").start()
    try:
        world.proxy.configuration["upstreams"].append({"name": "second", "address": f"127.0.0.1:{second.port}"})
        world.proxy.configuration["listeners"] = [
            {"name": "one", "address": "127.0.0.1:0", "plaintext": True, "upstream": "main"},
            {"name": "two", "address": "127.0.0.1:0", "plaintext": True, "upstream": "second"},
            {"name": "six", "address": "[::1]:0", "plaintext": True, "upstream": "second"}]
        if not has_ipv6():
            world.proxy.configuration["listeners"].pop()
        world.proxy.write()
        world.proxy.start()
        world.connected("to-one", listener="one")
        world.connected("to-two", listener="two")
        assert world.broker.knows("to-one") and not second.knows("to-one")
        assert second.knows("to-two") and not world.broker.knows("to-two")
        assert get(world.audit.wait_for(action="mqtt-connect-accepted", client_id="to-two"), "server.port") == second.port
    finally:
        world.stop()
        second.stop()


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_signals_that_mean_nothing_here_do_no_harm(make_world):
    world = make_world()
    client = world.connected()
    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        if number in ignored(world.proxy.process.pid):
            world.proxy.signal(number)
    client.ping()


def ignored(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    mask = int(fields["SigIgn"], 16) | int(fields["SigCgt"], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests' own mqward may be dumped")
def test_a_crash_leaves_no_core_dump(make_world):
    world = make_world(broker=False, redis=False, start=False)
    world.proxy.configuration["audit"]["sinks"] = []
    world.proxy.write()
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        world.proxy.start()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    with open(f"/proc/{world.proxy.process.pid}/limits", encoding="ascii") as file:
        limits, = [line.split()[4:6] for line in file if line.startswith("Max core file size")]
    assert limits == ["0", "unlimited" if hard == resource.RLIM_INFINITY else str(hard)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look at what it may not dump")
@pytest.mark.parametrize("options,owner", (((), 0), (("--core-dumps",), 65534)), ids=("closed", "asked for"))
def test_programs_that_dumps_are_piped_to_get_none(options, owner):
    """The limit does not hold for them. The kernel gives the files of what can't be dumped to root, proc(5)."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        for name, text in (("policy.yaml", ALLOW_ALL), ("mqward.yaml", yaml.safe_dump(PLAIN))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(text)
        with subprocess.Popen([binary(), "run", "-c", "mqward.yaml", *options], cwd=folder, stderr=subprocess.PIPE,
                              text=True, user=65534, group=65534, extra_groups=[]) as process:
            log = []
            try:
                while not log or 'msg="ready"' not in log[-1]:
                    log.append(process.stderr.readline())
                    assert log[-1], log
                assert os.stat(f"/proc/{process.pid}/environ").st_uid == owner
            finally:
                process.terminate()
                process.stderr.read()


def test_workers_share_the_connections(make_world):
    world = make_world(configuration={"workers": 4})
    clients = [world.connected() for _ in range(60)]
    for client in clients:
        client.ping()
    threads = os.listdir(f"/proc/{world.proxy.process.pid}/task")
    assert len(threads) >= 6, "main, exporter and four workers"
    wait_until(lambda: len(world.audit.all(action="mqtt-connect-accepted")) == 60, "60 connections in the audit")
