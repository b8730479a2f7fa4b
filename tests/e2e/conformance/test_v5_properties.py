# SPDX-License-Identifier: Apache-2.0
"""MQTT 5.0, chapter 2.2.2: which property may be where, how often, and with which values."""
import pytest

import raw
from raw import V5
from v5 import (ALIAS_INVALID, BAD_METHOD, FORMAT_INVALID, MALFORMED, PROTOCOL, TOPIC_INVALID, UNSPECIFIED, block,
                connect_body, refuses, refuses_connect, session, v5)

CODES = (MALFORMED, PROTOCOL)
VALUES = {  # of each property, one that is legal in itself
    raw.PAYLOAD_FORMAT_INDICATOR: 1, raw.MESSAGE_EXPIRY_INTERVAL: 60, raw.CONTENT_TYPE: "t", raw.RESPONSE_TOPIC: "r",
    raw.CORRELATION_DATA: b"c", raw.SUBSCRIPTION_IDENTIFIER: 1, raw.SESSION_EXPIRY_INTERVAL: 60,
    raw.ASSIGNED_CLIENT_IDENTIFIER: "a", raw.SERVER_KEEP_ALIVE: 60, raw.AUTHENTICATION_METHOD: "m",
    raw.AUTHENTICATION_DATA: b"d", raw.REQUEST_PROBLEM_INFORMATION: 1, raw.WILL_DELAY_INTERVAL: 1,
    raw.REQUEST_RESPONSE_INFORMATION: 0, raw.RESPONSE_INFORMATION: "i", raw.SERVER_REFERENCE: "s",
    raw.REASON_STRING: "r", raw.RECEIVE_MAXIMUM: 10, raw.TOPIC_ALIAS_MAXIMUM: 10, raw.TOPIC_ALIAS: 1,
    raw.MAXIMUM_QOS: 1, raw.RETAIN_AVAILABLE: 1,
    raw.USER_PROPERTY: ("n", "v"), raw.MAXIMUM_PACKET_SIZE: 1000, raw.WILDCARD_SUBSCRIPTION_AVAILABLE: 1,
    raw.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 1, raw.SHARED_SUBSCRIPTION_AVAILABLE: 1,
}
NAMES = {getattr(raw, name): name.lower() for name in dir(raw) if isinstance(getattr(raw, name), int) and name.isupper()
         and getattr(raw, name) in VALUES and name not in raw.TYPE_NAMES.values() and not name.startswith("V")}

OF_CONNECT = (raw.SESSION_EXPIRY_INTERVAL, raw.RECEIVE_MAXIMUM, raw.MAXIMUM_PACKET_SIZE, raw.TOPIC_ALIAS_MAXIMUM,
              raw.REQUEST_RESPONSE_INFORMATION, raw.REQUEST_PROBLEM_INFORMATION, raw.USER_PROPERTY,
              raw.AUTHENTICATION_METHOD, raw.AUTHENTICATION_DATA)
OF_WILL = (raw.WILL_DELAY_INTERVAL, raw.PAYLOAD_FORMAT_INDICATOR, raw.MESSAGE_EXPIRY_INTERVAL, raw.CONTENT_TYPE,
           raw.RESPONSE_TOPIC, raw.CORRELATION_DATA, raw.USER_PROPERTY)
OF_PUBLISH = (raw.PAYLOAD_FORMAT_INDICATOR, raw.MESSAGE_EXPIRY_INTERVAL, raw.TOPIC_ALIAS, raw.RESPONSE_TOPIC,
              raw.CORRELATION_DATA, raw.USER_PROPERTY, raw.CONTENT_TYPE)
PACKETS = {  # name: (what it may have, how it is built)
    "PUBLISH": (OF_PUBLISH, lambda props: raw.publish(V5, "a", props=props)),
    "PUBACK": ((raw.REASON_STRING, raw.USER_PROPERTY), lambda props: raw.ack(raw.PUBACK, V5, 1, 0, props)),
    "PUBREC": ((raw.REASON_STRING, raw.USER_PROPERTY), lambda props: raw.ack(raw.PUBREC, V5, 1, 0, props)),
    "PUBREL": ((raw.REASON_STRING, raw.USER_PROPERTY), lambda props: raw.ack(raw.PUBREL, V5, 1, 0, props)),
    "PUBCOMP": ((raw.REASON_STRING, raw.USER_PROPERTY), lambda props: raw.ack(raw.PUBCOMP, V5, 1, 0, props)),
    "SUBSCRIBE": ((raw.SUBSCRIPTION_IDENTIFIER, raw.USER_PROPERTY),
                  lambda props: raw.subscribe(V5, 1, [("a", 0)], props)),
    "UNSUBSCRIBE": ((raw.USER_PROPERTY,), lambda props: raw.unsubscribe(V5, 1, ["a"], props)),
    "DISCONNECT": ((raw.SESSION_EXPIRY_INTERVAL, raw.REASON_STRING, raw.USER_PROPERTY),
                   lambda props: raw.disconnect(V5, 0, props)),
}


