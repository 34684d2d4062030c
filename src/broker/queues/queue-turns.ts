// What queues put off to the end of a turn: batches to append, messages to deliver. One task for all queues.
// Promises: what was published in a turn is appended at its end; deliveries of all queues together take a bounded part
// of a turn, so that connections are read again.
// Does not know: queues, beyond that they can be flushed and pumped.

import type { Clock } from '../../base/world.ts'

export interface FlushTask {
  /** Appends what was published since the last time. */
  flush(): void
}

export interface PumpTask {
  /** Delivers at most so many messages. True: there may be more. */
  pump(messagesMax: number): boolean
}

/** Deliveries go on in the next turn after this long. */
const pumpMsMax = 2
/** Messages of one queue before the next one has its turn. */
const messagesPerRound = 64

export class QueueTurns {
  readonly #clock: Clock
  readonly #beforeAppends: () => void
  #flushes: FlushTask[] = []
  #pumps: PumpTask[] = []
  readonly #isQueued = new Set<PumpTask>()
  #isScheduled = false

  /** `beforeAppends` is called in each turn that appends anything, first. */
  constructor(clock: Clock, beforeAppends: () => void) {
    this.#clock = clock
    this.#beforeAppends = beforeAppends
  }

  /** Once a turn and task; the caller knows whether it asked already. */
  flushLater(task: FlushTask): void {
    this.#flushes.push(task)
    this.#schedule()
  }

  pumpLater(task: PumpTask): void {
    if (this.#isQueued.has(task)) return
    this.#isQueued.add(task)
    this.#pumps.push(task)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.endOfTurn(this.#run)
  }

  readonly #run = (): void => {
    this.#isScheduled = false
    const flushes = this.#flushes
    this.#flushes = []
    if (flushes.length > 0) this.#beforeAppends()
    for (const task of flushes) task.flush()
    if (this.#pumps.length > 0) this.#pump()
  }

  #pump(): void {
    const untilMs = this.#clock.monotonicMs() + pumpMsMax
    let round = this.#pumps
    this.#pumps = []
    let done = 0
    while (done < round.length) {
      const task = round[done++]
      this.#isQueued.delete(task)
      if (task.pump(messagesPerRound)) this.pumpLater(task)
      if (done === round.length && this.#pumps.length > 0) {
        round = this.#pumps
        this.#pumps = []
        done = 0
      }
      if (this.#clock.monotonicMs() >= untilMs) break
    }
    // Those who had no turn are the first of the next.
    if (done < round.length) this.#pumps = [...round.slice(done), ...this.#pumps]
    if (this.#pumps.length > 0) this.#schedule()
  }
}
