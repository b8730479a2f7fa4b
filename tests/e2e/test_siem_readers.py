# SPDX-License-Identifier: Apache-2.0
"""Who reads what mqward writes: Redis' users with the rights that the manual gives them, and Debian's rsyslog with the
examples: what arrives is the journal, byte for byte."""
import glob
import json
import os
import re
import subprocess

import pytest
import redis

import validate
from processes import Process, free_port, wait_until
from servers import Redis
from siem import page, read

pytestmark = pytest.mark.brokerless

# ---- Redis: the rights of a reader ----

LOGSTASH_SCRIPT = """
local batchsize = tonumber(ARGV[1])
local result = redis.call('lrange', KEYS[1], 0, batchsize)
redis.call('ltrim', KEYS[1], batchsize + 1, -1)
return result
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A Redis with the users of docs/siem.md, each with the password "secret"."""
    server = Redis(str(tmp_path_factory.mktemp("redis")))
    server.start()
    admin = redis.Redis(port=server.port, socket_timeout=5)
    lines = re.findall(r"^    ACL SETUSER (.+)$", page("siem.md"), re.M)
    assert len(lines) >= 3
    for line in lines:
        words = line.replace("<password>", "secret").split()
        if words[0] != "default":
            admin.execute_command("ACL", "SETUSER", *words)
        else:  # for Logstash, which knows no user names: tried as a user of another name
            admin.execute_command("ACL", "SETUSER", "logstash", *words[1:])
    yield server, admin
    admin.close()
    server.stop()


def login(server, user):
    return redis.Redis(port=server.port, username=user, password="secret", socket_timeout=5, decode_responses=True)


@pytest.mark.parametrize("user", ("vector", "logstash"))
def test_a_reader_of_a_list_may_pop_and_nothing_else(reader, user):
    server, admin = reader
    admin.delete("mqward:audit")
    admin.rpush("mqward:audit", *(f"event-{index}" for index in range(10)))
    with login(server, user) as client:
        assert client.ping()
        assert client.blpop("mqward:audit", 1) == ("mqward:audit", "event-0")
        if user == "logstash":
            script = client.script_load(LOGSTASH_SCRIPT)
            assert client.evalsha(script, 1, "mqward:audit", 4) == [f"event-{index}" for index in range(1, 6)]
        for command in (("RPUSH", "mqward:audit", "forged"), ("DEL", "mqward:audit"), ("LPOP", "other"), ("BLPOP", "other", "1"),
                        ("CONFIG", "GET", "*"), ("FLUSHALL",), ("KEYS", "*"), ("ACL", "LIST"), ("PUBLISH", "mqward:audit", "x"),
                        ("XADD", "mqward:audit", "*", "event", "x")):
            with pytest.raises((redis.exceptions.NoPermissionError, redis.exceptions.ResponseError)) as caught:
                client.execute_command(*command)
            assert "no permissions" in str(caught.value), (command, str(caught.value))


def test_a_reader_of_a_stream_may_read_and_nothing_else(reader):
    server, admin = reader
    admin.delete("mqward:audit")
    admin.xadd("mqward:audit", {"event": "{}"})
    with login(server, "soc") as client:
        assert len(client.xread({"mqward:audit": "0"})[0][1]) == 1
        assert client.xgroup_create("mqward:audit", "siem", id="0")
        ((_, ((identifier, _),)),) = client.xreadgroup("siem", "a", {"mqward:audit": ">"})
        assert client.xack("mqward:audit", "siem", identifier) == 1
        for command in (("XADD", "mqward:audit", "*", "event", "forged"), ("XDEL", "mqward:audit", identifier),
                        ("XTRIM", "mqward:audit", "MAXLEN", "0"), ("DEL", "mqward:audit"), ("CONFIG", "GET", "*"), ("FLUSHALL",),
                        ("XREAD", "STREAMS", "other", "0")):
            with pytest.raises((redis.exceptions.NoPermissionError, redis.exceptions.ResponseError)) as caught:
                client.execute_command(*command)
            assert "no permissions" in str(caught.value), (command, str(caught.value))


# ---- rsyslog ----

class Rsyslog(Process):
    """Debian's rsyslogd with one of the examples; places: what stands in the example -> what it is here."""
    name = "rsyslogd"

    def __init__(self, folder, name, places):
        super().__init__(folder)
        text = read("rsyslog", name)
        for place, here in places.items():
            assert place in text, place
            text = text.replace(place, here)
        self.path = os.path.join(self.folder, name)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def command(self):
        return ["/usr/sbin/rsyslogd", "-n", "-f", self.path, "-i", os.path.join(self.folder, "pid")]

    def check(self):
        return subprocess.run(["/usr/sbin/rsyslogd", "-N1", "-f", self.path], capture_output=True, timeout=30, check=False, text=True)


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        return file.read().splitlines()


