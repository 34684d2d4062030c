// The command line's producer: records gathered per partition, sent as batches to their leaders.
// Promises: with acks all, a batch sent again after a lost answer is stored once (idempotent, KIP-98); order per partition.
// Does not know: where records come from or what is printed about them.

import { apis } from '../wire/kafka/api-table.ts'
import { assembleBatch, compressionBits, type CompressionName } from '../log/batch.ts'
import { deflate } from '../log/compression.ts'
import { encodeRecords, type NewRecord } from '../log/records.ts'
import { CommandFailure } from './exit.ts'
import type { KafkaClient, TopicMetadata } from './kafka-client.ts'
import { errorCodes, kafkaFailure } from './kafka-errors.ts'
import { partitionOfKey } from '../base/murmur2.ts'

export interface ProducerOptions {
  readonly acks: 0 | 1 | -1
  readonly compression: CompressionName
  /** undefined: by key, or one partition a batch in turn. */
  readonly partition: number | undefined
}

export interface Sent {
  readonly partition: number
  /** -1 with acks 0. */
  readonly baseOffset: number
  readonly records: number
}

/** Below the smallest message.max.bytes in use, so that a full batch is never refused for its size. */
const batchBytes = 512 * 1024
const answerMs = 30_000

interface Identity {
  readonly producerId: number
  readonly producerEpoch: number
  readonly sequences: Map<number, number>
}

export class Producer {
  private readonly client: KafkaClient
  private readonly topic: string
  private readonly partitions: number
  private readonly options: ProducerOptions
  private readonly identity: Identity | undefined
  private turn = 0

  private constructor(client: KafkaClient, topic: TopicMetadata, options: ProducerOptions, identity?: Identity) {
    this.client = client
    this.topic = topic.name ?? ''
    this.partitions = topic.partitions.length
    this.options = options
    this.identity = identity
  }

  static async open(client: KafkaClient, name: string, options: ProducerOptions): Promise<Producer> {
    const topic = await client.topic(name, true)
    const { partition, acks } = options
    if (partition !== undefined && partition >= topic.partitions.length) {
      throw new CommandFailure(
        `topic ${name} has partitions 0 to ${topic.partitions.length - 1}; there is no partition ${partition}`,
      )
    }
    return new Producer(client, topic, options, acks === -1 ? await identify(client) : undefined)
  }

  /** Sends all of `records` and resolves when they are answered for. */
  async send(records: readonly NewRecord[]): Promise<Sent[]> {
    const byPartition = new Map<number, NewRecord[][]>()
    const unkeyed = this.turn++ % this.partitions
    for (const record of records) {
      const partition =
        this.options.partition ?? (record.key === null ? unkeyed : partitionOfKey(record.key, this.partitions))
      let batches = byPartition.get(partition)
      if (batches === undefined) byPartition.set(partition, (batches = [[]]))
      addTo(batches, record)
    }
    const sent = await Promise.all(
      [...byPartition].map(async ([partition, batches]) => {
        const own: Sent[] = []
        for (const batch of batches) own.push(await this.sendBatch(partition, batch))
        return own
      }),
    )
    return sent.flat()
  }

  private async sendBatch(partition: number, records: readonly NewRecord[]): Promise<Sent> {
    const sequence = this.identity?.sequences.get(partition) ?? 0
    const batch = this.encode(records, sequence)
    const request = {
      acks: this.options.acks,
      timeoutMs: answerMs,
      topicData: [{ name: this.topic, partitionData: [{ index: partition, records: batch }] }],
    }
    const at = { topic: this.topic, partition }
    if (this.options.acks === 0) {
      const leader = await this.client.leader(at)
      leader.tell(apis.produce, request, byName)
      return { partition, baseOffset: -1, records: records.length }
    }
    const answer = await this.client.settle(`${this.topic}-${partition}`, async () => {
      const leader = await this.client.leader(at)
      const { responses } = await leader.request(apis.produce, request, { versionMax: byName })
      const result = responses[0]?.partitionResponses[0]
      if (result === undefined) return -1
      const isPassing = result.errorCode === errorCodes.notLeader || result.errorCode === errorCodes.leaderNotAvailable
      if (result.errorCode !== 0 && !isPassing) {
        throw kafkaFailure(`${this.topic}-${partition}`, result.errorCode, result.errorMessage)
      }
      return result.errorCode === 0 ? result : result.errorCode
    })
    this.identity?.sequences.set(partition, (sequence + records.length) % 0x8000_0000)
    return { partition, baseOffset: answer.baseOffset, records: records.length }
  }

  private encode(records: readonly NewRecord[], baseSequence: number): Buffer {
    const baseTimestampMs = records[0]?.timestampMs ?? 0
    const maxTimestampMs = records.reduce((max, { timestampMs }) => Math.max(max, timestampMs), baseTimestampMs)
    const { compression } = this.options
    const head = {
      attributes: compressionBits(compression),
      lastOffsetDelta: records.length - 1,
      baseTimestampMs,
      maxTimestampMs,
      count: records.length,
    }
    const identity =
      this.identity === undefined
        ? {}
        : { producerId: this.identity.producerId, producerEpoch: this.identity.producerEpoch, baseSequence }
    return assembleBatch({ ...head, ...identity }, deflate(compression, encodeRecords(records, baseTimestampMs)))
  }
}

/** From v13 on Produce names topics by id only; the answer of a name needs no lookup. */
const byName = 12

function addTo(batches: NewRecord[][], record: NewRecord): void {
  const bytes = (one: NewRecord): number => (one.key?.length ?? 0) + (one.value?.length ?? 0) + 64
  const last = batches[batches.length - 1] ?? []
  const filled = last.length === 0 ? 0 : (fill.get(last) ?? 0)
  if (last.length > 0 && filled + bytes(record) > batchBytes) {
    const fresh = [record]
    fill.set(fresh, bytes(record))
    batches.push(fresh)
    return
  }
  last.push(record)
  fill.set(last, filled + bytes(record))
}

/** Bytes in each batch being filled. */
const fill = new WeakMap<NewRecord[], number>()

/** A producer id where the broker gives one: then a batch may be sent again without being stored twice. */
async function identify(client: KafkaClient): Promise<Identity | undefined> {
  const broker = await client.any()
  if (broker.versionOf(apis.initProducerId) === undefined) return undefined
  return client.settle('producer id', async () => {
    const answer = await broker.request(apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 60_000 })
    if (answer.errorCode !== 0) return answer.errorCode
    return { producerId: answer.producerId, producerEpoch: answer.producerEpoch, sequences: new Map<number, number>() }
  })
}
