# SPDX-License-Identifier: Apache-2.0
"""Proxies that share the replay store through Redis: what one has taken, none takes again; a message waits for the
answer and nothing else does."""
import time

import pytest

import raw
from processes import wait_until
from sharing import MODES, NONCE, SEQ, check_of, message_of, place  # noqa: F401
from signatures import (PAYLOAD, PLC7, REFUSED, VERSIONS, WILL, events, packet, payloads, policy, publish, signed, user,
                        will)
from test_pressure import flood
from test_reload import reload
from wire import FROM_BROKER

pytestmark = pytest.mark.brokerless


# ---- what one proxy has taken ----

@VERSIONS
@MODES
def test_a_replay_through_another_proxy_is_refused(place, version, replay):
    first, second = place.world(check_of(replay)), place.world(check_of(replay))
    observer = first.observer("dt/#")
    here, there = user(first, version=version), user(second, version=version)
    for number, qos in enumerate((0, 1, 2), 1):
        message = message_of(replay, number, payload=b"%d" % qos)
        publish(here, message, qos)
        here.ping()
        publish(there, message, 1, code=REFUSED)
        publish(there, message, 2, code=REFUSED)
        publish(there, message, 0)
    assert payloads(first.arrived(observer, here, there)) == [b"0", b"1", b"2"]
    events(second, "sig_replay", 9)


@VERSIONS
def test_a_nonce_that_another_proxy_has_seen_is_used_up(place, version):
    first, second = place.world(NONCE), place.world(NONCE)
    message = PLC7.sign()
    publish(user(first, version=version), message)
    publish(user(second, version=version), PLC7.sign(payload=b"another", nonce=message.nonce), code=REFUSED)
    events(second, "sig_nonce_reuse")


def test_counters_move_on_through_any_proxy(place):
    first, second = place.world(SEQ), place.world(SEQ)
    observer = first.observer("dt/#", qos=1)
    here, there = user(first), user(second)
    for counter in range(0, 200, 2):
        publish(here, PLC7.count(counter, payload=b"%d" % counter))
        publish(there, PLC7.count(counter + 1, payload=b"%d" % (counter + 1)))
    for counter in (0, 100, 135):
        publish(here, PLC7.count(counter), code=REFUSED)
    assert payloads(first.arrived(observer, here, there)) == [b"%d" % counter for counter in range(200)]


@VERSIONS
@MODES
def test_a_retransmission_through_another_proxy_while_it_is_pending_and_when_it_is_done(place, version, replay):
    """The broker's answer was lost on the way to the first proxy: the message goes on through the second, once it is
    acknowledged no more. Nothing that the first one forwarded would be answered."""
    first, second = place.world(check_of(replay), wire=True), place.world(check_of(replay))
    observer = first.observer("dt/#", qos=1)
    here, there = user(first, version=version), user(second, version=version)
    message = message_of(replay)
    first.wire.lose((FROM_BROKER, raw.PUBACK))
    here.send(packet(here, message, 1, packet_id=7))
    first.wire.wait_lost()
    here.reset()
    publish(there, message, 1, dup=True)
    assert payloads(first.arrived(observer, there)) == [message.payload] * 2
    place.wait_done()
    publish(there, message, 1, dup=True)
    publish(user(first, version=version), message, 1, dup=True)
    publish(there, message, 1, code=REFUSED)
    assert first.arrived(observer, there) == []
    for world in (first, second):
        events(world, "sig_dup_suppressed")


@VERSIONS
@MODES
def test_what_is_done_is_acknowledged_by_another_proxy_and_not_forwarded(place, version, replay):
    first, second = place.world(check_of(replay)), place.world(check_of(replay))
    observer = first.observer("dt/#", qos=1)
    here, there = user(first, version=version), user(second, version=version)
    message = message_of(replay)
    publish(here, message)
    publish(here, message_of(replay, 2, payload=b"behind"))
    place.wait_done(2)
    publish(there, message, 1, dup=True)
    publish(there, message, 2, dup=True)
    assert payloads(first.arrived(observer, there)) == [message.payload, b"behind"]
    events(second, "sig_dup_suppressed", 2)


@VERSIONS
def test_a_will_of_another_proxy_is_refused(place, version):
    first, second = place.world(NONCE), place.world(NONCE)
    testament = will(version, PLC7.sign(flags=WILL))
    user(first, version=version, will=testament)
    client = second.client(version)
    client.connect("again", REFUSED, username="plc-7", password=b"secret", will=testament)
    second.audit.wait_for(action="mqtt-connect-refused", reason="sig_replay")


