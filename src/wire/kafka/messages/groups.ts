// Tables of classic consumer groups: membership, and what operators ask about groups.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: group state; what a member's metadata holds (consumer-protocol.ts).

import { array, bool, bytes, int16, int32, list, message, string, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const JoinGroupRequest = message(versions(0, 9, { flexible: 6 }), {
  groupId: string(),
  sessionTimeoutMs: int32(),
  // Version 0 has none: the session timeout stands for both.
  rebalanceTimeoutMs: int32({ since: 1, default: -1, ignorable: true }),
  memberId: string(),
  // A static member (KIP-345); null: a dynamic one.
  groupInstanceId: string({ since: 5, nullable: 0, default: null }),
  protocolType: string(),
  protocols: list({ name: string(), metadata: bytes() }),
  reason: string({ since: 8, nullable: 0, default: null, ignorable: true }),
})
export type JoinGroupRequest = ValueOf<typeof JoinGroupRequest>

export const JoinGroupResponse = message(versions(0, 9, { flexible: 6 }), {
  throttleTimeMs: int32({ since: 2, ignorable: true }),
  errorCode: int16(),
  generationId: int32({ default: -1 }),
  protocolType: string({ since: 7, nullable: 0, default: null, ignorable: true }),
  // Null only from version 7; an older refusal says ''.
  protocolName: string({ nullable: 7 }),
  leader: string(),
  // KIP-814. Not ignorable: a leader that cannot be told so must assign.
  skipAssignment: bool({ since: 9 }),
  memberId: string(),
  members: list({
    memberId: string(),
    groupInstanceId: string({ since: 5, nullable: 0, default: null, ignorable: true }),
    metadata: bytes(),
  }),
})
export type JoinGroupResponse = ValueOf<typeof JoinGroupResponse>

export const SyncGroupRequest = message(versions(0, 5, { flexible: 4 }), {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string({ since: 3, nullable: 0, default: null }),
  protocolType: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  protocolName: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  assignments: list({ memberId: string(), assignment: bytes() }),
})
export type SyncGroupRequest = ValueOf<typeof SyncGroupRequest>

export const SyncGroupResponse = message(versions(0, 5, { flexible: 4 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  protocolType: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  protocolName: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  assignment: bytes(),
})
export type SyncGroupResponse = ValueOf<typeof SyncGroupResponse>

export const HeartbeatRequest = message(versions(0, 4, { flexible: 4 }), {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string({ since: 3, nullable: 0, default: null }),
})
export type HeartbeatRequest = ValueOf<typeof HeartbeatRequest>

export const HeartbeatResponse = message(versions(0, 4, { flexible: 4 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
})
export type HeartbeatResponse = ValueOf<typeof HeartbeatResponse>

export const LeaveGroupRequest = message(versions(0, 5, { flexible: 4 }), {
  groupId: string(),
  // One member by its id, or from version 3 many (KIP-345): never both.
  memberId: string({ until: 2 }),
  members: list(
    {
      memberId: string(),
      groupInstanceId: string({ nullable: 0, default: null }),
      reason: string({ since: 5, nullable: 0, default: null, ignorable: true }),
    },
    { since: 3 },
  ),
})
export type LeaveGroupRequest = ValueOf<typeof LeaveGroupRequest>

export const LeaveGroupResponse = message(versions(0, 5, { flexible: 4 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  members: list(
    {
      memberId: string(),
      groupInstanceId: string({ nullable: 0, default: null }),
      errorCode: int16(),
    },
    { since: 3 },
  ),
})
export type LeaveGroupResponse = ValueOf<typeof LeaveGroupResponse>

export const DescribeGroupsRequest = message(versions(0, 6, { flexible: 5 }), {
  groups: array(string()),
  includeAuthorizedOperations: bool({ since: 3 }),
})
export type DescribeGroupsRequest = ValueOf<typeof DescribeGroupsRequest>

export const DescribeGroupsResponse = message(versions(0, 6, { flexible: 5 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  groups: list({
    errorCode: int16(),
    // KIP-1043. Not ignorable: an answer below version 6 must leave it out.
    errorMessage: string({ since: 6, nullable: 0, default: null }),
    groupId: string(),
    groupState: string(),
    protocolType: string(),
    protocolData: string(),
    members: list({
      memberId: string(),
      groupInstanceId: string({ since: 4, nullable: 0, default: null, ignorable: true }),
      clientId: string(),
      clientHost: string(),
      memberMetadata: bytes(),
      memberAssignment: bytes(),
    }),
    // The default, the least int32, says that nobody asked.
    authorizedOperations: int32({ since: 3, default: -0x8000_0000 }),
  }),
})
export type DescribeGroupsResponse = ValueOf<typeof DescribeGroupsResponse>

export const ListGroupsRequest = message(versions(0, 5, { flexible: 3 }), {
  statesFilter: array(string(), { since: 4 }),
  typesFilter: array(string(), { since: 5 }),
})
export type ListGroupsRequest = ValueOf<typeof ListGroupsRequest>

export const ListGroupsResponse = message(versions(0, 5, { flexible: 3 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  groups: list({
    groupId: string(),
    protocolType: string(),
    groupState: string({ since: 4, ignorable: true }),
    groupType: string({ since: 5, ignorable: true }),
  }),
})
export type ListGroupsResponse = ValueOf<typeof ListGroupsResponse>

export const DeleteGroupsRequest = message(versions(0, 3, { flexible: 2 }), {
  groupsNames: array(string()),
})
export type DeleteGroupsRequest = ValueOf<typeof DeleteGroupsRequest>

export const DeleteGroupsResponse = message(versions(0, 3, { flexible: 2 }), {
  throttleTimeMs: int32(),
  results: list({
    groupId: string(),
    errorCode: int16(),
    errorMessage: string({ since: 3, nullable: 0, default: null, ignorable: true }),
  }),
})
export type DeleteGroupsResponse = ValueOf<typeof DeleteGroupsResponse>
