# SPDX-License-Identifier: Apache-2.0
"""What the 5.0 tests of the conformance suite share: reason codes, packets with mistakes in them, views of answers."""
import functools
import os
import time

import pytest

import raw
from harness import CONFIGURATION, POLICY, Servers, statement
from peer import TIMEOUT
from raw import V5

SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10
NO_SUBSCRIPTION_EXISTED = 0x11
UNSPECIFIED = 0x80
MALFORMED = 0x81
PROTOCOL = 0x82
IMPLEMENTATION = 0x83
UNSUPPORTED_VERSION = 0x84
CLIENT_ID_INVALID = 0x85
NOT_AUTHORIZED = 0x87
BAD_METHOD = 0x8C
TAKEN_OVER = 0x8E
FILTER_INVALID = 0x8F
TOPIC_INVALID = 0x90
ID_NOT_FOUND = 0x92
RECEIVE_MAXIMUM_EXCEEDED = 0x93
ALIAS_INVALID = 0x94
TOO_LARGE = 0x95
FORMAT_INVALID = 0x99
RETAIN_UNSUPPORTED = 0x9A
QOS_UNSUPPORTED = 0x9B

NO_LOCAL = 0x04
AS_PUBLISHED = 0x08
ONLY_NEW = 0x10  # Retain Handling 1
NEVER = 0x20     # Retain Handling 2

# What each hop says of itself, so that it differs rightly between a broker and a proxy in front of it.
OF_THE_HOP = {raw.MAXIMUM_PACKET_SIZE, raw.TOPIC_ALIAS_MAXIMUM, raw.ASSIGNED_CLIENT_IDENTIFIER, raw.TOPIC_ALIAS,
              raw.REASON_STRING}

v5 = functools.partial(statement, version=V5)


def spoken(packet):
    """The properties of a packet that both runs must have alike."""
    return sorted((key, value) for key, value in packet.properties if key not in OF_THE_HOP)


def summary(packet):
    """A PUBLISH as two runs can compare it, topic aside."""
    return packet.payload, packet.qos, packet.retain, packet.dup, spoken(packet)


def world_of(request, make_shared_world, *lines):
    """Servers for a file whose Mosquitto has these further lines in its configuration."""
    if request.config.getoption("--conformance-target", None) or os.environ.get("MQWARD_CONFORMANCE_TARGET"):
        pytest.skip("needs a broker that is configured for it")
    world = make_shared_world(POLICY, configuration=CONFIGURATION, broker={"extra": lines})
    return Servers(("127.0.0.1", world.broker_port), ("127.0.0.1", world.proxy.ports["plain"]))


def session(seconds=60, *more, clean=False):
    """Options of a CONNECT whose session outlives the connection."""
    return {"clean": clean, "props": [(raw.SESSION_EXPIRY_INTERVAL, seconds), *more]}


def refused(broker, client, *codes, connected=True):
    """The server ends the connection, if it says a reason, one of these: DISCONNECT after a CONNACK, never before
    [MQTT-3.14.0-1]. Returns what it said; whether a server says anything is its own affair [4.13.1]."""
    said = broker.expect_refused(client, connected)
    for name, code in said:
        assert name == ("DISCONNECT" if connected else "CONNACK"), f"{name} at the wrong time"
        assert not codes or code in codes, f"0x{code:02x} instead of one of {[hex(wanted) for wanted in codes]}"
    return said


def refuses(broker, packet, *codes):
    """A connected client that sends this packet is refused."""
    client = broker.connected()
    client.send(packet)
    refused(broker, client, *codes)


def refuses_connect(broker, packet, *codes):
    """A connection that begins with this packet is refused."""
    client = broker.client()
    client.send(packet)
    refused(broker, client, *codes, connected=False)


def refuses_filter(broker, packet, kind, *codes):
    """The filter in a SUBSCRIBE or UNSUBSCRIBE is refused: with the connection, or by one of these codes for itself."""
    client = broker.connected()
    client.send(packet)
    answer = client.receive()
    if answer is not None and answer.type == kind:
        assert answer.codes[0] in codes, f"{answer} instead of a refusal"
    else:
        assert answer is None or answer.type == raw.DISCONNECT and answer.code in (PROTOCOL, MALFORMED, FILTER_INVALID)


def connect_body(rest, flags=0x02, properties=b"\0", keep_alive=60):
    """A CONNECT whose bytes after the properties, and those, are given as they are."""
    return raw.packet(raw.CONNECT, 0, raw.string("MQTT") + bytes([5, flags]) + keep_alive.to_bytes(2, "big")
                      + properties + rest)


def block(*properties):
    """A property block of raw bytes."""
    data = b"".join(properties)
    return raw.varint(len(data)) + data


def let_pass(seconds):
    """Waits: for tests of what only time brings about."""
    time.sleep(seconds)


def pubrec(client, packet, code=None):
    client.send(raw.ack(raw.PUBREC, V5, packet.packet_id, code))


def pubcomp(client, packet):
    client.send(raw.ack(raw.PUBCOMP, V5, packet.packet_id))


def puback(client, packet, code=None):
    client.send(raw.ack(raw.PUBACK, V5, packet.packet_id, code))


def take(client, timeout=TIMEOUT):
    """The next message, its flow finished."""
    message = client.message(timeout, acknowledge=False)
    if message.qos == 1:
        puback(client, message)
    elif message.qos == 2:
        pubrec(client, message)
        client.expect(raw.PUBREL, packet_id=message.packet_id)
        pubcomp(client, message)
    return message


def takes(client, count):
    """The next messages, in whatever way their flows are interleaved; all of them are finished."""
    messages = [client.message() for _ in range(count)]
    client.send(raw.pingreq())
    while True:
        packet = client.receive()
        assert packet is not None, "closed"
        if packet.type == raw.PINGRESP:
            return messages
        assert packet.type == raw.PUBREL, f"{packet}: one too many"
        pubcomp(client, packet)
