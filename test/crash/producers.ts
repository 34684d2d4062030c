// Producers under load: plain ones that never retry, idempotent ones that retry until they are told.
// Promises: every acknowledgement goes into the book as it comes; an idempotent producer resends, after a crash, exactly
// what it was not told of, with the same sequences.
// Does not know: when the broker dies. A producer's round ends when its connection does.

import { compressionBits, type CompressionName, assembleBatch } from '../../src/log/batch.ts'
import { deflate } from '../../src/log/compression.ts'
import { encodeRecords } from '../../src/log/records.ts'
import { apis } from '../../src/wire/kafka/api-table.ts'
import { partitionKey, valueOf, type PromiseBook } from './promises.ts'
import { produceVersion } from './read-back.ts'
import { ConnectionGone, type WireClient } from './wire-client.ts'

export interface Place {
  readonly topic: string
  readonly partition: number
}

export interface Dice {
  /** A whole number from 0 up to, not including, `below`. */
  below(below: number): number
}

interface Identity {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

const codecs: readonly CompressionName[] = ['none', 'none', 'none', 'gzip', 'snappy', 'lz4', 'zstd']
const timestampMs = 1_700_000_000_000
const duplicateSequence = 46

export function batchOf(ids: readonly string[], codec: CompressionName, identity?: Identity): Buffer {
  const records = ids.map((id) => ({ key: Buffer.from(id), value: valueOf(id), timestampMs }))
  const head = {
    attributes: compressionBits(codec),
    lastOffsetDelta: ids.length - 1,
    baseTimestampMs: timestampMs,
    maxTimestampMs: timestampMs,
    count: ids.length,
  }
  return assembleBatch({ ...head, ...identity }, deflate(codec, encodeRecords(records, timestampMs)))
}

interface PartitionAnswer {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly baseOffset: number
}

/** One Produce request with acks=all; the answer of each partition. */
export async function produce(
  client: WireClient,
  batches: readonly (Place & { readonly batch: Buffer })[],
): Promise<PartitionAnswer[]> {
  const { responses } = await client.send(apis.produce, produceVersion, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: batches.map(({ topic, partition, batch }) => ({
      name: topic,
      partitionData: [{ index: partition, records: batch }],
    })),
  })
  return responses.flatMap(({ name, partitionResponses }) =>
    partitionResponses.map(({ index, errorCode, baseOffset }) => ({
      topic: name,
      partition: index,
      errorCode,
      baseOffset,
    })),
  )
}

/** Sends to several partitions at once, four requests in flight; what is not answered is not sent again. */
export class PlainProducer {
  private readonly name: string
  private readonly places: readonly Place[]
  private readonly requestsPerRun: number
  private next = 0

  constructor(name: string, places: readonly Place[], requestsPerRun = Infinity) {
    this.name = name
    this.places = places
    this.requestsPerRun = requestsPerRun
  }

  async run(client: WireClient, book: PromiseBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    let left = this.requestsPerRun
    const lane = async (): Promise<void> => {
      while (!client.isGone && left-- > 0) await this.once(client, book, dice, complain)
    }
    await Promise.all([lane(), lane(), lane(), lane()]).catch(unlessGone)
  }

  async once(client: WireClient, book: PromiseBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    const first = dice.below(this.places.length)
    const chosen = this.places.slice(first, first + 1 + dice.below(3))
    const sent = chosen.map((place) => {
      const count = this.requestsPerRun === Infinity ? 1 + dice.below(8) : 1
      const ids = Array.from({ length: count }, () => `${this.name}:${this.next++}`)
      book.send(partitionKey(place.topic, place.partition), ids)
      return { ...place, ids, batch: batchOf(ids, codecs[dice.below(codecs.length)]) }
    })
    for (const { topic, partition, errorCode, baseOffset } of await produce(client, sent)) {
      const ids = sent.find((one) => one.topic === topic && one.partition === partition)?.ids ?? []
      if (errorCode === 0) book.acknowledge(partitionKey(topic, partition), baseOffset, ids)
      else complain(`${this.name}: ${topic}/${partition} was refused with ${errorCode}`)
    }
  }
}

interface Unacknowledged {
  readonly ids: readonly string[]
  readonly batch: Buffer
}

/** One partition, up to five batches in flight, retried in order after a crash. */
export class IdempotentProducer {
  private readonly name: string
  private readonly place: Place
  private next = 0
  private sequence = 0
  private identity: { producerId: number; producerEpoch: number } | undefined
  /** Sent and not answered, oldest first. */
  private unacknowledged: Unacknowledged[] = []

  constructor(name: string, place: Place) {
    this.name = name
    this.place = place
  }

  async run(client: WireClient, book: PromiseBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    try {
      if (this.identity === undefined) {
        const { errorCode, producerId, producerEpoch } = await client.send(apis.initProducerId, 4, {
          transactionalId: null,
          transactionTimeoutMs: 60_000,
        })
        if (errorCode !== 0) return complain(`${this.name}: no producer id, error ${errorCode}`)
        this.identity = { producerId, producerEpoch }
      }
      const again = this.unacknowledged
      await Promise.all(again.map((one) => this.send(client, book, one, complain)))
      const lane = async (): Promise<void> => {
        while (!client.isGone) await this.send(client, book, this.make(book, dice), complain)
      }
      await Promise.all([lane(), lane(), lane(), lane(), lane()])
    } catch (error) {
      unlessGone(error)
    }
  }

  private make(book: PromiseBook, dice: Dice): Unacknowledged {
    const ids = Array.from({ length: 1 + dice.below(5) }, () => `${this.name}:${this.next++}`)
    book.send(partitionKey(this.place.topic, this.place.partition), ids)
    const identity = {
      ...(this.identity as { producerId: number; producerEpoch: number }),
      baseSequence: this.sequence,
    }
    this.sequence += ids.length
    const made = { ids, batch: batchOf(ids, codecs[dice.below(codecs.length)], identity) }
    this.unacknowledged.push(made)
    return made
  }

  private async send(
    client: WireClient,
    book: PromiseBook,
    one: Unacknowledged,
    complain: (what: string) => void,
  ): Promise<void> {
    const key = partitionKey(this.place.topic, this.place.partition)
    const [{ errorCode, baseOffset }] = await produce(client, [{ ...this.place, batch: one.batch }])
    this.unacknowledged = this.unacknowledged.filter((other) => other !== one)
    if (errorCode === 0 && baseOffset >= 0) book.acknowledge(key, baseOffset, one.ids)
    else if (errorCode === 0 || errorCode === duplicateSequence) book.acknowledgeSomewhere(key, one.ids)
    else complain(`${this.name}: ${one.ids[0]} to ${key} was refused with ${errorCode}`)
  }
}

export function unlessGone(error: unknown): void {
  if (!(error instanceof ConnectionGone)) throw error
}
