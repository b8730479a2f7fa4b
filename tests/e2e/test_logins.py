# SPDX-License-Identifier: Apache-2.0
"""Passwords are checked beside the traffic, not before it, and nobody guesses them at leisure."""
import base64
import hashlib
import os
import resource
import subprocess
import time

import pytest

import raw
from audit import get
from servers import merge, run_cli, wait_until
from test_reload import reload

VERSIONS = pytest.mark.parametrize("version", raw.VERSIONS, ids=("v3.1", "v3.1.1", "v5.0"))
POLICY = """\
version: 1
policy: logins
identity:
  - password: {file: users}
  - anonymous: {id: guest}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
"""
LIMITS = {"limits": {"login_failures_per_address": 3, "login_failures_per_name": 4, "login_window": "1m"}}


def add_slow_user(world, name, password, iterations=150000):
    """An entry whose check takes long enough to look at what happens meanwhile."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    fields = ("7", str(iterations), base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    with open(f"{world.proxy.folder}/users.passwd", "a", encoding="ascii") as file:
        file.write(f"{name}:${'$'.join(fields)}\n")


def add_argon2id_user(world, name, password, memory=64, passes=1, lanes=1):
    """As `mosquitto_passwd -H argon2id` of Mosquitto 2.1 writes it; memory in KiB."""
    costs = ["-k", str(memory), "-t", str(passes), "-p", str(lanes)]
    command = ["argon2", os.urandom(16).hex(), "-id", "-e", "-l", "64", *costs]
    result = subprocess.run(command, input=password.encode(), capture_output=True, check=True, timeout=30)
    with open(f"{world.proxy.folder}/users.passwd", "a", encoding="ascii") as file:
        file.write(f"{name}:{result.stdout.decode().strip()}\n")


@pytest.mark.core
@VERSIONS
def test_traffic_goes_on_while_a_password_is_checked(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret"}, configuration={"workers": 1}, start=False)
    add_slow_user(world, "slow", "secret", 1000000)
    world.proxy.start()
    other = world.connected(version=version)
    left = []
    while not left or left[-1] < 0.1:  # a slow broker may take longer than a check; a worker that waits leaves none
        assert len(left) < 3, f"the messages went on when the check was done: {left} s"
        client = world.client(version)
        client.send(raw.connect(version, world.name(), username="slow", password="secret")
                    + raw.publish(version, "t", b"pipelined", qos=1))
        for _ in range(3):
            other.publish("t", b"meanwhile", qos=1)
        before = cpu_seconds(world.proxy)
        client.expect(raw.CONNACK, code=0)
        client.expect(raw.PUBACK, packet_id=1)
        left.append(cpu_seconds(world.proxy) - before)


@pytest.mark.needs("v5.0")
def test_a_client_that_leaves_while_its_password_is_checked_harms_nothing(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"}, configuration={"workers": 1, "limits": {"password_checks": 1}},
                       start=False)
    add_slow_user(world, "slow", "secret")
    world.proxy.start()
    for _ in range(3):
        client = world.client()
        client.send(raw.connect(raw.V5, "c", username="slow", password="wrong"))
        client.reset()
    eva = world.client()
    eva.send(raw.connect(raw.V5, "c", username="eva", password="secret"))
    eva.expect(raw.CONNACK, timeout=60, code=0)


def test_a_stop_does_not_wait_for_passwords(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"}, configuration={"limits": {"password_checks": 1}}, start=False)
    add_slow_user(world, "slow", "secret", 500000)
    world.proxy.start()
    before = cpu_seconds(world.proxy)
    world.connected(username="slow", password="secret")
    one = cpu_seconds(world.proxy) - before
    clients = [world.client() for _ in range(20)]
    before = cpu_seconds(world.proxy)
    for client in clients:
        client.send(raw.connect(client.version, world.name(), username="slow", password="secret"))
    wait_until(lambda: cpu_seconds(world.proxy) - before > one, "a second check is under way")
    spent, others = cpu_seconds(world.proxy), ended_children()
    assert world.proxy.terminate() == 0
    checks = (ended_children() - others - spent) / one
    assert checks < 6, f"{checks} passwords were checked after SIGTERM"


@VERSIONS
def test_after_too_many_wrong_passwords_an_address_is_refused_unchecked(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret", "adam": "other"}, configuration=LIMITS)
    for number in range(3):
        world.client(version).connect(world.name(), username=f"guess-{number}", password="x", code=0x86 if version == raw.V5 else 4)
    refused = world.name()
    world.client(version).connect(refused, username="eva", password="secret", code=0x9F if version == raw.V5 else 3)
    assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id=refused), "reason") == "logins_exceeded"
    # neither another address nor a client without a password is concerned
    world.client(version, source="127.0.0.2").connect(world.name(), username="eva", password="secret")
    world.client(version).connect(world.name())
    # and it is over with the window
    reload(world, configuration=lambda configuration: configuration["limits"].update(login_window="1s"))
    deadline = time.monotonic() + 20
    while True:
        client = world.client(version)
        client.send(raw.connect(version, world.name(), username="eva", password="secret"))
        if client.expect(raw.CONNACK).code == 0:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_name_is_guessed_from_no_number_of_addresses(make_world):
    world = make_world(POLICY, passwords={"eva": "secret", "adam": "other"}, configuration=LIMITS)
    for number in range(4):
        world.client(source=f"127.0.0.{number + 2}").connect(world.name(), username="eva", password="x", code=0x86)
    world.client(source="127.0.0.9").connect(world.name(), username="eva", password="secret", code=0x9F)
    world.client(source="127.0.0.9").connect(world.name(), username="adam", password="other")


def test_guesses_that_come_all_at_once_are_counted_one_by_one(make_world):
    """As many as are checked at the same time may get in above the limit, and no more."""
    world = make_world(POLICY, passwords={"eva": "secret"}, start=False,
                       configuration=merge(LIMITS, {"limits": {"password_checks": 2}}))
    add_slow_user(world, "slow", "secret", 20000)
    world.proxy.start()
    clients = [world.client(raw.V5) for _ in range(30)]
    for number, client in enumerate(clients):
        client.send(raw.connect(raw.V5, world.name(), username="slow", password=f"guess-{number}"))
    codes = [client.expect(raw.CONNACK).code for client in clients]
    assert set(codes) == {0x86, 0x9F} and codes.count(0x86) in (3, 4), codes


def test_passwords_that_nobody_waits_for_are_not_checked(make_world):
    """Else a flood of them would keep everybody out for as long as its checks take."""
    world = make_world(POLICY, passwords={"eva": "secret"}, start=False,
                       configuration={"limits": {"password_checks": 1}})
    for listener, timeout in zip(world.proxy.configuration["listeners"], ("2s", "60s")):
        listener["timeouts"] = {"connect": timeout}
    world.proxy.write()
    add_slow_user(world, "slow", "secret")
    world.proxy.start()

    def patient(name):
        world.client(tls=True).connect(world.name(), timeout=60, username=name, password="secret")

    before = cpu_seconds(world.proxy)
    patient("slow")
    one = cpu_seconds(world.proxy) - before
    before = cpu_seconds(world.proxy)
    clients = []
    for _ in range(100):
        clients.append(client := world.client(raw.V5, listener="plain"))
        client.send(raw.connect(raw.V5, world.name(), username="slow", password="secret"))
    answers = [client.expect(raw.CONNACK).code for client in clients]
    assert answers.count(0x88) > 20, answers
    patient("eva")
    all_of_them = cpu_seconds(world.proxy) - before
    assert all_of_them < 80 * one, (all_of_them, one)


def test_right_passwords_count_nothing(make_world):
    world = make_world(POLICY, passwords={"eva": "secret"}, configuration=LIMITS)
    for _ in range(8):
        world.client().connect(world.name(), username="eva", password="secret")
    wait_until(lambda: len(world.audit.all(action="mqtt-connect-accepted")) == 8, "eight sessions")


@VERSIONS
def test_argon2id_hashes_beside_the_others(make_world, version):
    world = make_world(POLICY, passwords={"eva": "secret"}, start=False)
    add_argon2id_user(world, "adam", "other", memory=47104)
    add_argon2id_user(world, "lanes", "p\u00e4ss w\u00f6rd", memory=256, passes=3, lanes=4)
    world.proxy.start()
    for name, password in (("eva", "secret"), ("adam", "other"), ("lanes", "p\u00e4ss w\u00f6rd")):
        world.client(version).connect(world.name(), username=name, password=password)
    for name, password, reason in (("adam", "secret", "password_wrong"), ("eva", "other", "password_wrong"),
                                   ("abel", "other", "password_unknown_user")):
        refused = world.name()
        world.client(version).connect(refused, username=name, password=password, code=0x86 if version == raw.V5 else 4)
        assert get(world.audit.wait_for(action="mqtt-connect-refused", client_id=refused), "reason") == reason


def cpu_seconds(process):
    """What the process's threads had of the CPU until now."""
    total = 0
    for thread in os.listdir(f"/proc/{process.process.pid}/task"):
        with open(f"/proc/{process.process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def ended_children():
    """What our children that have ended had of the CPU."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_an_unknown_name_costs_what_a_known_one_costs(make_world):
    """Of Argon2id, too: in CPU time, which says the same as the clock without the machine's noise."""
    unlimited = {"limits": {"login_failures_per_address": 0, "login_failures_per_name": 0}}
    unlimited["password_files"] = {"users": "users.passwd"}
    world = make_world(POLICY, configuration=unlimited, start=False)
    add_argon2id_user(world, "adam", "other", memory=32768)
    world.proxy.start()

    def cost(name):
        before = cpu_seconds(world.proxy)
        for _ in range(3):
            world.client().connect(world.name(), username=name, password="wrong", code=0x86)
        return cpu_seconds(world.proxy) - before

    cost("adam")  # warm
    known, unknown = min(cost("adam"), cost("adam")), min(cost("abel"), cost("seth"))
    assert unknown > known / 2, (known, unknown)


TOO_MUCH = (
    ("m=4194304,t=1,p=1", {}, "more memory and passes than mqward spends on a login"),
    ("m=524288,t=1,p=1", {}, "524288 KiB of memory, more than the 262144 KiB that it may take"),
    ("m=47104,t=1,p=1", {"password_checks": 16}, "47104 KiB of memory, more than the 32768 KiB that it may take"),
    ("m=47104,t=1,p=1", {"password_memory": "64MiB"}, "47104 KiB of memory, more than the 32768 KiB that it may take"),
)


@pytest.mark.parametrize("costs,limits,message", TOO_MUCH, ids=("4GiB", "512MiB", "16-checks", "64MiB-for-all"))
def test_a_hash_that_would_take_the_machine_down_is_refused(make_world, costs, limits, message):
    world = make_world(POLICY, passwords={"eva": "secret"}, configuration={"limits": limits}, start=False)
    with open(f"{world.proxy.folder}/users.passwd", "a", encoding="ascii") as file:
        file.write(f"adam:$argon2id$v=19${costs}$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\n")
    world.proxy.write()
    result = run_cli("check", "-c", "mqward.yaml", folder=world.proxy.folder)
    output = result.stdout + result.stderr
    assert result.returncode == 1, output
    assert "users.passwd:2:" in output and message in output, output
    assert "c2FsdHNhbHQ" not in output and "AAAA" not in output
    assert run_cli("run", "-c", "mqward.yaml", folder=world.proxy.folder).returncode == 1
