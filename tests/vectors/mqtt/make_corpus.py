#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the packet vectors as seeds of the fuzz targets mqtt_packet and mqtt_stream.

    make_corpus.py <folder for mqtt_packet> <folder for mqtt_stream>

A seed of mqtt_packet is a vector behind the byte that sets direction, version and options (tests/fuzz/mqtt_fuzz.h). A
seed of mqtt_stream is a CONNECT or CONNACK and up to eight good packets of the same side and version. The corpora
in the repository are these, minimised by libFuzzer (-merge=1 -use_counters=0).
"""
import hashlib
import pathlib
import re
import sys

VERSIONS = ["3.1", "3.1.1", "5.0"]
TOKEN = re.compile(r"""\s*(?:([0-9a-fA-F]{2})\*(\d+)|((?:[0-9a-fA-F]{2})+)|"([^"]*)"|'([^']*)'|([(<])|([)>]))""")
LONGEST = 600


def varint(number):
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def packet(text):
    """The bytes of the notation of README.md."""
    stack = [(None, bytearray())]
    # The byte before a '*' belongs to the repetition, not to the bytes in front of it.
    text = re.sub(r"([0-9a-fA-F]{2}\*)", r" \1", text)
    position = 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        byte, count, run, raw, string, opening, closing = match.groups()
        position = match.end()
        if opening:
            stack.append((opening, bytearray()))
        elif closing:
            kind, inner = stack.pop()
            stack[-1][1].extend((varint(len(inner)) if kind == "(" else len(inner).to_bytes(2, "big")) + inner)
        elif byte:
            stack[-1][1].extend(bytes.fromhex(byte) * int(count))
        elif run:
            stack[-1][1].extend(bytes.fromhex(run))
        elif string is not None:
            encoded = string.encode()
            stack[-1][1].extend(len(encoded).to_bytes(2, "big") + encoded)
        else:
            stack[-1][1].extend(raw.encode())
    return bytes(stack[0][1])


def vectors():
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                _, versions, sides, result, text = line.split(" | ", 4)
                versions = {"any": VERSIONS, "3.x": VERSIONS[:2]}.get(versions, versions.split(","))
                for version in versions:
                    for side in ["client", "server"] if sides == "both" else [sides]:
                        yield version, side, result, packet(text)


def first_byte(version, side):
    return (side == "server") | VERSIONS.index(version) << 1


def write(folder, content):
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def main():
    packets, streams = map(pathlib.Path, sys.argv[1:3])
    good = {}
    for version, side, result, content in vectors():
        if len(content) <= LONGEST:
            write(packets, bytes([first_byte(version, side)]) + content)
            if not result.startswith("bad"):
                good.setdefault((version, side), []).append(content)
    for (version, side), contents in good.items():
        openers = [content for content in contents if content[0] in (0x10, 0x20)]
        others = [content for content in contents if content[0] not in (0x10, 0x20)]
        for i in range(0, len(others), 8):
            opener = openers[(i // 8) % len(openers)]
            write(streams, bytes([first_byte(version, side), i % 256]) + opener + b"".join(others[i : i + 8]))


if __name__ == "__main__":
    main()
