// The ledgers' machine over the memory store: what is written when, what a restart and a refused append leave.
// Promises: turns and commits are taken by hand.
// Does not know: queues; the random histories are in ledgers-model.test.ts.

import { describe, expect, test } from 'vitest'
import type { Clock, World } from '../../../base/world.ts'
import { openMemoryStore } from '../../../engines/memory/memory-store.ts'
import { MachineLog, machineLogId } from '../../../log/machine.ts'
import { logId, type LogSettings, type Store, type TopicId } from '../../../log/store.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { Ledgers } from './ledgers.ts'
import type { LedgerId } from '../parts.ts'

const MiB = 1024 * 1024
const settings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 16 * MiB,
  segmentAgeMsMax: Number.MAX_SAFE_INTEGER,
  indexIntervalBytes: 64 * 1024,
}

class HandClock implements Clock {
  #tasks: (() => void)[] = []
  #passedMs = 0
  #timers: { readonly atMs: number; readonly task: () => void }[] = []
  nowMs = (): number => 1_000_000
  monotonicMs = (): number => this.#passedMs
  after(delayMs: number, task: () => void): { cancel(): void } {
    const timer = { atMs: this.#passedMs + delayMs, task }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((one) => one !== timer)) }
  }
  advance(ms: number): void {
    this.#passedMs += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#passedMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#passedMs)
    for (const { task } of due) task()
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
  const ledgers = new Ledgers(world, 0)
  const machineLog = await MachineLog.open(world, store, [ledgers])
  ledgers.start(machineLog)
  return { ledgers, machineLog }
}

const idOf = (number: number, partition = 0): LedgerId => ({
  log: logId('BBBBBBBBBBBBBBBBBBBBBA' as TopicId, partition),
  number,
})

/** How many ledgers a snapshot would speak of. */
const known = (ledgers: Ledgers): number =>
  new Set(Array.from(ledgers.entries(), ({ key }) => Buffer.from(key).toString('hex'))).size

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

  test('with a neutral level what nothing is said of stands with it, the last level below all', async () => {
    const one = bench()
    const { ledgers } = await start(one)
    const open = (from: Ledgers) => {
      const ledger = from.open(idOf(0), 0, 33, false, 4)
      ledger.extend(9)
      return ledger
    }
    const ledger = open(ledgers)
    // The neutral one may be said too: older programs did.
    for (const [base, level] of [
      [1, 4],
      [2, 32],
      [3, 3],
      [5, 4],
      [6, 5],
      [7, 31],
    ])
      ledger.note({ base, count: 1, level, earliestExpiryMs: undefined })
    const order = [7, 6, 0, 1, 4, 5, 8, 3, 2]
    expect(drained(ledger)).toEqual(order)
    for (const offset of [2, 5, 4, 7]) ledger.giveBack(offset, false)
    expect(drained(ledger)).toEqual([7, 4, 5, 2])
    ledger.acknowledge(7)
    await one.clock.turn()
    expect(drained(open((await start(one)).ledgers))).toEqual(order.slice(1))
  })

  test('of a scratch log nothing is written, and it survives a replay', async () => {
    const one = bench(3 * MiB)
    const { ledgers, machineLog } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 1, true)
    let committed = 0
    ledger.onCommitted = () => committed++
    ledger.extend(3)
    drained(ledger)
    ledger.acknowledge(0)
    await one.clock.turn()
    expect([ledger.committedFloor, committed, one.store.bytesOf(machineLogId)]).toEqual([1, 1, 0])
    const large = [{ key: Buffer.from('k'), value: Buffer.alloc(4 * MiB) }]
    await Promise.all([expect(machineLog.append(ledgers, large)).rejects.toThrow(), one.clock.turn()])
    expect([ledger.floor, ledger.acquired, ledgers.open(idOf(0), 0, 1, true) === ledger]).toEqual([1, 2, true])
    expect(ledgers.recordsForForgotten(idOf(0))).toEqual([])
  })

  test('the floor that is committed follows the commit', async () => {
    const one = bench()
    const { ledgers } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(9)
    drained(ledger)
    for (let offset = 0; offset < 4; offset++) ledger.acknowledge(offset)
    const told: number[] = []
    ledger.onCommitted = () => void told.push(ledger.committedFloor)
    expect([ledger.floor, ledger.committedFloor]).toEqual([4, 0])
    await one.clock.turn()
    expect([told, ledger.committedFloor]).toEqual([[4], 4])
  })

