// Idempotent producers of one partition: what each wrote last, so that a retry is known and a hole is seen.
// Promises: Kafka's rules (KIP-98, KIP-360; ProducerAppendInfo.java): epochs, sequences with wrap, five batches back.
// Does not know: commits and failures. A partition that lost an append makes a new one from the log.

import { producerBatchesRetained } from '../../base/limits.ts'
import { int16, int32, int64, list, message, versions } from '../../base/schema.ts'
import type { BatchHead } from '../../log/batch.ts'
import type { ActiveProducer } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { readStored, writeStored } from '../stored.ts'

/** Sequences run from 0 to this and begin again. */
const sequenceMax = 2_147_483_647
/** Producers one partition remembers; beyond, those unseen for longest are forgotten. */
export const producersPerPartitionMax = 20_000

/** A batch that is there already. */
export interface Duplicate {
  readonly duplicateOf: number
  readonly lastOffset: number
  readonly timestampMs: number
}

const stored = message(versions(0, 0), {
  producers: list({
    producerId: int64(),
    producerEpoch: int16(),
    lastSeenMs: int64(),
    batches: list({ firstSequence: int32(), lastSequence: int32(), baseOffset: int64(), timestampMs: int64() }),
  }),
})

/** Numbers a remembered batch takes in a ring. */
const slotNumbers = 4
const firstSequenceIn = 0
const lastSequenceIn = 1
const baseOffsetIn = 2
const timestampIn = 3

class Producer {
  epoch: number
  lastSeenMs = 0
  /** Of the first batch it was seen with. */
  readonly firstSequence: number
  /** Batches in the ring, the newest at slot (batches - 1) modulo its size. */
  batches = 0
  readonly ring = new Float64Array(slotNumbers * producerBatchesRetained)

  constructor(epoch: number, firstSequence: number) {
    this.epoch = epoch
    this.firstSequence = firstSequence
  }

  /** Where the batch `back` steps before the newest lies in the ring. */
  slot(back: number): number {
    return ((this.batches - 1 - back) % producerBatchesRetained) * slotNumbers
  }

  get retained(): number {
    return Math.min(this.batches, producerBatchesRetained)
  }

  remember(firstSequence: number, lastSequence: number, baseOffset: number, timestampMs: number): void {
    this.batches++
    const slot = this.slot(0)
    this.ring[slot + firstSequenceIn] = firstSequence
    this.ring[slot + lastSequenceIn] = lastSequence
    this.ring[slot + baseOffsetIn] = baseOffset
    this.ring[slot + timestampIn] = timestampMs
  }
}

/** The sequence of a batch's last record: past the greatest it goes on at 0. */
export function lastSequenceOf(baseSequence: number, lastOffsetDelta: number): number {
  const last = baseSequence + lastOffsetDelta
  return last > sequenceMax ? last - sequenceMax - 1 : last
}

const follows = (last: number, next: number): boolean => next === last + 1 || (next === 0 && last === sequenceMax)

export class Producers {
  readonly #byId = new Map<number, Producer>()
  /** Those of whom nothing could be written yet. */
  readonly #lost = new Map<number, Producer>()
  readonly #expirationMs: number
  /** Producers forgotten for want of room and not counted yet. */
  evicted = 0

  constructor(expirationMs: number) {
    this.#expirationMs = expirationMs
  }

  get size(): number {
    return this.#byId.size
  }

  /** undefined: append it, then tell appended(). */
  judge(head: BatchHead, nowMs: number): Duplicate | Refusal | undefined {
    const producer = this.#live(head.producerId, nowMs)
    if (producer === undefined) return this.#judgeUnknown(head)
    if (head.producerEpoch < producer.epoch)
      return refuse(
        'staleProducerEpoch',
        `Producer ${head.producerId} has epoch ${producer.epoch}; a batch of epoch ${head.producerEpoch} is too old.`,
      )
    if (head.producerEpoch > producer.epoch) {
      return head.baseSequence === 0 ? undefined : this.#outOfOrder(head, 'a new epoch begins at sequence 0')
    }
    const duplicate = findDuplicate(producer, head)
    if (duplicate !== undefined) return duplicate
    const last = producer.ring[producer.slot(0) + lastSequenceIn]
    return follows(last, head.baseSequence) ? undefined : this.#outOfOrder(head, `the last one was ${last}`)
  }

