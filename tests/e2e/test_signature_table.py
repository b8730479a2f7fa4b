# SPDX-License-Identifier: Apache-2.0
"""The whole table of tests/vectors/mps1 through mqward, with the checks that the vectors name: what is accepted arrives
as it was before it was signed, and all else is refused for the reason that the table says."""
import pytest

import raw
from audit import get
from mps1_packets import fits, properties, send_publish, will
from mps1_table import fresh
from played import nothing_came
from signatures import VERSIONS, Key, signed_world

pytestmark = pytest.mark.brokerless

# The check of a vector is picked by the address that its client comes from.
ADDRESSES = {"nonce": "127.0.0.10", "sequence": "127.0.0.11", "when-present": "127.0.0.12"}
RELAYS = {("plc-6", "plc-7"): "127.0.0.20", ("plc-6", "plc-70"): "127.0.0.21"}
POLICY = """\
version: 1
policy: table
identity:
  - broker: {{id: username}}
groups:
{groups}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
checks:
{checks}
audit: {{deny: all, payload: none}}
"""
EDGES = {"future": 20, "oldest": 20}  # seconds that the vector is made ahead of the clock


def policy(document, keyring):
    """Of each check of the table the terms, for the clients of its address."""
    kids = {key["kid"] for key in document["keyrings"][keyring]}
    groups, checks = [], []
    rows = [(name, address, ()) for name, address in ADDRESSES.items()]
    rows += [("nonce", address, relay) for relay, address in RELAYS.items()]
    for number, (name, address, relay) in enumerate(rows):
        terms = document["checks"][name]
        groups.append(f"  g{number}: {{net: [{address}/32]}}\n")
        keys = ", ".join(f'"{kid}"' for kid in terms["keys"] if kid in kids)
        checks.append(f"  - check: {name}{number}\n    who: g{number}\n    topics: \"#\"\n    signature:\n"
                      f"      keys: [{keys}]\n      max_age: {terms['max_age']}ms\n      skew: {terms['skew']}ms\n"
                      f"      replay: {terms['replay']}\n"
                      f"      require: {'always' if terms['required'] else 'when_present'}\n"
                      + (f"      relay: {{g{number}: [{', '.join(relay)}]}}\n" if relay else ""))
    return POLICY.format(groups="".join(groups), checks="".join(checks))


def keys(document, keyring):
    """The table's, whose times are moved away from the moment that the test runs in."""
    later = {"not_before": 3600, "not_after": -3600}
    numbers = {"HMAC-SHA-256": 5, "HMAC-SHA-384": 6, "HMAC-SHA-512": 7}
    return [Key(key["kid"], numbers[key["alg"]], key.get("sub"), bytes.fromhex(key["secret"]),
                {"test": True, **{name: later.get(name, key[name]) for name in
                                  ("not_before", "not_after", "revoked", "min_generation") if name in key}})
            for key in document["keyrings"][keyring]]


def table_world(make_world, document, keyring, **options):
    return signed_world(make_world, keys=keys(document, keyring), text=policy(document, keyring), passwords=None,
                        **options)


def address_of(vector):
    return RELAYS[tuple(vector["relay"])] if "relay" in vector else ADDRESSES[vector["check"]]


def connect(world, version, vector, client_id, **options):
    client = world.client(version, source=address_of(vector))
    client.send(raw.connect(version, client_id, username=vector["principal"] or "plc-7", password=b"x", **options))
    return client


def expected_code(version, packet, reason):
    if packet["will"]:
        return 0 if reason == "ok" else 0x87 if version == raw.V5 else 5
    return 0x87 if version == raw.V5 and reason not in ("ok", "sig_dup_suppressed") else 0


def send(world, version, vector, client_id, clients):
    """Sends the packet of a vector: the code of its answer, and by what the audit knows it."""
    packet = vector["packet"]
    if packet["will"]:
        client = connect(world, version, vector, client_id, will=will(packet))
        code = client.expect(raw.CONNACK).code
        client.reset() if code == 0 else client.expect_closed()
        return code, (client_id, None)
    place = (vector["principal"], address_of(vector))
    if place not in clients:
        clients[place] = connect(world, version, vector, client_id), client_id
        clients[place][0].expect(raw.CONNACK, code=0)
    client, client_id = clients[place]
    packet_id = next(client.identifiers)
    code = send_publish(client, packet, packet_id).code
    return 0 if code == 0x10 else code, (client_id, packet_id)


def refusals(world, count):
    """Signatures that were refused: what the audit knows the packet by, and the reason."""
    events = world.audit.wait_for_count(count, action="mqtt-signature-rejected")
    return [((get(event, "client_id"), get(event, "message_id")), get(event, "reason")) for event in events]


