# SPDX-License-Identifier: Apache-2.0
"""Statements of the MQTT specifications as tests, each run against the broker itself and then through mqward.

    @statement("MQTT-3.12.4-1")
    def test_pingreq_is_answered(broker):
        broker.connected().ping()

The body asserts what the statement says of a server, and may return what it observed (reason codes, the order of
packets): that must be equal in both runs. It gets a Target and, where pytest parametrizes it, the parameters.

| direct | through mqward | verdict |
|---|---|---|
| passes | passes | good, if both return the same |
| fails  | fails  | good, if the failure is the same and DEVIATIONS (deviations.py) says what the broker does instead |
| fails  | passes | good, if STRICTER says what mqward refuses although the broker lets it pass |
| passes | fails  | a bug of mqward |

An entry of either table that is no longer true fails, too. With --conformance-target HOST:PORT, or the environment
variable MQWARD_CONFORMANCE_TARGET, each statement is run once, against that server, and simply asserted: then neither
table is looked at, and neither mqward nor Mosquitto is started.
"""
import functools
import inspect
import itertools
import os
import re
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

import raw
from deviations import DEVIATIONS, STRICTER
from peer import Client, dial

# Everything is allowed, and limits are out of the way.
POLICY = """\
version: 1
policy: allow-all
mode: enforce
identity:
  - anonymous: {id: anonymous}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#", "$conformance/#"]
    features: [shared]
  - rule: status
    who: everyone
    allow: [subscribe]
    topics: ["$SYS/#"]
limits: {packet: 16MiB, subscriptions: 1000000}
audit: {deny: all, allow: 0%, payload: hash}
"""
# A SUBSCRIBE of many filters may have much to tell: the ring is as large as it is where nobody says.
CONFIGURATION = {"limits": {"filters": 65535}, "audit": {"ring": "8MiB"}}

HESITATION = 0.5  # seconds: a server that has not refused by then is asked with a PINGREQ whether it will
FIRST_ANSWER = 30.0  # seconds: a CONNECT can't be followed by a PINGREQ, so its answer is waited for
COUNTER = itertools.count(1)
REGISTRY = []  # all that @statement has decorated


