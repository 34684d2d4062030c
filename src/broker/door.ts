// The door's vocabulary: every call a session offers and the values that pass.
// Promises: types only, in the broker's own words; outcomes are values or refusals, never wire codes.
// Does not know: any protocol's messages, nor how a call is done (session.ts and the files behind it).

import type { Batches, Offset, TopicId } from '../log/store.ts'
import type { Refusal } from './errors.ts'
import type { QueueCalls } from './queue-door.ts'

/** A topic named by its name or by its id, as the client did. */
export type TopicRef = { readonly name: string } | { readonly id: TopicId }

export interface TopicView {
  readonly name: string
  readonly id: TopicId
  readonly partitions: number
}

export interface PartitionView {
  readonly start: Offset
  readonly committed: Offset
  readonly end: Offset
  readonly bytes: number
}

export interface NewTopic {
  readonly name: string
  /** undefined: the broker's default. */
  readonly partitions: number | undefined
  /** Anything but 1 or the default is refused: this is one node. */
  readonly replicationFactor: number | undefined
  /** Explicit replica lists a partition, when given; each must be [nodeId]. */
  readonly assignments?: readonly (readonly number[])[]
  readonly settings: ReadonlyMap<string, string | null>
}

export interface CreatedTopic extends TopicView {
  readonly settings: readonly SettingView[]
}

export type SettingSource = 'topic' | 'broker' | 'default' | 'group' | 'static'

/** A setting as operators see it: Kafka's names and texts. */
export interface SettingView {
  readonly name: string
  readonly value: string | null
  readonly source: SettingSource
  readonly isDefault: boolean
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: 'boolean' | 'string' | 'int' | 'short' | 'long' | 'double' | 'list' | 'class' | 'password'
  readonly documentation: string
  readonly synonyms: readonly { readonly name: string; readonly value: string | null; readonly source: SettingSource }[]
}

export type ConfigResource =
  | { readonly kind: 'topic'; readonly name: string }
  | { readonly kind: 'broker'; readonly name: string }
  | { readonly kind: 'group'; readonly name: string }

export interface SettingChange {
  readonly name: string
  readonly operation: 'set' | 'delete' | 'append' | 'subtract'
  readonly value: string | null
}

/** acks as Kafka has them: 0 no promise, 1 and all (-1) the topic's durability. */
export type Acks = 0 | 1 | -1

export interface ProduceCall {
  readonly topic: TopicRef
  readonly partition: number
  /** One whole record batch. The broker patches it during the call and copies what it keeps. */
  readonly batch: Buffer
  readonly acks: Acks
}

export interface Produced {
  readonly baseOffset: Offset
  /** -1 unless the topic stamps records itself. */
  readonly logAppendTimeMs: number
  readonly logStart: Offset
}

/** A refused batch may name the records at fault (index in the batch). */
export interface ProduceRefusal extends Refusal {
  readonly records?: readonly { readonly index: number; readonly why: string }[]
  readonly logStart?: Offset
}

export interface ReadCall {
  readonly topic: TopicRef
  readonly partition: number
  readonly offset: number
  readonly bytesMax: number
  /** The epoch the client believes in, -1 unknown. */
  readonly leaderEpoch: number
  readonly committedTransactionsOnly: boolean
}

export interface ReadOutcome {
  readonly batches: Batches
  readonly highWatermark: Offset
  readonly lastStable: Offset
  readonly logStart: Offset
}

/** Refused reads still tell where the log is. */
export interface ReadRefusal extends Refusal {
  readonly highWatermark?: Offset
  readonly logStart?: Offset
}

export type OffsetSpec =
  | 'earliest'
  | 'latest'
  | 'maxTimestamp'
  | 'earliestLocal'
  | 'latestTiered'
  | 'earliestPending'
  | { readonly timestampMs: number }

