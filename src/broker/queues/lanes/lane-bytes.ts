// The bytes of one lane's ready messages, counted while its queue has a limit in bytes.
// Promises: after a start or a bulk change bytes are counted again from the log, while messages come and go.
// Does not know: other lanes, what the limit is, what happens when there are too many.

import type { Clock } from '../../../base/world.ts'
import type { QueuePolicy } from '../facts.ts'
import type { LedgerPart, StoredMessage } from '../parts.ts'
import type { Reading } from '../messages/reading.ts'

/** Messages looked at in one turn while bytes are counted again. */
const scanMessagesPerTurn = 512

export interface CountedLane {
  readonly policy: QueuePolicy
  readonly ledger: LedgerPart
  readonly reading: Reading
  readonly clock: Clock
  readonly isVoid: boolean
  /** For looking into; nobody else holds it across a turn. */
  readonly scratch: StoredMessage
  /** The log could not be read. */
  failed(what: string, error: unknown): void
  /** More is counted than was before. */
  counted(): void
}

export class LaneBytes {
  readonly #lane: CountedLane
  /** Bytes of the bodies that are ready, of offsets below `#countedTo`. */
  ready = 0
  #countedTo = 0
  #isCounting = false
  /** Bytes of those that are acquired, while bytes are limited: they may come back. */
  readonly #acquired = new Map<number, number>()

  constructor(lane: CountedLane) {
    this.#lane = lane
    this.#countedTo = lane.ledger.floor
  }

  get #isLimited(): boolean {
    return this.#lane.policy.lengthBytesMax !== undefined
  }

  /** All below `end` are known to the ledger. Counts what it has not counted. */
  extended(): void {
    if (!this.#isLimited || this.#isCounting || this.#countedTo >= this.#lane.ledger.end) return
    this.#isCounting = true
    const counted = this.#countOn().catch((error: unknown) => this.#lane.failed('counting bytes', error))
    void counted.finally(() => {
      this.#isCounting = false
      this.#lane.counted()
    })
  }

  async #countOn(): Promise<void> {
    const { ledger, reading, clock, scratch } = this.#lane
    let looked = 0
    while (!this.#lane.isVoid && this.#countedTo < ledger.end) {
      const offset = ledger.nextReady(this.#countedTo)
      if (offset === undefined || offset >= ledger.end) {
        this.#countedTo = ledger.end
        return
      }
      const missing = reading.seek(offset)
      if (missing instanceof Promise) {
        await missing
        continue
      }
      if (missing === undefined) {
        reading.fill(offset, scratch)
        this.ready += scratch.body.length
      }
      this.#countedTo = offset + 1
      if (++looked % scanMessagesPerTurn === 0) await new Promise<void>((resolve) => clock.endOfTurn(resolve))
    }
  }

  /** Many were closed at once, or the limit is new. */
  countAnew(): void {
    this.ready = 0
    this.#countedTo = this.#lane.ledger.floor
    this.#acquired.clear()
    this.extended()
  }

  /** A ready message was handed out; kept: it may come back. */
  taken(offset: number, bodyBytes: number, isKept: boolean): void {
    if (!this.#isLimited) return
    if (offset < this.#countedTo) this.ready -= bodyBytes
    if (isKept) this.#acquired.set(offset, bodyBytes)
  }

  /** It came back. */
  returned(offset: number): void {
    if (!this.#isLimited) return
    const bodyBytes = this.#acquired.get(offset)
    this.#acquired.delete(offset)
    if (offset >= this.#countedTo) return
    if (bodyBytes === undefined) this.countAnew()
    else this.ready += bodyBytes
  }

  /** It is settled. */
  settled(offset: number): void {
    if (this.#acquired.size > 0) this.#acquired.delete(offset)
  }
}
