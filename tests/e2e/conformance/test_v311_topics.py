# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1, section 4.7: what topic filters match."""
import pytest

from harness import statement
from raw import V31, V311

TOPICS = ("a", "b", "a/b", "a/c", "a/b/c", "a/b/c/d", "b/b", "/", "/a", "a/", "//", "a//b", "A", "A/B", "aa", "a/bb",
          "a b", "\u00e9", "e\u0301", "\ufeffa", "a/$b", "finance", "/finance")

# Below the test's root: filter -> the topics of TOPICS that it matches.
MATCHES = {
    "a": ("a",),
    "A": ("A",),
    "/": ("/",),
    "//": ("//",),
    "/a": ("/a",),
    "a/": ("a/",),
    "a//b": ("a//b",),
    "a b": ("a b",),
    "\u00e9": ("\u00e9",),
    "e\u0301": ("e\u0301",),
    "\ufeffa": ("\ufeffa",),
    "+": ("a", "b", "A", "aa", "a b", "\u00e9", "e\u0301", "\ufeffa", "finance"),
    "/+": ("/", "/a", "/finance"),
    "+/": ("/", "a/"),
    "+/+": ("a/b", "a/c", "b/b", "/", "/a", "a/", "A/B", "a/bb", "a/$b", "/finance"),
    "a/+": ("a/b", "a/c", "a/", "a/bb", "a/$b"),
    "+/b": ("a/b", "b/b"),
    "a/+/c": ("a/b/c",),
    "+/+/+": ("a/b/c", "//", "a//b"),
    "a/+/+/d": ("a/b/c/d",),
    "a/+/b": ("a//b",),
    "+//+": ("//", "a//b"),
    "a/#": ("a", "a/b", "a/c", "a/b/c", "a/b/c/d", "a/", "a//b", "a/bb", "a/$b"),
    "a/b/#": ("a/b", "a/b/c", "a/b/c/d"),
    "+/#": TOPICS,
    "/#": ("/", "/a", "//", "/finance"),
    "//#": ("/", "//"),
    "a/+/#": ("a/b", "a/c", "a/b/c", "a/b/c/d", "a/", "a//b", "a/bb", "a/$b"),
    "+/b/#": ("a/b", "a/b/c", "a/b/c/d", "b/b"),
    "#": TOPICS,
    "nothing/#": (),
    "a/b/c/d/+": (),
}


@pytest.mark.parametrize("text", MATCHES, ids=ascii)
@statement("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-4", "MQTT-3.3.2-3", "MQTT-3.8.3-2", "MQTT-4.5.0-1",
           "MQTT-1.5.3-3")
def test_a_filter_matches_what_the_specification_says(broker, text):
    subscriber = broker.subscribed(broker.topic(text), qos=1)
    subscriber.subscribe(broker.topic("marker"))
    publisher = broker.connected()
    for topic in TOPICS:
        publisher.publish(broker.topic(topic), b"x")
    publisher.ping()
    got = [message.topic.removeprefix(broker.topic("")) for message in broker.delivered(subscriber)]
    assert got == [topic for topic in TOPICS if topic in MATCHES[text]]


@pytest.mark.parametrize("text", MATCHES, ids=ascii)
@statement("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-3.3.1-6", version=(V31, V311))
def test_a_filter_finds_the_retained_messages_that_it_matches(broker, text):
    publisher = broker.connected()
    for topic in TOPICS:
        publisher.publish(broker.topic(topic), b"x", retain=True)
    publisher.ping()
    subscriber = broker.subscribed(broker.topic(text), broker.topic("marker"))
    got = [message.topic.removeprefix(broker.topic("")) for message in broker.delivered(subscriber)]
    assert sorted(got) == sorted(topic for topic in TOPICS if topic in MATCHES[text])


@statement("MQTT-4.7.3-3")
def test_a_filter_of_65535_bytes_matches(broker):
    topic = broker.topic("x" * (65535 - len(broker.topic(""))))
    client = broker.subscribed(topic)
    client.publish(topic, b"x")
    assert client.message().topic == topic
    client.unsubscribe(topic)


@statement("MQTT-4.7.3-3")
def test_a_wildcard_filter_matches_a_topic_of_65535_bytes(broker):
    topic = broker.topic("x" * (65535 - len(broker.topic(""))))
    client = broker.subscribed(f"{broker.root}/+")
    client.publish(topic, b"x")
    assert client.message().topic == topic


@pytest.mark.parametrize("text", ("#", "+/#", "+/broker/#", "+/broker/version", "+/+/+"))
@statement("MQTT-4.7.2-1", version=(V31, V311))
def test_a_leading_wildcard_brings_nothing_of_the_broker(broker, text):
    """Mosquitto keeps retained messages below $SYS/broker."""
    client = broker.subscribed(text, broker.topic("marker"))
    broker.connected().publish(broker.topic("other/level/x"), b"x", qos=1)
    topics = [message.topic for message in broker.delivered(client)]
    assert [topic for topic in topics if topic.startswith("$")] == []


@pytest.mark.parametrize("retain", (False, True), ids=("not retained", "retained"))
@statement("MQTT-4.7.2-1", version=(V31, V311))
def test_a_topic_that_begins_with_a_dollar_is_matched_by_name_only(broker, retain):
    """Some brokers keep such topics to themselves: then nobody gets the message."""
    topic = f"{broker.dollar_root}/a"
    filters = ("#", "+/#", f"+/{broker.root.split('/', 1)[1]}/a", "+/+/+", "+/+/a")
    publisher = broker.connected()
    if retain:
        publisher.publish(topic, b"x", qos=1, retain=True)
    by_wildcard = [broker.subscribed(text, broker.topic("marker")) for text in filters]
    by_name = broker.subscribed(f"{broker.dollar_root}/+", broker.topic("marker"))
    if not retain:
        publisher.publish(topic, b"x", qos=1)
    for subscriber in by_wildcard:
        topics = [message.topic for message in broker.delivered(subscriber)]
        assert [name for name in topics if name.startswith("$")] == []
    return len(broker.delivered(by_name))


@pytest.mark.parametrize("text", ("$SYS/#", "$SYS/broker/+", "$SYS/broker/version", "$SYS/+/version"))
@statement(version=(V31, V311))
def test_what_is_asked_for_by_name_comes_from_the_broker(broker, text):
    """Of Mosquitto: [MQTT-4.7.2-1] forbids wildcards at the beginning only."""
    client = broker.subscribed(text, broker.topic("marker"))
    topics = {message.topic for message in broker.delivered(client)}
    assert "$SYS/broker/version" in topics
    assert all(topic.startswith("$SYS/") for topic in topics)


@statement("MQTT-4.7.2-1")
def test_a_dollar_inside_a_topic_is_a_character_as_any_other(broker):
    client = broker.subscribed(f"{broker.root}/+/b", f"{broker.root}/a/#")
    for name in ("$a/b", "a/$b"):
        broker.connected().publish(broker.topic(name), b"x", qos=1)
        assert client.message().topic == broker.topic(name)
