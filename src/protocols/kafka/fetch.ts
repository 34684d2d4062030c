// Fetch 4–18: stored batches as they lie in the log, long polls over many partitions (KIP-74, KIP-227, KIP-320, KIP-516).
// Promises: the first batch is given whatever its size; an error answers at once; record bytes are never copied; a
//   parked fetch lets go of its watches and its timer however it ends.
// Does not know: the log. It reads through the door and is told when more may be read.

import type { Timer } from '../../base/world.ts'
import type { InputOf } from '../../base/schema.ts'
import type { FetchRequest, FetchResponse } from '../../wire/kafka/messages/data.ts'
import { kafkaErrors } from '../errors.ts'
import type { Call, Lent } from './call.ts'
import { FetchRead, type PartitionRead } from './fetch-read.ts'
import type { FetchPartition } from './fetch-session.ts'

type Response = InputOf<typeof FetchResponse>
type TopicResponse = NonNullable<Response['responses']>[number]
type PartitionResponse = NonNullable<TopicResponse['partitions']>[number]

/** A fetch that waits for many bytes looks again this long after news, not at every append. */
const recheckMs = 5

export async function fetch(call: Call, request: FetchRequest): Promise<Response & Lent> {
  const byId = call.version >= 13
  const context = call.fetchSessions.open(request, byId)
  if ('error' in context) return { errorCode: context.error }
  const read = new FetchRead(call, request, context.partitions, context.incremental)
  await read.all()
  if (request.maxWaitMs > 0 && !read.isEnough && context.partitions.length > 0) await park(call, request, read)
  const concluded = context.conclude(read.reads.map((found) => found && stateOf(found)))
  if ('error' in concluded) return { errorCode: concluded.error }
  return {
    sessionId: call.version >= 7 ? concluded.sessionId : 0,
    responses: responses(call, request, context.partitions, read.reads, concluded.told),
    throttleTimeMs: call.session.throttle('fetch', read.bytes),
    sent: () => read.release(),
  }
}

/** Resolves when there is enough to answer, time is up, or nobody waits any more. */
function park(call: Call, request: FetchRequest, read: FetchRead): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false
    let looking = false
    let recheck: Timer | undefined
    const stops: (() => void)[] = []
    const finish = (): void => {
      over = true
      recheck?.cancel()
      for (const stop of stops.splice(0)) stop()
      resolve()
    }
    const look = async (): Promise<void> => {
      while (!over && read.hasNews) await read.news()
      looking = false
      if (read.isEnough) finish()
    }
    const planLook = (): void => {
      if (looking || over) return
      looking = true
      const begin = (): void => {
        look().catch((error: unknown) => {
          finish()
          reject(error)
        })
      }
      if (request.minBytes <= 1) call.world.clock.endOfTurn(begin)
      else recheck = call.world.clock.after(recheckMs, begin)
    }
    const deadline = call.world.clock.after(request.maxWaitMs, finish)
    stops.push(() => deadline.cancel(), ...read.watch(planLook))
    stops.push(call.park(finish))
    // The connection may be gone already: then parking woke us before there was all to let go of.
    if (over) finish()
    // What was read before a read from the disk was awaited may be outdated since.
    if (read.hasNews) planLook()
  })
}

const stateOf = ({ errorCode, highWatermark, logStart, bytes, diverging }: PartitionRead) => ({
  errorCode,
  highWatermark,
  logStart,
  bytes,
  diverges: diverging !== undefined,
})

function responses(
  call: Call,
  request: FetchRequest,
  partitions: readonly FetchPartition[],
  reads: readonly (PartitionRead | undefined)[],
  told: readonly boolean[],
): readonly TopicResponse[] {
  const topics = new Map<string, { topic: string; topicId?: string; partitions: PartitionResponse[] }>()
  const committedOnly = request.isolationLevel === 1
  for (const [index, part] of partitions.entries()) {
    const found = reads[index]
    if (!told[index] || found === undefined) continue
    const key = part.name + part.id
    let topic = topics.get(key)
    if (topic === undefined) {
      topic = part.id === '' ? { topic: part.name, partitions: [] } : { topic: '', topicId: part.id, partitions: [] }
      topics.set(key, topic)
    }
    topic.partitions.push(partitionResponse(call, part, found, committedOnly))
  }
  return [...topics.values()]
}

function partitionResponse(
  call: Call,
  part: FetchPartition,
  found: PartitionRead,
  committedOnly: boolean,
): PartitionResponse {
  const response: PartitionResponse = {
    partitionIndex: part.partition,
    errorCode: storageErrorFor(found.errorCode, call.version),
    highWatermark: found.highWatermark,
    lastStableOffset: found.lastStable,
    logStartOffset: found.logStart,
    abortedTransactions: committedOnly && found.errorCode === kafkaErrors.NONE ? [] : null,
    records: found.chunks,
  }
  return found.diverging === undefined ? response : { ...response, divergingEpoch: found.diverging }
}

/** KIP-112: clients up to version 5 do not know the storage error; they find the leader again instead. */
function storageErrorFor(code: number, version: number): number {
  return code === kafkaErrors.KAFKA_STORAGE_ERROR && version <= 5 ? kafkaErrors.NOT_LEADER_OR_FOLLOWER : code
}
