# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1, 3.1.1 and 5.0 packets as bytes, built and parsed byte for byte.

Nothing here refuses to build what the specification forbids: every field can be given as it is, flags included,
so that tests can send what a real client library would not.
"""
import struct
from dataclasses import dataclass, field

V31, V311, V5 = 3, 4, 5
VERSIONS = (V31, V311, V5)
VERSION_NAMES = {V31: "3.1", V311: "3.1.1", V5: "5.0"}

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ,
 PINGRESP, DISCONNECT, AUTH) = range(1, 16)
TYPE_NAMES = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)
              and name not in ("V31", "V311", "V5")}

# What a CONNACK before 5.0 says where one of 5.0 has a reason code.
CONNACK_BEFORE_5 = {0x84: 1, 0x85: 2, 0x86: 4, 0x87: 5, 0x88: 3, 0x8B: 3, 0x97: 3, 0x99: 5, 0x9F: 3}

# Properties of MQTT 5.0, section 2.2.2.2.
PAYLOAD_FORMAT_INDICATOR = 0x01
MESSAGE_EXPIRY_INTERVAL = 0x02
CONTENT_TYPE = 0x03
RESPONSE_TOPIC = 0x08
CORRELATION_DATA = 0x09
SUBSCRIPTION_IDENTIFIER = 0x0B
SESSION_EXPIRY_INTERVAL = 0x11
ASSIGNED_CLIENT_IDENTIFIER = 0x12
SERVER_KEEP_ALIVE = 0x13
AUTHENTICATION_METHOD = 0x15
AUTHENTICATION_DATA = 0x16
REQUEST_PROBLEM_INFORMATION = 0x17
WILL_DELAY_INTERVAL = 0x18
REQUEST_RESPONSE_INFORMATION = 0x19
RESPONSE_INFORMATION = 0x1A
SERVER_REFERENCE = 0x1C
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
TOPIC_ALIAS_MAXIMUM = 0x22
TOPIC_ALIAS = 0x23
MAXIMUM_QOS = 0x24
RETAIN_AVAILABLE = 0x25
USER_PROPERTY = 0x26
MAXIMUM_PACKET_SIZE = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
SHARED_SUBSCRIPTION_AVAILABLE = 0x2A

PROPERTY_TYPES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), "byte"),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), "two"),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), "four"),
    0x0B: "varint",
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), "string"),
    **dict.fromkeys((0x09, 0x16), "binary"),
    0x26: "pair",
}


class Malformed(Exception):
    """What was received is not MQTT: the peer under test is at fault."""


# ---- building ----

def as_bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def varint(value):
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def string(text):
    """UTF-8 Encoded String and Binary Data: two bytes of length, then the bytes."""
    data = as_bytes(text)
    return struct.pack("!H", len(data)) + data


def property_bytes(identifier, value):
    kind = PROPERTY_TYPES[identifier]
    encode = {
        "byte": lambda: struct.pack("!B", value),
        "two": lambda: struct.pack("!H", value),
        "four": lambda: struct.pack("!I", value),
        "varint": lambda: varint(value),
        "string": lambda: string(value),
        "binary": lambda: string(value),
        "pair": lambda: string(value[0]) + string(value[1]),
    }[kind]
    return varint(identifier) + encode()


def properties(pairs):
    """A property block with its length; pairs are (identifier, value)."""
    raw = b"".join(property_bytes(identifier, value) for identifier, value in pairs)
    return varint(len(raw)) + raw


def packet(kind, flags, body=b""):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


@dataclass
class Will:
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: tuple = ()


def connect(version, client_id, clean=True, keep_alive=60, username=None, password=None, will=None, props=(),
            name=None, level=None, flags=None):
    if name is None:
        name = "MQIsdp" if version == V31 else "MQTT"
    if flags is None:
        flags = (0x02 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
        if will:
            flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    body = string(name) + bytes([version if level is None else level, flags]) + struct.pack("!H", keep_alive)
    if version == V5:
        body += properties(props)
    body += string(client_id)
    if will:
        body += properties(will.properties) if version == V5 else b""
        body += string(will.topic) + string(will.payload)
    body += b"" if username is None else string(username)
    body += b"" if password is None else string(password)
    return packet(CONNECT, 0, body)


def connack(version, code=0, session_present=False, props=()):
    return packet(CONNACK, 0, bytes([session_present, code]) + (properties(props) if version == V5 else b""))


def publish(version, topic, payload=b"", qos=0, retain=False, dup=False, packet_id=None, props=()):
    body = string(topic)
    if qos or packet_id is not None:
        body += struct.pack("!H", 1 if packet_id is None else packet_id)
    if version == V5:
        body += properties(props)
    return packet(PUBLISH, dup << 3 | qos << 1 | retain, body + as_bytes(payload))


def ack(kind, version, packet_id, code=None, props=None):
    """PUBACK, PUBREC, PUBREL, PUBCOMP; code and props only when they are given."""
    body = struct.pack("!H", packet_id)
    if code is not None:
        body += bytes([code])
    if props is not None:
        body += properties(props)
    return packet(kind, 2 if kind == PUBREL else 0, body)


def subscribe(version, packet_id, filters, props=()):
    """filters: (filter, options byte)."""
    body = struct.pack("!H", packet_id) + (properties(props) if version == V5 else b"")
    return packet(SUBSCRIBE, 2, body + b"".join(string(name) + bytes([options]) for name, options in filters))


def suback(version, packet_id, codes, props=()):
    return packet(SUBACK, 0, struct.pack("!H", packet_id) + (properties(props) if version == V5 else b"") + bytes(codes))


def unsubscribe(version, packet_id, filters, props=()):
    body = struct.pack("!H", packet_id) + (properties(props) if version == V5 else b"")
    return packet(UNSUBSCRIBE, 2, body + b"".join(string(name) for name in filters))


def unsuback(version, packet_id, codes=(), props=()):
    tail = properties(props) + bytes(codes) if version == V5 else b""
    return packet(UNSUBACK, 0, struct.pack("!H", packet_id) + tail)


def pingreq():
    return packet(PINGREQ, 0)


def pingresp():
    return packet(PINGRESP, 0)


def disconnect(version, code=None, props=None):
    body = b"" if code is None else bytes([code])
    return packet(DISCONNECT, 0, body + (b"" if props is None else properties(props)))


def auth(code=0x18, props=()):
    return packet(AUTH, 0, bytes([code]) + properties(props))


# ---- parsing ----

@dataclass
class Packet:
    """A packet received. Fields that its type does not have keep their defaults."""
    type: int
    flags: int
    body: bytes
    raw: bytes
    packet_id: int = 0
    code: int = 0
    codes: list = field(default_factory=list)
    session_present: bool = False
    topic: str = ""
    payload: bytes = b""
    properties: list = field(default_factory=list)  # (identifier, value)
    filters: list = field(default_factory=list)     # (filter, options)
    version: int = 0
    client_id: str = ""
    clean: bool = False
    keep_alive: int = 0
    username: str = None
    password: bytes = None
    will: Will = None

    @property
    def name(self):
        return TYPE_NAMES[self.type]

    @property
    def qos(self):
        return self.flags >> 1 & 3

    @property
    def retain(self):
        return bool(self.flags & 1)

    @property
    def dup(self):
        return bool(self.flags & 8)

    def prop(self, identifier, default=None):
        return next((value for key, value in self.properties if key == identifier), default)

    def props(self, identifier):
        return [value for key, value in self.properties if key == identifier]

    def __str__(self):
        parts = [self.name]
        if self.type == PUBLISH:
            parts.append(f"{self.topic!r} qos={self.qos} retain={self.retain} {self.payload[:40]!r}")
        if self.packet_id:
            parts.append(f"id={self.packet_id}")
        if self.type in (CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH):
            parts.append(f"code=0x{self.code:02x}")
        if self.codes:
            parts.append("codes=" + ",".join(f"0x{code:02x}" for code in self.codes))
        if self.properties:
            parts.append(f"properties={self.properties}")
        return " ".join(parts)


class Reader:
    """Takes values off the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Malformed(f"truncated: {self.data.hex()}")
        self.at += count
        return self.data[self.at - count:self.at]

    def left(self):
        return len(self.data) - self.at

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def binary(self):
        return self.take(self.number(2))

    def text(self):
        return self.binary().decode()

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 21:
                raise Malformed("a variable byte integer of more than four bytes")

    def properties(self):
        block = Reader(self.take(self.varint()))
        found = []
        while block.left():
            identifier = block.varint()
            kind = PROPERTY_TYPES.get(identifier)
            if kind is None:
                raise Malformed(f"unknown property 0x{identifier:02x}")
            decode = {
                "byte": lambda: block.number(1), "two": lambda: block.number(2), "four": lambda: block.number(4),
                "varint": block.varint, "string": block.text, "binary": block.binary,
                "pair": lambda: (block.text(), block.text()),
            }[kind]
            found.append((identifier, decode()))
        return found


