# SPDX-License-Identifier: Apache-2.0
"""What MQTT forbids ends the connection with the specified code and a record that names the statement; the broker sees nothing of it."""
import re

import pytest

import raw
from audit import get
from raw import V31, V311, V5

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
MALFORMED, PROTOCOL = 0x81, 0x82


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world()


# ---- the first packet ----

def connect_body(flags, tail=b"", name="MQTT", level=4, keep_alive=60):
    return raw.packet(raw.CONNECT, 0, raw.string(name) + bytes([level, flags]) + keep_alive.to_bytes(2, "big") + tail)


FIRST = {
    # name: (bytes, CONNACK code or None = closed without one)
    "publish": (raw.publish(V311, "a", b"x"), None),
    "pingreq": (raw.pingreq(), None),
    "subscribe": (raw.subscribe(V5, 1, [("a", 0)]), None),
    "disconnect": (raw.disconnect(V311), None),
    "auth": (raw.auth(), None),
    "connack": (raw.connack(V311), None),
    "packet type 0": (b"\x00\x00", None),
    "reserved flags": (b"\x11" + raw.connect(V311, "x")[1:], None),
    "wrong name": (raw.connect(V311, "x", name="MQTX"), None),
    "level 6": (raw.connect(V311, "x", level=6), 1),
    "level 0": (raw.connect(V311, "x", level=0), 1),
    "level 3 with the name of 4": (raw.connect(V311, "x", level=3), 1),
    "level 4 with the name of 3": (raw.connect(V311, "x", name="MQIsdp"), 1),
    "reserved connect flag": (connect_body(0x03, raw.string("x")), None),
    "will QoS 3": (connect_body(0x02 | 0x04 | 0x18, raw.string("x") + raw.string("t") + raw.string("m")), None),
    "will QoS without will": (connect_body(0x02 | 0x08, raw.string("x")), None),
    "will retain without will": (connect_body(0x02 | 0x20, raw.string("x")), None),
    "password without user name": (connect_body(0x02 | 0x40, raw.string("x") + raw.string("p")), None),
    "trailing bytes": (connect_body(0x02, raw.string("x") + b"y"), None),
    "truncated": (connect_body(0x02, b"\x00\x05x"), None),
    "client id with NUL": (connect_body(0x02, raw.string(b"a\0b")), None),
    "client id not UTF-8": (connect_body(0x02, raw.string(b"\xff\xfe")), None),
    "client id with a surrogate": (connect_body(0x02, raw.string(b"\xed\xa0\x80")), None),
    "client id overlong": (connect_body(0x02, raw.string(b"\xc0\xaf")), None),
    "will topic with a wildcard": (raw.connect(V311, "x", will=raw.Will("a/#", b"m")), None),
    "remaining length of five bytes": (b"\x10\xff\xff\xff\xff\x7f", None),
    "remaining length longer than needed": (b"\x10\x8e\x00" + raw.connect(V311, "xy")[2:], None),
    "v5: receive maximum 0": (raw.connect(V5, "x", props=[(raw.RECEIVE_MAXIMUM, 0)]), PROTOCOL),
    "v5: maximum packet size 0": (raw.connect(V5, "x", props=[(raw.MAXIMUM_PACKET_SIZE, 0)]), PROTOCOL),
    "v5: a property twice": (raw.connect(V5, "x", props=[(raw.SESSION_EXPIRY_INTERVAL, 1)] * 2), PROTOCOL),
    "v5: a property of another packet": (raw.connect(V5, "x", props=[(raw.TOPIC_ALIAS, 1)]), (MALFORMED, PROTOCOL)),
    "v5: authentication data without a method": (raw.connect(V5, "x", props=[(raw.AUTHENTICATION_DATA, b"x")]), PROTOCOL),
    "v5: request problem information 2": (raw.connect(V5, "x", props=[(raw.REQUEST_PROBLEM_INFORMATION, 2)]), PROTOCOL),
    "v5: reserved connect flag": (connect_body(0x03, b"\0" + raw.string("x"), level=5), MALFORMED),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_bad_first_packet_is_refused(world, name):
    data, code = FIRST[name]
    before = len(world.audit.events())
    client = world.client(V5 if name.startswith("v5") else V311)
    port = client.sock.getsockname()[1]
    client.send(data)
    packets = client.until_closed()
    if code is None:
        assert packets == [], [str(packet) for packet in packets]
    else:
        codes = code if isinstance(code, tuple) else (code,)
        assert [packet.name for packet in packets] == ["CONNACK"] and packets[0].code in codes, [str(p) for p in packets]
    event = world.audit.wait_for(**{"action": "mqtt-protocol-error", "source.port": port})
    assert get(event, "event.sequence") > 0 and before >= 0
    if name not in ("packet type 0",):
        assert re.search(r"MQTT-|[0-9]\.[0-9]", get(event, "statement") or ""), event


# ---- later packets ----

def prop(*pairs):
    return list(pairs)


LATER = {
    # name: (versions, bytes by version, v5 DISCONNECT codes)
    "second CONNECT": (raw.VERSIONS, lambda v: raw.connect(v, "again"), (PROTOCOL,)),
    "packet type 0": (raw.VERSIONS, lambda v: b"\x00\x00", (MALFORMED,)),
    "packet type 15 before 5.0": ((V31, V311), lambda v: raw.auth(), ()),
    "CONNACK": (raw.VERSIONS, raw.connack, (PROTOCOL,)),
    "SUBACK": (raw.VERSIONS, lambda v: raw.suback(v, 1, [0]), (PROTOCOL,)),
    "UNSUBACK": (raw.VERSIONS, lambda v: raw.unsuback(v, 1, [0]), (PROTOCOL,)),
    "PINGRESP": (raw.VERSIONS, lambda v: raw.pingresp(), (PROTOCOL,)),
    "PINGREQ with a body": (raw.VERSIONS, lambda v: b"\xc0\x01x", (MALFORMED,)),
    "PINGREQ with flags": (raw.VERSIONS, lambda v: b"\xc1\x00", (MALFORMED,)),
    "SUBSCRIBE with flags 0": (raw.VERSIONS, lambda v: b"\x80" + raw.subscribe(v, 1, [("a", 0)])[1:], (MALFORMED,)),
    "UNSUBSCRIBE with flags 0": ((V311, V5), lambda v: b"\xa0" + raw.unsubscribe(v, 1, ["a"])[1:], (MALFORMED,)),
    "PUBREL with flags 0": ((V311, V5), lambda v: b"\x60\x02\x00\x01", (MALFORMED,)),
    "PUBACK with flags": ((V311, V5), lambda v: b"\x41\x02\x00\x01", (MALFORMED,)),
    "DISCONNECT with flags": ((V311, V5), lambda v: b"\xe1\x00", (MALFORMED,)),
    "remaining length of five bytes": (raw.VERSIONS, lambda v: b"\x30\xff\xff\xff\xff\x7f", (MALFORMED,)),
    "remaining length longer than needed": (raw.VERSIONS, lambda v: b"\xc0\x80\x00", (MALFORMED,)),
    "QoS 3": (raw.VERSIONS, lambda v: raw.publish(v, "a", b"x", qos=3, packet_id=1), (MALFORMED,)),
    "DUP with QoS 0": ((V311, V5), lambda v: raw.publish(v, "a", b"x", dup=True), (MALFORMED, PROTOCOL)),
    "PUBLISH with packet id 0": (raw.VERSIONS, lambda v: raw.publish(v, "a", b"x", qos=1, packet_id=0), (MALFORMED, PROTOCOL)),
    "PUBACK with packet id 0": ((V311, V5), lambda v: raw.ack(raw.PUBACK, v, 0), (MALFORMED, PROTOCOL)),
    "SUBSCRIBE with packet id 0": (raw.VERSIONS, lambda v: raw.subscribe(v, 0, [("a", 0)]), (MALFORMED, PROTOCOL)),
    "topic with #": (raw.VERSIONS, lambda v: raw.publish(v, "a/#", b"x"), (MALFORMED, 0x90)),
    "topic with +": (raw.VERSIONS, lambda v: raw.publish(v, "a/+/b", b"x"), (MALFORMED, 0x90)),
    "topic with NUL": (raw.VERSIONS, lambda v: raw.publish(v, b"a\0b", b"x"), (MALFORMED,)),
    "topic not UTF-8": (raw.VERSIONS, lambda v: raw.publish(v, b"a\xff", b"x"), (MALFORMED,)),
    "topic with a surrogate": (raw.VERSIONS, lambda v: raw.publish(v, b"\xed\xa0\x80", b"x"), (MALFORMED,)),
    "topic overlong": (raw.VERSIONS, lambda v: raw.publish(v, b"\xc0\xaf", b"x"), (MALFORMED,)),
    "empty topic": ((V31, V311), lambda v: raw.publish(v, "", b"x"), ()),
    "topic longer than the packet": (raw.VERSIONS, lambda v: b"\x30\x05\x00\x09abc", (MALFORMED,)),
    "SUBSCRIBE without a filter": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, []), (PROTOCOL, MALFORMED)),
    "UNSUBSCRIBE without a filter": (raw.VERSIONS, lambda v: raw.unsubscribe(v, 1, []), (PROTOCOL, MALFORMED)),
    "filter a#": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("a#", 0)]), (MALFORMED, 0x8F)),
    "filter a/#/b": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("a/#/b", 0)]), (MALFORMED, 0x8F)),
    "filter +a": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("+a", 0)]), (MALFORMED, 0x8F)),
    "empty filter": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("", 0)]), (MALFORMED, 0x8F)),
    "second filter malformed": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("a", 0), ("b#", 0)]), (MALFORMED, 0x8F)),
    "SUBSCRIBE QoS 3": (raw.VERSIONS, lambda v: raw.subscribe(v, 1, [("a", 3)]), (PROTOCOL, MALFORMED)),
    "SUBSCRIBE reserved bits": ((V311, V5), lambda v: raw.subscribe(v, 1, [("a", 0xC0)]), (MALFORMED, PROTOCOL)),
    "retain handling 3": ((V5,), lambda v: raw.subscribe(v, 1, [("a", 0x30)]), (PROTOCOL,)),
    "subscription identifier 0": ((V5,), lambda v: raw.subscribe(v, 1, [("a", 0)], [(raw.SUBSCRIPTION_IDENTIFIER, 0)]), (PROTOCOL,)),
    "subscription identifier in PUBLISH": (
        (V5,), lambda v: raw.publish(v, "a", props=[(raw.SUBSCRIPTION_IDENTIFIER, 1)]), (PROTOCOL, MALFORMED)),
    "property unknown": ((V5,), lambda v: raw.packet(raw.PUBLISH, 0, raw.string("a") + b"\x02\x7e\x00"), (MALFORMED, PROTOCOL)),
    "property truncated": ((V5,), lambda v: raw.packet(raw.PUBLISH, 0, raw.string("a") + b"\x02\x02\x00"), (MALFORMED,)),
    "property length beyond the packet": ((V5,), lambda v: raw.packet(raw.PUBLISH, 0, raw.string("a") + b"\x7fx"), (MALFORMED,)),
    "payload format indicator 2": ((V5,), lambda v: raw.publish(v, "a", props=[(raw.PAYLOAD_FORMAT_INDICATOR, 2)]), (PROTOCOL,)),
    "content type twice": ((V5,), lambda v: raw.publish(v, "a", props=[(raw.CONTENT_TYPE, "x")] * 2), (PROTOCOL,)),
    "response topic with a wildcard": (
        (V5,), lambda v: raw.publish(v, "a", props=[(raw.RESPONSE_TOPIC, "a/#")]), (PROTOCOL, MALFORMED, 0x90)),
    "reason code unknown": ((V5,), lambda v: raw.ack(raw.PUBACK, v, 1, 0x55), (PROTOCOL, MALFORMED)),
    "DISCONNECT code of a server": ((V5,), lambda v: raw.disconnect(v, 0x8B), (PROTOCOL, MALFORMED)),
    "session expiry after none was asked for": (
        (V5,), lambda v: raw.disconnect(v, 0, [(raw.SESSION_EXPIRY_INTERVAL, 5)]), (PROTOCOL,)),
    "AUTH without a method": ((V5,), lambda v: raw.auth(0x18), (PROTOCOL, MALFORMED, 0x8C)),
}
CASES = [(name, version) for name, (versions, _, _) in LATER.items() for version in versions]


