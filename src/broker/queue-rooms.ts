// The rooms of queues put together: ledgers and topology (machines), queues at run time, dead letters, channels, the desks.
// Promises: one object for a broker; nothing of it is used before the machine log is replayed.
// Does not know: the rooms of streams and groups beyond what it is given.

import { textField } from '../base/fields.ts'
import type { World } from '../base/world.ts'
import type { Decision, MachineLog } from '../log/machine.ts'
import { logId, type Log, type Store, type TopicId } from '../log/store.ts'
import type { QueueRooms } from './authorised-queues.ts'
import type { Catalog, Topic } from './catalog.ts'
import { isRefusal, refuse, type Refusal } from './errors.ts'
import type { GroupCoordinator } from './groups/coordinator.ts'
import { openChannel } from './queues/channels/channel.ts'
import { channelLimits } from './queues/channels/channel-host.ts'
import { DeadLetters } from './queues/dead-letters/dead-letter.ts'
import { Cursors } from './queues/cursors/cursors.ts'
import { LogDesk } from './queues/cursors/log-desk.ts'
import { Delays } from './queues/delays/delays.ts'
import { Epochs } from './queues/lanes/epochs.ts'
import { ExchangeDesk } from './queues/exchanges/exchange-desk.ts'
import type { QueueFacts, QueuePolicy } from './queues/facts.ts'
import { Ledgers } from './queues/ledgers/ledgers.ts'
import { queueTypeOf } from './queues/desk/queue-arguments.ts'
import { compileQueue } from './queues/desk/queue-arguments-policy.ts'
import { queueMessageBytesMax } from './queues/desk/queue-plans.ts'
import { QueueDesk } from './queues/desk/queue-desk.ts'
import { declaredSettings } from './queues/desk/queue-plans.ts'
import type { QueueStart } from './queues/desk/queue-starts.ts'
import type { LedgerId, QueuesPart } from './queues/parts.ts'
import { QueueRetention } from './queues/keeping/queue-retention.ts'
import { Queues } from './queues/queues.ts'
import { Redrive } from './queues/dead-letters/redrive.ts'
import { ReplyDesk } from './queues/channels/reply-to.ts'
import { removalRecords, Topology } from './queues/exchanges/topology.ts'
import type { TopicPolicy } from './settings/topic-policy.ts'
import type { Partitions } from './streams/partitions.ts'
import type { RoomLeft } from './streams/room-left.ts'
import type { NameTurns } from './streams/name-turns.ts'
import { TopicLedgers, type NewFurtherQueue } from './streams/topic-ledgers.ts'
import type { Topics } from './streams/topics.ts'

const deadTopicSettings: ReadonlyMap<string, string> = new Map([['max.message.bytes', String(queueMessageBytesMax)]])

/** What of queues is kept in the machine log: there before it is replayed. */
export interface QueueMachines {
  readonly ledgers: Ledgers
  readonly topology: Topology
  readonly delays: Delays
  readonly epochs: Epochs
}

export function queueMachines(world: World, catalog: Catalog): QueueMachines {
  // What has no log of its own is nowhere to send anything.
  const queue = (vhost: string, name: string) => {
    const topic = catalog.named(vhost, name)
    return topic?.over === undefined ? topic?.queue : undefined
  }
  return {
    ledgers: new Ledgers(world),
    topology: new Topology({
      queueExists: (vhost, name) => queue(vhost, name) !== undefined,
      isQueueDurable: (vhost, name) => queue(vhost, name)?.durable === true,
      fraction: () => world.random.fraction(),
    }),
    delays: new Delays(world),
    epochs: new Epochs(world.clock),
  }
}

export interface QueueHouseHost extends QueueMachines {
  readonly world: World
  readonly store: Store
  readonly catalog: Catalog
  readonly machineLog: MachineLog
  readonly partitions: Partitions
  readonly topics: Topics
  readonly turns: NameTurns
  readonly roomLeft: RoomLeft
  readonly coordinator: Pick<GroupCoordinator, 'committedOffset'>
  /** Whether topics are made for those who write to them. */
  createsTopics(): boolean
}

