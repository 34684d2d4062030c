// Messages that waited too long: the queue's time to live, and each message's own.
// Promises: nothing is given out after its time, wherever in the queue it stands; what is ready and due leaves without
// being asked for. A time to live of 0: to be given out at once or to go.
// Does not know: where they go.

import type { Clock, Timer } from '../../../base/world.ts'
import { offset as asOffset, type Log } from '../../../log/store.ts'
import type { QueuePolicy } from '../facts.ts'
import type { MessageWriter } from '../messages/message.ts'
import type { LedgerPart, StoredMessage } from '../parts.ts'
import type { Reading } from '../messages/reading.ts'

/** Messages that leave in one turn. */
const leavePerTurn = 1024
/** A block of expirations that begins further than this from the log's end does not grow any more. */
const blockSpanMax = 1024
/** After the log could not be read. */
const retryMs = 1000
/** When a look was not a whole one. */
const againMs = 20
/** Timers are bounded; a longer time is looked at again then. */
const timerMsMax = 24 * 60 * 60 * 1000

export interface ExpiringLane {
  readonly policy: QueuePolicy
  readonly ledger: LedgerPart
  readonly reading: Reading
  readonly log: Log
  readonly clock: Clock
  readonly writer: MessageWriter
  readonly isVoid: boolean
  readonly scratch: StoredMessage
  /** Whether they leave one by one. */
  readonly areDeadLettered: boolean
  expire(offset: number): void
  expireAllBelow(offset: number): void
  /** The log could not be read. */
  failed(what: string, error: unknown): void
}

export class Expiry {
  readonly #lane: ExpiringLane
  #timer: Timer | undefined
  #timerAtMs = Infinity
  #isSweeping = false
  #isClosed = false
  #isAskedAgain = false
  /** How many came back: a look under way may have passed their place. */
  #returns = 0
  /** Whether a message with an expiration of its own was ever seen. */
  #hasOwn = false
  /** ledger.nextExpiryMs, as of the last begin(). */
  #ownMs: number | undefined

  constructor(lane: ExpiringLane) {
    this.#lane = lane
  }

  /** Some messages are about to be asked about. */
  begin(): void {
    this.#ownMs = this.#lane.ledger.nextExpiryMs
  }

  /**
   * Whether the message the reading stands at is past its time and must not be given out. With no time at all it is for
   * a consumer that waits, the first time: one that has to be got was there for longer.
   */
  isDue(offset: number, isGot: boolean): boolean {
    const { policy, ledger, reading, clock } = this.#lane
    const ttlMs = policy.messageTtlMs
    const ownMs = this.#ownMs
    if (ttlMs === undefined && ownMs === undefined) return false
    const nowMs = clock.nowMs()
    if (ttlMs !== undefined && reading.timestampMs(offset) + ttlMs <= nowMs)
      if (ttlMs > 0 || isGot || ledger.wasHandedOut(offset)) return true
    if (ownMs === undefined || ownMs > nowMs) return false
    const expiration = this.#expirationMs(offset)
    if (expiration < 0 || reading.timestampMs(offset) + expiration > nowMs) return false
    return expiration > 0 || isGot || ledger.wasHandedOut(offset)
  }

