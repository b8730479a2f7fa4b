# SPDX-License-Identifier: Apache-2.0
"""A relay between mqward and its Redis: counts commands, and keeps answers back for as long as a test wants."""
import contextlib
import socket
import threading
import time

from peer import TIMEOUT


class Relay:
    """Listens on .port, and connects to Redis for each who comes. delay: seconds of each portion of answers."""

    def __init__(self, redis_port):
        self.redis_port, self.delay = redis_port, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.pairs, self.names, self.held = [], [], False
        self.upward = False  # a command has come, and no answer behind it
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self):
        """From now on no answer goes on."""
        with self.changed:
            self.held = True
            self.names.clear()

    def release(self):
        with self.changed:
            self.held = False
            self.changed.notify_all()

    def wait_for(self, name, count=1):
        """Waits for so many commands of this name since hold()."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.names.count(name) >= count, TIMEOUT), self.names

    def count(self, name):
        with self.changed:
            return self.names.count(name)

    def wait_answered(self):
        """Waits until an answer has gone on behind the last command."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.upward, TIMEOUT)

    def cut(self):
        """All connections break; an answer that is kept back goes nowhere any more."""
        with self.changed:
            pairs, self.pairs = self.pairs, []
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.release()

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.redis_port))
            except OSError:
                near.close()
                continue
            with self.changed:
                self.pairs.append((near, far))
            for carry, source, target in ((self._up, near, far), (self._down, far, near)):
                threading.Thread(target=self._carry, args=(carry, source, target), daemon=True).start()

    def _carry(self, carry, source, target):
        with contextlib.suppress(OSError):
            carry(source, target)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def _up(self, near, far):
        buffer = bytearray()
        while data := near.recv(65536):
            buffer += data
            with self.changed:
                self.upward = True
                self.names += take_names(buffer)
                self.changed.notify_all()
            far.sendall(data)

    def _down(self, far, near):
        while data := far.recv(65536):
            with self.changed:
                self.changed.wait_for(lambda: not self.held)
            time.sleep(self.delay)
            near.sendall(data)
            with self.changed:
                self.upward = False
                self.changed.notify_all()


def take_names(buffer):
    """The names of the whole commands at the buffer's start, which are taken from it."""
    names = []
    while command := _command(buffer):
        name, size = command
        names.append(name)
        del buffer[:size]
    return names


def _command(buffer):
    """(name, size) of the command at the start; None: it is not whole yet."""
    end = buffer.find(b"\r\n")
    if end < 0:
        return None
    assert buffer[:1] == b"*", bytes(buffer[:40])
    words, position = [], end + 2
    for _ in range(int(buffer[1:end])):
        end = buffer.find(b"\r\n", position)
        if end < 0:
            return None
        size = int(buffer[position + 1:end])
        words.append(bytes(buffer[end + 2:end + 2 + size]))
        position = end + 2 + size + 2
    return (words[0].decode(), position) if len(buffer) >= position else None