def _parse_connect(reader, result):
    reader.text()
    result.version = reader.number(1)
    flags = reader.number(1)
    result.clean = bool(flags & 2)
    result.keep_alive = reader.number(2)
    result.properties = reader.properties() if result.version == V5 else []
    result.client_id = reader.text()
    if flags & 4:
        will_properties = tuple(reader.properties()) if result.version == V5 else ()
        result.will = Will(reader.text(), reader.binary(), flags >> 3 & 3, bool(flags & 0x20), will_properties)
    result.username = reader.text() if flags & 0x80 else None
    result.password = reader.binary() if flags & 0x40 else None


def _parse_connack(reader, result):
    result.session_present = bool(reader.number(1))
    result.code = reader.number(1)
    result.properties = reader.properties() if result.version == V5 else []


def _parse_publish(reader, result):
    result.topic = reader.text()
    result.packet_id = reader.number(2) if result.qos else 0
    result.properties = reader.properties() if result.version == V5 else []
    result.payload = reader.take(reader.left())


def _parse_ack(reader, result):
    result.packet_id = reader.number(2)
    result.code = reader.number(1) if reader.left() else 0
    result.properties = reader.properties() if reader.left() else []


def _parse_subscribe(reader, result):
    result.packet_id = reader.number(2)
    result.properties = reader.properties() if result.version == V5 else []
    while reader.left():
        name = reader.text()
        result.filters.append((name, reader.number(1) if result.type == SUBSCRIBE else 0))


