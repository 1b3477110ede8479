'use strict'
// Makes hyper_bee.json: node hyper_bee.js OUT, where hypercore 11.37.1 and hyperbee 2.27.3 are installed
// (as in ../interop/rigs). Each case is a list of appends, each a list of puts "key=value" and deletes
// "key"; with one operation it is made without a batch. The blocks are given as they are for short
// cases, else as one hash over u32le length and bytes of each.
const Hypercore = require('hypercore')
const Hyperbee = require('hyperbee')
const Hyperblobs = require('hyperblobs')
const crypto = require('hypercore-crypto')
const b4a = require('b4a')
const fs = require('fs')
const os = require('os')
const path = require('path')

function random (seed) {
  let x = seed >>> 0
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    return (x >>> 8) % n
  }
}

function script (seed, appends, keys, deletes, most) {
  const r = random(seed)
  const out = []
  for (let i = 0; i < appends; i++) {
    const ops = []
    for (let n = 1 + (most > 1 ? r(most) : 0); n > 0; n--) {
      const key = 'k' + String(r(keys)).padStart(4, '0')
      ops.push(r(100) < deletes ? key : key + '=' + r(50))
    }
    out.push(ops)
  }
  return out
}

async function main () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'h11bee-'))
  const cases = []
  let n = 0
  const scripts = [
    script(1, 40, 20, 20, 1), script(2, 12, 30, 30, 6), script(3, 400, 150, 45, 1), script(4, 60, 200, 40, 25),
    script(5, 3, 2000, 0, 900), script(6, 250, 60, 60, 1), script(7, 40, 400, 55, 30),
    [Array.from({ length: 300 }, (_, i) => 'k' + String(i).padStart(4, '0') + '=1'),
      ...Array.from({ length: 300 }, (_, i) => ['k' + String((i * 7) % 300).padStart(4, '0')])]
  ]
  for (const appends of scripts) {
    const core = new Hypercore(path.join(dir, String(n++)), null, { keyPair: crypto.keyPair(b4a.alloc(32, 1)) })
    const bee = new Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
    await bee.ready()
    for (const ops of appends) {
      const to = ops.length === 1 ? bee : bee.batch()
      for (const op of ops) {
        const [key, value] = op.split('=')
        if (value === undefined) await to.del(key)
        else await to.put(key, value)
      }
      if (to !== bee) await to.flush()
    }
    const blocks = []
    for (let i = 0; i < core.length; i++) blocks.push(await core.get(i))
    const entries = []
    for await (const e of bee.createReadStream()) entries.push(e.key + '=' + e.value)
    const framed = []
    for (const b of blocks) {
      const len = b4a.alloc(4)
      len.writeUInt32LE(b.byteLength)
      framed.push(len, b)
    }
    const out = { appends: appends.map((ops) => ops.join(' ')), length: core.length, hash: b4a.toString(crypto.hash(framed), 'hex'), entries: entries.join(' ') }
    if (core.length < 60) out.blocks = blocks.map((b) => b4a.toString(b, 'hex'))
    cases.push(out)
    await core.close()
  }
  // Blobs with and without block maps.
  const core = new Hypercore(path.join(dir, 'blobs'), null, { keyPair: crypto.keyPair(b4a.alloc(32, 1)) })
  const blobs = new Hyperblobs(core, { blockSize: 8 })
  const files = []
  for (const [text, opts] of [['one two three four five', {}], ['aaaaaaaabbbbbbbbaaaaaaaacc', { dedup: true }], ['', {}], ['aaaaaaaadddddddd', { blockMap: true }]]) {
    files.push({ text, id: await blobs.put(b4a.from(text), opts) })
  }
  const blocks = []
  for (let i = 0; i < core.length; i++) blocks.push(b4a.toString(await core.get(i), 'hex'))
  for (const f of files) if (b4a.toString(await blobs.get(f.id)) !== f.text) throw new Error('blob')
  await core.close()
  fs.rmSync(dir, { recursive: true, force: true })
  fs.writeFileSync(process.argv[2], JSON.stringify({ madeWith: { hypercore: '11.37.1', hyperbee: '2.27.3', hyperblobs: '2.12.1' }, cases, blobs: { files, blocks } }, null, 1) + '\n')
}
main().catch((err) => { console.error(err); process.exit(1) })