  test('one that fell asleep is found again as it was; one that was forgotten is new', async () => {
    const one = bench()
    const { ledgers, machineLog } = await start(one)
    for (let number = 0; number < 2; number++) {
      const ledger = ledgers.open(idOf(number, 3), 100, 1, false)
      ledger.extend(120)
      for (const offset of drained(ledger).reverse()) {
        if (offset % 2 === 0) ledger.giveBack(offset, offset === 104)
        else ledger.acknowledge(offset)
      }
    }
    ledgers.release(idOf(0, 3))
    const again = ledgers.open(idOf(0, 3), 0, 1, false)
    again.extend(120)
    expect([again.floor, again.ready, again.deliveryCount(104)]).toEqual([100, 10, 1])
    await one.clock.turn()
    expect(known(ledgers)).toBe(2)
    const records = ledgers.recordsForForgotten(idOf(1, 3))
    await Promise.all([machineLog.append(ledgers, records), one.clock.turn()])
    const restarted = (await start(one)).ledgers
    expect(known(restarted)).toBe(1)
    const kept = restarted.open(idOf(0, 3), 0, 1, false)
    kept.extend(130)
    // Released, it knew exactly how far it had handed out: 118 was the last that came back.
    expect([kept.ready, kept.wasHandedOut(118), kept.wasHandedOut(119)]).toEqual([20, true, false])
    expect(restarted.open(idOf(1, 3), 7, 1, false).floor).toBe(7)
  })

  test('one whose forgetting was refused goes on as before, and what is acknowledged then is written', async () => {
    const one = { ...bench(), store: new StubStore() }
    const { ledgers, machineLog } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(5)
    const offsets = drained(ledger)
    ledger.acknowledge(offsets[0])
    await one.clock.turn()
    one.store.manual = true
    const refused = expect(machineLog.append(ledgers, ledgers.recordsForForgotten(idOf(0)))).rejects.toThrow('full')
    ledger.acknowledge(offsets[1])
    one.store.fail('full')
    one.store.manual = false
    while (machineLog.ready) await Promise.resolve()
    // The machine log is read again: what is forgotten now would be forgotten of half a ledger.
    expect(ledgers.recordsForForgotten(idOf(0))).toEqual([])
    await refused
    await one.clock.turn()
    ledger.acknowledge(offsets[2])
    await one.clock.turn()
    expect([ledgers.open(idOf(0), 0, 1, false) === ledger, ledger.floor, ledger.acquired]).toEqual([true, 3, 2])
    expect((await start(one)).ledgers.open(idOf(0), 0, 1, false).floor).toBe(3)
    await machineLog.append(ledgers, ledgers.recordsForForgotten(idOf(0)))
    ledgers.forgotten(idOf(0))
    expect((await start(one)).ledgers.open(idOf(0), 7, 1, false).floor).toBe(7)
  })

  test('one that is opened while it is forgotten is as it was, counts as long as it may stay, and leaves nothing', async () => {
    const one = { ...bench(), store: new StubStore() }
    const { ledgers, machineLog } = await start(one)
    const before = ledgers.open(idOf(0), 0, 1, false)
    before.extend(5)
    drained(before)
    for (let offset = 0; offset < 3; offset++) before.acknowledge(offset)
    before.giveBack(3, false)
    before.giveBack(4, false)
    await one.clock.turn()
    ledgers.release(idOf(0))
    await one.clock.turn()
    one.store.manual = true
    const forgotten = machineLog.append(ledgers, ledgers.recordsForForgotten(idOf(0)))
    expect(ledgers.closingsLeaving(idOf(0).log).map(({ committedFloor }) => committedFloor)).toEqual([3])
    expect(ledgers.closingsLeaving(idOf(0, 1).log)).toEqual([])
    const opened = ledgers.open(idOf(0), 0, 1, false)
    opened.extend(9)
    expect([opened.floor, ledgers.open(idOf(0), 0, 1, false) === opened]).toEqual([3, true])
    // Far enough that a mark would be written.
    opened.extend(9000)
    expect(drained(opened).length).toBe(8997)
    let isSettled = false
    void ledgers.settledLeaving(idOf(0).log).then(() => (isSettled = true))
    await one.clock.turn()
    expect(isSettled).toBe(false)
    one.store.manual = false
    one.store.commit()
    await forgotten
    ledgers.forgotten(idOf(0))
    await one.clock.turn()
    expect([isSettled, ledgers.closingsLeaving(idOf(0).log)]).toEqual([true, []])
    const restarted = (await start(one)).ledgers
    expect(known(restarted)).toBe(0)
    expect(restarted.recordsForStart(idOf(0), 7)).toHaveLength(1)
  })

