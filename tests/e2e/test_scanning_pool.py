# SPDX-License-Identifier: Apache-2.0
"""Large messages, which threads of their own scan: the order of a connection is kept in both directions, nothing is
lost, and whoever sends what is dear to scan holds up nobody else."""
import base64
import gzip
import os
import select
import threading
import time

import pytest

import raw
from crowd import Crowd
from scanning import (ENDLESS, INVALID, MATCHED, QOS, RULE, SHIPPED, VERSIONS, cpu, evil, found, harmless, payloads,
                      rule, scan, scan_world, threads, unfinished, wait_idle, worker)

pytestmark = pytest.mark.brokerless
KIB, MIB = 1 << 10, 1 << 20
# Large and small ones, in an order in which whoever does not wait would overtake.
MIXED = [harmless(size, number) for number, size in enumerate((
    64 * KIB, 10, 256 * KIB, 100, 15_000, 17_000, 2 * MIB, 20, 64 * KIB, 1, 128 * KIB, 30, 0, 500 * KIB, 40))]
WIDE = "max_scan: 4MiB, timeout: 10s"


@pytest.fixture(scope="module")
def world(make_shared_world):
    return scan_world(make_shared_world, scan(f"at: [publish, receive], {WIDE}", topics="dt/#"),
                      scan(f"at: receive, {WIDE}", name="delivered", topics="out/#"), packet="16MiB")


def send_all(client, topic, messages, qos, first=1):
    """In one stream, without a wait for any answer; what the client sends meanwhile comes between two packets of it."""
    packets = [raw.publish(client.version, topic, message, qos, packet_id=number if qos else None)
               for number, message in enumerate(messages, first)]
    lock, send = threading.Lock(), client.send

    def send_whole(data):
        with lock:
            send(data)

    def run():
        for index in range(0, len(packets), 3):  # several at once: what is behind a large one is there already
            send_whole(b"".join(packets[index:index + 3]))
            time.sleep(0.001)  # whoever waits for the lock gets it
    client.send = send_whole
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def answers(client, qos, count):
    """The packet ids of the first acknowledgements, in their order; QoS 2 up to PUBCOMP."""
    kind, found = (raw.PUBACK, raw.PUBREC)[qos - 1], []
    completed = 0
    while len(found) < count or (qos == 2 and completed < count):
        packet = client.receive(30)
        if packet.type == kind:
            found.append((packet.packet_id, packet.code))
            if qos == 2 and packet.code < 0x80:
                client.send(raw.ack(raw.PUBREL, client.version, packet.packet_id))
            elif qos == 2:
                completed += 1
        elif packet.type == raw.PUBCOMP:
            completed += 1
        else:
            assert packet.type == raw.PINGRESP, packet
    return found


# ---- order ----

@pytest.mark.core
@VERSIONS
@QOS
def test_a_clients_messages_stay_in_order(world, version, qos):
    observer, sender = world.observer("dt/#", qos=qos), world.connected(version=version)
    messages = MIXED[:7] + [evil(100 * KIB)] + MIXED[7:]
    thread = send_all(sender, "dt/x", messages, qos)
    if qos:
        refusal = sender.in_version(raw.PUBACK, INVALID)
        wanted = [(number, refusal if number == 8 else 0) for number in range(1, len(messages) + 1)]
        assert answers(sender, qos, len(messages)) == wanted
    thread.join(10)
    assert payloads(world.arrived(observer, sender)) == MIXED


@pytest.mark.core
@VERSIONS
@QOS
def test_deliveries_stay_in_order(world, version, qos):
    topic = f"out/{world.name()}"
    receiver = world.connected(version=version)
    receiver.subscribe(topic, qos=qos)
    with world.direct(version=version) as behind:
        for number, message in enumerate(MIXED):
            behind.publish(topic, message, qos)
            if number == 6:
                behind.publish(topic, evil(100 * KIB), qos)
        assert [receiver.message(30).payload for _ in MIXED] == MIXED
    found(world, topic, check="delivered")


