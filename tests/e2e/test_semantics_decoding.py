# SPDX-License-Identifier: Apache-2.0
"""What reaches the other side: nothing of a broken packet, everything else as it came, and nothing too large."""
import pytest

import raw
from audit import get
from played import POLICY, connected, nothing_came, played_world, session
from raw import V5, V311
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
LATER = pytest.mark.parametrize("version", (V311, V5), ids=("v3.1.1", "v5.0"))


@pytest.fixture(scope="module")
def world(make_shared_world):
    return played_world(make_shared_world, ALLOW_ALL)


# ---- broken packets ----

BROKEN = {
    "flags of PINGREQ": lambda v: b"\xc1\x00",
    "bytes behind PINGREQ": lambda v: b"\xc0\x01x",
    "a wildcard in a topic": lambda v: raw.publish(v, "a/+", b"x"),
    "NUL in a topic": lambda v: raw.publish(v, b"a\0b", b"x", qos=1, packet_id=7),
    "a topic that is not UTF-8": lambda v: raw.publish(v, b"a\xc0\xaf", b"x"),
    "the second filter": lambda v: raw.subscribe(v, 1, [("a", 0), ("b#", 0)]),
    "a filter to unsubscribe": lambda v: raw.unsubscribe(v, 1, ["a/#/b"]),
    "packet id 0": lambda v: raw.ack(raw.PUBACK, v, 0),
    "QoS 3": lambda v: raw.publish(v, "a", b"x", qos=3, packet_id=1),
    "a packet of servers": lambda v: raw.suback(v, 1, [0]),
    "a second CONNECT": lambda v: raw.connect(v, "again"),
    "trailing bytes": lambda v: raw.packet(raw.UNSUBSCRIBE, 2, raw.unsubscribe(v, 1, ["a"])[2:] + b"\0"),
}


@VERSIONS
@pytest.mark.parametrize("name", BROKEN)
def test_nothing_of_a_broken_packet_reaches_the_broker(world, version, name):
    client, broker = session(world, version)
    before = raw.publish(version, "before", b"x")
    client.send(before + BROKEN[name](version) + raw.publish(version, "behind", b"x"))
    assert broker.expect(raw.PUBLISH).raw == before
    broker.expect_closed()


BROKEN_PROPERTIES = {
    "a string that is not UTF-8": [(raw.CONTENT_TYPE, b"\xff")],
    "a string with NUL": [(raw.RESPONSE_TOPIC, b"a\0b")],
    "a value that is not UTF-8": [(raw.USER_PROPERTY, ("a", b"\xed\xa0\x80"))],
    "a flag of 2": [(raw.PAYLOAD_FORMAT_INDICATOR, 2)],
    "twice": [(raw.MESSAGE_EXPIRY_INTERVAL, 1)] * 2,
    "of another packet": [(raw.SESSION_EXPIRY_INTERVAL, 1)],
    "of servers": [(raw.SUBSCRIPTION_IDENTIFIER, 1)],
}


@pytest.mark.parametrize("name", BROKEN_PROPERTIES)
def test_nothing_of_a_broken_property_reaches_the_broker(world, name):
    client, broker = session(world)
    client.send(raw.publish(V5, "a", b"x", props=[(raw.CORRELATION_DATA, b"\xff\0")]))
    broker.expect(raw.PUBLISH)
    client.send(raw.publish(V5, "a", b"x", props=BROKEN_PROPERTIES[name]))
    broker.expect_closed()
    client.expect_disconnect(0x81, 0x82)


@VERSIONS
@pytest.mark.parametrize("name", ("a wildcard in a topic", "QoS 3", "flags of PINGREQ", "a topic that is not UTF-8"))
def test_nothing_of_a_broken_packet_reaches_the_client(world, version, name):
    client, broker = session(world, version)
    before = raw.publish(version, "before", b"x")
    broken = b"\xd1\x00" if name == "flags of PINGREQ" else BROKEN[name](version)
    broker.send(before + broken + raw.publish(version, "behind", b"x"))
    packets = client.until_closed()
    assert packets[0].raw == before
    assert [(packet.name, packet.code) for packet in packets[1:]] == ([("DISCONNECT", 0x83)] if version == V5 else [])


