# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 4.7: topic names and filters."""
import pytest

import raw
from raw import V5
from v5 import MALFORMED, PROTOCOL, TOO_LARGE, TOPIC_INVALID, refused, v5

# A filter, the topics that it matches, and some that it does not; all below the root of the test.
MATCHES = {
    "#": (("a", "a/b", "", "/", "a//b", " "), ()),
    "+": (("a", " ", "ä"), ("a/b", "/a", "a/")),
    "a": (("a",), ("A", "a/", "/a", "aa", "a ", " a")),
    "a/#": (("a", "a/", "a/b", "a/b/c", "a//"), ("b", "aa", "A", "/a", "aa/b")),
    "a/+": (("a/b", "a/"), ("a", "a/b/c", "b/a", "a//")),
    "a/+/c": (("a/b/c", "a//c"), ("a/c", "a/b/b/c", "a/b/c/")),
    "a/+/#": (("a/b", "a/", "a/b/c", "a//"), ("a", "b/c")),
    "+/+": (("a/b", "/", "/a", "a/"), ("a", "a/b/c", "//")),
    "+/a/#": (("b/a", "/a", "/a/b", "b/a/c"), ("a", "a/b", "//a")),
    "/+": (("/a", "/"), ("a", "/a/b", "//")),
    "/#": (("/a", "/", "/a/b", "//", ""), ("a", "a/")),
    "+/": (("a/", "/"), ("a", "a/b", "//")),
    "/": (("/",), ("", "//", "a/")),
    "//": (("//",), ("/", "a//", "///")),
    "+/+/+": (("//", "a/b/c"), ("/", "///")),
    "a/b/#": (("a/b", "a/b/", "a/b/c/d"), ("a", "a/bc", "a/B")),
    "ä/+": (("ä/ö",), ("a\u0308/ö", "Ä/ö")),
}


@pytest.mark.parametrize("name", MATCHES)
@v5("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4", "MQTT-3.3.2-3")
def test_what_a_filter_matches(broker, name):
    yes, no = MATCHES[name]
    client, sender = broker.connected(), broker.connected()
    client.subscribe(f"{broker.root}/{name}", broker.topic("the end/of/it/all"))
    for topic in (*yes, *no):
        sender.publish(f"{broker.root}/{topic}", topic)
    sender.publish(broker.topic("the end/of/it/all"), b"end")
    got = []
    while not got or got[-1] != "end":
        got.append(client.message().payload.decode())
    assert got[:got.index("end")] == list(yes)


@pytest.mark.parametrize("name", ("#", "+/#", "+/+/+", "+/+/#"))
@v5("MQTT-4.7.1-1", "MQTT-4.7.1-2")
def test_a_filter_of_wildcards_only_matches_every_plain_topic(broker, name):
    client = broker.subscribed(name)
    broker.connected().publish(broker.topic("t"))
    while client.message().topic != broker.topic("t"):
        pass  # what other tests have published


@v5("MQTT-4.7.2-1")
def test_leading_wildcards_do_not_match_the_brokers_own_topics(broker):
    own = broker.subscribed("$SYS/#")
    assert own.message().topic.startswith("$SYS/")
    for client in (broker.subscribed("#"), broker.subscribed("+/broker/#", "+/broker/version", "+/+/version")):
        client.send(raw.pingreq())
        while True:
            packet = client.receive()
            if packet.type == raw.PINGRESP:
                break
            assert not packet.topic.startswith("$"), packet


@v5("MQTT-4.7.2-1", "MQTT-4.7.0-1")
def test_a_dollar_topic_reaches_its_own_filters_and_no_leading_wildcard(broker):
    """Also as a retained message."""
    topic = f"{broker.dollar_root}/a"
    exact, below = broker.subscribed(topic), broker.subscribed(f"{broker.dollar_root}/#")
    wild = broker.subscribed("#", "+/#", f"+/{topic.split('/', 1)[1]}", broker.topic("end"), qos=1)
    sender = broker.connected()
    sender.publish(topic, b"x", qos=1, retain=True)
    assert (exact.message().payload, below.message().payload) == (b"x", b"x")
    late = broker.subscribed("#", "+/#", f"+/{topic.split('/', 1)[1]}", broker.topic("end"), qos=1)
    sender.publish(broker.topic("end"), b"end", qos=1)
    for client in (wild, late):
        while (message := client.message()).topic != broker.topic("end"):
            assert not message.topic.startswith("$"), message


@v5("MQTT-4.7.3-3")
def test_a_topic_of_65535_bytes_passes(broker):
    topic = broker.topic("")
    topic += "x" * (65535 - len(topic))
    client = broker.connected()
    client.send(raw.publish(V5, topic, b"x", qos=1, packet_id=1))
    answer = client.receive()
    if answer is None or answer.type == raw.DISCONNECT:
        assert answer is None or answer.code in (TOPIC_INVALID, TOO_LARGE, MALFORMED, PROTOCOL)
        return "refused"
    assert answer.type == raw.PUBACK
    return answer.code


@pytest.mark.parametrize("levels", (1, 10, 50, 190))
@v5("MQTT-4.7.1-1", "MQTT-4.7.1-2")
def test_many_levels_match(broker, levels):
    client = broker.connected()
    client.subscribe(broker.topic("/".join("+" * levels)), broker.topic("x/" * (levels - 1) + "#"))
    broker.connected().publish(broker.topic("/".join("x" * levels)), b"x", qos=1)
    assert client.message().payload == b"x"


@v5("MQTT-4.7.3-4")
def test_nothing_is_normalised(broker):
    """Case, composition, blanks and dots are as they are; so are percent signs."""
    names = ["Straße", "STRASSE", "é", "e\u0301", "ﬁ", "fi", "a", "a ", ".", "..", "a/../b", "%2F", "K", "\u212a"]
    clients = {}
    for name in names:
        clients[name] = broker.connected()
        clients[name].subscribe(broker.topic(name))
    sender = broker.connected()
    for name in names:
        sender.publish(broker.topic(name), name)
    sender.ping()
    for name, client in clients.items():
        assert client.message().topic == broker.topic(name)
        broker.nothing_more(client)


@v5("MQTT-4.7.3-1")
def test_a_filter_or_topic_of_one_character_is_enough(broker):
    client = broker.connected()
    client.subscribe("/")
    sender = broker.connected()
    sender.publish("/", broker.root, qos=1)
    while client.message().payload != broker.root.encode():
        pass


@v5("MQTT-4.7.0-1", "MQTT-3.3.2-2")
def test_a_wildcard_in_a_topic_reaches_nobody(broker):
    subscriber = broker.subscribed()
    client = broker.connected()
    client.send(raw.publish(V5, broker.topic("a/+"), b"x", retain=True))
    refused(broker, client, MALFORMED, PROTOCOL, TOPIC_INVALID)
    assert broker.delivered(subscriber) == []
