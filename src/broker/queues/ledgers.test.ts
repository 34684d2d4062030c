// The ledgers' machine over the memory store: what is written when, what a restart and a refused append leave.
// Promises: turns and commits are taken by hand.
// Does not know: queues; the random histories are in ledgers-model.test.ts.

import { describe, expect, test } from 'vitest'
import type { Clock, World } from '../../base/world.ts'
import { openMemoryStore } from '../../engines/memory/memory-store.ts'
import { MachineLog } from '../../log/machine.ts'
import { logId, type Store, type TopicId } from '../../log/store.ts'
import { Ledgers } from './ledgers.ts'
import type { LedgerId } from './parts.ts'

const MiB = 1024 * 1024

class HandClock implements Clock {
  #tasks: (() => void)[] = []
  nowMs = (): number => 1_000_000
  monotonicMs = (): number => 0
  after(): { cancel(): void } {
    return { cancel() {} }
  }
  endOfTurn(task: () => void): void {
    this.#tasks.push(task)
  }
  async turn(): Promise<void> {
    while (this.#tasks.length > 0) for (const task of this.#tasks.splice(0)) task()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

interface Bench {
  readonly clock: HandClock
  readonly world: World
  readonly store: Store
}

function bench(bytesMax = 256 * MiB): Bench {
  const clock = new HandClock()
  const trace = { info() {}, warn() {}, error() {}, count() {}, counters: () => new Map<string, number>() }
  const world = { clock, trace } as unknown as World
  return { clock, world, store: openMemoryStore(world, { bytesMax }) }
}

interface Started {
  readonly ledgers: Ledgers
  readonly machineLog: MachineLog
}

async function start({ world, store }: Bench): Promise<Started> {
  const ledgers = new Ledgers(world)
  const machineLog = await MachineLog.open(world, store, [ledgers])
  ledgers.start(machineLog)
  return { ledgers, machineLog }
}

const idOf = (number: number, partition = 0): LedgerId => ({
  log: logId('BBBBBBBBBBBBBBBBBBBBBA' as TopicId, partition),
  number,
})

/** Everything ready, in the order of peek(). */
function drained(ledger: { peek(): number | undefined; acquire(offset: number): boolean }): number[] {
  const offsets: number[] = []
  for (let offset = ledger.peek(); offset !== undefined; offset = ledger.peek()) {
    ledger.acquire(offset)
    offsets.push(offset)
  }
  return offsets
}

describe('a ledger', () => {
  test('hands out in order, takes back to the place, closes for good', async () => {
    const { ledgers } = await start(bench())
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(5)
    expect([ledger.ready, ledger.peek()]).toEqual([5, 0])
    expect(drained(ledger)).toEqual([0, 1, 2, 3, 4])
    expect([ledger.ready, ledger.acquired]).toEqual([0, 5])
    expect([ledger.acknowledge(1), ledger.acknowledge(1)]).toEqual([true, false])
    ledger.giveBack(3, true)
    ledger.giveBack(2, false)
    expect([ledger.wasHandedOut(3), ledger.deliveryCount(3), ledger.deliveryCount(2)]).toEqual([true, 1, 0])
    expect(drained(ledger)).toEqual([2, 3])
    for (const offset of [0, 2, 3, 4]) ledger.acknowledge(offset)
    expect([ledger.floor, ledger.ready, ledger.acquired, ledger.isClosedThroughout(0, 5)]).toEqual([5, 0, 0, true])
  })

  test('with levels the highest comes first, what came back at its place', async () => {
    const { ledgers } = await start(bench())
    const ledger = ledgers.open(idOf(0), 0, 10, false)
    for (const [base, level] of [
      [1, 5],
      [3, 9],
      [4, 5],
      [6, 9],
    ])
      ledger.note({ base, count: 1, level, earliestExpiryMs: undefined })
    ledger.extend(6)
    expect(drained(ledger)).toEqual([3, 1, 4, 0, 2, 5])
    for (const offset of [2, 4, 1]) ledger.giveBack(offset, false)
    ledger.acknowledge(3)
    ledger.extend(8)
    expect(drained(ledger)).toEqual([6, 1, 4, 2, 7])
  })
})
