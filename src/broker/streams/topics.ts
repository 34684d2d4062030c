// Making, growing and deleting topics: logs and catalog record in an order that a crash cannot break.
// Promises: logs first, then the record; for a deletion the record first, then the logs; what a crash left between is
// put right at start. One name is made once, however many ask at the same time.
// Does not know: who asks; quotas; what partitions hold.

import { assert } from '../../base/assert.ts'
import { partitionsMax } from '../../base/limits.ts'
import type { World } from '../../base/world.ts'
import { machineLogId, type MachineLog } from '../../log/machine.ts'
import { AppendFailure, logId, type LogId, type Store, type TopicId } from '../../log/store.ts'
import type { Catalog, Topic, TopicFacts } from '../catalog.ts'
import type { NewTopic } from '../door.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import { judgeTopicSettings, logSettingsOf, normalisedAll } from '../settings/topic-policy.ts'
import type { Partitions } from './partitions.ts'
import type { ProducerSnapshots } from './producer-snapshots.ts'
import { judgeTopicName, mayCollide, metricName } from './topic-names.ts'

export interface TopicsHost {
  readonly world: World
  readonly store: Store
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly partitions: Partitions
  readonly snapshots: ProducerSnapshots
  readonly nodeId: number
  /** Partitions of a topic that does not say. */
  defaultPartitions(): number
  /** Why nothing new may be made now (the reserve of the disk is touched). */
  createRefusal(): Refusal | undefined
  /** A topic is gone for good: groups forget its offsets. */
  topicDeleted(vhost: string, topic: TopicId): Promise<void> | void
}

/** What a topic would be. */
type Plan = TopicFacts

const keyOf = (vhost: string, name: string): string => `${vhost}\0${name}`

export class Topics {
  readonly #host: TopicsHost
  /** Names being made or unmade: whoever wants one waits. */
  readonly #busy = new Map<string, Promise<unknown>>()

  constructor(host: TopicsHost) {
    this.#host = host
  }

