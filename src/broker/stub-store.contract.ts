// A store for the broker's tests whose commits, failures and crashes happen when the test says so.
// Promises: the port's order: promises in call order, a failure fails all later appends and sets their logs back.
// Does not know: durability, segments' ages, indexes. Everything is arrays.

import { forEachBatch, patchBatch } from '../log/batch.ts'
import {
  AppendFailure,
  offset,
  type AppendEntry,
  type AppendFailureKind,
  type Batches,
  type Log,
  type LogId,
  type LogSettings,
  type Offset,
  type SegmentInfo,
  type Store,
} from '../log/store.ts'

interface StoredBatch {
  readonly base: number
  readonly next: number
  readonly bytes: Buffer
  readonly maxTimestampMs: number
}

class StubLog implements Log {
  readonly id: LogId
  epoch = 0
  start = offset(0)
  end = offset(0)
  committed = offset(0)
  failed = false
  settings: LogSettings
  batches: StoredBatch[] = []
  /** What was trimmed, oldest first: for a test that wants to know all that ever was. */
  readonly trimmed: StoredBatch[] = []
  /** First offsets of segments. */
  bases = [0]
  reads = 0
  readonly #watchers = new Set<() => void>()

  constructor(id: LogId, settings: LogSettings) {
    this.id = id
    this.settings = settings
  }

  get bytes(): number {
    return this.batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
  }

  get everything(): StoredBatch[] {
    return [...this.trimmed, ...this.batches]
  }

  take(entry: AppendEntry): void {
    patchBatch(entry.batch, this.end, 0)
    const next = this.end + entry.offsets
    this.batches.push({ base: this.end, next, bytes: Buffer.from(entry.batch), maxTimestampMs: entry.maxTimestampMs })
    this.end = offset(next)
  }

  setBack(): void {
    this.end = this.committed
    this.batches = this.batches.filter((batch) => batch.next <= this.committed)
  }

  tell(): void {
    for (const changed of Array.from(this.#watchers)) changed()
  }

  read(from: Offset, bytesMax: number, below: Offset): Batches {
    this.reads++
    const chunks: Buffer[] = []
    let next: Offset = from
    let bytes = 0
    for (const batch of this.batches) {
      if (batch.next <= from) continue
      if (batch.next > below || (chunks.length > 0 && bytes + batch.bytes.length > bytesMax)) break
      chunks.push(batch.bytes)
      bytes += batch.bytes.length
      next = offset(batch.next)
    }
    return { chunks, bytes, next }
  }

  async findTime(timestampMs: number): Promise<Offset | undefined> {
    const found = this.batches.find((batch) => batch.maxTimestampMs >= timestampMs)
    return found === undefined ? undefined : offset(found.base)
  }

  async findMaxTime(): Promise<Offset | undefined> {
    let found: StoredBatch | undefined
    for (const batch of this.batches)
      if (found === undefined || batch.maxTimestampMs > found.maxTimestampMs) found = batch
    return found === undefined ? undefined : offset(found.base)
  }

  segments(): SegmentInfo[] {
    return this.bases.map((base, index) => {
      const next = this.bases[index + 1] ?? this.end
      const inside = this.batches.filter((batch) => batch.base >= base && batch.base < next)
      return {
        base: offset(base),
        next: offset(next),
        bytes: inside.reduce((sum, batch) => sum + batch.bytes.length, 0),
        maxTimestampMs: inside.reduce((max, batch) => Math.max(max, batch.maxTimestampMs), -1),
      }
    })
  }

  async trim(to: Offset): Promise<void> {
    if (to > this.committed) throw new Error('a trim above the high watermark')
    this.start = to
    this.bases = this.bases.filter((_, index) => (this.bases[index + 1] ?? Infinity) > to)
    this.trimmed.push(...this.batches.filter((batch) => batch.base < this.bases[0]))
    this.batches = this.batches.filter((batch) => batch.base >= this.bases[0])
    this.tell()
  }

  roll(): void {
    if (this.bases.at(-1) !== this.end) this.bases.push(this.end)
  }

  rewrite(): Promise<void> {
    return Promise.resolve()
  }

  async configure(settings: LogSettings): Promise<void> {
    this.settings = settings
  }

  async sync(): Promise<void> {}

  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => void this.#watchers.delete(changed)
  }

  async reopen(): Promise<void> {
    this.failed = false
    this.epoch++
  }
}

interface Pending {
  readonly entries: readonly AppendEntry[]
  resolve(): void
  reject(failure: AppendFailure): void
}

export class StubStore implements Store {
  readonly logs = new Map<LogId, StubLog>()
  /** Manual: nothing is committed until commit() or fail(). */
  manual = false
  freeBytes = 1_000_000_000
  /** The next calls of these names reject with this. */
  failing: Partial<Record<'create' | 'delete' | 'open', Error>> = {}
  readonly #pending: Pending[] = []

