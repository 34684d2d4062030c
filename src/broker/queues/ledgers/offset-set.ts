// A set of offsets of one log, in containers of 65,536: what is closed, acquired, ready.
// Promises: long runs cost next to nothing, scattered members at most 2 bytes each; the next offset after the last is
// added, and the lowest removed, in constant time and without allocating.
// Does not know: what membership means.

import { assert } from '../../../base/assert.ts'
import { containerPositions, OffsetContainer } from './offset-set-container.ts'

const keyOf = (offset: number): number => Math.floor(offset / containerPositions)
/** Exact for all safe integers: bit operators take a number modulo 2^32. */
const positionOf = (offset: number): number => offset & 0xffff

/** No such offset. */
export const noOffset = -1

export class OffsetSet {
  /** How many members. */
  count = 0
  /** No member is at or above it. */
  ceiling = 0
  readonly #keys: number[] = []
  readonly #containers: OffsetContainer[] = []
  /** The place asked for last. */
  #at = 0
  /** An emptied container, kept so that a set that empties and fills again allocates nothing. */
  #spare: OffsetContainer | undefined

  has(offset: number): boolean {
    if (offset >= this.ceiling) return false
    const at = this.#place(keyOf(offset))
    return at >= 0 && this.#containers[at].has(positionOf(offset))
  }

  /** False: it was a member already. */
  add(offset: number): boolean {
    const isNew = this.#containerFor(keyOf(offset)).add(positionOf(offset))
    if (isNew) this.count++
    if (offset >= this.ceiling) this.ceiling = offset + 1
    return isNew
  }

  /** False: it was none. */
  remove(offset: number): boolean {
    const at = this.#place(keyOf(offset))
    if (at < 0) return false
    const container = this.#containers[at]
    if (!container.remove(positionOf(offset))) return false
    this.count--
    if (container.size === 0) this.#drop(at)
    return true
  }

  /** Adds [from, to); answers how many are new. */
  addRange(from: number, to: number): number {
    if (to <= from) return 0
    const before = this.count
    for (let key = keyOf(from); key <= keyOf(to - 1); key++) {
      const base = key * containerPositions
      const last = Math.min(to - 1 - base, containerPositions - 1)
      this.count += this.#containerFor(key).addRange(Math.max(0, from - base), last)
    }
    if (to > this.ceiling) this.ceiling = to
    return this.count - before
  }

  /** Removes [from, to); answers how many there were. */
  removeRange(from: number, to: number): number {
    if (to <= from) return 0
    const before = this.count
    const lastKey = keyOf(to - 1)
    let at = this.#firstPlaceFrom(keyOf(from))
    while (at < this.#keys.length && this.#keys[at] <= lastKey) {
      const base = this.#keys[at] * containerPositions
      const container = this.#containers[at]
      const first = Math.max(0, from - base)
      const last = Math.min(to - 1 - base, containerPositions - 1)
      if (first === 0 && last === containerPositions - 1) {
        this.count -= container.size
        container.clear()
      } else this.count -= container.removeRange(first, last)
      if (container.size === 0) this.#drop(at)
      else at++
    }
    return before - this.count
  }

