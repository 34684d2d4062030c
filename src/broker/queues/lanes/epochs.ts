// Epochs of single active consumers: numbers that only rise, given out in blocks.
// Promises: an epoch is higher than every one given before, also after a crash: its block was committed first.
// Does not know: queues, consumers, how an epoch is told.

import { int64, message, versions } from '../../../base/schema.ts'
import type { Clock, Timer } from '../../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../../log/machine.ts'
import { AppendFailure } from '../../../log/store.ts'
import { readStored, writeStored } from '../../stored.ts'
import type { EpochsPart } from '../parts.ts'

/** Epochs a block: what a restart may leave unused. */
const blockEpochs = 1000
/** After a block could not be reserved. */
const retryMs = 1000

const storedBlock = message(versions(0, 0), { end: int64() })
const blockKey = Buffer.from('end')

export class Epochs implements Machine, EpochsPart {
  readonly kind = 10
  readonly #clock: Clock
  #machineLog: MachineLog | undefined
  /** All epochs up to it may have been given out, by this process or an earlier one. */
  #claimed = 0
  /** The last that was given out, and the end of this process's block. */
  #last = 0
  #blockEnd = 0
  /** Those who wait for a block; undefined: none is being reserved. */
  #waiting: (() => void)[] | undefined
  #timer: Timer | undefined
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Once the machine log is replayed. */
  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  next(ready: () => void): number | undefined {
    if (this.#last < this.#blockEnd) return ++this.#last
    if (this.#waiting !== undefined) this.#waiting.push(ready)
    else {
      this.#waiting = [ready]
      void this.#claim()
    }
    return undefined
  }

  async #claim(): Promise<void> {
    const machineLog = this.#machineLog
    const from = this.#claimed
    try {
      if (machineLog?.ready !== true) return this.#tryAgain()
      await machineLog.append(this, [{ key: blockKey, value: writeStored(storedBlock, { end: from + blockEpochs }) }])
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return this.#tryAgain()
    }
    this.#last = from
    this.#blockEnd = from + blockEpochs
    this.#tell()
  }

  #tryAgain(): void {
    if (!this.#isClosed) this.#timer = this.#clock.after(retryMs, () => this.#tell())
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  /** Whoever waits asks again. */
  #tell(): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const ready of waiting) ready()
  }

  // --- machine ---

  apply(_key: Buffer, value: Buffer | null): void {
    this.#claimed = value === null ? 0 : readStored(storedBlock, value).end
  }

  *entries(): Generator<MachineRecord> {
    if (this.#claimed > 0) yield { key: blockKey, value: writeStored(storedBlock, { end: this.#claimed }) }
  }

  /** The rest of the block stays valid: it was committed before any of it was given out. */
  reset(): void {
    this.#claimed = 0
  }
}
