# SPDX-License-Identifier: Apache-2.0
"""Checks of signatures beside other parts of a policy: monitor mode, rates, messages that need no signature, several
checks of one topic, and on which clients a check is."""
import pytest

import raw
from audit import get
from signatures import (ENVELOPE, EVA, PLC7, PLC8, PROPERTY, REFUSED, VERSIONS, WILL, carried, events, payloads, policy,
                        publish, refuses, settled, signed, signed_world, user, will)
from test_reload import reload

pytestmark = pytest.mark.brokerless
TOO_MANY = 0x97


# ---- monitor mode ----

MONITOR = {
    "check": lambda: policy(signed(check="mode: monitor")),
    "policy": lambda: policy(signed()).replace("policy: signed\n", "policy: signed\nmode: monitor\n"),
}


@VERSIONS
@pytest.mark.parametrize("where", MONITOR)
def test_monitor_mode_reports_and_forwards(make_world, version, where):
    """What would be refused goes on as it came; what stands is stripped, though it be a replay."""
    world = signed_world(make_world, text=MONITOR[where]())
    observer, sender = world.observer("dt/#", qos=1), user(world, version=version)
    good, forged, foreign = (PLC7.sign("dt/x", b"good"), PLC7.sign("dt/x", b"forged", key=bytes(32)),
                             PLC8.sign("dt/x", b"of another"))
    sender.publish("dt/x", b"unsigned", 1)
    publish(sender, good, 1, ENVELOPE)
    publish(sender, forged, 1, ENVELOPE)
    publish(sender, foreign, 0, ENVELOPE)
    publish(sender, good, 1, ENVELOPE)
    assert payloads(world.arrived(observer, sender)) == [
        b"unsigned", b"good", forged.header() + b"forged", foreign.header() + b"of another", b"good"]
    for reason in ("sig_missing", "sig_invalid", "sig_identity", "sig_replay"):
        event = events(world, reason)[0]
        assert (get(event, "disposition"), get(event, "rule")) == ("monitored", "signed")
    assert len(world.audit.all(action="mqtt-signature-rejected")) == 4


def test_monitor_mode_leaves_an_envelope_behind_an_alias_alone(make_world):
    """The packet is rewritten, its payload is not."""
    world = signed_world(make_world, text=MONITOR["check"]())
    observer, sender = world.observer("dt/#", qos=1), user(world, version=raw.V5)
    forged = PLC7.sign("dt/x", b"forged", key=bytes(32))
    sender.publish("dt/x", carried(forged, ENVELOPE)[0], 1, props=[(raw.TOPIC_ALIAS, 1)])
    sender.publish("", carried(PLC7.sign("dt/x", b"good"), ENVELOPE)[0], 1, props=[(raw.TOPIC_ALIAS, 1)])
    assert payloads(world.arrived(observer, sender)) == [forged.header() + b"forged", b"good"]


@VERSIONS
@pytest.mark.parametrize("where", MONITOR)
def test_monitor_mode_reports_wills(make_world, version, where):
    world = signed_world(make_world, text=MONITOR[where]())
    observer = world.observer("dt/#")
    for payload, testament in ((b"unsigned", raw.Will("dt/x", b"unsigned")),
                               (b"signed", will(version, PLC7.sign("dt/x", b"signed", flags=WILL)))):
        user(world, version=version, will=testament).reset()
        assert observer.message().payload == payload
    event = events(world, "sig_missing", packet="connect")[0]
    assert (get(event, "disposition"), get(event, "rule")) == ("monitored", "signed")


@VERSIONS
def test_a_monitored_check_beside_one_that_is_enforced(make_world, version):
    world = signed_world(make_world, signed(name="tried", keys="ops-1", check="mode: monitor"), signed())
    observer, sender = world.observer("dt/#"), user(world, version=version)
    publish(sender, PLC7.sign("dt/x", b"good"))
    assert get(events(world, "sig_key_unknown")[0], "rule") == "tried"
    publish(sender, PLC7.sign("dt/x", b"forged", key=bytes(32)), code=REFUSED)
    assert get(events(world, "sig_invalid")[0], "rule") == "signed"
    assert payloads(world.arrived(observer, sender)) == [b"good"]


# ---- rates ----

@VERSIONS
def test_what_is_not_signed_well_costs_no_rate(make_world, version):
    """Else a forger would use up what the device may send."""
    world = signed_world(make_world, signed(), '{check: flood, topics: "#", rate: {per: id, messages: 3/h}}')
    observer, sender = world.observer("dt/#"), user(world, version=version)
    for _ in range(10):
        publish(sender, PLC7.sign("dt/x", b"forged", key=bytes(32)), code=REFUSED)
    for number in range(3):
        publish(sender, PLC7.sign("dt/x", b"%d" % number))
    publish(sender, PLC7.sign("dt/x", b"too many"), code=TOO_MANY)
    assert payloads(world.arrived(observer, sender)) == [b"0", b"1", b"2"]
    assert get(world.audit.wait_for(action="rate-limited"), "rule") == "flood"


@VERSIONS
def test_what_a_rate_refuses_may_come_again(make_world, version):
    """The message was signed well, but has not gone on: its signature is not used up."""
    text = policy(signed(), '{check: flood, topics: "#", rate: {per: id, messages: 1/h}}')
    world = signed_world(make_world, text=text)
    observer, sender = world.observer("dt/#"), user(world, version=version)
    publish(sender, PLC7.sign("dt/x", b"first"))
    for message in (PLC7.sign("dt/x", b"nonce"), PLC7.sign("dt/x", b"at once")):
        publish(sender, message, code=TOO_MANY)
        publish(sender, message, code=TOO_MANY)
    reload(world, policy(signed()))
    settled(world)
    publish(sender, message)
    publish(sender, message, code=REFUSED)
    assert payloads(world.arrived(observer, sender)) == [b"first", b"at once"]