def test_a_store_that_lost_its_data_opens_nothing_on_the_proxy_that_knows(place):
    world = place.world(NONCE)
    observer, client = world.observer("dt/#"), user(world)
    message = PLC7.sign()
    publish(client, message)
    place.wait_done()
    place.command("FLUSHALL")
    publish(client, message, code=REFUSED)
    publish(client, message, dup=True)
    assert len(world.arrived(observer, client)) == 1
    events(world, "sig_replay")
    events(world, "sig_dup_suppressed")


# ---- waiting ----

@VERSIONS
@MODES
def test_a_message_waits_and_nothing_else_does(place, version, replay):
    """One worker: other connections go on, and so does the other direction of the same one."""
    world = place.world(check_of(replay), configuration={"workers": 1})
    observer = world.observer()
    waiting, other = user(world, version=version), user(world, version=version)
    waiting.subscribe("to/me")
    place.relay.hold()
    waiting.send(packet(waiting, message_of(replay), 1, packet_id=3))
    place.relay.wait_for("SET" if replay == "nonce" else "EVALSHA")
    other.publish("free/x", b"free", 1)
    other.publish("to/me", b"to you", 1)
    waiting.expect(raw.PUBLISH, topic="to/me")
    assert [message.topic for message in world.arrived(observer, other)] == ["free/x", "to/me"]
    place.relay.release()
    waiting.expect(raw.PUBACK, packet_id=3, code=0)
    assert observer.message().topic == "dt/x"


@pytest.mark.parametrize("version", (raw.V311, raw.V5))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_what_comes_behind_a_waiting_message_keeps_its_order(place, version, qos):
    """Unsigned messages, PINGREQ, SUBSCRIBE: each has its turn behind it."""
    world = place.world(NONCE)
    observer, client = world.observer(qos=1), user(world, version=version)
    messages = [PLC7.sign(payload=b"%d" % number) for number in range(3)]
    place.relay.hold()
    client.send(b"".join(packet(client, message, qos, packet_id=10 + number if qos else None) +
                         raw.publish(version, "free/x", b"free %d" % number, 0)
                         for number, message in enumerate(messages)) +
                raw.subscribe(version, 99, [("dt/none", 0)]) + raw.pingreq())
    place.relay.wait_for("SET", 3)
    place.relay.release()
    kinds = [client.receive().type for _ in range(2 + (3 if qos else 0))]
    assert kinds.count(raw.SUBACK) == 1 and kinds.count(raw.PINGRESP) == 1
    if qos == 2:
        for number in range(3):
            client.send(raw.ack(raw.PUBREL, version, 10 + number))
            client.expect(raw.PUBCOMP, packet_id=10 + number)
    wanted = [payload for number in range(3) for payload in (b"%d" % number, b"free %d" % number)]
    found = payloads(world.arrived(observer, client))
    assert sorted(found) == sorted(wanted)
    if qos < 2:  # at QoS 2 the broker passes a message on with its PUBREL
        assert found == wanted


BURST = 200


