# SPDX-License-Identifier: Apache-2.0
"""What the tests ask of a broker, and what a broker may be unable to do."""
import raw
from processes import Process

# What @pytest.mark.needs(...) may ask for. Each broker says which of it is its own.
FEATURES = {
    "v3.1": "MQTT 3.1",
    "v3.1.1": "MQTT 3.1.1",
    "v5.0": "MQTT 5.0",
    "qos2": "messages of QoS 2",
    "shared": "shared subscriptions ($share)",
    "suback-each": "a code in SUBACK for each filter, also for one that is there twice [MQTT-3.9.3-1]",
    "isolation": "that a client which does not read or floods holds up no other",
    "retained-wildcard": "retained messages for filters with wildcards",
    "mosquitto": "Mosquitto, its log or its configuration",
    "no-5.0": "a broker that does not speak MQTT 5.0",
}
VERSION_FEATURES = {version: f"v{name}" for version, name in raw.VERSION_NAMES.items()}


class Broker(Process):
    """A broker of one world: its own sessions, retained messages and users, on a port of loopback.

    tls: (certificate, key); client_ca: clients need a certificate of it; passwords: users and passwords, without
    which nobody gets in; without passwords, everybody does."""
    features = frozenset()
    highest_qos = 2  # it takes and delivers everything above as if it were this
    session_present_in_31 = False  # it sets the flag although only 3.1.1 has brought it
    topic_levels = 150  # it takes topics of so many levels
    delivers_before_unsuback = True  # a message on its way when UNSUBSCRIBE comes is delivered all the same
    crowd = 1000  # so many clients at once take it seconds, not minutes
    keep_alive_reasons = ("keep_alive_timeout",)  # why mqward ends a quiet connection

    def __init__(self, folder, tls=None, client_ca=None, passwords=None):
        super().__init__(folder)
        self.tls, self.client_ca, self.passwords = tls, client_ca, passwords

    @classmethod
    def versions(cls):
        """The versions of MQTT that it speaks, oldest first."""
        return tuple(version for version in raw.VERSIONS if VERSION_FEATURES[version] in cls.features)

    @classmethod
    def lacks(cls, features):
        """Which of these features it does not have."""
        return [feature for feature in features if feature not in cls.features]

    @classmethod
    def prepare(cls, certs):
        """Learns of the certificates of this run before the first world."""

    @classmethod
    def shut_down(cls):
        """Ends what outlives the worlds, at the end of the run."""

    def subscriptions(self, client_id):
        """What a connected client has subscribed: {filter: QoS asked for, or granted}."""
        raise NotImplementedError

    def knows(self, client_id):
        """Whether a CONNECT with this client id has ever reached it."""
        raise NotImplementedError

    def received(self, client_id):
        """The topics that this client's PUBLISH packets had when they reached it."""
        raise NotImplementedError

    def wait_gone(self, client_id):
        """Waits until it has noticed the end of this client's connection."""
        raise NotImplementedError
