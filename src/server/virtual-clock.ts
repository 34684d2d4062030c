// A clock that stands still until it is told to go on: base/world's Clock for programs that test with hours and days.
// Promises: timers fire in the order of their times, those of one time in the order they were set, one after the other
// with everything settled in between; a timer of no delay fires by itself; the end of a turn is the real one.
// Does not know: what fires, how things settle.

import type { Clock, Timer } from '../base/world.ts'
import type { Activity } from './node-activity.ts'

interface Waiting {
  readonly dueMs: number
  readonly order: number
  task: (() => void) | undefined
}

/** So many timers of one moment are no plan but a circle: one that sets itself again without any delay. */
const atOneTimeMax = 1_000_000

export class VirtualClock implements Clock {
  readonly #real: Clock
  readonly #activity: Activity
  readonly #startMs: number
  /** How far time was moved. */
  #passedMs = 0
  #order = 0
  /** A heap by time and order. */
  readonly #heap: Waiting[] = []
  #isStopped = false
  #advancing: Promise<void> = Promise.resolve()

  constructor(real: Clock, activity: Activity) {
    this.#real = real
    this.#activity = activity
    this.#startMs = Math.floor(real.nowMs())
  }

  nowMs(): number {
    // Whole, as the real one: what is stored takes no fractions, which timers and steps of time may have.
    return this.#startMs + Math.floor(this.#passedMs)
  }

  monotonicMs(): number {
    return this.#passedMs
  }

  after(delayMs: number, task: () => void): Timer {
    const waiting: Waiting = { dueMs: this.#passedMs + Math.max(0, delayMs), order: this.#order++, task }
    if (!this.#isStopped) {
      push(this.#heap, waiting)
      // Nobody has to move time for what is due already.
      if (delayMs <= 0) this.endOfTurn(() => this.#runDue())
    }
    return { cancel: () => void (waiting.task = undefined) }
  }

  endOfTurn(task: () => void): void {
    this.#activity.stirs++
    this.#real.endOfTurn(task)
  }

  /** Moves time by `byMs` and fires what comes due on the way. Calls follow one another. */
  advance(byMs: number): Promise<void> {
    const advanced = this.#advancing.then(() => this.#advance(byMs))
    this.#advancing = advanced.catch(() => {})
    return advanced
  }

  /** No timer fires any more. */
  stop(): void {
    this.#isStopped = true
    this.#heap.length = 0
  }

  async #advance(byMs: number): Promise<void> {
    // What is on its way belongs to the time before.
    await this.#activity.settled()
    const targetMs = this.#passedMs + byMs
    let atThisTime = 0
    for (;;) {
      const next = this.#next()
      if (next === undefined || next.dueMs > targetMs) break
      if (next.dueMs > this.#passedMs) {
        atThisTime = 0
        this.#passedMs = next.dueMs
      }
      if (++atThisTime > atOneTimeMax) throw new Error(`timers go in a circle ${this.#passedMs} ms after the start`)
      this.#fire(next)
      await this.#activity.settled()
    }
    this.#passedMs = targetMs
  }

  /** What is due without time moving; what that sets going, again without delay, has an end of a turn of its own. */
  #runDue(): void {
    const before = this.#order
    for (;;) {
      const next = this.#next()
      if (next === undefined || next.dueMs > this.#passedMs || next.order >= before) return
      this.#fire(next)
    }
  }

  #fire(waiting: Waiting): void {
    pop(this.#heap)
    const { task } = waiting
    waiting.task = undefined
    task?.()
  }

  /** The earliest that was not cancelled. */
  #next(): Waiting | undefined {
    while (this.#heap.length > 0 && this.#heap[0].task === undefined) pop(this.#heap)
    return this.#heap[0]
  }
}

const isBefore = (one: Waiting, other: Waiting): boolean =>
  one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.order < other.order)

function push(heap: Waiting[], waiting: Waiting): void {
  let at = heap.length
  while (at > 0) {
    const parent = (at - 1) >>> 1
    if (!isBefore(waiting, heap[parent])) break
    heap[at] = heap[parent]
    at = parent
  }
  heap[at] = waiting
}

function pop(heap: Waiting[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
    if (!isBefore(heap[child], last)) break
    heap[at] = heap[child]
    at = child
  }
  heap[at] = last
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A thousand years: beyond lies a mistake, and not every clock could say what time it is. */
const durationMsMax = 1000 * 365 * unitMs.d

/** `1500`, `'250ms'`, `'90s'`, `'5m'`, `'1h'`, `'7d'` in milliseconds; throws a TypeError for what is no duration. */
export function millisecondsOf(duration: number | string): number {
  const ms = typeof duration === 'number' ? duration : millisecondsOfText(duration)
  if (ms >= 0 && ms <= durationMsMax) return ms
  const shown = typeof duration === 'string' ? JSON.stringify(duration) : String(duration)
  throw new TypeError(
    `${shown} is no duration: milliseconds, or for example '90s', '5m', '1h', '7d', up to a thousand years`,
  )
}

function millisecondsOfText(text: unknown): number {
  const [, digits, unit] = (typeof text === 'string' && /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)) || []
  return unit === undefined ? NaN : Number(digits) * unitMs[unit as keyof typeof unitMs]
}
