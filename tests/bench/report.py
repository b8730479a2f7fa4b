# SPDX-License-Identifier: Apache-2.0
"""What a run has measured, as tables of Markdown that can be read as they are: one for each group, and the targets."""

import statistics

import targets


class Results:
    """Medians over the rounds."""

    def __init__(self, results):
        self.results = results

    def of(self, group, row, load):
        return [result for result in self.results if (result["group"], result["row"], result["load"]) == (group, row, load)]

    def median(self, group, row, load, key="us"):
        """None if it was not measured."""
        values = [result[key] for result in self.of(group, row, load) if key in result]
        return statistics.median(values) if values else None

    def names(self, group, key):
        """In the order of their first measurement."""
        return list(dict.fromkeys(result[key] for result in self.results if result["group"] == group))


def figure(value):
    """Three digits that count, and no more than are known."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def ratio(value, base):
    return "" if not value or not base else f"{value / base:.2f}"


def table(head, rows):
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    lines = ["| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def spread(results, group, row, load, key="us"):
    values = [result[key] for result in results.of(group, row, load)]
    return f"{figure(min(values))} to {figure(max(values))}"


def costs(results, group, unit, rate):
    """Cost, its spread, by the two peers, and how many a second."""
    bases = [base for base in ("haproxy", "nginx") if base in results.names(group, "row")]
    rows = []
    for load in results.names(group, "load"):
        for row in results.names(group, "row"):
            value = results.median(group, row, load)
            if value is None:
                continue
            skipped = sum(result.get("skipped", 0) for result in results.of(group, row, load))
            rows.append([load, row, figure(value), spread(results, group, row, load),
                         *(ratio(value, results.median(group, base, load)) for base in bases),
                         figure(results.median(group, row, load, "rate")) + (f", {skipped} not sent when due" if skipped else "")])
    return table(["load", "proxy", f"us/{unit}", "min to max", *(f"/ {base}" for base in bases), rate], rows)


def messages(results):
    return "Messages: CPU of the proxy for one PUBLISH", costs(results, "messages", "message", "messages/s")


def feature_table(results):
    return ("Features of mqward, switched on one by one (from `+ audit 1 %` on each with 1,000 rules), and Mosquitto itself "
            "with the same policy in its acl_file", costs(results, "features", "message", "messages/s"))


def scale(results):
    return "Connections: cost of a message (batch-64) as they grow", costs(results, "scale", "message", "messages/s")


def workers(results):
    return "Workers: both cores for everybody", costs(results, "workers", "message", "messages/s")


def latency(results):
    rows = []
    for load in results.names("latency", "load"):
        for row in results.names("latency", "row"):
            values = [results.median("latency", row, load, key) for key in ("p50", "p99", "p999")]
            if values[0] is None:
                continue
            added = ["" if row == "direct" else figure(targets.added(results, row, load, key)) for key in ("p50", "p99")]
            cost = "" if row == "direct" else figure(results.median("latency", row, load))
            rows.append([load, row, *map(figure, values), *added, cost])
    head = ["load", "proxy", "p50 us", "p99 us", "p99.9 us", "p50 added", "p99 added", "us/message"]
    return "Round trips: 1,000 messages/s, the proxy on a core of its own; `direct` is the sink without TLS", table(head, rows)


def handshakes(results):
    rows = []
    for load in results.names("handshakes", "load"):
        for row in results.names("handshakes", "row"):
            value = results.median("handshakes", row, load)
            if value is None:
                continue
            resumed = results.median("handshakes", row, load, "resumed")
            rows.append([load, row, figure(value), spread(results, "handshakes", row, load),
                         ratio(value, results.median("handshakes", "haproxy", load)),
                         figure(results.median("handshakes", row, load, "rate")),
                         figure(results.median("handshakes", row, load, "p50")), f"{resumed:.0%}"])
    head = ["handshake", "proxy", "us/connection", "min to max", "/ haproxy", "connections/s", "p50 us", "resumed"]
    return "Connections that come and go: TCP, TLS, CONNECT, CONNACK, DISCONNECT, end", table(head, rows)


def storm(results):
    rows = []
    for load in results.names("storm", "load"):
        for row in results.names("storm", "row"):
            values = [results.median("storm", row, load, key) for key in ("p50", "p99", "p999")]
            if values[0] is not None:
                count = results.median("storm", row, load, "connections")
                rows.append([load, row, *map(figure, values), f"{count:,.0f}"])
    return ("Storms: round trips (1,000 messages/s) while others connect and go",
            table(["connecting", "proxy", "p50 us", "p99 us", "p99.9 us", "connections"], rows))


def fanout(results):
    rows = []
    for load in results.names("fanout", "load"):
        for row in results.names("fanout", "row"):
            value = results.median("fanout", row, load)
            if value is None:
                continue
            rows.append([load, row, figure(value), spread(results, "fanout", row, load),
                         ratio(value, results.median("fanout", "haproxy", load)),
                         *(figure(results.median("fanout", row, load, key)) for key in ("p50", "p99", "p999"))])
    return ("Fan-out: 20 messages/s, each to all subscribers",
            table(["load", "proxy", "us/delivery", "min to max", "/ haproxy", "p50 us", "p99 us", "p99.9 us"], rows))


def idle(results):
    rows = [[result["load"], result["row"], figure(result["rss"]), figure(result["pss"]), result["processes"]]
            for result in results.results if result["group"] == "idle"]
    return ("Idle connections, each with its broker connection: memory of one",
            table(["connections", "proxy", "RSS, KB", "PSS, KB", "processes"], rows))


def start(results):
    rows = [[row, figure(results.median("start", row, "start", "wall")), figure(results.median("start", row, "start", "cpu"))]
            for row in results.names("start", "row")]
    return "Start: from the command to the first connection that is taken", table(["mqward with", "seconds", "seconds of CPU"], rows)


TABLES = {"messages": messages, "features": feature_table, "latency": latency, "handshakes": handshakes, "storm": storm,
          "fanout": fanout, "idle": idle, "scale": scale, "workers": workers, "start": start}


def target_table(results):
    rows = []
    for target in targets.all_targets(results):
        if target.measured is None:
            continue
        verdict = "met" if target.met else "**missed**"
        beyond = "" if target.beyond is None else f"{target.beyond_text}: {'met' if target.measured <= target.beyond else 'missed'}"
        rows.append([target.text, f"{'at most' if target.most else 'at least'} {target.bound_text}", target.shown, verdict, beyond])
    return "Targets", table(["what", "target", "measured", "", "beyond"], rows)


def render(measured):
    """All tables that there are measurements for, as Markdown."""
    results = Results(measured)
    parts = [make(results) for group, make in TABLES.items() if results.names(group, "row")]
    if any(target.measured is not None for target in targets.all_targets(results)):
        parts.append(target_table(results))
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts) + "\n"
