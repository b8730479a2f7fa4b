# SPDX-License-Identifier: Apache-2.0
"""How far a signed message goes in the hands of who carries it: what DUP lets through, what the store keeps for whom,
what sequences need, and what checks in monitor mode must not change."""
import pytest

import raw
from audit import get
from played import nothing_came
from signatures import (ENVELOPE, MASTER, OPERATOR, PASSWORD, PLC7, REFUSED, VERSIONS, WILL, Key, Signer, events, now,
                        packet, payloads, policy, publish, signed, signed_world, user, will, write_keys)
from test_reload import reload

pytestmark = pytest.mark.brokerless
MOST = 17  # the first, and sixteen retransmissions
CHECKS = pytest.mark.parametrize("replay", ("nonce", "seq"))


def message_for(replay):
    return PLC7.sign() if replay == "nonce" else PLC7.count(1)


def device(world, version=raw.V5, connack=()):
    """A client whose broker is played: (client, broker, CONNACK)."""
    client = world.client(version)
    client.send(raw.connect(version, world.name(), username="plc-7", password=PASSWORD))
    broker, _ = world.fake.accept_session(connack)
    return client, broker, client.expect(raw.CONNACK, code=0)


# ---- DUP = 1 is no licence ----

@VERSIONS
@CHECKS
def test_who_leaves_before_each_acknowledgement_comes_to_an_end(make_world, version, replay):
    """PUBLISH and DISCONNECT in one piece: the broker has the message, and no PUBACK ever comes back."""
    world = signed_world(make_world, signed(f"replay: {replay}"))
    observer, message = world.observer("dt/#"), message_for(replay)
    for _ in range(MOST + 8):
        with user(world, version=version) as client:
            client.send(packet(client, message, packet_id=1, dup=True) + raw.disconnect(version))
            client.until_closed()
    assert 1 <= len(world.arrived(observer)) <= MOST
    publish(user(world, version=version, client_id="last"), message, code=REFUSED)
    event, = events(world, "sig_replay", topic=message.topic, client_id="last")
    assert get(event, "rule") == "signed" and get(event, "line") == world.line("check: signed")


@VERSIONS
@CHECKS
def test_who_uses_a_packet_id_for_two_messages_comes_to_an_end(make_world, version, replay):
    """The acknowledgement of the one must not leave the other open for good."""
    world = signed_world(make_world, signed(f"replay: {replay}"))
    observer, message = world.observer("dt/x"), message_for(replay)
    client = user(world, version=version)
    others = [PLC7.sign("dt/y") if replay == "nonce" else PLC7.count(number, topic="dt/y") for number in range(2, 32)]
    client.send(b"".join(packet(client, item, packet_id=1, dup=item is message)
                         for other in others for item in (message, other)))
    client.send(raw.pingreq())
    while client.receive().type == raw.PUBACK:
        pass
    assert 1 <= len(world.arrived(observer)) <= MOST


@CHECKS
def test_a_copy_that_the_broker_refuses_does_not_forget_one_that_it_takes(make_world, replay):
    world = signed_world(make_world, signed(f"replay: {replay}"), broker="fake")
    message = message_for(replay)
    pairs = [device(world)[:2] for _ in range(2)]
    for dup, (client, broker) in enumerate(pairs):
        client.send(packet(client, message, packet_id=1, dup=bool(dup)))
        broker.expect(raw.PUBLISH, packet_id=1)
    for code, (client, broker) in zip((0x97, 0), pairs):
        broker.send(raw.ack(raw.PUBACK, raw.V5, 1, code))
        client.expect(raw.PUBACK, packet_id=1, code=code)
    for client, _ in pairs:
        publish(client, message, code=REFUSED)
    events(world, "sig_replay", 2)


@VERSIONS
@CHECKS
def test_a_copy_under_another_packet_id_is_no_retransmission(make_world, version, replay):
    """While the connection still waits for the answer to the first."""
    world = signed_world(make_world, signed(f"replay: {replay}"), broker="fake")
    message = message_for(replay)
    client, broker, _ = device(world, version)
    client.send(b"".join(packet(client, message, packet_id=number, dup=number > 1) for number in (1, 2, 3)))
    assert broker.expect(raw.PUBLISH).packet_id == 1
    nothing_came(broker, client)
    events(world, "sig_replay", 2)
    broker.send(raw.ack(raw.PUBACK, version, 1))
    for number, code in ((1, 0), (2, REFUSED), (3, REFUSED)):
        client.expect(raw.PUBACK, packet_id=number, code=code if version == raw.V5 else 0)


