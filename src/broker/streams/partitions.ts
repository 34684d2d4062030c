// All partitions at run time, by topic id: made when first asked for, gone with their topic.
// Promises: the same Partition for the same topic id and number as long as the topic lives.
// Does not know: names (the catalog), what a partition does.

import { assert } from '../../base/assert.ts'
import { logId, partitionOf, topicOf, type TopicId } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import { Partition, type PartitionHost } from './partition.ts'

export class Partitions {
  readonly #host: PartitionHost
  readonly #byTopic = new Map<TopicId, (Partition | undefined)[]>()

  #opened: ((topic: TopicId, partition: number) => void) | undefined

  constructor(host: PartitionHost) {
    this.#host = { ...host, opened: (id) => this.#opened?.(topicOf(id), partitionOf(id)) }
  }

  /** `opened` is called for each log that is opened, before anything is produced to it. */
  watchOpens(opened: (topic: TopicId, partition: number) => void): void {
    this.#opened = opened
  }

  /** undefined: the topic has no such partition. */
  of(topic: Topic, index: number): Partition | undefined {
    if (!(index >= 0 && index < topic.partitions)) return undefined
    let partitions = this.#byTopic.get(topic.id)
    if (partitions === undefined) this.#byTopic.set(topic.id, (partitions = []))
    return (partitions[index] ??= new Partition(this.#host, logId(topic.id, index)))
  }

  /** As of(), but only when it was asked for before. */
  seen(topic: Topic, index: number): Partition | undefined {
    return this.#byTopic.get(topic.id)?.[index]
  }

  *all(): Generator<Partition> {
    for (const partitions of this.#byTopic.values()) for (const partition of partitions) if (partition) yield partition
  }

  /** A topic's settings changed: its open logs follow. */
  async configure(topic: Topic): Promise<void> {
    const partitions = this.#byTopic.get(topic.id) ?? []
    await Promise.all(partitions.map((partition) => partition?.configure(topic.policy)))
  }

  /** The topic is gone. Resolves when what was on its way to its logs is committed or refused. */
  async drop(topic: TopicId): Promise<void> {
    const dropped = this.#byTopic.get(topic) ?? []
    this.#byTopic.delete(topic)
    for (const partition of dropped) partition?.drop()
    await Promise.all(dropped.map((partition) => partition?.settled()))
  }

  /** A topic that was to have more has so many after all: whoever asked for those behind them meanwhile asks anew. */
  dropFrom(topic: TopicId, count: number): void {
    const partitions = this.#byTopic.get(topic) ?? []
    for (const partition of partitions.splice(count)) partition?.drop()
  }

  /** After a clean end nothing has to be read again: what the producers of each partition wrote is kept. */
  async close(): Promise<void> {
    const snapshots = await Promise.all([...this.all()].map((partition) => partition.lastSnapshot()))
    const taken = snapshots.filter((snapshot) => snapshot !== undefined)
    assert(taken.length <= snapshots.length, 'one snapshot a partition')
    await this.#host.snapshots.keep(taken)
  }
}
