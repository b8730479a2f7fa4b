# SPDX-License-Identifier: Apache-2.0
"""Keys of payload signatures: mqward keys, what check says of keys.yaml, and the running proxy with them."""
import base64
import datetime
import hmac
import json
import os
import secrets
import signal
import stat
import subprocess

import pytest

from audit import get
from servers import binary, run_cli, sanitizer_environment, wait_until

pytestmark = pytest.mark.brokerless

SIZES = {"HMAC-SHA-256": 32, "HMAC-SHA-384": 48, "HMAC-SHA-512": 64}
NUMBERS = {"HMAC-SHA-256": 5, "HMAC-SHA-384": 6, "HMAC-SHA-512": 7}


def derive(master, kid, sub, alg="HMAC-SHA-256", label=b"MPS1 device\0"):
    """RFC 5869 with SHA-256 and an empty salt, as the specification has it."""
    info = label + bytes([NUMBERS[alg], len(kid)]) + kid.encode() + bytes([len(sub)]) + sub.encode()
    extracted = hmac.digest(b"\0" * 32, master, "sha256")
    block, result = b"", b""
    for counter in range(1, 4):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        result += block
    return result[:SIZES[alg]]


def day(offset):
    """A time so many days from now, as keys.yaml has it."""
    time = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Keys:
    """A folder with keys.yaml and its secrets."""

    def __init__(self, path):
        self.path = str(path)
        self.secrets = {}
        self.lines = []

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.path, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)

    def add(self, kid, more="", *, kind="master", alg="HMAC-SHA-256", secret=None):
        self.secrets[kid] = secret or secrets.token_bytes(SIZES[alg])
        self.file(f"{kid}.key", self.secrets[kid].hex() + "\n")
        self.lines.append(f"  - {{kid: {kid}, type: {kind}, alg: {alg}, secret: {{file: {kid}.key}}{more}}}\n")
        return self

    def write(self, mode=0o600):
        self.file("keys.yaml", "version: 1\nkeys:\n" + "".join(self.lines), mode)
        return self

    def run(self, verb, *arguments, **options):
        file = () if verb == "new" else ("--keys", "keys.yaml")
        return run_cli("keys", verb, *file, *arguments, folder=self.path, **options)

    def derive(self, *arguments, **options):
        return self.run("derive", *arguments, **options)

    def hides(self, text):
        """No secret of the folder is in the text, in any form."""
        for secret in self.secrets.values():
            for form in (secret.hex(), base64.b64encode(secret).decode()):
                assert form[:16] not in text and form[-24:-8] not in text
        return True


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


# ---- new ----