export interface FoundOffset {
  /** -1: none. */
  readonly offset: number
  /** -1: not known or not asked. */
  readonly timestampMs: number
  readonly leaderEpoch: number
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

export interface ActiveProducer extends ProducerIdentity {
  readonly lastSequence: number
  readonly lastTimestampMs: number
  /** -1: none. */
  readonly currentTransactionStart: number
}

// --- groups, the classic protocol -------------------------------------------------------------------------------

export interface JoinCall {
  readonly group: string
  readonly memberId: string
  /** Static membership, KIP-345. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly { readonly name: string; readonly metadata: Buffer }[]
  /** KIP-394: an empty member id is answered with memberIdRequired and a new id (JoinGroup v4+). */
  readonly requireKnownMemberId: boolean
  /** KIP-814: a static leader that rejoins may be told to skip the assignment (JoinGroup v9+). */
  readonly canSkipAssignment: boolean
  readonly reason: string | null
}

export interface Joined {
  readonly memberId: string
  readonly generation: number
  readonly protocolType: string
  readonly protocolName: string
  readonly leader: string
  readonly skipAssignment: boolean
  /** For the leader (and, with skipAssignment, the leader only): all members; empty for followers. */
  readonly members: readonly {
    readonly memberId: string
    readonly instanceId: string | null
    readonly metadata: Buffer
  }[]
}

/** memberIdRequired carries the id to come back with; other refusals echo the member id. */
export interface JoinRefusal extends Refusal {
  readonly memberId: string
}

export interface MemberCall {
  readonly group: string
  readonly memberId: string
  readonly instanceId: string | null
  readonly generation: number
}

export interface SyncCall extends MemberCall {
  /** null: not told (before SyncGroup v5). */
  readonly protocolType: string | null
  readonly protocolName: string | null
  /** The leader's: everyone's assignment. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
}

export interface Synced {
  readonly protocolType: string
  readonly protocolName: string
  readonly assignment: Buffer
}

export interface LeaveCall {
  readonly group: string
  readonly members: readonly {
    readonly memberId: string
    readonly instanceId: string | null
    readonly reason: string | null
  }[]
}

export interface CommitCall {
  readonly group: string
  /** '' with generation -1: a commit from outside the group (simple consumer, admin). */
  readonly memberId: string
  readonly instanceId: string | null
  readonly generation: number
  readonly offsets: readonly OffsetToCommit[]
}

export interface OffsetToCommit {
  readonly topic: TopicRef
  readonly partition: number
  readonly offset: number
  /** -1: not told. */
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface CommittedOffset {
  readonly topic: string
  readonly topicId: TopicId | undefined
  readonly partition: number
  /** -1: none committed. */
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
  /** When it was committed, ms; -1 when none. */
  readonly committedAtMs: number
}

export interface FetchOffsetsCall {
  readonly group: string
  /** Member and epoch of the new protocols (OffsetFetch v9+): '' and -1 when not told. */
  readonly memberId: string
  readonly memberEpoch: number
  /** undefined: all that the group has. */
  readonly partitions: readonly { readonly topic: TopicRef; readonly partition: number }[] | undefined
}

export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead'

export interface GroupListing {
  readonly group: string
  readonly protocolType: string
  readonly state: GroupState
  readonly type: 'classic'
}

export interface GroupView extends GroupListing {
  readonly protocolName: string
  readonly members: readonly {
    readonly memberId: string
    readonly instanceId: string | null
    readonly clientId: string
    readonly clientHost: string
    readonly metadata: Buffer
    readonly assignment: Buffer
  }[]
}

/** Groups and their offsets, behind the door. Every call answers after what it promises is committed. */
export interface GroupCalls {
  join(call: JoinCall): Promise<Joined | JoinRefusal>
  sync(call: SyncCall): Promise<Synced | Refusal>
  heartbeat(call: MemberCall): Promise<true | Refusal>
  /** One outcome a member; a refusal of the whole group instead of the list. */
  leave(call: LeaveCall): Promise<readonly (true | Refusal)[] | Refusal>
  /** One outcome an offset, in the call's order. */
  commit(call: CommitCall): Promise<readonly (true | Refusal)[]>
  /** One outcome a partition, in the call's order; a refusal of the whole group instead. */
  fetch(call: FetchOffsetsCall): Promise<readonly (CommittedOffset | Refusal)[] | Refusal>
  describe(group: string): Promise<GroupView | Refusal>
  list(): Promise<readonly GroupListing[]>
  delete(group: string): Promise<true | Refusal>
  deleteOffsets(
    group: string,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): Promise<readonly (true | Refusal)[] | Refusal>
}

// --- the session ------------------------------------------------------------------------------------------------

export interface ClusterView {
  readonly clusterId: string
  readonly nodeId: number
  /** Start of this process, ms; for operators. */
  readonly startedAtMs: number
  readonly dataBytes: number
  readonly freeBytes: number
  /** Folder or URL that holds the logs. */
  readonly dataPath: string
}

export interface LagReport {
  /** When the last row was counted, ms. */
  readonly atMs: number
  readonly rows: readonly LagView[]
}

/** How far a group is behind in a topic, or a queue in the log it is over. */
export interface LagView {
  readonly kind: 'group' | 'queue'
  /** The group's or the queue's. */
  readonly name: string
  readonly topic: string
  /** Of those it has a place in. */
  readonly partitions: number
  /** undefined: not counted, since too many logs would have had to be opened for one answer. */
  readonly backlog: LagBacklog | undefined
}

/** Sums over the partitions. Two of them, some time apart, tell rates: `end` rises by what came, `position` by what went. */
export interface LagBacklog {
  /** A group's: offsets between its place and the end, of which a few may hold no record. A queue's: its messages, and what its filter has not looked at. */
  readonly records: number
  /** Of a queue's records, handed out and not settled, or waiting for their next try. */
  readonly unacknowledged: number
  readonly bytes: number
  /** Whether an average had a part in them. */
  readonly bytesAreEstimated: boolean
  /** When the oldest of them was stamped, ms; undefined: there is none. */
  readonly oldestMs: number | undefined
  readonly end: number
  readonly position: number
}

/** Quotas as Kafka has them: an entity is a set of (type, name or null for the default). */
export interface QuotaEntity {
  readonly user: string | null | undefined
  readonly clientId: string | null | undefined
  readonly ip: string | null | undefined
}

export interface QuotaView {
  readonly entity: QuotaEntity
  readonly values: ReadonlyMap<string, number>
}

/** The one way into the broker: what a connection may ask, authorised call by call. */
export interface Session {
  readonly groups: GroupCalls
  /** Exchanges, queues and channels. Who used them closes them (QueueCalls.close) when its client is gone. */
  readonly queues: QueueCalls
  cluster(): ClusterView
  /** Every group and queue that the principal may see, or those of one group, queue or topic; in no order. */
  lag(name: string | undefined): Promise<LagReport>

