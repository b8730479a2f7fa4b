#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Publishes a signed message with MQTT.js: publish.js TOPIC PAYLOAD; ../README.md has the settings.
'use strict'

const fs = require('fs')
const mqtt = require('mqtt')
const mps1 = require('./mps1')

const [topic, text] = process.argv.slice(2)
const payload = Buffer.from(text)
const settings = process.env
const key = Buffer.from(fs.readFileSync(settings.MPS1_KEY_FILE, 'ascii').trim(), 'hex')
const v5 = settings.MQTT_VERSION === '5'
const file = name => settings[name] && fs.readFileSync(settings[name])

const client = mqtt.connect({
  protocol: settings.MQTT_CA ? 'mqtts' : 'mqtt',
  host: settings.MQTT_HOST || 'localhost',
  port: Number(settings.MQTT_PORT || 1883),
  protocolVersion: v5 ? 5 : 4,
  clientId: settings.MPS1_SUB,
  username: settings.MQTT_USERNAME,
  password: settings.MQTT_PASSWORD,
  ca: file('MQTT_CA'),
  cert: file('MQTT_CERT'),
  key: file('MQTT_KEY'),
  reconnectPeriod: 0
})
client.on('error', error => { console.error(error.message); process.exit(1) })
client.on('connect', () => {
  // Signed once. The library retransmits these very bytes until the broker acknowledges them.
  const header = mps1.sign(key, settings.MPS1_KID, settings.MPS1_SUB, topic, payload)
  const bytes = v5 ? payload : Buffer.concat([header, payload])
  const properties = v5 ? { userProperties: { mps1: mps1.asProperty(header) } } : undefined
  client.publish(topic, bytes, { qos: 1, properties }, error => {
    if (error) console.error(error.message)
    client.end(false, () => process.exit(error ? 1 : 0))
  })
})
