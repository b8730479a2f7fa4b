# SPDX-License-Identifier: Apache-2.0
"""Proxies that share the replay store through Redis, for tests."""
import pytest
import redis

from audit import get
from processes import wait_until
from relay import Relay
from servers import Redis
from signatures import PLC7, signed, signed_world
from wire import Wire

NONCE, SEQ = signed("replay: nonce, store_down: deny"), signed("replay: seq, store_down: deny")
MODES = pytest.mark.parametrize("replay", ("nonce", "seq"))
REACHED = "the shared replay store is reached"


class Place:
    """Proxies in front of one broker, and the Redis of their replay store behind a relay."""

    def __init__(self, make_world, folder):
        self.make_world = make_world
        self.redis = Redis(str(folder)).start()
        self.relay = Relay(self.redis.port)
        self.wires, self.worlds = [], []

    def world(self, *checks, wire=False, wait=True, timeout="5s", more=None, **options):
        """Another proxy. wire: between it and the broker, .wire."""
        first = self.worlds[0] if self.worlds else None
        world = signed_world(self.make_world, *checks, start=False, **{"broker": first is None, **options})
        world.broker_port = first.broker_port if first else world.broker_port
        world.broker = world.broker or (first and first.broker)
        port = world.broker_port
        if wire:
            world.wire = Wire(port)
            self.wires.append(world.wire)
            port = world.wire.port
        configuration = world.proxy.configuration
        configuration["upstreams"][0]["address"] = f"127.0.0.1:{port}"
        redis_ = {"address": f"127.0.0.1:{self.relay.port}", "timeout": timeout, **(more or {})}
        configuration["replay"] = {"redis": {key: value for key, value in redis_.items() if value is not None}}
        world.proxy.write()
        world.proxy.start()
        self.worlds.append(world)
        if wait:
            self.wait_up(world)
        return world

    def wait_up(self, world):
        """All its workers have reached the store."""
        workers = world.proxy.configuration["workers"]
        wait_until(lambda: len(world.proxy.logged(REACHED)) >= workers, REACHED)

    def command(self, *words):
        """To the Redis of the store, past the relay."""
        with redis.Redis(host="127.0.0.1", port=self.redis.port, socket_timeout=5) as connection:
            return connection.execute_command(*words)

    def wait_done(self, count=1):
        """Waits until Redis knows of so many messages as done, nonces and counters together."""
        def done():
            values = [self.command("GET", key) for key in self.command("KEYS", "mps1:r:*")]
            for key in self.command("KEYS", "mps1:s:*"):
                values += self.command("HVALS", key)
            return sum((value or b"").endswith(b"|d") for value in values) >= count  # None: it is gone meanwhile
        wait_until(done, f"{count} messages are done in Redis")

    def stop(self):
        for end in (*self.wires, self.relay, self.redis):
            end.stop()


@pytest.fixture
def place(make_world, tmp_path):
    made = Place(make_world, tmp_path / "replay")
    yield made
    for world in made.worlds[1:]:
        world.broker = None  # the first one's
    for world in made.worlds:
        world.stop()
    made.stop()


def message_of(replay, number=1, **fields):
    return PLC7.sign(**fields) if replay == "nonce" else PLC7.count(number, **fields)


def check_of(replay, store_down="deny"):
    return signed(f"replay: {replay}, store_down: {store_down}")


def degraded(world, reason, count=1):
    found = world.audit.wait_for_count(count, action="replay-degraded")
    assert [get(event, "reason") for event in found] == [reason] * count
    return found[-1]


def restored(world, count=1):
    found = world.audit.wait_for_count(count, action="replay-restored")
    assert len(found) == count and len(world.audit.all(action="replay-degraded")) == count
    assert {get(event, "reason") for event in found} == {"replay_connected"}
