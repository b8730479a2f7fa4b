# SPDX-License-Identifier: Apache-2.0
"""The sink Kafka: every event at least once, in order, whatever the cluster does; nobody waits for it."""
import os
import socket
import ssl
import struct
import threading
import time

import pytest
from audit import get
from kafka import CLUSTER_AUTHORIZATION_FAILED, INIT_PRODUCER_ID, NOT_LEADER, PRODUCE, TOPIC_AUTHORIZATION_FAILED, Kafka
from servers import run_cli, wait_until
from test_durability import POLICY, deny, wait_recorded

pytestmark = pytest.mark.brokerless


@pytest.fixture(name="kafka")
def fixture_kafka():
    cluster = Kafka()
    yield cluster
    cluster.stop()


def make(make_world, cluster, redis=False, **options):
    """A world whose only sink is the cluster; with redis, Redis is the second."""
    world = make_world(POLICY, redis=redis, start=False)
    audit = world.proxy.configuration["audit"]
    audit["sinks"] = [cluster.sink(**{"timeout": "2s", **options})] + (audit["sinks"] if redis else [])
    world.proxy.write()
    world.proxy.start()
    return world


def topics_of(events):
    return [get(event, "topic") for _, _, event in events if get(event, "action") == "mqtt-publish-denied"]


def gapless(events):
    """Of each epoch all are there up to the last one."""
    epochs = {}
    for _, _, event in events:
        epoch, sequence = get(event, "event.id").rsplit("-", 1)
        epochs.setdefault(epoch, set()).add(int(sequence))
    return all(numbers == set(range(1, len(numbers) + 1)) for numbers in epochs.values())


def arrived(cluster, topics):
    """Waits for the events of these topics, and for what stands before them in other partitions; asserts their order."""
    events = cluster.wait_for(lambda found: set(topics) <= set(topics_of(found)) and gapless(found),
                              f"{len(topics)} events in Kafka, without a gap")
    assert list(dict.fromkeys(topics_of(events))) == topics, "out of order"
    return events


def test_all_events_arrive_in_order_as_they_are_in_the_journal(make_world, kafka):
    world = make(make_world, kafka, timeout="20s")
    topics = deny(world.connected("c-1"), [f"closed/{index}" for index in range(200)])
    events = arrived(kafka, topics)
    assert {key for _, key, event in events if get(event, "client_id") == "c-1"} == {b"c-1"}
    assert len(topics_of(events)) == len(topics), "repeats without a reason"


def test_a_clients_events_are_in_one_partition(make_world):
    cluster = Kafka(partitions=4)
    try:
        world = make(make_world, cluster, timeout="20s")
        for name in ("c-1", "c-2", "c-3", "c-4", "c-5"):
            deny(world.connected(name), [f"closed/{name}/{index}" for index in range(20)])
        events = cluster.wait_for(lambda found: len(set(topics_of(found))) >= 100, "100 events")
        for name in ("c-1", "c-2", "c-3", "c-4", "c-5"):
            own = [(partition, get(event, "topic")) for partition, _, event in events
                   if get(event, "client_id") == name and get(event, "action") == "mqtt-publish-denied"]
            assert len({partition for partition, _ in own}) == 1
            assert [topic for _, topic in own] == [f"closed/{name}/{index}" for index in range(20)]
    finally:
        cluster.stop()


def test_a_broker_goes_down_and_comes_up(make_world, kafka):
    world = make(make_world, kafka)
    client = world.connected()
    topics = deny(client, [f"closed/before/{index}" for index in range(50)])
    arrived(kafka, topics)
    kafka.down()
    topics += deny(client, [f"closed/during/{index}" for index in range(100)])
    wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    kafka.up()
    topics += deny(client, [f"closed/after/{index}" for index in range(50)])
    actions = {get(event, "action") for _, _, event in arrived(kafka, topics)}
    wait_until(lambda: {"sink-down", "sink-up"} <= actions | {get(event, "action") for _, _, event in kafka.events()}, "both reports")


