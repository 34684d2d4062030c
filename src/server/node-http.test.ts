// The real web server before clients that are in the wrong.
// Promises: each is told so, or gone, and none of it is a fault of ours in the log.
// Does not know: routes.

import net from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Trace } from '../base/world.ts'
import { listenHttp, type HttpListener } from './node-http.ts'

const failures: unknown[] = []
const trace: Trace = {
  info: () => {},
  warn: () => {},
  error: (event, values) => void failures.push(event, values),
  count: () => {},
  counters: () => new Map(),
}
let listener: HttpListener | undefined

afterEach(async () => {
  await listener?.drain(100)
  failures.length = 0
})

/** All that the server says to these bytes until it closes, or until the client does. */
async function said(parts: readonly Buffer[], leavesWhenAnswered = false): Promise<string> {
  listener = await listenHttp(
    { host: '127.0.0.1', port: 0 },
    ({ path }) => Promise.resolve({ status: 200, body: path }),
    trace,
  )
  const socket = net.connect(listener.port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (const part of parts) socket.write(part)
  if (leavesWhenAnswered) socket.once('data', () => socket.destroy())
  await closed
  return Buffer.concat(chunks).toString('latin1')
}

const head = (target: string, ...lines: readonly string[]): Buffer =>
  Buffer.from([`POST ${target} HTTP/1.1`, 'host: x', 'connection: close', ...lines, '', ''].join('\r\n'))

test('a target that is no path is the fault of who asked', async () => {
  expect(await said([head('//', 'content-length: 0')])).toMatch(/^HTTP\/1\.1 400 /)
  expect(failures).toEqual([])
})

test('another host in the target changes nothing', async () => {
  expect(await said([head('http://elsewhere/a/b', 'content-length: 0')])).toMatch(/\/a\/b$/)
})

test('a body that is too large is told to be', async () => {
  const part = Buffer.alloc(1024 * 1024)
  const parts = Array.from({ length: 33 }, () => part)
  expect(await said([head('/', `content-length: ${33 * part.length}`), ...parts])).toMatch(/^HTTP\/1\.1 413 /)
  expect(failures).toEqual([])
})

test('who leaves in the middle of a body is no fault of ours', async () => {
  await said([head('/', 'content-length: 10', 'expect: 100-continue'), Buffer.from('abc')], true)
  await listener?.drain(1000)
  // The server's side of the socket is closed; who read from it hears of that in the next turns.
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(failures).toEqual([])
})
