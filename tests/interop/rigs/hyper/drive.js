'use strict'
// One hyperdrive on TCP connections.
//   node drive.js --dir D [--key HEX --connect PORT,PORT]
// Without --key it is a writer that listens; "change" on standard input edits it. A reader tells of what
// it finds whenever that has changed.

const net = require('net')
const readline = require('readline')
const { createHash } = require('crypto')
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')

const options = { dir: '', key: '', connect: '' }
for (const words = process.argv.slice(2); words.length;) {
  const name = words.shift().replace(/^--/, '')
  if (!(name in options)) throw new Error('unknown option ' + name)
  options[name] = words.shift()
}

const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')
const fail = (err) => tell('error', { message: err.message })

// Path -> what it is, as one line of text.
async function listed (drive) {
  const files = {}
  for await (const { key, value } of drive.list('/')) {
    if (value.linkname) {
      files[key] = 'link ' + value.linkname
      continue
    }
    const bytes = await drive.get(key)
    if (bytes === null) return {} // deleted meanwhile: the next list has it
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    files[key] = (value.executable ? 'program ' : 'file ') + bytes.length + ' ' + sha256 + ' ' + JSON.stringify(value.metadata)
  }
  return files
}

async function fill (drive) {
  await drive.put('/a.txt', 'hello\n')
  await drive.put('/sub/run.sh', '#!/bin/sh\n', { executable: true })
  await drive.put('/sub/big.bin', Buffer.alloc(200000, 7), { metadata: { b: 1, a: [2] } })
  await drive.put('/empty', '')
  await drive.symlink('/link', 'a.txt')
  for (let i = 0; i < 40; i++) await drive.put('/many/' + i, 'file ' + i)
}

async function change (drive) {
  await drive.del('/a.txt')
  await drive.put('/sub/run.sh', 'changed')
  for (let i = 0; i < 40; i += 2) await drive.del('/many/' + i)
}

async function follow (drive) {
  let told = ''
  while (true) {
    const now = JSON.stringify(await listed(drive))
    if (now !== told && now !== '{}') tell('listed', { files: JSON.parse(now) })
    told = now
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function main () {
  const store = new Corestore(options.dir)
  const drive = options.key ? new Hyperdrive(store, Buffer.from(options.key, 'hex')) : new Hyperdrive(store)
  await drive.ready()
  const run = (socket, initiator) => {
    const stream = store.replicate(initiator)
    socket.setNoDelay(true)
    socket.on('error', () => stream.destroy())
    stream.on('error', (err) => { fail(err); socket.destroy() })
    socket.pipe(stream).pipe(socket)
  }
  if (options.key) {
    for (const port of options.connect.split(',')) {
      const socket = net.connect(Number(port), '127.0.0.1', () => run(socket, true))
    }
    follow(drive).catch(fail)
  } else {
    await fill(drive)
    const server = net.createServer((socket) => run(socket, false))
    server.listen(0, '127.0.0.1', async () => tell('ready', { port: server.address().port, key: drive.key.toString('hex'), files: await listed(drive) }))
  }
  readline.createInterface({ input: process.stdin }).on('line', async () => {
    await change(drive)
    tell('changed', { files: await listed(drive) })
  }).on('close', () => process.exit(0))
}
main().catch((err) => { fail(err); process.exit(1) })
