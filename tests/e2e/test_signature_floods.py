# SPDX-License-Identifier: Apache-2.0
"""Floods: forged signatures leave no trace in the replay store, valid ones make it fail closed, and who fails too often
is banned."""
import pytest

import raw
from audit import get
from signatures import (PASSWORD, PLC7, PLC8, REFUSED, VERSIONS, Signer, events, now, packet, payloads, policy,
                        publish, refuses, signed, signed_world, user)

pytestmark = pytest.mark.brokerless
MIB = 1 << 20
COUNT = 20_000
SMALL = {"configuration": {"replay": {"per_signer": 64}}}


def flood(client, packets, at_once=500):
    """Sends packets of QoS 0, with a round trip now and then."""
    batch = []
    for number, data in enumerate(packets, 1):
        batch.append(data)
        if number % at_once == 0:
            client.send(b"".join(batch))
            client.ping()
            batch = []
    client.send(b"".join(batch))
    client.ping()


def quiet(*checks):
    """A policy whose denials are not audited: what is measured is the store."""
    return policy(*checks).replace("deny: all", "deny: none")


def forgeries(client, count, t, subs=("plc-7",)):
    """Right in all but the tag, which costs their maker nothing."""
    for number in range(count):
        message = PLC7.sign("dt/x", b"forged", sub=subs[number % len(subs)], t=t, nonce=number.to_bytes(16, "big"))
        header = message.covered() + bytes(32)
        yield raw.publish(client.version, "dt/x", header + message.payload)


@VERSIONS
def test_forgeries_do_not_get_into_the_store(make_world, version):
    """A signer has room for 64: were one forgery of these remembered, a message that is older could not come in."""
    world = signed_world(make_world, text=quiet(signed()), **SMALL)
    observer, sender = world.observer("dt/#"), user(world, version=version)
    first, late = PLC7.sign("dt/x", b"first"), PLC7.sign("dt/x", b"late")
    same_nonce = PLC7.sign("dt/x", b"a forgery had its nonce", nonce=(5).to_bytes(16, "big"))
    publish(sender, first)
    flood(sender, forgeries(sender, 1000, now()))
    before = world.proxy.resident()
    flood(sender, forgeries(sender, COUNT, now() + 30_000))
    for message in (late, same_nonce):
        publish(sender, message)
    publish(sender, first, code=REFUSED)
    assert payloads(world.arrived(observer, sender)) == [b"first", b"late", b"a forgery had its nonce"]
    assert world.proxy.resident() - before < 16 * MIB


def test_forged_signers_do_not_fill_memory(make_world):
    """Through a gateway that may bring anybody's, each forgery names another device, whose key must be derived."""
    world = signed_world(make_world, text=quiet(signed('relay: {gateways: ["*"]}')))
    observer, gateway = world.observer("dt/#"), user(world, "gw-1")
    names = [f"forged-{number}" for number in range(COUNT)]
    flood(gateway, forgeries(gateway, 1000, now(), names[:1000]))
    before = world.proxy.resident()
    flood(gateway, forgeries(gateway, COUNT, now(), names))
    publish(gateway, PLC7.sign("dt/x", b"a device"))
    publish(gateway, Signer(names[0]).sign("dt/x", b"one that was forged"))
    assert payloads(world.arrived(observer, gateway)) == [b"a device", b"one that was forged"]
    assert world.proxy.resident() - before < 64 * MIB


@VERSIONS
def test_a_flood_of_valid_messages_fails_closed(make_world, version):
    """What no longer fits is forgotten, and nothing as old is taken from this signer any more; others do not notice."""
    world = signed_world(make_world, signed('relay: {gateways: ["*"]}'), **SMALL)
    observer, sender = world.observer("dt/#"), user(world, "gw-1", version)
    start = now() - 60_000
    messages = [PLC7.sign("dt/x", b"%d" % number, t=start + number) for number in range(500)]
    flood(sender, (packet(sender, message, 0) for message in messages))
    assert payloads(world.arrived(observer, sender)) == [b"%d" % number for number in range(500)]
    for number in (0, 1, 250, 435, 436, 499):
        refuses(world, sender, messages[number], "sig_replay")
    publish(sender, messages[0], code=REFUSED, dup=True)
    never_seen = PLC7.sign("dt/x", b"as old as what is forgotten", t=start + 100)
    refuses(world, sender, never_seen, "sig_replay")
    publish(sender, PLC8.sign("dt/x", b"another signer", t=start + 100))
    publish(sender, PLC7.sign("dt/x", b"a new one"))
    assert payloads(world.arrived(observer, sender)) == [b"another signer", b"a new one"]


def test_a_flood_of_counters_changes_nothing(make_world):
    world = signed_world(make_world, signed("replay: seq"), **SMALL)
    observer, sender = world.observer("dt/#"), user(world)
    messages = [PLC7.count(number, payload=b"%d" % number) for number in range(1000)]
    flood(sender, (packet(sender, message, 0) for message in messages))
    assert len(world.arrived(observer, sender)) == 1000
    for number in (0, 900, 936, 999):
        refuses(world, sender, messages[number], "sig_replay")
    publish(sender, PLC7.count(1000))


# ---- on_deny ----

@VERSIONS
def test_who_forges_too_often_is_banned(make_world, version):
    repeat = "{count: 5, within: 1m, then: disconnect, ban: 10m, by: id}"
    world = signed_world(make_world, more=f"on_deny: {{repeat: {repeat}}}\n")
    sender, other = user(world, "plc-8", version), user(world, "plc-7", version)
    for _ in range(4):
        refuses(world, sender, PLC7.sign(), "sig_identity")
    publish(sender, PLC8.sign())
    sender.send(packet(sender, PLC8.sign("dt/y", key=bytes(32)), packet_id=9))
    names = [item.name for item in sender.until_closed() if item.type != raw.PUBACK]
    assert names == (["DISCONNECT"] if version == raw.V5 else [])
    events(world, "sig_invalid", topic="dt/y")
    world.audit.wait_for(action="client-banned")
    client = world.client(version)
    client.send(raw.connect(version, "again", username="plc-8", password=PASSWORD))
    client.expect(raw.CONNACK, code=0x8A if version == raw.V5 else 5)
    publish(other, PLC7.sign())


@VERSIONS
def test_on_deny_disconnect_ends_the_connection(make_world, version):
    world = signed_world(make_world, more="on_deny: {publish: disconnect}\n")
    observer, sender = world.observer("dt/#"), user(world, version=version)
    publish(sender, PLC7.sign("dt/x", b"good"))
    sender.send(packet(sender, PLC7.sign("dt/x", b"forged", key=bytes(32)), packet_id=9))
    sender.expect_disconnect(REFUSED)
    assert get(events(world, "sig_invalid")[0], "disposition") == "closed"
    assert payloads(world.arrived(observer)) == [b"good"]


@VERSIONS
def test_a_retransmission_of_what_arrived_is_no_offence(make_world, version):
    """However often, and whatever a denial leads to."""
    world = signed_world(make_world, more="on_deny: {publish: disconnect, repeat: {count: 2, within: 1m, ban: 1m}}\n")
    message, sender = PLC7.sign(), user(world, version=version)
    publish(sender, message)
    for _ in range(5):
        publish(sender, message, dup=True)
    publish(sender, PLC7.sign())
    assert world.audit.all(action="client-banned") == []
