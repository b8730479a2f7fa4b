# SPDX-License-Identifier: Apache-2.0
"""tests/vectors/mps1/sign.tsv for tests: what signers are given and what must come out."""
import base64
import importlib.util
import os
import sys
import time
from dataclasses import dataclass

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "mps1")
VECTORS = os.path.join(FOLDER, "vectors.json")
TABLE = os.path.join(FOLDER, "sign.tsv")


@dataclass
class Line:
    RETAIN, WILL, SEQ, PROPS = 0x01, 0x02, 0x04, 0x08

    name: str
    algorithm: int
    flags: int
    kid: str
    sub: str
    t: int
    key: bytes
    nonce: bytes
    topic: str
    content_type: str
    response_topic: str
    correlation_data: bytes
    payload: bytes
    header: bytes

    @property
    def algorithm_name(self):
        return {5: "HMAC-SHA-256", 6: "HMAC-SHA-384", 7: "HMAC-SHA-512"}[self.algorithm]

    @property
    def text(self):
        """The value of the User Property."""
        return base64.urlsafe_b64encode(self.header).decode().rstrip("=")


def lines():
    with open(TABLE, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [_line(["" if field == "-" else field for field in row]) for row in rows]


def _line(fields):
    name, algorithm, flags, kid, sub, t, *rest = fields
    key, nonce, topic, content_type, response_topic, correlation_data, payload, header = map(bytes.fromhex, rest)
    return Line(name, int(algorithm), int(flags), kid, sub, int(t), key, nonce, topic.decode(), content_type.decode(),
                response_topic.decode(), correlation_data, payload, header)


def fresh(ahead=0):
    """vectors.json, made for now (a whole second, as keys.yaml has it) and with nonces that were never used before.
    ahead: seconds; a vector at the edge of what is accepted needs time to get there."""
    sys.path.insert(0, FOLDER)
    try:
        specification = importlib.util.spec_from_file_location("mps1_make", os.path.join(FOLDER, "make.py"))
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(FOLDER)
    return module.document((int(time.time()) + ahead) * 1000, os.urandom(16))
