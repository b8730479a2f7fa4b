# SPDX-License-Identifier: Apache-2.0
"""Sessions whose broker is played by the test: what goes on, byte for byte, and what an odd broker may do."""
import raw

POLICY = """\
version: 1
policy: played
identity:
  - anonymous: {id: guest}
rules:
  - rule: open
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
    features: [shared]
  - rule: hidden
    who: everyone
    deny: receive
    topics: [open/hidden/#]
  - rule: low
    who: everyone
    allow: subscribe
    topics: [low/#]
    if: {max_qos: 0}
"""


def played_world(make_world, policy=POLICY, dialect=None, **options):
    """A world with a broker of the test's; dialect: what the upstream takes for a prefix."""
    world = make_world(policy, broker="fake", start=False, **options)
    if dialect:
        world.proxy.configuration["upstreams"][0]["dialect"] = dialect
        world.proxy.write()
    world.proxy.start()
    return world


def session(world, version=raw.V5, client_id=None, *, connack=(), **options):
    """A client and its broker after CONNACK: (client, broker). connack: its properties; options: CONNECT's."""
    client, broker, _, _ = connected(world, version, client_id, connack=connack, **options)
    return client, broker


def connected(world, version=raw.V5, client_id=None, *, connack=(), **options):
    """The same with both packets: (client, broker, CONNECT, CONNACK)."""
    client = world.client(version)
    client.send(raw.connect(version, world.name() if client_id is None else client_id, **options))
    broker, connect = world.fake.accept_session(connack)
    return client, broker, connect, client.expect(raw.CONNACK, code=0)


def nothing_came(broker, client):
    """The broker got nothing so far but the ping that shows it."""
    client.send(raw.pingreq())
    broker.expect(raw.PINGREQ)
    broker.send(raw.pingresp())
    client.expect(raw.PINGRESP)
