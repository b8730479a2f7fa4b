# SPDX-License-Identifier: Apache-2.0
"""Clients and brokers that are correct by the letter and meant badly, or that leave at the worst moment."""
import contextlib
import threading

import pytest

import raw
from audit import get
from world import ALLOW_ALL

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
TLS = pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
OK = """\
version: 1
policy: hostile
identity:
  - anonymous: {id: anyone}
rules:
  - rule: ok
    who: everyone
    allow: [publish, subscribe]
    topics: [ok/#]
"""
DOTS = """\
version: 1
policy: dots
identity:
  - anonymous: {id: anyone}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/#, own/<client_id>]
  - rule: not-admin
    who: everyone
    deny: [publish, receive]
    topics: [dt/admin/#]
limits: {topic_levels: 4}
"""


def opened(world, client_id="c", version=raw.V311, *, tls=False, props=(), **options):
    """A client behind a FakeBroker, after CONNACK: (client, broker's peer)."""
    client = world.client(version, tls=tls)
    client.send(raw.connect(version, client_id, **options))
    peer, _ = world.fake.accept_session(props)
    client.expect(raw.CONNACK, code=0)
    return client, peer


@TLS
@VERSIONS
def test_the_disconnect_of_a_client_that_left_its_deliveries_unread_arrives(make_world, version, tls):
    """Its socket answers what is still sent to it with a reset; what it said before counts all the same."""
    world = make_world(OK, broker="fake")
    deliveries = raw.publish(version, "ok/1", b"x" * 1000) * 20
    for number in range(10):
        client, peer = opened(world, f"c{number}", version, tls=tls)
        peer.send(deliveries)
        client.sock.recv(1)  # some of it is there, and the rest is never read
        peer.send(deliveries)
        client.send(raw.publish(version, "ok/last", b"word") + raw.disconnect(version))
        client.abort()
        peer.send(deliveries)
        assert [packet.name for packet in peer.until_closed()] == ["PUBLISH", "DISCONNECT"]


def processor_time(world):
    """Seconds of CPU time that mqward has used."""
    with open(f"/proc/{world.proxy.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_the_cost_of_a_packet_does_not_grow_with_what_is_in_flight(make_world):
    world = make_world(OK, broker="fake", configuration={"workers": 1})
    idle, idle_peer = opened(world, "idle", keep_alive=0)
    busy, busy_peer = opened(world, "busy", keep_alive=0)

    def through(client, peer, data, count):
        """Sends count packets; CPU seconds until the broker has them and what comes behind."""
        before = processor_time(world)
        sender = threading.Thread(target=client.send, args=(data + raw.pingreq(),))
        sender.start()
        for _ in range(count):
            peer.receive(60)
        peer.expect(raw.PINGREQ, timeout=60)
        sender.join(60)
        return processor_time(world) - before

    through(busy, busy_peer, b"".join(raw.publish(raw.V311, "ok", qos=1, packet_id=number) for number in range(1, 65536)), 65535)
    for packet in (raw.ack(raw.PUBREL, raw.V311, 65535), raw.publish(raw.V311, "ok", qos=1, dup=True, packet_id=65535)):
        base = through(idle, idle_peer, packet * 8000, 8000)
        cost = through(busy, busy_peer, packet * 8000, 8000)
        assert cost < 5 * base + 0.5, f"{cost} s instead of {base} s"


def test_a_session_that_another_one_did_not_get_is_not_taken_over(make_world):
    world = make_world(ALLOW_ALL, broker="fake")
    client, peer = opened(world, "plc", raw.V5)
    other = world.client(raw.V5)
    other.send(raw.connect(raw.V5, "plc"))
    other_peer, _ = world.fake.accept_connect()
    other_peer.send(raw.connack(raw.V5, 0x97))
    other.expect(raw.CONNACK, code=0x97)
    other.expect_closed()
    world.audit.wait_for(action="mqtt-connect-refused")
    peer.abort()
    assert client.until_closed() == []
    assert get(world.audit.wait_for(action="mqtt-disconnect"), "reason") == "broker_closed"


def test_a_client_that_can_not_be_read_because_the_broker_owes_answers_is_not_kept_for_ever(make_world):
    listener = {"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "timeouts": {"send": "1s"}}
    world = make_world(OK, broker="fake", listeners=[listener])
    client, peer = opened(world)
    client.send(raw.publish(raw.V311, "ok/1", qos=1, packet_id=1))
    peer.expect(raw.PUBLISH)
    client.send(b"".join(raw.publish(raw.V311, "no", qos=1, packet_id=number) for number in range(2, 1100)))
    client.abort()
    peer.expect_closed()
    assert get(world.audit.wait_for(action="mqtt-disconnect"), "reason") == "broker_timeout"


def test_the_time_of_an_authentication_is_no_silence_of_the_client(make_world):
    world = make_world(ALLOW_ALL, broker="fake", start=False)
    world.proxy.configuration["upstreams"][0]["timeouts"]["connack"] = "30s"  # it has the time that this one takes
    world.proxy.write()
    world.proxy.start()
    method = [(raw.AUTHENTICATION_METHOD, "m")]
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "a", keep_alive=4, props=method))
    peer, _ = world.fake.accept_connect()
    with pytest.raises(TimeoutError):
        client.receive(6.5)
    peer.send(raw.connack(raw.V5, 0, False, method))
    client.expect(raw.CONNACK, code=0)
    client.send(raw.pingreq())
    peer.expect(raw.PINGREQ)