def cases(table, wrong):
    """(packet, property) pairs: of those that a packet may have, or may not."""
    pairs = [(name, identifier) for name, (allowed, _) in table.items() for identifier in VALUES
             if (identifier in allowed) != wrong]
    return pytest.mark.parametrize("name, identifier", pairs,
                                   ids=[f"{name}-{NAMES[identifier]}" for name, identifier in pairs])


def each(*identifiers):
    return pytest.mark.parametrize("identifier", identifiers, ids=[NAMES[identifier] for identifier in identifiers])


# ---- where ----

@each(*(identifier for identifier in VALUES if identifier not in OF_CONNECT))
@v5("MQTT-4.13.1-1", "MQTT-3.1.4-1")
def test_a_property_that_connect_does_not_have_is_refused(broker, identifier):
    refuses_connect(broker, raw.connect(V5, broker.name(), props=[(identifier, VALUES[identifier])]), *CODES)


@each(*(identifier for identifier in VALUES if identifier not in OF_WILL))
@v5("MQTT-4.13.1-1", "MQTT-3.1.4-1")
def test_a_property_that_a_will_does_not_have_is_refused(broker, identifier):
    will = raw.Will(broker.topic("will"), properties=((identifier, VALUES[identifier]),))
    refuses_connect(broker, raw.connect(V5, broker.name(), will=will), *CODES)


