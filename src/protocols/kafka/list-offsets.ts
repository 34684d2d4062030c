// ListOffsets 1–11, OffsetForLeaderEpoch 2–4, DeleteRecords 0–2: where things lie in a partition.
// Promises: each special timestamp from the version on that has it (KIP-79, 734, 405, 1005, 1023); others are refused.
// Does not know: how offsets are found.

import type { FoundOffset, OffsetSpec } from '../../broker/door.ts'
import { isRefusal, refuse, type Refusal } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type {
  DeleteRecordsRequest,
  DeleteRecordsResponse,
  ListOffsetsRequest,
  ListOffsetsResponse,
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochResponse,
} from '../../wire/kafka/messages/data.ts'
import { kafkaErrorCode, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'

const specials: ReadonlyMap<number, { readonly spec: OffsetSpec; readonly since: number }> = new Map([
  [-1, { spec: 'latest', since: 1 }],
  [-2, { spec: 'earliest', since: 1 }],
  [-3, { spec: 'maxTimestamp', since: 7 }],
  [-4, { spec: 'earliestLocal', since: 8 }],
  [-5, { spec: 'latestTiered', since: 9 }],
  [-6, { spec: 'earliestPending', since: 11 }],
])

export async function listOffsets(
  call: Call,
  request: ListOffsetsRequest,
): Promise<InputOf<typeof ListOffsetsResponse>> {
  const twice = partitionsNamedTwice(request)
  const topics = request.topics.map(async ({ name, partitions }) => ({
    name,
    partitions: await Promise.all(
      partitions.map(async ({ partitionIndex, timestamp, currentLeaderEpoch }) => {
        const found = twice.has(`${name}-${partitionIndex}`)
          ? refuse('invalidRequest', 'the request names the partition twice')
          : await find(call, name, partitionIndex, timestamp, currentLeaderEpoch)
        if (isRefusal(found)) return { partitionIndex, errorCode: kafkaErrorCode(found) }
        // Before version 4 there is no field for the epoch.
        const leaderEpoch = call.version >= 4 ? found.leaderEpoch : -1
        const { offset, timestampMs } = found
        return { partitionIndex, errorCode: kafkaErrors.NONE, offset, timestamp: timestampMs, leaderEpoch }
      }),
    ),
  }))
  return { topics: await Promise.all(topics) }
}

function find(
  call: Call,
  name: string,
  partition: number,
  timestamp: number,
  epoch: number,
): Promise<FoundOffset | Refusal> | Refusal {
  if (timestamp >= 0) return call.session.findOffset({ name }, partition, { timestampMs: timestamp }, epoch)
  const special = specials.get(timestamp)
  if (special === undefined || call.version < special.since) {
    return refuse('unsupportedVersion', `version ${call.version} has no timestamp ${timestamp}`)
  }
  return call.session.findOffset({ name }, partition, special.spec, epoch)
}

function partitionsNamedTwice(request: ListOffsetsRequest): ReadonlySet<string> {
  const once = new Set<string>()
  const twice = new Set<string>()
  for (const { name, partitions } of request.topics) {
    for (const { partitionIndex } of partitions) {
      const key = `${name}-${partitionIndex}`
      if (once.has(key)) twice.add(key)
      once.add(key)
    }
  }
  return twice
}

export async function offsetForLeaderEpoch(
  call: Call,
  request: OffsetForLeaderEpochRequest,
): Promise<InputOf<typeof OffsetForLeaderEpochResponse>> {
  const topics = request.topics.map(async ({ topic, partitions }) => ({
    topic,
    partitions: await Promise.all(
      partitions.map(async ({ partition, leaderEpoch, currentLeaderEpoch }) => {
        const ended = await call.session.epochEnd({ name: topic }, partition, leaderEpoch, currentLeaderEpoch)
        if (isRefusal(ended)) return { partition, errorCode: kafkaErrorCode(ended) }
        return { partition, errorCode: kafkaErrors.NONE, leaderEpoch: ended.epoch, endOffset: ended.end }
      }),
    ),
  }))
  return { topics: await Promise.all(topics) }
}

export async function deleteRecords(
  call: Call,
  request: DeleteRecordsRequest,
): Promise<InputOf<typeof DeleteRecordsResponse>> {
  const topics = request.topics.map(async ({ name, partitions }) => ({
    name,
    partitions: await Promise.all(
      partitions.map(async ({ partitionIndex, offset }) => {
        const start = await call.session.deleteRecords(name, partitionIndex, offset)
        if (isRefusal(start)) return { partitionIndex, lowWatermark: -1, errorCode: kafkaErrorCode(start) }
        return { partitionIndex, lowWatermark: start, errorCode: kafkaErrors.NONE }
      }),
    ),
  }))
  return { topics: await Promise.all(topics) }
}