# ---- whole packets ----

PROPERTIES = [(raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.MESSAGE_EXPIRY_INTERVAL, 9), (raw.CONTENT_TYPE, "text/x"),
              (raw.RESPONSE_TOPIC, "answer/1"), (raw.CORRELATION_DATA, b"\0\xff"), (raw.USER_PROPERTY, ("a", "1")),
              (raw.USER_PROPERTY, ("a", "2"))]


def messages(version):
    props = PROPERTIES if version == V5 else []
    yield raw.publish(version, "a", b"")
    yield raw.publish(version, "a/b", b"\x01\x02", retain=True)
    yield raw.publish(version, "a/b", b"text", qos=1, packet_id=3, props=props)
    yield raw.publish(version, "a/b", b"x" * 300, qos=1, packet_id=65535, dup=True)
    yield raw.publish(version, "/", b"text", qos=2, packet_id=1, retain=True, props=props)
    for topic in ("\ufeffa", "caf\u00e9", "cafe\u0301", "\u212b", "A\u200b", "\U0001f600/\u00df"):
        yield raw.publish(version, topic, topic)


@VERSIONS
def test_an_allowed_message_goes_on_byte_for_byte(world, version):
    """U+FEFF is kept [MQTT-1.5.4-3], nothing is normalised."""
    client, broker = session(world, version)
    for sent in messages(version):
        client.send(sent)
        assert broker.expect(raw.PUBLISH).raw == sent
    for sent in messages(version):
        broker.send(sent)
        assert client.expect(raw.PUBLISH).raw == sent


BYTES = """\
version: 1
policy: bytes
identity:
  - anonymous: {id: guest}
rules:
  - rule: one
    who: everyone
    allow: [publish, subscribe]
    topics: [caf\u00e9/x]
"""


@LATER
def test_matching_is_byte_for_byte_and_case_sensitive(make_world, version):
    """Also where an equal text was allowed before."""
    world = played_world(make_world, BYTES)
    client, broker = session(world, version)
    for qos in (0, 1):
        client.send(raw.publish(version, "caf\u00e9/x", b"1", qos=qos))
        broker.expect(raw.PUBLISH, topic="caf\u00e9/x")
    broker.send(raw.ack(raw.PUBACK, version, 1))
    client.expect(raw.PUBACK)
    for other in ("cafe\u0301/x", "CAF\u00c9/x", "Caf\u00e9/x", "caf\u00e9/X", "\ufeffcaf\u00e9/x",
                  "caf\u00e9/x\u200b"):
        client.publish(other, b"2", qos=1, code=0x87)
        client.subscribe(other, codes=[0x87])
        broker.send(raw.publish(version, other, b"3"))
    broker.send(raw.publish(version, "caf\u00e9/x", b"4"))
    assert client.message().payload == b"4"
    nothing_came(broker, client)


# ---- sizes ----

def connack_size(*props):
    return len(raw.connack(V5, 0, False, props))


def test_a_connack_that_the_proxy_lengthens_stays_within_the_clients_maximum(world):
    """What may be left out is left out [MQTT-3.2.2-19] [MQTT-3.2.2-20], and only where it must."""
    extra = (raw.USER_PROPERTY, ("key", "value" * 10))
    added = ((raw.MAXIMUM_PACKET_SIZE, 1), (raw.TOPIC_ALIAS_MAXIMUM, 1))
    whole = connack_size(extra, *added)
    for limit, kept in ((whole, True), (whole - 1, False), (connack_size(extra), False)):
        answer = connected(world, connack=[extra], props=[(raw.MAXIMUM_PACKET_SIZE, limit)])[3]
        assert len(answer.raw) <= limit
        assert (answer.prop(raw.USER_PROPERTY) is not None) == kept


