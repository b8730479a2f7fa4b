# SPDX-License-Identifier: Apache-2.0
"""Every event whose effect a client saw reaches Redis, whatever is killed and whatever is full meanwhile.

MQWARD_EVENTS says how many events: the acceptance is 1,000,000 with a release build. MQWARD_SEED repeats a run."""
import contextlib
import os
import random
import subprocess
import threading
import time

import pytest

from endurance import Reader, Senders, Watch
from servers import binary, free_port, wait_until
from test_durability import POLICY

pytestmark = pytest.mark.brokerless
MEBIBYTE = 1 << 20
EVENTS = int(os.environ.get("MQWARD_EVENTS", "30000"))
KILLS = 20 if EVENTS >= 100000 else 6
DISK = 64 * MEBIBYTE   # of the audit directory
QUOTA = 24 * MEBIBYTE  # of the journal
MEMORY = (64 if EVENTS >= 100000 else 256) * MEBIBYTE  # with sanitizers memory is what it is
LIMIT = 60 + EVENTS / 2000  # seconds


class Disk:
    """A small file system for the audit directory (root); elsewhere the quota is all there is to fill."""

    def __init__(self, path):
        self.path, self.full, self.fills = path, False, 0
        os.makedirs(path, mode=0o700, exist_ok=True)
        self.small = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", path], check=False, stderr=subprocess.DEVNULL).returncode == 0

    def fill(self):
        """Takes all that is free."""
        self.full = True
        self.fills += 1
        with open(os.path.join(self.path, "ballast"), "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))

    def relieve(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, "ballast"))
        self.full = False

    def stop(self):
        if self.small:
            subprocess.run(["umount", "-l", self.path], check=False)


class Trouble(threading.Thread):
    """Does one thing after the other, each as soon as so many events were answered."""

    def __init__(self, senders, plan):
        super().__init__(daemon=True)
        self.senders, self.plan, self.failed, self.count = senders, sorted(plan, key=lambda step: step[0]), None, 0

    def run(self):
        try:
            for point, action in self.plan:
                while self.senders.done.value < point:
                    if not self.senders.process.is_alive():
                        return
                    time.sleep(0.002)
                action()
                self.count += 1
        except BaseException as error:  # pylint: disable=broad-exception-caught
            self.failed = error


def plan_of(chance, world, disk):
    """When mqward is killed, and when what happens to Redis and the disk."""
    def restart():
        world.proxy.kill()
        while True:  # as a service manager does it: mqward may refuse to start while the disk is full
            was_full, fills = disk.full, disk.fills
            try:
                world.proxy.start()
                return
            except AssertionError:
                if not (was_full or disk.fills > fills) or "No space left on device" not in world.proxy.output():
                    raise
                time.sleep(0.1)

    def kill_redis(away):
        world.redis.kill()
        time.sleep(away)
        world.redis.start()

    def out_of_memory(seconds):
        world.audit.connection.config_set("maxmemory", "1")
        time.sleep(seconds)
        world.audit.connection.config_set("maxmemory", "0")

    def full_disk(seconds):
        disk.fill()
        time.sleep(seconds)
        disk.relieve()

    def points(count):
        return [chance.randrange(EVENTS // 50, EVENTS - EVENTS // 50) for _ in range(count)]
    kills = [(point, restart) for point in points(KILLS)]
    others = [(point, lambda: kill_redis(chance.uniform(0, 1.5))) for point in points(4)]
    others += [(point, lambda: out_of_memory(chance.uniform(0.2, 1.5))) for point in points(2)]
    others += [(point, lambda: full_disk(chance.uniform(0.2, 1.5))) for point in points(2 if disk.small else 0)]
    return kills, others


def verifier(world):
    """The command that lines are piped into. A Redis that runs out of memory may take a line before the one in front
    of it, which comes again."""
    folder = os.path.join(world.proxy.folder, "audit")
    return [binary(), "audit", "verify", "-", "--any-order", "--key", os.path.join(folder, "chain.key"),
            "--public-key", os.path.join(folder, "checkpoint.pub")]


@pytest.mark.timeout(120 + EVENTS / 1000)
def test_no_event_that_a_client_saw_is_missing(make_world, tmp_path, capsys):
    seed = int(os.environ.get("MQWARD_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    chance, port, began = random.Random(seed), free_port(), time.monotonic()
    world = make_world(POLICY, start=False, redis={"appendfsync": "no"}, listeners=[
        {"name": "plain", "address": f"127.0.0.1:{port}", "plaintext": True}], configuration={
            "log": {"level": "info"}, "audit": {"quota": QUOTA, "segment": 2 * MEBIBYTE, "aggregate": "0s"}})
    world.killed = True
    disk = Disk(os.path.join(world.proxy.folder, "audit"))
    senders = Senders(port, EVENTS)
    reader = Reader(world.redis.port, "mqward:audit", EVENTS, verifier(world), str(tmp_path / "verify.log"))
    try:
        world.proxy.start()
        watch = Watch(world.proxy)
        kills, others = (Trouble(senders, plan) for plan in plan_of(chance, world, disk))
        for process in (reader.process, senders.process, kills, others):
            process.start()
        senders.process.join(LIMIT)
        sent = time.monotonic() - began
        for trouble in (kills, others):
            trouble.join(30)
            assert trouble.failed is None, f"seed {seed}: {trouble.failed}"
        assert not senders.process.is_alive(), f"seed {seed}: {senders.done.value} of {EVENTS} answered in {LIMIT} s"
        wait_until(lambda: reader.seen.total() >= senders.done.value and not reader.seen.missing(senders.answered),
                   f"seed {seed}: {senders.done.value} events in Redis", LIMIT)
        assert world.proxy.terminate(30) == 0
        found = reader.finish()
        highest = watch.stop()
    finally:
        for process in (senders.process, reader.process):
            if process.is_alive():
                process.kill()
        disk.relieve()
        world.proxy.stop()
        disk.stop()
    log = (tmp_path / "verify.log").read_text(encoding="utf-8", errors="replace")
    with capsys.disabled():
        print(f"\nendurance: seed {seed}, {senders.done.value} events answered and found, {kills.count} kills, "
              f"{others.count} other troubles, {len(found['epochs'])} epochs, {found['repeats']} repeats, "
              f"{highest // MEBIBYTE} MiB at most, {sent:.0f} s sending, {time.monotonic() - began:.0f} s in all\n{log[-600:]}")
    assert senders.refused.value == 0, f"seed {seed}: an answer that is no denial"
    assert senders.done.value >= EVENTS and kills.count == KILLS, "nothing was tested"
    declared = sum(gap["mqward"].get("count", 0) for gap in found["gaps"])
    assert sum(found["missing"].values()) <= declared, f"seed {seed}: sequences that nothing declares missing: {found}"
    assert found["gaps"] == [], f"seed {seed}: {found['gaps'][:3]}"
    assert highest < MEMORY, f"seed {seed}: {highest} bytes"
    assert found["verified"] == 0, f"seed {seed}: mqward audit verify:\n{log[-4000:]}"
