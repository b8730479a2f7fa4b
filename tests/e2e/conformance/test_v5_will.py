# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.1.2.5 to 3.1.2.7, 3.1.3.2 and 3.14.4: wills."""
import time

import pytest

import raw
from raw import V5
from v5 import MALFORMED, PROTOCOL, let_pass, refused, session, spoken, summary, v5


def will(broker, payload=b"will", qos=0, retain=False, *properties):
    return raw.Will(broker.topic("will"), payload, qos, retain, properties)


def delay(seconds):
    return raw.WILL_DELAY_INTERVAL, seconds


# ---- when ----

@pytest.mark.parametrize("end", ("closed", "reset", "malformed packet", "protocol error"))
@v5("MQTT-3.1.2-7", "MQTT-3.1.2-8")
def test_a_will_is_published_when_the_connection_ends_without_disconnect(broker, end):
    subscriber = broker.subscribed()
    client = broker.connected(will=will(broker))
    if end == "closed":
        client.abort()
    elif end == "reset":
        client.reset()
    else:
        client.send(b"\x36\x04\0\1a\0" if end == "malformed packet" else raw.auth(0x18))
        refused(broker, client, MALFORMED, PROTOCOL)
    message = subscriber.message()
    assert (message.topic, message.payload) == (broker.topic("will"), b"will")
    return summary(message)


@pytest.mark.parametrize("packet", (raw.disconnect(V5), raw.disconnect(V5, 0), raw.disconnect(V5, 0, [])),
                         ids=("short", "code", "properties"))
@v5("MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT-3.1.2-8")
def test_disconnect_0_deletes_the_will(broker, packet):
    subscriber = broker.subscribed()
    client = broker.connected(will=will(broker))
    client.send(packet)
    client.until_closed()
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.1.2-8", "MQTT-3.14.2-1")
def test_disconnect_with_will_publishes_it(broker):
    subscriber = broker.subscribed()
    client = broker.connected(will=will(broker))
    client.send(raw.disconnect(V5, 0x04))
    assert client.until_closed() == []
    assert subscriber.message().payload == b"will"


@v5("MQTT-3.1.2-8", "MQTT-3.14.2-1")
def test_disconnect_with_an_error_publishes_it(broker):
    """Only 0x00 deletes the will, and every code that a client may send is taken."""
    subscriber = broker.subscribed()
    codes = (0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)
    for code in codes:
        client = broker.connected(will=will(broker, bytes([code])))
        client.send(raw.disconnect(V5, code))
        assert client.until_closed() == []
    assert sorted(subscriber.message(timeout=1).payload[0] for _ in codes) == list(codes)


