# SPDX-License-Identifier: Apache-2.0
"""A raw MQTT peer on a socket: the client that says exactly what a test wants, and a broker that does the same."""
import contextlib
import itertools
import socket
import ssl
import time

import raw

TIMEOUT = 30.0  # seconds: for what must happen; nothing waits that long when all is well


class Peer:
    """One MQTT connection. Everything received must parse; a wait that fails says what came instead."""

    def __init__(self, sock, version):
        self.sock, self.version = sock, version
        self.buffer = bytearray()
        self.closed = False
        self.identifiers = itertools.cycle(range(1, 65536))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abort()

    def send(self, data):
        self.sock.sendall(data)

    def send_bytewise(self, data):
        """One byte a segment and, with TLS, one byte a record."""
        for index in range(len(data)):
            self.sock.sendall(data[index:index + 1])

    def abort(self):
        """Closes without a word."""
        with contextlib.suppress(OSError):
            self.sock.close()

    def reset(self):
        """Closes with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.abort()

    def receive(self, timeout=TIMEOUT):
        """The next packet, or None when the connection is closed."""
        deadline = time.monotonic() + timeout
        while True:
            packet = raw.take_packet(self.buffer, self.version)
            if packet:
                return packet
            if self.closed:
                if self.buffer:
                    raise raw.Malformed(f"closed in the middle of a packet: {bytes(self.buffer[:40]).hex()}")
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no packet within {timeout} s (have {bytes(self.buffer[:40]).hex() or 'nothing'})")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(262144)
            except (ConnectionError, ssl.SSLError) as error:
                if isinstance(error, ssl.SSLError) and "timed out" in str(error):
                    continue
                data = b""
            except TimeoutError:
                continue
            if data:
                self.buffer += data
            else:
                self.closed = True

    def expect(self, kind, timeout=TIMEOUT, **fields):
        """The next packet is of this kind and has these fields; returns it."""
        packet = self.receive(timeout)
        wanted = " ".join([raw.TYPE_NAMES[kind]] + [f"{key}={value!r}" for key, value in fields.items()])
        assert packet is not None, f"closed instead of {wanted}"
        assert packet.type == kind, f"{packet} instead of {wanted}"
        for key, value in fields.items():
            assert getattr(packet, key) == value, f"{packet}: {key} is not {value!r}"
        return packet

    def expect_closed(self, timeout=TIMEOUT):
        """Nothing more comes but the end of the connection."""
        packet = self.receive(timeout)
        assert packet is None, f"{packet} instead of the end of the connection"

    def until_closed(self, timeout=TIMEOUT):
        """All packets up to the end of the connection."""
        packets = []
        while True:
            packet = self.receive(timeout)
            if packet is None:
                return packets
            packets.append(packet)

    def acknowledge(self, packet):
        """Answers a PUBLISH as its QoS asks for; QoS 2 to the end."""
        if packet.qos == 1:
            self.send(raw.ack(raw.PUBACK, self.version, packet.packet_id))
        elif packet.qos == 2:
            self.send(raw.ack(raw.PUBREC, self.version, packet.packet_id))

    def message(self, timeout=TIMEOUT, acknowledge=True):
        """The next PUBLISH; PUBRELs before it are answered."""
        while True:
            packet = self.receive(timeout)
            assert packet is not None, "closed instead of a message"
            if packet.type == raw.PUBREL:
                self.send(raw.ack(raw.PUBCOMP, self.version, packet.packet_id))
                continue
            assert packet.type == raw.PUBLISH, f"{packet} instead of a message"
            if acknowledge:
                self.acknowledge(packet)
            return packet

    def messages_until(self, marker, timeout=TIMEOUT):
        """All messages up to the one on topic marker, which is not among them."""
        found = []
        while True:
            packet = self.message(timeout)
            if packet.topic == marker:
                return found
            found.append(packet)

    def ping(self):
        """A round trip: what was sent before has been dealt with."""
        self.send(raw.pingreq())
        self.expect(raw.PINGRESP)


class Client(Peer):
    """The client's side."""

    def in_version(self, kind, code):
        """A reason code of 5.0 as this client's version says it: before 5.0 CONNACK has codes of its own, SUBACK has
        one for a failure (3.1 none), and the other acknowledgements have none."""
        if self.version == raw.V5 or code <= 0x80:
            return code
        if kind == raw.CONNACK:
            return raw.CONNACK_BEFORE_5[code]
        return 0x80 if kind == raw.SUBACK and self.version == raw.V311 else 0

    def connect(self, client_id="", code=0, timeout=TIMEOUT, **options):
        """CONNECT and its CONNACK, which must have this code (in_version)."""
        self.client_id = client_id
        self.send(raw.connect(self.version, client_id, **options))
        return self.expect(raw.CONNACK, timeout, code=self.in_version(raw.CONNACK, code))

    def expect_disconnect(self, *codes):
        """The end of the connection: with a DISCONNECT that has one of these codes in 5.0, without a word before."""
        packets = self.until_closed()
        if self.version == raw.V5:
            assert [packet.name for packet in packets] == ["DISCONNECT"], [str(packet) for packet in packets]
            assert packets[0].code in codes, f"{packets[0]}, wanted {[hex(code) for code in codes]}"
        else:
            assert packets == [], [str(packet) for packet in packets]

    def subscribe(self, *filters, qos=0, codes=None, props=()):
        """SUBSCRIBE and its SUBACK. filters: names, or (name, options); codes: what SUBACK must say (in_version)."""
        pairs = [(item, qos) if isinstance(item, str) else item for item in filters]
        packet_id = next(self.identifiers)
        self.send(raw.subscribe(self.version, packet_id, pairs, props))
        answer = self.expect(raw.SUBACK, packet_id=packet_id)
        if codes is None:
            assert all(code < 0x80 for code in answer.codes), f"refused: {answer}"
        else:
            wanted = [self.in_version(raw.SUBACK, code) for code in codes]
            assert answer.codes == wanted, f"{answer} instead of {[hex(code) for code in wanted]}"
        assert len(answer.codes) == len(pairs)
        return answer

    def unsubscribe(self, *filters):
        packet_id = next(self.identifiers)
        self.send(raw.unsubscribe(self.version, packet_id, filters))
        return self.expect(raw.UNSUBACK, packet_id=packet_id)

    def publish(self, topic, payload=b"", qos=0, code=0, **options):
        """PUBLISH and the whole acknowledgement; code: what PUBACK or PUBREC must say (in_version). Returns the packet
        id."""
        code = self.in_version(raw.PUBACK, code)
        packet_id = options.pop("packet_id", None) or (next(self.identifiers) if qos else None)
        self.send(raw.publish(self.version, topic, payload, qos=qos, packet_id=packet_id, **options))
        if qos == 1:
            answer = self.expect(raw.PUBACK, packet_id=packet_id)
            assert answer.code == code or (code == 0 and answer.code == 0x10), f"{answer}, wanted 0x{code:02x}"
        elif qos == 2:
            answer = self.expect(raw.PUBREC, packet_id=packet_id)
            assert answer.code == code or (code == 0 and answer.code == 0x10), f"{answer}, wanted 0x{code:02x}"
            if answer.code < 0x80:
                self.send(raw.ack(raw.PUBREL, self.version, packet_id))
                self.expect(raw.PUBCOMP, packet_id=packet_id, code=0)
        return packet_id

    def disconnect(self, code=None, props=None):
        self.send(raw.disconnect(self.version, code, props))
        with contextlib.suppress(OSError):
            self.until_closed()
        self.abort()


def dial(address, context=None, server_name="localhost", session=None, source=None, receive_buffer=None):
    """A TCP or (with an SSL context) TLS connection."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        if context:
            sock = context.wrap_socket(sock, server_hostname=server_name, session=session)
    except BaseException:
        sock.close()
        raise
    return sock


class FakeBroker:
    """A broker of which a test plays the part: it accepts, and the test reads and writes packets."""

    def __init__(self, receive_buffer=None):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.peers = []

    def accept(self, timeout=TIMEOUT):
        """The next connection, nothing read from it."""
        self.listener.settimeout(timeout)
        sock, _ = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock, raw.V5)
        self.peers.append(peer)
        return peer

    def accept_connect(self, timeout=TIMEOUT):
        """The next connection and its CONNECT: (peer, packet)."""
        peer = self.accept(timeout)
        packet = peer.expect(raw.CONNECT, timeout)
        peer.version = packet.version
        return peer, packet

    def accept_session(self, props=(), session_present=False):
        """The next connection, CONNECT answered with success: (peer, packet)."""
        peer, packet = self.accept_connect()
        peer.send(raw.connack(peer.version, 0, session_present, props))
        return peer, packet

    def stop(self):
        for peer in self.peers:
            peer.abort()
        self.listener.close()
