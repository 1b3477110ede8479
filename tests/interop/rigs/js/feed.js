'use strict'
// A hypercore peer.
//   writer: node feed.js [--blocks N] [--sizes A,B,…] …      makes a feed, or continues --storage
//   reader: node feed.js --key HEX [--quiet] …
//   both:   [--core 6|7] [--live] [--storage DIR [--prefix NAME.]] [--listen PORT | --connect PORT] [--sparse]
// Commands: append N · clear N · get N · audit
const lib = require('./lib')
const crypto = require('crypto')
const options = lib.options({
  core: 7, key: '', blocks: 0, sizes: '1000', storage: '', prefix: '', live: false, listen: 0, connect: 0, sparse: false, quiet: false
})
const hypercore = require(options.core === 6 ? 'hypercore6' : 'hypercore')
const sizes = options.sizes.split(',').map(Number)
const file = name => require('random-access-file')(options.prefix + name, { directory: options.storage })
const storage = options.storage ? file : require('random-access-memory')
const feed = hypercore(storage, options.key || undefined, { sparse: options.sparse })

feed.on('error', lib.fail)
feed.ready(() => {
  if (!feed.writable) return start()
  append(options.blocks - feed.length, start)
})

function append (count, done) {
  if (count <= 0) return done()
  const batch = []
  let bytes = 0
  // A batch has one signature; several batches make a feed as it grows in life.
  while (batch.length < Math.min(count, 64) && bytes < 1 << 22) {
    const index = feed.length + batch.length
    batch.push(lib.block(index, sizes[index % sizes.length]))
    bytes += batch[batch.length - 1].length
  }
  feed.append(batch, error => error ? lib.fail(error) : append(count - batch.length, done))
}

function start () {
  lib.meet(options, () => feed.replicate({ live: options.live }), port => {
    summary('ready', { port, key: feed.key.toString('hex'), writable: feed.writable })
    if (!feed.writable) watch()
  })
  lib.commands({
    append: count => append(Number(count), () => summary('appended')),
    clear: index => feed.clear(Number(index), () => lib.tell('cleared', { index: Number(index) })),
    get: index => feed.get(Number(index), (error, block) => error ? lib.fail(error) : lib.tell('block', { index: Number(index), bytes: block.length, sha256: sha256(block) })),
    dial: () => lib.dial(),
    audit: () => feed.audit((error, report) => error ? lib.fail(error) : lib.tell('audit', report))
  })
}

// Tells whenever everything known is there.
function watch () {
  const began = process.hrtime.bigint()
  let told = 0
  const look = () => {
    if (options.sparse || feed.length <= told || feed.downloaded(0, feed.length) < feed.length) return
    told = feed.length
    const ms = Number(process.hrtime.bigint() - began) / 1e6
    if (options.quiet) return lib.tell('synced', { length: told, bytes: feed.byteLength, ms, ...lib.memory() })
    summary('synced', { ms })
  }
  feed.on('download', look)
  feed.on('sync', look)
  look()
}

function sha256 (bytes) {
  return crypto.createHash('sha256').update(bytes).digest('hex')
}

// Length, bytes and digest of all blocks, in order; and one of the blocks' sizes.
function summary (event, facts) {
  const length = feed.length
  if (options.quiet || !feed.has(0) || feed.downloaded(0, length) < length) {
    return lib.tell(event, { length, bytes: feed.byteLength, ...facts, ...lib.memory() })
  }
  const all = crypto.createHash('sha256')
  const each = []
  const next = index => {
    if (index === length) {
      const digest = { sha256: all.digest('hex'), sizes: sha256(each.join(',')) }
      return lib.tell(event, { length, bytes: feed.byteLength, ...digest, ...facts, ...lib.memory() })
    }
    feed.get(index, { wait: false }, (error, block) => {
      if (error) return lib.fail(error)
      all.update(block)
      each.push(block.length)
      next(index + 1)
    })
  }
  next(0)
}
