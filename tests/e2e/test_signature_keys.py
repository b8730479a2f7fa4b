# SPDX-License-Identifier: Apache-2.0
"""Keys and signers while mqward runs: gateways, rotation, revocation, generations, expiry, and the store that outlives
all of that."""
import pytest

import raw
from audit import get
from processes import wait_until
from servers import run_cli
from signatures import (EVA, MASTER, OPERATOR, PLC7, PLC8, REFUSED, SEQ, VERSIONS, Key, Signer, events, now, packet,
                        payloads, policy, publish, refuses, settled, signed, signed_world, user, write_keys)
from test_reload import reload

pytestmark = pytest.mark.brokerless
GATEWAY = Signer("gw-1")


def rekey(world, *keys, checks=()):
    """Other keys (and checks) for mqward as it runs."""
    write_keys(world, *keys)
    reload(world, policy(*checks) if checks else None)
    settled(world)


# ---- gateways ----

@VERSIONS
def test_a_gateway_brings_the_messages_of_its_devices(make_world, version):
    world = signed_world(make_world, signed("relay: {gateways: [plc-7, \"plc-1*\"]}"))
    observer = world.observer("dt/#")
    gateway, other = user(world, "gw-1", version), user(world, "plc-8", version)
    for signer in (PLC7, Signer("plc-1"), Signer("plc-12"), GATEWAY):
        publish(gateway, signer.sign("dt/x", signer.sub))
    for signer in (PLC8, Signer("plc-70"), Signer("gw-2")):
        refuses(world, gateway, signer.sign("dt/x", signer.sub), "sig_identity")
    publish(other, PLC8.sign("dt/x", "its own"))
    event = refuses(world, other, PLC7.sign("dt/x", "of another"), "sig_identity")
    assert (get(event, "user"), get(event, "severity")) == ("plc-8", 99)
    refuses(world, other, GATEWAY.sign("dt/x", "of the gateway"), "sig_identity")
    assert payloads(world.arrived(observer, gateway, other)) == [b"plc-7", b"plc-1", b"plc-12", b"gw-1", b"its own"]


@VERSIONS
def test_a_message_comes_once_whoever_brings_it(make_world, version):
    world = signed_world(make_world, signed("relay: {gateways: [plc-7]}"))
    observer, message = world.observer("dt/#"), PLC7.sign("dt/x")
    publish(user(world, "plc-7", version), message)
    refuses(world, user(world, "gw-1", version), message, "sig_replay")
    refuses(world, user(world, "gw-1", version), PLC7.sign("dt/x", b"another", nonce=message.nonce),
            "sig_nonce_reuse")
    assert payloads(world.arrived(observer)) == [message.payload]


def test_each_group_has_its_own_devices(make_world):
    world = signed_world(make_world, signed("relay: {gateways: plc-7, people: plc-8}"))
    gateway, person = user(world, "gw-1"), user(world, "eva")
    publish(gateway, PLC7.sign())
    publish(person, PLC8.sign())
    refuses(world, gateway, PLC8.sign(), "sig_identity")
    refuses(world, person, PLC7.sign(), "sig_identity")


def test_a_static_key_is_one_signers(make_world):
    world = signed_world(make_world, signed(keys="m25a, ops-1", terms="relay: {gateways: [\"*\"]}"))
    observer = world.observer("dt/#")
    publish(user(world, "eva"), EVA.sign("dt/x", b"eva"))
    refuses(world, user(world, "adam"), Signer("adam", OPERATOR).sign(), "sig_identity")
    refuses(world, user(world, "adam"), EVA.sign(), "sig_identity")
    publish(user(world, "gw-1"), EVA.sign("dt/x", b"through a gateway"))
    assert payloads(world.arrived(observer)) == [b"eva", b"through a gateway"]


# ---- sequences ----

@VERSIONS
def test_counters_count_once_within_a_window_of_64(make_world, version):
    world = signed_world(make_world, signed("replay: seq"))
    observer = world.observer("dt/#")
    sender = user(world, version=version)

    def passes(*counters, epoch=1):
        for counter in counters:
            publish(sender, PLC7.count(counter, epoch, payload=b"%d.%d" % (epoch, counter)))
        return [b"%d.%d" % (epoch, counter) for counter in counters]

    def replayed(*counters, epoch=1):
        for counter in counters:
            publish(sender, PLC7.count(counter, epoch, payload=b"again"), code=REFUSED)
        return len(counters)

    wanted = passes(1, 4, 3, 2)
    refused = replayed(1, 2, 3, 4)
    wanted += passes(100, 37)
    refused += replayed(36, 37, 100)
    wanted += passes(101, 38)
    refused += replayed(37, 38)
    wanted += passes(5, epoch=2)
    refused += replayed(102, 1000) + replayed(5, epoch=2)
    wanted += passes(1, 6, epoch=2)
    assert len(events(world, "sig_replay", refused)) == refused
    assert payloads(world.arrived(observer, sender)) == wanted


