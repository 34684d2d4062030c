// Queues at run time: one object for each topic that is a queue, made when it is first asked for.
// Promises: the same Queue for the same topic id as long as the topic lives; a topic that is gone has none.
// Does not know: how queues are declared or listed (queue-desk.ts), what a queue does (queue.ts).

import { BufferPool } from '../../base/buffer-pool.ts'
import { MiB } from '../../base/limits.ts'
import type { World } from '../../base/world.ts'
import { logId, type Store, type TopicId } from '../../log/store.ts'
import type { Topic } from '../catalog.ts'
import { isRefusal, type Refusal } from '../errors.ts'
import type { CancelReason } from '../queue-door.ts'
import type { Lane } from './lanes/lane.ts'
import type { Partitions } from '../streams/partitions.ts'
import type { QueuePolicy } from './facts.ts'
import { MessageWriter } from './messages/message.ts'
import type { DeadLettering, EpochsPart, LaneSource, LedgersPart, MovablePart, QueuePart, QueuesPart } from './parts.ts'
import { Queue, type QueueRooms } from './queue.ts'
import { Trimming } from './keeping/queue-trimming.ts'
import { StreamQueue } from './stream/queue-stream.ts'
import { QueueTurns } from './queue-turns.ts'
import { keepsConsumed, type GroupPlace } from './keeping/queue-keeping.ts'
import { ReadingBudget } from './messages/reading.ts'

/** What queues need of a broker. */
export interface QueueHost {
  readonly world: World
  readonly store: Store
  readonly partitions: Partitions
  readonly ledgers: LedgersPart
  readonly epochs: EpochsPart
  /** The catalog's topic of that name. */
  topic(vhost: string, name: string): Topic | undefined
  /** The topic whose logs the queue is over. */
  sourceOf(topic: Topic): Topic
  /** Of all ledgers over a topic's logs. */
  ledgerNumbers(topic: Topic): readonly number[]
  policyOf(topic: Topic): QueuePolicy
  deadLettering(): DeadLettering
  /** Where groups stand that hold what was consumed. */
  readonly placeOf?: GroupPlace
  /** A queue was consumed from, left or read from. */
  used(queue: QueuePart): void
}

/** Buffers of batches that are kept for the batches to come. */
const spareBytesMax = 8 * MiB

export type AnyQueue = Queue | StreamQueue

export class Queues implements QueuesPart {
  readonly #host: QueueHost
  readonly #rooms: QueueRooms
  readonly #byId = new Map<TopicId, AnyQueue>()
  /** Queues whose new ledgers are not committed yet, as they were. */
  readonly #rewinding = new Map<TopicId, { readonly topic: Topic; isRefused: boolean }>()
  /** Topics as streams: those that are no queue, and those of a queue that somebody reads without its ledger. */
  readonly #streams = new Map<TopicId, StreamQueue>()

  constructor(host: QueueHost) {
    this.#host = host
    const { world, store, partitions, ledgers, epochs } = host
    this.#rooms = {
      world,
      store,
      partitions,
      ledgers,
      epochs,
      turns: new QueueTurns(world.clock, () => ledgers.flush()),
      pool: new BufferPool(spareBytesMax),
      writer: new MessageWriter(),
      budget: new ReadingBudget(),
      trimming: new Trimming(
        world,
        (topic, { id }) => [
          ...host.ledgerNumbers(topic).map((number) => ledgers.closings({ log: id, number })),
          ...ledgers.closingsLeaving(id),
        ],
        host.placeOf,
      ),
      policyOf: (topic) => host.policyOf(topic),
      lanesOf: (topic) => lanesOf(this.#asCommitted(topic), host.sourceOf(topic)),
      deadLettering: () => host.deadLettering(),
      used: (queue) => host.used(queue),
    }
  }

