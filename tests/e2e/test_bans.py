# SPDX-License-Identifier: Apache-2.0
"""on_deny.repeat and bans: who is denied again and again is disconnected and kept out, and operators have their say."""
import json
import os
import threading
import time

import pytest

import raw
from audit import get
from servers import run_cli, wait_until
from test_control import ask

pytestmark = pytest.mark.brokerless

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
USERS = {"eva": "secret", "adam": "other"}
POLICY = """\
version: 1
policy: bans
identity:
  - password: {file: users}
  - anonymous: {id: guest}
rules:
  - rule: ok
    who: everyone
    allow: [publish, subscribe]
    topics: [ok/#]
  - rule: never
    who: everyone
    deny: publish
    topics: [ok/never]
on_deny:
  repeat: {count: 4, within: 1m, ban: 10m}
"""
CONTROL = {"control": {"socket": "control.sock"}}


def make(make_world, policy=POLICY, **options):
    return make_world(policy, passwords=USERS, **{"configuration": CONTROL, **options})


def changed(old, new):
    assert old in POLICY
    return POLICY.replace(old, new)


def eva(world, version=raw.V5, source="127.0.0.1", name="eva", code=0):
    client = world.client(version, source=source)
    client.connect(world.name(), username=name, password=USERS[name], code=code)
    return client


def refused_eva(world, version=raw.V5, source="127.0.0.1", name="eva"):
    """A CONNECT that must find itself banned."""
    client_id = world.name()
    client = world.client(version, source=source)
    client.send(raw.connect(version, client_id, username=name, password=USERS[name]))
    client.expect(raw.CONNACK, code=0x8A if version == raw.V5 else 5)
    client.expect_closed()
    return world.audit.wait_for(action="mqtt-connect-refused", client_id=client_id, reason="banned")


def offend(client, times=4, topic="no/where"):
    """Denied publishes; the connection is there after all but the last of too many."""
    for _ in range(times):
        client.send(raw.publish(client.version, topic, b"x"))


def cli(world, *arguments, status=0):
    path = os.path.join(world.proxy.folder, "control.sock")
    result = run_cli(*arguments, "--socket", path, folder=world.proxy.folder)
    assert result.returncode == status, f"{result.stdout}{result.stderr}"
    return result


def bans(world):
    return {(ban["by"], ban["value"]): ban for ban in json.loads(cli(world, "bans", "list", "--json").stdout)["bans"]}


@pytest.mark.core
@VERSIONS
def test_as_many_denials_as_the_count_end_the_session_and_ban(make_world, version):
    world = make(make_world)
    client = eva(world, version)
    offend(client, 3)
    client.ping()
    assert not world.audit.all(action="client-banned")
    offend(client, 1, "ok/never")
    client.expect_disconnect(0x98)
    event = world.audit.wait_for(action="mqtt-disconnect", user="eva")
    assert get(event, "reason") == "denials_exceeded"
    banned = {get(item, "mqward.ban.by"): item for item in world.audit.wait_for_count(2, action="client-banned")}
    assert get(banned["id"], "mqward.ban.value") == "eva" and get(banned["address"], "mqward.ban.value") == "127.0.0.1"
    for item in banned.values():
        assert (get(item, "reason"), get(item, "rule"), get(item, "mqward.count")) == ("denials_exceeded", "never", 4)
        assert get(item, "line") == world.line("- rule: never")
        assert get(item, "user") == "eva" and get(item, "ip") == "127.0.0.1"
        assert get(item, "mqward.ban.until") > get(item, "@timestamp")
    # by the address, before a password is looked at; by the identity, from wherever
    assert get(refused_eva(world, version, name="adam"), "mqward.detail").startswith("the address 127.0.0.1 for ")
    detail = get(refused_eva(world, version, source="127.0.0.2"), "mqward.detail")
    assert detail.startswith("the identity for ") and 500 <= int(detail.split()[3]) <= 600
    eva(world, version, source="127.0.0.2", name="adam").ping()


def test_a_banned_address_is_refused_whatever_the_password(make_world):
    world = make(make_world, configuration={**CONTROL, "limits": {"login_failures_per_address": 1}})
    cli(world, "bans", "add", "address", "127.0.0.1", "--for", "1h")
    for _ in range(3):
        client = world.client(raw.V5)
        client.connect(world.name(), username="eva", password="wrong", code=0x8A)
    cli(world, "bans", "lift", "--all")
    eva(world).ping()  # no failed login was counted


