// SPDX-License-Identifier: Apache-2.0
// aedes on a port of loopback, with everything in memory. Usage: node broker.js '{"port": 1883, ...}'
//
// Options: port; passwords {name: password} (without it everybody gets in); certificate, key (TLS, paths); clientCa
// (path: clients need a certificate of it). What happens is written to standard output, one JSON object a line.
'use strict'

const fs = require('fs')
const net = require('net')
const tls = require('tls')
const aedes = require('aedes')

const options = JSON.parse(process.argv[2])

function say (event, fields) {
  fs.writeSync(1, JSON.stringify({ event, ...fields }) + '\n')
}

function authenticate (client, username, password, done) {
  const right = !options.passwords || (Object.hasOwn(options.passwords, username ?? '') &&
    options.passwords[username] === String(password ?? ''))
  done(right ? null : Object.assign(new Error('bad user name or password'), { returnCode: 4 }), right)
}

function preConnect (client, packet, done) {
  say('connect', { client: packet.clientId })
  done(null, true)
}

function authorizePublish (client, packet, done) {
  if (client) say('publish', { client: client.id, topic: packet.topic })
  done(packet.topic.startsWith('$SYS/') ? new Error('$SYS/ is reserved') : null)
}

const broker = aedes({ authenticate, preConnect, authorizePublish })
broker.on('subscribe', (subscriptions, client) => client && say('subscribe', { client: client.id, subscriptions }))
broker.on('unsubscribe', (topics, client) => client && say('unsubscribe', { client: client.id, topics }))
broker.on('clientDisconnect', client => say('gone', { client: client.id }))
broker.on('clientError', (client, error) => say('error', { client: client.id, message: error.message }))
broker.on('connectionError', (client, error) => say('error', { message: error.message }))

const server = options.certificate
  ? tls.createServer({
    cert: fs.readFileSync(options.certificate),
    key: fs.readFileSync(options.key),
    ca: options.clientCa ? fs.readFileSync(options.clientCa) : undefined,
    requestCert: Boolean(options.clientCa),
    rejectUnauthorized: Boolean(options.clientCa)
  }, broker.handle)
  : net.createServer(broker.handle)
server.listen(options.port, '127.0.0.1', () => say('listening', { port: options.port }))
