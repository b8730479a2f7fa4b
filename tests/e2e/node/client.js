// SPDX-License-Identifier: Apache-2.0
// MQTT.js clients, driven over standard input and output by mqttjs.py: one JSON object a line.
//
// In:  {"number": 1, "act": "publish", "client": "a", ...}    numbers are the caller's
// Out: {"number": 1, "result": ...} or {"number": 1, "error": "..."}, and {"client": "a", "message": {...}}
'use strict'

const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const clients = new Map()

function write (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function connect ({ client: name, options }) {
  const files = {}
  for (const key of ['ca', 'cert', 'key']) {
    if (options[key]) files[key] = fs.readFileSync(options[key])
  }
  if (options.will) options.will.payload = Buffer.from(options.will.payload, 'base64')
  const client = mqtt.connect({ host: '127.0.0.1', reconnectPeriod: 0, ...options, ...files })
  clients.set(name, client)
  client.on('message', (topic, payload, packet) => write({
    client: name,
    message: { topic, payload: payload.toString('base64'), qos: packet.qos, retain: packet.retain }
  }))
  return new Promise((resolve, reject) => {
    client.once('connect', packet => resolve({ sessionPresent: packet.sessionPresent }))
    client.on('error', reject)
    client.once('close', () => reject(new Error('closed')))
  })
}

const acts = {
  connect,
  subscribe: async ({ client, topic, qos }) => (await clients.get(client).subscribeAsync(topic, { qos })).map(item => item.qos),
  publish: async ({ client, topic, payload, options }) => {
    await clients.get(client).publishAsync(topic, Buffer.from(payload, 'base64'), options)
  },
  drop: async ({ client }) => clients.get(client).stream.destroy(),
  end: async ({ client }) => {
    await clients.get(client).endAsync()
    clients.delete(client)
  }
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const { number, act, ...rest } = JSON.parse(line)
  acts[act](rest).then(result => write({ number, result }), error => write({ number, error: error.message }))
}).on('close', () => process.exit(0))
