// What a topic would be: wishes judged before anything is made.
// Promises: a plan can be made as it stands; names that would be one in Kafka's metrics are refused.
// Does not know: logs, records, who asks.

import { partitionsMax } from '../../base/limits.ts'
import type { Random } from '../../base/world.ts'
import type { TopicId } from '../../log/store.ts'
import type { Catalog, Topic } from '../catalog.ts'
import type { NewTopic } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { judgeTopicSettings, normalisedAll } from '../settings/topic-policy.ts'
import { mayCollide, metricName } from './topic-names.ts'

/** How many partitions a new topic gets. */
export function judgePartitions(wanted: NewTopic, nodeId: number, byDefault: () => number): number | Refusal {
  const { partitions, replicationFactor, assignments } = wanted
  if (assignments !== undefined && assignments.length > 0) {
    if ((partitions ?? -1) !== -1)
      return refuse(
        'invalidRequest',
        'A manual partition assignment was specified, but numPartitions was not set to -1.',
      )
    if ((replicationFactor ?? -1) !== -1)
      return refuse(
        'invalidRequest',
        'A manual partition assignment was specified, but replication factor was not set to -1.',
      )
    const wrong = assignments.find((replicas) => replicas.length !== 1 || replicas[0] !== nodeId)
    if (wrong !== undefined)
      return refuse(
        'invalidReplicaAssignment',
        `There is one node here, ${nodeId}: replicas [${wrong.join(', ')}] cannot be.`,
      )
    return judgePartitionCount(assignments.length) ?? assignments.length
  }
  const factor = replicationFactor ?? -1
  if (factor !== -1 && factor !== 1)
    return refuse(
      'invalidReplicationFactor',
      factor < 1
        ? 'Replication factor must be larger than 0, or -1 to use the default value.'
        : `Unable to replicate the partition ${factor} time(s): this is one node, its replication factor is 1.`,
    )
  const count = partitions === undefined || partitions === -1 ? byDefault() : partitions
  return judgePartitionCount(count) ?? count
}

export function judgePartitionCount(partitions: number): Refusal | undefined {
  if (!Number.isInteger(partitions) || partitions < 1)
    return refuse('invalidPartitions', 'Number of partitions must be larger than 0, or -1 to use the default value.')
  if (partitions > partitionsMax)
    return refuse('invalidPartitions', `A topic has at most ${partitionsMax} partitions; ${partitions} were asked for.`)
  return undefined
}

export function newTopicId(random: Random, catalog: Catalog): TopicId {
  for (;;) {
    const id = random.bytes(16).toString('base64url') as TopicId
    // Kafka's tools take an id that begins with '-' for a flag; ids of few leading zero bytes are reserved.
    const isReserved = id.startsWith('-') || id.startsWith('AAAAAAAAAAAAAAAAAAAA')
    if (!isReserved && catalog.byId(id) === undefined) return id
  }
}

/** The lowest number, from 1 on, that no ledger over the topic has. */
export function freeLedger(catalog: Catalog, topic: Topic): number {
  const taken = new Set([topic.ledger ?? 0, ...catalog.further(topic.id).map((one) => one.ledger ?? 0)])
  let number = 1
  while (taken.has(number)) number++
  return number
}

export function overridesOf(settings: ReadonlyMap<string, string | null>): Map<string, string> | Refusal {
  const overrides = new Map<string, string>()
  for (const [name, value] of settings) {
    if (value === null) return refuse('invalidSetting', `Null value not supported for topic configs: ${name}`)
    overrides.set(name, value)
  }
  return judgeTopicSettings(overrides) ?? normalisedAll(overrides)
}

/** True for what it saw before. */
export function seenBefore(): (name: string) => boolean {
  const seen = new Set<string>()
  return (name) => seen.size === seen.add(name).size
}

/** Names as metrics see them; made only when a name asked for could collide. Only names Kafka has count. */
export class MetricNames {
  readonly #catalog: Catalog
  readonly #vhost: string
  #names: Map<string, string> | undefined
  readonly #added: string[] = []

  constructor(catalog: Catalog, vhost: string) {
    this.#catalog = catalog
    this.#vhost = vhost
  }

  collision(name: string): string | undefined {
    if (!mayCollide(name)) return undefined
    if (this.#names === undefined) {
      const names = [...this.#catalog.list(this.#vhost).map((topic) => topic.name), ...this.#added]
      this.#names = new Map(names.filter(mayCollide).map((one) => [metricName(one), one]))
    }
    return this.#names.get(metricName(name))
  }

  add(name: string): void {
    this.#added.push(name)
    if (mayCollide(name)) this.#names?.set(metricName(name), name)
  }
}
