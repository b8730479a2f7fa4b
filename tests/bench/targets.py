# SPDX-License-Identifier: Apache-2.0
"""What mqward wants to be, as ratios of what one run has measured; a target whose rows were not measured is left out."""


class Target:
    """measured, and the bound that it is held against: at most that, or at least. Texts for the table."""

    def __init__(self, text, measured, bound, unit="", most=True, beyond=None, beyond_text=""):
        self.text = text
        self.measured = measured
        self.most = most
        self.bound = bound
        self.bound_text = f"{bound:g}{unit}"
        self.shown = "" if measured is None else f"{measured:.2f}{unit}"
        self.beyond = beyond
        self.beyond_text = beyond_text

    @property
    def met(self):
        return self.measured <= self.bound if self.most else self.measured >= self.bound


def divided(value, base):
    return None if value is None or not base else value / base


def added(results, row, load, key):
    """What the round trip through a row takes longer than without it."""
    value, base = (results.median("latency", name, load, key) for name in (row, "direct"))
    return None if value is None or base is None else value - base


def one(results, group):
    """mqward's row where only one number of rules was measured, or with 1,000."""
    names = [name for name in results.names(group, "row") if name.startswith("mqward/")]
    return "mqward/1000" if "mqward/1000" in names else names[0] if names else "mqward"


def message_targets(results):
    own = one(results, "messages")
    for load, bound in (("batch-64", 1.0), ("single-64", 0.75), ("cork-64", 0.75), ("paced-64", 0.75), ("batch-1k", 1.0), ("single-1k", 1.0)):
        value, haproxy, nginx = (results.median("messages", row, load) for row in (own, "haproxy", "nginx"))
        beyond = divided(nginx, haproxy) if load.endswith("-1k") else None
        yield Target(f"{load}, of HAProxy's", divided(value, haproxy), bound, " x", beyond=beyond, beyond_text="nginx's")
        if bound < 1:
            yield Target(f"{load}, of nginx's", divided(value, nginx), 1.1, " x", beyond=1.0, beyond_text="below nginx")


def feature_targets(results):
    def cost(row, load="batch-64"):
        return results.median("features", row, load)

    for count, bound in (("10", 10), ("1000", 500)):
        yield Target(f"Mosquitto with the same {int(count):,} lines, by mqward (batch)",
                     divided(cost(f"mosquitto/{count}"), cost(f"mqward/{count}")), bound, " x", most=False)
    for load in results.names("features", "load"):
        yield Target(f"10,000 rules, by 10 ({load})", divided(cost("mqward/10000", load), cost("mqward/10", load)), 1.1, " x")
    everything = cost("everything")
    yield Target("everything on, of Mosquitto's TLS + 10 lines (batch)", divided(everything, cost("mosquitto/10")), 1.0, " x",
                 beyond=divided(0.6, cost("mosquitto/10")), beyond_text="0.6 us")
    for load in results.names("features", "load"):
        yield Target(f"all denied, by allowed ({load})", divided(cost("all denied", load), cost("mqward/1000", load)), 2.0, " x")


def latency_targets(results):
    own = one(results, "latency")
    for load in results.names("latency", "load"):
        for key in ("p50", "p99"):
            value, haproxy, nginx = (added(results, row, load, key) for row in (own, "haproxy", "nginx"))
            yield Target(f"round trip added, {load}, {key}, of HAProxy's", divided(value, haproxy), 1.0, " x",
                         beyond=divided(nginx, haproxy), beyond_text="nginx's")


def connection_targets(results):
    own = one(results, "handshakes")
    for load in results.names("handshakes", "load"):
        yield Target(f"handshakes, {load}, CPU of HAProxy's",
                     divided(results.median("handshakes", own, load), results.median("handshakes", "haproxy", load)), 1.0, " x")
    for load in results.names("idle", "load"):
        yield Target(f"idle connection of {load}, RSS", results.median("idle", one(results, "idle"), load, "rss"), 16, " KB",
                     beyond=14, beyond_text="14 KB")
    own = one(results, "scale")
    costs = [results.median("scale", own, load) for load in results.names("scale", "load")]
    costs = [cost for cost in costs if cost is not None]
    yield Target("cost of a message by connections, most by least (batch)", max(costs) / min(costs) if len(costs) > 1 else None, 1.5, " x")


def other_targets(results):
    for load in results.names("workers", "load"):
        single, both = (results.median("workers", row, load) for row in ("1 worker", "2 workers"))
        yield Target(f"2 workers can do, by one ({load})", None if not single or not both else 2 * single / both, 1.9, " x", most=False)
    yield Target("start with all these rules and YARA rules, by the clock", results.median("start", "both", "start", "wall"), 3, " s")


def all_targets(results):
    for targets in (message_targets, feature_targets, latency_targets, connection_targets, other_targets):
        yield from targets(results)
