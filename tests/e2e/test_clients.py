# SPDX-License-Identifier: Apache-2.0
"""With an allow-all policy, clients work through mqward as they work directly."""
import asyncio
import hashlib
import os

import pytest

import raw
from audit import get
from clients import MosquittoSub, Paho, mosquitto_pub
from mqttjs import MqttJs, MqttJsProcess
from servers import wait_until

QOS = (0, 1, 2)


def ids(version):
    return f"v{raw.VERSION_NAMES[version]}"


each_version = pytest.mark.parametrize("version", raw.VERSIONS, ids=ids)
each_qos = pytest.mark.parametrize("qos", QOS, ids=lambda qos: f"qos{qos}")


@pytest.fixture(scope="module")
def world(make_shared_world):
    return make_shared_world()


@pytest.fixture(scope="module")
def mqttjs():
    process = MqttJsProcess()
    yield process
    process.stop()


@pytest.fixture(params=(pytest.param("paho", marks=pytest.mark.core), "MQTT.js"))
def connect(request, world):
    """connect(version, tls, ...): a client of a library; over TLS it shows a certificate."""
    def paho(version, tls=False, **options):
        context = world.certs.context(world.certs.plc7) if tls else None
        return Paho(version, world.name(), world.proxy.ports["tls" if tls else "plain"], context, **options)

    def mqttjs(version, tls=False, **options):
        certificate = {"ca": world.certs.server_ca.path, "cert": world.certs.plc7[0], "key": world.certs.plc7[1]}
        process = request.getfixturevalue("mqttjs")
        return MqttJs(process, version, world.name(), world.proxy.ports["tls" if tls else "plain"],
                      certificate if tls else None, **options)
    return paho if request.param == "paho" else mqttjs


@each_version
@each_qos
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_library_publishes_and_receives(world, connect, version, qos, tls):
    topic = f"t/{world.name()}"
    with connect(version, tls) as receiver, connect(version, tls) as sender:
        assert receiver.subscribe(topic, qos) == [world.qos(qos)]
        for index in range(20):
            sender.publish(topic, f"message {index}", qos)
        got = [receiver.message() for _ in range(20)]
    assert [message.payload.decode() for message in got] == [f"message {index}" for index in range(20)]
    assert {message.qos for message in got} == {world.qos(qos)}
    assert {message.topic for message in got} == {topic}


@each_version
def test_a_librarys_certificate_is_seen(world, connect, version):
    with connect(version, tls=True) as client:
        event = world.audit.wait_for(action="mqtt-connect-accepted", client_id=client.client_id)
    assert "CN=plc-7" in get(event, "tls.client.subject")


@each_version
def test_a_library_receives_a_retained_message(world, connect, version):
    topic = f"retained/{world.name()}"
    with connect(version) as sender, connect(version) as receiver:
        sender.publish(topic, "kept", 1, retain=True)
        receiver.subscribe(topic, 1)
        message = receiver.message()
        assert (message.payload, message.retain) == (b"kept", True)
        sender.publish(topic, "", 1, retain=True)
        assert receiver.message().payload == b""


@each_version
def test_a_librarys_will_is_published_when_its_connection_breaks(world, connect, version):
    topic = f"will/{world.name()}"
    observer = world.observer(topic, qos=1)
    with connect(version, will=(topic, b"gone", 1, False)) as client:
        client.drop()
    message = observer.message()
    assert (message.payload, message.qos) == (b"gone", 1)


def wait_subscribed(world, client_id, topic, qos):
    wait_until(lambda: world.broker.subscriptions(client_id) == {topic: world.qos(qos)},
               f"{client_id} has subscribed {topic}")


@each_version
@each_qos
def test_mosquitto_pub_and_sub(world, version, qos):
    topic = f"cli/{world.name()}"
    receiver_id = world.name("sub")
    receiver = MosquittoSub(version, world.proxy.ports["plain"], topic, "-q", str(qos), "-i", receiver_id, count=3)
    wait_subscribed(world, receiver_id, topic, qos)
    for index in range(3):
        result = mosquitto_pub(version, world.proxy.ports["plain"], topic, "-q", str(world.qos(qos)),
                               "-m", f"line {index}")
        assert result.returncode == 0, result.stderr
    lines = receiver.output().splitlines()  # each of another connection, whose order nobody promises without an answer
    assert (lines if qos else sorted(lines)) == [b"line 0", b"line 1", b"line 2"]


@each_version
def test_mosquitto_clients_over_tls(world, version):
    topic = f"cli/{world.name()}"
    receiver_id = world.name("sub")
    tls = ("--cafile", world.certs.server_ca.path)
    receiver = MosquittoSub(version, world.proxy.ports["tls"], topic, "-q", "1", "-i", receiver_id, *tls)
    wait_subscribed(world, receiver_id, topic, 1)
    result = mosquitto_pub(version, world.proxy.ports["tls"], topic, "-q", "1", "-m", "over TLS", *tls)
    assert result.returncode == 0, result.stderr
    assert receiver.output() == b"over TLS\n"


