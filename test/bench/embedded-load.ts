// A program with a broker inside: embedded-load.ts memory|file; prints one JSON line and ends.
// Promises: the memory is that of the first broker of a process that has loaded everything; times are those after it.
// Fails when close() leaves anything that would keep the process.
// Does not know: what the figures are compared with.

import { connect } from 'amqplib'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as Odradek from '../../src/index.ts'

const STARTS = 15
const WARM = 5
/** What the client's socket leaves is gone a few turns after it. */
const SETTLE_MS = 50
const LOOKS = 40

// What people import.
const built = new URL('../../dist/index.js', import.meta.url).href
const { startBroker } = (await import(built)) as typeof Odradek
const folder = mkdtempSync(join(tmpdir(), 'odradek-embedded-'))
const isOnDisk = process.argv[2] === 'file'
let opened = 0

interface Memory {
  readonly rss: number
  readonly used: number
}

/** What the process has of the machine may be room that loading left behind: what it uses counts as well. */
function memoryMiB(): Memory {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss: rss / 1024 / 1024, used: (heapUsed + external) / 1024 / 1024 }
}
const handles = (): string[] => process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe|FSReq|File)/.test(name))

interface Start {
  readonly ms: number
  readonly startMs: number
  readonly memory: Memory
}

async function once(): Promise<Start> {
  const before = handles()
  const began = performance.now()
  const broker = await startBroker({
    store: isOnDisk ? `file:${join(folder, String(opened++))}` : 'memory:',
    logLevel: 'error',
  })
  const startMs = performance.now() - began
  const connection = await connect(broker.amqp, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('orders')
  channel.sendToQueue('orders', Buffer.from('first'))
  await channel.waitForConfirms()
  const ms = performance.now() - began
  const memory = memoryMiB()
  await connection.close()
  await broker.close()
  for (let look = 0; look < LOOKS && handles().length > before.length; look++)
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  if (handles().length > before.length) throw new Error(`close() left ${handles().join(', ')}`)
  return { ms, startMs, memory }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

try {
  const before = memoryMiB()
  const first = await once()
  const growthMiB = Math.max(first.memory.rss - before.rss, first.memory.used - before.used)
  const starts: Start[] = []
  for (let start = 0; start < STARTS; start++) starts.push(await once())
  const warm = starts.slice(WARM)
  const firstRecordMs = median(warm.map(({ ms }) => ms))
  console.log(JSON.stringify({ firstRecordMs, startMs: median(warm.map((one) => one.startMs)), growthMiB }))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