export class QueueHouse {
  readonly rooms: QueueRooms
  readonly #host: QueueHouseHost
  readonly #topicLedgers: TopicLedgers
  readonly #desk: QueueDesk
  readonly #queues: Queues
  readonly #deadLetters: DeadLetters
  readonly #retention: QueueRetention
  readonly #cursors: Cursors
  readonly #logs: LogDesk

  constructor(host: QueueHouseHost) {
    const { world, store, catalog, ledgers, topology, roomLeft } = host
    this.#host = host
    const replies = new ReplyDesk(world)
    const produceRefusal = () => roomLeft.produceRefusal()
    const policyOf = (topic: Topic): QueuePolicy => policyOfQueue(topology, topic)
    this.#queues = new Queues({
      world,
      store,
      partitions: host.partitions,
      ledgers,
      epochs: host.epochs,
      topic: (vhost, name) => catalog.named(vhost, name),
      sourceOf: (topic) => catalog.sourceOf(topic),
      ledgerNumbers: (topic) => [...ledgerNumbers(catalog, topic), ...cursorNumbers(topology, topic)],
      policyOf,
      deadLettering: () => this.#deadLetters,
      placeOf: (topic, partition, group) => host.coordinator.committedOffset(topic, partition, group),
      used: (queue) => this.#desk.used(queue),
    })
    const queues = this.#startDelays(produceRefusal)
    this.#deadLetters = new DeadLetters({
      world,
      router: topology,
      queues,
      ledgers,
      makeTopic: (vhost, name) => this.#makeTopic(vhost, name),
      produceRefusal,
    })
    this.#topicLedgers = this.#openTopicLedgers()
    this.#retention = queueRetention(host, this.#queues, this.#deadLetters)
    this.#desk = this.#openDesk(replies, policyOf)
    this.#cursors = this.#startCursors(queues, produceRefusal)
    this.#logs = new LogDesk({ ...host, queues }, this.#cursors)
    const channelHost = {
      world,
      router: topology,
      queues,
      ledgers,
      replies,
      deadLetters: this.#deadLetters,
      limits: channelLimits,
      produceRefusal,
    }
    this.rooms = {
      desk: this.#desk,
      exchanges: new ExchangeDesk({ topology, machineLog: host.machineLog, logs: this.#logs }),
      redrive: this.#redrive(queues),
      openChannel: (identity, sink) => openChannel(channelHost, identity, sink),
      storagePressure: () => roomLeft.produceRefusal()?.why,
      watchPressure: (changed) => roomLeft.watch(changed),
    }
    host.partitions.watchOpens((id, partition) => this.#logOpened(id, partition))
    topology.watchPolicies((vhost) => {
      this.#queues.policiesChanged()
      this.#desk.policiesChanged(vhost)
      for (const topic of catalog.all())
        for (let index = 0; index < topic.partitions; index++)
          if (host.partitions.seen(topic, index)?.log !== undefined) this.#logOpened(topic.id, index)
    })
    this.#desk.start()
    void this.#queues.start(catalog.all().filter((topic) => topic.queue !== undefined))
  }

  #logOpened(id: TopicId, partition: number): void {
    const topic = this.#host.catalog.byId(id)
    if (topic === undefined) return
    for (const queue of queuesOver(this.#host.catalog, topic)) this.#queues.logOpened(queue, partition)
  }

  #openTopicLedgers(): TopicLedgers {
    const { roomLeft } = this.#host
    return new TopicLedgers({
      ...this.#host,
      createRefusal: () => roomLeft.createRefusal(),
      dropped: (topic) => this.gone(topic),
    })
  }

  #openDesk(replies: ReplyDesk, policyOf: (topic: Topic) => QueuePolicy): QueueDesk {
    const host = this.#host
    const { world, store, catalog, ledgers, topology } = host
    return new QueueDesk({
      world,
      store,
      catalog,
      topics: {
        createQueue: (wanted) => host.topics.createQueue(wanted),
        startQueue: (topic, queue, starts) => startQueue(host, topic, queue, starts),
        createFurther: (wanted, starts) => makeFurther(ledgers, this.#topicLedgers, wanted, starts),
        rewind: (topic, starts) => this.#rewind(topic, starts),
        endQueue: (topic) => host.topics.setQueue(topic, undefined),
        delete: (topic, mayGo) => host.topics.delete(topic, true, mayGo),
      },
      queues: this.#queues,
      replies,
      partitions: host.partitions,
      policyOf,
      retentionOf: (topic) => this.retentionOf(topic),
      ledgersSettled: () => ledgers.settled(),
      policiesOn: (topic) => policiesOn(topology, topic),
      isLog: (topic) => topology.isLog(topic.vhost, topic.name),
    })
  }

  /** The new ledgers and the end of the old ones are one append; then the queue takes them up. */
  async #rewind(topic: Topic, starts: readonly QueueStart[]): Promise<Topic | Refusal> {
    const { ledgers, catalog } = this.#host
    let before: readonly LedgerId[] = []
    let after: readonly LedgerId[] = []
    const rewound = await this.#topicLedgers.changeLedger(topic, (now, { ledger: number = 0 }) => {
      before = ledgersOf(now, catalog.sourceOf(now))
      after = starts.map(({ log }) => ({ log, number }))
      this.#queues.rewinding(now)
      const ended = before.flatMap((id) => ledgers.recordsForForgotten(id))
      if (!now.isVolatile) return [startsOf(ledgers, starts, number), { machine: ledgers, records: ended }]
      for (const { log, start } of starts) ledgers.open({ log, number }, start, 1, true)
      return []
    })
    if (isRefusal(rewound)) {
      for (const id of after) ledgers.forgotten(id)
      this.#queues.notRewound(topic)
      return rewound
    }
    for (const id of before) ledgers.forgotten(id)
    for (const { log, start } of starts) ledgers.started({ log, number: rewound.ledger ?? 0 }, start)
    await this.#queues.rewound(rewound)
    this.#queues.trim(catalog.sourceOf(rewound))
    return rewound
  }

  #redrive(queues: QueuesPart): Redrive {
    const { world, ledgers, roomLeft } = this.#host
    return new Redrive({
      clock: world.clock,
      queues,
      ledgers,
      findMovable: (vhost, name) => this.#queues.findMovable(vhost, name),
      produceRefusal: () => roomLeft.produceRefusal(),
    })
  }

  /** As a produce of a Kafka client makes it, but that it takes whatever may be in a queue. */
  async #makeTopic(vhost: string, name: string): Promise<true | Refusal> {
    if (!this.#host.createsTopics())
      return refuse('unknownTopic', `There is no topic ${name}, and auto.create.topics.enable is off.`)
    const wanted = { name, partitions: undefined, replicationFactor: undefined, settings: deadTopicSettings }
    const [created] = await this.#host.topics.create(vhost, [wanted], false)
    const isThere = isRefusal(created) && created.refused === 'topicExists'
    const made = isThere ? (this.#host.catalog.find(vhost, { name }) ?? created) : created
    if (isRefusal(made)) return made
    return made.over === undefined ? true : refuse('unknownTopic', `${name} is a ledger over another topic's log.`)
  }

  /** Queues as those see them who publish: with what waits for its time. */
  #startDelays(produceRefusal: () => Refusal | undefined): QueuesPart {
    const { delays, topology } = this.#host
    const queues: QueuesPart = {
      find: (vhost, name) => delays.find(vhost, name) ?? this.#queues.find(vhost, name),
      findLog: (vhost, name) => delays.find(vhost, name) ?? this.#queues.findLog(vhost, name),
      findStream: (vhost, name) => this.#queues.findStream(vhost, name),
    }
    delays.start({
      ...this.#host,
      policy: this.#host.catalog.policyOf(new Map()),
      router: topology,
      queues,
      deadLettering: () => this.#deadLetters,
      produceRefusal,
    })
    topology.delayBy(delays)
    return queues
  }

  #startCursors(queues: QueuesPart, produceRefusal: () => Refusal | undefined): Cursors {
    const { topology, catalog } = this.#host
    const cursors = new Cursors({
      ...this.#host,
      router: topology,
      queues,
      bindings: () => topology.cursors(),
      topicOf: (vhost, name) => catalog.named(vhost, name),
      closed: (topic) => this.#queues.trim(topic),
      produceRefusal,
    })
    topology.watchCursors(() => cursors.changed())
    cursors.changed()
    return cursors
  }

  /** A topic has other settings, more partitions, or became a queue: what is at work over it goes by that. */
  configured(topic: Topic): void {
    this.#queues.configured(topic)
    this.#host.topology.of(topic.vhost).routing.forgetNames()
    this.#cursors.changed()
  }

  /** What a topic's settings tell of the queue over it, and what its declaration said of the topic. */
  settingsOf(
    topic: Topic,
  ): { readonly policy: QueuePolicy; readonly declared: ReadonlyMap<string, string> } | undefined {
    const { queue } = topic
    if (queue === undefined) return undefined
    return { policy: policyOfQueue(this.#host.topology, topic), declared: declaredSettings(queue.arguments) }
  }

  /** See RetentionHost.mayTrim. */
  mayTrim(topic: Topic, log: Log, to: number): Promise<number> {
    return this.#retention.mayTrim(topic, log, to)
  }

  /** See RetentionHost. */
  tookAllItsTime(): boolean {
    return this.#retention.tookAllItsTime()
  }

  lookAtConsumed(): void {
    this.#queues.lookAtConsumed()
  }

  /** How long and how much of a topic is kept: policies may say less than a stream's own settings. */
  retentionOf(topic: Topic): TopicPolicy {
    if (topic.queue === undefined || queueTypeOf(topic.queue.arguments) !== 'stream') return topic.policy
    // What the declaration said is in the settings, and may have been changed there.
    const { maxAgeMs, lengthBytesMax } = compileQueue(
      undeclaredStream,
      policyFor(this.#host.topology, topic)?.definition,
    )
    return {
      ...topic.policy,
      retentionMs: least(topic.policy.retentionMs, maxAgeMs),
      retentionBytes: least(topic.policy.retentionBytes, lengthBytesMax),
    }
  }

  /** What tells how far a queue is: the ledger of this number over each log of `topic`; undefined: a stream has none. */
  ledgersOf(queue: Topic): { readonly topic: Topic; readonly number: number } | undefined {
    return queueTypeOf(queue.queue?.arguments ?? []) === 'stream'
      ? undefined
      : { topic: this.#host.catalog.sourceOf(queue), number: queue.ledger ?? 0 }
  }

  /** What goes with a deleted queue, and with its topic if that goes too, in the same append. */
  goingWith(topic: Topic, isTopicGone: boolean): readonly Decision[] {
    const { ledgers, topology, catalog } = this.#host
    const removal = topology.removalWith(topic.vhost, topic.name, isTopicGone)
    const forgetting = this.#logs.forget(removal.bindings)
    const own = topic.queue === undefined ? [] : ledgersOf(topic, catalog.sourceOf(topic))
    return [
      { machine: ledgers, records: own.flatMap((id) => ledgers.recordsForForgotten(id)) },
      { machine: topology, records: removalRecords(removal) },
      ...(forgetting === undefined ? [] : [forgetting]),
    ]
  }

  /** The queue over a topic is gone, or the topic itself. */
  gone(topic: Topic, source = this.#host.catalog.sourceOf(topic)): void {
    const isTopicGone = this.#host.catalog.byId(topic.id) === undefined
    if (isTopicGone) this.#queues.dropTopic(topic)
    this.#logs.forgotten(this.#host.topology.gone(topic.vhost, topic.name, isTopicGone))
    if (topic.queue === undefined) return
    for (const id of ledgersOf(topic, source)) this.#host.ledgers.forgotten(id)
    this.#desk.gone(topic)
    // It holds nothing any more.
    if (this.#host.catalog.byId(source.id) !== undefined) this.#queues.trim(source)
  }

  /** Nothing is under way any more. */
  async close(): Promise<void> {
    this.#desk.close()
    await this.#host.delays.close()
    await this.#cursors.close()
    await this.#deadLetters.close()
    await this.#queues.close()
    await this.#host.ledgers.close()
    this.#host.epochs.close()
  }
}

/** Of a setting, where -1 is no limit, and a policy's value the smaller. */
const least = (setting: number, policy: number | undefined): number =>
  policy === undefined ? setting : setting < 0 ? policy : Math.min(setting, policy)

/** Where a declared queue begins, in the append that declares it. */
const startsOf = (ledgers: Ledgers, starts: readonly QueueStart[], number: number): Decision => ({
  machine: ledgers,
  records: starts.flatMap(({ log, start }) => ledgers.recordsForStart({ log, number }, start)),
})

const queueRetention = (host: QueueHouseHost, queues: Queues, deadLetters: DeadLetters): QueueRetention =>
  new QueueRetention({
    ledgers: host.ledgers,
    queuesOver: (topic) => queuesOver(host.catalog, topic),
    policyOf: (queue) => policyOfQueue(host.topology, queue),
    laneOf: (queue, partition) => queues.laneOf(queue, partition),
    deadLettersSettled: () => deadLetters.settled(),
    isFull: () => host.roomLeft.produceRefusal() !== undefined,
  })

/** A queue over a topic, with its ledgers in the append that declares it. */
async function startQueue(
  { topics, ledgers }: QueueHouseHost,
  topic: Topic,
  queue: QueueFacts,
  starts: readonly QueueStart[],
): Promise<Topic | Refusal> {
  const begun = await topics.setQueue(topic, queue, () => [startsOf(ledgers, starts, 0)])
  if (!isRefusal(begun)) for (const { log, start } of starts) ledgers.started({ log, number: 0 }, start)
  return begun
}

/** A queue over another's logs, with its ledgers from the first moment on. */
async function makeFurther(
  ledgers: Ledgers,
  topicLedgers: TopicLedgers,
  wanted: NewFurtherQueue,
  starts: readonly QueueStart[],
): Promise<Topic | Refusal> {
  const made = await topicLedgers.createFurther(wanted, ({ ledger = 0 }) => [startsOf(ledgers, starts, ledger)])
  if (isRefusal(made)) return made
  for (const { log, start } of starts) {
    const id = { log, number: made.ledger ?? 0 }
    // Of what is only in memory nothing else knows where it begins.
    if (made.isVolatile) ledgers.open(id, start, 1, true)
    else ledgers.started(id, start)
  }
  return made
}

/** Of the ledgers over a topic's logs: its own queue's, and the further ones. */
const ledgerNumbers = (catalog: Catalog, topic: Topic): readonly number[] =>
  queuesOver(catalog, topic).map(({ ledger = 0 }) => ledger)

/** Those with a ledger over a topic's logs, as of now: whoever asks may know the topic as it was. */
function queuesOver(catalog: Catalog, known: Topic): readonly Topic[] {
  const topic = catalog.byId(known.id) ?? known
  const further = catalog.further(topic.id)
  const hasOwn = topic.queue !== undefined && queueTypeOf(topic.queue.arguments) !== 'stream'
  return hasOwn ? [topic, ...further] : further
}

/** Those of bindings that copy from the topic. */
function cursorNumbers(topology: Topology, topic: Topic): readonly number[] {
  if (!topology.isLog(topic.vhost, topic.name)) return []
  return Array.from(topology.of(topic.vhost).routing.bindings.from(topic.name).values(), ({ cursor }) => cursor)
}

/** A queue's ledgers, one over each log of its source. */
const ledgersOf = (topic: Topic, source: Topic): LedgerId[] =>
  Array.from({ length: source.partitions }, (_, index) => ({
    log: logId(source.id, index),
    number: topic.ledger ?? 0,
  }))

const policyFor = (topology: Topology, topic: Topic) =>
  topology.policyFor(topic.vhost, 'queue', topic.name, queueTypeOf(topic.queue?.arguments ?? []))

/** A stream whose declaration says nothing more. */
const undeclaredStream: QueueFacts = {
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: [{ name: 'x-queue-type', value: textField('stream') }],
}

const policyOfQueue = (topology: Topology, topic: Topic): QueuePolicy =>
  compileQueue(
    topic.queue ?? { durable: true, exclusive: false, autoDelete: false, arguments: [] },
    policyFor(topology, topic)?.definition,
  )

function policiesOn(
  topology: Topology,
  topic: Topic,
): ReturnType<ConstructorParameters<typeof QueueDesk>[0]['policiesOn']> {
  const applied = policyFor(topology, topic)
  return { policy: applied?.policy, operatorPolicy: applied?.operatorPolicy }
}
