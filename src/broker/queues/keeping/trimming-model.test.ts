// Random walks of several ledgers over one log against naive sets: what trimming takes away, and what it must leave.
// Promises: real ledgers over a machine log that crashes; the log counts what is dropped. Deliberate breaks turn it red.
// Does not know: queues, deliveries, engines.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MiB } from '../../../base/limits.ts'
import { MachineLog } from '../../../log/machine.ts'
import { logId, offset, type Log, type SegmentInfo, type TopicId } from '../../../log/store.ts'
import { testWorld, turns } from '../../broker-world.contract.ts'
import type { Topic } from '../../catalog.ts'
import type { Partition } from '../../streams/partition.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { Ledgers } from '../ledgers/ledgers.ts'
import type { LedgerPart, LogClosings } from '../parts.ts'
import { countOpen, Trimming, type TrimmedLog } from './queue-trimming.ts'

const perBatch = 2
const perSegment = 8
const id = logId(Buffer.alloc(16, 'trimmed').toString('base64url') as TopicId, 0)
const topic = { policy: { dropsConsumed: true, consumedMs: 0, consumedBytes: 0, holdGroups: [] } } as unknown as Topic

type Step =
  | { readonly kind: 'append'; readonly batches: number }
  | { readonly kind: 'ack'; readonly which: number; readonly from: number; readonly count: number }
  | { readonly kind: 'begin'; readonly from: number }
  | { readonly kind: 'end' | 'release'; readonly which: number }
  | { readonly kind: 'settle' | 'crash' | 'trimAndCrash' }

const which = fc.nat(4)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('append' as const), batches: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('ack' as const),
      which,
      from: fc.nat(40),
      count: fc.integer({ min: 1, max: 25 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('begin' as const), from: fc.nat(30) }) },
  fc.record({ kind: fc.constantFrom('end' as const, 'release' as const), which }),
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('settle' as const, 'crash' as const, 'trimAndCrash' as const) }),
  },
)

/** A log of numbered batches in segments that are large, whatever is in them. */
class CountedLog {
  readonly id = id
  readonly failed = false
  start = offset(0)
  end = offset(0)
  readonly dropped = new Set<number>()
  readonly #dropped: (offset: number) => void

  constructor(dropped: (offset: number) => void) {
    this.#dropped = dropped
  }

  get committed() {
    return this.end
  }

  segments(): SegmentInfo[] {
    const segments: SegmentInfo[] = []
    const first = this.start - (this.start % perSegment)
    for (let base = first; base === first || base < this.end; base += perSegment) {
      const next = offset(Math.min(base + perSegment, this.end))
      segments.push({ base: offset(base), next, bytes: 8 * MiB, maxTimestampMs: 0 })
    }
    return segments
  }

  roll(): void {}

  trim(to: number): void {
    for (let at = Number(this.start); at < to; at++) this.#drop(at)
    this.start = offset(to)
  }

  async rewrite(base: number, keep: (base: number, next: number) => boolean): Promise<void> {
    for (let at = base; at < Math.min(base + perSegment, this.end); at += perBatch)
      if (!keep(at, at + perBatch)) for (let one = at; one < at + perBatch; one++) this.#drop(one)
  }

  #drop(at: number): void {
    if (this.dropped.has(at)) return
    this.#dropped(at)
    this.dropped.add(at)
  }
}

/** What a deliberate break does to what trimming hears of the ledgers. */
type Break = (ledgers: readonly LogClosings[]) => readonly LogClosings[]

class Walk {
  readonly world = testWorld()
  readonly store = new StubStore()
  readonly log: CountedLog
  /** What each ledger has closed: as said, and as committed. */
  readonly said = new Map<number, Set<number>>()
  readonly open = new Map<number, LedgerPart>()
  readonly faults: string[] = []
  readonly #break: Break
  #ledgers!: Ledgers
  #machineLog!: MachineLog
  #trimming!: Trimming

