// The catalog: which topics there are, what was set on them and on the broker, and the cluster's id.
// Promises: a machine (kind 1): its state is what its records say; lookups are synchronous; lists are sorted by name.
// Does not know: logs and partitions' contents; how a topic is made and deleted safely (streams/topics.ts).

import { array, int32, int64, list, message, string, uuid, versions } from '../base/schema.ts'
import type { Machine, MachineRecord } from '../log/machine.ts'
import { CorruptLog, type TopicId } from '../log/store.ts'
import type { TopicDirectory } from './directory.ts'
import type { TopicRef, TopicView } from './door.ts'
import { readStored, writeStored } from './stored.ts'
import { compilePolicy, type TopicPolicy } from './topic-policy.ts'
import { topicSettings, type TopicSettingRow } from './topic-settings.ts'

export interface Topic extends TopicView {
  readonly vhost: string
  /** Who made it; only Kafka clients can today. */
  readonly origin: 'kafka'
  readonly createdAtMs: number
  readonly overrides: ReadonlyMap<string, string>
  readonly policy: TopicPolicy
}

/** A topic without what follows from its settings. */
export type TopicFacts = Omit<Topic, 'policy'>

const storedTopic = message(versions(0, 0), {
  id: uuid(),
  partitions: int32(),
  origin: string(),
  createdAtMs: int64(),
  settings: list({ name: string(), value: string() }),
})
const storedText = message(versions(0, 0), { texts: array(string()) })

// First letter of a key, then what it names.
const clusterKey = 'c'
const brokerSettingLetter = 'b'
const topicLetter = 't'
const separator = '\0'

export class Catalog implements Machine, TopicDirectory {
  readonly kind = 1
  clusterId = ''
  /** Broker settings changed while running, by their Kafka names. */
  readonly brokerSettings = new Map<string, string>()
  readonly #staticDefaults: ReadonlyMap<string, string>
  readonly #byName = new Map<string, Map<string, Topic>>()
  readonly #byId = new Map<TopicId, Topic>()
  readonly #sorted = new Map<string, readonly Topic[]>()

  /** `staticDefaults`: what the operator's configuration says, by broker or topic setting name. */
  constructor(staticDefaults: ReadonlyMap<string, string>) {
    this.#staticDefaults = staticDefaults
  }

  // --- lookups ---

  find(vhost: string, topic: TopicRef): Topic | undefined {
    if ('name' in topic) return this.#byName.get(vhost)?.get(topic.name)
    const found = this.#byId.get(topic.id)
    return found?.vhost === vhost ? found : undefined
  }

  byId(id: TopicId): Topic | undefined {
    return this.#byId.get(id)
  }

