// The newest batches of one log, in memory.
// Promises: a contiguous end of the log; what is not in a segment yet is never let go.
// Does not know: disks. How much all tails together may hold is tail-budget's.

import { assert } from '../../base/assert.ts'
import type { Batches, Offset } from '../../log/store.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { spareBytesMax } from './options.ts'

/** Counted with each batch for the arrays and the buffer object. */
export const tailEntryBytes = 128

/** A batch given to readers. One who never says that he is done leaves its buffer to the collector. */
interface Lease {
  readers: number
  /** The tail holds it no more: the last reader gives the buffer back. */
  isLetGo: boolean
}

export class Tail {
  /** Below it nothing is held; equals the log's end when empty. */
  base: Offset
  bytes = 0
  #first = 0
  #nexts: Offset[] = []
  #batches: Buffer[] = []
  /** Readers who have not said that they are done; their batch's buffer is not used again before. */
  #leases: (Lease | undefined)[] = []
  readonly #pool: BufferPool

  constructor(base: Offset, pool: BufferPool) {
    this.base = base
    this.#pool = pool
  }

  get count(): number {
    return this.#batches.length - this.#first
  }

  push(batch: Buffer, next: Offset): void {
    this.#batches.push(batch)
    this.#nexts.push(next)
    this.#leases.push(undefined)
    this.bytes += batch.length + tailEntryBytes
  }

  /** Lets the oldest batch go unless it ends above `written`. Says whether it did. */
  shift(written: Offset): boolean {
    if (this.count === 0) return false
    const next = this.#nexts[this.#first]
    if (next > written) return false
    this.bytes -= this.#batches[this.#first].length + tailEntryBytes
    const lease = this.#leases[this.#first]
    if (lease !== undefined && lease.readers > 0) lease.isLetGo = true
    else this.#pool.giveBack(this.#batches[this.#first])
    this.#leases[this.#first] = undefined
    this.#batches[this.#first] = none
    this.#first++
    this.base = next
    if (this.#first > 64 && this.#first * 2 > this.#batches.length) this.#compact()
    return true
  }

  #compact(): void {
    this.#batches = this.#batches.slice(this.#first)
    this.#nexts = this.#nexts.slice(this.#first)
    this.#leases = this.#leases.slice(this.#first)
    this.#first = 0
  }

  /** Forgets all from `end` on: it was not written. */
  cut(end: Offset): void {
    while (this.count > 0 && (this.#nexts.at(-1) as Offset) > end) {
      this.bytes -= (this.#batches.pop() as Buffer).length + tailEntryBytes
      this.#nexts.pop()
      this.#leases.pop()
    }
    if (this.base > end) this.base = end
  }

  /** Everything goes, also what was not written; the log begins again at `end`. */
  reset(end: Offset): void {
    this.#batches = []
    this.#nexts = []
    this.#leases = []
    this.#first = 0
    this.bytes = 0
    this.base = end
  }

  read(from: Offset, bytesMax: number, below: Offset): Batches {
    assert(from >= this.base, 'the tail holds what is read from it')
    const chunks: Buffer[] = []
    const leases: Lease[] = []
    let bytes = 0
    let next = from
    for (let at = this.#placeOf(from); at < this.#batches.length; at++) {
      const batch = this.#batches[at]
      if (this.#nexts[at] > below || (chunks.length > 0 && bytes + batch.length > bytesMax)) break
      chunks.push(batch)
      const lease = (this.#leases[at] ??= { readers: 0, isLetGo: false })
      lease.readers++
      leases.push(lease)
      bytes += batch.length
      next = this.#nexts[at]
    }
    if (chunks.length === 0) return { chunks, bytes, next }
    return { chunks, bytes, next, release: () => this.#release(chunks, leases) }
  }

  #release(chunks: readonly Buffer[], leases: Lease[]): void {
    // Emptied, so that saying it twice says nothing.
    for (const [index, lease] of leases.splice(0).entries()) {
      lease.readers--
      if (lease.readers === 0 && lease.isLetGo) this.#pool.giveBack(chunks[index])
    }
  }

  /** The batches that end above `from`, oldest first. */
  *from(from: Offset): Generator<Buffer> {
    for (let at = this.#placeOf(from); at < this.#batches.length; at++) yield this.#batches[at]
  }

  #placeOf(from: Offset): number {
    let low = this.#first
    let high = this.#batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#nexts[middle] > from) high = middle
      else low = middle + 1
    }
    return low
  }
}

const none = Buffer.alloc(0)

/** The tails of all logs under one bound: the logs that were not written to for longest let go first. */
export class TailBudget {
  /** The buffers of all tails: what one lets go another takes. */
  readonly pool = new BufferPool(spareBytesMax)
  readonly #bytesMax: number
  readonly #bytesPerLogMax: number
  readonly #tails = new Map<Tail, () => Offset>()
  #bytes = 0

  constructor(bytesMax: number, bytesPerLogMax: number) {
    this.#bytesMax = bytesMax
    this.#bytesPerLogMax = bytesPerLogMax
  }

  /** Pushes a batch; `written` tells below which offset the tail may let go. */
  push(tail: Tail, batch: Buffer, next: Offset, written: () => Offset): void {
    const before = tail.bytes
    tail.push(batch, next)
    while (tail.bytes > this.#bytesPerLogMax && tail.shift(written()));
    this.#bytes += tail.bytes - before
    if (this.#tails.size === 0 || this.#newest !== tail) {
      this.#tails.delete(tail)
      this.#tails.set(tail, written)
      this.#newest = tail
    }
    if (this.#bytes > this.#bytesMax) this.#shrink()
  }

  #newest: Tail | undefined

  /** After the tail was cut or reset: counts again. */
  changed(tail: Tail, before: number): void {
    this.#bytes += tail.bytes - before
  }

  forget(tail: Tail): void {
    if (this.#tails.delete(tail)) this.#bytes -= tail.bytes
    if (this.#newest === tail) this.#newest = undefined
  }

  #shrink(): void {
    for (const [tail, written] of this.#tails) {
      const before = tail.bytes
      while (this.#bytes - (before - tail.bytes) > this.#bytesMax && tail.shift(written()));
      this.#bytes -= before - tail.bytes
      if (tail.count === 0 && tail !== this.#newest) this.#tails.delete(tail)
      if (this.#bytes <= this.#bytesMax) return
    }
  }
}
