// When messages expire by their own expiration: the earliest time of each block of a few hundred offsets.
// Promises: a fraction of a byte a message; what is due first is known without looking at all of them.
// Does not know: which message of a block expires when; that is read from the log when the block is due.
//
// Blocks ascend and do not overlap. Above them lie the minima of 64 blocks each, made when they are asked for.

import type { ExpiryBlock } from '../parts.ts'

/** Batches that begin within so many offsets of a block's start belong to it. */
const blockOffsets = 256
const groupBlocks = 64
const firstCapacity = 16
const never = Infinity

export class ExpiryIndex {
  #from = new Float64Array(firstCapacity)
  #to = new Float64Array(firstCapacity)
  #earliest = new Float64Array(firstCapacity)
  /** The blocks are [head, tail). */
  #head = 0
  #tail = 0
  #minima = new Float64Array(0)
  #hasMinima = false
  /** Where the last block that was told as due begins: somebody looks into it, so nothing is added to it any more. */
  #sealed = -1
  readonly #told: ExpiryBlock = { from: 0, to: 0, earliestExpiryMs: 0 }

  get blocks(): number {
    return this.#tail - this.#head
  }

  get bytes(): number {
    return this.#from.byteLength * 3 + this.#minima.byteLength
  }

  /** One of [from, to) expires at `earliestMs`, none of them before. Told twice, the earlier time counts. */
  note(from: number, to: number, earliestMs: number): void {
    const last = this.#tail - 1
    const at = last < this.#head || this.#from[last] <= from ? last : this.#blockAt(from)
    const isOpen = at >= this.#head && (this.#from[at] !== this.#sealed || this.#from[at] === from)
    if (isOpen && from - this.#from[at] < blockOffsets) {
      this.#to[at] = Math.max(this.#to[at], to)
      this.#lower(at, earliestMs)
    } else this.#insert(at + 1, from, to, earliestMs)
  }

  /** When the first block is due; undefined: none ever is. */
  get nextMs(): number | undefined {
    const minima = this.#groups()
    let next = never
    for (let group = this.#head >>> 6; group * groupBlocks < this.#tail; group++) next = Math.min(next, minima[group])
    return next === never ? undefined : next
  }

  /** Calls `see` with each block that is due, in order; blocks may be repriced meanwhile, not noted. */
  due(nowMs: number, see: (block: ExpiryBlock) => void): void {
    const minima = this.#groups()
    for (let group = this.#head >>> 6; group * groupBlocks < this.#tail; group++) {
      if (minima[group] > nowMs) continue
      const end = Math.min(this.#tail, (group + 1) * groupBlocks)
      for (let at = Math.max(this.#head, group * groupBlocks); at < end; at++) {
        if (this.#earliest[at] > nowMs) continue
        this.#told.from = this.#from[at]
        this.#told.to = this.#to[at]
        this.#told.earliestExpiryMs = this.#earliest[at]
        this.#sealed = this.#from[at]
        see(this.#told)
      }
    }
  }

  /** What is the earliest now in the block that holds `offset`; undefined: nothing in it expires any more. */
  reprice(offset: number, earliestMs: number | undefined): void {
    const at = this.#blockAt(offset)
    if (at < this.#head || offset >= this.#to[at]) return
    this.#earliest[at] = earliestMs ?? never
    if (!this.#hasMinima) return
    const group = at >>> 6
    this.#minima[group] = this.#minimumOf(group)
  }

  /** Everything below is closed. */
  dropBelow(floor: number): void {
    const before = this.#head
    while (this.#head < this.#tail && this.#to[this.#head] <= floor) this.#head++
    if (this.#head === before) return
    if (this.#head === this.#tail) this.#head = this.#tail = 0
    else if (this.#head >= groupBlocks && this.#head * 2 >= this.#tail) this.#moveDown()
    else if (this.#hasMinima) {
      const group = this.#head >>> 6
      this.#minima[group] = this.#minimumOf(group)
    }
  }

  /** The blocks that begin in [from, to). */
  eachFrom(from: number, to: number, see: (block: ExpiryBlock) => void): void {
    let at = Math.max(this.#head, this.#blockAt(from))
    for (; at < this.#tail && this.#from[at] < to; at++) {
      if (this.#from[at] < from || this.#earliest[at] === never) continue
      this.#told.from = this.#from[at]
      this.#told.to = this.#to[at]
      this.#told.earliestExpiryMs = this.#earliest[at]
      see(this.#told)
    }
  }

  /** Where the first block at or behind `from` begins; -1: there is none. */
  firstFrom(from: number): number {
    let at = this.#blockAt(from)
    if (at < this.#head || this.#from[at] < from) at++
    while (at < this.#tail && this.#earliest[at] === never) at++
    return at < this.#tail ? this.#from[at] : -1
  }

  /** The last block that begins at or before `offset`; head - 1: none does. */
  #blockAt(offset: number): number {
    let low = this.#head
    let high = this.#tail
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#from[middle] <= offset) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #lower(at: number, earliestMs: number): void {
    if (earliestMs >= this.#earliest[at]) return
    this.#earliest[at] = earliestMs
    if (this.#hasMinima && earliestMs < this.#minima[at >>> 6]) this.#minima[at >>> 6] = earliestMs
  }

  #insert(at: number, from: number, to: number, earliestMs: number): void {
    if (this.#tail === this.#from.length) this.#grow()
    if (at < this.#tail) {
      for (const column of [this.#from, this.#to, this.#earliest]) column.copyWithin(at + 1, at, this.#tail)
      this.#hasMinima = false
    }
    this.#from[at] = from
    this.#to[at] = to
    this.#earliest[at] = earliestMs
    this.#tail++
    if (!this.#hasMinima) return
    const group = at >>> 6
    if (group >= this.#minima.length) this.#hasMinima = false
    else this.#minima[group] = (at & (groupBlocks - 1)) === 0 ? earliestMs : Math.min(this.#minima[group], earliestMs)
  }

  #grow(): void {
    const capacity = this.#from.length + Math.max(firstCapacity, this.#from.length >>> 1)
    const larger = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const grown = new Float64Array(capacity)
      grown.set(column)
      return grown
    }
    this.#from = larger(this.#from)
    this.#to = larger(this.#to)
    this.#earliest = larger(this.#earliest)
  }

  #moveDown(): void {
    for (const column of [this.#from, this.#to, this.#earliest]) column.copyWithin(0, this.#head, this.#tail)
    this.#tail -= this.#head
    this.#head = 0
    this.#hasMinima = false
    if (this.#from.length <= 1024 || this.#tail * 4 > this.#from.length) return
    this.#from = this.#from.slice(0, this.#tail * 2)
    this.#to = this.#to.slice(0, this.#tail * 2)
    this.#earliest = this.#earliest.slice(0, this.#tail * 2)
  }

  #groups(): Float64Array {
    if (this.#hasMinima) return this.#minima
    this.#minima = new Float64Array((this.#from.length >>> 6) + 1)
    for (let group = this.#head >>> 6; group * groupBlocks < this.#tail; group++)
      this.#minima[group] = this.#minimumOf(group)
    this.#hasMinima = true
    return this.#minima
  }

  #minimumOf(group: number): number {
    let minimum = never
    const end = Math.min(this.#tail, (group + 1) * groupBlocks)
    for (let at = Math.max(this.#head, group * groupBlocks); at < end; at++)
      if (this.#earliest[at] < minimum) minimum = this.#earliest[at]
    return minimum
  }
}
