// A world for the broker's own tests: a clock that moves when told, random numbers that repeat, counters that can be read.
// Promises: nothing happens on its own; turns pass by setImmediate, so that promises and ends of turns interleave as in life.
// Does not know: disks and sockets; a test that touches them fails.

import { createHash } from 'node:crypto'
import type { Clock, Timer, Trace, World } from '../base/world.ts'
import { assembleBatch, compressionBits, type CompressionName } from '../log/batch.ts'
import { deflate } from '../log/compression.ts'
import { encodeRecords } from '../log/records.ts'

export interface TestWorld extends World {
  readonly clock: Clock & { advance(ms: number): void }
}

export function testWorld(startMs = 1_700_000_000_000): TestWorld {
  const counters = new Map<string, number>()
  const trace: Trace = {
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
    counters: () => counters,
  }
  let drawn = 0
  const draw = (): Buffer => createHash('sha256').update(String(drawn++)).digest()
  return {
    clock: testClock(startMs),
    random: {
      bytes: (bytes) => Buffer.concat(Array.from({ length: Math.ceil(bytes / 32) }, draw)).subarray(0, bytes),
      fraction: () => draw().readUInt32BE(0) / 0x1_0000_0000,
    },
    disk: unused('disk'),
    net: unused('net'),
    trace,
  }
}

function testClock(startMs: number): TestWorld['clock'] {
  let passedMs = 0
  const timers = new Set<{ readonly atMs: number; readonly task: () => void }>()
  return {
    nowMs: () => startMs + passedMs,
    monotonicMs: () => passedMs,
    after: (delayMs, task): Timer => {
      const timer = { atMs: passedMs + delayMs, task }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
    endOfTurn: (task) => void setImmediate(task),
    advance: (ms) => {
      passedMs += ms
      const due = [...timers].filter((timer) => timer.atMs <= passedMs).sort((one, other) => one.atMs - other.atMs)
      for (const timer of due) if (timers.delete(timer)) timer.task()
    },
  }
}

function unused<T extends object>(what: string): T {
  return new Proxy({} as T, {
    get: () => {
      throw new Error(`this test world has no ${what}`)
    },
  })
}

export const testIdentity = { vhost: '/', principal: 'User:ANONYMOUS', clientId: 'test', address: '127.0.0.1' }

export interface TestBatch {
  readonly values?: readonly string[]
  /** Of each value; none by default. */
  readonly keys?: readonly string[]
  readonly count?: number
  readonly timestampsMs?: readonly number[]
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly attributes?: number
  readonly codec?: CompressionName
}

/** A batch as a client would send it. */
export function testBatch(clock: Pick<Clock, 'nowMs'>, batch: TestBatch = {}): Buffer {
  const values = batch.values ?? Array.from({ length: batch.count ?? 1 }, (_, index) => `value ${index}`)
  const records = values.map((value, index) => ({
    key: batch.keys === undefined ? null : Buffer.from(batch.keys[index]),
    value: Buffer.from(value),
    timestampMs: batch.timestampsMs?.[index] ?? clock.nowMs(),
  }))
  const baseTimestampMs = records[0].timestampMs
  const codec = batch.codec ?? 'none'
  const section = deflate(codec, encodeRecords(records, baseTimestampMs))
  return assembleBatch(
    {
      attributes: (batch.attributes ?? 0) | compressionBits(codec),
      lastOffsetDelta: records.length - 1,
      baseTimestampMs,
      maxTimestampMs: Math.max(...records.map((record) => record.timestampMs)),
      count: records.length,
      producerId: batch.producerId ?? -1,
      producerEpoch: batch.producerEpoch ?? (batch.producerId === undefined ? -1 : 0),
      baseSequence: batch.baseSequence ?? -1,
    },
    section,
  )
}

/** Lets everything that is ready happen: promises, and ends of turns a few deep. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
