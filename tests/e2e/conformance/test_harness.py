# SPDX-License-Identifier: Apache-2.0
"""The verdicts of the harness, and that it sees a server that does not refuse."""
import threading

import pytest

import harness
import raw
from harness import Outcome, Target
from peer import FakeBroker

pytestmark = pytest.mark.needs("mosquitto")

GOOD = Outcome(value=1)
BAD = Outcome(error=AssertionError("closed"), kind=("AssertionError", 10, "closed"))
WORSE = Outcome(error=TimeoutError("late"), kind=("TimeoutError", 10, "late"))

VERDICTS = {
    # name: (direct, through, table with the key, part of the message or None = good)
    "both pass": (GOOD, GOOD, None, None),
    "both pass, another value": (GOOD, Outcome(value=2), None, "directly 1, through mqward 2"),
    "both pass, known deviation": (GOOD, GOOD, "DEVIATIONS", "no longer true"),
    "both pass, known strictness": (GOOD, GOOD, "STRICTER", "no longer true"),
    "fails through": (GOOD, BAD, None, "fails through mqward"),
    "fails through, known deviation": (GOOD, BAD, "DEVIATIONS", "fails through mqward"),
    "fails through, known strictness": (GOOD, BAD, "STRICTER", "fails through mqward"),
    "both fail": (BAD, BAD, None, "DEVIATIONS['x'] must say"),
    "both fail, known deviation": (BAD, BAD, "DEVIATIONS", None),
    "both fail, known strictness": (BAD, BAD, "STRICTER", "DEVIATIONS['x'] must say"),
    "fail differently, known deviation": (BAD, WORSE, "DEVIATIONS", "fails differently"),
    "fails directly": (BAD, GOOD, None, "STRICTER['x'] must say"),
    "fails directly, known deviation": (BAD, GOOD, "DEVIATIONS", "STRICTER['x'] must say"),
    "fails directly, known strictness": (BAD, GOOD, "STRICTER", None),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(monkeypatch, name):
    direct, through, table, message = VERDICTS[name]
    for known in ("DEVIATIONS", "STRICTER"):
        monkeypatch.setattr(harness, known, {"x": "It does."} if table == known else {})
    if message is None:
        harness.judge("x", direct, through)
        return
    with pytest.raises(AssertionError) as failure:
        harness.judge("x", direct, through)
    assert message in str(failure.value)


def test_failures_of_two_runs_are_alike_whatever_the_names():
    def body(broker):
        assert broker is None, f"{broker.topic()} {broker.name()} <Peer at 0x7f0102030405>"

    targets = [Target(("127.0.0.1", 1), raw.V311) for _ in range(2)]
    kinds = [harness.run(body, target, {}).kind for target in targets]
    assert kinds[0] == kinds[1]
    assert kinds[0][2].startswith("ROOT/t NAME <Peer at ADDRESS>")


# ---- expect_refused ----

ANSWERS = {
    # name: (what the server does after a violation, part of the message or what is returned)
    "closes": ((), ()),
    "closes with a reason": ((raw.disconnect(raw.V5, 0x82),), (("DISCONNECT", 0x82),)),
    "goes on": ((raw.pingresp(),), "goes on"),
    "answers": ((raw.ack(raw.PUBACK, raw.V5, 1),), "an answer instead"),
    "says two things": ((raw.disconnect(raw.V5, 0x82),) * 2, "more than one"),
    "says success": ((raw.disconnect(raw.V5, 0),), "success"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_expect_refused(name):
    packets, wanted = ANSWERS[name]
    server = FakeBroker()
    target = Target(("127.0.0.1", server.port), raw.V5)

    def serve():
        peer, _ = server.accept_session()
        peer.expect(raw.PINGRESP)
        for packet in packets:
            peer.send(packet)
        peer.abort()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = target.connected()
        client.send(raw.pingresp())
        if isinstance(wanted, tuple):
            assert target.expect_refused(client) == wanted
        else:
            with pytest.raises(AssertionError, match=wanted):
                target.expect_refused(client)
    finally:
        thread.join()
        server.stop()
        for client in target.clients:
            client.abort()
