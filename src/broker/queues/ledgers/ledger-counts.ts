// How often messages came back: a count for each offset that did.
// Promises: nothing is kept for offsets that never came back; about 24 bytes for one that did.
// Does not know: what counts as coming back, and what follows from it.

const free = -1
const firstSlots = 8
const noOffsets = new Float64Array(0)
const noCounts = new Uint32Array(0)

/** Open addressing; a removed entry's successors move up, so that no slot is ever lost. */
export class LedgerCounts {
  size = 0
  #offsets = noOffsets
  #counts = noCounts

  get bytes(): number {
    return this.#offsets.byteLength + this.#counts.byteLength
  }

  get(offset: number): number {
    if (this.size === 0) return 0
    const slot = this.#slotOf(offset)
    return this.#offsets[slot] === free ? 0 : this.#counts[slot]
  }

  set(offset: number, count: number): void {
    if ((this.size + 1) * 2 > this.#offsets.length) this.#resize(Math.max(firstSlots, this.#offsets.length * 2))
    const slot = this.#slotOf(offset)
    if (this.#offsets[slot] === free) {
      this.#offsets[slot] = offset
      this.size++
    }
    this.#counts[slot] = count
  }

  remove(offset: number): void {
    if (this.size === 0) return
    let hole = this.#slotOf(offset)
    if (this.#offsets[hole] === free) return
    const mask = this.#offsets.length - 1
    for (let slot = (hole + 1) & mask; this.#offsets[slot] !== free; slot = (slot + 1) & mask) {
      const home = this.#homeOf(this.#offsets[slot])
      // It may move into the hole unless its home lies behind the hole, on the way to where it is.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      this.#offsets[hole] = this.#offsets[slot]
      this.#counts[hole] = this.#counts[slot]
      hole = slot
    }
    this.#offsets[hole] = free
    if (--this.size === 0) this.clear()
    else if (this.#offsets.length > 1024 && this.size * 8 < this.#offsets.length) this.#resize(this.#offsets.length / 2)
  }

  /** Removes those in [from, to). */
  removeRange(from: number, to: number): void {
    if (this.size === 0) return
    if (to - from <= 64) {
      for (let offset = from; offset < to; offset++) this.remove(offset)
      return
    }
    const doomed = this.offsets().filter((offset) => offset >= from && offset < to)
    for (const offset of doomed) this.remove(offset)
  }

  clear(): void {
    this.size = 0
    this.#offsets = noOffsets
    this.#counts = noCounts
  }

  /** Whom it has counts for, in no order. */
  offsets(): Float64Array {
    return this.#offsets.filter((offset) => offset !== free)
  }

  #homeOf(offset: number): number {
    const mixed = Math.imul((offset & 0xffff_ffff) ^ Math.floor(offset / 0x1_0000_0000), 0x9e37_79b1)
    return (mixed ^ (mixed >>> 15)) & (this.#offsets.length - 1)
  }

  /** Where it is, or the free slot where it would go. */
  #slotOf(offset: number): number {
    const mask = this.#offsets.length - 1
    let slot = this.#homeOf(offset)
    while (this.#offsets[slot] !== free && this.#offsets[slot] !== offset) slot = (slot + 1) & mask
    return slot
  }

  #resize(slots: number): void {
    const offsets = this.#offsets
    const counts = this.#counts
    this.#offsets = new Float64Array(slots).fill(free)
    this.#counts = new Uint32Array(slots)
    this.size = 0
    for (const [at, offset] of offsets.entries()) if (offset !== free) this.set(offset, counts[at])
  }
}
