// The session: the one way into the broker, for one connection's identity.
// Promises: every call is authorised here, by the operation and resource it names, before anything is done or told.
// Does not know: any protocol, nor how a call is done: it asks the right room and hands the answer back.

import type { Clock } from '../base/world.ts'
import type { Log, Offset } from '../log/store.ts'
import type { Access, Operation, Resource } from './access.ts'
import { authorisedGroups } from './authorised-groups.ts'
import { authorisedQueues, type QueueRooms } from './authorised-queues.ts'
import { isListed } from './catalog-topics.ts'
import type { Topic } from './catalog.ts'
import type {
  ActiveProducer,
  ClusterView,
  ConfigResource,
  CreatedTopic,
  FoundOffset,
  GroupCalls,
  LagReport,
  NewTopic,
  OffsetSpec,
  PartitionView,
  ProduceCall,
  Produced,
  ProducerIdentity,
  ProduceRefusal,
  QuotaEntity,
  QuotaView,
  ReadCall,
  ReadOutcome,
  ReadRefusal,
  Session,
  SessionIdentity,
  SettingChange,
  SettingView,
  TopicRef,
  TopicView,
} from './door.ts'
import { isRefusal, refuse, type Refusal } from './errors.ts'
import type { LagDesk } from './lag-desk.ts'
import type { QueueCalls } from './queue-door.ts'
import type { SettingDesk } from './setting-desk.ts'
import type { Partition } from './streams/partition.ts'
import type { Partitions } from './streams/partitions.ts'
import type { ProducerIds } from './streams/producer-ids.ts'
import { findOffset, judgeLeaderEpoch, leaderEpoch, readLog } from './streams/reading.ts'
import type { Topics } from './streams/topics.ts'
import type { Quotas, ThrottledClient } from './quotas.ts'

/** The rooms behind the door. */
export interface Rooms {
  readonly clock: Clock
  readonly access: Access
  readonly topics: Topics
  readonly catalog: { find(vhost: string, topic: TopicRef): Topic | undefined; list(vhost: string): readonly Topic[] }
  readonly partitions: Partitions
  readonly producerIds: ProducerIds
  readonly settings: SettingDesk
  readonly quotas: Quotas
  readonly groups: (vhost: string) => GroupCalls
  readonly queues: QueueRooms
  readonly lag: LagDesk
  readonly createsTopics: () => boolean
  /** See RetentionHost.mayTrim. */
  readonly mayTrim: (topic: Topic, log: Log, to: number) => Promise<number>
  readonly cluster: () => ClusterView
}

/** What Kafka calls the one resource of its kind. */
const clusterName = 'kafka-cluster'

interface Place {
  readonly topic: Topic
  readonly partition: Partition
}

export function openSession(rooms: Rooms, identity: SessionIdentity): Session {
  return new BrokerSession(rooms, identity)
}

class BrokerSession implements Session {
  readonly groups: GroupCalls
  readonly #rooms: Rooms
  readonly #identity: SessionIdentity
  readonly #client: ThrottledClient
  #queues: QueueCalls | undefined

  constructor(rooms: Rooms, identity: SessionIdentity) {
    this.#rooms = rooms
    this.#identity = identity
    this.groups = authorisedGroups(
      rooms.groups(identity.vhost),
      (operation, kind, name) => this.#judge(operation, kind, name),
      (topic) => ('name' in topic ? topic.name : rooms.catalog.find(identity.vhost, topic)?.name),
    )
    this.#client = rooms.quotas.client(identity.principal, identity.clientId)
  }

