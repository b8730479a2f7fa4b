# SPDX-License-Identifier: Apache-2.0
"""Who would get a message through twice, or past its check: races, brokers that refuse, prefixes, reloads between a
message and its acknowledgement, and wills whose signer is revoked."""
import threading

import pytest

import raw
from audit import get
from played import nothing_came
from signatures import (ENVELOPE, MASTER, OPERATOR, PASSWORD, PLC7, PROPERTY, REFUSED, VERSIONS, WILL, Key, Signer,
                        carried, events, packet, payloads, policy, publish, refuses, signed, signed_world, user, will,
                        write_keys)
from test_rates import on_different_workers
from test_reload import reload

pytestmark = pytest.mark.brokerless
QOS = pytest.mark.parametrize("qos", (1, 2), ids=lambda qos: f"qos{qos}")
ANSWER = {1: raw.PUBACK, 2: raw.PUBREC}


def device(world, name="plc-7", version=raw.V5, connack=()):
    """A client whose broker is played: (client, broker). connack: its properties."""
    client = world.client(version)
    client.send(raw.connect(version, world.name(), username=name, password=PASSWORD))
    broker, _ = world.fake.accept_session(connack)
    client.expect(raw.CONNACK, code=0)
    return client, broker


# ---- at the same time ----

@pytest.mark.core
@pytest.mark.parametrize("replay", ("nonce", "seq"))
def test_many_connections_send_the_same_message_at_once(make_world, replay):
    """Over all workers one of them gets through, and nobody with DUP after that."""
    world = signed_world(make_world, signed(f"replay: {replay}"))
    observer = world.observer("dt/#")
    senders = [*on_different_workers(world, "plc-7"), *(user(world) for _ in range(6))]
    messages = [PLC7.sign("dt/x", b"%d" % number) if replay == "nonce" else PLC7.count(number, payload=b"%d" % number)
                for number in range(50)]
    barrier = threading.Barrier(len(senders))

    def send(client):
        packets = [packet(client, message, 0) for message in messages]
        barrier.wait()
        for data in packets:
            client.send(data)
        client.ping()
    threads = [threading.Thread(target=send, args=(client,)) for client in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = payloads(world.arrived(observer, *senders))
    assert sorted(found) == sorted(message.payload for message in messages)
    for message in messages[:5]:
        publish(senders[0], message, dup=True)
    assert world.arrived(observer, *senders) == []


# ---- the broker refuses ----

@QOS
def test_what_the_broker_refuses_may_come_again(make_world, qos):
    """Its PUBACK or PUBREC says no: nobody has the message, and its signature is as good as before."""
    world = signed_world(make_world, broker="fake")
    client, broker = device(world)
    message = PLC7.sign()
    client.send(packet(client, message, qos, packet_id=1))
    broker.expect(raw.PUBLISH)
    broker.send(raw.ack(ANSWER[qos], raw.V5, 1, 0x97))
    client.expect(ANSWER[qos], packet_id=1, code=0x97)
    client.send(packet(client, message, qos, packet_id=2))
    assert broker.expect(raw.PUBLISH).payload == message.payload
    broker.send(raw.ack(ANSWER[qos], raw.V5, 2))
    client.expect(ANSWER[qos], packet_id=2, code=0)
    if qos == 1:
        publish(client, message, code=REFUSED)
        events(world, "sig_replay")


def test_what_the_broker_does_not_take_that_large_is_not_used_up(make_world):
    """Without its alias the message is too large: a quota's answer, however often it comes, and no replay."""
    world = signed_world(make_world, signed("forward: pass"), broker="fake")
    client, broker = device(world, connack=((raw.MAXIMUM_PACKET_SIZE, 300), (raw.TOPIC_ALIAS_MAXIMUM, 5)))
    topic = "dt/" + "t" * 150
    client.publish(topic, b"unsigned", 1, REFUSED, props=[(raw.TOPIC_ALIAS, 1)])
    payload, props = carried(PLC7.sign(topic, b"x" * 50), PROPERTY)
    for _ in range(2):
        client.publish("", payload, 1, 0x97, props=[(raw.TOPIC_ALIAS, 1), *props])
    nothing_came(broker, client)
    assert world.audit.all(reason="sig_replay") == []


@VERSIONS
@QOS
def test_a_reload_between_message_and_acknowledgement(make_world, version, qos):
    """The store knows of it all the same: done is done."""
    world = signed_world(make_world, broker="fake")
    client, broker = device(world, version=version)
    message = PLC7.sign()
    client.send(packet(client, message, qos, packet_id=1))
    broker.expect(raw.PUBLISH)
    reload(world, policy(signed("max_age: 1h", name="renamed")))
    nothing_came(broker, client)
    broker.send(raw.ack(ANSWER[qos], version, 1))
    client.expect(ANSWER[qos], packet_id=1)
    if qos == 2:
        client.send(raw.ack(raw.PUBREL, version, 1))
        broker.expect(raw.PUBREL, packet_id=1)
        broker.send(raw.ack(raw.PUBCOMP, version, 1))
        client.expect(raw.PUBCOMP, packet_id=1)
    client.send(packet(client, message, qos, packet_id=2, dup=True))
    client.expect(ANSWER[qos], packet_id=2)
    nothing_came(broker, client)
    assert get(events(world, "sig_dup_suppressed")[0], "rule") == "renamed"


@VERSIONS
def test_a_retransmission_waits_behind_earlier_acknowledgements(make_world, version):
    """What mqward answers itself keeps the order of MQTT-4.6.0-2."""
    world = signed_world(make_world, broker="fake")
    client, broker = device(world, version=version)
    done, pending = PLC7.sign("dt/x", b"done"), PLC7.sign("dt/x", b"pending")
    client.send(packet(client, done, packet_id=1))
    broker.message()
    client.expect(raw.PUBACK, packet_id=1)
    client.send(packet(client, pending, packet_id=2) + packet(client, done, packet_id=3, dup=True))
    assert broker.expect(raw.PUBLISH).packet_id == 2
    nothing_came(broker, client)
    broker.send(raw.ack(raw.PUBACK, version, 2))
    client.expect(raw.PUBACK, packet_id=2)
    client.expect(raw.PUBACK, packet_id=3)


@VERSIONS
@pytest.mark.parametrize("replay", ("nonce", "seq"))
def test_retransmissions_come_to_an_end(make_world, version, replay):
    """Who keeps a message from being acknowledged can't have it delivered for as long as it is young."""
    world = signed_world(make_world, signed(f"replay: {replay}"), broker="fake")
    message = PLC7.sign() if replay == "nonce" else PLC7.count(1)
    for number in range(17):
        client, broker = device(world, version=version)
        client.send(packet(client, message, packet_id=1, dup=number > 0))
        assert broker.expect(raw.PUBLISH).payload == message.payload
        client.reset()
        broker.expect_closed()
        broker.abort()
    client, broker = device(world, version=version)
    for _ in range(2):
        publish(client, message, code=REFUSED, dup=True)
    nothing_came(broker, client)
    assert get(events(world, "sig_replay", 2)[0], "mqtt.duplicate") is True


# ---- another way to the same topic ----

@VERSIONS
def test_a_prefix_of_the_broker_is_no_way_round_the_check(make_world, version):
    """The check is asked about the topic behind the prefix; what is signed is all that was sent."""
    text = policy(signed()).replace('    topics: ["#"]\n', '    topics: ["#"]\n    features: [delayed]\n')
    world = signed_world(make_world, text=text, broker="fake", start=False)
    world.proxy.configuration["upstreams"][0]["dialect"] = "emqx"
    world.proxy.write()
    world.proxy.start()
    client, broker = device(world, version=version)
    topic = "$delayed/5/dt/x"
    client.publish(topic, b"unsigned", 1, REFUSED)
    events(world, "sig_missing")
    payload, props = carried(PLC7.sign("dt/x"), ENVELOPE)
    client.publish(topic, payload, 1, REFUSED, props=props)
    events(world, "sig_invalid")
    nothing_came(broker, client)
    client.send(packet(client, PLC7.sign(topic, b"signed"), packet_id=9))
    message = broker.message()
    assert (message.topic, message.payload, message.properties) == (topic, b"signed", [])
    client.expect(raw.PUBACK, packet_id=9)
    testament = raw.Will(topic, b"unsigned")
    world.client(version).connect("c", REFUSED, will=testament, username="plc-7", password=PASSWORD)


# ---- the store is full of signers ----

@pytest.mark.parametrize("replay", ("nonce", "seq"))
def test_more_signers_than_there_is_room_for(make_world, replay):
    """Those who are remembered go on, further ones are refused: nobody is forgotten for somebody else's sake."""
    world = signed_world(make_world, signed(f'relay: {{gateways: ["*"]}}, replay: {replay}'),
                         configuration={"replay": {"signers": 64}})
    observer, gateway = world.observer("dt/#"), user(world, "gw-1", raw.V5)
    signers = [Signer(f"device-{number}") for number in range(200)]
    messages = [signer.sign("dt/x", signer.sub) if replay == "nonce" else signer.count(1, payload=signer.sub)
                for signer in signers]
    gateway.send(b"".join(packet(gateway, message, 0) for message in messages))
    taken = payloads(world.arrived(observer, gateway))
    assert len(taken) == 64
    refused = events(world, "sig_store_down", len(messages) - len(taken))
    assert len(refused) == len(messages) - len(taken)
    assert {get(event, "signer") for event in refused} == {message.sub for message in messages} - {
        payload.decode() for payload in taken}
    first = next(message for message in messages if message.payload == taken[0])
    refuses(world, gateway, first, "sig_replay")
    signer = signers[messages.index(first)]
    publish(gateway, signer.sign() if replay == "nonce" else signer.count(2))


# ---- wills while the session lives ----

@VERSIONS
@pytest.mark.parametrize("how", ("revoked", "unnamed", "generation"))
def test_the_will_of_a_signer_who_is_not_trusted_any_more_is_not_published(make_world, version, how):
    key = Key("m25a")
    world = signed_world(make_world, signed(keys="m25a, ops-1"), keys=(key, OPERATOR))
    observer = world.observer("dt/#")
    stolen, other = (user(world, name, version, will=will(version, Signer(name, key).sign(f"dt/{name}", flags=WILL)))
                     for name in ("plc-7", "plc-8"))
    if how == "revoked":
        key.more["revoked"] = ["plc-7"]
    elif how == "generation":
        key.more["min_generation"] = {"plc-7": 2}
    write_keys(world, key, OPERATOR)
    reload(world, policy(signed(keys="ops-1")) if how == "unnamed" else None)
    stolen.expect_disconnect(REFUSED)
    event = events(world, "sig_key_unknown" if how == "unnamed" else "sig_key_revoked", user="plc-7")[0]
    assert (get(event, "signer"), get(event, "kid"), get(event, "topic")) == ("plc-7", "m25a", "dt/plc-7")
    if how == "unnamed":
        other.expect_disconnect(REFUSED)
    else:
        other.ping()
        other.reset()
        assert observer.message().topic == "dt/plc-8"
    world.broker.wait_gone(stolen.client_id)
    assert world.arrived(observer) == []


@VERSIONS
def test_a_new_check_ends_sessions_with_unsigned_wills(make_world, version):
    world = signed_world(make_world, signed(topics="elsewhere/#"))
    observer = world.observer("dt/#")
    unsigned, without = user(world, version=version, will=raw.Will("dt/x", b"gone")), user(world, "plc-8", version)
    reload(world, policy(signed()))
    unsigned.expect_disconnect(REFUSED)
    assert get(events(world, "sig_missing")[0], "topic") == "dt/x"
    without.ping()
    world.broker.wait_gone(unsigned.client_id)
    assert world.arrived(observer) == []


@VERSIONS
def test_a_signed_will_outlives_reloads_that_leave_its_key_alone(make_world, version):
    world = signed_world(make_world)
    observer = world.observer("dt/#")
    client = user(world, version=version, will=will(version, PLC7.sign("dt/x", b"gone", flags=WILL)))
    write_keys(world, MASTER, OPERATOR, Key("m26a"))
    reload(world, policy(signed(name="renamed", keys="m25a, m26a")))
    client.ping()
    client.reset()
    assert observer.message().payload == b"gone"
