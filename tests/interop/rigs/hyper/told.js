'use strict'
// What the programs have in common that are told what to do line by line.
// They listen on a port of loopback that the system chooses. Standard input takes JSON objects with a number
// `id` and the name of what is to be done as `do`; each is answered by a `done` or `failed` event of the same id.

const net = require('net')
const readline = require('readline')

const tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')
// The streams that are open.
const streams = new Set()

// The options of the command line, `--name value`, over what is usual.
function options (usual) {
  const found = { ...usual }
  for (const words = process.argv.slice(2); words.length;) {
    const name = words.shift().replace(/^--/, '')
    if (!(name in found)) throw new Error('unknown option ' + name)
    found[name] = words.shift()
  }
  return found
}

// Does what is in `todo`, and `connect` and `disconnect`; `replicate` makes the stream of a connection.
function obey (replicate, todo) {
  const run = (socket, initiator) => {
    const stream = replicate(initiator)
    streams.add(stream)
    socket.setNoDelay(true)
    socket.on('error', () => stream.destroy())
    stream.on('close', () => { streams.delete(stream); tell('disconnected', {}) })
    stream.on('error', (err) => { tell('error', { message: err.message }); socket.destroy() })
    socket.pipe(stream).pipe(socket)
  }
  const all = {
    ...todo,
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
  const done = async (order) => {
    try {
      tell('done', { id: order.id, ...(await all[order.do](order)) })
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
      if (order.meanwhile) done(order)
      else last = last.then(() => done(order))
    }).on('close', () => process.exit(0))
  })
}

module.exports = { options, tell, streams, obey }