@v5("MQTT-3.1.2-10")
def test_a_will_is_published_once(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    broker.connected(name, will=will(broker), **session()).abort()
    assert subscriber.message().payload == b"will"
    broker.connected(name, **session()).abort()
    broker.connected(name, **session()).disconnect()
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.1.2-7")
def test_a_will_belongs_to_its_connection(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    broker.connected(name, will=will(broker, b"first"), **session()).disconnect()
    broker.connected(name, will=will(broker, b"second"), **session()).abort()
    assert subscriber.message().payload == b"second"


# ---- what ----

@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-3.1.2-12")
def test_a_will_has_its_qos(broker, qos):
    subscriber = broker.subscribed(qos=2)
    broker.connected(will=will(broker, b"w", qos)).abort()
    assert subscriber.message().qos == qos


@v5("MQTT-3.1.2-14")
def test_a_will_without_retain_is_not_retained(broker):
    subscriber = broker.subscribed()
    broker.connected(will=will(broker)).abort()
    assert not subscriber.message().retain
    broker.nothing_more(broker.subscribed())


@v5("MQTT-3.1.2-15")
def test_a_will_with_retain_is_retained(broker):
    subscriber = broker.subscribed()
    broker.connected(will=will(broker, b"kept", 1, True, (raw.CONTENT_TYPE, "text"))).abort()
    assert not subscriber.message().retain
    late = broker.subscribed(qos=1).message()
    assert late.retain and late.payload == b"kept"
    return summary(late)


@v5("MQTT-3.1.2-15", "MQTT-3.3.1-6")
def test_an_empty_retained_will_deletes(broker):
    sender = broker.connected()
    sender.publish(broker.topic("will"), b"old", retain=True, qos=1)
    subscriber = broker.subscribed()
    assert subscriber.message().payload == b"old"
    broker.connected(will=will(broker, b"", 0, True)).abort()
    assert subscriber.message().payload == b""
    broker.nothing_more(broker.subscribed())


@v5("MQTT-3.1.3-10", "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
def test_a_wills_properties_are_those_of_its_message(broker):
    subscriber = broker.subscribed()
    given = ((raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.CONTENT_TYPE, "text/plain"),
             (raw.RESPONSE_TOPIC, broker.topic("answer")), (raw.CORRELATION_DATA, b"\0\xffc"),
             (raw.USER_PROPERTY, ("b", "1")), (raw.USER_PROPERTY, ("a", "2")), (raw.USER_PROPERTY, ("b", "1")))
    broker.connected(will=will(broker, b"w", 0, False, *given)).abort()
    message = subscriber.message()
    assert message.props(raw.USER_PROPERTY) == [("b", "1"), ("a", "2"), ("b", "1")]
    assert spoken(message) == sorted(given)
    assert message.prop(raw.WILL_DELAY_INTERVAL) is None


@v5("MQTT-3.3.2-6")
def test_a_wills_expiry_counts_from_its_publication(broker):
    subscriber = broker.subscribed()
    client = broker.connected(will=will(broker, b"w", 0, False, (raw.MESSAGE_EXPIRY_INTERVAL, 60)))
    let_pass(1.1)
    client.abort()
    assert subscriber.message().prop(raw.MESSAGE_EXPIRY_INTERVAL) == 60


@pytest.mark.parametrize("payload", (b"", b"\0\xff" * 500, "水".encode()), ids=("empty", "binary", "text"))
@v5("MQTT-3.1.2-7")
def test_a_wills_payload_is_any_bytes(broker, payload):
    subscriber = broker.subscribed()
    broker.connected(will=will(broker, payload)).abort()
    assert subscriber.message().payload == payload


# ---- delay ----

@v5("MQTT-3.1.2-8", "MQTT-3.1.3-9", "MQTT-3.14.2-1")
def test_a_delayed_will_waits(broker):
    """After a broken connection, and after DISCONNECT 0x04."""
    subscriber = broker.subscribed()
    began = time.monotonic()
    broker.connected(will=will(broker, b"broken", 0, False, delay(2)), **session(60)).abort()
    broker.connected(will=will(broker, b"asked for", 0, False, delay(2)), **session(60)).disconnect(0x04)
    assert {subscriber.message().payload for _ in range(2)} == {b"broken", b"asked for"}
    assert time.monotonic() - began > 1  # servers count whole seconds


@v5("MQTT-3.1.3-9", "MQTT-3.14.4-3", "MQTT-3.1.2-10")
def test_a_new_connection_in_time_or_a_disconnect_withdraws_a_delayed_will(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    broker.connected(name, will=will(broker, b"back in time", 0, False, delay(4)), **session(60)).abort()
    broker.connected(name, **session(60)).ping()
    broker.connected(will=will(broker, b"disconnected", 0, False, delay(4)), **session(60)).disconnect()
    let_pass(6)
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.1.3-9", "MQTT-3.1.4-3")
def test_a_takeover_in_time_withdraws_a_delayed_will(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    first = broker.connected(name, will=will(broker, b"late", 0, False, delay(60)), **session(60))
    broker.connected(name, **session(60)).ping()
    first.until_closed()
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.1.2-8")
def test_the_sessions_end_publishes_a_delayed_will(broker):
    """Whichever comes first: the delay is over, or the session ends."""
    subscriber = broker.subscribed()
    broker.connected(will=will(broker, b"w", 0, False, delay(60)), **session(1)).abort()
    assert subscriber.message().payload == b"w"


@v5("MQTT-3.1.2-8")
def test_a_session_that_ends_at_once_publishes_a_delayed_will_at_once(broker):
    subscriber = broker.subscribed()
    broker.connected(will=will(broker, b"w", 0, False, delay(60))).abort()
    assert subscriber.message(timeout=2).payload == b"w"


@v5("MQTT-3.1.2-8", "MQTT-3.1.2-4")
def test_a_clean_start_ends_the_session_and_publishes_a_delayed_will(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    broker.connected(name, will=will(broker, b"late", 0, False, delay(60)), **session(60)).abort()
    broker.connected(name, clean=True).ping()
    assert subscriber.message(timeout=2).payload == b"late"


@v5("MQTT-3.1.2-8")
def test_a_delay_of_0_is_no_delay(broker):
    subscriber = broker.subscribed()
    broker.connected(will=will(broker, b"now", 0, False, delay(0)), **session(60)).abort()
    assert subscriber.message().payload == b"now"


@v5("MQTT-3.3.4-2", "MQTT-3.8.3-3")
def test_a_will_goes_to_every_subscriber_by_the_rules(broker):
    """Also to the session that it comes from, where that goes on."""
    subscriber = broker.subscribed((broker.topic("#"), 1), client_id=broker.name())
    name = broker.name()
    client = broker.connected(name, will=will(broker, b"w", 1), **session())
    client.subscribe((broker.topic("will"), 1))
    client.abort()
    assert subscriber.message().payload == b"w"
    assert broker.connected(name, **session()).message().payload == b"w"