  /** All topics of the vhost that the principal may see, sorted by name. */
  listTopics(): readonly TopicView[]
  describeTopic(topic: TopicRef): TopicView | Refusal
  /** As describeTopic, but makes a missing topic with the defaults when the broker allows it. */
  findOrCreateTopic(name: string): Promise<TopicView | Refusal>
  createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<readonly (CreatedTopic | Refusal)[]>
  deleteTopics(topics: readonly TopicRef[]): Promise<readonly (TopicView | Refusal)[]>
  createPartitions(name: string, partitions: number, validateOnly: boolean): Promise<TopicView | Refusal>
  describeSettings(resource: ConfigResource): readonly SettingView[] | Refusal
  /** `replace`: settings not named go back to their default (AlterConfigs); else only the named change. */
  alterSettings(
    resource: ConfigResource,
    changes: readonly SettingChange[],
    mode: 'replace' | 'incremental',
    validateOnly: boolean,
  ): Promise<true | Refusal>

  /** Resolves when the promise of `acks` holds. Calls of one session to one partition are appended in call order. */
  produce(call: ProduceCall): Promise<Produced | ProduceRefusal>
  read(call: ReadCall): ReadOutcome | ReadRefusal | Promise<ReadOutcome | ReadRefusal>
  /** Calls `changed` when more may be read from the partition, or it is gone. Returns the way to stop. */
  watch(topic: TopicRef, partition: number, changed: () => void): () => void
  findOffset(topic: TopicRef, partition: number, spec: OffsetSpec, leaderEpoch: number): Promise<FoundOffset | Refusal>
  /** End of the greatest epoch not above the one asked (KIP-101). */
  epochEnd(
    topic: TopicRef,
    partition: number,
    epoch: number,
    leaderEpoch: number,
  ): Promise<{ readonly epoch: number; readonly end: number } | Refusal>
  /** Raises the log start; before = -1 means the high watermark. Answers the new log start. */
  deleteRecords(topic: string, partition: number, before: number): Promise<Offset | Refusal>
  describePartition(topic: TopicRef, partition: number): Promise<PartitionView | Refusal>

  /** A new producer id with epoch 0, or the next epoch of the one given (KIP-360). */
  initProducer(current: ProducerIdentity | undefined): Promise<ProducerIdentity | Refusal>
  listProducers(topic: string, partition: number): Promise<readonly ActiveProducer[] | Refusal>

  describeQuotas(): readonly QuotaView[]
  alterQuotas(
    entity: QuotaEntity,
    changes: ReadonlyMap<string, number | null>,
    validateOnly: boolean,
  ): Promise<true | Refusal>
  /** Accounts `bytes` to the client's quota; answers for how long it should be kept waiting, in ms. */
  throttle(kind: 'produce' | 'fetch', bytes: number): number
}

export interface SessionIdentity {
  readonly vhost: string
  readonly principal: string
  readonly clientId: string
  readonly address: string
}
