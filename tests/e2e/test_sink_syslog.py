# SPDX-License-Identifier: Apache-2.0
"""The sink syslog, with Debian's rsyslogd as the receiver."""
import json
import os
import re
import socket
import threading
import time

import pytest

import raw
from audit import get
from processes import wait_until
from servers import run_cli
from syslogd import Rsyslog
from test_durability import POLICY, deny

pytestmark = pytest.mark.brokerless
SETTLE = 0.25  # SYSLOG_SETTLE_MS: so long after its kernel has it, a message is the receiver's


@pytest.fixture
def receivers():
    started = []
    yield started
    for receiver in started:
        receiver.stop()


def sink(address, **options):
    return {"audit": {"sinks": [{"name": "syslog", "syslog": {"address": address, "timeout": "2s", **options}}]}}


def topics_of(events):
    return [get(event, "topic") for event in events if get(event, "action") == "mqtt-publish-denied"]


def denied(receiver, topics, timeout=30):
    wait_until(lambda: set(topics) <= set(topics_of(receiver.events())), f"{len(topics)} events at the receiver",
               timeout)


def sequences(events):
    return sorted({get(event, "event.sequence") for event in events})


def newest_of(receiver):
    """The highest number of a topic at the end of what it has written: quicker to look at than all of it."""
    if not os.path.exists(receiver.received):
        return -1
    with open(receiver.received, "rb") as file:
        file.seek(max(0, os.path.getsize(receiver.received) - 65536))
        return max(map(int, re.findall(rb'closed\\/([0-9]+)\\"', file.read())), default=-1)  # as rsyslog writes it


@pytest.fixture
def client_of(make_world):
    def make(receiver, **options):
        world = make_world(POLICY, redis=False, configuration=sink(receiver.address(), **options))
        return world, world.connected()
    return make


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "datagram", "stream"])
def test_every_transport_brings_every_event(client_of, receivers, certs, tmp_path, kind):
    receiver = Rsyslog(tmp_path / "rsyslog", kind, certs=certs)
    receivers.append(receiver.start())
    options = {"udp": {"transport": "udp"}, "tls": {"tls": {"ca": "server", "server_name": "localhost"}}}.get(kind, {})
    world, client = client_of(receiver, **options)
    topics = deny(client, [f"closed/{index}" for index in range(300)] + ['closed/"] <34>1 x', "closed/ü€"])
    denied(receiver, topics)
    messages = receiver.messages()
    assert {message["app"] for message in messages} == {"mqward"}
    assert {message["process"] for message in messages} == {str(world.proxy.process.pid)}
    assert {message["id"] for message in messages} >= {"proxy-started", "mqtt-publish-denied"}
    assert {message["pri"] for message in messages} <= {str(16 * 8 + severity) for severity in (2, 4, 5, 6)}
    for message, event in zip(messages, receiver.events()):
        assert message["id"] == get(event, "action")
        assert f'id="{get(event, "event.id")}"' in message["data"]
        assert message["host"] == get(event, "observer.hostname")
    assert sequences(receiver.events()) == list(range(1, len(sequences(receiver.events())) + 1))
    wait_until(lambda: set(topics) <= set(topics_of(receiver.parsed())), "mmjsonparse reads the messages")


@pytest.mark.parametrize("framing", ["octet-counting", "lines"])
@pytest.mark.parametrize("form", ["json", "cef", "text"])
def test_formats_and_framings(client_of, receivers, tmp_path, framing, form):
    receiver = Rsyslog(tmp_path / "rsyslog", "tcp")
    receivers.append(receiver.start())
    _, client = client_of(receiver, framing=framing, format=form, facility="authpriv", sd_id="trail@99999")
    hostile = ["closed/a|b=c\\d", 'closed/"]\'', "closed/ src=10.0.0.1 act=allowed"]
    deny(client, hostile)
    wait_until(lambda: sum(m["id"] == "mqtt-publish-denied" for m in receiver.messages()) >= len(hostile), "the events")
    found = [message for message in receiver.messages() if message["id"] == "mqtt-publish-denied"]
    assert len(found) == len(hostile)
    for message, topic in zip(found, hostile):
        assert message["pri"] == str(10 * 8 + 5)
        assert message["data"].startswith("[trail@99999 ") and message["data"].endswith("]")
        escaped = topic.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
        assert f'topic="{escaped}"' in message["data"]
        if form == "cef":
            header, extension = message["msg"].strip()[:200].split("|")[:7], message["msg"].split("|", 7)[7]
            assert header[:3] == ["CEF:0", "mqward", "mqward"]
            assert header[4:] == ["ACL-1001", "mqtt-publish-denied", "5"]
            value = topic.replace("\\", "\\\\").replace("=", "\\=")
            assert f"cs1={value} cs1Label=topic " in extension
            assert " act=rejected " in extension and " src=127.0.0.1 " in extension
        if form == "text":
            assert message["msg"].strip().startswith("PUBLISH denied: anonymous -> closed/")