def test_a_sequence_with_a_time_is_held_to_it(make_world):
    world = signed_world(make_world, signed("replay: seq"))
    observer, sender = world.observer("dt/#"), user(world)
    refuses(world, sender, PLC7.count(1, t=now() - 301_000), "sig_expired")
    refuses(world, sender, PLC7.count(2, t=now() + 90_000), "sig_future")
    refuses(world, sender, PLC7.sign(), "sig_replay_mode")
    refuses(world, sender, PLC7.count(3, key=bytes(32)), "sig_invalid")
    for counter in (1, 2, 3):  # none of them was used up
        publish(sender, PLC7.count(counter, t=now()))
    assert len(world.arrived(observer, sender)) == 3


def test_without_replay_protection_both_kinds_pass_again_and_again(make_world):
    world = signed_world(make_world, signed("replay: none"))
    observer, sender = world.observer("dt/#"), user(world)
    for message in (PLC7.sign(), PLC7.count(1), PLC7.sign("dt/x", flags=SEQ, nonce=bytes(16))):
        publish(sender, message)
        publish(sender, message)
    refuses(world, sender, PLC7.sign(t=now() - 301_000), "sig_expired")
    assert len(world.arrived(observer, sender)) == 6


# ---- rotation ----

@VERSIONS
def test_a_master_is_changed_with_an_overlap(make_world, version):
    old, new = Key("m25a"), Key("m26a")
    world = signed_world(make_world, signed(), keys=(old,))
    observer, sender = world.observer("dt/#"), user(world, version=version)
    before, after = Signer("plc-7", old), Signer("plc-7", new)
    publish(sender, before.sign("dt/x", b"1"))
    refuses(world, sender, after.sign(), "sig_key_unknown")
    rekey(world, old, new)
    refuses(world, sender, after.sign(), "sig_key_unknown")  # in keys.yaml, but not named by the check
    rekey(world, old, new, checks=[signed(keys="m25a, m26a")])
    publish(sender, before.sign("dt/x", b"2"))
    publish(sender, after.sign("dt/x", b"3"))
    old.more["not_after"] = -1
    rekey(world, old, new)
    event = refuses(world, sender, before.sign(), "sig_key_inactive")
    assert (get(event, "kid"), get(event, "signer")) == ("m25a", "plc-7")
    publish(sender, after.sign("dt/x", b"4"))
    rekey(world, new, checks=[signed(keys="m26a")])
    refuses(world, sender, before.sign(), "sig_key_unknown")
    publish(sender, after.sign("dt/x", b"5"))
    assert payloads(world.arrived(observer, sender)) == [b"1", b"2", b"3", b"4", b"5"]


def test_a_key_ends_while_connections_live(make_world):
    """Without a reload at that time: not_after is a time, and time passes."""
    key = Key("m25a", more={"not_after": 3600})
    world = signed_world(make_world, signed(), keys=(key,))
    observer, sender, signer = world.observer("dt/#"), user(world), Signer("plc-7", key)
    publish(sender, signer.sign())
    key.more["not_after"] = 2
    rekey(world, key)

    def ended():
        publish(sender, signer.sign(), 0)
        return world.audit.all(reason="sig_key_inactive")
    wait_until(ended, "the key's end")
    refuses(world, sender, signer.sign("dt/y"), "sig_key_inactive")
    assert all(message.topic == "dt/x" for message in world.arrived(observer, sender))


def test_a_key_begins_while_connections_live(make_world):
    key = Key("m25a", more={"not_before": 3600})
    world = signed_world(make_world, signed(), keys=(key,))
    sender, signer = user(world), Signer("plc-7", key)
    event = refuses(world, sender, signer.sign(), "sig_key_inactive")
    assert get(event, "user") == "plc-7"
    key.more["not_before"] = -1
    write_keys(world, key)
    reload(world)
    settled(world)
    publish(sender, signer.sign())


# ---- revocation and generations ----

@pytest.mark.core
@VERSIONS
@pytest.mark.parametrize("how", ("signal", "command"))
def test_a_device_is_revoked_on_its_live_connection(make_world, version, how):
    key = Key("m25a")
    world = signed_world(make_world, signed(), keys=(key,), configuration={"control": {"socket": "control.sock"}})
    observer = world.observer("dt/#")
    stolen, other = user(world, "plc-9", version), user(world, "plc-7", version)
    publish(stolen, Signer("plc-9", key).sign("dt/x", b"before"))
    key.more["revoked"] = ["plc-9"]
    if how == "signal":
        rekey(world, key)
    else:
        write_keys(world, key)
        result = run_cli("reload", "-c", "mqward.yaml", folder=world.proxy.folder)
        assert result.returncode == 0, result.stderr
        settled(world)
    for generation in (None, 2):
        event = refuses(world, stolen, Signer("plc-9", key, generation).sign(), "sig_key_revoked")
        assert (get(event, "signer"), get(event, "severity")) == ("plc-9", 99)
    publish(other, Signer("plc-7", key).sign("dt/x", b"another device"))
    assert payloads(world.arrived(observer, stolen, other)) == [b"before", b"another device"]


