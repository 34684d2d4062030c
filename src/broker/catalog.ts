// The catalog: which topics there are, what was set on them and on the broker, and the cluster's id.
// Promises: a machine (kind 1): its state is what its records say; lookups are synchronous; lists are sorted by name.
// Does not know: logs and partitions' contents; how a topic is made and deleted safely (streams/topics.ts).

import { assert } from '../base/assert.ts'
import { parseTable, tableBytes } from '../base/field-codec.ts'
import { array, bool, bytes, int32, int64, list, message, string, uuid, versions } from '../base/schema.ts'
import type { Machine, MachineRecord } from '../log/machine.ts'
import { CorruptLog, type TopicId } from '../log/store.ts'
import { isListed, TopicIndex } from './catalog-topics.ts'
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
  /** Of a further ledger: the topic whose logs it is over. It has no logs (0 partitions) and is no topic to Kafka. */
  readonly over?: TopicId | undefined
  /** The number of its queue's ledger in each log; 0 unless it is a further one or was rewound. */
  readonly ledger?: number
  /** Only in memory, its logs scratch: gone with the process, and never in a record. */
  readonly isVolatile: boolean
}

/** A topic without what follows from its settings. */
export type TopicFacts = Omit<Topic, 'policy'>

const storedTopic = message(versions(0, 2), {
  id: uuid(),
  partitions: int32(),
  origin: string(),
  createdAtMs: int64(),
  settings: list({ name: string(), value: string() }),
  // What a queue's declaration said. Durable queues only are kept, and those are nobody's own.
  isQueue: bool({ since: 1 }),
  autoDelete: bool({ since: 1 }),
  arguments: bytes({ since: 1 }),
  // Which ledger the queue goes by, and over whose logs (no id: its own).
  ledger: int32({ since: 2 }),
  over: uuid({ since: 2 }),
})
const storedText = message(versions(0, 0), { texts: array(string()) })

// First letter of a key, then what it names.
const clusterKey = 'c'
const brokerSettingLetter = 'b'
const topicLetter = 't'
const separator = '\0'
const noArguments = Buffer.alloc(0)
const noTopic = Buffer.alloc(16).toString('base64url') as TopicId

/** Equal settings and declarations are one object: ten thousand queues are mostly alike. */
interface Shared {
  readonly overrides: ReadonlyMap<string, string>
  readonly policy: TopicPolicy
}
/** Kinds of settings or declarations remembered as shared; beyond it the memory starts anew. */
const sharedMax = 4096

interface State {
  clusterId: string
  readonly brokerSettings: Map<string, string>
  readonly topics: TopicIndex<Topic>
  readonly shared: Map<string, Shared>
}

const emptyState = (): State => ({
  clusterId: '',
  brokerSettings: new Map(),
  topics: new TopicIndex(),
  shared: new Map(),
})

