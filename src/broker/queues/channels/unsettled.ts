// What a channel was given and has not settled: by delivery tag, the holder and the offset in its queue.
// Promises: 12 bytes a tag; settling costs amortised the same whatever the order; a few tags left behind cost no more
// than themselves, however far the others have gone.
// Does not know: queues, consumers, prefetch. A holder is a number of its owner's, counted from 1.

import { assert } from '../../../base/assert.ts'

/** Told of each delivery that is settled, in the order of tags. */
export interface SettledBy {
  settled(holder: number, offset: number, tag: number): void
}

const capacityMin = 64
/** A ring smaller than this stays as it is. */
const shrinkAbove = 4096

/**
 * A ring over the tags [first, next): tag → slot by its low bits, holder 0 where it is settled. When the ring is full
 * and mostly holes, what is unsettled in its older half moves to the stragglers.
 */
export class Unsettled {
  #capacity = 0
  #offsets = new Float64Array(0)
  #holders = new Uint32Array(0)
  /** The lowest tag that may be unsettled in the ring. */
  #first = 1
  /** The tag the next delivery gets. */
  #next = 1
  /** Unsettled in the ring. */
  #held = 0
  readonly #stragglers = new Stragglers()

  get count(): number {
    return this.#held + this.#stragglers.count
  }

  /** The tag of the last delivery. */
  get lastTag(): number {
    return this.#next - 1
  }

  /** Bytes of memory held for tags. */
  get bytes(): number {
    return this.#capacity * 12 + this.#stragglers.bytes
  }

