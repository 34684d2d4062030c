// The machine log over the memory store: order, refusals, replay, and the rewrite that keeps it short.
// Promises: a seeded model; turns of the loop and commits are taken by hand, nothing waits for a clock.
// Does not know: real machines. A machine here is a map.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Clock, World } from '../base/world.ts'
import { openMemoryStore } from '../engines/memory/memory-store.ts'
import { assembleBatch, batchHeadBytes, compressionBits } from './batch.ts'
import { deflate } from './compression.ts'
import { MachineLog, machineLogId, type Machine, type MachineRecord } from './machine.ts'
import { encodeBatch } from './records.ts'
import {
  AppendFailure,
  CorruptLog,
  logId,
  type AppendEntry,
  type Log,
  type LogSettings,
  type Store,
  type TopicId,
} from './store.ts'

const MiB = 1024 * 1024
const settings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 16 * MiB,
  segmentAgeMsMax: Number.MAX_SAFE_INTEGER,
  indexIntervalBytes: 4096,
}

/** A clock whose turns are ended by hand. */
class HandClock implements Clock {
  private tasks: (() => void)[] = []
  later: (() => void)[] = []
  nowMs = (): number => 1_000_000
  monotonicMs = (): number => 0
  after(_delayMs: number, task: () => void): { cancel(): void } {
    this.later.push(task)
    return { cancel: () => (this.later = this.later.filter((other) => other !== task)) }
  }
  endOfTurn(task: () => void): void {
    this.tasks.push(task)
  }
  /** Ends the turn: what waited for it runs, then all that follows from it. */
  async turn(): Promise<void> {
    const tasks = this.tasks
    this.tasks = []
    for (const task of tasks) task()
    await settled()
  }
  async turns(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await this.turn()
  }
}

/** All promises that can go on have gone on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class MapMachine implements Machine {
  readonly kind: number
  readonly state = new Map<string, string>()
  resets = 0
  replays = 0
  constructor(kind = 1) {
    this.kind = kind
  }
  apply(key: Buffer, value: Buffer | null): void {
    if (value === null) this.state.delete(key.toString())
    else this.state.set(key.toString(), value.toString())
  }
  *entries(): Generator<MachineRecord> {
    for (const [key, value] of this.state) yield { key: Buffer.from(key), value: Buffer.from(value) }
  }
  reset(): void {
    this.resets++
    this.state.clear()
  }
  replayed(): void {
    this.replays++
  }
}

const record = (key: string, value: string | null): MachineRecord => ({
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
})

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

/** The outcome of a promise as text, without waiting for it. */
function outcome(promise: Promise<void>): () => string {
  let text = 'pending'
  promise.then(
    () => (text = 'done'),
    (error: AppendFailure) => (text = error.kind),
  )
  return () => text
}

const machineLogOf = async ({ store, world }: Bench): Promise<Log> => {
  if (!store.list().includes(machineLogId)) await store.create([{ id: machineLogId, settings }])
  void world
  return store.open(machineLogId, settings)
}