@VERSIONS
def test_both_directions_at_once_and_pings_between(world, version):
    """A client that sends while it receives: each direction keeps its order, and neither waits for the other's end."""
    topic = f"dt/{world.name()}"
    client = world.connected(version=version)
    client.subscribe(topic, qos=1)
    thread = send_all(client, topic, MIXED, 1)
    client.send(raw.pingreq())
    received, acknowledged, pongs = [], [], 0
    while len(received) < len(MIXED) or len(acknowledged) < len(MIXED) or not pongs:
        packet = client.receive(30)
        if packet.type == raw.PUBLISH:
            received.append(packet.payload)
            client.acknowledge(packet)
        elif packet.type == raw.PUBACK:
            acknowledged.append(packet.packet_id)
        else:
            pongs += packet.type == raw.PINGRESP
    thread.join(10)
    assert received == MIXED and acknowledged == list(range(1, len(MIXED) + 1))


@VERSIONS
def test_what_waits_behind_a_scan_is_not_lost_when_the_client_leaves(world, version):
    """DISCONNECT, or a closed connection: it comes behind what was sent before, and the will as it is due."""
    topic = f"dt/{world.name()}"
    observer = world.observer("dt/#", qos=1)
    for end in (raw.disconnect(version), b""):
        client_id = world.name()
        client = world.connected(client_id, version)
        client.send(raw.publish(version, topic, harmless(500 * KIB), 1, packet_id=1) +
                    raw.publish(version, topic, b"behind") + end)
        client.sock.shutdown(1)
        client.until_closed()
        world.broker.wait_gone(client_id)
    assert payloads(world.arrived(observer)) == [harmless(500 * KIB), b"behind"] * 2


@VERSIONS
def test_a_session_that_ends_in_the_middle_of_a_scan(world, version):
    """Clients that go away at once, by reset or because another takes their session over: nothing is left of them."""
    for number in range(8):
        client = world.connected("comes-and-goes", version)
        client.send(raw.publish(version, "dt/x", harmless(256 * KIB, number)))
        if number % 2:
            client.reset()
    client = world.connected("comes-and-goes", version)
    client.publish("dt/x", b"still here", 1)


@VERSIONS
def test_many_clients_at_once(world, version):
    """Forty of them, each with its own order; the pool has two threads."""
    count, each = 40, 4
    topic = world.name()
    sent = [[harmless(48 * KIB if (index + number) % 2 else 10, 1000 * index + number) for number in range(each)]
            for index in range(count)]
    crowd = Crowd()
    try:
        names = [f"{topic}-{number}" for number in range(count)]
        members = crowd.open_all(world.proxy.ports["plain"], names, lambda _: version)
        reader = members[0]
        reader.subscribe(f"out/{topic}/#")
        crowd.run_until(lambda: reader.granted, "SUBACK")
        for index, member in enumerate(members):
            for payload in sent[index]:
                member.publish(f"dt/{topic}/{index}" if index else f"out/{topic}/0", payload)
            member.publish(f"dt/{topic}/{index}", evil(20 * KIB))
        crowd.run_until(lambda: all(len(member.answers) == each + 1 for member in members), "all acknowledgements", 60)
        for index, member in enumerate(members):
            assert [payload for payload, _, _ in member.answers] == [*sent[index], evil(20 * KIB)]
            assert [code for _, code, _ in member.answers][-1] == (INVALID if version == raw.V5 else 0)
        crowd.run_until(lambda: len(reader.received) == each, "deliveries")
    finally:
        crowd.close()
    world.audit.wait_for_count(count, action=MATCHED, topic=lambda name: name and f"dt/{topic}/" in name)


# ---- nobody is held up ----

# More rules than a small payload may have candidates of.
MANY = RULE + "".join(rule(f"word_{number}", "all of them", a=f'"word{number:04d}"',
                           b=f'/[a-f]{{3}}word{number:04d}[0-9]+z/')
                      for number in range(60))


def nested(data, size):
    while len(data) < size:
        data = base64.b64encode(data)
    return data


