'use strict'
// A hyperdrive on TCP connections, told what to do line by line.
//   node drives.js --dir D [--drive 11|13]
// It listens on a port of loopback that the system chooses. Standard input takes JSON objects with a number
// `id` and the name of what is to be done as `do`; each is answered by a `done` or `failed` event of the same id.

const net = require('net')
const readline = require('readline')
const { createHash } = require('crypto')

const options = { dir: '', drive: '13' }
for (const words = process.argv.slice(2); words.length;) {
  const name = words.shift().replace(/^--/, '')
  if (!(name in options)) throw new Error('unknown option ' + name)
  options[name] = words.shift()
}

const Corestore = require('corestore')
const Hyperdrive = require(options.drive === '11' ? 'hyperdrive11' : 'hyperdrive')
const Localdrive = require('localdrive')

const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')
const store = new Corestore(options.dir)
const streams = new Set()
let drive = null

function run (socket, initiator) {
  const stream = store.replicate(initiator)
  streams.add(stream)
  socket.setNoDelay(true)
  socket.on('error', () => stream.destroy())
  stream.on('close', () => { streams.delete(stream); tell('disconnected', {}) })
  stream.on('error', (err) => { tell('error', { message: err.message }); socket.destroy() })
  socket.pipe(stream).pipe(socket)
}

const facts = async () => ({ key: drive.key.toString('hex'), version: drive.version })

// Path -> what it is, as one line of text. Nothing at all if something changed meanwhile: what is not in
// the drive any more may never come.
async function listed () {
  const files = {}
  for await (const { key, value } of drive.list('/')) {
    if (value.linkname) {
      files[key] = 'link ' + value.linkname
      continue
    }
    const bytes = await drive.get(key, { timeout: 5000 }).catch(() => null)
    if (bytes === null) return {}
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    files[key] = (value.executable ? 'program ' : 'file ') + bytes.length + ' ' + sha256
  }
  return files
}

const todo = {
  async create () {
    drive = new Hyperdrive(store)
    await drive.ready()
    return facts()
  },
  async open ({ key }) {
    drive = new Hyperdrive(store, Buffer.from(key, 'hex'))
    await drive.ready()
    return facts()
  },
  // What stands in a folder.
  async take ({ folder }) {
    const local = new Localdrive(folder)
    for await (const { key, value } of local.list('/')) {
      if (value.linkname) await drive.symlink(key, value.linkname)
      else await drive.put(key, await local.get(key), { executable: value.executable })
    }
    return facts()
  },
  // Writes everything into a folder, as hyperdrive itself does.
  async give ({ folder }) {
    await drive.mirror(new Localdrive(folder), { prune: true }).done()
    return facts()
  },
  async put ({ path, text, size, executable, metadata, dedup }) {
    const bytes = size ? Buffer.alloc(size, path) : Buffer.from(text || '')
    if (dedup) {
      // Chunks that are equal are stored once; a map says where.
      const out = drive.createWriteStream(path, { dedup })
      out.end(bytes)
      await new Promise((resolve, reject) => out.on('close', resolve).on('error', reject))
      return facts()
    }
    await drive.put(path, bytes, { executable: !!executable, metadata: metadata || null })
    return facts()
  },
  async symlink ({ path, to }) {
    await drive.symlink(path, to)
    return facts()
  },
  async del ({ path }) {
    await drive.del(path)
    return facts()
  },
  async metadata ({ path }) {
    const entry = await drive.entry(path)
    return { metadata: entry && entry.value.metadata }
  },
  async list () {
    return { files: await listed(), ...(await facts()) }
  },
  // Resolves when the drive has this version or a later one.
  async until ({ version }) {
    await new Promise((resolve) => {
      const look = () => {
        if (drive.version < version) return
        drive.core.off('append', look)
        resolve()
      }
      drive.core.on('append', look)
      look()
    })
    return facts()
  },
  connect: ({ port }) => new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), '127.0.0.1', () => { run(socket, true); resolve({}) })
    socket.on('error', reject)
  }),
  async disconnect () {
    const count = streams.size
    for (const stream of streams) stream.destroy()
    return { count }
  }
}

async function obey (order) {
  try {
    tell('done', { id: order.id, ...(await todo[order.do](order)) })
  } catch (err) {
    tell('failed', { id: order.id, why: err.message })
  }
}

const server = net.createServer((socket) => run(socket, false))
server.listen(0, '127.0.0.1', () => {
  tell('ready', { port: server.address().port })
  let last = Promise.resolve()
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const order = JSON.parse(line)
    // What waits for others does not hold up what follows.
    if (order.meanwhile) obey(order)
    else last = last.then(() => obey(order))
  }).on('close', () => process.exit(0))
})
