#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Publishes a signed message with paho-mqtt: publish.py TOPIC PAYLOAD; ../README.md has the settings."""
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import mps1

topic, payload = sys.argv[1], sys.argv[2].encode()
settings = os.environ
with open(settings["MPS1_KEY_FILE"], encoding="ascii") as file:
    key = bytes.fromhex(file.read())
v5 = settings.get("MQTT_VERSION", "3.1.1") == "5"

api = {"callback_api_version": mqtt.CallbackAPIVersion.VERSION2} if hasattr(mqtt, "CallbackAPIVersion") else {}
client = mqtt.Client(client_id=settings["MPS1_SUB"], protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311, **api)
if "MQTT_USERNAME" in settings:
    client.username_pw_set(settings["MQTT_USERNAME"], settings.get("MQTT_PASSWORD"))
if "MQTT_CA" in settings:
    client.tls_set(settings["MQTT_CA"], settings.get("MQTT_CERT"), settings.get("MQTT_KEY"))
client.connect(settings.get("MQTT_HOST", "localhost"), int(settings.get("MQTT_PORT", "1883")))
client.loop_start()

# Signed once. The library retransmits these very bytes until the broker acknowledges them.
header = mps1.sign(key, settings["MPS1_KID"], settings["MPS1_SUB"], topic, payload)
if v5:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("mps1", mps1.as_property(header))
    message = client.publish(topic, payload, qos=1, properties=properties)
else:
    message = client.publish(topic, header + payload, qos=1)
message.wait_for_publish(20)
client.disconnect()
client.loop_stop()
sys.exit(0 if message.is_published() else 1)
