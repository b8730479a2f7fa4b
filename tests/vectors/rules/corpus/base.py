# SPDX-License-Identifier: Apache-2.0
"""What the kinds of messages share: the dice, and how a kind is registered."""

import json
import random

ROOMS = ["Küche", "Flur", "Büro 2", "living room", "salle de bain", "仓库", "Werkstatt/Ost", "attic"]
PLANTS = ["plant-1", "line-7", "hall-b", "pump-house", "umspannwerk", "station-météo"]
NOW = 1772366400
dice = random.Random(20260301)
kinds = []


def kind(name, count, ending="json"):
    """Registers a function from a number to the payload of file NAME-NUMBER.ENDING."""

    def register(make):
        kinds.append((name, count, ending, make))
        return make

    return register


def number(low, high, digits=1):
    return round(dice.uniform(low, high), digits)


def noise(length):
    return bytes(dice.getrandbits(8) for _ in range(length))


def hexadecimal(length):
    return noise(length).hex()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def ascii_json(value):
    return json.dumps(value)


def stamp(offset=0):
    return "2026-03-01T%02d:%02d:%02dZ" % (12 + offset // 3600 % 12, offset // 60 % 60, offset % 60)
