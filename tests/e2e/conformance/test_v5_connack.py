# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 3.2: CONNACK, and what its properties promise."""
import pytest

import raw
from raw import V5
from v5 import PROTOCOL, RECEIVE_MAXIMUM_EXCEEDED, refused, session, spoken, v5

CODES = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
         0x9B, 0x9C, 0x9D, 0x9F}


@v5("MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-3.1.4-5")
def test_success(broker):
    """The flags' reserved bits are 0; what the server says of itself is the same in both runs."""
    answer = broker.client().connect(broker.name())
    assert answer.flags == 0 and answer.body[0] == 0
    return spoken(answer)


@v5("MQTT-3.2.0-2")
def test_there_is_one_connack(broker):
    client = broker.connected()
    client.subscribe(broker.topic("t"))
    client.publish(broker.topic("other"), b"x", qos=2)
    client.publish(broker.topic("t"), b"x")
    assert client.message().payload == b"x"
    broker.nothing_more(client)


@pytest.mark.parametrize("clean", (True, False), ids=("clean start", "not clean"))
@v5("MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.2-6")
def test_without_a_session_none_is_present(broker, clean):
    assert not broker.client().connect(broker.name(), clean=clean).session_present


@v5("MQTT-3.2.2-3", "MQTT-3.2.2-2", "MQTT-3.1.2-4", "MQTT-3.1.2-5")
def test_session_present_tells_the_truth(broker):
    name = broker.name()
    seen = []
    for clean in (True, False, False, True, False):
        client = broker.client()
        seen.append(client.connect(name, **session(clean=clean)).session_present)
        client.disconnect()
    assert seen == [False, True, True, False, True]


@v5("MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1")
def test_a_refusal_has_no_session_and_a_known_code(broker):
    name = broker.name()
    client = broker.connected(name, **session())
    client.disconnect()
    client = broker.client()
    client.send(raw.connect(V5, name, clean=False, props=[(raw.AUTHENTICATION_METHOD, "unheard-of")]))
    packets = client.until_closed()
    assert len(packets) <= 1
    for packet in packets:
        assert packet.type == raw.CONNACK and not packet.session_present
        assert packet.code in CODES and packet.code >= 0x80
    assert broker.client().connect(name, **session()).session_present, "a refused CONNECT must leave the session alone"
    return [packet.code for packet in packets]


@v5("MQTT-3.1.2-28")
def test_response_information_is_not_given_unasked(broker):
    for props in ((), [(raw.REQUEST_RESPONSE_INFORMATION, 0)]):
        assert broker.client().connect(broker.name(), props=props).prop(raw.RESPONSE_INFORMATION) is None


@v5("MQTT-3.1.2-28")
def test_response_information_may_be_asked_for(broker):
    answer = broker.client().connect(broker.name(), props=[(raw.REQUEST_RESPONSE_INFORMATION, 1)])
    return answer.prop(raw.RESPONSE_INFORMATION)


@pytest.mark.parametrize("value", (0, 1))
@v5("MQTT-3.1.2-29")
def test_problem_information(broker, value):
    """0: no reason string and no user property but on PUBLISH, CONNACK and DISCONNECT, even where something failed."""
    client = broker.connected(props=[(raw.REQUEST_PROBLEM_INFORMATION, value)])
    client.send(raw.subscribe(V5, 1, [(broker.topic("t"), 2), ("a/#/b", 0)]))
    packets = [client.receive()]
    if packets[0].type == raw.SUBACK:
        for packet in (raw.unsubscribe(V5, 2, ["never"]), raw.publish(V5, "nowhere", qos=1, packet_id=3),
                       raw.ack(raw.PUBREL, V5, 9)):
            client.send(packet)
            packets.append(client.receive())
    for packet in packets:
        if value == 0 and packet.type not in (raw.CONNACK, raw.DISCONNECT, raw.PUBLISH):
            assert packet.prop(raw.REASON_STRING) is None and packet.prop(raw.USER_PROPERTY) is None


