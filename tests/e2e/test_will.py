# SPDX-License-Identifier: Apache-2.0
"""Wills: judged at CONNECT as a publish, fired when the client is lost, not after DISCONNECT."""
import pytest

import raw
from audit import get

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: wills
identity:
  - anonymous: {id: guest}
rules:
  - rule: status
    who: everyone
    allow: publish
    topics: [st/<client_id>]
    if: {max_qos: 1, retain: false, max_size: 1KiB}
  - rule: never
    who: everyone
    deny: publish
    topics: [st/forbidden]
"""


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world(POLICY)


@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("will, reason, rule", (
    (raw.Will("elsewhere", b"x"), "no_allow", "default deny"),
    (raw.Will("st/other", b"x"), "no_allow", "default deny"),
    (raw.Will("st/forbidden", b"x"), "denied_by_rule", "never"),
    (raw.Will("$SYS/x", b"x"), "no_allow", "default deny"),
), ids=("elsewhere", "other", "denied", "system"))
def test_a_denied_will_refuses_connect(world, version, will, reason, rule):
    client_id = world.name()
    client = world.client(version)
    client.connect(client_id, will=will, code=0x87 if version == raw.V5 else 5)
    client.expect_closed()
    event = world.audit.wait_for(action="mqtt-will-denied", client_id=client_id)
    assert (get(event, "topic"), get(event, "rule")) == (will.topic, rule)
    assert get(event, "reason") in (reason, "not_privileged")
    if rule == "never":
        assert get(event, "line") == world.line("rule: never")
    with world.direct():  # the broker has dealt with what came before
        assert not world.broker.knows(client_id)


@VERSIONS
@pytest.mark.parametrize("change, nearest", (({"qos": 2}, "max_qos"), ({"retain": True}, "retain"),
                                            ({"payload": b"x" * 1025}, "max_size")), ids=("qos", "retain", "size"))
def test_a_will_is_held_to_the_conditions(world, version, change, nearest):
    client_id = world.name()
    will = raw.Will(**{"topic": f"st/{client_id}", "payload": b"x", **change})
    world.client(version).connect(client_id, will=will, code=0x87 if version == raw.V5 else 5)
    event = world.audit.wait_for(action="mqtt-will-denied", client_id=client_id)
    assert f"status:{nearest}" in str(event)


@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("how", ("close", "reset", "keep alive"))
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_an_allowed_will_fires_when_the_client_is_lost(world, version, how, tls):
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    will = raw.Will(f"st/{client_id}", b"gone", 1)
    client = world.connected(client_id, version, tls=tls, will=will, keep_alive=1 if how == "keep alive" else 60)
    if how == "close":
        client.abort()
    elif how == "reset":
        client.reset()
    message = observer.message()
    assert (message.topic, message.payload) == (f"st/{client_id}", b"gone")


@VERSIONS
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_no_will_after_disconnect(world, version, tls):
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    client = world.connected(client_id, version, tls=tls, will=raw.Will(f"st/{client_id}", b"gone"))
    client.send(raw.disconnect(version))
    client.abort()
    world.audit.wait_for(action="mqtt-disconnect", client_id=client_id)
    world.broker.wait_gone(client_id)
    assert world.arrived(observer) == []


@pytest.mark.needs("v5.0")
def test_disconnect_with_will_message_fires_it(world):
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    client = world.connected(client_id, will=raw.Will(f"st/{client_id}", b"asked for"))
    client.send(raw.disconnect(raw.V5, 0x04))
    assert observer.message().payload == b"asked for"


@pytest.mark.needs("v5.0")
def test_will_properties_arrive(world):
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    properties = ((raw.CONTENT_TYPE, "text/plain"), (raw.USER_PROPERTY, ("a", "b")), (raw.CORRELATION_DATA, b"\1\2"))
    client = world.connected(client_id, will=raw.Will(f"st/{client_id}", b"gone", 1, properties=properties))
    client.reset()
    message = observer.message()
    assert sorted(message.properties, key=repr) == sorted(properties, key=repr)


def test_a_protocol_error_of_the_client_does_not_silence_its_will(world):
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    client = world.connected(client_id, will=raw.Will(f"st/{client_id}", b"gone"))
    client.send(b"\xf0\xff\xff\xff\xff")
    assert observer.message().payload == b"gone"


def test_a_response_topic_in_a_will_is_judged(world):
    client_id = world.name()
    will = raw.Will(f"st/{client_id}", b"x", properties=((raw.RESPONSE_TOPIC, "elsewhere"),))
    world.client(raw.V5).connect(client_id, will=will, code=0x87)
    assert get(world.audit.wait_for(client_id=client_id, reason="response_topic_denied"), "action") == "mqtt-will-denied"


def test_a_client_that_is_kicked_for_a_violation_leaves_its_allowed_will(make_world):
    world = make_world(POLICY + "on_deny: {publish: disconnect}\n")
    client_id = world.name()
    observer = world.observer(f"st/{client_id}")
    client = world.connected(client_id, will=raw.Will(f"st/{client_id}", b"kicked"))
    client.send(raw.publish(client.version, "elsewhere", b"x"))
    client.expect_disconnect(0x87)
    assert observer.message().payload == b"kicked"
