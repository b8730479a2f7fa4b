# SPDX-License-Identifier: Apache-2.0
"""The two connections of a session, seen from a broker that the test plays: when the second begins, and how it ends."""
import threading
import time

import pytest

import raw
from audit import get
from played import POLICY, connected, played_world, session
from raw import V5

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def world(make_shared_world):
    return played_world(make_shared_world)


# ---- before CONNACK ----

STRICT = """\
version: 1
policy: strict
identity:
  - password: {file: users}
client_id: <id>
rules:
  - rule: own
    who: everyone
    allow: publish
    topics: [dt/<id>]
"""


@pytest.fixture(scope="module")
def strict(make_shared_world):
    return played_world(make_shared_world, STRICT, passwords={"eva": "secret", "a+b": "secret"})


@VERSIONS
@pytest.mark.parametrize("code, options", (
    (0x86, {"username": "eva", "password": "wrong", "client_id": "eva"}),
    (0x86, {"username": "adam", "password": "secret", "client_id": "adam"}),
    (0x87, {"client_id": "eva"}),
    (0x87, {"username": "a+b", "password": "secret", "client_id": "a+b"}),
    (0x85, {"username": "eva", "password": "secret", "client_id": "adam"}),
    (0x87, {"username": "eva", "password": "secret", "client_id": "eva", "will": raw.Will("elsewhere", b"x")}),
), ids=("password", "user", "nobody", "unsafe", "client id", "will"))
def test_a_connect_that_the_policy_refuses_never_reaches_the_broker(strict, version, code, options):
    client = strict.client(version)
    options = dict(options)
    client.connect(options.pop("client_id"), code=code, **options)
    client.expect_closed()
    good = strict.client(version)
    good.send(raw.connect(version, "eva", username="eva", password="secret"))
    broker, connect = strict.fake.accept_connect()  # the first that it sees
    assert (connect.client_id, connect.username, connect.will) == ("eva", "eva", None)
    broker.send(raw.connack(version))
    good.expect(raw.CONNACK, code=0)
    good.disconnect()


@VERSIONS
def test_what_is_sent_before_connack_waits_for_it_and_is_judged(world, version):
    client = world.client(version)
    allowed = raw.publish(version, "open/1", b"x", qos=1, packet_id=1)
    denied = raw.publish(version, "closed/2", b"x", qos=1, packet_id=2)
    client.send(raw.connect(version, world.name()) + allowed + denied + raw.subscribe(version, 3, [("open/3", 0)]))
    broker, _ = world.fake.accept_connect()
    with pytest.raises(TimeoutError):
        broker.receive(0.3)
    broker.send(raw.connack(version))
    client.expect(raw.CONNACK, code=0)
    assert broker.expect(raw.PUBLISH).raw == allowed
    assert broker.expect(raw.SUBSCRIBE).packet_id == 3


def test_what_is_sent_before_connack_costs_bounded_memory(make_world):
    world = played_world(make_world, configuration={"log": {"level": "info"}})
    before = world.proxy.resident()
    client = world.client(V5)
    client.send(raw.connect(V5, "c"))
    broker, _ = world.fake.accept_connect()
    message = raw.publish(V5, "open/x", b"x" * 60000)

    def flood():
        try:
            client.sock.settimeout(None)
            for _ in range(800):
                client.sock.sendall(message)
        except OSError:
            pass
    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    highest, deadline = 0, time.monotonic() + 1.5
    while time.monotonic() < deadline and thread.is_alive():
        highest = max(highest, world.proxy.resident())
        time.sleep(0.02)
    assert thread.is_alive(), "48 MiB went into a session whose broker has not said yes"
    assert highest < before + 16 * MEBIBYTE, f"{(highest - before) // MEBIBYTE} MiB more"
    broker.send(raw.connack(V5))
    for _ in range(800):
        assert broker.expect(raw.PUBLISH).raw == message
    thread.join(10)


# ---- while it lasts ----

