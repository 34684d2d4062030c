// Which request and response belong to which API key.
// Promises: every API we have tables for, once; name, key and versions as in Kafka 4.4.
// Does not know: what is built or advertised: a table here is a language we can read, not a promise to answer.

import type { Table } from '../../base/schema.ts'
import * as cluster from './messages/cluster.ts'
import * as configs from './messages/configs.ts'
import * as data from './messages/data.ts'
import * as groups from './messages/groups.ts'
import * as offsets from './messages/offsets.ts'
import * as operations from './messages/operations.ts'
import * as topics from './messages/topics.ts'

export interface Api<Request extends AnyTable = AnyTable, Response extends AnyTable = AnyTable> {
  readonly key: number
  /** Kafka's name of the API, for people. */
  readonly name: string
  readonly request: Request
  readonly response: Response
  /** First and last version we can read and write. */
  readonly valid: readonly [first: number, last: number]
  /** First version with compact lengths and tags, Infinity where there is none. */
  readonly flexibleSince: number
}

type AnyTable = Table<unknown, never>
export type AnyApi = Api

function api<Request extends AnyTable, Response extends AnyTable>(
  key: number,
  name: string,
  request: Request,
  response: Response,
): Api<Request, Response> {
  return { key, name, request, response, valid: request.valid, flexibleSince: request.flexible }
}

export const apis = {
  produce: api(0, 'Produce', data.ProduceRequest, data.ProduceResponse),
  fetch: api(1, 'Fetch', data.FetchRequest, data.FetchResponse),
  listOffsets: api(2, 'ListOffsets', data.ListOffsetsRequest, data.ListOffsetsResponse),
  metadata: api(3, 'Metadata', cluster.MetadataRequest, cluster.MetadataResponse),
  offsetCommit: api(8, 'OffsetCommit', offsets.OffsetCommitRequest, offsets.OffsetCommitResponse),
  offsetFetch: api(9, 'OffsetFetch', offsets.OffsetFetchRequest, offsets.OffsetFetchResponse),
  findCoordinator: api(10, 'FindCoordinator', cluster.FindCoordinatorRequest, cluster.FindCoordinatorResponse),
  joinGroup: api(11, 'JoinGroup', groups.JoinGroupRequest, groups.JoinGroupResponse),
  heartbeat: api(12, 'Heartbeat', groups.HeartbeatRequest, groups.HeartbeatResponse),
  leaveGroup: api(13, 'LeaveGroup', groups.LeaveGroupRequest, groups.LeaveGroupResponse),
  syncGroup: api(14, 'SyncGroup', groups.SyncGroupRequest, groups.SyncGroupResponse),
  describeGroups: api(15, 'DescribeGroups', groups.DescribeGroupsRequest, groups.DescribeGroupsResponse),
  listGroups: api(16, 'ListGroups', groups.ListGroupsRequest, groups.ListGroupsResponse),
  apiVersions: api(18, 'ApiVersions', cluster.ApiVersionsRequest, cluster.ApiVersionsResponse),
  createTopics: api(19, 'CreateTopics', topics.CreateTopicsRequest, topics.CreateTopicsResponse),
  deleteTopics: api(20, 'DeleteTopics', topics.DeleteTopicsRequest, topics.DeleteTopicsResponse),
  deleteRecords: api(21, 'DeleteRecords', data.DeleteRecordsRequest, data.DeleteRecordsResponse),
  initProducerId: api(22, 'InitProducerId', data.InitProducerIdRequest, data.InitProducerIdResponse),
  offsetForLeaderEpoch: api(
    23,
    'OffsetForLeaderEpoch',
    data.OffsetForLeaderEpochRequest,
    data.OffsetForLeaderEpochResponse,
  ),
  describeConfigs: api(32, 'DescribeConfigs', configs.DescribeConfigsRequest, configs.DescribeConfigsResponse),
  alterConfigs: api(33, 'AlterConfigs', configs.AlterConfigsRequest, configs.AlterConfigsResponse),
  alterReplicaLogDirs: api(
    34,
    'AlterReplicaLogDirs',
    operations.AlterReplicaLogDirsRequest,
    operations.AlterReplicaLogDirsResponse,
  ),
  describeLogDirs: api(35, 'DescribeLogDirs', operations.DescribeLogDirsRequest, operations.DescribeLogDirsResponse),
  createPartitions: api(37, 'CreatePartitions', topics.CreatePartitionsRequest, topics.CreatePartitionsResponse),
  deleteGroups: api(42, 'DeleteGroups', groups.DeleteGroupsRequest, groups.DeleteGroupsResponse),
  electLeaders: api(43, 'ElectLeaders', topics.ElectLeadersRequest, topics.ElectLeadersResponse),
  incrementalAlterConfigs: api(
    44,
    'IncrementalAlterConfigs',
    configs.IncrementalAlterConfigsRequest,
    configs.IncrementalAlterConfigsResponse,
  ),
  alterPartitionReassignments: api(
    45,
    'AlterPartitionReassignments',
    topics.AlterPartitionReassignmentsRequest,
    topics.AlterPartitionReassignmentsResponse,
  ),
  listPartitionReassignments: api(
    46,
    'ListPartitionReassignments',
    topics.ListPartitionReassignmentsRequest,
    topics.ListPartitionReassignmentsResponse,
  ),
  offsetDelete: api(47, 'OffsetDelete', offsets.OffsetDeleteRequest, offsets.OffsetDeleteResponse),
  describeClientQuotas: api(
    48,
    'DescribeClientQuotas',
    configs.DescribeClientQuotasRequest,
    configs.DescribeClientQuotasResponse,
  ),
  alterClientQuotas: api(49, 'AlterClientQuotas', configs.AlterClientQuotasRequest, configs.AlterClientQuotasResponse),
  describeQuorum: api(55, 'DescribeQuorum', cluster.DescribeQuorumRequest, cluster.DescribeQuorumResponse),
  updateFeatures: api(57, 'UpdateFeatures', cluster.UpdateFeaturesRequest, cluster.UpdateFeaturesResponse),
  describeCluster: api(60, 'DescribeCluster', cluster.DescribeClusterRequest, cluster.DescribeClusterResponse),
  describeProducers: api(
    61,
    'DescribeProducers',
    operations.DescribeProducersRequest,
    operations.DescribeProducersResponse,
  ),
  describeTransactions: api(
    65,
    'DescribeTransactions',
    operations.DescribeTransactionsRequest,
    operations.DescribeTransactionsResponse,
  ),
  listTransactions: api(
    66,
    'ListTransactions',
    operations.ListTransactionsRequest,
    operations.ListTransactionsResponse,
  ),
  listConfigResources: api(
    74,
    'ListConfigResources',
    configs.ListConfigResourcesRequest,
    configs.ListConfigResourcesResponse,
  ),
  describeTopicPartitions: api(
    75,
    'DescribeTopicPartitions',
    topics.DescribeTopicPartitionsRequest,
    topics.DescribeTopicPartitionsResponse,
  ),
} as const

export type ApiName = keyof typeof apis

export const apiByKey: ReadonlyMap<number, AnyApi> = new Map(Object.values(apis).map((entry) => [entry.key, entry]))
