# SPDX-License-Identifier: Apache-2.0
"""The keys and checks that the vectors refer to by name."""
import hashlib

from mps1_reference import HASHES, NAMES, derive

NOW = 1750000000000  # 2025-06-15T15:06:40Z
MASTER = bytes(range(32))
MINUTE = 60_000
LONG_KID = "A-Z_a-z_0-9--thirty-characters"  # two less than a kid may have


def _secret(kid, alg):
    """As long as a static key for the algorithm must be; a master may be as long, too."""
    return hashlib.new(HASHES[alg], f"MPS1 test secret {kid}".encode()).digest()


def _key(kid, kind, alg, secret, fields):
    return {"kid": kid, "type": kind, "alg": NAMES[alg], "secret": (secret or _secret(kid, alg)).hex(), **fields}


def _master(kid, alg=5, secret=None, **fields):
    return _key(kid, "master", alg, secret, fields)


def _static(kid, sub, alg=5, secret=None):
    return _key(kid, "static", alg, secret, {"sub": sub})


def keyrings(now):
    """By name. not_before and not_after: milliseconds since 1970; a key is active from the one and before the other."""
    return {
        "plant": [
            _master("m25a", 5, MASTER, revoked=["plc-9"], min_generation={"plc-3": 2}),
            _master("m25b", 6),
            _master("m25c", 7),
            _master("m24a", not_after=now - MINUTE),
            _master("m26a", not_before=now + MINUTE),
            _master("unnamed"),
            _master(LONG_KID),
            _static("ops-1", "op:eva", 5, hashlib.sha256(b"MPS1 test key 3").digest()),
            _static("ops-2", "op:adam", 6),
            _static("ops-3", "op:lilith", 7),
        ],
        # The keys of the second vector of the specification.
        "plant-384": [_master("m25a", 6, MASTER)],
    }


# All of a keyring's keys but one, which the checks do not name.
_NAMED = sorted({key["kid"] for keys in keyrings(NOW).values() for key in keys} - {"unnamed"})


def _check(replay, **fields):
    return {"keys": _NAMED, "max_age": 5 * MINUTE, "skew": MINUTE, "replay": replay, "required": True, **fields}


CHECKS = {
    "nonce": _check("nonce"),
    "sequence": _check("seq"),
    "when-present": _check("nonce", required=False),
}


def secret_of(keys, message):
    """The key of kid and sub; a key of no meaning for a kid that is not among the keys."""
    for key in keys:
        if key["kid"] == message.kid and key["type"] == "static":
            return bytes.fromhex(key["secret"])
    masters = {key["kid"]: bytes.fromhex(key["secret"]) for key in keys if key["type"] == "master"}
    name, _, generation = message.kid.rpartition(".")
    master = masters.get(message.kid) or (masters.get(name) if generation.isdigit() else None)
    alg = message.alg if message.alg in NAMES else 5
    return derive(master or MASTER, alg, message.kid, message.sub)
