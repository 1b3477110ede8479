'use strict'
// A hyperdrive on TCP connections, told what to do line by line (told.js).
//   node drives.js --dir D [--drive 11|13]

const { createHash } = require('crypto')
const { options: read, obey } = require('./told')

const options = read({ dir: '', drive: '13' })

const Corestore = require('corestore')
const Hyperdrive = require(options.drive === '11' ? 'hyperdrive11' : 'hyperdrive')
const Localdrive = require('localdrive')

const store = new Corestore(options.dir)
let drive = null

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
  }
}

obey((initiator) => store.replicate(initiator), todo)
