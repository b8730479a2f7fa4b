# SPDX-License-Identifier: Apache-2.0
"""Messages that can't be scanned to their end, and those that are made so that they can't: `on_error` decides, the
audit knows why, and neither time nor memory goes with them."""
import base64
import gzip
import zlib

import pytest

import raw
from audit import get
from scanning import (ENDLESS, EVIL, FAILED, INVALID, REFUSED, RULE, VERSIONS, evil, found, harmless, payloads, rule,
                      scan, scan_world, unfinished)

pytestmark = pytest.mark.brokerless
MIB = 1 << 20
FLOOD = rule("flood", "#a > 2000000", a='"flood!"')
SETS = {"iot": RULE, "slow": {"text": ENDLESS, "allow_slow": True}, "flood": FLOOD}
ANSWERS = pytest.mark.parametrize("answer", ("reject", "alert"))
CHECKS = [check for answer in ("reject", "alert") for check in (
    scan(f"at: [publish, receive], timeout: 10s, max_scan: 4KiB, on_error: {answer}", name=f"short-{answer}",
         topics=f"short/{answer}/#"),
    scan(f"at: [publish, receive], timeout: 10s, max_scan: 2MiB, on_error: {answer}", name=f"long-{answer}",
         topics=f"long/{answer}/#"),
    scan(f"timeout: 20ms, on_error: {answer}", rules="slow", name=f"slow-{answer}", topics=f"slow/{answer}/#"),
    scan(f"timeout: 10s, max_scan: 16MiB, on_error: {answer}", rules="flood", name=f"flood-{answer}",
         topics=f"flood/{answer}/#"),
)]
CHECKS += [scan("max_scan: 4KiB, on_error: reject, reason_code: not_authorized", name="secret", topics="secret/#"),
           scan("max_scan: 4KiB, on_match: alert, on_error: reject", name="strict", topics="strict/#"),
           scan("max_scan: 4KiB", name="watch", topics="watch/#", check="mode: monitor")]


@pytest.fixture(scope="module")
def world(make_shared_world):
    return scan_world(make_shared_world, *CHECKS, sets=SETS, packet="16MiB")


def bomb(size=8 * MIB):
    return gzip.compress(bytes(size), mtime=0)


def nested(data, times):
    for _ in range(times):
        data = base64.b64encode(data)
    return data


def packed(data, times):
    for _ in range(times):
        data = gzip.compress(data, mtime=0)
    return data


# {name: (kind of check, payload, what is incomplete, reason)}
CASES = {
    "larger than max_scan": ("short", harmless(5000), "max_scan", "scan_incomplete"),
    "much larger than max_scan": ("short", harmless(300_000), "max_scan", "scan_incomplete"),
    "a view larger than max_scan": ("short", gzip.compress(harmless(5000), mtime=0), "max_scan", "scan_incomplete"),
    "decompression bomb": ("long", bomb(), "ratio", "scan_incomplete"),
    "zlib bomb": ("long", zlib.compress(bytes(8 * MIB)), "ratio", "scan_incomplete"),
    "bomb in base64 in JSON": ("long", b'{"data": "' + base64.b64encode(bomb()) + b'"}', "ratio", "scan_incomplete"),
    "base64, six times": ("long", nested(harmless(200), 6), "depth", "scan_incomplete"),
    "gzip, six times": ("long", packed(harmless(2000), 6), "depth", "scan_incomplete"),
    "escapes of escapes": ("long", b"\\" * 100_000, "depth", "scan_incomplete"),
    "more runs than views": ("long", b" ".join(base64.b64encode(b"Value %08d" % number * 2) for number in range(1500)),
                             "views", "scan_incomplete"),
    "slow": ("slow", b"SLOWLY" + harmless(3000), "timeout", "scan_failed"),
    "slow and large": ("slow", b"SLOWLY" + harmless(50_000), "timeout", "scan_failed"),
    "flood of matches": ("flood", b"flood!" * 1_100_000, "too many matches", "scan_failed"),
}
EACH = pytest.mark.parametrize("kind, payload, why, reason", CASES.values(), ids=CASES)


@pytest.mark.core
@VERSIONS
@ANSWERS
@EACH
def test_what_can_not_be_scanned_to_its_end_is_refused_or_reported(world, version, answer, kind, payload, why, reason):
    topic = f"{kind}/{answer}/{world.name()}"
    observer, sender = world.observer(f"{kind}/#", qos=1), world.connected(version=version)
    sender.publish(topic, payload, 1, INVALID if answer == "reject" else 0)
    sender.publish(topic, b"after", 1)
    assert payloads(world.arrived(observer, sender)) == [payload] * (answer == "alert") + [b"after"]
    event = unfinished(world, topic, why, check=f"{kind}-{answer}", reason=reason)
    told = answer == "reject" and version == raw.V5
    assert get(event, "disposition") == ("informed" if answer == "alert" else "rejected" if told else "dropped")
    assert get(event, "reason_code") == (INVALID if told else None)
    assert get(event, "outcome") == ("success" if answer == "alert" else "failure")
    assert get(event, "event.type") == ["access", "allowed" if answer == "alert" else "denied"]
    assert get(event, "event.code") == ("YAR-1002" if reason == "scan_failed" else "YAR-1003")
    if reason == "scan_failed":
        assert get(event, "mqward.yara.namespaces") == [kind]
    world.ended(sender)
    assert len(world.audit.all(topic=topic)) == 1


