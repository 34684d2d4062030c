// One log in memory: segments of batches, each a copy of its own.
// Promises: the port's Log; bytes are taken from and given back to one budget shared by the store.
// Does not know: durability. Every promise ends with the process.

import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/world.ts'
import { lastOffsetDeltaAt, maxTimestampAt, patchBatch } from '../../log/batch.ts'
import type { AppendEntry, Batches, Log, LogId, LogSettings, Offset, SegmentInfo } from '../../log/store.ts'

/** What the logs of one store share. */
export interface MemoryBudget {
  usedBytes: number
  readonly bytesMax: number
}

interface MemorySegment {
  readonly base: Offset
  next: Offset
  bytes: number
  maxTimestampMs: number
  /** When the first batch came, by the clock. */
  bornMs: number
  bases: Offset[]
  batches: Buffer[]
}

const noTimestamp = -1

const emptySegment = (base: Offset): MemorySegment => ({
  base,
  next: base,
  bytes: 0,
  maxTimestampMs: noTimestamp,
  bornMs: 0,
  bases: [],
  batches: [],
})

/** The batch's place, so that the compiler sees one shape. */
interface Place {
  readonly segment: MemorySegment
  readonly at: number
}

export class MemoryLog implements Log {
  readonly id: LogId
  epoch = 0
  start = 0 as Offset
  end = 0 as Offset
  committed = 0 as Offset
  bytes = 0
  settings: LogSettings
  isDeleted = false
  readonly #clock: Clock
  readonly #budget: MemoryBudget
  readonly #segments: MemorySegment[] = [emptySegment(0 as Offset)]
  readonly #watchers = new Set<() => void>()

  constructor(id: LogId, settings: LogSettings, clock: Clock, budget: MemoryBudget) {
    this.id = id
    this.settings = settings
    this.#clock = clock
    this.#budget = budget
  }

  get failed(): boolean {
    return this.isDeleted
  }

  /** A gap: nothing below `to` is given to a record again. */
  raiseEnd(to: Offset): void {
    if (to <= this.end) return
    const active = this.#active()
    if (active.batches.length === 0) this.#segments.pop()
    this.#segments.push(emptySegment(to))
    this.end = to
    this.committed = to
  }

  /** Takes a judged entry; its commit follows with commitTo. */
  take(entry: AppendEntry): void {
    assert(entry.expectedEnd === this.end, `${this.id}: an entry is judged before it is taken`)
    const batch = Buffer.from(entry.batch)
    patchBatch(batch, this.end, 0)
    let active = this.#active()
    if (this.#isFull(active, batch.length)) {
      active = emptySegment(this.end)
      this.#segments.push(active)
    }
    if (active.batches.length === 0) active.bornMs = this.#clock.nowMs()
    active.bases.push(this.end)
    active.batches.push(batch)
    active.bytes += batch.length
    active.maxTimestampMs = Math.max(active.maxTimestampMs, entry.maxTimestampMs)
    this.end = (this.end + entry.offsets) as Offset
    active.next = this.end
    this.bytes += batch.length
    this.#budget.usedBytes += batch.length
  }

