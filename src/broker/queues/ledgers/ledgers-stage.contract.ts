// A stage for ledgers beside a naive model: publishing, handing out, settling, dead-lettering, expiring, while the store
// commits, refuses and crashes, the machine log is rewritten, and the broker starts again.
// Promises: after each step the ledgers say what the model says, or an expectation throws.
// Does not know: queues; messages are offsets with a level and perhaps an expiration. Which steps come is the test's.

import { expect } from 'vitest'
import type { World } from '../../../base/world.ts'
import { forEachBatch, batchHeadBytes } from '../../../log/batch.ts'
import { MachineLog, machineLogId, type MachineRecord } from '../../../log/machine.ts'
import { encodeBatch, RecordCursor } from '../../../log/records.ts'
import { logId, offset, type AppendEntry, type Log, type LogId, type TopicId } from '../../../log/store.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { emptyFlight, LedgerModel, type Flight } from './ledger-model.contract.ts'
import type { LedgerStep } from './ledger-steps.contract.ts'
import { Ledgers } from './ledgers.ts'
import type { LedgerId, LedgerPart } from '../parts.ts'

const settings = {
  durability: 'commit',
  segmentBytesMax: 16 * 1024 * 1024,
  segmentAgeMsMax: Number.MAX_SAFE_INTEGER,
  indexIntervalBytes: 4096,
} as const

