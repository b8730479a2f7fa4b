# SPDX-License-Identifier: Apache-2.0
"""The benchmark works: every mode of its generator, every proxy and broker that it compares, every feature. Each of its measurements
fails unless what was sent has arrived, so what is looked at here is that all were made. Times are not."""
import json
import os
import subprocess

import pytest

from servers import binary

pytestmark = [pytest.mark.brokerless, pytest.mark.timeout(300)]

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "bench.py")
PEERS = {"haproxy", "haproxy-mqtt", "nginx", "hitch", "stunnel"}
BROKERS = {"mosquitto", "mosquitto/10", "mosquitto/1000"}
FEATURES = {"mqward: TLS, decode", "mqward/10", "mqward/1000", "+ audit 1 %", "+ HMAC", "+ HMAC, nonces", "+ YARA", "everything",
            "all denied"}
LOADS = {"batch-64", "single-64", "cork-64", "paced-64", "batch-1k", "single-1k", "batch-64-qos1", "single-64-qos1"}


def measure(folder):
    """What one short run has measured, and its tables."""
    build = os.path.dirname(os.path.dirname(binary()))
    assert os.access(f"{build}/tests/bench/mqward-bench-load", os.X_OK), "build the targets mqward-bench-load and mqward-bench-sink, too"
    command = ["/usr/bin/python3", BENCH, "--build", build, "--smoke", "--json", f"{folder}/results", "--markdown", f"{folder}/tables"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False,
                          env={**os.environ, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
    assert "NOT MEASURED" not in done.stderr, done.stderr[-2000:]
    assert sorted(os.listdir(folder)) == ["results", "tables"], "what it made for the run is left"
    with open(f"{folder}/results", encoding="utf-8") as results, open(f"{folder}/tables", encoding="utf-8") as tables:
        return json.load(results)["results"], tables.read()


def made(outcome, group):
    return [result for result in outcome[0] if result["group"] == group]


def names(outcome, group, key="row"):
    return {result[key] for result in made(outcome, group)}


def check_each_proxy_passes_messages_and_mqward_passes_every_load(outcome):
    assert names(outcome, "messages") == PEERS | {"mqward/10"}
    assert {result["load"] for result in made(outcome, "messages") if result["row"] == "mqward/10"} == LOADS
    assert all(result["us"] > 0 and result["rate"] > 0 for result in made(outcome, "messages"))


def check_each_feature_and_mosquitto_with_its_acl(outcome):
    assert names(outcome, "features") == FEATURES | BROKERS | {"haproxy"}
    assert all(result["us"] > 0 for result in made(outcome, "features"))


def check_round_trips_and_fan_out_of_both_qos(outcome):
    assert names(outcome, "latency") == {"direct", "mqward/10"} and names(outcome, "fanout") == {"mqward/10"}
    for group in ("latency", "fanout", "storm"):
        assert all(0 < result["p50"] <= result["p99"] <= result["p999"] <= result["longest"] for result in made(outcome, group))
    assert names(outcome, "latency", "load") == names(outcome, "fanout", "load") == {"QoS 0", "QoS 1"}
    assert max(result["connections"] for result in made(outcome, "storm")) > 0


def check_handshakes_are_full_or_resumed_as_asked(outcome):
    resumed = {result["load"]: result["resumed"] for result in made(outcome, "handshakes")}
    assert {load: share > 0 for load, share in resumed.items()} == {
        "full, ECDSA": False, "resumed, ECDSA": True, "full, RSA": False, "resumed, RSA": True}


def check_idle_connections_are_spread_over_processes_where_descriptors_are_few(outcome):
    assert {(result["connections"], result["processes"]) for result in made(outcome, "idle")} == {(25, 1), (40, 2)}
    assert all(result["rss"] > 0 for result in made(outcome, "idle"))


def check_connections_workers_and_the_start(outcome):
    assert names(outcome, "scale", "load") == {"1", "5"}
    assert names(outcome, "workers") == ({"1 worker", "2 workers"} if len(os.sched_getaffinity(0)) > 1 else set())
    assert names(outcome, "start") == {"100 rules", "20 YARA rules", "both"}


def check_there_is_a_table_of_each_and_of_the_targets(outcome):
    titles = [line for line in outcome[1].splitlines() if line.startswith("### ")]
    assert len(titles) == len({result["group"] for result in outcome[0]}) + 1 and titles[-1] == "### Targets"
    assert "met" in outcome[1] and "500 x" in outcome[1]


def test_every_part_of_the_benchmark_works(tmp_path):
    outcome = measure(tmp_path)  # one run of half a minute: pytest-xdist would make one for each test
    check_each_proxy_passes_messages_and_mqward_passes_every_load(outcome)
    check_each_feature_and_mosquitto_with_its_acl(outcome)
    check_round_trips_and_fan_out_of_both_qos(outcome)
    check_handshakes_are_full_or_resumed_as_asked(outcome)
    check_idle_connections_are_spread_over_processes_where_descriptors_are_few(outcome)
    check_connections_workers_and_the_start(outcome)
    check_there_is_a_table_of_each_and_of_the_targets(outcome)
