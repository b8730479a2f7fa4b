# SPDX-License-Identifier: Apache-2.0
"""Servers of sinks and of the shared replay store that are not what they should be cost themselves, and nobody else."""
import json
import os
import socket
import ssl
import threading
import time

import pytest

from audit import get
from processes import wait_until
from test_durability import POLICY, deny

pytestmark = pytest.mark.brokerless
# A record with 4096 HelloRequest messages: in a handshake a client has to skip each (RFC 5246, 7.4.1.1).
GREETINGS = b"\x16\x03\x03\x40\x00" + bytes(16384)


class Server:
    """serve(connection) on a thread for each connection, until it is stopped."""

    def __init__(self, serve):
        self.serve, self.stopped, self.connections = serve, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection:
            try:
                self.serve(self, connection)
            except OSError:
                pass

    def stop(self):
        self.stopped = True
        self.listener.close()


@pytest.fixture(name="serve")
def fixture_serve():
    servers = []

    def start(serve):
        servers.append(Server(serve))
        return servers[-1]
    yield start
    for server in servers:
        server.stop()


def greet(server, connection):
    """To whoever says hello."""
    connection.recv(4096)
    while not server.stopped:
        connection.sendall(GREETINGS * 16)


def topics_in(path):
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        return {get(json.loads(line), "mqtt.topic") for line in file if line.endswith("\n")}


@pytest.mark.parametrize("kind", ("redis", "syslog"))
def test_an_impostor_that_greets_without_end_holds_up_no_other_sink_and_not_the_stop(make_world, serve, tmp_path, kind):
    impostor, out = serve(greet), str(tmp_path / "out.ndjson")
    bad = {"address": f"127.0.0.1:{impostor.port}", "tls": {"ca": "server"}, "timeout": "1s"}
    world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": [
        {"name": "good", "file": {"path": out}}, {"name": "bad", kind: bad}]}})
    client = world.connected()
    wait_until(lambda: impostor.connections > 0, "the impostor is asked")
    for index in range(5):
        topics = deny(client, [f"closed/{index}/{number}" for number in range(20)])
        wait_until(lambda expected=set(topics): expected <= topics_in(out), "events in the other sink", 10)
        count = impostor.connections
        wait_until(lambda before=count: impostor.connections > before, "another attempt", 20)
    wait_until(lambda: any("without end" in line.get("detail", "") for line in world.proxy.logged("sink is down")),
               "the reason")
    started = time.monotonic()
    assert world.proxy.terminate() == 0
    assert time.monotonic() - started < 10


def test_an_impostor_of_the_replay_store_holds_up_no_client(make_world, serve):
    impostor = serve(greet)
    world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": []}, "workers": 1, "replay": {"redis": {
        "address": f"127.0.0.1:{impostor.port}", "tls": {"ca": "server"}, "timeout": "10s"}}})
    wait_until(lambda: impostor.connections > 0, "the impostor is asked")
    client, slowest = world.connected(), 0.0
    for _ in range(10):
        count, started = impostor.connections, time.monotonic()
        while impostor.connections == count and time.monotonic() < started + 20:
            before = time.monotonic()
            client.ping()
            slowest = max(slowest, time.monotonic() - before)
        assert impostor.connections > count
        if impostor.connections > 4:
            break
    assert slowest < 5, "a client has waited for the impostor"


class Receiver:
    """A syslog receiver over TLS 1.3 that wants a certificate, and looks at it for a while."""

    def __init__(self, certs, slow):
        self.slow, self.received, self.refusals = slow, [], 0
        self.strict = True
        self.contexts = {strict: self._context(certs, strict) for strict in (True, False)}

    @staticmethod
    def _context(certs, strict):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*certs.server)
        context.load_verify_locations(certs.server_ca.path)
        context.verify_mode = ssl.CERT_REQUIRED if strict else ssl.CERT_OPTIONAL
        return context

    def __call__(self, server, connection):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.contexts[self.strict].wrap_bio(incoming, outgoing, server_side=True)
        ready = False
        while not server.stopped:
            data = connection.recv(65536)
            if not data:
                return
            incoming.write(data)
            try:
                if not ready:
                    tls.do_handshake()
                    ready = True
                while True:
                    self.received.append(tls.read(65536))
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                if not ready:
                    time.sleep(self.slow)  # the client's answer lies there, and more behind it
            except ssl.SSLError:
                self.refusals += 1
                connection.sendall(outgoing.read())
                return
            else:
                connection.sendall(outgoing.read())

    def has(self, topics):
        text = b"".join(self.received)
        return all(b'"topic":"%s"' % topic.encode() in text for topic in topics)


def test_what_a_receiver_got_and_refused_late_comes_when_it_accepts(make_world, serve, certs):
    """TLS 1.3: the sink's side is through with the handshake before the receiver has looked at its certificate."""
    receiver = Receiver(certs, 0.6)
    server = serve(receiver)
    world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": [{"name": "soc", "syslog": {
        "address": f"127.0.0.1:{server.port}", "tls": {"ca": "server"}, "timeout": "30s"}}]}})
    client, topics = world.connected(), []
    while receiver.refusals < 4:
        topics += deny(client, [f"closed/{len(topics) + number}" for number in range(10)])
        count = receiver.refusals
        wait_until(lambda before=count: receiver.refusals > before, "another refusal", 20)
    assert not receiver.received
    assert not world.proxy.logged("sink is up"), "nobody has accepted anything"
    receiver.strict = False
    wait_until(lambda: receiver.has(topics), f"{len(topics)} events at the receiver", 30)
    wait_until(lambda: world.proxy.logged("sink is up"), "sink is up")
