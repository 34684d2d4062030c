// The catalog: which topics there are, what was set on them and on the broker, and the cluster's id.
// Promises: a machine (kind 1): its state is what its records say; lookups are synchronous; lists are sorted by name.
// Does not know: logs and partitions' contents; how a topic is made and deleted safely (streams/topics.ts).

import { array, int32, int64, list, message, string, uuid, versions } from '../base/schema.ts'
import type { Machine, MachineRecord } from '../log/machine.ts'
import { CorruptLog, type TopicId } from '../log/store.ts'
import type { TopicDirectory } from './directory.ts'
import type { TopicRef, TopicView } from './door.ts'
import type { QueueFacts } from './queues/facts.ts'
import { readStored, writeStored } from './stored.ts'
import { compilePolicy, type TopicPolicy } from './settings/topic-policy.ts'
import { topicSettings, type TopicSettingRow } from './settings/topic-settings.ts'

export interface Topic extends TopicView {
  readonly vhost: string
  /** Whose clients made it. */
  readonly origin: 'kafka' | 'amqp'
  readonly createdAtMs: number
  readonly overrides: ReadonlyMap<string, string>
  readonly policy: TopicPolicy
  /** What its declaration said; undefined: no queue was declared over it. */
  readonly queue: QueueFacts | undefined
  /** Only in memory, its logs scratch: gone with the process, and never in a record. */
  readonly isVolatile: boolean
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

interface State {
  clusterId: string
  readonly brokerSettings: Map<string, string>
  readonly byName: Map<string, Map<string, Topic>>
  readonly byId: Map<TopicId, Topic>
  /** By vhost; made when asked for. */
  readonly sorted: Map<string, readonly Topic[]>
}

const emptyState = (): State => ({
  clusterId: '',
  brokerSettings: new Map(),
  byName: new Map(),
  byId: new Map(),
  sorted: new Map(),
})

export class Catalog implements Machine, TopicDirectory {
  readonly kind = 1
  readonly #staticDefaults: ReadonlyMap<string, string>
  #state = emptyState()
  /** While the log is replayed: what is known by then. Lookups see the state before until it is whole. */
  #replaying: State | undefined

  /** `staticDefaults`: what the operator's configuration says, by broker or topic setting name. */
  constructor(staticDefaults: ReadonlyMap<string, string>) {
    this.#staticDefaults = staticDefaults
  }

  // --- lookups ---

  get clusterId(): string {
    return this.#state.clusterId
  }

  /** Broker settings changed while running, by their Kafka names. */
  get brokerSettings(): ReadonlyMap<string, string> {
    return this.#state.brokerSettings
  }

  find(vhost: string, topic: TopicRef): Topic | undefined {
    if ('name' in topic) return this.#state.byName.get(vhost)?.get(topic.name)
    const found = this.#state.byId.get(topic.id)
    return found?.vhost === vhost ? found : undefined
  }

  byId(id: TopicId): Topic | undefined {
    return this.#state.byId.get(id)
  }

  list(vhost: string): readonly Topic[] {
    let sorted = this.#state.sorted.get(vhost)
    if (sorted === undefined) {
      sorted = [...(this.#state.byName.get(vhost)?.values() ?? [])].sort((one, other) =>
        one.name < other.name ? -1 : 1,
      )
      this.#state.sorted.set(vhost, sorted)
    }
    return sorted
  }

  /** As of now: what changes later is not in it. */
  all(): readonly Topic[] {
    return [...this.#state.byId.values()]
  }

  /** What a topic has that does not override `row`: changed while running, configured, or Kafka's default. */
  topicDefault(row: TopicSettingRow, state = this.#state): { value: string; source: 'broker' | 'static' | 'default' } {
    if (row.brokerName !== undefined) {
      const dynamic = state.brokerSettings.get(row.brokerName)
      if (dynamic !== undefined) return { value: dynamic, source: 'broker' }
    }
    const configured = this.#staticDefaults.get(row.brokerName ?? row.name) ?? this.#staticDefaults.get(row.name)
    if (configured !== undefined) return { value: configured, source: 'static' }
    return { value: row.byDefault, source: 'default' }
  }

  policyOf(overrides: ReadonlyMap<string, string>, state = this.#state): TopicPolicy {
    return compilePolicy((name) => {
      const row = topicSettings.get(name)
      if (row === undefined) throw new CorruptLog(`a topic setting ${name} that this program does not know`)
      return overrides.get(name) ?? this.topicDefault(row, state).value
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
    const state = this.#replaying ?? this.#state
    const text = key.toString('utf8')
    const rest = text.slice(1)
    switch (text[0]) {
      case topicLetter:
        return this.#applyTopic(state, rest, value)
      case brokerSettingLetter:
        if (value === null) state.brokerSettings.delete(rest)
        else state.brokerSettings.set(rest, readStored(storedText, value).texts[0])
        return this.#recompile(state)
      case clusterKey:
        state.clusterId = value === null ? '' : readStored(storedText, value).texts[0]
        return
      default:
        throw new CorruptLog(`a catalog record of a kind that this program does not know: ${text[0]}`)
    }
  }

  #applyTopic(state: State, rest: string, value: Buffer | null): void {
    const cut = rest.indexOf(separator)
    const vhost = rest.slice(0, cut)
    const name = rest.slice(cut + 1)
    let topics = state.byName.get(vhost)
    if (topics === undefined) state.byName.set(vhost, (topics = new Map()))
    const before = topics.get(name)
    if (before !== undefined) state.byId.delete(before.id)
    state.sorted.delete(vhost)
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
      policy: this.policyOf(overrides, state),
      queue: undefined,
      isVolatile: false,
    }
    topics.set(name, topic)
    state.byId.set(topic.id, topic)
  }

  /** The broker's defaults changed: so do the policies that follow them. */
  #recompile(state: State): void {
    for (const topic of state.byId.values()) {
      const changed = { ...topic, policy: this.policyOf(topic.overrides, state) }
      state.byId.set(topic.id, changed)
      state.byName.get(topic.vhost)?.set(topic.name, changed)
    }
    state.sorted.clear()
  }

  *entries(): Generator<MachineRecord> {
    if (this.clusterId !== '') yield this.clusterIdRecord(this.clusterId)
    for (const [name, value] of this.brokerSettings) yield this.brokerSettingRecord(name, value)
    for (const topic of this.#state.byId.values()) yield this.topicRecord(topic)
  }

  reset(): void {
    this.#replaying = emptyState()
  }

  replayed(): void {
    if (this.#replaying !== undefined) this.#state = this.#replaying
    this.#replaying = undefined
  }
}

const topicKey = (vhost: string, name: string): Buffer => Buffer.from(topicLetter + vhost + separator + name)
