# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapters 3.4 to 3.7 and 4.3 to 4.6: acknowledgements, redelivery, order."""
import pytest

import raw
from raw import V5
from v5 import (ID_NOT_FOUND, IMPLEMENTATION, MALFORMED, NOT_AUTHORIZED, NO_MATCHING_SUBSCRIBERS, PROTOCOL, UNSPECIFIED,
                puback, pubcomp, pubrec, refuses, session, spoken, take, v5)

ERRORS = (UNSPECIFIED, IMPLEMENTATION, NOT_AUTHORIZED, 0x90, 0x91, 0x97, 0x99)


def lasting(broker, *, qos=2, name=None):
    """A subscriber of the root whose session lasts: (client, name)."""
    name = name or broker.name()
    return broker.subscribed(qos=qos, client_id=name, **session()), name


def again(broker, name):
    return broker.connected(name, **session())


# ---- what the server answers ----

@pytest.mark.parametrize("qos, kind", ((1, raw.PUBACK), (2, raw.PUBREC)))
@v5("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.3.4-1")
def test_without_a_subscriber_the_server_may_say_so(broker, qos, kind):
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("nobody"), qos=qos, packet_id=5))
    answer = client.expect(kind, packet_id=5)
    assert answer.code in (0, NO_MATCHING_SUBSCRIBERS)
    return answer.code, spoken(answer)


@pytest.mark.parametrize("qos, kind", ((1, raw.PUBACK), (2, raw.PUBREC)))
@v5("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.3.4-1")
def test_with_a_subscriber_it_is_success(broker, qos, kind):
    broker.subscribed(qos=2)
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("t"), qos=qos, packet_id=5))
    answer = client.expect(kind, packet_id=5)
    assert answer.code == 0
    return spoken(answer)


@v5("MQTT-3.7.2-1", "MQTT-4.3.3-11")
def test_pubrel_of_an_unknown_identifier(broker):
    """It is answered by PUBCOMP, which may say that there is no such flow."""
    client = broker.connected()
    client.send(raw.ack(raw.PUBREL, V5, 999))
    answer = client.expect(raw.PUBCOMP, packet_id=999)
    assert answer.code in (0, ID_NOT_FOUND)
    return answer.code


@v5("MQTT-3.7.2-1", "MQTT-4.3.3-11")
def test_pubrel_twice_is_answered_twice(broker):
    client = broker.connected()
    client.publish(broker.topic("t"), qos=2, packet_id=9)
    client.send(raw.ack(raw.PUBREL, V5, 9))
    answer = client.expect(raw.PUBCOMP, packet_id=9)
    assert answer.code in (0, ID_NOT_FOUND)
    return answer.code


@pytest.mark.parametrize("kind", (raw.PUBACK, raw.PUBREC, raw.PUBCOMP), ids=("PUBACK", "PUBREC", "PUBCOMP"))
@v5("MQTT-3.6.2-1", "MQTT-2.2.1-5")
def test_an_acknowledgement_of_nothing(broker, kind):
    """PUBREC may be answered by PUBREL, which may say that there is no such flow; the connection goes on or ends."""
    client = broker.connected()
    client.send(raw.ack(kind, V5, 999) + raw.pingreq())
    answers = []
    while not answers or answers[-1] not in ("PINGRESP", "closed"):
        packet = client.receive()
        answers.append(packet.name if packet else "closed")
        if packet and packet.type == raw.PUBREL:
            assert kind == raw.PUBREC and packet.code in (0, ID_NOT_FOUND)
            answers.append(packet.code)
    return answers


@pytest.mark.parametrize("rest", (b"", b"\0", b"\0\0", b"\0\4\x1f\0\1r", b"\0\7\x26\0\1n\0\1v", b"\x92"),
                         ids=("identifier alone", "code", "no properties", "reason string", "user property", "0x92"))
@v5("MQTT-3.6.2-1", "MQTT-4.3.3-11")
def test_every_form_of_pubrel_is_answered(broker, rest):
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("t"), qos=2, packet_id=3))
    client.expect(raw.PUBREC, packet_id=3)
    client.send(raw.packet(raw.PUBREL, 2, b"\0\3" + rest))
    return client.expect(raw.PUBCOMP, packet_id=3).code


