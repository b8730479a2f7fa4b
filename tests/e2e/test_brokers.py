# SPDX-License-Identifier: Apache-2.0
"""What real brokers do that Mosquitto does not, byte for byte: mqward must be no worse than a direct connection."""
import pytest

import raw
from audit import get
from world import ALLOW_ALL

OPEN = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
BEFORE_5 = pytest.mark.parametrize("version", (raw.V31, raw.V311), ids=("v3.1", "v3.1.1"))


def session(world, version, **options):
    """A client and the broker's side of its connection."""
    client = world.client(version)
    client.send(raw.connect(version, "c", **options))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    return client, broker


# ---- CONNECT ----

@pytest.mark.parametrize("answer", (raw.connack(raw.V311, 1), raw.connack(raw.V5, 0x84)), ids=("before 5.0", "5.0"))
def test_a_broker_without_5_0_says_so_and_the_client_hears_it(make_world, answer):
    """aedes answers in the form that it speaks: 20 02 00 01 [MQTT-3.1.2-2]. A client that can speak 3.1.1, too, has to
    learn that from 0x84."""
    world = make_world(broker="fake")
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c"))
    broker, _ = world.fake.accept_connect()
    broker.send(answer)
    client.expect(raw.CONNACK, code=0x84)
    client.expect_closed()


@pytest.mark.needs("no-5.0")
def test_a_client_of_5_0_is_not_let_in_by_a_broker_without_it(make_world):
    """RabbitMQ 3.10 closes the connection without a word."""
    world = make_world()
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, world.name()))
    assert client.expect(raw.CONNACK).code in (0x84, 0x88)
    client.expect_closed()
    world.connected(version=raw.V311).ping()


# ---- the order of acknowledgements ----

def assert_made_up_in_place(got, made_up):
    """A made-up ack waits for the acks of all earlier messages, unless the broker has answered a later one: what it has
    left out it may never answer."""
    for place, identifier in enumerate(got):
        if identifier in made_up:
            before = got[:place]
            missing = [other for other in got[place:] if other < identifier and other not in made_up]
            assert not missing or any(other > missing[0] for other in before if other not in made_up), got


@BEFORE_5
@pytest.mark.parametrize("order, wanted", (
    ((1, 3, 5), [1, 2, 3, 4, 5, 6]), ((3, 1, 5), [3, 2, 4, 1, 5, 6]), ((5, 3, 1), [5, 2, 4, 6, 3, 1]),
    ((1, 5, 3), [1, 2, 5, 4, 6, 3])), ids=str)
def test_acks_of_the_broker_out_of_order_lose_no_made_up_one(make_world, version, order, wanted):
    """[MQTT-4.6.0-2] is the broker's to keep: RabbitMQ confirms first what it has dealt with first. Its own acks pass as
    they come, and a made-up one waits no longer than until a later message is answered."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    client.send(b"".join(raw.publish(version, "closed" if packet_id % 2 == 0 else "open/x", qos=1, packet_id=packet_id)
                         for packet_id in range(1, 7)))
    assert [broker.expect(raw.PUBLISH).packet_id for _ in range(3)] == [1, 3, 5]
    for packet_id in order:
        broker.send(raw.ack(raw.PUBACK, version, packet_id))
    got = [client.expect(raw.PUBACK).packet_id for _ in range(6)]
    assert got == wanted
    assert_made_up_in_place(got, (2, 4, 6))
    client.send(raw.publish(version, "closed", qos=1, packet_id=7))
    client.expect(raw.PUBACK, packet_id=7)


def test_many_acks_of_a_real_broker_with_made_up_ones_between_them(make_world):
    """Messages that go to a queue, messages that go nowhere, and denied ones."""
    world = make_world(OPEN)
    receiver = world.connected()
    receiver.subscribe("open/heard/#", qos=1)
    sender, window = world.connected(), 18
    topics = ("open/heard/x", "closed/x", "open/unheard/x")
    for round_ in range(30):
        first = 1 + round_ * window
        sender.send(b"".join(raw.publish(sender.version, topics[index % 3], b"x" * (index % 7 * 1000), qos=1,
                                         packet_id=first + index) for index in range(window)))
        got = [sender.expect(raw.PUBACK).packet_id for _ in range(window)]
        assert sorted(got) == list(range(first, first + window))
        assert_made_up_in_place(got, range(first + 1, first + window, 3))
        for _ in range(window // 3):
            assert receiver.message().topic == "open/heard/x"
    sender.ping()


# ---- QoS 2 ----

@BEFORE_5
def test_a_puback_for_a_message_of_qos_2_ends_its_flow(make_world, version):
    """RabbitMQ takes QoS 2 as QoS 1. The client hears of it, the identifier is free again, and nothing stalls."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    for _ in range(3):
        client.send(raw.publish(version, "open/x", qos=2, packet_id=7)
                    + raw.publish(version, "closed", qos=2, packet_id=8))
        broker.expect(raw.PUBLISH, packet_id=7)
        broker.send(raw.ack(raw.PUBACK, version, 7))
        got = [client.receive() for _ in range(2)]
        assert sorted((packet.name, packet.packet_id) for packet in got) == [("PUBACK", 7), ("PUBREC", 8)]
        client.send(raw.ack(raw.PUBREL, version, 8))
        client.expect(raw.PUBCOMP, packet_id=8)
    client.send(raw.publish(version, "open/y", qos=1, packet_id=7))
    assert broker.expect(raw.PUBLISH, packet_id=7).topic == "open/y"
    broker.send(raw.ack(raw.PUBACK, version, 7))
    client.expect(raw.PUBACK, packet_id=7)


