// One classic group: its state, and how a rebalance begins, completes and gives up on members.
// Promises: pure: a step changes the group at once and says what must follow (a record, answers); the same steps at the
// same times give the same group. Rules are those of Kafka's ClassicGroup and GroupMetadataManager.
// Does not know: clocks, timers, logs, promises: it holds deadlines, and whoever drives it calls tick() in time.

import { assert } from '../../base/assert.ts'
import type { GroupState, Joined, JoinRefusal, Synced } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { metadataFor, noBytes, type Member, type Ticket } from './group-member.ts'
import { emptyRebalanceMsMin, type GroupSettings } from './group-settings.ts'
import { consumerProtocolType, subscribedTopics } from './group-subscription.ts'

export interface Group {
  readonly name: string
  /** Never Dead: a group that is gone is not kept. */
  state: Exclude<GroupState, 'Dead'>
  /** The first rebalance of an empty group waits for its delay, whoever has joined. */
  isInitial: boolean
  /** Wall clock, ms: offsets of an empty group live on from here. */
  stateSinceMs: number
  generation: number
  /** null: nobody ever joined (offsets only). */
  protocolType: string | null
  protocolName: string | null
  leader: string | null
  readonly members: Map<string, Member>
  /** Static members, KIP-345: instance id → member id. */
  readonly instances: Map<string, string>
  /** Protocol name → how many members offer it. */
  readonly supported: Map<string, number>
  /** Ids given out that nobody came back with yet (KIP-394) → their deadline. */
  readonly pending: Map<string, number>
  /** Members whose join is parked. */
  joiningCount: number
  /** When the join phase ends without those who are missing. */
  joinDeadlineMs: number
  /** When those are removed who joined but never asked for their assignment. */
  syncDeadlineMs: number
  /** Of the initial delay: its length now, and what is left of the rebalance timeout. */
  delayMs: number
  delayLeftMs: number
  hasNewMember: boolean
  /** What a consumer group's members subscribe to; undefined: not known. */
  topics: ReadonlySet<string> | undefined
}

export type Answer =
  | { readonly kind: 'join'; readonly ticket: Ticket; readonly outcome: Joined | JoinRefusal }
  | { readonly kind: 'sync'; readonly ticket: Ticket; readonly outcome: Synced | Refusal }

/** One step of a group: when it happens, and what must follow from it. */
export interface Step {
  readonly nowMs: number
  readonly wallMs: number
  readonly settings: GroupSettings
  /** Leave after the record is committed, when the step (or an earlier one) has one. */
  readonly answers: Answer[]
  /** The group's record must be appended. */
  mustStore: boolean
}

export function newGroup(name: string, wallMs: number): Group {
  return {
    name,
    state: 'Empty',
    isInitial: false,
    stateSinceMs: wallMs,
    generation: 0,
    protocolType: null,
    protocolName: null,
    leader: null,
    members: new Map(),
    instances: new Map(),
    supported: new Map(),
    pending: new Map(),
    joiningCount: 0,
    joinDeadlineMs: Infinity,
    syncDeadlineMs: Infinity,
    delayMs: 0,
    delayLeftMs: 0,
    hasNewMember: false,
    topics: undefined,
  }
}

// --- members ---

/** Kafka's validateMember: an instance id must be known and, with another member id, fences. */
export function judgeMember(group: Group, memberId: string, instanceId: string | null): Refusal | undefined {
  if (instanceId !== null) {
    const current = group.instances.get(instanceId)
    if (current === undefined) return refuse('unknownMember', `${group.name} has no static member ${instanceId}.`)
    if (current !== memberId)
      return refuse('fencedInstance', `${instanceId} is ${current} by now; this member was replaced.`)
  }
  if (!group.members.has(memberId)) return unknownMember(group, memberId)
  return undefined
}

export const unknownMember = (group: { readonly name: string }, memberId: string): Refusal =>
  refuse('unknownMember', `${group.name} has no member '${memberId}'; join again without an id.`)

