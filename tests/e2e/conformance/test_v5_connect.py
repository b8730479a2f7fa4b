# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.1: CONNECT, its header and its payload. Sessions and wills have files of their own."""
import pytest

import raw
from raw import V5
from v5 import (BAD_METHOD, CLIENT_ID_INVALID, MALFORMED, NOT_AUTHORIZED, PROTOCOL, QOS_UNSUPPORTED, TAKEN_OVER,
                TOPIC_INVALID, UNSPECIFIED, UNSUPPORTED_VERSION, connect_body, let_pass, refused, refuses,
                refuses_connect, session, spoken, v5)

CODES = (MALFORMED, PROTOCOL)

# ---- the first packet ----

FIRST = {
    "PUBLISH": raw.publish(V5, "a"), "PUBLISH QoS 1": raw.publish(V5, "a", qos=1, packet_id=1),
    "PUBACK": raw.ack(raw.PUBACK, V5, 1),
    "PUBREC": raw.ack(raw.PUBREC, V5, 1), "PUBREL": raw.ack(raw.PUBREL, V5, 1), "PUBCOMP": raw.ack(raw.PUBCOMP, V5, 1),
    "SUBSCRIBE": raw.subscribe(V5, 1, [("a", 0)]), "UNSUBSCRIBE": raw.unsubscribe(V5, 1, ["a"]),
    "PINGREQ": raw.pingreq(),
    "DISCONNECT": raw.disconnect(V5), "AUTH": raw.auth(0x18, [(raw.AUTHENTICATION_METHOD, "m")]),
    "CONNACK": raw.connack(V5), "SUBACK": raw.suback(V5, 1, [0]), "PINGRESP": raw.pingresp(),
    "something else": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", FIRST)
@v5("MQTT-3.1.0-1", "MQTT-3.2.0-1", "MQTT-3.14.0-1")
def test_another_first_packet_is_refused_without_an_answer(broker, name):
    client = broker.client()
    client.send(FIRST[name])
    assert broker.expect_refused(client, connected=False) == ()


@v5("MQTT-3.1.0-1")
def test_what_comes_after_another_first_packet_has_no_effect(broker):
    subscriber = broker.subscribed()
    client = broker.client()
    client.send(raw.publish(V5, broker.topic("before")) + raw.connect(V5, broker.name())
                + raw.publish(V5, broker.topic("after")))
    broker.expect_refused(client, connected=False)
    assert broker.delivered(subscriber) == []


@pytest.mark.parametrize("same", (True, False), ids=("same client", "another client"))
@v5("MQTT-3.1.0-2", "MQTT-3.2.0-2")
def test_a_second_connect_is_a_protocol_error(broker, same):
    name = broker.name()
    client = broker.connected(name)
    client.send(raw.connect(V5, name if same else broker.name()))
    refused(broker, client, PROTOCOL)


@v5("MQTT-3.1.0-2", "MQTT-3.1.2-8")
def test_a_second_connect_lets_the_will_out(broker):
    """It is no DISCONNECT: the will is owed."""
    subscriber = broker.subscribed()
    name = broker.name()
    client = broker.connected(name, will=raw.Will(broker.topic("will"), b"w"))
    client.send(raw.connect(V5, name))
    refused(broker, client, PROTOCOL)
    assert subscriber.message(timeout=8).payload == b"w"


# ---- protocol name and version ----

@pytest.mark.parametrize("protocol", ("mqtt", "MQT", "MQTTT", "MQTT\0", "", "MQIsdp", "HTTP", "hj"), ids=ascii)
@v5("MQTT-3.1.2-1", "MQTT-3.1.4-1")
def test_another_protocol_name_is_refused(broker, protocol):
    client = broker.client(raw.V311)  # an answer in the form that every version understands
    client.send(raw.connect(V5, broker.name(), name=protocol))
    said = client.until_closed()
    assert len(said) <= 1 and all(packet.type == raw.CONNACK and packet.code for packet in said)


@pytest.mark.parametrize("level", (0, 1, 2, 6, 7, 127, 255))
@v5("MQTT-3.1.2-2", "MQTT-3.1.4-1")
def test_another_version_is_refused(broker, level):
    client = broker.client(raw.V311 if level < 5 else V5)
    client.send(raw.connect(V5, broker.name(), level=level))
    try:
        said = client.until_closed()
    except raw.Malformed:  # a server may say it as 3.1.1 did: two bytes, return code 1
        assert bytes(client.buffer) in (b"", b"\x20\x02\0\1")
        return
    assert len(said) <= 1
    assert all(packet.type == raw.CONNACK and packet.code in (1, UNSUPPORTED_VERSION) for packet in said)


@v5("MQTT-3.1.2-3")
def test_the_reserved_connect_flag_is_refused(broker):
    refuses_connect(broker, connect_body(raw.string(broker.name()), flags=0x03), *CODES)


# ---- flags and fields ----

def fields(*texts):
    return b"".join(raw.string(text) for text in texts)


FLAGS = {
    "will QoS without a will": (0x0A, fields("c")), "will QoS 2 without a will": (0x12, fields("c")),
    "will retain without a will": (0x22, fields("c")), "will QoS 3": (0x1E, fields("c") + b"\0" + fields("t", "p")),
    "will without its fields": (0x06, fields("c")), "will without payload": (0x06, fields("c") + b"\0" + fields("t")),
    "will without properties": (0x06, fields("c", "t", "p")),
    "user name missing": (0x82, fields("c")), "user name not announced": (0x02, fields("c", "u")),
    "password missing": (0xC2, fields("c", "u")), "password not announced": (0x82, fields("c", "u", "p")),
    "user name cut": (0x82, fields("c") + b"\0\5u"), "password cut": (0xC2, fields("c", "u") + b"\0\5p"),
    "client identifier missing": (0x02, b""), "client identifier cut": (0x02, b"\0\5c"),
    "a byte too many": (0x02, fields("c") + b"\0"),
}


@pytest.mark.parametrize("name", FLAGS)
@v5("MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.2-16", "MQTT-3.1.2-17",
    "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.4-1")
def test_fields_and_flags_that_disagree_are_refused(broker, name):
    flags, rest = FLAGS[name]
    refuses_connect(broker, connect_body(rest, flags), *CODES, QOS_UNSUPPORTED, CLIENT_ID_INVALID)


@pytest.mark.parametrize("username, password", (("u", None), ("u", b"p"), (None, b"p"), ("", b""), ("u", b"\0\xff"),
                                               ("u" * 1000, b"p" * 1000)),
                         ids=("user name", "both", "password alone", "both empty", "binary password", "long"))
@v5("MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.3-1")
def test_user_name_and_password_may_be_there(broker, username, password):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), username=username, password=password))
    answer = client.expect(raw.CONNACK)
    return answer.code