  /** One outcome a topic, in order; all that can be made are made in one step. */
  async create(
    vhost: string,
    wanted: readonly NewTopic[],
    validateOnly: boolean,
  ): Promise<readonly (Topic | Refusal)[]> {
    const names = wanted.map((topic) => topic.name)
    const repeated = new Set(names.filter(seenBefore()))
    for (let busy; (busy = this.#busyWith(vhost, names)) !== undefined;) await busy
    const full = this.#host.createRefusal() ?? this.#notReady()
    if (full !== undefined) return wanted.map(() => full)
    const taken = new MetricNames(this.#host.catalog, vhost)
    const plans = wanted.map((topic) =>
      repeated.has(topic.name)
        ? refuse('invalidRequest', `Topic ${topic.name} is named more than once in the request.`)
        : this.#plan(vhost, topic, taken),
    )
    if (validateOnly)
      return plans.map((plan) =>
        isRefusal(plan) ? plan : { ...plan, policy: this.#host.catalog.policyOf(plan.overrides) },
      )
    const toMake = plans.filter((plan): plan is Plan => !isRefusal(plan))
    const failed = toMake.length === 0 ? undefined : await this.#make(vhost, toMake)
    return plans.map((plan) =>
      isRefusal(plan) ? plan : (failed ?? this.#host.catalog.byId(plan.id) ?? goneMeanwhile(plan.name)),
    )
  }

  /** The topic, made with the defaults when it is not there; all who ask at once get the same. */
  async findOrCreate(vhost: string, name: string): Promise<Topic | Refusal> {
    for (;;) {
      const found = this.#host.catalog.find(vhost, { name })
      if (found !== undefined) return found
      const busy = this.#busy.get(keyOf(vhost, name))
      if (busy === undefined) break
      await busy
    }
    const wanted: NewTopic = { name, partitions: undefined, replicationFactor: undefined, settings: new Map() }
    const [created] = await this.create(vhost, [wanted], false)
    if (isRefusal(created) && created.refused === 'topicExists')
      return this.#host.catalog.find(vhost, { name }) ?? created
    return created
  }

  #notReady(): Refusal | undefined {
    return this.#host.machineLog.ready
      ? undefined
      : refuse('storageFailed', 'The catalog is being recovered after a failed write: try again.')
  }

  /** Who wants to change a topic waits while this gives something, and asks again in the same turn as it goes on. */
  #busyWith(vhost: string, names: readonly string[]): Promise<unknown> | undefined {
    if (this.#busy.size === 0) return undefined
    return names.map((name) => this.#busy.get(keyOf(vhost, name))).find((one) => one !== undefined)
  }

  #plan(vhost: string, wanted: NewTopic, taken: MetricNames): Plan | Refusal {
    const { name } = wanted
    const wrongName = judgeTopicName(name)
    if (wrongName !== undefined) return wrongName
    if (this.#host.catalog.find(vhost, { name }) !== undefined)
      return refuse('topicExists', `Topic '${name}' already exists.`)
    const other = taken.collision(name)
    if (other !== undefined) return refuse('invalidTopicName', `Topic '${name}' collides with existing topic: ${other}`)
    const partitions = this.#judgePartitions(wanted)
    if (typeof partitions !== 'number') return partitions
    const overrides = overridesOf(wanted.settings)
    if (isRefusal(overrides)) return overrides
    taken.add(name)
    return {
      vhost,
      name,
      id: this.#newTopicId(),
      partitions,
      origin: 'kafka',
      createdAtMs: this.#host.world.clock.nowMs(),
      overrides,
      queue: undefined,
      isVolatile: false,
    }
  }

  #judgePartitions(wanted: NewTopic): number | Refusal {
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
      const wrong = assignments.find((replicas) => replicas.length !== 1 || replicas[0] !== this.#host.nodeId)
      if (wrong !== undefined)
        return refuse(
          'invalidReplicaAssignment',
          `There is one node here, ${this.#host.nodeId}: replicas [${wrong.join(', ')}] cannot be.`,
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
    const count = partitions === undefined || partitions === -1 ? this.#host.defaultPartitions() : partitions
    return judgePartitionCount(count) ?? count
  }

  #newTopicId(): TopicId {
    for (;;) {
      const id = this.#host.world.random.bytes(16).toString('base64url') as TopicId
      // Kafka's tools take an id that begins with '-' for a flag; ids of few leading zero bytes are reserved.
      const isReserved = id.startsWith('-') || id.startsWith('AAAAAAAAAAAAAAAAAAAA')
      if (!isReserved && this.#host.catalog.byId(id) === undefined) return id
    }
  }

  /** Makes all of `plans` or, with the refusal it answers, none. */
  #make(vhost: string, plans: readonly Plan[]): Promise<Refusal | undefined> {
    return this.#whileBusy(
      vhost,
      plans.map((plan) => plan.name),
      async () => {
        const logs = plans.flatMap((plan) => {
          const policy = this.#host.catalog.policyOf(plan.overrides)
          return logsOf(plan.id, 0, plan.partitions).map((id) => ({ id, settings: logSettingsOf(policy, id) }))
        })
        return this.#logsThenRecords(
          logs,
          plans.map((plan) => plan),
        )
      },
    )
  }

  async #logsThenRecords(
    logs: Parameters<Store['create']>[0],
    facts: readonly TopicFacts[],
  ): Promise<Refusal | undefined> {
    const { store, machineLog, catalog, world } = this.#host
    try {
      await store.create(logs)
      await machineLog.append(
        catalog,
        facts.map((topic) => catalog.topicRecord(topic)),
      )
      return undefined
    } catch (error) {
      world.trace.error('topics not made', { why: String(error) })
      // Logs without a record would be removed at the next start; now is better.
      const there = new Set(store.list())
      await store.delete(logs.map((log) => log.id).filter((id) => there.has(id))).catch(() => undefined)
      return refusalOf(error, 'The topic could not be made')
    }
  }

  /** More partitions for a topic: new empty logs behind those there are. */
  async grow(vhost: string, name: string, partitions: number, validateOnly: boolean): Promise<Topic | Refusal> {
    for (let busy; (busy = this.#busyWith(vhost, [name])) !== undefined;) await busy
    const topic = this.#host.catalog.find(vhost, { name })
    if (topic === undefined) return refuse('unknownTopic', `Topic '${name}' does not exist.`)
    if (partitions <= topic.partitions)
      return refuse(
        'invalidPartitions',
        partitions === topic.partitions
          ? `Topic already has ${partitions} partition(s).`
          : `The topic ${name} currently has ${topic.partitions} partition(s); ${partitions} would not be an increase.`,
      )
    const wrong = judgePartitionCount(partitions) ?? this.#host.createRefusal() ?? this.#notReady()
    if (wrong !== undefined) return wrong
    const grown = { ...topic, partitions }
    if (validateOnly) return grown
    const logs = logsOf(topic.id, topic.partitions, partitions)
    const settings = logs.map((id) => ({ id, settings: logSettingsOf(topic.policy, id) }))
    const failed = await this.#whileBusy(vhost, [name], () => this.#logsThenRecords(settings, [grown]))
    return failed ?? this.#host.catalog.byId(topic.id) ?? goneMeanwhile(name)
  }

  /** Other settings for a topic, judged by the caller. */
  async configure(topic: Topic, overrides: ReadonlyMap<string, string>): Promise<true | Refusal> {
    for (let busy; (busy = this.#busyWith(topic.vhost, [topic.name])) !== undefined;) await busy
    const { catalog, machineLog, partitions } = this.#host
    const now = catalog.byId(topic.id)
    if (now === undefined) return refuse('unknownTopic', `Topic '${topic.name}' does not exist.`)
    try {
      await machineLog.append(catalog, [catalog.topicRecord({ ...now, overrides })])
      const changed = catalog.byId(topic.id)
      if (changed !== undefined) await partitions.configure(changed)
      return true
    } catch (error) {
      return refusalOf(error, 'The settings could not be stored')
    }
  }

  /** Undefined: deleted. The record first: from then on the topic is not there, whatever becomes of its files. */
  async delete(topic: Topic): Promise<Refusal | undefined> {
    for (let busy; (busy = this.#busyWith(topic.vhost, [topic.name])) !== undefined;) await busy
    const { catalog, machineLog } = this.#host
    const now = catalog.byId(topic.id)
    if (now === undefined) return refuse('unknownTopic', `Topic '${topic.name}' does not exist.`)
    return this.#whileBusy(topic.vhost, [topic.name], async () => {
      try {
        await machineLog.append(catalog, [catalog.topicGone(now)])
      } catch (error) {
        return refusalOf(error, 'The topic could not be deleted')
      }
      await this.#removeLogs(now)
      return undefined
    })
  }

  async #removeLogs(topic: Topic): Promise<void> {
    const { store, partitions, snapshots, world } = this.#host
    partitions.drop(topic.id)
    try {
      await store.delete(logsOf(topic.id, 0, topic.partitions))
      await snapshots.forget(topic.id, topic.partitions)
      await this.#host.topicDeleted(topic.vhost, topic.id)
    } catch (error) {
      // The record is gone, so the next start removes what is left.
      world.trace.warn('a deleted topic left something behind', { topic: topic.name, why: String(error) })
    }
  }

  async #whileBusy<T>(vhost: string, names: readonly string[], task: () => Promise<T>): Promise<T> {
    const done = task()
    const settled = done.then(
      () => undefined,
      () => undefined,
    )
    for (const name of names) {
      assert(!this.#busy.has(keyOf(vhost, name)), 'one change a topic at a time')
      this.#busy.set(keyOf(vhost, name), settled)
    }
    try {
      return await done
    } finally {
      for (const name of names) this.#busy.delete(keyOf(vhost, name))
    }
  }
}

/** Puts right what a crash left: logs without a topic are removed, logs a topic misses are made. */
export async function settleLogs(store: Store, catalog: Catalog): Promise<{ removed: number; made: number }> {
  const there = new Set(store.list())
  const wanted = new Set<LogId>([machineLogId])
  const missing: { id: LogId; settings: ReturnType<typeof logSettingsOf> }[] = []
  for (const topic of catalog.all()) {
    for (const id of logsOf(topic.id, 0, topic.partitions)) {
      wanted.add(id)
      if (!there.has(id)) missing.push({ id, settings: logSettingsOf(topic.policy, id) })
    }
  }
  const orphans = [...there].filter((id) => !wanted.has(id))
  if (orphans.length > 0) await store.delete(orphans)
  if (missing.length > 0) await store.create(missing)
  return { removed: orphans.length, made: missing.length }
}

function logsOf(topic: TopicId, from: number, to: number): LogId[] {
  return Array.from({ length: to - from }, (_, index) => logId(topic, from + index))
}

function judgePartitionCount(partitions: number): Refusal | undefined {
  if (!Number.isInteger(partitions) || partitions < 1)
    return refuse('invalidPartitions', 'Number of partitions must be larger than 0, or -1 to use the default value.')
  if (partitions > partitionsMax)
    return refuse('invalidPartitions', `A topic has at most ${partitionsMax} partitions; ${partitions} were asked for.`)
  return undefined
}

function overridesOf(settings: ReadonlyMap<string, string | null>): Map<string, string> | Refusal {
  const overrides = new Map<string, string>()
  for (const [name, value] of settings) {
    if (value === null) return refuse('invalidSetting', `Null value not supported for topic configs: ${name}`)
    overrides.set(name, value)
  }
  return judgeTopicSettings(overrides) ?? normalisedAll(overrides)
}

/** True for what it saw before. */
function seenBefore(): (name: string) => boolean {
  const seen = new Set<string>()
  return (name) => seen.size === seen.add(name).size
}

const goneMeanwhile = (name: string): Refusal => refuse('unknownTopic', `Topic '${name}' was deleted meanwhile.`)

function refusalOf(error: unknown, what: string): Refusal {
  const isFull = error instanceof AppendFailure ? error.kind === 'full' : (error as { kind?: unknown }).kind === 'full'
  return refuse(
    isFull ? 'storageFull' : 'storageFailed',
    `${what}: ${error instanceof Error ? error.message : String(error)}`,
  )
}

/** Names as metrics see them; made only when a name asked for could collide. */
class MetricNames {
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