export const rebalancing = (group: Group): Refusal =>
  refuse('rebalanceInProgress', `${group.name} is rebalancing; join again.`)

export function memberOf(group: Group, id: string): Member {
  const member = group.members.get(id)
  assert(member !== undefined, 'the member is in its group')
  return member
}

/** Whose first join is not answered has no session yet, whatever it sends; its deadline stands. */
export function keepAlive(member: Member, nowMs: number): void {
  if (!member.isNew) member.deadlineMs = nowMs + member.sessionTimeoutMs
}

export function addMember(group: Group, member: Member): void {
  assert(!group.members.has(member.id), 'a member is added once')
  if (member.instanceId !== null) {
    assert(!group.instances.has(member.instanceId), 'an instance is one member')
    group.instances.set(member.instanceId, member.id)
  }
  group.members.set(member.id, member)
  group.leader ??= member.id
  group.pending.delete(member.id)
  countProtocols(group, member, 1)
}

export function countProtocols(group: Group, member: Member, by: 1 | -1): void {
  for (const { name } of member.protocols) {
    const count = (group.supported.get(name) ?? 0) + by
    if (count === 0) group.supported.delete(name)
    else group.supported.set(name, count)
  }
}

/** Takes the member out; the next one leads when it led. Its parked calls are answered with `refusal`. */
export function dropMember(group: Group, member: Member, refusal: Refusal, step: Step): void {
  answerJoin(group, member, { ...refusal, memberId: refusal.refused === 'fencedInstance' ? member.id : '' }, step)
  answerSync(member, refusal, step)
  group.members.delete(member.id)
  countProtocols(group, member, -1)
  if (member.instanceId !== null && group.instances.get(member.instanceId) === member.id)
    group.instances.delete(member.instanceId)
  if (group.leader === member.id) group.leader = group.members.keys().next().value ?? null
}

// --- parked calls ---

export function parkJoin(group: Group, member: Member, ticket: Ticket, step: Step): void {
  // The client gave the earlier call up, or it would not ask again: that one only must not wait for ever.
  answerJoin(group, member, { ...rebalancing(group), memberId: member.id }, step)
  member.joining = ticket
  group.joiningCount++
}

function answerJoin(group: Group, member: Member, outcome: Joined | JoinRefusal, step: Step): void {
  if (member.joining === undefined) return
  step.answers.push({ kind: 'join', ticket: member.joining, outcome })
  member.joining = undefined
  group.joiningCount--
}

/** Answers the parked sync; false when there is none. */
export function answerSync(member: Member, outcome: Synced | Refusal, step: Step): boolean {
  if (member.syncing === undefined) return false
  step.answers.push({ kind: 'sync', ticket: member.syncing, outcome })
  member.syncing = undefined
  return true
}

/** What a member learns of the present generation. */
export function joinedAs(group: Group, member: Member, as: 'leader' | 'follower'): Joined {
  return {
    memberId: member.id,
    generation: group.generation,
    protocolType: group.protocolType ?? '',
    protocolName: group.protocolName ?? '',
    leader: group.leader ?? '',
    skipAssignment: false,
    members: as === 'leader' ? membersOf(group) : [],
  }
}

function membersOf(group: Group): Joined['members'] {
  return Array.from(group.members.values(), (member) => ({
    memberId: member.id,
    instanceId: member.instanceId,
    metadata: metadataFor(member, group.protocolName),
  }))
}

// --- protocols ---

/** The protocol most members vote for, of those that all offer; of equals the one voted for first. */
export function chooseProtocol(group: Group): string {
  const votes = new Map<string, number>()
  for (const member of group.members.values()) {
    const vote = member.protocols.find(({ name }) => group.supported.get(name) === group.members.size)
    assert(vote !== undefined, 'a member is only let in with a protocol that all offer')
    votes.set(vote.name, (votes.get(vote.name) ?? 0) + 1)
  }
  let chosen = ''
  let most = 0
  for (const [name, count] of votes) {
    if (count > most) {
      most = count
      chosen = name
    }
  }
  assert(most > 0, 'a group with members chooses')
  return chosen
}

