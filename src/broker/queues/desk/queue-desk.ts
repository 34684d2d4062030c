// The queue desk: queues declared, checked, deleted, purged and listed; who owns the exclusive ones.
// Promises: RabbitMQ's judgements in its order and words. What a client declared exclusive is nobody else's, and gone when
// closeOwner() resolves. Counts are taken after what was published before is stored.
// Does not know: who may do what (authorised-queues.ts), how a queue works at run time (queue.ts).

import { fieldNumber, findField, type FieldTable } from '../../../base/fields.ts'
import type { World } from '../../../base/world.ts'
import { logId, type Store, type TopicId } from '../../../log/store.ts'
import type { Catalog, Topic } from '../../catalog.ts'
import { isRefusal, refuse, type Refusal } from '../../errors.ts'
import type {
  CancelReason,
  DeclareQueueCall,
  QueueCount,
  QueueTopicView,
  QueueView,
  RewindTo,
  RewoundPartition,
} from '../../queue-door.ts'
import type { TopicPolicy } from '../../settings/topic-policy.ts'
import type { Partitions } from '../../streams/partitions.ts'
import type { NewFurtherQueue } from '../../streams/topic-ledgers.ts'
import type { NewQueue } from '../../streams/topics.ts'
import type { QueueFacts, QueuePolicy } from '../facts.ts'
import type { QueuePart, QueuesPart } from '../parts.ts'
import { judgeArguments, judgeEquivalence, judgeProperties, queueTypeOf, resourceName } from './queue-arguments.ts'
import { judgeOverTopic } from './queue-arguments-ours.ts'
import { judgeFurther, plannedFurther, sourceNameOf } from './further-queues.ts'
import { QueueLife } from './queue-life.ts'
import { factsOf, nameWithoutLineEnds, namedCall, plannedQueue } from './queue-plans.ts'
import { findPlaces, findStarts, type QueueStart } from './queue-starts.ts'
import { isReplyName } from '../channels/reply-to.ts'

/** How the desk has topics made and ended. */
export interface QueueTopics {
  createQueue(wanted: NewQueue): Promise<Topic | Refusal>
  /** A topic becomes a queue too, and its ledgers begin. */
  startQueue(topic: Topic, queue: QueueFacts, starts: readonly QueueStart[]): Promise<Topic | Refusal>
  /** A queue over the logs of another topic. */
  createFurther(wanted: NewFurtherQueue, starts: readonly QueueStart[]): Promise<Topic | Refusal>
  /** A queue's ledgers begin anew. */
  rewind(topic: Topic, starts: readonly QueueStart[]): Promise<Topic | Refusal>
  /** The topic stays. */
  endQueue(topic: Topic): Promise<Topic | Refusal>
  /** undefined: deleted. `mayGo` is asked last, when nobody else changes the topic. */
  delete(topic: Topic, mayGo: (now: Topic) => Refusal | undefined): Promise<Refusal | undefined>
}

export interface QueueDeskHost {
  readonly world: World
  readonly store: Pick<Store, 'bytesOf'>
  readonly catalog: Pick<Catalog, 'find' | 'byId' | 'queues' | 'all' | 'further' | 'sourceOf'>
  readonly topics: QueueTopics
  readonly partitions: Pick<Partitions, 'of'>
  readonly queues: QueuesPart & {
    seen(topic: Topic): QueuePart | undefined
    drop(topic: Topic, reason?: CancelReason): void
    /** Opens the queue if it has something to do though nobody asks for it. `isFed`: its logs are open to others. */
    wake(topic: Topic, isFed?: boolean): Promise<Refusal | undefined>
  }
  readonly replies: { isLive(vhost: string, address: string): boolean }
  policyOf(topic: Topic): QueuePolicy
  /** Whether the topic is an exchange of type x-log too: then it stays when its queue goes. */
  isLog(topic: Topic): boolean
  /** A topic's settings, and what policies say of it beside. */
  retentionOf(topic: Topic): TopicPolicy
  /** Resolves when all that queues decided by now is on disk. */
  ledgersSettled(): Promise<void> | undefined
  /** Names of the policies that apply. */
  policiesOn(topic: Topic): { readonly policy: string | undefined; readonly operatorPolicy: string | undefined }
}

/** A client, as whoever it is the same object in all its calls. */
export interface Owner {
  readonly queues: Set<TopicId>
  isClosed: boolean
}

export const newOwner = (): Owner => ({ queues: new Set(), isClosed: false })

const missingQueue = (vhost: string, name: string): Refusal =>
  refuse('queueMissing', `no ${resourceName('queue', vhost, name)}`)