@pytest.mark.parametrize("rest", (b"", b"\0", b"\0\0", b"\0\4\x1f\0\1r", b"\0\7\x26\0\1n\0\1v"),
                         ids=("identifier alone", "code", "no properties", "reason string", "user property"))
@v5("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.7.2-1")
def test_every_form_of_the_clients_acknowledgements_is_taken(broker, rest):
    client = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic("t"), b"1", qos=1)
    broker.connected().publish(broker.topic("t"), b"2", qos=2)
    first, second = (client.message(acknowledge=False) for _ in range(2))
    identifier = second.packet_id.to_bytes(2, "big")
    client.send(raw.packet(raw.PUBACK, 0, first.packet_id.to_bytes(2, "big") + rest))
    client.send(raw.packet(raw.PUBREC, 0, identifier + rest))
    client.expect(raw.PUBREL, packet_id=second.packet_id)
    client.send(raw.packet(raw.PUBCOMP, 0, identifier + rest))
    client.ping()


@v5("MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-3.3.4-1")
def test_many_flows_at_once_are_all_answered(broker):
    client = broker.connected()
    for number in range(1, 11):
        client.send(raw.publish(V5, broker.topic("one"), qos=1, packet_id=number)
                    + raw.publish(V5, broker.topic("two"), qos=2, packet_id=100 + number))
    answers = [client.receive() for _ in range(20)]
    assert [answer.packet_id for answer in answers if answer.type == raw.PUBACK] == list(range(1, 11))
    assert [answer.packet_id for answer in answers if answer.type == raw.PUBREC] == list(range(101, 111))
    for number in range(101, 111):
        client.send(raw.ack(raw.PUBREL, V5, number))
    assert [client.expect(raw.PUBCOMP, code=0).packet_id for _ in range(10)] == list(range(101, 111))


# ---- QoS 1 and 2 towards the server ----

@v5("MQTT-4.3.2-5")
def test_after_puback_the_identifier_is_free_whatever_dup_says(broker):
    subscriber = broker.subscribed(qos=1)
    client = broker.connected()
    for payload, dup in ((b"1", False), (b"2", False), (b"3", True)):
        client.publish(broker.topic("t"), payload, qos=1, packet_id=5, dup=dup)
    assert [message.payload for message in broker.delivered(subscriber)] == [b"1", b"2", b"3"]


@v5("MQTT-4.3.3-10")
def test_until_pubrel_a_repetition_is_answered_and_not_delivered_again(broker):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    for dup in (False, True):
        client.send(raw.publish(V5, broker.topic("t"), b"once", qos=2, packet_id=5, dup=dup))
        client.expect(raw.PUBREC, packet_id=5)
    client.send(raw.ack(raw.PUBREL, V5, 5))
    client.expect(raw.PUBCOMP, packet_id=5, code=0)
    assert [message.payload for message in broker.delivered(subscriber)] == [b"once"]


@v5("MQTT-4.3.3-12")
def test_after_pubcomp_the_identifier_is_free(broker):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    for payload in (b"1", b"2", b"3"):
        client.publish(broker.topic("t"), payload, qos=2, packet_id=5)
    assert [message.payload for message in broker.delivered(subscriber)] == [b"1", b"2", b"3"]


@v5("MQTT-4.3.3-8", "MQTT-4.6.0-4")
def test_qos_2_flows_may_be_interleaved(broker):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    for number in (1, 2, 3):
        client.send(raw.publish(V5, broker.topic("t"), str(number), qos=2, packet_id=number))
        client.expect(raw.PUBREC, packet_id=number)
    for number in (1, 2, 3):
        client.send(raw.ack(raw.PUBREL, V5, number))
        client.expect(raw.PUBCOMP, packet_id=number, code=0)
    assert [message.payload for message in broker.delivered(subscriber)] == [b"1", b"2", b"3"]


@v5("MQTT-2.2.1-3")
def test_qos_1_and_qos_2_share_the_identifiers_one_after_the_other(broker):
    client = broker.connected()
    for qos in (1, 2, 1, 2):
        client.publish(broker.topic("t"), qos=qos, packet_id=7)


# ---- QoS 1 and 2 from the server ----