  constructor(breaks: Break) {
    this.#break = breaks
    this.log = new CountedLog((at) => {
      for (const [number, closed] of this.said)
        // A throw would be taken for a broken disk.
        if (!closed.has(at)) this.faults.push(`offset ${at} was dropped, which ledger ${number} has open`)
    })
  }

  async start(): Promise<void> {
    this.#ledgers = new Ledgers(this.world, 0)
    this.#machineLog = await MachineLog.open(this.world, this.store, [this.#ledgers])
    this.#ledgers.start(this.#machineLog)
    this.#trimming = new Trimming(this.world, () =>
      this.#break([...this.said.keys()].map((number) => this.#ledgers.closings({ log: id, number }))),
    )
    this.open.clear()
  }

  #ledger(number: number): LedgerPart {
    let ledger = this.open.get(number)
    if (ledger === undefined) {
      ledger = this.#ledgers.open({ log: id, number }, 0, 1, false)
      ledger.extend(this.log.end)
      this.open.set(number, ledger)
    }
    return ledger
  }

  #pick(which: number): number | undefined {
    return this.said.size === 0 ? undefined : [...this.said.keys()][which % this.said.size]
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'append':
        this.log.end = offset(this.log.end + step.batches * perBatch)
        for (const ledger of this.open.values()) ledger.extend(this.log.end)
        return
      case 'ack':
        return this.#ack(this.#pick(step.which), step.from, step.count)
      case 'begin':
        return this.#begin(Math.min(this.log.end, Math.max(this.log.start, step.from)))
      case 'end':
        return this.#end(this.#pick(step.which))
      case 'release': {
        const number = this.#pick(step.which)
        if (number === undefined || !this.open.delete(number)) return
        return this.#ledgers.release({ log: id, number })
      }
      case 'settle':
        await turns()
        return this.trim()
      case 'crash':
        return this.crash()
      case 'trimAndCrash':
        // Within a turn: what was closed in it is not written yet.
        this.#look()
        for (let at = 0; at < 10; at++) await Promise.resolve()
        return this.crash()
    }
  }

  #ack(number: number | undefined, from: number, count: number): void {
    if (number === undefined) return
    const ledger = this.#ledger(number)
    const closed = this.said.get(number) as Set<number>
    const first = this.log.start + from
    for (let at = first; at < Math.min(first + count, this.log.end); at++) {
      expect(ledger.isClosed(at)).toBe(closed.has(at))
      ledger.close(at, 'acked')
      closed.add(at)
    }
  }

  async #begin(start: number): Promise<void> {
    let number = 0
    while (this.said.has(number)) number++
    const ledger = { log: id, number }
    await this.#machineLog.append(this.#ledgers, this.#ledgers.recordsForStart(ledger, start))
    this.#ledgers.started(ledger, start)
    // What was dropped before is none of its.
    const none = [...this.log.dropped, ...Array.from({ length: start }, (_, at) => at)]
    this.said.set(number, new Set(none))
    const opened = this.#ledger(number)
    for (const at of this.log.dropped) opened.close(at, 'gap')
  }

  async #end(number: number | undefined): Promise<void> {
    if (number === undefined) return
    const ledger = { log: id, number }
    this.said.delete(number)
    this.open.delete(number)
    await this.#machineLog.append(this.#ledgers, this.#ledgers.recordsForForgotten(ledger))
    this.#ledgers.forgotten(ledger)
  }

  async crash(): Promise<void> {
    await this.#trimming.close()
    this.store.crash()
    this.#machineLog.close()
    await this.start()
    // Of what was closed a moment ago the log may know nothing; what it knows was closed.
    for (const [number, closed] of this.said) {
      const ledger = this.#ledger(number)
      for (let at = 0; at < this.log.end; at++) {
        if (at < this.log.start && !ledger.isClosed(at))
          this.faults.push(`offset ${at} was trimmed before ledger ${number} had it closed for good`)
        if (ledger.isClosed(at)) expect(closed.has(at), `${at} of ${number}`).toBe(true)
        else if (this.log.dropped.has(at)) ledger.close(at, 'gap')
        else closed.delete(at)
      }
    }
  }

  async trim(): Promise<void> {
    this.#look()
    await turns()
  }

  #look(): void {
    const { log } = this
    const trimmed: TrimmedLog = {
      topic,
      partition: { trim: async (_: unknown, __: unknown, to: number) => log.trim(to) } as unknown as Partition,
      log: log as unknown as Log,
      isGone: false,
      isListed: false,
    }
    this.#trimming.closed(trimmed)
    this.world.clock.advance(1000)
  }

  /** All is committed and looked at: whole segments that nobody has open are gone. */
  async judgeEnd(): Promise<void> {
    await turns()
    await this.trim()
    if (this.said.size === 0) return
    const isOpen = (at: number): boolean => [...this.said.values()].some((closed) => !closed.has(at))
    let first = Number(this.log.start)
    while (first < this.log.end && !isOpen(first)) first++
    const active = this.log.segments().at(-1)?.base ?? 0
    expect(Number(this.log.start)).toBeGreaterThanOrEqual(Math.min(first - (first % perSegment), active))
  }
}

