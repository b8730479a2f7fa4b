# SPDX-License-Identifier: Apache-2.0
"""The chain over the audit trail as docs/audit.md describes it ("The chain"), in Python's standard library: nothing of
it comes from mqward. Signatures need python3-cryptography."""
import hashlib
import hmac
import re
import struct

MEMBER = re.compile(rb',"chain":\{"epoch":"([0-9a-f]{16})","start":([1-9][0-9]*),"prev":"([0-9a-f]{64})"'
                    rb',"hash":"([0-9a-f]{64})"\}\}$')
ZEROS = bytes(32)


def next_secret(secret):
    """S[s] from S[s-1]."""
    return hashlib.sha256(b"mqward-chain-start" + secret).digest()


def first_key(secret, epoch, start):
    """K[s,1] from S[s-1]."""
    return hmac.digest(secret, b"mqward-chain-1" + struct.pack(">QQ", epoch, start), "sha256")


def next_key(key):
    """K[s,i+1] from K[s,i]."""
    return hashlib.sha256(key).digest()


def line_hash(key, prev, covered):
    """covered: the bytes of the line before ,"hash":"""
    return hmac.digest(key, prev + covered, "sha256")


def seal(document, epoch, start, key, prev):
    """The line of a document that ends with "}": with its chain. Returns the line and its hash."""
    covered = document[:-1] + b',"chain":{"epoch":"%016x","start":%d,"prev":"%s"' % (epoch, start, prev.hex().encode())
    digest = line_hash(key, prev, covered)
    return covered + b',"hash":"%s"}}' % digest.hex().encode(), digest


def parse(line):
    """epoch, start, prev, hash and what the hash covers; None without a chain."""
    found = MEMBER.search(line)
    if found is None:
        return None
    epoch, start, prev, digest = found.groups()
    return (int(epoch, 16), int(start), bytes.fromhex(prev.decode()), bytes.fromhex(digest.decode()),
            line[:line.rindex(b',"hash":"')])


def checkpoint_bytes(epoch, start, sequence, prev, previous, events, interval_events, interval_seconds, wall_us):
    """What the signature of a checkpoint covers."""
    return (b"mqward-checkpoint-1" + struct.pack(">QQQ", epoch, start, sequence) + prev +
            struct.pack(">H", len(previous)) + previous.encode() +
            struct.pack(">QQQQ", events, interval_events, interval_seconds, wall_us))


class Walk:
    """Follows a chain from its verification key; every line must be the next one."""

    def __init__(self, verification_key):
        self.secret, self.start, self.key, self.prev = verification_key, 0, None, ZEROS
        self.epoch = self.sequence = 0

    def follow(self, line, sequence):
        """Raises AssertionError where the chain does not hold."""
        parsed = parse(line)
        assert parsed is not None, f"no chain: {line[:200]}"
        epoch, start, prev, digest, covered = parsed
        if start != self.start:
            assert start > self.start, f"start {start} after {self.start}"
            while self.start < start:
                self.key = first_key(self.secret, epoch, self.start + 1)
                self.secret = next_secret(self.secret)
                self.start += 1
            self.epoch, self.sequence = epoch, 0
        assert (epoch, sequence) == (self.epoch, self.sequence + 1), f"{epoch:x}-{sequence} is not the next line"
        assert prev == self.prev, f"{epoch:x}-{sequence} does not follow the line before it"
        assert line_hash(self.key, prev, covered) == digest, f"{epoch:x}-{sequence} does not hold"
        self.key, self.prev, self.sequence = next_key(self.key), digest, sequence
