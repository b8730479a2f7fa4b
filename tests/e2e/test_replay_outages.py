# SPDX-License-Identifier: Apache-2.0
"""The shared replay store is away: each check says what happens, the audit hears of it, and all goes on by itself."""
import contextlib
import signal

import pytest

import raw
from audit import get
from sharing import MODES, NONCE, SEQ, check_of, degraded, message_of, place, restored  # noqa: F401
from signatures import PLC7, REFUSED, VERSIONS, WILL, events, packet, payloads, publish, user, will

pytestmark = pytest.mark.brokerless


@VERSIONS
@MODES
def test_deny_refuses_while_redis_is_away(place, version, replay):
    world = place.world(check_of(replay))
    observer, client = world.observer("dt/#"), user(world, version=version)
    publish(client, message_of(replay, 1, payload=b"before"))
    place.redis.kill()
    degraded(world, "replay_unreachable")
    message = message_of(replay, 2, payload=b"refused")
    for _ in range(3):
        publish(client, message, code=REFUSED)
    assert {get(event, "severity") for event in events(world, "sig_store_down", 3)} == {73}
    refused = world.client(version)
    refused.connect("refused", REFUSED, username="plc-7", password=b"secret",
                    will=will(version, message_of(replay, 3, flags=WILL | (4 if replay == "seq" else 0))))
    place.redis.start()
    restored(world)
    publish(client, message)  # it never went on: it may come again
    assert payloads(world.arrived(observer, client)) == [b"before", b"refused"]


@VERSIONS
@MODES
def test_local_falls_back_and_tells_the_others_later(place, version, replay):
    first, second = (place.world(check_of(replay, "local")) for _ in range(2))
    observer = first.observer("dt/#", qos=1)
    here, there = user(first, version=version), user(second, version=version)
    place.redis.kill()
    for world in (first, second):
        degraded(world, "replay_unreachable")
    message = message_of(replay, 1)
    publish(here, message)
    publish(here, message, code=REFUSED)
    publish(here, message, dup=True)
    place.redis.start()
    for world in (first, second):
        restored(world)
    place.wait_done()
    publish(there, message, code=REFUSED)
    assert len(first.arrived(observer, here, there)) == 1


@pytest.mark.parametrize("store_down", ("local", "deny"))
def test_a_hung_redis_costs_the_time_out_once(place, store_down):
    """The first message waits for it; those behind, and all later ones, do not wait any more."""
    world = place.world(check_of("nonce", store_down), timeout="2s")
    client = user(world)
    code = 0 if store_down == "local" else REFUSED
    place.redis.pause()
    with contextlib.ExitStack() as stack:
        stack.callback(place.redis.resume)
        for _ in range(5):
            publish(client, PLC7.sign(), code=code)
        degraded(world, "replay_unreachable")
        if store_down == "deny":
            events(world, "sig_store_down", 5)
    restored(world)
    message = PLC7.sign()
    publish(client, message)
    publish(client, message, code=REFUSED)


def test_a_connection_that_breaks_refuses_what_waits(place):
    world = place.world(NONCE, configuration={"workers": 1})
    client = user(world)
    place.relay.hold()
    client.send(b"".join(packet(client, PLC7.sign(), 1, packet_id=number) for number in range(1, 11)))
    place.relay.wait_for("SET", 10)
    place.relay.cut()
    for number in range(1, 11):
        client.expect(raw.PUBACK, packet_id=number, code=REFUSED)
    assert len(events(world, "sig_store_down", 10)) == 10
    restored(world)
    publish(client, PLC7.sign())


def test_each_refused_message_has_its_event(place):
    world = place.world(NONCE)
    client = user(world)
    place.redis.kill()
    degraded(world, "replay_unreachable")
    for number in range(1, 301):
        client.send(packet(client, PLC7.sign(payload=b"%d" % number), 1, packet_id=number))
    for number in range(1, 301):
        client.expect(raw.PUBACK, packet_id=number, code=REFUSED)
    assert {get(event, "message_id") for event in events(world, "sig_store_down", 300)} == set(range(1, 301))


def test_a_redis_without_memory_is_told_of_and_comes_back(place):
    world = place.world(NONCE)
    client = user(world)
    place.command("CONFIG", "SET", "maxmemory", "1")
    publish(client, PLC7.sign(), code=REFUSED)
    assert "OOM" in get(degraded(world, "replay_refused"), "mqward.detail")
    place.relay.wait_for("PING", place.relay.count("PING") + 3)  # it tries, and finds it as it was
    assert not world.audit.all(action="replay-restored")
    place.command("CONFIG", "SET", "maxmemory", "0")
    restored(world)
    publish(client, PLC7.sign())


def test_rights_that_are_not_enough_are_told_of(place, tmp_path):
    place.command("ACL", "SETUSER", "replay", "on", ">secret", "~mps1:*", "+@all", "-evalsha")
    (tmp_path / "replay.pass").write_text("secret\n", encoding="utf-8")
    (tmp_path / "replay.pass").chmod(0o600)
    world = place.world(NONCE, wait=False,
                        more={"username": "replay", "password_file": str(tmp_path / "replay.pass")})
    assert "NOPERM" in get(degraded(world, "replay_refused"), "mqward.detail")
    publish(user(world), PLC7.sign(), code=REFUSED)
    events(world, "sig_store_down")
    place.command("ACL", "SETUSER", "replay", "+evalsha")
    restored(world)
    publish(user(world), PLC7.sign())


def test_scripts_that_redis_forgot_are_loaded_again(place):
    world = place.world(SEQ)
    client = user(world)
    publish(client, PLC7.count(1))
    place.command("SCRIPT", "FLUSH")
    publish(client, PLC7.count(2), code=REFUSED)
    assert "NOSCRIPT" in get(degraded(world, "replay_refused"), "mqward.detail")
    restored(world)
    publish(client, PLC7.count(2))


def test_a_proxy_that_stops_waits_until_redis_knows_what_is_done(place):
    """Redis had lost the message: it has to be told twice."""
    world = place.world(NONCE, broker="fake", configuration={"workers": 1})
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "last", username="plc-7", password=b"secret"))
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    client.send(packet(client, PLC7.sign(), 1, packet_id=5))
    broker.expect(raw.PUBLISH)
    place.command("FLUSHALL")
    place.relay.delay = 0.05  # well below what the end of a worker waits for Redis
    broker.send(raw.ack(raw.PUBACK, raw.V5, 5))
    client.expect(raw.PUBACK, packet_id=5, code=0)
    client.abort()  # nothing is left that a stop would wait for
    broker.abort()
    world.proxy.finish()
    place.wait_done()


def test_the_last_acknowledged_messages_are_done_when_the_proxy_stops(place):
    """Else they could come once more, as retransmissions, through another proxy."""
    first, second = place.world(NONCE), place.world(NONCE)
    observer, client = first.observer("dt/#", qos=1), user(first)
    messages = [PLC7.sign(payload=b"%d" % number) for number in range(20)]
    for message in messages:
        publish(client, message)
    first.proxy.signal(signal.SIGTERM)
    assert first.proxy.terminate() == 0
    place.wait_done(20)
    there = user(second)
    for message in messages:
        publish(there, message, dup=True)
    assert len(first.arrived(observer, there)) == 20
    events(second, "sig_dup_suppressed", 20)