@VERSIONS
def test_pings_are_between_client_and_broker(world, version):
    """A proxy that answered them itself would hide a dead broker."""
    client, broker = session(world, version, keep_alive=60)
    client.send(raw.pingreq())
    broker.expect(raw.PINGREQ)
    with pytest.raises(TimeoutError):
        client.receive(0.3)
    broker.send(raw.pingresp())
    client.expect(raw.PINGRESP)


# ---- the end ----

@VERSIONS
@pytest.mark.parametrize("how", ("close", "reset"))
def test_a_client_that_is_lost_ends_the_brokers_connection_without_disconnect(world, version, how):
    client, broker = session(world, version, will=raw.Will("open/will", b"x"))
    if how == "close":
        client.abort()
    else:
        client.reset()
    broker.expect_closed()


@VERSIONS
def test_a_client_that_is_silent_ends_the_brokers_connection_without_disconnect(world, version):
    began = time.monotonic()
    client, broker = session(world, version, keep_alive=1)
    broker.expect_closed()
    assert time.monotonic() - began > 1.2
    client.expect_disconnect(0x8D)


@VERSIONS
def test_a_client_that_is_kicked_for_a_denied_publish_leaves_its_allowed_will(make_world, version):
    world = played_world(make_world, POLICY + "on_deny: {publish: disconnect}\n")
    client, broker = session(world, version, will=raw.Will("open/will", b"x"))
    client.send(raw.publish(version, "closed", b"x"))
    client.expect_disconnect(0x87)
    broker.expect_closed()


@pytest.mark.parametrize("version, code", [(version, None) for version in raw.VERSIONS] + [(V5, 0x04)],
                         ids=("v3.1", "v3.1.1", "v5.0", "v5.0 with will"))
def test_disconnect_goes_on_as_it_came(world, version, code):
    client, broker = session(world, version, will=raw.Will("open/will", b"x"))
    sent = raw.disconnect(version, code)
    client.send(sent)
    assert broker.expect(raw.DISCONNECT).raw == sent
    broker.expect_closed()


# ---- client ids that the broker assigns ----

BOUND = """\
version: 1
policy: bound
identity:
  - password: {file: users}
client_id: "<id>-*"
rules:
  - rule: own
    who: everyone
    allow: publish
    topics: [c/<client_id>]
"""


def test_an_assigned_client_id_fills_placeholders_and_is_held_to_the_binding(make_world):
    world = played_world(make_world, BOUND, passwords={"eva": "secret"})
    credentials = {"username": "eva", "password": "secret"}
    client, broker, connect, answer = connected(
        world, client_id="", connack=[(raw.ASSIGNED_CLIENT_IDENTIFIER, "eva-17")], **credentials)
    assert connect.client_id == "" and answer.prop(raw.ASSIGNED_CLIENT_IDENTIFIER) == "eva-17"
    client.send(raw.publish(V5, "c/eva-17", b"1"))
    assert broker.expect(raw.PUBLISH).topic == "c/eva-17"
    client.publish("c/", b"1", qos=1, code=0x87)
    client.publish("c/eva-18", b"1", qos=1, code=0x87)
    for assigned in ("adam-1", "eva", "eva-a/b"):
        client = world.client(V5)
        client.send(raw.connect(V5, "", **credentials))
        broker, _ = world.fake.accept_session([(raw.ASSIGNED_CLIENT_IDENTIFIER, assigned)])
        assert client.expect(raw.CONNACK).code in (0x85, 0x87)
        client.expect_closed()
        broker.expect(raw.DISCONNECT)
        broker.expect_closed()


def test_an_assigned_client_id_is_its_identitys_from_then_on(make_world):
    world = played_world(make_world, BOUND.replace('client_id: "<id>-*"\n', ""), passwords={"eva": "1", "adam": "2"})
    client, broker = session(world, client_id="", connack=[(raw.ASSIGNED_CLIENT_IDENTIFIER, "made-up")],
                             username="eva", password="1")
    thief = world.client(V5)
    thief.connect("made-up", code=0x85, username="adam", password="2")
    event = world.audit.wait_for(action="mqtt-connect-refused", user="adam")
    assert get(event, "reason") == "client_id_in_use"
    client.send(raw.pingreq())
    broker.expect(raw.PINGREQ)