export class Catalog implements Machine, TopicDirectory {
  readonly kind = 1
  readonly #staticDefaults: ReadonlyMap<string, string>
  #state = emptyState()
  /** While the log is replayed: what is known by then. Lookups see the state before until it is whole. */
  #replaying: State | undefined
  /** What no record tells of: it stays when the log is replayed. */
  readonly #volatile = new TopicIndex<Topic>()
  /** What clients of Kafka see of a vhost, by name; made when asked for. */
  readonly #listed = new Map<string, readonly Topic[]>()
  readonly #queueFactsSeen = new Map<string, QueueFacts>()

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
    return this.#state.topics.find(vhost, topic) ?? this.#volatile.find(vhost, topic)
  }

  /** As find(), of what clients of Kafka see. */
  findListed(vhost: string, topic: TopicRef): Topic | undefined {
    const found = this.find(vhost, topic)
    return found !== undefined && isListed(found) ? found : undefined
  }

  /** As find(), for each message. */
  named(vhost: string, name: string): Topic | undefined {
    return this.#state.topics.named(vhost, name) ?? this.#volatile.named(vhost, name)
  }

  byId(id: TopicId): Topic | undefined {
    return this.#state.topics.byId(id) ?? this.#volatile.byId(id)
  }

  /** The further ledgers over a topic's logs. */
  further(topic: TopicId): readonly Topic[] {
    return [...this.#state.topics.over(topic), ...this.#volatile.over(topic)]
  }

  /** The topic whose logs a queue is over: its own but for a further ledger. */
  sourceOf(topic: Topic): Topic {
    if (topic.over === undefined) return topic
    // It is deleted: so is what is over it, in the same turn.
    return this.byId(topic.over) ?? topic
  }

  /** What clients of Kafka see. */
  list(vhost: string): readonly Topic[] {
    let listed = this.#listed.get(vhost)
    if (listed === undefined) {
      listed = sortedByName([...this.#state.topics.of(vhost), ...this.#volatile.of(vhost)].filter(isListed))
      this.#listed.set(vhost, listed)
    }
    return listed
  }

  /** All that are queues too. */
  queues(vhost: string): Topic[] {
    const all = [...this.#state.topics.of(vhost), ...this.#volatile.of(vhost)]
    return sortedByName(all.filter((topic) => topic.queue !== undefined))
  }

  /** As of now: what changes later is not in it. */
  all(): readonly Topic[] {
    return [...this.#state.topics.all(), ...this.#volatile.all()]
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
    const value = (name: string): string => {
      const row = topicSettings.get(name)
      if (row === undefined) throw new CorruptLog(`a topic setting ${name} that this program does not know`)
      return overrides.get(name) ?? this.topicDefault(row, state).value
    }
    return compilePolicy(value, (name) => overrides.has(name))
  }

  #sharedOf(overrides: ReadonlyMap<string, string>, state: State, isVolatile: boolean): Shared {
    const key = `${isVolatile}${[...overrides].flat().join(separator)}`
    let shared = state.shared.get(key)
    if (shared === undefined) {
      if (state.shared.size >= sharedMax) state.shared.clear()
      const policy = this.policyOf(overrides, state)
      shared = { overrides, policy: isVolatile ? { ...policy, durability: 'scratch' } : policy }
      state.shared.set(key, shared)
    }
    return shared
  }

  // --- topics that are only in memory ---

  putVolatile(facts: TopicFacts): Topic {
    assert(facts.isVolatile, 'only what is volatile is kept in memory alone')
    assert(this.#state.topics.find(facts.vhost, facts) === undefined, 'one topic a name')
    const topic: Topic = { ...facts, ...this.#sharedOf(facts.overrides, this.#state, true) }
    this.#volatile.put(topic)
    this.#listed.delete(facts.vhost)
    return topic
  }

  removeVolatile(topic: Topic): void {
    this.#volatile.remove(topic.vhost, topic.name)
    this.#listed.delete(topic.vhost)
  }

  // --- records ---

  topicRecord(topic: TopicFacts): MachineRecord {
    assert(!topic.isVolatile, 'what is volatile has no record')
    return {
      key: topicKey(topic.vhost, topic.name),
      value: writeStored(storedTopic, {
        id: topic.id,
        partitions: topic.partitions,
        origin: topic.origin,
        createdAtMs: topic.createdAtMs,
        settings: [...topic.overrides].map(([name, value]) => ({ name, value })),
        isQueue: topic.queue !== undefined,
        autoDelete: topic.queue?.autoDelete ?? false,
        arguments: topic.queue === undefined ? noArguments : tableBytes(topic.queue.arguments),
        ledger: topic.ledger ?? 0,
        over: topic.over ?? noTopic,
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
    this.#listed.delete(vhost)
    if (value === null) {
      state.topics.remove(vhost, name)
      return
    }
    const stored = readStored(storedTopic, value)
    state.topics.put({
      vhost,
      name,
      id: stored.id as TopicId,
      partitions: stored.partitions,
      origin: stored.origin === 'amqp' ? 'amqp' : 'kafka',
      createdAtMs: stored.createdAtMs,
      ...this.#sharedOf(new Map(stored.settings.map((setting) => [setting.name, setting.value])), state, false),
      queue: stored.isQueue ? this.#queueFacts(stored.autoDelete, stored.arguments) : undefined,
      isVolatile: false,
      ...(stored.ledger === 0 ? undefined : { ledger: stored.ledger }),
      ...(stored.over === noTopic ? undefined : { over: stored.over as TopicId }),
    })
  }

  #queueFacts(autoDelete: boolean, stored: Buffer): QueueFacts {
    const key = `${autoDelete}${stored.toString('latin1')}`
    let facts = this.#queueFactsSeen.get(key)
    if (facts === undefined) {
      if (this.#queueFactsSeen.size >= sharedMax) this.#queueFactsSeen.clear()
      // A copy: a field keeps the bytes it was read from, and these may be a slice of a whole batch.
      const table = stored.length === 0 ? [] : parseTable(Buffer.from(stored))
      facts = { durable: true, exclusive: false, autoDelete, arguments: table }
      this.#queueFactsSeen.set(key, facts)
    }
    return facts
  }

  /** The broker's defaults changed: so do the policies that follow them. */
  #recompile(state: State): void {
    state.shared.clear()
    for (const topic of state.topics.all())
      state.topics.put({ ...topic, ...this.#sharedOf(topic.overrides, state, false) })
    if (state === this.#state) this.#recompileVolatile()
    this.#listed.clear()
  }

  #recompileVolatile(): void {
    for (const topic of this.#volatile.all())
      this.#volatile.put({ ...topic, ...this.#sharedOf(topic.overrides, this.#state, true) })
  }

  *entries(): Generator<MachineRecord> {
    if (this.clusterId !== '') yield this.clusterIdRecord(this.clusterId)
    for (const [name, value] of this.brokerSettings) yield this.brokerSettingRecord(name, value)
    for (const topic of this.#state.topics.all()) yield this.topicRecord(topic)
  }

  reset(): void {
    this.#replaying = emptyState()
  }

  replayed(): void {
    if (this.#replaying === undefined) return
    this.#state = this.#replaying
    this.#replaying = undefined
    this.#recompileVolatile()
    this.#listed.clear()
  }
}

const sortedByName = (topics: Topic[]): Topic[] => topics.sort((one, other) => (one.name < other.name ? -1 : 1))

const topicKey = (vhost: string, name: string): Buffer => Buffer.from(topicLetter + vhost + separator + name)