@VERSIONS
@MODES
def test_a_burst_is_asked_about_at_once(place, version, replay):
    """Many questions are under way at once, and order is kept."""
    world = place.world(check_of(replay), configuration={"workers": 1})
    observer, client = world.observer("dt/#", qos=1), user(world, version=version)
    place.relay.hold()
    qos = 0 if version == raw.V5 else 1  # 5.0: more than the broker's receive maximum is a protocol error
    client.send(b"".join(packet(client, message_of(replay, number, payload=b"%d" % number), qos,
                                packet_id=number if qos else None) for number in range(1, BURST + 1)))
    place.relay.wait_for("SET" if replay == "nonce" else "EVALSHA", BURST // 4)
    place.relay.release()
    for number in range(1, BURST + 1) if qos else ():
        client.expect(raw.PUBACK, packet_id=number, code=0)
    assert payloads(world.arrived(observer, client)) == [b"%d" % number for number in range(1, BURST + 1)]


@VERSIONS
@pytest.mark.parametrize("end", ("disconnect", "close"))
def test_messages_before_the_end_of_the_connection_are_not_lost(place, version, end):
    world = place.world(NONCE)
    observer, client = world.observer(), user(world, version=version, will=raw.Will("gone", b"gone"))
    place.relay.hold()
    client.send(b"".join(packet(client, PLC7.sign(payload=b"%d" % number), 0) for number in range(20)))
    if end == "disconnect":
        client.send(raw.disconnect(version))
    place.relay.wait_for("SET", 1)
    client.sock.shutdown(1)
    place.relay.release()
    gone = [b"gone"] if end == "close" else []  # the will depends on the DISCONNECT behind them
    wanted = [b"%d" % number for number in range(20)] + gone
    assert [observer.message().payload for _ in wanted] == wanted
    world.audit.wait_for(action="mqtt-disconnect")
    assert world.arrived(observer) == []


def test_a_connect_with_a_signed_will_waits(place):
    world = place.world(NONCE)
    client = world.client(raw.V5)
    place.relay.hold()
    client.send(raw.connect(raw.V5, "waits", username="plc-7", password=b"secret",
                            will=will(raw.V5, PLC7.sign(flags=WILL))))
    place.relay.wait_for("SET")
    place.relay.release()
    client.expect(raw.CONNACK, code=0)
    publish(client, PLC7.sign())


def test_whoever_leaves_while_its_message_waits_leaves_nothing_behind(place):
    """The answer comes for nobody; the message did not go on, and may come again as a retransmission."""
    world = place.world(NONCE, wire=True)
    observer, client = world.observer("dt/#"), user(world)
    message = PLC7.sign()
    place.relay.hold()
    client.send(packet(client, message, 1, packet_id=5))
    place.relay.wait_for("SET")
    world.wire.cut()
    client.until_closed()
    place.relay.release()
    publish(user(world), message, 1, dup=True)
    assert len(world.arrived(observer)) == 1


def test_an_answer_waits_for_room_in_the_audit(place):
    """Redis of the audit is away until its journal is full and the ring holds the last words of many clients."""
    world = place.world(NONCE, wait=False, redis=False, configuration={
        "workers": 1, "audit": {"quota": "1MiB", "segment": "256KiB", "ring": "256KiB"}})
    place.wait_up(world)
    observer, client, other = world.observer("dt/#"), user(world), user(world)
    leaving = [user(world) for _ in range(500)]
    place.relay.hold()
    client.send(packet(client, PLC7.sign(), 1, packet_id=5))
    place.relay.wait_for("SET")
    quota = "journal quota is full of unconfirmed events"
    full = "the ring is full: clients are not read until it has room"

    unsigned = raw.publish(other.version, "dt/x", b"unsigned", 0) * 100
    flood(other, unsigned, 40)  # it fills no more than its share
    wait_until(lambda: world.proxy.logged(quota), quota)
    for each in leaving:
        each.reset()
    wait_until(lambda: world.proxy.logged(full), full)
    assert len(world.proxy.logged("closing")) < len(leaving), "the ends of the last ones wait, too"
    place.relay.release()
    place.relay.wait_answered()
    world.redis.start()
    client.expect(raw.PUBACK, packet_id=5, code=0)
    assert observer.message().payload == PAYLOAD
    wait_until(lambda: len(world.proxy.logged("closing")) == len(leaving), "all have left")


def test_a_reload_waits_for_what_waits(place):
    world = place.world(NONCE)
    observer, client = world.observer("dt/#"), user(world)
    place.relay.hold()
    client.send(packet(client, PLC7.sign(payload=b"before"), 1, packet_id=5))
    place.relay.wait_for("SET")
    reload(world, policy(signed(keys="ops-1")))
    place.relay.release()
    client.expect(raw.PUBACK, packet_id=5, code=0)  # it came under the old policy
    publish(client, PLC7.sign(payload=b"behind"), code=REFUSED)
    events(world, "sig_key_unknown")
    assert payloads(world.arrived(observer, client)) == [b"before"]


def test_a_stop_does_not_wait_for_redis(place):
    world = place.world(NONCE, timeout="10s")
    client = user(world)
    place.relay.hold()
    client.send(packet(client, PLC7.sign(), 1, packet_id=5))
    place.relay.wait_for("SET")
    began = time.monotonic()
    world.proxy.finish()
    assert time.monotonic() - began < 8
    place.relay.release()


def test_replay_changes_only_with_a_restart(place):
    world = place.world(NONCE)

    def change(configuration):
        configuration["replay"]["redis"]["prefix"] = "other:"
    reload(world, configuration=change, event="this key changes only with a restart")
    line = world.proxy.logged("this key changes only with a restart")[0]
    assert line["key"] == "replay"