def test_who_does_not_prove_the_identity_is_not_told_of_its_ban(make_world):
    world = make(make_world)
    cli(world, "bans", "add", "id", "eva", "--for", "1h")
    world.client(raw.V5).connect(world.name(), username="eva", password="wrong", code=0x86)
    refused_eva(world)


@pytest.mark.parametrize("act", (
    lambda client: client.send(raw.publish(client.version, "no/x", b"x")),
    lambda client: client.send(raw.publish(client.version, "no/x", b"x", qos=2, packet_id=9)),
    lambda client: client.send(raw.subscribe(client.version, 3, [("no/#", 0)])),
    lambda client: client.send(raw.publish(client.version, "ok/x", b"x", props=[(raw.RESPONSE_TOPIC, "no/x")])),
), ids=("publish", "publish-qos2", "subscribe", "response-topic"))
def test_what_counts(make_world, act):
    world = make(make_world)
    client = eva(world)
    for _ in range(4):
        act(client)
    assert client.until_closed()[-1].code == 0x98
    world.audit.wait_for_count(2, action="client-banned")


def test_messages_over_a_rate_count(make_world):
    world = make(make_world, POLICY + 'checks:\n  - {check: flood, topics: "#", rate: {per: id, messages: 3/h}}\n')
    client = eva(world)
    for _ in range(3):
        client.publish("ok/x", b"x", qos=1)
    offend(client, 3, "ok/x")
    client.ping()
    offend(client, 1, "ok/x")
    client.expect_disconnect(0x98)
    events = world.audit.wait_for_count(2, action="client-banned")
    assert {get(event, "rule") for event in events} == {"flood"}


def test_every_refused_filter_of_a_packet_counts_once(make_world):
    world = make(make_world)
    client = eva(world)
    client.subscribe("no/1", "ok/#", "no/2", "no/3", codes=[0x87, 0, 0x87, 0x87])
    client.ping()
    client.send(raw.subscribe(raw.V5, 7, [(f"no/{number}", 0) for number in range(20)]))
    client.expect(raw.SUBACK)
    client.expect_disconnect(0x98)
    assert len(world.audit.wait_for_count(2, action="client-banned")) == 2


@VERSIONS
def test_denied_wills_count_over_connections(make_world, version):
    world = make(make_world)
    for _ in range(4):
        client = world.client(version)
        client.connect(world.name(), username="eva", password="secret", will=raw.Will("no/where", b"x"), code=0x87)
    refused_eva(world, version)
    refused_eva(world, version, source="127.0.0.2")


def test_denials_count_over_connections_addresses_and_workers(make_world):
    world = make(make_world, changed("count: 4", "count: 40"))
    clients = [eva(world, source=f"127.0.0.{2 + number % 4}") for number in range(13)]
    for client in clients:
        offend(client, 3)
        client.ping()
    assert not world.audit.all(action="client-banned")
    offend(clients[5], 1)
    clients[5].expect_disconnect(0x98)
    events = world.audit.wait_for_count(2, action="client-banned")
    assert {get(event, "mqward.ban.value") for event in events} == {"eva", "127.0.0.3"}
    for number, client in enumerate(clients):  # the others are of the same identity
        if number != 5:
            client.expect_disconnect(0x98)
    ends = world.audit.wait_for_count(13, action="mqtt-disconnect", user="eva")
    assert sorted(get(event, "reason") for event in ends) == ["banned"] * 12 + ["denials_exceeded"]


def test_a_ban_ends_the_other_sessions_and_nobody_elses(make_world):
    world = make(make_world)
    other_address, anonymous = eva(world, source="127.0.0.2"), world.connected("guest-here")
    adam, far = eva(world, source="127.0.0.3", name="adam"), world.client(source="127.0.0.4")
    far.connect("guest-far")
    offender = eva(world)
    offend(offender)
    offender.expect_disconnect(0x98)
    other_address.expect_disconnect(0x98)
    anonymous.expect_disconnect(0x98)
    adam.ping()
    far.ping()
    assert get(world.audit.wait_for(action="mqtt-disconnect", client_id="guest-here"), "reason") == "banned"


def test_anonymous_clients_answer_for_their_address_alone(make_world):
    world = make(make_world)
    bystander = world.client(source="127.0.0.2")
    bystander.connect("bystander")
    for number in range(2):
        client = world.connected(f"first-{number}")
        offend(client, 2)
        if number == 0:
            client.ping()
    client.expect_disconnect(0x98)
    events = world.audit.wait_for_count(1, action="client-banned")
    assert [get(event, "mqward.ban.by") for event in events] == ["address"]
    bystander.ping()
    assert set(bans(world)) == {("address", "127.0.0.1")}


