// Topics: CreateTopics 2–7, DeleteTopics 1–6, CreatePartitions 0–3, DescribeTopicPartitions 0.
// Promises: the outcome of each topic on its own; a topic named twice in one request is refused, as Kafka does.
// Does not know: names, limits, settings; the broker judges them.

import type { CreatedTopic, NewTopic, SettingView, TopicRef, TopicView } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import { zeroUuid } from '../../base/bytes.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
  CreateTopicsRequest,
  CreateTopicsResponse,
  DeleteTopicsRequest,
  DeleteTopicsResponse,
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse,
} from '../../wire/kafka/messages/topics.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import { leaderEpoch, topicOperations, type Call } from './call.ts'
import { configSource } from './configs.ts'

type CreatedResult = NonNullable<InputOf<typeof CreateTopicsResponse>['topics']>[number]
type AskedTopic = CreateTopicsRequest['topics'][number]

function namedTwice(names: readonly string[]): ReadonlySet<string> {
  const once = new Set<string>()
  return new Set(names.filter((name) => once.size === once.add(name).size))
}

const isJudgedGood = <Wanted>(judged: Wanted | Refusal): judged is Wanted => !isRefusal(judged)

export async function createTopics(
  call: Call,
  request: CreateTopicsRequest,
): Promise<InputOf<typeof CreateTopicsResponse>> {
  const twice = namedTwice(request.topics.map(({ name }) => name))
  const judged = request.topics.map((topic) =>
    twice.has(topic.name) ? refuse('invalidRequest', 'the request names the topic twice') : newTopic(topic),
  )
  const wanted = judged.filter(isJudgedGood)
  const outcomes = await call.session.createTopics(wanted, request.validateOnly)
  let next = 0
  return {
    topics: request.topics.map(({ name }, index) => {
      const refusal = judged[index]
      return createdResult(name, isRefusal(refusal) ? refusal : outcomes[next++])
    }),
  }
}

function newTopic(asked: AskedTopic): NewTopic | Refusal {
  const { name, numPartitions, replicationFactor, assignments, configs } = asked
  // KIP-464: -1 leaves it to the broker.
  const partitions = numPartitions === -1 ? undefined : numPartitions
  const factor = replicationFactor === -1 ? undefined : replicationFactor
  const settings = new Map(configs.map((config) => [config.name, config.value]))
  if (settings.size !== configs.length) return refuse('invalidSetting', 'a setting is given twice')
  if (assignments.length === 0) return { name, partitions, replicationFactor: factor, settings }
  if (numPartitions !== -1 || replicationFactor !== -1) {
    return refuse('invalidRequest', 'with an assignment of replicas, partitions and replication factor must be -1')
  }
  const sorted = [...assignments].sort((a, b) => a.partitionIndex - b.partitionIndex)
  if (sorted.some(({ partitionIndex }, index) => partitionIndex !== index)) {
    return refuse('invalidReplicaAssignment', 'the assignment names partitions 0, 1, 2 … each once')
  }
  const lists = sorted.map(({ brokerIds }) => brokerIds)
  return { name, partitions: undefined, replicationFactor: undefined, assignments: lists, settings }
}

function createdResult(name: string, outcome: CreatedTopic | Refusal): CreatedResult {
  if (isRefusal(outcome)) return { name, errorCode: kafkaErrorCode(outcome), errorMessage: kafkaErrorMessage(outcome) }
  return {
    name,
    topicId: outcome.id,
    errorCode: kafkaErrors.NONE,
    numPartitions: outcome.partitions,
    replicationFactor: 1,
    configs: outcome.settings.map((setting: SettingView) => ({
      name: setting.name,
      value: setting.sensitive ? null : setting.value,
      readOnly: setting.readOnly,
      configSource: configSource(setting.source),
      isSensitive: setting.sensitive,
    })),
  }
}

export async function deleteTopics(
  call: Call,
  request: DeleteTopicsRequest,
): Promise<InputOf<typeof DeleteTopicsResponse>> {
  // KIP-516: from version 6 on by name or by id.
  const asked = call.version >= 6 ? request.topics : request.topicNames.map((name) => ({ name, topicId: zeroUuid }))
  const judged = asked.map(({ name, topicId }): TopicRef | Refusal => {
    if (name !== null && topicId !== zeroUuid) return refuse('invalidRequest', 'a topic by name and by id at once')
    if (name !== null) return { name }
    if (topicId === zeroUuid) return refuse('invalidRequest', 'a topic without a name and an id')
    return { id: topicId as TopicView['id'] }
  })
  const wanted = judged.filter(isJudgedGood)
  const outcomes = await call.session.deleteTopics(wanted)
  let next = 0
  return {
    responses: asked.map(({ name, topicId }, index) => {
      const refusal = judged[index]
      const outcome = isRefusal(refusal) ? refusal : outcomes[next++]
      if (!isRefusal(outcome)) return { name: outcome.name, topicId: outcome.id, errorCode: kafkaErrors.NONE }
      return { name, topicId, errorCode: kafkaErrorCode(outcome), errorMessage: kafkaErrorMessage(outcome) }
    }),
  }
}

