// Making, growing and deleting topics: logs and catalog record in an order that a crash cannot break.
// Promises: logs first, then the record; for a deletion the record first, then the logs; what a crash left between is
// put right at start. One name is made once, however many ask at the same time.
// Does not know: who asks; quotas; what partitions hold.

import type { World } from '../../base/world.ts'
import type { Decision, MachineLog } from '../../log/machine.ts'
import { logId, type LogId, type Store, type TopicId } from '../../log/store.ts'
import type { Catalog, Topic, TopicFacts } from '../catalog.ts'
import type { NewTopic } from '../door.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import type { QueueFacts } from '../queues/facts.ts'
import { logSettingsOf, type TopicPolicy } from '../settings/topic-policy.ts'
import type { Partitions } from './partitions.ts'
import type { ProducerSnapshots } from './producer-snapshots.ts'
import type { NameTurns } from './name-turns.ts'
import { goneMeanwhile, refusalOf } from './topic-refusals.ts'
import { judgeTopicName } from './topic-names.ts'
import {
  judgePartitionCount,
  judgePartitions,
  MetricNames,
  newTopicId,
  overridesOf,
  seenBefore,
} from './topic-plans.ts'

export interface TopicsHost {
  readonly world: World
  readonly store: Store
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly partitions: Partitions
  readonly snapshots: ProducerSnapshots
  readonly nodeId: number
  readonly turns: NameTurns
  /** Partitions of a topic that does not say. */
  defaultPartitions(): number
  /** Why nothing new may be made now (the reserve of the disk is touched). */
  createRefusal(): Refusal | undefined
  /** A topic has other settings, more partitions, or became a queue. */
  configured(topic: Topic): void
  /** What else goes in the append that deletes a topic, or what was declared over it: bindings, ledgers. */
  goingWith(topic: Topic, isTopicGone: boolean): readonly Decision[]
  /**
   * A topic, or the queue over it, is gone, by now durably; the logs are next. The queue tells its consumers. `source`:
   * whose logs a further ledger was over, when that is gone too.
   */
  dropped(topic: Topic, source?: Topic): void
  /** A topic is gone for good: groups forget its offsets. */
  topicDeleted(vhost: string, topic: TopicId): Promise<void> | void
}

export interface NewQueue {
  readonly vhost: string
  readonly name: string
  readonly partitions: number
  readonly overrides: ReadonlyMap<string, string>
  readonly queue: QueueFacts
  readonly isVolatile: boolean
}

/** A topic of AMQP's clients that is no queue. */
export type NewLog = Pick<NewQueue, 'vhost' | 'name' | 'partitions' | 'overrides'>

/** What a topic would be. */
type Plan = TopicFacts

export class Topics {
  readonly #host: TopicsHost
  /** Names being made or unmade: whoever wants one waits. */
  readonly #turns: NameTurns
  /** Logs of deleted topics that are being removed. */
  readonly #removals = new Set<Promise<void>>()

  constructor(host: TopicsHost) {
    this.#host = host
    this.#turns = host.turns
  }