def test_an_operator_may_ban_all_anonymous_clients(make_world):
    world = make(make_world)
    client, named = world.connected(), eva(world)
    cli(world, "bans", "add", "id", "guest", "--for", "1h")
    client.expect_disconnect(0x98)
    world.client(raw.V5).connect(world.name(), code=0x8A)
    named.ping()


@pytest.mark.parametrize("by,kept", (("id", {("id", "eva")}), ("address", {("address", "127.0.0.1")})))
def test_by_says_who_is_banned(make_world, by, kept):
    world = make(make_world, changed("ban: 10m", f"ban: 10m, by: {by}"))
    client = eva(world)
    offend(client)
    client.expect_disconnect(0x98)
    assert set(bans(world)) == kept


def test_without_a_ban_only_the_session_ends(make_world):
    world = make(make_world, changed(", ban: 10m", ""))
    for _ in range(2):
        other = eva(world)
        client = eva(world)
        offend(client)
        client.expect_disconnect(0x98)
        other.ping()
    assert bans(world) == {} and not world.audit.all(action="client-banned")


def test_denials_that_are_too_far_apart_do_not_count_together(make_world):
    world = make(make_world, changed("within: 1m", "within: 3s"))
    client = eva(world)
    for _ in range(2):
        offend(client, 3)
        client.ping()
        time.sleep(3.1)
    assert not world.audit.all(action="client-banned")
    offend(client, 4)
    client.expect_disconnect(0x98)


def test_what_monitor_mode_lets_pass_and_filtered_deliveries_do_not_count(make_world):
    world = make(make_world, changed("version: 1", "version: 1\nmode: monitor"))
    client = eva(world)
    offend(client, 10)
    client.ping()
    world.policy = world.proxy.policy = changed("  - rule: never", """\
  - rule: hidden
    who: everyone
    deny: receive
    topics: [ok/secret/#]
  - rule: never""")
    world.proxy.write()
    cli(world, "reload")
    client = eva(world)
    client.subscribe("ok/#")
    with world.direct() as broker:
        for number in range(10):
            broker.publish(f"ok/secret/{number}", b"x", qos=1)
        broker.publish("ok/open", b"x", qos=1)
    assert client.message().topic == "ok/open"
    assert len(world.audit.wait_for_count(10, action="mqtt-delivery-filtered")) == 10
    client.ping()
    assert bans(world) == {}


def test_a_ban_ends_with_its_time(make_world):
    world = make(make_world, changed("ban: 10m", "ban: 6s"))
    client = eva(world)
    offend(client)
    client.expect_disconnect(0x98)
    refused_eva(world)
    begun = {line["value"]: line for line in world.proxy.logged("a ban has begun")}
    assert set(begun) == {"eva", "127.0.0.1"}
    assert begun["eva"]["by"] == "id" and begun["eva"]["why"].startswith("4 denials")
    events = world.audit.wait_for_count(2, action="client-unbanned")
    assert {(get(event, "reason"), get(event, "mqward.ban.value")) for event in events} == \
        {("ban_expired", "eva"), ("ban_expired", "127.0.0.1")}
    assert {line["until"] for line in begun.values()} == {get(event, "mqward.ban.until") for event in events}
    eva(world).ping()
    assert bans(world) == {}


def test_a_ban_is_lifted(make_world):
    world = make(make_world)
    client = eva(world)
    offend(client)
    client.expect_disconnect(0x98)
    assert cli(world, "bans", "lift", "id", "eva").stdout == "lifted: 1\n"
    assert "there is no such ban" in cli(world, "bans", "lift", "id", "eva", status=1).stderr
    refused_eva(world)
    eva(world, source="127.0.0.2").ping()
    assert cli(world, "bans", "lift", "address", "::ffff:127.0.0.1").stdout == "lifted: 1\n"
    eva(world).ping()
    events = world.audit.wait_for_count(2, action="client-unbanned")
    assert [get(event, "reason") for event in events] == ["ban_lifted", "ban_lifted"]
    assert all(f"asked for by uid {os.geteuid()} " in get(event, "mqward.detail") for event in events)
    cli(world, "bans", "add", "id", "x", "--for", "1h")
    cli(world, "bans", "add", "address", "192.0.2.1", "--for", "1h")
    assert cli(world, "bans", "lift", "--all").stdout == "lifted: 2\n"


