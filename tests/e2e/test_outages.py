# SPDX-License-Identifier: Apache-2.0
"""A broker that is away, hangs or talks nonsense: the right answers, and recovery without a restart."""
import socket

import pytest

import raw
from audit import get
from servers import wait_until
from world import ALLOW_ALL

OPEN = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
LIMITED = ALLOW_ALL + "limits: {session_expiry: 60s}\n"
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))


def unavailable(version):
    return 0x88 if version == raw.V5 else 3


@pytest.mark.core
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_broker_that_is_killed_and_comes_back(make_world, tls):
    world = make_world()
    old = {version: world.connected(f"old-{version}", version, tls=tls) for version in world.broker.versions()}
    world.broker.kill()
    for version, client in old.items():
        packets = client.until_closed()
        assert packets == []  # the broker said nothing, and so does mqward
        event = world.audit.wait_for(action="mqtt-disconnect", client_id=f"old-{version}")
        assert get(event, "reason") in ("broker_closed", "broker_disconnected")
    for version in world.broker.versions():
        client = world.client(version, tls=tls)
        client.connect(f"away-{version}", code=unavailable(version))
        client.expect_closed()
        event = world.audit.wait_for(action="mqtt-connect-refused", client_id=f"away-{version}")
        assert get(event, "reason") == "broker_unreachable"
    world.broker.start()
    for version in world.broker.versions():
        client = world.connected(f"new-{version}", version, tls=tls)
        client.subscribe(f"a/{version}")
        client.publish(f"a/{version}", b"back", qos=0)
        assert client.message().payload == b"back"


def test_a_broker_that_stands_still_goes_on_where_it_was(make_world):
    world = make_world()
    client = world.connected()
    client.subscribe("a/#", qos=1)
    world.broker.pause()
    client.send(raw.publish(client.version, "a/1", b"during", qos=1, packet_id=9) + raw.pingreq())
    with pytest.raises(TimeoutError):
        client.receive(0.5)
    world.broker.resume()
    assert {client.receive().type for _ in range(3)} == {raw.PUBACK, raw.PUBLISH, raw.PINGRESP}


@VERSIONS
def test_a_broker_that_accepts_and_says_nothing(make_world, version):
    world = make_world(broker="fake", start=False)
    world.proxy.configuration["upstreams"][0]["timeouts"]["connack"] = "300ms"
    world.proxy.write()
    world.proxy.start()
    client = world.client(version)
    client.connect("c", code=unavailable(version))
    client.expect_closed()
    assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id="c"), "reason") == "broker_timeout"


@VERSIONS
@pytest.mark.parametrize("nonsense", (
    b"\xf0\x00", b"\x20\x02\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n", raw.pingresp(), b"\x30\xff\xff\xff\xff\x7f",
    raw.connect(raw.V311, "x"), b""), ids=lambda data: repr(data[:12]))
def test_a_broker_that_answers_connect_with_nonsense(make_world, version, nonsense):
    world = make_world(broker="fake")
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    broker, _ = world.fake.accept_connect()
    broker.send(nonsense)
    broker.sock.shutdown(socket.SHUT_WR)
    answer = client.expect(raw.CONNACK)
    assert answer.code >= 0x80 if version == raw.V5 else answer.code == 3
    client.expect_closed()
    event = world.audit.wait_for(action=lambda action: action in ("mqtt-connect-refused", "mqtt-protocol-error"), client_id="c")
    assert get(event, "reason") in ("broker_protocol_error", "broker_closed")


@VERSIONS
@pytest.mark.parametrize("nonsense", (
    lambda v: raw.connect(v, "x"), lambda v: raw.subscribe(v, 1, [("a", 0)]), lambda v: raw.pingreq(), lambda v: b"\x00\x00",
    lambda v: raw.connack(v), lambda v: raw.publish(v, "a/#", b"x"), lambda v: raw.publish(v, "a", qos=3, packet_id=1),
    lambda v: b"\x30\x80\x80\x80\x80\x01"), ids=("connect", "subscribe", "pingreq", "type0", "connack", "wildcard", "qos3", "length"))
def test_a_broker_that_later_sends_what_mqtt_forbids(make_world, version, nonsense):
    world = make_world(broker="fake")
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK)
    broker.send(raw.publish(version, "a/good", b"x") + nonsense(version))
    assert client.message().topic == "a/good"
    packets = client.until_closed()
    assert [packet.name for packet in packets] == (["DISCONNECT"] if version == raw.V5 else [])
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="c"), "reason") == "broker_protocol_error"


# ---- what passes from the broker to the client and back ----

def session(world, version=raw.V5, props=(), session_present=False, **options):
    client = world.client(version)
    client.send(raw.connect(version, "c", **options))
    broker, connect = world.fake.accept_session(props, session_present)
    return client, broker, connect, client.expect(raw.CONNACK, code=0)


