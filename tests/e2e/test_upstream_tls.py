# SPDX-License-Identifier: Apache-2.0
"""TLS towards the broker: verified by name and CA, with a client certificate where the broker wants one."""
import pytest

import raw
from audit import get

RIGHT = {"ca": "broker-ca", "server_name": "broker.example"}


def world_with(make_world, certs, tls, **broker):
    def point(world):
        return {"upstreams": [{"name": "main", "address": f"127.0.0.1:{world}", "tls": tls,
                               "timeouts": {"connect": "5s", "connack": "5s"}}]}
    world = make_world(broker={"tls": certs.broker, **broker}, start=False)
    world.proxy.configuration.update(point(world.broker_port))
    world.proxy.write()
    world.proxy.start()
    return world


@pytest.mark.parametrize("tls", (RIGHT, {"verify": False}), ids=("verified", "not verified"))
def test_the_broker_is_reached_over_tls(make_world, certs, tls):
    world = world_with(make_world, certs, tls)
    receiver, sender = world.connected(), world.connected()
    receiver.subscribe("a/b")
    sender.publish("a/b", b"x" * 100000, qos=world.qos(2))
    assert len(receiver.message().payload) == 100000


@pytest.mark.parametrize("tls", (
    {**RIGHT, "server_name": "other.example"}, {"ca": "broker-ca"}, {**RIGHT, "ca": "foreign"}, {"server_name": "broker.example"}),
    ids=("another name", "the address is no name of it", "another CA", "the system's CAs"))
@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
def test_a_broker_that_is_not_the_right_one_is_refused(make_world, certs, tls, version):
    world = world_with(make_world, certs, tls)
    client_id = world.name()
    client = world.client(version)
    client.connect(client_id, code=0x88 if version == raw.V5 else 3)
    client.expect_closed()
    event = world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id)
    assert get(event, "reason") == "broker_unreachable"


def test_a_client_certificate_is_shown_to_a_broker_that_wants_one(make_world, certs):
    certificate = {"certificate": certs.broker_client[0], "key": certs.broker_client[1]}
    world = world_with(make_world, certs, {**RIGHT, **certificate}, client_ca=certs.broker_ca.path)
    world.connected().publish("a/b", b"x", qos=1)


def test_without_it_such_a_broker_is_not_reached(make_world, certs):
    world = world_with(make_world, certs, RIGHT, client_ca=certs.broker_ca.path)
    world.client(raw.V5).connect(world.name(), code=0x88)
