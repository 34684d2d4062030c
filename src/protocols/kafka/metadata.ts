// Metadata 0–13: brokers, topics and their partitions. One node leads everything.
// Promises: topics by name or by id (KIP-516, from 12); a missing topic is made when client and broker allow it.
// Does not know: whether a topic may be made; the door decides.

import type { TopicView } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import { zeroUuid } from '../../base/bytes.ts'
import type { InputOf } from '../../base/schema.ts'
import type { MetadataRequest, MetadataResponse } from '../../wire/kafka/messages/cluster.ts'
import { kafkaErrorCode, kafkaErrors } from '../errors.ts'
import { clusterOperations, leaderEpoch, noOperations, topicOperations, type Call } from './call.ts'

type Response = InputOf<typeof MetadataResponse>
type Asked = NonNullable<MetadataRequest['topics']>[number]
type Topic = NonNullable<Response['topics']>[number]

export async function metadata(call: Call, request: MetadataRequest): Promise<Response> {
  const { clusterId, nodeId } = call.session.cluster()
  const operations = request.includeTopicAuthorizedOperations ? topicOperations : noOperations
  return {
    brokers: [{ nodeId, host: call.host, port: call.port, rack: null }],
    clusterId,
    controllerId: nodeId,
    topics: await topics(call, request, nodeId, operations),
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? clusterOperations : noOperations,
    errorCode: kafkaErrors.NONE,
  }
}

async function topics(
  call: Call,
  request: MetadataRequest,
  nodeId: number,
  operations: number,
): Promise<readonly Topic[]> {
  const asked = request.topics
  // All topics: null, and in version 0 also an empty list.
  if (asked === null || (call.version === 0 && asked.length === 0)) {
    return call.session.listTopics().map((view) => describe(view, nodeId, operations))
  }
  const found = asked.map((topic) => find(call, topic, request.allowAutoTopicCreation))
  const views = await Promise.all(found)
  return views.map((view, index) =>
    isRefusal(view) ? refused(view, asked[index]) : describe(view, nodeId, operations),
  )
}

function find(call: Call, asked: Asked, create: boolean): TopicView | Refusal | Promise<TopicView | Refusal> {
  if (asked.topicId !== zeroUuid) {
    if (call.version < 12) return refuse('invalidRequest', 'topics are asked for by id from version 12 on')
    return call.session.describeTopic({ id: asked.topicId as TopicView['id'] })
  }
  if (asked.name === null) return refuse('invalidRequest', 'a topic without a name and an id')
  return create ? call.session.findOrCreateTopic(asked.name) : call.session.describeTopic({ name: asked.name })
}

function refused(refusal: Refusal, asked: Asked): Topic {
  // A topic asked for by id has no name that we would know (null from version 12 on, where ids may be asked).
  const byId = asked.topicId !== zeroUuid && refusal.refused !== 'invalidRequest'
  return { errorCode: kafkaErrorCode(refusal), name: byId ? null : (asked.name ?? ''), topicId: asked.topicId }
}

function describe(view: TopicView, nodeId: number, operations: number): Topic {
  const replicas = [nodeId]
  return {
    errorCode: kafkaErrors.NONE,
    name: view.name,
    topicId: view.id,
    isInternal: false,
    partitions: Array.from({ length: view.partitions }, (_, partitionIndex) => ({
      errorCode: kafkaErrors.NONE,
      partitionIndex,
      leaderId: nodeId,
      leaderEpoch,
      replicaNodes: replicas,
      isrNodes: replicas,
    })),
    topicAuthorizedOperations: operations,
  }
}