@v5("MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-3.6.1-1", "MQTT-2.2.1-5")
def test_pubrec_is_answered_by_pubrel_with_its_identifier(broker):
    client = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    pubrec(client, message)
    release = client.expect(raw.PUBREL, packet_id=message.packet_id, code=0)
    assert release.flags == 2
    pubcomp(client, message)
    client.ping()


@pytest.mark.parametrize("code", (None, 0x00))
@v5("MQTT-4.3.3-4")
def test_pubrec_below_0x80_goes_on(broker, code):
    client = broker.subscribed(qos=2)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    pubrec(client, message, code)
    client.expect(raw.PUBREL, packet_id=message.packet_id)


@pytest.mark.parametrize("code", ERRORS, ids=hex)
@v5("MQTT-4.4.0-2", "MQTT-4.3.3-9")
def test_pubrec_with_an_error_ends_the_flow(broker, code):
    client, name = lasting(broker)
    sender = broker.connected()
    sender.publish(broker.topic("t"), b"refused", qos=2)
    pubrec(client, client.message(acknowledge=False), code)
    broker.nothing_more(client)
    sender.publish(broker.topic("t"), b"next", qos=2)
    assert take(client).payload == b"next"
    client.disconnect()
    broker.nothing_more(again(broker, name))


@pytest.mark.parametrize("code", ERRORS, ids=hex)
@v5("MQTT-4.4.0-2")
def test_puback_with_an_error_is_an_acknowledgement(broker, code):
    client, name = lasting(broker)
    broker.connected().publish(broker.topic("t"), b"refused", qos=1)
    puback(client, client.message(acknowledge=False), code)
    client.ping()
    client.disconnect()
    broker.nothing_more(again(broker, name))


@pytest.mark.parametrize("kind", (raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP),
                         ids=("PUBACK", "PUBREC", "PUBREL", "PUBCOMP"))
@v5("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1")
def test_a_code_that_an_acknowledgement_does_not_have_is_refused(broker, kind):
    refuses(broker, raw.ack(kind, V5, 1, 0x55), PROTOCOL, MALFORMED)


@v5("MQTT-4.5.0-1")
def test_every_matching_session_gets_a_copy(broker):
    present = [broker.subscribed(qos=qos) for qos in range(3)]
    client, name = lasting(broker)
    client.disconnect()
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    assert [take(client).payload for client in [*present, again(broker, name)]] == [b"x"] * 4


# ---- redelivery ----

@v5("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3")
def test_what_was_not_acknowledged_comes_again_with_dup_and_its_identifier(broker):
    client, name = lasting(broker)
    sender = broker.connected()
    for number in range(6):
        sender.publish(broker.topic("t"), str(number), qos=1 + number % 2)
    first = [client.message(acknowledge=False) for _ in range(6)]
    assert not any(message.dup for message in first)
    client.reset()
    client = again(broker, name)
    second = [client.message(acknowledge=False) for _ in range(6)]
    assert [(message.payload, message.qos, message.packet_id) for message in second] \
        == [(message.payload, message.qos, message.packet_id) for message in first]
    assert all(message.dup for message in second)


@v5("MQTT-4.4.0-1", "MQTT-4.3.3-6", "MQTT-4.3.3-5")
def test_after_pubrel_only_pubrel_comes_again(broker):
    client, name = lasting(broker)
    broker.connected().publish(broker.topic("t"), b"x", qos=2)
    message = client.message(acknowledge=False)
    pubrec(client, message)
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    client.reset()
    client = again(broker, name)
    client.expect(raw.PUBREL, packet_id=message.packet_id)
    pubcomp(client, message)
    client.ping()
    client.reset()
    broker.nothing_more(again(broker, name))


@v5("MQTT-4.4.0-1")
def test_nothing_comes_again_on_the_same_connection(broker):
    client, _ = lasting(broker)
    broker.connected().publish(broker.topic("t"), b"1", qos=1)
    broker.connected().publish(broker.topic("t"), b"2", qos=2)
    first, second = (client.message(acknowledge=False) for _ in range(2))
    for _ in range(3):
        client.ping()
    puback(client, first)
    pubrec(client, second)
    client.expect(raw.PUBREL, packet_id=second.packet_id)
    client.ping()


@v5("MQTT-4.4.0-1", "MQTT-3.1.2-4")
def test_nothing_comes_again_after_a_clean_start(broker):
    client, name = lasting(broker)
    broker.connected().publish(broker.topic("t"), b"x", qos=1)
    client.message(acknowledge=False)
    client.reset()
    client = broker.connected(name, clean=True)
    broker.nothing_more(client)


