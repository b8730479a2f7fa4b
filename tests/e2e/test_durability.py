# SPDX-License-Identifier: Apache-2.0
"""The audit trail loses nothing: Redis away, Redis killed, mqward killed."""
import contextlib
import json
import os
import threading
import time

import pytest

import raw
from audit import Audit, get
from servers import Redis, free_port, wait_until
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')


def deny(client, topics):
    """Denied publishes, each answered before the next; returns those answered."""
    done = []
    for topic in topics:
        client.publish(topic, b"x", qos=1, code=0x87 if client.version == raw.V5 else 0)
        done.append(topic)
    return done


def recorded(audit, prefix):
    return [get(event, "topic") for event in audit.all(action="mqtt-publish-denied") if get(event, "topic").startswith(prefix)]


def wait_recorded(audit, topics, timeout=20):
    def look():
        try:
            return set(topics) <= set(recorded(audit, ""))
        except Exception:  # Redis is on its way up
            return False
    wait_until(look, f"{len(topics)} events in Redis", timeout)


@pytest.mark.core
def test_redis_is_killed_and_comes_back(make_world):
    world = make_world(POLICY)
    client, observer = world.connected(), world.observer("open/#")
    topics = deny(client, [f"closed/before/{index}" for index in range(50)])
    world.redis.kill()
    topics += deny(client, [f"closed/during/{index}" for index in range(200)])
    client.publish("open/x", b"traffic goes on", qos=1)
    assert observer.message().payload == b"traffic goes on"
    world.redis.start()
    topics += deny(client, [f"closed/after/{index}" for index in range(50)])
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()
    assert [topic for topic in dict.fromkeys(recorded(world.audit, "closed/"))] == topics, "out of order"
    world.audit.wait_for(action="sink-down")
    world.audit.wait_for(action="sink-up")


def test_redis_is_killed_in_the_middle_of_a_stream_of_events(make_world):
    world = make_world(POLICY)
    topics, stop = [], threading.Event()
    client = world.connected()

    def run():
        index = 0
        while not stop.is_set():
            topics.extend(deny(client, [f"closed/{index}"]))
            index += 1
    thread = threading.Thread(target=run)
    thread.start()
    try:
        for round_ in range(3):
            wait_until(lambda: len(topics) > 150 * (round_ + 1), "traffic")
            world.redis.kill()
            count = len(topics)
            wait_until(lambda: len(topics) > count + 50, "traffic while Redis is away")
            world.redis.start()
    finally:
        stop.set()
        thread.join()
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()


def test_events_reach_redis_while_the_load_lasts(make_world):
    """The rings are never empty then: what fills the journal must not keep the sinks from their turn."""
    world = make_world(POLICY, redis={"appendfsync": "no"})
    clients, stop, sent = [world.connected() for _ in range(3)], threading.Event(), [0, 0, 0]
    began = time.monotonic()

    def run(which):
        while not stop.is_set():
            deny(clients[which], [f"closed/{which}/{sent[which]}"])
            sent[which] += 1
    threads = [threading.Thread(target=run, args=(which,)) for which in range(len(clients))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: sum(sent) > 10000 or (sum(sent) > 1000 and time.monotonic() > began + 60), "traffic", 120)
        enough = sum(sent) // 20
        delivered = world.audit.connection.xlen("mqward:audit")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert delivered > enough, f"{delivered} of {enough * 20} events in Redis after seconds of load"


def test_redis_stands_still(make_world):
    world = make_world(POLICY)
    client = world.connected()
    topics = deny(client, ["closed/before"])
    wait_recorded(world.audit, topics)
    world.redis.pause()
    topics += deny(client, [f"closed/during/{index}" for index in range(300)])
    client.ping()
    world.redis.resume()
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()


def test_redis_is_not_there_at_the_start(make_world):
    world = make_world(POLICY, redis=False)
    topics = deny(world.connected(), [f"closed/{index}" for index in range(20)])
    world.redis.start()
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()


