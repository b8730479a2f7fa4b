# SPDX-License-Identifier: Apache-2.0
"""Signed wills: verified at CONNECT, published without their signature, and good for one CONNECT."""
import pytest

import raw
from audit import get
from signatures import (ENVELOPE, PASSWORD, PLC7, PLC8, PROPERTY, PROPS, QOS, REFUSED, RETAIN, SEQ, VERSIONS, WILL, now,
                        payloads, publish, sequence, signed, signed_world, user, user_properties, will)

CARRIERS = pytest.mark.parametrize("version, carrier", ((raw.V311, ENVELOPE), (raw.V5, ENVELOPE), (raw.V5, PROPERTY)),
                                   ids=("v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))


@pytest.fixture(scope="module")
def world(make_shared_world):
    return signed_world(make_shared_world, signed(), signed("forward: pass", topics="pass/#", name="passed"),
                        signed("replay: seq", topics="seq/#", name="counted"))


def refused(world, version, testament, reason, *, name="plc-7", check="signed", client_id=None, **options):
    """CONNECT with this will is refused for this reason; the event."""
    client_id = client_id or world.name()
    client = world.client(version)
    client.connect(client_id, REFUSED, will=testament, username=name, password=PASSWORD, **options)
    client.expect_closed()
    event = world.audit.wait_for(action="mqtt-signature-rejected", client_id=client_id, reason=reason)
    assert (get(event, "topic"), get(event, "rule"), get(event, "packet")) == (testament.topic, check, "connect")
    return event


@CARRIERS
@QOS
def test_a_signed_will_is_published_without_its_signature(world, version, carrier, qos):
    topic = f"dt/{world.name()}"
    observer = world.observer(topic, qos=2)
    client = user(world, version=version, will=will(version, PLC7.sign(topic, b"gone", flags=WILL), qos, carrier))
    client.reset()
    message = observer.message()
    assert (message.payload, message.qos, message.properties) == (b"gone", world.qos(qos), [])


@CARRIERS
def test_with_pass_the_will_is_published_as_it_was_signed(world, version, carrier):
    topic = f"pass/{world.name()}"
    observer = world.observer(topic, qos=2)
    testament = will(version, PLC7.sign(topic, b"gone", flags=WILL), 1, carrier)
    user(world, version=version, will=testament).reset()
    message = observer.message()
    assert (message.payload, tuple(message.properties)) == (testament.payload, testament.properties)


@CARRIERS
def test_a_retained_will_is_kept_and_an_empty_one_clears(world, version, carrier):
    topic = f"dt/{world.name()}"
    observer = world.direct()
    observer.subscribe(topic, qos=1)
    for payload in (b"gone", b""):
        message = PLC7.sign(topic, payload, flags=WILL | RETAIN)
        user(world, version=version, will=will(version, message, 1, carrier)).reset()
        assert observer.message().payload == payload
        late = world.observer(topic)
        assert payloads(world.arrived(late)) == ([payload] if payload else [])


@pytest.mark.needs("v5.0")
@pytest.mark.parametrize("carrier", (ENVELOPE, PROPERTY))
def test_the_wills_other_properties_arrive(world, carrier):
    topic = f"dt/{world.name()}"
    observer = world.observer(topic, qos=1)
    message = PLC7.sign(topic, b"gone", flags=WILL | PROPS, content_type="text/plain", correlation_data=b"\1\2")
    testament = will(raw.V5, message, 1, carrier)
    pairs = ((raw.USER_PROPERTY, ("b", "2")), (raw.USER_PROPERTY, ("a", "1")))
    testament.properties = (pairs[0], *testament.properties, pairs[1])
    user(world, version=raw.V5, will=testament).reset()
    received = observer.message()
    assert received.payload == b"gone" and user_properties(received) == [("b", "2"), ("a", "1")]
    assert (received.prop(raw.CONTENT_TYPE), received.prop(raw.CORRELATION_DATA)) == ("text/plain", b"\1\2")
    assert len(received.properties) == 4


# ---- what is refused ----

@pytest.mark.core
@CARRIERS
def test_each_connect_needs_a_signature_of_its_own(world, version, carrier):
    topic = f"dt/{world.name()}"
    observer, client_id = world.observer(topic), world.name()
    testament = will(version, PLC7.sign(topic, b"gone", flags=WILL), 0, carrier)
    client = user(world, version=version, client_id=client_id, will=testament)
    refused(world, version, testament, "sig_replay")
    client.reset()
    assert observer.message().payload == b"gone"
    refused(world, version, testament, "sig_replay", client_id=client_id + "-again")
    client_id += "-again"  # of which the broker has not heard yet
    with user(world, version=version, client_id=client_id,
              will=will(version, PLC7.sign(topic, b"gone", flags=WILL), 0, carrier)) as client:
        client.disconnect()
    world.broker.wait_gone(client_id)
    assert world.arrived(observer) == []


@VERSIONS
@pytest.mark.parametrize("make, reason", (
    (lambda topic: PLC7.sign(topic, flags=0), "sig_flags"),
    (lambda topic: PLC7.sign(topic, flags=WILL | RETAIN), "sig_flags"),
    (lambda topic: PLC8.sign(topic, flags=WILL), "sig_identity"),
    (lambda topic: PLC7.sign(topic, flags=WILL, key=bytes(32)), "sig_invalid"),
    (lambda topic: PLC7.sign(topic, flags=WILL, t=now() - 360_000), "sig_expired"),
    (lambda topic: PLC7.sign(topic, flags=WILL | SEQ, nonce=sequence(1, 1)), "sig_replay_mode"),
), ids=("no-will", "retain", "identity", "invalid", "expired", "replay-mode"))
def test_a_will_that_is_not_signed_well_refuses_connect(world, version, make, reason):
    message = make(f"dt/{world.name()}")
    testament = will(version, message, retain=False)
    client_id = world.name()
    refused(world, version, testament, reason, client_id=client_id)
    with world.direct() as behind:
        behind.ping()  # answered behind what mqward has sent before
    assert not world.broker.knows(client_id)


@VERSIONS
def test_an_unsigned_will_refuses_connect(world, version):
    topic = f"dt/{world.name()}"
    refused(world, version, raw.Will(topic, b"gone"), "sig_missing")
    user(world, version=version, will=raw.Will("elsewhere", b"gone")).disconnect()


@VERSIONS
def test_a_wills_signature_is_none_of_a_publish_and_the_reverse(world, version):
    topic = f"dt/{world.name()}"
    testament, message = PLC7.sign(topic, flags=WILL), PLC7.sign(topic)
    sender = user(world, version=version)
    publish(sender, testament, code=REFUSED)
    world.audit.wait_for(topic=topic, reason="sig_flags")
    refused(world, version, will(version, message), "sig_flags")
    user(world, version=version, will=will(version, testament)).disconnect()  # neither was used up
    publish(sender, message)


@VERSIONS
def test_a_property_of_connect_is_no_signature_of_the_will(world, version):
    """The envelope in 3.1.1; in 5.0 the User Property belongs to the will's properties."""
    message = PLC7.sign(f"dt/{world.name()}", flags=WILL)
    testament = will(raw.V5, message, carrier=PROPERTY)
    props = testament.properties
    testament.properties = ()
    refused(world, version, testament, "sig_missing", props=props)


@VERSIONS
def test_counters_of_wills_and_publishes_are_one_sequence(world, version):
    topic = f"seq/{world.name()}"
    epoch = next(world.counter)
    testament = PLC7.count(5, epoch, topic, b"gone", flags=SEQ | WILL)
    sender = user(world, version=version, will=will(version, testament))
    publish(sender, PLC7.count(6, epoch, topic))
    publish(sender, PLC7.count(5, epoch, topic), code=REFUSED)
    refused(world, version, will(version, PLC7.count(6, epoch, topic, flags=SEQ | WILL)), "sig_replay",
            check="counted")


@VERSIONS
def test_a_connect_that_fails_for_another_reason_leaves_the_signature_good(world, version):
    """A wrong password, and a broker that is away: the device comes again with the same will, which nobody has got."""
    testament = will(version, PLC7.sign(f"dt/{world.name()}", flags=WILL))
    client = world.client(version)
    client.connect(world.name(), 0x86, will=testament, username="plc-7", password=b"wrong")
    user(world, version=version, will=testament).disconnect()


@VERSIONS
def test_a_will_that_the_broker_never_got_may_come_again(make_world, version):
    world = signed_world(make_world)
    testament = will(version, PLC7.sign("dt/x", flags=WILL))
    world.broker.kill()
    world.client(version).connect("first", 0x88, will=testament, username="plc-7", password=PASSWORD)
    world.broker.start()
    user(world, version=version, will=testament).disconnect()