  #expirationMs(offset: number): number {
    const { reading, scratch, writer } = this.#lane
    reading.fill(offset, scratch)
    writer.look(scratch.properties)
    return writer.expirationMs
  }

  /** Everybody who can take had his share: what is due and still there leaves, and the next time is looked forward to. */
  look(): void {
    const { policy, ledger } = this.#lane
    const own = ledger.nextExpiryMs
    if (own !== undefined) this.#hasOwn = true
    if (policy.messageTtlMs === undefined && own === undefined) return
    if (ledger.ready === 0) return
    this.#plan(own ?? Infinity)
    // The head's time is not known before it is read.
    if (policy.messageTtlMs !== undefined && (policy.messageTtlMs === 0 || this.#timer === undefined)) this.#sweepSoon()
  }

  /** A message came back: it may be due. */
  returned(offset: number): void {
    const { ledger, clock, policy } = this.#lane
    this.#returns++
    if (this.#hasOwn) ledger.reprice(offset, clock.nowMs())
    if (this.#hasOwn || policy.messageTtlMs !== undefined) this.#plan(clock.nowMs() + 1)
  }

  #plan(atMs: number): void {
    if (atMs >= this.#timerAtMs || this.#isClosed || this.#lane.isVoid) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    const nowMs = this.#lane.clock.nowMs()
    this.#timer = this.#lane.clock.after(Math.min(Math.max(atMs - nowMs, 0), timerMsMax), () => {
      this.#timer = undefined
      this.#timerAtMs = Infinity
      this.#sweepSoon()
    })
  }

  #sweepSoon(): void {
    if (this.#isSweeping) {
      this.#isAskedAgain = true
      return
    }
    this.#isSweeping = true
    const swept = this.#sweep().catch((error: unknown) => {
      this.#lane.failed('expiring', error)
      this.#plan(this.#lane.clock.nowMs() + retryMs)
    })
    void swept.finally(() => {
      this.#isSweeping = false
      const again = this.#isAskedAgain
      this.#isAskedAgain = false
      if (again && !this.#lane.isVoid) this.#sweepSoon()
    })
  }

  async #sweep(): Promise<void> {
    if (this.#lane.isVoid) return
    const nextMs = Math.min(await this.#sweepByQueue(), await this.#sweepOwn())
    if (nextMs !== Infinity) this.#plan(nextMs)
  }

  // --- the queue's time to live ---

  /** Answers when the next message is due. */
  async #sweepByQueue(): Promise<number> {
    const { policy, ledger, log, clock, reading } = this.#lane
    const ttlMs = policy.messageTtlMs
    if (ttlMs === undefined || ledger.ready === 0) return Infinity
    const end = ledger.end
    const young = await log.findTime(clock.nowMs() - ttlMs + 1)
    await this.#expireBelow(Math.min(young ?? end, end))
    for (;;) {
      const head = this.#lane.isVoid ? undefined : ledger.nextReady(0)
      if (head === undefined) return Infinity
      const missing = reading.seek(head)
      if (missing === undefined) return reading.timestampMs(head) + ttlMs
      // Whoever reads it next finds out that nothing is there.
      if (!(missing instanceof Promise)) return Infinity
      await missing
    }
  }

  async #expireBelow(below: number): Promise<void> {
    const { ledger } = this.#lane
    if (this.#lane.isVoid) return
    if (!this.#lane.areDeadLettered) return this.#lane.expireAllBelow(below)
    let left = 0
    for (let at = ledger.nextReady(0); at !== undefined && at < below; at = ledger.nextReady(at + 1)) {
      this.#lane.expire(at)
      if (++left % leavePerTurn === 0) await this.#turn()
      if (this.#lane.isVoid) return
    }
  }

  // --- expirations of their own ---

  async #sweepOwn(): Promise<number> {
    const { ledger, clock, log } = this.#lane
    for (;;) {
      const nowMs = clock.nowMs()
      const nextMs = ledger.nextExpiryMs
      if (this.#lane.isVoid || nextMs === undefined) return Infinity
      if (nextMs > nowMs) return nextMs
      const blocks: { from: number; to: number }[] = []
      ledger.due(nowMs, ({ from, to }) => void blocks.push({ from, to }))
      if (blocks.length === 0) return nowMs + 1000
      for (const { from, to } of blocks) {
        if (this.#lane.isVoid) return Infinity
        const returns = this.#returns
        const { end } = log
        const earliestMs = await this.#sweepBlock(from, to)
        // What came back, is not committed yet or was added meanwhile was not looked at.
        const isWhole = returns === this.#returns && to <= ledger.end && (end === log.end || end - from > blockSpanMax)
        ledger.reprice(from, isWhole ? earliestMs : Math.min(earliestMs ?? Infinity, clock.nowMs() + againMs))
      }
    }
  }

  /** Lets go what is due; answers the earliest time of what stays, acquired messages included. */
  async #sweepBlock(from: number, to: number): Promise<number | undefined> {
    const { ledger, reading, clock } = this.#lane
    let earliestMs = Infinity
    let looked = 0
    let at = from
    for (;;) {
      if (this.#lane.isVoid) return undefined
      const ready = ledger.nextReady(at) ?? Infinity
      const offset = Math.min(ready, ledger.nextAcquired(at) ?? Infinity)
      if (offset >= to) return earliestMs === Infinity ? undefined : earliestMs
      const missing = reading.seek(asOffset(offset))
      if (missing instanceof Promise) {
        await missing
        continue
      }
      at = offset + 1
      if (missing !== undefined) continue
      const expiration = this.#expirationMs(offset)
      if (expiration < 0) continue
      const dueMs = reading.timestampMs(offset) + expiration
      if (dueMs > clock.nowMs()) earliestMs = Math.min(earliestMs, dueMs)
      else if (offset === ready) this.#lane.expire(offset)
      if (++looked % leavePerTurn === 0) await this.#turn()
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#lane.clock.endOfTurn(resolve))
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