def test_connect_reaches_the_broker_as_the_client_sent_it(make_world):
    world = make_world(broker="fake")
    properties = ((raw.WILL_DELAY_INTERVAL, 5), (raw.CONTENT_TYPE, "x"), (raw.USER_PROPERTY, ("w", "1")))
    _, _, connect, _ = session(world, username="eva", password=b"\0secret\xff", keep_alive=77, clean=False,
                               will=raw.Will("w/t", b"\0\1", 2, True, properties))
    assert (connect.client_id, connect.username, connect.password) == ("c", "eva", b"\0secret\xff")
    assert (connect.keep_alive, connect.clean, connect.version) == (77, False, raw.V5)
    assert (connect.will.topic, connect.will.payload, connect.will.qos, connect.will.retain) == ("w/t", b"\0\1", 2, True)
    assert sorted(connect.will.properties, key=repr) == sorted(properties, key=repr)


def test_connack_reaches_the_client_as_the_broker_sent_it(make_world):
    world = make_world(broker="fake")
    sent = [(raw.RECEIVE_MAXIMUM, 7), (raw.MAXIMUM_QOS, 1), (raw.RETAIN_AVAILABLE, 0), (raw.REASON_STRING, "welcome"),
            (raw.USER_PROPERTY, ("a", "b")), (raw.WILDCARD_SUBSCRIPTION_AVAILABLE, 0), (raw.SERVER_KEEP_ALIVE, 33)]
    _, _, _, answer = session(world, props=sent, session_present=True, clean=False)
    assert answer.session_present
    for identifier, value in sent:
        assert answer.prop(identifier) == value


@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
def test_a_brokers_refusal_reaches_the_client_with_its_reason(make_world, version):
    world = make_world(broker="fake")
    client = world.client(version)
    client.send(raw.connect(version, "c"))
    broker, _ = world.fake.accept_connect()
    properties = [(raw.SERVER_REFERENCE, "other.example"), (raw.REASON_STRING, "moved")] if version == raw.V5 else []
    broker.send(raw.connack(version, 0x9D if version == raw.V5 else 2, False, properties))
    answer = client.expect(raw.CONNACK, code=0x9D if version == raw.V5 else 2)
    assert answer.properties == properties
    client.expect_closed()


def test_a_brokers_disconnect_reaches_the_client_with_its_reason(make_world):
    world = make_world(broker="fake")
    client, broker, _, _ = session(world)
    broker.send(raw.disconnect(raw.V5, 0x9C, [(raw.SERVER_REFERENCE, "other.example")]))
    packet = client.expect(raw.DISCONNECT, code=0x9C)
    assert packet.prop(raw.SERVER_REFERENCE) == "other.example"
    client.expect_closed()
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="c"), "reason") == "broker_disconnected"


def test_a_clients_disconnect_reaches_the_broker_within_the_policys_limits(make_world):
    world = make_world(LIMITED, broker="fake")
    client, broker, _, _ = session(world)
    client.send(raw.disconnect(raw.V5, 0x04, [(raw.REASON_STRING, "bye")]))
    packet = broker.expect(raw.DISCONNECT, code=0x04)
    assert packet.prop(raw.REASON_STRING) == "bye"
    broker.expect_closed()


def test_a_session_expiry_above_the_limit_is_lowered_wherever_it_is_asked_for(make_world):
    world = make_world(LIMITED, broker="fake")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", props=[(raw.SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF)]))
    broker, connect = world.fake.accept_session()
    assert connect.prop(raw.SESSION_EXPIRY_INTERVAL) == 60
    assert client.expect(raw.CONNACK).prop(raw.SESSION_EXPIRY_INTERVAL) == 60
    client.send(raw.disconnect(raw.V5, 0, [(raw.SESSION_EXPIRY_INTERVAL, 86400)]))
    packet = broker.receive()
    assert packet.type == raw.DISCONNECT and packet.prop(raw.SESSION_EXPIRY_INTERVAL, 60) <= 60


def test_enhanced_authentication_passes_both_ways(make_world):
    world = make_world(broker="fake")
    method = (raw.AUTHENTICATION_METHOD, "SCRAM-SHA-256")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", props=[method, (raw.AUTHENTICATION_DATA, b"first")]))
    broker, connect = world.fake.accept_connect()
    assert connect.prop(raw.AUTHENTICATION_DATA) == b"first"
    broker.send(raw.auth(0x18, [method, (raw.AUTHENTICATION_DATA, b"challenge")]))
    assert client.expect(raw.AUTH, code=0x18).prop(raw.AUTHENTICATION_DATA) == b"challenge"
    client.send(raw.auth(0x18, [method, (raw.AUTHENTICATION_DATA, b"response")]))
    assert broker.expect(raw.AUTH, code=0x18).prop(raw.AUTHENTICATION_DATA) == b"response"
    broker.send(raw.connack(raw.V5, 0, False, [method, (raw.AUTHENTICATION_DATA, b"final")]))
    assert client.expect(raw.CONNACK, code=0).prop(raw.AUTHENTICATION_DATA) == b"final"
    client.send(raw.auth(0x19, [method, (raw.AUTHENTICATION_DATA, b"again")]))
    broker.expect(raw.AUTH, code=0x19)
    broker.send(raw.auth(0x00, [method]))
    client.expect(raw.AUTH, code=0)
    client.send(raw.auth(0x19, [(raw.AUTHENTICATION_METHOD, "other")]))
    assert client.expect(raw.DISCONNECT).code in (0x82, 0x8C)


