// Retention and the queues over a log: what they have not let go of when the log's oldest records go.
// Promises: retention wins, unless a queue was declared with x-hold; what is dropped is dead-lettered first where its queue
// says where, so much of it a call that others are not kept waiting for long.
// Does not know: why records go; what becomes of a ledger below the log's start (queue-log.ts).

import { partitionOf, type Log } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { holdsUnacknowledged } from '../desk/queue-arguments-ours.ts'
import { isDeadLettered, type QueuePolicy } from '../facts.ts'
import type { Lane } from '../lanes/lane.ts'
import type { LedgersPart } from '../parts.ts'

export interface QueueRetentionHost {
  readonly ledgers: LedgersPart
  /** Those with a ledger over the topic's logs. */
  queuesOver(topic: Topic): readonly Topic[]
  policyOf(queue: Topic): QueuePolicy
  laneOf(queue: Topic, partition: number): Lane | undefined
  /** See DeadLetters.settled(). */
  deadLettersSettled(): Promise<unknown> | undefined
  /** Nothing more can be stored: dead letters neither. */
  isFull(): boolean
}

/** Messages dead-lettered before one look at the outcome, and in one call. */
const stepMessages = 512
const callMessagesMax = 65_536

export class QueueRetention {
  readonly #host: QueueRetentionHost

  constructor(host: QueueRetentionHost) {
    this.#host = host
  }

  /** Up to where records of the log may be dropped now, of those below `to`. */
  async mayTrim(topic: Topic, log: Log, to: number): Promise<number> {
    const { ledgers, policyOf, isFull } = this.#host
    const queues = this.#host.queuesOver(topic)
    let may = to
    for (const { queue, ledger = 0 } of queues)
      if (holdsUnacknowledged(queue?.arguments ?? []))
        may = Math.min(may, ledgers.closings({ log: log.id, number: ledger }).committedFloor)
    for (const queue of queues) {
      // On a full disk it is retention that makes room.
      if (may <= log.start || isFull() || !isDeadLettered(policyOf(queue))) continue
      const lane = this.#host.laneOf(queue, partitionOf(log.id))
      if (lane !== undefined) may = Math.min(may, await this.#deadLetter(lane, log, may))
    }
    return may
  }

  /** Everything below `below` leaves; answers up to where it has. */
  async #deadLetter(lane: Lane, log: Log, below: number): Promise<number> {
    if ((await lane.ready()) !== undefined) return log.start
    const { ledger } = lane.log
    let before = Infinity
    for (let moved = 0; moved < callMessagesMax; moved += stepMessages) {
      if (lane.isVoid) return below
      lane.rules.retire(below, stepMessages)
      const open = ledger.countOpen(ledger.floor, below)
      if (open === 0) return below
      // They wait for something: the next call looks again.
      if (open >= before) break
      before = open
      // Handed on now, and not at the end of the turn.
      lane.flush()
      await this.#host.deadLettersSettled()
    }
    return Math.min(below, ledger.floor)
  }
}