  clear(): void {
    if (this.#keys.length > 0) this.removeRange(0, this.ceiling)
  }

  /** noOffset: empty. */
  min(): number {
    return this.count === 0 ? noOffset : this.#keys[0] * containerPositions + this.#containers[0].firstAtOrAfter(0)
  }

  /** noOffset: empty. */
  max(): number {
    const last = this.#keys.length - 1
    return last < 0 ? noOffset : this.#keys[last] * containerPositions + this.#containers[last].lastMember()
  }

  /** noOffset: none. */
  firstAtOrAfter(offset: number): number {
    if (offset >= this.ceiling) return noOffset
    const key = keyOf(offset)
    let at = this.#firstPlaceFrom(key)
    if (at < this.#keys.length && this.#keys[at] === key) {
      const position = this.#containers[at].firstAtOrAfter(positionOf(offset))
      if (position >= 0) return key * containerPositions + position
      at++
    }
    if (at >= this.#keys.length) return noOffset
    return this.#keys[at] * containerPositions + this.#containers[at].firstAtOrAfter(0)
  }

  /** The first offset at or after it that is no member. */
  firstMissingAtOrAfter(offset: number): number {
    if (offset >= this.ceiling) return offset
    let key = keyOf(offset)
    let at = this.#place(key)
    let position = positionOf(offset)
    while (at >= 0 && at < this.#keys.length && this.#keys[at] === key) {
      const missing = this.#containers[at].firstMissingAtOrAfter(position)
      if (missing < containerPositions) return key * containerPositions + missing
      key++
      at++
      position = 0
    }
    return key * containerPositions + position
  }

  /** Members in [from, to). */
  countRange(from: number, to: number): number {
    if (to <= from || this.count === 0) return 0
    const lastKey = keyOf(to - 1)
    let count = 0
    for (let at = this.#firstPlaceFrom(keyOf(from)); at < this.#keys.length && this.#keys[at] <= lastKey; at++) {
      const base = this.#keys[at] * containerPositions
      const first = Math.max(0, from - base)
      const last = Math.min(to - 1 - base, containerPositions - 1)
      const isWhole = first === 0 && last === containerPositions - 1
      count += isWhole ? this.#containers[at].size : this.#containers[at].countRange(first, last)
    }
    return count
  }

  /** Its runs as [from, to) pairs, ascending. Not to be changed meanwhile. */
  *ranges(): Generator<readonly [number, number]> {
    let from = this.min()
    while (from !== noOffset) {
      const to = this.firstMissingAtOrAfter(from)
      yield [from, to]
      from = this.firstAtOrAfter(to)
    }
  }

  /** What its containers hold in memory, without the objects' own heads. */
  get bytes(): number {
    return this.#containers.reduce((sum, container) => sum + container.bytes, 0)
  }

  // --- containers, for those who store them --------------------------------------------------------------------------

  /** The key of the first container at or behind `key`; noOffset: none. */
  containerKeyFrom(key: number): number {
    const at = this.#firstPlaceFrom(key)
    return at < this.#keys.length ? this.#keys[at] : noOffset
  }

  container(key: number): OffsetContainer | undefined {
    const at = this.#place(key)
    return at < 0 ? undefined : this.#containers[at]
  }

  /** Whether every offset of the container that holds `offset` is a member. */
  isFullAround(offset: number): boolean {
    const at = this.#place(keyOf(offset))
    return at >= 0 && this.#containers[at].isFull
  }

  /** Adds what toBitmap() of a container with this key gave. */
  addBitmap(key: number, bytes: Uint8Array): void {
    this.count += this.#containerFor(key).addBitmap(bytes)
    const at = this.#place(key)
    const last = this.#containers[at].lastMember()
    if (last < 0) this.#drop(at)
    else this.ceiling = Math.max(this.ceiling, key * containerPositions + last + 1)
  }

  // --- places -------------------------------------------------------------------------------------------------------

  /** The first place whose key is not below `key`. */
  #firstPlaceFrom(key: number): number {
    const keys = this.#keys
    const at = this.#at
    if (at < keys.length) {
      if (keys[at] === key) return at
      if (at + 1 < keys.length && keys[at + 1] === key) return (this.#at = at + 1)
    }
    let low = 0
    let high = keys.length
    if (high > 0 && keys[high - 1] < key) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (keys[middle] < key) low = middle + 1
      else high = middle
    }
    this.#at = low
    return low
  }

  #place(key: number): number {
    const at = this.#firstPlaceFrom(key)
    return at < this.#keys.length && this.#keys[at] === key ? at : -1
  }

  #containerFor(key: number): OffsetContainer {
    const at = this.#firstPlaceFrom(key)
    if (at < this.#keys.length && this.#keys[at] === key) return this.#containers[at]
    assert(key >= 0 && Number.isSafeInteger(key * containerPositions), 'an offset is a safe integer')
    const container = this.#spare ?? new OffsetContainer()
    this.#spare = undefined
    if (at === this.#keys.length) {
      this.#keys.push(key)
      this.#containers.push(container)
    } else {
      this.#keys.splice(at, 0, key)
      this.#containers.splice(at, 0, container)
    }
    this.#at = at
    return container
  }

  #drop(at: number): void {
    const container = this.#containers[at]
    container.clear()
    this.#spare = container
    if (at === this.#keys.length - 1) {
      this.#keys.pop()
      this.#containers.pop()
    } else {
      this.#keys.splice(at, 1)
      this.#containers.splice(at, 1)
    }
    this.#at = 0
    if (this.#keys.length === 0) this.ceiling = 0
  }
}
