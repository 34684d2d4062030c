// JoinGroup: who is let in, under which id, and whether that begins a rebalance.
// Promises: pure, as group.ts; each join is answered by the step or parked under its ticket. KIP-345, 394, 814.
// Does not know: whether the group was there before; session timeout bounds are judged before it is looked up.

import type { JoinCall, Joined } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import {
  addMember,
  chooseProtocol,
  completeWhenAllJoined,
  countProtocols,
  dropMember,
  joinedAs,
  judgeMember,
  keepAlive,
  memberOf,
  parkJoin,
  prepareRebalance,
  rebalance,
  type Group,
  type Step,
} from './group.ts'
import {
  metadataBytes,
  newMember,
  offersTheSame,
  ownProtocols,
  timeoutsOf,
  type Member,
  type Ticket,
} from './group-member.ts'
import {
  groupBytesMax,
  instanceIdCharsMax,
  memberProtocolsMax,
  newMemberJoinMsMax,
  protocolNameCharsMax,
} from './group-settings.ts'

/** One join, with the ticket its answer goes to and the id it gets should it need one. */
export interface JoinEvent {
  readonly call: JoinCall
  readonly ticket: Ticket
  readonly freshId: string
}

export function join(group: Group, event: JoinEvent, step: Step): void {
  const { call } = event
  const refusal = judgeShape(call) ?? judgeRoom(group, call, step) ?? judgeProtocols(group, call)
  if (refusal !== undefined) refuseJoin(event, refusal, step)
  else if (call.memberId === '') joinAsNew(group, event, step)
  else rejoin(group, event, step)
}

function refuseJoin({ call, ticket }: JoinEvent, refusal: Refusal, step: Step, memberId = call.memberId): void {
  step.answers.push({ kind: 'join', ticket, outcome: { ...refusal, memberId } })
}

// --- may it join ---

function judgeShape(call: JoinCall): Refusal | undefined {
  const isNamed = (name: string): boolean => name.length <= protocolNameCharsMax
  if (call.instanceId !== null && (call.instanceId === '' || call.instanceId.length > instanceIdCharsMax))
    return refuse('invalidRequest', `A group instance id has 1 to ${instanceIdCharsMax} characters.`)
  if (call.protocols.length > memberProtocolsMax)
    return refuse('invalidRequest', `A member offers at most ${memberProtocolsMax} protocols.`)
  if (!isNamed(call.protocolType) || !call.protocols.every(({ name }) => isNamed(name)))
    return refuse('invalidRequest', `A protocol's name has at most ${protocolNameCharsMax} characters.`)
  return undefined
}

/** Kafka's acceptJoiningMember, and our bound on the group's record. */
function judgeRoom(group: Group, call: JoinCall, step: Step): Refusal | undefined {
  const { groupSizeMax } = step.settings
  const full = refuse('groupFull', `${group.name} has the ${groupSizeMax} members it may have.`)
  const member = group.members.get(call.memberId)
  const isReplaced = call.memberId === '' && call.instanceId !== null && group.instances.has(call.instanceId)
  if (group.state === 'PreparingRebalance') {
    // Those who wait are counted, not those who may come back: the last to rejoin a group made smaller are put out.
    const waits = member?.joining !== undefined
    if (!waits && !isReplaced && group.joiningCount >= groupSizeMax) {
      if (member !== undefined) {
        dropMember(group, member, full, step)
        completeWhenAllJoined(group, step)
      }
      return full
    }
  } else if (group.state !== 'Empty' && member === undefined && !isReplaced && group.members.size >= groupSizeMax) {
    return full
  }
  let bytes = metadataBytes(call.protocols)
  for (const other of group.members.values()) if (other !== member) bytes += metadataBytes(other.protocols)
  if (bytes <= groupBytesMax) return undefined
  return refuse('groupFull', `The metadata of all members of ${group.name} would pass ${groupBytesMax} bytes.`)
}

/** Kafka's supportsProtocols: the type is the group's, and one protocol is offered by everybody there. */
function judgeProtocols(group: Group, call: JoinCall): Refusal | undefined {
  const fits =
    group.state === 'Empty'
      ? call.protocolType !== '' && call.protocols.length > 0
      : call.protocolType === group.protocolType &&
        call.protocols.some(({ name }) => (group.supported.get(name) ?? 0) === group.members.size)
  if (fits) return undefined
  return refuse('inconsistentGroupProtocol', `Nothing that this member offers is offered by all of ${group.name}.`)
}

