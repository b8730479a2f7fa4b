# SPDX-License-Identifier: Apache-2.0
"""Many clients at once: nobody is refused, who is in goes on, and the broker has room for all of them."""
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import raw
from audit import get
from peer import Client, dial
from servers import wait_until

STORM = 150
AT_ONCE = 50
FEW_HANDSHAKES = 20
LONGEST = 20.0  # seconds of a storm in which live traffic does not go on


def come(world):
    """A client by TLS, up to its CONNACK."""
    client = Client(dial(("127.0.0.1", world.proxy.ports["tls"]), world.certs.context()), world.version)
    client.connect(world.name("storm"))
    return client


def come_again(world, is_over):
    """A client that has come; others come and go before it until the storm may be over."""
    client = come(world)
    while not is_over():
        client.abort()
        client = come(world)
    return client


def test_nobody_is_refused_and_live_traffic_goes_on_while_many_connect_at_once(make_world):
    world = make_world(configuration={"workers": 1})
    receiver, sender = world.connected(), world.connected(tls=True)
    receiver.subscribe("live")
    sent, enough, end = 0, STORM // FEW_HANDSHAKES, time.monotonic() + LONGEST

    def is_over():
        return sent > enough or time.monotonic() > end

    def go_on():
        nonlocal sent
        sent += 1
        sender.publish("live", b"%d" % sent, qos=world.qos(1))
        assert receiver.message().payload == b"%d" % sent
    with ThreadPoolExecutor(AT_ONCE) as pool:
        comers = [pool.submit(come_again, world, is_over) for _ in range(STORM)]
        while not is_over():
            go_on()
        in_storm = sent
        while not all(comer.done() for comer in comers):
            go_on()
        clients = [comer.result() for comer in comers]
    world.clients.extend(clients)
    assert in_storm > enough, "live traffic had to wait"
    for client in clients[::FEW_HANDSHAKES]:
        client.ping()


def sources_of(world, count):
    """Where the proxy's connections to the broker come from, one for each client that connects."""
    seen = []
    for _ in range(count):
        client = world.client()
        client.send(raw.connect(client.version, world.name()))
        seen.append(world.fake.accept_session()[0].sock.getpeername()[0])
        assert client.receive().type == raw.CONNACK
    return seen


def with_sources(make_world, sources):
    world = make_world(broker="fake", start=False, configuration={"workers": 1})
    world.proxy.configuration["upstreams"][0]["source_addresses"] = sources
    world.proxy.write()
    world.proxy.start()
    return world


@pytest.mark.brokerless
def test_connections_to_the_broker_begin_at_the_source_addresses_in_turn(make_world):
    sources = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    world = with_sources(make_world, sources)
    seen = sources_of(world, 6)
    assert sorted(seen) == sorted(2 * sources) and set(seen[:3]) == set(sources)


@pytest.mark.brokerless
def test_a_source_address_of_another_machine_is_passed_over(make_world):
    world = with_sources(make_world, ["192.0.2.1", "127.0.0.3"])
    assert sources_of(world, 4) == ["127.0.0.3"] * 4


@pytest.mark.brokerless
def test_without_a_usable_source_address_the_client_is_told_and_the_log_says_why(make_world):
    world = with_sources(make_world, ["192.0.2.1"])
    client = world.client(raw.V5)
    client.connect("nowhere", code=0x88)
    event = world.audit.wait_for(action="mqtt-connect-refused", client_id="nowhere")
    assert get(event, "reason") == "broker_unreachable"
    said = [line["error"] for line in world.proxy.logged("can't reach the broker")]
    assert said and "from 192.0.2.1: no local port is free" in said[0]


@pytest.mark.brokerless
def test_a_reload_brings_other_source_addresses(make_world):
    world = with_sources(make_world, ["127.0.0.2"])
    assert sources_of(world, 1) == ["127.0.0.2"]
    world.proxy.configuration["upstreams"][0]["source_addresses"] = ["127.0.0.3"]
    world.proxy.write()
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: world.proxy.logged("reloaded"), "the configuration is in force")
    assert sources_of(world, 1) == ["127.0.0.3"]