describe('one machine log', () => {
  test('a decision is applied at once and promised at the commit', async () => {
    const { world, store, clock } = bench()
    const machine = new MapMachine()
    const log = await MachineLog.open(world, store, [machine])
    const promised = outcome(log.append(machine, [record('a', '1'), record('b', '2')]))
    expect(Object.fromEntries(machine.state)).toEqual({ a: '1', b: '2' })
    await settled()
    expect(promised()).toBe('pending')
    await clock.turn()
    expect(promised()).toBe('done')
  })

  test('replay gives each machine its own records, the last value of each key', async () => {
    const one = bench()
    const [first, second] = [new MapMachine(1), new MapMachine(255)]
    const log = await MachineLog.open(one.world, one.store, [first, second])
    for (const append of [
      log.append(first, [record('a', '1'), record('b', '2')]),
      log.append(second, [record('a', 'other')]),
      log.append(first, [record('a', '3'), record('b', null)]),
    ]) {
      await Promise.all([append, one.clock.turn()])
    }
    log.close()
    const [again, other] = [new MapMachine(1), new MapMachine(255)]
    await MachineLog.open(one.world, one.store, [again, other])
    expect(Object.fromEntries(again.state)).toEqual({ a: '3' })
    expect(Object.fromEntries(other.state)).toEqual({ a: 'other' })
    expect([again.replays, other.replays]).toEqual([1, 1])
  })

  test('entries of other logs are appended with it, all or none', async () => {
    const one = bench()
    const machine = new MapMachine()
    const log = await MachineLog.open(one.world, one.store, [machine])
    const other = logId('BBBBBBBBBBBBBBBBBBBBBA' as TopicId, 0)
    await one.store.create([{ id: other, settings }])
    const data = await one.store.open(other, settings)
    const entry = (expectedEnd: number) => ({
      log: data,
      batch: encodeBatch([{ key: null, value: Buffer.from('v'), timestampMs: 1 }]),
      offsets: 1,
      maxTimestampMs: 1,
      epoch: data.epoch,
      expectedEnd: expectedEnd as typeof data.end,
    })
    await Promise.all([log.append(machine, [record('a', '1')], [entry(0)]), one.clock.turn()])
    expect([data.committed, machine.state.get('a')]).toEqual([1, '1'])
    const refused = outcome(log.append(machine, [record('a', '2')], [entry(7)]))
    await one.clock.turn()
    expect([refused(), data.committed, machine.state.get('a')]).toEqual(['fenced', 1, '1'])
  })

  test('a refused append is forgotten with all that was decided on it', async () => {
    const one = bench(3 * MiB)
    const machine = new MapMachine()
    const log = await MachineLog.open(one.world, one.store, [machine])
    await Promise.all([log.append(machine, [record('kept', '1')]), one.clock.turn()])
    const before = outcome(log.append(machine, [record('before', '1')]))
    const refused = outcome(log.append(machine, [record('large', 'x'.repeat(4 * MiB))]))
    const after = outcome(log.append(machine, [record('after', 'decided on large')]))
    expect([...machine.state.keys()]).toEqual(['kept', 'before', 'large', 'after'])
    await settled()
    await one.clock.turns(3)
    expect([before(), refused()]).toEqual(['done', 'full'])
    expect(after()).toMatch(/fenced|full|closed/)
    expect(Object.fromEntries(machine.state)).toEqual({ kept: '1', before: '1' })
    expect(log.ready).toBe(true)
    await Promise.all([log.append(machine, [record('later', '1')]), one.clock.turn()])
    const again = new MapMachine()
    await MachineLog.open(one.world, one.store, [again])
    expect(Object.fromEntries(again.state)).toEqual({ kept: '1', before: '1', later: '1' })
  })

  test('nothing is decided while the machines are replayed, nor after the end', async () => {
    const one = bench(3 * MiB)
    const machine = new MapMachine()
    const log = await MachineLog.open(one.world, one.store, [machine])
    const refused = log.append(machine, [record('large', 'x'.repeat(4 * MiB))])
    await expect(refused).rejects.toBeInstanceOf(AppendFailure)
    if (!log.ready) await expect(log.append(machine, [record('a', '1')])).rejects.toThrow('not ready')
    await settled()
    log.close()
    await expect(log.append(machine, [record('a', '1')])).rejects.toThrow('not ready')
    expect(log.ready).toBe(false)
  })
})

/**
 * The memory store behind a medium that is slow and may fail: appends wait until commit() lets the oldest through; fail()
 * refuses all that wait and all that follow, until the log is reopened.
 */
class SlowStore {
  private waiting: { entries: readonly AppendEntry[]; resolve: () => void; reject: (why: Error) => void }[] = []
  isBroken = false
  reopens = 0
  private readonly behind: Store

  constructor(behind: Store) {
    this.behind = behind
  }

  /** The store as the machine log sees it. */
  get store(): Store {
    const { behind } = this
    return {
      list: () => behind.list(),
      create: (logs: Parameters<Store['create']>[0]) => behind.create(logs),
      open: async (...args: Parameters<Store['open']>) => this.watched(await behind.open(...args)),
      append: (entries: readonly AppendEntry[]) =>
        this.isBroken
          ? Promise.reject(new AppendFailure('io', 'the medium failed'))
          : new Promise<void>((resolve, reject) => this.waiting.push({ entries, resolve, reject })),
    } as Store
  }

  private watched(log: Log): Log {
    Object.defineProperty(log, 'failed', { configurable: true, get: () => this.isBroken })
    log.reopen = () => {
      if (++this.reopens % 3 === 1) return Promise.reject(new Error('not yet'))
      this.isBroken = false
      return Promise.resolve()
    }
    return log
  }

  async commit(clock: HandClock): Promise<boolean> {
    const oldest = this.waiting.shift()
    if (oldest === undefined) return false
    const committed = this.behind.append(oldest.entries)
    await clock.turn()
    await committed.then(oldest.resolve, oldest.reject)
    await settled()
    return true
  }

