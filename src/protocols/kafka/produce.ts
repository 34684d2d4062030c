// Produce 3–13: record batches in, base offsets out. From 13 topics go by id (KIP-516).
// Promises: every batch is handed to the door in request order before anything is awaited; acks=0 gets no bytes back,
//   and the connection closed when it failed.
// Does not know: batches beyond the four bytes and the attribute it must look at; judging them is the broker's.

import type { Acks, Produced, ProduceRefusal } from '../../broker/door.ts'
import { isRefusal, refuse } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type { ProduceRequest, ProduceResponse } from '../../wire/kafka/messages/data.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import type { Call, Handled } from './call.ts'
import { topicRef } from './topic-ref.ts'

type Response = InputOf<typeof ProduceResponse>
type TopicResponse = NonNullable<Response['responses']>[number]
type PartitionResponse = NonNullable<TopicResponse['partitionResponses']>[number]

const magicAt = 16
const lengthAt = 8
/** Base offset and length come before what a batch's length counts. */
const lengthOverhead = 12
const attributesLowAt = 22
const codecMask = 0x07
const zstd = 4

export async function produce(call: Call, request: ProduceRequest): Promise<Handled<Response>> {
  const { acks } = request
  const refusal = refuseAll(request)
  const begun: (Produced | ProduceRefusal | Promise<Produced | ProduceRefusal>)[] = []
  for (const topic of request.topicData) {
    const ref = topicRef(call.version >= 13, topic.name, topic.topicId)
    for (const { index, records } of topic.partitionData) {
      if (refusal !== undefined) begun.push(refusal)
      else if (records === null || records.length <= lengthOverhead) begun.push(noBatch)
      else {
        const bad = refuseRecords(call.version, records)
        const order = { topic: ref, partition: index, batch: records, acks: acks as Acks }
        begun.push(bad ?? call.session.produce(order))
      }
    }
  }
  const throttleTimeMs = call.session.throttle('produce', call.requestBytes)
  const outcomes = await Promise.all(begun)
  if (acks === 0) {
    const failed = outcomes.find((outcome) => isRefusal(outcome))
    if (failed === undefined) return { unanswered: true, throttleTimeMs }
    // Its sender cannot be told otherwise (KafkaApis.handleProduceRequest); it then refreshes its metadata.
    return { hangup: `produce with acks=0: ${failed.why}`, hostile: false }
  }
  return { responses: responses(call.version, request, outcomes), throttleTimeMs }
}

const noBatch = refuse('invalidRecord', 'a produce request has exactly one record batch a partition, here is none')

function refuseAll({ acks, transactionalId }: ProduceRequest): ProduceRefusal | undefined {
  if (acks !== 0 && acks !== 1 && acks !== -1) {
    return refuse('invalidRequiredAcks', `acks is 0, 1 or -1 (all), not ${acks}`)
  }
  if (transactionalId !== null) return refuse('transactionsUnavailable', 'transactions are not available here')
  return undefined
}

/** ProduceRequest.validateRecords: one batch of magic 2, and no zstd before version 7 (KIP-110). */
function refuseRecords(version: number, records: Buffer): ProduceRefusal | undefined {
  if (records.length <= magicAt) return refuse('corruptBatch', 'the batch is cut off')
  if (records[magicAt] !== 2) {
    return refuse('invalidRecord', `records are of magic ${records[magicAt]}, only batches of magic 2 are taken`)
  }
  const batchBytes = records.readInt32BE(lengthAt) + lengthOverhead
  if (batchBytes >= lengthOverhead && batchBytes < records.length) {
    return refuse('invalidRecord', 'a produce request has exactly one record batch a partition, here are more')
  }
  if (version < 7 && records.length > attributesLowAt && (records[attributesLowAt] & codecMask) === zstd) {
    return refuse('unsupportedCompression', 'zstd may be produced from version 7 of Produce on')
  }
  return undefined
}

function responses(
  version: number,
  request: ProduceRequest,
  outcomes: readonly (Produced | ProduceRefusal)[],
): readonly TopicResponse[] {
  let next = 0
  return request.topicData.map(({ name, topicId, partitionData }) => ({
    name,
    topicId,
    partitionResponses: partitionData.map(({ index }) => partitionResponse(version, index, outcomes[next++])),
  }))
}

function partitionResponse(version: number, index: number, outcome: Produced | ProduceRefusal): PartitionResponse {
  if (!isRefusal(outcome)) {
    const { baseOffset, logAppendTimeMs, logStart } = outcome
    return { index, errorCode: kafkaErrors.NONE, baseOffset, logAppendTimeMs, logStartOffset: logStart }
  }
  return {
    index,
    errorCode: storageErrorFor(kafkaErrorCode(outcome), version),
    baseOffset: -1,
    logStartOffset: outcome.logStart ?? -1,
    recordErrors: (outcome.records ?? []).map(({ index: batchIndex, why }) => ({
      batchIndex,
      batchIndexErrorMessage: why,
    })),
    errorMessage: kafkaErrorMessage(outcome),
  }
}

/** KIP-112: clients up to version 3 do not know the storage error; they find the leader again instead. */
function storageErrorFor(code: number, version: number): number {
  return code === kafkaErrors.KAFKA_STORAGE_ERROR && version <= 3 ? kafkaErrors.NOT_LEADER_OR_FOLLOWER : code
}
