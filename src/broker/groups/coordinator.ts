// The group coordinator: classic groups and committed offsets of all vhosts, behind the door's GroupCalls.
// Promises: every call answers after what it promises is committed. Nothing is decided before start() and after close().
// Does not know: who may call (session.ts), the rules inside a group (group*.ts), how topics are kept.

import type { Timer, World } from '../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../log/machine.ts'
import type { TopicId } from '../../log/store.ts'
import type { TopicDirectory } from '../directory.ts'
import type {
  CommitCall,
  CommittedOffset,
  FetchOffsetsCall,
  GroupCalls,
  GroupListing,
  GroupView,
  JoinCall,
  Joined,
  JoinRefusal,
  LeaveCall,
  MemberCall,
  OffsetToCommit,
  SyncCall,
  Synced,
  TopicRef,
  TopicView,
} from '../door.ts'
import { isRefusal, refuse, type Refusal } from '../errors.ts'
import { newGroup, subscribes, unknownMember } from './group.ts'
import { GroupDesk, type LiveGroup } from './group-desk.ts'
import { metadataFor, noBytes } from './group-member.ts'
import { groupIdCharsMax, type GroupSettings } from './group-settings.ts'
import { consumerProtocolType } from './group-subscription.ts'
import { heartbeat, judgeCommit, leave } from './group-sync.ts'
import { Offsets, type OffsetPlace } from './offsets.ts'
import { expiredOffsets } from './offsets-retention.ts'

/** Records of one append where many are removed at once. */
const removalsMax = 1000

export class GroupCoordinator {
  /** For MachineLog.open; they are this coordinator's alone. */
  readonly machines: readonly Machine[]
  readonly #world: World
  readonly #directory: TopicDirectory
  readonly #settings: GroupSettings
  readonly #offsets = new Offsets()
  readonly #desk: GroupDesk
  #retention: Timer | undefined

  constructor(world: World, directory: TopicDirectory, settings: GroupSettings) {
    this.#world = world
    this.#directory = directory
    this.#settings = settings
    this.#desk = new GroupDesk(
      world,
      settings,
      (vhost, group) => this.#offsets.has(vhost, group),
      () => this.#afterReplay(),
    )
    this.machines = [this.#desk.records, this.#offsets]
  }

  /** After MachineLog.open replayed the machines. */
  start(machineLog: MachineLog): void {
    this.#desk.start(machineLog)
    this.#checkRetentionLater()
  }

  /** Parked joins and syncs are answered, so that members look for their coordinator again. */
  close(): void {
    this.#retention?.cancel()
    this.#desk.close()
  }

  forVhost(vhost: string): GroupCalls {
    return {
      join: (call) => this.#join(vhost, call),
      sync: (call) => this.#sync(vhost, call),
      heartbeat: (call) => Promise.resolve(this.#heartbeat(vhost, call)),
      leave: (call) => this.#leave(vhost, call),
      commit: (call) => this.#commit(vhost, call),
      fetch: (call) => this.#fetch(vhost, call),
      describe: (group) => this.#describe(vhost, group),
      list: () => Promise.resolve(this.#list(vhost)),
      delete: (group) => this.#delete(vhost, group),
      deleteOffsets: (group, partitions) => this.#deleteOffsets(vhost, group, partitions),
    }
  }

  // --- members ---

  /** `anonymous`: Kafka still takes '' where offsets are kept under it without a group. */
  #refusal(group: string, anonymous: 'refused' | 'taken' = 'refused'): Refusal | undefined {
    if (group.length > groupIdCharsMax || (group === '' && anonymous === 'refused'))
      return refuse('invalidGroupId', `A group id has 1 to ${groupIdCharsMax} characters.`)
    return this.#desk.refusal
  }

  async #join(vhost: string, call: JoinCall): Promise<Joined | JoinRefusal> {
    const { memberId } = call
    const { sessionTimeoutMsMin: min, sessionTimeoutMsMax: max } = this.#settings
    const refusal = this.#refusal(call.group)
    if (refusal !== undefined) return { ...refusal, memberId }
    if (!(call.sessionTimeoutMs >= min && call.sessionTimeoutMs <= max))
      return { ...refuse('invalidSessionTimeout', `A session times out after ${min} to ${max} ms.`), memberId }
    const found = this.#desk.find(vhost, call.group)
    // Only who has no id yet may begin a group: an id of a group that is gone is unknown.
    if (found === undefined && memberId !== '') return { ...unknownMember({ name: call.group }, memberId), memberId }
    const live = found ?? this.#desk.findOrMake(vhost, call.group)
    return isRefusal(live) ? { ...live, memberId } : this.#desk.join(live, call)
  }

