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
  #tookAllItsTime = false

  constructor(host: QueueRetentionHost) {
    this.#host = host
  }

  /** Up to where records of the log may be dropped now, of those below `to`. */
  async mayTrim(topic: Topic, log: Log, to: number): Promise<number> {
    const { policyOf, isFull } = this.#host
    let may = await this.#held(topic, log, to)
    let tookTime = false
    for (const queue of this.#host.queuesOver(topic)) {
      // On a full disk it is retention that makes room.
      if (may <= log.start || isFull() || !isDeadLettered(policyOf(queue))) continue
      const lane = this.#host.laneOf(queue, partitionOf(log.id))
      if (lane === undefined) continue
      tookTime = true
      may = Math.min(may, await this.#deadLetter(lane, log, may))
    }
    return tookTime ? this.#held(topic, log, may) : may
  }

  /** Up to where no queue holds the log, of those below `to`. One whose end may yet be refused holds it. */
  async #held(topic: Topic, log: Log, to: number): Promise<number> {
    const { ledgers } = this.#host
    await ledgers.settledLeaving(log.id)
    let held = to
    for (const { queue, ledger = 0 } of this.#host.queuesOver(topic))
      if (holdsUnacknowledged(queue?.arguments ?? []))
        held = Math.min(held, ledgers.closings({ log: log.id, number: ledger }).committedFloor)
    return held
  }

  /** See RetentionHost. */
  tookAllItsTime(): boolean {
    const took = this.#tookAllItsTime
    this.#tookAllItsTime = false
    return took
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
      if (open >= before) return Math.min(below, ledger.floor)
      before = open
      // Handed on now, and not at the end of the turn.
      lane.flush()
      await this.#host.deadLettersSettled()
    }
    this.#tookAllItsTime = true
    return Math.min(below, ledger.floor)
  }
}