@v5("MQTT-3.1.2-29")
def test_a_messages_user_properties_are_no_problem_information(broker):
    client = broker.connected(props=[(raw.REQUEST_PROBLEM_INFORMATION, 0)])
    client.subscribe(broker.topic("t"))
    broker.connected().publish(broker.topic("t"), props=[(raw.USER_PROPERTY, ("a", "b"))])
    assert client.message().props(raw.USER_PROPERTY) == [("a", "b")]


@v5("MQTT-3.2.2-19", "MQTT-3.2.2-20")
def test_connack_keeps_to_the_clients_maximum_packet_size(broker):
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), props=[(raw.MAXIMUM_PACKET_SIZE, 60)]))
    answer = client.expect(raw.CONNACK, code=0)
    assert len(answer.raw) <= 60


@v5("MQTT-3.2.2-22", "MQTT-3.1.2-21", "MQTT-3.2.2-21")
def test_without_a_reason_the_clients_keep_alive_stays(broker):
    for keep_alive in (1, 60, 65535):
        answer = broker.client().connect(broker.name(), keep_alive=keep_alive)
        assert answer.prop(raw.SERVER_KEEP_ALIVE, keep_alive) == keep_alive


@v5("MQTT-3.1.2-21")
def test_a_client_without_keep_alive_may_be_told_one(broker):
    return broker.client().connect(broker.name(), keep_alive=0).prop(raw.SERVER_KEEP_ALIVE)


@pytest.mark.parametrize("seconds", (0, 1, 3600, 0xFFFFFFFF))
@v5("MQTT-3.1.2-23")
def test_the_session_expiry_is_taken_as_asked(broker, seconds):
    answer = broker.client().connect(broker.name(), props=[(raw.SESSION_EXPIRY_INTERVAL, seconds)])
    assert answer.prop(raw.SESSION_EXPIRY_INTERVAL, seconds) == seconds


@v5("MQTT-3.2.2-9", "MQTT-3.2.2-10", "MQTT-3.2.2-11")
def test_every_qos_is_served_where_none_is_ruled_out(broker):
    client = broker.client()
    answer = client.connect(broker.name())
    maximum = answer.prop(raw.MAXIMUM_QOS, 2)
    codes = client.subscribe(*((broker.topic(str(qos)), qos) for qos in range(3))).codes
    assert all(code <= 2 for code in codes)
    for qos in range(maximum + 1):
        client.publish(broker.topic("other"), qos=qos)
    return maximum, codes


@v5("MQTT-3.2.2-14")
def test_retained_messages_are_served_where_they_are_not_ruled_out(broker):
    client = broker.client()
    assert client.connect(broker.name()).prop(raw.RETAIN_AVAILABLE, 1) == 1
    client.publish(broker.topic("t"), b"r", retain=True)
    client.subscribe(broker.topic("t"))
    assert client.message().retain


@v5("MQTT-3.3.4-7", "MQTT-4.9.0-1")
def test_the_servers_receive_maximum_can_be_used_up(broker):
    client = broker.client()
    maximum = client.connect(broker.name()).prop(raw.RECEIVE_MAXIMUM, 65535)
    count = min(maximum, 200)
    for number in range(1, count + 1):
        client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=number))
        client.expect(raw.PUBREC, packet_id=number)
    client.ping()
    for number in range(1, count + 1):
        client.send(raw.ack(raw.PUBREL, V5, number))
        client.expect(raw.PUBCOMP, packet_id=number, code=0)
    for number in range(1, count + 1):
        client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=number))
        client.expect(raw.PUBREC, packet_id=number)
    return maximum


@v5("MQTT-3.3.4-7", "MQTT-4.9.0-2")
def test_more_than_the_servers_receive_maximum_is_refused(broker):
    client = broker.client()
    maximum = client.connect(broker.name()).prop(raw.RECEIVE_MAXIMUM, 65535)
    for number in range(1, maximum + 2):
        client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=number))
        if number <= maximum:
            client.expect(raw.PUBREC, packet_id=number)
    refused(broker, client, RECEIVE_MAXIMUM_EXCEEDED, PROTOCOL)