def test_a_redis_that_refuses_is_not_yet_a_delivery(make_world):
    """-OOM is "not yet": the events come when there is memory again."""
    world = make_world(POLICY)
    client = world.connected()
    wait_recorded(world.audit, deny(client, ["closed/before"]))
    world.audit.connection.config_set("maxmemory", "1")
    topics = deny(client, [f"closed/during/{index}" for index in range(20)])
    wait_until(lambda: any("OOM" in line["detail"] for line in world.proxy.logged("sink is down")), "Redis refuses")
    assert not set(topics) & set(recorded(world.audit, "closed/during"))
    world.audit.connection.config_set("maxmemory", "0")
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()


def test_a_redis_user_with_the_documented_rights_suffices(make_world):
    world = make_world(POLICY, start=False)
    world.audit.connection.execute_command(
        "ACL", "SETUSER", "mqward", "on", ">s3cret", "resetkeys", "%W~mqward:*", "resetchannels", "nocommands", "+xadd", "+ping",
        "+auth")
    with open(os.path.join(world.proxy.folder, "redis.pass"), "w", encoding="ascii") as file:
        file.write("s3cret\n")
    os.chmod(os.path.join(world.proxy.folder, "redis.pass"), 0o600)
    world.proxy.configuration["audit"]["sinks"][0]["redis"].update({"username": "mqward", "password_file": "redis.pass"})
    world.proxy.write()
    world.proxy.start()
    wait_recorded(world.audit, deny(world.connected(), ["closed/x"]))
    assert "s3cret" not in world.proxy.output()


def test_redis_over_a_unix_socket_another_stream_and_field(make_world, certs):
    world = make_world(POLICY, start=False, redis={"extra": ["--unixsocket", "redis.sock"]})
    path = os.path.join(world.redis.folder, "redis.sock")
    world.proxy.configuration["audit"]["sinks"][0]["redis"].update(
        {"address": path, "stream": "mqward:plant", "field": "json", "shared": True})
    world.proxy.write()
    world.proxy.start()
    deny(world.connected(), ["closed/x"])
    audit = Audit(world.redis.port, "mqward:plant", "json")
    audit.wait_for(action="mqtt-publish-denied", topic="closed/x")


def test_redis_over_tls(make_world, certs):
    world = make_world(POLICY, start=False, redis=False)
    tls_port = world.redis.port
    plain = free_port()
    world.redis.arguments += ["--port", str(plain), "--tls-port", str(tls_port), "--tls-cert-file", certs.broker[0],
                              "--tls-key-file", certs.broker[1], "--tls-ca-cert-file", certs.broker_ca.path, "--tls-auth-clients", "no"]
    world.redis.start()
    sink = world.proxy.configuration["audit"]["sinks"][0]["redis"]
    sink["tls"] = {"ca": "broker-ca", "server_name": "broker.example"}
    world.proxy.write()
    world.proxy.start()
    deny(world.connected(), ["closed/x"])
    Audit(plain).wait_for(action="mqtt-publish-denied", topic="closed/x")


def test_several_sinks_have_their_own_cursors(make_world, tmp_path):
    world = make_world(POLICY, start=False)
    second = Redis(tmp_path / "second")
    sinks = world.proxy.configuration["audit"]["sinks"]
    sinks.append({"name": "archive", "redis": {"address": f"127.0.0.1:{second.port}", "stream": "archive", "timeout": "1s"}})
    world.proxy.write()
    world.proxy.start()
    try:
        topics = deny(world.connected(), [f"closed/{index}" for index in range(20)])
        wait_recorded(world.audit, topics)  # the first does not wait for the second
        second.start()
        wait_recorded(Audit(second.port, "archive"), topics)
    finally:
        second.stop()


# ---- kill -9 of mqward ----