  test('while the machine log is read again nothing is taken from a ledger that had the number before', async () => {
    const one = { ...bench(), store: new StubStore() }
    const { ledgers, machineLog } = await start(one)
    await machineLog.append(ledgers, ledgers.recordsForStart(idOf(1), 100))
    await machineLog.append(ledgers, ledgers.recordsForForgotten(idOf(1)))
    ledgers.forgotten(idOf(1))
    await machineLog.append(ledgers, ledgers.recordsForStart(idOf(1), 5))
    ledgers.started(idOf(1), 5)
    const log = one.store.logs.get(machineLogId)
    if (log === undefined) throw new Error('there is a machine log')
    // A batch a read.
    const read = log.read.bind(log)
    log.read = (from, _, below) => read(from, 1, below)
    one.store.manual = true
    const refused = expect(machineLog.append(ledgers, ledgers.recordsForStart(idOf(2), 9))).rejects.toThrow('full')
    one.store.fail('full')
    while (machineLog.ready) await Promise.resolve()
    let floor = 0
    while (!machineLog.ready) {
      floor = Math.max(floor, ledgers.closings(idOf(1)).committedFloor)
      await Promise.resolve()
    }
    await refused
    expect([floor, ledgers.closings(idOf(1)).committedFloor]).toEqual([0, 5])
  })

  test('what is acknowledged while the machine log is read again stays so, whatever is refused meanwhile', async () => {
    const one = { ...bench(), store: new StubStore() }
    const { ledgers, machineLog } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 3, false)
    ledger.extend(5)
    const offsets = drained(ledger)
    await one.clock.turn()
    one.store.manual = true
    ledger.acknowledge(offsets[0])
    await one.clock.turn()
    one.store.fail('full')
    one.store.manual = false
    while (machineLog.ready) await Promise.resolve()
    ledger.acknowledge(offsets[1])
    ledger.note({ base: 5, count: 1, level: 2, earliestExpiryMs: 7 })
    await expect(ledgers.append([])).rejects.toThrow('not ready')
    await one.clock.turn()
    await one.clock.turn()
    expect([ledger.isClosed(0), ledger.isClosed(1), ledger.nextExpiryMs]).toEqual([false, true, undefined])
    ledger.acquire(0)
    ledger.extend(7)
    ledger.note({ base: 6, count: 1, level: 1, earliestExpiryMs: undefined })
    expect(ledger.peek()).toBe(6)
    await one.clock.turn()
    const again = (await start(one)).ledgers.open(idOf(0), 0, 3, false)
    expect([again.isClosed(0), again.isClosed(1), again.nextExpiryMs]).toEqual([false, true, undefined])
  })

  test('an orderly end knows how far was handed out; a kill says a step more', async () => {
    const one = bench()
    const first = await start(one)
    const ledger = first.ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(10)
    for (let times = 0; times < 3; times++) ledger.acquire(ledger.peek()!)
    await one.clock.turn()
    const killed = (await start(one)).ledgers.open(idOf(0), 0, 1, false)
    killed.extend(10)
    expect([killed.wasHandedOut(2), killed.wasHandedOut(3)]).toEqual([true, true])
    killed.extend(20)
    expect(killed.wasHandedOut(10)).toBe(false)
    for (let times = 0; times < 3; times++) ledger.giveBack(times, false)
    await Promise.all([first.ledgers.close(), one.clock.turn()])
    const ended = (await start(one)).ledgers.open(idOf(0), 0, 1, false)
    ended.extend(10)
    expect([ended.wasHandedOut(2), ended.wasHandedOut(3)]).toEqual([true, false])
  })
})

describe('the machine log beneath', () => {
  test('a start reads back levels and expirations of a long queue, after the log was rewritten under them', async () => {
    const one = bench()
    const { ledgers, machineLog } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 10, false)
    const count = 1_000_000
    for (let base = 0; base < count; base += 10) {
      ledger.note({ base, count: 1, level: (base / 10) % 10, earliestExpiryMs: 2_000_000 + base })
      if (base % 1000 === 0) await one.clock.turn()
    }
    ledger.extend(count)
    for (let base = 0; base < count; base += 20) ledger.close(base, 'expired')
    await one.clock.turn()
    // Enough that is replaced again and again makes a rewrite due, more than once.
    for (let round = 0; round < 1200; round++) {
      const filler = ledgers.open(idOf(1), 0, 1, false)
      filler.extend((round + 1) * 6000)
      for (let offset = round * 6000; offset < (round + 1) * 6000; offset += 2) filler.close(offset, 'expired')
      await one.clock.turn()
    }
    const stored = await one.store.open(machineLogId, settings)
    expect(stored.start).toBeGreaterThan(0)
    machineLog.close()
    const before = performance.now()
    const again = (await start(one)).ledgers.open(idOf(0), 0, 10, false)
    console.log(`${stored.bytes} bytes replayed in ${(performance.now() - before).toFixed(0)} ms`)
    again.extend(count)
    expect([again.floor, again.ready, again.nextExpiryMs]).toEqual([1, count - count / 20, ledger.nextExpiryMs])
    const order = (which: typeof again): number[] => drained(which).slice(0, 20_000)
    expect(order(again)).toEqual(order(ledger))
  })
})