@pytest.mark.parametrize("byte", [b"\x7f", b"\\"], ids=["six bytes in JSON", "two bytes in JSON"])
def test_long_names_hide_nothing(client_of, receivers, tmp_path, byte):
    """What a client chooses becomes shorter; who it was, where and why stays in the message."""
    receiver = Rsyslog(tmp_path / "rsyslog", "tcp")
    receivers.append(receiver.start())
    world, client = client_of(receiver)
    stranger = world.client(raw.V5)
    stranger.send(raw.connect(raw.V5, byte * 1020, username=byte * 1020, password=byte * 1020))
    deny(client, ["closed/" + byte.decode() * 1000])

    def found(field, text):
        return [event for event in receiver.events() if get(event, field, "").startswith(text)]
    wait_until(lambda: found("topic", "closed/") and found("mqtt.client_id", byte.decode()), "both")
    for field, text in (("topic", "closed/"), ("mqtt.client_id", byte.decode())):
        event = found(field, text)[0]
        assert get(event, field).endswith("…") or len(get(event, field)) > 1000
        assert ("tags" in event) == get(event, field).endswith("…")
        assert get(event, "mqward.disposition") in ("rejected", "forwarded") and get(event, "source.ip") == "127.0.0.1"
        assert get(event, "chain.hash") and get(event, "related.ip") and get(event, "observer.version")
    assert all(len(json.dumps(event, ensure_ascii=False)) < 8192 for event in receiver.events())


def test_the_receiver_is_not_there_at_the_start(client_of, receivers, tmp_path):
    receiver = Rsyslog(tmp_path / "rsyslog", "tcp")
    receivers.append(receiver)
    world, client = client_of(receiver)
    topics = deny(client, [f"closed/{index}" for index in range(50)])
    wait_until(lambda: world.proxy.logged("sink is down"), "nobody is there")
    receiver.start()
    denied(receiver, topics)
    wait_until(lambda: "sink-down" in {get(event, "action") for event in receiver.events()}, "and that is told")


@pytest.mark.parametrize("kind", ["udp", "datagram"])
def test_datagrams_wait_for_a_receiver_that_is_away(client_of, receivers, tmp_path, kind):
    """A host that says that nobody listens is believed: nothing is confirmed until somebody does."""
    receiver = Rsyslog(tmp_path / "rsyslog", kind)
    receivers.append(receiver)
    _, client = client_of(receiver, **({"transport": "udp"} if kind == "udp" else {}))
    topics = deny(client, [f"closed/before/{index}" for index in range(20)])
    receiver.start()
    denied(receiver, topics)
    receiver.kill()
    topics += deny(client, [f"closed/during/{index}" for index in range(20)])
    receiver.start()
    denied(receiver, topics)


@pytest.mark.parametrize("kind", ["tcp", "tls", "stream"])
def test_the_receiver_is_killed_while_events_flow(client_of, receivers, certs, tmp_path, kind):
    """What its kernel had for SETTLE seconds, and it had not read, is lost with it: with a receiver that keeps up,
    nothing. Whether it does is looked at; what came after the look, mqward has no time to take for delivered."""
    receiver = Rsyslog(tmp_path / "rsyslog", kind, certs=certs)
    receivers.append(receiver.start())
    options = {"tls": {"ca": "server", "server_name": "localhost"}} if kind == "tls" else {}
    world, client = client_of(receiver, **options)
    topics, stop = [], threading.Event()

    def run():
        while not stop.wait(0.003):
            topics.append(f"closed/{len(topics)}")  # first: no event is on its way that is not among them
            deny(client, topics[-1:])

    def stopped_in_time():
        count = len(topics)
        wait_until(lambda: len(topics) > count, "an event behind all that mqward says by itself")
        looked, last = time.monotonic(), len(topics) - 1
        wait_until(lambda: newest_of(receiver) >= last, "it is at the receiver, and with it all before it")
        world.proxy.pause()
        if time.monotonic() - looked < SETTLE:
            return True
        world.proxy.resume()
        return False
    thread = threading.Thread(target=run)
    thread.start()
    try:
        for round_ in range(3):
            wait_until(lambda: len(world.proxy.logged("sink is up")) > round_, "a delivery")
            wait_until(stopped_in_time, "a receiver that keeps up")
            receiver.kill()
            count = len(topics)
            world.proxy.resume()
            wait_until(lambda: len(topics) > count + 50, "traffic while the receiver is away")
            receiver.start()
    finally:
        stop.set()
        thread.join()
    denied(receiver, topics)
    events = receiver.events()
    assert sequences(events) == list(range(1, len(sequences(events)) + 1)), "no gap"
    assert get(events[0], "event.sequence") == 1
    assert {get(event, "action") for event in events} >= {"sink-down", "sink-up"}
    world.check()


