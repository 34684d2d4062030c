// Real sockets, one after the other and many at once, over the one read buffer they share.
// Promises: bytes arrive whole and in order, back-pressure holds, both ends learn that the other has gone.
// Does not know: protocols.

import net from 'node:net'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import type { Connection } from '../base/world.ts'
import { nodeNet } from './node-net.ts'

async function listen(accept: (connection: Connection) => void): Promise<{ port: number; close(): Promise<void> }> {
  return await nodeNet().listen({ host: '127.0.0.1', port: 0 }, accept)
}

async function connect(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

test('twenty connections at once keep their bytes apart', async () => {
  const listener = await listen((connection) => connection.onData((chunk) => connection.write([Buffer.from(chunk)])))
  const echoes = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const socket = await connect(listener.port)
      const sent = Buffer.alloc(700_000 + index, index)
      const received: Buffer[] = []
      let bytes = 0
      const whole = new Promise<void>((resolve) => {
        socket.on('data', (chunk) => {
          received.push(chunk)
          bytes += chunk.length
          if (bytes === sent.length) resolve()
        })
      })
      socket.write(sent)
      await whole
      socket.destroy()
      return Buffer.concat(received).equals(sent)
    }),
  )
  expect(echoes).toEqual(Array.from({ length: 20 }, () => true))
  await listener.close()
})

test('a peer that ends is noticed, and one that resets too', async () => {
  const gone: string[] = []
  const bothGone = new Promise<void>((resolve) => {
    void listen((connection) => {
      connection.onData(() => {})
      connection.onClose(() => {
        gone.push(connection.remoteAddress)
        if (gone.length === 2) resolve()
      })
    }).then(async (listener) => {
      ;(await connect(listener.port)).end()
      ;(await connect(listener.port)).resetAndDestroy()
      void listener.close()
    })
  })
  await bothGone
  expect(gone).toEqual(['127.0.0.1', '127.0.0.1'])
})

test('a paused connection is not read, and goes on where it stopped', async () => {
  let received = 0
  let server: Connection | undefined
  const listener = await listen((connection) => {
    server = connection
    connection.onData((chunk) => {
      received += chunk.length
      if (received === chunk.length) connection.pause()
    })
  })
  const socket = await connect(listener.port)
  const bytes = 16 * 1024 * 1024
  socket.write(Buffer.alloc(bytes))
  // What the kernel does not take stays with the writer: that is what shows that nobody reads.
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(socket.writableLength).toBeGreaterThan(0)
  const before = received
  server?.resume()
  await once(socket, 'drain')
  socket.end()
  await new Promise<void>((resolve) => server?.onClose(resolve))
  expect(before).toBeLessThan(bytes)
  expect(received).toBe(bytes)
  await listener.close()
})

test('end() sends what was written before', async () => {
  const listener = await listen((connection) => {
    connection.onData(() => {
      connection.write([Buffer.from('good'), Buffer.from('bye')])
      connection.end()
    })
  })
  const socket = await connect(listener.port)
  socket.write('x')
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString()))
  await once(socket, 'close')
  expect(text).toBe('goodbye')
  await listener.close()
})

test('sent is told when the kernel has the bytes, in order, and the memory may change then', async () => {
  const told: number[] = []
  let allTold = (): void => {}
  const all = new Promise<void>((resolve) => (allTold = resolve))
  const bytes = 3 * 1024 * 1024
  const listener = await listen((connection) => {
    connection.onData(() => {
      for (let index = 0; index < 4; index++) {
        const chunk = Buffer.alloc(bytes, index)
        connection.write([chunk], () => {
          chunk.fill(99)
          if (told.push(index) === 4) allTold()
        })
      }
    })
  })
  const socket = await connect(listener.port)
  const seen = new Set<number>()
  let received = 0
  socket.on('data', (chunk) => {
    for (const byte of chunk) seen.add(byte)
    received += chunk.length
  })
  socket.write('x')
  await all
  while (received < 4 * bytes) await once(socket, 'data')
  socket.destroy()
  expect(told).toEqual([0, 1, 2, 3])
  expect([...seen].sort()).toEqual([0, 1, 2, 3])
  await listener.close()
})
