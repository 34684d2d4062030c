// The cluster as one node: DescribeCluster 0–2, DescribeQuorum 0–2, UpdateFeatures 0–2.
// Promises: the truth about one node that is broker, controller and the whole quorum (KIP-700, 595, 584, 919).
// Does not know: other nodes; there are none.

import { refuse } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  DescribeClusterRequest,
  DescribeClusterResponse,
  DescribeQuorumRequest,
  DescribeQuorumResponse,
  UpdateFeaturesRequest,
  UpdateFeaturesResponse,
} from '../../wire/kafka/messages/cluster.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import { clusterOperations, leaderEpoch, noOperations, type Call } from './call.ts'

/** DescribeCluster's endpoint types. */
const brokerEndpoint = 1

export function describeCluster(call: Call, request: DescribeClusterRequest): InputOf<typeof DescribeClusterResponse> {
  const { clusterId, nodeId } = call.session.cluster()
  if (request.endpointType !== brokerEndpoint) {
    const isController = request.endpointType === 2
    return {
      errorCode: isController ? kafkaErrors.MISMATCHED_ENDPOINT_TYPE : kafkaErrors.UNSUPPORTED_ENDPOINT_TYPE,
      errorMessage: isController
        ? 'this is a broker; it has no endpoint for controllers'
        : `there are no endpoints of type ${request.endpointType}`,
      clusterId,
    }
  }
  return {
    errorCode: kafkaErrors.NONE,
    clusterId,
    controllerId: nodeId,
    brokers: [{ brokerId: nodeId, host: call.host, port: call.port, rack: null }],
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? clusterOperations : noOperations,
  }
}

/** What KRaft calls its log. Ours is one machine log of one writer, whose offsets are nobody else's business. */
const metadataTopic = '__cluster_metadata'

export function describeQuorum(call: Call, request: DescribeQuorumRequest): InputOf<typeof DescribeQuorumResponse> {
  const { nodeId } = call.session.cluster()
  const nowMs = call.world.clock.nowMs()
  const self = { replicaId: nodeId, logEndOffset: 0, lastFetchTimestamp: nowMs, lastCaughtUpTimestamp: nowMs }
  const topics = request.topics.map(({ topicName, partitions }) => ({
    topicName,
    partitions: partitions.map(({ partitionIndex }) => {
      if (topicName !== metadataTopic || partitionIndex !== 0) {
        return { partitionIndex, errorCode: kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION }
      }
      return {
        partitionIndex,
        errorCode: kafkaErrors.NONE,
        leaderId: nodeId,
        leaderEpoch,
        highWatermark: 0,
        currentVoters: [self],
      }
    }),
  }))
  if (call.version < 2) return { errorCode: kafkaErrors.NONE, topics }
  const listeners = [{ name: 'PLAINTEXT', host: call.host, port: call.port }]
  return { errorCode: kafkaErrors.NONE, topics, nodes: [{ nodeId, listeners }] }
}

/** No feature of this broker has levels: each change is refused. Level 0 is what all of them have. */
export function updateFeatures(call: Call, request: UpdateFeaturesRequest): InputOf<typeof UpdateFeaturesResponse> {
  const results = request.featureUpdates.map(({ feature, maxVersionLevel }) => {
    if (maxVersionLevel === 0) return { feature, errorCode: kafkaErrors.NONE, errorMessage: null }
    const refusal = refuse('featureUpdateFailed', `feature ${feature} is not supported, at no level but 0`)
    return { feature, errorCode: kafkaErrorCode(refusal), errorMessage: kafkaErrorMessage(refusal) }
  })
  if (call.version <= 1) return { errorCode: kafkaErrors.NONE, errorMessage: null, results }
  // KIP-1022: version 2 has one outcome for all.
  const failed = results.find(({ errorCode }) => errorCode !== kafkaErrors.NONE)
  return { errorCode: failed?.errorCode ?? kafkaErrors.NONE, errorMessage: failed?.errorMessage ?? null }
}