@pytest.mark.parametrize("alg", SIZES)
def test_a_new_key_is_random_hex_in_a_private_file(keys, alg):
    texts = set()
    for name in ("a.key", "b.key"):
        result = keys.run("new", "--out", name, "--alg", alg)
        assert result.returncode == 0, result.stderr
        path = os.path.join(keys.path, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with open(path, encoding="ascii") as file:
            text = file.read()
        assert text.endswith("\n") and len(bytes.fromhex(text)) == SIZES[alg] and text == text.lower()
        assert text.strip() not in result.stdout + result.stderr
        texts.add(text)
    assert len(texts) == 2


def test_a_key_is_never_overwritten(keys):
    keys.file("a.key", "precious")
    result = keys.run("new", "--out", "a.key", "--print")
    assert result.returncode == 1 and result.stdout == ""
    assert "a.key" in result.stderr
    with open(os.path.join(keys.path, "a.key"), encoding="ascii") as file:
        assert file.read() == "precious"


def test_print_shows_the_key_that_was_written(keys):
    result = keys.run("new", "--out", "a.key", "--print")
    with open(os.path.join(keys.path, "a.key"), encoding="ascii") as file:
        assert file.read() == result.stdout
    result = keys.run("new", "--print")
    assert result.returncode == 0 and len(bytes.fromhex(result.stdout)) == 32
    assert sorted(os.listdir(keys.path)) == ["a.key"]


@pytest.mark.parametrize("arguments", (
    ["new"], ["new", "--print", "--alg", "HMAC-MD5"], ["new", "--print", "x"], ["derive"], ["derive", "--kid", "a"],
    ["derive", "--kid", "a", "--sub", "b", "--subs", "c"], ["derive", "--sub", "b"], ["list", "x"], ["lst"], [],
), ids=" ".join)
def test_a_wrong_command_line(keys, arguments):
    result = run_cli("keys", *arguments, folder=keys.path)
    assert result.returncode == 2 and result.stdout == "" and result.stderr


def test_what_new_makes_is_what_keys_yaml_takes(keys):
    for kid, alg in (("m25a", "HMAC-SHA-256"), ("m25b", "HMAC-SHA-512")):
        assert keys.run("new", "--out", f"{kid}.key", "--alg", alg).returncode == 0
        keys.lines.append(f"  - {{kid: {kid}, type: static, sub: eva, alg: {alg}, secret: {{file: {kid}.key}}}}\n")
    result = keys.write().run("list")
    assert result.returncode == 0 and result.stderr == ""


# ---- derive ----

@pytest.mark.parametrize("alg, kid, sub, key", (
    ("HMAC-SHA-256", "m25a", "plc-7", "4d745cdc0e80b9cfa5cf43c2793dda28e0c90714db7aec67dbe33e55af5f6da2"),
    ("HMAC-SHA-384", "m25a.2", "gw-1",
     "c867adcd2f5a264db145b5fb6a3f5eb8afb03851822b7d8b5511eb527a36c9296543037e767627bac805790113953429"),
), ids=("V1", "V2"))
def test_derived_keys_are_those_of_the_specification(keys, alg, kid, sub, key):
    keys.add("m25a", ", test: true", alg=alg, secret=bytes(range(32))).write()
    result = keys.derive("--kid", kid, "--sub", sub)
    assert result.stdout == key + "\n" and result.returncode == 0
    assert "is for tests" in result.stderr
    assert derive(bytes(range(32)), kid, sub, alg).hex() == key


@pytest.mark.parametrize("alg", SIZES)
@pytest.mark.parametrize("kid", ("m25a", "m25a.1", "m25a.2", "m25a.4294967295"))
def test_derived_keys_are_those_of_another_implementation(keys, alg, kid):
    keys.add("m25a", alg=alg).write()
    result = keys.derive("--kid", kid, "--sub", "op:eva@plant-1")
    assert result.stdout == derive(keys.secrets["m25a"], kid, "op:eva@plant-1", alg).hex() + "\n", result.stderr
    result = keys.derive("--kid", kid, "--sub", "op:eva@plant-1", "--egress")
    assert result.stdout == derive(keys.secrets["m25a"], kid, "op:eva@plant-1", alg, b"MPS1 egress\0").hex() + "\n"


def test_many_devices_at_once(keys):
    keys.add("m25a").write()
    names = [f"plc-{number}" for number in range(500)]
    result = keys.derive("--kid", "m25a", "--subs", "-", standard_input="\r\n".join(names + ["", ""]).encode())
    assert result.returncode == 0, result.stderr
    expected = [f"m25a,{name},HMAC-SHA-256,device,{derive(keys.secrets['m25a'], 'm25a', name).hex()}" for name in names]
    assert result.stdout.splitlines() == ["kid,sub,alg,use,key", *expected]
    keys.file("devices.txt", "\n".join(names))
    result = keys.derive("--kid", "m25a", "--subs", "devices.txt", "--json", "--egress", "--out", "keys.json")
    assert result.returncode == 0 and result.stdout == "", result.stderr
    path = os.path.join(keys.path, "keys.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="ascii") as file:
        rows = [json.loads(line) for line in file]
    assert rows == [{"kid": "m25a", "sub": name, "alg": "HMAC-SHA-256", "use": "egress",
                     "key": derive(keys.secrets["m25a"], "m25a", name, label=b"MPS1 egress\0").hex()} for name in names]
    result = keys.derive("--kid", "m25a", "--subs", "devices.txt", "--out", "keys.json")
    assert result.returncode == 1 and "is there already" in result.stderr


def test_one_bad_device_and_no_key_is_written(keys):
    keys.add("m25a", ", revoked: [plc-9], min_generation: {plc-3: 2}").write()
    lines = b"plc-1\nplc 2\n\nplc-9\n" + b"x" * 65 + b"\n\x1b[31m\nplc-3\nplc-4\n"
    result = keys.derive("--kid", "m25a", "--subs", "-", "--out", "keys.csv", standard_input=lines)
    assert result.returncode == 1 and result.stdout == ""
    assert "keys.csv" not in os.listdir(keys.path)
    for line in (2, 4, 5, 6, 7):
        assert f"mqward: -:{line}: " in result.stderr
    assert result.stderr.count("mqward:") == 5 and "\x1b" not in result.stderr


@pytest.mark.parametrize("kid, sub, message", (
    ("m25a", "plc-9", "revoked"),
    ("m25a.7", "plc-9", "revoked"),
    ("m25a", "plc-3", "generation"),
    ("m25a.02", "plc-3", "no key"),
    ("m25a.0", "plc-1", "no key"),
    ("m25b", "plc-1", "did you mean 'm25a'"),
    ("ops-1", "op:eva", "static"),
    ("ops-1.2", "op:eva", "no key"),
    ("old", "plc-1", "not valid any more"),
    ("m25a", "", "not a signer's name"),
    ("m25a", "a/b", "not a signer's name"),
))
def test_what_is_not_derived(keys, kid, sub, message):
    keys.add("m25a", ", revoked: [plc-9], min_generation: {plc-3: 2}").add("ops-1", ', sub: "op:eva"', kind="static")
    keys.add("old", ", not_after: 2024-01-01T00:00:00Z").write()
    result = keys.derive("--kid", kid, "--sub", sub)
    assert result.returncode == 1 and result.stdout == ""
    assert message in result.stderr
    assert keys.hides(result.stderr)


def test_what_is_derived_all_the_same(keys):
    keys.add("m25a", ", min_generation: {plc-3: 2}").add("next", f", not_before: {day(7)}").write()
    for kid, sub, master in (("m25a.2", "plc-3", "m25a"), ("m25a.3", "plc-3", "m25a"), ("next", "plc-1", "next")):
        assert keys.derive("--kid", kid, "--sub", sub).stdout == derive(keys.secrets[master], kid, sub).hex() + "\n"


def test_a_full_disk_is_an_error(keys):
    keys.add("m25a").write()
    with open("/dev/full", "w", encoding="ascii") as full:
        command = [binary(), "keys", "derive", "--keys", "keys.yaml", "--kid", "m25a", "--sub", "a"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=keys.path, timeout=60, check=False,
                                env=sanitizer_environment(keys.path))
    assert result.returncode == 1 and b"can't be written" in result.stderr


# ---- list ----

def test_list_tells_all_but_secrets(keys):
    end = day(400)
    keys.add("m25a", f", not_after: {end}, revoked: [a, b], min_generation: {{c: 2}}")
    keys.add("ops-1", f', sub: "op:eva", not_before: {day(5)}', kind="static", alg="HMAC-SHA-512")
    keys.add("old", ", not_after: 2024-01-01T00:00:00Z, test: true").write()
    result = keys.run("list", "--json")
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert [finding["severity"] for finding in document["findings"]] == ["warning", "warning"]
    rows = {row["kid"]: row for row in document["keys"]}
    assert rows["m25a"].pop("not_after") == end
    assert rows["m25a"] == {"kid": "m25a", "type": "master", "alg": "HMAC-SHA-256", "sub": None, "state": "valid",
                            "not_before": None, "revoked": 2, "min_generation": 1, "test": False}
    assert rows["ops-1"]["sub"] == "op:eva" and rows["ops-1"]["state"] == "not yet"
    assert rows["old"]["state"] == "expired" and rows["old"]["test"] is True
    text = keys.run("list")
    assert all(kid in text.stdout for kid in rows) and "op:eva" in text.stdout
    assert keys.hides(result.stdout + result.stderr + text.stdout + text.stderr)


def test_list_of_a_bad_file(keys):
    keys.add("m25a").write(mode=0o640)
    result = keys.run("list")
    assert result.returncode == 1 and result.stdout == "" and "chmod 600" in result.stderr
    result = keys.run("list", "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert document["ok"] is False and document["keys"] == [] and "mode 640" in document["findings"][0]["message"]


# ---- check ----

CONFIGURATION = """\
version: 1
policy: policy.yaml
keys: keys.yaml
listeners: [{address: "127.0.0.1:0", plaintext: true}]
upstreams: [{name: main, address: "127.0.0.1:1883"}]
audit: {directory: audit}
"""
POLICY = """\
version: 1
policy: p
identity: [{anonymous: {}}]
rules: [{rule: r, who: everyone, allow: publish, topics: [a/b]}]
"""


def check(keys, *arguments):
    keys.file("mqward.yaml", CONFIGURATION)
    keys.file("policy.yaml", POLICY)
    return run_cli("check", "-c", "mqward.yaml", *arguments, folder=keys.path)


def test_check_reads_the_keys(keys):
    result = check(keys.add("m25a").write())
    assert result.returncode == 0, result.stderr
    assert "0 errors" in result.stdout


@pytest.mark.parametrize("break_it, message", (
    (lambda keys: keys.write(mode=0o644), "mqward.yaml:3:7: error: cannot use 'keys.yaml': it is open to other users"),
    (lambda keys: os.chmod(os.path.join(keys.path, "m25a.key"), 0o604), "keys.yaml:3:"),
    (lambda keys: os.remove(os.path.join(keys.path, "m25a.key")), "No such file"),
    (lambda keys: os.remove(os.path.join(keys.path, "keys.yaml")),
     "mqward.yaml:3:7: error: cannot use 'keys.yaml': No such file"),
    (lambda keys: keys.file("m25a.key", keys.secrets["m25a"].hex()[:62]), "too short: 31 bytes"),
    (lambda keys: keys.file("m25a.key", keys.secrets["m25a"].hex() + "x"), "something else than hex"),
    (lambda keys: keys.file("keys.yaml", f"version: 1\nkeys:\n  - {{kid: {keys.secrets['m25a'].hex()}}}\n"),
     "is not a name for a key"),
    (lambda keys: keys.file("keys.yaml", f"version: 1\nkeys: {keys.secrets['m25a'].hex()}\n"),
     "keys.yaml:2:7: error: keys: expected a list"),
), ids=("mode of keys.yaml", "mode of a secret", "no secret", "no keys.yaml", "short", "not hex", "secret as kid",
        "secret as keys"))
def test_check_refuses_bad_keys_and_quotes_none(keys, break_it, message):
    keys.add("m25a").write()
    break_it(keys)
    result = check(keys)
    assert result.returncode == 1
    assert message in result.stderr, result.stderr
    assert keys.hides(result.stdout + result.stderr)
    result = check(keys, "--json")
    assert result.returncode == 1 and keys.hides(result.stdout)
    result = run_cli("run", "-c", "mqward.yaml", folder=keys.path)
    assert result.returncode == 1 and keys.hides(result.stderr), "run accepts what check refuses"


def test_check_warns_of_keys_that_end(keys):
    result = check(keys.add("m25a", f", not_after: {day(20)}").add("old", ", not_after: 2024-01-01T00:00:00Z").write())
    assert result.returncode == 0
    assert "key 'm25a' is valid for 19 days more" in result.stderr
    assert "key 'old' is not valid any more" in result.stderr
    assert "0 errors, 2 warnings" in result.stdout


def test_the_reference_is_printed(keys):
    result = run_cli("reference", "keys", folder=keys.path)
    assert result.returncode == 0 and "| `min_generation` |" in result.stdout


# ---- the running proxy ----

@pytest.fixture
def make_keyed_world(make_world):
    """A world whose proxy has keys; fill(keys) says which."""
    def make(fill):
        world = make_world(broker=False, start=False, configuration={"keys": "keys.yaml"})
        world.keys = Keys(world.proxy.folder)
        fill(world.keys)
        world.keys.write()
        world.proxy.start()
        return world
    return make


def reload(world, event):
    count = len(world.proxy.logged(event))
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: len(world.proxy.logged(event)) > count, f"{event!r} in the log")


def test_a_key_that_ends_soon_is_logged_and_audited(make_keyed_world):
    end, late = day(10), day(40)
    world = make_keyed_world(lambda keys: keys.add("soon", f", not_after: {end}").add("late", f", not_after: {late}"))
    event = world.audit.wait_for(action="key-expiring")
    assert get(event, "reason") == "key_expiring"
    assert f"key 'soon' is valid until {end}" in event["message"]
    logged = world.proxy.logged("a signature key is not valid much longer")
    assert [(line["kid"], line["not_after"]) for line in logged] == [("soon", end)]
    world.keys.lines[1] = world.keys.lines[1].replace(late, day(29))
    world.keys.write()
    reload(world, "reloaded")
    events = world.audit.wait_for_count(3, action="key-expiring")
    assert sorted(event["message"].split("'")[1] for event in events) == ["late", "soon", "soon"]
    assert world.keys.hides(world.proxy.output() + json.dumps(events))


def memory_has(process, secret):
    """Is it in the memory of the process? The shadow memory of sanitizers, terabytes, is left out."""
    with open(f"/proc/{process}/maps", encoding="ascii") as file:
        maps = [line.split()[:2] for line in file]
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for place, mode in maps:
            begin, end = (int(number, 16) for number in place.split("-"))
            if mode[1] != "w" or end - begin > 4 << 30:
                continue
            for start in range(begin, end, 1 << 20):
                memory.seek(start)
                try:
                    found = memory.read(min(1 << 20, end - start) + len(secret))
                except OSError:  # gone meanwhile
                    break
                if secret in found:
                    return True
    return False


def test_a_master_that_was_taken_out_is_gone_from_memory(make_keyed_world):
    world = make_keyed_world(lambda keys: keys.add("m25a").add("m26a"))
    process = world.proxy.process.pid
    assert memory_has(process, world.keys.secrets["m25a"]), "the test does not find what is there"
    world.keys.lines = [line for line in world.keys.lines if "m25a" not in line]
    world.keys.write()
    reload(world, "reloaded")
    wait_until(lambda: not memory_has(process, world.keys.secrets["m25a"]), "the end of the old keys")
    assert not memory_has(process, world.keys.secrets["m25a"].hex().encode())
    assert memory_has(process, world.keys.secrets["m26a"])


def test_a_reload_takes_new_keys_and_refuses_bad_ones(make_keyed_world):
    world = make_keyed_world(lambda keys: keys.add("m25a"))
    refused = "not reloaded: what was in force stays"
    world.keys.add("m26a").write()
    reload(world, "reloaded")
    os.chmod(os.path.join(world.keys.path, "m26a.key"), 0o644)
    reload(world, refused)
    event = world.audit.wait_for(action="policy-rejected")
    assert "m26a.key' cannot be used: it is open to other users of this machine" in str(event)
    os.chmod(os.path.join(world.keys.path, "m26a.key"), 0o600)
    reload(world, "reloaded")
    world.keys.write(mode=0o660)
    reload(world, refused)
    errors = world.proxy.logged("an error")
    assert any("mqward.yaml:" in line["place"] and "mode 660" in line["finding"] for line in errors)
    world.keys.write()
    world.keys.file("m25a.key", world.keys.secrets["m26a"].hex())
    reload(world, refused)
    assert any("has the same secret as key" in line["finding"] for line in world.proxy.logged("an error"))
    assert world.keys.hides(world.proxy.output())
