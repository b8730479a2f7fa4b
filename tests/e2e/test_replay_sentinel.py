# SPDX-License-Identifier: Apache-2.0
"""The shared replay store behind sentinels: the master dies, and a message is still taken once."""
import pytest

from processes import wait_until
from redis_groups import Watched, ask
from sharing import check_of, degraded, message_of, place, restored  # noqa: F401
from signatures import REFUSED, publish, user

pytestmark = pytest.mark.brokerless


def test_a_message_is_taken_once_over_a_failover(place, tmp_path):
    watched = Watched(tmp_path / "watched")
    try:
        reached = {"address": None, "sentinel": {"addresses": watched.addresses(), "master": "plant"}}
        first, second = (place.world(check_of("nonce"), timeout="10s", more=reached) for _ in range(2))
        here, there = user(first, client_id="here"), user(second, client_id="there")
        old = message_of("nonce")
        publish(here, old)
        port = watched.replica.port
        wait_until(lambda: any((ask(port, "GET", key) or "").endswith("|d") for key in ask(port, "KEYS", "mps1:r:*") or ()),
                   "the replica has it")
        watched.fail_over()
        for world in (first, second):
            degraded(world, "replay_unreachable")
            restored(world)
        publish(there, old, code=REFUSED)
        new = message_of("nonce")
        publish(there, new)
        publish(here, new, code=REFUSED)
    finally:
        for world in place.worlds:
            world.proxy.kill()
            world.killed = True
        watched.stop()
