# SPDX-License-Identifier: Apache-2.0
"""Policies of a given number of rules, for what decisions cost: see micro_decisions.c, which knows their topics."""

import itertools

HEAD = """\
version: 1
policy: {name}
identity:
  - cert: {{ca: fleet, id: cn, attrs: {{site: ou}}}}
groups:
{groups}
rules:
"""

# A fleet: each device its own topics, holes in them, and guards.
FLEET = """\
  - {rule: telemetry, who: g0, allow: publish, topics: ["dt/<site>/<id>/#"], if: {max_qos: 1, retain: false, max_size: 64KiB}}
  - {rule: status, who: g0, allow: publish, topics: ["st/<site>/<id>"], if: {max_size: 1KiB}}
  - {rule: commands-in, who: g0, allow: subscribe, topics: ["cmd/<site>/<id>/#"]}
  - {rule: read-site, who: g0, allow: subscribe, topics: ["st/<site>/#"], except: ["st/+/private/#"]}
  - {rule: secrets-stay-in, who: everyone, deny: receive, topics: ["dt/+/+/secret/#"]}
  - {rule: firmware-guard, who: everyone, unless: releasers, deny: publish, topics: ["fw/#"]}
  - {rule: no-debug, mode: monitor, who: everyone, deny: publish, topics: ["dt/+/+/debug/#"]}
"""
FLEET_COUNT = FLEET.count("rule:")

# What fills it up, number n, for one of the groups: below the device's own topics and beside them.
FILLERS = (
    '  - {{rule: line-{n}, who: {group}, allow: publish, topics: ["dt/<site>/<id>/line-{n}/#"]}}\n',
    '  - {{rule: plant-{n}, who: {group}, allow: [publish, subscribe], topics: ["plant-{n}/+/<id>/#"]}}\n',
    '  - {{rule: block-{n}, who: everyone, deny: publish, topics: ["dt/+/+/block-{n}"]}}\n',
    '  - {{rule: set-{n}, who: {group}, allow: subscribe, topics: ["cmd/<site>/<id>/{n}/set"]}}\n',
    '  - {{rule: state-{n}, who: {group}, allow: subscribe, topics: ["hall-{n}/+/state"], except: ["hall-{n}/private/state"]}}\n',
    '  - {{rule: literal-{n}, who: {group}, allow: publish, topics: ["hall-{n}/machine-7/temp"]}}\n',
)

FLEET_TESTS = """\
tests:
  - as: cert plc-7 site=a
    allow: [publish dt/a/plc-7/t qos=1, publish st/a/plc-7, "subscribe cmd/a/plc-7/#", receive cmd/a/plc-7/x, "subscribe st/a/#"]
    deny:
      - publish dt/a/plc-8/t
      - publish dt/a/plc-7/t retain=true
      - publish fw/a by firmware-guard
      - receive dt/a/plc-7/secret/k by secrets-stay-in
      - receive st/a/private/x
      - "subscribe #"
"""


def head(name, groups):
    rows = [f"  g{index}: {{source: cert}}" for index in range(groups)] + ["  releasers: {source: cert, ids: [release]}"]
    return HEAD.format(name=name, groups="\n".join(rows))


def fleet(rules, groups):
    """Rules of which few match a topic, for a client in so many groups; with tests."""
    text = [head("fleet", groups), FLEET]
    for n in range(rules - FLEET_COUNT):
        text.append(FILLERS[n % len(FILLERS)].format(n=n, group=f"g{n % groups}"))
    return "".join(text) + FLEET_TESTS


def same(rules, groups):
    """All rules match the same topics: every other one denies, none of them the rest of the tree."""
    text = [head("same", groups)]
    for n in range(rules):
        verb, tree = ("deny", "deny") if n % 2 else ("allow", "allow")
        text.append(f'  - {{rule: {verb}-{n}, who: g{n % groups}, {verb}: [publish, subscribe], topics: ["{tree}/#", "both/#"]}}\n')
    return "".join(text)


def fan(rules, groups):
    """One topic, as many different patterns for it as there are rules: each level a literal, + or a placeholder."""
    text = [head("fan", groups)]
    depth = next(depth for depth in range(1, 20) if 3 ** depth >= rules)
    for n, levels in zip(range(rules), itertools.product(("plc-7", "+", "<id>"), repeat=depth)):
        text.append(f'  - {{rule: r-{n}, who: g{n % groups}, allow: publish, topics: ["{"/".join(levels)}/#"]}}\n')
    return "".join(text)


def holes(rules, groups):
    """One may read everything but what all other rules deny or except, of which a filter like # overlaps each."""
    text = [head("holes", groups), '  - {rule: read-all, who: g0, allow: subscribe, topics: ["#"]}\n']
    for n in range(rules - 1):
        kind = f'topics: ["hall-{n}/#"]' if n % 3 else f'topics: ["hall-{n}/#"], except: ["hall-{n}/public"]'
        text.append(f"  - {{rule: hole-{n}, who: g{n % groups}, deny: receive, {kind}}}\n")
    return "".join(text)


def others(rules, groups):
    """All rules are for others: a filter like # has to be held against each until it is known that nothing is left."""
    text = [head("others", groups)]
    for n in range(rules):
        text.append(f'  - {{rule: other-{n}, who: releasers, allow: subscribe, topics: ["hall-{n}/+/<id>/state"]}}\n')
    return "".join(text)


SETS = {"fleet": fleet, "same": same, "fan": fan, "holes": holes, "others": others}


def write(folder, name, rules, groups):
    """Writes <name>-<rules>-<groups>.yaml; returns its path."""
    path = f"{folder}/{name}-{rules}-{groups}.yaml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(SETS[name](rules, groups))
    return path