  find(vhost: string, name: string): AnyQueue | undefined {
    const topic = this.#host.topic(vhost, name)
    if (topic?.queue === undefined) return undefined
    let queue = this.#byId.get(topic.id)
    if (queue === undefined) {
      const { type } = this.#host.policyOf(topic)
      queue = type === 'stream' ? new StreamQueue(this.#rooms, topic, true) : new Queue(this.#rooms, topic)
      this.#byId.set(topic.id, queue)
    }
    // Its settings may have changed, or it has more partitions.
    queue.topic = topic
    return queue
  }

  findLog(vhost: string, name: string): QueuePart | undefined {
    // A further ledger is nowhere to send anything.
    const found = this.findMovable(vhost, name)
    return found?.topic.over === undefined ? found : undefined
  }

  /** The queue or topic, for those who move messages out of it. */
  findMovable(vhost: string, name: string): MovablePart | undefined {
    const topic = this.#host.topic(vhost, name)
    if (topic === undefined) return undefined
    return topic.queue === undefined ? this.#stream(topic) : this.find(vhost, name)
  }

  findStream(vhost: string, name: string): QueuePart | undefined {
    const topic = this.#host.topic(vhost, name)
    if (topic === undefined) return undefined
    const isStream = topic.queue !== undefined && this.#host.policyOf(topic).type === 'stream'
    return isStream ? this.find(vhost, name) : this.#stream(this.#host.sourceOf(topic))
  }

  #stream(topic: Topic): StreamQueue {
    let stream = this.#streams.get(topic.id)
    if (stream === undefined) this.#streams.set(topic.id, (stream = new StreamQueue(this.#rooms, topic, false)))
    stream.topic = topic
    return stream
  }

  /** A topic has other settings or more partitions: what is at work over it goes by them. */
  configured(topic: Topic): void {
    if (this.#byId.has(topic.id)) this.find(topic.vhost, topic.name)
    if (this.#streams.has(topic.id)) this.#stream(topic)
    for (const queue of this.#byId.values())
      if (queue instanceof Queue && queue.topic.over === topic.id) queue.lanesChanged()
  }

  /**
   * After a start: queues whose messages expire by themselves are opened though nobody asks for them, since what expires
   * may have somewhere to go; so are those that keep for a time what was consumed.
   */
  async start(topics: Iterable<Topic>): Promise<void> {
    for (const topic of topics) {
      const refused = await this.wake(topic)
      if (refused !== undefined)
        this.#host.world.trace.warn('queue not opened', { queue: topic.name, why: refused.why })
    }
  }

  /** `isFed`: others than its publishers may write to its logs already, which are open. */
  async wake(topic: Topic, isFed = topic.over !== undefined): Promise<Refusal | undefined> {
    const { ledgers, store } = this.#host
    const { messageTtlMs, type, lengthMax, lengthBytesMax } = this.#host.policyOf(topic)
    if (type === 'stream') return undefined
    // No publisher would open it when it has to let go of something.
    const isBounded = isFed && (lengthMax ?? lengthBytesMax ?? messageTtlMs) !== undefined
    const expires = this.#rooms.lanesOf(topic).some((source) => {
      const log = logId(source.topic.id, source.partition)
      const isLookedAt = messageTtlMs !== undefined || keepsConsumed(source.topic.policy)
      const hasSome = isLookedAt && store.bytesOf(log) > 0
      return hasSome || ledgers.hasExpirations({ log, number: source.ledger })
    })
    if (!isBounded && !expires) return undefined
    return this.find(topic.vhost, topic.name)?.ready()
  }

  /** A log of it is open, so that anybody may write to it: a queue that has to let go of something by itself is there. */
  logOpened(topic: Topic, partition: number): void {
    const { type, messageTtlMs, lengthMax, lengthBytesMax } = this.#host.policyOf(topic)
    if (type === 'stream' || (lengthMax ?? lengthBytesMax ?? messageTtlMs) === undefined) return
    void this.laneOf(topic, partition)?.ready()
  }

  /** What is worked off and kept for a time is looked at again. */
  lookAtConsumed(): void {
    this.#rooms.trimming.lookAgain()
  }

  /** From here to rewound() the catalog may name ledgers that are not there yet: the queue goes by those it has. */
  rewinding(topic: Topic): void {
    this.#rewinding.set(topic.id, { topic, isRefused: false })
  }

  #asCommitted(topic: Topic): Topic {
    const rewinding = this.#rewinding.get(topic.id)
    if (rewinding === undefined) return topic
    const { ledger } = rewinding.topic
    // The catalog is replayed.
    if (rewinding.isRefused && ledger === topic.ledger) this.#rewinding.delete(topic.id)
    return { ...topic, ledger }
  }