  list(vhost: string): readonly Topic[] {
    let sorted = this.#sorted.get(vhost)
    if (sorted === undefined) {
      sorted = [...(this.#byName.get(vhost)?.values() ?? [])].sort((one, other) => (one.name < other.name ? -1 : 1))
      this.#sorted.set(vhost, sorted)
    }
    return sorted
  }

  /** As of now: what changes later is not in it. */
  all(): readonly Topic[] {
    return [...this.#byId.values()]
  }

  /** What a topic has that does not override `row`: changed while running, configured, or Kafka's default. */
  topicDefault(row: TopicSettingRow): { value: string; source: 'broker' | 'static' | 'default' } {
    if (row.brokerName !== undefined) {
      const dynamic = this.brokerSettings.get(row.brokerName)
      if (dynamic !== undefined) return { value: dynamic, source: 'broker' }
    }
    const configured = this.#staticDefaults.get(row.brokerName ?? row.name) ?? this.#staticDefaults.get(row.name)
    if (configured !== undefined) return { value: configured, source: 'static' }
    return { value: row.byDefault, source: 'default' }
  }

  policyOf(overrides: ReadonlyMap<string, string>): TopicPolicy {
    return compilePolicy((name) => {
      const row = topicSettings.get(name)
      if (row === undefined) throw new CorruptLog(`a topic setting ${name} that this program does not know`)
      return overrides.get(name) ?? this.topicDefault(row).value
    })
  }

  // --- records ---

  topicRecord(topic: TopicFacts): MachineRecord {
    return {
      key: topicKey(topic.vhost, topic.name),
      value: writeStored(storedTopic, {
        id: topic.id,
        partitions: topic.partitions,
        origin: topic.origin,
        createdAtMs: topic.createdAtMs,
        settings: [...topic.overrides].map(([name, value]) => ({ name, value })),
      }),
    }
  }

  topicGone(topic: TopicFacts): MachineRecord {
    return { key: topicKey(topic.vhost, topic.name), value: null }
  }

  clusterIdRecord(clusterId: string): MachineRecord {
    return { key: Buffer.from(clusterKey), value: writeStored(storedText, { texts: [clusterId] }) }
  }

  /** null: back to what is configured. */
  brokerSettingRecord(name: string, value: string | null): MachineRecord {
    return {
      key: Buffer.from(brokerSettingLetter + name),
      value: value === null ? null : writeStored(storedText, { texts: [value] }),
    }
  }

  // --- the machine ---

  apply(key: Buffer, value: Buffer | null): void {
    const text = key.toString('utf8')
    const rest = text.slice(1)
    switch (text[0]) {
      case topicLetter:
        return this.#applyTopic(rest, value)
      case brokerSettingLetter:
        if (value === null) this.brokerSettings.delete(rest)
        else this.brokerSettings.set(rest, readStored(storedText, value).texts[0])
        return this.#recompile()
      case clusterKey:
        this.clusterId = value === null ? '' : readStored(storedText, value).texts[0]
        return
      default:
        throw new CorruptLog(`a catalog record of a kind that this program does not know: ${text[0]}`)
    }
  }

  #applyTopic(rest: string, value: Buffer | null): void {
    const cut = rest.indexOf(separator)
    const vhost = rest.slice(0, cut)
    const name = rest.slice(cut + 1)
    let topics = this.#byName.get(vhost)
    if (topics === undefined) this.#byName.set(vhost, (topics = new Map()))
    const before = topics.get(name)
    if (before !== undefined) this.#byId.delete(before.id)
    this.#sorted.delete(vhost)
    if (value === null) {
      topics.delete(name)
      return
    }
    const stored = readStored(storedTopic, value)
    const overrides = new Map(stored.settings.map((setting) => [setting.name, setting.value]))
    const topic: Topic = {
      vhost,
      name,
      id: stored.id as TopicId,
      partitions: stored.partitions,
      origin: 'kafka',
      createdAtMs: stored.createdAtMs,
      overrides,
      policy: this.policyOf(overrides),
    }
    topics.set(name, topic)
    this.#byId.set(topic.id, topic)
  }

  /** The broker's defaults changed: so do the policies that follow them. */
  #recompile(): void {
    for (const topic of this.#byId.values()) {
      const changed = { ...topic, policy: this.policyOf(topic.overrides) }
      this.#byId.set(topic.id, changed)
      this.#byName.get(topic.vhost)?.set(topic.name, changed)
    }
    this.#sorted.clear()
  }

  *entries(): Generator<MachineRecord> {
    if (this.clusterId !== '') yield this.clusterIdRecord(this.clusterId)
    for (const [name, value] of this.brokerSettings) yield this.brokerSettingRecord(name, value)
    for (const topic of this.#byId.values()) yield this.topicRecord(topic)
  }

  reset(): void {
    this.clusterId = ''
    this.brokerSettings.clear()
    this.#byName.clear()
    this.#byId.clear()
    this.#sorted.clear()
  }
}

const topicKey = (vhost: string, name: string): Buffer => Buffer.from(topicLetter + vhost + separator + name)
