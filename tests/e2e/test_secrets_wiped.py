# SPDX-License-Identifier: Apache-2.0
"""No secret of keys.yaml, and nothing that was made from one, is left in memory once it is not needed any more; and
while it is, a core dump would not hold it. What is looked for: see forms_of_key()."""
import base64
import contextlib
import ctypes
import hmac
import json
import os
import secrets
import signal
import struct
import subprocess

import pytest

import memory
import raw
from servers import binary, sanitizer_environment, wait_until
from signatures import REFUSED, Key, Signer, publish, signed_world, user, write_keys

pytestmark = pytest.mark.brokerless

LARGEST_AT_CALL = 256 << 10  # bytes of a mapping that is looked through at each system call
# The first constants of SHA-256 and SHA-512.
K256 = (0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5)
K512 = (0x428A2F98D728AE22, 0x7137449123EF65CD)


# ---- what is looked for ----

def hash_state(alg, block):
    """OpenSSL's state of the hash behind this block, as it is in the memory of whoever has begun with it."""
    crypto = ctypes.CDLL("libcrypto.so.3")
    context = ctypes.create_string_buffer(256)
    bits, size = {5: (256, 32), 6: (384, 64), 7: (512, 64)}[alg]
    getattr(crypto, f"SHA{bits}_Init")(context)
    getattr(crypto, f"SHA{bits}_Update")(context, block, ctypes.c_size_t(len(block)))
    return context.raw[:size]


def schedules(block):
    """The first words of a block in the message schedules of SHA-256 and SHA-512, with the constants added, as the
    assembly of OpenSSL has them on the stack: as good as the block itself."""
    small, large = struct.unpack(">4I", block[:16]), struct.unpack(">2Q", block[:16])
    return [struct.pack("<4I", *((word + constant) % 2**32 for word, constant in zip(small, K256))),
            struct.pack("<2Q", *((word + constant) % 2**64 for word, constant in zip(large, K512)))]


