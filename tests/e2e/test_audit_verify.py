# SPDX-License-Identifier: Apache-2.0
"""mqward audit verify: the trail of a real mqward, untouched and otherwise, in the journal and in Redis."""
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading

import pytest
import redis

import raw
from audit import get
from redis_groups import Cluster, ask
from servers import Redis, run_cli, wait_until
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
CONFIGURATION = {"audit": {"segment": "16KiB", "chain": {"checkpoint": {"events": 100}}}}
DENIALS = 250


def deny(world, count=DENIALS, name="thief"):
    client = world.connected(name)
    for number in range(count):
        client.send(raw.publish(client.version, f"closed/{number}", b"x"))
    client.ping()


class Trail:
    """A journal of three starts, the second of which ended with kill -9; and what Redis has of it."""

    def __init__(self, world):
        self.world, self.folder = world, world.proxy.folder
        self.audit = os.path.join(self.folder, "audit")
        deny(world)
        assert world.proxy.terminate() == 0
        world.proxy.start()
        deny(world)
        world.proxy.kill()
        world.proxy.start()
        deny(world)
        assert world.proxy.terminate() == 0
        world.killed = True
        self.key = os.path.join(self.folder, "chain.key")
        shutil.move(os.path.join(self.audit, "chain.key"), self.key)
        self.public = os.path.join(self.folder, "trusted.pub")
        shutil.copy(os.path.join(self.audit, "checkpoint.pub"), self.public)
        self.count = 0

    def verify(self, *arguments, **options):
        return run_cli("audit", "verify", "--key", self.key, "--public-key", self.public, *arguments, folder=self.folder,
                       **options)

    def copy(self):
        """A directory with what the proxy's has: to be changed."""
        self.count += 1
        path = os.path.join(self.folder, f"copy-{self.count}")
        shutil.copytree(self.audit, path)
        return Copy(path)


class Copy:
    def __init__(self, path):
        self.path = path

    def segments(self):
        return sorted(name for name in os.listdir(self.path) if name.endswith(".ndjson"))

    def lines(self, index):
        with open(os.path.join(self.path, self.segments()[index]), "rb") as file:
            return file.read().splitlines(keepends=True)

    def write(self, index, lines):
        with open(os.path.join(self.path, self.segments()[index]), "wb") as file:
            file.write(b"".join(lines))


@pytest.fixture(scope="module")
def trail(make_shared_world):
    return Trail(make_shared_world(POLICY, configuration=CONFIGURATION))


def found(result, *words):
    """Exit status 1, and the first line of the output names place and kind."""
    assert result.returncode == 1, result.stdout + result.stderr
    first = result.stdout.splitlines()[0]
    for word in words:
        assert word in first, result.stdout
    return first


def test_an_untouched_trail_holds(trail):
    result = trail.verify(trail.audit)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 starts" in result.stdout and "begins with the first line of its chain" in result.stdout
    assert "0 lines behind the last checkpoint" in result.stdout
    assert result.stdout.rstrip().endswith("the trail holds")
    assert result.stderr == ""
    assert len(trail.copy().segments()) > 6