@VERSIONS
def test_a_counter_that_a_rate_refuses_may_come_again(make_world, version):
    text = policy(signed("replay: seq"), '{check: flood, topics: "#", rate: {per: id, messages: 1/h}}')
    world = signed_world(make_world, text=text)
    observer, sender = world.observer("dt/#"), user(world, version=version)
    publish(sender, PLC7.count(1, payload=b"1"))
    publish(sender, PLC7.count(2, payload=b"2"), code=TOO_MANY)
    reload(world, policy(signed("replay: seq")))
    settled(world)
    publish(sender, PLC7.count(2, payload=b"2"))
    publish(sender, PLC7.count(2, payload=b"2"), code=REFUSED)
    assert payloads(world.arrived(observer, sender)) == [b"1", b"2"]


# ---- when_present ----

@VERSIONS
def test_when_present_asks_only_of_what_is_signed(make_world, version):
    world = signed_world(make_world, signed("require: when_present"))
    observer, sender = world.observer("dt/#"), user(world, version=version)
    sender.publish("dt/x", b"unsigned", 1)
    sender.publish("dt/x", b"\xffMP", 1)
    publish(sender, PLC7.sign("dt/x", b"signed"))
    refuses(world, sender, PLC7.sign("dt/x", b"forged", key=bytes(32)), "sig_invalid")
    refuses(world, sender, PLC8.sign(), "sig_identity")
    sender.publish("dt/x", b"\xffMPS", 1, REFUSED)
    events(world, "sig_malformed")
    user(world, version=version, will=raw.Will("dt/x", b"gone")).reset()
    assert observer.message().payload == b"unsigned"
    assert {observer.message().payload for _ in range(3)} == {b"\xffMP", b"signed", b"gone"}


def test_when_present_looks_at_both_carriers(make_world):
    world = signed_world(make_world, signed("require: when_present"))
    observer, sender = world.observer("dt/#"), user(world, version=raw.V5)
    message = PLC7.sign("dt/x", b"signed")
    sender.publish("dt/x", b"x", 1, REFUSED, props=[(raw.USER_PROPERTY, ("mps1", ""))])
    sender.publish("dt/x", b"x", 1, REFUSED, props=carried(message, PROPERTY)[1])
    sender.publish("dt/x", b"x", 1, props=[(raw.USER_PROPERTY, ("site", "mps1"))])
    publish(sender, message, carrier=PROPERTY)
    assert payloads(world.arrived(observer, sender)) == [b"x", b"signed"]


# ---- which check ----

@VERSIONS
def test_each_topic_has_its_own_keys(make_world, version):
    """A device's key signs no command, an operator's no telemetry."""
    world = signed_world(make_world, signed(name="telemetry"),
                         signed("forward: pass", name="commands", topics="cmd/#", keys="ops-1"))
    observer = world.observer()
    device, operator = user(world, version=version), user(world, "eva", version)
    publish(device, PLC7.sign("dt/x", b"21"))
    publish(operator, EVA.sign("cmd/x", b"on"))
    refuses(world, device, PLC7.sign("cmd/x"), "sig_key_unknown", check="commands")
    refuses(world, operator, EVA.sign("dt/x"), "sig_key_unknown", check="telemetry")
    device.publish("other", b"unsigned", 1)
    found = [(message.topic, message.payload[-2:]) for message in world.arrived(observer, device, operator)]
    assert found == [("dt/x", b"21"), ("cmd/x", b"on"), ("other", b"ed")]


@VERSIONS
def test_a_check_is_about_its_groups(make_world, version):
    world = signed_world(make_world, signed(check="who: devices"))
    observer = world.observer("dt/#")
    device, person = user(world, version=version), user(world, "eva", version)
    device.publish("dt/x", b"unsigned", 1, REFUSED)
    person.publish("dt/x", b"of a person", 1)
    publish(device, PLC7.sign("dt/x", b"of a device"))
    assert payloads(world.arrived(observer, device, person)) == [b"of a person", b"of a device"]


def test_the_rules_are_asked_first(make_world):
    """What a rule denies needs no key to be denied, and uses nothing up."""
    text = policy(signed()).replace("checks:\n", "  - rule: never\n    who: everyone\n    deny: publish\n"
                                                 "    topics: [dt/never]\nchecks:\n")
    world = signed_world(make_world, text=text)
    sender, message = user(world), PLC7.sign("dt/never")
    publish(sender, message, code=REFUSED)
    event = world.audit.wait_for(action="mqtt-publish-denied", topic="dt/never")
    assert get(event, "rule") == "never"
    reload(world, policy(signed()))
    settled(world)
    publish(sender, message)


# ---- two checks of one message ----

@VERSIONS
def test_a_message_passes_all_its_checks(make_world, version):
    """The same key and the same signature: it is new for both, and a replay for both."""
    world = signed_world(make_world, signed(name="wide", topics="#", terms="forward: pass"),
                         signed(name="narrow", topics="dt/narrow/#", terms="max_age: 1m"))
    observer, sender = world.observer("dt/#"), user(world, version=version)
    message = PLC7.sign("dt/narrow/x", b"good")
    publish(sender, message)
    publish(sender, message, code=REFUSED)
    events(world, "sig_replay", topic=message.topic)
    publish(sender, PLC7.sign("dt/narrow/x", b"forged", key=bytes(32)), code=REFUSED)
    assert len(world.arrived(observer, sender)) == 1
