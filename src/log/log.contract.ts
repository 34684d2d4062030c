// What every engine keeps of the storage port, sentence by sentence of store.ts.
// Promises: one suite, run on each engine and on each of its durabilities; slow and failing media are the harness's.
// Does not know: any engine.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assembleBatch, baseOffsetAt, forEachBatch, lastOffsetDeltaAt } from './batch.ts'
import {
  type AppendEntry,
  AppendFailure,
  type Batches,
  type Durability,
  type Log,
  logId,
  type LogId,
  type LogSettings,
  type Offset,
  type Store,
  type TopicId,
} from './store.ts'

/** One store under test. */
export interface ContractStore {
  readonly store: Store
  /** Closes and opens again over the same data; absent where nothing outlives a close. */
  readonly reopen?: () => Promise<Store>
  /** Leaves no room for further appends until the answer is called. */
  readonly fill?: () => () => void
  /** The medium fails for segment writes of every log until the answer is called. */
  readonly breakWrites?: () => () => void
  readonly dispose: () => Promise<void>
}

export interface ContractOptions {
  readonly durability: Durability
  /** Runs of the random comparison with a naive log. */
  readonly randomRuns: number
}

const at = (value: number): Offset => value as Offset
let topics = 0
const newId = (): LogId => logId(`contract${String(++topics).padStart(14, '0')}` as TopicId, 0)

/** A batch of `count` offsets whose payload tells it from all others. */
export function contractBatch(count: number, payloadBytes: number, maxTimestampMs = 1): Buffer {
  const payload = Buffer.alloc(Math.max(4, payloadBytes))
  payload.writeUInt32BE(++topics, 0)
  return assembleBatch(
    { attributes: 0, lastOffsetDelta: count - 1, baseTimestampMs: maxTimestampMs, maxTimestampMs, count },
    payload,
  )
}

export function entryOf(log: Log, batch: Buffer, expectedEnd = log.end): AppendEntry {
  const offsets = lastOffsetDeltaAt(batch, 0) + 1
  return { log, batch, offsets, maxTimestampMs: Number(batch.readBigInt64BE(35)), epoch: log.epoch, expectedEnd }
}

export function basesOf({ chunks }: Batches): number[] {
  const bases: number[] = []
  for (const chunk of chunks) forEachBatch(chunk, ({ baseOffset }) => void bases.push(baseOffset))
  return bases
}

async function kindOf(append: Promise<unknown>): Promise<string> {
  try {
    await append
    return 'done'
  } catch (error) {
    return error instanceof AppendFailure ? error.kind : String(error)
  }
}

async function readAll(log: Log): Promise<number[]> {
  const bases: number[] = []
  for (let from = log.start; from < log.end;) {
    const batches = await log.read(from, 500, log.end)
    if (batches.chunks.length === 0) break
    expect(batches.next).toBeGreaterThan(from)
    bases.push(...basesOf(batches))
    from = batches.next
  }
  return bases
}

export function logContract(
  name: string,
  openStore: () => Promise<ContractStore>,
  { durability, randomRuns }: ContractOptions,
): void {
  const settings: LogSettings = { durability, segmentBytesMax: 600, segmentAgeMsMax: 1e12, indexIntervalBytes: 64 }
  const within = (what: string, run: (opened: ContractStore, log: Log) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      const opened = await openStore()
      const id = newId()
      await opened.store.create([{ id, settings }])
      try {
        await run(opened, await opened.store.open(id, settings))
      } finally {
        await opened.dispose()
      }
    })
  }
  appendContract(within, settings)
  readContract(within)
  lifeContract(within, settings)
  failureContract(within, settings)
  test(`${name}: behaves as an array of batches does`, async () => {
    const opened = await openStore()
    let { store } = opened
    await fc.assert(
      fc.asyncProperty(fc.array(commands, { maxLength: 40 }), async (steps) => {
        const id = newId()
        await store.create([{ id, settings }])
        const model: Model = { log: await store.open(id, settings), batches: [], pending: [], start: 0 }
        for (const step of steps) {
          if (step.kind !== 'reopen') await runStep(store, model, step)
          else if (opened.reopen !== undefined) {
            store = await opened.reopen()
            model.log = await store.open(id, settings)
          }
          await compare(model)
        }
        await Promise.all(model.pending)
        await store.delete([id])
      }),
      { numRuns: randomRuns },
    )
    await opened.dispose()
  })
}

type Within = (what: string, run: (opened: ContractStore, log: Log) => Promise<void>) => void

