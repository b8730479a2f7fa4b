# SPDX-License-Identifier: Apache-2.0
"""Signatures at delivery: `forward: resign` gives each receiver one under its own key, and `at: receive` lets through
only what is signed, however it came to the broker."""
import dataclasses

import pytest

import raw
from audit import get
from processes import wait_until
from signatures import (EGRESS, ENVELOPE, EVA, MASTER, OPERATOR, PLC7, PROPERTY, PROPS, QOS, REFUSED, RETAIN, VERSIONS,
                        WILL, Key, carried, carrier_of, now, payloads, policy, property_text, publish, settled, signed,
                        signed_world, user, user_properties, versions, will, write_keys)
from test_reload import reload

RECEIVERS = Key("r25a", alg=6)  # the master of the receivers' keys, with another algorithm than the devices'
RESIGN = "forward: resign, receiver_key: r25a"
CARRIERS = pytest.mark.parametrize("version, carrier", ((raw.V311, ENVELOPE), (raw.V5, ENVELOPE), (raw.V5, PROPERTY)),
                                   ids=("v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))


@pytest.fixture(scope="module")
def world(make_shared_world):
    return signed_world(make_shared_world, signed(RESIGN, name="resigned", keys="m25a, ops-1"),
                        signed("at: receive", name="delivered", topics="end/#"),
                        keys=(MASTER, OPERATOR, RECEIVERS))


def for_receiver(message, name, key=RECEIVERS, generation=None):
    """The message as mqward signs it for a receiver: the origin's sub, t and nonce under the receiver's key."""
    kid = key.name(generation)
    secret = dataclasses.replace(key, kid=kid).receivers(name)
    return dataclasses.replace(message, key=secret, kid=kid, alg=key.alg, flags=message.flags | EGRESS)


def expect_resigned(received, message, version, name, **options):
    """The receiver's own signature, in the carrier of its version, and nothing of the origin's."""
    wanted = for_receiver(message, name, **options)
    payload, props = carried(wanted, carrier_of(version))
    assert received.payload == payload
    assert user_properties(received) == [value for key, value in props if key == raw.USER_PROPERTY]
    assert (received.topic, wanted.kid in str(wanted.header())) == (message.topic, True)


def filtered(world, topic, reason, **fields):
    return world.audit.wait_for(action="mqtt-delivery-filtered", topic=topic, reason=reason, **fields)


# ---- resign ----

@CARRIERS
@QOS
def test_each_receiver_gets_a_signature_under_its_own_key(world, version, carrier, qos):
    topic = f"dt/{world.name()}"
    receivers = [(name, user(world, name, other)) for name in ("eva", "adam") for other in versions(world)]
    for _, receiver in receivers:
        receiver.subscribe(topic, qos=2)
    message = PLC7.sign(topic, bytes(range(256)))
    publish(user(world, version=version), message, qos, carrier)
    for name, receiver in receivers:
        received = receiver.message()
        assert received.qos == world.qos(qos)
        expect_resigned(received, message, receiver.version, name)


@pytest.mark.core
@VERSIONS
def test_the_key_of_another_receiver_verifies_nothing(world, version):
    topic = f"dt/{world.name()}"
    eva, adam = user(world, "eva", version), user(world, "adam", version)
    for client in (eva, adam):
        client.subscribe(topic)
    message = PLC7.sign(topic)
    publish(user(world, version=version), message)
    first, second = eva.message(), adam.message()
    assert (first.payload, first.properties) != (second.payload, second.properties)
    assert for_receiver(message, "eva").tag() != for_receiver(message, "adam").tag()


@pytest.mark.needs("v5.0")
def test_all_other_properties_are_delivered(world):
    topic = f"dt/{world.name()}"
    receiver = user(world, "eva", raw.V5)
    receiver.subscribe(topic, qos=1)
    for carrier in (ENVELOPE, PROPERTY):
        message = EVA.sign(topic, flags=PROPS, content_type="text/plain", correlation_data=b"\x00\xff")
        publish(user(world, "eva", raw.V5), message, 1, carrier, props=[(raw.USER_PROPERTY, ("b", "2")),
                                                                       (raw.USER_PROPERTY, ("a", "1"))])
        received = receiver.message()
        wanted = property_text(for_receiver(message, "eva").header())
        assert received.payload == message.payload
        assert sorted(user_properties(received)) == [("a", "1"), ("b", "2"), ("mps1", wanted)]
        assert [pair for pair in user_properties(received) if pair[0] != "mps1"] == [("b", "2"), ("a", "1")]
        assert (received.prop(raw.CONTENT_TYPE), received.prop(raw.CORRELATION_DATA)) == ("text/plain", b"\x00\xff")


@pytest.mark.needs("v5.0")
def test_what_covers_properties_of_5_0_is_not_delivered_without_them(world):
    """A subscriber of 3.1.1 could not verify it, and neither can mqward for it."""
    topic = f"dt/{world.name()}"
    old, new = user(world, "eva", raw.V311), user(world, "eva", raw.V5)
    for client in (old, new):
        client.subscribe(topic, qos=1)
    message = PLC7.sign(topic, flags=PROPS, content_type="text/plain")
    publish(user(world, version=raw.V5), message)
    expect_resigned(new.message(), message, raw.V5, "eva")
    event = filtered(world, topic, "sig_invalid", user="eva")
    assert get(event, "rule") == "resigned"
    old.ping()


@CARRIERS
def test_a_retained_message_is_signed_for_whoever_comes(world, version, carrier):
    topic = f"dt/{world.name()}"
    sender = user(world, version=version)
    message = PLC7.sign(topic, flags=RETAIN)
    publish(sender, message, 1, carrier)
    for name, other in zip(("eva", "adam"), versions(world)):
        with user(world, name, other) as receiver:
            receiver.subscribe(topic)
            received = receiver.message()
            assert received.retain
            expect_resigned(received, message, other, name)
    publish(sender, PLC7.sign(topic, b"", flags=RETAIN), 1, carrier)
    late = user(world, "eva")
    late.subscribe(topic)
    late.ping()


@VERSIONS
def test_a_will_is_signed_for_its_receivers(world, version):
    topic = f"dt/{world.name()}"
    receivers = [user(world, "eva", other) for other in versions(world)]
    for receiver in receivers:
        receiver.subscribe(topic)
    message = PLC7.sign(topic, b"gone", flags=WILL)
    user(world, version=version, will=will(version, message)).reset()
    for receiver in receivers:
        expect_resigned(receiver.message(), message, receiver.version, "eva")


@pytest.mark.needs("v5.0")
def test_what_grows_above_the_receivers_limit_is_not_delivered(world):
    """Maximum Packet Size: the message goes to whoever takes it, and is acknowledged in place of who does not."""
    topic = f"dt/{world.name()}"
    narrow = user(world, "adam", raw.V5, props=((raw.MAXIMUM_PACKET_SIZE, 1000), (raw.RECEIVE_MAXIMUM, 1)))
    wide = user(world, "eva", raw.V5)
    for client in (narrow, wide):
        client.subscribe(topic, qos=1)
    sender = user(world, version=raw.V311)
    # As an envelope of 977 bytes the broker has it, as a payload of 900 with a property it is too large.
    messages = [PLC7.sign(topic, b"x" * size) for size in (600, 845, 900, 5)]
    for message in messages:
        publish(sender, message)
    for message in messages:
        expect_resigned(wide.message(), message, raw.V5, "eva")
    for message in (messages[0], messages[1], messages[3]):
        received = narrow.message()
        assert len(received.raw) <= 1000
        expect_resigned(received, message, raw.V5, "adam")
    event = filtered(world, topic, "packet_too_large", user="adam")
    assert get(event, "disposition") == "dropped"
    assert len(world.audit.all(action="mqtt-delivery-filtered", topic=topic)) == 1


@VERSIONS
def test_what_comes_into_the_broker_behind_mqward_is_not_signed(world, version):
    topic = f"dt/{world.name()}"
    receiver = user(world, "eva", version)
    receiver.subscribe(topic, qos=1)
    forged = PLC7.sign(topic, key=bytes(32))
    with world.direct(version=version) as behind:
        behind.publish(topic, b"unsigned", 1)
        behind.publish(topic, carried(forged, ENVELOPE)[0], 1)
        behind.publish(topic, carried(for_receiver(PLC7.sign(topic), "eva"), ENVELOPE)[0], 1)
    good = PLC7.sign(topic, b"good")
    publish(user(world, version=version), good)
    expect_resigned(receiver.message(), good, version, "eva")
    for reason in ("sig_missing", "sig_invalid"):
        event = filtered(world, topic, reason)
        assert (get(event, "rule"), get(event, "user")) == ("resigned", "eva")
        assert get(event, "line") == world.line("check: resigned")


def test_a_name_that_no_key_can_have_gets_nothing(make_world):
    """Whose identity does not fit into a header, for him there is no key."""
    world = signed_world(make_world, signed(RESIGN), keys=(MASTER, OPERATOR, RECEIVERS),
                         text=policy(signed(RESIGN)).replace("id: guest", "id: \"a b\""))
    receiver = world.connected()
    receiver.subscribe("dt/#")
    publish(user(world), PLC7.sign())
    assert get(filtered(world, "dt/x", "sig_identity"), "user") == "a b"
    receiver.ping()


# ---- old messages, and other keys since ----

@VERSIONS
def test_age_does_not_count_at_delivery(make_world, version):
    """Retained and queued messages are delivered when they are older than max_age; as publishes they are not taken."""
    world = signed_world(make_world, signed(RESIGN + ", max_age: 1h"), keys=(MASTER, OPERATOR, RECEIVERS))
    kept = {"clean": False, "props": ((raw.SESSION_EXPIRY_INTERVAL, 600),), "client_id": "reader"}
    reader = user(world, "eva", version, **kept)
    reader.subscribe("dt/#", qos=1)
    reader.disconnect()
    retained, queued = PLC7.sign("dt/r", b"retained", flags=RETAIN), PLC7.sign("dt/q", b"queued")
    sender = user(world, version=version)
    for message in (retained, queued):
        publish(sender, message)
    wait_until(lambda: now() > queued.t + 1500, "the messages' old age")
    reload(world, policy(signed(RESIGN + ", max_age: 1s")))
    sender.ping()  # it is under the new policy from here on
    publish(sender, PLC7.sign("dt/q", t=queued.t), code=REFUSED)
    reader = user(world, "eva", version, **kept)
    for message in (retained, queued):
        expect_resigned(reader.message(), message, version, "eva")
    late = user(world, "adam", version)
    late.subscribe("dt/r")
    expect_resigned(late.message(), retained, version, "adam")


def test_a_receivers_generation_is_the_least_that_is_left_to_it(make_world):
    receivers = Key("r25a")
    world = signed_world(make_world, signed(RESIGN), keys=(MASTER, OPERATOR, receivers))
    eva, adam, sender = user(world, "eva"), user(world, "adam"), user(world)
    for client in (eva, adam):
        client.subscribe("dt/#")
    receivers.more.update(min_generation={"eva": 2}, revoked=["adam"])
    write_keys(world, MASTER, OPERATOR, receivers)
    reload(world)
    settled(world)
    message = PLC7.sign()
    publish(sender, message)
    expect_resigned(eva.message(), message, world.version, "eva", key=receivers, generation=2)
    assert get(filtered(world, "dt/x", "sig_key_revoked"), "user") == "adam"
    adam.ping()


def test_what_a_revoked_device_left_behind_is_not_delivered(make_world):
    device = Key("m25a")
    world = signed_world(make_world, signed(RESIGN), keys=(device, OPERATOR, RECEIVERS))
    message = dataclasses.replace(PLC7, key=device).sign("dt/x", flags=RETAIN)
    publish(user(world), message)
    device.more["revoked"] = ["plc-7"]
    write_keys(world, device, OPERATOR, RECEIVERS)
    reload(world)
    receiver = user(world, "eva")
    settled(world)
    receiver.subscribe("dt/x")
    event = filtered(world, "dt/x", "sig_key_revoked")
    assert (get(event, "user"), get(event, "signer"), get(event, "kid")) == ("eva", "plc-7", "m25a")
    receiver.ping()


def test_a_key_that_has_ended_since_does_not_hide_what_it_signed(make_world):
    device = Key("m25a")
    world = signed_world(make_world, signed(RESIGN), keys=(device, OPERATOR, RECEIVERS))
    message = dataclasses.replace(PLC7, key=device).sign("dt/x", flags=RETAIN)
    publish(user(world), message)
    wait_until(lambda: now() > message.t + 2100, "another second")
    device.more["not_after"] = -1
    write_keys(world, device, OPERATOR, RECEIVERS)
    reload(world)
    receiver = user(world, "eva")
    settled(world)
    receiver.subscribe("dt/x")
    expect_resigned(receiver.message(), message, world.version, "eva")


# ---- at: receive ----

@VERSIONS
def test_only_what_is_signed_is_delivered(world, version):
    topic = f"end/{world.name()}"
    receiver = user(world, "eva", version)
    receiver.subscribe(topic, qos=2)
    good = [PLC7.sign(topic, b"envelope"), PLC7.sign(topic, b"old", t=1), PLC7.count(1, topic=topic)]
    bad = [(b"unsigned", "sig_missing"), (carried(PLC7.sign(topic, key=bytes(32)), ENVELOPE)[0], "sig_invalid"),
           (carried(EVA.sign(topic), ENVELOPE)[0], "sig_key_unknown"), (b"\xffMPS", "sig_malformed")]
    with world.direct(version=version) as behind, user(world, "gw-1", version) as through:
        for sender in (behind, through):
            for message in good:
                sender.publish(topic, carried(message, ENVELOPE)[0], 1)
            for qos, (payload, _) in enumerate(bad):
                sender.publish(topic, payload, world.qos(qos % 3))
    for message in good * 2:
        assert receiver.message().payload == message.header() + message.payload
    receiver.ping()
    for _, reason in bad:
        event = filtered(world, topic, reason)
        assert (get(event, "rule"), get(event, "user"), get(event, "disposition")) == ("delivered", "eva", "dropped")
    assert world.audit.all(action="mqtt-signature-rejected", topic=topic) == []


@pytest.mark.needs("v5.0")
def test_a_property_is_verified_at_delivery(world):
    topic = f"end/{world.name()}"
    new, old = user(world, "eva", raw.V5), user(world, "eva", raw.V311)
    for client in (new, old):
        client.subscribe(topic, qos=1)
    message = PLC7.sign(topic, flags=PROPS, content_type="text/plain")
    payload, props = carried(message, PROPERTY)
    with world.direct(version=raw.V5) as behind:
        behind.publish(topic, payload, 1, props=props)
        behind.publish(topic, payload, 1, props=props[1:])
    received = new.message()
    assert (received.payload, sorted(map(repr, received.properties))) == (payload, sorted(map(repr, props)))
    filtered(world, topic, "sig_invalid")
    filtered(world, topic, "sig_missing")  # of 3.1.1: what signs it is not there
    new.ping()
    old.ping()


@VERSIONS
def test_publish_and_receive_in_one_check(make_world, version):
    world = signed_world(make_world, signed("at: [publish, receive], forward: pass"))
    receiver, sender = user(world, "eva", version), user(world, version=version)
    receiver.subscribe("dt/#", qos=1)
    sender.publish("dt/x", b"unsigned", 1, REFUSED)
    with world.direct(version=version) as behind:
        behind.publish("dt/x", b"behind", 1)
    message = PLC7.sign()
    publish(sender, message, carrier=ENVELOPE)
    assert payloads([receiver.message()]) == [message.header() + message.payload]
    receiver.ping()


# ---- monitor mode ----

@VERSIONS
@pytest.mark.parametrize("terms", (RESIGN, "at: receive"), ids=("resign", "receive"))
def test_monitor_mode_reports_and_delivers(make_world, version, terms):
    """What would be kept back is delivered as it is; what stands is signed again where the check says so."""
    world = signed_world(make_world, signed(terms, check="mode: monitor"), keys=(MASTER, OPERATOR, RECEIVERS))
    receiver = user(world, "eva", version)
    receiver.subscribe("dt/#", qos=1)
    forged, good = PLC7.sign("dt/x", b"forged", key=bytes(32)), PLC7.sign("dt/x", b"good")
    with world.direct(version=version) as behind:
        behind.publish("dt/x", b"unsigned", 1)
        for message in (forged, good):
            behind.publish("dt/x", carried(message, ENVELOPE)[0], 1)
    assert payloads([receiver.message(), receiver.message()]) == [b"unsigned", forged.header() + b"forged"]
    if terms == RESIGN:
        expect_resigned(receiver.message(), good, version, "eva")
    else:
        assert receiver.message().payload == good.header() + b"good"
    for reason in ("sig_missing", "sig_invalid"):
        event = filtered(world, "dt/x", reason)
        assert (get(event, "disposition"), get(event, "rule"), get(event, "user")) == ("monitored", "signed", "eva")
    assert len(world.audit.all(action="mqtt-delivery-filtered")) == 2