@v5("MQTT-3.1.3-1")
def test_all_fields_at_once(broker):
    subscriber = broker.subscribed()
    will = raw.Will(broker.topic("will"), b"p", 1, False, ((raw.CONTENT_TYPE, "text"), (raw.USER_PROPERTY, ("a", "b"))))
    props = [(raw.SESSION_EXPIRY_INTERVAL, 1), (raw.RECEIVE_MAXIMUM, 5), (raw.USER_PROPERTY, ("x", "y"))]
    client = broker.connected(will=will, username="u", password=b"p", props=props, keep_alive=30)
    client.send(raw.disconnect(V5, 0x04))
    message = subscriber.message()
    assert (message.topic, message.payload) == (will.topic, b"p")
    return spoken(message)


@pytest.mark.parametrize("topic", ("a/#", "a/+", "+", "#", ""), ids=("a/#", "a/+", "+", "#", "empty"))
@v5("MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-3.1.4-1")
def test_a_will_topic_that_is_no_topic_name_is_refused(broker, topic):
    refuses_connect(broker, raw.connect(V5, broker.name(), will=raw.Will(topic)), *CODES, TOPIC_INVALID, UNSPECIFIED)


# ---- the client identifier ----

@pytest.mark.parametrize("text", ("0", "aZ9", "0123456789ABCDEFGHIJKLM", "abcdefghijklmnopqrstuvw"))
@v5("MQTT-3.1.3-5", "MQTT-3.1.3-2")
def test_identifiers_of_up_to_23_letters_and_digits_are_taken(broker, text):
    broker.names.append(text)
    answer = broker.client().connect(text, **session())
    assert answer.prop(raw.ASSIGNED_CLIENT_IDENTIFIER) is None


