# SPDX-License-Identifier: Apache-2.0
"""MPS1 in Python's standard library, written from the specification and from nothing of mqward's: what the vectors are
made with. Every field can be given a wrong value."""
import base64
import hashlib
import hmac
from dataclasses import dataclass

HASHES = {5: "sha256", 6: "sha384", 7: "sha512"}
NAMES = {5: "HMAC-SHA-256", 6: "HMAC-SHA-384", 7: "HMAC-SHA-512"}
RETAIN, WILL, SEQ, PROPS, EGRESS = 0x01, 0x02, 0x04, 0x08, 0x10
DEVICE, RECEIVER = b"MPS1 device\0", b"MPS1 egress\0"


def tag_size(alg):
    return hashlib.new(HASHES[alg]).digest_size


def prefixed(part, size):
    """part behind its length, big-endian, in size bytes."""
    return len(part).to_bytes(size, "big") + part


def derive(master, alg, kid, sub, label=DEVICE):
    """A device's key under a master: HKDF-SHA-256 (RFC 5869) with an empty salt."""
    pseudorandom = hmac.digest(bytes(32), master, "sha256")
    info = label + bytes([alg]) + prefixed(kid.encode(), 1) + prefixed(sub.encode(), 1)
    out = block = b""
    while len(out) < tag_size(alg):
        block = hmac.digest(pseudorandom, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:tag_size(alg)]


def sequence(epoch, counter):
    """The nonce of a message with the flag SEQ."""
    return epoch.to_bytes(8, "big") + counter.to_bytes(8, "big")


def property_text(header):
    return base64.urlsafe_b64encode(header).rstrip(b"=").decode()


@dataclass
class Message:
    """A message that is to be signed. key: the secret of the MAC."""
    key: bytes
    kid: str = "m25a"
    sub: str = "plc-7"
    topic: str = "dt/a/plc-7/temp"
    payload: bytes = b'{"c":21.5}'
    alg: int = 5
    flags: int = 0
    t: int = 0
    nonce: bytes = bytes(16)
    content_type: str = ""
    response_topic: str = ""
    correlation_data: bytes = b""
    # For what no signer does.
    version: int = 1
    tag_length: int = None
    header_length: int = None

    def covered(self):
        """The header up to the tag."""
        kid, sub = self.kid.encode(), self.sub.encode()
        size = tag_size(self.alg) if self.alg in HASHES else 32
        length = self.header_length if self.header_length is not None else 36 + len(kid) + len(sub) + size
        return (b"\xffMPS" + bytes([self.version, self.alg]) + length.to_bytes(2, "big") + bytes([self.flags])
                + self.t.to_bytes(8, "big") + self.nonce + prefixed(kid, 1) + prefixed(sub, 1)
                + bytes([size if self.tag_length is None else self.tag_length]))

    def tag(self):
        with_properties = self.flags & PROPS
        parts = (self.content_type.encode(), self.response_topic.encode(), self.correlation_data)
        mac = hmac.new(self.key, self.covered() + prefixed(self.topic.encode(), 2), HASHES.get(self.alg, "sha256"))
        for part in parts:
            mac.update(prefixed(part if with_properties else b"", 2))
        mac.update(prefixed(self.payload, 4))
        return mac.digest()

    def header(self):
        return self.covered() + self.tag()
