# SPDX-License-Identifier: Apache-2.0
"""The control socket: who may ask, what 'mqward reload' says, and that no peer of it disturbs the traffic."""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import raw
from audit import get
from servers import Mqward, run_cli, wait_until

pytestmark = pytest.mark.brokerless

POLICY = """\
version: 1
policy: before
identity:
  - anonymous: {id: guest}
rules:
  - rule: both
    who: everyone
    allow: [publish, subscribe]
    topics: [both/#, gone/#]
"""
AFTER = POLICY.replace("policy: before", "policy: after").replace("gone/#", "new/#")
CONTROL = {"control": {"socket": "control.sock"}}


@pytest.fixture
def world(make_world):
    return make_world(POLICY, configuration=CONTROL)


def path(world):
    return os.path.join(world.proxy.folder, "control.sock")


def connect(world, timeout=10):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(timeout)
    peer.connect(path(world))
    return peer


def answer(peer):
    """All that comes until the end of the connection, also one that did not read all that it was sent."""
    data = b""
    while True:
        try:
            part = peer.recv(65536)
        except ConnectionResetError:
            part = b""
        if not part:
            return data
        data += part


def ask(world, request):
    with connect(world) as peer:
        peer.sendall((request if isinstance(request, bytes) else json.dumps(request).encode()) + b"\n")
        return json.loads(answer(peer))


def cli(world, *arguments):
    return run_cli(*arguments, folder=world.proxy.folder)


def rewrite(world, policy):
    world.policy = world.proxy.policy = policy
    world.proxy.write()


@pytest.mark.core
def test_reload_puts_a_good_policy_in_force_and_says_which(world):
    client = world.connected()
    before = get(world.audit.wait_for(action="proxy-started"), "mqward.policy_version")
    rewrite(world, AFTER)
    result = cli(world, "reload", "-c", world.proxy.path)
    assert result.returncode == 0, result.stderr
    event = world.audit.wait_for(action="policy-reloaded")
    version = get(event, "mqward.policy_version")
    assert result.stdout == f"reloaded: policy after {version}\n" and version != before
    assert "asked for by uid 0 (pid " in get(event, "mqward.detail") or os.geteuid() != 0
    assert f"uid {os.geteuid()} " in get(event, "mqward.detail")
    client.ping()
    client.publish("gone/x", b"1", qos=1, code=0x87)


@pytest.mark.core
def test_reload_of_a_bad_policy_prints_all_findings_and_changes_nothing(world):
    client = world.connected()
    version = get(world.audit.wait_for(action="proxy-started"), "mqward.policy_version")
    rewrite(world, POLICY.replace("allow:", "alow:").replace("identity:", "identiti:"))
    result = cli(world, "reload", "-c", world.proxy.path)
    assert result.returncode == 1
    assert result.stdout == f"not reloaded, in force stays: policy before {version}\n"
    checked = cli(world, "check", "-c", world.proxy.path)
    assert result.stderr == checked.stderr and "alow" in result.stderr and "identiti" in result.stderr
    event = world.audit.wait_for(action="policy-rejected")
    assert f"asked for by uid {os.geteuid()} " in get(event, "mqward.detail")
    client.publish("gone/x", b"1", qos=1)


def test_reload_finds_the_socket_in_a_configuration_with_errors(world):
    with open(world.proxy.path, "a", encoding="utf-8") as file:
        file.write("nonsense: 1\n")
    result = cli(world, "reload", "-c", world.proxy.path)
    assert result.returncode == 1 and "unknown key 'nonsense'" in result.stderr
    assert "not reloaded" in result.stdout


def test_reload_as_json(world):
    result = cli(world, "reload", "--json", "--socket", path(world))
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert value["ok"] is True and value["policy"] == "before" and value["version"].startswith("sha256:")
    rewrite(world, "nonsense\n")
    result = cli(world, "reload", "--json", "--socket", path(world))
    assert result.returncode == 1 and result.stderr == ""
    value = json.loads(result.stdout)
    assert value["ok"] is False and "policy.yaml" in value["findings"] and value["error"]


def test_what_only_a_restart_changes_is_told(world):
    world.proxy.configuration["control"]["socket"] = "other.sock"
    world.proxy.write()
    result = cli(world, "reload", "--socket", path(world))
    assert result.returncode == 1
    assert "'control' changes only with a restart" in result.stderr


