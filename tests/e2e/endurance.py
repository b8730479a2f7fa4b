# SPDX-License-Identifier: Apache-2.0
"""The two ends of the endurance test, each in a process of its own: clients that have messages denied in large
batches, and a reader of the Redis stream that keeps the stream small behind itself.

What both know of a message is its number: one byte of shared memory for each says whether its sender has seen the
PUBACK, another whether the reader has seen the event. Python is slow, so nothing is parsed that can be matched."""
import contextlib
import json
import mmap
import multiprocessing
import re
import socket
import struct
import subprocess
import threading
import time

import raw

BATCH = 250      # messages that a client sends before it reads their answers
PAGE = 2000      # entries that the reader asks for at once
STALL = 120      # seconds that a client waits for an answer: as long as mqward may stop reading
TOPIC = "closed/%08d"
LINE = re.compile(rb'(?<=\r\n)\{"@timestamp"[^\r]*\}(?=\r\n)')
ENTRY = re.compile(rb'\r\n(\d+-\d+)\r\n')
ID = re.compile(rb'"id":"([0-9a-f]{16})-(\d+)"')
NUMBER = re.compile(rb'"topic":"closed/(\d{8})"')
FORK = multiprocessing.get_context("fork")


class Marks:
    """A byte for each number, shared by the processes that are forked afterwards."""

    def __init__(self, count):
        self.memory = mmap.mmap(-1, count)
        self.count = count

    def mark(self, first, count=1):
        self.memory[first:first + count] = b"\1" * count

    def missing(self, other):
        """The numbers that are marked in the other but not here."""
        return [number for number, (here, there) in enumerate(zip(self.memory[:], other.memory[:])) if there and not here]

    def total(self):
        return self.memory[:].count(1)


def numbers_for(count):
    """So many are enough for count answers, with what is under way when something is killed."""
    return count * 2 + 100000


class Senders:
    """clients connections, each sending batch after batch until count messages were answered; whatever breaks, they
    come back. The numbers whose answers were under way then are not sent again."""

    def __init__(self, port, count, clients=4):
        self.port, self.count, self.answered = port, count, Marks(numbers_for(count))
        self.next = FORK.Value("Q", 0)
        self.done = FORK.Value("Q", 0)  # answered
        self.refused = FORK.Value("Q", 0)  # answers that are not 0x87
        self.process = FORK.Process(target=self._run, args=(clients,), daemon=True)

    def _run(self, clients):
        threads = [threading.Thread(target=self._client, args=(f"sender-{index}",)) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, client_id):
        stream = None
        while (numbers := self._take()) is not None:
            while stream is None:
                stream = self._connect(client_id)
            if not self._batch(stream, numbers):
                stream.close()
                stream = None

    def _take(self):
        with self.next.get_lock():
            first = self.next.value
            if self.done.value >= self.count or first + BATCH > self.answered.count:
                return None
            self.next.value = first + BATCH
            return range(first, first + BATCH)

    def _connect(self, client_id):
        try:
            stream = socket.create_connection(("127.0.0.1", self.port), 1)
            stream.settimeout(STALL)
            stream.sendall(raw.connect(raw.V5, client_id, keep_alive=0))
            buffer = bytearray()
            while (packet := raw.take_packet(buffer, raw.V5)) is None:
                data = stream.recv(4096)
                if not data:
                    raise ConnectionError
                buffer += data
            if packet.code == 0:
                return stream
        except OSError:
            pass
        time.sleep(0.01)  # mqward is on its way up
        return None

    @staticmethod
    def _packets(numbers):
        """QoS 1, without properties; packet identifiers from 1 on."""
        topic = raw.string(TOPIC % 0)
        head = bytes([raw.PUBLISH << 4 | 2, len(topic) + 2 + 1 + 1])
        return b"".join(head + struct.pack("!H", len(topic) - 2) + (TOPIC % number).encode() + struct.pack("!H", index) + b"\0x"
                        for index, number in enumerate(numbers, 1))

    def _batch(self, stream, numbers):
        """False if the connection broke. What was answered before is noted."""
        received, length, broken = bytearray(), 5, False
        try:
            stream.sendall(self._packets(numbers))
            while len(received) < length * len(numbers):
                data = stream.recv(65536)
                if not data:
                    raise ConnectionError
                received += data
                length = 2 + received[1] if len(received) > 1 else length
        except OSError:
            broken = True
        whole = len(received) // length
        answers = received[:whole * length]
        expected = b"".join(struct.pack("!H", index) for index in range(1, whole + 1))
        right = (answers[0::length] == bytes([raw.PUBACK << 4]) * whole and answers[2::length] == expected[0::2]
                 and answers[3::length] == expected[1::2] and answers[4::length] == b"\x87" * whole)
        if not right:
            with self.refused.get_lock():
                self.refused.value += 1
            return False
        self.answered.mark(numbers[0], whole)
        with self.done.get_lock():
            self.done.value += whole
        return not broken