@pytest.mark.parametrize("text", ("a b", "a/b", "a-b_c.d", "+", "#", "$x", "ä水", "x" * 24, "x" * 1000),
                         ids=("blank", "slash", "marks", "plus", "hash", "dollar", "letters", "24", "1000"))
@v5("MQTT-3.1.3-8")
def test_other_identifiers_are_taken_or_refused(broker, text):
    client = broker.client()
    client.send(raw.connect(V5, text + broker.name()))
    answer = client.expect(raw.CONNACK)
    if answer.code:
        assert answer.code in (CLIENT_ID_INVALID, NOT_AUTHORIZED)
        client.expect_closed()
    return answer.code


@pytest.mark.parametrize("clean", (True, False), ids=("clean start", "not clean"))
@v5("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_an_empty_identifier_is_replaced(broker, clean):
    """5.0 lets a server assign one in both cases."""
    client = broker.client()
    client.send(raw.connect(V5, "", clean=clean))
    answer = client.expect(raw.CONNACK)
    if answer.code:
        client.expect_closed()
        return answer.code
    assert answer.prop(raw.ASSIGNED_CLIENT_IDENTIFIER) and not answer.session_present
    client.ping()
    return answer.code


@v5("MQTT-3.1.3-6", "MQTT-3.2.2-16")
def test_assigned_identifiers_differ(broker):
    assigned = [broker.client().connect("").prop(raw.ASSIGNED_CLIENT_IDENTIFIER) for _ in range(10)]
    assert all(assigned) and len(set(assigned)) == 10


@v5("MQTT-3.1.3-7", "MQTT-3.1.3-2")
def test_an_assigned_identifier_is_the_sessions_name(broker):
    client = broker.client()
    name = client.connect("", **session()).prop(raw.ASSIGNED_CLIENT_IDENTIFIER)
    broker.names.append(name)
    client.subscribe(broker.topic("t"), qos=1)
    client.disconnect()
    broker.connected().publish(broker.topic("t"), b"kept", qos=1)
    client = broker.client()
    assert client.connect(name, **session()).session_present
    assert client.message().payload == b"kept"


@v5("MQTT-3.1.3-2")
def test_identifiers_are_told_apart_by_every_character(broker):
    name = broker.name("x")
    first, second = broker.connected(name), broker.connected(name.upper())
    broker.names.append(name.upper())
    first.ping()
    second.ping()


# ---- keep alive ----

@v5("MQTT-3.1.2-22", "MQTT-3.1.2-20", "MQTT-3.1.2-8", "MQTT-3.12.4-1")
def test_silence_ends_the_connection_and_a_ping_keeps_it(broker):
    """Keep alive 1: the silent one is cut off as if the network had failed, with its will; the others are not."""
    subscriber = broker.subscribed(broker.topic("will"))
    silent = broker.connected(keep_alive=1, will=raw.Will(broker.topic("will"), b"silent"))
    lively = broker.connected(keep_alive=1)
    patient = broker.connected(keep_alive=0)
    for _ in range(150):  # a server may look at its clocks once in a while only
        lively.ping()
        try:
            assert subscriber.message(timeout=0.2).payload == b"silent"
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError("the silent client is not cut off")
    packets = silent.until_closed()
    assert all(packet.type == raw.DISCONNECT and packet.code == 0x8D for packet in packets)
    lively.ping()
    patient.ping()


@v5("MQTT-3.1.2-22")
def test_any_packet_counts_as_a_sign_of_life(broker):
    client = broker.connected(keep_alive=1)
    for _ in range(4):
        let_pass(0.7)
        client.send(raw.publish(V5, broker.topic("t")))
    client.ping()


# ---- after CONNECT ----

@v5("MQTT-3.1.4-5", "MQTT-3.2.0-1")
def test_what_follows_connect_at_once_is_answered_after_connack(broker):
    client = broker.client()
    client.send(raw.connect(V5, broker.name()) + raw.subscribe(V5, 1, [(broker.topic("t"), 1)])
                + raw.publish(V5, broker.topic("t"), b"1", qos=1, packet_id=2) + raw.pingreq())
    kinds = []
    while len(kinds) < 5:
        packet = client.receive()
        kinds.append(packet.name)
    assert kinds[:2] == ["CONNACK", "SUBACK"] and sorted(kinds[2:]) == ["PINGRESP", "PUBACK", "PUBLISH"]
    return kinds


@v5("MQTT-3.1.4-6", "MQTT-3.1.4-2", "MQTT-3.2.2-7", "MQTT-3.1.3-8")
def test_what_follows_a_refused_connect_has_no_effect(broker):
    subscriber = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), will=raw.Will("a/#")) + raw.publish(V5, broker.topic("t"), retain=True))
    refused(broker, client, *CODES, TOPIC_INVALID, UNSPECIFIED, connected=False)
    assert broker.delivered(subscriber) == []