/** Two logs: one without levels, one with four. */
const levelsOf = [1, 4]
const logIdOf = (which: number): LogId => logId('BBBBBBBBBBBBBBBBBBBBBA' as TopicId, which)
const idOf = (which: number): LedgerId => ({ log: logIdOf(which), number: 0 })
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class LedgerStage {
  nowMs = 1_000_000
  readonly store = new StubStore()
  readonly models = [new LedgerModel(), new LedgerModel()]
  ledgers!: Ledgers
  parts: LedgerPart[] = []
  #machineLog!: MachineLog
  readonly #logs: Log[] = []
  #tasks: (() => void)[] = []
  #flights: Flight[] = []
  #wasReplayed = false
  /** Marks were refused with the rest and are written again at the end of the turn. */
  #lacksMarks = false
  #walk: { readonly pieces: Iterator<MachineRecord>; readonly from: number; isDone: boolean } | undefined
  readonly #world: World

  constructor() {
    const trace = { info() {}, warn() {}, error() {}, count() {}, counters: () => new Map<string, number>() }
    const clock = {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      after: () => ({ cancel() {} }),
      endOfTurn: (task: () => void) => void this.#tasks.push(task),
    }
    this.#world = { clock, trace } as unknown as World
  }

  async start(): Promise<void> {
    await this.store.create(levelsOf.map((_, at) => ({ id: logIdOf(at), settings })))
    this.store.manual = true
    await this.#open()
  }

  async #open(): Promise<void> {
    this.#tasks = []
    this.#flights = []
    this.#walk = undefined
    this.ledgers = new Ledgers(this.#world, 0)
    this.#machineLog = await MachineLog.open(this.#world, this.store, [this.ledgers])
    this.ledgers.start(this.#machineLog)
    this.parts = levelsOf.map((levels, at) => this.ledgers.open(idOf(at), 0, levels, false))
    for (const at of levelsOf.keys()) {
      this.#logs[at] = await this.store.open(logIdOf(at), settings)
      this.parts[at].extend(this.#logs[at].committed)
    }
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  async run(one: LedgerStep): Promise<void> {
    const pending = this.store.pending
    let flight: Flight | undefined
    if (one.does === 'publish') flight = this.#publish(one.which, one.levels, one.ttl)
    else if ('many' in one && 'pick' in one) flight = this.#settle(one.does, one.which, one.pick, one.many)
    else if (one.does === 'purge' || one.does === 'trim') this.#closeMany(one.does, one.which, one.pick)
    else if (one.does === 'commit') this.#commit(one.many)
    else if (one.does === 'expire') this.#expire(one.ms)
    else if (one.does === 'turn') flight = this.#turn()
    else if (one.does === 'walk') flight = this.#walkOn()
    else if (one.does === 'rewrite') while (flight === undefined) flight = this.#walkOn()
    else if (one.does === 'append') {
      flight = this.#flight()
      this.ledgers.append([]).catch(() => undefined)
    } else if (one.does === 'release') flight = this.#release()
    else await this.#end(one.does)
    // Marks are appends of their own.
    if (this.store.pending > pending) {
      while (this.#flights.length < this.store.pending - 1) this.#flights.push(emptyFlight)
      this.#flights.push(flight ?? emptyFlight)
    }
    if (one.does === 'rewrite') this.#commit(this.store.pending)
    await settled()
    this.#finishWalk()
    if (this.#wasReplayed) this.#adopt()
    this.check()
  }

  #flight(): Flight {
    this.#lacksMarks = false
    const flight: Flight = {
      closed: this.models.map((model) => [...model.fresh]),
      counts: this.models.map((model) => [...model.freshCounts]),
      closing: undefined,
      end: undefined,
    }
    for (const model of this.models) {
      model.fresh = new Set()
      model.freshCounts = new Map()
    }
    return flight
  }

  #turn(): Flight | undefined {
    if (this.#tasks.length === 0) return undefined
    const flight = this.#flight()
    for (const task of this.#tasks.splice(0)) task()
    return flight
  }

  #publish(at: number, levels: readonly number[], ttl: number): Flight {
    const log = this.#logs[at]
    const model = this.models[at]
    const base = log.end
    for (const [index, level] of levels.entries()) {
      const expiryMs = ttl === 0 ? undefined : this.nowMs + ttl + index
      model.levels.set(base + index, levelsOf[at] > 1 ? level : 0)
      model.expiries.delete(base + index)
      if (expiryMs !== undefined) model.expiries.set(base + index, expiryMs)
      if (level > 0 || expiryMs !== undefined)
        this.parts[at].note({ base: base + index, count: 1, level, earliestExpiryMs: expiryMs })
    }
    const entry: AppendEntry = {
      log,
      batch: encodeBatch(levels.map(() => ({ key: null, value: null, timestampMs: 1 }))),
      offsets: levels.length,
      maxTimestampMs: 1,
      epoch: log.epoch,
      expectedEnd: log.end,
    }
    const flight = { ...this.#flight(), end: { which: at, end: base + levels.length } }
    const { parts } = this
    this.ledgers.append([entry]).then(
      () => parts[at].extend(log.committed),
      () => undefined,
    )
    return flight
  }

  #settle(does: string, at: number, pick: number, many: number): Flight | undefined {
    const model = this.models[at]
    const part = this.parts[at]
    const free = [...model.acquired].filter((each) => !model.closing.has(each)).sort((one, other) => one - other)
    const some = (from: readonly number[]): number[] => {
      const start = from.length === 0 ? 0 : pick % from.length
      return from.slice(start, start + many)
    }
    if (does === 'take' || does === 'takeAny') {
      for (let left = many; left > 0; left--) {
        const ready = model.ready()
        const chosen = does === 'take' ? part.peek() : ready[pick % ready.length]
        if (chosen === undefined) break
        const was = part.wasHandedOut(chosen)
        if (model.handedOut.has(chosen)) expect(was).toBe(true)
        expect(part.acquire(chosen)).toBe(was)
        model.acquired.add(chosen)
        model.handedOut.add(chosen)
      }
    } else if (does === 'ack')
      for (const each of some(free)) {
        expect([part.acknowledge(each), part.acknowledge(each)]).toEqual([true, false])
        model.close(each)
      }
    else if (does === 'giveBack')
      for (const each of some(free)) {
        const counts = pick % 2 === 0
        part.giveBack(each, counts)
        model.acquired.delete(each)
        if (!counts) continue
        const count = (model.counts.get(each) ?? 0) + 1
        model.counts.set(each, count)
        model.freshCounts.set(each, count)
      }
    else if (does === 'close')
      for (const each of some([...model.ready(), ...free])) {
        expect([part.close(each, 'expired'), part.close(each, 'expired')]).toEqual([true, false])
        model.close(each)
      }
    else if (does === 'ackDuringFailure') {
      // The store refused and nobody knows yet: what is settled now goes into the next append.
      if (this.store.pending === 0) return undefined
      this.#refuse()
      for (const each of some(free)) {
        part.acknowledge(each)
        model.close(each)
      }
      this.#replayed()
    } else {
      const offsets = some(free)
      if (offsets.length === 0) return undefined
      const flight = { ...this.#flight(), closing: { which: at, offsets } }
      for (const each of offsets) model.closing.add(each)
      this.ledgers.appendClosing([], [{ ledger: part, offsets, reason: 'rejected' }]).catch(() => undefined)
      return flight
    }
    return undefined
  }

  #closeMany(does: 'purge' | 'trim', at: number, below: number): void {
    const model = this.models[at]
    const limit = Math.min(below, model.end)
    let count = 0
    let floor = 0
    while (model.closed.has(floor)) floor++
    for (let each = 0; each < limit; each++) {
      // What is trimmed above the floor is closed, whatever becomes of appends under way.
      if (does === 'trim' && each >= floor) model.fresh.add(each)
      if (model.closed.has(each) || (does === 'purge' && model.acquired.has(each))) continue
      model.closing.delete(each)
      model.close(each)
      count++
    }
    const part = this.parts[at]
    expect(does === 'purge' ? part.closeReady(limit, 'purged') : part.closeBelow(limit, 'retention')).toBe(count)
  }

  #commit(many: number): void {
    const flights = this.#flights.splice(0, many)
    this.store.commit(many)
    for (const { closed, counts, closing, end } of flights) {
      for (const [at, model] of this.models.entries()) {
        for (const each of closed[at]) model.durable.add(each)
        for (const [each, count] of counts[at])
          model.durableCounts.set(each, Math.max(count, model.durableCounts.get(each) ?? 0))
      }
      if (closing !== undefined) {
        const model = this.models[closing.which]
        for (const each of closing.offsets) {
          model.closing.delete(each)
          model.durable.add(each)
          if (!model.closed.has(each)) model.close(each)
        }
      }
      if (end !== undefined) this.models[end.which].end = end.end
    }
  }

  #refuse(): void {
    this.#lacksMarks = true
    this.#walk = undefined
    this.#flights = []
    this.store.fail('full')
  }

  /** What is closed is what the log says and what no append carried yet. */
  #replayed(): void {
    this.#wasReplayed = true
    for (const model of this.models) {
      model.closing.clear()
      for (const each of model.closed)
        if (model.durableCounts.has(each)) model.counts.set(each, model.durableCounts.get(each)!)
      model.closed = new Set([...model.durable, ...model.fresh])
      for (const each of model.closed) model.acquired.delete(each)
      for (const each of model.levels.keys())
        if (each >= model.end) {
          model.levels.delete(each)
          model.expiries.delete(each)
        }
    }
  }

  #adopt(): void {
    this.#wasReplayed = false
    const log = new Ledgers(this.#world, 0)
    for (const { key, value } of this.#committedRecords()) log.apply(key, value)
    for (const [at, model] of this.models.entries()) {
      const stored = log.open(idOf(at), 0, levelsOf[at], false)
      for (const each of model.maybe)
        if (stored.isClosed(each)) {
          model.acquired.delete(each)
          model.closed.add(each)
          model.durable.add(each)
        }
      for (const [each, count] of model.maybeCounts)
        if (!model.closed.has(each) && stored.deliveryCount(each) === count) {
          model.counts.set(each, Math.max(count, model.counts.get(each) ?? 0))
          model.durableCounts.set(each, count)
        }
      model.maybe.clear()
      model.maybeCounts.clear()
    }
  }

  #expire(ms: number): void {
    this.nowMs += ms
    for (const [at, model] of this.models.entries()) {
      const part = this.parts[at]
      const blocks: [number, number][] = []
      part.due(this.nowMs, ({ from, to }) => void blocks.push([from, to]))
      for (const each of model.expiries.keys()) {
        if (each >= model.end || model.closed.has(each) || model.expiries.get(each)! > this.nowMs) continue
        expect(blocks.some(([from, to]) => each >= from && each < to)).toBe(true)
      }
      for (const [from, to] of blocks) {
        let earliest: number | undefined
        for (let each = from; each < to; each++) {
          const expiryMs = model.expiries.get(each)
          if (expiryMs === undefined || model.closed.has(each)) continue
          // Those that are due are closed, unless they are acquired.
          if (expiryMs <= this.nowMs && !model.acquired.has(each) && each < model.end) {
            part.close(each, 'expired')
            model.close(each)
          } else earliest = Math.min(earliest ?? Infinity, expiryMs)
        }
        part.reprice(from, earliest)
      }
    }
  }

  #release(): Flight | undefined {
    const at = this.models.findIndex((model) => model.acquired.size === 0)
    if (at < 0) return undefined
    const model = this.models[at]
    const flight: Flight = {
      closed: this.models.map((other) => (other === model ? [...other.fresh] : [])),
      counts: this.models.map((other) => (other === model ? [...other.freshCounts] : [])),
      closing: undefined,
      end: undefined,
    }
    model.fresh = new Set()
    model.freshCounts = new Map()
    this.ledgers.release(idOf(at))
    this.parts[at] = this.ledgers.open(idOf(at), 0, levelsOf[at], false)
    this.parts[at].extend(this.#logs[at].committed)
    return flight
  }

  /** A piece of a rewrite is appended; when all, and what changed meanwhile, are committed, what lies before is gone. */
  #walkOn(): Flight | undefined {
    if (this.#walk === undefined) {
      const log = this.store.logs.get(machineLogId)!
      log.roll()
      this.#walk = { pieces: this.ledgers.entries()[Symbol.iterator](), from: log.end, isDone: false }
    }
    const piece = this.#walk.pieces.next()
    if (piece.done === true) {
      this.#walk.isDone = true
      this.ledgers.append([]).catch(() => undefined)
      return this.#flight()
    }
    for (const model of this.models) {
      for (const each of model.fresh) model.maybe.add(each)
      for (const [each, count] of model.counts) model.maybeCounts.set(each, count)
    }
    this.#machineLog.append(this.ledgers, [piece.value]).catch(() => undefined)
    return undefined
  }

  #finishWalk(): void {
    if (this.#walk?.isDone !== true || this.store.pending > 0) return
    void this.store.logs.get(machineLogId)!.trim(offset(this.#walk.from))
    this.#walk = undefined
  }

  async #end(does: 'fail' | 'kill' | 'crash' | 'stop'): Promise<void> {
    if (does === 'fail') {
      if (this.store.pending === 0) return
      this.#refuse()
      this.#replayed()
      return
    }
    if (does === 'stop') {
      for (const [at, model] of this.models.entries()) {
        this.#commit(this.store.pending)
        await settled()
        for (const each of model.acquired) this.parts[at].giveBack(each, false)
        model.acquired.clear()
      }
      this.#flights = [this.#flight()]
      const closed = this.ledgers.close()
      this.#commit(this.store.pending)
      await closed
    }
    if (does === 'kill') this.#commit(this.store.pending)
    if (does === 'crash') this.store.crash()
    // What the process that ends has still to say is said to nobody.
    await settled()
    const lacksMarks = this.#lacksMarks
    const handedOut = this.models.map((model) => model.handedOut)
    for (const model of this.models) {
      model.fresh = new Set()
      model.freshCounts = new Map()
      model.acquired.clear()
      model.handedOut = new Set()
    }
    this.#replayed()
    for (const model of this.models) {
      model.counts.clear()
      for (const [each, count] of model.durableCounts) model.counts.set(each, count)
    }
    await this.#open()
    this.#adopt()
    for (const [at, model] of this.models.entries())
      for (const each of model.ready()) {
        // A process that was killed had written what it was about to hand out; one that stopped knew exactly how far.
        if (does === 'kill' && !lacksMarks && handedOut[at].has(each))
          expect(this.parts[at].wasHandedOut(each)).toBe(true)
        if (does !== 'crash' && this.parts[at].wasHandedOut(each)) model.handedOut.add(each)
      }
  }

  // --- judging ------------------------------------------------------------------------------------------------------

  check(): void {
    for (const [at, model] of this.models.entries()) {
      const part = this.parts[at]
      const ready = model.ready()
      let floor = 0
      while (model.closed.has(floor)) floor++
      expect([part.end, part.floor, part.ready, part.acquired]).toEqual([
        model.end,
        floor,
        ready.length,
        model.acquired.size,
      ])
      const level = (each: number): number => model.levels.get(each) ?? 0
      const next = ready.reduce<number | undefined>(
        (best, each) => (best === undefined || level(each) > level(best) ? each : best),
        undefined,
      )
      expect(part.peek()).toBe(next)
      const seen: number[] = []
      for (let each = part.nextReady(0); each !== undefined; each = part.nextReady(each + 1)) seen.push(each)
      expect(seen).toEqual(ready)
      const half = model.end >>> 1
      const open = [...ready, ...model.acquired]
      expect(part.countOpen(0, half)).toBe(open.filter((each) => each < half).length)
      expect(ready.filter((each) => model.handedOut.has(each) && !part.wasHandedOut(each))).toEqual([])
      expect(ready.filter((each) => part.deliveryCount(each) !== (model.counts.get(each) ?? 0))).toEqual([])
      expect(part.committedFloor).toBeLessThanOrEqual(floor)
      let durable = 0
      while (model.durable.has(durable)) durable++
      expect(part.committedFloor).toBeLessThanOrEqual(durable)
      const unclosed = [...model.expiries].filter(([each]) => !model.closed.has(each)).map(([, ms]) => ms)
      if (unclosed.length > 0) expect(part.nextExpiryMs).toBeLessThanOrEqual(Math.min(...unclosed))
    }
  }

  #committedRecords(): { key: Buffer; value: Buffer | null }[] {
    const log = this.store.logs.get(machineLogId)!
    const records: { key: Buffer; value: Buffer | null }[] = []
    const chunks = log.batches.filter((batch) => batch.next <= log.committed).map((batch) => batch.bytes)
    for (const chunk of chunks)
      forEachBatch(chunk, (head, at) => {
        const cursor = new RecordCursor(chunk.subarray(at + batchHeadBytes, at + head.bytes))
        while (cursor.next()) records.push({ key: cursor.key!.subarray(1), value: cursor.value })
      })
    return records
  }

  /** The committed records, in whatever order and however often, end in one state. */
  shuffled(seed: number): void {
    const records = this.#committedRecords()
    const twice = [...records, ...records.slice(0, records.length >>> 1)]
    let state = seed + 1
    const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
    for (let at = twice.length - 1; at > 0; at--) {
      const other = Math.floor(random() * (at + 1))
      ;[twice[at], twice[other]] = [twice[other], twice[at]]
    }
    expect(this.#stateOf(twice)).toEqual(this.#stateOf(records))
  }

  #stateOf(records: readonly { key: Buffer; value: Buffer | null }[]): unknown {
    const ledgers = new Ledgers(this.#world, 0)
    for (const { key, value } of records) ledgers.apply(key, value)
    return levelsOf.map((levels, at) => {
      const part = ledgers.open(idOf(at), 0, levels, false)
      part.extend(this.models[at].end)
      const ready: unknown[] = []
      for (let each = part.nextReady(0); each !== undefined; each = part.nextReady(each + 1))
        ready.push([each, part.deliveryCount(each), part.state.detail?.levels?.levelOf(each), part.wasHandedOut(each)])
      // When blocks are looked at again is said by snapshots only: an older word may make one due too early.
      return [part.floor, ready, part.notedEnd]
    })
  }
}
