# SPDX-License-Identifier: Apache-2.0
"""mqward sign and verify; the vectors of payload signatures, through the code that the proxy runs."""
import json
import os
import subprocess
import sys
import time

import pytest

from mps1_table import FOLDER, VECTORS, fresh, lines
from servers import run_cli

pytestmark = pytest.mark.brokerless
KEY = "4d745cdc0e80b9cfa5cf43c2793dda28e0c90714db7aec67dbe33e55af5f6da2"  # of plc-7 under m25a
NOW = 1750000000000
TOPIC = "dt/a/plc-7/temp"
KEYS_YAML = """\
version: 1
keys:
  - kid: m25a
    type: master
    alg: HMAC-SHA-256
    secret: {file: m25a.key}
    revoked: [plc-9]
    min_generation: {plc-3: 2}
    test: true
  - {kid: old, type: master, alg: HMAC-SHA-512, secret: {file: old.key}, not_after: 2020-01-01T00:00:00Z}
  - {kid: ops-1, type: static, sub: "op:eva", alg: HMAC-SHA-384, secret: {file: ops-1.key}}
"""


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)


@pytest.fixture
def folder(tmp_path):
    """A device's key in device.key, and a keys.yaml."""
    private(tmp_path / "device.key", KEY + "\n")
    private(tmp_path / "m25a.key", bytes(range(32)).hex())
    private(tmp_path / "old.key", os.urandom(64).hex())
    private(tmp_path / "ops-1.key", os.urandom(48).hex())
    private(tmp_path / "keys.yaml", KEYS_YAML)
    return tmp_path


def run(folder, *arguments, payload=b"", status=0):
    """Standard output, as bytes."""
    result = run_cli(*arguments, folder=folder, text=False, standard_input=payload)
    assert result.returncode == status, (result.stdout + result.stderr).decode(errors="replace")
    assert KEY.encode() not in result.stdout + result.stderr
    return result.stdout if status == 0 else result.stdout + result.stderr


DEVICE = ("--key-file", "device.key", "--topic", TOPIC)


def sign(folder, *arguments, payload=b'{"c":21.5}', status=0):
    return run(folder, "sign", *DEVICE, "--kid", "m25a", "--sub", "plc-7", *arguments, payload=payload, status=status)


def verify(folder, *arguments, payload, status=0):
    return json.loads(run(folder, "verify", "--json", *DEVICE, *arguments, payload=payload, status=status))


# ---- the vectors ----

def test_the_vectors_are_what_the_script_makes(tmp_path):
    subprocess.run([sys.executable, "-B", os.path.join(FOLDER, "make.py"), str(tmp_path)], check=True, timeout=60)
    for name in ("vectors.json", "sign.tsv"):
        with open(os.path.join(FOLDER, name), "rb") as file:
            assert (tmp_path / name).read_bytes() == file.read(), f"{name} is not what make.py writes"


def test_every_vector_is_as_the_table_says(folder):
    names = [vector["name"] for vector in json.load(open(VECTORS, encoding="utf-8"))["vectors"]]
    printed = run(folder, "verify", "--vectors", VECTORS).decode().splitlines()
    assert printed[-1] == f"{VECTORS}: {len(names)} vectors, 0 failed"
    assert [line.split()[1].rstrip(":") for line in printed[:-1]] == names
    assert all(line.startswith("ok ") for line in printed[:-1])
    result = json.loads(run(folder, "verify", "--json", "--vectors", VECTORS))
    assert (result["ok"], result["vectors"], result["failed"]) == (True, len(names), 0)
    assert [row["name"] for row in result["results"]] == names


def test_vectors_that_are_made_now_are_as_good(folder):
    table = fresh()
    (folder / "fresh.json").write_text(json.dumps(table))
    assert abs(table["vectors"][0]["now"] - time.time() * 1000) < 60_000
    assert run(folder, "verify", "--vectors", "fresh.json").decode().splitlines()[-1] == (
        f"fresh.json: {len(table['vectors'])} vectors, 0 failed")


