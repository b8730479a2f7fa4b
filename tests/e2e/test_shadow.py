# SPDX-License-Identifier: Apache-2.0
"""A shadow policy, through the real binary: it refuses nothing, and the audit tells where it would decide otherwise."""
import os
import signal
import subprocess

import pytest

import raw
from audit import get
from metrics import LISTEN, Scrape
from servers import binary, run_cli, wait_until

VERSIONS = pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: live
identity:
  - anonymous: {id: guest}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: [dt/#]
  - rule: locked
    who: everyone
    deny: [publish, receive]
    topics: [dt/lock/#]
"""
CANDIDATE = POLICY.replace("policy: live", "policy: candidate").replace("rule: all", "rule: some") \
    .replace("[dt/#]", "[dt/a/#, dt/lock/#]").split("  - rule: locked")[0]


def shadowed(make_world, candidate=CANDIDATE, options=None):
    world = make_world(POLICY, configuration={"shadow_policy": "candidate.yaml", **(options or {})}, start=False)
    write_candidate(world, candidate)
    world.proxy.start()
    return world


def write_candidate(world, text):
    os.makedirs(world.proxy.folder, exist_ok=True)
    with open(os.path.join(world.proxy.folder, "candidate.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


@VERSIONS
def test_what_only_the_shadow_denies_arrives_and_is_told_of(make_world, version):
    world = shadowed(make_world)
    observer = world.observer("dt/#")
    client = world.connected(version=version)
    client.publish("dt/a/t", b"1", qos=1)
    client.publish("dt/b", b"2", qos=1)
    assert [message.payload for message in world.arrived(observer, client)] == [b"1", b"2"]
    event = world.audit.wait_for(action="shadow-diff", topic="dt/b")
    assert (get(event, "reason"), get(event, "rule"), get(event, "disposition")) == ("allowed", "all", "informed")
    assert get(event, "mqward.shadow.decision") == "deny"
    assert get(event, "mqward.shadow.reason") == "no_allow"
    assert get(event, "mqward.shadow.policy_version").startswith("sha256:")
    assert get(event, "mqward.shadow.policy_version") != get(event, "mqward.policy_version")
    assert world.audit.all(action="shadow-diff", topic="dt/a/t") == []


@VERSIONS
def test_what_only_the_shadow_allows_is_refused(make_world, version):
    world = shadowed(make_world)
    client = world.connected(version=version)
    client.publish("dt/lock/x", b"1", qos=1, code=0x87 if version == raw.V5 else 0)
    event = world.audit.wait_for(action="shadow-diff", topic="dt/lock/x")
    assert (get(event, "reason"), get(event, "rule")) == ("denied_by_rule", "locked")
    assert get(event, "mqward.shadow.decision") == "allow" and get(event, "mqward.shadow.rule") == "some"
    assert get(event, "mqward.shadow.rule_line").startswith("candidate.yaml:")
    world.audit.wait_for(action="mqtt-publish-denied", topic="dt/lock/x", rule="locked")


def test_what_would_change_is_in_the_message_on_the_terminal_and_counted(make_world):
    world = shadowed(make_world, options=LISTEN)
    client = world.connected()
    client.publish("dt/b", b"1", qos=1)
    client.publish("dt/b", b"2", qos=1)
    client.publish("dt/lock/x", b"1", qos=1, code=0x87)
    event = world.audit.wait_for(action="shadow-diff", topic="dt/b")
    assert event["message"] == "shadow policy differs: guest -> dt/b: shadow: deny, no_allow; in force: allowed by all"
    event = world.audit.wait_for(action="shadow-diff", topic="dt/lock/x")
    assert event["message"] == \
        "shadow policy differs: guest -> dt/lock/x: shadow: allow, allowed by some; in force: denied_by_rule by locked"
    scrape = Scrape(world)
    assert scrape("mqward_shadow_differences_total", decision="deny") == 2
    assert scrape("mqward_shadow_differences_total", decision="allow") == 1
    result = run_cli("audit", "tail", "--where", "event.action=shadow-diff", "audit", folder=world.proxy.folder)
    assert "  dt/b  rule all (policy.yaml:6)  allowed  shadow: deny no_allow\n" in result.stdout, result.stdout
    assert "  denied_by_rule  shadow: allow allowed rule some (candidate.yaml:6)\n" in result.stdout


def test_a_reload_brings_another_shadow_to_live_sessions(make_world):
    world = shadowed(make_world)
    client = world.connected()
    client.publish("dt/b", b"1", qos=1)
    world.audit.wait_for(action="shadow-diff", topic="dt/b")
    count = len(world.proxy.logged("reloaded"))
    write_candidate(world, CANDIDATE.replace("dt/a/#", "dt/b/#"))
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: len(world.proxy.logged("reloaded")) > count, "the reload")
    client.ping()
    client.publish("dt/b", b"2", qos=1)
    client.publish("dt/a/t", b"2", qos=1)
    world.audit.wait_for(action="shadow-diff", topic="dt/a/t")
    assert len(world.audit.all(action="shadow-diff", topic="dt/b")) == 1


@pytest.mark.brokerless
def test_a_shadow_with_errors_is_not_loaded_and_check_names_its_line(make_world):
    world = make_world(POLICY, configuration={"shadow_policy": "candidate.yaml"}, start=False)
    world.proxy.write()
    write_candidate(world, CANDIDATE.replace("who: everyone", "who: nobody-knows"))
    result = subprocess.run([binary(), "check", "-c", os.path.join(world.proxy.folder, "mqward.yaml")],
                            capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 1
    assert "candidate.yaml:7:" in result.stderr + result.stdout