# Each is dear in another way; {name: payload}.
DEAR = {
    "match flood": b"word0001" * 2000,
    "candidates of all rules": b" ".join(b"abcword%04d1" % (number % 60) for number in range(1200)),
    "nested base64": nested(b"Some Text 123 ", 12_000),
    "base64 of many kinds": b" ".join(base64.b64encode(os.urandom(20)) for _ in range(400)),
    "gzip bomb": gzip.compress(bytes(8 * MIB), mtime=0),
    "many gzip": b"".join(gzip.compress(b"%d" % number * 30, mtime=0) for number in range(300)),
    "backslashes": b"\\" * 16_000,
    "large candidates": b" ".join(b"abcword%04d1" % (number % 60) for number in range(21_000)),
    "hexadecimal": bytes(range(256)).hex().encode() * 30,
}


@pytest.fixture(scope="module")
def single(make_shared_world):
    """With one worker."""
    return scan_world(make_shared_world, scan("at: [publish, receive]", rules="iot, many"),
                      scan("timeout: 300ms", name="endless", rules="endless", topics="endless/#"),
                      sets={"iot": {**SHIPPED["iot"], "budget": "100us"}, "many": MANY,
                            "endless": {"text": ENDLESS, "allow_slow": True}},
                      configuration={"workers": 1})


@pytest.mark.core
@pytest.mark.parametrize("size", (4 * KIB, 64 * KIB), ids=("small", "large"))
def test_others_are_served_while_a_scan_takes_its_time(single, size):
    """The one worker serves another client to and fro, and the sender's answer is still not there. A worker that scans
    by itself serves nobody meanwhile, in each try; what got too little CPU time in one shows it in the next."""
    other, sender = single.connected(), single.connected()
    other.subscribe("other/#", qos=1)
    for packet_id in range(1, 4):
        topic, trips, end = f"endless/{single.name()}", 0, time.monotonic() + 20
        sender.send(raw.publish(sender.version, topic, b"SLOWLY" + harmless(size), 1, packet_id=packet_id))
        while time.monotonic() < end and not select.select([sender.sock], [], [], 0)[0]:
            other.publish("other/x", b"%d" % trips)
            assert other.message().payload == b"%d" % trips
            trips += 1
        sender.expect(raw.PUBACK, 20, packet_id=packet_id)
        unfinished(single, topic, "timeout", check="endless", reason="scan_failed")
        if trips >= 10:
            break
    assert trips >= 10


@pytest.mark.parametrize("name", DEAR)
def test_what_is_dear_costs_the_worker_little(single, name):
    """An order of magnitude: CPU time of the worker's thread for a message, with whatever a build for tests adds. (The
    bound of a build for use is 5 ms.)"""
    sender, loop = single.connected(), worker(single)
    costs = []
    for number in range(6):
        wait_idle(single, loop)
        before = cpu(single, loop)
        sender.send(raw.publish(sender.version, "dt/x", DEAR[name] + b" %d" % number, 1, packet_id=1))
        sender.expect(raw.PUBACK, 20, packet_id=1)
        costs.append(cpu(single, loop) - before)
    assert sorted(costs)[len(costs) // 2] < 50_000_000, [cost / 1e6 for cost in costs]


def test_a_flood_of_dear_messages_holds_up_nobody(single):
    """Six clients send them as fast as they can; round trips of another go on all the time, and end with theirs."""
    hostile = [single.connected() for _ in range(6)]
    other = single.connected()
    other.subscribe("other/#", qos=1)
    sent = list(DEAR.values())
    pending = [send_all(client, "dt/x", (sent[index:] + sent[:index]) * 2, 1) for index, client in enumerate(hostile)]
    done = threading.Event()

    def wait_for_all():
        for client in hostile:
            answers(client, 1, 2 * len(sent))
        done.set()

    waiting = threading.Thread(target=wait_for_all, daemon=True)
    waiting.start()
    trips = 0
    while not done.is_set() or trips < 20:
        other.publish("other/x", b"%d" % trips)
        assert other.message(20).payload == b"%d" % trips
        trips += 1
        assert waiting.is_alive() or done.is_set(), "a hostile client was not answered"
    for thread in pending:
        thread.join(10)
    pool = [number for number, name in threads(single).items() if name.startswith("scan")]
    assert sum(cpu(single, number) for number in pool) > cpu(single, worker(single)) / 10, "the pool had nothing to do"