export async function createPartitions(
  call: Call,
  request: CreatePartitionsRequest,
): Promise<InputOf<typeof CreatePartitionsResponse>> {
  const twice = namedTwice(request.topics.map(({ name }) => name))
  const { nodeId } = call.session.cluster()
  const results = request.topics.map(async ({ name, count, assignments }) => {
    let outcome: TopicView | Refusal
    if (twice.has(name)) outcome = refuse('invalidRequest', 'the request names the topic twice')
    else if (assignments?.some(({ brokerIds }) => brokerIds.length !== 1 || brokerIds[0] !== nodeId)) {
      outcome = refuse('invalidReplicaAssignment', `every partition lies on node ${nodeId} and no other`)
    } else
      outcome =
        refuseCount(call, name, count, assignments?.length) ??
        (await call.session.createPartitions(name, count, request.validateOnly))
    if (!isRefusal(outcome)) return { name, errorCode: kafkaErrors.NONE }
    return { name, errorCode: kafkaErrorCode(outcome), errorMessage: kafkaErrorMessage(outcome) }
  })
  return { results: await Promise.all(results) }
}

/** An assignment is of exactly the partitions that are added. */
function refuseCount(call: Call, name: string, count: number, assigned: number | undefined): Refusal | undefined {
  if (assigned === undefined) return undefined
  const view = call.session.describeTopic({ name })
  if (isRefusal(view)) return view
  if (count - view.partitions === assigned) return undefined
  return refuse('invalidReplicaAssignment', `${assigned} assignments for ${count - view.partitions} new partitions`)
}

type DescribedTopic = NonNullable<InputOf<typeof DescribeTopicPartitionsResponse>['topics']>[number]

/** Kafka's max.request.partition.size.limit. */
const partitionsMax = 2000

/** KIP-966: topics by name in order, from a cursor on, at most so many partitions. */
export function describeTopicPartitions(
  call: Call,
  request: DescribeTopicPartitionsRequest,
): InputOf<typeof DescribeTopicPartitionsResponse> {
  const { cursor } = request
  const isAll = request.topics.length === 0
  const names = isAll
    ? call.session.listTopics().map(({ name }) => name)
    : [...new Set(request.topics.map(({ name }) => name))].sort()
  if (cursor !== null && cursor.partitionIndex < 0) {
    const errorCode = kafkaErrors.INVALID_REQUEST
    return { topics: request.topics.map(({ name }) => ({ errorCode, name, topicId: zeroUuid })) }
  }
  let left = Math.min(Math.max(request.responsePartitionLimit, 1), partitionsMax)
  const topics: DescribedTopic[] = []
  for (const name of names) {
    if (cursor !== null && name < cursor.topicName) continue
    const from = cursor !== null && name === cursor.topicName ? cursor.partitionIndex : 0
    if (left === 0) return { topics, nextCursor: { topicName: name, partitionIndex: from } }
    const view = call.session.describeTopic({ name })
    if (isRefusal(view)) {
      if (!isAll) topics.push({ errorCode: kafkaErrorCode(view), name, topicId: zeroUuid })
      continue
    }
    const to = Math.min(view.partitions, from + left)
    topics.push(describedTopic(view, call.session.cluster().nodeId, from, to))
    left -= Math.max(0, to - from)
    if (to < view.partitions) return { topics, nextCursor: { topicName: name, partitionIndex: to } }
  }
  return { topics, nextCursor: null }
}

function describedTopic(view: TopicView, nodeId: number, from: number, to: number): DescribedTopic {
  const replicas = [nodeId]
  return {
    errorCode: kafkaErrors.NONE,
    name: view.name,
    topicId: view.id,
    partitions: Array.from({ length: Math.max(0, to - from) }, (_, index) => ({
      errorCode: kafkaErrors.NONE,
      partitionIndex: from + index,
      leaderId: nodeId,
      leaderEpoch,
      replicaNodes: replicas,
      isrNodes: replicas,
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
    })),
    topicAuthorizedOperations: topicOperations,
  }
}