  async fail(): Promise<void> {
    this.isBroken = true
    for (const { reject } of this.waiting.splice(0)) reject(new AppendFailure('io', 'the medium failed'))
    await settled()
  }
}

test('whatever fails and whenever, what is promised is kept and nothing else is believed (against two maps)', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('append'), key: fc.integer({ min: 0, max: 4 }) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('commit'), key: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('fail'), key: fc.constant(0) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('later'), key: fc.constant(0) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { clock, world, store } = bench()
      const slow = new SlowStore(store)
      const machine = new MapMachine()
      const log = await MachineLog.open(world, slow.store, [machine])
      const promised = new Map<string, string>()
      let believed = new Map<string, string>()
      for (const [index, { do: what, key }] of steps.entries()) {
        if (what === 'append' && log.ready) {
          believed.set(`${key}`, `${index}`)
          log.append(machine, [record(`${key}`, `${index}`)]).then(
            () => promised.set(`${key}`, `${index}`),
            (error: unknown) => expect(error).toBeInstanceOf(AppendFailure),
          )
          expect(machine.state).toEqual(believed)
          if (slow.isBroken) {
            await settled()
            believed = new Map(promised)
          }
        } else if (what === 'commit') await slow.commit(clock)
        else if (what === 'fail') {
          await slow.fail()
          // What was refused is forgotten; with nothing refused there is nothing to forget.
          believed = new Map(promised)
        } else if (what === 'later') {
          for (const task of clock.later.splice(0)) task()
          await settled()
        }
        if (log.ready) expect(machine.state).toEqual(believed)
      }
      while (await slow.commit(clock));
      // A failure that nobody met yet is met by one more append.
      if (slow.isBroken && log.ready) await expect(log.append(machine, [record('met', 'it')])).rejects.toThrow('medium')
      await settled()
      for (let tries = 0; tries < 4 && !log.ready; tries++) {
        for (const task of clock.later.splice(0)) task()
        await settled()
      }
      expect(log.ready).toBe(true)
      expect(machine.state).toEqual(promised)
      const last = outcome(log.append(machine, [record('last', 'possible')]))
      promised.set('last', 'possible')
      await slow.commit(clock)
      expect(last()).toBe('done')
      const again = new MapMachine()
      await MachineLog.open(world, store, [again])
      expect(again.state).toEqual(promised)
    }),
    { numRuns: 200 },
  )
})

test('a rewrite trims nothing before all its pieces are committed', async () => {
  const { clock, world, store } = bench()
  const slow = new SlowStore(store)
  const machine = new MapMachine()
  const log = await MachineLog.open(world, slow.store, [machine])
  const stored = await store.open(machineLogId, settings)
  log.close()
  const reopened = await MachineLog.open(world, slow.store, [machine])
  for (let index = 0; index < 90; index++) {
    const append = reopened.append(machine, [record(`key ${index % 40}`, 'x'.repeat(64 * 1024))])
    append.catch(() => undefined)
    await slow.commit(clock)
  }
  await clock.turns(60)
  // The rewrite is under way: its pieces wait for the medium, but for a few that came through with the appends.
  expect(stored.start).toBe(0)
  const before = new Map(machine.state)
  await slow.fail()
  for (const task of clock.later.splice(0)) task()
  await settled()
  expect([stored.start, reopened.ready]).toEqual([0, true])
  const again = new MapMachine()
  await MachineLog.open(world, store, [again])
  expect(again.state).toEqual(before)
})

test('a rewrite trims nothing before what it left out is committed too', async () => {
  const { clock, world, store } = bench()
  const slow = new SlowStore(store)
  const machine = new MapMachine()
  let walked = 0
  machine.entries = function* () {
    for (const [key, value] of machine.state) {
      walked++
      yield { key: Buffer.from(key), value: Buffer.from(value) }
    }
  }
  const log = await MachineLog.open(world, slow.store, [machine])
  const stored = await store.open(machineLogId, settings)
  const keys = 40
  for (let index = 0; walked === 0; index++) {
    log.append(machine, [record(`key ${index % keys}`, 'x'.repeat(64 * 1024))]).catch(() => undefined)
    await slow.commit(clock)
  }
  while (walked < keys - 1) await clock.turn()
  // All but the last key are written again; now it goes, and no piece is left to be written.
  const [last] = Array.from(machine.state.keys()).slice(-1)
  log.append(machine, [record(last, null)]).catch(() => undefined)
  await clock.turns(3)
  for (let pieces = 0; pieces < keys - 1; pieces++) await slow.commit(clock)
  await clock.turns(5)
  expect(stored.start).toBe(0)
  await slow.fail()
  for (let tries = 0; tries < 4 && !log.ready; tries++) {
    for (const task of clock.later.splice(0)) task()
    await settled()
  }
  expect([log.ready, machine.state.has(last), machine.state.size]).toEqual([true, true, keys])
})

