# SPDX-License-Identifier: Apache-2.0
"""Peers that do not read cost bounded memory and nobody else anything."""
import threading
import time

import pytest

import raw
from audit import get
from servers import wait_until
from world import ALLOW_ALL

MEBIBYTE = 1 << 20
DENYING = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]').replace("deny: all", "deny: none")
BOUND = 24 * MEBIBYTE  # growth allowed; what is sent is several times as much


def listeners(send="30s"):
    return [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "timeouts": {"send": send}}]


def settled(world):
    """Resident memory after a client has come and gone."""
    world.connected().disconnect()
    return world.proxy.resident()


def flood(client, data, count):
    """Sends data count times from a thread; the thread ends when the peer is gone."""
    def run():
        try:
            client.sock.settimeout(None)
            for _ in range(count):
                client.sock.sendall(data)
        except OSError:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.needs("isolation")
@pytest.mark.core
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_client_that_never_reads_costs_bounded_memory(make_world, tls):
    world = make_world(configuration={"log": {"level": "info"}})
    before = settled(world)
    deaf = world.client(raw.V311, tls=tls, receive_buffer=4096)
    deaf.connect("deaf")
    deaf.subscribe("flood/#")
    reader = world.connected("reader", raw.V311)
    reader.subscribe("flood/#", "other")
    sender = world.direct()
    payload = b"x" * 65536
    highest = 0
    for round_ in range(40):  # 40 x 2.5 MiB
        sender.send(b"".join(raw.publish(sender.version, "flood/x", payload) for _ in range(40)))
        for _ in range(40):
            assert len(reader.message().payload) == 65536
        highest = max(highest, world.proxy.resident())
    assert highest < before + BOUND, f"{(highest - before) // MEBIBYTE} MiB more"
    sender.publish("other", b"still here", qos=1)
    assert reader.message().payload == b"still here"


def test_a_client_that_never_reads_is_closed_after_the_send_timeout(make_world):
    world = make_world(listeners=listeners("1s"))
    deaf = world.client(receive_buffer=4096)
    deaf.connect("deaf")
    deaf.subscribe("flood/#")
    sender = world.direct()
    for _ in range(200):
        sender.send(raw.publish(sender.version, "flood/x", b"x" * 65536))
    event = world.audit.wait_for(timeout=20, action="mqtt-disconnect", client_id="deaf")
    assert get(event, "reason") == "slow_reader"


@pytest.mark.needs("isolation")
def test_a_client_that_asks_and_never_listens_costs_bounded_memory(make_world):
    """Denied SUBSCRIBEs and PUBLISHes are answered by the proxy itself: their answers must be bounded, too."""
    world = make_world(DENYING, configuration={"log": {"level": "info"}})
    before = settled(world)
    deaf = world.client(receive_buffer=4096)
    deaf.connect("deaf")
    data = b"".join(raw.publish(deaf.version, "closed", b"", qos=1, packet_id=index) for index in range(1, 20000)) + raw.pingreq() * 20000
    thread = flood(deaf, data, 60)
    highest = 0
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline and thread.is_alive():
        highest = max(highest, world.proxy.resident())
        time.sleep(0.02)
    deaf.abort()
    assert highest < before + BOUND, f"{(highest - before) // MEBIBYTE} MiB more"
    world.connected().ping()


@pytest.mark.core
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_broker_that_stands_still_holds_the_sender_back_and_loses_nothing(make_world, tls):
    world = make_world(configuration={"log": {"level": "info"}})
    observer = world.observer("flood/#")
    sender = world.connected("sender", raw.V311, tls=tls)
    before = settled(world)
    world.broker.pause()
    payload, count = b"x" * 65536, 800  # 50 MiB
    thread = flood(sender, raw.publish(raw.V311, "flood/x", payload), count)
    stalled = time.monotonic() + 2
    highest = 0
    while time.monotonic() < stalled:
        highest = max(highest, world.proxy.resident())
        time.sleep(0.02)
    assert thread.is_alive(), "50 MiB went into a broker that stands still"
    assert highest < before + BOUND, f"{(highest - before) // MEBIBYTE} MiB more"
    world.broker.resume()
    for _ in range(count):
        assert len(observer.message(timeout=30).payload) == 65536
    thread.join(10)
    assert not thread.is_alive()


def test_memory_comes_back_after_many_clients(make_world):
    world = make_world(configuration={"log": {"level": "info"}})

    def wave():
        clients = [world.connected(f"wave-{index}", tls=index % 2 == 0) for index in range(100)]
        for client in clients:
            client.subscribe("wave/#")
        for client in clients:
            client.disconnect()
        world.clients.clear()
    wave()
    wait_until(lambda: len(world.audit.all(action="mqtt-disconnect")) >= 100, "all gone")
    before = settled(world)
    for _ in range(3):
        wave()
    assert settled(world) < before + 12 * MEBIBYTE


@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
def test_denials_that_wait_behind_a_broker_that_does_not_answer_cost_bounded_memory(make_world, version):
    """Made-up acks wait behind the broker's: a client must not be able to pile them up."""
    world = make_world(DENYING, broker="fake", configuration={"log": {"level": "info"}})
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK)
    before = world.proxy.resident()
    client.send(raw.publish(version, "open/1", qos=1, packet_id=65535))
    broker.expect(raw.PUBLISH)
    data = b"".join(raw.publish(version, "closed", b"", qos=1, packet_id=index) for index in range(1, 60000))
    thread = flood(client, data, 40)
    highest = 0
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and thread.is_alive():
        highest = max(highest, world.proxy.resident())
        time.sleep(0.02)
    assert highest < before + BOUND, f"{(highest - before) // MEBIBYTE} MiB more"