@VERSIONS
def test_retransmissions_of_what_has_arrived_count_against_the_rate(make_world, version):
    """One recorded message must not fill the audit."""
    world = signed_world(make_world, signed(), '{check: flood, topics: "#", rate: {per: id, messages: 3/h}}',
                         configuration={"audit": {"aggregate": "10s"}})
    observer, message, client = world.observer("dt/#"), PLC7.sign(), user(world, version=version)
    publish(client, message)
    for number in range(300):
        publish(client, message, dup=True, code=0 if number < 2 else 0x97)
    assert len(world.arrived(observer, client)) == 1
    events(world, "sig_dup_suppressed")
    world.audit.wait_for(action="rate-limited", reason="rate_exceeded")
    assert len(world.audit.all(topic="dt/x")) < 20


@CHECKS
def test_a_copy_under_the_same_packet_id_is_not_forgotten_either(make_world, replay):
    """The broker says no and then yes to one id: it has the message."""
    world = signed_world(make_world, signed(f"replay: {replay}"), broker="fake")
    message = message_for(replay)
    client, broker, _ = device(world)
    client.send(packet(client, message, packet_id=1) + packet(client, message, packet_id=1, dup=True))
    for _ in range(2):
        broker.expect(raw.PUBLISH, packet_id=1)
    broker.send(raw.ack(raw.PUBACK, raw.V5, 1, 0x97) + raw.ack(raw.PUBACK, raw.V5, 1))
    client.send(raw.pingreq())
    broker.expect(raw.PINGREQ)
    broker.send(raw.pingresp())
    while client.receive().type != raw.PINGRESP:
        pass
    publish(client, message, code=REFUSED)
    events(world, "sig_replay")


@CHECKS
def test_a_broker_that_says_packet_id_in_use_has_the_message(make_world, replay):
    """EMQX answers a retransmission between PUBREC and PUBREL with 0x91, and delivers at PUBREL all the same."""
    world = signed_world(make_world, signed(f"replay: {replay}"), broker="fake")
    message = message_for(replay)
    client, broker, _ = device(world)
    for code, dup in ((0, False), (0x91, True)):
        client.send(packet(client, message, 2, packet_id=9, dup=dup))
        broker.expect(raw.PUBLISH, packet_id=9)
        broker.send(raw.ack(raw.PUBREC, raw.V5, 9, code))
        client.expect(raw.PUBREC, packet_id=9, code=code)
    client.send(raw.ack(raw.PUBREL, raw.V5, 9))
    broker.expect(raw.PUBREL, packet_id=9)
    broker.send(raw.ack(raw.PUBCOMP, raw.V5, 9))
    client.expect(raw.PUBCOMP, packet_id=9)
    publish(client, message, code=REFUSED)
    publish(client, message, code=REFUSED, packet_id=9)
    events(world, "sig_replay", 2)


@VERSIONS
@CHECKS
def test_qos_2_survives_a_session_that_is_lost_before_pubrel(make_world, version, replay):
    """PUBREC came, then the connection broke, and with its clean session the broker's message: DUP brings it again."""
    world = signed_world(make_world, signed(f"replay: {replay}"))
    observer, message = world.observer("dt/#", qos=2), message_for(replay)
    client = user(world, version=version, client_id="device")
    client.send(packet(client, message, 2, packet_id=1))
    client.expect(raw.PUBREC, packet_id=1)
    client.reset()
    client = user(world, version=version, client_id="device")
    publish(client, message, 2, dup=True, packet_id=1)
    assert payloads(world.arrived(observer, client)) == [message.payload]
    publish(client, message, 2, dup=True, packet_id=2)
    assert world.arrived(observer, client) == []


# ---- what the store keeps for whom ----

