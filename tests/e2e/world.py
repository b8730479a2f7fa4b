# SPDX-License-Identifier: Apache-2.0
"""A world: the broker of this run behind mqward, Redis beside it, and clients in front of both."""
import itertools
import os
import shutil

import pytest

import brokers
import ecs
import raw
from audit import Audit
from peer import Client, FakeBroker, dial
from servers import Mqward, Redis, free_port, make_password_file, merge

ALLOW_ALL = """\
version: 1
policy: allow-all
mode: enforce
identity:
  - anonymous: {id: anonymous}
rules:
  - rule: all
    who: everyone
    allow: [publish, subscribe]
    topics: ["#"]
audit: {deny: all, allow: 0%, payload: hash}
"""


class World:
    """broker, redis: True, False (none; Redis: not yet), or a dict of its options; broker may be "fake", too.
    passwords: users of the password file "users". configuration: merged over the standard mqward.yaml."""

    def __init__(self, folder, certs, policy=ALLOW_ALL, *, broker=True, redis=True, passwords=None, configuration=None,
                 listeners=None, start=True):
        self.folder, self.certs, self.policy = str(folder), certs, policy
        self.counter = itertools.count(1)
        self.audit = self.redis = self.broker = self.fake = self.proxy = self.journal = None
        self.clients = []
        try:
            self._start_broker(broker)
            self._start_redis(redis)
            self.proxy = Mqward(os.path.join(self.folder, "mqward"),
                                self._configuration(listeners, configuration or {}, passwords), policy)
            self.journal = ecs.Journal(os.path.join(self.proxy.folder, self.proxy.configuration["audit"]["directory"]))
            if passwords:
                make_password_file(os.path.join(self.proxy.folder, "users.passwd"), passwords)
            if start:
                self.proxy.start()
        except BaseException:
            self.stop()
            raise

    def _start_broker(self, broker):
        if not broker:
            self.broker_port = free_port()
        elif broker == "fake":
            if brokers.chosen().name != "mosquitto":
                pytest.skip("plays the broker itself: runs with --broker mosquitto")
            self.fake = FakeBroker()
            self.broker_port = self.fake.port
        else:
            options = broker if isinstance(broker, dict) else {}
            self.broker = brokers.chosen()(os.path.join(self.folder, "broker"), **options)
            self.broker_port = self.broker.port
            self.broker.start()

    def _start_redis(self, redis):
        options = dict(redis) if isinstance(redis, dict) else {}
        self.redis = Redis(os.path.join(self.folder, "redis"), **options)
        if redis:
            self.redis.start()
        self.audit = Audit(self.redis.port, password=options.get("password"))

    def _configuration(self, listeners, changes, passwords):
        tls = {"certificate": self.certs.server[0], "key": self.certs.server[1], "client_certificate": "optional",
               "client_ca": ["fleet"]}
        base = {
            "version": 1,
            "workers": 2,
            "policy": "policy.yaml",
            "listeners": listeners or [
                {"name": "plain", "address": "127.0.0.1:0", "plaintext": True},
                {"name": "tls", "address": "127.0.0.1:0", "tls": tls},
            ],
            "upstreams": [{"name": "main", "address": f"127.0.0.1:{self.broker_port}",
                           "timeouts": {"connect": "5s", "connack": "20s"}}],
            "cas": {"fleet": self.certs.fleet_ca.path, "server": self.certs.server_ca.path, "broker-ca": self.certs.broker_ca.path,
                    "foreign": self.certs.foreign_ca.path},
            # each event by itself: tests of floods set aggregate
            "audit": {"directory": "audit", "fsync": "100ms", "ring": "1MiB", "aggregate": "0s",
                      "sinks": [{"name": "siem", "redis": {"address": f"127.0.0.1:{self.redis.port}",
                                                           "stream": "mqward:audit", "timeout": "2s"}}]},
            "log": {"level": "debug", "format": "json"},
            "drain": "1s",
        }
        if passwords:
            base["password_files"] = {"users": "users.passwd"}
        return merge(base, changes)

    # ---- clients ----

    def name(self, prefix="client"):
        return f"{prefix}-{next(self.counter)}"

    @property
    def version(self):
        """The newest version of MQTT that the broker speaks."""
        return self.broker.versions()[-1] if self.broker else raw.V5

    def qos(self, qos):
        """The QoS at which the broker does what it is asked to do at qos: it may know fewer of them."""
        return min(qos, self.broker.highest_qos) if self.broker else qos

    def client(self, version=None, *, listener=None, certificate=None, tls=False, context=None, **options):
        """A connection to mqward on which nothing was sent yet. TLS when asked for or with a certificate. Without a
        version, it is the newest of the broker."""
        tls = tls or certificate is not None or context is not None
        if tls and context is None:
            context = self.certs.context(certificate)
        port = self.proxy.ports[listener or ("tls" if tls else "plain")]
        client = Client(dial(("127.0.0.1", port), context if tls else None, **options), version or self.version)
        self.clients.append(client)
        return client

    def connected(self, client_id=None, version=None, *, listener=None, certificate=None, tls=False, **options):
        """A client after its CONNACK."""
        client = self.client(version, listener=listener, certificate=certificate, tls=tls)
        client.connect(self.name() if client_id is None else client_id, **options)
        return client

    def direct(self, client_id=None, version=None, **options):
        """A client of the broker itself, past mqward."""
        client = Client(dial(("127.0.0.1", self.broker_port)), version or self.version)
        self.clients.append(client)
        client.connect(self.name("direct") if client_id is None else client_id, **options)
        return client

    def observer(self, *filters, qos=0):
        """A client of the broker itself that sees what arrives there."""
        observer = self.direct()
        observer.subscribe(*(filters or ("#",)), *(("zz/marker/#",) if filters else ()), qos=qos)
        return observer

    def arrived(self, observer, *senders):
        """What the observer has got once all that the senders sent has been dealt with."""
        for sender in senders:
            sender.ping()
        marker = f"zz/marker/{next(self.counter)}"
        with self.direct() as control:
            control.publish(marker, qos=1)
            return observer.messages_until(marker)

    def ended(self, client):
        """Ends the client's session, and waits for the last of its events: what else it was the cause of is there, too."""
        client.disconnect()
        self.audit.wait_for(action="mqtt-disconnect", client_id=client.client_id)

    def line(self, text, occurrence=1):
        """Where the policy says text: "policy.yaml:12"."""
        lines = [number for number, line in enumerate(self.policy.splitlines(), 1) if text in line]
        return f"policy.yaml:{lines[occurrence - 1]}"

    # ---- end ----

    def check(self):
        if self.proxy and self.proxy.process and not getattr(self, "killed", False):
            self.proxy.check()
        if self.journal:
            self.journal.check()

    def stop(self):
        """Ends all; fails if mqward does not end well. Idempotent."""
        for client in self.clients:
            client.abort()
        self.clients = []
        for peer in self.fake.peers if self.fake else ():
            peer.abort()
        try:
            if self.proxy:
                self.proxy.finish()
            if self.journal:
                self.journal.check()
        finally:
            for server in (self.proxy, self.fake, self.broker, self.redis):
                if server:
                    server.stop()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
