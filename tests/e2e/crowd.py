# SPDX-License-Identifier: Apache-2.0
"""Thousands of MQTT clients in one thread: real TCP connections, one epoll. Each takes notes of what it got."""
import resource
import select
import socket
import struct
import time

import raw

OPENING = 256  # connections whose CONNACK is awaited at the same time


def possible(wanted, descriptors_each=2, others=200):
    """So many connections at most as one process may have descriptors for, with so many for each."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(wanted, (limit - others) // descriptors_each)


class Member:
    """One connection. On a PUBLISH it answers with PUBACK by itself."""

    def __init__(self, crowd, port, client_id, version):
        self.crowd, self.client_id, self.version = crowd, client_id, version
        self.received = []      # (topic, payload)
        self.granted = []       # codes of all SUBACKs
        self.answers = []       # (payload, code of its PUBACK, seconds until it came)
        self.refused = None     # reason code of CONNACK, if it was not 0
        self.pongs = 0
        self.open = self.closed = False
        self.sending = {}       # packet id: (payload, when)
        self.identifier = 0
        self.buffer = bytearray()
        self.outgoing = bytearray()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(("127.0.0.1", port))
        self.send(raw.connect(version, client_id, keep_alive=0))

    def next_identifier(self):
        self.identifier = self.identifier % 65535 + 1
        return self.identifier

    def send(self, data):
        self.outgoing += data
        self.crowd.want_write(self)

    def subscribe(self, *filters):
        self.send(raw.subscribe(self.version, self.next_identifier(), [(name, 1) for name in filters]))

    def publish(self, topic, payload):
        """At QoS 1."""
        identifier = self.next_identifier()
        assert identifier not in self.sending
        self.sending[identifier] = (payload, time.monotonic())
        self.send(raw.publish(self.version, topic, payload, qos=1, packet_id=identifier))

    def take(self, packet):
        if packet.type == raw.CONNACK:
            self.refused = packet.code or None
            self.open = packet.code == 0
        elif packet.type == raw.PUBLISH:
            self.received.append((packet.topic, packet.payload))
            if packet.qos:
                self.send(raw.ack(raw.PUBACK, self.version, packet.packet_id))
        elif packet.type == raw.PUBACK:
            payload, when = self.sending.pop(packet.packet_id)
            self.answers.append((payload, packet.code, time.monotonic() - when))
        elif packet.type == raw.SUBACK:
            self.granted += packet.codes
        elif packet.type == raw.PINGRESP:
            self.pongs += 1
        else:
            raise AssertionError(f"{self.client_id} got {packet}")

    def on_readable(self):
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed, self.open = True, False
            self.crowd.forget(self)
            return
        self.buffer += data
        while (packet := raw.take_packet(self.buffer, self.version)) is not None:
            self.take(packet)

    def on_writable(self):
        """False if there is more to write."""
        try:
            del self.outgoing[:self.sock.send(self.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            return True  # reading tells
        return not self.outgoing


class Crowd:
    def __init__(self):
        self.epoll = select.epoll()
        self.members = {}  # by descriptor
        self.writers = set()

    def member(self, port, client_id, version):
        return Member(self, port, client_id, version)

    def want_write(self, member):
        fd = member.sock.fileno()
        if fd not in self.members:
            self.members[fd] = member
            self.epoll.register(fd, select.EPOLLIN | select.EPOLLOUT)
            self.writers.add(fd)
        elif fd not in self.writers and not (member.open and member.on_writable()):
            self.writers.add(fd)
            self.epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def forget(self, member):
        fd = member.sock.fileno()
        self.epoll.unregister(fd)
        self.writers.discard(fd)
        self.members.pop(fd)
        member.sock.close()

    def turn(self, seconds=0.02):
        """Deals with what is there, for so long at most while nothing is."""
        for fd, events in self.epoll.poll(seconds, 4096):
            member = self.members.get(fd)
            if member is None:
                continue
            if events & ~select.EPOLLOUT:
                member.on_readable()
            if events & select.EPOLLOUT and fd in self.members and member.on_writable():
                self.writers.discard(fd)
                self.epoll.modify(fd, select.EPOLLIN)

    def run_until(self, condition, what, timeout=30, every=0.0):
        """Turns until condition() is true, which is asked every so many seconds."""
        deadline, ask = time.monotonic() + timeout, 0.0
        while True:
            now = time.monotonic()
            if now >= ask:
                if condition():
                    return
                ask = time.monotonic() + every
            assert now < deadline, f"not within {timeout} s: {what}"
            self.turn()

    def open_all(self, port, client_ids, version_of, timeout=60):
        """Members for all client ids, in order, each after its CONNACK."""
        opened, waiting = [], []
        deadline = time.monotonic() + timeout
        for index, client_id in enumerate(client_ids):
            waiting.append(self.member(port, client_id, version_of(index)))
            opened.append(waiting[-1])
            while len(waiting) >= OPENING or (waiting and index == len(client_ids) - 1):
                self.turn()
                waiting = [member for member in waiting if not member.open]
                assert not any(member.closed or member.refused for member in waiting), "a connection was refused"
                assert time.monotonic() < deadline, f"{len(opened)} of {len(client_ids)} connections in {timeout} s"
        return opened

    def close(self):
        """Without DISCONNECT, and with a reset: thousands of ports are not to wait for their time."""
        for member in list(self.members.values()):
            member.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.forget(member)
        self.epoll.close()
