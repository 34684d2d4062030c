// Topics for the program that embeds the broker: made, filled and read without a client.
// Promises: records go in and come out as Kafka's clients store and see them; a refusal is thrown as RequestRefused.
// Does not know: sockets. It comes through the door as any protocol does.

import { isUtf8 } from 'node:buffer'
import { batchInflateBytesMax, MiB } from '../base/limits.ts'
import type { Clock } from '../base/world.ts'
import type { Session, TopicView } from '../broker/door.ts'
import {
  batchHeadBytes,
  compressionOf,
  forEachBatch,
  hasLogAppendTime,
  isControl,
  isOwnBatch,
  type BatchHead,
} from '../log/batch.ts'
import { inflateOffLoop } from '../log/compression.ts'
import { encodeBatch, RecordCursor, type NewRecord } from '../log/records.ts'
import { granted } from './embedded-queues.ts'
import { judgedRecord, nameGiven, onlyKnown, partitionOf, shown } from './embedded-record.ts'
import { RequestRefused, type RecordToStore, type StoredPlace, type StoredRecord, type Topics } from './embedding.ts'

/** Below the smallest max.message.bytes in use: more records than fit go as several batches. */
const batchBytes = 512 * 1024
const readBytes = 8 * MiB
/** What holds an AMQP message's properties, in batches of ours. */
const ownHeader = 'amqp'

export function embeddedTopics(session: Session, clock: Clock): Topics {
  let turn = 0
  async function records(name: string, options?: { readonly as?: 'text' }): Promise<StoredRecord<string>[]>
  async function records(name: string, options: { readonly as: 'bytes' }): Promise<StoredRecord<Uint8Array>[]>
  async function records(name: string, options?: { readonly as?: 'text' | 'bytes' }): Promise<unknown> {
    const { as = 'text' } = onlyKnown('records', options ?? {}, ['as'])
    if (as !== 'text' && as !== 'bytes') throw new TypeError(`as: ${shown(as)} is neither 'text' nor 'bytes'`)
    const all = await readAll(session, clock, granted(session.describeTopic(nameGiven(name))))
    return as === 'bytes' ? all.map(bare) : all.map((record) => asText(name, record))
  }
  return {
    create: async (name, options = {}) => {
      const { partitions, settings = {} } = onlyKnown('create', options, ['partitions', 'settings'])
      const texts = Object.entries(settings).map(([setting, value]) => [setting, String(value)] as const)
      const topic = { ...nameGiven(name), partitions, replicationFactor: undefined, settings: new Map(texts) }
      const [outcome] = await session.createTopics([topic], false)
      granted(outcome)
    },
    delete: async (name) => {
      const [outcome] = await session.deleteTopics([nameGiven(name)])
      granted(outcome)
    },
    list: () => Promise.resolve(session.listTopics().map(({ name, partitions }) => ({ name, partitions }))),
    produce: async (name, given) => {
      const records = Array.isArray(given) ? given : [given as RecordToStore]
      // All are judged before any is stored.
      const encodable = records.map((record) => judgedRecord(record, clock))
      const topic = granted(await session.findOrCreateTopic(nameGiven(name).name))
      const unkeyed = turn++ % topic.partitions
      const partitions = records.map((record) => partitionOf(topic, record, unkeyed))
      return await store(session, topic, encodable, partitions)
    },
    records,
  }
}

/** Partition by partition in batches; the answer is in the records' order. */
async function store(
  session: Session,
  topic: TopicView,
  given: readonly NewRecord[],
  partitions: readonly number[],
): Promise<StoredPlace[]> {
  const places: StoredPlace[] = []
  const waiting = new Map<number, { indexes: number[]; records: NewRecord[]; bytes: number }>()
  const flush = async (partition: number): Promise<void> => {
    const run = waiting.get(partition)
    if (run === undefined) return
    waiting.delete(partition)
    const batch = encodeBatch(run.records)
    const produced = granted(await session.produce({ topic: { id: topic.id }, partition, batch, acks: -1 }))
    for (const [at, index] of run.indexes.entries()) places[index] = { partition, offset: produced.baseOffset + at }
  }
  for (const [index, record] of given.entries()) {
    const partition = partitions[index]
    const bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0) + 64
    if ((waiting.get(partition)?.bytes ?? 0) + bytes > batchBytes) await flush(partition)
    const run = waiting.get(partition) ?? { indexes: [], records: [], bytes: 0 }
    run.indexes.push(index)
    run.records.push(record)
    run.bytes += bytes
    waiting.set(partition, run)
  }
  for (const partition of waiting.keys()) await flush(partition)
  return places
}

