// Ledgers of queues in the catalog: further ones over a topic, and queues that go by another ledger than before.
// Promises: a number is one ledger's at a time; what makes or ends a ledger is one append with the catalog's record.
// Does not know: what a ledger holds, how topics are made (topics.ts).

import type { World } from '../../base/world.ts'
import type { Decision, MachineLog } from '../../log/machine.ts'
import type { Catalog, Topic, TopicFacts } from '../catalog.ts'
import { refuse, type Refusal } from '../errors.ts'
import type { QueueFacts } from '../queues/facts.ts'
import type { NameTurns } from './name-turns.ts'
import { freeLedger, newTopicId } from './topic-plans.ts'
import { goneMeanwhile, refusalOf } from './topic-refusals.ts'

export interface TopicLedgersHost {
  readonly world: World
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly turns: NameTurns
  /** Why nothing new may be made now (the reserve of the disk is touched). */
  createRefusal(): Refusal | undefined
  /** A queue that was decided is not there after all. */
  dropped(topic: Topic): void
}

/** A queue that is over the logs of another topic. */
export interface NewFurtherQueue {
  readonly name: string
  readonly over: Topic
  readonly queue: QueueFacts
  readonly isVolatile: boolean
}

/** Further ledgers over one topic: all that are open are told of each append. */
export const furtherLedgersMax = 4096

const noOverrides: ReadonlyMap<string, string> = new Map()

export class TopicLedgers {
  readonly #host: TopicLedgersHost
  readonly #turns: NameTurns

  constructor(host: TopicLedgersHost) {
    this.#host = host
    this.#turns = host.turns
  }

  #notReady(): Refusal | undefined {
    return this.#host.machineLog.ready
      ? undefined
      : refuse('storageFailed', 'The catalog is being recovered after a failed write: try again.')
  }

  /** A queue with a further ledger over a topic: an entry without logs. Its number is the lowest that is free. */
  async createFurther(
    wanted: NewFurtherQueue,
    comingWith: (plan: TopicFacts) => readonly Decision[],
  ): Promise<Topic | Refusal> {
    const { name, isVolatile } = wanted
    const { vhost } = wanted.over
    const { catalog, world, machineLog } = this.#host
    for (let busy; (busy = this.#turns.busyWith(vhost, [name, wanted.over.name])) !== undefined;) await busy
    if (catalog.find(vhost, { name }) !== undefined) return refuse('topicExists', `Topic '${name}' already exists.`)
    const over = catalog.byId(wanted.over.id)
    if (over === undefined) return goneMeanwhile(wanted.over.name)
    const wrong = this.#host.createRefusal() ?? this.#notReady()
    if (wrong !== undefined) return wrong
    if (catalog.further(over.id).length >= furtherLedgersMax)
      return refuse('limitReached', `'${over.name}' has ${furtherLedgersMax} further ledgers, and may not have more.`)
    const plan: TopicFacts = {
      vhost,
      name,
      id: newTopicId(world.random, catalog),
      partitions: 0,
      origin: 'amqp',
      createdAtMs: world.clock.nowMs(),
      overrides: noOverrides,
      queue: wanted.queue,
      isVolatile,
      over: over.id,
      ledger: freeLedger(catalog, over),
    }
    const failed = await this.#turns.whileBusy(vhost, [name, over.name], async () => {
      if (isVolatile) return void catalog.putVolatile(plan)
      try {
        await machineLog.appendAll([{ machine: catalog, records: [catalog.topicRecord(plan)] }, ...comingWith(plan)])
        return undefined
      } catch (error) {
        this.#host.dropped({ ...plan, policy: catalog.policyOf(plan.overrides) })
        return refusalOf(error, 'The further ledger could not be made')
      }
    })
    return failed ?? catalog.byId(plan.id) ?? goneMeanwhile(name)
  }

  /** A queue goes by another ledger from now on, of a number that is free. */
  async changeLedger(
    topic: Topic,
    comingWith: (now: Topic, plan: TopicFacts) => readonly Decision[],
  ): Promise<Topic | Refusal> {
    const { catalog, machineLog } = this.#host
    const names = [...new Set([topic.name, catalog.sourceOf(topic).name])]
    for (let busy; (busy = this.#turns.busyWith(topic.vhost, names)) !== undefined;) await busy
    const now = catalog.byId(topic.id)
    if (now?.queue === undefined) return goneMeanwhile(topic.name)
    const wrong = this.#notReady()
    if (wrong !== undefined) return wrong
    const plan = { ...now, ledger: freeLedger(catalog, catalog.sourceOf(now)) }
    const failed = await this.#turns.whileBusy(topic.vhost, names, async () => {
      const decisions = comingWith(now, plan)
      if (now.isVolatile) return void catalog.putVolatile(plan)
      try {
        await machineLog.appendAll([{ machine: catalog, records: [catalog.topicRecord(plan)] }, ...decisions])
        return undefined
      } catch (error) {
        return refusalOf(error, 'The new ledger could not be stored')
      }
    })
    return failed ?? catalog.byId(topic.id) ?? goneMeanwhile(topic.name)
  }
}