@pytest.mark.parametrize("name, version", CASES, ids=[f"{name}-v{raw.VERSION_NAMES[version]}" for name, version in CASES])
def test_what_mqtt_forbids_ends_the_connection(world, name, version):
    _, build, codes = LATER[name]
    client_id = world.name()
    observer = world.observer("behind/#")
    client = world.connected(client_id, version)
    client.send(build(version) + raw.publish(version, f"behind/{client_id}", b"x"))
    packets = client.until_closed()
    if version == V5:
        assert [packet.name for packet in packets] == ["DISCONNECT"], [str(packet) for packet in packets]
        assert packets[0].code in codes, str(packets[0])
    else:
        assert packets == [], [str(packet) for packet in packets]
    event = world.audit.wait_for(action="mqtt-protocol-error", client_id=client_id)
    assert get(event, "statement"), event
    world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    assert world.arrived(observer) == []


def test_an_allowed_message_before_the_error_has_its_effect_and_nothing_after_it(world):
    observer = world.observer("around/#")
    client = world.connected()
    client.send(raw.publish(client.version, "around/before", b"x") + b"\xc1\x00"
                + raw.publish(client.version, "around/after", b"x"))
    client.until_closed()
    assert observer.message().topic == "around/before"
    assert world.arrived(observer) == []


