# SPDX-License-Identifier: Apache-2.0
"""The packets of tests/vectors/mps1/vectors.json, sent by a raw client."""
import raw


def properties(packet):
    """Of PUBLISH, or of a will."""
    pairs = [(raw.USER_PROPERTY, tuple(pair)) for pair in packet["user_properties"]]
    for name, identifier in (("content_type", raw.CONTENT_TYPE), ("response_topic", raw.RESPONSE_TOPIC)):
        if name in packet:
            pairs.append((identifier, packet[name]))
    if "correlation_data" in packet:
        pairs.append((raw.CORRELATION_DATA, bytes.fromhex(packet["correlation_data"])))
    return pairs


def fits(packet, version):
    """Only 5.0 has properties; mqward ends a connection whose texts have control characters (control_characters)."""
    clean = all(value.isprintable() for pair in packet["user_properties"] for value in pair)
    return clean and (version == raw.V5 or not properties(packet))


def send_publish(client, packet, packet_id=1):
    """Sends it; the acknowledgement, or None at QoS 0."""
    client.send(raw.publish(client.version, packet["topic"], bytes.fromhex(packet["payload"]), packet["qos"],
                            packet["retain"], packet["dup"], packet_id if packet["qos"] else None, properties(packet)))
    return client.expect(raw.PUBACK, packet_id=packet_id) if packet["qos"] else None


def will(packet):
    """For raw.connect()."""
    return raw.Will(packet["topic"], bytes.fromhex(packet["payload"]), packet["qos"], packet["retain"],
                    properties(packet))