@v5("MQTT-4.12.0-1", "MQTT-3.1.4-2", "MQTT-3.2.2-7", "MQTT-4.13.2-1")
def test_an_authentication_method_that_the_server_does_not_have_is_refused(broker):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), props=[(raw.AUTHENTICATION_METHOD, "unheard-of"),
                                                      (raw.AUTHENTICATION_DATA, b"d")]))
    return refused(broker, client, BAD_METHOD, NOT_AUTHORIZED, connected=False)


@v5("MQTT-3.1.2-30")
def test_other_packets_before_enhanced_authentication_has_ended_are_refused(broker):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), props=[(raw.AUTHENTICATION_METHOD, "m")]) + raw.pingreq())
    refused(broker, client, BAD_METHOD, NOT_AUTHORIZED, PROTOCOL, connected=False)


@v5("MQTT-3.1.4-3", "MQTT-3.1.4-2")
def test_a_new_connection_takes_the_session_over(broker):
    name = broker.name()
    first = broker.connected(name)
    second = broker.connected(name)
    refused(broker, first, TAKEN_OVER)
    second.ping()


@v5("MQTT-3.1.4-3", "MQTT-3.1.2-8", "MQTT-3.1.2-10")
def test_a_takeover_lets_the_first_connections_will_out_once(broker):
    subscriber = broker.subscribed()
    name = broker.name()
    first = broker.connected(name, will=raw.Will(broker.topic("will"), b"first"))
    second = broker.connected(name, will=raw.Will(broker.topic("will"), b"second"))
    refused(broker, first)
    assert subscriber.message().payload == b"first"
    second.disconnect()
    assert broker.delivered(subscriber) == []


@v5("MQTT-3.1.4-3", "MQTT-3.1.4-4")
def test_a_takeover_with_the_session_keeps_its_subscriptions(broker):
    name = broker.name()
    first = broker.connected(name, **session())
    first.subscribe(broker.topic("t"), qos=1)
    second = broker.client()
    assert second.connect(name, **session()).session_present
    refused(broker, first)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    assert second.message().payload == b"x"


@v5("MQTT-4.13.1-1")
def test_a_refused_packet_does_no_harm_to_others(broker):
    other = broker.connected()
    refuses(broker, b"\x00\x00", *CODES)
    other.ping()
