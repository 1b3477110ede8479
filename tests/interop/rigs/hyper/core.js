'use strict'
// One hypercore on one TCP connection.
//   node core.js --dir D [--core 10|11] [--key HEX] [--blocks N] [--compat] [--connect PORT]
// Without --key it is a writer. Commands on standard input: "append N", "truncate N" (and append two).
// Block i of fork f is (i * 7919) % 5000 bytes of value i + f.

const net = require('net')
const readline = require('readline')
const { createHash } = require('crypto')
const crypto = require('hypercore-crypto')

const options = { dir: '', core: '11', key: '', blocks: '0', compat: false, connect: '' }
for (const words = process.argv.slice(2); words.length;) {
  const name = words.shift().replace(/^--/, '')
  if (!(name in options)) throw new Error('unknown option ' + name)
  options[name] = typeof options[name] === 'boolean' ? true : words.shift()
}

const Hypercore = require(options.core === '10' ? 'hypercore10' : 'hypercore')
const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')
const block = (i, fork) => Buffer.alloc((i * 7919) % 5000, (i + fork) & 255)

async function digest (core) {
  const hash = createHash('sha256')
  for (let i = 0; i < core.length; i++) hash.update(await core.get(i))
  return { length: core.length, fork: core.fork, sha256: hash.digest('hex') }
}

async function append (core, n) {
  const blocks = []
  for (let i = 0; i < n; i++) blocks.push(block(core.length + i, core.fork))
  if (n) await core.append(blocks)
}

// Tells of each state in which everything is here.
async function follow (core) {
  let told = ''
  while (true) {
    await core.download({ start: 0, end: core.length }).done()
    const now = await digest(core)
    if (core.length && core.length === now.length && JSON.stringify(now) !== told) {
      told = JSON.stringify(now)
      tell('synced', now)
    }
    await new Promise((resolve) => {
      const done = () => { core.off('append', done); core.off('truncate', done); resolve() }
      core.on('append', done)
      core.on('truncate', done)
      if (core.length !== now.length || core.fork !== now.fork) done()
    })
  }
}

async function main () {
  const writer = !options.key
  const core = writer
    ? new Hypercore(options.dir, null, { keyPair: crypto.keyPair(Buffer.alloc(32, 9)), compat: options.compat })
    : new Hypercore(options.dir, Buffer.from(options.key, 'hex'))
  await core.ready()
  if (writer) await append(core, Number(options.blocks))
  const run = (socket, initiator) => {
    const stream = core.replicate(initiator)
    socket.setNoDelay(true)
    socket.on('error', () => stream.destroy())
    stream.on('error', (err) => { tell('error', { message: err.message }); socket.destroy() })
    stream.on('close', () => tell('closed', {}))
    socket.pipe(stream).pipe(socket)
  }
  const facts = async () => ({ key: core.key.toString('hex'), compat: !!core.core.compat, ...(writer ? await digest(core) : {}) })
  if (options.connect) {
    const socket = net.connect(Number(options.connect), '127.0.0.1', () => run(socket, true))
    tell('ready', await facts())
  } else {
    const server = net.createServer((socket) => run(socket, false))
    const ready = await facts()
    server.listen(0, '127.0.0.1', () => tell('ready', { port: server.address().port, ...ready }))
  }
  if (!writer) follow(core).catch((err) => tell('error', { message: err.message }))
  readline.createInterface({ input: process.stdin }).on('line', async (line) => {
    const [word, n] = line.split(' ')
    if (word === 'truncate') await core.truncate(Number(n))
    await append(core, word === 'truncate' ? 2 : Number(n))
    tell('changed', await digest(core))
  }).on('close', () => process.exit(0))
}
main().catch((err) => { tell('error', { message: err.message }); process.exit(1) })
