# SPDX-License-Identifier: Apache-2.0
"""A reload reads the certificates and passwords of sinks again; the next connection has them."""
import os
import shutil

import pytest
import redis

from processes import wait_until
from servers import Redis, run_cli
from syslogd import Rsyslog
from test_durability import POLICY, deny, recorded, wait_recorded
from test_kafka import TlsBroker, make_tls
from test_reload import reload

pytestmark = pytest.mark.brokerless


def write(path, text, mode=0o600):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)


def down(world, words):
    return [line for line in world.proxy.logged("sink is down") if words in line.get("detail", "")]


def test_a_new_password_is_used_from_the_next_connection_on(make_world):
    world = make_world(POLICY, start=False)
    path = os.path.join(world.proxy.folder, "redis.pass")
    world.audit.connection.execute_command("ACL", "SETUSER", "mqward", "on", ">first", "~*", "+@all")
    write(path, "first\n")
    siem = world.proxy.configuration["audit"]["sinks"][0]["redis"]
    siem.update({"username": "mqward", "password_file": "redis.pass"})
    world.proxy.write()
    world.proxy.start()
    client = world.connected()
    wait_recorded(world.audit, deny(client, ["closed/first"]))
    world.audit.connection.execute_command("ACL", "SETUSER", "mqward", "<first", ">second")
    world.audit.connection.execute_command("CLIENT", "KILL", "USER", "mqward")
    topics = deny(client, [f"closed/{number}" for number in range(20)])
    wait_until(lambda: down(world, "WRONGPASS"), "the old password is refused")
    write(path, "second\n", 0o644)
    reload(world, event="not reloaded: what was in force stays")
    finding, = [line["finding"] for line in world.proxy.logged("an error")]
    assert "redis.pass" in finding and "mode 644" in finding
    os.chmod(path, 0o600)
    assert not recorded(world.audit, "closed/1")
    reload(world)
    wait_recorded(world.audit, topics)
    world.audit.assert_gapless()
    assert "second" not in world.proxy.output()


def test_a_certificate_that_was_renewed_in_its_place_is_used(make_world, certs, tmp_path):
    """The server wants a certificate of the broker's CA; the sink's is of another one, until it is replaced."""
    server = Redis(str(tmp_path / "redis"))
    server.arguments += ["--tls-port", str(server.port), "--tls-cert-file", certs.server[0], "--tls-key-file",
                         certs.server[1], "--tls-ca-cert-file", certs.broker_ca.path, "--tls-auth-clients", "yes"]
    server.arguments[server.arguments.index("--port") + 1] = "0"
    server.start()
    certificate, key = str(tmp_path / "sink.pem"), str(tmp_path / "sink.key")

    def install(pair):
        shutil.copy(pair[0], certificate)
        shutil.copy(pair[1], key)
    install(certs.plc7)
    try:
        world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": [{"name": "siem", "redis": {
            "address": f"127.0.0.1:{server.port}", "stream": "mqward:audit", "timeout": "2s",
            "tls": {"ca": "server", "certificate": certificate, "key": key}}}]}})
        topics = deny(world.connected(), [f"closed/{number}" for number in range(20)])
        wait_until(lambda: down(world, ""), "the sink's certificate is refused")
        assert not world.proxy.logged("sink is up")
        install(certs.broker_client)
        reload(world)
        with redis.Redis(port=server.port, ssl=True, ssl_ca_certs=certs.server_ca.path, socket_timeout=5,
                         ssl_certfile=certs.broker_client[0], ssl_keyfile=certs.broker_client[1]) as admin:
            wait_until(lambda: admin.xlen("mqward:audit") >= len(topics), "events in Redis", 20)
        wait_until(lambda: world.proxy.logged("sink is up"), "sink is up")
    finally:
        server.stop()