function appendContract(within: Within, settings: LogSettings): void {
  within('offsets are given at the call, promises kept in order and after the commit', async ({ store }, log) => {
    const order: number[] = []
    const appends = [3, 1, 2].map((count, place) =>
      store.append([entryOf(log, contractBatch(count, 50))]).then(() => {
        order.push(place)
        expect(log.committed).toBeGreaterThanOrEqual([3, 4, 6][place])
      }),
    )
    expect([log.end, log.committed]).toEqual([6, 0])
    await Promise.all(appends)
    expect(order).toEqual([0, 1, 2])
    expect([log.start, log.end, log.committed]).toEqual([0, 6, 6])
    expect(await readAll(log)).toEqual([0, 3, 4])
    expect(log.bytes).toBeGreaterThan(0)
  })
  within('another epoch or another end is fenced, and nothing is written', async ({ store }, log) => {
    const first = log.epoch
    const again = await store.open(log.id, settings)
    expect(again).toBe(log)
    expect(log.epoch).toBeGreaterThan(first)
    expect(await kindOf(store.append([{ ...entryOf(log, contractBatch(1, 9)), epoch: first }]))).toBe('fenced')
    expect(await kindOf(store.append([entryOf(log, contractBatch(1, 9), at(1))]))).toBe('fenced')
    expect([log.end, await readAll(log)]).toEqual([0, []])
    expect(await kindOf(store.append([entryOf(log, contractBatch(1, 9))]))).toBe('done')
  })
  within('an append over logs is all or none', async ({ store }, log) => {
    const id = newId()
    await store.create([{ id, settings }])
    const other = await store.open(id, settings)
    await store.append([entryOf(log, contractBatch(2, 9)), entryOf(other, contractBatch(1, 9))])
    expect([log.committed, other.committed]).toEqual([2, 1])
    const refused = store.append([entryOf(log, contractBatch(1, 9)), entryOf(other, contractBatch(1, 9), at(7))])
    expect(await kindOf(refused)).toBe('fenced')
    expect([log.end, other.end, await readAll(log), await readAll(other)]).toEqual([2, 1, [0], [0]])
    const twice = [entryOf(log, contractBatch(1, 9)), entryOf(log, contractBatch(1, 9), at(3))]
    await store.append(twice)
    expect(await readAll(log)).toEqual([0, 2, 3])
  })
  within('watchers hear of commits, of trims and of the end', async ({ store }, log) => {
    let heard = 0
    const stop = log.watch(() => heard++)
    await store.append([entryOf(log, contractBatch(1, 9))])
    expect(heard).toBeGreaterThan(0)
    heard = 0
    await log.trim(at(1))
    expect(heard).toBeGreaterThan(0)
    stop()
    heard = 0
    log.watch(() => heard++)
    await store.delete([log.id])
    expect(heard).toBe(1)
    expect(log.failed).toBe(true)
  })
}

function readContract(within: Within): void {
  within('reads whole batches within bytes and bound, the first whatever its size', async ({ store }, log) => {
    const batches = [contractBatch(3, 200), contractBatch(2, 40), contractBatch(1, 300)]
    const sizes = batches.map(({ length }) => length)
    for (const batch of batches) await store.append([entryOf(log, batch)])
    expect(basesOf(await log.read(at(0), 1, log.end))).toEqual([0])
    expect(basesOf(await log.read(at(2), 1, log.end))).toEqual([0])
    const two = await log.read(at(1), sizes[0] + sizes[1], log.end)
    expect([basesOf(two)[0], two.next > 1]).toEqual([0, true])
    expect(basesOf(await log.read(at(3), 1e6, at(5)))).toEqual([3])
    expect(await log.read(at(3), 1e6, at(4))).toEqual({ chunks: [], bytes: 0, next: 3 })
    expect(await log.read(at(6), 1e6, at(9))).toEqual({ chunks: [], bytes: 0, next: 6 })
    expect(await readAll(log)).toEqual([0, 3, 5])
  })
  within('finds the first batch that reaches a time, and the greatest', async ({ store }, log) => {
    expect([await log.findTime(0), await log.findMaxTime()]).toEqual([undefined, undefined])
    const times = [50, 20, 70, 70, 60, 90, 10, 30, 90, 80]
    for (const time of times) await store.append([entryOf(log, contractBatch(1, 120, time))])
    for (const wanted of [0, 50, 51, 70, 71, 90, 91]) {
      const expected = times.findIndex((time) => time >= wanted)
      expect(await log.findTime(wanted)).toBe(expected < 0 ? undefined : expected)
    }
    expect(await log.findMaxTime()).toBe(5)
    await log.trim(at(6))
    expect([await log.findTime(50), await log.findMaxTime()]).toEqual([8, 8])
  })
}

