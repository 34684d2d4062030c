// Tables of the data path: produce, fetch, offsets in a log, producer ids, deleting records.
// Promises: field for field the Kafka 4.4 message definitions; records are slices, never copied.
// Does not know: what a broker does with them; what a batch holds.

import {
  array,
  int16,
  int32,
  int64,
  int8,
  list,
  message,
  records,
  string,
  struct,
  uuid,
  versions,
} from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

/** Where to produce or fetch instead (KIP-951), next to the nodeEndpoints that say where that is. */
const leader = { leaderId: int32({ default: -1 }), leaderEpoch: int32({ default: -1 }) }
const endpoint = { nodeId: int32(), host: string(), port: int32(), rack: string({ nullable: 0, default: null }) }

// Versions 0 to 2 carried the older message formats. They are listed to clients all the same: librdkafka before 2.11
// sends no compressed batch to a broker without them (KAFKA-18659).
export const ProduceRequest = message(versions(3, 13, { flexible: 9 }), {
  transactionalId: string({ nullable: 0, default: null }),
  acks: int16(),
  timeoutMs: int32(),
  topicData: list({
    name: string({ until: 12, ignorable: true }),
    // KIP-516: from here on a topic has its id in a message and no name, in Fetch alike.
    topicId: uuid({ since: 13, ignorable: true }),
    partitionData: list({ index: int32(), records: records() }),
  }),
})
export type ProduceRequest = ValueOf<typeof ProduceRequest>

export const ProduceResponse = message(versions(3, 13, { flexible: 9 }), {
  responses: list({
    name: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitionResponses: list({
      index: int32(),
      errorCode: int16(),
      baseOffset: int64(),
      // -1 unless the topic stamps records itself (LogAppendTime).
      logAppendTimeMs: int64({ default: -1, saturate: true }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
      recordErrors: list(
        {
          batchIndex: int32(),
          batchIndexErrorMessage: string({ nullable: 0, default: null }),
        },
        { since: 8, ignorable: true },
      ),
      errorMessage: string({ since: 8, nullable: 0, default: null, ignorable: true }),
      currentLeader: struct(leader, { since: 10, tag: 0 }),
    }),
  }),
  throttleTimeMs: int32(),
  nodeEndpoints: list(endpoint, { since: 10, tag: 0 }),
})
export type ProduceResponse = ValueOf<typeof ProduceResponse>

export const FetchRequest = message(versions(4, 18, { flexible: 12 }), {
  clusterId: string({ since: 12, nullable: 0, default: null, ignorable: true, tag: 0 }),
  // -1 from a consumer. KIP-903 moved it into the tagged replicaState.
  replicaId: int32({ until: 14, default: -1 }),
  replicaState: struct(
    { replicaId: int32({ default: -1 }), replicaEpoch: int64({ default: -1 }) },
    { since: 15, tag: 1 },
  ),
  maxWaitMs: int32(),
  minBytes: int32(),
  maxBytes: int32({ default: 0x7fff_ffff }),
  isolationLevel: int8(),
  sessionId: int32({ since: 7, ignorable: true }),
  sessionEpoch: int32({ since: 7, default: -1, ignorable: true }),
  topics: list({
    topic: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitions: list({
      partition: int32(),
      currentLeaderEpoch: int32({ since: 9, default: -1, ignorable: true }),
      fetchOffset: int64({ saturate: true }),
      lastFetchedEpoch: int32({ since: 12, default: -1 }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true, saturate: true }),
      partitionMaxBytes: int32(),
      replicaDirectoryId: uuid({ since: 17, ignorable: true, tag: 0 }),
      // KIP-1166. The default on the wire is the largest int64, read as the largest safe integer; it is never written.
      highWatermark: int64({ since: 18, default: Number.MAX_SAFE_INTEGER, ignorable: true, tag: 1, saturate: true }),
    }),
  }),
  // What an incremental session (KIP-227) is to forget.
  forgottenTopicsData: list(
    {
      topic: string({ until: 12, ignorable: true }),
      topicId: uuid({ since: 13, ignorable: true }),
      partitions: array(int32()),
    },
    { since: 7 },
  ),
  rackId: string({ since: 11, ignorable: true }),
})
export type FetchRequest = ValueOf<typeof FetchRequest>