@pytest.mark.parametrize("api, error", ((PRODUCE, NOT_LEADER), (PRODUCE, TOPIC_AUTHORIZATION_FAILED),
                                        (INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)), ids=("retriable", "refused", "fatal"))
def test_errors_of_the_cluster_are_not_yet_deliveries(make_world, kafka, api, error):
    kafka.refuse(api, error, 2)
    world = make(make_world, kafka, timeout="20s")
    topics = deny(world.connected(), [f"closed/{index}" for index in range(100)])
    events = arrived(kafka, topics)
    down = [event for _, _, event in events if get(event, "action") == "sink-down"]
    assert [get(event, "reason") for event in down] == ([] if error == NOT_LEADER else ["sink_refused"])


def test_mqward_is_killed_and_no_answered_denial_is_missing(make_world, kafka):
    world = make(make_world, kafka)
    world.killed = True
    topics = []
    for round_ in range(3):
        topics += deny(world.connected(), [f"closed/{round_}/{index}" for index in range(150)])
        if round_ == 1:
            kafka.down()
        world.proxy.kill()
        world.proxy.start()
    kafka.up()
    world.killed = False
    topics += deny(world.connected(), ["closed/after"])
    arrived(kafka, topics)


def test_a_cluster_that_hangs_stalls_neither_traffic_nor_redis_nor_the_stop(make_world, kafka):
    kafka.command("rtt 3600000")
    world = make(make_world, kafka, redis=True)
    client, observer = world.connected(), world.observer("open/#")
    topics = deny(client, [f"closed/{index}" for index in range(300)])
    client.publish("open/x", b"traffic goes on", qos=1)
    assert observer.message().payload == b"traffic goes on"
    wait_recorded(world.audit, topics)
    world.audit.wait_for(action="sink-down", reason="sink_unreachable")
    deny(client, ["closed/last"])
    wait_recorded(world.audit, ["closed/last"])
    began = time.monotonic()
    assert world.proxy.terminate() == 0
    assert time.monotonic() - began < 30
    kafka.command("rtt 0")
    world.proxy.start()
    arrived(kafka, topics + ["closed/last"])