  list(): readonly LogId[] {
    return [...this.logs.keys()]
  }

  async create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void> {
    this.#failWhenAsked('create')
    for (const { id, settings } of logs) this.logs.set(id, new StubLog(id, settings))
  }

  async open(id: LogId, settings: LogSettings, endAtLeast = offset(0)): Promise<Log> {
    this.#failWhenAsked('open')
    const log = this.logs.get(id)
    if (log === undefined) throw new AppendFailure('closed', `${id} is not there`)
    log.settings = settings
    log.epoch++
    if (endAtLeast > log.end) log.end = log.committed = endAtLeast
    return log
  }

  async delete(ids: readonly LogId[]): Promise<void> {
    this.#failWhenAsked('delete')
    for (const id of ids) {
      const log = this.logs.get(id)
      this.logs.delete(id)
      if (log !== undefined) log.failed = true
      log?.tell()
    }
  }

  #failWhenAsked(call: 'create' | 'delete' | 'open'): void {
    const error = this.failing[call]
    if (error === undefined) return
    this.failing = {}
    throw error
  }

  append(entries: readonly AppendEntry[]): Promise<void> {
    const ends = new Map<Log, number>()
    for (const { log, expectedEnd, offsets } of entries) {
      const stub = this.logs.get(log.id)
      if (stub === undefined) return Promise.reject(new AppendFailure('closed', `${log.id} is deleted`))
      if (stub.failed) return Promise.reject(new AppendFailure('io', `${log.id} failed`))
      if (expectedEnd !== (ends.get(log) ?? stub.end))
        return Promise.reject(new AppendFailure('fenced', `${log.id} ends elsewhere`))
      ends.set(log, expectedEnd + offsets)
    }
    for (const entry of entries) (entry.log as StubLog).take(entry)
    return new Promise((resolve, reject) => {
      this.#pending.push({ entries, resolve, reject })
      if (!this.manual) queueMicrotask(() => this.commit())
    })
  }

  get pending(): number {
    return this.#pending.length
  }

  /** Commits the oldest `count` appends. */
  commit(count = this.#pending.length): void {
    for (const { entries, resolve } of this.#pending.splice(0, count)) {
      for (const entry of entries) {
        const log = entry.log as StubLog
        log.committed = offset(entry.expectedEnd + entry.offsets)
        log.tell()
      }
      resolve()
    }
  }

  /** Refuses everything not committed yet. */
  fail(kind: AppendFailureKind): void {
    const failed = this.#pending.splice(0)
    for (const { entries } of failed) {
      for (const entry of entries) {
        const log = entry.log as StubLog
        log.setBack()
        log.failed = kind === 'io'
      }
    }
    for (const { reject } of failed) reject(new AppendFailure(kind, `the test said ${kind}`))
  }

  /** The process ends here: what was not committed is gone, and nobody hears of it. */
  crash(): void {
    this.#pending.length = 0
    for (const log of this.logs.values()) log.setBack()
  }

  usage(): { usedBytes: number; freeBytes: number } {
    const usedBytes = [...this.logs.values()].reduce((sum, log) => sum + log.bytes, 0)
    return { usedBytes, freeBytes: this.freeBytes }
  }

  bytesOf(id: LogId): number {
    return this.logs.get(id)?.bytes ?? 0
  }

  async close(): Promise<void> {}
}

/** Base offsets of all batches in `chunks`. */
export function basesIn(chunks: readonly Buffer[]): number[] {
  const bases: number[] = []
  for (const chunk of chunks)
    forEachBatch(chunk, (head) => {
      bases.push(head.baseOffset)
    })
  return bases
}
