// SPDX-License-Identifier: Apache-2.0
// Signs MQTT messages (MPS1). Node.js 12 or newer, nothing but what is built in.
'use strict'

const { createHmac, randomBytes } = require('crypto')

const FLAGS = { RETAIN: 0x01, WILL: 0x02, SEQ: 0x04, PROPS: 0x08 }
const ALGORITHMS = { 'HMAC-SHA-256': [5, 'sha256', 32], 'HMAC-SHA-384': [6, 'sha384', 48], 'HMAC-SHA-512': [7, 'sha512', 64] }

function prefixed (part, size) { // the bytes behind their length
  const bytes = Buffer.from(part)
  const length = Buffer.alloc(size)
  length.writeUIntBE(bytes.length, 0, size)
  return Buffer.concat([length, bytes])
}

// The header: in front of the payload it is the envelope; asProperty() makes the User Property of it. The last three
// count with the flag PROPS only; t: milliseconds since 1970; with SEQ: nonce = sequence(epoch, counter).
function sign (key, kid, sub, topic, payload, {
  flags = 0, t = Date.now(), nonce = randomBytes(16), alg = 'HMAC-SHA-256',
  contentType = '', responseTopic = '', correlationData = ''
} = {}) {
  const [number, digest, size] = ALGORITHMS[alg]
  const fixed = Buffer.from([0xff, 0x4d, 0x50, 0x53, 1, number, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0])
  fixed.writeUInt16BE(36 + kid.length + sub.length + size, 6)
  fixed.writeBigUInt64BE(BigInt(t), 9)
  const header = Buffer.concat([fixed, nonce, prefixed(kid, 1), prefixed(sub, 1), Buffer.of(size)])
  const mac = createHmac(digest, key).update(header)
  for (const part of [topic, contentType, responseTopic, correlationData]) mac.update(prefixed(part, 2))
  return Buffer.concat([header, mac.update(prefixed(payload, 4)).digest()])
}

function sequence (epoch, counter) {
  const nonce = Buffer.alloc(16)
  nonce.writeBigUInt64BE(BigInt(epoch), 0)
  nonce.writeBigUInt64BE(BigInt(counter), 8)
  return nonce
}

function asProperty (header) {
  return header.toString('base64').replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')
}

module.exports = { ALGORITHMS, FLAGS, asProperty, sequence, sign }
