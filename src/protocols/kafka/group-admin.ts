// Groups as operators see them: DescribeGroups 0–6, ListGroups 0–5, DeleteGroups 0–3.
// Promises: a group that is not there is Dead, and from DescribeGroups 6 on missing (KIP-1043); filters as KIP-518, 848.
// Does not know: who may look; the door decides.

import { isRefusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  DeleteGroupsRequest,
  DeleteGroupsResponse,
  DescribeGroupsRequest,
  DescribeGroupsResponse,
  ListGroupsRequest,
  ListGroupsResponse,
} from '../../wire/kafka/messages/groups.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import { groupOperations, noOperations, type Call } from './call.ts'

type DescribedGroup = NonNullable<InputOf<typeof DescribeGroupsResponse>['groups']>[number]

export async function describeGroups(
  call: Call,
  request: DescribeGroupsRequest,
): Promise<InputOf<typeof DescribeGroupsResponse>> {
  const operations = request.includeAuthorizedOperations ? groupOperations : noOperations
  return { groups: await Promise.all(request.groups.map((group) => describe(call, group, operations))) }
}

async function describe(call: Call, groupId: string, authorizedOperations: number): Promise<DescribedGroup> {
  const view = await call.session.groups.describe(groupId)
  if (isRefusal(view)) {
    // A group nobody has heard of is described as dead; only version 6 may say that it is missing.
    const isMissing = view.refused === 'groupMissing'
    if (isMissing && call.version < 6) {
      return { errorCode: kafkaErrors.NONE, groupId, groupState: 'Dead', authorizedOperations }
    }
    const message = call.version >= 6 ? kafkaErrorMessage(view) : null
    const groupState = isMissing ? 'Dead' : ''
    return { errorCode: kafkaErrorCode(view, 'group'), errorMessage: message, groupId, groupState }
  }
  return {
    errorCode: kafkaErrors.NONE,
    groupId,
    groupState: view.state,
    protocolType: view.protocolType,
    protocolData: view.protocolName,
    members: view.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: member.metadata,
      memberAssignment: member.assignment,
    })),
    authorizedOperations,
  }
}

export async function listGroups(call: Call, request: ListGroupsRequest): Promise<InputOf<typeof ListGroupsResponse>> {
  const states = request.statesFilter.map((state) => state.toLowerCase())
  const types = request.typesFilter.map((type) => type.toLowerCase())
  const listed = await call.session.groups.list()
  return {
    errorCode: kafkaErrors.NONE,
    groups: listed
      .filter(({ state }) => states.length === 0 || states.includes(state.toLowerCase()))
      .filter(({ type }) => types.length === 0 || types.includes(type.toLowerCase()))
      .map(({ group, protocolType, state, type }) => ({
        groupId: group,
        protocolType,
        groupState: state,
        groupType: type,
      })),
  }
}

export async function deleteGroups(
  call: Call,
  request: DeleteGroupsRequest,
): Promise<InputOf<typeof DeleteGroupsResponse>> {
  return {
    results: await Promise.all(
      request.groupsNames.map(async (groupId) => {
        const outcome = await call.session.groups.delete(groupId)
        if (outcome === true) return { groupId, errorCode: kafkaErrors.NONE }
        return { groupId, errorCode: kafkaErrorCode(outcome, 'group'), errorMessage: kafkaErrorMessage(outcome) }
      }),
    ),
  }
}