  async #sync(vhost: string, call: SyncCall): Promise<Synced | Refusal> {
    const refusal = this.#refusal(call.group)
    // A rebalance that was under way is lost with a reload. Clients join again on this; loading they do not expect here.
    if (refusal?.refused === 'coordinatorLoading') return refuse('rebalanceInProgress', refusal.why)
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, call.group)
    return live === undefined ? unknownMember({ name: call.group }, call.memberId) : this.#desk.sync(live, call)
  }

  #heartbeat(vhost: string, call: MemberCall): true | Refusal {
    const refusal = this.#refusal(call.group)
    // As Kafka does while it loads: every session begins anew with the groups, so that none can have run out.
    if (refusal?.refused === 'coordinatorLoading') return true
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, call.group)
    if (live === undefined) return unknownMember({ name: call.group }, call.memberId)
    const outcome = heartbeat(live.group, call, this.#world.clock.monotonicMs())
    this.#armFor(live, call.memberId)
    return outcome
  }

  /** A deadline moved by a heartbeat or commit: mostly later, so that the alarm set is early enough. */
  #armFor(live: LiveGroup, memberId: string): void {
    this.#desk.arm(live, live.group.members.get(memberId)?.deadlineMs ?? Infinity)
  }

  async #leave(vhost: string, call: LeaveCall): Promise<readonly (true | Refusal)[] | Refusal> {
    const refusal = this.#refusal(call.group)
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, call.group)
    if (live === undefined) return call.members.map(({ memberId }) => unknownMember({ name: call.group }, memberId))
    const outcomes = this.#desk.run(live, (step) => leave(live.group, call.members, step))
    return (await this.#desk.settled(live)) ?? outcomes
  }

  // --- offsets ---

  async #commit(vhost: string, call: CommitCall): Promise<readonly (true | Refusal)[]> {
    const refusal = this.#refusal(call.group, 'taken')
    const found = refusal === undefined ? this.#desk.find(vhost, call.group) : undefined
    const denied = refusal ?? this.#judgeCommit(found, call)
    if (found !== undefined && denied === undefined) this.#armFor(found, call.memberId)
    const committedAtMs = this.#world.clock.nowMs()
    const records: MachineRecord[] = []
    const outcomes = call.offsets.map((asked): true | Refusal => {
      const place = this.#placeOf(vhost, asked)
      if (isRefusal(place)) return place
      if (denied !== undefined) return denied
      const { offset, leaderEpoch, metadata } = asked
      if (Buffer.byteLength(metadata) > this.#settings.offsetMetadataBytesMax) return this.#tooLarge()
      records.push(this.#offsets.record(vhost, call.group, place, { offset, leaderEpoch, metadata, committedAtMs }))
      return true
    })
    if (records.length === 0) return outcomes
    const live = found ?? this.#desk.findOrMake(vhost, call.group)
    const committed = isRefusal(live) ? live : await this.#desk.append(live, this.#offsets, records)
    if (committed === true) return outcomes
    return outcomes.map((outcome) => (outcome === true ? committed : outcome))
  }

  #judgeCommit(live: LiveGroup | undefined, call: CommitCall): Refusal | undefined {
    if (live !== undefined) return judgeCommit(live.group, call, this.#world.clock.monotonicMs())
    if (call.generation < 0) return undefined
    return refuse('illegalGeneration', `There is no group ${call.group}, and so no generation ${call.generation}.`)
  }

  #placeOf(vhost: string, { topic: ref, partition }: OffsetToCommit): OffsetPlace | Refusal {
    const topic = this.#topicOf(vhost, ref)
    if (isRefusal(topic)) return topic
    if (partition >= 0 && partition < topic.partitions) return { topicId: topic.id, partition }
    return refuse('unknownTopic', `${topic.name} has no partition ${partition}.`)
  }

  #topicOf(vhost: string, ref: TopicRef): TopicView | Refusal {
    const topic = this.#directory.find(vhost, ref)
    if (topic !== undefined) return topic
    if ('id' in ref) return refuse('unknownTopicId', `There is no topic with id ${ref.id}.`)
    return refuse('unknownTopic', `There is no topic ${ref.name}.`)
  }

  #tooLarge(): Refusal {
    return refuse(
      'offsetMetadataTooLarge',
      `An offset's metadata has at most ${this.#settings.offsetMetadataBytesMax} bytes.`,
    )
  }

  async #fetch(vhost: string, call: FetchOffsetsCall): Promise<readonly (CommittedOffset | Refusal)[] | Refusal> {
    const refusal = this.#refusal(call.group, 'taken')
    if (refusal !== undefined) return refusal
    const outcomes =
      call.partitions === undefined
        ? [...this.#allOffsets(vhost, call.group)]
        : call.partitions.map(({ topic, partition }) => this.#offsetAt(vhost, call.group, topic, partition))
    const live = this.#desk.find(vhost, call.group)
    if (live === undefined) return outcomes
    // An offset whose commit is under way may yet be refused: nobody shall have read it then.
    return (await this.#desk.settled(live)) ?? outcomes
  }

  #offsetAt(vhost: string, group: string, ref: TopicRef, partition: number): CommittedOffset | Refusal {
    const topic = this.#topicOf(vhost, ref)
    // A name that is no topic has no offsets, as in Kafka; only an id can be wrong.
    if (isRefusal(topic) && 'id' in ref) return topic
    const [name, topicId] = isRefusal(topic) ? ['name' in ref ? ref.name : '', undefined] : [topic.name, topic.id]
    const stored = topicId === undefined ? undefined : this.#offsets.find(vhost, group, { topicId, partition })
    const none = { offset: -1, leaderEpoch: -1, metadata: '', committedAtMs: -1 }
    return { topic: name, topicId, partition, ...(stored ?? none) }
  }

  /** Where a group goes on in a partition, as far as that is committed for good. */
  async committedOffset(
    topic: { readonly vhost: string; readonly id: TopicId },
    partition: number,
    group: string,
  ): Promise<number | undefined> {
    const find = (): number | undefined =>
      this.#offsets.find(topic.vhost, group, { topicId: topic.id, partition })?.offset
    const before = find()
    const live = this.#desk.find(topic.vhost, group)
    // What is under way may be refused: then the offset before it is there again.
    if (live !== undefined && (await this.#desk.settled(live)) !== undefined) return undefined
    const now = find()
    return before === undefined || now === undefined ? undefined : Math.min(before, now)
  }

  *#allOffsets(vhost: string, group: string): Generator<CommittedOffset> {
    for (const { topicId, partition, stored } of this.#offsets.ofGroup(vhost, group)) {
      const topic = this.#directory.byId(topicId)
      if (topic !== undefined) yield { topic: topic.name, topicId, partition, ...stored }
    }
  }

  async #deleteOffsets(
    vhost: string,
    name: string,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): Promise<readonly (true | Refusal)[] | Refusal> {
    const refusal = this.#refusal(name)
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, name)
    if (live === undefined) return missing(name)
    const { group } = live
    if (group.state !== 'Empty' && group.protocolType !== consumerProtocolType) return notEmpty(name)
    const gone: MachineRecord[] = []
    const outcomes = partitions.map(({ topic, partition }): true | Refusal => {
      const place = this.#placeOf(vhost, {
        topic: { name: topic },
        partition,
        offset: -1,
        leaderEpoch: -1,
        metadata: '',
      })
      if (isRefusal(place)) return place
      if (subscribes(group, topic)) return refuse('groupSubscribed', `Members of ${name} read ${topic}.`)
      if (this.#offsets.find(vhost, name, place) !== undefined) gone.push(this.#offsets.goneRecord(vhost, name, place))
      return true
    })
    const removed = await this.#remove(live, gone)
    return removed === true ? outcomes : removed
  }

  // --- operators ---

  async #describe(vhost: string, name: string): Promise<GroupView | Refusal> {
    const refusal = this.#refusal(name, 'taken')
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, name)
    if (live === undefined) return missing(name)
    const { group } = live
    // Before everybody has an assignment, members are named and no more, as Kafka does.
    const isStable = group.state === 'Stable'
    const view: GroupView = {
      ...listingOf(live),
      protocolName: isStable ? (group.protocolName ?? '') : '',
      members: Array.from(group.members.values(), (member) => ({
        memberId: member.id,
        instanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: isStable ? metadataFor(member, group.protocolName) : noBytes,
        assignment: isStable ? member.assignment : noBytes,
      })),
    }
    return (await this.#desk.settled(live)) ?? view
  }

  #list(vhost: string): readonly GroupListing[] {
    return Array.from(this.#desk.of(vhost), listingOf).sort((one, other) => (one.group < other.group ? -1 : 1))
  }

  async #delete(vhost: string, name: string): Promise<true | Refusal> {
    const refusal = this.#refusal(name, 'taken')
    if (refusal !== undefined) return refusal
    const live = this.#desk.find(vhost, name)
    if (live === undefined) return missing(name)
    if (live.group.state !== 'Empty') return notEmpty(name)
    const gone = Array.from(this.#offsets.ofGroup(vhost, name), (place) => this.#offsets.goneRecord(vhost, name, place))
    // Offsets first: what a crash leaves between is an empty group, which goes by itself.
    const offsets = this.#remove(live, gone)
    const group = this.#desk.remove(live)
    const [offsetsGone, groupGone] = await Promise.all([offsets, group])
    return offsetsGone === true ? groupGone : offsetsGone
  }

  /** Takes offsets away at once, in appends of a bounded size; resolves at the commit of the last. */
  async #remove(live: LiveGroup, gone: readonly MachineRecord[]): Promise<true | Refusal> {
    const appended: Promise<true | Refusal>[] = []
    for (let at = 0; at < gone.length; at += removalsMax)
      appended.push(this.#desk.append(live, this.#offsets, gone.slice(at, at + removalsMax)))
    const outcomes = await Promise.all(appended)
    return outcomes.find(isRefusal) ?? true
  }

  // --- what nobody asks for ---

  /** A topic is gone: so are its offsets, in every group. While the log is read again, the replay sees to it. */
  async topicDeleted(vhost: string, topicId: TopicId): Promise<void> {
    if (this.#desk.refusal !== undefined) return
    const appended: Promise<true | Refusal>[] = []
    for (const { vhost: home, group } of this.#offsets.groups())
      if (home === vhost) appended.push(this.#forgetTopic(home, group, topicId))
    await Promise.all(appended)
  }

  async #forgetTopic(vhost: string, group: string, topicId: TopicId): Promise<true | Refusal> {
    const live = this.#desk.find(vhost, group) ?? this.#desk.make(vhost, newGroup(group, this.#world.clock.nowMs()))
    return this.#remove(live, [...this.#offsets.goneOfTopic(vhost, group, topicId)])
  }

  /** Groups known by their offsets only; and offsets of topics that went while nobody could be told. */
  #afterReplay(): void {
    const lost: { readonly vhost: string; readonly group: string; readonly topicId: TopicId }[] = []
    for (const { vhost, group, topics } of this.#offsets.groups()) {
      if (this.#desk.find(vhost, group) === undefined) this.#desk.make(vhost, newGroup(group, 0))
      for (const topicId of topics)
        if (this.#directory.byId(topicId) === undefined) lost.push({ vhost, group, topicId })
    }
    for (const { vhost, group, topicId } of lost) void this.#forgetTopic(vhost, group, topicId)
  }

  #checkRetentionLater(): void {
    this.#retention = this.#world.clock.after(this.#settings.offsetsRetentionCheckMs, () => {
      if (this.#desk.refusal === undefined) for (const live of this.#desk.all()) this.#expire(live)
      this.#checkRetentionLater()
    })
  }

  #expire(live: LiveGroup): void {
    const { vhost, group } = live
    const offsets = this.#offsets.ofGroup(vhost, group.name)
    const nameOf = (topic: TopicId): string | undefined => this.#directory.byId(topic)?.name
    const { offsetsRetentionMs } = this.#settings
    const expired = expiredOffsets(group, offsets, this.#world.clock.nowMs(), offsetsRetentionMs, nameOf)
    this.#world.trace.count('groups.offsets.expired', expired.length)
    const gone = expired.map((place) => this.#offsets.goneRecord(vhost, group.name, place))
    void this.#remove(live, gone)
    if (this.#desk.isNothing(live)) void this.#desk.remove(live)
  }
}

const missing = (group: string): Refusal => refuse('groupMissing', `There is no group ${group}.`)
const notEmpty = (group: string): Refusal => refuse('groupNotEmpty', `${group} has members; they must leave first.`)

const listingOf = ({ group }: LiveGroup): GroupListing => ({
  group: group.name,
  protocolType: group.protocolType ?? '',
  state: group.state,
  type: 'classic',
})
