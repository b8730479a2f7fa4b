# SPDX-License-Identifier: Apache-2.0
"""/metrics: every family is there, moves by what clients do and never goes backward; promtool takes it."""
import contextlib
import dataclasses
import datetime
import os
import re
import time

import pytest
from cryptography import x509

import raw
from metrics import LISTEN, Scrape, address, ask, promtool, scrape_when, status
from peer import dial
from processes import free_port, wait_until
from revocation import RevokingAuthority
from scanning import EVIL, QUARANTINE, RULE, scan, scan_world
from signatures import MASTER, OPERATOR, PLC7, publish, signed, signed_world, user, write_keys
from signatures import policy as signed_policy
from test_reload import reload

pytestmark = pytest.mark.brokerless

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
REFUSED = 0x87
POLICY = """\
version: 1
policy: plant-a
identity:
  - cert: {ca: fleet, id: cn}
  - password: {file: users}
  - anonymous: {id: guest}
rules:
  - rule: telemetry
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/#]
  - rule: no-secrets
    who: everyone
    deny: [publish, subscribe]
    topics: [dt/secret/#]
  - rule: tried
    who: everyone
    deny: publish
    mode: monitor
    topics: [dt/tried/#]
audit: {deny: all, allow: 0%, payload: none}
"""
USERS = {"plc-7": "secret"}
RESULTS = ("allowed", "denied", "monitored")


def rule(scrape, name, kind="rule"):
    """(allowed, denied, monitored)"""
    return tuple(scrape("mqward_rule_decisions_total", rule=name, kind=kind, result=result) for result in RESULTS)


def decisions(scrape, operation):
    return tuple(scrape("mqward_decisions_total", operation=operation, result=result) for result in RESULTS)


def grown(before, after, name, /, **labels):
    return after(name, **labels) - before(name, **labels)


# ---- decisions ----