def test_a_receiver_that_takes_nothing_is_down_and_stalls_nobody(make_world, receivers, tmp_path):
    """It accepts, and never reads: the kernel's buffers fill, then nothing is acknowledged any more."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=8)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    receiver = Rsyslog(tmp_path / "rsyslog", "tcp")
    receivers.append(receiver.start())
    port = listener.getsockname()[1]
    sinks = [{"name": "hung", "syslog": {"address": f"127.0.0.1:{port}", "timeout": "500ms"}},
             {"name": "well", "syslog": {"address": receiver.address()}}]
    world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": sinks}})
    client = world.connected()
    topics = deny(client, [f"closed/{index}/{'x' * 900}" for index in range(1500)])
    denied(receiver, topics)
    wait_until(lambda: any(get(event, "action") == "sink-down" and "hung: the receiver takes nothing" in
                           get(event, "mqward.detail", "") for event in receiver.events()), "sink-down")
    client.ping()
    listener.close()


def test_a_server_that_does_not_prove_its_name_gets_nothing(client_of, receivers, certs, tmp_path):
    receiver = Rsyslog(tmp_path / "rsyslog", "tls", certs=certs)
    receivers.append(receiver.start())
    for options, what in (({"ca": "server", "server_name": "other.example"}, "hostname mismatch"),
                          ({"ca": "foreign"}, "unable to get local issuer certificate")):
        world, client = client_of(receiver, tls=options)
        deny(client, ["closed/secret"])
        wait_until(lambda: any(what in str(line) for line in world.proxy.logged("sink is down")), what)
        assert receiver.messages() == []


def test_a_client_certificate_is_shown(client_of, receivers, certs, tmp_path):
    receiver = Rsyslog(tmp_path / "rsyslog", "tls", certs=certs, client_certificate=True)
    receivers.append(receiver.start())
    world, client = client_of(receiver, tls={"ca": "server"})
    deny(client, ["closed/without"])
    wait_until(lambda: world.proxy.logged("sink is down"), "a receiver that wants a certificate")
    assert receiver.messages() == []
    certificate, key = certs.plc7
    _, client = client_of(receiver, tls={"ca": "server", "certificate": certificate, "key": key})
    denied(receiver, deny(client, ["closed/with"]))


def test_what_a_datagram_can_not_hold_is_cut_as_the_manual_says(client_of, receivers, tmp_path):
    receiver = Rsyslog(tmp_path / "rsyslog", "udp")
    receivers.append(receiver.start())
    _, client = client_of(receiver, transport="udp", max_message="1KiB")
    deny(client, ["closed/" + "x" * 1000])
    wait_until(lambda: any(m["id"] == "mqtt-publish-denied" for m in receiver.messages()), "the event")
    message = next(m for m in receiver.messages() if m["id"] == "mqtt-publish-denied")
    event = json.loads(message["msg"])
    assert event["tags"] == ["mqward-truncated"] and "@timestamp" in event and get(event, "event.reason") == "no_allow"
    assert "related" not in event and "chain" not in event, "first what repeats others, then what stands at the end"
    assert len(message["raw"].encode()) <= 1024
    assert re.search(r'id="[0-9a-f]{16}-\d+"', message["data"])


def test_mqward_is_killed_and_goes_on_where_it_was(client_of, receivers, tmp_path):
    receiver = Rsyslog(tmp_path / "rsyslog", "tcp")
    receivers.append(receiver.start())
    world, client = client_of(receiver)
    topics = deny(client, [f"closed/first/{index}" for index in range(100)])
    world.proxy.kill()
    world.proxy.start()
    topics += deny(world.connected(), [f"closed/second/{index}" for index in range(100)])
    denied(receiver, topics)


def test_mistakes_in_the_configuration_are_told(tmp_path):
    for text, message in (
            ("address: /dev/log, tls: {}", "tls over a Unix socket is not possible"),
            ("address: /dev/log, transport: udp", "transport with a Unix socket is not possible"),
            ("address: '127.0.0.1:514', transport: udp, tls: {}", "tls over UDP is not possible"),
            ("address: '127.0.0.1:514', transport: udp, framing: lines", "framing of datagrams is not possible"),
            ("address: '127.0.0.1:514', sd_id: 'no number'", "sd_id: 'no number' is not a possible SD-ID"),
            ("address: '127.0.0.1:514', facility: local9", "local9"),
            ("address: '127.0.0.1:514', max_message: 1MiB", "max_message")):
        with open(tmp_path / "mqward.yaml", "w", encoding="ascii") as file:
            file.write("version: 1\npolicy: policy.yaml\n"
                       "listeners: [{name: plain, address: '127.0.0.1:0', plaintext: true}]\n"
                       "upstreams: [{name: main, address: '127.0.0.1:1'}]\n"
                       f"audit: {{directory: audit, sinks: [{{name: syslog, syslog: {{{text}}}}}]}}\n")
        with open(tmp_path / "policy.yaml", "w", encoding="utf-8") as file:
            file.write(POLICY)
        result = run_cli("check", "-c", "mqward.yaml", folder=str(tmp_path))
        assert result.returncode == 1 and message in result.stdout + result.stderr, result.stdout + result.stderr