@cases({name: PACKETS[name] for name in ("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "DISCONNECT")}, wrong=True)
@v5("MQTT-4.13.1-1", "MQTT-3.3.4-6")
def test_a_property_that_a_packet_does_not_have_is_refused(broker, name, identifier):
    refuses(broker, PACKETS[name][1]([(identifier, VALUES[identifier])]), *CODES)


@pytest.mark.parametrize("identifier", (raw.CONTENT_TYPE, raw.SESSION_EXPIRY_INTERVAL, raw.TOPIC_ALIAS,
                                        raw.SUBSCRIPTION_IDENTIFIER),
                         ids=NAMES.get)
@pytest.mark.parametrize("name", ("PUBACK", "PUBREC", "PUBREL", "PUBCOMP"))
@v5("MQTT-4.13.1-1")
def test_a_property_that_an_acknowledgement_does_not_have_is_refused(broker, name, identifier):
    refuses(broker, PACKETS[name][1]([(identifier, VALUES[identifier])]), *CODES)


@pytest.mark.parametrize("name", PACKETS)
@v5("MQTT-4.13.1-1")
def test_an_unknown_property_is_refused(broker, name):
    packet = PACKETS[name][1]([(raw.USER_PROPERTY, ("n", "v"))])
    refuses(broker, packet.replace(b"\x26\0\1n", b"\x7e\0\1n"), *CODES)


@each(*OF_CONNECT[:-2])
@v5("MQTT-3.1.4-5")
def test_a_property_of_connect_is_taken(broker, identifier):
    broker.connected(props=[(identifier, VALUES[identifier])]).ping()


@each(*OF_WILL)
@v5("MQTT-3.1.4-5")
def test_a_property_of_a_will_is_taken(broker, identifier):
    broker.connected(will=raw.Will(broker.topic("will"), properties=((identifier, VALUES[identifier]),))).ping()


@each(*OF_PUBLISH)
@v5("MQTT-3.3.4-1")
def test_a_property_of_publish_is_taken(broker, identifier):
    broker.connected().publish(broker.topic("t"), qos=1, props=[(identifier, VALUES[identifier])])


@v5("MQTT-3.8.4-1", "MQTT-3.10.4-4")
def test_user_properties_of_requests_are_taken(broker):
    client = broker.connected()
    pair = [(raw.USER_PROPERTY, ("n", "v"))]
    client.subscribe(broker.topic("t"), props=pair + pair)
    client.send(raw.unsubscribe(V5, 77, [broker.topic("t")], pair))
    client.expect(raw.UNSUBACK, packet_id=77)


# ---- how often ----

@each(*(identifier for identifier in OF_CONNECT if identifier != raw.USER_PROPERTY))
@v5("MQTT-4.13.1-1", "MQTT-3.1.4-1")
def test_a_property_of_connect_twice_is_refused(broker, identifier):
    props = [(identifier, VALUES[identifier])] * 2
    if identifier == raw.AUTHENTICATION_DATA:
        props.append((raw.AUTHENTICATION_METHOD, "m"))
    refuses_connect(broker, raw.connect(V5, broker.name(), props=props), *CODES)


@each(*(identifier for identifier in OF_WILL if identifier != raw.USER_PROPERTY))
@v5("MQTT-4.13.1-1", "MQTT-3.1.4-1")
def test_a_property_of_a_will_twice_is_refused(broker, identifier):
    will = raw.Will(broker.topic("will"), properties=((identifier, VALUES[identifier]),) * 2)
    refuses_connect(broker, raw.connect(V5, broker.name(), will=will), *CODES)


TWICE = [("PUBLISH", identifier) for identifier in OF_PUBLISH if identifier != raw.USER_PROPERTY]
TWICE += [("SUBSCRIBE", raw.SUBSCRIPTION_IDENTIFIER), ("DISCONNECT", raw.SESSION_EXPIRY_INTERVAL)]
TWICE += [(name, raw.REASON_STRING) for name in ("DISCONNECT", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP")]


@pytest.mark.parametrize("name, identifier", TWICE, ids=[f"{name}-{NAMES[identifier]}" for name, identifier in TWICE])
@v5("MQTT-4.13.1-1")
def test_a_property_twice_is_refused(broker, name, identifier):
    client = broker.connected(**session())
    client.send(PACKETS[name][1]([(identifier, VALUES[identifier])] * 2))
    said = broker.expect_refused(client)
    assert not said or said[0] in (("DISCONNECT", MALFORMED), ("DISCONNECT", PROTOCOL))


# ---- values ----

WRONG_IN_CONNECT = {
    "receive maximum 0": ((raw.RECEIVE_MAXIMUM, 0),), "maximum packet size 0": ((raw.MAXIMUM_PACKET_SIZE, 0),),
    "request response information 2": ((raw.REQUEST_RESPONSE_INFORMATION, 2),),
    "request problem information 2": ((raw.REQUEST_PROBLEM_INFORMATION, 2),),
    "request problem information 255": ((raw.REQUEST_PROBLEM_INFORMATION, 255),),
    "authentication data without a method": ((raw.AUTHENTICATION_DATA, b"d"),),
}


@pytest.mark.parametrize("name", WRONG_IN_CONNECT)
@v5("MQTT-4.13.1-1", "MQTT-3.1.4-1")
def test_a_wrong_value_in_connect_is_refused(broker, name):
    refuses_connect(broker, raw.connect(V5, broker.name(), props=WRONG_IN_CONNECT[name]), *CODES)


WRONG_IN_WILL = {
    "payload format indicator 2": ((raw.PAYLOAD_FORMAT_INDICATOR, 2),),
    "response topic with #": ((raw.RESPONSE_TOPIC, "a/#"),),
    "response topic with +": ((raw.RESPONSE_TOPIC, "a/+/b"),), "empty response topic": ((raw.RESPONSE_TOPIC, ""),),
}


@pytest.mark.parametrize("name", WRONG_IN_WILL)
@v5("MQTT-3.3.2-14", "MQTT-4.13.1-1", "MQTT-4.7.3-1")
def test_a_wrong_value_in_a_will_is_refused(broker, name):
    will = raw.Will(broker.topic("will"), properties=WRONG_IN_WILL[name])
    refuses_connect(broker, raw.connect(V5, broker.name(), will=will), *CODES, TOPIC_INVALID, FORMAT_INVALID,
                    UNSPECIFIED)


WRONG_IN_PUBLISH = {
    "payload format indicator 2": ((raw.PAYLOAD_FORMAT_INDICATOR, 2),),
    "response topic with #": ((raw.RESPONSE_TOPIC, "a/#"),),
    "response topic with +": ((raw.RESPONSE_TOPIC, "+"),), "empty response topic": ((raw.RESPONSE_TOPIC, ""),),
    "topic alias 0": ((raw.TOPIC_ALIAS, 0),),
}


@pytest.mark.parametrize("name", WRONG_IN_PUBLISH)
@v5("MQTT-3.3.2-14", "MQTT-3.3.2-8", "MQTT-4.13.1-1", "MQTT-4.7.3-1")
def test_a_wrong_value_in_publish_is_refused(broker, name):
    refuses(broker, raw.publish(V5, "a", props=WRONG_IN_PUBLISH[name]), *CODES, TOPIC_INVALID, FORMAT_INVALID,
            ALIAS_INVALID)


@v5("MQTT-4.13.1-1")
def test_subscription_identifier_0_is_refused(broker):
    refuses(broker, raw.subscribe(V5, 1, [("a", 0)], [(raw.SUBSCRIPTION_IDENTIFIER, 0)]), *CODES)


TORN = {
    "number cut": block(b"\x11\0\0"), "string cut": block(b"\x26\0\1n\0\5v"), "string length cut": block(b"\x15\0"),
    "identifier alone": block(b"\x21"), "length beyond the packet": b"\x7f\x21\0\1", "pair of one": block(b"\x26\0\1n"),
}


@pytest.mark.parametrize("name", TORN)
@v5("MQTT-3.1.4-1", "MQTT-4.13.1-1")
def test_torn_properties_of_connect_are_refused(broker, name):
    refuses_connect(broker, connect_body(raw.string(broker.name()), properties=TORN[name]), *CODES, BAD_METHOD)


@v5("MQTT-2.2.2-1")
def test_the_properties_order_does_not_matter(broker):
    props = [(identifier, VALUES[identifier]) for identifier in OF_CONNECT[:7]]
    for order in (props, props[::-1], props[3:] + props[:3]):
        broker.connected(props=order).disconnect()


@v5()
def test_empty_and_long_values_pass(broker):
    subscriber = broker.subscribed()
    props = [(raw.CONTENT_TYPE, ""), (raw.CORRELATION_DATA, b""), (raw.USER_PROPERTY, ("", "")),
             (raw.USER_PROPERTY, ("n" * 300, "v" * 60000))]
    broker.connected().publish(broker.topic("t"), props=props)
    assert sorted(subscriber.message().properties) == sorted(props)
