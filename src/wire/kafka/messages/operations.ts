// Tables for operators: log folders, active producers, transactions.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: where logs lie or what state a transaction has.

import { array, bool, int16, int32, int64, list, message, string, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const DescribeLogDirsRequest = message(versions(1, 5, { flexible: 2 }), {
  // Null: every topic.
  topics: list({ topic: string(), partitions: array(int32()) }, { nullable: 0 }),
})
export type DescribeLogDirsRequest = ValueOf<typeof DescribeLogDirsRequest>

export const DescribeLogDirsResponse = message(versions(1, 5, { flexible: 2 }), {
  throttleTimeMs: int32(),
  errorCode: int16({ since: 3, ignorable: true }),
  results: list({
    errorCode: int16(),
    logDir: string(),
    topics: list({
      name: string(),
      partitions: list({
        partitionIndex: int32(),
        partitionSize: int64({ saturate: true }),
        offsetLag: int64(),
        isFutureKey: bool(),
      }),
    }),
    totalBytes: int64({ since: 4, default: -1, ignorable: true, saturate: true }),
    usableBytes: int64({ since: 4, default: -1, ignorable: true, saturate: true }),
    isCordoned: bool({ since: 5, ignorable: true }),
  }),
})
export type DescribeLogDirsResponse = ValueOf<typeof DescribeLogDirsResponse>

export const AlterReplicaLogDirsRequest = message(versions(1, 2, { flexible: 2 }), {
  dirs: list({
    path: string(),
    topics: list({ name: string(), partitions: array(int32()) }),
  }),
})
export type AlterReplicaLogDirsRequest = ValueOf<typeof AlterReplicaLogDirsRequest>

export const AlterReplicaLogDirsResponse = message(versions(1, 2, { flexible: 2 }), {
  throttleTimeMs: int32(),
  results: list({
    topicName: string(),
    partitions: list({ partitionIndex: int32(), errorCode: int16() }),
  }),
})
export type AlterReplicaLogDirsResponse = ValueOf<typeof AlterReplicaLogDirsResponse>

// The tools that find and end hanging transactions (KIP-664).
export const DescribeProducersRequest = message(versions(0, 0, { flexible: 0 }), {
  topics: list({ name: string(), partitionIndexes: array(int32()) }),
})
export type DescribeProducersRequest = ValueOf<typeof DescribeProducersRequest>

export const DescribeProducersResponse = message(versions(0, 0, { flexible: 0 }), {
  throttleTimeMs: int32(),
  topics: list({
    name: string(),
    partitions: list({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: 0, default: null }),
      activeProducers: list({
        producerId: int64(),
        // Here alone an int32.
        producerEpoch: int32(),
        lastSequence: int32({ default: -1 }),
        lastTimestamp: int64({ default: -1, saturate: true }),
        coordinatorEpoch: int32(),
        currentTxnStartOffset: int64({ default: -1 }),
      }),
    }),
  }),
})
export type DescribeProducersResponse = ValueOf<typeof DescribeProducersResponse>

export const DescribeTransactionsRequest = message(versions(0, 0, { flexible: 0 }), {
  transactionalIds: array(string()),
})
export type DescribeTransactionsRequest = ValueOf<typeof DescribeTransactionsRequest>

export const DescribeTransactionsResponse = message(versions(0, 0, { flexible: 0 }), {
  throttleTimeMs: int32(),
  transactionStates: list({
    errorCode: int16(),
    transactionalId: string(),
    transactionState: string(),
    transactionTimeoutMs: int32(),
    transactionStartTimeMs: int64({ saturate: true }),
    producerId: int64(),
    producerEpoch: int16(),
    topics: list({ topic: string(), partitions: array(int32()) }),
  }),
})
export type DescribeTransactionsResponse = ValueOf<typeof DescribeTransactionsResponse>

export const ListTransactionsRequest = message(versions(0, 2, { flexible: 0 }), {
  stateFilters: array(string()),
  producerIdFilters: array(int64()),
  durationFilter: int64({ since: 1, default: -1 }),
  transactionalIdPattern: string({ since: 2, nullable: 0, default: null }),
})
export type ListTransactionsRequest = ValueOf<typeof ListTransactionsRequest>

export const ListTransactionsResponse = message(versions(0, 2, { flexible: 0 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  unknownStateFilters: array(string()),
  transactionStates: list({ transactionalId: string(), producerId: int64(), transactionState: string() }),
})
export type ListTransactionsResponse = ValueOf<typeof ListTransactionsResponse>