class Target:
    """The server of one run of one test: where it is, and names that nobody else uses."""

    def __init__(self, address, version):
        self.address, self.version = address, version
        self.root = f"conformance/{os.getpid()}-{next(COUNTER)}"
        self.dollar_root = f"${self.root}"  # for topics that begin with $
        self.clients, self.names = [], []
        self.last_name = 0

    # ---- names ----

    def name(self, prefix="c"):
        """A fresh client id; at most 23 letters and digits, which every server must take."""
        self.last_name += 1
        name = f"{prefix}{os.getpid()}n{self.root.rsplit('-', 1)[1]}n{self.last_name}"
        self.names.append(name)
        return name

    def topic(self, suffix="t"):
        return f"{self.root}/{suffix}"

    # ---- clients ----

    def client(self, version=None):
        """A connection on which nothing was sent yet."""
        client = Client(dial(self.address), version or self.version)
        self.clients.append(client)
        return client

    def connected(self, client_id=None, *, version=None, **options):
        """A client after its CONNACK 0. Without a client_id it gets a fresh one."""
        client = self.client(version)
        client.connect(self.name() if client_id is None else client_id, **options)
        return client

    def subscribed(self, *filters, qos=0, client_id=None, **options):
        """A connected client that has subscribed, by default to everything below the root."""
        client = self.connected(client_id, **options)
        client.subscribe(*(filters or (f"{self.root}/#",)), qos=qos)
        return client

    # ---- what many tests look at ----

    def expect_refused(self, client, connected=True):
        """The server ends the connection, saying at most one CONNACK or DISCONNECT. Returns what it said, as ((name,
        code),). connected: CONNACK 0 has been received, so that a PINGREQ can show that the server goes on."""
        packets = self._until_closed(client, connected)
        said = tuple((packet.name, packet.code) for packet in packets)
        assert len(said) <= 1, f"more than one packet before the end: {said}"
        assert not said or packets[0].type in (raw.CONNACK, raw.DISCONNECT), f"an answer instead of the end: {said}"
        assert not said or packets[0].code != 0, f"success instead of a refusal: {said}"
        if self.version != raw.V5:
            assert not said or packets[0].type == raw.CONNACK, "a DISCONNECT of the server before 5.0"
        return said

    def _until_closed(self, client, connected):
        packets = []
        asked = not connected
        while True:
            try:
                packet = client.receive(FIRST_ANSWER if asked else HESITATION)
            except TimeoutError:
                assert not asked, "the server does not end the connection"
                asked = True
                self._ask(client)
                continue
            if packet is None:
                return packets
            assert packet.type != raw.PINGRESP, "the server goes on with the connection"
            assert packet.type != raw.CONNACK or packet.code or connected, "the server takes the connection"
            packets.append(packet)

    @staticmethod
    def _ask(client):
        try:
            client.send(raw.pingreq())
        except OSError:
            pass  # it has just been closed: the next receive() says so

    def delivered(self, subscriber, *senders):
        """All messages that the subscriber (of the root or of self.topic("marker")) has got once all that the senders
        sent has been dealt with."""
        for sender in senders:
            sender.ping()
        marker = self.topic("marker")
        with self.connected(version=subscriber.version) as control:
            control.publish(marker, qos=1)
            return subscriber.messages_until(marker)

    def nothing_more(self, client):
        """A round trip brings no packet but its own answer."""
        client.ping()

    def gone(self, observer, client, close=None):
        """Ends a client's connection without DISCONNECT and waits until the server knows. The client must have been
        connected with will=broker.farewell(); the observer has subscribed to broker.topic("farewell")."""
        (close or client.abort)()
        message = observer.message()
        assert message.topic == self.topic("farewell"), f"{message} instead of the will"

    def farewell(self):
        """A will that shows that the server has noticed the end of a connection."""
        return raw.Will(self.topic("farewell"), b"gone")

    # ---- end ----

    def finish(self):
        """Leaves the server as it was: no connection, no session and no retained message of this run."""
        for client in self.clients:
            client.abort()
        for name in self.names:
            self._end_session(name)
        with Client(dial(self.address), raw.V311) as sweeper:
            sweeper.connect()
            swept = f"{self.root}/swept"
            sweeper.send(raw.subscribe(raw.V311, 1, [(f"{self.root}/#", 0), (f"{self.dollar_root}/#", 0)])
                         + raw.publish(raw.V311, swept))
            while (packet := sweeper.receive()).topic != swept:
                if packet.retain:
                    sweeper.send(raw.publish(raw.V311, packet.topic, retain=True))
            sweeper.disconnect()

    def _end_session(self, name):
        with Client(dial(self.address), raw.V311) as client:
            client.connect(name)
            client.send(raw.disconnect(raw.V311))


@dataclass
class Outcome:
    """What one run of a test came to: a value, or a failure."""
    value: object = None
    error: BaseException = None
    kind: tuple = ()

    @property
    def passed(self):
        return self.error is None


def run(body, target, arguments):
    """Runs a test's body; its failure is described so that two runs can be compared."""
    try:
        return Outcome(body(target, **arguments))
    except (Exception, pytest.fail.Exception) as error:
        return Outcome(error=error, kind=failure_kind(error, body, target))


def failure_kind(error, body, target):
    """Type, place in the test and first line of a failure, without what differs from run to run."""
    file = inspect.getsourcefile(body)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    text = (str(error).splitlines() or [""])[0].replace(target.root, "ROOT")
    for name in target.names:
        text = text.replace(name, "NAME")
    text = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text)
    return type(error).__name__, lines[-1] if lines else 0, text


