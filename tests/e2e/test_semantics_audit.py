# SPDX-License-Identifier: Apache-2.0
"""Where the audit can take nothing more, nothing passes; when it can again, nothing is missing."""
import resource

import pytest

import raw
from audit import get
from played import played_world, session

pytestmark = pytest.mark.brokerless
DENIED = 4000  # their events are several times what the ring holds


@pytest.mark.parametrize("version", (raw.V311, raw.V5), ids=("v3.1.1", "v5.0"))
def test_nothing_passes_that_the_audit_cannot_take(make_world, version):
    world = played_world(make_world, configuration={"workers": 1, "audit": {"ring": "256KiB"}})
    client, broker = session(world, version, "c")
    pid = world.proxy.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    denied = b"".join(raw.publish(version, "closed", b"x") for _ in range(DENIED))
    client.send(denied + raw.publish(version, "open/a", b"after them"))
    with pytest.raises(TimeoutError):
        broker.receive(2)
    world.client(version).send(raw.connect(version, "late"))
    with pytest.raises(TimeoutError):
        world.fake.accept(0.5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert broker.expect(raw.PUBLISH, timeout=30).payload == b"after them"
    events = world.audit.wait_for_count(DENIED, timeout=30, action="mqtt-publish-denied", client_id="c")
    assert len(events) == DENIED and {get(event, "topic") for event in events} == {"closed"}