@pytest.fixture
def vectors():
    """Those of one packet, each made for a moment that leaves time to send it."""
    documents = {ahead: fresh(ahead) for ahead in {0, *EDGES.values()}}
    names = [vector["name"] for vector in documents[0]["vectors"]]
    pick = [documents[EDGES.get(name.partition("/")[0], 0)]["vectors"][index] for index, name in enumerate(names)]
    return documents[0], [vector for vector in pick if "packet" in vector]


def arrives(observer, vector):
    """The message as it was before it was signed."""
    packet, message = vector["packet"], observer.message()
    assert (message.topic, message.payload.hex()) == (packet["topic"], vector.get("payload", packet["payload"]))
    assert message.props(raw.USER_PROPERTY) == [
        pair for key, pair in properties(packet) if key == raw.USER_PROPERTY and pair[0] != "mps1"]


def rounds(vectors):
    """Some vectors have the same message: what was accepted once would be a replay."""
    while vectors:
        accepted, first, rest = set(), [], []
        for vector in vectors:
            nonce = vector["sign"]["nonce"] if vector["expect"] == "ok" and "sign" in vector else vector["name"]
            (rest if nonce in accepted else first).append(vector)
            accepted.add(nonce)
        yield first
        vectors = rest


@pytest.mark.parametrize("version, other", ((raw.V311, "property"), (raw.V5, "property"), (raw.V5, "envelope")),
                         ids=("v3.1.1-envelope", "v5.0-envelope", "v5.0-property"))
@pytest.mark.parametrize("keyring", ("plant", "plant-384"))
def test_each_message_of_the_table_is_judged_as_the_table_says(make_world, vectors, version, other, keyring):
    """Not with the other carrier: the same header in both of them is a replay."""
    document, vectors = vectors
    vectors = [vector for vector in vectors if vector["keyring"] == keyring and fits(vector["packet"], version)
               and not vector["name"].endswith(f"/{other}")]
    vectors.sort(key=lambda vector: vector["name"].startswith("sequence-last"))  # no counter comes after it
    refused = 0
    for some in rounds(vectors):
        world = table_world(make_world, document, keyring)
        observer, clients, wanted = world.observer("#", qos=1), {}, {}
        for number, vector in enumerate(some):
            code, key = send(world, version, vector, f"sender-{number}", clients)
            assert code == expected_code(version, vector["packet"], vector["expect"]), vector["name"]
            if vector["expect"] == "ok":
                arrives(observer, vector)
            else:
                wanted[key] = vector["expect"], vector["name"]
        found = dict(refusals(world, len(wanted)))
        assert not [(name, found.get(key)) for key, (reason, name) in wanted.items() if found.get(key) != reason]
        assert len(found) == len(wanted)
        assert world.arrived(observer, *(client for client, _ in clients.values())) == []
        refused += len(wanted)
    assert keyring != "plant" or (refused > 60 and len(vectors) - refused > 25)


# ---- one after the other ----

STEPS = [vector["name"] for vector in fresh()["vectors"] if "steps" in vector]


def part(client, broker):
    client.reset()
    broker.expect_closed()
    broker.abort()


def play(world, version, vector, client_id, step):
    """A step with a client that connects anew; what came of it: "ok" or a reason."""
    packet = step["packet"]
    known = len(world.audit.all(action="mqtt-signature-rejected"))
    client = connect(world, version, vector, client_id, clean=False)
    broker, _ = world.fake.accept_session()
    client.expect(raw.CONNACK, code=0)
    payload = bytes.fromhex(packet["payload"])
    client.send(raw.publish(version, packet["topic"], payload, packet["qos"], packet["retain"], packet["dup"],
                            7 if packet["qos"] else None, properties(packet)))
    if step["expect"] == "ok":
        message = broker.message(acknowledge=step["acknowledged"])
        assert message.payload.endswith(payload[-9:]) and (message.dup, message.qos) == (packet["dup"], packet["qos"])
        if step["acknowledged"] and packet["qos"]:
            client.expect(raw.PUBACK, packet_id=7)
        part(client, broker)
        return "ok"
    if packet["qos"]:
        assert client.expect(raw.PUBACK, packet_id=7).code == expected_code(version, packet, step["expect"])
    nothing_came(broker, client)
    part(client, broker)
    return refusals(world, known + 1)[-1][1]


@VERSIONS
@pytest.mark.parametrize("names", [STEPS[at:at + 9] for at in range(0, len(STEPS), 9)], ids=lambda names: names[0])
def test_packets_one_after_the_other(make_world, version, names):
    """The proxy of each vector is a new one: they use the same nonces and counters."""
    document = fresh()
    world = table_world(make_world, document, "plant", broker="fake")
    for vector in document["vectors"]:
        if vector["name"] not in names:
            continue
        steps = [step for step in vector["steps"] if step["now"] == document["vectors"][0]["now"]]
        if not all(fits(step["packet"], version) for step in steps):
            continue
        for number, step in enumerate(steps):
            assert play(world, version, vector, "one", step) == step["expect"], (vector["name"], number)
        world.proxy.terminate()
        world.proxy.start()
