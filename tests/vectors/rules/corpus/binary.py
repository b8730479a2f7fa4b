# SPDX-License-Identifier: Apache-2.0
"""Binary, encoded and compressed messages."""

import base64
import gzip
import json
import struct
import zlib

from corpus.base import NOW, ROOMS, ascii_json, compact, hexadecimal, kind, noise, number, stamp
from corpus.home import zigbee2mqtt
from corpus.industry import field, modbus_rtu, nmea, varint
from corpus.words import SYSLOG, TEXTS, csv, java, syslog


def cbor(value):
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return bytes([0x1A]) + struct.pack(">I", value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return bytes([0x58, len(value)]) + value
    if isinstance(value, str):
        return bytes([0x78, len(value.encode())]) + value.encode()
    if isinstance(value, list):
        return bytes([0x80 | len(value)]) + b"".join(map(cbor, value))
    return bytes([0xA0 | len(value)]) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


@kind("cbor", 8, "bin")
def cbor_reading(i):
    return cbor(
        {
            "bn": "urn:dev:ow:10e2073a%06x" % i,
            "t": NOW + i,
            "v": number(0, 40),
            "on": i % 2 == 0,
            "raw": noise(20),
            "e": [{"n": "hum", "v": 45.1}],
        }
    )


@kind("protobuf", 8, "bin")
def protobuf(i):
    return (
        field(1, b"sensor-%d" % i)
        + varint(2 << 3)
        + varint(NOW + i)
        + b"".join(
            field(3, field(1, name.encode()) + varint(2 << 3 | 1) + struct.pack("<d", number(0, 99)))
            for name in ["t", "h", "Druck"]
        )
    )


@kind("messagepack", 5, "bin")
def messagepack(i):
    return (
        b"\x83\xa2id"
        + b"\xcd"
        + struct.pack(">H", 900 + i)
        + b"\xa1t\xcb"
        + struct.pack(">d", number(0, 40))
        + b"\xa4list\x93"
        + bytes([i, i + 1, i + 2])
    )


@kind("float-array", 6, "bin")
def floats(i):
    return struct.pack("%s%df" % ("<>"[i % 2], 16 << i), *[number(-50, 50, 3) for _ in range(16 << i)])


@kind("random", 10, "bin")
def encrypted(i):
    return noise(16 << (i % 9))


@kind("thumbnail", 5)
def thumbnail(i):
    jpeg = bytes.fromhex("ffd8ffe000104a46494600010101004800480000ffdb0043") + noise(3000 << (i % 3)) + b"\xff\xd9"
    return compact(
        {
            "camera": i,
            "ts": NOW,
            "content_type": "image/jpeg",
            "image": ["", "data:image/jpeg;base64,"][i % 2] + base64.b64encode(jpeg).decode(),
        }
    )


@kind("snapshot", 3, "bin")
def snapshot(i):
    return (
        bytes.fromhex("89504e470d0a1a0a0000000d49484452000000a0000000780802000000")
        + noise(4)
        + b"\0\0\x20\0IDAT"
        + zlib.compress(noise(6000 + i))
        + b"\0\0\0\0IEND"
    )


@kind("audio", 2, "bin")
def audio(i):
    return (
        b"RIFF"
        + struct.pack("<I", 4036)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        + b"data"
        + struct.pack("<I", 4000)
        + noise(4000)
    )


@kind("base64-whole", 6, "txt")
def base64_whole(i):
    data = [
        noise(60),
        protobuf(i),
        compact({"t": 21.5, "room": ROOMS[i]}).encode(),
        syslog(i).encode(),
        gzip.compress(csv(i).encode(), mtime=0),
        cbor_reading(i),
    ][i]
    return (base64.encodebytes(data) if i % 2 else base64.urlsafe_b64encode(data)).decode()


@kind("hex-whole", 5, "txt")
def hex_whole(i):
    return [
        hexadecimal(40),
        modbus_rtu(3).hex(" "),
        syslog(3).encode().hex(),
        "0x" + hexadecimal(32),
        ", ".join("0x%02x" % b for b in noise(24)),
    ][i]


@kind("gzip", 6, "bin")
def gzipped(i):
    data = [
        csv(9),
        compact([json.loads(zigbee2mqtt(k)) for k in range(20)]),
        "".join(syslog(k) for k in range(len(SYSLOG))),
        ascii_json(TEXTS),
        java(1) * 3,
        nmea(1) * 9,
    ][i].encode()
    return gzip.compress(data, mtime=0) if i % 2 else zlib.compress(data)


@kind("json-in-json", 5)
def json_in_json(i):
    return ascii_json(
        {
            "topic": "a/b/%d" % i,
            "message": ascii_json(
                {"inner": ascii_json({"t": number(0, 40), "room": ROOMS[i], "path": "C:\\data\\new\\table.csv"})}
            ),
        }
    )


@kind("backlog", 4)
def backlog(i):
    return compact(
        {
            "device": i,
            "queue": [
                {
                    "ts": NOW + k,
                    "sensorTemperatureCelsius": number(0, 40),
                    "relativeHumidityPercent": k,
                    "lastSuccessfulTransmission": stamp(k),
                }
                for k in range(20 + 40 * i)
            ],
        }
    )
