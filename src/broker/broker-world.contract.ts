// A world for the broker's own tests: a clock that moves when told, random numbers that repeat, counters that can be read.
// Promises: nothing happens on its own; turns pass by setImmediate, so that promises and ends of turns interleave as in life.
// Does not know: disks and sockets; a test that touches them fails.

import { createHash } from 'node:crypto'
import type { Clock, Timer, Trace, World } from '../base/world.ts'

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
