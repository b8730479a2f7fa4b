# SPDX-License-Identifier: Apache-2.0
"""However a stream is cut, it means the same: a whole conversation byte by byte, over TLS and plain, and at random cuts."""
import random

import pytest

import raw

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
TRANSPORTS = pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
POLICY = """\
version: 1
policy: splits
identity:
  - anonymous: {id: guest}
rules:
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: ["open/#"]
  - rule: hole
    who: everyone
    deny: receive
    topics: ["open/+/hidden"]
"""


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


def conversation(world, version, topic):
    """(bytes to send, packets that answer them) of a conversation with everything in it."""
    no = {raw.V31: 0, raw.V311: 0x80, raw.V5: 0x87}[version]
    denied = 0x87 if version == raw.V5 else 0
    alias = [(raw.TOPIC_ALIAS, 1)] if version == raw.V5 else []
    steps = [
        (raw.subscribe(version, 1, [(topic + "/#", 2), ("closed", 1)]), [("SUBACK", 1, [world.qos(2), no])]),
        (raw.publish(version, topic + "/a", b"one", props=alias), [("PUBLISH", topic + "/a", b"one")]),
        (raw.publish(version, "closed", b"x", qos=1, packet_id=2), [("PUBACK", 2, denied)]),
        (raw.publish(version, topic + "/hidden", b"x", qos=1, packet_id=3), [("PUBACK", 3, 0)]),
        (raw.publish(version, topic + "/b", b"y" * 300, qos=1, packet_id=4), [("PUBLISH", topic + "/b", b"y" * 300), ("PUBACK", 4, 0)]),
        (raw.publish(version, "closed", b"x", qos=2, packet_id=5), [("PUBREC", 5, denied)]),
    ]
    if version == raw.V5:
        steps.append((raw.publish(version, "", b"two", props=alias), [("PUBLISH", topic + "/a", b"two")]))
    else:
        steps.append((raw.ack(raw.PUBREL, version, 5), [("PUBCOMP", 5, 0)]))
    steps += [
        (raw.unsubscribe(version, 6, [topic + "/#"]), [("UNSUBACK", 6)]),
        (raw.pingreq(), [("PINGRESP",)]),
    ]
    return steps


def described(packet):
    name = packet.name
    if name == "SUBACK":
        return name, packet.packet_id, packet.codes
    if name == "PUBLISH":
        return name, packet.topic, packet.payload
    if name in ("PUBACK", "PUBREC", "PUBCOMP"):
        return name, packet.packet_id, packet.code
    return (name, packet.packet_id) if name == "UNSUBACK" else (name,)


def converse(world, version, client, send):
    topic = f"open/{world.name()}"
    send(raw.connect(version, world.name(), username="u" * 20, password="p" * 20, will=raw.Will(topic + "/will", b"w" * 50)))
    client.expect(raw.CONNACK, code=0)
    for data, answers in conversation(world, version, topic):
        send(data)
        got = []
        while len(got) < len(answers):
            packet = client.receive()
            assert packet is not None, f"closed; wanted {answers}"
            client.acknowledge(packet) if packet.type == raw.PUBLISH else None
            if packet.type == raw.PUBREL:
                client.send(raw.ack(raw.PUBCOMP, version, packet.packet_id))
                continue
            got.append(described(packet))
        assert sorted(got, key=repr) == sorted(answers, key=repr)
    send(raw.disconnect(version))
    client.until_closed()


@pytest.mark.core
@VERSIONS
@TRANSPORTS
def test_a_byte_at_a_time(world, version, tls):
    client = world.client(version, tls=tls)
    converse(world, version, client, client.send_bytewise)


@VERSIONS
@TRANSPORTS
@pytest.mark.parametrize("seed", range(4))
def test_random_cuts(world, version, tls, seed):
    client = world.client(version, tls=tls)
    chance = random.Random(f"{seed} {version} {tls}")

    def send(data):
        while data:
            cut = chance.randint(1, min(len(data), 40))
            client.sock.sendall(data[:cut])
            data = data[cut:]
    converse(world, version, client, send)


def answered(client, steps):
    """All answers of the steps, in any order."""
    wanted = [answer for _, answers in steps for answer in answers]
    got = []
    while len(got) < len(wanted):
        packet = client.receive()
        assert packet is not None, f"closed; have {got}, wanted {wanted}"
        if packet.type != raw.PUBREL:
            got.append(described(packet))
    assert sorted(got, key=repr) == sorted(wanted, key=repr)


@VERSIONS
@TRANSPORTS
def test_everything_in_one_write(world, version, tls):
    topic = f"open/{world.name()}"
    client = world.client(version, tls=tls)
    steps = conversation(world, version, topic)
    end = len(steps) if world.broker.delivers_before_unsuback else len(steps) - 2  # UNSUBSCRIBE, PINGREQ
    client.send(raw.connect(version, world.name()) + b"".join(data for data, _ in steps[:end]))
    client.expect(raw.CONNACK, code=0)
    answered(client, steps[:end])
    if steps[end:]:
        client.send(b"".join(data for data, _ in steps[end:]))
        answered(client, steps[end:])


@TRANSPORTS
def test_the_broker_a_byte_at_a_time(make_world, tls):
    world = make_world(POLICY, broker="fake")
    client = world.client(raw.V5, tls=tls)
    client.send(raw.connect(raw.V5, "c"))
    broker, _ = world.fake.accept_connect()
    broker.send_bytewise(raw.connack(raw.V5, 0, False, [(raw.SERVER_KEEP_ALIVE, 30), (raw.USER_PROPERTY, ("a", "b"))]))
    answer = client.expect(raw.CONNACK, code=0)
    assert (answer.prop(raw.SERVER_KEEP_ALIVE), answer.prop(raw.USER_PROPERTY)) == (30, ("a", "b"))
    broker.send_bytewise(raw.publish(raw.V5, "open/x/hidden", b"h" * 20, qos=1, packet_id=1)
                         + raw.publish(raw.V5, "open/x/seen", b"s" * 200, qos=1, packet_id=2))
    assert client.message().topic == "open/x/seen"
    assert sorted(broker.expect(raw.PUBACK).packet_id for _ in range(2)) == [1, 2]