@each_version
def test_a_retained_message_reaches_a_later_subscriber_and_an_empty_one_deletes_it(world, version):
    topic = f"retained/{world.name()}"
    sender = world.connected(version=version)
    sender.publish(topic, b"kept", qos=1, retain=True)
    receiver = world.connected(version=version)
    receiver.subscribe(topic, qos=1)
    message = receiver.message()
    assert (message.payload, message.retain, message.qos) == (b"kept", True, 1)
    sender.publish(topic, b"", qos=1, retain=True)
    assert receiver.message().payload == b""
    late = world.connected(version=version)
    late.subscribe(topic)
    sender.publish(topic, b"live", qos=1)
    assert late.message().payload == b"live"


@each_version
@each_qos
@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_a_payload_of_256_kib_arrives_whole(world, version, qos, tls):
    payload = os.urandom(256 * 1024)
    topic = f"large/{world.name()}"
    receiver = world.connected(version=version, tls=tls)
    receiver.subscribe(topic, qos=qos)
    sender = world.connected(version=version, tls=tls)
    for _ in range(4):
        sender.publish(topic, payload, qos=world.qos(qos))
    for _ in range(4):
        assert hashlib.sha256(receiver.message().payload).digest() == hashlib.sha256(payload).digest()


@each_version
def test_a_persistent_session_keeps_its_messages(world, version):
    client_id, topic = world.name("persistent"), f"session/{world.name()}"
    options = {"clean": False}
    if version == raw.V5:
        options["props"] = [(raw.SESSION_EXPIRY_INTERVAL, 600)]
    client = world.connected(client_id, version, **options)
    client.subscribe(topic, qos=2)
    client.disconnect()
    sender = world.connected(version=version)
    for qos in (1, 2):
        sender.publish(topic, f"qos {qos}".encode(), qos=world.qos(qos))
    client = world.client(version)
    answer = client.connect(client_id, **options)
    assert answer.session_present == (version != raw.V31 or world.broker.session_present_in_31)
    assert [client.message().payload for _ in range(2)] == [b"qos 1", b"qos 2"]


@pytest.mark.needs("qos2")
@each_version
def test_a_broken_connection_resumes_qos_2_where_it_was(world, version):
    """PUBREC is on its way when the connection breaks: PUBREL in the next one completes it, exactly once."""
    client_id, topic = world.name("resumed"), f"exactly/{world.name()}"
    observer = world.observer(topic, qos=2)
    options = {"clean": False}
    if version == raw.V5:
        options["props"] = [(raw.SESSION_EXPIRY_INTERVAL, 600)]
    client = world.connected(client_id, version, **options)
    packet = raw.publish(version, topic, b"once", qos=2, packet_id=77)
    client.send(packet)
    client.expect(raw.PUBREC, packet_id=77)
    client.reset()
    client = world.connected(client_id, version, **options)
    client.send(raw.publish(version, topic, b"once", qos=2, dup=True, packet_id=77))
    client.expect(raw.PUBREC, packet_id=77)
    client.send(raw.ack(raw.PUBREL, version, 77))
    client.expect(raw.PUBCOMP, packet_id=77)
    assert [message.payload for message in world.arrived(observer, client)] == [b"once"]


@each_version
def test_packets_pipelined_behind_connect_are_held_and_then_done(world, version):
    topic = f"pipelined/{world.name()}"
    client = world.client(version)
    client.send(raw.connect(version, world.name()) + raw.subscribe(version, 1, [(topic, 1)])
                + raw.publish(version, topic, b"early", qos=1, packet_id=2) + raw.pingreq())
    client.expect(raw.CONNACK, code=0)
    got = [client.receive() for _ in range(4)]
    assert {packet.type for packet in got} == {raw.SUBACK, raw.PUBACK, raw.PUBLISH, raw.PINGRESP}
    assert next(packet for packet in got if packet.type == raw.PUBLISH).payload == b"early"


@each_version
@each_qos
def test_messages_keep_their_order(world, version, qos):
    topic, count = f"order/{world.name()}", 300
    receiver = world.connected(version=version)
    receiver.subscribe(topic, qos=0)
    sender = world.connected(version=version)
    if qos == 0:
        sender.send(b"".join(raw.publish(version, topic, str(index)) for index in range(count)))
    for index in range(count if qos else 0):
        sender.publish(topic, str(index), qos=world.qos(qos))
    assert [receiver.message().payload.decode() for _ in range(count)] == [str(index) for index in range(count)]


@each_version
def test_unsubscribe_ends_the_deliveries(world, version):
    topic = f"unsubscribed/{world.name()}"
    client = world.connected(version=version)
    client.subscribe(topic)
    answer = client.unsubscribe(topic)
    assert answer.codes == ([0] if version == raw.V5 else [])
    world.direct().publish(topic, b"late", qos=1)
    client.ping()


@pytest.mark.needs("v5.0")
def test_a_client_without_an_id_gets_one_assigned(world):
    client = world.client(raw.V5)
    answer = client.connect("")
    assert answer.prop(raw.ASSIGNED_CLIENT_IDENTIFIER)


