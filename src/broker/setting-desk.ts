// The setting desk: shows and changes the settings of topics and of the broker, as Kafka's admin tools know them.
// Promises: what is shown is in force; a change is judged whole before any of it is done, and kept when it answers.
// Does not know: who asks. Which settings there are: topic-settings.ts, broker-settings.ts.

import type { MachineLog } from '../log/machine.ts'
import { AppendFailure } from '../log/store.ts'
import { BrokerSettings, brokerSettingRows, brokerSettings, judgeBrokerSetting } from './settings/broker-settings.ts'
import type { Catalog, Topic } from './catalog.ts'
import type { ConfigResource, SettingChange, SettingSource, SettingView } from './door.ts'
import { isRefusal, refuse, type Refusal } from './errors.ts'
import type { QueuePolicy } from './queues/facts.ts'
import { queueSettingPrefix, queueSettingsOf, type QueueSetting } from './settings/queue-settings.ts'
import { listOf, type SettingType } from './settings/setting-values.ts'
import type { Partitions } from './streams/partitions.ts'
import type { Topics } from './streams/topics.ts'
import { judgeTopicSettings, normalisedAll } from './settings/topic-policy.ts'
import { topicSettingRows, topicSettings, type TopicSettingRow } from './settings/topic-settings.ts'

/** What asks for more than a transient queue can promise. */
const syncs = ['durability', 'flush.messages', 'flush.ms']

type Synonym = SettingView['synonyms'][number]

export interface SettingDeskHost {
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly topics: Topics
  readonly partitions: Partitions
  readonly settings: BrokerSettings
  readonly nodeId: number
  /** Values that only this process knows: node.id, listeners, log.dirs. */
  readonly facts: () => ReadonlyMap<string, string>
  /** Of the queue over a topic. */
  queueOf(topic: Topic): { readonly policy: QueuePolicy; readonly declared: ReadonlyMap<string, string> } | undefined
}

/** What a topic of consumed messages keeps of them by itself. */
const keptByDefault = ['retention.ms', 'retention.bytes']

export class SettingDesk {
  readonly #host: SettingDeskHost

  constructor(host: SettingDeskHost) {
    this.#host = host
  }

  describe(vhost: string, resource: ConfigResource): readonly SettingView[] | Refusal {
    if (resource.kind === 'topic') {
      const topic = this.#listed(vhost, resource.name)
      return isRefusal(topic) ? topic : this.ofTopic(topic)
    }
    if (resource.kind === 'broker') return this.#judgeBroker(resource.name) ?? this.#ofBroker(resource.name === '')
    // Groups have no settings of their own.
    return []
  }