export const FetchResponse = message(versions(4, 18, { flexible: 12 }), {
  throttleTimeMs: int32(),
  errorCode: int16({ since: 7, ignorable: true }),
  sessionId: int32({ since: 7 }),
  responses: list({
    topic: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitions: list({
      partitionIndex: int32(),
      errorCode: int16(),
      highWatermark: int64(),
      lastStableOffset: int64({ default: -1 }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
      divergingEpoch: struct(
        { epoch: int32({ default: -1 }), endOffset: int64({ default: -1 }) },
        { since: 12, tag: 0 },
      ),
      currentLeader: struct(leader, { since: 12, tag: 1 }),
      snapshotId: struct({ endOffset: int64({ default: -1 }), epoch: int32({ default: -1 }) }, { since: 12, tag: 2 }),
      // Null under read_uncommitted; under read_committed a list, empty when nothing was aborted.
      abortedTransactions: list({ producerId: int64(), firstOffset: int64() }, { nullable: 0 }),
      preferredReadReplica: int32({ since: 11, default: -1 }),
      records: records(),
    }),
  }),
  nodeEndpoints: list(endpoint, { since: 16, tag: 0 }),
})
export type FetchResponse = ValueOf<typeof FetchResponse>

export const ListOffsetsRequest = message(versions(1, 11, { flexible: 6 }), {
  // -1 from a consumer. Kafka defaults it to 0, which would claim to be a broker.
  replicaId: int32({ default: -1 }),
  isolationLevel: int8({ since: 2 }),
  topics: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      currentLeaderEpoch: int32({ since: 4, default: -1, ignorable: true }),
      // -1 latest, -2 earliest, -3 of the greatest timestamp (KIP-734), -4 to -6 about tiered storage.
      timestamp: int64({ saturate: true }),
    }),
  }),
  timeoutMs: int32({ since: 10, ignorable: true }),
})
export type ListOffsetsRequest = ValueOf<typeof ListOffsetsRequest>

export const ListOffsetsResponse = message(versions(1, 11, { flexible: 6 }), {
  throttleTimeMs: int32({ since: 2, ignorable: true }),
  topics: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      errorCode: int16(),
      timestamp: int64({ default: -1, saturate: true }),
      offset: int64({ default: -1 }),
      // Not ignorable: an answer below version 4 must leave it out.
      leaderEpoch: int32({ since: 4, default: -1 }),
    }),
  }),
})
export type ListOffsetsResponse = ValueOf<typeof ListOffsetsResponse>

export const OffsetForLeaderEpochRequest = message(versions(2, 4, { flexible: 4 }), {
  // -1 from a consumer; -2, of a version without the field, from one whose kind is unknown.
  replicaId: int32({ since: 3, default: -2, ignorable: true }),
  topics: list({
    topic: string(),
    partitions: list({
      partition: int32(),
      currentLeaderEpoch: int32({ default: -1 }),
      leaderEpoch: int32(),
    }),
  }),
})
export type OffsetForLeaderEpochRequest = ValueOf<typeof OffsetForLeaderEpochRequest>

export const OffsetForLeaderEpochResponse = message(versions(2, 4, { flexible: 4 }), {
  throttleTimeMs: int32(),
  topics: list({
    topic: string(),
    partitions: list({
      errorCode: int16(),
      partition: int32(),
      leaderEpoch: int32({ default: -1 }),
      endOffset: int64({ default: -1 }),
    }),
  }),
})
export type OffsetForLeaderEpochResponse = ValueOf<typeof OffsetForLeaderEpochResponse>

// Version 6 (two-phase commit, KIP-939) is unstable in Kafka 4.4 and not in our tables.
export const InitProducerIdRequest = message(versions(0, 5, { flexible: 2 }), {
  transactionalId: string({ nullable: 0, default: null }),
  transactionTimeoutMs: int32(),
  // Given by a producer that recovers (KIP-360).
  producerId: int64({ since: 3, default: -1 }),
  producerEpoch: int16({ since: 3, default: -1 }),
})
export type InitProducerIdRequest = ValueOf<typeof InitProducerIdRequest>

export const InitProducerIdResponse = message(versions(0, 5, { flexible: 2 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  producerId: int64({ default: -1 }),
  producerEpoch: int16(),
})
export type InitProducerIdResponse = ValueOf<typeof InitProducerIdResponse>

export const DeleteRecordsRequest = message(versions(0, 2, { flexible: 2 }), {
  topics: list({
    name: string(),
    // Offset -1: up to the high watermark.
    partitions: list({ partitionIndex: int32(), offset: int64({ saturate: true }) }),
  }),
  timeoutMs: int32(),
})
export type DeleteRecordsRequest = ValueOf<typeof DeleteRecordsRequest>

export const DeleteRecordsResponse = message(versions(0, 2, { flexible: 2 }), {
  throttleTimeMs: int32(),
  topics: list({
    name: string(),
    partitions: list({ partitionIndex: int32(), lowWatermark: int64(), errorCode: int16() }),
  }),
})
export type DeleteRecordsResponse = ValueOf<typeof DeleteRecordsResponse>
