// Everything a broker holds, read with Fetch from the start of each partition.
// Promises: whole partitions up to their high watermark, every batch's CRC and record count judged.
// Does not know: what should be there.

import { apis } from '../../src/wire/kafka/api-table.ts'
import { batchCrcHolds, batchHeadBytes, compressionOf, forEachBatch } from '../../src/log/batch.ts'
import { inflate } from '../../src/log/compression.ts'
import { RecordCursor } from '../../src/log/records.ts'
import { partitionKey, type Contents, type PartitionKey } from './promises.ts'
import { startAndEnd } from './trimmer.ts'
import type { WireClient } from './wire-client.ts'

export const produceVersion = 9
export const fetchVersion = 11
export const inflateBytesMax = 64 * 1024 * 1024

export interface TopicThere {
  readonly name: string
  readonly partitions: number
}

export async function topicsThere(client: WireClient): Promise<TopicThere[]> {
  const { topics } = await client.send(apis.metadata, 9, { topics: null, allowAutoTopicCreation: false })
  return topics.map((topic) => ({ name: topic.name ?? '', partitions: topic.partitions.length }))
}

interface Reading {
  readonly topic: string
  readonly partition: number
  readonly start: number
  next: number
  end: number
  readonly offsets: number[]
  readonly values: Buffer[]
}

/** Throws when the broker refuses, stands still or sends a batch that is not whole. */
export async function readAll(client: WireClient, topics: readonly TopicThere[]): Promise<Map<PartitionKey, Contents>> {
  const readings: Reading[] = await Promise.all(
    topics.flatMap(({ name, partitions }) =>
      Array.from({ length: partitions }, async (_, partition) => {
        const [start] = await startAndEnd(client, { topic: name, partition })
        return { topic: name, partition, start, next: start, end: -1, offsets: [], values: [] }
      }),
    ),
  )
  for (;;) {
    const open = readings.filter(({ next, end }) => end < 0 || next < end)
    if (open.length === 0) break
    const before = open.reduce((sum, { next, end }) => sum + next + Math.max(0, end), 0)
    await readSome(client, open)
    const after = open.reduce((sum, { next, end }) => sum + next + Math.max(0, end), 0)
    const still = open.some(({ next, end }) => next < end)
    if (before === after && still)
      throw new Error(`reading stands still at ${open[0].topic}/${open[0].partition} ${open[0].next}`)
  }
  return new Map(
    readings.map(({ topic, partition, start, offsets, values, end }) => [
      partitionKey(topic, partition),
      { start, offsets, values, end },
    ]),
  )
}

async function readSome(client: WireClient, open: readonly Reading[]): Promise<void> {
  const { responses } = await client.send(apis.fetch, fetchVersion, {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 50 * 1024 * 1024,
    isolationLevel: 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: open.map(({ topic, partition, next }) => ({
      topic,
      partitions: [{ partition, fetchOffset: next, partitionMaxBytes: 8 * 1024 * 1024 }],
    })),
    forgottenTopicsData: [],
    rackId: '',
  })
  for (const { topic, partitions } of responses) {
    for (const { partitionIndex, errorCode, highWatermark, records } of partitions) {
      const reading = open.find((one) => one.topic === topic && one.partition === partitionIndex)
      if (reading === undefined) throw new Error(`${topic}/${partitionIndex} was not asked for`)
      if (errorCode !== 0) throw new Error(`reading ${topic}/${partitionIndex} at ${reading.next}: error ${errorCode}`)
      reading.end = highWatermark
      takeRecords(reading, records)
      // A gap at the end: nothing more below the high watermark.
      if (reading.next < highWatermark && (records === null || records.length === 0)) reading.next = highWatermark
    }
  }
}

function takeRecords(reading: Reading, records: Buffer | null): void {
  if (records === null) return
  const walked = forEachBatch(records, (head, at) => {
    const place = `${reading.topic}/${reading.partition} at ${head.baseOffset}`
    if (!batchCrcHolds(records, at, head.bytes)) throw new Error(`${place}: the CRC does not hold`)
    const section = records.subarray(at + batchHeadBytes, at + head.bytes)
    const cursor = new RecordCursor(inflate(compressionOf(head.attributes) ?? 'none', section, inflateBytesMax))
    let count = 0
    while (cursor.next()) {
      count++
      reading.offsets.push(head.baseOffset + cursor.offsetDelta)
      reading.values.push(cursor.value ?? Buffer.alloc(0))
    }
    if (count !== head.count) throw new Error(`${place}: ${count} records, ${head.count} announced`)
    reading.next = head.baseOffset + head.lastOffsetDelta + 1
  })
  if (walked !== records.length)
    throw new Error(`${reading.topic}/${reading.partition}: a batch is not whole in an answer`)
}
