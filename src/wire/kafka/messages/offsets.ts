// Tables of committed offsets: commit, fetch, delete.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: groups, topics or who may commit.

import { array, bool, int16, int32, int64, list, message, string, uuid, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const OffsetCommitRequest = message(versions(2, 10, { flexible: 8 }), {
  groupId: string(),
  // -1 from a consumer without a group membership; a member epoch in the groups of KIP-848.
  generationIdOrMemberEpoch: int32({ default: -1 }),
  memberId: string(),
  groupInstanceId: string({ since: 7, nullable: 0, default: null }),
  retentionTimeMs: int64({ until: 4, default: -1, ignorable: true }),
  topics: list({
    name: string({ until: 9, ignorable: true }),
    topicId: uuid({ since: 10, ignorable: true }),
    partitions: list({
      partitionIndex: int32(),
      committedOffset: int64({ saturate: true }),
      committedLeaderEpoch: int32({ since: 6, default: -1, ignorable: true }),
      committedMetadata: string({ nullable: 0 }),
    }),
  }),
})
export type OffsetCommitRequest = ValueOf<typeof OffsetCommitRequest>

export const OffsetCommitResponse = message(versions(2, 10, { flexible: 8 }), {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  topics: list({
    name: string({ until: 9, ignorable: true }),
    topicId: uuid({ since: 10, ignorable: true }),
    partitions: list({ partitionIndex: int32(), errorCode: int16() }),
  }),
})
export type OffsetCommitResponse = ValueOf<typeof OffsetCommitResponse>

export const OffsetFetchRequest = message(versions(1, 10, { flexible: 6 }), {
  groupId: string({ until: 7 }),
  // One group, or from version 8 many (KIP-709): never both. Null topics: all that the group has committed.
  topics: list({ name: string(), partitionIndexes: array(int32()) }, { until: 7, nullable: 2 }),
  groups: list(
    {
      groupId: string(),
      memberId: string({ since: 9, nullable: 0, default: null, ignorable: true }),
      memberEpoch: int32({ since: 9, default: -1, ignorable: true }),
      topics: list(
        {
          name: string({ until: 9, ignorable: true }),
          topicId: uuid({ since: 10, ignorable: true }),
          partitionIndexes: array(int32()),
        },
        { nullable: 0 },
      ),
    },
    { since: 8 },
  ),
  requireStable: bool({ since: 7 }),
})
export type OffsetFetchRequest = ValueOf<typeof OffsetFetchRequest>

export const OffsetFetchResponse = message(versions(1, 10, { flexible: 6 }), {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  topics: list(
    {
      name: string(),
      partitions: list({
        partitionIndex: int32(),
        committedOffset: int64(),
        committedLeaderEpoch: int32({ since: 5, default: -1, ignorable: true }),
        metadata: string({ nullable: 0 }),
        errorCode: int16(),
      }),
    },
    { until: 7 },
  ),
  errorCode: int16({ since: 2, until: 7, ignorable: true }),
  groups: list(
    {
      groupId: string(),
      topics: list({
        name: string({ until: 9, ignorable: true }),
        topicId: uuid({ since: 10, ignorable: true }),
        partitions: list({
          partitionIndex: int32(),
          committedOffset: int64(),
          committedLeaderEpoch: int32({ default: -1 }),
          metadata: string({ nullable: 0 }),
          errorCode: int16(),
        }),
      }),
      errorCode: int16(),
    },
    { since: 8 },
  ),
})
export type OffsetFetchResponse = ValueOf<typeof OffsetFetchResponse>

export const OffsetDeleteRequest = message(versions(0, 0), {
  groupId: string(),
  topics: list({
    name: string(),
    partitions: list({ partitionIndex: int32() }),
  }),
})
export type OffsetDeleteRequest = ValueOf<typeof OffsetDeleteRequest>

export const OffsetDeleteResponse = message(versions(0, 0), {
  errorCode: int16(),
  throttleTimeMs: int32(),
  topics: list({
    name: string(),
    partitions: list({ partitionIndex: int32(), errorCode: int16() }),
  }),
})
export type OffsetDeleteResponse = ValueOf<typeof OffsetDeleteResponse>
