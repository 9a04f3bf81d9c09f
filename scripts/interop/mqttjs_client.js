// MQTT.js against a broker: one line `ok CASE` or `fail CASE reason` per case, exit code 0 always.
//
// Called as: mqttjs_client.js HOST PORT VERSION PREFIX, VERSION being 3.1, 3.1.1 or 5.0. Every topic and client
// id begins with PREFIX, so that several runs can share a broker. No case waits longer than LIMIT_MS. TRANSPORT in the
// environment is tcp, tls, ws or wss; for tls and wss, CA is the file of the authority that the broker's certificate is from.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
// NODE_MODULES says where npm put the library; this file lies elsewhere.
const mqtt = require(path.join(process.env.NODE_MODULES, 'mqtt'))

const LIMIT_MS = 20000
// Publications without their acknowledgement; no broker has to take more than its receive maximum.
const WINDOW = 20
const [host, port, version, prefix] = process.argv.slice(2)
const PROTOCOL = {
  3.1: { protocolId: 'MQIsdp', protocolVersion: 3 },
  '3.1.1': { protocolId: 'MQTT', protocolVersion: 4 },
  '5.0': { protocolId: 'MQTT', protocolVersion: 5 },
}[version]
const V5 = version === '5.0'
const transport = process.env.TRANSPORT || 'tcp'
const TRANSPORT = {
  protocol: transport === 'tcp' ? 'mqtt' : transport === 'tls' ? 'mqtts' : transport,
  path: transport.startsWith('ws') ? '/mqtt' : undefined,
  ca: process.env.CA ? fs.readFileSync(process.env.CA) : undefined,
}
const peers = []

