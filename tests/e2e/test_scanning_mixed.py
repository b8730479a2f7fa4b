# SPDX-License-Identifier: Apache-2.0
"""Scanning beside the other parts of a policy: signatures and rates, several checks and rule sets of one message,
groups, what rules can ask about a message; and names and lengths that attackers choose."""
import base64

import pytest

import raw
import signatures
from audit import get
from processes import wait_until
from scanning import (EVIL, FAILED, INVALID, MATCHED, QUARANTINE, REFUSED, RULE, SIZES, VERSIONS, evil, found, harmless,
                      payloads, rule, scan, scan_world, write_rules)
from signatures import ENVELOPE, PLC7, PROPERTY, WILL, Signer, publish, signed, signed_world, user, will

pytestmark = pytest.mark.brokerless
MIB = 1 << 20
TOO_MANY = 0x97
CARRIERS = pytest.mark.parametrize("version, carrier", ((raw.V311, ENVELOPE), (raw.V5, ENVELOPE), (raw.V5, PROPERTY)),
                                   ids=("v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))
LARGE = 60_000


# ---- signatures and rates ----

@pytest.fixture(scope="module")
def signing(make_shared_world):
    """Messages are signed and scanned, some are counted, too."""
    checks = (signed(), signed(name="look", topics="look/#"), signed("replay: seq", name="counted", topics="seq/#"),
              scan(), scan("on_match: alert, on_error: alert", name="watch", topics="look/#"),
              scan(name="numbers", topics="seq/#"),
              '{check: flood, topics: "dt/rate/#", rate: {per: id, messages: 4/h}}')
    world = signed_world(make_shared_world, *checks, start=False,
                         configuration={"rules": {"iot": {"files": ["iot.yar"], "budget": "100us"}}})
    write_rules(world, RULE)
    world.proxy.start()
    return world


@pytest.mark.core
@pytest.mark.parametrize("version, carrier, size, name", (
    (raw.V311, ENVELOPE, 64, "plc-3"), (raw.V311, ENVELOPE, LARGE, "plc-7"), (raw.V5, ENVELOPE, LARGE, "plc-8"),
    (raw.V5, PROPERTY, LARGE, "plc-9"), (raw.V5, PROPERTY, 64, "gw-1")),
    ids=("v3.1.1-here", "v3.1.1-pool", "v5.0-envelope-pool", "v5.0-property-pool", "v5.0-property-here"))
def test_a_message_is_verified_counted_and_scanned(signing, version, carrier, size, name):
    """In this order; what a later one refuses has not used the signature up."""
    topic, signer = f"dt/rate/{name}", Signer(name)
    observer, sender = signing.observer(topic, qos=1), user(signing, name, version)
    publish(sender, signer.sign(topic, evil(size), key=bytes(32)), carrier=carrier, code=REFUSED)
    publish(sender, signer.sign(topic, harmless(size)), carrier=carrier)
    bad = signer.sign(topic, evil(size))
    for _ in range(2):
        publish(sender, bad, carrier=carrier, code=INVALID)
    good = signer.sign(topic, b"4th")
    publish(sender, good, carrier=carrier)
    publish(sender, good, carrier=carrier, code=REFUSED)
    publish(sender, signer.sign(topic, evil(size)), carrier=carrier, code=TOO_MANY)
    assert payloads(signing.arrived(observer, sender)) == [harmless(size), b"4th"]
    events = found(signing, topic, 2)
    assert [get(event, "mqward.yara.first_offset") for event in events] == [max(0, size - len(EVIL))] * 2
    for reason in ("sig_invalid", "sig_replay"):
        signatures.events(signing, reason, topic=topic)
    assert get(signing.audit.wait_for(action="rate-limited", topic=topic), "rule") == "flood"


@CARRIERS
@SIZES
def test_the_mark_is_looked_for_in_the_payload_that_was_signed(signing, version, carrier, size):
    """Not in the envelope: offsets are those of the receiver's payload; and a large one is verified once."""
    topic = f"look/{signing.name()}"
    observer, sender = signing.observer(topic, qos=1), user(signing, version=version)
    message = PLC7.sign(topic, EVIL + harmless(size))
    publish(sender, message, carrier=carrier)
    assert payloads(signing.arrived(observer, sender)) == [EVIL + harmless(size)]
    publish(sender, message, carrier=carrier, code=REFUSED)
    event, = found(signing, topic, check="watch")
    assert get(event, "mqward.yara.first_offset") == 0


@CARRIERS
@SIZES
def test_a_signed_will_is_scanned(signing, version, carrier, size):
    topic = f"dt/{signing.name()}"
    observer = signing.observer(topic)
    refused = will(version, PLC7.sign(topic, evil(size - 200), flags=WILL), carrier=carrier)
    client = signing.client(version)
    client.connect(signing.name(), INVALID, will=refused, username="plc-7", password=signatures.PASSWORD)
    client.expect_closed()
    found(signing, topic)
    payload = harmless(size - 200)
    client = user(signing, version=version, will=will(version, PLC7.sign(topic, payload, flags=WILL), carrier=carrier))
    client.reset()
    assert observer.message().payload == payload


@VERSIONS
def test_a_counter_that_the_scan_refuses_may_come_again(signing, version):
    topic, epoch = f"seq/{signing.name()}", next(signing.counter)
    observer, sender = signing.observer(topic), user(signing, version=version)
    for payload, code in ((evil(50_000), INVALID), (evil(), INVALID), (harmless(50_000), 0), (b"again", REFUSED)):
        publish(sender, PLC7.count(1, epoch, topic, payload), code=code)
    assert payloads(signing.arrived(observer, sender)) == [harmless(50_000)]


# ---- several checks and rule sets ----

SECOND = rule("second_mark", "$a", a='"SECOND"')
CONTEXT = "".join(rule(f"asks_{name}", f"$a and {condition}", a='"ASK"') for name, condition in {
    "topic": 'topic startswith "ask/é/"', "client_id": 'client_id startswith "plc-7/é"',
    "username": 'username == "plc-7"', "identity": 'identity == "plc-7"', "groups": 'groups contains "devices"',
    "qos": "qos == 1", "retain": "retain",
    "direction_in": 'direction == "in"', "direction_out": 'direction == "out"',
    "content_type": 'content_type == "text/plain"',
    "payload_size": "payload_size == filesize", "view": 'view == "raw"'}.items())
MANY = "".join(rule(f"rule_{'x' * 100}_{number}", "$a", a='"MANY"') for number in range(200))
ALERT = "on_match: alert, on_error: alert"


@pytest.fixture(scope="module")
def world(make_shared_world):
    checks = (
        scan(ALERT, name="watch", topics="two/#", rules="iot, extra"),
        scan(name="strict", topics="two/x/#", rules="extra"),
        scan(ALERT, name="first", topics="keep/#"), scan("on_match: quarantine", name="keep", topics="keep/#"),
        scan("on_match: drop", name="drop", topics="keep/#"), scan(name="scanned"),
        scan(check="who: devices", name="devices", topics="group/#"),
        scan("views: none", name="none", topics="none/#"), scan("views: [hex]", name="hex", topics="hex/#"),
        scan(f"at: [publish, receive], {ALERT}", name="ask", topics="ask/#", rules="context"),
        scan(name="many", topics="many/#", rules="many"))
    return scan_world(make_shared_world, text=signatures.policy(*checks), passwords=signatures.USERS, scan=QUARANTINE,
                      sets={"iot": RULE, "extra": SECOND, "context": CONTEXT, "many": MANY})


@VERSIONS
@SIZES
def test_two_checks_of_one_topic(world, version, size):
    """Each says what it finds; the first that refuses is the last that is asked."""
    topic, other = f"two/x/{world.name()}", f"two/y/{world.name()}"
    observer, sender = world.observer(topic, other, qos=1), world.connected(version=version)
    sender.publish(topic, evil(size), 1)
    sender.publish(topic, harmless(size) + b"SECOND", 1, INVALID)
    sender.publish(other, evil(size) + b"SECOND", 1)
    assert payloads(world.arrived(observer, sender)) == [evil(size), evil(size) + b"SECOND"]
    events = [(get(event, "mqward.check"), sorted(get(event, "mqward.yara.rules")), get(event, "disposition"))
              for event in world.audit.wait_for_count(3, action=MATCHED, topic=topic)]
    assert events == [("watch", ["evil_mark"], "informed"), ("watch", ["second_mark"], "informed"),
                      ("strict", ["second_mark"], "rejected" if version == raw.V5 else "dropped")]
    both = world.audit.wait_for(action=MATCHED, topic=other)
    assert sorted(get(both, "mqward.yara.rules")) == ["evil_mark", "second_mark"]
    assert sorted(get(both, "mqward.yara.namespaces")) == ["extra", "iot"] and get(both, "mqward.yara.matches") == 2


@VERSIONS
def test_a_check_that_keeps_beside_one_that_drops(world, version):
    topic = f"keep/{world.name()}"
    observer, sender = world.observer(topic), world.connected(version=version)
    sender.publish(topic, topic.encode() + evil(), 1, INVALID)
    assert world.arrived(observer, sender) == []
    events = world.audit.wait_for_count(2, action=MATCHED, topic=topic)
    assert [get(event, "mqward.check") for event in events] == ["first", "keep"]
    assert [get(event, "quarantine") for event in events] == [None, "stored"]


@VERSIONS
def test_a_check_is_about_its_groups(world, version):
    topic = f"group/{world.name()}"
    observer = world.observer(topic)
    device, person = user(world, "plc-7", version), user(world, "eva", version)
    device.publish(topic, evil(), 1, INVALID)
    person.publish(topic, evil(), 1)
    assert payloads(world.arrived(observer, device, person)) == [evil()]


@VERSIONS
def test_views_are_those_of_the_check(world, version):
    topic, sender = world.name(), world.connected(version=version)
    encoded, digits = base64.b64encode(b"Some text, " + EVIL), (b"Some text, " + EVIL).hex().encode()
    sender.publish(f"none/{topic}", encoded, 1)
    sender.publish(f"none/{topic}", digits, 1)
    sender.publish(f"none/{topic}", evil(), 1, INVALID)
    sender.publish(f"hex/{topic}", encoded, 1)
    sender.publish(f"hex/{topic}", digits, 1, INVALID)
    assert get(found(world, f"hex/{topic}", check="hex")[0], "mqward.yara.view") == "hex"
    assert len(found(world, f"none/{topic}", check="none")) == 1


@VERSIONS
@SIZES
def test_rules_know_their_context(world, version, size):
    """Where a rule has no part in it, it is not found: the exact verdict, of a small message and of one on the pool."""
    topic, message = f"ask/é/{world.name()}", b"ASK" + harmless(size)
    receiver = user(world, "eva", version)
    receiver.subscribe(topic, qos=0)
    sender = user(world, "plc-7", version, client_id=f"plc-7/é/{world.name()}")
    props = [(raw.CONTENT_TYPE, "text/plain")] if version == raw.V5 else []
    sender.publish(topic, message, 1, retain=True, props=props)
    assert receiver.message().payload == message
    said = {get(event, "user"): {name[5:] for name in get(event, "mqward.yara.rules")}
            for event in world.audit.wait_for_count(2, action=MATCHED, topic=topic)}
    both = {"topic", "payload_size", "view", *(["content_type"] if version == raw.V5 else [])}
    assert said == {"plc-7": both | {"client_id", "username", "identity", "groups", "qos", "retain", "direction_in"},
                    "eva": both | {"direction_out"}}
    sender.publish(topic, b"", 1, retain=True)


# ---- what attackers choose ----

@VERSIONS
@SIZES
def test_many_rules_at_once_are_counted_and_cut(world, version, size):
    topic, sender = f"many/{world.name()}", world.connected(version=version)
    sender.publish(topic, b"MANY" + harmless(size), 1, INVALID)
    event = world.audit.wait_for(action=MATCHED, topic=topic)
    assert get(event, "mqward.yara.matches") == 200 and len(get(event, "mqward.yara.rules")) == 16


@VERSIONS
def test_denials_of_a_scan_count_towards_a_ban(make_world, version):
    repeat = "{count: 3, within: 1m, then: disconnect, ban: 1m, by: address}"
    world = scan_world(make_world, scan(), more=f"on_deny: {{repeat: {repeat}}}\n")
    sender = world.connected(version=version)
    for size in (10, 50_000):
        sender.publish("dt/x", evil(size), 1, INVALID)
    sender.send(raw.publish(version, "dt/x", evil(50_000), 1, packet_id=9))
    names = [item.name for item in sender.until_closed() if item.type != raw.PUBACK]
    assert names == ["DISCONNECT"] * (version == raw.V5)
    world.audit.wait_for(action="client-banned")


@VERSIONS
def test_nul_characters_never_get_as_far(world, version):
    """MQTT allows none in topics, client ids and content types; in payloads and correlation data there may be any."""
    topic, failed = f"dt/{world.name()}", len(world.audit.all(action=FAILED))
    observer = world.observer(topic)
    offenders = [raw.publish(version, b"dt/\0x", b"1")]
    if version == raw.V5:
        offenders += [raw.publish(version, topic, b"1", props=[(raw.CONTENT_TYPE, b"text\0")]),
                      raw.publish(version, topic, b"1", props=[(raw.USER_PROPERTY, (b"a\0", b"b"))])]
    for packet in offenders:
        client = world.connected(version=version)
        client.send(packet)
        assert [item.name for item in client.until_closed()] == ["DISCONNECT"] * (version == raw.V5)
    for options in ({"client_id": b"a\0b"}, {"client_id": "c", "username": b"a\0b"},
                    {"client_id": "c", "will": raw.Will(b"dt/\0", b"1")}):
        client = world.client(version)
        client.send(raw.connect(version, **options))
        assert all(item.type in (raw.CONNACK, raw.DISCONNECT) and item.code for item in client.until_closed())
    sender = world.connected(version=version)
    props = [(raw.CORRELATION_DATA, b"\0" * 20)] if version == raw.V5 else []
    sender.publish(topic, b"\0" + EVIL + b"\0", 1, INVALID, props=props)
    assert world.arrived(observer, sender) == []
    found(world, topic)  # behind all that the others may have left
    assert len(world.audit.all(action=FAILED)) == failed


@VERSIONS
@pytest.mark.parametrize("limit", ("1MiB", "255MiB"))
def test_announcements_of_256_mib_take_no_memory(make_world, version, limit):
    """A header of five bytes announces it; above the limit it ends the connection, below it waits for what comes."""
    world = scan_world(make_world, scan(), packet=limit)
    before = world.proxy.resident()
    head, announced = raw.string("dt/x") + (b"\0" if version == raw.V5 else b""), 255 * MIB - 100
    clients = [world.connected(version=version) for _ in range(30)]
    for client in clients:
        client.send(bytes([raw.PUBLISH << 4]) + raw.varint(announced) + head + b"x" * 10_000)
    if limit == "1MiB":
        for client in clients:
            client.expect_disconnect(0x95)
        world.audit.wait_for_count(30, reason="packet_too_large")
    other = world.connected(version=version)
    other.publish("dt/x", evil(), 1, INVALID)
    assert world.proxy.resident() - before < 64 * MIB
    for client in clients:
        client.abort()
    wait_until(lambda: world.proxy.resident() - before < 64 * MIB, "memory given back")