def test_each_request_gets_the_result_of_a_reload_that_began_after_it(world):
    """With reloads by signal and by others in between."""
    stop = threading.Event()

    def signals():
        while not stop.wait(0.01):
            world.proxy.signal(signal.SIGHUP)

    def others():
        while not stop.is_set():
            assert ask(world, {"request": "reload"})["ok"]

    threads = [threading.Thread(target=signals), *(threading.Thread(target=others) for _ in range(3))]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            name = f"policy-{number}"
            replaced = os.path.join(world.proxy.folder, "policy.new")
            with open(replaced, "w", encoding="utf-8") as file:
                file.write(POLICY.replace("policy: before", f"policy: {name}"))
            os.rename(replaced, os.path.join(world.proxy.folder, "policy.yaml"))
            assert ask(world, {"request": "reload"})["policy"] == name
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_without_a_socket_the_command_says_so(make_world):
    world = make_world(POLICY)
    result = cli(world, "reload", "-c", world.proxy.path)
    assert result.returncode == 1 and "names no control socket" in result.stderr
    result = cli(world, "reload", "--socket", "nowhere.sock")
    assert result.returncode == 1 and "can't reach nowhere.sock" in result.stderr
    result = cli(world, "bans", "list", "--socket", "x" * 200)
    assert result.returncode == 1 and "at most 107 bytes" in result.stderr


# ---- the socket ----

def test_the_socket_is_the_users_alone_and_goes_with_the_process(world):
    status = os.lstat(path(world))
    assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    assert world.proxy.terminate() == 0
    assert not os.path.lexists(path(world))


def test_a_socket_that_a_dead_process_left_is_replaced(world):
    world.proxy.kill()
    assert os.path.lexists(path(world))
    world.proxy.start()
    assert ask(world, {"request": "bans"})["ok"]


def refused_start(world):
    world.proxy.spawn()
    assert world.proxy.process.wait(15) == 1
    return world.proxy.logged("can't open the control socket")[0]["error"]


def test_a_socket_that_answers_is_not_taken_over(world, tmp_path_factory):
    configuration = {**world.proxy.configuration, "control": {"socket": path(world)},
                     "audit": {"directory": "audit"}}
    for key in ("cas", "listeners"):
        configuration.pop(key)
    configuration["listeners"] = [{"name": "plain", "address": "127.0.0.1:0", "plaintext": True}]
    other = Mqward(str(tmp_path_factory.mktemp("other")), configuration, POLICY)
    other.spawn()
    try:
        assert other.process.wait(15) == 1
        assert other.logged("can't open the control socket")[0]["error"] == "another process listens there"
    finally:
        other.stop()
    assert ask(world, {"request": "bans"})["ok"]


def test_a_file_that_is_no_socket_is_not_touched(make_world):
    world = make_world(POLICY, configuration=CONTROL, start=False)
    with open(path(world), "w", encoding="utf-8") as file:
        file.write("precious")
    assert refused_start(world) == "there is a file that is no socket"
    with open(path(world), encoding="utf-8") as file:
        assert file.read() == "precious"
    os.unlink(path(world))
    target = os.path.join(world.proxy.folder, "target")
    os.symlink(target, path(world))
    assert refused_start(world) == "there is a file that is no socket"
    assert os.path.islink(path(world)) and not os.path.lexists(target)


def test_a_folder_that_others_may_write_to_is_refused(make_world):
    world = make_world(POLICY, configuration={"control": {"socket": "open/control.sock"}}, start=False)
    folder = os.path.join(world.proxy.folder, "open")
    assert "No such file" in refused_start(world)
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    assert refused_start(world) == f"the folder of the control socket, {folder}: others may write to it"
    os.chmod(folder, 0o1777)  # whoever is first has the name
    assert refused_start(world) == f"the folder of the control socket, {folder}: others may write to it"
    os.chmod(folder, 0o755)
    world.proxy.start()


def test_a_folder_on_the_way_that_others_may_write_to_is_refused(make_world):
    """They could put another one in the place of the one that is closed to them."""
    world = make_world(POLICY, configuration={"control": {"socket": "open/closed/control.sock"}}, start=False)
    folder = os.path.join(world.proxy.folder, "open")
    os.makedirs(os.path.join(folder, "closed"), 0o755)
    os.chmod(folder, 0o777)
    assert refused_start(world) == f"the folder of the control socket, {folder}: others may write to it"
    os.chmod(folder, 0o1777)  # now they can't
    world.proxy.start()


