# SPDX-License-Identifier: Apache-2.0
"""Signs MQTT messages (MPS1). Python 3.6 or newer, nothing but its standard library."""
import base64
import hmac
import os
import struct
import time

RETAIN, WILL, SEQ, PROPS = 0x01, 0x02, 0x04, 0x08
ALGORITHMS = {"HMAC-SHA-256": (5, "sha256", 32), "HMAC-SHA-384": (6, "sha384", 48), "HMAC-SHA-512": (7, "sha512", 64)}


def sign(key, kid, sub, topic, payload, flags=0, t=None, nonce=None, alg="HMAC-SHA-256",
         content_type="", response_topic="", correlation_data=b""):
    """The header: in front of the payload it is the envelope; as_property() makes the User Property of it. The last
    three count with the flag PROPS only; t: milliseconds since 1970; with SEQ: nonce = sequence(epoch, counter)."""
    number, digest, size = ALGORITHMS[alg]
    kid, sub = kid.encode(), sub.encode()
    header = struct.pack(">4sBBHBQ16s", b"\xffMPS", 1, number, 36 + len(kid) + len(sub) + size, flags,
                         int(time.time() * 1000) if t is None else t, os.urandom(16) if nonce is None else nonce)
    header += bytes([len(kid)]) + kid + bytes([len(sub)]) + sub + bytes([size])
    mac = hmac.new(key, header, digest)
    for part in (topic.encode(), content_type.encode(), response_topic.encode(), correlation_data):
        mac.update(struct.pack(">H", len(part)) + part)
    mac.update(struct.pack(">I", len(payload)) + payload)
    return header + mac.digest()


def sequence(epoch, counter):
    return struct.pack(">QQ", epoch, counter)


def as_property(header):
    return base64.urlsafe_b64encode(header).decode().rstrip("=")
