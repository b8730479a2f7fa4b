#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Tries mps1.js on the vectors: vectors.js sign.tsv
'use strict'

const fs = require('fs')
const mps1 = require('./mps1')

const names = Object.fromEntries(Object.entries(mps1.ALGORITHMS).map(([name, [number]]) => [number, name]))
const lines = fs.readFileSync(process.argv[2], 'utf8').split('\n').filter(line => line && !line.startsWith('#'))
let failed = 0
for (const line of lines) {
  const [name, alg, flags, kid, sub, t, ...rest] = line.split('\t').map(field => field === '-' ? '' : field)
  const [key, nonce, topic, contentType, responseTopic, correlationData, payload, header] =
    rest.map(field => Buffer.from(field, 'hex'))
  const options = { flags: Number(flags), t, nonce, alg: names[alg], contentType, responseTopic, correlationData }
  if (!mps1.sign(key, kid, sub, topic, payload, options).equals(header)) {
    failed++
    console.log('FAILED', name)
  }
}
console.log(`${lines.length} vectors, ${failed} failed`)
process.exit(failed || !lines.length ? 1 : 0)
