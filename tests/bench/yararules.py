# SPDX-License-Identifier: Apache-2.0
"""YARA rules as people write them, any number, always the same: texts, hex strings and regular expressions, one to five in a rule."""

import random

HEAD = """\
rule generated_{number} : generated
{{
    meta:
        description = "generated rule {number}"
        severity = "low"
    strings:
{strings}
    condition:
        {condition}
}}
"""
CONDITIONS = ("any of them", "all of them", "any of them and filesize < 64KB", "#s0 > 1 or any of them", "1 of ($s*)")


def word(dice, least, most):
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyz0123456789_/.") for _ in range(dice.randint(least, most)))


def text(dice):
    modifiers = dice.choices(("", " nocase", " wide ascii", " fullword"), (60, 20, 10, 10))[0]
    return f'"{word(dice, 8, 24)}"{modifiers}'


def hexadecimal(dice):
    pairs = [f"{dice.randrange(256):02x}" for _ in range(dice.randint(10, 24))]
    for _ in range(dice.randint(0, 3)):
        pairs[dice.randrange(6, len(pairs))] = dice.choice(("??", "[1-4]"))
    pairs[-1] = "c3"  # a jump may not be the last
    return "{ " + " ".join(pairs) + " }"


def expression(dice):
    return f"/{word(dice, 6, 12).replace('/', '-').replace('.', '-')}[0-9]{{1,8}}(on|off)/"


def generate(count):
    """The text of so many rules."""
    dice = random.Random(2026)
    rules = []
    for number in range(count):
        kinds = dice.choices((text, hexadecimal, expression), (75, 15, 10), k=dice.randint(1, 5))
        strings = "\n".join(f"        $s{index} = {kind(dice)}" for index, kind in enumerate(kinds))
        condition = dice.choice(CONDITIONS)
        rules.append(HEAD.format(number=number, strings=strings, condition=condition))
    return "".join(rules)