def test_a_socket_that_took_the_place_is_not_removed(world):
    os.unlink(path(world))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path(world))
        assert world.proxy.terminate() == 0
        assert os.path.lexists(path(world))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_turned_away_even_if_the_mode_lets_in(world):
    folder = "/tmp/mqward-control-" + str(world.proxy.process.pid)
    os.mkdir(folder, 0o755)
    try:
        os.chmod(path(world), 0o666)
        os.link(path(world), os.path.join(folder, "s"))  # where a user without rights gets to
        program = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n" \
                  "print(s.recv(1000).decode())\n"
        result = subprocess.run([sys.executable, "-c", program, os.path.join(folder, "s")], user=65534, group=65534,
                                extra_groups=[], cwd="/", capture_output=True, timeout=30, check=False)
        assert json.loads(result.stdout)["error"] == "only root and the user that mqward runs as may ask", result
    finally:
        shutil.rmtree(folder)
    assert world.proxy.logged("somebody who may not ask was turned away")[0]["uid"] == 65534
    assert not world.proxy.logged("reloaded")


# ---- peers that misbehave ----

@pytest.mark.parametrize("request_bytes", (
    b"", b"reload", b"[]", b"{}", b'{"request":"format"}', b'{"request":"reload","now":1}', b'{"request":"lift"}',
    b'{"request":"ban","by":"id","value":"x"}', b"\xff\0", b"[" * 5000), ids=range(10))
def test_what_is_no_request_is_answered_and_changes_nothing(world, request_bytes):
    value = ask(world, request_bytes)
    assert value["ok"] is False and value["error"]
    assert not world.proxy.logged("reloaded")


def test_a_request_without_end_is_cut(world):
    with connect(world) as peer:
        try:
            for _ in range(64):
                peer.sendall(b"x" * 65536)
        except OSError:
            pass
        text = answer(peer)
    assert text == b"" or json.loads(text)["error"] == "the request is too long"


def test_peers_that_say_nothing_hold_up_nobody(world):
    """As many as there is room for; they are dropped, and the others are told at once."""
    client = world.connected()
    silent = [connect(world, timeout=20) for _ in range(16)]

    def turned_away():
        peer = connect(world, timeout=0.5)
        with contextlib.suppress(TimeoutError):
            return b"too many ask at the same time" in answer(peer)
        peer.settimeout(20)
        silent.append(peer)  # some of the others were dropped already: there was room for it
        return False
    wait_until(turned_away, "turned away")
    rewrite(world, AFTER)
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: world.proxy.logged("reloaded"), "the reload")
    client.ping()
    client.publish("new/x", b"1", qos=1)
    began = time.monotonic()
    drip = silent.pop()
    while time.monotonic() - began < 15:  # a byte now and then does not help
        try:
            drip.sendall(b"{")
        except OSError:
            break
        time.sleep(0.1)
    assert time.monotonic() - began < 10
    for peer in silent:
        assert answer(peer) == b""
        peer.close()
    drip.close()
    assert ask(world, {"request": "bans"})["ok"]


def test_a_peer_that_does_not_read_its_answer_is_dropped(world):
    value = "x" * 250
    for number in range(1500):
        assert ask(world, {"request": "ban", "by": "id", "value": f"{value}{number}", "for_ms": 600000})["ok"]
    with connect(world) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b'{"request":"bans"}\n')
        began = time.monotonic()
        assert len(ask(world, {"request": "bans"})["bans"]) == 1500  # others are answered meanwhile
        assert time.monotonic() - began < 9
        world.connected().ping()
        peer.setblocking(False)

        def is_gone():
            try:
                return not peer.send(b" ")
            except BlockingIOError:
                return False
            except OSError:
                return True
        wait_until(is_gone, "the end of the connection", 20)


def test_a_stop_does_not_wait_for_peers(world):
    peers = [connect(world) for _ in range(3)]
    peers[0].sendall(b'{"request"')
    assert world.proxy.terminate() == 0
    for peer in peers:
        assert answer(peer) == b""
        peer.close()


def test_traffic_goes_on_through_a_storm_of_requests(world):
    client = world.connected(version=raw.V5)
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            ask(world, {"request": "bans"})

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            client.publish("both/x", b"%d" % number, qos=1)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def test_without_descriptors_the_main_thread_rests(world):
    """It answers again once there are some, and has not spent the time in between on trying."""
    pid = world.proxy.process.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, hard))
    peers = []

    def too_many():  # one may be enough, but descriptors of earlier clients become free meanwhile
        with contextlib.suppress(BlockingIOError):  # its queue is full: it has not come to it yet
            peers.append(connect(world))
        return world.proxy.logged("can't accept")

    try:
        wait_until(too_many, "the failure in the log")
        peer = peers.pop()
        peer.sendall(b'{"request":"bans"}\n')
        before = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - before < 0.5
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    for other in peers:
        other.close()
    assert json.loads(answer(peer))["ok"]
    peer.close()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