@v5("MQTT-4.4.0-1", "MQTT-3.3.1-3")
def test_what_was_never_sent_comes_without_dup(broker):
    client, name = lasting(broker)
    client.disconnect()
    for qos in (1, 2):
        broker.connected().publish(broker.topic("t"), str(qos), qos=qos, dup=True)
    client = again(broker, name)
    assert [client.message(acknowledge=False).dup for _ in range(2)] == [False, False]


@v5("MQTT-4.4.0-1", "MQTT-4.3.3-4")
def test_redelivery_is_finished_as_a_first_delivery_is(broker):
    client, name = lasting(broker)
    broker.connected().publish(broker.topic("t"), b"1", qos=1)
    broker.connected().publish(broker.topic("t"), b"2", qos=2)
    for _ in range(2):
        client.message(acknowledge=False)
    client.disconnect()
    client = again(broker, name)
    one, two = (client.message(acknowledge=False) for _ in range(2))
    puback(client, one)
    pubrec(client, two)
    client.expect(raw.PUBREL, packet_id=two.packet_id)
    pubcomp(client, two)
    client.ping()
    client.disconnect()
    broker.nothing_more(again(broker, name))


@v5("MQTT-4.6.0-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-5")
def test_a_client_repeats_in_order_what_it_takes_for_unanswered(broker):
    """QoS 1 is then another message; QoS 2 is the same one, as long as its PUBREL has not come."""
    subscriber = broker.subscribed(qos=2)
    name = broker.name()
    flows = [raw.publish(V5, broker.topic("t"), str(number), qos=1 + number % 2, packet_id=number, dup=False)
             for number in range(1, 5)]
    client = broker.connected(name, **session())
    client.send(b"".join(flows))
    for number in range(1, 5):
        client.expect(raw.PUBREC if number % 2 else raw.PUBACK, packet_id=number)
    client.reset()
    client = again(broker, name)
    client.send(b"".join(bytes([flow[0] | 8]) + flow[1:] for flow in flows))
    for number in range(1, 5):
        client.expect(raw.PUBREC if number % 2 else raw.PUBACK, packet_id=number)
    for number in (1, 3):
        client.send(raw.ack(raw.PUBREL, V5, number))
        client.expect(raw.PUBCOMP, packet_id=number, code=0)
    found = [message.payload for message in broker.delivered(subscriber, client)]
    assert [payload for payload in found if payload in (b"2", b"4")] == [b"2", b"4", b"2", b"4"]
    assert [payload for payload in found if payload in (b"1", b"3")] == [b"1", b"3"]


# ---- order ----

@pytest.mark.parametrize("qos", range(3))
@v5("MQTT-4.6.0-5", "MQTT-4.6.0-6")
def test_messages_of_a_topic_and_qos_keep_their_order(broker, qos):
    subscribers = [broker.subscribed(qos=2) for _ in range(2)]
    client = broker.connected()
    for number in range(100):
        client.publish(broker.topic("t"), str(number), qos=qos)
    for subscriber in subscribers:
        assert [int(message.payload) for message in broker.delivered(subscriber, client)] == list(range(100))


@v5("MQTT-4.6.0-5", "MQTT-4.6.0-6")
def test_messages_keep_their_order_while_a_session_waits(broker):
    client, name = lasting(broker, qos=1)
    client.disconnect()
    sender = broker.connected()
    for number in range(50):
        sender.publish(broker.topic("t"), str(number), qos=1)
    client = again(broker, name)
    assert [int(take(client).payload) for _ in range(50)] == list(range(50))


@v5("MQTT-4.6.0-2", "MQTT-4.6.0-3")
def test_acknowledgements_out_of_order_are_taken(broker):
    """The client's fault, but each names its message."""
    client = broker.subscribed(qos=1)
    sender = broker.connected()
    for number in range(5):
        sender.publish(broker.topic("t"), str(number), qos=1)
    messages = [client.message(acknowledge=False) for _ in range(5)]
    for message in reversed(messages):
        puback(client, message)
    client.ping()
    sender.publish(broker.topic("t"), b"next", qos=1)
    assert take(client).payload == b"next"