@pytest.mark.needs("qos2")
def test_an_ack_for_nothing_is_harmless(world):
    client = world.connected()
    for kind in (raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP):
        client.send(raw.ack(kind, client.version, 4242))
    client.send(raw.pingreq())
    kinds = set()
    while raw.PINGRESP not in kinds:
        packet = client.receive()
        if packet is None or packet.type == raw.DISCONNECT:
            break
        kinds.add(packet.type)
    world.connected().ping()


def test_control_characters_are_allowed(make_world):
    """Mosquitto refuses them itself, hence a broker of our own."""
    lenient = make_world(broker="fake")
    client = lenient.client(V5)
    client.send(raw.connect(V5, "tab\there"))
    broker, connect = lenient.fake.accept_session()
    assert connect.client_id == "tab\there"
    client.expect(raw.CONNACK, code=0)
    client.send(raw.publish(V5, "a/\x01b\ufdd0", b"x"))
    assert broker.expect(raw.PUBLISH).topic == "a/\x01b\ufdd0"


def test_control_characters_are_refused_where_the_configuration_is_strict(make_world):
    strict = make_world(configuration={"strict": {"control_characters": "refuse"}})
    client = strict.connected()
    client.send(raw.publish(client.version, "a/\x01b", b"x"))
    client.expect_disconnect(MALFORMED)
    assert get(strict.audit.wait_for(action="mqtt-protocol-error"), "reason") == "control_characters"


