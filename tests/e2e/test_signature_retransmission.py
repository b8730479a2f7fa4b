# SPDX-License-Identifier: Apache-2.0
"""Acknowledgements that are lost: what is signed once may be sent again with DUP, arrives as QoS promises, and never
because somebody has recorded it."""
import pytest

import raw
from audit import get
from clients import Paho
from signatures import (ENVELOPE, PLC7, PROPERTY, REFUSED, RETAIN, USERS, VERSIONS, carried, events, packet, payloads,
                        publish, signed, signed_world, user)
from wire import FROM_BROKER, FROM_CLIENT, Wire

pytestmark = pytest.mark.needs("qos2")
QOS = pytest.mark.parametrize("qos", (1, 2), ids=lambda qos: f"qos{qos}")
MODES = pytest.mark.parametrize("replay", ("nonce", "seq"))
CARRIERS = pytest.mark.parametrize("version, carrier", ((raw.V311, ENVELOPE), (raw.V5, ENVELOPE), (raw.V5, PROPERTY)),
                                   ids=("v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))
KEPT = {"clean": False, "props": ((raw.SESSION_EXPIRY_INTERVAL, 600),)}  # a session that outlives its connection
ANSWER = {1: raw.PUBACK, 2: raw.PUBREC}
TWO_CHECKS = (signed("replay: nonce", topics="nonce/#", name="nonce"),
              signed("replay: seq", topics="seq/#", name="seq"))


class Place:
    """A world whose broker is behind a wire."""

    def __init__(self, make_world):
        self.world = signed_world(make_world, *TWO_CHECKS, start=False)
        self.wire = Wire(self.world.broker_port)
        self.world.proxy.configuration["upstreams"][0]["address"] = f"127.0.0.1:{self.wire.port}"
        self.world.proxy.write()
        self.world.proxy.start()

    def connect(self, client_id, version, **options):
        return user(self.world, version=version, client_id=client_id, **KEPT, **options)

    def observer(self, topic):
        return self.world.observer(topic, qos=2)


@pytest.fixture(scope="module")
def shared(make_shared_world):
    place = Place(make_shared_world)
    yield place
    place.wire.stop()


@pytest.fixture
def place(shared):
    shared.wire.lose()
    return shared


def message_for(place, replay):
    """A message that stands on a topic of its own."""
    number = next(place.world.counter)
    topic = f"{replay}/{number}"
    return PLC7.sign(topic) if replay == "nonce" else PLC7.count(1, number, topic)


def send(client, message, qos, carrier=None, *, packet_id=9, dup=False):
    client.send(packet(client, message, qos, carrier, packet_id=packet_id, dup=dup))


def finish(client, qos, packet_id=9, code=0):
    """The rest of the handshake."""
    answer = client.expect(ANSWER[qos], packet_id=packet_id)
    assert answer.code == code or (code == 0 and answer.code == 0x10)
    if qos == 2 and code < 0x80:
        client.send(raw.ack(raw.PUBREL, client.version, packet_id))
        client.expect(raw.PUBCOMP, packet_id=packet_id)


def lost_on_the_way(place, message, version, qos, carrier=None, what=None):
    """The client has sent; what (the broker's answer) is lost, and then the connection; its id."""
    client_id = place.world.name()
    client = place.connect(client_id, version)
    place.wire.lose(what or (FROM_BROKER, ANSWER[qos]))
    send(client, message, qos, carrier)
    place.wire.wait_lost()
    client.reset()
    place.wire.cut()
    place.wire.lose()
    place.world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    return client_id


def no_replay(world, client, topic):
    """Nobody was taken for a replay."""
    if client:
        world.ended(client)
    reasons = {get(event, "reason") for event in world.audit.all(action="mqtt-signature-rejected", topic=topic)}
    assert reasons <= {"sig_dup_suppressed"}


# ---- the broker's acknowledgement is lost ----

@CARRIERS
@QOS
@MODES
def test_a_message_whose_acknowledgement_was_lost_is_sent_again(place, version, carrier, qos, replay):
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client_id = lost_on_the_way(place, message, version, qos, carrier)
    client = place.connect(client_id, version)
    send(client, message, qos, carrier, dup=True)
    finish(client, qos)
    found = payloads(place.world.arrived(observer, client))
    assert set(found) == {message.payload}
    assert len(found) in ((1, 2) if qos == 1 else (1,))  # QoS 2: exactly once, since the session was kept
    no_replay(place.world, client, message.topic)


@VERSIONS
@QOS
@MODES
def test_a_message_that_never_reached_the_broker_arrives_once(place, version, qos, replay):
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client_id = lost_on_the_way(place, message, version, qos, what=(FROM_CLIENT, raw.PUBLISH))
    client = place.connect(client_id, version)
    send(client, message, qos, dup=True)
    finish(client, qos)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    no_replay(place.world, client, message.topic)


@VERSIONS
@QOS
@MODES
def test_a_pending_message_is_still_a_replay_without_dup(place, version, qos, replay):
    """Who has recorded it can't deliver it in place of the device, neither as its own nor at QoS 0."""
    message = message_for(place, replay)
    client_id = lost_on_the_way(place, message, version, qos, what=(FROM_CLIENT, raw.PUBLISH))
    observer = place.observer(message.topic)
    client = place.connect(client_id, version)
    send(client, message, qos)
    finish(client, qos, code=REFUSED if version == raw.V5 else 0)
    publish(client, message, 0)
    events(place.world, "sig_replay", 2, topic=message.topic)
    send(client, message, qos, dup=True)
    finish(client, qos)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]


@pytest.mark.core
@VERSIONS
@MODES
def test_after_the_retransmission_it_is_done(place, version, replay):
    message = message_for(place, replay)
    client_id = lost_on_the_way(place, message, version, 1)
    observer = place.observer(message.topic)
    client = place.connect(client_id, version)
    send(client, message, 1, dup=True)
    finish(client, 1)
    send(client, message, 1, dup=True, packet_id=10)
    finish(client, 1, 10)
    publish(client, message, 1, code=REFUSED)
    assert len(place.world.arrived(observer, client)) == 1
    events(place.world, "sig_dup_suppressed", topic=message.topic)
    events(place.world, "sig_replay", topic=message.topic)


# ---- the client's acknowledgement is lost, the broker has acknowledged ----

@CARRIERS
@QOS
@MODES
def test_a_message_that_has_arrived_is_acknowledged_and_goes_no_further(place, version, carrier, qos, replay):
    """The client's PUBACK was lost, or its PUBCOMP: the session is over, and a new one begins with DUP."""
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    sender = place.connect(place.world.name(), version)
    publish(sender, message, qos, carrier)
    sender.reset()
    client = place.connect(place.world.name(), version)
    for packet_id in (9, 10):
        send(client, message, qos, carrier, dup=True, packet_id=packet_id)
        finish(client, qos, packet_id)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    event = events(place.world, "sig_dup_suppressed", 2, topic=message.topic)[0]
    assert (get(event, "disposition"), get(event, "severity")) == ("dropped", 21)
    assert get(event, "rule") == replay and get(event, "mqtt.duplicate") is True


@VERSIONS
@QOS
@MODES
def test_a_message_that_has_arrived_is_a_replay_without_dup(place, version, qos, replay):
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client = place.connect(place.world.name(), version)
    publish(client, message, qos)
    publish(client, message, qos, code=REFUSED)
    publish(client, message, 0)
    publish(place.connect(place.world.name(), version), message, 0)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    event = events(place.world, "sig_replay", 3, topic=message.topic)[0]
    assert get(event, "severity") == 99 and get(event, "rule") == replay


@VERSIONS
@MODES
def test_dup_at_qos_0_is_no_retransmission(place, version, replay):
    """It is a protocol error that ends the connection; without DUP the message is a replay, and it has arrived: sent
    again at another QoS it is acknowledged and goes nowhere."""
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client = place.connect(place.world.name(), version)
    publish(client, message, 0)
    publish(client, message, 0)
    publish(client, message, 1, code=REFUSED)
    publish(client, message, 1, dup=True)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    events(place.world, "sig_replay", 2, topic=message.topic)
    events(place.world, "sig_dup_suppressed", 1, topic=message.topic)


# ---- after a lost PUBREC of the proxy's ----

@VERSIONS
@MODES
def test_qos_2_goes_on_where_it_was_after_a_lost_pubrec(place, version, replay):
    """The broker has sent PUBREC, the client did not get it: PUBLISH with DUP gets a PUBREC again, PUBREL reaches the
    broker, and only that lets it deliver, once."""
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client_id = place.world.name()
    client = place.connect(client_id, version)
    send(client, message, 2)
    client.expect(raw.PUBREC, packet_id=9)  # the last that comes through
    client.reset()
    place.world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    client = place.connect(client_id, version)
    send(client, message, 2, dup=True)
    client.expect(raw.PUBREC, packet_id=9)
    client.send(raw.ack(raw.PUBREL, version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    no_replay(place.world, client, message.topic)


@VERSIONS
@MODES
def test_pubrel_after_a_reconnect_completes_qos_2(place, version, replay):
    message = message_for(place, replay)
    observer = place.observer(message.topic)
    client_id = place.world.name()
    client = place.connect(client_id, version)
    send(client, message, 2)
    client.expect(raw.PUBREC, packet_id=9)
    client.reset()
    place.world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    client = place.connect(client_id, version)
    client.send(raw.ack(raw.PUBREL, version, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    assert payloads(place.world.arrived(observer, client)) == [message.payload]
    publish(client, message, 1, code=REFUSED)
    events(place.world, "sig_replay", topic=message.topic)


# ---- the broker fails ----

@VERSIONS
@QOS
@MODES
def test_a_broker_that_is_killed_between_publish_and_acknowledgement(make_world, version, qos, replay):
    """The message was in the broker's hands; the one that takes its place knows nothing of it."""
    world = signed_world(make_world, *TWO_CHECKS)
    message = PLC7.sign("nonce/x") if replay == "nonce" else PLC7.count(1, 1, "seq/x")
    client = user(world, version=version, client_id="device", **KEPT)
    world.broker.pause()
    send(client, message, qos)
    client.send(raw.pingreq())
    with pytest.raises(TimeoutError):
        client.receive(0.2)
    world.broker.kill()
    client.until_closed()
    world.broker.start()
    observer = world.observer(message.topic, qos=2)
    client = user(world, version=version, client_id="device", **KEPT)
    send(client, message, qos, dup=True)
    finish(client, qos)
    send(client, message, qos, dup=True, packet_id=10)
    finish(client, qos, 10)
    assert payloads(world.arrived(observer, client)) == [message.payload]
    events(world, "sig_dup_suppressed", topic=message.topic)
    no_replay(world, client, message.topic)


@VERSIONS
@QOS
def test_paho_sends_again_what_the_broker_took_with_it(make_world, version, qos):
    """A library's own persistent session: the application signs once, and does nothing."""
    world = signed_world(make_world)
    message = PLC7.sign("dt/x", flags=RETAIN)
    payload, _ = carried(message, ENVELOPE)
    with Paho(version, "device", world.proxy.ports["plain"], clean=False, username="plc-7",
              password=USERS["plc-7"]) as paho:
        paho.client.reconnect_delay_set(1, 1)
        world.broker.pause()
        paho.connected.clear()
        info = paho.client.publish(message.topic, payload, qos, True)
        world.broker.kill()
        paho.disconnected.wait(10)
        world.broker.start()
        info.wait_for_publish(20)
        assert info.is_published()
    assert world.broker.received("device") == [message.topic]
    assert payloads(world.arrived(world.observer(message.topic))) == [message.payload]
    world.audit.wait_for_count(2, action="mqtt-disconnect", client_id="device")
    no_replay(world, None, message.topic)


@VERSIONS
def test_paho_sends_again_what_it_has_no_acknowledgement_of(place, version):
    """Between the client and mqward: the broker has acknowledged, and the library sends DUP."""
    wire = Wire(place.world.proxy.ports["plain"])
    try:
        wire.lose((FROM_BROKER, raw.PUBACK))
        message = message_for(place, "nonce")
        observer = place.observer(message.topic)
        payload, _ = carried(message, ENVELOPE)
        with Paho(version, place.world.name(), wire.port, clean=False, username="plc-7",
                  password=USERS["plc-7"]) as paho:
            paho.client.reconnect_delay_set(1, 1)
            info = paho.client.publish(message.topic, payload, 1)
            wire.wait_lost()
            wire.lose()
            wire.cut()
            info.wait_for_publish(20)
            assert info.is_published()
        assert payloads(place.world.arrived(observer)) == [message.payload]
        events(place.world, "sig_dup_suppressed", topic=message.topic)
    finally:
        wire.stop()