def test_bans_survive_a_reload_and_not_a_restart(make_world):
    world = make(make_world)
    client = eva(world)
    offend(client)
    client.expect_disconnect(0x98)
    cli(world, "reload")
    refused_eva(world)
    # what monitor mode lets pass is out again with the next policy that enforces
    world.proxy.policy = changed("version: 1", "version: 1\nmode: monitor")
    world.proxy.write()
    cli(world, "reload")
    client = eva(world)
    world.proxy.policy = POLICY
    world.proxy.write()
    cli(world, "reload")
    client.expect_disconnect(0x98)
    refused_eva(world)
    assert world.proxy.terminate() == 0
    world.proxy.start()
    eva(world).ping()


@VERSIONS
def test_an_operators_ban_disconnects_and_holds_in_monitor_mode(make_world, version):
    world = make(make_world, changed("version: 1", "version: 1\nmode: monitor"))
    client, adam = eva(world, version), eva(world, version, name="adam")
    result = cli(world, "bans", "add", "id", "eva", "--for", "1h", "--reason", "stolen laptop")
    assert result.stdout.startswith("banned: id eva until 20")
    client.expect_disconnect(0x98)
    refused_eva(world, version)
    adam.ping()
    event = world.audit.wait_for(action="client-banned")
    assert get(event, "reason") == "ban_ordered" and get(event, "user") == "eva"
    assert get(event, "mqward.detail").startswith("stolen laptop; asked for by uid ")
    listed = bans(world)[("id", "eva")]
    assert listed["ordered"] is True and listed["reason"] == "stolen laptop" and 3500000 < listed["left_ms"] <= 3600000
    text = cli(world, "bans", "list").stdout
    assert text.splitlines()[0] == "id      eva" and "ordered: stolen laptop" in text and text.endswith("1 ban\n")


def test_ipv6_is_banned_by_its_network(make_world):
    world = make(make_world)
    assert "address 2001:db8:1:2::/64 until" in \
        cli(world, "bans", "add", "address", "2001:db8:1:2:3:4:5:6", "--for", "1h").stdout
    shorter = cli(world, "bans", "add", "address", "2001:db8:1:2::9", "--for", "10m", status=1)
    assert "there is such a ban" in shorter.stderr
    assert cli(world, "bans", "lift", "address", "2001:db8:1:2::/64").stdout == "lifted: 1\n"
    name = cli(world, "bans", "add", "address", "localhost", "--for", "1h", status=1)
    assert "not an IPv4 or IPv6 address" in name.stderr


def test_names_that_a_terminal_would_obey_are_shown_harmless(make_world):
    world = make(make_world)
    name = "x\x1b[31mred\nid      forged\u202e"
    cli(world, "bans", "add", "id", name, "--for", "1h")
    text = cli(world, "bans", "list").stdout
    assert "\x1b" not in text and "\u202e" not in text and text.splitlines()[0] == 'id      "x?[31mred?id      forged?"'
    assert ("id", name) in bans(world)
    cli(world, "bans", "lift", "id", name)


@pytest.mark.parametrize("arguments", (
    ("add", "id", "x"), ("add", "id", "", "--for", "1h"), ("add", "name", "x", "--for", "1h"),
    ("add", "id", "x", "--for", "10"), ("add", "id", "x", "--for", "0"), ("add", "id", "x", "--for", "366d"),
    ("add", "id"), ("lift",), ("lift", "id"), ("lift", "id", "a", "b"), ("list", "x")), ids=" ".join)
def test_command_lines_that_are_wrong(tmp_path, arguments):
    result = run_cli("bans", *arguments, folder=tmp_path)
    assert result.returncode == 2 and "Try 'mqward bans " in result.stderr


BROKER_SAYS = changed("  - password: {file: users}", "  - broker: {id: username}")


def test_a_broker_identity_is_banned_only_when_the_broker_has_said_yes(make_world):
    world = make_world(BROKER_SAYS, broker="fake", configuration=CONTROL)
    bad = raw.Will("no/where", b"x")
    for _ in range(4):  # nobody has said that this is eva
        client = world.client(raw.V5, source="127.0.0.3")
        client.send(raw.connect(raw.V5, world.name(), username="eva", password="x", will=bad))
        client.expect(raw.CONNACK, code=0x87)
    assert set(bans(world)) == {("address", "127.0.0.3")}
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", username="eva", password="x"))
    peer, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    offend(client)
    client.expect_disconnect(0x98)
    assert ("id", "eva") in bans(world)
    client = world.client(raw.V5, source="127.0.0.4")
    client.connect("d", username="eva", password="x", code=0x8A)