# ---- sizes ----

LIMITED = """\
version: 1
policy: limits
identity:
  - anonymous: {id: guest}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
limits: {packet: 4KiB, session_expiry: 60s}
"""


@pytest.fixture(scope="module")
def limited(make_shared_world):
    return make_shared_world(LIMITED)


@pytest.mark.needs("v5.0")
def test_the_policys_limits_are_told_in_connack(limited):
    client = limited.client(V5)
    answer = client.connect(limited.name(), props=[(raw.SESSION_EXPIRY_INTERVAL, 3600)])
    assert answer.prop(raw.MAXIMUM_PACKET_SIZE) == 4096
    assert answer.prop(raw.SESSION_EXPIRY_INTERVAL) == 60


@pytest.mark.needs("v5.0")
def test_a_shorter_session_is_left_as_asked(limited):
    client = limited.client(V5)
    answer = client.connect(limited.name(), props=[(raw.SESSION_EXPIRY_INTERVAL, 30)])
    assert answer.prop(raw.SESSION_EXPIRY_INTERVAL) in (None, 30)


@VERSIONS
def test_a_packet_above_the_limit_is_refused_from_its_header_alone(limited, version):
    client_id = limited.name()
    client = limited.connected(client_id, version)
    topic, overhead = "a/b", 5 + (1 if version == V5 else 0)
    client.publish(topic, b"x" * (4096 - 3 - overhead), qos=0)
    client.ping()
    client.send(raw.publish(version, topic, b"x" * (4097 - 3 - overhead))[:4])
    packets = client.until_closed()
    assert [(packet.name, packet.code) for packet in packets] == ([("DISCONNECT", 0x95)] if version == V5 else [])
    assert get(limited.audit.wait_for(action="mqtt-protocol-error", client_id=client_id), "reason") == "packet_too_large"


def test_a_256_mib_header_costs_nothing(limited):
    client = limited.connected()
    before = limited.proxy.resident()
    client.send(b"\x30\xff\xff\xff\x7f" + b"\0\1a" + b"x" * 100)
    client.until_closed()
    assert limited.proxy.resident() < before + (8 << 20)


@VERSIONS
def test_a_connect_above_the_limit_is_refused(limited, version):
    client = limited.client(version)
    client.send(raw.connect(version, "x" * 5000)[:10])
    packets = client.until_closed()
    assert [packet.code for packet in packets] == ([0x95] if version == V5 and packets else [])
