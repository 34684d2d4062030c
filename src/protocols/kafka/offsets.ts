// Committed offsets: OffsetCommit 2–10, OffsetFetch 1–10, OffsetDelete 0.
// Promises: one outcome a partition; from OffsetFetch 8 many groups (KIP-709), from 10 topics by id (KIP-848).
// Does not know: generations and members; the broker judges who may commit.

import type { CommittedOffset, FetchOffsetsCall, OffsetToCommit } from '../../broker/door.ts'
import { isRefusal, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  OffsetCommitRequest,
  OffsetCommitResponse,
  OffsetDeleteRequest,
  OffsetDeleteResponse,
  OffsetFetchRequest,
  OffsetFetchResponse,
} from '../../wire/kafka/messages/offsets.ts'
import { kafkaErrorCode, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'
import { topicRef } from './topic-ref.ts'

const codeOf = (outcome: true | Refusal): number => {
  if (outcome === true) return kafkaErrors.NONE
  // What is refused for its topic is named by the topic, all else by the group.
  return kafkaErrorCode(outcome, outcome.refused === 'notAllowed' ? 'topic' : 'group')
}

export async function offsetCommit(
  call: Call,
  request: OffsetCommitRequest,
): Promise<InputOf<typeof OffsetCommitResponse>> {
  const byId = call.version >= 10
  const offsets: OffsetToCommit[] = []
  for (const { name, topicId, partitions } of request.topics) {
    const topic = topicRef(byId, name, topicId)
    for (const { partitionIndex, committedOffset, committedLeaderEpoch, committedMetadata } of partitions) {
      offsets.push({
        topic,
        partition: partitionIndex,
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: committedMetadata ?? '',
      })
    }
  }
  const outcomes = await call.session.groups.commit({
    group: request.groupId,
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    generation: request.generationIdOrMemberEpoch,
    offsets,
  })
  let next = 0
  return {
    topics: request.topics.map(({ name, topicId, partitions }) => ({
      name,
      topicId,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode: codeOf(outcomes[next++]) })),
    })),
  }
}

/** One group's question, whichever version asked it. */
interface Asked {
  readonly group: string
  readonly memberId: string
  readonly memberEpoch: number
  /** null: all. */
  readonly topics:
    readonly { readonly name: string; readonly topicId: string; readonly partitionIndexes: readonly number[] }[] | null
}

interface FetchedPartition {
  readonly partitionIndex: number
  readonly committedOffset: number
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

interface FetchedTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: FetchedPartition[]
}

interface Fetched {
  readonly errorCode: number
  readonly topics: readonly FetchedTopic[]
}

export async function offsetFetch(
  call: Call,
  request: OffsetFetchRequest,
): Promise<InputOf<typeof OffsetFetchResponse>> {
  if (call.version < 8) return fetchOne(call, request)
  const groups = request.groups.map(async ({ groupId, memberId, memberEpoch, topics }) => {
    const asked = { group: groupId, memberId: memberId ?? '', memberEpoch, topics }
    return { groupId, ...(await fetchGroup(call, asked)) }
  })
  return { groups: await Promise.all(groups) }
}

async function fetchOne(call: Call, request: OffsetFetchRequest): Promise<InputOf<typeof OffsetFetchResponse>> {
  const topics = request.topics?.map((topic) => ({ ...topic, topicId: '' })) ?? null
  const asked = { group: request.groupId, memberId: '', memberEpoch: -1, topics }
  const fetched = await fetchGroup(call, asked)
  if (fetched.errorCode === kafkaErrors.NONE || call.version >= 2) return fetched
  // Version 1 has no place for the group's error but every partition.
  const failed = topics?.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => failedPartition(partitionIndex, fetched.errorCode)),
  }))
  return { topics: failed ?? [] }
}

async function fetchGroup(call: Call, asked: Asked): Promise<Fetched> {
  const byId = call.version >= 10
  const partitions = asked.topics?.flatMap(({ name, topicId, partitionIndexes }) =>
    partitionIndexes.map((partition) => ({ topic: topicRef(byId, name, topicId), partition })),
  )
  const question: FetchOffsetsCall = { ...asked, partitions }
  const outcomes = await call.session.groups.fetch(question)
  if (isRefusal(outcomes)) return { errorCode: kafkaErrorCode(outcomes, 'group'), topics: [] }
  if (asked.topics === null) return { errorCode: kafkaErrors.NONE, topics: allTopics(outcomes, byId) }
  let next = 0
  const topics = asked.topics.map(({ name, topicId, partitionIndexes }) => ({
    name,
    topicId,
    partitions: partitionIndexes.map((partitionIndex) => fetchedPartition(partitionIndex, outcomes[next++])),
  }))
  return { errorCode: kafkaErrors.NONE, topics }
}

/** All a group has, gathered by topic. Asked by id, a topic that is gone has no id to be named by and is left out. */
function allTopics(outcomes: readonly (CommittedOffset | Refusal)[], byId: boolean): readonly FetchedTopic[] {
  const topics = new Map<string, FetchedTopic>()
  for (const outcome of outcomes) {
    if (isRefusal(outcome) || (byId && outcome.topicId === undefined)) continue
    let topic = topics.get(outcome.topic)
    if (topic === undefined) {
      topic = { name: outcome.topic, topicId: outcome.topicId ?? '', partitions: [] }
      topics.set(outcome.topic, topic)
    }
    topic.partitions.push(fetchedPartition(outcome.partition, outcome))
  }
  return [...topics.values()]
}

function fetchedPartition(partitionIndex: number, outcome: CommittedOffset | Refusal): FetchedPartition {
  if (isRefusal(outcome)) return failedPartition(partitionIndex, codeOf(outcome))
  const { offset, leaderEpoch, metadata } = outcome
  return {
    partitionIndex,
    committedOffset: offset,
    committedLeaderEpoch: leaderEpoch,
    metadata,
    errorCode: kafkaErrors.NONE,
  }
}

const failedPartition = (partitionIndex: number, errorCode: number): FetchedPartition => ({
  partitionIndex,
  committedOffset: -1,
  committedLeaderEpoch: -1,
  metadata: '',
  errorCode,
})

export async function offsetDelete(
  call: Call,
  request: OffsetDeleteRequest,
): Promise<InputOf<typeof OffsetDeleteResponse>> {
  const named = request.topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex }) => ({ topic: name, partition: partitionIndex })),
  )
  const outcomes = await call.session.groups.deleteOffsets(request.groupId, named)
  if (isRefusal(outcomes)) return { errorCode: kafkaErrorCode(outcomes, 'group') }
  let next = 0
  return {
    errorCode: kafkaErrors.NONE,
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode: codeOf(outcomes[next++]) })),
    })),
  }
}