@pytest.mark.core
def test_decisions_count_by_rule_and_result(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    assert rule(Scrape(world), "telemetry") == (0, 0, 0)
    client, receiver = world.connected(version=raw.V5), world.connected(version=raw.V5)
    receiver.subscribe("dt/x", codes=[0])
    client.subscribe("dt/secret/x", codes=[REFUSED])
    for _ in range(3):
        client.publish("dt/a", b"12345", 1)
    client.publish("dt/secret/a", b"12345", 1, code=REFUSED)
    client.publish("other", b"12345", 1, code=REFUSED)
    client.publish("dt/tried/a", b"1", 1)
    client.publish("dt/x", b"1", 1)
    receiver.message()
    scrape = Scrape(world)
    assert decisions(scrape, "publish") == (4, 2, 1)
    assert decisions(scrape, "subscribe") == (1, 1, 0)
    assert decisions(scrape, "receive") == (1, 0, 0)
    assert decisions(scrape, "will") == (0, 0, 0)
    assert rule(scrape, "telemetry") == (6, 0, 0)
    assert rule(scrape, "no-secrets") == (0, 2, 0)
    assert rule(scrape, "tried") == (0, 0, 1)
    assert rule(scrape, "_default", "default") == (0, 1, 0)
    assert rule(scrape, "_other", "other") == (0, 0, 0)
    assert scrape("mqward_refusals_total", reason="denied_by_rule") == 2
    assert scrape("mqward_refusals_total", reason="no_allow") == 1
    assert scrape("mqward_refusals_total", reason="topic_too_deep") == 0
    assert scrape("mqward_monitored_refusals_total", reason="denied_by_rule") == 1


def test_wills_count(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    world.connected(version=raw.V5, will=raw.Will("dt/will", b"x")).disconnect()
    world.client(raw.V5).connect("denied", code=REFUSED, will=raw.Will("dt/secret/will", b"x"))
    scrape = Scrape(world)
    assert decisions(scrape, "will") == (1, 1, 0)
    assert scrape("mqward_connections_refused_total", reason="denied_by_rule") == 1


def test_a_policy_in_monitor_mode_denies_nothing(make_world):
    world = make_world(POLICY.replace("policy: plant-a", "policy: plant-a\nmode: monitor"), configuration=LISTEN,
                       passwords=USERS)
    client = world.connected(version=raw.V5)
    client.publish("other", b"1", 1)
    client.publish("dt/secret/a", b"1", 1)
    client.subscribe("elsewhere", codes=[0])
    scrape = Scrape(world)
    assert decisions(scrape, "publish") == (0, 0, 2) and decisions(scrape, "subscribe") == (0, 0, 1)
    assert rule(scrape, "no-secrets") == (0, 0, 1) and rule(scrape, "_default", "default") == (0, 0, 2)
    assert scrape("mqward_monitored_refusals_total", reason="no_allow") == 2
    assert [dict(labels)["mode"] for _, labels in scrape.all("mqward_policy_info")] == ["monitor"]


# ---- connections ----

def test_connections_and_sessions(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    before = Scrape(world)
    assert before("mqward_connections", listener="plain") == 0
    clients = [world.connected(), world.connected(), world.connected(certificate=world.certs.plc7)]
    scrape = scrape_when(world, lambda s: s("mqward_sessions") == 3, "the sessions to be counted")
    assert [scrape("mqward_connections", listener=name) for name in ("plain", "tls")] == [2, 1]
    assert scrape("mqward_tls_handshakes_total", result="full") == 1
    assert scrape("mqward_tls_handshake_duration_seconds_count") == 1
    assert 0 < scrape("mqward_tls_handshake_duration_seconds_sum") < 10
    assert scrape("mqward_broker_connects_total", upstream="main", result="reached") == 3
    assert scrape("mqward_broker_connect_duration_seconds_count") == 3
    assert scrape("mqward_broker_up", upstream="main") == 1
    for client in clients:
        client.disconnect()
    scrape = scrape_when(world, lambda s: s("mqward_connections", listener="plain") == 0
                         and s("mqward_connections", listener="tls") == 0, "all to be gone")
    assert scrape("mqward_sessions") == 0 and scrape("mqward_sessions_opened_total") == 3
    assert [scrape("mqward_connections_accepted_total", listener=name) for name in ("plain", "tls")] == [2, 1]
    assert scrape("mqward_connections_closed_total", reason="client_disconnected") == 3
    assert scrape("process_start_time_seconds") <= time.time() and scrape("process_open_fds") > 5


def test_what_is_refused_says_why(make_world):
    world = make_world(POLICY, passwords=USERS, configuration={
        **LISTEN, "limits": {"login_failures_per_address": 2, "login_window": "1m"}})
    world.client(raw.V5).connect("a", code=0x86, username="plc-7", password=b"wrong")
    world.client(raw.V5).connect("b", code=0x86, username="nobody", password=b"wrong")
    world.client(raw.V5).connect("c", code=0x9F, username="plc-7", password=b"secret")
    client = world.client(raw.V5)
    client.send(b"\xf7\x00")
    client.until_closed()
    with contextlib.suppress(OSError):
        world.client(certificate=world.certs.foreign).until_closed()
    scrape = scrape_when(world, lambda s: s("mqward_tls_handshakes_total", result="failed") == 1 and
                         s("mqward_connections_refused_total", reason="tls_certificate_rejected") == 1, "the handshake")
    for reason, count in (("password_wrong", 1), ("password_unknown_user", 1), ("logins_exceeded", 1),
                          ("logins_busy", 0)):
        assert scrape("mqward_login_failures_total", reason=reason) == count
        assert scrape("mqward_connections_refused_total", reason=reason) == count
    assert scrape("mqward_rate_limited_total", reason="logins_exceeded") == 1
    assert sum(number for _, number in scrape.all("mqward_protocol_errors_total").items()) == 1


def test_a_connection_above_the_limit(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS, listeners=[
        {"name": "plain", "address": "127.0.0.1:0", "plaintext": True, "limits": {"connections": 1}}])
    world.connected()
    world.client().expect_closed()
    scrape = Scrape(world)
    assert scrape("mqward_connections_refused_total", reason="connection_limit") == 1
    assert scrape("mqward_rate_limited_total", reason="connection_limit") == 1
    assert scrape("mqward_connections_accepted_total", listener="plain") == 1


def test_a_broker_that_is_away(make_world):
    world = make_world(POLICY, broker=False, configuration=LISTEN, passwords=USERS)
    assert Scrape(world)("mqward_broker_up", upstream="main") is None
    world.client(raw.V5).connect("a", code=0x88)
    scrape = Scrape(world)
    assert scrape("mqward_broker_up", upstream="main") == 0
    assert scrape("mqward_broker_connects_total", upstream="main", result="failed") == 1
    assert scrape("mqward_connections_refused_total", reason="broker_unreachable") == 1
    assert ask(address(world), "/readyz")[0] == 200, "or no proxy of the broker would ever get a client again"
    assert status(world)["upstreams"][0]["last"] == "failed"


def test_bans_and_rates(make_world):
    text = POLICY + "on_deny: {repeat: {count: 2, within: 1m, ban: 10m}}\n" + (
        "checks:\n  - {check: slowly, topics: dt/#, rate: {messages: 2/h, per: id}}\n")
    world = make_world(text, configuration=LISTEN, passwords=USERS)
    client = world.connected(version=raw.V5, username="plc-7", password=b"secret")
    for code in (0, 0, 0x97):
        client.publish("dt/a", b"1", 1, code=code)
    client.send(raw.publish(client.version, "dt/a", b"1", 1, packet_id=77))
    client.until_closed()
    scrape = scrape_when(world, lambda s: s("mqward_bans", by="id") == 1, "the ban")
    assert scrape("mqward_rate_limited_total", reason="rate_exceeded") == 2
    assert rule(scrape, "slowly", "check") == (0, 2, 0)


# ---- traffic ----

def test_packets_and_bytes_by_direction(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    client, receiver = world.connected(version=raw.V5), world.connected(version=raw.V5)
    receiver.subscribe("dt/a")
    before = Scrape(world)
    for _ in range(10):
        client.publish("dt/a", b"x" * 1000, 1)
        receiver.message()
    after = Scrape(world)
    for direction in ("client_to_broker", "broker_to_client"):
        assert grown(before, after, "mqward_packets_total", direction=direction, type="publish") == 10
        assert 10000 < grown(before, after, "mqward_bytes_total", direction=direction) < 11000
    assert grown(before, after, "mqward_packets_total", direction="broker_to_client", type="puback") == 10


def test_one_decision_in_64_is_timed(make_world):
    world = make_world(POLICY, configuration={**LISTEN, "workers": 1}, passwords=USERS)
    client = world.connected(version=raw.V5)
    for _ in range(3 * 64):
        client.publish("dt/a", b"x", 0)
    client.ping()
    scrape = Scrape(world)
    assert scrape("mqward_decision_duration_seconds_count", direction="client_to_broker") == 3
    assert 0 < scrape("mqward_decision_duration_seconds_sum", direction="client_to_broker") < 1


# ---- signatures, scans ----

def test_signatures_by_result(make_world):
    world = signed_world(make_world, configuration=LISTEN)
    client = user(world, version=raw.V5)
    good = PLC7.sign("dt/x", b"good")
    publish(client, good)
    publish(client, PLC7.sign("dt/x", b"forged", key=bytes(32)), code=REFUSED)
    publish(client, good, code=REFUSED)
    client.publish("dt/x", b"unsigned", 1, code=REFUSED)
    scrape = Scrape(world)
    found = {result: scrape("mqward_signatures_total", result=result)
             for result in ("valid", "none", "sig_invalid", "sig_replay", "sig_missing", "sig_expired")}
    assert found == {"valid": 1, "none": 0, "sig_invalid": 1, "sig_replay": 1, "sig_missing": 1, "sig_expired": 0}
    assert rule(scrape, "signed", "check") == (0, 3, 0)
    assert scrape("mqward_signature_duration_seconds_count") == 1, "one in eight"
    assert scrape("mqward_replay_nonces") == 1 and scrape("mqward_replay_signers") == 1
    assert scrape("mqward_signature_keys") == 2


def test_a_signature_is_counted_once_though_its_message_waits_for_a_scan(make_world):
    text = signed_policy(signed(), scan())
    world = scan_world(make_world, text=text, configuration={**LISTEN, "keys": "keys.yaml"}, start=False,
                       passwords={"plc-7": "secret"})
    write_keys(world, MASTER, OPERATOR)
    world.proxy.start()
    publish(user(world, version=raw.V5), PLC7.sign("dt/x", b"y" * 40000))
    scrape = Scrape(world)
    assert scrape("mqward_signatures_total", result="valid") == 1
    assert scrape("mqward_scans_total", place="pool", result="clean") == 1
    assert decisions(scrape, "publish") == (1, 0, 0)


def test_scans_by_place_result_and_rule_set(make_world):
    world = scan_world(make_world, scan("on_match: drop", rules="iot, other"),
                       sets={"iot": RULE, "other": RULE.replace("EVIL-MARK", "OTHER-MARK")},
                       configuration=LISTEN)
    client = world.connected(version=raw.V5)
    client.publish("dt/x", b"harmless", 1)
    client.publish("dt/x", EVIL, 1)
    client.publish("dt/x", b"y" * 40000, 1)
    scrape = Scrape(world)
    scans = {(place, result): scrape("mqward_scans_total", place=place, result=result) for place in ("inline", "pool")
             for result in ("clean", "matched", "incomplete", "failed")}
    assert scans == {**dict.fromkeys(scans, 0), ("inline", "clean"): 1, ("inline", "matched"): 1, ("pool", "clean"): 1}
    assert scrape("mqward_rule_set_scans_total", rule_set="iot", result="matched") == 1
    assert scrape("mqward_rule_set_scans_total", rule_set="iot", result="clean") == 2
    assert scrape("mqward_rule_set_scans_total", rule_set="other", result="clean") == 3
    assert scrape("mqward_scan_duration_seconds_count", place="inline") == 2
    assert scrape("mqward_scan_duration_seconds_count", place="pool") == 1
    assert scrape("mqward_scan_waiting") == 0 and scrape("mqward_scan_threads") >= 1
    assert rule(scrape, "scanned", "check") == (0, 1, 0)


def test_the_quarantine_fills(make_world):
    world = scan_world(make_world, scan("on_match: quarantine"), scan=QUARANTINE, configuration=LISTEN)
    before = Scrape(world)
    assert before("mqward_quarantine_files") == 0
    world.connected(version=raw.V5).publish("dt/x", EVIL, 1, code=0x99)
    scrape = scrape_when(world, lambda s: s("mqward_quarantine_files") == 1, "the file")
    assert len(EVIL) < scrape("mqward_quarantine_bytes") < scrape("mqward_quarantine_max_bytes")
    assert scrape("mqward_scans_total", place="pool", result="matched") == 1
    assert scrape("mqward_scans_total", place="inline", result="matched") == 0, "what is scanned twice counts once"


# ---- certificates ----

def test_ends_of_certificates(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    with open(world.certs.server[0], "rb") as file:
        server = x509.load_pem_x509_certificate(file.read())
    scrape = Scrape(world)
    assert scrape("mqward_certificate_not_after_seconds", listener="tls", name="default") == \
        server.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert scrape("mqward_ca_not_after_seconds", ca="fleet") > time.time()
    assert "mqward_crl_next_update_seconds" not in scrape.families


# ---- the audit ----

def test_a_sink_that_is_down_lags(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    client = world.connected(version=raw.V5)
    scrape_when(world, lambda s: s("mqward_audit_sink_up", sink="siem", kind="redis") == 1
                and s("mqward_audit_sink_lag_bytes", sink="siem", kind="redis") == 0
                and s("mqward_audit_sink_lag_seconds", sink="siem", kind="redis") == 0, "the sink to have all")
    world.redis.kill()
    client.publish("other", b"1", 1, code=REFUSED)
    down = scrape_when(world, lambda s: s("mqward_audit_sink_up", sink="siem", kind="redis") == 0
                       and s("mqward_audit_sink_lag_bytes", sink="siem", kind="redis") > 0, "the sink to lag")
    later = scrape_when(world, lambda s: s("mqward_audit_sink_lag_seconds", sink="siem", kind="redis") >
                        down("mqward_audit_sink_lag_seconds", sink="siem", kind="redis"), "the lag to grow")
    assert later("mqward_audit_sink_failures_total", sink="siem", kind="redis") > 0
    assert later("mqward_audit_journal_bytes") > 0 and later("mqward_audit_blocked") == 0
    world.redis.start()
    back = scrape_when(world, lambda s: s("mqward_audit_sink_up", sink="siem", kind="redis") == 1
                       and s("mqward_audit_sink_lag_bytes", sink="siem", kind="redis") == 0, "the sink to catch up")
    assert back("mqward_audit_sink_delivered_total", sink="siem", kind="redis") == back("mqward_audit_events_total")


@pytest.mark.parametrize("interval", ("1s", "1h"))
def test_what_no_checkpoint_has_signed_is_told(make_world, interval):
    """The first line of a start is a checkpoint; then there is one when a line has waited for so long."""
    world = make_world(POLICY, configuration={**LISTEN, "audit": {"chain": {"checkpoint": {"interval": interval}}}},
                       passwords=USERS)
    began = Scrape(world)
    assert abs(began("mqward_audit_checkpoint_timestamp_seconds") - time.time()) < 60
    world.connected(version=raw.V5).publish("other", b"1", 1, code=REFUSED)
    if interval == "1h":
        waits = scrape_when(world, lambda s: s("mqward_audit_unsigned_seconds") > 0.2, "a line to wait")
        assert waits("mqward_audit_unsigned_events") > 0
        assert waits("mqward_audit_checkpoint_timestamp_seconds") == began("mqward_audit_checkpoint_timestamp_seconds")
        assert status(world)["audit"]["checkpoint"]["unsigned_events"] >= waits("mqward_audit_unsigned_events")
        return
    signed_ = scrape_when(world, lambda s: s("mqward_audit_checkpoint_timestamp_seconds") >
                          began("mqward_audit_checkpoint_timestamp_seconds"), "the next checkpoint")
    assert signed_("mqward_audit_unsigned_seconds") < 60
    assert status(world)["audit"]["checkpoint"]["last"]


BLOCKED = {**LISTEN, "audit": {"quota": "4MiB", "segment": "1MiB", "ring": "256KiB"}}


@pytest.mark.parametrize("on_full, code", (("block", 503), ("deny", 503), ("drop", 200)))
def test_a_blocked_audit_is_not_ready(make_world, on_full, code):
    """With drop, traffic goes on."""
    configuration = {**BLOCKED, "audit": {**BLOCKED["audit"], "on_full": on_full}}
    text = POLICY.replace("payload: none", 'payload: "excerpt 200"')
    world = make_world(text, redis=False, configuration=configuration, passwords=USERS)
    where = address(world)
    client = world.connected(version=raw.V5)

    def blocked():
        try:
            client.sock.settimeout(0.2)
            for _ in range(50):
                client.sock.sendall(raw.publish(raw.V5, "other/" + "x" * 900, b"y" * 200))
        except OSError:
            pass
        return Scrape(world)("mqward_audit_blocked") == 1
    wait_until(blocked, "the journal to be full", 60)
    assert ask(where, "/healthz")[0] == 200
    assert ask(where, "/readyz")[0] == code
    assert Scrape(world)("mqward_ready") == (code == 200)
    if code == 503:
        assert status(world)["unready"] == ["the audit is blocked: the journal takes no events"]
    world.redis.start()
    wait_until(lambda: ask(where, "/readyz")[0] == 200, "to be ready again", 60)


# ---- reloads ----

OTHER = POLICY.replace("policy: plant-a", "policy: plant-b").replace("no-secrets", "renamed")


def bound(client):
    """The client's connection is under the policy in force: its worker hears of it between two packets."""
    for _ in range(3):
        client.ping()


def test_a_reload_resets_nothing(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    client = world.connected(version=raw.V5)
    client.publish("dt/secret/a", b"1", 1, code=REFUSED)
    client.publish("dt/a", b"1", 1)
    before = Scrape(world)
    assert rule(before, "no-secrets") == (0, 1, 0)
    reload(world, OTHER)
    bound(client)
    client.publish("dt/secret/a", b"1", 1, code=REFUSED)
    after = Scrape(world)
    kept = {key: number for key, number in before.counters().items() if ("rule", "no-secrets") not in key[1]}
    assert all(after.counters()[key] >= number for key, number in kept.items())
    assert rule(after, "renamed") == (0, 1, 0) and rule(after, "telemetry") == (1, 0, 0)
    assert after("mqward_reloads_total", result="ok") == 1 and after("mqward_last_reload_success") == 1
    assert after("mqward_policy_loaded_timestamp_seconds") > before("mqward_policy_loaded_timestamp_seconds")
    assert [dict(labels)["name"] for _, labels in after.all("mqward_policy_info")] == ["plant-b"]
    reload(world, POLICY)
    bound(client)
    client.publish("dt/secret/a", b"1", 1, code=REFUSED)
    assert rule(Scrape(world), "no-secrets") == (0, 2, 0), "it goes on where it was"
    scrape_when(world, lambda s: rule(s, "renamed") == (None,) * 3, "the rule that nobody has to go")


def test_a_reload_that_fails_is_told(make_world):
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    loaded = Scrape(world)("mqward_policy_loaded_timestamp_seconds")
    reload(world, "nonsense", event="not reloaded: what was in force stays")
    scrape = Scrape(world)
    assert scrape("mqward_reloads_total", result="failed") == 1 and scrape("mqward_last_reload_success") == 0
    assert scrape("mqward_policy_loaded_timestamp_seconds") == loaded
    assert abs(scrape("mqward_last_reload_timestamp_seconds", result="failed") - time.time()) < 60
    assert status(world)["reloads"]["failed"] == 1 and "policy.yaml" in status(world)["reloads"]["error"]
    reload(world, OTHER)
    assert Scrape(world)("mqward_last_reload_success") == 1 and "error" not in status(world)["reloads"]


def test_counters_never_go_backward_while_policies_change(make_world):
    """Traffic, scrapes and reloads side by side; the rules have other names in each policy."""
    world = make_world(POLICY, configuration=LISTEN, passwords=USERS)
    clients = [world.connected(version=raw.V5) for _ in range(4)]
    highest = {}
    for round_ in range(20):
        for client in clients:
            client.publish("dt/secret/a", b"1", 1, code=REFUSED)
            client.publish("dt/a", b"1", 1)
        for key, number in Scrape(world).counters().items():
            assert number >= highest.get(key, 0), key
            highest[key] = number
        reload(world, POLICY.replace("no-secrets", f"rule-{round_ % 5}"))


def with_rules(count, prefix="r"):
    rules = "".join(f"  - {{rule: {prefix}{number}, who: everyone, allow: publish, topics: [t/{number}/#]}}\n"
                    for number in range(count))
    return POLICY.replace("rules:\n", "rules:\n" + rules)


def test_a_thousand_rules_and_more(make_world):
    world = make_world(with_rules(1500), configuration=LISTEN, passwords=USERS)
    client = world.connected(version=raw.V5)
    for number in (0, 1499):
        client.publish(f"t/{number}/a", b"1", 1)
    begun = time.monotonic()
    scrape = Scrape(world)
    took = time.monotonic() - begun
    assert rule(scrape, "r0") == (1, 0, 0) and rule(scrape, "r1499") == (None,) * 3
    assert rule(scrape, "_other", "other") == (1, 0, 0)
    assert len(scrape.all("mqward_rule_decisions_total")) == 3 * (1024 + 2)
    assert len(scrape.text) < 400000 and took < 15
    assert promtool(scrape.text) == (0, "")
    for round_ in range(3):  # each with names of its own: slots are used again
        reload(world, with_rules(1500, f"s{round_}-"))
        bound(client)
        scrape_when(world, lambda s, name=f"s{round_}-0": rule(s, name) == (0, 0, 0), "a series of the new rule")
        client.publish("t/0/a", b"1", 1)
        scrape_when(world, lambda s, name=f"s{round_}-0": rule(s, name) == (1, 0, 0), "the new rule")
    scrape = scrape_when(world, lambda s: rule(s, "s1-0") == (None,) * 3, "the former rules to go")
    assert rule(scrape, "_other", "other") == (3, 0, 0), "of r1499, and of r0 and s0-0, which made room"


def test_rules_that_find_no_room_have_it_once_a_former_policy_is_left(make_world):
    world = make_world(with_rules(1100), configuration=LISTEN, passwords=USERS, start=False)
    for listener in world.proxy.configuration["listeners"]:
        listener["timeouts"] = {"handshake": "5m"}
    world.proxy.write()
    world.proxy.start()
    client = world.connected(version=raw.V5)
    with contextlib.ExitStack() as handshakes:  # each stays with the policy that it began with
        for count, name in enumerate("st", 1):
            handshakes.enter_context(dial(("127.0.0.1", world.proxy.ports["tls"])))
            scrape_when(world, lambda s, count=count: s("mqward_connections", listener="tls") == count, "the handshake")
            reload(world, with_rules(1100, name))
            bound(client)
        client.publish("t/0/a", b"1", 1)
        scrape_when(world, lambda s: rule(s, "_other", "other") == (1, 0, 0) and rule(s, "t0") == (None,) * 3,
                    "counted with the others")
    scrape_when(world, lambda s: rule(s, "t0") == (0, 0, 0), "room")
    client.publish("t/0/a", b"1", 1)
    scrape_when(world, lambda s: rule(s, "t0") == (1, 0, 0) and rule(s, "_other", "other") == (1, 0, 0), "counted by itself")


# ---- all together ----

def test_every_family_is_there_after_mixed_traffic(make_world, certs):
    """A world that has all: the manual's table is what a scrape shows, and promtool has nothing against it."""
    text = signed_policy(signed(topics="signed/#", check="mode: monitor"), scan("on_match: quarantine"))
    world = scan_world(make_world, text=text, scan=QUARANTINE, start=False, passwords={"plc-7": "secret"},
                       configuration={**LISTEN, "keys": "keys.yaml", "cas": {"broker-ca": certs.broker_ca.path}})
    write_keys(world, dataclasses.replace(MASTER, more={"not_after": 86400}), OPERATOR)
    world.proxy.start()
    client, receiver = user(world, version=raw.V5), world.connected()
    receiver.subscribe("#")
    client.publish("dt/a", EVIL, 1, code=0x99)
    client.publish("dt/a", b"x" * 40000, 1)
    publish(client, PLC7.sign("signed/a", b"x"))
    world.connected(certificate=certs.plc7).disconnect()
    scrape = Scrape(world)
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as file:
        table = dict(re.findall(r"^\| `((?:mqward|process)_\w+)` \| \w+ \| ([^|]*) \|", file.read(), re.M))
    elsewhere = {"mqward_replay_workers_away", "mqward_crl_next_update_seconds",
                 "mqward_upstream_certificate_not_after_seconds"}
    assert set(table) - elsewhere == set(scrape.families)
    for name, family in scrape.families.items():
        wanted = re.findall(r"`(\w+)`", table[name])
        for _, labels in family.series:
            assert [label for label, _ in labels if label != "le" or family.kind != "histogram"] == wanted, name
    assert promtool(scrape.text) == (0, "")
    assert list(Scrape(world).families) == list(scrape.families), "in the same order"


def test_families_of_other_worlds(make_world, certs, tmp_path):
    """A shared replay store that is away, revocation lists, a certificate for the broker."""
    fleet = RevokingAuthority(str(tmp_path), "revoking")
    broker = {"name": "main", "address": f"127.0.0.1:{free_port()}",
              "tls": {"ca": "broker-ca", "certificate": certs.broker_client[0], "key": certs.broker_client[1]}}
    tls = {"certificate": certs.server[0], "key": certs.server[1], "client_certificate": "required",
           "client_ca": ["revoking"], "crl": [fleet.crl(str(tmp_path / "revoking.crl"))],
           "sni": [{"names": ["a.example"], "certificate": certs.sni_a[0], "key": certs.sni_a[1]}]}
    listener = {"name": "tls", "address": "127.0.0.1:0", "upstream": "main", "tls": tls}
    world = make_world(broker=False, listeners=[listener],
                       configuration={**LISTEN, "cas": {"revoking": fleet.path}, "upstreams": [broker],
                                      "replay": {"redis": {"address": f"127.0.0.1:{free_port()}"}}})
    scrape = scrape_when(world, lambda s: s("mqward_replay_workers_away") == 2, "the store to be away")
    day = 86400
    assert abs(scrape("mqward_crl_next_update_seconds", listener="tls") - time.time() - 30 * day) < day
    assert scrape("mqward_ca_not_after_seconds", ca="revoking") > time.time()
    assert scrape("mqward_upstream_certificate_not_after_seconds", upstream="main") > time.time()
    assert scrape("mqward_certificate_not_after_seconds", listener="tls", name="a.example") > time.time()
    assert promtool(scrape.text) == (0, "")
