// What operators ask of clusters, answered by one node: ElectLeaders 0–2, AlterPartitionReassignments 0–1,
//   ListPartitionReassignments 0, DescribeLogDirs 1–5, AlterReplicaLogDirs 1–2.
// Promises: the truth: nothing to elect, nothing to move, one folder (KIP-460, 455, 113, 827).
// Does not know: more than the door tells of partitions and their bytes.

import type { TopicView } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  AlterReplicaLogDirsRequest,
  AlterReplicaLogDirsResponse,
  DescribeLogDirsRequest,
  DescribeLogDirsResponse,
} from '../../wire/kafka/messages/operations.ts'
import type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
  ElectLeadersRequest,
  ElectLeadersResponse,
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from '../../wire/kafka/messages/topics.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'

/** Undefined when the partition is there. */
function refusePartition(topic: TopicView | Refusal, partition: number): Refusal | undefined {
  if (isRefusal(topic)) return topic
  if (partition >= 0 && partition < topic.partitions) return undefined
  return refuse('unknownTopic', `${topic.name} has partitions 0 to ${topic.partitions - 1}, not ${partition}`)
}

export function electLeaders(call: Call, request: ElectLeadersRequest): InputOf<typeof ElectLeadersResponse> {
  // Asked of all partitions, those that need no election are not named: all of them.
  if (request.topicPartitions === null) return { errorCode: kafkaErrors.NONE }
  const notNeeded = refuse('electionNotNeeded', 'the only node leads the partition')
  return {
    errorCode: kafkaErrors.NONE,
    replicaElectionResults: request.topicPartitions.map(({ topic, partitions }) => {
      const view = call.session.describeTopic({ name: topic })
      const partitionResult = partitions.map((partitionId) => {
        const refusal = refusePartition(view, partitionId) ?? notNeeded
        return { partitionId, errorCode: kafkaErrorCode(refusal), errorMessage: kafkaErrorMessage(refusal) }
      })
      return { topic, partitionResult }
    }),
  }
}

export function alterPartitionReassignments(
  call: Call,
  request: AlterPartitionReassignmentsRequest,
): InputOf<typeof AlterPartitionReassignmentsResponse> {
  const { nodeId } = call.session.cluster()
  const refuseReplicas = (replicas: readonly number[] | null): Refusal | undefined => {
    if (replicas === null) return refuse('noReassignment', 'nothing is being reassigned')
    if (replicas.length === 1 && replicas[0] === nodeId) return undefined
    return refuse('invalidReplicaAssignment', `every partition lies on node ${nodeId} and no other`)
  }
  return {
    allowReplicationFactorChange: request.allowReplicationFactorChange,
    errorCode: kafkaErrors.NONE,
    errorMessage: null,
    responses: request.topics.map(({ name, partitions }) => {
      const view = call.session.describeTopic({ name })
      return {
        name,
        partitions: partitions.map(({ partitionIndex, replicas }) => {
          const refusal = refusePartition(view, partitionIndex) ?? refuseReplicas(replicas)
          const errorCode = refusal === undefined ? kafkaErrors.NONE : kafkaErrorCode(refusal)
          return { partitionIndex, errorCode, errorMessage: refusal === undefined ? null : kafkaErrorMessage(refusal) }
        }),
      }
    }),
  }
}

export function listPartitionReassignments(
  _call: Call,
  _request: ListPartitionReassignmentsRequest,
): InputOf<typeof ListPartitionReassignmentsResponse> {
  return { errorCode: kafkaErrors.NONE, errorMessage: null }
}

export async function describeLogDirs(
  call: Call,
  request: DescribeLogDirsRequest,
): Promise<InputOf<typeof DescribeLogDirsResponse>> {
  const { dataPath, dataBytes, freeBytes } = call.session.cluster()
  const asked =
    request.topics?.map(({ topic, partitions }) => ({ name: topic, partitions })) ??
    call.session.listTopics().map(({ name, partitions }) => ({
      name,
      partitions: Array.from({ length: partitions }, (_, partition) => partition),
    }))
  // What is not there is left out.
  const topics = await Promise.all(
    asked.map(async ({ name, partitions }) => ({ name, partitions: await sizes(call, name, partitions) })),
  )
  return {
    errorCode: kafkaErrors.NONE,
    results: [
      {
        errorCode: kafkaErrors.NONE,
        logDir: dataPath,
        topics: topics.filter(({ partitions }) => partitions.length > 0),
        totalBytes: dataBytes + freeBytes,
        usableBytes: freeBytes,
      },
    ],
  }
}

async function sizes(
  call: Call,
  name: string,
  partitions: readonly number[],
): Promise<{ partitionIndex: number; partitionSize: number; offsetLag: number }[]> {
  const views = await Promise.all(
    partitions.map(async (partitionIndex) => ({
      partitionIndex,
      view: await call.session.describePartition({ name }, partitionIndex),
    })),
  )
  return views.flatMap(({ partitionIndex, view }) =>
    isRefusal(view) ? [] : [{ partitionIndex, partitionSize: view.bytes, offsetLag: 0 }],
  )
}

export function alterReplicaLogDirs(
  call: Call,
  request: AlterReplicaLogDirsRequest,
): InputOf<typeof AlterReplicaLogDirsResponse> {
  const { dataPath } = call.session.cluster()
  const missing = refuse('logDirMissing', `the only folder is ${dataPath}`)
  const topics = new Map<string, { partitionIndex: number; errorCode: number }[]>()
  for (const dir of request.dirs) {
    for (const { name, partitions } of dir.topics) {
      const view = call.session.describeTopic({ name })
      const results = topics.get(name) ?? []
      topics.set(name, results)
      for (const partitionIndex of partitions) {
        const refusal = refusePartition(view, partitionIndex) ?? (dir.path === dataPath ? undefined : missing)
        results.push({ partitionIndex, errorCode: refusal === undefined ? kafkaErrors.NONE : kafkaErrorCode(refusal) })
      }
    }
  }
  return { results: [...topics].map(([topicName, partitions]) => ({ topicName, partitions })) }
}
