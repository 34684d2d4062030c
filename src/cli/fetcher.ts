// Reading partitions: positions, fetches to their leaders, batches opened into records.
// Promises: each record from the position on once and in order of its partition; gaps, control batches and moved leaders
// are passed over; nothing is held but what one round brought.
// Does not know: who assigned the partitions, what is done with records.

import { apis } from '../wire/kafka/api-table.ts'
import type { FetchResponse } from '../wire/kafka/messages/data.ts'
import { batchInflateBytesMax } from '../base/limits.ts'
import {
  batchHeadBytes,
  compressionOf,
  forEachBatch,
  hasLogAppendTime,
  isControl,
  type BatchHead,
} from '../log/batch.ts'
import { CodecUnavailable } from '../log/compression-codec.ts'
import { inflate } from '../log/compression.ts'
import { MalformedRecords, RecordCursor, type RecordHeader } from '../log/records.ts'
import { CommandFailure } from './exit.ts'
import { byTopic, earliest, keyOf, type KafkaClient, type TopicPartition } from './kafka-client.ts'
import type { KafkaConnection } from './kafka-connection.ts'
import { errorCodes, isPassing, kafkaFailure } from './kafka-errors.ts'

export interface FetchedRecord extends TopicPartition {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

export interface Position extends TopicPartition {
  /** The next offset to be read. */
  offset: number
  /** The end as the last fetch told it; -1 before the first. */
  end: number
}

const partitionBytesDefault = 1024 * 1024
const fetchBytesMax = 16 * 1024 * 1024
/** How long a broker may hold a fetch that has nothing to give. */
const waitMs = 500
/** From v13 on Fetch names topics by id only. */
const byName = 12

type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]

export class Fetcher {
  private readonly client: KafkaClient
  private readonly positions = new Map<string, Position>()
  private hadRecords = false
  private readonly onMoved: (position: Position, why: string) => void
  private readonly partitionBytesMax: number

  /** `onMoved`: records were deleted before they were read; reading goes on at the log start. */
  constructor(
    client: KafkaClient,
    onMoved: (position: Position, why: string) => void,
    partitionBytesMax = partitionBytesDefault,
  ) {
    this.client = client
    this.onMoved = onMoved
    this.partitionBytesMax = partitionBytesMax
  }

  assign(partitions: readonly (TopicPartition & { readonly offset: number })[]): void {
    this.positions.clear()
    for (const { topic, partition, offset } of partitions) {
      this.positions.set(keyOf({ topic, partition }), { topic, partition, offset, end: -1 })
    }
    this.hadRecords = false
  }

  get assigned(): readonly Position[] {
    return [...this.positions.values()]
  }

  /** One round: every leader is asked once. Empty when nothing came in time. */
  async fetch(): Promise<FetchedRecord[]> {
    const byLeader = new Map<KafkaConnection, Position[]>()
    for (const position of this.positions.values()) {
      const leader = await this.client.leader(position)
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), position])
    }
    // While records come, a leader that has none must not hold the others up.
    const maxWaitMs = byLeader.size > 1 && this.hadRecords ? 0 : waitMs
    const rounds = await Promise.all([...byLeader].map(([leader, own]) => this.fetchFrom(leader, own, maxWaitMs)))
    const records = rounds.flat()
    this.hadRecords = records.length > 0
    return records
  }

  private async fetchFrom(
    leader: KafkaConnection,
    positions: readonly Position[],
    maxWaitMs: number,
  ): Promise<FetchedRecord[]> {
    const topics = byTopic(positions).map(([topic, own]) => ({
      topic,
      partitions: own.map(({ partition, offset }) => ({
        partition,
        fetchOffset: offset,
        partitionMaxBytes: this.partitionBytesMax,
      })),
    }))
    const answer = await leader.request(
      apis.fetch,
      { maxWaitMs, minBytes: 1, maxBytes: fetchBytesMax, topics },
      { versionMax: byName },
    )
    if (answer.errorCode !== 0) throw kafkaFailure('fetch', answer.errorCode)
    const records: FetchedRecord[] = []
    for (const { topic, partitions } of answer.responses) {
      for (const partition of partitions) {
        const position = this.positions.get(keyOf({ topic, partition: partition.partitionIndex }))
        if (position !== undefined) await this.take(position, partition, records)
      }
    }
    return records
  }

  private async take(position: Position, partition: FetchedPartition, records: FetchedRecord[]): Promise<void> {
    const { errorCode, highWatermark, records: bytes } = partition
    if (errorCode === errorCodes.offsetOutOfRange) return this.moveToStart(position)
    if (isPassing(errorCode)) {
      this.client.forgetPlaces()
      return this.client.pause(waitMs)
    }
    if (errorCode !== 0) throw kafkaFailure(keyOf(position), errorCode)
    position.end = highWatermark
    if (bytes === null || bytes.length === 0) return
    const before = position.offset
    const read = forEachBatch(bytes, (head, at) => {
      openBatch(bytes.subarray(at, at + head.bytes), head, position, records)
    })
    // A last batch may be cut short; a first one may not.
    if (read === 0 && position.offset === before) {
      throw new CommandFailure(`${keyOf(position)}: the broker sent records of a format older than v2, or damaged ones`)
    }
  }

  private async moveToStart(position: Position): Promise<void> {
    const { topic, partition } = position
    const start = (await this.client.offsets(topic, [partition], earliest)).get(partition)?.offset ?? 0
    const why = position.offset < start ? 'older records are deleted' : 'the offset is beyond the end'
    position.offset = start
    this.onMoved(position, why)
  }
}

/** Appends the records of one batch from the position on, and moves the position behind the batch. */
export function openBatch(batch: Buffer, head: BatchHead, position: Position, records: FetchedRecord[]): void {
  const next = head.baseOffset + head.lastOffsetDelta + 1
  if (!isControl(head.attributes) && next > position.offset) {
    const codec = compressionOf(head.attributes)
    if (codec === undefined)
      throw new CommandFailure(`${keyOf(position)}: offset ${head.baseOffset} has an unknown codec`)
    try {
      const cursor = new RecordCursor(inflate(codec, batch.subarray(batchHeadBytes), batchInflateBytesMax))
      while (cursor.next()) {
        const offset = head.baseOffset + cursor.offsetDelta
        if (offset < position.offset) continue
        const timestampMs = hasLogAppendTime(head.attributes)
          ? head.maxTimestampMs
          : head.baseTimestampMs + cursor.timestampDeltaMs
        const { topic, partition } = position
        records.push({
          topic,
          partition,
          offset,
          timestampMs,
          key: cursor.key,
          value: cursor.value,
          headers: cursor.headers(),
        })
      }
    } catch (error) {
      if (!(error instanceof MalformedRecords) && !(error instanceof CodecUnavailable)) throw error
      throw new CommandFailure(`${keyOf(position)}: the batch at offset ${head.baseOffset}: ${error.message}`)
    }
  }
  position.offset = Math.max(position.offset, next)
}
