'use strict'
// Any number of hypercores on TCP connections, told what to do line by line (told.js).
//   node cores.js --dir D [--core 10|11]
// Block i of fork f is `size` bytes made of the text "i.f ".

const { createHash } = require('crypto')
const crypto = require('hypercore-crypto')
const { options: read, tell, streams, obey } = require('./told')

const options = read({ dir: '', core: '11' })
const Hypercore = require(options.core === '10' ? 'hypercore10' : 'hypercore')
const Protomux = require('protomux')
const c = require('compact-encoding')
const Hyperbee = require('hyperbee')
const Hyperblobs = require('hyperblobs')

const cores = new Map()
let made = 0

const block = (i, fork, size) => Buffer.alloc(size, i + '.' + fork + ' ')

function replicate (initiator) {
  const stream = Hypercore.createProtocolStream(initiator)
  for (const core of cores.values()) core.replicate(stream)
  return stream
}

async function facts (core) {
  return {
    key: core.key.toString('hex'),
    discoveryKey: core.discoveryKey.toString('hex'),
    compat: !!core.core.compat,
    length: core.length,
    bytes: core.byteLength,
    fork: core.fork,
    contiguous: core.contiguousLength
  }
}

async function keep (name, key, how) {
  const core = new Hypercore(options.dir + '/' + made++, key, how)
  await core.ready()
  core.on('conflict', () => tell('conflict', { name }))
  cores.set(name, core)
  for (const stream of streams) core.replicate(stream)
  return facts(core)
}

// Resolves when the core looks as wanted, which is looked at after each change.
function until (core, fits) {
  return new Promise((resolve) => {
    const events = ['append', 'truncate', 'download', 'peer-add', 'upload']
    const look = () => {
      if (!fits()) return
      for (const event of events) core.off(event, look)
      resolve()
    }
    for (const event of events) core.on(event, look)
    look()
  })
}

const todo = {
  create: ({ name, compat }) => keep(name, null, { keyPair: crypto.keyPair(), compat: !!compat }),
  open: ({ name, key }) => keep(name, Buffer.from(key, 'hex'), {}),
  info: ({ name }) => facts(cores.get(name)),
  async append ({ name, count, size }) {
    const core = cores.get(name)
    const all = []
    for (let i = 0; i < count; i++) all.push(block(core.length + i, core.fork, size))
    await core.append(all)
    return facts(core)
  },
  async truncate ({ name, length }) {
    await cores.get(name).truncate(length)
    return facts(cores.get(name))
  },
  async until ({ name, length, fork }) {
    const core = cores.get(name)
    await until(core, () => core.length === length && core.fork === (fork || 0))
    return facts(core)
  },
  async download ({ name, start, end }) {
    const core = cores.get(name)
    await core.download({ start: start || 0, end: end === undefined ? core.length : end }).done()
    return facts(core)
  },
  async digest ({ name, start, end }) {
    const core = cores.get(name)
    const hash = createHash('sha256')
    for (let i = start || 0; i < (end === undefined ? core.length : end); i++) hash.update(await core.get(i))
    return { sha256: hash.digest('hex'), ...(await facts(core)) }
  },
  async clear ({ name, start, end }) {
    await cores.get(name).clear(start, end)
    return {}
  },
  // How many of these blocks are here.
  async held ({ name, start, end }) {
    let held = 0
    for (let i = start; i < end; i++) held += await cores.get(name).has(i) ? 1 : 0
    return { held }
  },
  async seek ({ name, bytes }) {
    const [index, offset] = await cores.get(name).seek(bytes)
    return { index, offset }
  },
  async close ({ name }) {
    await cores.get(name).close()
    cores.delete(name)
    return {}
  },
  async bee ({ name, puts, dels }) {
    const bee = new Hyperbee(cores.get(name), { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
    const batch = bee.batch()
    for (const [key, value] of Object.entries(puts || {})) await batch.put(key, value)
    for (const key of dels || []) await batch.del(key)
    await batch.flush()
    return facts(cores.get(name))
  },
  async entries ({ name }) {
    const bee = new Hyperbee(cores.get(name), { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
    const entries = {}
    for await (const { key, value } of bee.createReadStream()) entries[key] = value
    return { entries }
  },
  // Blobs of these sizes.
  async blobs ({ name, sizes }) {
    const blobs = new Hyperblobs(cores.get(name))
    const ids = []
    for (const size of sizes) ids.push(await blobs.put(block(size, 0, size)))
    return { ids, ...(await facts(cores.get(name))) }
  },
  async blob ({ name, blob }) {
    const bytes = await new Hyperblobs(cores.get(name)).get(blob)
    return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  },
  // Opens a channel for a core whose key is not known; what comes over it.
  guess: ({ discoveryKey }) => new Promise((resolve) => {
    const [stream] = streams
    const heard = []
    const channel = Protomux.from(stream.noiseStream || stream).createChannel({
      protocol: 'hypercore/alpha',
      id: Buffer.from(discoveryKey, 'hex'),
      handshake: c.raw,
      messages: new Array(10).fill(0).map((_, type) => ({ encoding: c.raw, onmessage: () => heard.push(type) }))
    })
    stream.once('close', () => resolve({ heard }))
    channel.open(Buffer.alloc(33, 1))
  })
}

obey(replicate, todo)
