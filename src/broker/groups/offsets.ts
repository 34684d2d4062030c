// Committed offsets: the machine (kind 4) of how far each group came in each partition.
// Promises: its state is what its records say. Offsets belong to a topic's id: a topic made again begins without any.
// Does not know: who may commit (group-sync.ts), when offsets expire (offsets-retention.ts), topics' names.
//
// Key: vhost, group (each an int16 length and UTF-8), topic id (16 bytes), partition (int32).
// Value: uint8 version, then the table below.

import { Reader, Writer } from '../../base/bytes.ts'
import { codecFor } from '../../base/schema-compose.ts'
import { int32, int64, message, string, uuid, versions, type ValueOf } from '../../base/schema.ts'
import type { Machine, MachineRecord } from '../../log/machine.ts'
import type { TopicId } from '../../log/store.ts'
import { readStored, writeStored } from '../stored.ts'

const keyTable = message(versions(0, 0), { vhost: string(), group: string(), topicId: uuid(), partition: int32() })
const keyCodec = codecFor(keyTable, 0)

const storedOffset = message(versions(0, 0), {
  offset: int64(),
  /** -1: not told. */
  leaderEpoch: int32(),
  metadata: string(),
  /** Wall clock, ms. */
  committedAtMs: int64(),
})
export type StoredOffset = ValueOf<typeof storedOffset>

/** A partition some group committed in. */
export interface OffsetPlace {
  readonly topicId: TopicId
  readonly partition: number
}

type GroupOffsets = Map<TopicId, Map<number, StoredOffset>>

export class Offsets implements Machine {
  readonly kind = 4
  /** vhost → group → topic → partition. Nothing empty is kept. */
  readonly #byVhost = new Map<string, Map<string, GroupOffsets>>()

  // --- lookups ---

  find(vhost: string, group: string, { topicId, partition }: OffsetPlace): StoredOffset | undefined {
    return this.#byVhost.get(vhost)?.get(group)?.get(topicId)?.get(partition)
  }

  has(vhost: string, group: string): boolean {
    return this.#byVhost.get(vhost)?.has(group) ?? false
  }

  *ofGroup(vhost: string, group: string): Generator<OffsetPlace & { readonly stored: StoredOffset }> {
    const topics = this.#byVhost.get(vhost)?.get(group)
    if (topics === undefined) return
    for (const [topicId, partitions] of topics)
      for (const [partition, stored] of partitions) yield { topicId, partition, stored }
  }

  /** Every group that has offsets, and the topics it has them of. */
  *groups(): Generator<{ readonly vhost: string; readonly group: string; readonly topics: Iterable<TopicId> }> {
    for (const [vhost, groups] of this.#byVhost)
      for (const [group, topics] of groups) yield { vhost, group, topics: topics.keys() }
  }

  // --- records ---

  record(vhost: string, group: string, place: OffsetPlace, offset: StoredOffset): MachineRecord {
    return { key: writeKey(vhost, group, place), value: writeStored(storedOffset, offset) }
  }

  goneRecord(vhost: string, group: string, place: OffsetPlace): MachineRecord {
    return { key: writeKey(vhost, group, place), value: null }
  }

  /** What makes the group forget the topic. */
  *goneOfTopic(vhost: string, group: string, topicId: TopicId): Generator<MachineRecord> {
    const partitions = this.#byVhost.get(vhost)?.get(group)?.get(topicId)
    if (partitions === undefined) return
    for (const partition of partitions.keys()) yield this.goneRecord(vhost, group, { topicId, partition })
  }

  // --- the machine ---

  apply(key: Buffer, value: Buffer | null): void {
    const { vhost, group, topicId, partition } = keyCodec.decode(new Reader(key))
    if (value === null) this.#remove(vhost, group, topicId as TopicId, partition)
    else this.#partitionsOf(vhost, group, topicId as TopicId).set(partition, readStored(storedOffset, value))
  }

  #partitionsOf(vhost: string, group: string, topicId: TopicId): Map<number, StoredOffset> {
    let groups = this.#byVhost.get(vhost)
    if (groups === undefined) this.#byVhost.set(vhost, (groups = new Map()))
    let topics = groups.get(group)
    if (topics === undefined) groups.set(group, (topics = new Map()))
    let partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, (partitions = new Map()))
    return partitions
  }

  #remove(vhost: string, group: string, topicId: TopicId, partition: number): void {
    const groups = this.#byVhost.get(vhost)
    const topics = groups?.get(group)
    const partitions = topics?.get(topicId)
    partitions?.delete(partition)
    if (partitions?.size === 0) topics?.delete(topicId)
    if (topics?.size === 0) groups?.delete(group)
  }

  *entries(): Generator<MachineRecord> {
    for (const { vhost, group } of this.groups())
      for (const { stored, ...place } of this.ofGroup(vhost, group)) yield this.record(vhost, group, place, stored)
  }

  reset(): void {
    this.#byVhost.clear()
  }
}

function writeKey(vhost: string, group: string, { topicId, partition }: OffsetPlace): Buffer {
  const writer = new Writer()
  keyCodec.encode(writer, { vhost, group, topicId, partition })
  return Buffer.concat(writer.finish())
}
