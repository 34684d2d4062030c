// Messages of one lane that came back and wait for their next try: acquired by nobody's consumer until they are due.
// Promises: never given back early, by the monotonic clock; in the order they are due; costs nothing while none waits.
// What is known after a restart is how often each came back: those wait their delay anew.
// Does not know: why they came back, ledgers, consumers.

import type { Clock, Timer } from '../../../base/world.ts'

/** So many may wait; from there on the lane gives nothing out until some are due. About 64 bytes each. */
export const retriesMax = 100_000
/** Messages given back in one turn. */
const duePerTurn = 1024
/** So many forgotten ones may lie in the heap, or as many as wait. */
const forgottenMax = 1024
/** Timers are bounded; a longer time is looked at again then. */
const timerMsMax = 24 * 60 * 60 * 1000

export interface RetryHost {
  readonly clock: Clock
  /** Its time has come. */
  due(offset: number): void
}

/** One heap by due time; what is forgotten stays in it for a while, as an entry that nobody knows any more. */
export class Retries {
  readonly #host: RetryHost
  /** When each is due, by the monotonic clock. */
  readonly #dueMs = new Map<number, number>()
  readonly #offsets: number[] = []
  readonly #times: number[] = []
  #timer: Timer | undefined
  #timerAtMs = Infinity
  #isClosed = false

  constructor(host: RetryHost) {
    this.#host = host
  }

  get count(): number {
    return this.#dueMs.size
  }

  /** Entries of the heap: those that wait, and a bounded number of those that were forgotten. */
  get entries(): number {
    return this.#times.length
  }

  get isFull(): boolean {
    return this.#dueMs.size >= retriesMax
  }

  has(offset: number): boolean {
    return this.#dueMs.has(offset)
  }

  offsets(): number[] {
    return [...this.#dueMs.keys()]
  }

  park(offset: number, delayMs: number): void {
    const atMs = this.#host.clock.monotonicMs() + delayMs
    this.#dueMs.set(offset, atMs)
    this.#push(offset, atMs)
    this.#plan()
  }

  /** Somebody else decided about it. */
  forget(offset: number): void {
    if (!this.#dueMs.delete(offset)) return
    if (this.#dueMs.size === 0) this.#clear()
    else if (this.#times.length > 2 * this.#dueMs.size + forgottenMax) this.#pushAnew([...this.#dueMs])
  }

  /** All are due now, the lowest first. */
  release(): void {
    const nowMs = this.#host.clock.monotonicMs()
    const offsets = Float64Array.from(this.#dueMs.keys()).sort()
    this.#clear()
    for (const offset of offsets) this.#dueMs.set(offset, nowMs)
    this.#pushAnew(this.#dueMs)
    this.#look()
  }

  /** The heap of those that wait, and of nothing else. */
  #pushAnew(waiting: Iterable<readonly [number, number]>): void {
    this.#offsets.length = 0
    this.#times.length = 0
    for (const [offset, atMs] of waiting) this.#push(offset, atMs)
  }

  #plan(): void {
    const nextMs = this.#times.at(0) ?? Infinity
    if (this.#isClosed || nextMs >= this.#timerAtMs) return
    this.#timer?.cancel()
    this.#timerAtMs = nextMs
    const inMs = Math.ceil(nextMs - this.#host.clock.monotonicMs())
    this.#timer = this.#host.clock.after(Math.min(Math.max(inMs, 0), timerMsMax), () => this.#look())
  }

  #look(): void {
    this.#timer = undefined
    this.#timerAtMs = Infinity
    const nowMs = this.#host.clock.monotonicMs()
    for (let done = 0; done < duePerTurn && this.#times.length > 0 && this.#times[0] <= nowMs; done++) {
      const [offset, atMs] = [this.#offsets[0], this.#times[0]]
      this.#pop()
      if (this.#dueMs.get(offset) !== atMs) continue
      this.#dueMs.delete(offset)
      this.#host.due(offset)
    }
    this.#plan()
  }

  // --- the heap: a parent is never due after its children ---

  #push(offset: number, atMs: number): void {
    let at = this.#times.length
    this.#offsets.push(offset)
    this.#times.push(atMs)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#isBefore(parent, at)) break
      this.#swap(at, parent)
      at = parent
    }
  }

  #pop(): void {
    const last = this.#times.length - 1
    this.#swap(0, last)
    this.#offsets.pop()
    this.#times.pop()
    let at = 0
    for (;;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < last && this.#isBefore(child, least)) least = child
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #isBefore(one: number, other: number): boolean {
    const difference = this.#times[one] - this.#times[other]
    return difference < 0 || (difference === 0 && this.#offsets[one] < this.#offsets[other])
  }

  #swap(one: number, other: number): void {
    const [offset, atMs] = [this.#offsets[one], this.#times[one]]
    this.#offsets[one] = this.#offsets[other]
    this.#times[one] = this.#times[other]
    this.#offsets[other] = offset
    this.#times[other] = atMs
  }

  #clear(): void {
    this.#dueMs.clear()
    this.#offsets.length = 0
    this.#times.length = 0
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAtMs = Infinity
  }

  close(): void {
    this.#isClosed = true
    this.#clear()
  }
}
