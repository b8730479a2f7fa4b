# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1: client ids (3.1.3.1), takeover (3.1.4) and keep alive (3.1.2.10)."""
import time

import pytest

import raw
from harness import statement
from raw import V31, V311


# ---- client ids ----

CLIENT_IDS = {
    "digits": "0123456789",
    "lower case": "abcdefghijklmnopqrstuvw",
    "rest of lower case": "xyz",
    "upper case": "ABCDEFGHIJKLMNOPQRSTUVW",
    "rest of upper case": "XYZ",
}


@pytest.mark.parametrize("name", CLIENT_IDS)
@statement("MQTT-3.1.3-5", version=(V31, V311))
def test_client_ids_of_letters_and_digits_are_taken(broker, name):
    with broker.connected(CLIENT_IDS[name]) as client:
        client.ping()
        client.disconnect()


@pytest.mark.parametrize("length", (1, 2, 22, 23))
@statement("MQTT-3.1.3-5", version=(V31, V311))
def test_client_ids_of_up_to_23_bytes_are_taken(broker, length):
    with broker.connected("N" * length) as client:
        client.ping()
        client.disconnect()


@pytest.mark.parametrize("text", ("c" * 24, "c" * 1000, "a/b-c_d.e:f", "ü€😀", "a b", "\ufeffc"),
                         ids=("24 bytes", "1000 bytes", "punctuation", "beyond ASCII", "blank", "U+FEFF"))
@statement("MQTT-3.1.3-2")
def test_other_client_ids_are_taken_or_refused_alike(broker, text):
    """[MQTT-3.1.3-5] leaves them to the server; a refusal has code 2 [MQTT-3.1.3-9]."""
    client = broker.client()
    client.send(raw.connect(V311, text))
    answer = client.expect(raw.CONNACK)
    assert answer.code in (0, 2)
    if answer.code == 0:
        client.ping()
        client.disconnect()
    return answer.code


@statement("MQTT-3.1.3-6")
def test_empty_client_ids_get_unique_ones(broker):
    clients = [broker.connected("") for _ in range(3)]
    for client in clients:
        client.ping()


@statement("MQTT-3.1.3-6")
def test_a_client_without_an_id_is_served_as_any_other(broker):
    client = broker.connected("", will=broker.farewell())
    client.subscribe(f"{broker.root}/#", qos=2)
    publisher = broker.connected("")
    for qos in range(3):
        publisher.publish(broker.topic(f"q{qos}"), b"x", qos=qos)
    assert [client.message().qos for _ in range(3)] == [0, 1, 2]
    observer = broker.subscribed()
    broker.gone(observer, client)


@statement("MQTT-3.1.3-7", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
def test_an_empty_client_id_without_clean_session_is_refused_with_code_2(broker):
    client = broker.client()
    client.send(raw.connect(V311, "", clean=False))
    answer = client.expect(raw.CONNACK)
    assert answer.body == b"\x00\x02", f"{answer} {answer.body.hex()}"
    client.expect_closed()


@statement("MQTT-3.1.3-2", "MQTT-1.5.3-3", "MQTT-4.7.3-4")
def test_client_ids_are_compared_byte_for_byte(broker):
    """Neither case, nor a byte order mark, nor another composition of the same letter is the same client."""
    base = broker.name()
    names = [base, base.upper(), "\ufeff" + base, base + "\ufeff", base + "é", base + "e\u0301", base + " "]
    broker.names += names[1:]
    clients = [broker.connected(name, clean=False) for name in names]
    for client in clients:
        client.ping()


# ---- takeover ----

@statement("MQTT-3.1.4-2", "MQTT-3.1.3-2", version=(V31, V311))
def test_a_second_client_of_the_same_id_ends_the_first(broker):
    name = broker.name()
    first = broker.connected(name)
    second = broker.connected(name)
    assert first.until_closed() == []
    second.ping()


@statement("MQTT-3.1.4-2")
def test_client_ids_can_be_taken_over_again_and_again(broker):
    name = broker.name()
    client = broker.connected(name)
    for _ in range(10):
        client, last = broker.connected(name), client
        assert last.until_closed() == []
    client.ping()


@statement("MQTT-3.1.4-2", "MQTT-3.1.2-4", version=(V31, V311))
def test_a_takeover_resumes_the_session(broker):
    name, topic = broker.name(), broker.topic()
    first = broker.connected(name, clean=False)
    first.subscribe(topic, qos=1)
    publisher = broker.connected()
    publisher.publish(topic, b"first", qos=1)
    unacknowledged = first.message(acknowledge=False)
    second = broker.client()
    answer = second.connect(name, clean=False)
    assert first.until_closed() == []
    again = second.message()
    assert (again.payload, again.packet_id, again.dup) == (b"first", unacknowledged.packet_id, True)
    publisher.publish(topic, b"second", qos=1)
    assert second.message().payload == b"second"
    return answer.session_present


@statement("MQTT-3.1.4-2", "MQTT-3.1.2-6")
def test_a_takeover_with_clean_session_forgets_the_session(broker):
    name, topic = broker.name(), broker.topic()
    first = broker.connected(name, clean=False)
    first.subscribe(topic, qos=1)
    second = broker.client()
    assert not second.connect(name, clean=True).session_present
    first.expect_closed()
    broker.connected().publish(topic, b"x", qos=1)
    second.subscribe(broker.topic("marker"))
    assert broker.delivered(second) == []


@statement("MQTT-3.1.4-2")
def test_another_client_of_another_id_is_left_alone(broker):
    others = [broker.connected() for _ in range(3)]
    name = broker.name()
    first = broker.connected(name)
    broker.connected(name)
    first.expect_closed()
    for other in others:
        other.ping()


# ---- keep alive ----

@statement("MQTT-3.1.2-24", "MQTT-3.1.2-23", at_once=True)
def test_a_silent_client_is_disconnected_after_one_and_a_half_keep_alives(broker):
    """One that says nothing at all, one that has begun a packet, and one that only receives. One that pings, one that
    publishes and one without keep alive stay."""
    began = time.monotonic()
    silent, begun = broker.connected(keep_alive=1), broker.connected(keep_alive=1)
    begun.send(raw.publish(V311, broker.topic("t"), b"x" * 1000)[:100])
    receiving = broker.subscribed(broker.topic("t"), keep_alive=1)
    pinging, publishing = broker.connected(keep_alive=1), broker.connected(keep_alive=1)
    forever = broker.connected(keep_alive=0)
    received = 0
    while not (silent.closed and begun.closed and receiving.closed):
        assert time.monotonic() - began < 30, "not disconnected within 30 s"
        pinging.ping()
        publishing.publish(broker.topic("t"), b"alive", qos=1)
        received += len(arrived(receiving, 0.2))
        assert arrived(silent, 0.01) == arrived(begun, 0.01) == []
    assert time.monotonic() - began >= 1.0  # servers count whole seconds
    assert received >= 1
    for client in (pinging, publishing, forever):
        client.ping()


def arrived(client, timeout):
    """What comes until nothing has come for so long, or the connection has ended."""
    packets = []
    while not client.closed:
        try:
            packets.append(client.receive(timeout))
        except TimeoutError:
            return packets
    return [packet for packet in packets if packet]