  #judge(operation: Operation, kind: Resource['kind'], name: string): Refusal | undefined {
    const { vhost, principal } = this.#identity
    return this.#rooms.access.authorise(principal, operation, { kind, vhost, name })
  }

  /** The topic, when it is there and `operation` on it is allowed; an id of a topic one may not see is unknown. */
  #topic(ref: TopicRef, operation: Operation): Topic | Refusal {
    const found = this.#rooms.catalog.find(this.#identity.vhost, ref)
    // What is not listed is not there for clients of Kafka.
    const topic = found !== undefined && isListed(found) ? found : undefined
    const name = 'name' in ref ? ref.name : topic?.name
    const denied = name === undefined ? undefined : this.#judge(operation, 'topic', name)
    if (denied !== undefined) return denied
    if (topic !== undefined) return topic
    return 'name' in ref
      ? refuse('unknownTopic', `There is no topic '${ref.name}'.`)
      : refuse('unknownTopicId', `There is no topic with id ${ref.id}.`)
  }

  #place(ref: TopicRef, index: number, operation: Operation): Place | Refusal {
    const topic = this.#topic(ref, operation)
    if (isRefusal(topic)) return topic
    const partition = this.#rooms.partitions.of(topic, index)
    return partition === undefined
      ? refuse('unknownTopic', `Topic '${topic.name}' has no partition ${index}.`)
      : { topic, partition }
  }

  /** Made when first asked for: most clients of Kafka never do. */
  get queues(): QueueCalls {
    return (this.#queues ??= authorisedQueues(this.#rooms.queues, this.#identity, (operation, kind, name) =>
      this.#judge(operation, kind, name),
    ))
  }

  cluster(): ClusterView {
    return this.#rooms.cluster()
  }

  lag(name: string | undefined): Promise<LagReport> {
    return this.#rooms.lag.list({
      vhost: this.#identity.vhost,
      name,
      groups: this.groups,
      mayTellOf: (queue) => this.#judge('describe', 'queue', queue) === undefined,
    })
  }

  // --- topics ---

  listTopics(): readonly TopicView[] {
    return this.#rooms.catalog
      .list(this.#identity.vhost)
      .filter((topic) => this.#judge('describe', 'topic', topic.name) === undefined)
  }

  describeTopic(topic: TopicRef): TopicView | Refusal {
    return this.#topic(topic, 'describe')
  }

  async findOrCreateTopic(name: string): Promise<TopicView | Refusal> {
    const found = this.#topic({ name }, 'describe')
    if (!isRefusal(found) || found.refused !== 'unknownTopic' || !this.#rooms.createsTopics()) return found
    const denied = this.#judge('create', 'cluster', clusterName) && this.#judge('create', 'topic', name)
    if (denied !== undefined) return denied
    const isTaken = this.#rooms.catalog.find(this.#identity.vhost, { name }) !== undefined
    return isTaken ? found : this.#rooms.topics.findOrCreate(this.#identity.vhost, name)
  }

  async createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<readonly (CreatedTopic | Refusal)[]> {
    const mayAll = this.#judge('create', 'cluster', clusterName) === undefined
    const denied = topics.map((topic) => (mayAll ? undefined : this.#judge('create', 'topic', topic.name)))
    const allowed = topics.filter((_, index) => denied[index] === undefined)
    const made = await this.#rooms.topics.create(this.#identity.vhost, allowed, validateOnly)
    let at = 0
    return denied.map((refusal) => {
      const outcome = refusal ?? made[at++]
      return isRefusal(outcome) ? outcome : { ...outcome, settings: this.#rooms.settings.ofTopic(outcome) }
    })
  }

  async deleteTopics(topics: readonly TopicRef[]): Promise<readonly (TopicView | Refusal)[]> {
    return Promise.all(
      topics.map(async (ref) => {
        const topic = this.#topic(ref, 'delete')
        return isRefusal(topic) ? topic : ((await this.#rooms.topics.delete(topic)) ?? topic)
      }),
    )
  }

  async createPartitions(name: string, partitions: number, validateOnly: boolean): Promise<TopicView | Refusal> {
    const topic = this.#topic({ name }, 'alter')
    if (isRefusal(topic)) return topic
    return this.#rooms.topics.grow(this.#identity.vhost, name, partitions, validateOnly)
  }

  // --- settings ---

  #judgeSettings(resource: ConfigResource, operation: 'describeConfigs' | 'alterConfigs'): Refusal | undefined {
    if (resource.kind === 'topic') return this.#judge(operation, 'topic', resource.name)
    if (resource.kind === 'group') return this.#judge(operation, 'group', resource.name)
    return this.#judge(operation, 'cluster', clusterName)
  }

  describeSettings(resource: ConfigResource): readonly SettingView[] | Refusal {
    const denied = this.#judgeSettings(resource, 'describeConfigs')
    return denied ?? this.#rooms.settings.describe(this.#identity.vhost, resource)
  }

  async alterSettings(
    resource: ConfigResource,
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental',
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const denied = this.#judgeSettings(resource, 'alterConfigs')
    return denied ?? this.#rooms.settings.alter(this.#identity.vhost, resource, changes, mode, validateOnly)
  }

  // --- records ---

  produce(call: ProduceCall): Promise<Produced | ProduceRefusal> {
    const place = this.#place(call.topic, call.partition, 'write')
    if (isRefusal(place)) return Promise.resolve(place)
    if (call.acks !== 0 && call.acks !== 1 && call.acks !== -1)
      return Promise.resolve(refuse('invalidRequiredAcks', `acks is 0, 1 or -1, not ${String(call.acks)}.`))
    return place.partition.produce(place.topic.policy, call.batch, call.acks)
  }

  read(call: ReadCall): ReadOutcome | ReadRefusal | Promise<ReadOutcome | ReadRefusal> {
    const place = this.#place(call.topic, call.partition, 'read')
    if (isRefusal(place)) return place
    const wrongEpoch = judgeLeaderEpoch(call.leaderEpoch)
    if (wrongEpoch !== undefined) return wrongEpoch
    const { log } = place.partition
    if (log !== undefined && !log.failed) return readLog(log, call.offset, call.bytesMax)
    return place.partition
      .open(place.topic.policy)
      .then((opened) => (isRefusal(opened) ? opened : readLog(opened, call.offset, call.bytesMax)))
  }

  watch(topic: TopicRef, partition: number, changed: () => void): () => void {
    const place = this.#place(topic, partition, 'read')
    return isRefusal(place) ? () => undefined : place.partition.watch(place.topic.policy, changed)
  }

  async findOffset(
    topic: TopicRef,
    partition: number,
    spec: OffsetSpec,
    epoch: number,
  ): Promise<FoundOffset | Refusal> {
    const place = this.#place(topic, partition, 'describe')
    if (isRefusal(place)) return place
    const wrongEpoch = judgeLeaderEpoch(epoch)
    if (wrongEpoch !== undefined) return wrongEpoch
    const log = await place.partition.open(place.topic.policy)
    return isRefusal(log) ? log : findOffset(log, spec, this.#rooms.clock)
  }

  async epochEnd(
    topic: TopicRef,
    partition: number,
    epoch: number,
    currentEpoch: number,
  ): Promise<{ readonly epoch: number; readonly end: number } | Refusal> {
    const place = this.#place(topic, partition, 'describe')
    if (isRefusal(place)) return place
    const wrongEpoch = judgeLeaderEpoch(currentEpoch)
    if (wrongEpoch !== undefined) return wrongEpoch
    const log = await place.partition.open(place.topic.policy)
    if (isRefusal(log)) return log
    // One epoch for ever: an older one has nothing here, a newer one is not known (Kafka answers -1, -1 to both).
    return epoch === leaderEpoch ? { epoch, end: log.committed } : { epoch: -1, end: -1 }
  }

  async deleteRecords(topic: string, partition: number, before: number): Promise<Offset | Refusal> {
    const place = this.#place({ name: topic }, partition, 'delete')
    return isRefusal(place) ? place : this.#deleteRecords(place, before)
  }

  async #deleteRecords({ topic, partition }: Place, before: number): Promise<Offset | Refusal> {
    const log = await partition.open(topic.policy)
    if (isRefusal(log)) return log
    const to = before === -1 ? log.committed : before
    const isDropping = to > log.start && to <= log.committed
    const may = isDropping ? await this.#rooms.mayTrim(topic, log, to) : to
    return may < to
      ? refuse(
          'policyViolation',
          `Records from offset ${may} on are held: a queue (x-hold), or a dead letter, waits for them.`,
        )
      : partition.deleteRecords(topic.policy, to)
  }

  async describePartition(topic: TopicRef, partition: number): Promise<PartitionView | Refusal> {
    const place = this.#place(topic, partition, 'describe')
    if (isRefusal(place)) return place
    const log = await place.partition.open(place.topic.policy)
    return isRefusal(log) ? log : { start: log.start, committed: log.committed, end: log.end, bytes: log.bytes }
  }

  // --- producers ---

  async initProducer(current: ProducerIdentity | undefined): Promise<ProducerIdentity | Refusal> {
    const denied = this.#judge('idempotentWrite', 'cluster', clusterName)
    return denied ?? this.#rooms.producerIds.init(current)
  }

  async listProducers(topic: string, partition: number): Promise<readonly ActiveProducer[] | Refusal> {
    const place = this.#place({ name: topic }, partition, 'read')
    return isRefusal(place) ? place : place.partition.listProducers(place.topic.policy)
  }

  // --- quotas ---

  /** Who may not see quotas sees none. */
  describeQuotas(): readonly QuotaView[] {
    return this.#judge('describeConfigs', 'cluster', clusterName) === undefined ? this.#rooms.quotas.list() : []
  }

  async alterQuotas(
    entity: QuotaEntity,
    changes: ReadonlyMap<string, number | null>,
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const denied = this.#judge('alterConfigs', 'cluster', clusterName)
    return denied ?? this.#rooms.quotas.alter(entity, changes, validateOnly)
  }

  throttle(kind: 'produce' | 'fetch', bytes: number): number {
    return this.#client.throttle(kind, bytes)
  }
}