  #listed(vhost: string, name: string): Topic | Refusal {
    const topic = this.#host.catalog.findListed(vhost, { name })
    return topic ?? refuse('unknownTopic', `There is no topic '${name}'.`)
  }

  #declared(topic: Topic): ReadonlyMap<string, string> {
    return topic.origin === 'amqp' ? (this.#host.queueOf(topic)?.declared ?? nothingDeclared) : nothingDeclared
  }

  ofTopic(topic: Topic): readonly SettingView[] {
    const queue = this.#host.queueOf(topic)
    const shown = topicSettingRows.map((row) => this.#viewOfTopic(topic, row))
    return queue === undefined ? shown : [...queueSettingsOf(queue.policy).map(factView), ...shown]
  }

  #viewOfTopic(topic: Topic, row: TopicSettingRow): SettingView {
    const isScratch = topic.isVolatile && row.name === 'durability'
    const own = isScratch ? 'scratch' : topic.overrides.get(row.name)
    const synonyms: Synonym[] = own === undefined ? [] : [{ name: row.name, value: own, source: 'topic' }]
    if (row.brokerName !== undefined) synonyms.push(...this.#synonymsOf(row.brokerName))
    const kept = own === undefined ? consumedDefault(topic, row.name) : undefined
    if (kept !== undefined) synonyms.length = 0
    const inForce =
      kept === undefined ? this.#host.catalog.topicDefault(row) : { value: kept, source: 'default' as const }
    const source: SettingSource = own === undefined ? inForce.source : 'topic'
    return {
      name: row.name,
      value: own ?? inForce.value,
      source,
      isDefault: source === 'default',
      readOnly: isScratch,
      sensitive: false,
      type: row.type,
      documentation: row.documentation,
      synonyms,
    }
  }

  /** Where a broker setting is set, the strongest first. */
  #synonymsOf(name: string): Synonym[] {
    const { settings } = this.#host
    const synonyms: Synonym[] = []
    const changed = settings.changed(name)
    if (changed !== undefined) synonyms.push({ name, value: changed, source: 'broker' })
    const given = settings.given(name) ?? this.#host.facts().get(name)
    if (given !== undefined) synonyms.push({ name, value: given, source: 'static' })
    const byDefault = brokerSettings.get(name)?.byDefault
    if (byDefault !== undefined && byDefault !== null) synonyms.push({ name, value: byDefault, source: 'default' })
    return synonyms
  }

  #judgeBroker(name: string): Refusal | undefined {
    return name === '' || name === String(this.#host.nodeId)
      ? undefined
      : refuse('invalidRequest', `There is one broker here, ${this.#host.nodeId}, not '${name}'.`)
  }

  /** The cluster-wide default ('') shows only what was changed while running, as Kafka does. */
  #ofBroker(changedOnly: boolean): SettingView[] {
    const views: SettingView[] = []
    for (const row of brokerSettingRows) {
      const synonyms = this.#synonymsOf(row.name)
      const source: SettingSource = synonyms.length === 0 ? 'default' : synonyms[0].source
      if (changedOnly && source !== 'broker') continue
      views.push({
        name: row.name,
        value: synonyms.length === 0 ? row.byDefault : synonyms[0].value,
        source,
        isDefault: source === 'default',
        readOnly: !row.isDynamic,
        sensitive: false,
        type: row.type,
        documentation: row.documentation,
        synonyms,
      })
    }
    return views
  }

  async alter(
    vhost: string,
    resource: ConfigResource,
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental',
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const names = new Set(changes.map((change) => change.name))
    if (names.size !== changes.length) return refuse('invalidRequest', 'A setting is named more than once.')
    if (resource.kind === 'topic') return this.#alterTopic(vhost, resource.name, changes, mode, validateOnly)
    if (resource.kind === 'broker') return this.#alterBroker(resource.name, changes, mode, validateOnly)
    return refuse('invalidRequest', 'Groups have no settings here.')
  }

  async #alterTopic(
    vhost: string,
    name: string,
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental',
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const topic = this.#listed(vhost, name)
    if (isRefusal(topic)) return topic
    // What a queue's declaration said of its topic is that topic's default.
    const declared = this.#declared(topic)
    const overrides = new Map(mode === 'replace' ? declared : topic.overrides)
    for (const change of changes) {
      if (change.name.startsWith(queueSettingPrefix))
        return refuse(
          'invalidSetting',
          `${change.name} tells of the queue's declaration and policies: it is not set here.`,
        )
      const row = topicSettings.get(change.name)
      if (row === undefined) return refuse('invalidSetting', `Unknown topic config name: ${change.name}`)
      const inForce = topic.overrides.get(row.name) ?? this.#host.catalog.topicDefault(row).value
      const value = changedValue(change, row.type, inForce)
      if (isRefusal(value)) return value
      if (topic.isVolatile && syncs.includes(row.name))
        return refuse('invalidSetting', `A transient queue is gone at the next start: ${row.name} says nothing of it.`)
      const kept = value ?? declared.get(row.name)
      if (kept === undefined) overrides.delete(row.name)
      else overrides.set(row.name, kept)
    }
    const wrong = judgeTopicSettings(overrides)
    if (wrong !== undefined) return wrong
    return validateOnly ? true : this.#host.topics.configure(topic, normalisedAll(overrides))
  }

  async #alterBroker(
    name: string,
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental',
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const otherBroker = this.#judgeBroker(name)
    if (otherBroker !== undefined) return otherBroker
    const { catalog } = this.#host
    const values = new Map<string, string | null>()
    if (mode === 'replace') for (const changed of catalog.brokerSettings.keys()) values.set(changed, null)
    for (const change of changes) {
      const row = brokerSettings.get(change.name)
      if (row === undefined) return refuse('invalidSetting', `Unknown broker config name: ${change.name}`)
      if (!row.isDynamic)
        return refuse('invalidSetting', `Cannot update these configs dynamically: ${row.name}. ${row.documentation}`)
      const value = changedValue(change, row.type, this.#host.settings.text(row.name))
      if (isRefusal(value)) return value
      const wrong = value === null ? undefined : judgeBrokerSetting(row.name, value)
      if (wrong !== undefined)
        return refuse('invalidSetting', `Invalid value ${value} for configuration ${row.name}: ${wrong}`)
      values.set(row.name, value)
    }
    return validateOnly || values.size === 0 ? true : this.#keep(values)
  }

  async #keep(values: ReadonlyMap<string, string | null>): Promise<true | Refusal> {
    const { catalog, machineLog, partitions } = this.#host
    try {
      await machineLog.append(
        catalog,
        [...values].map(([name, value]) => catalog.brokerSettingRecord(name, value)),
      )
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return refuse('storageFailed', `The settings could not be stored: ${error.message}`)
    }
    // Defaults of topics changed: open logs follow.
    for (const topic of catalog.all()) await partitions.configure(topic)
    return true
  }
}

const nothingDeclared: ReadonlyMap<string, string> = new Map()

/** What a topic under cleanup.policy=consumed keeps that does not say so itself: nothing, or as much as the other says. */
function consumedDefault({ policy, overrides }: Topic, name: string): string | undefined {
  if (!policy.dropsConsumed || policy.isRetained || !keptByDefault.includes(name)) return undefined
  return keptByDefault.some((one) => overrides.has(one)) ? '-1' : '0'
}

const factView = ({ name, value, type, documentation }: QueueSetting): SettingView => ({
  name,
  value,
  source: 'topic',
  isDefault: false,
  readOnly: true,
  sensitive: false,
  type,
  documentation,
  synonyms: [{ name, value, source: 'topic' }],
})

/** The text a change leads to, null for "back to the default"; KIP-339's append and subtract are for lists. */
function changedValue(change: SettingChange, type: SettingType, inForce: string): string | null | Refusal {
  if (change.operation === 'delete') return null
  if (change.value === null)
    return change.operation === 'set' ? null : refuse('invalidRequest', `Null value not supported for ${change.name}.`)
  if (change.operation === 'set') return change.value
  if (type !== 'list')
    return refuse('invalidSetting', `Config value append and subtract are not allowed for config: ${change.name}`)
  const given = listOf(change.value)
  const before = listOf(inForce)
  const after =
    change.operation === 'append'
      ? [...before, ...given.filter((word) => !before.includes(word))]
      : before.filter((word) => !given.includes(word))
  return after.join(',')
}
