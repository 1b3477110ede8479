'use strict'
// What the peers share. Loaded before any hypercore module, because it decides which libsodium
// they get: PEER_SODIUM=native for the compiled one (speed comparisons), else the JavaScript one.

const crypto = require('crypto')
const net = require('net')
const readline = require('readline')

if (process.env.PEER_SODIUM === 'native') useNativeSodium()
else process.env.SODIUM_NATIVE = 'disable'

// The old modules ask for sodium-universal, whose own native half does not build on today's Node.
// sodium-native 3 does; it lacks one call of old and is strict about the length of another's key.
function useNativeSodium () {
  const native = require('sodium-native3')
  const module = { ...native }
  module.crypto_stream_xor_instance = (nonce, key) => {
    const state = Buffer.alloc(native.crypto_stream_xor_STATEBYTES)
    native.crypto_stream_xor_init(state, nonce, key)
    return {
      update: (to, from) => native.crypto_stream_xor_update(state, to, from),
      final: () => native.crypto_stream_xor_final(state)
    }
  }
  module.crypto_kdf_derive_from_key = (to, id, context, key) =>
    native.crypto_kdf_derive_from_key(to, id, context, key.subarray(0, native.crypto_kdf_KEYBYTES))
  const where = require.resolve('sodium-universal')
  require.cache[where] = { id: where, filename: where, loaded: true, exports: module, children: [], paths: [] }
}

// --name value | --flag
exports.options = known => {
  const words = process.argv.slice(2)
  const options = { ...known }
  while (words.length) {
    const name = words.shift().replace(/^--/, '')
    if (!(name in known)) throw new Error('unknown option ' + name)
    const value = typeof known[name] === 'boolean' ? true : words.shift()
    options[name] = typeof known[name] === 'number' ? Number(value) : value
  }
  return options
}

// One line of JSON for the test that started us.
exports.tell = (event, facts) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')

exports.fail = error => {
  exports.tell('error', { message: String(error.message || error) })
  process.exitCode = 1
}

// Each line of standard input is a command and what it is about; the end of input ends the process.
exports.commands = handlers => {
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', line => {
    const [, name, rest] = line.match(/^(\w+) ?(.*)$/)
    handlers[name](rest)
  })
  input.on('close', () => process.exit())
}

// Connects to a port, or listens, on loopback; every socket is joined to a stream from `replicate`.
exports.meet = (options, replicate, ready) => {
  const join = socket => {
    socket.setNoDelay(true)
    const stream = replicate()
    let why = null
    stream.on('error', error => { why = why || error })
    socket.on('error', error => { why = why || error })
    stream.on('handshake', () => exports.tell('handshake', { live: !!stream.remoteLive }))
    stream.on('close', () => socket.destroy())
    socket.on('close', () => {
      stream.destroy()
      exports.tell('closed', { error: why && why.message, received: socket.bytesRead, sent: socket.bytesWritten })
    })
    socket.pipe(stream).pipe(socket)
  }
  if (options.connect) {
    ready(options.connect)
    exports.dial = () => join(net.connect(options.connect, '127.0.0.1'))
    exports.dial()
  } else {
    const server = net.createServer(join)
    server.listen(options.listen, '127.0.0.1', () => ready(server.address().port))
  }
}

// Block `index` of a made-up feed: the bytes depend on nothing else.
exports.block = (index, size) => {
  const key = crypto.createHash('sha256').update('block ' + index).digest()
  return crypto.createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

exports.memory = () => ({ peakKiB: process.resourceUsage().maxRSS })