# ---- SUBSCRIBE and UNSUBSCRIBE ----

@BEFORE_5
def test_a_suback_that_is_short_of_codes_does_not_end_the_connection(make_world, version):
    """aedes gives one code to a filter that is twice in a packet. Who is connected directly lives with it."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    client.send(raw.subscribe(version, 5, [("open/a", 0), ("open/a", 1)]))
    asked = broker.expect(raw.SUBSCRIBE).filters
    broker.send(raw.suback(version, 5, [qos for _, qos in dict(asked).items()]))
    answer = client.expect(raw.SUBACK, packet_id=5)
    assert answer.codes in ([1], [1, 1], [0, 1])


@BEFORE_5
def test_deliveries_before_suback_arrive(make_world, version):
    """Section 3.8.4: the server may send what matches before it answers SUBSCRIBE. RabbitMQ and aedes do."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    client.send(raw.subscribe(version, 5, [("open/a", 1), ("closed", 1)]))
    broker.expect(raw.SUBSCRIBE)
    broker.send(raw.publish(version, "open/a", b"early", qos=1, retain=True, packet_id=9) + raw.suback(version, 5, [1]))
    assert client.message().payload == b"early"
    client.expect(raw.SUBACK, packet_id=5, codes=[1, 0x80 if version == raw.V311 else 0])
    broker.expect(raw.PUBACK, packet_id=9)


@BEFORE_5
def test_acks_overtake_each_other_across_kinds(make_world, version):
    """RabbitMQ answers PINGREQ before what came earlier, aedes SUBSCRIBE after what came later."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    client.send(raw.subscribe(version, 1, [("open/a", 1), ("closed/a", 1)])
                + raw.publish(version, "open/a", qos=1, packet_id=2) + raw.unsubscribe(version, 3, ["open/a", "closed/a"]) + raw.pingreq())
    for kind in (raw.SUBSCRIBE, raw.PUBLISH, raw.UNSUBSCRIBE, raw.PINGREQ):
        broker.expect(kind)
    broker.send(raw.pingresp() + raw.unsuback(version, 3) + raw.ack(raw.PUBACK, version, 2)
                + raw.suback(version, 1, [1]))
    got = [client.receive() for _ in range(4)]
    assert sorted(packet.name for packet in got) == ["PINGRESP", "PUBACK", "SUBACK", "UNSUBACK"]
    suback = next(packet for packet in got if packet.type == raw.SUBACK)
    assert suback.codes == [1, 0x80 if version == raw.V311 else 0]


@BEFORE_5
@pytest.mark.parametrize("stray", (
    lambda version: raw.ack(raw.PUBACK, version, 4711), lambda version: raw.ack(raw.PUBREC, version, 4711),
    lambda version: raw.ack(raw.PUBCOMP, version, 4711), lambda version: raw.ack(raw.PUBREL, version, 4711),
    lambda version: raw.pingresp()), ids=("PUBACK", "PUBREC", "PUBCOMP", "PUBREL", "PINGRESP"))
def test_an_answer_of_the_broker_to_nothing_disturbs_nothing(make_world, version, stray):
    """A takeover or a lost connection leaves brokers answering what the client has long forgotten."""
    world = make_world(OPEN, broker="fake")
    client, broker = session(world, version)
    broker.send(stray(version))
    client.send(raw.pingreq())
    broker.expect(raw.PINGREQ)
    broker.send(raw.pingresp())  # behind the stray one: which is now older than what the client sends next
    while client.receive().type != raw.PINGRESP:
        pass
    client.send(raw.publish(version, "open/x", qos=1, packet_id=4711)
                + raw.publish(version, "closed", qos=1, packet_id=4712))
    broker.expect(raw.PUBLISH, packet_id=4711)
    broker.send(raw.ack(raw.PUBACK, version, 4711))
    seen = []
    while len(seen) < 2:
        packet = client.receive()
        if packet.type == raw.PUBACK:
            seen.append(packet.packet_id)
    assert seen == [4711, 4712]


def test_the_reason_of_a_broker_that_closes_before_connack_is_in_the_audit(make_world):
    world = make_world(broker="fake")
    client = world.client(raw.V311)
    client.send(raw.connect(raw.V311, "c"))
    broker, _ = world.fake.accept_connect()
    broker.abort()
    client.expect(raw.CONNACK, code=3)
    client.expect_closed()
    assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id="c"), "reason") == "broker_closed"