def journal_of(world):
    """The lines of a world's journal, in their order."""
    segments = sorted(glob.glob(os.path.join(world.journal.folder, "journal-*.ndjson")))
    return [line for path in segments for line in lines_of(path)]


def wait_for_file(rsyslog, out, world):
    wait_until(lambda: rsyslog.running() and len(lines_of(out)) >= len(journal_of(world)), f"all events in {out}:\n{rsyslog.output()}", 30)


POLICY = """\
version: 1
policy: siem
mode: enforce
identity:
  - anonymous: {id: anonymous}
rules:
  - rule: open
    who: everyone
    allow: publish
    topics: [open/#]
audit: {deny: all, allow: 0%, payload: hash}
"""


def make_events(world, count=30):
    client = world.connected()
    for index in range(count):
        client.publish(f"closed/{index}/\u00e4\u2028\"\\", b"x", qos=1, code=0x87)
    client.ping()


def test_rsyslog_reads_the_journal_byte_for_byte(make_world, tmp_path):
    world = make_world(POLICY)
    out = str(tmp_path / "audit.ndjson")
    rsyslog = Rsyslog(str(tmp_path / "rsyslog"), "file.conf", {
        "/var/spool/rsyslog": str(tmp_path), "/var/log/mqward-audit.ndjson": out, "/var/lib/mqward": world.journal.folder})
    result = rsyslog.check()
    assert result.returncode == 0 and "error" not in result.stderr, result.stderr
    rsyslog.spawn()
    try:
        make_events(world)
        world.audit.wait_for_count(30, action="mqtt-publish-denied")
        world.proxy.terminate()
        wait_for_file(rsyslog, out, world)
        assert lines_of(out) == journal_of(world)
        assert [text for line in lines_of(out) for text in validate.findings_of_line(line)] == []
    finally:
        rsyslog.terminate()


def test_the_example_for_redis_lists_is_checked_without_the_module_that_debian_lacks(tmp_path):
    text = read("rsyslog", "redis-list.conf")
    start = text.index("input(type=\"imhiredis\"")
    stripped = text[:start].replace('module(load="imhiredis")', "")
    path = tmp_path / "redis-list.conf"
    path.write_text(stripped.replace("/var/spool/rsyslog", str(tmp_path)) +
                    'module(load="imtcp")\ninput(type="imtcp" port="1" ruleset="mqward")\n')
    result = subprocess.run(["/usr/sbin/rsyslogd", "-N1", "-f", str(path)], capture_output=True, timeout=30, check=False, text=True)
    assert result.returncode == 0 and "error" not in result.stderr, result.stderr
    parameters = dict(re.findall(r'(\w+)="([^"]*)"', text[start:]))
    assert parameters["mode"] == "queue" and parameters["uselpop"] == "on" and parameters["ruleset"] == "mqward"


def test_rsyslog_receives_the_syslog_sink_byte_for_byte(make_world, certs, tmp_path):
    out, port = tmp_path / "out", free_port()
    out.mkdir()
    rsyslog = Rsyslog(str(tmp_path / "rsyslog"), "syslog.conf", {
        "/var/spool/rsyslog": str(tmp_path), "/var/log/mqward": str(out), "/etc/rsyslog.d/mqward-ca.pem": certs.server_ca.path,
        "/etc/rsyslog.d/server.pem": certs.server[0], "/etc/rsyslog.d/server.key": certs.server[1],
        'port="6514"': f'address="127.0.0.1" port="{port}"'})
    result = rsyslog.check()
    assert result.returncode == 0 and "error" not in result.stderr, result.stderr
    rsyslog.spawn()
    try:
        sink = {"name": "syslog", "syslog": {"address": f"127.0.0.1:{port}", "max_message": "60KiB",
                                             "tls": {"ca": "siem", "server_name": "localhost"}}}
        world = make_world(POLICY, configuration={"cas": {"siem": certs.server_ca.path}, "audit": {"sinks": [sink]}}, redis=False)
        make_events(world)
        wait_for_file(rsyslog, str(out / "audit.ndjson"), world)
        world.proxy.terminate()
        wait_for_file(rsyslog, str(out / "audit.ndjson"), world)
        assert lines_of(str(out / "audit.ndjson")) == journal_of(world)
        urgent = [line for line in journal_of(world) if json.loads(line)["event"]["severity"] >= 73]
        assert lines_of(str(out / "urgent.ndjson")) == urgent
        assert not os.path.exists(out / "unreadable.log")
    finally:
        rsyslog.terminate()
