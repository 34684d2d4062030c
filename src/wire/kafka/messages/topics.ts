// Tables that make, remove and describe topics and their partitions.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: the catalog; which settings exist.

import { array, bool, int16, int32, int8, list, message, string, struct, uuid, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const CreateTopicsRequest = message(versions(2, 7, { flexible: 5 }), {
  topics: list({
    name: string(),
    // -1: the broker's default (KIP-464). Both are -1 too where assignments are given.
    numPartitions: int32(),
    replicationFactor: int16(),
    assignments: list({ partitionIndex: int32(), brokerIds: array(int32()) }),
    configs: list({ name: string(), value: string({ nullable: 0 }) }),
  }),
  timeoutMs: int32({ default: 60_000 }),
  validateOnly: bool(),
})
export type CreateTopicsRequest = ValueOf<typeof CreateTopicsRequest>

export const CreateTopicsResponse = message(versions(2, 7, { flexible: 5 }), {
  throttleTimeMs: int32(),
  topics: list({
    name: string(),
    topicId: uuid({ since: 7, ignorable: true }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
    // Why configs is null although the topic was made (KIP-525).
    topicConfigErrorCode: int16({ since: 5, ignorable: true, tag: 0 }),
    numPartitions: int32({ since: 5, default: -1, ignorable: true }),
    replicationFactor: int16({ since: 5, default: -1, ignorable: true }),
    configs: list(
      {
        name: string(),
        value: string({ nullable: 0 }),
        readOnly: bool(),
        configSource: int8({ default: -1 }),
        isSensitive: bool(),
      },
      { since: 5, nullable: 0, ignorable: true },
    ),
  }),
})
export type CreateTopicsResponse = ValueOf<typeof CreateTopicsResponse>

export const DeleteTopicsRequest = message(versions(1, 6, { flexible: 4 }), {
  // By name or by id, the other left at its default (KIP-516).
  topics: list({ name: string({ nullable: 0, default: null }), topicId: uuid() }, { since: 6 }),
  topicNames: array(string(), { until: 5, ignorable: true }),
  timeoutMs: int32(),
})
export type DeleteTopicsRequest = ValueOf<typeof DeleteTopicsRequest>

export const DeleteTopicsResponse = message(versions(1, 6, { flexible: 4 }), {
  throttleTimeMs: int32(),
  responses: list({
    name: string({ nullable: 6 }),
    topicId: uuid({ since: 6, ignorable: true }),
    errorCode: int16(),
    errorMessage: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  }),
})
export type DeleteTopicsResponse = ValueOf<typeof DeleteTopicsResponse>

export const CreatePartitionsRequest = message(versions(0, 3, { flexible: 2 }), {
  topics: list({
    name: string(),
    // The partitions there shall be, not how many more.
    count: int32(),
    assignments: list({ brokerIds: array(int32()) }, { nullable: 0 }),
  }),
  timeoutMs: int32(),
  validateOnly: bool(),
})
export type CreatePartitionsRequest = ValueOf<typeof CreatePartitionsRequest>

export const CreatePartitionsResponse = message(versions(0, 3, { flexible: 2 }), {
  throttleTimeMs: int32(),
  results: list({
    name: string(),
    errorCode: int16(),
    errorMessage: string({ nullable: 0, default: null }),
  }),
})
export type CreatePartitionsResponse = ValueOf<typeof CreatePartitionsResponse>

export const DescribeTopicPartitionsRequest = message(versions(0, 0, { flexible: 0 }), {
  topics: list({ name: string() }),
  responsePartitionLimit: int32({ default: 2000 }),
  cursor: struct({ topicName: string(), partitionIndex: int32() }, { nullable: 0, default: null }),
})
export type DescribeTopicPartitionsRequest = ValueOf<typeof DescribeTopicPartitionsRequest>

export const DescribeTopicPartitionsResponse = message(versions(0, 0, { flexible: 0 }), {
  throttleTimeMs: int32(),
  topics: list({
    errorCode: int16(),
    name: string({ nullable: 0 }),
    topicId: uuid(),
    isInternal: bool(),
    partitions: list({
      errorCode: int16(),
      partitionIndex: int32(),
      leaderId: int32(),
      leaderEpoch: int32({ default: -1 }),
      replicaNodes: array(int32()),
      isrNodes: array(int32()),
      // KIP-966; null where the cluster keeps none.
      eligibleLeaderReplicas: array(int32(), { nullable: 0, default: null }),
      lastKnownElr: array(int32(), { nullable: 0, default: null }),
      offlineReplicas: array(int32()),
    }),
    topicAuthorizedOperations: int32({ default: -0x8000_0000 }),
  }),
  nextCursor: struct({ topicName: string(), partitionIndex: int32() }, { nullable: 0, default: null }),
})
export type DescribeTopicPartitionsResponse = ValueOf<typeof DescribeTopicPartitionsResponse>

export const ElectLeadersRequest = message(versions(0, 2, { flexible: 2 }), {
  electionType: int8({ since: 1 }),
  // Null: every partition there is.
  topicPartitions: list({ topic: string(), partitions: array(int32()) }, { nullable: 0 }),
  timeoutMs: int32({ default: 60_000 }),
})
export type ElectLeadersRequest = ValueOf<typeof ElectLeadersRequest>

export const ElectLeadersResponse = message(versions(0, 2, { flexible: 2 }), {
  throttleTimeMs: int32(),
  errorCode: int16({ since: 1 }),
  replicaElectionResults: list({
    topic: string(),
    partitionResult: list({
      partitionId: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: 0, default: null }),
    }),
  }),
})
export type ElectLeadersResponse = ValueOf<typeof ElectLeadersResponse>

export const AlterPartitionReassignmentsRequest = message(versions(0, 1, { flexible: 0 }), {
  timeoutMs: int32({ default: 60_000 }),
  allowReplicationFactorChange: bool({ since: 1, default: true }),
  topics: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      // Null cancels a reassignment under way.
      replicas: array(int32(), { nullable: 0, default: null }),
    }),
  }),
})
export type AlterPartitionReassignmentsRequest = ValueOf<typeof AlterPartitionReassignmentsRequest>

export const AlterPartitionReassignmentsResponse = message(versions(0, 1, { flexible: 0 }), {
  throttleTimeMs: int32(),
  allowReplicationFactorChange: bool({ since: 1, default: true, ignorable: true }),
  errorCode: int16(),
  errorMessage: string({ nullable: 0, default: null }),
  responses: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: 0, default: null }),
    }),
  }),
})
export type AlterPartitionReassignmentsResponse = ValueOf<typeof AlterPartitionReassignmentsResponse>

export const ListPartitionReassignmentsRequest = message(versions(0, 0, { flexible: 0 }), {
  timeoutMs: int32({ default: 60_000 }),
  topics: list({ name: string(), partitionIndexes: array(int32()) }, { nullable: 0, default: null }),
})
export type ListPartitionReassignmentsRequest = ValueOf<typeof ListPartitionReassignmentsRequest>

export const ListPartitionReassignmentsResponse = message(versions(0, 0, { flexible: 0 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: 0, default: null }),
  topics: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      replicas: array(int32()),
      addingReplicas: array(int32()),
      removingReplicas: array(int32()),
    }),
  }),
})
export type ListPartitionReassignmentsResponse = ValueOf<typeof ListPartitionReassignmentsResponse>
