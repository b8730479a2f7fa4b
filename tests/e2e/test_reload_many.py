# SPDX-License-Identifier: Apache-2.0
"""Reloads under 10,000 connected clients: nobody is disconnected, and no message that both policies allow is lost,
comes twice or out of order. A client costs the proxy two descriptors: where a process may have no more than 20,000 of
them, there are 9,900 clients."""
import collections
import signal
import time

import pytest

import raw
from crowd import Crowd, possible

CLIENTS = 10000
HOLDERS = 500    # subscribe to old/, which the second policy withdraws
RECEIVERS = 200  # get messages all the time
SENDERS = 100    # send messages all the time, every fourth of them to old/
PAUSE = 0.05     # seconds between two messages of a sender

POLICY = """\
version: 1
policy: first
identity:
  - anonymous: {id: guest}
rules:
  - rule: both
    who: everyone
    allow: [publish, subscribe]
    topics: [both/#, old/#]
"""
OTHER = POLICY.replace("policy: first", "policy: second").replace("old/#", "new/#")
CONFIGURATION = {
    "log": {"level": "info"},
    "audit": {"ring": "8MiB"},
    "listeners": [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True,
                   "limits": {"connections": CLIENTS + 100, "connections_per_address": 0}}],
}


class Scene:
    """The crowd and the traffic that goes on while anything is waited for."""

    def __init__(self, world):
        self.world, self.crowd = world, Crowd()
        count = possible(CLIENTS)
        assert count >= 1000, "too few file descriptors"
        self.observer = self.crowd.member(world.broker_port, "observer", raw.V5)
        self.observer.subscribe("both/out/#", "old/out/#")
        self.feeder = self.crowd.member(world.broker_port, "feeder", raw.V5)
        versions = (raw.V311, raw.V5)
        self.all = self.crowd.open_all(world.proxy.ports["plain"], [f"c{index}" for index in range(count)],
                                       lambda index: versions[index % 2])
        self.receivers = self.all[:RECEIVERS]
        self.senders = self.all[RECEIVERS:RECEIVERS + SENDERS]
        self.holders = self.all[-HOLDERS:]
        for index, receiver in enumerate(self.receivers):
            receiver.subscribe(f"both/in/{index}")
        for index, holder in enumerate(self.holders):
            holder.subscribe(f"old/in/{index}")
        self.due, self.round, self.numbers = 0.0, 0, collections.Counter()
        self.fed = collections.Counter()
        self.crowd.run_until(lambda: all(member.granted for member in self.receivers + self.holders), "subscriptions")

    def traffic(self):
        """One message of each sender that has its answer, and one to a fifth of the receivers."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + PAUSE
        for index, sender in enumerate(self.senders):
            if sender.sending:
                continue
            tree = "old" if index % 4 == 1 else "both"
            sender.publish(f"{tree}/out/{index}", b"%d-%d" % (index, self.numbers[index]))
            self.numbers[index] += 1
        if len(self.feeder.sending) < 1000:
            self.round += 1
            for index in range(self.round % 5, RECEIVERS, 5):
                self.feeder.publish(f"both/in/{index}", b"%d" % self.fed[index])
                self.fed[index] += 1

    def until(self, condition, what, timeout=30, every=0.2):
        """Turns, with traffic."""
        deadline, ask = time.monotonic() + timeout, 0.0
        while True:
            self.traffic()
            self.crowd.turn()
            now = time.monotonic()
            if now >= ask:
                if condition():
                    return
                ask = time.monotonic() + every
            assert now < deadline, f"not within {timeout} s: {what}"

    def reload(self, policy, withdrawn):
        """To the policy; withdrawn: so many subscriptions in all have been withdrawn then."""
        count = len(self.world.proxy.logged("reloaded"))
        self.world.proxy.policy = policy
        self.world.proxy.write()
        self.world.proxy.signal(signal.SIGHUP)
        self.until(lambda: len(self.world.proxy.logged("reloaded")) > count, "the log says reloaded")
        self.until(lambda: len(self.world.audit.all(action="mqtt-subscription-withdrawn")) >= withdrawn,
                   f"{withdrawn} withdrawn subscriptions", every=0.5)

    def tell_holders(self, text):
        """A message to each of them, past the proxy. Returns the holders that got it, once all on its way is there."""
        for index in range(HOLDERS):
            self.feeder.publish(f"old/in/{index}", text)
        self.until(lambda: not any(payload == text for payload, _ in self.feeder.sending.values()), "answers")
        self.ping(self.holders)
        return [holder for holder in self.holders if any(payload == text for _, payload in holder.received)]

    def ping(self, members):
        """The broker's answer comes behind what it sent before."""
        wanted = {member: member.pongs + 1 for member in members}
        for member in members:
            member.send(raw.pingreq())
        self.until(lambda: all(member.pongs >= pongs for member, pongs in wanted.items()), "an answer to every PINGREQ")

    def finish(self):
        """What is on its way arrives."""
        self.crowd.run_until(lambda: not any(member.sending for member in [*self.senders, self.feeder]), "all answers")
        self.due = float("inf")
        # A broker has only some messages of a connection under way at a time; others stand behind its PINGRESP.
        taken = sum(code != 0x87 for sender in self.senders for _, code, _ in sender.answers)
        self.until(lambda: len(self.observer.received) >= taken, "what the broker took")
        self.until(lambda: all(len(receiver.received) >= self.fed[index]
                               for index, receiver in enumerate(self.receivers)), "what the receivers were fed")
        self.ping(self.all)
        self.ping([self.observer])


@pytest.mark.needs("mosquitto")
def test_reloads_under_ten_thousand_clients_lose_nothing(make_world):
    world = make_world(POLICY, configuration=CONFIGURATION)
    scene = Scene(world)
    try:
        assert len(scene.tell_holders(b"before")) == HOLDERS
        scene.reload(OTHER, HOLDERS)
        assert scene.tell_holders(b"withdrawn") == []
        scene.reload(POLICY, HOLDERS)
        assert scene.tell_holders(b"not asked for again") == []
        again = scene.holders[::2]
        for holder in again:
            holder.subscribe(f"old/in/{scene.holders.index(holder)}")
        scene.until(lambda: all(len(holder.granted) == 2 for holder in again), "the second subscriptions")
        assert scene.tell_holders(b"asked for again") == again
        scene.reload(OTHER, HOLDERS + len(again))
        assert scene.tell_holders(b"withdrawn again") == []
        for policy in (POLICY, OTHER, POLICY):
            scene.reload(policy, HOLDERS + len(again))
        scene.finish()
        check_what_arrived(scene)
    finally:
        scene.crowd.close()


def check_what_arrived(scene):
    assert not [member.client_id for member in scene.all if member.closed], "connections were lost"
    for index, receiver in enumerate(scene.receivers):
        assert [payload for _, payload in receiver.received] == [b"%d" % number for number in range(scene.fed[index])]
    arrived = collections.defaultdict(list)
    for topic, payload in scene.observer.received:
        arrived[int(topic.rsplit("/", 1)[1])].append(payload)
    for index, sender in enumerate(scene.senders):
        assert len(sender.answers) == scene.numbers[index] > 20
        if index % 4 != 1:
            assert {code for _, code, _ in sender.answers} == {0}
        # With the answer "not authorized" a message of old/ does not arrive, with any other it does.
        assert arrived[index] == [payload for payload, code, _ in sender.answers if code != 0x87]
    refused = sum(code == 0x87 for sender in scene.senders for _, code, _ in sender.answers)
    assert refused > 0, "no message fell under the second policy"