@pytest.mark.core
@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
@pytest.mark.parametrize("redis_is_away", (False, True), ids=("redis up", "redis away"))
def test_mqward_is_killed_and_no_answered_denial_is_missing(make_world, version, redis_is_away):
    world = make_world(POLICY)
    world.killed = True
    if redis_is_away:
        world.redis.kill()
    answered = []
    for round_ in range(3):
        clients = [world.connected(f"c{index}", version) for index in range(3)]
        lists = [[] for _ in clients]

        def run(client, done, prefix):
            index = 0
            try:
                while True:
                    client.publish(f"{prefix}/{index}", b"x", qos=1, code=0x87 if version == raw.V5 else 0)
                    done.append(f"{prefix}/{index}")
                    index += 1
            except (OSError, AssertionError, raw.Malformed):
                pass
        threads = [threading.Thread(target=run, args=(client, done, f"closed/{round_}/{index}"))
                   for index, (client, done) in enumerate(zip(clients, lists))]
        for thread in threads:
            thread.start()
        wait_until(lambda: sum(map(len, lists)) > 200, "traffic")
        world.proxy.kill()
        for thread in threads:
            thread.join()
        answered += [topic for done in lists for topic in done]
        world.proxy.start()
    world.killed = False
    if redis_is_away:
        world.redis.start()
    wait_recorded(world.audit, answered)
    world.audit.assert_gapless()
    repeated = len(recorded(world.audit, "closed/")) - len(set(recorded(world.audit, "closed/")))
    assert repeated <= len(answered) // 10, f"{repeated} events were sent twice"


def test_redis_and_mqward_are_killed_together(make_world):
    world = make_world(POLICY)
    world.killed = True
    topics = deny(world.connected(), [f"closed/{index}" for index in range(300)])
    world.redis.kill()
    world.proxy.kill()
    world.redis.start()
    world.proxy.start()
    world.killed = False
    topics += deny(world.connected(), ["closed/after"])
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()


def test_a_torn_tail_of_the_journal_is_repaired(make_world):
    world = make_world(POLICY)
    topics = deny(world.connected(), [f"closed/{index}" for index in range(20)])
    wait_recorded(world.audit, topics)
    world.proxy.terminate()
    folder = os.path.join(world.proxy.folder, "audit")
    segments = sorted((os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".ndjson")), key=os.path.getmtime)
    assert segments, os.listdir(folder)
    with open(segments[-1], "ab") as file:
        file.write(b'{"@timestamp":"2026-01-02T03:0')
    world.proxy.start()
    topics += deny(world.connected(), ["closed/after"])
    wait_recorded(world.audit, topics)
    for path in segments:
        with open(path, encoding="utf-8") as file:
            for line in file:
                json.loads(line)


def test_the_journal_is_private_and_holds_what_redis_got(make_world):
    world = make_world(POLICY)
    wait_recorded(world.audit, deny(world.connected(), [f"closed/{index}" for index in range(20)]))
    folder = os.path.join(world.proxy.folder, "audit")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # a cursor that is being replaced has another name for a moment
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, f"{name} is open to others"
    world.proxy.terminate()  # the journal and Redis stay as they are now
    lines = []
    for name in os.listdir(folder):
        if name.endswith(".ndjson"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                lines += [json.loads(line) for line in file]
    in_redis = {get(event, "event.id") for event in world.audit.events()}
    assert in_redis <= {get(event, "event.id") for event in lines}


def test_without_redis_the_journal_alone_keeps_the_events(make_world):
    world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": None}})
    deny(world.connected(), [f"closed/{index}" for index in range(20)])
    folder = os.path.join(world.proxy.folder, "audit")
    world.proxy.terminate()
    topics = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".ndjson"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                topics += [get(json.loads(line), "topic") for line in file]
    assert [topic for topic in topics if topic] == [f"closed/{index}" for index in range(20)]


def test_a_hostile_topic_stays_one_json_record(make_world):
    world = make_world(POLICY)
    client_id = 'a"b\\c\u2028,"d":{'  # no control characters: Mosquitto refuses those in a client id
    client = world.connected(client_id)
    topics = ['closed/"}]}', "closed/\n{\"forged\":1}", "closed/\\u0000", "closed/\x01\x1b[31m", "closed/" + "é" * 3000, "closed/\u2028\ufeff"]
    deny(client, topics)
    events = world.audit.wait_for_count(len(topics), action="mqtt-publish-denied")
    for topic, event in zip(topics, events):
        assert get(event, "client_id") == client_id
        if len(topic) < 500:
            assert get(event, "topic") == topic
        else:
            assert len(get(event, "topic").encode()) < 1200