class Reader:
    """Reads a stream page by page, trims it behind itself, and pipes the lines into a command (None: nowhere)."""

    def __init__(self, port, stream, count, command=None, log_path=None):
        self.port, self.stream, self.command, self.log_path = port, stream, command, log_path
        self.seen = Marks(numbers_for(count))
        self.stopping = FORK.Event()
        self.lines = FORK.Value("Q", 0)
        self.results, end = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self._run, args=(end,), daemon=True)

    # ---- in the process ----

    def _run(self, end):
        self.epochs, self.gaps, self.repeats, self.verifier = {}, [], 0, None
        connection, last = None, "0-0"
        while True:
            stopping = self.stopping.is_set()
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.port), 5)
                connection.settimeout(5)
                page = self._ask(connection, "XRANGE", self.stream, "(" + last, "+", "COUNT", str(PAGE))
                identifiers = ENTRY.findall(page)
                self._take(LINE.findall(page))
                if identifiers:
                    last = identifiers[-1].decode()
                    self._ask(connection, "XTRIM", self.stream, "MINID", last)
                elif page == b"*0\r\n":
                    if stopping:
                        break
                    time.sleep(0.02)
                else:  # it is loading
                    time.sleep(0.05)
            except OSError:  # it was killed
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.05)
        status = None
        if self.verifier is not None:
            self.verifier.stdin.close()
            status = self.verifier.wait()
        missing = {epoch: sum(1 for mark in marks[1:] if not mark) for epoch, marks in self.epochs.items()}
        end.send({"epochs": {epoch: len(marks) - 1 for epoch, marks in self.epochs.items()}, "missing": missing,
                  "gaps": self.gaps, "repeats": self.repeats, "verified": status})

    @staticmethod
    def _ask(connection, *words):
        """The answer's bytes. Within a line there is no CR LF, so the answer to the second command is its end."""
        def command(*parts):
            return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part.encode()) for part in parts)
        connection.sendall(command(*words) + command("ECHO", "end"))
        received = bytearray()
        while not received.endswith(b"$3\r\nend\r\n"):
            data = connection.recv(1 << 20)
            if not data:
                raise ConnectionError
            received += data
            if received.startswith(b"-LOADING") and received.count(b"\r\n") >= 2:
                raise ConnectionError
        return bytes(received[:-9])

    def _take(self, lines):
        if lines and self.command and self.verifier is None:
            with open(self.log_path, "wb") as log:
                self.verifier = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        if self.verifier is not None:
            with contextlib.suppress(BrokenPipeError):  # its status will tell
                self.verifier.stdin.write(b"\n".join(lines) + b"\n" if lines else b"")
        for line in lines:
            number = NUMBER.search(line)
            if number:
                self.seen.memory[int(number[1])] = 1
            epoch, sequence = ID.search(line).groups()
            marks, sequence = self.epochs.setdefault(epoch.decode(), bytearray(1)), int(sequence)
            if len(marks) <= sequence:
                marks.extend(bytes(sequence + 1 - len(marks)))
            self.repeats += marks[sequence]
            marks[sequence] = 1
            if b'"action":"audit-gap"' in line:
                self.gaps.append(json.loads(line))
        self.lines.value += len(lines)

    # ---- outside ----

    def finish(self, timeout=60):
        """Reads what is there, and returns what was found: epochs (the highest sequence of each), missing, gaps,
        repeats, verified (the command's status)."""
        self.stopping.set()
        assert self.results.poll(timeout), "the reader does not end"
        return self.results.recv()


class Watch:
    """Samples a process's resident memory from a thread."""

    def __init__(self, process):
        self.process, self.highest, self.samples = process, 0, 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.05):
            with contextlib.suppress(OSError, TypeError, AttributeError):  # it was killed just now
                self.highest = max(self.highest, self.process.resident())
                self.samples += 1

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self.highest