// --- reading ----------------------------------------------------------------------------------------------------

interface ReadRecord extends StoredPlace {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly name: string; readonly value: Buffer | null }[]
  readonly timestamp: number
  readonly isOwn: boolean
}

async function readAll(session: Session, clock: Clock, topic: TopicView): Promise<ReadRecord[]> {
  const records: ReadRecord[] = []
  for (let partition = 0; partition < topic.partitions; partition++) {
    const at = { topic: { id: topic.id }, partition }
    const { start } = granted(await session.describePartition(at.topic, partition))
    let offset: number = start
    for (;;) {
      const call = { ...at, offset, bytesMax: readBytes, leaderEpoch: -1, committedTransactionsOnly: true }
      const { batches } = granted(await session.read(call))
      if (batches.next <= offset) break
      // A chunk may be of memory that is used again: what is kept is a copy.
      const chunk = Buffer.concat(batches.chunks)
      batches.release?.()
      await open(chunk, partition, offset, clock, records)
      offset = batches.next
    }
  }
  return records
}

async function open(
  chunk: Buffer,
  partition: number,
  from: number,
  clock: Clock,
  records: ReadRecord[],
): Promise<void> {
  const found: { head: BatchHead; bytes: Buffer }[] = []
  forEachBatch(chunk, (head, at) => void found.push({ head, bytes: chunk.subarray(at, at + head.bytes) }))
  for (const { head, bytes } of found) {
    const { attributes, baseOffset } = head
    const codec = compressionOf(attributes)
    if (isControl(attributes) || codec === undefined) continue
    const cursor = new RecordCursor(
      await inflateOffLoop(codec, bytes.subarray(batchHeadBytes), batchInflateBytesMax, clock),
    )
    while (cursor.next()) {
      const offset = baseOffset + cursor.offsetDelta
      if (offset < from) continue
      const timestamp = hasLogAppendTime(attributes)
        ? head.maxTimestampMs
        : head.baseTimestampMs + cursor.timestampDeltaMs
      const { key, value } = cursor
      records.push({
        partition,
        offset,
        key,
        value,
        headers: cursor.headers(),
        timestamp,
        isOwn: isOwnBatch(attributes),
      })
    }
  }
}

type Headers<Bytes> = Record<string, Bytes | null | (Bytes | null)[]>

function headersOf<Bytes>(
  headers: ReadRecord['headers'],
  read: (value: Buffer | null) => Bytes | null,
): Headers<Bytes> {
  const all = new Map<string, Bytes | null | (Bytes | null)[]>()
  for (const { name, value } of headers) {
    const before = all.get(name)
    if (before === undefined) all.set(name, read(value))
    else if (Array.isArray(before)) before.push(read(value))
    else all.set(name, [before, read(value)])
  }
  return Object.fromEntries(all)
}

const bare = ({ partition, offset, key, value, headers, timestamp }: ReadRecord): StoredRecord<Uint8Array> => ({
  partition,
  offset,
  key,
  value,
  headers: headersOf(headers, (bytes) => bytes),
  timestamp,
})

function asText(topic: string, record: ReadRecord): StoredRecord<string> {
  const { partition, offset, key, value, headers, timestamp } = record
  const read = (bytes: Buffer | null): string | null => {
    if (bytes === null) return null
    if (isUtf8(bytes)) return bytes.toString('utf8')
    const where = `${topic}-${partition} at offset ${offset}`
    throw new RequestRefused('invalidRecord', `${where} holds what is no UTF-8: ask for records(name, { as: 'bytes' })`)
  }
  const shown = record.isOwn ? headers.filter(({ name }) => name !== ownHeader) : headers
  return { partition, offset, key: read(key), value: read(value), headers: headersOf(shown, read), timestamp }
}