@VERSIONS
@ANSWERS
@pytest.mark.parametrize("kind, payload, why", (("short", harmless(5000), "max_scan"), ("long", bomb(), "ratio")),
                         ids=("max_scan", "ratio"))
def test_wills(world, version, answer, kind, payload, why):
    topic, client_id = f"{kind}/{answer}/{world.name()}", world.name()
    observer, client = world.observer(topic), world.client(version)
    client.connect(client_id, INVALID if answer == "reject" else 0, will=raw.Will(topic, payload))
    event = unfinished(world, topic, why, check=f"{kind}-{answer}", client_id=client_id)
    assert get(event, "disposition") == ("rejected" if answer == "reject" else "informed")
    if answer == "reject":
        client.expect_closed()
        assert not world.broker.knows(client_id)
    else:
        client.reset()
        assert observer.message().payload == payload


@VERSIONS
@ANSWERS
def test_deliveries(world, version, answer):
    topic = f"long/{answer}/{world.name()}"
    receiver = world.connected(version=version)
    receiver.subscribe(topic, qos=1)
    with world.direct(version=version) as behind:
        for payload in (b"before", bomb(), b"after"):
            behind.publish(topic, payload, 1)
    wanted = [b"before", *[bomb()] * (answer == "alert"), b"after"]
    assert [receiver.message().payload for _ in wanted] == wanted
    event = unfinished(world, topic, "ratio", check=f"long-{answer}")
    assert get(event, "disposition") == ("informed" if answer == "alert" else "dropped")
    receiver.ping()


@VERSIONS
def test_the_sender_need_not_know(world, version):
    topic = f"secret/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, harmless(5000), 1, REFUSED)
    unfinished(world, topic, "max_scan", check="secret")


@VERSIONS
def test_monitor_mode(world, version):
    topic = f"watch/{world.name()}"
    observer, sender = world.observer(topic), world.connected(version=version)
    sender.publish(topic, harmless(5000), 1)
    assert payloads(world.arrived(observer, sender)) == [harmless(5000)]
    assert get(unfinished(world, topic, "max_scan", check="watch"), "disposition") == "monitored"


# ---- found, and not all of it seen ----

@VERSIONS
def test_what_is_found_in_the_part_that_is_scanned_counts(world, version):
    topic = f"short/reject/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, EVIL + harmless(5000), 1, INVALID)
    event, = found(world, topic, check="short-reject")
    assert (get(event, "mqward.yara.scan_complete"), get(event, "mqward.yara.incomplete")) == (False, "max_scan")


@VERSIONS
@pytest.mark.parametrize("offset, seen", ((4096 - len(EVIL), True), (4097 - len(EVIL), False)))
def test_max_scan_is_exact(world, version, offset, seen):
    topic = f"short/alert/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, harmless(offset) + EVIL, 1, INVALID if seen else 0)
    if seen:
        assert get(found(world, topic, check="short-alert")[0], "mqward.yara.scan_complete") is True
    else:
        unfinished(world, topic, "max_scan", check="short-alert")


@VERSIONS
def test_an_alert_does_not_let_through_what_was_not_scanned(world, version):
    """`on_match: alert` and `on_error: reject`: what goes wrong decides, and is what the event is about."""
    topic = f"strict/{world.name()}"
    observer, sender = world.observer("strict/#"), world.connected(version=version)
    sender.publish(topic, evil(100), 1)
    sender.publish(topic, EVIL + harmless(5000), 1, INVALID)
    assert payloads(world.arrived(observer, sender)) == [evil(100)]
    found(world, topic, check="strict")
    event = world.audit.wait_for(action=FAILED, topic=topic)
    assert get(event, "reason") == "scan_incomplete" and get(event, "mqward.yara.rules") == ["evil_mark"]


@VERSIONS
@pytest.mark.parametrize("payload, view", (
    (nested(EVIL + b" and some more text", 4), "base64/base64/base64/base64"), (packed(EVIL, 4), "gzip/gzip/gzip/gzip"),
    (b'{"a": "' + base64.b64encode(gzip.compress(b'{"b":"\\u0045VIL-MARK"}', mtime=0)) + b'"}', "base64/gzip/json")),
    ids=("base64", "gzip", "mixed"))
def test_nesting_within_bounds_is_seen_through(world, version, payload, view):
    topic = f"long/reject/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, payload, 1, INVALID)
    assert get(found(world, topic, check="long-reject")[0], "mqward.yara.view") == view


@VERSIONS
def test_deep_structures_are_only_bytes(world, version):
    topic = f"long/reject/{world.name()}"
    observer, sender = world.observer("long/reject/#"), world.connected(version=version)
    sent = [b"[" * 1_000_000, b'{"a":' * 200_000 + b"}" * 200_000, b"\0" * 500_000, b"\xff\xfe" * 8]
    for payload in sent:
        sender.publish(topic, payload, 1)
    assert payloads(world.arrived(observer, sender)) == sent
    assert world.audit.all(topic=topic) == []
