// When each waiting message of one log is due: offsets ordered by time.
// Promises: the earliest first, of equals the lowest offset; 16 bytes a message.
// Does not know: logs, messages.

const firstEntries = 256

/** A binary heap in two typed arrays. */
export class DelayIndex {
  #times = new Float64Array(firstEntries)
  #offsets = new Float64Array(firstEntries)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** undefined: nothing waits. */
  get nextMs(): number | undefined {
    return this.#count === 0 ? undefined : this.#times[0]
  }

  add(dueMs: number, offset: number): void {
    if (this.#count === this.#times.length) this.#grow()
    let at = this.#count++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#isBefore(parent, dueMs, offset)) break
      this.#move(parent, at)
      at = parent
    }
    this.#times[at] = dueMs
    this.#offsets[at] = offset
  }

  /** The offset that is due first. Only when something waits. */
  take(): number {
    const taken = this.#offsets[0]
    const last = --this.#count
    const dueMs = this.#times[last]
    const offset = this.#offsets[last]
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= last) break
      if (child + 1 < last && this.#isBefore(child + 1, this.#times[child], this.#offsets[child])) child++
      if (!this.#isBefore(child, dueMs, offset)) break
      this.#move(child, at)
      at = child
    }
    this.#times[at] = dueMs
    this.#offsets[at] = offset
    return taken
  }

  #isBefore(at: number, dueMs: number, offset: number): boolean {
    const time = this.#times[at]
    return time < dueMs || (time === dueMs && this.#offsets[at] < offset)
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]
    this.#offsets[to] = this.#offsets[from]
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length)
    const offsets = new Float64Array(2 * this.#offsets.length)
    times.set(this.#times)
    offsets.set(this.#offsets)
    this.#times = times
    this.#offsets = offsets
  }
}
