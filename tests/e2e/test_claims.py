# SPDX-License-Identifier: Apache-2.0
"""Who holds a client id and a place among an identity's sessions, and from when on."""
import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
BROKER = """\
version: 1
policy: claims
identity:
  - broker: {id: username}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
"""
LIMITED = BROKER + "limits: {sessions_per_id: 1}\n"
CLIENT_ID = """\
version: 1
policy: claims
identity:
  - anonymous: {id: guest}
rules:
  - rule: own
    who: everyone
    allow: publish
    topics: [st/<client_id>, will]
"""


def asks(world, version, name, client_id, **options):
    """A CONNECT that the broker has and has not answered: (client, broker's peer)."""
    client = world.client(version)
    client.send(raw.connect(version, client_id, username=name, password="?", **options))
    peer, packet = world.fake.accept_connect()
    assert (packet.client_id, packet.username) == (client_id, name)
    return client, peer


def in_use(version):
    return 0x85 if version == raw.V5 else 2


@VERSIONS
def test_an_unproven_client_keeps_nobody_from_a_client_id(make_world, version):
    world = make_world(BROKER, broker="fake")
    impostor, impostor_peer = asks(world, version, "mallory", "plc-7")
    client, peer = asks(world, version, "eva", "plc-7")
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    impostor_peer.send(raw.connack(version, 0x87 if version == raw.V5 else 5))
    impostor.expect(raw.CONNACK, code=0x87 if version == raw.V5 else 5)
    client.send(raw.pingreq())
    peer.expect(raw.PINGREQ)


@VERSIONS
def test_an_unproven_client_takes_no_place_of_an_identity(make_world, version):
    world = make_world(LIMITED, broker="fake")
    asks(world, version, "eva", "impostor")
    client, peer = asks(world, version, "eva", "plc-7")
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)


@VERSIONS
def test_a_client_id_that_is_held_is_refused_before_the_broker_is_asked(make_world, version):
    world = make_world(BROKER, broker="fake")
    client, peer = asks(world, version, "eva", "plc-7")
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    world.client(version).connect("plc-7", username="mallory", password="?", code=in_use(version))
    event = world.audit.wait_for(action="mqtt-connect-refused", user="mallory")
    assert (get(event, "reason"), get(event, "reason_code")) == ("client_id_in_use", in_use(version))
    client.send(raw.pingreq())
    peer.expect(raw.PINGREQ)


@VERSIONS
def test_of_two_that_the_broker_accepts_the_second_is_refused(make_world, version):
    world = make_world(BROKER, broker="fake")
    client, peer = asks(world, version, "eva", "plc-7")
    other, other_peer = asks(world, version, "adam", "plc-7", will=raw.Will("dt/adam/will", b"x"))
    peer.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    other_peer.send(raw.connack(version))
    other.expect(raw.CONNACK, code=in_use(version))
    other.expect_closed()
    # the broker has accepted it: DISCONNECT takes its will back
    other_peer.expect(raw.DISCONNECT, code=0)
    other_peer.expect_closed()


@pytest.mark.parametrize("version", (raw.V311,), ids=("v3.1.1",))
def test_a_connect_that_is_refused_at_connack_leaves_no_will_behind(make_world, version):
    world = make_world(CLIENT_ID)
    observer = world.observer("will")
    client = world.client(version)
    # the broker gives it an id and does not tell: <client_id> can't be filled
    client.connect("", will=raw.Will("will", b"x"), code=5)
    client.expect_closed()
    event = world.audit.wait_for(action="mqtt-connect-refused", reason="identity_missing")
    assert get(event, "reason_code") == 5
    assert world.arrived(observer) == []


@VERSIONS
def test_a_connack_that_never_comes_leaves_no_will_behind(make_world, version):
    world = make_world(CLIENT_ID, broker="fake", configuration={"upstreams": [
        {"name": "main", "address": "127.0.0.1:1", "timeouts": {"connect": "2s", "connack": "200ms"}}]}, start=False)
    world.proxy.configuration["upstreams"][0]["address"] = f"127.0.0.1:{world.fake.port}"
    world.proxy.write()
    world.proxy.start()
    client = world.client(version)
    client.send(raw.connect(version, "c", will=raw.Will("will", b"x")))
    peer, _ = world.fake.accept_connect()
    client.expect(raw.CONNACK, code=0x88 if version == raw.V5 else 3)
    peer.expect(raw.DISCONNECT, code=0)
    peer.expect_closed()


@VERSIONS
def test_a_client_that_leaves_before_connack_has_its_will(make_world, version):
    world = make_world(CLIENT_ID, broker="fake")
    client = world.client(version)
    client.send(raw.connect(version, "c", will=raw.Will("will", b"x")))
    peer, _ = world.fake.accept_connect()
    client.abort()
    peer.send(raw.connack(version))
    peer.expect_closed()  # no DISCONNECT: the broker publishes the will