function limited (promise, what) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${LIMIT_MS / 1000} s`)), LIMIT_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const numbers = (count) => Array.from({ length: count }, (_, n) => String(n))

class Peer {
  static async connect (name, { clean = true, will } = {}) {
    const peer = new Peer()
    peer.messages = []
    peer.client = mqtt.connect({
      host,
      port: Number(port),
      ...PROTOCOL,
      ...TRANSPORT,
      clientId: prefix + name,
      clean,
      will,
      reconnectPeriod: 0,
      connectTimeout: LIMIT_MS,
      keepalive: 30,
      properties: V5 ? { sessionExpiryInterval: clean ? 0 : 3600 } : undefined,
    })
    peers.push(peer)
    peer.client.on('message', (topic, payload, packet) => {
      const message = { topic, payload, text: payload.toString(), qos: packet.qos, retain: packet.retain, packet }
      const waiting = peer.waiting
      peer.waiting = undefined
      if (waiting) waiting(message)
      else peer.messages.push(message)
    })
    const connected = new Promise((resolve, reject) => {
      peer.client.once('connect', resolve)
      peer.client.on('error', reject)
      peer.client.once('close', () => reject(new Error('closed before CONNACK')))
    })
    const connack = await limited(connected, 'CONNACK')
    peer.sessionPresent = connack.sessionPresent
    return peer
  }

  async subscribe (topic, qos, options = {}) {
    const [granted] = await limited(this.client.subscribeAsync(topic, { qos, ...options }), 'SUBACK')
    assert.equal(granted.qos, qos, 'SUBACK grants another QoS')
    return this
  }

  publish (topic, payload, qos = 0, options = {}) {
    return limited(this.client.publishAsync(topic, payload, { qos, ...options }), `acknowledgement of ${topic}`)
  }

  next () {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift())
    return limited(new Promise((resolve) => { this.waiting = resolve }), 'message')
  }

  async until (last) {
    const texts = []
    for (;;) {
      const { text } = await this.next()
      if (text === last) return texts
      texts.push(text)
    }
  }

  end () {
    return limited(this.client.endAsync(), 'end')
  }

  // Closes the socket without a DISCONNECT.
  crash () {
    this.client.stream.destroy()
  }
}

async function atQos (qos) {
  const topic = `${prefix}/qos${qos}`
  const subscriber = await (await Peer.connect('s')).subscribe(topic, qos)
  const publisher = await Peer.connect('p')
  for (const text of [...numbers(20), 'end']) await publisher.publish(topic, text, qos)
  for (const text of numbers(20)) {
    const message = await subscriber.next()
    assert.deepEqual([message.text, message.qos, message.retain], [text, qos, false])
  }
  assert.deepEqual(await subscriber.until('end'), [], 'a message came twice')
}

const cases = {
  qos0: () => atQos(0),
  qos1: () => atQos(1),
  qos2: () => atQos(2),

  async retained () {
    const topic = `${prefix}/retained`
    const publisher = await Peer.connect('p')
    await publisher.publish(`${topic}/a`, 'old', 1, { retain: true })
    await publisher.publish(`${topic}/a`, 'new', 1, { retain: true })
    const first = await (await Peer.connect('s1')).subscribe(`${topic}/+`, 1)
    const message = await first.next()
    assert.deepEqual([message.text, message.retain], ['new', true])
    await publisher.publish(`${topic}/a`, '', 1, { retain: true })
    assert.equal((await first.next()).text, '', 'the clearing message reaches a live subscriber')
    const second = await (await Peer.connect('s2')).subscribe(`${topic}/+`, 1)
    await publisher.publish(`${topic}/b`, 'end', 1)
    assert.deepEqual(await second.until('end'), [], 'a cleared message was delivered')
  },

  async will () {
    const topic = `${prefix}/will`
    const watcher = await (await Peer.connect('w')).subscribe(`${topic}/#`, 1)
    const polite = await Peer.connect('polite', { will: { topic: `${topic}/polite`, payload: 'no', qos: 1 } })
    await polite.end()
    const will = { topic: `${topic}/crash`, payload: 'gone', qos: 1, retain: true }
    const crashing = await Peer.connect('crash', { will })
    crashing.crash()
    const message = await watcher.next()
    assert.deepEqual([message.topic, message.text], [`${topic}/crash`, 'gone'])
    const late = await (await Peer.connect('late')).subscribe(`${topic}/crash`, 1)
    const kept = await late.next()
    assert.deepEqual([kept.text, kept.retain], ['gone', true], 'the will was not retained')
    await late.publish(`${topic}/crash`, '', 1, { retain: true })
  },

  async shared () {
    const topic = `${prefix}/shared`
    const members = []
    for (const name of ['m1', 'm2']) members.push(await (await Peer.connect(name)).subscribe(`$share/g/${topic}`, 1))
    const publisher = await Peer.connect('p')
    for (const text of numbers(100)) await publisher.publish(topic, text, 1)
    const deadline = Date.now() + LIMIT_MS
    while (members[0].messages.length + members[1].messages.length < 100 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const got = []
    for (const [number, member] of members.entries()) {
      await member.subscribe(`${topic}/end${number}`, 1)
      await publisher.publish(`${topic}/end${number}`, 'end', 1)
      got.push((await member.until('end')).map(Number))
    }
    const all = got.flat().sort((a, b) => a - b)
    assert.deepEqual(all, numbers(100).map(Number), `${got[0].length} + ${got[1].length} messages`)
    assert.ok(got[0].length > 0 && got[1].length > 0, 'one member got all')
  },

  async session () {
    const topic = `${prefix}/session`
    await (await Peer.connect('x')).end()
    const first = await (await Peer.connect('x', { clean: false })).subscribe(topic, 2)
    assert.ok(!first.sessionPresent, 'session present for a new session')
    await first.end()
    const publisher = await Peer.connect('p')
    for (const [n, text] of numbers(20).entries()) await publisher.publish(topic, text, 1 + n % 2)
    await publisher.publish(topic, 'end', 2)
    const second = await Peer.connect('x', { clean: false })
    // MQTT 3.1 has no such flag: its first CONNACK byte is reserved.
    assert.ok(second.sessionPresent || version === '3.1', 'session not present')
    // A QoS 2 message surfaces at its PUBREL, so order holds within a QoS only.
    const got = (await second.until('end')).map(Number)
    for (const parity of [0, 1]) {
      const expected = numbers(20).map(Number).filter((n) => n % 2 === parity)
      assert.deepEqual(got.filter((n) => n % 2 === parity), expected, `offline messages ${got}`)
    }
    await second.end()
    const third = await Peer.connect('x')
    assert.ok(!third.sessionPresent, 'a clean start found a session')
    await publisher.publish(topic, 'stale', 1)
    await third.subscribe(`${topic}/end`, 1)
    await publisher.publish(`${topic}/end`, 'end', 1)
    assert.deepEqual(await third.until('end'), [], 'a clean start kept a subscription')
  },

  async wildcard () {
    const topic = `${prefix}/wild`
    const subscriber = await (await Peer.connect('s')).subscribe(`${topic}/+/x`, 1)
    await subscriber.subscribe(`${topic}/deep/#`, 1)
    const publisher = await Peer.connect('p')
    const names = ['a/x', 'a/y', 'b/x', 'a/b/x', 'deep', 'deep/1', 'deep/1/2/3', 'deeper', 'a', 'end/x']
    for (const name of names) await publisher.publish(`${topic}/${name}`, name, 1)
    assert.deepEqual(await subscriber.until('end/x'), ['a/x', 'b/x', 'deep', 'deep/1', 'deep/1/2/3'])
  },

  async large () {
    const topic = `${prefix}/large`
    const payload = Buffer.from(Array.from({ length: 200000 }, (_, n) => n * 7 % 251))
    const subscriber = await (await Peer.connect('s')).subscribe(topic, 2)
    const publisher = await Peer.connect('p')
    for (const qos of [0, 1, 2]) {
      await publisher.publish(topic, payload, qos)
      const same = Buffer.compare((await subscriber.next()).payload, payload) === 0
      assert.ok(same, `the payload changed at QoS ${qos}`)
    }
  },

  async order () {
    const topic = `${prefix}/order`
    const subscriber = await (await Peer.connect('s')).subscribe(topic, 2)
    const publisher = await Peer.connect('p')
    for (const qos of [1, 2]) {
      const texts = [...numbers(1000), 'end']
      while (texts.length > 0) {
        await Promise.all(texts.splice(0, WINDOW).map((text) => publisher.publish(topic, text, qos)))
      }
      assert.deepEqual(await subscriber.until('end'), numbers(1000), `order at QoS ${qos}`)
    }
  },

  async properties () {
    if (!V5) return 'skip'
    const topic = `${prefix}/properties`
    const subscriber = await Peer.connect('s')
    await subscriber.subscribe(topic, 1, { properties: { subscriptionIdentifier: 77 } })
    const publisher = await Peer.connect('p')
    const sent = {
      userProperties: { b: ['1', '3'], a: '2' },
      contentType: 'text/plain',
      responseTopic: `${topic}/answer`,
      correlationData: Buffer.from([0, 255]),
      payloadFormatIndicator: true,
      messageExpiryInterval: 1000,
    }
    await publisher.publish(topic, 'payload', 1, { properties: sent })
    const got = { ...(await subscriber.next()).packet.properties }
    const expiry = got.messageExpiryInterval
    assert.ok(expiry >= 990 && expiry <= 1000, `message expiry ${expiry}`)
    got.userProperties = { ...got.userProperties }
    assert.deepEqual(got, { ...sent, messageExpiryInterval: expiry, subscriptionIdentifier: 77 })
  },
}

async function main () {
  for (const [name, run] of Object.entries(cases)) {
    try {
      console.log(await run() === 'skip' ? 'skip' : 'ok', name)
    } catch (error) {
      console.log('fail', name, String(error.message).replaceAll(/\s+/g, ' '))
    }
    for (const peer of peers.splice(0)) await peer.client.endAsync(true)
  }
  process.exit(0)
}

main()