def test_a_connack_that_cannot_be_short_enough_is_a_refusal(world):
    client = world.client(V5)
    client.send(raw.connect(V5, world.name(), props=[(raw.MAXIMUM_PACKET_SIZE, connack_size())]))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0x95)
    client.expect_closed()
    broker.expect(raw.DISCONNECT)
    broker.expect_closed()


def test_a_suback_that_the_proxy_lengthens_stays_within_the_clients_maximum(make_world):
    world = played_world(make_world)
    reason = [(raw.REASON_STRING, "because " * 10)]
    merged = len(raw.suback(V5, 1, [0x87, 0, 0x87], reason))
    for limit, kept in ((merged, True), (merged - 1, False)):
        client, broker = session(world, props=[(raw.MAXIMUM_PACKET_SIZE, limit)])
        client.send(raw.subscribe(V5, 1, [("closed/a", 0), ("open/b", 0), ("closed/c", 0)]))
        assert [name for name, _ in broker.expect(raw.SUBSCRIBE).filters] == ["open/b"]
        broker.send(raw.suback(V5, 1, [0], reason))
        answer = client.expect(raw.SUBACK, packet_id=1)
        assert answer.codes == [0x87, 0, 0x87] and len(answer.raw) <= limit
        assert (answer.prop(raw.REASON_STRING) is not None) == kept


def test_a_message_that_the_proxy_lengthens_stays_within_the_brokers_maximum(make_world):
    """With its topic instead of the alias it is longer than what the client sent: no fault of the client's."""
    world = played_world(make_world)
    topic, alias = "open/" + "t" * 40, [(raw.TOPIC_ALIAS, 1)]
    whole = raw.publish(V5, topic, b"x" * 20)
    for limit, fits in ((len(whole), True), (len(whole) - 1, False)):
        client, broker = session(world, connack=[(raw.MAXIMUM_PACKET_SIZE, limit)])
        client.send(raw.publish(V5, topic, b"", props=alias))
        assert broker.expect(raw.PUBLISH).topic == topic
        client.send(raw.publish(V5, "", b"x" * 20, props=alias))
        if fits:
            assert broker.expect(raw.PUBLISH).raw == whole
        else:
            client.publish("", b"x" * 20, qos=1, code=0x97, props=alias)
            nothing_came(broker, client)


def test_a_client_is_told_the_smaller_maximum_and_held_to_it(make_world):
    world = played_world(make_world)
    client, broker, _, answer = connected(world, connack=[(raw.MAXIMUM_PACKET_SIZE, 50)])
    assert answer.prop(raw.MAXIMUM_PACKET_SIZE) == 50
    sent = raw.publish(V5, "open/a", b"x" * 39)
    assert len(sent) == 50
    client.send(sent + raw.publish(V5, "open/a", b"x" * 40))
    assert broker.expect(raw.PUBLISH).raw == sent
    client.expect_disconnect(0x95)
    broker.expect_closed()


def test_a_brokers_packet_above_the_upstreams_limit_ends_the_session(make_world):
    world = make_world(POLICY, broker="fake", start=False)
    world.proxy.configuration["upstreams"][0]["max_packet"] = "4KiB"
    world.proxy.write()
    world.proxy.start()
    client, broker, connect, _ = connected(world)
    assert connect.prop(raw.MAXIMUM_PACKET_SIZE) == 4096
    sent = raw.publish(V5, "open/a", b"x" * (4096 - 12))
    assert len(sent) == 4096
    broker.send(sent + raw.publish(V5, "open/a", b"x" * (4096 - 11))[:20])
    assert client.expect(raw.PUBLISH).raw == sent
    client.expect_disconnect(0x83)
    assert get(world.audit.wait_for(action="mqtt-protocol-error"), "reason") == "broker_protocol_error"