  add(holder: number, offset: number): number {
    const tag = this.#next
    if (tag - this.#first === this.#capacity) this.#makeRoom()
    const slot = this.#slotOf(tag)
    this.#offsets[slot] = offset
    this.#holders[slot] = holder
    this.#next = tag + 1
    this.#held++
    return tag
  }

  /** A delivery that needs no settling takes a tag too. */
  skip(): number {
    const tag = this.#next++
    // With nothing held the ring moves along; else the tag is a hole in it.
    if (this.#held === 0) {
      this.#first = this.#next
      return tag
    }
    if (tag - this.#first === this.#capacity) this.#makeRoom()
    this.#holders[this.#slotOf(tag)] = 0
    return tag
  }

  has(tag: number): boolean {
    if (tag >= this.#first) return tag < this.#next && this.#holders[this.#slotOf(tag)] !== 0
    return this.#stragglers.has(tag)
  }

  /** Settles one. False: there is no such tag. */
  settle(tag: number, by: SettledBy): boolean {
    if (tag < this.#first) return this.#stragglers.settle(tag, by)
    if (tag >= this.#next) return false
    const slot = this.#slotOf(tag)
    const holder = this.#holders[slot]
    if (holder === 0) return false
    // Before the ring may shrink: then the slot is another's.
    const offset = this.#offsets[slot]
    this.#holders[slot] = 0
    this.#held--
    if (tag === this.#first) this.#advance(tag + 1)
    by.settled(holder, offset, tag)
    return true
  }

  /** Settles all up to `tag`, which must be unsettled itself. False: there is no such tag. */
  settleUpTo(tag: number, by: SettledBy): boolean {
    if (!this.has(tag)) return false
    this.#settleBelow(tag + 1, by)
    return true
  }

  settleAll(by: SettledBy): void {
    this.#settleBelow(this.#next, by)
  }

  #settleBelow(end: number, by: SettledBy): void {
    this.#stragglers.settleBelow(end, by)
    // What is told of may deliver more meanwhile, but nothing below `end`.
    while (this.#first < end) {
      const tag = this.#first++
      const slot = this.#slotOf(tag)
      const holder = this.#holders[slot]
      if (holder === 0) continue
      this.#holders[slot] = 0
      this.#held--
      by.settled(holder, this.#offsets[slot], tag)
    }
    this.#advance(this.#first)
  }

  /** Puts back what was settled: sorted by tag, none of it unsettled now. */
  restore(tags: readonly number[], holders: readonly number[], offsets: readonly number[]): void {
    const older: number[] = []
    for (const [index, tag] of tags.entries()) {
      assert(tag < this.#next && !this.has(tag), 'what is restored was given and is settled')
      if (tag < this.#first) {
        older.push(index)
        continue
      }
      const slot = this.#slotOf(tag)
      this.#offsets[slot] = offsets[index]
      this.#holders[slot] = holders[index]
      this.#held++
    }
    this.#stragglers.merge(
      older.map((index) => tags[index]),
      older.map((index) => holders[index]),
      older.map((index) => offsets[index]),
    )
  }

  #slotOf(tag: number): number {
    // The low bits, also of a tag beyond 2^32.
    return tag & (this.#capacity - 1)
  }

  /** Nothing below `from` is unsettled: moves to the first that is. */
  #advance(from: number): void {
    let first = from
    if (this.#held === 0) first = this.#next
    else while (this.#holders[this.#slotOf(first)] === 0) first++
    this.#first = first
    let capacity = this.#capacity
    while (capacity > shrinkAbove && this.#next - first < capacity >>> 3) capacity >>>= 1
    if (capacity < this.#capacity) this.#resize(capacity)
  }

  #makeRoom(): void {
    const capacity = this.#capacity
    if (capacity === 0) return this.#resize(capacityMin)
    // Mostly holes: it is the few old ones that keep the ring wide.
    if (this.#held > capacity >>> 2) return this.#resize(capacity * 2)
    const end = this.#first + (capacity >>> 1)
    for (let tag = this.#first; tag < end; tag++) {
      const slot = this.#slotOf(tag)
      const holder = this.#holders[slot]
      if (holder === 0) continue
      this.#holders[slot] = 0
      this.#held--
      this.#stragglers.append(tag, holder, this.#offsets[slot])
    }
    this.#advance(end)
  }

  #resize(capacity: number): void {
    const offsets = new Float64Array(capacity)
    const holders = new Uint32Array(capacity)
    for (let tag = this.#first; tag < this.#next; tag++) {
      const from = this.#slotOf(tag)
      const to = tag & (capacity - 1)
      offsets[to] = this.#offsets[from]
      holders[to] = this.#holders[from]
    }
    this.#capacity = capacity
    this.#offsets = offsets
    this.#holders = holders
  }
}

/** Few tags far behind the others: sorted, found by halving, squeezed when half of them are settled. */
class Stragglers {
  #tags = new Float64Array(0)
  #offsets = new Float64Array(0)
  #holders = new Uint32Array(0)
  #from = 0
  #end = 0
  count = 0

  get bytes(): number {
    return this.#tags.length * 20
  }

  append(tag: number, holder: number, offset: number): void {
    if (this.#end === this.#tags.length) this.#squeeze()
    this.#tags[this.#end] = tag
    this.#offsets[this.#end] = offset
    this.#holders[this.#end++] = holder
    this.count++
  }

  has(tag: number): boolean {
    const at = this.#find(tag)
    return at >= 0 && this.#holders[at] !== 0
  }

  settle(tag: number, by: SettledBy): boolean {
    const at = this.#find(tag)
    if (at < 0 || this.#holders[at] === 0) return false
    this.#settleAt(at, by)
    return true
  }

  settleBelow(end: number, by: SettledBy): void {
    while (this.#from < this.#end && this.#tags[this.#from] < end) {
      const at = this.#from++
      if (this.#holders[at] !== 0) this.#settleAt(at, by)
    }
  }

  merge(tags: readonly number[], holders: readonly number[], offsets: readonly number[]): void {
    if (tags.length === 0) return
    const [ownTags, ownHolders, ownOffsets] = [this.#tags, this.#holders, this.#offsets]
    const [from, end] = [this.#from, this.#end]
    this.#allocate(this.count + tags.length)
    let theirs = 0
    const takeBelow = (tag: number): void => {
      for (; theirs < tags.length && tags[theirs] < tag; theirs++)
        this.append(tags[theirs], holders[theirs], offsets[theirs])
    }
    for (let at = from; at < end; at++) {
      if (ownHolders[at] === 0) continue
      takeBelow(ownTags[at])
      this.append(ownTags[at], ownHolders[at], ownOffsets[at])
    }
    takeBelow(Infinity)
  }

  #settleAt(at: number, by: SettledBy): void {
    const holder = this.#holders[at]
    this.#holders[at] = 0
    this.count--
    const tag = this.#tags[at]
    const offset = this.#offsets[at]
    if (this.count === 0) this.#allocate(0)
    by.settled(holder, offset, tag)
  }

  /** Where the tag is; -1: nowhere. */
  #find(tag: number): number {
    let low = this.#from
    let high = this.#end - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const there = this.#tags[middle]
      if (there === tag) return middle
      if (there < tag) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  #squeeze(): void {
    const [tags, holders, offsets] = [this.#tags, this.#holders, this.#offsets]
    const [from, end] = [this.#from, this.#end]
    this.#allocate(Math.max(capacityMin, this.count + (this.count >>> 1)))
    for (let at = from; at < end; at++) if (holders[at] !== 0) this.append(tags[at], holders[at], offsets[at])
  }

  #allocate(capacity: number): void {
    this.#tags = new Float64Array(capacity)
    this.#offsets = new Float64Array(capacity)
    this.#holders = new Uint32Array(capacity)
    this.#from = this.#end = this.count = 0
  }
}