def test_the_brokers_acks_carry_their_codes_and_properties(make_world):
    world = make_world(broker="fake")
    client, broker, _, _ = session(world)
    for kind in (raw.PUBACK, raw.PUBREC):
        client.send(raw.publish(raw.V5, "a", qos=1 if kind == raw.PUBACK else 2, packet_id=3))
        broker.expect(raw.PUBLISH, packet_id=3)
        broker.send(raw.ack(kind, raw.V5, 3, 0x97, [(raw.REASON_STRING, "quota")]))
        assert client.expect(kind, packet_id=3, code=0x97).prop(raw.REASON_STRING) == "quota"


@pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
@pytest.mark.parametrize("qos", (1, 2), ids=("qos1", "qos2"))
def test_made_up_acks_wait_behind_the_brokers(make_world, version, qos):
    """[MQTT-4.6.0-2]: acks go out in the order of the PUBLISHes."""
    world = make_world(OPEN, broker="fake")
    client, broker, _, _ = session(world, version)
    kind = raw.PUBACK if qos == 1 else raw.PUBREC
    client.send(raw.publish(version, "open/1", qos=qos, packet_id=1) + raw.publish(version, "closed/2", qos=qos, packet_id=2)
                + raw.publish(version, "open/3", qos=qos, packet_id=3) + raw.publish(version, "closed/4", qos=qos, packet_id=4))
    assert [broker.expect(raw.PUBLISH).packet_id for _ in range(2)] == [1, 3]
    with pytest.raises(TimeoutError):
        client.receive(0.3)
    broker.send(raw.ack(kind, version, 1))
    assert [client.expect(kind).packet_id for _ in range(2)] == [1, 2]
    with pytest.raises(TimeoutError):
        client.receive(0.3)
    broker.send(raw.ack(kind, version, 3))
    assert [client.expect(kind).packet_id for _ in range(2)] == [3, 4]


def test_more_messages_in_flight_than_the_receive_maximum_end_the_connection(make_world):
    """Messages that the policy denies count as the others do while their acks wait."""
    world = make_world(OPEN, broker="fake")
    client, broker, _, _ = session(world, props=[(raw.RECEIVE_MAXIMUM, 2)])
    client.send(raw.publish(raw.V5, "open/1", qos=1, packet_id=1) + raw.publish(raw.V5, "closed/2", qos=1, packet_id=2)
                + raw.publish(raw.V5, "open/3", qos=1, packet_id=3))
    packets = client.until_closed()
    assert [(packet.name, packet.code) for packet in packets] == [("DISCONNECT", 0x93)]


def test_what_the_broker_cannot_do_is_refused_as_it_announced(make_world):
    world = make_world(broker="fake")
    for props, packet, code in (
            ([(raw.MAXIMUM_QOS, 1)], raw.publish(raw.V5, "a", qos=2, packet_id=1), 0x9B),
            ([(raw.RETAIN_AVAILABLE, 0)], raw.publish(raw.V5, "a", retain=True), 0x9A)):
        client, broker, _, _ = session(world, props=props)
        client.send(packet)
        assert [(p.name, p.code) for p in client.until_closed()] == [("DISCONNECT", code)]


def test_a_delivery_above_the_clients_maximum_packet_size_does_not_reach_it(make_world):
    """The broker must not send it; a broker that does is held to it."""
    world = make_world(broker="fake")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", props=[(raw.MAXIMUM_PACKET_SIZE, 100)]))
    broker, connect = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    assert connect.prop(raw.MAXIMUM_PACKET_SIZE) <= 100
    broker.send(raw.publish(raw.V5, "a", b"x" * 200))
    broker.send(raw.publish(raw.V5, "a", b"y" * 20))
    packet = client.receive()
    assert packet is None or packet.type == raw.DISCONNECT or packet.payload == b"y" * 20


def test_a_client_refused_because_the_broker_is_away_makes_room_at_once(make_world):
    """Its end is seen although it was not read while the broker was dialled."""
    world = make_world(broker=False, listeners=[{"name": "plain", "address": "127.0.0.1:0", "plaintext": True,
                                                 "limits": {"connections": 1}}])

    def refused_by_the_broker():
        with world.client(raw.V5) as client:
            client.send(raw.connect(raw.V5, "early") + raw.pingreq() * 100)
            packets = client.until_closed()
            return [(packet.name, packet.code) for packet in packets] == [("CONNACK", 0x88)]
    assert refused_by_the_broker()
    wait_until(refused_by_the_broker, "the place of the first client is free", timeout=5)