/** Kafka's computeSubscribedTopics: known of consumer groups whose members' metadata can all be read. */
export function topicsOf(group: Group): ReadonlySet<string> | undefined {
  if (group.protocolType !== consumerProtocolType) return undefined
  const topics = new Set<string>()
  for (const member of group.members.values()) {
    const subscribed = subscribedTopics(metadataFor(member, group.protocolName))
    if (subscribed === undefined) return undefined
    for (const topic of subscribed) topics.add(topic)
  }
  return topics
}

/** Whether offsets of the topic are in use. What a consumer group subscribes to but hides counts as everything. */
export function subscribes(group: Group, topic: string): boolean {
  return group.topics?.has(topic) ?? group.protocolType === consumerProtocolType
}

// --- rebalances ---

function enter(group: Group, state: Group['state'], step: Step): void {
  group.state = state
  group.stateSinceMs = step.wallMs
}

/** The longest that any member asks for. */
export function rebalanceTimeoutMs(group: Group): number {
  let longest = 0
  for (const member of group.members.values()) longest = Math.max(longest, member.rebalanceTimeoutMs)
  return longest
}

const allJoined = (group: Group): boolean => group.joiningCount === group.members.size && group.pending.size === 0

/** A member came, went or changed: begins a rebalance, or completes the one under way when nobody is missing. */
export function rebalance(group: Group, step: Step): void {
  if (group.state === 'PreparingRebalance') completeWhenAllJoined(group, step)
  else prepareRebalance(group, step)
}

export function prepareRebalance(group: Group, step: Step): void {
  assert(group.state !== 'PreparingRebalance', 'a rebalance begins once')
  if (group.state === 'CompletingRebalance') {
    for (const member of group.members.values()) {
      member.assignment = noBytes
      if (answerSync(member, rebalancing(group), step)) keepAlive(member, step.nowMs)
    }
  }
  for (const member of group.members.values()) member.mustSync = false
  group.syncDeadlineMs = Infinity
  group.isInitial = group.state === 'Empty'
  enter(group, 'PreparingRebalance', step)
  if (group.isInitial) {
    // Kafka's group.initial.rebalance.delay.ms (KIP-134): who starts at the same time shall join the same generation.
    group.delayMs = step.settings.initialRebalanceDelayMs
    group.delayLeftMs = Math.max(rebalanceTimeoutMs(group) - group.delayMs, 0)
    group.hasNewMember = false
    group.joinDeadlineMs = step.nowMs + group.delayMs
  } else if (allJoined(group)) completeJoin(group, step)
  else group.joinDeadlineMs = step.nowMs + rebalanceTimeoutMs(group)
}

export function completeWhenAllJoined(group: Group, step: Step): void {
  if (group.state === 'PreparingRebalance' && !group.isInitial && allJoined(group)) completeJoin(group, step)
}

/** The join phase ends: the next generation is of those who came back, and of static members who did not. */
function completeJoin(group: Group, step: Step): void {
  assert(group.state === 'PreparingRebalance', 'a join phase ends once')
  group.joinDeadlineMs = Infinity
  for (const member of group.members.values()) {
    if (member.joining === undefined && member.instanceId === null)
      dropMember(group, member, unknownMember(group, member.id), step)
  }
  if (group.members.size > 0 && !leadsByOneWhoJoined(group)) {
    // Only static members are left and none came: their sessions decide.
    group.joinDeadlineMs = step.nowMs + Math.max(rebalanceTimeoutMs(group), emptyRebalanceMsMin)
    return
  }
  group.generation++
  group.isInitial = false
  // Stored before anybody learns of the generation, so that a restart never gives its number again.
  step.mustStore = true
  if (group.members.size === 0) {
    group.protocolName = null
    enter(group, 'Empty', step)
  } else {
    group.protocolName = chooseProtocol(group)
    enter(group, 'CompletingRebalance', step)
    group.syncDeadlineMs = step.nowMs + rebalanceTimeoutMs(group)
    for (const member of group.members.values()) {
      answerJoin(group, member, joinedAs(group, member, member.id === group.leader ? 'leader' : 'follower'), step)
      member.isNew = false
      member.mustSync = true
      keepAlive(member, step.nowMs)
    }
  }
  group.topics = topicsOf(group)
}

