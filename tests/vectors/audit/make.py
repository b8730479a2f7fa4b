#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes chain.txt, the vectors of the chain over the audit trail (README.md says what is in it).

    make.py [FOLDER]

FOLDER: where to, by default here. It needs Python's standard library and python3-cryptography, knows the formulas of
docs/audit.md alone (chain_reference.py), and always writes the same bytes.
"""
import hashlib
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import chain_reference as chain

KEY = bytes(range(32))
SEED = hashlib.sha256(b"checkpoint").digest()
EPOCHS = {1: 0x69A1B2C3D4E5F607, 2: 0x69A1B2FFFFFFFFFF, 5: 0x7FFFFFFF00000000}
STARTS = 5


def secrets():
    """S[0] to S[STARTS]."""
    secret = KEY
    yield secret
    for _ in range(STARTS):
        secret = chain.next_secret(secret)
        yield secret


def document(epoch, sequence, text):
    """A line as it is before it has its chain: of no matter what, but with the head and the end of ours."""
    return (f'{{"@timestamp":"2026-01-02T03:04:06.001245Z","event":{{"created":"2026-01-02T03:04:06.001245Z",'
            f'"sequence":{sequence},"id":"{epoch:016x}-{sequence}","kind":"event","action":"mqtt-publish-denied"}},'
            f'"message":"{text}","ecs":{{"version":"9.4.0"}}}}').encode()


def lines():
    """One chain over three starts; starts 3 and 4 died before their first line."""
    known, prev = list(secrets()), chain.ZEROS
    texts = ["", "a", "x" * 13, "x" * 64, "€" * 100, "long " * 1000, '\\"chain\\":{\\"epoch\\":\\"']
    for start, epoch in EPOCHS.items():
        key = chain.first_key(known[start - 1], epoch, start)
        for sequence, text in enumerate(texts, 1):
            line, prev = chain.seal(document(epoch, sequence, text), epoch, start, key, prev)
            yield start, epoch, sequence, key, line
            key = chain.next_key(key)


def checkpoints(pair):
    """Fields of checkpoints, what is signed, and the signature."""
    prev = hashlib.sha256(b"prev").digest()
    for fields in ((1, 1, 1, chain.ZEROS, "", 0, 0, 0, 0),
                   (EPOCHS[1], 1, 2, prev, f"{EPOCHS[1]:016x}-1", 0, 10000, 60, 1767323046001245),
                   (2**64 - 1, 2**64 - 1, 2**64 - 1, b"\xff" * 32, "f" * 16 + "-18446744073709551615", 2**64 - 1,
                    2**64 - 1, 2**64 - 1, 2**64 - 1)):
        covered = chain.checkpoint_bytes(*fields)
        epoch, start, sequence, prev_, previous, *rest = fields
        yield " ".join([f"{epoch:x}", str(start), str(sequence), prev_.hex(), previous or "-", *map(str, rest),
                        covered.hex(), pair.sign(covered).hex()])


def write(out):
    pair = Ed25519PrivateKey.from_private_bytes(SEED)
    public = pair.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    out.write("# SPDX-License-Identifier: Apache-2.0\n# Written by make.py.\n")
    for index, secret in enumerate(secrets()):
        out.write(f"secret {index} {secret.hex()}\n")
    for start, epoch, sequence, key, line in lines():
        out.write(f"line {start} {epoch:016x} {sequence} {key.hex()} {line.decode()}\n")
    out.write(f"pair {SEED.hex()} {raw.hex()} {hashlib.sha256(raw).hexdigest()}\n")
    for text in checkpoints(pair):
        out.write(f"checkpoint {text}\n")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    with open(folder / "chain.txt", "w", encoding="utf-8") as out:
        write(out)


if __name__ == "__main__":
    main()
