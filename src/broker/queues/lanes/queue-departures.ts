// Messages that leave a queue without being acknowledged: dead-lettered where the queue says so, else closed.
// Promises: every one leaves with its reason; those of a turn go to dead-lettering together.
// Does not know: who decided that they leave, what dead-lettering does with them.

import { isDeadLettered } from '../facts.ts'
import { OffsetSet } from '../ledgers/offset-set.ts'
import type { ClosedReason, DeadLettering, DeathReason, LanePart, LedgerPart } from '../parts.ts'

export type DepartureReason = 'rejected' | 'expired' | 'maxlen' | 'deliveryLimit' | 'malformed' | 'retention'

const deathReasons: Readonly<Record<DepartureReason, DeathReason>> = {
  rejected: 'rejected',
  expired: 'expired',
  maxlen: 'maxlen',
  deliveryLimit: 'delivery_limit',
  malformed: 'malformed',
  retention: 'retention',
}

export class Departures {
  readonly #lane: LanePart
  readonly #ledger: LedgerPart
  readonly #deadLettering: () => DeadLettering
  readonly #flushLater: () => void
  readonly #leaving = new Map<DepartureReason, number[]>()
  /** Acquired for their dead letter exchange. */
  #away: OffsetSet | undefined

  constructor(lane: LanePart, ledger: LedgerPart, deadLettering: () => DeadLettering, flushLater: () => void) {
    this.#lane = lane
    this.#ledger = ledger
    this.#deadLettering = deadLettering
    this.#flushLater = flushLater
  }

  get areDeadLettered(): boolean {
    return isDeadLettered(this.#lane.queue.policy)
  }

  /** A message leaves, ready or acquired. */
  leave(offset: number, reason: DepartureReason): void {
    if (!this.areDeadLettered) {
      this.#ledger.close(offset, reason)
      return
    }
    // Until its copy is stored elsewhere nobody else may have it.
    if (!this.#ledger.isAcquired(offset)) this.#ledger.acquire(offset)
    this.#away ??= new OffsetSet()
    this.#away.add(offset)
    const leaving = this.#leaving.get(reason)
    if (leaving !== undefined) return void leaving.push(offset)
    this.#leaving.set(reason, [offset])
    if (this.#leaving.size === 1) this.#flushLater()
  }

  /** Whether it is on its way to the dead letter exchange. */
  isLeaving(offset: number): boolean {
    return this.#away !== undefined && this.#away.has(offset)
  }

  /** Closes everything ready below, all at once; only when nothing is dead-lettered. */
  closeReady(below: number, reason: ClosedReason): number {
    return this.#ledger.closeReady(below, reason)
  }

  /** At the end of a turn. */
  flush(): void {
    if (this.#leaving.size === 0) return
    this.#away?.removeRange(0, this.#ledger.floor)
    const all = [...this.#leaving]
    this.#leaving.clear()
    for (const [reason, offsets] of all) this.#deadLettering().deadLetter(this.#lane, offsets, deathReasons[reason])
  }
}
