# SPDX-License-Identifier: Apache-2.0
"""Values from the outside in topic patterns: literal, safe, and never a way around a deny."""
import pytest

import raw
from audit import get
from played import nothing_came, played_world, session

pytestmark = pytest.mark.brokerless
VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
BY_NAME = """\
version: 1
policy: values
identity:
  - broker: {id: username}
rules:
  - rule: own
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/<id>/#]
"""
DENY = """\
version: 1
policy: values
identity:
  - anonymous: {id: guest}
rules:
  - rule: everything
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
  - rule: not-its-own
    who: everyone
    deny: [publish, receive]
    topics: [log/<username>/#]
"""
UNSAFE = ("", "a/b", "/", "+", "a+b", "#", "a#", "$SYS", "$", "a\x01", "a\nb", "a\x7f", "a\u0085", "x" * 1025)


@pytest.fixture(scope="module")
def by_name(make_shared_world):
    return played_world(make_shared_world, BY_NAME)


@pytest.fixture(scope="module")
def deny(make_shared_world):
    return played_world(make_shared_world, DENY)


def refused(world, client, client_id, **options):
    client.connect(client_id, code=0x87, **options)
    client.expect_closed()
    return world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id)


@VERSIONS
@pytest.mark.parametrize("value", UNSAFE, ids=lambda value: repr(value[:12]))
def test_an_unsafe_value_refuses_connect_and_names_the_rule(by_name, version, value):
    event = refused(by_name, by_name.client(version), by_name.name(), username=value, password="x")
    assert get(event, "reason") == "identity_unsafe"
    if len(value) <= 1024:  # a longer identity is none at all, whatever the rules say
        assert (get(event, "rule"), get(event, "line")) == ("own", by_name.line("rule: own"))


@VERSIONS
@pytest.mark.parametrize("value", (None,) + UNSAFE, ids=lambda value: repr(value)[:14])
def test_a_deny_does_not_vanish_with_its_value(deny, version, value):
    """CONNECT is refused: a rule that can't be filled in must not count as one that does not match."""
    options = {} if value is None else {"username": value}
    event = refused(deny, deny.client(version), deny.name(), **options)
    assert get(event, "reason") == ("identity_missing" if value is None else "identity_unsafe")
    assert (get(event, "rule"), get(event, "line")) == ("not-its-own", deny.line("rule: not-its-own"))


@VERSIONS
def test_a_deny_with_a_value_denies_that_value_alone(deny, version):
    client, broker = session(deny, version, username="eva")
    client.publish("log/eva/1", b"x", qos=1, code=0x87)
    client.send(raw.publish(version, "log/adam/1", b"x"))
    assert broker.expect(raw.PUBLISH).topic == "log/adam/1"


@VERSIONS
@pytest.mark.parametrize("value, others", (
    ("a*b", ("axb", "ab", "a", "*")), ("*", ("a", "")), (".*", ("ab", "")), ("?", ("a",)), ("<id>", ("guest", "id")),
    ("A", ("a",)), ("a b", ("a", "ab")), ("a$", ("a",)), ("\u00e9", ("e\u0301", "\u00c9"))))
def test_a_value_is_literal(by_name, version, value, others):
    client, broker = session(by_name, version, username=value, password="x")
    client.send(raw.publish(version, f"dt/{value}/1", b"x"))
    assert broker.expect(raw.PUBLISH).topic == f"dt/{value}/1"
    for other in others:
        client.publish(f"dt/{other}/1", b"x", qos=1, code=0x87)
        client.subscribe(f"dt/{other}/#", codes=[0x87])
    client.subscribe("dt/+/#", codes=[0x87])
    nothing_came(broker, client)
