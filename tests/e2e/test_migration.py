# SPDX-License-Identifier: Apache-2.0
"""The policies of docs/policy-migration.md let through what the acl_file above them lets through: the same requests of the
same clients, to Mosquitto with the acl_file and to mqward with the policy."""
import os
import re
import textwrap

import pytest
import yaml

import raw
from brokers.mosquitto import Mosquitto
from peer import Client, dial

pytestmark = pytest.mark.brokerless

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ACL_FILE = re.compile(r"^<!-- acl_file of (\S+\.yaml) -->\n\n((?:(?:    .*)?\n)+)", re.M)
PASSWORDS = {"eva": "secret", "adam": "secret", "backend": "secret", "observer": "secret"}
# (user name, client identifier): the identifiers fit the policies that bind them.
CLIENTS = (("eva", "eva-phone"), ("eva", "eva-2"), ("adam", "adam-phone"), ("backend", "backend-1"), (None, "guest-1"))


def pairs():
    with open(os.path.join(ROOT, "docs", "policy-migration.md"), encoding="utf-8") as file:
        return [(name, textwrap.dedent(block)) for name, block in ACL_FILE.findall(file.read())]


def policy_of(name):
    with open(os.path.join(ROOT, "tests", "policies", "good", name), encoding="utf-8") as file:
        return file.read()


def topics_of(acl_file, policy):
    """Topics at, below and beside each filter of both; $SYS is the broker's own, nobody can publish there."""
    filters = {line.split()[-1] for line in acl_file.splitlines() if line.startswith(("topic", "pattern"))}
    for rule in yaml.safe_load(policy)["rules"]:
        filters.update(rule["topics"])
    names = {"%u", "<id>", "%c", "<client_id>"}
    values = sorted({value for client in CLIENTS for value in client if value} | {"x"})
    topics = {"other", "other/x"}
    for item in filters:
        if item.startswith("$"):
            continue
        for value in values if names & set(item.split("/")) else ("x",):
            base = "/".join(value if level in names | {"+"} else level for level in item.split("/") if level != "#")
            topics.update((base, f"{base}/x", f"{base}/x/y", f"{base}x"))
    return sorted(topics)


def clients_of(policy):
    anonymous = any("anonymous" in source for source in yaml.safe_load(policy)["identity"])
    return [client for client in CLIENTS if client[0] or anonymous]


def connect(port, user, client_id):
    client = Client(dial(("127.0.0.1", port)), raw.V5)
    client.connect(client_id, **({"username": user, "password": PASSWORDS[user]} if user else {}))
    return client


def may_publish(port, user, client_id, topic):
    """Each on a connection of its own: Mosquitto 2.0.11 closes it at the publish after one that was denied."""
    with connect(port, user, client_id) as client:
        client.send(raw.publish(raw.V5, topic, b"x", qos=1, packet_id=1))
        answer = client.expect(raw.PUBACK)
        client.disconnect()
        return answer.code in (0, 0x10)


def receives(port, observer, user, client_id, topics):
    with connect(port, user, client_id) as client:
        for index, topic in enumerate(topics):
            client.send(raw.subscribe(raw.V5, index + 1, [(topic, 0)]))
            client.expect(raw.SUBACK)
        for topic in topics:
            observer.publish(topic, b"x", qos=1)
        client.send(raw.pingreq())
        found = set()
        for packet in iter(client.receive, None):
            if packet.type == raw.PINGRESP:
                client.disconnect()
                return found
            found.add(packet.topic)
        raise AssertionError("closed instead of PINGRESP")


def outcomes(port, observer, clients, topics):
    found = set()
    for user, client_id in clients:
        found.update((client_id, "publish", topic) for topic in topics if may_publish(port, user, client_id, topic))
        found.update((client_id, "receive", topic) for topic in receives(port, observer, user, client_id, topics))
    return found


def outcomes_of_mosquitto(folder, acl_file, clients, topics):
    path = os.path.join(folder, "acl_file")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{acl_file}\nuser observer\ntopic readwrite #\n")
    broker = Mosquitto(folder, passwords=PASSWORDS, extra=(f"acl_file {path}", "allow_anonymous true")).start()
    try:
        with connect(broker.port, "observer", "observer") as observer:
            return outcomes(broker.port, observer, clients, topics)
    finally:
        broker.stop()


@pytest.mark.parametrize("name,acl_file", [pytest.param(*pair, id=pair[0]) for pair in pairs()])
def test_a_policy_decides_as_the_acl_file(make_world, tmp_path, name, acl_file):
    policy = policy_of(name)
    clients, topics = clients_of(policy), topics_of(acl_file, policy)
    expected = outcomes_of_mosquitto(str(tmp_path), acl_file, clients, topics)
    world = make_world(policy, redis=False, passwords=PASSWORDS)
    actual = outcomes(world.proxy.ports["plain"], world.direct(), clients, topics)
    assert actual - expected == set(), "mqward lets more through"
    assert expected - actual == set(), "mqward lets less through"
    requests = len(clients) * len(topics) * 2
    assert 5 <= len(expected) < requests / 2, f"{len(expected)} of {requests} prove little"


def test_every_acl_file_of_the_page_is_tried():
    assert {name for name, _ in pairs()} == {"migration-users.yaml", "migration-patterns.yaml", "migration-anonymous.yaml"}