/** The leader stays when it came back; else the first who did leads. False: nobody did. */
function leadsByOneWhoJoined(group: Group): boolean {
  if (group.leader !== null && memberOf(group, group.leader).joining !== undefined) return true
  for (const member of group.members.values()) {
    if (member.joining !== undefined) {
      group.leader = member.id
      return true
    }
  }
  return false
}

/** A member is gone, by its own word or by silence. */
export function removeMember(group: Group, member: Member, step: Step): void {
  dropMember(group, member, unknownMember(group, member.id), step)
}

// --- time ---

/** When something is to be done although nobody calls; Infinity: never. */
export function nextDeadlineMs(group: Group): number {
  let next = Math.min(group.joinDeadlineMs, group.syncDeadlineMs)
  for (const member of group.members.values()) next = Math.min(next, member.deadlineMs)
  for (const deadlineMs of group.pending.values()) next = Math.min(next, deadlineMs)
  return next
}

/** Does what is due, in the order of the deadlines. */
export function tick(group: Group, step: Step): void {
  for (;;) {
    const due = dueNow(group, step.nowMs)
    if (due.length === 0) return
    // What one does may undo the next: each looks again whether it is due.
    for (const { run } of due) run(group, step)
  }
}

interface Due {
  readonly atMs: number
  readonly run: (group: Group, step: Step) => void
}

function dueNow(group: Group, nowMs: number): readonly Due[] {
  const due: Due[] = []
  for (const [id, atMs] of group.pending)
    if (atMs <= nowMs) due.push({ atMs, run: (...at) => expirePending(id, ...at) })
  for (const { id, deadlineMs } of group.members.values())
    if (deadlineMs <= nowMs) due.push({ atMs: deadlineMs, run: (...at) => expireSession(id, ...at) })
  if (group.syncDeadlineMs <= nowMs) due.push({ atMs: group.syncDeadlineMs, run: expireSync })
  if (group.joinDeadlineMs <= nowMs) due.push({ atMs: group.joinDeadlineMs, run: expireJoin })
  return due.sort((one, other) => one.atMs - other.atMs)
}

function expirePending(id: string, group: Group, step: Step): void {
  if (group.pending.delete(id)) completeWhenAllJoined(group, step)
}

function expireSession(id: string, group: Group, step: Step): void {
  const member = group.members.get(id)
  if (member === undefined || member.deadlineMs > step.nowMs) return
  if (!member.isNew && (member.joining !== undefined || member.syncing !== undefined)) {
    // It waits for us, not we for it; its session goes on with the answer.
    member.deadlineMs = Infinity
    return
  }
  removeMember(group, member, step)
  rebalance(group, step)
}

function expireSync(group: Group, step: Step): void {
  if (group.syncDeadlineMs > step.nowMs) return
  group.syncDeadlineMs = Infinity
  const silent = [...group.members.values()].filter(({ mustSync }) => mustSync)
  if (silent.length === 0) return
  for (const member of silent) removeMember(group, member, step)
  rebalance(group, step)
}

function expireJoin(group: Group, step: Step): void {
  if (group.joinDeadlineMs > step.nowMs) return
  if (group.isInitial && group.hasNewMember && group.delayLeftMs > 0) {
    const passedMs = group.delayMs
    group.hasNewMember = false
    group.delayMs = Math.min(step.settings.initialRebalanceDelayMs, group.delayLeftMs)
    group.delayLeftMs = Math.max(group.delayLeftMs - passedMs, 0)
    group.joinDeadlineMs = step.nowMs + group.delayMs
  } else completeJoin(group, step)
}