def test_bytes_that_become_no_packet_do_not_keep_a_session_alive(make_world):
    world = make_world(ALLOW_ALL, broker="fake")
    client, peer = opened(world, version=raw.V5, keep_alive=1)
    packet = raw.publish(raw.V5, "t", b"x" * 1000)
    for byte in packet[:100]:  # ten seconds, if they count
        with contextlib.suppress(OSError):
            client.sock.send(bytes([byte]))
        try:
            ended = client.receive(0.1)
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError("a session that sends no packet goes on")
    assert (ended.name, ended.code) == ("DISCONNECT", 0x8D)
    peer.expect_closed()


@VERSIONS
def test_what_is_held_can_be_given_back_whatever_else_was_refused(make_world, version):
    world = make_world(OK + "limits: {subscriptions: 1}\n", broker="fake")
    client, peer = opened(world, version=version)
    client.send(raw.subscribe(version, 1, [("ok/1", 0), ("ok/1", 1)]))
    assert len(peer.expect(raw.SUBSCRIBE).filters) == 2
    peer.send(raw.suback(version, 1, [0, 1]))
    client.expect(raw.SUBACK, codes=[0, 1])
    client.send(raw.unsubscribe(version, 2, ["ok/1"]))
    assert [name for name, _ in peer.expect(raw.UNSUBSCRIBE).filters] == ["ok/1"]


@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
def test_in_a_session_that_was_kept_every_unsubscribe_is_the_brokers(make_world, version):
    world = make_world(OK, broker="fake")
    client = world.client(version)
    client.send(raw.connect(version, "c", clean=False))
    peer, _ = world.fake.accept_session(session_present=True)
    client.expect(raw.CONNACK)
    client.send(raw.subscribe(version, 1, [("no/1", 0)]))
    client.expect(raw.SUBACK)
    client.send(raw.unsubscribe(version, 2, ["no/1"]))
    peer.expect(raw.UNSUBSCRIBE)


# ---- brokers for which a dot is a slash ----

def dotted_world(make_world, dialect, policy=DOTS):
    world = make_world(policy, broker="fake", start=False)
    world.proxy.configuration["upstreams"][0]["dialect"] = dialect
    world.proxy.write()
    world.proxy.start()
    return world


@pytest.mark.parametrize("dialect", ("rabbitmq", "artemis"))
def test_a_dot_is_a_slash_where_the_broker_reads_it_so(make_world, dialect):
    world = dotted_world(make_world, dialect)
    client, peer = opened(world, version=raw.V5)
    for topic in ("dt/admin.reboot", "dt.admin.reboot", "dt.admin", "other.dt", "dt.a.b.c.d"):
        client.publish(topic, b"x", qos=1, code=0x97 if topic == "dt.a.b.c.d" else 0x87)
    client.send(raw.publish(raw.V5, "dt.a", b"allowed"))
    assert peer.message().topic == "dt.a"
    client.subscribe("dt.admin", "dt.admin.x", "*.a", codes=[0x87, 0x87, 0x87])
    peer.send(raw.publish(raw.V5, "dt.admin.x", b"kept back") + raw.publish(raw.V5, "dt/b", b"delivered"))
    assert client.message().payload == b"delivered"


@VERSIONS
def test_an_identity_with_a_dot_would_be_a_tree_there(make_world, version):
    world = dotted_world(make_world, "rabbitmq")
    client = world.client(version)
    client.connect("plc.7", code=0x87 if version == raw.V5 else 5)
    assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id="plc.7"), "reason") == "identity_unsafe"


def test_to_other_brokers_a_dot_is_a_letter(make_world):
    world = dotted_world(make_world, "mosquitto")
    client, peer = opened(world, client_id="plc.7", version=raw.V5)
    client.publish("dt.a", b"x", qos=1, code=0x87)
    client.send(raw.publish(raw.V5, "dt/admin.x", b"a level of its own") + raw.publish(raw.V5, "own/plc.7", b"mine"))
    assert [peer.message().topic, peer.message().topic] == ["dt/admin.x", "own/plc.7"]


# ---- the largest packets ----

def test_limits_leave_room_for_what_mqward_adds(make_world):
    world = make_world(ALLOW_ALL + "limits: {packet: 268435460}\n", start=False)
    world.proxy.spawn()
    assert world.proxy.process.wait(20) == 1
    assert "limits" in world.proxy.output() or "packet" in world.proxy.output()
    world.proxy.process = None