def take(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


class TlsBroker:
    """A broker behind TLS that gets as far as SASL PLAIN, and refuses the password. It notes what it has seen of each
    connection: "handshake", "request", the password as it was sent, or the error of the handshake."""
    API_VERSIONS, SASL_HANDSHAKE, UNSUPPORTED_VERSION = 18, 17, 35

    def __init__(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            try:
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    self._serve(secure)
            except OSError as error:
                self.seen.append(error)

    def _serve(self, stream):
        while True:
            request = take(stream, struct.unpack("!i", take(stream, 4))[0])
            key, version, correlation = struct.unpack("!hhi", request[:8])
            if "request" not in self.seen:
                self.seen.append("request")
            if key == self.API_VERSIONS:
                rows = [(self.API_VERSIONS, 0, 0), (self.SASL_HANDSHAKE, 0, 0), (0, 0, 7), (3, 0, 4), (22, 0, 1)]
                body = struct.pack("!hi", 0 if version == 0 else self.UNSUPPORTED_VERSION, len(rows))
                body += b"".join(struct.pack("!hhh", *row) for row in rows)
            elif key == self.SASL_HANDSHAKE:
                body = struct.pack("!hih", 0, 1, 5) + b"PLAIN"
            else:
                return
            stream.sendall(struct.pack("!ii", 4 + len(body), correlation) + body)
            if key == self.SASL_HANDSHAKE:
                self.seen.append(take(stream, struct.unpack("!i", take(stream, 4))[0]))
                return

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def make_tls(make_world, certs, broker, **options):
    """A world whose sink goes to the broker by TLS and trusts the CA of certs.server."""
    world = make_world(POLICY, redis=False, start=False)
    configuration = world.proxy.configuration
    configuration["cas"]["server-ca"] = certs.server_ca.path
    configuration["audit"]["sinks"] = [{"name": "kafka", "kafka": {
        "brokers": f"127.0.0.1:{broker.port}", "timeout": "2s", "tls": {"ca": "server-ca"}, **options}}]
    world.proxy.write()
    return world


@pytest.fixture(name="tls_broker")
def fixture_tls_broker(request, certs):
    broker = TlsBroker(getattr(certs, request.param))
    yield broker
    broker.stop()


@pytest.mark.parametrize("tls_broker", ("server",), indirect=True)
def test_a_broker_that_is_verified_gets_the_password_and_nobody_else_does(make_world, certs, tls_broker):
    world = make_tls(make_world, certs, tls_broker, sasl={"mechanism": "PLAIN", "username": "eva", "password_file": "kafka.pass"})
    path = os.path.join(world.proxy.folder, "kafka.pass")
    with open(path, "w", encoding="ascii") as file:
        file.write("s3cret\n")
    os.chmod(path, 0o600)
    world.proxy.start()
    deny(world.connected(), ["closed/x"])
    wait_until(lambda: b"\0eva\0s3cret" in tls_broker.seen, "the password")
    wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    assert "s3cret" not in world.proxy.output()


@pytest.mark.parametrize("tls_broker, wrong", (("sni_a", "its name"), ("foreign", "its issuer")), indirect=["tls_broker"])
def test_a_broker_that_is_another_gets_nothing(make_world, certs, tls_broker, wrong):
    world = make_tls(make_world, certs, tls_broker, timeout="20s")
    world.proxy.start()
    deny(world.connected(), ["closed/x"])
    down = wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    assert "verif" in down[0]["detail"], down
    assert "request" not in tls_broker.seen, f"a request to a server with the wrong certificate: {wrong}"


@pytest.mark.parametrize("kafka_options, message", (
    ({"properties": {"acks": "0"}}, "properties: acks: the sink sets it"),
    ({"properties": {"enable.ssl.certificate.verification": "false"}}, "or the broker could be anybody"),
    ({"properties": {"plugin.library.paths": "x.so"}}, "it would run code"),
    ({"properties": {"no.such": "1"}}, "no.such"),
    ({"topic": "a b"}, "'a b' is not a possible topic of Kafka"),
    ({"brokers": []}, "brokers: from 1 to 64 brokers"),
    ({"brokers": ["ok:1", "no port"]}, "no port"),
    ({"key": "topic"}, "client_id"),
    ({"timeout": "1ms"}, "timeout"),
    ({"sasl": {"mechanism": "PLAIN", "username": "u", "password_file": "p"}}, "would show the password to the network"),
    ({"sasl": {"username": "u"}}, "password_file"),
    ({"sasl": {"mechanism": "GSSAPI", "username": "u", "password_file": "p"}}, "SCRAM-SHA-512"),
))
def test_what_is_wrong_in_the_configuration_is_said_with_its_place(make_world, kafka_options, message):
    world = make_world(POLICY, redis=False, start=False)
    world.proxy.configuration["audit"]["sinks"] = [{"name": "kafka", "kafka": {"brokers": "127.0.0.1:1", **kafka_options}}]
    world.proxy.write()
    result = run_cli("check", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == 1
    assert message in result.stderr + result.stdout
    assert "mqward.yaml:" in result.stderr + result.stdout


def test_a_password_file_that_others_may_read_is_refused(make_world):
    world = make_world(POLICY, redis=False, start=False)
    path = os.path.join(world.proxy.folder, "kafka.pass")
    with open(path, "w", encoding="ascii") as file:
        file.write("s3cret\n")
    os.chmod(path, 0o644)
    world.proxy.configuration["audit"]["sinks"] = [{"name": "kafka", "kafka": {
        "brokers": "127.0.0.1:1", "sasl": {"username": "u", "password_file": "kafka.pass"}}}]
    world.proxy.write()
    with pytest.raises(AssertionError):
        world.proxy.start()
    assert "can't use the password file" in world.proxy.output()
    assert "s3cret" not in world.proxy.output()
