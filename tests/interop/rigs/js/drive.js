'use strict'
// A hyperdrive peer whose files stand in a folder, as the `dat` program has them.
//   writer: node drive.js --folder DIR --secrets DIR [--memory] …   makes a drive of the folder, or continues it
//   reader: node drive.js --key HEX --folder DIR …
//   both:   [--live] [--listen PORT | --connect PORT]
// Commands: import (what changed on the disk) · remove NAME · list · history
const lib = require('./lib')
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const hyperdrive = require('hyperdrive')
const options = lib.options({ folder: '', secrets: '', key: '', memory: false, live: false, listen: 0, connect: 0, quiet: false })

fs.mkdirSync(options.folder, { recursive: true })
const secretDir = path.resolve(options.secrets || path.join(options.folder, '.dat/none'))
const storage = options.memory ? () => require('random-access-memory')() : require('dat-storage')(path.resolve(options.folder), { secretDir })
const drive = hyperdrive(storage, options.key || undefined, { latest: !options.memory, indexing: !options.memory })
const began = process.hrtime.bigint()

drive.on('error', lib.fail)
drive.on('sync', () => tell('sync', { ms: Number(process.hrtime.bigint() - began) / 1e6, ...lib.memory() }))
drive.ready(() => drive.metadata.writable ? importAll(start) : start())

function tell (event, facts) {
  const content = drive.content
  lib.tell(event, { version: drive.version, blocks: content ? content.length : 0, ...facts })
}

function start () {
  lib.meet(options, () => drive.replicate({ live: options.live }), port => {
    const writable = drive.metadata.writable
    tell('ready', { port, key: drive.key.toString('hex'), writable, ...lib.memory() })
  })
  lib.commands({
    import: () => importAll(() => tell('imported')),
    remove: name => drive.unlink('/' + name, error => error ? lib.fail(error) : tell('removed', { name })),
    list: () => list(files => tell('list', { files })),
    history: () => {
      const entries = []
      drive.history()
        .on('data', entry => entries.push({ version: entry.version, type: entry.type, name: entry.name }))
        .on('end', () => tell('history', { entries }))
    }
  })
}

// Names below the folder, sorted, `.dat` left out.
function walk (below) {
  const found = []
  for (const entry of fs.readdirSync(path.join(options.folder, below), { withFileTypes: true })) {
    const name = path.posix.join(below, entry.name)
    if (name === '/.dat') continue
    if (entry.isDirectory()) found.push(...walk(name))
    else found.push(name)
  }
  return found.sort()
}

function importAll (done) {
  const names = walk('/')
  const next = () => {
    const name = names.shift()
    if (!name) return done()
    const on = fs.statSync(path.join(options.folder, name))
    drive.stat(name, (missing, stat) => {
      if (!missing && stat.size === on.size && stat.mtime >= Math.floor(on.mtimeMs)) return next()
      const to = drive.createWriteStream(name, { mode: on.mode, mtime: Math.floor(on.mtimeMs), ctime: Math.floor(on.ctimeMs) })
      to.on('error', lib.fail)
      to.on('finish', next)
      fs.createReadStream(path.join(options.folder, name), { highWaterMark: 65536 }).pipe(to)
    })
  }
  next()
}

// Every file of the current version as this drive sees it, with the digest of its bytes.
function list (done) {
  const files = {}
  const pending = ['/']
  const next = () => {
    const name = pending.pop()
    if (name === undefined) return done(files)
    drive.readdir(name, (_, children) => {
      if (children && children.length) pending.push(...children.map(child => path.posix.join(name, child)))
      if (name === '/') return next()
      drive.stat(name, (missing, stat) => {
        if (missing || !stat.isFile()) return next()
        drive.readFile(name, (error, bytes) => {
          if (error) return lib.fail(error)
          const sha256 = crypto.createHash('sha256').update(bytes).digest('hex')
          files[name.slice(1)] = { size: stat.size, mode: stat.mode & 0o7777, mtime: Math.floor(+stat.mtime), sha256 }
          next()
        })
      })
    })
  }
  next()
}