  /**
   * New, expired, or forgotten: any sequence is taken, as Kafka does outside transactions. But of one whose every batch
   * was refused for now (a full disk, a failed log), the first comes first: later ones in flight must not overtake it.
   */
  #judgeUnknown(head: BatchHead): Refusal | undefined {
    const lost = this.#lost.get(head.producerId)
    if (lost === undefined || lost.epoch !== head.producerEpoch || lost.firstSequence === head.baseSequence)
      return undefined
    return this.#outOfOrder(head, `sequence ${lost.firstSequence} was refused for now and is not written yet`)
  }

  /** A batch was refused for now, before anything was known of its producer: its retry comes first. */
  owe(head: BatchHead, nowMs: number): void {
    if (this.#byId.has(head.producerId) || this.#lost.has(head.producerId)) return
    if (this.#lost.size >= producersPerPartitionMax) return
    const producer = new Producer(head.producerEpoch, head.baseSequence)
    producer.lastSeenMs = nowMs
    this.#lost.set(head.producerId, producer)
  }

  /** `before` was dropped with a refused append; this is what the log tells instead. */
  follow(before: Producers): void {
    for (const [id, lost] of before.#lost) if (!this.#byId.has(id)) this.#lost.set(id, lost)
    for (const [id, producer] of before.#byId) if (!this.#byId.has(id)) this.#lost.set(id, producer)
  }

  #outOfOrder(head: BatchHead, why: string): Refusal {
    return refuse(
      'outOfOrderSequence',
      `Producer ${head.producerId}, epoch ${head.producerEpoch}: sequence ${head.baseSequence} is out of order: ${why}.`,
    )
  }

  /** The batch got its place in the log. */
  appended(head: BatchHead, baseOffset: number, timestampMs: number, nowMs: number): void {
    let producer = this.#byId.get(head.producerId)
    if (producer === undefined || producer.epoch !== head.producerEpoch || this.#isExpired(producer, nowMs)) {
      if (producer === undefined && this.#byId.size >= producersPerPartitionMax) this.#makeRoom(nowMs)
      producer = new Producer(head.producerEpoch, head.baseSequence)
      this.#byId.set(head.producerId, producer)
      this.#lost.delete(head.producerId)
    }
    producer.lastSeenMs = nowMs
    const last = lastSequenceOf(head.baseSequence, head.lastOffsetDelta)
    producer.remember(head.baseSequence, last, baseOffset, timestampMs)
  }

  #live(producerId: number, nowMs: number): Producer | undefined {
    const producer = this.#byId.get(producerId)
    if (producer === undefined || !this.#isExpired(producer, nowMs)) return producer
    this.#byId.delete(producerId)
    return undefined
  }

  #isExpired(producer: Producer, nowMs: number): boolean {
    return nowMs - producer.lastSeenMs >= this.#expirationMs
  }

  /** Forgets those that wrote nothing for the expiration time. */
  expire(nowMs: number): void {
    for (const known of [this.#byId, this.#lost])
      for (const [id, producer] of known) if (this.#isExpired(producer, nowMs)) known.delete(id)
  }

  /** A tenth at once, so that the next newcomers pay nothing. */
  #makeRoom(nowMs: number): void {
    this.expire(nowMs)
    const excess = this.#byId.size - Math.floor(producersPerPartitionMax * 0.9)
    if (excess <= 0) return
    const oldest = [...this.#byId].sort(([, one], [, other]) => one.lastSeenMs - other.lastSeenMs).slice(0, excess)
    for (const [id] of oldest) this.#byId.delete(id)
    this.evicted += oldest.length
  }

  takeEvicted(): number {
    const { evicted } = this
    this.evicted = 0
    return evicted
  }

  list(nowMs: number): ActiveProducer[] {
    this.expire(nowMs)
    return [...this.#byId].map(([producerId, producer]) => ({
      producerId,
      producerEpoch: producer.epoch,
      lastSequence: producer.ring[producer.slot(0) + lastSequenceIn],
      lastTimestampMs: producer.ring[producer.slot(0) + timestampIn],
      currentTransactionStart: -1,
    }))
  }

  /** All there is to remember, as stored bytes. */
  write(nowMs: number): Buffer {
    this.expire(nowMs)
    return writeStored(stored, {
      producers: [...this.#byId].map(([producerId, producer]) => ({
        producerId,
        producerEpoch: producer.epoch,
        lastSeenMs: Math.floor(producer.lastSeenMs),
        batches: Array.from({ length: producer.retained }, (_, index) => {
          const slot = producer.slot(producer.retained - 1 - index)
          return {
            firstSequence: producer.ring[slot + firstSequenceIn],
            lastSequence: producer.ring[slot + lastSequenceIn],
            baseOffset: producer.ring[slot + baseOffsetIn],
            timestampMs: producer.ring[slot + timestampIn],
          }
        }),
      })),
    })
  }

  static read(bytes: Buffer, expirationMs: number): Producers {
    const producers = new Producers(expirationMs)
    for (const one of readStored(stored, bytes).producers) {
      const producer = new Producer(one.producerEpoch, one.batches[0]?.firstSequence ?? 0)
      producer.lastSeenMs = one.lastSeenMs
      for (const batch of one.batches)
        producer.remember(batch.firstSequence, batch.lastSequence, batch.baseOffset, batch.timestampMs)
      producers.#byId.set(one.producerId, producer)
    }
    return producers
  }
}

function findDuplicate(producer: Producer, head: BatchHead): Duplicate | undefined {
  const { ring } = producer
  const lastSequence = lastSequenceOf(head.baseSequence, head.lastOffsetDelta)
  for (let back = 0; back < producer.retained; back++) {
    const slot = producer.slot(back)
    if (ring[slot + firstSequenceIn] !== head.baseSequence || ring[slot + lastSequenceIn] !== lastSequence) continue
    const baseOffset = ring[slot + baseOffsetIn]
    return {
      duplicateOf: baseOffset,
      lastOffset: baseOffset + head.lastOffsetDelta,
      timestampMs: ring[slot + timestampIn],
    }
  }
  return undefined
}