def test_by_the_configuration_and_as_json(trail):
    result = trail.verify("-c", trail.world.proxy.path, "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads(result.stdout)
    assert answer["ok"] and answer["findings"] == 0 and answer["starts"] == 3 and answer["whole"]
    assert answer["lines"] > 3 * DENIALS and answer["checkpoints"] >= 10
    assert answer["key"] == answer["public_key"] == "given" and answer["state"]
    assert re.fullmatch(r"[0-9a-f]{16}-\d+", answer["last"]) and answer["behind_last_checkpoint"] == 0


def test_a_directory_that_a_daemon_writes_is_verified_without_disturbing_it(make_world):
    world = make_world(POLICY, configuration=CONFIGURATION)
    folder = world.proxy.folder
    for _ in range(5):
        deny(world, 30)
        result = run_cli("audit", "verify", "audit", folder=folder)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "warning: the verification key lies beside the journal" in result.stderr
    world.audit.wait_for_count(150, action="mqtt-publish-denied")
    world.audit.assert_gapless()


def test_what_was_not_checked_is_said_loudly(trail):
    folder = trail.folder
    result = run_cli("audit", "verify", trail.audit, folder=folder)
    assert result.returncode == 0
    assert "nothing found, as far as it could be checked" in result.stdout
    assert "WARNING: without the verification key" in result.stderr
    copy = trail.copy()
    os.remove(os.path.join(copy.path, "chain.state"))
    os.remove(os.path.join(copy.path, "checkpoint.pub"))
    result = run_cli("audit", "verify", "--key", trail.key, copy.path, folder=folder)
    assert result.returncode == 1 and "chain.state: state: it is not there" in result.stdout
    result = run_cli("audit", "verify", "--key", trail.key, "--no-state", copy.path, folder=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING: without chain.state lines cut off at the end are NOT found" in result.stderr
    assert "WARNING: without the checkpoints' public key" in result.stderr


def test_a_changed_line(trail):
    copy = trail.copy()
    lines = copy.lines(2)
    event = json.loads(lines[3])
    lines[3] = lines[3].replace(b"thief", b"saint")
    copy.write(2, lines)
    found(trail.verify(copy.path), f"{copy.segments()[2]}:4: {event['event']['id']}: changed: ")


def test_a_removed_line(trail):
    copy = trail.copy()
    lines = copy.lines(2)
    event = json.loads(lines[4])
    del lines[3]
    copy.write(2, lines)
    found(trail.verify(copy.path), f"{copy.segments()[2]}:4: {event['event']['id']}: missing: ")


def test_swapped_lines(trail):
    copy = trail.copy()
    lines = copy.lines(2)
    lines[3:5] = reversed(lines[3:5])
    copy.write(2, lines)
    found(trail.verify(copy.path), f"{copy.segments()[2]}:5: ", "out of order: ")


def test_an_inserted_line(trail):
    copy = trail.copy()
    lines = copy.lines(2)
    lines.insert(3, lines[3].replace(b"thief", b"saint"))
    copy.write(2, lines)
    found(trail.verify(copy.path), f"{copy.segments()[2]}:4: ", "inserted: ")


def test_a_repeated_line(trail):
    copy = trail.copy()
    lines = copy.lines(2)
    lines.insert(4, lines[3])
    copy.write(2, lines)
    found(trail.verify(copy.path), f"{copy.segments()[2]}:5: ", "repeated: ")


@pytest.mark.parametrize("cut", ["line", "half a line", "segment", "start", "everything"])
def test_a_truncated_tail(trail, cut):
    copy = trail.copy()
    last = copy.segments()[-1]
    if cut == "line":
        copy.write(-1, copy.lines(-1)[:-1])
    elif cut == "half a line":
        lines = copy.lines(-1)
        copy.write(-1, [*lines[:-1], lines[-1][:-40]])
    for name in copy.segments():
        epoch = name.split("-")[1]
        if cut == "everything" or (cut == "segment" and name == last) or (cut == "start" and epoch in last):
            os.remove(os.path.join(copy.path, name))
    result = trail.verify(copy.path)
    assert result.returncode == 1 and "chain.state: cut off: " in result.stdout
    if cut == "half a line":
        found(result, ".ndjson:", "no line: it has no end")
        assert "bytes of a line that has no end" in result.stdout
    else:
        found(result, "chain.state: cut off: ")


def test_a_segment_in_the_middle_is_gone(trail):
    copy = trail.copy()
    following = copy.lines(2)
    os.remove(os.path.join(copy.path, copy.segments()[1]))
    found(trail.verify(copy.path), json.loads(following[0])["event"]["id"], "missing: ")


def test_the_oldest_segments_may_be_gone_by_retention(trail):
    copy = trail.copy()
    os.remove(os.path.join(copy.path, copy.segments()[0]))
    result = trail.verify(copy.path)
    assert result.returncode == 0, result.stdout
    assert "whether what was in front of it went by retention can't be told" in result.stdout


def test_other_keys(trail, make_world):
    other = make_world(POLICY, configuration=CONFIGURATION)
    result = run_cli("audit", "verify", "--key", os.path.join(other.proxy.folder, "audit", "chain.key"), trail.audit,
                     folder=trail.folder)
    found(result, "another chain: ")
    public = os.path.join(other.proxy.folder, "audit", "checkpoint.pub")
    result = run_cli("audit", "verify", "--key", trail.key, "--public-key", public, trail.audit, folder=trail.folder)
    found(result, "checkpoint forged: it is signed with another key")
    assert trail.verify("--public-key", public, trail.audit).returncode == 0  # any of several may have signed


def test_nothing_to_verify(trail, tmp_path):
    found(trail.verify("-", standard_input=b""), "the trail: nothing: ")
    result = trail.verify("-", "--json", standard_input=b"")
    assert result.returncode == 1 and not json.loads(result.stdout)["ok"]
    assert trail.verify(str(tmp_path)).returncode == 1
    found(trail.verify("--no-state", str(tmp_path)), "the trail: nothing: ")


def test_a_line_without_a_link(trail):
    copy = trail.copy()
    line = re.sub(rb',"chain":.*', b"}", copy.lines(2)[3])
    line = re.sub(rb'"sequence":\d+,"id":"[0-9a-f]{16}-\d+"', b'"sequence":7,"id":"6b01000000000000-7"', line)
    name = "journal-6b01000000000000-00000000000000000007.ndjson"
    with open(os.path.join(copy.path, name), "wb") as file:
        file.write(line)
    found(trail.verify(copy.path), f"{name}:1: 6b01000000000000-7: unchained: ")
    result = trail.verify("--unchained-before", "6b01000000000001", copy.path)
    assert result.returncode == 0 and "1 line without a link" in result.stdout, result.stdout
    assert trail.verify("--unchained-before", "6b01000000000000-7", copy.path).returncode == 1


def test_a_state_that_is_damaged_made_to_fit_or_not_to_be_read(trail):
    copy = trail.copy()
    path = os.path.join(copy.path, "chain.state")
    with open(path, "r+b") as file:
        file.write(b"x" * 4096)
    found(trail.verify(copy.path), "chain.state: state: it is damaged")
    os.remove(path)
    other = trail.folder + "/other"
    assert run_cli("audit", "keys", "new", "--out", other, folder=trail.folder).returncode == 0
    shutil.copy(os.path.join(other, "chain.state"), path)
    found(trail.verify(copy.path), "chain.state: state: its keys are not those of its place")
    os.remove(path)
    os.symlink(os.path.join(trail.audit, "chain.state"), path)
    result = trail.verify(copy.path)
    assert result.returncode == 2 and "chain.state: " in result.stderr, result.stdout


def test_files_with_nearly_the_name_of_a_segment(trail):
    copy = trail.copy()
    first = copy.segments()[0]
    os.symlink(os.path.join(copy.path, first), os.path.join(copy.path, first.replace("0001.", "0009.")))
    result = trail.verify(copy.path)
    assert result.returncode == 1 and "no line: it has the name of a segment" in result.stdout, result.stdout
    os.remove(os.path.join(copy.path, first.replace("0001.", "0009.")))
    shutil.copy(os.path.join(copy.path, first), os.path.join(copy.path, first.upper().replace("NDJSON", "ndjson")))
    result = trail.verify(copy.path)
    assert result.returncode == 1 and "no line: it has the name of a segment" in result.stdout, result.stdout


def test_half_a_line_at_the_end(trail):
    copy = trail.copy()
    with open(os.path.join(copy.path, copy.segments()[-1]), "ab") as file:
        file.write(b'{"forged":1}')
    found(trail.verify(copy.path), "no line: it has no end")
    assert json.loads(trail.verify("--json", copy.path).stdout)["half_line_bytes"] == 12


def test_the_daemon_finds_a_cut_and_declares_it(make_world):
    world = make_world(POLICY, configuration=CONFIGURATION)
    deny(world)
    assert world.proxy.terminate() == 0
    audit = os.path.join(world.proxy.folder, "audit")
    journal = Copy(audit)
    lost = len(journal.lines(-1)) + len(journal.lines(-2)) - 1
    os.remove(os.path.join(audit, journal.segments()[-1]))
    journal.write(-1, journal.lines(-1)[:1])
    world.proxy.start()
    gap = world.audit.wait_for(action="audit-gap")
    assert get(gap, "mqward.count") == lost
    result = run_cli("audit", "verify", "audit", folder=world.proxy.folder)
    assert result.returncode == 1
    assert ": cut off: " in result.stdout and ": declared gap: " in result.stdout
    world.journal = None  # it is no journal of mqward's alone any more


# ---- what Redis has ----

def redis_cli(world, *arguments):
    return subprocess.run(["redis-cli", "-p", str(world.redis.port), *arguments], capture_output=True, check=True).stdout


def test_read_back_from_a_stream_by_itself(trail):
    result = trail.verify("-c", trail.world.proxy.path, "--sink", "siem")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 starts" in result.stdout and result.stdout.rstrip().endswith("the trail holds")


def test_read_back_with_redis_cli(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+")
    result = trail.verify("-", standard_input=text)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "texts between the lines skipped" in result.stdout
    lines = [line for line in text.splitlines(keepends=True) if line.startswith(b"{")]
    path = os.path.join(trail.folder, "copy.ndjson")
    with open(path, "wb") as file:  # as a consumer wrote them, some twice
        file.write(b"".join(lines[:50] + lines[30:]))
    result = trail.verify(path)
    assert result.returncode == 0, result.stdout
    assert "20 lines more than once, unchanged" in result.stdout


def test_one_of_several_proxies_that_share_a_sink(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+")
    lines = [line for line in text.splitlines(keepends=True) if line.startswith(b"{")]
    host = json.loads(lines[0])["observer"]["hostname"]
    others = [line.replace(f'"hostname":"{host}"'.encode(), b'"hostname":"other"') for line in lines]
    mixed = b"".join(line for pair in zip(others, lines) for line in pair)
    assert trail.verify("-", standard_input=mixed).returncode == 1
    result = trail.verify("-", "--host", host, standard_input=mixed)
    assert result.returncode == 0, result.stdout
    assert f"{len(lines)} lines of other hosts: not looked at" in result.stdout
    mixed = mixed.replace(lines[30], others[30])
    found(trail.verify("-", "--host", host, standard_input=mixed), "missing: ")


def test_a_document_in_the_place_of_a_field_name(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+")
    forged = b'1-1\n {"event":{"action":"mqtt-publish-allowed"}}\n'
    for options in ((), ("--skip-other",)):
        found(trail.verify("-", *options, standard_input=text + forged), "no line: ")


def test_a_host_hides_nothing_that_others_would_read(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+")
    lines = [line for line in text.splitlines(keepends=True) if line.startswith(b"{")]
    host = json.loads(lines[0])["observer"]["hostname"]
    forged = lines[5].replace(f'"hostname":"{host}"'.encode(), f'"hostname": "{host}"'.encode())
    for extra in (forged, b"garbage\n"):
        assert trail.verify("-", "--host", host, standard_input=b"".join(lines) + extra).returncode == 1


def test_other_texts_between_the_lines_are_findings_unless_they_are_skipped(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+") + b"1) \"event\"\n"
    found(trail.verify("-", standard_input=text), "standard input:", "no line: ")
    assert trail.verify("-", "--skip-other", standard_input=text).returncode == 0


def test_an_entry_changed_in_redis(make_world):
    world = make_world(POLICY, configuration=CONFIGURATION)
    deny(world)
    world.audit.wait_for_count(DENIALS, action="mqtt-publish-denied")
    assert world.proxy.terminate() == 0
    world.killed = True
    (identifier, fields), = world.audit.connection.xrange("mqward:audit", count=1, min="(" + world.audit.events()[20]["_stream_id"])
    for change, kind in ((b"saint", "changed"), (None, "missing")):
        entries = world.audit.connection.xrange("mqward:audit")
        world.audit.connection.delete("copy")
        for key, value in entries:
            line = value[b"event"]
            if key == identifier and change is None:
                continue
            world.audit.connection.xadd("copy", {"event": line.replace(b"thief", change) if key == identifier else line}, id=key)
        world.proxy.configuration["audit"]["sinks"][0]["redis"]["stream"] = "copy"
        world.proxy.write()
        result = run_cli("audit", "verify", "-c", world.proxy.path, "--sink", "siem", folder=world.proxy.folder)
        assert result.returncode == 1, result.stdout
        first = result.stdout.splitlines()[0]
        assert f": {kind}: " in first and first.startswith("copy/"), result.stdout
        if change is not None:
            assert identifier.decode() in first and json.loads(fields[b"event"])["event"]["id"] in first


def test_read_back_from_a_list_over_a_password(make_world, tmp_path):
    password = tmp_path / "password"
    password.write_text("hush\n")
    password.chmod(0o600)
    password.chmod(0o600)
    world = make_world(POLICY, redis={"password": "hush"}, configuration={"audit": {"sinks": [
        {"name": "siem", "redis": {"address": "127.0.0.1:1", "list": "trail", "password_file": str(password)}}]}}, start=False)
    world.proxy.configuration["audit"]["sinks"][0]["redis"]["address"] = f"127.0.0.1:{world.redis.port}"
    world.proxy.write()
    world.proxy.start()
    deny(world, 500)
    wait_until(lambda: world.audit.connection.llen("trail") >= 501, "the events in the list")
    result = run_cli("audit", "verify", "-c", world.proxy.path, "--sink", "siem", "--json", folder=world.proxy.folder)
    answer = json.loads(result.stdout)
    assert result.returncode == 0 and answer["lines"] >= 501, result.stdout + result.stderr


def test_read_back_over_tls_as_a_user_who_may_only_read(make_world, tmp_path, certs):
    server = Redis(str(tmp_path / "redis"))
    server.arguments += ["--tls-port", str(server.port), "--tls-cert-file", certs.server[0], "--tls-key-file", certs.server[1],
                         "--tls-ca-cert-file", certs.server_ca.path, "--tls-auth-clients", "no"]
    server.arguments[server.arguments.index("--port") + 1] = "0"
    server.start()
    try:
        admin = redis.Redis(port=server.port, ssl=True, ssl_ca_certs=certs.server_ca.path)
        admin.execute_command("ACL", "SETUSER", "soc", "on", ">hush", "resetkeys", "%R~mqward:*", "nocommands", "+xrange", "+ping")
        (tmp_path / "password").write_text("hush\n")
        (tmp_path / "password").chmod(0o600)
        sink = {"name": "siem", "redis": {"address": f"localhost:{server.port}", "stream": "mqward:audit", "tls": {"ca": "server"}}}
        world = make_world(POLICY, redis=False, configuration={"cas": {"server": certs.server_ca.path}, "audit": {"sinks": [sink]}})
        deny(world, 300)
        wait_until(lambda: admin.xlen("mqward:audit") >= 301, "the events in the stream")
        sink["redis"] |= {"username": "soc", "password_file": str(tmp_path / "password")}
        world.proxy.configuration["audit"]["sinks"] = [sink]
        world.proxy.write()
        result = run_cli("audit", "verify", "-c", world.proxy.path, "--sink", "siem", folder=world.proxy.folder)
        assert result.returncode == 0 and "begins with the first line of its chain" in result.stdout, result.stdout + result.stderr
        admin.execute_command("ACL", "SETUSER", "soc", "-xrange")
        result = run_cli("audit", "verify", "-c", world.proxy.path, "--sink", "siem", folder=world.proxy.folder)
        assert result.returncode == 2 and "NOPERM" in result.stderr, result.stdout + result.stderr
    finally:
        server.stop()


def test_read_back_from_a_cluster_by_any_node(make_world, tmp_path):
    cluster = Cluster(tmp_path / "cluster")
    try:
        sink = {"name": "siem", "redis": {"cluster": cluster.addresses(0, 1, 2), "stream": "mqward:audit"}}
        world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": [sink]}})
        deny(world, 300)
        wait_until(lambda: (ask(cluster.nodes[cluster.owner("mqward:audit")].port, "XLEN", "mqward:audit") or 0) >= 301, "the events in the stream")

        def verified():
            result = run_cli("audit", "verify", "-c", world.proxy.path, "--sink", "siem", "--json",
                             folder=world.proxy.folder)
            return None if "CLUSTERDOWN" in result.stderr else result
        for index in range(3):
            world.proxy.configuration["audit"]["sinks"][0]["redis"]["cluster"] = cluster.addresses(index)
            world.proxy.write()
            result = wait_until(verified, "a cluster whose nodes hear from each other")
            assert result.returncode == 0 and json.loads(result.stdout)["lines"] >= 301, result.stdout + result.stderr
    finally:
        cluster.stop()


# ---- the command line ----

@pytest.mark.parametrize("arguments, message", [
    (("nowhere",), "nowhere can't be read: No such file"),
    (("-c", "nowhere.yaml"), "nowhere.yaml"),
    (("-c", "mqward.yaml", "--sink", "other"), "no sink 'other'"),
    (("--key", "nowhere.key", "audit"), "nowhere.key"),
    (("--key", "mqward.yaml", "audit"), "mqward.yaml"),
    (("--public-key", "nowhere.pub", "audit"), "nowhere.pub"),
    (("audit", "audit"), "'audit' is a directory"),
    (("-c", "mqward.yaml", "audit"), "either a configuration, or 'audit'"),
    (("--host", "edge", "audit"), "--host is for copies"),
    (("--no-state", "-"), "--no-state is for a journal"),
    (("--unchained-before", "yesterday", "audit"), "--unchained-before: expected an epoch"),
    (("--any-order", "audit"), "--any-order is for copies"),
    (("--skip-other", "audit"), "--skip-other is for files"),
])
def test_what_can_not_be_read_is_exit_status_2(trail, arguments, message):
    result = run_cli("audit", "verify", *arguments, folder=trail.folder)
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in result.stderr


def test_a_redis_that_does_not_answer_is_exit_status_2(trail):
    configuration = os.path.join(trail.folder, "away.yaml")
    with open(trail.world.proxy.path, encoding="utf-8") as file:
        text = file.read()
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(text.replace(f"127.0.0.1:{trail.world.redis.port}", "127.0.0.1:1"))
    result = trail.verify("-c", configuration, "--sink", "siem")
    assert result.returncode == 2 and "sink 'siem': " in result.stderr, result.stdout + result.stderr


# ---- what could not be read ----

def test_what_is_not_all_is_no_trail_that_holds(trail):
    text = redis_cli(trail.world, "--raw", "XRANGE", "mqward:audit", "-", "+")
    path = os.path.join(trail.folder, "whole.ndjson")
    with open(path, "wb") as file:
        file.write(b"".join(line for line in text.splitlines(keepends=True) if line.startswith(b"{")))
    assert trail.verify(path).returncode == 0
    for arguments in ((path, "/nonexistent"), ("/nonexistent", path), (path, "--public-key", "/nonexistent.pub")):
        result = trail.verify(*arguments)
        assert result.returncode == 2 and "holds" not in result.stdout and "/nonexistent" in result.stderr, result.stdout
    assert "not all of it could be read" in trail.verify(path, "/nonexistent").stdout
    answer = json.loads(trail.verify("--json", path, "/nonexistent").stdout)
    assert (answer["ok"], answer["unreadable"], answer["findings"]) == (False, True, 0)
    answer = json.loads(trail.verify("--json", path).stdout)
    assert (answer["ok"], answer["unreadable"], answer["findings"]) == (True, False, 0)


class Answering(socketserver.ThreadingTCPServer):
    """Whatever comes, it says its sentence."""
    daemon_threads = True

    def __init__(self, sentence):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                while self.request.recv(65536):
                    self.request.sendall(sentence.encode())
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def test_the_words_of_a_server_do_not_reach_the_terminal(trail):
    """What answers in the place of Redis may be anybody's."""
    with Answering("-ERR \x1b[2J\x1b]0;title\x07 \u202e evil\r\n") as server:
        configuration = os.path.join(trail.folder, "evil.yaml")
        with open(trail.world.proxy.path, encoding="utf-8") as file:
            text = file.read()
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(text.replace(f"127.0.0.1:{trail.world.redis.port}", f"127.0.0.1:{server.port}"))
        result = trail.verify("-c", configuration, "--sink", "siem")
    assert result.returncode == 2 and "holds" not in result.stdout, result.stdout
    assert "evil" in result.stderr and "sink 'siem': " in result.stderr, result.stderr
    assert not set("\x1b\x07\u202e") & set(result.stdout + result.stderr)


def test_what_was_delivered_again_to_a_stream_holds_in_any_order(make_world):
    world = make_world(POLICY, configuration=CONFIGURATION)
    deny(world)
    world.audit.wait_for_count(DENIALS, action="mqtt-publish-denied")
    assert world.proxy.terminate() == 0
    world.killed = True
    entries = world.audit.connection.xrange("mqward:audit")
    world.audit.connection.xdel("mqward:audit", *(identifier for identifier, _ in entries[50:120]))
    options = ("-c", world.proxy.path, "--sink", "siem")
    found(run_cli("audit", "verify", *options, folder=world.proxy.folder), "missing: 70 lines in front of it")
    result = run_cli("audit", "replay", *options, folder=world.proxy.folder)
    assert result.returncode == 0, result.stderr
    found(run_cli("audit", "verify", *options, folder=world.proxy.folder), "out of order: ")
    result = run_cli("audit", "verify", "--any-order", *options, folder=world.proxy.folder)
    assert result.returncode == 0 and result.stdout.rstrip().endswith("the trail holds"), result.stdout + result.stderr
    assert "70 lines behind their place" in result.stdout