def forms_of_key(alg, key):
    """A key in all that may be left of it: itself, as it is written, and what HMAC makes of it."""
    padded = key.ljust(64 if alg == 5 else 128, b"\0")
    blocks = [bytes(byte ^ mask for byte in padded) for mask in (0x36, 0x5C)]
    return {"raw": memory.pieces(key), "hex": memory.pieces(key.hex().encode()),
            "base64": memory.pieces(base64.b64encode(key)[:len(key) // 3 * 4]),
            "padded": [piece for block in blocks for piece in memory.pieces(block[:len(key)])],
            "states": [piece for block in blocks for piece in memory.pieces(hash_state(alg, block))],
            "schedules": [piece for block in (key, *blocks) for piece in schedules(block)]}


def needles_of(keys, sub):
    """{"kid form": [bytes]} of keys of keys.yaml, and of what is derived from them for sub."""
    made = {}
    for key in keys:
        made[key.kid] = (key.alg, key.secret)
        if key.sub is None:
            made[f"{key.kid} extracted"] = (5, hmac.digest(bytes(32), key.secret, "sha256"))
            made[f"{key.kid} of {sub}"] = (key.alg, key.of(sub))
    return {f"{name} {form}": values for name, (alg, secret) in made.items()
            for form, values in forms_of_key(alg, secret).items()}


# ---- the running proxy ----

SUB = "plc-7"


def make_keys():
    """A master of each algorithm and a static key, with new secrets under the same names."""
    return [*(Key(f"m{alg}", alg, secret=secrets.token_bytes(40)) for alg in (5, 6, 7)), Key("own", sub=SUB)]


CHECK = '{check: signed, topics: "dt/#", signature: {keys: [m5, m6, m7, own]}}'


@pytest.fixture
def world(make_world):
    world = signed_world(make_world, CHECK, keys=make_keys(), start=False)
    # LeakSanitizer and ptrace() exclude each other; other tests look for leaks.
    environment = world.proxy.environment()
    world.proxy.environment = lambda: {**environment, "ASAN_OPTIONS": environment["ASAN_OPTIONS"] + ":detect_leaks=0"}
    return world


def use(world, keys):
    """Messages that are verified with each of the keys, in both carriers, and forged ones."""
    for version in (raw.V311, raw.V5):
        client = user(world, SUB, version)
        for key in keys:
            publish(client, Signer(SUB, key).sign())
            publish(client, Signer(SUB, key).sign(key=secrets.token_bytes(32)), code=REFUSED)
        client.disconnect()


def reload(world):
    count = len(world.proxy.logged("reloaded"))
    world.proxy.signal(signal.SIGHUP)
    wait_until(lambda: len(world.proxy.logged("reloaded")) > count, "the reload")


def in_use(keys):
    """What must be found of keys that are in use: a search that does not find it proves nothing."""
    return {f"{key.kid} raw" for key in keys} | {f"{key.kid}{'' if key.sub else f' of {SUB}'} states" for key in keys}


def search(world, needles, **options):
    with memory.standing(world.proxy) as pid:
        return memory.search(pid, needles, **options)


def test_keys_that_a_reload_replaces_are_wiped(world):
    old, new = make_keys(), make_keys()
    write_keys(world, *old)
    world.proxy.start()
    use(world, old)
    needles = needles_of(old, SUB)
    found = search(world, needles)
    assert found == in_use(old), "while they are in use, keys are in memory as they are used, and in no other form"
    assert search(world, needles, dumped=True) == set(), "a core dump would hold them"
    write_keys(world, *new)
    reload(world)
    use(world, new)
    # Connections of before may have the old keys for a moment longer.
    wait_until(lambda: not search(world, needles), "the old keys to be wiped", timeout=30)
    assert search(world, needles_of(new, SUB)) == in_use(new)


def test_nothing_is_left_at_the_exit(world):
    keys, left = make_keys(), []
    write_keys(world, *keys)
    world.proxy.start()
    use(world, keys)
    pid = world.proxy.process.pid
    needles = needles_of(keys, SUB)
    assert search(world, needles) == in_use(keys)
    memory.seize(pid)
    world.proxy.signal(signal.SIGTERM)
    status = memory.follow(pid, lambda: left.append(memory.search(pid, needles)))
    world.proxy.process.returncode = status  # subprocess has not seen it end
    assert left == [set()] and status == 0


# ---- the command line ----

HEADER_OPTIONS = ("--kid", "m5", "--sub", SUB, "--topic", "dt/x", "--payload", "message")


def written(folder, name, data):
    path = os.path.join(str(folder), name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return name


def key_files(folder, key):
    """keys.yaml with the key, and the key that is derived from it in files of all three formats."""
    own = key.of(SUB)
    written(folder, f"{key.kid}.key", key.secret.hex().encode())
    written(folder, "keys.yaml", f"version: 1\nkeys: [{json.dumps(key.entry())}]\n".encode())
    written(folder, "own.hex", own.hex().encode() + b"\n")
    written(folder, "own.base64", base64.b64encode(own) + b"\n")
    written(folder, "own.raw", own)
    written(folder, "message", b"payload")


COMMANDS = {
    "sign --keys": ("sign", "--keys", "keys.yaml", *HEADER_OPTIONS),
    "sign hex": ("sign", "--key-file", "own.hex", *HEADER_OPTIONS),
    "sign base64": ("sign", "--key-file", "own.base64", "--key-format", "base64", *HEADER_OPTIONS),
    "sign raw": ("sign", "--key-file", "own.raw", "--key-format", "raw", *HEADER_OPTIONS),
    "verify --keys": ("verify", "--keys", "keys.yaml", "--topic", "dt/x", "--payload", "signed"),
    "verify raw": ("verify", "--key-file", "own.raw", "--key-format", "raw", "--topic", "dt/x", "--payload", "signed"),
    "derive": ("keys", "derive", "--keys", "keys.yaml", "--kid", "m5", "--sub", SUB),
    "derive json": ("keys", "derive", "--keys", "keys.yaml", "--kid", "m5", "--sub", SUB, "--json", "--out", "made"),
    "list": ("keys", "list", "--keys", "keys.yaml"),
}


def opens_a_key(pid, folder):
    """Has it a file of a secret open?"""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/{pid}/fd/{name}")
            if path.startswith(str(folder)) and path.endswith((".key", ".hex", ".base64", ".raw")):
                return True
    return False


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_leaves_nothing(tmp_path, command):
    key = Key("m5", secret=secrets.token_bytes(40))
    key_files(tmp_path, key)
    written(tmp_path, "signed", Signer(SUB, key).sign("dt/x", b"payload").header() + b"payload")
    needles = needles_of([key], SUB)
    meanwhile, left, began = set(), [], []
    environment = sanitizer_environment(str(tmp_path))
    environment["ASAN_OPTIONS"] += ":detect_leaks=0"
    process = subprocess.Popen([binary(), *COMMANDS[command]], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=memory.traced)

    def at_call():
        if not meanwhile and (began or opens_a_key(process.pid, tmp_path)):
            began.append(True)
            meanwhile.update(memory.search(process.pid, needles, largest=LARGEST_AT_CALL))

    process.returncode = memory.follow(process.pid, lambda: left.append(memory.search(process.pid, needles)), at_call)
    with process.stderr:
        assert process.returncode == 0, process.stderr.read()
    assert meanwhile, "a search that finds nothing while the key is in use proves nothing"
    assert left == [set()]
