// Tables by which a client finds its way: versions, brokers, topics, coordinators, the cluster itself.
// Promises: field for field the Kafka 4.4 message definitions.
// Does not know: which versions we advertise.

import {
  array,
  bool,
  int16,
  int32,
  int64,
  int8,
  list,
  message,
  string,
  uint16,
  uuid,
  versions,
} from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

export const ApiVersionsRequest = message(versions(0, 5, { flexible: 3 }), {
  clientSoftwareName: string({ since: 3, ignorable: true }),
  clientSoftwareVersion: string({ since: 3, ignorable: true }),
  // KIP-1242: who the client thinks we are; another answers REBOOTSTRAP_REQUIRED.
  clusterId: string({ since: 5, nullable: 0, default: null, ignorable: true }),
  nodeId: int32({ since: 5, default: -1, ignorable: true }),
})
export type ApiVersionsRequest = ValueOf<typeof ApiVersionsRequest>

export const ApiVersionsResponse = message(versions(0, 5, { flexible: 3 }), {
  errorCode: int16(),
  // Filled even in a refusal with UNSUPPORTED_VERSION, which goes out as version 0 (KIP-511).
  apiKeys: list({ apiKey: int16(), minVersion: int16(), maxVersion: int16() }),
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  supportedFeatures: list(
    { name: string(), minVersion: int16(), maxVersion: int16() },
    { since: 3, ignorable: true, tag: 0 },
  ),
  // While it is -1 clients ignore finalizedFeatures.
  finalizedFeaturesEpoch: int64({ since: 3, default: -1, ignorable: true, tag: 1 }),
  finalizedFeatures: list(
    { name: string(), maxVersionLevel: int16(), minVersionLevel: int16() },
    { since: 3, ignorable: true, tag: 2 },
  ),
  zkMigrationReady: bool({ since: 3, ignorable: true, tag: 3 }),
})
export type ApiVersionsResponse = ValueOf<typeof ApiVersionsResponse>

/** Authorised operations that nobody asked for: the least int32. */
const operations = { default: -0x8000_0000 }

export const MetadataRequest = message(versions(0, 13, { flexible: 9 }), {
  // Null: all topics. In version 0, which knows no null, an empty list says so.
  topics: list(
    {
      topicId: uuid({ since: 10, ignorable: true }),
      name: string({ nullable: 10 }),
    },
    { nullable: 1 },
  ),
  allowAutoTopicCreation: bool({ since: 4, default: true }),
  // KIP-700 moved it to DescribeCluster.
  includeClusterAuthorizedOperations: bool({ since: 8, until: 10 }),
  includeTopicAuthorizedOperations: bool({ since: 8 }),
})
export type MetadataRequest = ValueOf<typeof MetadataRequest>

export const MetadataResponse = message(versions(0, 13, { flexible: 9 }), {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  brokers: list({
    nodeId: int32(),
    host: string(),
    port: int32(),
    rack: string({ since: 1, nullable: 0, default: null, ignorable: true }),
  }),
  clusterId: string({ since: 2, nullable: 0, default: null, ignorable: true }),
  controllerId: int32({ since: 1, default: -1, ignorable: true }),
  topics: list({
    errorCode: int16(),
    // Null: a topic asked for by an id that does not exist.
    name: string({ nullable: 12 }),
    topicId: uuid({ since: 10, ignorable: true }),
    isInternal: bool({ since: 1, ignorable: true }),
    partitions: list({
      errorCode: int16(),
      partitionIndex: int32(),
      leaderId: int32(),
      leaderEpoch: int32({ since: 7, default: -1, ignorable: true }),
      replicaNodes: array(int32()),
      isrNodes: array(int32()),
      offlineReplicas: array(int32(), { since: 5, ignorable: true }),
    }),
    topicAuthorizedOperations: int32({ since: 8, ...operations }),
  }),
  clusterAuthorizedOperations: int32({ since: 8, until: 10, ...operations }),
  errorCode: int16({ since: 13, ignorable: true }),
})
export type MetadataResponse = ValueOf<typeof MetadataResponse>