def test_the_vectors_have_every_reason():
    with open(VECTORS, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    found = {step["expect"] for vector in vectors for step in vector.get("steps", [vector])}
    with open(os.path.join(FOLDER, "..", "..", "..", "base", "reason.def"), encoding="utf-8") as file:
        reasons = {line.split("(")[1].split(",")[0] for line in file if line.startswith("REASON(sig_")}
    # Whether a store is away is no matter of messages.
    assert found == reasons - {"sig_store_down"} | {"ok"}


def changed(folder, change):
    """A table whose only vector, the first, was changed."""
    with open(VECTORS, encoding="utf-8") as file:
        table = json.load(file)
    table["vectors"] = table["vectors"][:1]
    change(table, table["vectors"][0])
    (folder / "changed.json").write_text(json.dumps(table))
    return run(folder, "verify", "--vectors", "changed.json", status=1).decode()


@pytest.mark.parametrize("change,says", (
    (lambda vector: vector.update(expect="sig_invalid"), "ok, not sig_invalid"),
    (lambda vector: vector["packet"].update(topic="dt/b"), "sig_invalid, not ok"),
    (lambda vector: vector.update(now=0), "sig_future, not ok"),
    (lambda vector: vector.update(payload="00"), "another payload goes on"),
    (lambda vector: vector["sign"].update(tag="00" * 32), "signing it makes something else"),
    (lambda vector: vector["sign"].update(nonce="00" * 16), "signing it makes something else"),
))
def test_a_vector_that_is_not_so_is_a_finding(folder, change, says):
    lines = changed(folder, lambda _, vector: change(vector)).splitlines()
    assert lines == [f"FAILED  specification-1/envelope: {says}", "changed.json: 1 vectors, 1 failed"]


@pytest.mark.parametrize("change,says", (
    (lambda table, vector: table.update(version=2), "not 'mps1-vectors' of version 1"),
    (lambda table, vector: table.update(vectors=[]), "no vectors"),
    (lambda table, vector: table["keyrings"]["plant"][0].update(secret="0"), "'0' are no hex digits"),
    (lambda table, vector: table["keyrings"]["plant"][0].update(alg="MD5"), "unknown algorithm 'MD5'"),
    (lambda table, vector: vector.update(keyring="none"), "nothing is called 'none'"),
    (lambda table, vector: vector.update(expect="sig_odd"), "unknown result 'sig_odd'"),
    (lambda table, vector: vector.update(more=1), "1 object item(s) left unpacked: more"),
    (lambda table, vector: vector["packet"].pop("qos"), "Object item not found: qos"),
    (lambda table, vector: vector.pop("packet"), "neither steps nor a packet"),
))
def test_a_table_that_is_not_one_is_refused(folder, change, says):
    assert says in changed(folder, change)


@pytest.mark.parametrize("text", ("", "[", "[]", '{"format": "mps1-vectors"}', "\x00"))
def test_what_is_no_table_is_refused(folder, text):
    (folder / "table.json").write_text(text)
    assert b"mqward: table.json: " in run(folder, "verify", "--vectors", "table.json", status=1)


def test_a_table_that_is_not_there(folder):
    assert b"mqward: none.json: " in run(folder, "verify", "--vectors", "none.json", status=1)


# ---- sign ----

def arguments_of(line):
    """The command line for a line of sign.tsv; its key is in the file device.key."""
    arguments = ["--alg", line.algorithm_name, "--kid", line.kid, "--sub", line.sub, "--topic", line.topic,
                 "--time", str(line.t), "--key-file", "line.key"]
    if line.flags & line.SEQ:
        epoch, counter = (int.from_bytes(part, "big") for part in (line.nonce[:8], line.nonce[8:]))
        arguments += ["--seq", f"{epoch}:{counter}"]
    else:
        arguments += ["--nonce", line.nonce.hex()]
    if line.flags & line.PROPS:
        arguments += ["--content-type", line.content_type, "--response-topic", line.response_topic,
                      "--correlation-data", line.correlation_data.hex()]
    return arguments + ["--retain"] * bool(line.flags & line.RETAIN) + ["--will"] * bool(line.flags & line.WILL)


@pytest.mark.parametrize("line", lines(), ids=lambda line: line.name)
def test_signing_makes_what_the_vectors_say(folder, line):
    private(folder / "line.key", line.key.hex())
    arguments = arguments_of(line)
    envelope = run(folder, "sign", *arguments, payload=line.payload)
    assert envelope == line.header + line.payload
    assert run(folder, "sign", *arguments, "--carrier", "property", payload=line.payload) == line.text.encode() + b"\n"


def test_a_signature_has_the_time_and_a_nonce_of_its_own(folder):
    before = int(time.time() * 1000)
    found = [verify(folder, payload=sign(folder))["header"] for _ in range(3)]
    assert all(before <= header["t"] <= int(time.time() * 1000) + 1 for header in found)
    assert len({header["nonce"] for header in found}) == 3


@pytest.mark.parametrize("form,text", (("hex", KEY), ("base64", None), ("raw", None)))
def test_the_forms_of_a_key_file(folder, form, text):
    if form == "base64":
        private(folder / "form.key", "TXRc3A6Auc+lz0PCeT3aKODJBxTbeuxn2+M+Va9fbaI=\n")
    elif form == "raw":
        (folder / "form.key").write_bytes(bytes.fromhex(KEY))
        (folder / "form.key").chmod(0o600)
    else:
        private(folder / "form.key", text.upper())
    fixed = ("--time", str(NOW), "--nonce", "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
    assert sign(folder, *fixed, "--key-file", "form.key", "--key-format", form) == sign(folder, *fixed)


def test_the_payload_of_a_file(folder):
    (folder / "payload").write_bytes(b"\x00\xff")
    fixed = ("--time", str(NOW), "--nonce", "00" * 16)
    assert sign(folder, *fixed, "--payload", "payload") == sign(folder, *fixed, "--payload", "-", payload=b"\x00\xff")


@pytest.mark.parametrize("text,says", (
    ("00" * 31, "too short: 31 bytes, at least 32"),
    (KEY[:-1], "lacks the other one of its byte"),
    ("no hex", "something else than hex digits"),
    ("", "empty"),
))
def test_a_bad_secret_is_not_used(folder, text, says):
    private(folder / "device.key", text)
    assert says.encode() in sign(folder, status=1)


def test_a_secret_that_others_can_read_is_not_used(folder):
    (folder / "device.key").chmod(0o644)
    assert b"device.key" in sign(folder, status=1)


def test_a_property_beside_what_looks_like_an_envelope(folder):
    assert b"it would have two" in sign(folder, "--carrier", "property", payload=b"\xffMPS", status=1)


@pytest.mark.parametrize("arguments,says", (
    (("--topic", "a/#"), "is not a topic to publish to"),
    (("--topic", ""), "is not a topic to publish to"),
    (("--topic", b"\xff"), "is not a topic to publish to"),
    (("--response-topic", "+"), "is not a topic to publish to"),
    (("--kid", "a/b"), "is no name for a key"),
    (("--kid", "k" * 33), "is no name for a key"),
    (("--sub", "s" * 65), "is no signer's name"),
    (("--seq", "1"), "is not EPOCH:COUNTER"),
    (("--seq", "1:-1"), "is not EPOCH:COUNTER"),
    (("--seq", "1:281474976710656"), "must stay below 2^48"),
    (("--seq", "1:1", "--nonce", "00" * 16), "only one of them"),
    (("--nonce", "00" * 15), "are not 32 hex digits"),
    (("--nonce", "00" * 17), "are not 32 hex digits"),
    (("--time", "now"), "are not milliseconds"),
    (("--correlation-data", "0"), "are not the hex digits"),
    (("--carrier", "header"), "neither envelope nor property"),
    (("--alg", "MD5"), "is none of HMAC-SHA-256"),
    (("--key-format", "pem"), "expected hex, base64 or raw"),
    (("--keys", "keys.yaml"), "only one of them"),
    (("more",), "unexpected argument 'more'"),
))
def test_a_wrong_command_line(folder, arguments, says):
    assert says.encode() in sign(folder, *arguments, status=2)


@pytest.mark.parametrize("without,says", (
    ("--topic", "--topic is needed"), ("--kid", "--kid is needed"), ("--sub", "--sub is needed"),
    ("--key-file", "--keys or --key-file is needed"),
))
def test_what_a_signature_needs(folder, without, says):
    given = {"--topic": TOPIC, "--kid": "m25a", "--sub": "plc-7", "--key-file": "device.key"}
    del given[without]
    assert says.encode() in run(folder, "sign", *(word for pair in given.items() for word in pair), status=2)


# ---- with keys.yaml ----

KEYRING = ("--keys", "keys.yaml", "--topic", TOPIC)


def with_keys(folder, *arguments, status=0):
    return run(folder, "sign", *KEYRING, *arguments, payload=b'{"c":21.5}', status=status)


def test_a_master_derives_the_devices_key(folder):
    fixed = ("--time", str(NOW), "--nonce", "00" * 16, "--kid", "m25a", "--sub", "plc-7")
    assert with_keys(folder, *fixed) == sign(folder, *fixed)
    second = with_keys(folder, "--kid", "m25a.2", "--sub", "plc-7")
    assert verify(folder, payload=second, status=1)["reason"] == "sig_invalid"  # another generation, another key
    accepted = json.loads(run(folder, "verify", "--json", *KEYRING, payload=second))
    assert (accepted["ok"], accepted["header"]["kid"]) == (True, "m25a.2")


def test_a_static_key_knows_its_signer_and_its_algorithm(folder):
    signed = with_keys(folder, "--kid", "ops-1")
    header = json.loads(run(folder, "verify", "--json", *KEYRING, payload=signed))["header"]
    assert (header["sub"], header["alg"]) == ("op:eva", "HMAC-SHA-384")


@pytest.mark.parametrize("arguments,status,says", (
    (("--kid", "none"), 1, "keys.yaml has no key 'none'"),
    (("--kid", "m25a"), 2, "--sub is needed"),
    (("--kid", "m25a", "--sub", "plc-9"), 1, "sig_key_revoked"),
    (("--kid", "m25a", "--sub", "plc-3"), 1, "sig_key_revoked"),
    (("--kid", "old", "--sub", "plc-3"), 1, "sig_key_inactive"),
    (("--kid", "ops-1", "--sub", "op:adam"), 1, "sig_identity"),
    (("--kid", "m25a", "--sub", "plc-7", "--alg", "HMAC-SHA-256"), 2, "--alg is for --key-file"),
    (("--kid", "m25a", "--sub", "plc-7", "--key-format", "hex"), 2, "--key-format is for --key-file"),
))
def test_a_key_that_would_be_refused(folder, arguments, status, says):
    assert says.encode() in with_keys(folder, *arguments, status=status)


def test_a_keys_yaml_with_errors(folder):
    private(folder / "keys.yaml", KEYS_YAML.replace("m25a.key", "none.key"))
    assert b"none.key" in with_keys(folder, "--kid", "m25a", "--sub", "plc-7", status=1)


# ---- verify ----

def test_a_sound_signature_is_accepted_in_both_carriers(folder):
    for arguments in ((), ("--retain",), ("--will", "--content-type", "a"), ("--seq", "1:5", "--time", "0")):
        message = [word for word in arguments if word not in ("--seq", "1:5", "--time", "0")]
        assert verify(folder, *message, payload=sign(folder, *arguments))["ok"]
        text = sign(folder, *arguments, "--carrier", "property").decode().strip()
        result = verify(folder, *message, "--property", text, payload=b'{"c":21.5}')
        assert result["ok"] and result["header"]["carrier"] == "property" and result["header"]["payload_bytes"] == 10


def test_what_is_printed_for_people(folder):
    signed = sign(folder, "--time", str(NOW), "--nonce", "a0" * 16, "--retain")
    arguments = ("verify", *DEVICE, "--retain", "--time", str(NOW))
    assert run(folder, *arguments, payload=signed).decode().splitlines() == [
        "accepted", "  carrier    envelope", "  algorithm  HMAC-SHA-256", "  kid        m25a", "  signer     plc-7",
        f"  time       {NOW} (2025-06-15T15:06:40.000000Z)", f"  nonce      {'a0' * 16}", "  flags      RETAIN",
        "  payload    10 bytes"]
    assert run(folder, *arguments, payload=signed + b"x", status=1).decode().splitlines()[0] == (
        "refused: sig_invalid: the signature does not fit the message")
    assert run(folder, *arguments, payload=signed[:40], status=1).decode().splitlines() == [
        "refused: sig_malformed: the signature is malformed (header length)"]


@pytest.mark.parametrize("arguments,reason", (
    (("--topic", "dt/other"), "sig_invalid"),
    (("--retain",), "sig_flags"),
    (("--will",), "sig_flags"),
    (("--content-type", "text/plain"), "sig_props_unsigned"),
    (("--principal", "plc-8"), "sig_identity"),
    (("--alg", "HMAC-SHA-384", "--key-file", "ops-1.key"), "sig_alg"),
    (("--key-file", "m25a.key"), "sig_invalid"),
    (("--replay", "seq"), "sig_replay_mode"),
    (("--time", str(NOW)), "sig_future"),
    (("--max-age", "0"), "sig_expired"),
    (("--property", "AAAA"), "sig_two_carriers"),
))
def test_what_is_wrong_with_a_signature(folder, arguments, reason):
    signed = sign(folder, "--time", str(int(time.time() * 1000) - 1000))
    result = verify(folder, *arguments, payload=signed, status=1)
    assert (result["ok"], result["reason"]) == (False, reason)


def test_no_signature(folder):
    assert verify(folder, payload=b"plain", status=1)["reason"] == "sig_missing"
    assert verify(folder, "--property", "AAAA", payload=b"plain", status=1)["reason"] == "sig_malformed"


def test_as_who_receives_it(folder):
    old = sign(folder, "--time", "1000", "--retain")
    assert verify(folder, payload=old, status=1)["reason"] == "sig_flags"
    assert verify(folder, "--delivery", payload=old)["ok"]
    assert verify(folder, "--delivery", payload=old + b"x", status=1)["reason"] == "sig_invalid"


@pytest.mark.parametrize("arguments,says", (
    (("--replay", "twice"), "expected nonce, seq or none"),
    (("--max-age", "5"), "is not a duration"),
    (("--skew", "-1s"), "is not a duration"),
    (("--time", "x"), "are not milliseconds"),
    (("more",), "unexpected argument"),
))
def test_a_wrong_question(folder, arguments, says):
    assert says.encode() in run(folder, "verify", *DEVICE, *arguments, status=2)