def _parse_suback(reader, result):
    result.packet_id = reader.number(2)
    result.properties = reader.properties() if result.version == V5 else []
    result.codes = list(reader.take(reader.left()))


def _parse_disconnect(reader, result):
    result.code = reader.number(1) if reader.left() else 0
    result.properties = reader.properties() if reader.left() else []


PARSERS = {
    CONNECT: _parse_connect, CONNACK: _parse_connack, PUBLISH: _parse_publish,
    PUBACK: _parse_ack, PUBREC: _parse_ack, PUBREL: _parse_ack, PUBCOMP: _parse_ack,
    SUBSCRIBE: _parse_subscribe, UNSUBSCRIBE: _parse_subscribe, SUBACK: _parse_suback, UNSUBACK: _parse_suback,
    PINGREQ: lambda reader, result: None, PINGRESP: lambda reader, result: None,
    DISCONNECT: _parse_disconnect, AUTH: _parse_disconnect,
}


def take_packet(buffer, version):
    """The first packet of a bytearray, taken out of it; None while it is incomplete."""
    length = shift = 0
    for index in range(1, 5):
        if index >= len(buffer):
            return None
        length |= (buffer[index] & 0x7F) << shift
        shift += 7
        if not buffer[index] & 0x80:
            break
    else:
        raise Malformed(f"remaining length: {bytes(buffer[:5]).hex()}")
    end = index + 1 + length
    if len(buffer) < end:
        return None
    raw = bytes(buffer[:end])
    del buffer[:end]
    result = Packet(raw[0] >> 4, raw[0] & 15, raw[index + 1:], raw, version=version)
    if result.type not in PARSERS:
        raise Malformed(f"packet type 0: {raw.hex()}")
    reader = Reader(result.body)
    PARSERS[result.type](reader, result)
    if reader.left():
        raise Malformed(f"trailing bytes: {raw.hex()}")
    return result