  /** One outcome a topic, in order; all that can be made are made in one step. */
  async create(
    vhost: string,
    wanted: readonly NewTopic[],
    validateOnly: boolean,
  ): Promise<readonly (Topic | Refusal)[]> {
    const names = wanted.map((topic) => topic.name)
    const repeated = new Set(names.filter(seenBefore()))
    for (let busy; (busy = this.#turns.busyWith(vhost, names)) !== undefined;) await busy
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
      const busy = this.#turns.busyWith(vhost, [name])
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

  #plan(vhost: string, wanted: NewTopic, taken: MetricNames): Plan | Refusal {
    const { name } = wanted
    const wrongName = judgeTopicName(name)
    if (wrongName !== undefined) return wrongName
    if (this.#host.catalog.find(vhost, { name }) !== undefined)
      return refuse('topicExists', `Topic '${name}' already exists.`)
    const other = taken.collision(name)
    if (other !== undefined) return refuse('invalidTopicName', `Topic '${name}' collides with existing topic: ${other}`)
    const partitions = judgePartitions(wanted, this.#host.nodeId, () => this.#host.defaultPartitions())
    if (typeof partitions !== 'number') return partitions
    const overrides = overridesOf(wanted.settings)
    if (isRefusal(overrides)) return overrides
    taken.add(name)
    return {
      vhost,
      name,
      id: newTopicId(this.#host.world.random, this.#host.catalog),
      partitions,
      origin: 'kafka',
      createdAtMs: this.#host.world.clock.nowMs(),
      overrides,
      queue: undefined,
      isVolatile: false,
    }
  }

  /** Makes all of `plans` or, with the refusal it answers, none. */
  #make(
    vhost: string,
    plans: readonly Plan[],
    comingWith: () => readonly Decision[] = () => [],
  ): Promise<Refusal | undefined> {
    return this.#turns.whileBusy(
      vhost,
      plans.map((plan) => plan.name),
      async () => {
        const logs = plans.flatMap((plan) => {
          const policy = this.#host.catalog.policyOf(plan.overrides)
          return logsOf(plan.id, 0, plan.partitions).map((id) => ({ id, settings: logSettingsOf(policy, id) }))
        })
        const failed = await this.#logsThenRecords(logs, plans, comingWith)
        // Somebody may have begun to use a queue that was decided and is not.
        if (failed !== undefined)
          for (const plan of plans) this.#host.dropped({ ...plan, policy: this.#host.catalog.policyOf(plan.overrides) })
        return failed
      },
    )
  }

  async #logsThenRecords(
    logs: Parameters<Store['create']>[0],
    facts: readonly TopicFacts[],
    comingWith: () => readonly Decision[] = () => [],
  ): Promise<Refusal | undefined> {
    const { store, machineLog, catalog, world } = this.#host
    try {
      await store.create(logs)
      const records = facts.map((topic) => catalog.topicRecord(topic))
      await machineLog.appendAll([{ machine: catalog, records }, ...comingWith()])
      return undefined
    } catch (error) {
      world.trace.error('topics not made', { why: String(error) })
      // Logs without a record would be removed at the next start; now is better.
      const there = new Set(store.list())
      await store.delete(logs.map((log) => log.id).filter((id) => there.has(id))).catch(() => undefined)
      return refusalOf(error, 'The topic could not be made')
    }
  }

  /**
   * A topic of AMQP's clients that is no queue: what an exchange of type x-log is. `comingWith`: what is decided with it,
   * part of the same append.
   */
  async createLog(wanted: NewLog, comingWith: () => readonly Decision[]): Promise<Topic | Refusal> {
    const { vhost, name } = wanted
    for (let busy; (busy = this.#turns.busyWith(vhost, [name])) !== undefined;) await busy
    const { catalog, world } = this.#host
    if (catalog.find(vhost, { name }) !== undefined) return refuse('topicExists', `Topic '${name}' already exists.`)
    const wrong = this.#host.createRefusal() ?? this.#notReady()
    if (wrong !== undefined) return wrong
    const plan: Plan = {
      ...wanted,
      id: newTopicId(world.random, catalog),
      origin: 'amqp',
      createdAtMs: world.clock.nowMs(),
      queue: undefined,
      isVolatile: false,
    }
    return (await this.#make(vhost, [plan], comingWith)) ?? catalog.byId(plan.id) ?? goneMeanwhile(name)
  }

  /** A topic that is a queue from its first day. Its name may be one that Kafka could not say. */
  async createQueue(wanted: NewQueue): Promise<Topic | Refusal> {
    const { vhost, name } = wanted
    for (let busy; (busy = this.#turns.busyWith(vhost, [name])) !== undefined;) await busy
    const { catalog, world } = this.#host
    if (catalog.find(vhost, { name }) !== undefined) return refuse('topicExists', `Topic '${name}' already exists.`)
    const wrong = this.#host.createRefusal() ?? (wanted.isVolatile ? undefined : this.#notReady())
    if (wrong !== undefined) return wrong
    const plan: Plan = {
      ...wanted,
      id: newTopicId(world.random, catalog),
      origin: 'amqp',
      createdAtMs: world.clock.nowMs(),
    }
    const failed = await (wanted.isVolatile ? this.#makeVolatile(plan) : this.#make(vhost, [plan]))
    return failed ?? catalog.byId(plan.id) ?? goneMeanwhile(name)
  }

  #makeVolatile(plan: Plan): Promise<Refusal | undefined> {
    return this.#turns.whileBusy(plan.vhost, [plan.name], async () => {
      const { catalog, store } = this.#host
      const policy: TopicPolicy = { ...catalog.policyOf(plan.overrides), durability: 'scratch' }
      try {
        await store.create(
          logsOf(plan.id, 0, plan.partitions).map((id) => ({ id, settings: logSettingsOf(policy, id) })),
        )
      } catch (error) {
        return refusalOf(error, 'The queue could not be made')
      }
      catalog.putVolatile(plan)
      return undefined
    })
  }

  /**
   * What is declared over a topic that stays: a queue, where there was none, or (undefined) none any more. `comingWith`:
   * what is decided with it, part of the same append.
   */
  async setQueue(
    topic: Topic,
    queue: QueueFacts | undefined,
    comingWith: () => readonly Decision[] = () => [],
  ): Promise<Topic | Refusal> {
    for (let busy; (busy = this.#turns.busyWith(topic.vhost, [topic.name])) !== undefined;) await busy
    const { catalog, machineLog } = this.#host
    const now = catalog.byId(topic.id)
    if (now === undefined) return goneMeanwhile(topic.name)
    if (queue !== undefined && now.queue !== undefined)
      return refuse('topicExists', `Topic '${topic.name}' is a queue already.`)
    const failed = await this.#turns.whileBusy(topic.vhost, [topic.name], async () => {
      try {
        // Whoever declares it again begins with the log's first ledger.
        const ledger = queue === undefined ? 0 : now.ledger
        const record = { machine: catalog, records: [catalog.topicRecord({ ...now, queue, ledger })] }
        await machineLog.appendAll([record, ...(queue === undefined ? this.#host.goingWith(now, false) : comingWith())])
      } catch (error) {
        if (queue !== undefined) this.#host.dropped({ ...now, queue })
        return refusalOf(error, 'What is declared over the topic could not be stored')
      }
      const changed = catalog.byId(topic.id)
      if (queue === undefined) this.#host.dropped(now)
      else if (changed !== undefined) this.#host.configured(changed)
      return undefined
    })
    return failed ?? catalog.byId(topic.id) ?? goneMeanwhile(topic.name)
  }

  /** More partitions for a topic: new empty logs behind those there are. */
  async grow(vhost: string, name: string, partitions: number, validateOnly: boolean): Promise<Topic | Refusal> {
    for (let busy; (busy = this.#turns.busyWith(vhost, [name])) !== undefined;) await busy
    const topic = this.#host.catalog.find(vhost, { name })
    if (topic === undefined || topic.over !== undefined)
      return refuse('unknownTopic', `Topic '${name}' does not exist.`)
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
    const failed = await this.#turns.whileBusy(vhost, [name], () =>
      topic.isVolatile ? this.#growVolatile(settings, grown) : this.#logsThenRecords(settings, [grown]),
    )
    if (failed !== undefined) this.#host.partitions.dropFrom(topic.id, topic.partitions)
    const changed = this.#host.catalog.byId(topic.id)
    if (failed === undefined && changed !== undefined) this.#host.configured(changed)
    return failed ?? this.#host.catalog.byId(topic.id) ?? goneMeanwhile(name)
  }

  async #growVolatile(logs: Parameters<Store['create']>[0], grown: TopicFacts): Promise<Refusal | undefined> {
    try {
      await this.#host.store.create(logs)
    } catch (error) {
      return refusalOf(error, 'The partitions could not be made')
    }
    this.#host.catalog.putVolatile(grown)
    return undefined
  }

  /** Other settings for a topic, judged by the caller. */
  async configure(topic: Topic, overrides: ReadonlyMap<string, string>): Promise<true | Refusal> {
    for (let busy; (busy = this.#turns.busyWith(topic.vhost, [topic.name])) !== undefined;) await busy
    const { catalog, machineLog, partitions } = this.#host
    const now = catalog.byId(topic.id)
    if (now === undefined) return refuse('unknownTopic', `Topic '${topic.name}' does not exist.`)
    try {
      if (now.isVolatile) catalog.putVolatile({ ...now, overrides })
      else await machineLog.append(catalog, [catalog.topicRecord({ ...now, overrides })])
      const changed = catalog.byId(topic.id)
      if (changed !== undefined) {
        this.#host.configured(changed)
        await partitions.configure(changed)
      }
      return true
    } catch (error) {
      return refusalOf(error, 'The settings could not be stored')
    }
  }

  /**
   * Undefined: deleted. The record first: from then on the topic is not there, whatever becomes of its files. Who does
   * not wait for those (`leavesLogs`) is answered one sync earlier; settled() waits for all. Further ledgers over it go
   * with it, unless it is `mayGo` that says why not: asked when nobody else changes the topic any more.
   */
  async delete(
    topic: Topic,
    leavesLogs = false,
    mayGo: (now: Topic) => Refusal | undefined = () => undefined,
  ): Promise<Refusal | undefined> {
    const { catalog } = this.#host
    // A further ledger's number is free again only when it is gone for good.
    const namesOf = (): string[] => [
      ...new Set([topic, catalog.sourceOf(topic), ...catalog.further(topic.id)].map(({ name }) => name)),
    ]
    for (let busy; (busy = this.#turns.busyWith(topic.vhost, namesOf())) !== undefined;) await busy
    const now = catalog.byId(topic.id)
    if (now === undefined) return refuse('unknownTopic', `Topic '${topic.name}' does not exist.`)
    const kept = mayGo(now)
    if (kept !== undefined) return kept
    const further = catalog.further(now.id)
    const failed = await this.#turns.whileBusy(topic.vhost, namesOf(), async () => {
      try {
        await this.#deleteRecords([now, ...further])
      } catch (error) {
        return refusalOf(error, 'The topic could not be deleted')
      }
      for (const one of further) this.#host.dropped(one, now)
      this.#host.dropped(now)
      return undefined
    })
    if (failed !== undefined) return failed
    const removed = this.#removeLogs(now).finally(() => this.#removals.delete(removed))
    this.#removals.add(removed)
    if (!leavesLogs) await removed
    return undefined
  }

  /** One append for what is durable of them. */
  async #deleteRecords(topics: readonly Topic[]): Promise<void> {
    const { catalog, machineLog } = this.#host
    const durable = topics.filter(({ isVolatile }) => !isVolatile)
    if (durable.length > 0)
      await machineLog.appendAll([
        { machine: catalog, records: durable.map((topic) => catalog.topicGone(topic)) },
        ...durable.flatMap((topic) => this.#host.goingWith(topic, true)),
      ])
    for (const topic of topics) if (topic.isVolatile) await this.#forgetVolatile(topic)
  }

  /** Resolves when nothing of what was deleted is left to remove. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals)
  }

  /** Nothing that was kept has to say that it is gone; only what goes along (an exchange that was its own) may. */
  async #forgetVolatile(topic: Topic): Promise<void> {
    this.#host.catalog.removeVolatile(topic)
    const along = this.#host.goingWith(topic, true).filter((decision) => decision.records.length > 0)
    if (along.length === 0) return
    await this.#host.machineLog.appendAll(along).catch((error: unknown) => {
      this.#host.world.trace.warn('a deleted queue left something behind', { queue: topic.name, why: String(error) })
    })
  }

  async #removeLogs(topic: Topic): Promise<void> {
    const { store, partitions, snapshots, world } = this.#host
    // An append that is to several logs would be refused in all of them, if one were deleted under it.
    await partitions.drop(topic.id)
    try {
      await store.delete(logsOf(topic.id, 0, topic.partitions))
      await snapshots.forget(topic.id, topic.partitions)
      await this.#host.topicDeleted(topic.vhost, topic.id)
    } catch (error) {
      // The record is gone, so the next start removes what is left.
      world.trace.warn('a deleted topic left something behind', { topic: topic.name, why: String(error) })
    }
  }
}

function logsOf(topic: TopicId, from: number, to: number): LogId[] {
  return Array.from({ length: to - from }, (_, index) => logId(topic, from + index))
}
