# SPDX-License-Identifier: Apache-2.0
"""The signers that developers of devices start from: each makes what the vectors say, and publishes it through mqward
with the client that they use."""
import json
import subprocess

import pytest

import raw
from audit import get
from mps1_table import TABLE, lines
from servers import run_cli
from signatures import Key, events, payloads, policy, signed, signed_world
from signers import PROGRAMS, TIMEOUT, Device

KEY = bytes.fromhex("4d745cdc0e80b9cfa5cf43c2793dda28e0c90714db7aec67dbe33e55af5f6da2")  # of plc-7 under m25a
DEVICE = Device("m25a", "plc-7", KEY)
FORGER = Device("m25a", "plc-7", bytes(32))
MASTER = Key("m25a", secret=bytes(range(32)), more={"test": True})
PASSWORDS = {"plc-7": "secret"}
TOPIC = "dt/a/plc-7/temp"
PAYLOAD = '{"c":21.5,"unit":"\u00b0C"}'
each_signer = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """programs(signer, name): the command line of one of its programs, built once."""
    folder, built = str(tmp_path_factory.mktemp("signers")), {}

    def get(signer, name):
        if (signer, name) not in built:
            built[signer, name] = PROGRAMS[signer](name, folder)
        return built[signer, name]
    return get


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world()


@pytest.fixture(scope="module")
def checked(make_shared_world):
    """A world with a check; the device shows its certificate, or has a password."""
    cert = '  - cert: {ca: fleet, id: san.uri, strip: "urn:dev:"}\n'
    text = policy(signed()).replace("identity:\n", "identity:\n" + cert)
    return signed_world(make_shared_world, text=text, keys=(MASTER,), passwords=PASSWORDS)


# ---- the vectors; those of mqward sign, which the shell uses, are in test_sign.py ----

@pytest.mark.brokerless
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "shell"])
def test_a_signer_makes_what_the_vectors_say(programs, name):
    result = subprocess.run([*programs(name, "vectors"), TABLE], capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    assert (result.returncode, result.stdout) == (0, f"{len(lines())} vectors, 0 failed\n"), result.stderr


@pytest.mark.brokerless
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "shell"])
def test_a_signers_own_test_can_fail(programs, tmp_path, name):
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    table = tmp_path / "wrong.tsv"
    table.write_text(text[:-2] + ("1" if text[-2] == "0" else "0") + "\n")
    result = subprocess.run([*programs(name, "vectors"), str(table)], capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [f"FAILED {lines()[-1].name}", f"{len(lines())} vectors, 1 failed"]


# ---- through mqward ----

def login(world, tls):
    """How the device shows who it is."""
    if not tls:
        return {"password": PASSWORDS["plc-7"]}
    return {"tls": {"ca": world.certs.server_ca.path, "cert": world.certs.plc7[0], "key": world.certs.plc7[1]}}


@each_signer
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=lambda version: f"v{raw.VERSION_NAMES[version]}")
def test_mqward_takes_what_a_signer_publishes(checked, programs, tmp_path, name, version, tls):
    """And not what the same program publishes with another key."""
    observer = checked.observer("dt/#", qos=1)
    place = (programs(name, "publish"), str(tmp_path), checked.proxy.ports["tls" if tls else "plain"], version, TOPIC)
    result = DEVICE.publish(*place, PAYLOAD, **login(checked, tls))
    assert result.returncode == 0, result.stdout + result.stderr
    known = len(checked.audit.all(reason="sig_invalid"))
    FORGER.publish(*place, "forged", **login(checked, tls))
    event = events(checked, "sig_invalid", known + 1)[known]
    assert (get(event, "signer"), get(event, "kid"), get(event, "user")) == ("plc-7", "m25a", "plc-7")
    assert payloads(checked.arrived(observer)) == [PAYLOAD.encode()]
    assert len(checked.audit.all(action="mqtt-signature-rejected")) == known + 1


def what_arrives(world, tmp_path, message):
    """What mqward verify says of a message that the observer has got; its payload in tmp_path/payload."""
    (tmp_path / "payload").write_bytes(message.payload)
    pairs = dict(message.props(raw.USER_PROPERTY))
    carrier = ["--property", pairs["mps1"]] if "mps1" in pairs else []
    result = run_cli("verify", "--json", "--key-file", "device.key", "--topic", message.topic, "--payload", "payload",
                     *carrier, folder=tmp_path)
    return json.loads(result.stdout)


@each_signer
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=lambda version: f"v{raw.VERSION_NAMES[version]}")
def test_a_signer_publishes_through_mqward(world, programs, tmp_path, name, version, tls):
    certificate = {"ca": world.certs.server_ca.path, "cert": world.certs.plc7[0], "key": world.certs.plc7[1]}
    observer = world.observer("dt/#", qos=1)
    result = DEVICE.publish(programs(name, "publish"), str(tmp_path), world.proxy.ports["tls" if tls else "plain"],
                            version, TOPIC, PAYLOAD, tls=certificate if tls else None)
    assert result.returncode == 0, result.stdout + result.stderr
    (message,) = [message for message in world.arrived(observer) if message.topic == TOPIC]
    found = what_arrives(world, tmp_path, message)
    assert found["ok"], found
    assert found["header"]["carrier"] == ("property" if version == raw.V5 else "envelope")
    assert (found["header"]["kid"], found["header"]["sub"]) == ("m25a", "plc-7")
    assert message.payload.endswith(PAYLOAD.encode())