async function walk(steps: readonly Step[], breaks: Break = (ledgers) => ledgers): Promise<void> {
  const stage = new Walk(breaks)
  await stage.start()
  for (const one of steps) await stage.take(one)
  await stage.judgeEnd()
  expect(stage.faults).toEqual([])
}

const steps = fc.array(step, { minLength: 5, maxLength: 60 })

test('nothing goes that one ledger has open; what all have closed goes', async () => {
  await fc.assert(
    fc.asyncProperty(steps, (all) => walk(all)),
    { numRuns: 150, seed: 11 },
  )
})

const breaks: readonly (readonly [string, Break])[] = [
  ['only the first ledger is asked', (ledgers) => ledgers.slice(0, 1)],
  ['only the newest is asked', (ledgers) => ledgers.slice(-1)],
  [
    'nothing is open above a floor',
    (ledgers) =>
      ledgers.map((one) => ({
        committedFloor: one.committedFloor,
        nextOpen: (from) => (from < one.nextOpen(0) ? one.nextOpen(from) : Infinity),
        nextClosed: (from) => one.nextClosed(from),
        countOpen: () => 0,
      })),
  ],
  [
    'what is not written yet counts as closed for good',
    (ledgers) =>
      ledgers.map((one) => ({
        committedFloor: one.nextOpen(0),
        nextOpen: (from) => one.nextOpen(from),
        nextClosed: (from) => one.nextClosed(from),
        countOpen: (from, to) => one.countOpen(from, to),
      })),
  ],
  [
    'nothing is ever closed',
    (ledgers) =>
      ledgers.map(() => ({
        committedFloor: 0,
        nextOpen: (from) => from,
        nextClosed: () => Infinity,
        countOpen: (from, to) => to - from,
      })),
  ],
]

test.each(breaks)('the model turns red when %s', async (_, broken) => {
  const outcome = await fc.check(
    fc.asyncProperty(steps, (all) => walk(all, broken)),
    { numRuns: 150, seed: 11 },
  )
  expect(outcome.failed).toBe(true)
})

test('what several ledgers have open is counted once', () => {
  const set = (...closed: readonly (readonly [number, number])[]): LogClosings => {
    const isClosed = (at: number): boolean => closed.some(([from, to]) => at >= from && at < to)
    const next = (from: number, wanted: boolean): number => {
      for (let at = from; at < 100; at++) if (isClosed(at) === wanted) return at
      return Infinity
    }
    return {
      committedFloor: 0,
      nextOpen: (from) => next(from, false),
      nextClosed: (from) => next(from, true),
      countOpen: (from, to) =>
        Array.from({ length: to - from }, (_, at) => from + at).filter((at) => !isClosed(at)).length,
    }
  }
  expect(countOpen([set([0, 40], [50, 100]), set([0, 45], [55, 100])], 0, 100, 50)).toBe(15)
  expect(countOpen([set([0, 100]), set([0, 100])], 0, 100, 50)).toBe(0)
  expect(countOpen([set([10, 100]), set([0, 90])], 0, 100, 50)).toBe(20)
})