describe('what a machine log refuses to open', () => {
  const openWith = async (batch: Buffer): Promise<unknown> => {
    const one = bench()
    const log = await machineLogOf(one)
    const entry = { log, batch, offsets: 1, maxTimestampMs: 1, epoch: log.epoch, expectedEnd: log.end }
    await Promise.all([one.store.append([entry]), one.clock.turn()])
    return MachineLog.open(one.world, one.store, [new MapMachine(1)])
  }
  const stored = (key: Buffer | null): Buffer => encodeBatch([{ key, value: Buffer.from('v'), timestampMs: 1 }])

  test('a machine that this version does not know', async () => {
    await expect(openWith(stored(Buffer.from([9, 1])))).rejects.toThrow('kind 9, which this version does not know')
  })

  test('a record without a key', async () => {
    await expect(openWith(stored(null))).rejects.toBeInstanceOf(CorruptLog)
    await expect(openWith(stored(Buffer.alloc(0)))).rejects.toBeInstanceOf(CorruptLog)
  })

  test('a compressed batch', async () => {
    const section = deflate('gzip', stored(Buffer.from([1, 1])).subarray(batchHeadBytes))
    const attributes = compressionBits('gzip')
    const head = { attributes, lastOffsetDelta: 0, baseTimestampMs: 1, maxTimestampMs: 1, count: 1 }
    await expect(openWith(assembleBatch(head, section))).rejects.toThrow('compressed')
  })
})

describe('the rewrite', () => {
  const value = (index: number): string => `${index}:`.padEnd(64 * 1024, 'x')

  test('a log of many updates to few keys becomes short, and says the same after a restart', async () => {
    const one = bench()
    const machine = new MapMachine()
    const log = await MachineLog.open(one.world, one.store, [machine])
    const stored = await machineLogOf(one)
    log.close()
    const reopened = await MachineLog.open(one.world, one.store, [machine])
    let longest = 0
    for (let index = 0; index < 400; index++) {
      const append = reopened.append(machine, [record(`key ${index % 5}`, value(index))])
      await Promise.all([append, one.clock.turn()])
      longest = Math.max(longest, stored.bytes)
    }
    await one.clock.turns(20)
    expect(stored.start).toBeGreaterThan(0)
    expect(longest).toBeLessThan(8 * MiB)
    const again = new MapMachine()
    await MachineLog.open(one.world, one.store, [again])
    expect(Object.fromEntries(again.state)).toEqual(Object.fromEntries(machine.state))
    expect(again.state.get('key 4')).toBe(value(399))
  })

  test('whatever is decided while it runs is neither lost nor undone (against a map)', async () => {
    const step = fc.record({
      key: fc.integer({ min: 0, max: 7 }).map((number) => `key ${number}`),
      gone: fc.integer({ min: 0, max: 4 }).map((number) => number === 0),
      turns: fc.integer({ min: 0, max: 2 }),
      restart: fc.integer({ min: 0, max: 30 }).map((number) => number === 0),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 100, maxLength: 160 }), async (steps) => {
        const one = bench()
        const model = new Map<string, string>()
        let machine = new MapMachine()
        let log = await MachineLog.open(one.world, one.store, [machine])
        for (const [index, { key, gone, turns, restart }] of steps.entries()) {
          if (restart) {
            await one.clock.turns(2)
            log.close()
            machine = new MapMachine()
            log = await MachineLog.open(one.world, one.store, [machine])
          }
          const next = gone ? null : value(index)
          if (next === null) model.delete(key)
          else model.set(key, next)
          log.append(machine, [record(key, next)]).catch((error: unknown) => expect(error).toBeUndefined())
          expect(machine.state).toEqual(model)
          await one.clock.turns(turns)
        }
        await one.clock.turns(20)
        const again = new MapMachine()
        await MachineLog.open(one.world, one.store, [again])
        expect(again.state).toEqual(model)
      }),
      { numRuns: 15 },
    )
  })
})