def judge(key, direct, through):
    """Fails unless the two outcomes agree or their difference is known."""
    __tracebackhide__ = True
    known = [name for name, table in (("DEVIATIONS", DEVIATIONS), ("STRICTER", STRICTER)) if key in table]
    if direct.passed and not through.passed:
        raise AssertionError(f"passes against the broker, fails through mqward: {through.error!r}") from through.error
    if not direct.passed and not through.passed:
        if direct.kind != through.kind:
            raise AssertionError(f"fails differently: directly {direct.kind}, through mqward {through.kind}") \
                from through.error
        if known != ["DEVIATIONS"]:
            raise AssertionError(f"fails against the broker, too: the test is wrong, or the broker deviates and "
                                 f"DEVIATIONS[{key!r}] must say how: {direct.error!r}") from direct.error
    elif not direct.passed:
        if known != ["STRICTER"]:
            raise AssertionError(f"passes through mqward only: STRICTER[{key!r}] must say why: {direct.error!r}") \
                from direct.error
    else:
        assert not known, f"passes: the entry {key!r} of {known} is no longer true"
        assert direct.value == through.value, f"directly {direct.value!r}, through mqward {through.value!r}"


class Servers:
    """The servers under test, as the fixture of a file gives them: (direct, through), or a single foreign one."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def run(self, body, version, key, arguments, at_once):
        __tracebackhide__ = True
        targets = [Target(address, version) for address in self.addresses]
        with ThreadPoolExecutor(len(targets) if at_once else 1) as pool:
            outcomes = list(pool.map(lambda target: self._run(body, target, arguments), targets))
        if len(outcomes) == 1:
            if outcomes[0].error is not None:
                raise outcomes[0].error
            return
        judge(key, *outcomes)

    @staticmethod
    def _run(body, target, arguments):
        outcome = run(body, target, arguments)
        try:
            target.finish()
        except Exception as error:
            outcome = outcome if not outcome.passed else Outcome(error=error, kind=failure_kind(error, body, target))
        return outcome


@dataclass(frozen=True)
class Entry:
    module: str
    name: str
    statements: tuple
    versions: tuple

    @property
    def key(self):
        return f"{self.module}::{self.name}"


def statement(*identifiers, version=raw.V311, at_once=False):
    """Makes a test of a function of a Target. identifiers: the statements that it tests; none for behaviour that
    clients rely on and the specification does not number. version: one, or a tuple of them, of which each is run.
    at_once: both runs at the same time, for a test that mostly waits and names nothing but what its Target gave it.
    The key of a test in the tables is "file::test" or, parametrized, "file::test[parameters]"."""
    versions = version if isinstance(version, tuple) else (version,)

    def decorate(body):
        REGISTRY.append(Entry(body.__module__, body.__name__, identifiers, versions))
        first, *others = inspect.signature(body).parameters.values()
        several = len(versions) > 1

        @functools.wraps(body)
        def test(conformance_servers, request, **arguments):
            __tracebackhide__ = True
            wanted = arguments.pop("conformance_version") if several else versions[0]
            conformance_servers.run(body, wanted, f"{body.__module__}::{request.node.name}", arguments,
                                    at_once)

        keyword = inspect.Parameter.KEYWORD_ONLY
        names = ["conformance_servers", "request"] + (["conformance_version"] if several else [])
        test.__signature__ = inspect.Signature([inspect.Parameter(name, keyword) for name in names]
                                               + [other.replace(kind=keyword) for other in others])
        test = pytest.mark.needs("mosquitto")(test)  # the tables are about it
        if several:
            test = pytest.mark.parametrize("conformance_version", versions,
                                           ids=[raw.VERSION_NAMES[item] for item in versions])(test)
        return test

    return decorate


def parse_target(text):
    """"host:port" as an address of IPv4."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise pytest.UsageError(f"--conformance-target {text!r} must be HOST:PORT")
    return socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4]
