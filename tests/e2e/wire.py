# SPDX-License-Identifier: Apache-2.0
"""A wire between mqward and its broker that loses what a test wants it to lose, and breaks when it says so."""
import contextlib
import select
import socket
import threading

import raw
from peer import TIMEOUT

FROM_CLIENT, FROM_BROKER = "client", "broker"


class Wire:
    """Listens on .port, and connects to the broker's port for each who comes."""

    def __init__(self, broker_port):
        self.broker_port = broker_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.pairs, self.losing, self.lost = [], set(), []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, *kinds):
        """From now on packets of these kinds do not arrive: (FROM_BROKER, raw.PUBACK). Without any: all do."""
        with self.changed:
            self.losing = set(kinds)
            self.lost.clear()

    def wait_lost(self, count=1):
        """Waits until count packets were lost since lose(); returns them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lost) >= count, TIMEOUT), f"lost: {self.lost}"
            return list(self.lost)

    def cut(self):
        """All connections break, both ends of each."""
        with self.changed:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.broker_port))
            except OSError:
                if self.listener.fileno() == -1:
                    return
                near.close()
                continue
            with self.changed:
                self.pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near, far):
        buffers, version = {near: bytearray(), far: bytearray()}, raw.V5
        try:
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    buffers[source] += data
                    version = self._pass(buffers[source], version, FROM_CLIENT if source is near else FROM_BROKER,
                                         far if source is near else near)
        except (OSError, ValueError):  # ValueError: closed meanwhile by the test
            pass
        finally:
            near.close()
            far.close()

    def _pass(self, buffer, version, side, target):
        while True:
            packet = raw.take_packet(buffer, version)
            if packet is None:
                return version
            if packet.type == raw.CONNECT:
                version = packet.version
            with self.changed:
                lost = (side, packet.type) in self.losing
                if lost:
                    self.lost.append(packet)
                    self.changed.notify_all()
            if not lost:
                target.sendall(packet.raw)
