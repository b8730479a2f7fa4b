# SPDX-License-Identifier: Apache-2.0
"""The vectors of payload signatures, through mqward with raw clients."""
import pytest

import raw
from mps1_packets import fits, properties, send_publish, will
from mps1_table import fresh

pytestmark = pytest.mark.brokerless
versions = pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=lambda version: f"v{raw.VERSION_NAMES[version]}")


@pytest.fixture(scope="module")
def vectors():
    return fresh()["vectors"]


@pytest.fixture
def world(make_world):
    """One for each test: some of the messages are retained."""
    return make_world()


@versions
def test_without_a_check_messages_pass_as_they_are(world, vectors, version):
    """Signed, forged or malformed: a payload is a payload, and properties are as they were."""
    packets = [vector["packet"] for vector in vectors if "packet" in vector and fits(vector["packet"], version)]
    packets = [packet for packet in packets if not packet["will"] and packet["topic"]]
    observer = world.direct(version=version)
    observer.subscribe("#", qos=1)
    for packet in packets:
        with world.connected(version=version) as sender:
            send_publish(sender, packet)
        message = observer.message()
        assert (message.topic, message.payload.hex()) == (packet["topic"], packet["payload"])
        assert [item for item in message.properties if item[0] == raw.USER_PROPERTY] == [
            item for item in properties(packet) if item[0] == raw.USER_PROPERTY]
    assert len(packets) > 100


@versions
def test_without_a_check_a_will_passes_as_it_is(world, vectors, version):
    packets = [vector["packet"] for vector in vectors if vector.get("packet", {}).get("will")]
    packets = [packet for packet in packets if fits(packet, version)]
    observer = world.direct(version=version)
    observer.subscribe("#", qos=1)
    for packet in packets:
        with world.client(version) as sender:
            sender.connect(world.name(), will=will(packet))
            sender.abort()
        assert observer.message().payload.hex() == packet["payload"]
    assert packets