@VERSIONS
def test_a_generation_voids_those_before(make_world, version):
    key = Key("m25a")
    world = signed_world(make_world, signed(), keys=(key,))
    observer, sender = world.observer("dt/#"), user(world, "plc-3", version)
    first, second, third = (Signer("plc-3", key, generation) for generation in (None, 2, 3))
    for signer in (first, second):
        publish(sender, signer.sign())
    key.more["min_generation"] = {"plc-3": 2}
    rekey(world, key)
    refuses(world, sender, first.sign(), "sig_key_revoked")
    refuses(world, sender, Signer("plc-3", key, 1).sign(), "sig_key_revoked")
    event = refuses(world, sender, second.sign("dt/x", key=first.sign().key), "sig_invalid")
    assert get(event, "kid") == "m25a.2"
    publish(sender, second.sign())
    publish(sender, third.sign())
    publish(user(world, "plc-7", version), Signer("plc-7", key).sign())
    assert len(world.arrived(observer, sender)) == 5


def test_keys_that_can_not_be_read_change_nothing(make_world):
    world = signed_world(make_world)
    sender = user(world)
    with open(f"{world.proxy.folder}/keys.yaml", "w", encoding="ascii") as file:
        file.write("version: 1\nkeys: []\n")
    reload(world, event="not reloaded: what was in force stays")
    publish(sender, PLC7.sign())
    refuses(world, sender, PLC8.sign(), "sig_identity")


# ---- what a reload does not forget ----

@VERSIONS
@pytest.mark.parametrize("replay", ("nonce", "seq"))
def test_the_store_outlives_reloads(make_world, version, replay):
    world = signed_world(make_world, signed(f"replay: {replay}"))
    observer, sender = world.observer("dt/#"), user(world, version=version)
    message = PLC7.sign() if replay == "nonce" else PLC7.count(7)
    publish(sender, message)
    reload(world)
    settled(world)
    refuses(world, sender, message, "sig_replay")
    rekey(world, MASTER, OPERATOR, checks=[signed(f"replay: {replay}, max_age: 10m", name="renamed", topics="#")])
    refuses(world, sender, message, "sig_replay", check="renamed")
    refuses(world, user(world, version=version), message, "sig_replay", check="renamed")
    assert payloads(world.arrived(observer, sender)) == [message.payload]


def taken(observer, sender):
    """A message that came while it was younger than max_age: signed anew until one does."""
    def come():
        message = PLC7.sign()
        sender.send(packet(sender, message, packet_id=next(sender.identifiers)))
        sender.expect(raw.PUBACK)
        sender.publish("zz/marker/taken")  # needs no signature
        came = payloads(observer.messages_until("zz/marker/taken"))
        assert came in ([], [message.payload])
        return came and message
    return wait_until(come, "a message that is taken")


def grown_old(observer, sender, message):
    """Waits until the message is older than a second, and has others sent behind it: what can be forgotten is."""
    wait_until(lambda: now() > message.t + 1200, "the message's old age")
    taken(observer, sender)


@VERSIONS
def test_what_was_forgotten_is_not_new_when_older_messages_are_taken(make_world, version):
    """A reload raises max_age: for what is signed from then on."""
    world = signed_world(make_world, signed("max_age: 1s, skew: 0s"))
    observer, sender = world.observer("dt/x"), user(world, version=version)
    message = taken(observer, sender)
    unseen = PLC7.sign("dt/x", b"unseen", t=message.t)
    grown_old(observer, sender, message)
    rekey(world, MASTER, OPERATOR, checks=[signed("max_age: 1h, skew: 0s")])
    for item in (message, unseen):
        refuses(world, sender, item, "sig_replay")
    publish(sender, PLC7.sign("dt/x", b"new"))
    assert payloads(world.arrived(observer, sender)) == [b"new"]


@VERSIONS
def test_a_message_comes_once_though_another_check_takes_older_ones(make_world, version):
    world = signed_world(
        make_world, signed("max_age: 1s, skew: 0s", name="direct", check="who: devices"),
        signed("max_age: 1h, relay: {gateways: [plc-7]}", name="relayed", check="who: gateways"))
    observer, sender, gateway = world.observer("dt/x"), user(world, version=version), user(world, "gw-1", version)
    message = taken(observer, sender)
    grown_old(observer, sender, message)
    refuses(world, sender, message, "sig_expired", check="direct")
    refuses(world, gateway, message, "sig_replay", check="relayed")
    publish(gateway, message, dup=True)
    publish(gateway, PLC7.sign("dt/x", b"late", t=message.t))
    assert payloads(world.arrived(observer, sender, gateway)) == [b"late"]


def test_a_check_that_is_new_holds_for_connections_that_live(make_world):
    world = signed_world(make_world, signed(topics="elsewhere/#"))
    observer, sender = world.observer("dt/#"), user(world)
    sender.publish("dt/x", b"1", 1)
    reload(world, policy(signed()))
    settled(world)
    sender.publish("dt/x", b"2", 1, REFUSED)
    publish(sender, PLC7.sign("dt/x", b"3"))
    reload(world, policy(signed(topics="elsewhere/#")))
    settled(world)
    sender.publish("dt/x", b"4", 1)
    assert payloads(world.arrived(observer, sender)) == [b"1", b"3", b"4"]