function lifeContract(within: Within, settings: LogSettings): void {
  within('trims whole segments, keeps its end, and never gives an offset twice', async (opened, log) => {
    log.roll()
    expect(log.segments().length).toBe(1)
    for (let place = 0; place < 12; place++) await opened.store.append([entryOf(log, contractBatch(2, 200))])
    const before = log.segments()
    expect(before.length).toBeGreaterThan(2)
    for (let place = 1; place < before.length; place++) expect(before[place].base).toBe(before[place - 1].next)
    await log.trim(at(before[1].base + 1))
    expect([log.start, log.segments()[0].base]).toEqual([before[1].base + 1, before[1].base])
    log.roll()
    await log.trim(log.end)
    expect([log.start, log.end, log.segments().length]).toEqual([24, 24, 1])
    expect(log.segments()[0]).toMatchObject({ base: 24, next: 24, bytes: 0 })
    const { id } = log
    const store = (await opened.reopen?.()) ?? opened.store
    const again = await store.open(id, settings)
    expect([again.start, again.end, again.committed]).toEqual([24, 24, 24])
    await store.append([entryOf(again, contractBatch(1, 9))])
    expect(await readAll(again)).toEqual([24])
  })
  within('begins one segment at a roll, also behind an append under way', async ({ store }, log) => {
    const append = (): Promise<void> => store.append([entryOf(log, contractBatch(1, 20))])
    const underWay = append()
    log.roll()
    for (let count = 0; count < 4; count++) await append()
    await underWay
    expect(log.segments().map(({ base, next }) => [base, next])).toEqual([
      [0, 1],
      [1, 5],
    ])
  })
  within('rewrites a closed segment without what nobody wants, and keeps the offsets', async (opened, log) => {
    for (let place = 0; place < 12; place++) await opened.store.append([entryOf(log, contractBatch(2, 200))])
    log.roll()
    await opened.store.append([entryOf(log, contractBatch(2, 200))])
    const before = log.segments()
    expect(before.length).toBeGreaterThan(2)
    const asked: number[][] = []
    const [first, second] = before
    await log.rewrite(first.base, (base, next) => {
      asked.push([base, next])
      return base === first.base
    })
    expect(asked.at(0)).toEqual([first.base, first.base + 2])
    expect(asked.at(-1)).toEqual([first.next - 2, first.next])
    await log.rewrite(second.base, () => false)
    await log.rewrite(before.at(-1)!.base, () => false)
    const kept = [
      first.base,
      ...Array.from({ length: 13 }, (_, place) => place * 2).filter((base) => base >= second.next),
    ]
    expect(await readAll(log)).toEqual(kept)
    expect(log.segments().map(({ base }) => base)).toEqual(before.map(({ base }) => base))
    expect(log.bytes).toBeLessThan(before.reduce((sum, { bytes }) => sum + bytes, 0))
    const { id } = log
    const store = (await opened.reopen?.()) ?? opened.store
    const again = await store.open(id, settings)
    expect([again.start, again.end]).toEqual([0, 26])
    expect(await readAll(again)).toEqual(kept)
  })
  within('leaves a gap below what somebody refers to, and reads across it', async (opened, log) => {
    await opened.store.append([entryOf(log, contractBatch(2, 9))])
    const { id } = log
    let store = (await opened.reopen?.()) ?? opened.store
    const gapped = await store.open(id, settings, at(10))
    expect([gapped.end, gapped.committed]).toEqual([10, 10])
    await store.append([entryOf(gapped, contractBatch(1, 9))])
    expect(basesOf(await gapped.read(at(5), 99, gapped.end))).toEqual([10])
    store = (await opened.reopen?.()) ?? store
    expect(await readAll(await store.open(id, settings))).toEqual([0, 10])
  })
  within('a deleted log is gone for all; a closed store refuses', async (opened, log) => {
    const { store } = opened
    const { id } = log
    expect(store.list()).toContain(id)
    await log.sync()
    await log.configure({ ...settings, segmentBytesMax: 900 })
    expect(log.settings.segmentBytesMax).toBe(900)
    expect(store.usage().freeBytes).toBeGreaterThan(0)
    const pending = store.append([entryOf(log, contractBatch(1, 9))]).catch(() => {})
    await store.delete([id])
    await pending
    expect(store.list()).not.toContain(id)
    expect(store.bytesOf(id)).toBe(0)
    expect(await kindOf(store.append([entryOf(log, contractBatch(1, 9))]))).toBe('closed')
    expect(await kindOf(store.open(id, settings))).toBe('closed')
    await store.create([{ id: newId(), settings }])
    await store.close()
    expect(await kindOf(store.create([{ id: newId(), settings }]))).toBe('closed')
  })
}