const locked = (queue: string): Refusal =>
  refuse(
    'queueLocked',
    `cannot obtain exclusive access to locked ${queue}. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`,
  )

export class QueueDesk {
  readonly #host: QueueDeskHost
  readonly #life: QueueLife
  readonly #owners = new Map<TopicId, Owner>()

  constructor(host: QueueDeskHost) {
    this.#host = host
    this.#life = new QueueLife({
      world: host.world,
      consumersOf: (topic) => host.queues.seen(topic)?.consumers ?? 0,
      end: (topic) => this.#end(topic),
    })
  }

  /** Leases begin: called once the catalog is replayed. */
  start(): void {
    for (const topic of this.#host.catalog.all()) if (topic.queue !== undefined) this.#lease(topic)
  }

  close(): void {
    this.#life.close()
  }

  // --- declaring ---

  /** The call with the name its queue will have: the broker's own when it says none. */
  named(call: DeclareQueueCall): DeclareQueueCall | Refusal {
    return isReplyName(call.name) ? call : namedCall(call, this.#host.world.random)
  }

  /** `mayMake` is asked before a queue is made, not when it is there already. */
  async declare(
    vhost: string,
    owner: Owner,
    call: DeclareQueueCall,
    mayMake: () => Refusal | undefined = () => undefined,
  ): Promise<QueueCount | Refusal> {
    if (isReplyName(call.name)) return this.#checkReplies(vhost, call.name)
    for (;;) {
      const topic = this.#host.catalog.find(vhost, { name: call.name })
      const outcome =
        topic?.queue === undefined
          ? await this.#make(vhost, owner, call, topic, mayMake)
          : await this.#declareAgain(owner, call, topic, topic.queue)
      if (!isRefusal(outcome) || outcome.refused !== 'topicExists') return outcome
    }
  }

  async #make(
    vhost: string,
    owner: Owner,
    call: DeclareQueueCall,
    over: Topic | undefined,
    mayMake: () => Refusal | undefined,
  ): Promise<QueueCount | Refusal> {
    const queue = resourceName('queue', vhost, call.name)
    if (over !== undefined && call.exclusive) return locked(queue)
    if (sourceNameOf(call.arguments) !== undefined) return this.#makeFurther(vhost, owner, call, over, mayMake)
    // Over a topic of Kafka's clients a queue is as durable as the topic, whatever the declaration says.
    const wanted = over === undefined ? call : { ...call, durable: true }
    const wrong =
      judgeArguments(queue, wanted.arguments) ??
      judgeProperties(queue, wanted) ??
      (over === undefined
        ? undefined
        : (judgeOverTopic(queue, wanted.arguments) ?? judgePartitions(queue, over, wanted.arguments))) ??
      mayMake()
    if (wrong !== undefined) return wrong
    const topic =
      over === undefined
        ? await this.#host.topics.createQueue(plannedQueue(vhost, wanted))
        : await this.#startOver(over, wanted)
    if (isRefusal(topic)) return topic.refused === 'unknownTopic' ? taken() : topic
    this.#lease(topic)
    if (over !== undefined)
      return (await this.#host.queues.wake(topic, true)) ?? this.#declareAgain(owner, call, topic, topic.queue)
    if (call.exclusive) await this.#own(topic, owner)
    return { name: topic.name, messages: 0, consumers: 0 }
  }

  /** A queue with a ledger of its own over another's logs. */
  async #makeFurther(
    vhost: string,
    owner: Owner,
    call: DeclareQueueCall,
    there: Topic | undefined,
    mayMake: () => Refusal | undefined,
  ): Promise<QueueCount | Refusal> {
    const queue = resourceName('queue', vhost, call.name)
    const wrong = judgeArguments(queue, call.arguments) ?? judgeProperties(queue, call)
    if (wrong !== undefined) return wrong
    const name = sourceNameOf(call.arguments) ?? ''
    if (there !== undefined)
      return refuse(
        'inequivalentDeclaration',
        `inequivalent arg 'x-log' for ${queue}: received the value '${name}' of type 'longstr' but current is none`,
      )
    const { catalog, partitions, topics, world } = this.#host
    const source = catalog.find(vhost, { name })
    const refused = mayMake() ?? judgeFurther(vhost, call, source)
    if (refused !== undefined || source === undefined) return refused ?? missingQueue(vhost, name)
    const starts = await findStarts(partitions, source, call.arguments, world.clock)
    if (isRefusal(starts)) return starts
    const topic = await topics.createFurther(plannedFurther(call, source), starts)
    if (isRefusal(topic)) return topic.refused === 'unknownTopic' ? missingQueue(vhost, name) : topic
    this.#lease(topic)
    if (call.exclusive) await this.#own(topic, owner)
    // What bounds it is at work from now on, though nobody asks for it.
    const opened = await this.#host.queues.wake(topic)
    if (opened !== undefined || this.#host.queues.seen(topic) !== undefined) return opened ?? this.#count(topic)
    // Nobody uses it yet: there may be hundreds.
    return { name: topic.name, messages: starts.reduce((sum, { behind }) => sum + behind, 0), consumers: 0 }
  }

  async #startOver(topic: Topic, call: DeclareQueueCall): Promise<Topic | Refusal> {
    const { partitions, topics, world } = this.#host
    // Who reads a stream says himself where he begins.
    const isStream = queueTypeOf(call.arguments) === 'stream'
    const starts = isStream ? [] : await findStarts(partitions, topic, call.arguments, world.clock)
    return isRefusal(starts) ? starts : topics.startQueue(topic, factsOf(call), starts)
  }

  async #own(topic: Topic, owner: Owner): Promise<void> {
    this.#owners.set(topic.id, owner)
    owner.queues.add(topic.id)
    // Its client left while it was made.
    if (owner.isClosed) await this.#end(topic)
  }

  async #declareAgain(
    owner: Owner,
    call: DeclareQueueCall,
    topic: Topic,
    facts: QueueFacts | undefined,
  ): Promise<QueueCount | Refusal> {
    if (facts === undefined) return taken()
    const queue = resourceName('queue', topic.vhost, topic.name)
    const isHis = call.exclusive ? this.#owners.get(topic.id) === owner : !facts.exclusive
    if (!isHis) return locked(queue)
    // Over a topic that is more than this queue, `durable` is the topic's.
    const isTopics = topic.origin === 'kafka' || this.#host.isLog(topic)
    const asDurable = isTopics ? { ...call, durable: facts.durable } : call
    const different = judgeEquivalence(queue, facts, asDurable)
    if (different !== undefined) return different
    // Quorum queues are not kept alive by declarations, as in RabbitMQ.
    if (queueTypeOf(facts.arguments) !== 'quorum') this.#life.renew(topic)
    return this.#count(topic)
  }

  /** Passive declare. */
  async check(vhost: string, owner: Owner, given: string): Promise<QueueCount | Refusal> {
    const name = nameWithoutLineEnds(given)
    if (isReplyName(name)) return this.#checkReplies(vhost, name)
    const topic = this.#find(vhost, owner, name)
    if (isRefusal(topic)) return topic
    this.#life.renew(topic)
    return this.#count(topic)
  }

  #checkReplies(vhost: string, name: string): QueueCount | Refusal {
    return this.#host.replies.isLive(vhost, name) ? { name, messages: 0, consumers: 1 } : missingQueue(vhost, name)
  }

  #find(vhost: string, owner: Owner, name: string): Topic | Refusal {
    const topic = this.#host.catalog.find(vhost, { name })
    if (topic?.queue === undefined) return missingQueue(vhost, name)
    return this.mayUse(owner, topic) ?? topic
  }

  /** Why this client may not touch the queue: it is another's own. */
  mayUse(owner: Owner, topic: Topic): Refusal | undefined {
    // What only the broker knows (delayed messages) is no queue to clients.
    if (topic.queue === undefined)
      return this.#host.catalog.byId(topic.id) === undefined ? missingQueue(topic.vhost, topic.name) : undefined
    if (!topic.queue.exclusive || this.#owners.get(topic.id) === owner) return undefined
    return locked(resourceName('queue', topic.vhost, topic.name))
  }

  /** As mayUse(), by name; what is not there is not locked. */
  mayTouch(vhost: string, owner: Owner, name: string): Refusal | undefined {
    const topic = this.#host.catalog.find(vhost, { name })
    return topic?.queue === undefined ? undefined : this.mayUse(owner, topic)
  }

  async #count(topic: Topic): Promise<QueueCount | Refusal> {
    if (this.#isUntouched(topic)) return { name: topic.name, messages: 0, consumers: 0 }
    const queue = await this.#opened(topic)
    return isRefusal(queue) ? queue : { name: topic.name, messages: queue.messages, consumers: queue.consumers }
  }

  /** Nobody asked for it since the start, and its log is empty: opening thousands of those would cost for nothing. */
  #isUntouched(topic: Topic): boolean {
    return this.#host.queues.seen(topic) === undefined && this.#bytesOf(this.#host.catalog.sourceOf(topic)) === 0
  }

  #bytesOf(topic: Topic): number {
    let bytes = 0
    for (let index = 0; index < topic.partitions; index++) bytes += this.#host.store.bytesOf(logId(topic.id, index))
    return bytes
  }

  /** The queue with its counts, after all that was published before. */
  async #opened(topic: Topic): Promise<QueuePart | Refusal> {
    const queue = this.#host.queues.find(topic.vhost, topic.name)
    if (queue === undefined) return missingQueue(topic.vhost, topic.name)
    await queue.settled()
    // Who hears of the queue after he acknowledged may rely on that being on disk.
    await this.#host.ledgersSettled()
    const refused = await queue.opened()
    if (queue.isDeleted) return missingQueue(topic.vhost, topic.name)
    return refused ?? queue
  }

  // --- deleting ---

  async delete(
    vhost: string,
    owner: Owner,
    given: string,
    only: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number | Refusal> {
    const topic = this.#find(vhost, owner, nameWithoutLineEnds(given))
    if (isRefusal(topic)) return topic.refused === 'queueMissing' ? 0 : topic
    const type = queueTypeOf(topic.queue?.arguments ?? [])
    const name = resourceName('queue', vhost, topic.name)
    if (type === 'quorum' && (only.ifUnused || only.ifEmpty))
      return refuse(
        'notForThisQueue',
        `cannot delete ${name}. queue.delete operations with ${only.ifUnused ? 'if-unused' : 'if-empty'} flag set are not supported by quorum queues`,
      )
    if (this.#isUntouched(topic)) return (await this.#end(topic)) ?? 0
    const queue = await this.#opened(topic)
    // A partition that cannot be opened may hold some.
    const refused = only.ifEmpty && !isRefusal(queue) ? await queue.ready() : undefined
    if (refused !== undefined) return refused.refused === 'queueMissing' ? 0 : refused
    if (isRefusal(queue)) return queue.refused === 'queueMissing' ? 0 : queue
    if (type === 'classic' && only.ifUnused && queue.consumers > 0) return refuse('queueInUse', `${name} in use`)
    // What waits for its next try is ready again soon.
    if (type === 'classic' && only.ifEmpty && queue.messages + queue.delayed > 0)
      return refuse('queueNotEmpty', `${name} not empty`)
    const messages = type === 'stream' ? 0 : queue.messages
    return (await this.#end(topic)) ?? messages
  }

  /** A topic that AMQP's clients made goes whole, one of Kafka's only stops being a queue. undefined: it is gone. */
  async #end(topic: Topic): Promise<Refusal | undefined> {
    const now = this.#host.catalog.byId(topic.id)
    if (now?.queue === undefined) return undefined
    if (now.origin === 'amqp' && !this.#host.isLog(now)) {
      const refused = await this.#host.topics.delete(now, ({ id, vhost, name }) =>
        this.#host.catalog.further(id).length > 0
          ? refuse('queueInUse', `${resourceName('queue', vhost, name)} in use`)
          : undefined,
      )
      return refused?.refused === 'unknownTopic' ? undefined : refused
    }
    const left = await this.#host.topics.endQueue(now)
    return isRefusal(left) && left.refused !== 'unknownTopic' ? left : undefined
  }

  /** The queue is gone, whoever deleted it. */
  gone(topic: Topic): void {
    this.#life.forget(topic)
    this.#owners.get(topic.id)?.queues.delete(topic.id)
    this.#owners.delete(topic.id)
    this.#host.queues.drop(topic, 'queueDeleted')
  }

  /** The whole queue goes on from another place; who consumes it stays. */
  async rewind(
    vhost: string,
    owner: Owner,
    given: string,
    to: RewindTo,
  ): Promise<readonly RewoundPartition[] | Refusal> {
    const topic = this.#find(vhost, owner, nameWithoutLineEnds(given))
    if (isRefusal(topic)) return topic
    const name = resourceName('queue', vhost, topic.name)
    if (queueTypeOf(topic.queue?.arguments ?? []) === 'stream')
      return refuse('notForThisQueue', `rewind not supported by stream queues ${name}: consumers say x-stream-offset`)
    // What is of which priority is known of what was not consumed; where there is a default it is that again.
    const { priorityMax, priorityDefault } = this.#host.policyOf(topic)
    if (priorityMax > 0 && priorityDefault === 0)
      return refuse('notForThisQueue', `rewind not supported by queues with priorities ${name}`)
    const { catalog, partitions, topics, world } = this.#host
    // What is on its way is stored before the place is found.
    await this.#host.queues.seen(topic)?.settled()
    const places = await findPlaces(partitions, catalog.sourceOf(topic), to, world.clock)
    if (isRefusal(places)) return places
    const rewound = await topics.rewind(topic, places)
    if (isRefusal(rewound)) return rewound.refused === 'unknownTopic' ? missingQueue(vhost, topic.name) : rewound
    this.#life.renew(topic)
    return places.map(({ partition, start, isCut }) => ({ partition, offset: start, isCut }))
  }

  async purge(vhost: string, owner: Owner, given: string): Promise<number | Refusal> {
    const topic = this.#find(vhost, owner, nameWithoutLineEnds(given))
    if (isRefusal(topic)) return topic
    if (queueTypeOf(topic.queue?.arguments ?? []) === 'stream')
      return refuse(
        'notForThisQueue',
        `queue.purge not supported by stream queues ${resourceName('queue', vhost, topic.name)}`,
      )
    const queue = await this.#opened(topic)
    if (isRefusal(queue)) return queue
    const purged = await queue.purge()
    return isRefusal(purged) && queue.isDeleted ? missingQueue(vhost, topic.name) : purged
  }

  /** The client is gone: so is what it declared exclusive. */
  async closeOwner(owner: Owner): Promise<void> {
    owner.isClosed = true
    await Promise.all(
      Array.from(owner.queues, async (id) => {
        const topic = this.#host.catalog.byId(id)
        const refused = topic === undefined ? undefined : await this.#end(topic)
        if (refused !== undefined)
          this.#host.world.trace.error('an exclusive queue was not deleted', { topic: id, why: refused.why })
      }),
    )
  }

  // --- living and looking ---

  /** Told by queues; see QueueHost.used. */
  used(queue: QueuePart): void {
    this.#life.used(queue)
  }

  /** Policies changed: leases may be others now. */
  policiesChanged(vhost: string): void {
    for (const topic of this.#host.catalog.queues(vhost)) this.#lease(topic)
  }

  #lease(topic: Topic): void {
    this.#life.lease(topic, this.#host.policyOf(topic).expiresMs)
  }

  list(vhost: string): QueueView[] {
    return this.#host.catalog.queues(vhost).map((topic) => this.#view(topic, topic.queue as QueueFacts))
  }

  async describe(vhost: string, name: string): Promise<QueueView | Refusal> {
    const topic = this.#host.catalog.find(vhost, { name })
    if (topic?.queue === undefined) return missingQueue(vhost, name)
    const queue = await this.#opened(topic)
    return isRefusal(queue) ? queue : this.#view(topic, topic.queue)
  }

  #view(topic: Topic, facts: QueueFacts): QueueView {
    const queue = this.#host.queues.seen(topic)
    return {
      name: topic.name,
      type: queueTypeOf(facts.arguments),
      durable: facts.durable,
      exclusive: facts.exclusive,
      autoDelete: facts.autoDelete,
      arguments: facts.arguments,
      ...this.#host.policiesOn(topic),
      ready: queue?.isReady === true ? queue.messages : this.#isUntouched(topic) ? 0 : undefined,
      unacknowledged: queue?.unacknowledged ?? 0,
      delayed: queue?.delayed ?? 0,
      consumers: queue?.consumers ?? 0,
      bytes: this.#bytesOf(topic),
      topic: this.#topicView(this.#host.catalog.sourceOf(topic)),
    }
  }

  #topicView(topic: Topic): QueueTopicView {
    const { isRetained, dropsConsumed, consumedMs, consumedBytes, retentionMs, retentionBytes, holdGroups } =
      this.#host.retentionOf(topic)
    return {
      name: topic.name,
      origin: topic.origin,
      partitions: topic.partitions,
      cleanupPolicy: [...(isRetained ? ['delete'] : []), ...(dropsConsumed ? ['consumed'] : [])].join(','),
      retentionMs: isRetained ? retentionMs : consumedMs,
      retentionBytes: isRetained ? retentionBytes : consumedBytes,
      holdGroups,
    }
  }
}

/** A topic has its partitions already. */
function judgePartitions(queue: string, { partitions }: Topic, args: FieldTable): Refusal | undefined {
  const wanted = fieldNumber(findField(args, 'x-partitions')) ?? partitions
  if (wanted === partitions) return undefined
  return refuse(
    'inequivalentDeclaration',
    `inequivalent arg 'x-partitions' for ${queue}: received '${wanted}' but current is '${partitions}'`,
  )
}

/** Somebody was faster: look again. */
const taken = (): Refusal => refuse('topicExists', 'The name was taken meanwhile.')
