// What members do between joins: SyncGroup, Heartbeat, LeaveGroup, and whether they may commit offsets.
// Promises: pure, as group.ts; a heartbeat moves one number. An assignment is answered only with its record committed.
// Does not know: joins (group-join.ts), offsets (offsets.ts), groups that are not there.

import type { CommitCall, LeaveCall, MemberCall, SyncCall, Synced } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import {
  answerSync,
  completeWhenAllJoined,
  judgeMember,
  keepAlive,
  memberOf,
  rebalance,
  rebalancing,
  removeMember,
  unknownMember,
  type Group,
  type Step,
} from './group.ts'
import { noBytes, type Member, type Ticket } from './group-member.ts'
import { groupBytesMax } from './group-settings.ts'

// --- SyncGroup ---

export function sync(group: Group, call: SyncCall, ticket: Ticket, step: Step): void {
  const refusal = judgeSync(group, call)
  if (refusal !== undefined) return void step.answers.push({ kind: 'sync', ticket, outcome: refusal })
  const member = memberOf(group, call.memberId)
  member.mustSync = false
  if (group.state === 'Stable') {
    step.answers.push({ kind: 'sync', ticket, outcome: syncedAs(group, member) })
  } else {
    // As with joins: a call asked again takes the place of the first.
    answerSync(member, rebalancing(group), step)
    member.syncing = ticket
    if (group.leader === member.id) assign(group, call, step)
  }
  if (![...group.members.values()].some(({ mustSync }) => mustSync)) group.syncDeadlineMs = Infinity
}

function judgeSync(group: Group, call: SyncCall): Refusal | undefined {
  if (group.state === 'Empty') return unknownMember(group, call.memberId)
  const refusal = judgeMember(group, call.memberId, call.instanceId) ?? judgeGeneration(group, call)
  if (refusal !== undefined) return refusal
  // KIP-559: told since SyncGroup v5.
  if (differs(call.protocolType, group.protocolType) || differs(call.protocolName, group.protocolName))
    return refuse('inconsistentGroupProtocol', `${group.name} runs ${group.protocolType}/${group.protocolName}.`)
  if (group.state === 'PreparingRebalance') return rebalancing(group)
  let bytes = 0
  for (const { assignment } of call.assignments) bytes += assignment.length
  if (bytes <= groupBytesMax) return undefined
  return refuse('invalidRequest', `The assignments of ${group.name} together pass ${groupBytesMax} bytes.`)
}

const differs = (told: string | null, own: string | null): boolean => told !== null && own !== null && told !== own

function judgeGeneration(group: Group, call: { readonly generation: number }): Refusal | undefined {
  if (call.generation === group.generation) return undefined
  return refuse('illegalGeneration', `${group.name} is at generation ${group.generation}, not ${call.generation}.`)
}

/** The leader's assignment is the group's: it is stable at once, and everybody learns of it after the commit. */
function assign(group: Group, call: SyncCall, step: Step): void {
  const given = new Map(call.assignments.map(({ memberId, assignment }) => [memberId, assignment]))
  group.state = 'Stable'
  group.stateSinceMs = step.wallMs
  step.mustStore = true
  for (const member of group.members.values()) {
    const assignment = given.get(member.id)
    member.assignment = assignment === undefined ? noBytes : Buffer.from(assignment)
    // Its session may have run out while it waited for us.
    if (answerSync(member, syncedAs(group, member), step)) keepAlive(member, step.nowMs)
  }
}

const syncedAs = (group: Group, member: Member): Synced => ({
  protocolType: group.protocolType ?? '',
  protocolName: group.protocolName ?? '',
  assignment: member.assignment,
})

// --- Heartbeat ---

export function heartbeat(group: Group, call: MemberCall, nowMs: number): true | Refusal {
  const refusal = judgeMember(group, call.memberId, call.instanceId) ?? judgeGeneration(group, call)
  if (refusal !== undefined) return refusal
  keepAlive(memberOf(group, call.memberId), nowMs)
  // A member may send heartbeats from the answer to its join on, before the assignment is there.
  return group.state === 'PreparingRebalance' ? rebalancing(group) : true
}

// --- LeaveGroup ---

/** One outcome a member. By instance id alone an operator removes a static member (KIP-345). */
export function leave(group: Group, leaving: LeaveCall['members'], step: Step): readonly (true | Refusal)[] {
  let hasLeft = false
  const outcomes = leaving.map(({ memberId, instanceId }): true | Refusal => {
    if (group.pending.delete(memberId)) return true
    const staticId = memberId === '' && instanceId !== null ? group.instances.get(instanceId) : undefined
    const id = staticId ?? memberId
    const refusal = judgeMember(group, id, instanceId)
    if (refusal !== undefined) return refusal
    removeMember(group, memberOf(group, id), step)
    hasLeft = true
    return true
  })
  if (hasLeft && group.state !== 'Empty') rebalance(group, step)
  else completeWhenAllJoined(group, step)
  return outcomes
}

// --- OffsetCommit ---

/** Kafka's validateOffsetCommit. A commit keeps its member's session alive. */
export function judgeCommit(group: Group, call: CommitCall, nowMs: number): Refusal | undefined {
  if (call.generation < 0 && group.state === 'Empty') return undefined
  if (call.generation < 0 && call.memberId === '' && call.instanceId === null)
    return refuse('unknownMember', `${group.name} has members; only they commit its offsets.`)
  const refusal = judgeMember(group, call.memberId, call.instanceId) ?? judgeGeneration(group, call)
  if (refusal !== undefined) return refusal
  // While members join, those of the generation before may still say how far they came.
  if (group.state === 'CompletingRebalance') return rebalancing(group)
  keepAlive(memberOf(group, call.memberId), nowMs)
  return undefined
}