  #isFull(active: MemorySegment, more: number): boolean {
    if (active.batches.length === 0) return false
    if (active.bytes + more > this.settings.segmentBytesMax) return true
    return this.#clock.nowMs() - active.bornMs > this.settings.segmentAgeMsMax
  }

  commit(): void {
    this.committed = this.end
    this.tell()
  }

  tell(): void {
    // A copy: who is told may watch again at once.
    const watchers = [...this.#watchers]
    for (const changed of watchers) changed()
  }

  drop(): void {
    this.isDeleted = true
    this.#budget.usedBytes -= this.bytes
    this.bytes = 0
    this.#segments.length = 0
    this.tell()
  }

  read(from: Offset, bytesMax: number, below: Offset): Batches {
    assert(from >= this.start && from <= this.end, `${this.id}: a read begins between start and end`)
    const chunks: Buffer[] = []
    let bytes = 0
    let next = from
    let place = this.#placeOf(from)
    while (place !== undefined) {
      const { segment, at } = place
      const batch = segment.batches[at]
      const after = nextOf(segment, at)
      if (after > below || (chunks.length > 0 && bytes + batch.length > bytesMax)) break
      chunks.push(batch)
      bytes += batch.length
      next = after
      if (bytes >= bytesMax) break
      place = at + 1 < segment.batches.length ? { segment, at: at + 1 } : this.#placeOf(after)
    }
    return { chunks, bytes, next }
  }

  /** The first batch that ends above `from`. */
  #placeOf(from: Offset): Place | undefined {
    let low = 0
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#segments[middle].next > from) high = middle
      else low = middle + 1
    }
    // A segment that was rewritten may end with a gap, or hold nothing any more.
    for (; low < this.#segments.length; low++) {
      const segment = this.#segments[low]
      let first = 0
      let last = segment.batches.length
      while (first < last) {
        const middle = (first + last) >>> 1
        if (nextOf(segment, middle) > from) last = middle
        else first = middle + 1
      }
      if (first < segment.batches.length) return { segment, at: first }
    }
    return undefined
  }

  findTime(timestampMs: number): Promise<Offset | undefined> {
    for (const { segment, at } of this.#places()) {
      if (maxTimestampAt(segment.batches[at], 0) >= timestampMs) return Promise.resolve(this.#clamp(segment.bases[at]))
    }
    return Promise.resolve(undefined)
  }

  findMaxTime(): Promise<Offset | undefined> {
    let best: Offset | undefined
    let greatest = -Infinity
    for (const { segment, at } of this.#places()) {
      const timestampMs = maxTimestampAt(segment.batches[at], 0)
      if (timestampMs <= greatest) continue
      greatest = timestampMs
      best = this.#clamp(segment.bases[at])
    }
    return Promise.resolve(best)
  }

  *#places(): Generator<Place> {
    for (const segment of this.#segments) {
      if (segment.next <= this.start) continue
      for (let at = 0; at < segment.batches.length; at++) if (nextOf(segment, at) > this.start) yield { segment, at }
    }
  }

  #clamp(base: Offset): Offset {
    return base < this.start ? this.start : base
  }

  segments(): readonly SegmentInfo[] {
    return this.#segments.map(({ base, next, bytes, maxTimestampMs }) => ({ base, next, bytes, maxTimestampMs }))
  }

  trim(to: Offset): Promise<void> {
    assert(to <= this.committed, `${this.id}: only what is committed is trimmed`)
    if (to <= this.start) return Promise.resolve()
    this.start = to
    while (this.#segments.length > 1 && this.#segments[0].next <= to) {
      const { bytes } = this.#segments.shift() as MemorySegment
      this.bytes -= bytes
      this.#budget.usedBytes -= bytes
    }
    this.tell()
    return Promise.resolve()
  }

  roll(): void {
    if (this.#active().batches.length > 0) this.#segments.push(emptySegment(this.end))
  }

  rewrite(base: Offset, keep: (base: Offset, next: Offset) => boolean): Promise<void> {
    const segment = this.#segments.find((one) => one.base === base)
    if (segment === undefined || segment === this.#active()) return Promise.resolve()
    const kept = segment.bases.map((from, at) => keep(from, nextOf(segment, at)))
    segment.bases = segment.bases.filter((_, at) => kept[at])
    segment.batches = segment.batches.filter((_, at) => kept[at])
    const bytes = segment.batches.reduce((sum, batch) => sum + batch.length, 0)
    this.bytes -= segment.bytes - bytes
    this.#budget.usedBytes -= segment.bytes - bytes
    segment.bytes = bytes
    return Promise.resolve()
  }

  configure(settings: LogSettings): Promise<void> {
    this.settings = settings
    return Promise.resolve()
  }

  sync(): Promise<void> {
    return Promise.resolve()
  }

  watch(changed: () => void): () => void {
    // A wrapper, so that the same function watched twice is two watches.
    const watcher = (): void => changed()
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  reopen(): Promise<void> {
    this.epoch++
    return Promise.resolve()
  }

  #active(): MemorySegment {
    const active = this.#segments.at(-1)
    assert(active !== undefined, `${this.id}: a log has an active segment`)
    return active
  }
}

function nextOf(segment: MemorySegment, at: number): Offset {
  return (segment.bases[at] + lastOffsetDeltaAt(segment.batches[at], 0) + 1) as Offset
}