/** What is in use after all garbage is gone, as far as it can be asked to go. */
function memory(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe('what it costs', () => {
  test('a backlog of ten million in order: kilobytes', async () => {
    const { ledgers } = await start(bench())
    const before = memory()
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    for (let end = 1000; end <= 10_000_000; end += 1000) ledger.extend(end)
    expect(ledger.ready).toBe(10_000_000)
    expect(ledger.bytes).toBeLessThan(16 * 1024)
    expect(memory() - before).toBeLessThan(8 * MiB)
  })

  test('ten million at random in ten levels, with expirations: at most 2 bytes each', async () => {
    const one = bench()
    const { ledgers } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 10, true)
    const note = { base: 0, count: 1, level: 0, earliestExpiryMs: 0 }
    let random = 1
    for (; note.base < 10_000_000; note.base++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
      note.level = (random >>> 8) % 10
      note.earliestExpiryMs = 1_000_000 + note.base
      ledger.note(note)
    }
    ledger.extend(note.base)
    expect([ledger.ready, ledger.bytes < 20_000_000]).toEqual([10_000_000, true])
    console.log(`ten levels, expirations: ${(ledger.bytes / 10_000_000).toFixed(2)} bytes a message`)
  })

  test('a million acquired: at most 32 bytes each, and little time', async () => {
    const one = bench()
    const { ledgers } = await start(one)
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(1_000_000)
    const before = memory()
    const began = performance.now()
    for (let times = 0; times < 1_000_000; times++) ledger.acquire(ledger.peek()!)
    const between = performance.now()
    expect([ledger.acquired, memory() - before < 32_000_000]).toEqual([1_000_000, true])
    for (let offset = 0; offset < 1_000_000; offset += 2) ledger.acknowledge(offset)
    for (let offset = 1; offset < 1_000_000; offset += 2) ledger.acknowledge(offset)
    const ended = performance.now()
    console.log(`acquire ${(between - began).toFixed(0)} ns, acknowledge ${(ended - between).toFixed(0)} ns a message`)
    expect([ledger.floor, ledger.bytes < MiB]).toEqual([1_000_000, true])
    await one.clock.turn()
  })

  test('ten thousand that nobody opened: a few hundred bytes each', async () => {
    const ledgers = new Ledgers(bench().world)
    const value = Buffer.from([1, 0, 0xff, 0xff, 3])
    const before = memory()
    for (let each = 0; each < 10_000; each++) {
      const key = Buffer.alloc(18, 7)
      key.writeUInt16BE(each)
      ledgers.apply(key, value)
    }
    const bytes = (memory() - before) / 10_000
    console.log(`${bytes.toFixed(0)} bytes an idle ledger`)
    expect(bytes).toBeLessThan(1000)
    expect(Array.from(ledgers.entries()).length).toBe(10_000)
  })
})

describe('acknowledgements are gathered', () => {
  test('the first at the end of its turn, the others with the next append, the next question or the next moment', async () => {
    const world = bench()
    const ledgers = new Ledgers(world.world)
    const machineLog = await MachineLog.open(world.world, world.store, [ledgers])
    ledgers.start(machineLog)
    const ledger = ledgers.open(idOf(0), 0, 1, false)
    ledger.extend(100)
    const stored = await world.store.open(machineLogId, settings)
    const grown = async (task: () => unknown): Promise<boolean> => {
      const { end } = stored
      await task()
      return stored.end > end
    }
    await world.clock.turn()
    world.clock.advance(5)
    for (let offset = 0; offset < 6; offset++) ledger.acquire(offset)
    await world.clock.turn()
    world.clock.advance(5)
    await world.clock.turn()
    ledger.acknowledge(0)
    expect(await grown(() => world.clock.turn())).toBe(true)
    ledger.acknowledge(1)
    expect(await grown(() => world.clock.turn())).toBe(false)
    expect(await grown(() => world.clock.advance(5))).toBe(true)
    ledger.acknowledge(2)
    expect(await grown(() => ledgers.flush())).toBe(true)
    ledger.acknowledge(3)
    const asked = async (): Promise<void> => void (await Promise.all([ledgers.settled(), world.clock.turn()]))
    expect(await grown(asked)).toBe(true)
    expect(await grown(asked)).toBe(false)
  })
})