function failureContract(within: Within, settings: LogSettings): void {
  within('a full medium refuses, keeps nothing, and is used again when there is room', async (opened, log) => {
    if (opened.fill === undefined) return
    await opened.store.append([entryOf(log, contractBatch(2, 100))])
    const relieve = opened.fill()
    const appends = [0, 1, 2].map(() => opened.store.append([entryOf(log, contractBatch(1, 200_000))]))
    expect(await Promise.all(appends.map(kindOf))).toEqual(['full', 'full', 'full'])
    expect([log.end, log.committed, log.failed]).toEqual([2, 2, false])
    relieve()
    await opened.store.append([entryOf(log, contractBatch(1, 9))])
    expect(await readAll(log)).toEqual([0, 2])
  })
  within('a medium that fails fails the log until it is reopened under a higher epoch', async (opened, log) => {
    if (opened.breakWrites === undefined) return
    // Large enough that scratch logs are files by then.
    await opened.store.append([entryOf(log, contractBatch(2, 70_000))])
    const { epoch } = log
    const heal = opened.breakWrites()
    // Promised by a journal it may be; not one append after it is.
    const first = await kindOf(opened.store.append([entryOf(log, contractBatch(1, 70_000))]))
    expect(await kindOf(opened.store.append([entryOf(log, contractBatch(1, 70_000))]))).toBe('io')
    expect(log.failed).toBe(true)
    heal()
    await log.reopen()
    expect([log.failed, log.epoch > epoch]).toEqual([false, true])
    expect(log.end).toBe(first === 'done' ? 3 : 2)
    await opened.store.append([entryOf(log, contractBatch(1, 9))])
    expect(await readAll(log)).toEqual(first === 'done' ? [0, 2, 3] : [0, 2])
    expect(settings.durability).toBe(log.settings.durability)
  })
}

type Step =
  | { readonly kind: 'append'; readonly count: number; readonly bytes: number; readonly isAwaited: boolean }
  | { readonly kind: 'trim'; readonly share: number }
  | { readonly kind: 'roll' | 'reopen' }

const commands: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 4 }),
      bytes: fc.integer({ min: 4, max: 400 }),
      isAwaited: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('trim' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('roll' as const, 'reopen' as const) }) },
)

interface Model {
  log: Log
  readonly batches: { readonly base: number; readonly next: number; readonly bytes: Buffer }[]
  /** Every append, awaited or not, is done in the end. */
  readonly pending: Promise<void>[]
  start: number
}

async function runStep(store: Store, model: Model, step: Exclude<Step, { kind: 'reopen' }>): Promise<void>
async function runStep(store: Store, model: Model, step: Step): Promise<void> {
  const { log } = model
  if (step.kind === 'append') {
    const batch = contractBatch(step.count, step.bytes)
    model.batches.push({ base: log.end, next: log.end + step.count, bytes: Buffer.from(batch.subarray(16)) })
    const append = store.append([entryOf(log, batch)])
    model.pending.push(append)
    if (step.isAwaited) await append
  } else if (step.kind === 'trim') {
    model.start = Math.max(model.start, Math.floor(log.committed * step.share))
    await log.trim(at(model.start))
  } else log.roll()
}

async function compare({ log, batches, start }: Model): Promise<void> {
  const end = batches.at(-1)?.next ?? 0
  expect([log.start, log.end]).toEqual([start, end])
  const wanted = batches.filter(({ next }) => next > start)
  let place = 0
  for (let from = log.start; from < log.end;) {
    const { chunks, next } = await log.read(from, 700, log.end)
    for (const chunk of chunks) {
      forEachBatch(chunk, ({ bytes }, position) => {
        expect(baseOffsetAt(chunk, position)).toBe(wanted[place].base)
        expect(chunk.subarray(position + 16, position + bytes).equals(wanted[place++].bytes)).toBe(true)
      })
    }
    if (chunks.length === 0) break
    from = next
  }
  expect(place).toBe(wanted.length)
}
