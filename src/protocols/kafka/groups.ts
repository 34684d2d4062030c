// The classic group protocol: FindCoordinator 0–6, JoinGroup 0–9, SyncGroup 0–5, Heartbeat 0–4, LeaveGroup 0–5.
// Promises: what each version may say (KIP-345, 394, 559, 699, 814); this node coordinates every group.
// Does not know: members, generations, rebalances: the broker's.

import type { JoinRefusal, Joined } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type { FindCoordinatorRequest, FindCoordinatorResponse } from '../../wire/kafka/messages/cluster.ts'
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  JoinGroupRequest,
  JoinGroupResponse,
  LeaveGroupRequest,
  LeaveGroupResponse,
  SyncGroupRequest,
  SyncGroupResponse,
} from '../../wire/kafka/messages/groups.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'

const codeOf = (outcome: true | Refusal): number =>
  outcome === true ? kafkaErrors.NONE : kafkaErrorCode(outcome, 'group')

/** FindCoordinator's key types. */
const groupKey = 0
const transactionKey = 1

export function findCoordinator(call: Call, request: FindCoordinatorRequest): InputOf<typeof FindCoordinatorResponse> {
  const refusal = refuseKeyType(request.keyType)
  const found = {
    errorCode: refusal === undefined ? kafkaErrors.NONE : kafkaErrorCode(refusal, 'group'),
    errorMessage: refusal === undefined ? null : kafkaErrorMessage(refusal),
    nodeId: refusal === undefined ? call.session.cluster().nodeId : -1,
    host: refusal === undefined ? call.host : '',
    port: refusal === undefined ? call.port : -1,
  }
  // KIP-699: from version 4 on many keys are asked at once.
  return call.version >= 4 ? { coordinators: request.coordinatorKeys.map((key) => ({ key, ...found })) } : found
}

function refuseKeyType(keyType: number): Refusal | undefined {
  if (keyType === groupKey) return undefined
  if (keyType === transactionKey) return refuse('transactionsUnavailable', 'transactions are not available here')
  return refuse('invalidRequest', `there are no coordinators of type ${keyType}`)
}

export async function joinGroup(call: Call, request: JoinGroupRequest): Promise<InputOf<typeof JoinGroupResponse>> {
  const outcome = await call.session.groups.join({
    group: request.groupId,
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    clientId: call.clientId,
    clientHost: call.clientHost,
    sessionTimeoutMs: request.sessionTimeoutMs,
    // Version 0 has one timeout for both.
    rebalanceTimeoutMs: request.rebalanceTimeoutMs < 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs,
    protocolType: request.protocolType,
    protocols: request.protocols,
    requireKnownMemberId: call.version >= 4 && request.groupInstanceId === null,
    canSkipAssignment: call.version >= 9,
    reason: request.reason,
  })
  return joinResponse(call.version, outcome)
}

function joinResponse(version: number, outcome: Joined | JoinRefusal): InputOf<typeof JoinGroupResponse> {
  if (isRefusal(outcome)) {
    return {
      errorCode: kafkaErrorCode(outcome, 'group'),
      generationId: -1,
      protocolName: version >= 7 ? null : '',
      leader: '',
      memberId: outcome.memberId,
    }
  }
  return {
    errorCode: kafkaErrors.NONE,
    generationId: outcome.generation,
    protocolType: outcome.protocolType,
    protocolName: outcome.protocolName,
    leader: outcome.leader,
    skipAssignment: outcome.skipAssignment,
    memberId: outcome.memberId,
    members: outcome.members.map(({ memberId, instanceId, metadata }) => ({
      memberId,
      groupInstanceId: instanceId,
      metadata,
    })),
  }
}

export async function syncGroup(call: Call, request: SyncGroupRequest): Promise<InputOf<typeof SyncGroupResponse>> {
  const { groupId, memberId, groupInstanceId, generationId, protocolType, protocolName, assignments } = request
  // KIP-559: from version 5 on both must be told.
  if (call.version >= 5 && (protocolType === null || protocolName === null)) {
    return { errorCode: kafkaErrors.INCONSISTENT_GROUP_PROTOCOL }
  }
  const outcome = await call.session.groups.sync({
    group: groupId,
    memberId,
    instanceId: groupInstanceId,
    generation: generationId,
    protocolType,
    protocolName,
    assignments,
  })
  if (isRefusal(outcome)) return { errorCode: kafkaErrorCode(outcome, 'group') }
  return { errorCode: kafkaErrors.NONE, ...outcome }
}

export async function heartbeat(call: Call, request: HeartbeatRequest): Promise<InputOf<typeof HeartbeatResponse>> {
  const { groupId, memberId, groupInstanceId, generationId } = request
  const outcome = await call.session.groups.heartbeat({
    group: groupId,
    memberId,
    instanceId: groupInstanceId,
    generation: generationId,
  })
  return { errorCode: codeOf(outcome) }
}

export async function leaveGroup(call: Call, request: LeaveGroupRequest): Promise<InputOf<typeof LeaveGroupResponse>> {
  // KIP-345: from version 3 on members leave many at once.
  const leaving =
    call.version >= 3
      ? request.members.map((member) => ({
          memberId: member.memberId,
          instanceId: member.groupInstanceId,
          reason: member.reason,
        }))
      : [{ memberId: request.memberId, instanceId: null, reason: null }]
  const outcome = await call.session.groups.leave({ group: request.groupId, members: leaving })
  if (isRefusal(outcome)) return { errorCode: kafkaErrorCode(outcome, 'group') }
  if (call.version < 3) return { errorCode: codeOf(outcome[0] ?? true) }
  return {
    errorCode: kafkaErrors.NONE,
    members: leaving.map(({ memberId, instanceId }, index) => ({
      memberId,
      groupInstanceId: instanceId,
      errorCode: codeOf(outcome[index]),
    })),
  }
}