// --- a member without an id ---

function joinAsNew(group: Group, event: JoinEvent, step: Step): void {
  const { call, freshId } = event
  if (call.instanceId !== null) {
    const currentId = group.instances.get(call.instanceId)
    if (currentId === undefined) admit(group, event, freshId, step)
    else replaceStatic(group, event, memberOf(group, currentId), step)
  } else if (call.requireKnownMemberId) {
    if (group.pending.size >= step.settings.groupSizeMax)
      return refuseJoin(event, refuse('groupFull', `${group.name} waits for as many members as it may have.`), step)
    // KIP-394: only who comes back with its id is a member, so that a client that gave up leaves none behind.
    group.pending.set(freshId, step.nowMs + call.sessionTimeoutMs)
    refuseJoin(event, refuse('memberIdRequired', 'Join again with the member id given.'), step, freshId)
  } else admit(group, event, freshId, step)
}

function admit(group: Group, { call, ticket }: JoinEvent, id: string, step: Step): void {
  if (group.state === 'Empty') group.protocolType = call.protocolType
  if (group.state === 'PreparingRebalance' && group.isInitial) group.hasNewMember = true
  const member = newMember(call, id)
  addMember(group, member)
  parkJoin(group, member, ticket, step)
  member.deadlineMs = step.nowMs + newMemberJoinMsMax
  rebalance(group, step)
}

/** KIP-345: the instance is back under a new id; whoever has the old one is fenced. */
function replaceStatic(group: Group, event: JoinEvent, old: Member, step: Step): void {
  const { call, ticket, freshId } = event
  const ledBefore = group.leader
  dropMember(group, old, refuse('fencedInstance', `${call.instanceId} joined again as another member.`), step)
  const member = newMember(call, freshId)
  member.assignment = old.assignment
  member.mustSync = old.mustSync
  member.isNew = false
  addMember(group, member)
  if (ledBefore === old.id) group.leader = freshId
  keepAlive(member, step.nowMs)
  switch (group.state) {
    case 'Stable':
      if (chooseProtocol(group) === group.protocolName) {
        // Nothing that the assignment follows from has changed: it goes on, under the new id.
        step.mustStore = true
        return void step.answers.push({ kind: 'join', ticket, outcome: joinedAgain(group, member, call, ledBefore) })
      }
      break
    case 'CompletingRebalance':
      // The leader may be assigning to the old id by now, so that this one would get nothing.
      break
    default:
      parkJoin(group, member, ticket, step)
      return completeWhenAllJoined(group, step)
  }
  parkJoin(group, member, ticket, step)
  prepareRebalance(group, step)
}

/** KIP-814: a leader that may skip the assignment learns who it leads; an older client is kept from assigning. */
function joinedAgain(group: Group, member: Member, call: JoinCall, ledBefore: string | null): Joined {
  if (!call.canSkipAssignment) return { ...joinedAs(group, member, 'follower'), leader: ledBefore ?? '' }
  const leads = group.leader === member.id
  return { ...joinedAs(group, member, leads ? 'leader' : 'follower'), skipAssignment: leads }
}

// --- a member with an id ---

function rejoin(group: Group, event: JoinEvent, step: Step): void {
  const { call, ticket } = event
  if (group.pending.has(call.memberId) && call.instanceId === null) return admit(group, event, call.memberId, step)
  const refusal = judgeMember(group, call.memberId, call.instanceId)
  if (refusal !== undefined) return refuseJoin(event, refusal, step)
  const member = memberOf(group, call.memberId)
  const leads = group.leader === member.id
  const isKnown = offersTheSame(member, call)
  if ((group.state === 'CompletingRebalance' && isKnown) || (group.state === 'Stable' && isKnown && !leads)) {
    // It missed the answer, or there is nothing new: the present generation is what it asks for. In Stable a leader
    // that joins again wants to assign again (it saw a change of topics, which its metadata does not show).
    const outcome = joinedAs(group, member, leads ? 'leader' : 'follower')
    return void step.answers.push({ kind: 'join', ticket, outcome })
  }
  countProtocols(group, member, -1)
  Object.assign(member, timeoutsOf(call), { protocols: ownProtocols(call) })
  countProtocols(group, member, 1)
  parkJoin(group, member, ticket, step)
  rebalance(group, step)
}
