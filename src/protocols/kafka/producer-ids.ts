// InitProducerId 0–5, DescribeProducers 0, ListTransactions 0–2, DescribeTransactions 0: who produces idempotently.
// Promises: producer ids for idempotence (KIP-98); of transactions the truth: there are none, and none begin.
// Does not know: sequences and their judging.

import { isRefusal, refuse } from '../../broker/errors.ts'
import type { InputOf } from '../../base/schema.ts'
import type { InitProducerIdRequest, InitProducerIdResponse } from '../../wire/kafka/messages/data.ts'
import type {
  DescribeProducersRequest,
  DescribeProducersResponse,
  DescribeTransactionsRequest,
  DescribeTransactionsResponse,
  ListTransactionsRequest,
  ListTransactionsResponse,
} from '../../wire/kafka/messages/operations.ts'
import { kafkaErrorCode, kafkaErrorMessage, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'

export async function initProducerId(
  call: Call,
  request: InitProducerIdRequest,
): Promise<InputOf<typeof InitProducerIdResponse>> {
  const { transactionalId } = request
  if (transactionalId !== null) {
    const refused = transactionalId === '' ? kafkaErrors.INVALID_REQUEST : kafkaErrors.INVALID_TXN_STATE
    return { errorCode: refused, producerEpoch: -1 }
  }
  // Without a transactional id the producer id and epoch of the request mean nothing and a new id is given
  // (TransactionCoordinator.handleInitProducerId); clients are known that fill them with zeros.
  const identity = await call.session.initProducer(undefined)
  if (isRefusal(identity)) return { errorCode: kafkaErrorCode(identity, 'cluster'), producerEpoch: -1 }
  return { errorCode: kafkaErrors.NONE, producerId: identity.producerId, producerEpoch: identity.producerEpoch }
}

export async function describeProducers(
  call: Call,
  request: DescribeProducersRequest,
): Promise<InputOf<typeof DescribeProducersResponse>> {
  const topics = request.topics.map(async ({ name, partitionIndexes }) => ({
    name,
    partitions: await Promise.all(
      partitionIndexes.map(async (partitionIndex) => {
        const producers = await call.session.listProducers(name, partitionIndex)
        if (isRefusal(producers)) {
          return { partitionIndex, errorCode: kafkaErrorCode(producers), errorMessage: kafkaErrorMessage(producers) }
        }
        return {
          partitionIndex,
          errorCode: kafkaErrors.NONE,
          activeProducers: producers.map((producer) => ({
            producerId: producer.producerId,
            producerEpoch: producer.producerEpoch,
            lastSequence: producer.lastSequence,
            lastTimestamp: producer.lastTimestampMs,
            // No coordinator has written a marker here.
            coordinatorEpoch: -1,
            currentTxnStartOffset: producer.currentTransactionStart,
          })),
        }
      }),
    ),
  }))
  return { topics: await Promise.all(topics) }
}

/** TransactionState.java. */
const transactionStates: ReadonlySet<string> = new Set([
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
])

export function listTransactions(
  _call: Call,
  request: ListTransactionsRequest,
): InputOf<typeof ListTransactionsResponse> {
  return {
    errorCode: kafkaErrors.NONE,
    unknownStateFilters: request.stateFilters.filter((state) => !transactionStates.has(state)),
  }
}

export function describeTransactions(
  _call: Call,
  request: DescribeTransactionsRequest,
): InputOf<typeof DescribeTransactionsResponse> {
  const missing = kafkaErrorCode(refuse('transactionMissing', 'there are no transactions'))
  return {
    transactionStates: request.transactionalIds.map((transactionalId) => ({
      errorCode: transactionalId === '' ? kafkaErrors.INVALID_REQUEST : missing,
      transactionalId,
    })),
  }
}
