# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.12 to 3.15, 4.12 and 4.13: PING, DISCONNECT, AUTH and errors."""
import pytest

import raw
from raw import V5
from v5 import BAD_METHOD, MALFORMED, NOT_AUTHORIZED, PROTOCOL, refused, refuses, session, take, v5

CODES = (PROTOCOL, MALFORMED)


@v5("MQTT-3.12.4-1")
def test_pingreq_is_answered(broker):
    client = broker.connected()
    for _ in range(3):
        client.ping()
    client.send(raw.pingreq() * 5)
    for _ in range(5):
        assert client.expect(raw.PINGRESP).raw == b"\xd0\0"


# ---- DISCONNECT ----

FORMS = {
    "short": raw.disconnect(V5), "code 0": raw.disconnect(V5, 0), "no properties": raw.disconnect(V5, 0, []),
    "with will": raw.disconnect(V5, 4),
    "error": raw.disconnect(V5, 0x80), "reason string": raw.disconnect(V5, 0x82, [(raw.REASON_STRING, "why")]),
    "user properties": raw.disconnect(V5, 0, [(raw.USER_PROPERTY, ("a", "b"))] * 2),
    "session expiry": raw.disconnect(V5, 0, [(raw.SESSION_EXPIRY_INTERVAL, 0)]),
}


@pytest.mark.parametrize("name", FORMS)
@v5("MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-3.14.2-1")
def test_disconnect_ends_the_connection_without_an_answer(broker, name):
    client = broker.connected()
    client.send(FORMS[name])
    assert client.until_closed() == []


@v5("MQTT-3.14.4-1")
def test_what_comes_after_disconnect_has_no_effect(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("before")) + raw.disconnect(V5) + raw.publish(V5, broker.topic("after"))
                + raw.pingreq())
    assert client.until_closed() == []
    assert [message.topic for message in broker.delivered(subscriber)] == [broker.topic("before")]


@pytest.mark.parametrize("code", (0x01, 0x05, 0x18, 0x7F, 0x84, 0x86, 0x89, 0x8A, 0x8B, 0x8C, 0x8E, 0x8F, 0x9C, 0x9D,
                                  0xA2, 0xFF), ids=hex)
@v5("MQTT-3.14.2-1")
def test_a_code_that_is_not_for_clients_ends_the_connection_all_the_same(broker, code):
    client = broker.connected()
    client.send(raw.disconnect(V5, code))
    for packet in client.until_closed():
        assert packet.type == raw.DISCONNECT and packet.code in CODES


@v5("MQTT-3.14.2-2", "MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.14.1-1", "MQTT-4.13.2-1")
def test_the_servers_disconnect_is_well_formed_and_the_last_packet(broker):
    client = broker.connected(**session(60, (raw.MAXIMUM_PACKET_SIZE, 40)))
    client.send(raw.publish(V5, "", props=[(raw.TOPIC_ALIAS, 0)]))
    packets = client.until_closed()
    assert len(packets) <= 1
    for packet in packets:
        assert packet.type == raw.DISCONNECT and packet.flags == 0 and packet.code >= 0x80 and len(packet.raw) <= 40
        assert packet.prop(raw.SESSION_EXPIRY_INTERVAL) is None


@v5("MQTT-4.13.1-1", "MQTT-4.1.0-1", "MQTT-3.1.2-23")
def test_a_protocol_error_ends_the_connection_and_not_the_session(broker):
    name = broker.name()
    client = broker.subscribed(broker.topic("t"), qos=1, client_id=name, **session())
    client.send(raw.publish(V5, "a/#"))
    refused(broker, client)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    client = broker.client()
    assert client.connect(name, **session()).session_present
    assert take(client).payload == b"x"


@pytest.mark.parametrize("end", ("disconnect", "close", "reset"))
@v5("MQTT-3.14.4-2")
def test_the_identifier_is_free_after_the_end(broker, end):
    name = broker.name()
    for _ in range(5):
        client = broker.connected(name)
        client.ping()
        {"disconnect": client.disconnect, "close": client.abort, "reset": client.reset}[end]()
    broker.connected(name).ping()


# ---- AUTH ----

METHOD = [(raw.AUTHENTICATION_METHOD, "m")]
WITHOUT_METHOD = {
    "continue": raw.auth(0x18, METHOD), "re-authenticate": raw.auth(0x19, METHOD), "without a method": raw.auth(0x18),
    "success": raw.auth(0, METHOD),
    "short": b"\xf0\0", "unknown code": raw.auth(0x55, METHOD),
    "data without a method": raw.auth(0x19, [(raw.AUTHENTICATION_DATA, b"d")]),
    "method twice": raw.auth(0x19, METHOD * 2), "another property": raw.auth(0x19, [*METHOD, (raw.CONTENT_TYPE, "t")]),
}


@pytest.mark.parametrize("name", WITHOUT_METHOD)
@v5("MQTT-4.12.0-7", "MQTT-3.15.2-1", "MQTT-4.12.1-1", "MQTT-4.13.1-1")
def test_auth_of_a_client_that_named_no_method_is_refused(broker, name):
    refuses(broker, WITHOUT_METHOD[name], *CODES, BAD_METHOD, NOT_AUTHORIZED)


@v5("MQTT-4.12.0-6")
def test_without_a_method_there_is_no_auth_and_none_in_connack(broker):
    client = broker.client()
    answer = client.connect(broker.name(), username="u", password=b"p")
    assert answer.prop(raw.AUTHENTICATION_METHOD) is None and answer.prop(raw.AUTHENTICATION_DATA) is None
    client.ping()


@pytest.mark.parametrize("method", ("SCRAM-SHA-1", "PLAIN", "", "x" * 1000),
                         ids=("SCRAM-SHA-1", "PLAIN", "empty", "long"))
@v5("MQTT-4.12.0-1", "MQTT-3.1.4-2", "MQTT-3.2.2-7")
def test_enhanced_authentication_that_the_server_does_not_have_is_refused(broker, method):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), props=[(raw.AUTHENTICATION_METHOD, method),
                                                      (raw.AUTHENTICATION_DATA, b"\0\1")]))
    return refused(broker, client, BAD_METHOD, NOT_AUTHORIZED, connected=False)


@v5("MQTT-4.12.0-4", "MQTT-3.1.2-30")
def test_auth_right_after_such_a_connect_changes_nothing(broker):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), props=METHOD) + raw.auth(0x18, METHOD))
    refused(broker, client, BAD_METHOD, NOT_AUTHORIZED, PROTOCOL, connected=False)


@v5("MQTT-4.13.1-1", "MQTT-4.13.2-1")
def test_errors_of_one_client_are_no_matter_to_the_others(broker):
    client, subscriber = broker.connected(), broker.subscribed()
    for packet in (b"\x00\x00", b"\xff\xff\xff\xff\xff", raw.publish(V5, "#"), raw.subscribe(V5, 1, [("a/#/b", 0)])):
        other = broker.connected()
        other.send(packet)
        other.abort()
    client.publish(broker.topic("t"), b"x", qos=2)
    assert subscriber.message().payload == b"x"