export const FindCoordinatorRequest = message(versions(0, 6, { flexible: 3 }), {
  // One key, or from version 4 many (KIP-699): never both, in the answer alike.
  key: string({ until: 3 }),
  // 0 a group, 1 a transactional id, 2 a share group.
  keyType: int8({ since: 1 }),
  coordinatorKeys: array(string(), { since: 4 }),
})
export type FindCoordinatorRequest = ValueOf<typeof FindCoordinatorRequest>

export const FindCoordinatorResponse = message(versions(0, 6, { flexible: 3 }), {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16({ until: 3 }),
  errorMessage: string({ since: 1, until: 3, nullable: 0, default: null, ignorable: true }),
  nodeId: int32({ until: 3 }),
  host: string({ until: 3 }),
  port: int32({ until: 3 }),
  coordinators: list(
    {
      key: string(),
      nodeId: int32(),
      host: string(),
      port: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: 0, default: null }),
    },
    { since: 4 },
  ),
})
export type FindCoordinatorResponse = ValueOf<typeof FindCoordinatorResponse>

export const DescribeClusterRequest = message(versions(0, 2, { flexible: 0 }), {
  includeClusterAuthorizedOperations: bool(),
  // 1 brokers, 2 controllers (KIP-919).
  endpointType: int8({ since: 1, default: 1 }),
  includeFencedBrokers: bool({ since: 2 }),
})
export type DescribeClusterRequest = ValueOf<typeof DescribeClusterRequest>

export const DescribeClusterResponse = message(versions(0, 2, { flexible: 0 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: 0, default: null }),
  endpointType: int8({ since: 1, default: 1 }),
  clusterId: string(),
  controllerId: int32({ default: -1 }),
  brokers: list({
    brokerId: int32(),
    host: string(),
    port: int32(),
    rack: string({ nullable: 0, default: null }),
    isFenced: bool({ since: 2 }),
  }),
  clusterAuthorizedOperations: int32(operations),
})
export type DescribeClusterResponse = ValueOf<typeof DescribeClusterResponse>

export const DescribeQuorumRequest = message(versions(0, 2, { flexible: 0 }), {
  topics: list({
    topicName: string(),
    partitions: list({ partitionIndex: int32() }),
  }),
})
export type DescribeQuorumRequest = ValueOf<typeof DescribeQuorumRequest>

const replicaState = {
  replicaId: int32(),
  replicaDirectoryId: uuid({ since: 2 }),
  logEndOffset: int64(),
  lastFetchTimestamp: int64({ since: 1, default: -1, ignorable: true, saturate: true }),
  lastCaughtUpTimestamp: int64({ since: 1, default: -1, ignorable: true, saturate: true }),
}

export const DescribeQuorumResponse = message(versions(0, 2, { flexible: 0 }), {
  errorCode: int16(),
  errorMessage: string({ since: 2, nullable: 0, default: null, ignorable: true }),
  topics: list({
    topicName: string(),
    partitions: list({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ since: 2, nullable: 0, default: null, ignorable: true }),
      leaderId: int32(),
      leaderEpoch: int32(),
      highWatermark: int64(),
      currentVoters: list(replicaState),
      observers: list(replicaState),
    }),
  }),
  nodes: list(
    {
      nodeId: int32(),
      listeners: list({ name: string(), host: string(), port: uint16() }),
    },
    { since: 2 },
  ),
})
export type DescribeQuorumResponse = ValueOf<typeof DescribeQuorumResponse>

export const UpdateFeaturesRequest = message(versions(0, 2, { flexible: 0 }), {
  timeoutMs: int32({ default: 60_000 }),
  featureUpdates: list({
    feature: string(),
    maxVersionLevel: int16(),
    // KIP-584's flag became KIP-778's type: 1 upgrade, 2 safe downgrade, 3 unsafe downgrade.
    allowDowngrade: bool({ until: 0 }),
    upgradeType: int8({ since: 1, default: 1 }),
  }),
  validateOnly: bool({ since: 1 }),
})
export type UpdateFeaturesRequest = ValueOf<typeof UpdateFeaturesRequest>

export const UpdateFeaturesResponse = message(versions(0, 2, { flexible: 0 }), {
  throttleTimeMs: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: 0, default: null }),
  results: list(
    {
      feature: string(),
      errorCode: int16(),
      errorMessage: string({ nullable: 0, default: null }),
    },
    { until: 1, ignorable: true },
  ),
})
export type UpdateFeaturesResponse = ValueOf<typeof UpdateFeaturesResponse>
