// The length of a queue, in messages and bytes, and what happens when there is more than it may hold.
// Promises: ready messages are counted, by the bytes of their bodies; after a start or a bulk change bytes are counted
// again from the log, while messages come and go.
// Does not know: where messages that are pushed out go, how a publisher hears of a refusal.

import type { Clock } from '../../base/world.ts'
import type { QueuePolicy } from './facts.ts'
import type { LedgerPart, StoredMessage } from './parts.ts'
import type { Reading } from './reading.ts'

/** Messages looked at in one turn while bytes are counted again. */
const scanMessagesPerTurn = 512
/** Messages pushed out in one turn: a limit may come when there are millions too many. */
const pushedOutPerTurn = 4096

export interface LimitedQueue {
  readonly policy: QueuePolicy
  readonly ledger: LedgerPart
  readonly reading: Reading
  readonly clock: Clock
  readonly isDeleted: boolean
  /** For looking into; nobody else holds it across a turn. */
  readonly scratch: StoredMessage
  pushOut(offset: number): void
  /** The log could not be read. */
  failed(what: string, error: unknown): void
}

export class Limits {
  readonly #queue: LimitedQueue
  /** Bytes of the bodies that are ready, of offsets below `#countedTo`. */
  #bytes = 0
  #countedTo = 0
  #isCounting = false
  #isDropping = false
  /** Bytes of those that are acquired, while bytes are limited: they may come back. */
  readonly #acquired = new Map<number, number>()

  constructor(queue: LimitedQueue) {
    this.#queue = queue
    this.#countedTo = queue.ledger.floor
  }

  get #limitsBytes(): boolean {
    return this.#queue.policy.lengthBytesMax !== undefined
  }

  /** Whether one more would be too many. `pending`: added and not ready yet, and nobody waits for them. */
  wouldOverflow(bodyBytes: number, pending: number): boolean {
    const { policy, ledger } = this.#queue
    const { lengthMax, lengthBytesMax } = policy
    if (lengthMax !== undefined && ledger.ready + pending + 1 > lengthMax) return true
    return lengthBytesMax !== undefined && this.#bytes + bodyBytes > lengthBytesMax
  }

  // --- counting bytes ---

  /** All below `end` are known to the ledger. Counts what it has not counted. */
  extended(): void {
    if (!this.#limitsBytes || this.#isCounting || this.#countedTo >= this.#queue.ledger.end) return
    this.#isCounting = true
    const counted = this.#countOn().catch((error: unknown) => this.#queue.failed('counting bytes', error))
    void counted.finally(() => {
      this.#isCounting = false
      this.enforce()
    })
  }

  async #countOn(): Promise<void> {
    const { ledger, reading, clock, scratch } = this.#queue
    let looked = 0
    while (!this.#queue.isDeleted && this.#countedTo < ledger.end) {
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
        this.#bytes += scratch.body.length
      }
      this.#countedTo = offset + 1
      if (++looked % scanMessagesPerTurn === 0) await new Promise<void>((resolve) => clock.endOfTurn(resolve))
    }
  }

  /** Many were closed at once, or the limit is new. */
  countAnew(): void {
    this.#bytes = 0
    this.#countedTo = this.#queue.ledger.floor
    this.#acquired.clear()
    this.extended()
  }

  /** A ready message was handed out; kept: it may come back. */
  taken(offset: number, bodyBytes: number, isKept: boolean): void {
    if (!this.#limitsBytes) return
    if (offset < this.#countedTo) this.#bytes -= bodyBytes
    if (isKept) this.#acquired.set(offset, bodyBytes)
  }

  /** It came back. */
  returned(offset: number): void {
    if (!this.#limitsBytes) return
    const bodyBytes = this.#acquired.get(offset)
    this.#acquired.delete(offset)
    if (offset >= this.#countedTo) return
    if (bodyBytes === undefined) this.countAnew()
    else this.#bytes += bodyBytes
  }

  /** It is settled. */
  settled(offset: number): void {
    if (this.#acquired.size > 0) this.#acquired.delete(offset)
  }

  // --- pushing out ---

  /** Pushes out what is too much, after everybody who can take had his share. */
  enforce(): void {
    const { policy, ledger } = this.#queue
    if (policy.overflow !== 'drop-head') return
    const { lengthMax, lengthBytesMax } = policy
    if (lengthBytesMax === undefined && lengthMax !== undefined) {
      for (let pushed = 0; ledger.ready > lengthMax; pushed++) {
        if (pushed === pushedOutPerTurn) return this.#enforceLater()
        this.#queue.pushOut(ledger.peek() as number)
      }
      return
    }
    if (!this.#isOver() || this.#isDropping) return
    this.#isDropping = true
    const pushed = this.#pushOut().catch((error: unknown) => this.#queue.failed('pushing out', error))
    void pushed.finally(() => {
      this.#isDropping = false
    })
  }

  #enforceLater(): void {
    if (this.#isDropping) return
    this.#isDropping = true
    this.#queue.clock.endOfTurn(() => {
      this.#isDropping = false
      if (!this.#queue.isDeleted) this.enforce()
    })
  }

  #isOver(): boolean {
    const { policy, ledger } = this.#queue
    const { lengthMax, lengthBytesMax } = policy
    if (lengthMax !== undefined && ledger.ready > lengthMax) return true
    return lengthBytesMax !== undefined && this.#bytes > lengthBytesMax
  }

  /** With a limit in bytes a message is looked at before it goes. */
  async #pushOut(): Promise<void> {
    const { ledger, reading, scratch } = this.#queue
    while (!this.#queue.isDeleted && this.#isOver()) {
      const offset = ledger.peek()
      if (offset === undefined) return
      const missing = reading.seek(offset)
      if (missing instanceof Promise) {
        await missing
        continue
      }
      if (missing === undefined) {
        reading.fill(offset, scratch)
        this.taken(offset, scratch.body.length, false)
      }
      this.#queue.pushOut(offset)
    }
  }
}