def test_who_floods_the_store_forgets_his_own(make_world):
    """The others' messages are taken as before, also those that were signed before the flood."""
    world = signed_world(make_world, signed('relay: {gateways: ["*"]}'),
                         configuration={"replay": {"nonces": 4096, "per_signer": 4096}})
    observer, gateway = world.observer("dt/#"), user(world, "gw-1")
    silent = [Signer(f"silent-{number}") for number in range(100)]
    first = [signer.sign("dt/x", signer.sub, t=now() - 30_000) for signer in silent]
    late = [signer.sign("dt/x", b"late " + signer.sub.encode(), t=now() - 60_000) for signer in silent]
    for message in first:
        publish(gateway, message)
    gateway.send(b"".join(packet(gateway, PLC7.sign("dt/flood"), 0) for _ in range(6000)))
    gateway.ping()
    for message in late:
        publish(gateway, message)
    for message in first:
        publish(gateway, message, code=REFUSED)
    found = [message.payload for message in world.arrived(observer, gateway) if message.topic == "dt/x"]
    assert found == [message.payload for message in (*first, *late)]


@pytest.mark.parametrize("terms, limit", (("replay: seq", 64), ("replay: nonce", None)), ids=("seq", "nonce"))
def test_a_sequence_bounds_what_may_be_in_flight(make_world, terms, limit):
    """More than the window remembers could not be sent again after a reconnect."""
    world = signed_world(make_world, signed(terms), broker="fake")
    for given, wanted in ((None, limit), (100, limit or 100), (20, 20)):
        connack = () if given is None else ((raw.RECEIVE_MAXIMUM, given),)
        assert device(world, connack=connack)[2].prop(raw.RECEIVE_MAXIMUM) == wanted


# ---- monitor mode changes nothing ----

@VERSIONS
def test_a_monitored_check_does_not_decide_what_goes_on(make_world, version):
    """It would strip; the one that is enforced says that the signature goes on."""
    world = signed_world(make_world, signed(name="watch", check="mode: monitor"),
                         signed("forward: pass", name="enforced"))
    observer, sender, message = world.observer("dt/#"), user(world, version=version), PLC7.sign()
    publish(sender, message, carrier=ENVELOPE)
    assert payloads(world.arrived(observer, sender)) == [message.header() + message.payload]


@VERSIONS
def test_what_a_monitored_check_found_is_not_said_of_what_is_allowed(make_world, version):
    text = policy(signed(), signed(name="watch", keys="ops-1", check="mode: monitor")).replace(
        "{deny: all", "{allow: 100%, deny: all")
    world = signed_world(make_world, text=text)
    publish(user(world, version=version), PLC7.sign())
    assert get(events(world, "sig_key_unknown")[0], "mqward.detail")
    allowed = world.audit.wait_for(action="mqtt-publish-allowed", topic="dt/x")
    assert get(allowed, "mqward.detail") is None and "key" not in get(allowed, "message")


@VERSIONS
def test_a_monitored_resign_keeps_nothing_back(make_world, version):
    """A receiver who can't have a key gets the message as it came."""
    receivers = Key("r25a", more={"revoked": ["eva"]})
    world = signed_world(make_world, signed("forward: resign, receiver_key: r25a", check="mode: monitor"),
                         keys=(MASTER, OPERATOR, receivers))
    receiver = user(world, "eva", version)
    receiver.subscribe("dt/#", qos=1)
    message = PLC7.sign()
    publish(user(world, version=version), message, carrier=ENVELOPE)
    assert receiver.message().payload == message.header() + message.payload
    event = world.audit.wait_for(action="mqtt-delivery-filtered", reason="sig_key_revoked")
    assert get(event, "disposition") == "monitored"


@VERSIONS
def test_a_monitored_rule_does_not_save_the_will_of_a_revoked_signer(make_world, version):
    key = Key("m25a")
    watch = "  - rule: watch\n    mode: monitor\n    who: everyone\n    deny: publish\n    topics: [dt/#]\nchecks:\n"
    world = signed_world(make_world, text=policy(signed()).replace("checks:\n", watch), keys=(key, OPERATOR))
    observer = world.observer("dt/#")
    message = Signer("plc-7", key).sign("dt/x", b"gone", flags=WILL)
    client = user(world, version=version, will=will(version, message))
    key.more["revoked"] = ["plc-7"]
    write_keys(world, key, OPERATOR)
    reload(world)
    client.expect_disconnect(REFUSED)
    events(world, "sig_key_revoked")
    assert world.arrived(observer) == []
