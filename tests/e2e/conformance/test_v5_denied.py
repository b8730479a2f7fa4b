# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0: what a server says to clients that it does not allow everything. The broker has an access list."""
import pytest

import raw
from raw import V5
from v5 import NOT_AUTHORIZED, summary, takes, v5, world_of

ACL = """\
topic readwrite #
topic readwrite $conformance/#
topic deny conformance/+/closed/#
user known
topic readwrite #
"""


@pytest.fixture(scope="module")
def conformance_servers(request, make_shared_world, tmp_path_factory):
    """mqward allows everything. Mosquitto 2.0.11 ends a connection after the first refused PUBLISH if its queues are
    unbounded, hence the bound."""
    acl = tmp_path_factory.mktemp("acl") / "acl"
    acl.write_text(ACL)
    return world_of(request, make_shared_world, f"acl_file {acl}", "max_queued_messages 1000")


@pytest.mark.parametrize("qos", (1, 2))
@v5("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.3.4-1")
def test_a_publish_that_is_not_allowed_is_told_so(broker, qos):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    client.publish(broker.topic("closed/a"), b"x", qos=qos, code=NOT_AUTHORIZED)
    client.publish(broker.topic("open"), b"y", qos=qos)
    assert [message.topic for message in broker.delivered(subscriber, client)] == [broker.topic("open")]


@v5("MQTT-3.3.4-1")
def test_a_publish_of_qos_0_that_is_not_allowed_is_dropped(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.publish(broker.topic("closed/a"), b"x")
    client.publish(broker.topic("open"), b"y")
    assert [message.topic for message in broker.delivered(subscriber, client)] == [broker.topic("open")]


@v5("MQTT-4.3.3-9", "MQTT-4.4.0-2")
def test_after_pubrec_with_an_error_the_identifier_is_free(broker):
    subscriber = broker.subscribed(qos=2)
    client = broker.connected()
    client.publish(broker.topic("closed/a"), b"x", qos=2, packet_id=7, code=NOT_AUTHORIZED)
    client.publish(broker.topic("open"), b"y", qos=2, packet_id=7)
    assert [message.payload for message in broker.delivered(subscriber, client)] == [b"y"]


@v5("MQTT-4.3.3-9", "MQTT-4.6.0-4")
def test_refused_and_accepted_flows_side_by_side(broker):
    """Codes come to the packets that they belong to, in their order."""
    client = broker.connected()
    for number in range(1, 9):
        client.send(raw.publish(V5, broker.topic("closed/a" if number % 2 else "open"), b"x", qos=2, packet_id=number))
    answers = [client.expect(raw.PUBREC) for _ in range(8)]
    assert [answer.packet_id for answer in answers] == list(range(1, 9))
    assert [answer.code >= 0x80 for answer in answers] == [True, False] * 4
    for number in (2, 4, 6, 8):
        client.send(raw.ack(raw.PUBREL, V5, number))
        client.expect(raw.PUBCOMP, packet_id=number, code=0)
    return [answer.code for answer in answers]


@v5("MQTT-3.8.4-7", "MQTT-3.9.3-2")
def test_a_subscription_that_is_not_allowed(broker):
    """Refused, or never served: Mosquitto looks at what it delivers."""
    client = broker.connected()
    codes = client.subscribe((broker.topic("closed/a"), 1), (broker.topic("open"), 1), codes=None).codes
    known = broker.connected(username="known")
    known.publish(broker.topic("closed/a"), b"closed", qos=1)
    known.publish(broker.topic("open"), b"open", qos=1)
    assert [message.payload for message in takes(client, 1)] == [b"open"]
    return codes


@v5("MQTT-3.1.4-2", "MQTT-3.1.2-8")
def test_a_will_that_is_not_allowed(broker):
    """Refused at CONNECT, or never published."""
    subscriber = broker.subscribed()
    client = broker.client()
    client.send(raw.connect(V5, broker.name(), will=raw.Will(broker.topic("closed/will"), b"x")))
    answer = client.expect(raw.CONNACK)
    client.abort()
    broker.gone(subscriber, broker.connected(will=broker.farewell()))
    assert broker.delivered(subscriber) == []
    return answer.code


@v5("MQTT-3.1.2-17", "MQTT-3.1.4-2")
def test_who_names_himself_is_somebody_else(broker):
    subscriber = broker.subscribed(broker.topic("#"), username="known", qos=1)
    broker.connected(username="known").publish(broker.topic("closed/a"), b"x", qos=1, retain=True)
    return summary(subscriber.message())
