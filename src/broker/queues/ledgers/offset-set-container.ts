// A container of an offset set: which of 65,536 consecutive positions are members.
// Promises: at most 8 KiB, at most 2 bytes a member when members are scattered, a few bytes when they lie in runs.
// Does not know: where its positions lie among all offsets (offset-set.ts).
//
// Sorted runs while those are smaller than a bitmap, else a bitmap. A run is its start and how many members follow
// it; as long as all runs are single members only the starts are kept.

import { assert } from '../../../base/assert.ts'

export const containerPositions = 65_536
const words = containerPositions / 32
/** Runs of single members, 2 bytes each, fill what a bitmap takes. */
const singlesMax = 4096
/** Runs of any length, 4 bytes each. */
const runsMax = 2048
/** A bitmap with so few members is runs again: far enough below the change to it that nothing goes back and forth. */
const bitmapSizeMin = 1024
const firstCapacity = 4

const noShorts = new Uint16Array(0)
const noWords = new Uint32Array(0)

function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555)
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}

/** The bits of one word for the positions from `first` to `last`, both in it. */
const maskOf = (first: number, last: number): number => ((-1 << (first & 31)) & (-1 >>> (31 - (last & 31)))) >>> 0

/** The position of the lowest bit set. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

export class OffsetContainer {
  /** How many members. */
  size = 0
  #runs = 0
  #starts: Uint16Array = noShorts
  /** Members behind the start of each run; empty while every run is a single member. */
  #extras: Uint16Array = noShorts
  /** Empty: this container holds runs. */
  #bits: Uint32Array = noWords
  /** No word of the bitmap below it has members. */
  #lowWord = 0
  /** The run found last: the next question is often about it or the one behind. */
  #hint = 0

  get isBitmap(): boolean {
    return this.#bits.length !== 0
  }

  get isFull(): boolean {
    return this.size === containerPositions
  }

  /** What it holds in memory, without the objects' own heads. */
  get bytes(): number {
    return this.#starts.byteLength + this.#extras.byteLength + this.#bits.byteLength
  }

  /** Empty again; a small one keeps its memory for what comes. */
  clear(): void {
    this.size = 0
    this.#runs = 0
    this.#hint = 0
    this.#lowWord = 0
    this.#bits = noWords
    if (this.#starts.length > 256) this.#starts = this.#extras = noShorts
  }

  has(position: number): boolean {
    if (this.#bits.length !== 0) return (this.#bits[position >>> 5] & (1 << (position & 31))) !== 0
    const run = this.#find(position)
    return run >= 0 && this.#last(run) >= position
  }

  /** False: it was a member already. */
  add(position: number): boolean {
    if (this.#bits.length !== 0) return this.#addBit(position)
    const run = this.#find(position)
    const next = run + 1
    const joinsNext = next < this.#runs && this.#starts[next] === position + 1
    if (run >= 0) {
      const last = this.#last(run)
      if (position <= last) return false
      if (position === last + 1) {
        if (this.#extras.length === 0 && !this.#canHaveExtras()) return this.#addBit(position)
        this.#extras[run] = (joinsNext ? this.#last(next) : position) - this.#starts[run]
        if (joinsNext) this.#removeRuns(next, next)
        this.size++
        return true
      }
    }
    if (joinsNext) {
      if (this.#extras.length === 0 && !this.#canHaveExtras()) return this.#addBit(position)
      this.#starts[next] = position
      this.#extras[next]++
    } else {
      if (!this.#makeRoom(next)) return this.#addBit(position)
      this.#starts[next] = position
      if (this.#extras.length !== 0) this.#extras[next] = 0
    }
    this.size++
    return true
  }

  /** False: it was none. */
  remove(position: number): boolean {
    if (this.#bits.length !== 0) return this.#removeBit(position)
    const run = this.#find(position)
    if (run < 0) return false
    const start = this.#starts[run]
    const last = this.#last(run)
    if (last < position) return false
    if (start === last) this.#removeRuns(run, run)
    else if (position === start) {
      this.#starts[run]++
      this.#extras[run]--
    } else if (position === last) this.#extras[run]--
    else {
      if (!this.#makeRoom(run + 1)) return this.#removeBit(position)
      this.#extras[run] = position - 1 - start
      this.#starts[run + 1] = position + 1
      this.#extras[run + 1] = last - position - 1
    }
    this.size--
    return true
  }

  /** Adds `first` to `last`, both included; answers how many are new. */
  addRange(first: number, last: number): number {
    if (first === last) return this.add(first) ? 1 : 0
    if (this.#bits.length !== 0) return this.#addBits(first, last)
    const found = this.#find(first)
    const from = found >= 0 && this.#last(found) >= first - 1 ? found : found + 1
    const to = this.#find(Math.min(last + 1, containerPositions - 1))
    if (this.#extras.length === 0 && !this.#canHaveExtras()) return this.#addBits(first, last)
    const sizeBefore = this.size
    if (to < from) {
      if (!this.#makeRoom(from)) return this.#addBits(first, last)
      this.#starts[from] = first
      this.#extras[from] = last - first
      this.size += last - first + 1
    } else {
      const start = Math.min(first, this.#starts[from])
      const end = Math.max(last, this.#last(to))
      this.size += end - start + 1 - this.#membersOf(from, to)
      this.#starts[from] = start
      this.#extras[from] = end - start
      this.#removeRuns(from + 1, to)
    }
    return this.size - sizeBefore
  }

  /** Removes `first` to `last`, both included; answers how many there were. */
  removeRange(first: number, last: number): number {
    if (this.#bits.length !== 0) return this.#removeBits(first, last)
    const found = this.#find(first)
    const from = found >= 0 && this.#last(found) >= first ? found : found + 1
    const to = this.#find(last)
    if (to < from) return 0
    const start = this.#starts[from]
    const end = this.#last(to)
    const before = Math.max(0, first - start)
    const behind = Math.max(0, end - last)
    const removed = this.#membersOf(from, to) - before - behind
    if (before > 0 && behind > 0 && from === to && !this.#makeRoom(from + 1)) return this.#removeBits(first, last)
    let keepTo = from
    if (before > 0) this.#extras[keepTo++] = before - 1
    if (behind > 0) {
      this.#starts[keepTo] = last + 1
      if (this.#extras.length !== 0) this.#extras[keepTo] = behind - 1
      keepTo++
    }
    this.#removeRuns(keepTo, to)
    this.size -= removed
    return removed
  }

  /** The first member at or after `position`; -1: none. */
  firstAtOrAfter(position: number): number {
    if (this.#bits.length !== 0) return this.#firstBit(position)
    const run = this.#find(position)
    if (run >= 0 && this.#last(run) >= position) return position
    return run + 1 < this.#runs ? this.#starts[run + 1] : -1
  }

  /** The first position at or after `position` that is no member; 65,536: none. */
  firstMissingAtOrAfter(position: number): number {
    if (this.#bits.length === 0) {
      const run = this.#find(position)
      if (run < 0) return position
      const last = this.#last(run)
      return last < position ? position : last + 1
    }
    let at = position >>> 5
    let missing = ~this.#bits[at] & (-1 << (position & 31))
    while (missing === 0) {
      if (++at === words) return containerPositions
      missing = ~this.#bits[at]
    }
    return at * 32 + lowestBit(missing)
  }

  /** The greatest member; -1: there is none. */
  lastMember(): number {
    if (this.#bits.length === 0) return this.#runs === 0 ? -1 : this.#last(this.#runs - 1)
    let at = words - 1
    while (this.#bits[at] === 0) at--
    return at * 32 + 31 - Math.clz32(this.#bits[at])
  }

  /** Members from `first` to `last`, both included. */
  countRange(first: number, last: number): number {
    if (this.#bits.length !== 0) {
      let count = 0
      for (let at = first >>> 5; at <= last >>> 5; at++) {
        const low = Math.max(first, at * 32)
        count += ones(this.#bits[at] & maskOf(low, Math.min(last, at * 32 + 31)))
      }
      return count
    }
    const found = this.#find(first)
    const from = found >= 0 && this.#last(found) >= first ? found : found + 1
    const to = this.#find(last)
    if (to < from) return 0
    const cut = Math.max(0, first - this.#starts[from]) + Math.max(0, this.#last(to) - last)
    return this.#membersOf(from, to) - cut
  }

  /** Sets the cell of each member to `value`. */
  paint(cells: Uint8Array, value: number): void {
    if (this.#bits.length === 0) {
      for (let run = 0; run < this.#runs; run++) cells.fill(value, this.#starts[run], this.#last(run) + 1)
      return
    }
    for (let at = 0; at < words; at++) {
      let word = this.#bits[at]
      if (word === 0xffff_ffff) cells.fill(value, at * 32, at * 32 + 32)
      else for (; word !== 0; word &= word - 1) cells[at * 32 + lowestBit(word)] = value
    }
  }

  /** Its 8 KiB as a bitmap, lowest position first; a copy. */
  toBitmap(): Uint8Array {
    const bits = this.#bits.length !== 0 ? this.#bits : this.#asBits()
    const bytes = new Uint8Array(containerPositions / 8)
    // Byte by byte, so that stored bytes are the same on every machine.
    for (let at = 0; at < bytes.length; at++) bytes[at] = bits[at >>> 2] >>> ((at & 3) * 8)
    return bytes
  }

  /** Adds the members of a bitmap as toBitmap() gives it; answers how many are new. */
  addBitmap(bytes: Uint8Array): number {
    assert(bytes.length === containerPositions / 8, 'a bitmap has a bit for each position')
    if (this.#bits.length === 0) this.#toBits()
    const before = this.size
    let size = 0
    for (let at = 0; at < words; at++) {
      const word = bytes[at * 4] | (bytes[at * 4 + 1] << 8) | (bytes[at * 4 + 2] << 16) | (bytes[at * 4 + 3] << 24)
      this.#bits[at] |= word
      size += ones(this.#bits[at])
    }
    this.size = size
    this.#lowWord = 0
    this.#settleForm()
    return this.size - before
  }

  // --- runs ---------------------------------------------------------------------------------------------------------

  #last(run: number): number {
    return this.#extras.length === 0 ? this.#starts[run] : this.#starts[run] + this.#extras[run]
  }

  /** The last run that starts at or before `position`; -1: none does. */
  #find(position: number): number {
    const starts = this.#starts
    const runs = this.#runs
    if (runs === 0 || starts[0] > position) return -1
    if (starts[runs - 1] <= position) return runs - 1
    let low = 0
    let high = runs - 1
    const hint = this.#hint
    if (hint < high && starts[hint] <= position) {
      if (starts[hint + 1] > position) return hint
      low = hint + 1
      if (starts[low + 1] > position) return (this.#hint = low)
    }
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (starts[middle] <= position) low = middle
      else high = middle
    }
    return (this.#hint = low)
  }

  #membersOf(from: number, to: number): number {
    let members = to - from + 1
    if (this.#extras.length !== 0) for (let run = from; run <= to; run++) members += this.#extras[run]
    return members
  }

  /** Runs longer than one member from now on. False: that would be more than a bitmap takes; it is one now. */
  #canHaveExtras(): boolean {
    if (this.#runs >= runsMax) {
      this.#toBits()
      return false
    }
    if (this.#starts.length > runsMax) this.#starts = this.#starts.slice(0, runsMax)
    this.#extras = new Uint16Array(Math.max(firstCapacity, this.#starts.length))
    if (this.#starts.length === 0) this.#starts = new Uint16Array(firstCapacity)
    return true
  }

  /** Makes room for one run at `run`. False: there are too many for runs; it is a bitmap now. */
  #makeRoom(run: number): boolean {
    const hasExtras = this.#extras.length !== 0
    const runsLimit = hasExtras ? runsMax : singlesMax
    if (this.#runs >= runsLimit) {
      this.#toBits()
      return false
    }
    if (this.#runs === this.#starts.length) {
      const capacity = Math.min(runsLimit, this.#runs + Math.max(firstCapacity, this.#runs >>> 2))
      this.#starts = grown(this.#starts, capacity)
      if (hasExtras) this.#extras = grown(this.#extras, capacity)
    }
    if (run < this.#runs) {
      this.#starts.copyWithin(run + 1, run, this.#runs)
      if (hasExtras) this.#extras.copyWithin(run + 1, run, this.#runs)
    }
    this.#runs++
    return true
  }

  #removeRuns(from: number, to: number): void {
    if (to < from) return
    if (to + 1 < this.#runs) {
      this.#starts.copyWithin(from, to + 1, this.#runs)
      if (this.#extras.length !== 0) this.#extras.copyWithin(from, to + 1, this.#runs)
    }
    this.#runs -= to - from + 1
    if (this.#starts.length > 64 && this.#runs * 4 < this.#starts.length) {
      const capacity = this.#starts.length >>> 1
      this.#starts = this.#starts.slice(0, capacity)
      if (this.#extras.length !== 0) this.#extras = this.#extras.slice(0, capacity)
    }
  }

  // --- bitmap -------------------------------------------------------------------------------------------------------

  #asBits(): Uint32Array {
    const bits = new Uint32Array(words)
    for (let run = 0; run < this.#runs; run++) setBits(bits, this.#starts[run], this.#last(run))
    return bits
  }

  #toBits(): void {
    this.#bits = this.#asBits()
    this.#lowWord = 0
    this.#runs = 0
    this.#hint = 0
    this.#starts = this.#extras = noShorts
  }

  /** A bitmap that is full, or nearly empty, is smaller as runs. */
  #settleForm(): void {
    if (this.size > bitmapSizeMin && this.size < containerPositions) return
    const bits = this.#bits
    const size = this.size
    this.clear()
    if (size === containerPositions) {
      this.addRange(0, containerPositions - 1)
      return
    }
    for (let at = 0; at < words; at++) {
      let word = bits[at]
      while (word !== 0) {
        this.add(at * 32 + lowestBit(word))
        word &= word - 1
      }
    }
  }

  #addBit(position: number): boolean {
    const at = position >>> 5
    const bit = 1 << (position & 31)
    if ((this.#bits[at] & bit) !== 0) return false
    this.#bits[at] |= bit
    if (at < this.#lowWord) this.#lowWord = at
    if (++this.size === containerPositions) this.#settleForm()
    return true
  }

  #removeBit(position: number): boolean {
    const at = position >>> 5
    const bit = 1 << (position & 31)
    if ((this.#bits[at] & bit) === 0) return false
    this.#bits[at] &= ~bit
    if (--this.size <= bitmapSizeMin) this.#settleForm()
    return true
  }

  #addBits(first: number, last: number): number {
    const added = last - first + 1 - this.countRange(first, last)
    setBits(this.#bits, first, last)
    if (first >>> 5 < this.#lowWord) this.#lowWord = first >>> 5
    this.size += added
    if (this.size === containerPositions) this.#settleForm()
    return added
  }

  #removeBits(first: number, last: number): number {
    const removed = this.countRange(first, last)
    for (let at = first >>> 5; at <= last >>> 5; at++)
      this.#bits[at] &= ~maskOf(Math.max(first, at * 32), Math.min(last, at * 32 + 31))
    this.size -= removed
    if (this.size <= bitmapSizeMin) this.#settleForm()
    return removed
  }

  #firstBit(position: number): number {
    const from = position >>> 5
    let at = from
    let found = 0
    if (from <= this.#lowWord) {
      at = this.#lowWord
      found = this.#bits[at]
      // Within the word asked for, what lies before the position does not count.
      if (from === at) found &= -1 << (position & 31)
    } else found = this.#bits[at] & (-1 << (position & 31))
    const skips = position === 0
    while (found === 0) {
      if (++at === words) return -1
      found = this.#bits[at]
    }
    if (skips) this.#lowWord = at
    return at * 32 + lowestBit(found)
  }
}

function setBits(bits: Uint32Array, first: number, last: number): void {
  for (let at = first >>> 5; at <= last >>> 5; at++)
    bits[at] |= maskOf(Math.max(first, at * 32), Math.min(last, at * 32 + 31))
}

function grown(shorts: Uint16Array, capacity: number): Uint16Array {
  const larger = new Uint16Array(capacity)
  larger.set(shorts)
  return larger
}