def test_a_ban_that_begins_before_connack_refuses_there(make_world):
    world = make_world(BROKER_SAYS, broker="fake", configuration=CONTROL)
    client = world.client(raw.V5)
    client.send(raw.connect(raw.V5, "c", username="eva", password="x"))
    peer, _ = world.fake.accept_connect()
    cli(world, "bans", "add", "id", "eva", "--for", "1h")
    peer.send(raw.connack(raw.V5))
    client.expect(raw.CONNACK, code=0x8A)
    peer.expect(raw.DISCONNECT)  # the broker is to forget the will


def test_a_storm_of_offenders_leaves_the_others_alone(make_world):
    """Bans begin all the time, and each time a hundred sessions are asked: traffic goes on, the audit is complete."""
    world = make(make_world, changed("count: 4", "count: 1").replace("ban: 10m", "ban: 1s, by: address"))
    bystanders = [eva(world, source="127.0.0.200", name="adam") for _ in range(100)]
    observer = world.observer("ok/#")
    stop, offences = threading.Event(), []

    def storm(first):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                client = world.client(raw.V5, source=f"127.0.{first}.{number % 250 + 1}")
                client.send(raw.connect(raw.V5, "") + raw.publish(raw.V5, "no/x", b"x"))
                client.until_closed()
                offences.append(1)
                client.abort()
            except OSError:
                pass

    threads = [threading.Thread(target=storm, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):
            bystanders[number].publish("ok/x", b"%d" % number, qos=1)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    arrived = [message.payload for message in world.arrived(observer, *bystanders[:1])]
    assert arrived == [b"%d" % number for number in range(100)]
    assert len(offences) > 20
    for client in bystanders:
        client.ping()
    began = len(world.audit.all(action="client-banned"))
    wait_until(lambda: len(world.audit.all(action="client-unbanned")) ==
               len(world.audit.all(action="client-banned")) >= began, "the ends of all bans")
    world.audit.assert_gapless()


# ---- limits that are shared ----

SHARED = """\
version: 1
policy: bans
identity:
  - password: {file: users}
rules:
  - rule: ok
    who: everyone
    allow: [publish, subscribe]
    topics: [ok/#]
checks:
  - check: uplink
    topics: "#"
    rate: {per: %s, messages: 10/h}
on_deny:
  repeat: {count: 3, within: 1m, ban: 10m}
"""


@pytest.mark.parametrize("per", ("group", "address"))
def test_nobody_is_banned_for_a_limit_that_another_has_used_up(make_world, per):
    world = make(make_world, SHARED % per)
    greedy, victim = eva(world), eva(world, name="adam")
    for _ in range(10):
        greedy.publish("ok/x", b"x")
    greedy.ping()
    for _ in range(6):
        victim.send(raw.publish(victim.version, "ok/y", b"1"))
    victim.ping()
    world.audit.wait_for(action="rate-limited", user="adam")
    assert bans(world) == {}


def test_what_an_order_says_of_the_end_is_what_holds(make_world):
    world = make(make_world)
    client = eva(world)
    offend(client)
    client.expect_disconnect(0x98)
    answer = json.loads(cli(world, "bans", "add", "id", "eva", "--for", "1m", "--json").stdout)
    (ban,) = [ban for ban in json.loads(cli(world, "bans", "list", "--json").stdout)["bans"] if ban["by"] == "id"]
    assert ban["ordered"] and ban["left_ms"] > 5 * 60000 and answer["until"] == ban["until"]
    event = world.audit.wait_for(action="client-banned", reason="ban_ordered")
    assert get(event, "mqward.ban.until") == ban["until"]


def test_without_room_in_the_audit_nothing_changes(make_world):
    """Nothing that an operator does is missing in the audit: what it can't take is not done."""
    world = make(make_world, redis=False,
                 configuration={**CONTROL, "audit": {"ring": "256KiB", "quota": "1MiB", "segment": "256KiB"}})
    for number in range(20000):
        full = world.proxy.logged("journal quota is full of unconfirmed events")  # or else there may soon be room again
        result = ask(world, {"request": "ban", "by": "id", "value": "x" * 200 + str(number % 3000), "reason": "y" * 190,
                             "for_ms": 3600000 + number})
        if full and not result["ok"]:
            break
    assert "nothing was changed" in result["error"]
    version = ask(world, {"request": "reload"})
    assert not version["ok"] and "nothing was changed" in version["error"]
    assert not [line for line in world.proxy.output().splitlines() if "was lost" in line]