  /** It goes on by those, also as long as the catalog does not say so again. */
  notRewound(topic: Topic): void {
    const rewinding = this.#rewinding.get(topic.id)
    if (rewinding !== undefined) rewinding.isRefused = true
  }

  /** The queue goes by other ledgers now: it takes them up. */
  async rewound(topic: Topic): Promise<void> {
    this.#rewinding.delete(topic.id)
    const queue = this.find(topic.vhost, topic.name)
    // Whoever asked for it meanwhile was given it as it was.
    if (queue instanceof Queue) queue.lanesChanged()
    // Only what was published to it may say itself when it expires.
    if (!(queue instanceof Queue) || topic.origin === 'kafka' || topic.over !== undefined) return
    const refused = await queue.lookForExpired()
    if (refused !== undefined)
      this.#host.world.trace.warn('expired messages may come again', { queue: topic.name, why: refused.why })
  }

  /** The lane of a queue over one log. */
  laneOf(queue: Topic, partition: number): Lane | undefined {
    const found = this.find(queue.vhost, queue.name)
    return found instanceof Queue ? found.lanes.find((lane) => lane.partition === partition) : undefined
  }

  /** As find(), but only when it was asked for before. */
  seen(topic: Topic): AnyQueue | undefined {
    return this.#byId.get(topic.id)
  }

  all(): IterableIterator<AnyQueue> {
    return this.#byId.values()
  }

  /** Policies changed, or all was read again: every live queue takes what follows from them. */
  policiesChanged(): void {
    for (const queue of [...this.#byId.values(), ...this.#streams.values()]) {
      const { vhost, name, id } = queue.topic
      const topic = this.#host.topic(vhost, name)
      // It may have been seen with partitions that were refused in the end.
      if (topic?.id === id) queue.topic = topic
    }
    for (const queue of this.#byId.values()) queue.setPolicy(this.#host.policyOf(queue.topic))
  }

  /** The topic is gone from the catalog. */
  dropTopic(topic: Topic): void {
    const stream = this.#streams.get(topic.id)
    this.#streams.delete(topic.id)
    stream?.drop('queueDeleted')
  }

  /** The queue is gone from the catalog; its topic may stay. */
  drop(topic: Topic, reason: CancelReason = 'queueDeleted'): void {
    const queue = this.#byId.get(topic.id)
    this.#byId.delete(topic.id)
    this.#rewinding.delete(topic.id)
    queue?.drop(reason)
  }

  /** Somebody who held what others had closed of a topic's logs is gone: they are opened if need be, and looked at. */
  trim(source: Topic): void {
    if (!source.policy.dropsConsumed) return
    for (let index = 0; index < source.partitions; index++) {
      const partition = this.#host.partitions.of(source, index)
      if (partition === undefined || this.#host.store.bytesOf(partition.id) === 0) continue
      void partition.open(source.policy).then(
        (log) => {
          if (isRefusal(log)) return
          const now = (): Topic | undefined => this.#host.topic(source.vhost, source.name)
          this.#rooms.trimming.closed({
            // It may keep more by the time it is looked at.
            get topic() {
              const topic = now()
              return topic?.id === source.id ? topic : source
            },
            partition,
            log,
            // A log that is deleted fails.
            get isGone() {
              return log.failed
            },
            isListed: false,
          })
        },
        // It is deleted, or cannot be read: then nothing of it can be given back now.
        () => undefined,
      )
    }
  }

  async close(): Promise<void> {
    await this.#rooms.trimming.close()
    await Promise.all(Array.from([...this.#byId.values(), ...this.#streams.values()], (queue) => queue.close()))
  }
}

/** A queue's lanes: all logs of the topic it is over, by its ledgers there. */
function lanesOf(queue: Topic, over: Topic): readonly LaneSource[] {
  const { ledger = 0, isVolatile } = queue
  return Array.from({ length: over.partitions }, (_, partition) => ({ topic: over, partition, ledger, isVolatile }))
}
