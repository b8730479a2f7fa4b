# SPDX-License-Identifier: Apache-2.0
"""Keys of the chain are gone from memory when their lines are in the journal: who takes over the process sees nothing
that seals an earlier line. What comes is in memory, but in no core dump."""
import time

import pytest

import memory
from servers import wait_until
from test_chain import POLICY, chain, journal, verification_key
from test_durability import deny
from test_secrets_wiped import forms_of_key

pytestmark = pytest.mark.brokerless


def past_and_next(world):
    """Needles of what sealed the lines of the journal, and of what seals the next one; both of the first start."""
    secret, lines = verification_key(world), journal(world)
    key, past = chain.first_key(secret, chain.parse(lines[0])[0], 1), {"verification key": secret}
    for number in range(1, len(lines) + 1):
        if number == 1 or number > len(lines) - 5:  # each of them costs a walk through the memory
            past[f"key {number}"] = key
        key = chain.next_key(key)
    coming = {"next key": key, "next secret": chain.next_secret(secret)}
    return tuple({f"{name} {form}": values for name, value in keys.items()
                  for form, values in forms_of_key(5, value).items()} for keys in (past, coming))


def at_rest(world, quiet=0.5):
    """Waits until the journal has not grown for so many seconds: while a line is sealed, its key is in memory."""
    length, since = len(journal(world, whole=False)), time.monotonic()

    def grows_no_more():
        nonlocal length, since
        now = len(journal(world, whole=False))
        if now != length:
            length, since = now, time.monotonic()
        return time.monotonic() - since >= quiet
    wait_until(grows_no_more, "the journal at rest")


def test_keys_of_lines_that_are_written_are_wiped(make_world):
    world = make_world(POLICY)
    for round_ in range(2):
        client = world.connected()
        deny(client, [f"closed/{round_}/{index}" for index in range(30)])
        client.disconnect()
        wait_until(lambda: len(journal(world, whole=False)) >= 30 * (round_ + 1), "the journal")
        at_rest(world)
        with memory.standing(world.proxy) as pid:
            past, coming = past_and_next(world)
            assert memory.search(pid, past) == set()
            assert memory.search(pid, coming) == {"next key raw", "next secret raw"}
            assert memory.search(pid, coming, dumped=True) == set(), "a core dump would hold them"
