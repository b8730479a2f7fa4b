#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of MPS1, vectors.json and sign.tsv (README.md says what is in them).

    make.py [FOLDER]

FOLDER: where to, by default here. It needs the standard library alone, knows the specification alone
(mps1_reference.py), and always writes the same bytes.
"""
import hashlib
import json
import pathlib
import sys

import mps1_cases
from mps1_reference import EGRESS, NAMES, PROPS, RETAIN, SEQ, WILL, Message, property_text
from mps1_keys import CHECKS, NOW, keyrings, secret_of

ENVELOPE, PROPERTY = "envelope", "property"
FLAGS = {RETAIN: "RETAIN", WILL: "WILL", SEQ: "SEQ", PROPS: "PROPS", EGRESS: "EGRESS"}


class Table:
    """Collects vectors for a verifier whose clock says now; mps1_cases.py calls it."""

    def __init__(self, now, salt):
        self.now, self.salt, self.keyrings, self.vectors = now, salt, keyrings(now), []

    def message(self, keyring="plant", **fields):
        """A message with the right key and a nonce that no other has."""
        different = self.salt + repr(sorted(fields.items())).encode()
        fields.setdefault("nonce", hashlib.sha256(different).digest()[:16])
        message = Message(**{"key": b"", "t": self.now, **fields})
        message.key = fields.get("key") or secret_of(self.keyrings[keyring], message)
        return message

    def add(self, name, what, expect="ok", *, carriers=(ENVELOPE, PROPERTY), message=None, signed=True, **context):
        """One vector a carrier. message: of message(), or its fields. context: see _packet() and _context()."""
        if not isinstance(message, Message):
            message = self.message(context.get("keyring", "plant"), **(message or {}))
        for carrier in carriers:
            vector = {"name": f"{name}/{carrier}" if len(carriers) > 1 else name, "what": what,
                      **self._context(message, **context)}
            if signed:
                vector["sign"] = sign_inputs(message)
            vector["packet"] = self._packet(message, carrier, **context)
            vector["expect"] = expect
            if expect == "ok" and carrier:
                vector["payload"] = message.payload.hex()
            self._append(vector)

    def sequence(self, name, what, steps, **context):
        """steps: (message, expected result, {"now", "acknowledged" and what _packet() takes})."""
        vector = {"name": name, "what": what, **self._context(steps[0][0], **context), "steps": []}
        for message, expect, step in steps:
            packet = self._packet(message, **{"carrier": ENVELOPE, **context, **step})
            vector["steps"].append({"now": step.get("now", self.now), "packet": packet, "expect": expect,
                                    **({"acknowledged": step.get("acknowledged", True)} if expect == "ok" else {})})
        del vector["now"]
        self._append(vector)

    def _append(self, vector):
        assert vector["name"] not in {other["name"] for other in self.vectors}, vector["name"]
        self.vectors.append(vector)

    def _context(self, message, *, keyring="plant", check="nonce", principal=None, relay=(), **_):
        assert check in CHECKS
        return {"keyring": keyring, "check": check, "now": self.now, "principal": principal or message.sub,
                **({"relay": list(relay)} if relay else {})}

    @staticmethod
    def _packet(message, carrier, *, header=None, text=None, packet=None, dup=False, qos=1, **_):
        """What is on the wire. header changes the header's bytes, text the property's text, packet the fields."""
        head = message.header() if header is None else header(message.header())
        fields = {"topic": message.topic, "payload": message.payload, "qos": qos, "dup": dup,
                  "retain": bool(message.flags & RETAIN), "will": bool(message.flags & WILL), "user_properties": []}
        if message.flags & PROPS:
            given = {"content_type": message.content_type, "response_topic": message.response_topic,
                     "correlation_data": message.correlation_data}
            fields.update({key: value for key, value in given.items() if value})
        if carrier == ENVELOPE:
            fields["payload"] = head + message.payload
        elif carrier == PROPERTY:
            fields["user_properties"] = [["mps1", (text or str)(property_text(head))]]
        fields.update(packet(fields) if callable(packet) else packet or {})
        return {key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()
                if value is not None}


def sign_inputs(message):
    """What a signer is given, and what it must make of it."""
    inputs = {"alg": NAMES[message.alg], "kid": message.kid, "sub": message.sub, "key": message.key.hex(),
              "flags": [name for bit, name in FLAGS.items() if message.flags & bit], "t": message.t,
              "nonce": message.nonce.hex(), "topic": message.topic, "payload": message.payload.hex()}
    if message.flags & PROPS:
        inputs.update(content_type=message.content_type, response_topic=message.response_topic,
                      correlation_data=message.correlation_data.hex())
    return {**inputs, "covered": message.covered().hex(), "tag": message.tag().hex()}


def sign_lines(vectors):
    """The messages that are accepted, a line each, for signers in languages without JSON."""
    yield "\t".join(("#name", "alg", "flags", "kid", "sub", "t", "key", "nonce", "topic", "content_type",
                     "response_topic", "correlation_data", "payload", "header")) + "\n"
    names = {name: number for number, name in NAMES.items()}
    bits = {name: bit for bit, name in FLAGS.items()}
    for vector in vectors:
        name, _, carrier = vector["name"].partition("/")
        if vector.get("expect") != "ok" or "sign" not in vector or carrier == PROPERTY:
            continue
        inputs = vector["sign"]
        fields = [name, str(names[inputs["alg"]]), str(sum(bits[flag] for flag in inputs["flags"])), inputs["kid"],
                  inputs["sub"], str(inputs["t"]), inputs["key"], inputs["nonce"], inputs["topic"].encode().hex(),
                  inputs.get("content_type", "").encode().hex(), inputs.get("response_topic", "").encode().hex(),
                  inputs.get("correlation_data", ""), inputs["payload"], inputs["covered"] + inputs["tag"]]
        yield "\t".join(field or "-" for field in fields) + "\n"


def document(now=NOW, salt=b""):
    """What vectors.json holds. With another now it is for a verifier that has a clock of its own; with another salt for
    one that has seen the nonces, but for those that a case is about."""
    table = Table(now, salt)
    mps1_cases.add_all(table)
    return {"format": "mps1-vectors", "version": 1, "keyrings": table.keyrings, "checks": CHECKS,
            "vectors": table.vectors}


def document_lines(document):
    """The document's text, a member of a vector a line."""
    yield f'{{"format": "{document["format"]}", "version": {document["version"]},\n'
    for name in ("keyrings", "checks"):
        yield f'"{name}": {json.dumps(document[name], indent=1)},\n'
    yield '"vectors": [\n'
    texts = [[f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in vector.items()]
             for vector in document["vectors"]]
    yield ",\n".join("{" + ",\n ".join(members) + "}" for members in texts)
    yield "\n]}\n"


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    made = document()
    (folder / "vectors.json").write_text("".join(document_lines(made)), encoding="utf-8")
    (folder / "sign.tsv").write_text("".join(sign_lines(made["vectors"])), encoding="utf-8")


if __name__ == "__main__":
    main()