def test_a_certificate_for_syslog_that_was_renewed_in_its_place_is_used(make_world, certs, tmp_path):
    """The receiver wants a certificate of the fleet's CA; the sink's is of another one, until it is replaced."""
    receiver = Rsyslog(tmp_path / "rsyslog", "tls", certs=certs, client_certificate=True)
    certificate, key = str(tmp_path / "sink.pem"), str(tmp_path / "sink.key")

    def install(pair):
        shutil.copy(pair[0], certificate)
        shutil.copy(pair[1], key)
    install(certs.broker_client)
    receiver.start()
    try:
        world = make_world(POLICY, redis=False, configuration={"audit": {"sinks": [{"name": "siem", "syslog": {
            "address": receiver.address(), "timeout": "2s",
            "tls": {"ca": "server", "certificate": certificate, "key": key}}}]}})
        deny(world.connected(), ["closed/before"])
        wait_until(lambda: down(world, ""), "the sink's certificate is refused")
        write(key, "no key\n")
        reload(world, event="not reloaded: what was in force stays")
        finding, = [line["finding"] for line in world.proxy.logged("an error")]
        assert "sink.key" in finding or "sink.pem" in finding
        assert not receiver.messages()
        install(certs.plc7)
        reload(world)
        wait_until(lambda: any("closed/before" in message["msg"] for message in receiver.messages()), "the event", 20)
        wait_until(lambda: world.proxy.logged("sink is up"), "sink is up")
    finally:
        receiver.stop()


def test_what_kafka_could_not_use_is_refused_and_the_rest_is_used(make_world, certs, tmp_path):
    broker = TlsBroker(certs.server)
    certificate, key, password = (str(tmp_path / name) for name in ("sink.pem", "sink.key", "kafka.pass"))

    def install(text):
        shutil.copy(certs.plc7[0], certificate)
        shutil.copy(certs.plc7[1], key)
        write(password, text)
    install("first\n")
    try:
        world = make_tls(make_world, certs, broker, tls={"ca": "server-ca", "certificate": certificate, "key": key},
                         sasl={"mechanism": "PLAIN", "username": "eva", "password_file": password})
        world.proxy.start()
        client = world.connected()
        deny(client, ["closed/first"])
        wait_until(lambda: b"\0eva\0first" in broker.seen, "the first password")
        write(password, "second\n")
        write(key, "no key\n")
        reload(world, event="not reloaded: what was in force stays")
        finding, = [line["finding"] for line in world.proxy.logged("an error")]
        assert "sink 'kafka'" in world.proxy.logged("an error")[0]["place"]
        assert "sink.key" in finding or "sink.pem" in finding
        known = broker.seen.count(b"\0eva\0first")
        # One connection may have been under way; the one behind it is of after the reload.
        wait_until(lambda: broker.seen.count(b"\0eva\0first") >= known + 2, "the first password again")
        assert b"\0eva\0second" not in broker.seen, "all of it or nothing"
        install("second\n")
        reload(world)
        deny(client, ["closed/second"])
        wait_until(lambda: b"\0eva\0second" in broker.seen, "the second password", 20)
    finally:
        broker.stop()


@pytest.mark.parametrize("place", ("sink", "sentinel", "replay"))
def test_a_password_file_that_others_may_read_is_refused_at_the_start(make_world, place):
    world = make_world(POLICY, redis=False, start=False)
    write(os.path.join(world.proxy.folder, "open.pass"), "s3cret\n", 0o644)
    siem = world.proxy.configuration["audit"]["sinks"][0]["redis"]
    if place == "sink":
        siem["password_file"] = "open.pass"
    elif place == "sentinel":
        del siem["address"]
        siem["sentinel"] = {"addresses": ["127.0.0.1:1"], "master": "plant", "password_file": "open.pass"}
    else:
        world.proxy.configuration["replay"] = {"redis": {"address": "127.0.0.1:1", "password_file": "open.pass"}}
    world.proxy.write()
    result = run_cli("run", "-c", world.proxy.path, folder=world.proxy.folder)
    assert result.returncode == 1
    assert "can't use the password file" in result.stderr and "chmod 600" in result.stderr
    assert "s3cret" not in result.stderr
