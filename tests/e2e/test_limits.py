# SPDX-License-Identifier: Apache-2.0
"""Limits of connections, and time limits: handshake, CONNECT, keep alive, idle."""
import threading
import time

import pytest

import raw
from audit import get
from peer import Client, dial
from servers import wait_until

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))


def listeners(certs, limits=None, timeouts=None):
    extra = {**({"limits": limits} if limits else {}), **({"timeouts": timeouts} if timeouts else {})}
    return [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True, **extra},
            {"name": "tls", "address": "127.0.0.1:0", "tls": {"certificate": certs.server[0], "key": certs.server[1]}, **extra}]


def let_in(world, listener, source=None):
    """Whether a connection is served, and the client (open when it is)."""
    context = world.certs.context() if listener == "tls" else None
    try:
        client = Client(dial(("127.0.0.1", world.proxy.ports[listener]), context, source=source), world.version)
        world.clients.append(client)
        client.send(raw.connect(client.version, world.name()))
        packet = client.receive()
    except OSError:
        return False, None
    return packet is not None and packet.type == raw.CONNACK and packet.code == 0, client


@pytest.mark.parametrize("listener", ("plain", "tls"))
@pytest.mark.parametrize("limits, reason", (
    ({"connections": 3, "connections_per_address": 0}, "connection_limit"),
    ({"connections": 0, "connections_per_address": 3}, "address_limit")), ids=("listener", "address"))
def test_connections_are_limited_and_freed(make_world, certs, listener, limits, reason):
    world = make_world(listeners=listeners(certs, limits), configuration={"workers": 1})
    served = [let_in(world, listener) for _ in range(3)]
    assert all(ok for ok, _ in served)
    assert not let_in(world, listener)[0]
    assert get(world.audit.wait_for(action="rate-limited", reason=reason), "source.ip") == "127.0.0.1"
    other_address = let_in(world, listener, "127.0.0.2")[0]
    assert other_address == (reason == "address_limit")
    served[0][1].disconnect()
    wait_until(lambda: let_in(world, listener)[0], "the place of who has left is free")


def test_limits_hold_over_all_workers(make_world, certs):
    world = make_world(listeners=listeners(certs, {"connections": 5, "connections_per_address": 0}), configuration={"workers": 4})
    assert sum(let_in(world, "plain")[0] for _ in range(20)) == 5


def elapsed(since):
    return time.monotonic() - since


@pytest.mark.brokerless
def test_a_handshake_that_does_not_begin_is_ended(make_world, certs):
    world = make_world(listeners=listeners(certs, timeouts={"handshake": "400ms"}))
    began = time.monotonic()
    client = Client(dial(("127.0.0.1", world.proxy.ports["tls"])), raw.V5)
    with client:
        assert client.sock.recv(100) == b""
    assert 0.3 < elapsed(began) < 9, "the default is 10 s"
    assert get(world.audit.wait_for(action="tls-handshake-failed"), "reason") == "handshake_timeout"


@pytest.mark.brokerless
def test_a_handshake_that_dribbles_is_ended(make_world, certs):
    world = make_world(listeners=listeners(certs, timeouts={"handshake": "400ms"}))
    client = Client(dial(("127.0.0.1", world.proxy.ports["tls"])), raw.V5)
    began = time.monotonic()
    with client, pytest.raises(OSError):
        for _ in range(200):
            client.send(b"\x16" if _ == 0 else b"\x03")
            time.sleep(0.05)
    assert elapsed(began) < 9


@pytest.mark.brokerless
@pytest.mark.parametrize("listener", ("plain", "tls"))
@pytest.mark.parametrize("dribble", (False, True), ids=("silent", "dribbling"))
def test_a_connect_that_does_not_come_in_time_ends_the_connection(make_world, certs, listener, dribble):
    world = make_world(listeners=listeners(certs, timeouts={"connect": "400ms"}))
    client = world.client(tls=listener == "tls")
    began = time.monotonic()
    if dribble:
        with pytest.raises((OSError, StopIteration)):
            for byte in raw.connect(raw.V5, "x" * 2000):
                client.send(bytes([byte]))
                time.sleep(0.05)
                if elapsed(began) > 9:
                    raise StopIteration
    else:
        client.expect_closed()
    assert elapsed(began) < 9
    world.audit.wait_for(reason="connect_timeout")


@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_keep_alive_is_one_and_a_half_times_what_the_client_said(make_world, version, tls):
    world = make_world()
    quiet_id, lively_id = world.name("quiet"), world.name("lively")
    lively = world.connected(lively_id, version, tls=tls, keep_alive=4)
    began = time.monotonic()  # before mqward starts to count
    quiet = world.connected(quiet_id, version, tls=tls, keep_alive=1)
    end = []
    waiting = threading.Thread(target=lambda: end.extend((quiet.until_closed(), elapsed(began))), daemon=True)
    waiting.start()
    while elapsed(began) < 7:  # longer than the 6 s that lively has without a word
        lively.ping()
        time.sleep(0.3)
    waiting.join(30)
    packets, ended = end
    assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x8D)] if version == raw.V5 else [])
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id=quiet_id), "reason") in world.broker.keep_alive_reasons
    assert 1.4 <= ended < 6, "in its own time, not in that of lively"
    lively.ping()


def test_the_servers_keep_alive_counts(make_world):
    world = make_world(broker="fake")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", keep_alive=600))
    began = time.monotonic()  # before mqward starts to count
    world.fake.accept_session([(raw.SERVER_KEEP_ALIVE, 1)])
    client.expect(raw.CONNACK)
    assert [(packet.name, packet.code) for packet in client.until_closed()] == [("DISCONNECT", 0x8D)]
    assert 1.4 <= elapsed(began) < 15


@VERSIONS
def test_idle_clients_without_keep_alive_are_ended(make_world, certs, version):
    """Mosquitto gives 5.0 clients a Server Keep Alive instead, hence a broker of our own."""
    world = make_world(broker="fake", listeners=listeners(certs, timeouts={"idle": "800ms"}))
    client_id = world.name()
    client = world.client(version)
    client.send(raw.connect(version, client_id, keep_alive=0))
    world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    began = time.monotonic()
    packets = client.until_closed()
    assert elapsed(began) < 9
    assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x98)] if version == raw.V5 else [])
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id=client_id), "reason") == "idle_timeout"