def test_a_client_without_an_id_is_served_without_a_session_only(world):
    """[MQTT-3.1.3-8], whatever the broker thinks of it."""
    world.connected("", raw.V311).ping()
    client = world.client(raw.V311)
    client.connect("", clean=False, code=2)
    client.expect_closed()


@pytest.mark.needs("v5.0")
def test_properties_of_a_message_arrive_as_they_were_sent(world):
    topic = f"properties/{world.name()}"
    receiver = world.connected()
    receiver.subscribe((topic, 1), (topic + "/reply", 1), props=[(raw.SUBSCRIPTION_IDENTIFIER, 4711)])
    sender = world.connected()
    sent = [(raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.CONTENT_TYPE, "text/plain"), (raw.RESPONSE_TOPIC, topic + "/reply"),
            (raw.CORRELATION_DATA, b"\0\1\xff"), (raw.USER_PROPERTY, ("first", "1")), (raw.USER_PROPERTY, ("", "")),
            (raw.USER_PROPERTY, ("first", "2"))]
    sender.publish(topic, "äöü".encode(), qos=1, props=sent + [(raw.MESSAGE_EXPIRY_INTERVAL, 1000)])
    message = receiver.message()
    got = [item for item in message.properties if item[0] not in (raw.SUBSCRIPTION_IDENTIFIER, raw.MESSAGE_EXPIRY_INTERVAL)]
    assert sorted(got, key=repr) == sorted(sent, key=repr)
    assert [value for key, value in got if key == raw.USER_PROPERTY] == [("first", "1"), ("", ""), ("first", "2")]
    assert message.props(raw.SUBSCRIPTION_IDENTIFIER) == [4711]
    assert 0 < message.prop(raw.MESSAGE_EXPIRY_INTERVAL) <= 1000


@pytest.mark.needs("v5.0")
def test_subscription_options_are_kept(world):
    base = f"options/{world.name()}"
    client = world.connected()
    client.publish(base + "/kept", b"old", qos=1, retain=True)
    no_local, as_published, never = 0x04, 0x08, 0x20
    client.subscribe((base + "/own", no_local), (base + "/rap", as_published), (base + "/kept", never))
    client.publish(base + "/own", b"mine", qos=1)
    other = world.connected()
    other.publish(base + "/own", b"theirs", qos=1)
    other.publish(base + "/rap", b"retained", qos=1, retain=True)
    first, second = client.message(), client.message()
    assert (first.topic, first.payload) == (base + "/own", b"theirs")
    assert (second.payload, second.retain) == (b"retained", True)
    for name in ("/kept", "/rap"):
        other.publish(base + name, b"", qos=1, retain=True)


def test_a_takeover_disconnects_the_older_connection(world):
    client_id = world.name("takeover")
    older = world.connected(client_id)
    newer = world.connected(client_id)
    packets = older.until_closed()
    assert [packet.name for packet in packets] in ([], ["DISCONNECT"])
    newer.ping()


def test_a_topic_of_many_levels_and_odd_characters_passes(world):
    receiver = world.connected()
    receiver.subscribe("#")
    sender = world.connected()
    topics = ["/", "//", "a//b", "/lead", "trail/", "ünï/cødé/世界", "\ufefftopic", " ", "a" * 1000,
              "/".join("x" * world.broker.topic_levels)]
    for topic in topics:
        sender.publish(topic, b"x", qos=1)
    assert [receiver.message().topic for _ in topics] == topics
    receiver.disconnect()


@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
@pytest.mark.timeout(240)
def test_1000_clients_at_once(make_world, certs, tls):
    """All are connected at the same time; each then sends to its neighbour and hears from the other one."""
    world = make_world(configuration={"log": {"level": "info"}})
    versions = world.broker.versions()
    port, count = world.proxy.ports["tls" if tls else "plain"], world.broker.crowd
    context = certs.context() if tls else None

    async def packet(reader):
        first = await reader.readexactly(1)
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return first[0] >> 4, await reader.readexactly(length)

    async def client(index, gate, slots, connected):
        version = versions[index % len(versions)]
        async with slots:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context,
                                                           server_hostname="localhost" if tls else None)
            writer.write(raw.connect(version, f"many-{index}", keep_alive=0))
            assert (await packet(reader))[0] == raw.CONNACK
            writer.write(raw.subscribe(version, 1, [(f"many/{index}", 1)]))
            assert (await packet(reader))[0] == raw.SUBACK
        connected.append(index)
        if len(connected) == count:
            gate.set()
        await gate.wait()
        writer.write(raw.publish(version, f"many/{(index + 1) % count}", str(index), qos=1, packet_id=9))
        got = {}
        while set(got) != {raw.PUBACK, raw.PUBLISH}:
            kind, body = await packet(reader)
            got[kind] = body
        assert got[raw.PUBLISH].endswith(str((index - 1) % count).encode())
        writer.close()

    async def everyone():
        gate, slots, connected = asyncio.Event(), asyncio.Semaphore(50), []
        await asyncio.gather(*(client(index, gate, slots, connected) for index in range(count)))

    asyncio.run(asyncio.wait_for(everyone(), 200))
