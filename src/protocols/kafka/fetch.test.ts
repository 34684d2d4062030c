// Fetch over a made-up log: limits, long polls, errors, what outlives what.
// Promises: time is moved by hand.
// Does not know: sessions of fetches (fetch-session.test.ts).

import { expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import type { ReadCall, ReadOutcome, ReadRefusal, Session } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import type { ValueOf } from '../../base/schema.ts'
import { FetchResponse } from '../../wire/kafka/messages/data.ts'
import { decodeResponse } from '../../wire/kafka/frame.ts'
import { StubWorld } from '../stub.contract.ts'
import { agreeingSession, batchOf, offsetOf, readOutcome, StubClient, topicId } from './stub-session.contract.ts'

/** Partitions of batches; offsets count batches. */
class Logs {
  readonly partitions = new Map<number, Buffer[]>()
  readonly reads: ReadCall[] = []
  readonly watchers = new Map<number, Set<() => void>>()
  fromDisk = false

  append(partition: number, ...batches: Buffer[]): void {
    this.partitions.set(partition, [...(this.partitions.get(partition) ?? []), ...batches])
    for (const changed of this.watchers.get(partition) ?? []) changed()
  }

  get watched(): number {
    return [...this.watchers.values()].reduce((sum, set) => sum + set.size, 0)
  }

  private readNow(call: ReadCall): ReadOutcome | ReadRefusal {
    const batches = this.partitions.get(call.partition)
    if (batches === undefined) return refuse('unknownTopic', 'not there')
    if (call.offset > batches.length) {
      return { ...refuse('offsetOutOfRange', 'beyond'), highWatermark: offsetOf(batches.length), logStart: offsetOf(0) }
    }
    const chunks: Buffer[] = []
    let bytes = 0
    for (const batch of batches.slice(call.offset)) {
      if (chunks.length > 0 && bytes + batch.length > call.bytesMax) break
      chunks.push(batch)
      bytes += batch.length
    }
    return readOutcome(chunks, batches.length)
  }

  session(overrides: Partial<Session> = {}): Session {
    return agreeingSession({
      read: (call) => {
        this.reads.push(call)
        const outcome = this.readNow(call)
        return this.fromDisk ? Promise.resolve(outcome) : outcome
      },
      watch: (_topic, partition, changed) => {
        const set = this.watchers.get(partition) ?? new Set()
        this.watchers.set(partition, set)
        const entry = (): void => changed()
        set.add(entry)
        return () => void set.delete(entry)
      },
      ...(overrides as object),
    })
  }
}

interface Ask {
  readonly version?: number
  readonly partitions?: readonly number[]
  readonly offset?: number
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly isolationLevel?: number
}

function start(overrides: Partial<Session> = {}) {
  const world = new StubWorld()
  const logs = new Logs()
  const client = new StubClient(world, logs.session(overrides))
  const send = ({ version = 11, partitions = [0], offset = 0, ...ask }: Ask = {}): void => {
    const partitionMaxBytes = ask.partitionMaxBytes ?? 1_000_000
    client.send(apis.fetch, version, {
      maxWaitMs: ask.maxWaitMs ?? 500,
      minBytes: ask.minBytes ?? 1,
      maxBytes: ask.maxBytes ?? 1_000_000,
      isolationLevel: ask.isolationLevel ?? 0,
      topics: [
        {
          ...(version >= 13 ? { topicId } : { topic: 't' }),
          partitions: partitions.map((partition) => ({ partition, fetchOffset: offset, partitionMaxBytes })),
        },
      ],
    })
  }
  const answer = (version = 11): ValueOf<typeof FetchResponse> | undefined => {
    const frame = client.frames()[0]
    return frame === undefined ? undefined : decodeResponse(apis.fetch, version, frame)
  }
  const fetch = async (ask: Ask = {}): Promise<ValueOf<typeof FetchResponse> | undefined> => {
    send(ask)
    await world.settle()
    return answer(ask.version)
  }
  return { world, logs, client, send, answer, fetch }
}

const bytesOf = (response: ValueOf<typeof FetchResponse> | undefined): (number | undefined)[] | undefined =>
  response?.responses[0]?.partitions.map(({ records }) => records?.length)

test('what is there is answered at once, in the bytes of the log', async () => {
  const { logs, fetch } = start()
  logs.append(0, batchOf(100, 1), batchOf(200, 2))
  const response = await fetch()
  expect(response?.responses[0].partitions[0]).toMatchObject({
    partitionIndex: 0,
    errorCode: 0,
    highWatermark: 2,
    lastStableOffset: 2,
    logStartOffset: 0,
    abortedTransactions: null,
    preferredReadReplica: -1,
  })
  expect(response?.responses[0].partitions[0].records).toEqual(Buffer.concat([batchOf(100, 1), batchOf(200, 2)]))
  expect(logs.watched).toBe(0)
})

test('read committed has a list of aborted transactions, which is empty', async () => {
  const { logs, fetch } = start()
  logs.append(0, batchOf(100))
  const response = await fetch({ isolationLevel: 1 })
  expect(response?.responses[0].partitions[0].abortedTransactions).toEqual([])
  expect(logs.reads[0].committedTransactionsOnly).toBe(true)
})

test('from version 13 on topics are named by id', async () => {
  const { logs, fetch } = start()
  logs.append(0, batchOf(100))
  expect((await fetch({ version: 13 }))?.responses[0].topicId).toBe(topicId)
  expect(logs.reads[0].topic).toEqual({ id: topicId })
})

test('the first batch comes whatever its size, later ones only within the limits, all partitions are named', async () => {
  const { logs, fetch } = start()
  for (const partition of [0, 1, 2]) logs.append(partition, batchOf(500), batchOf(500))
  expect(bytesOf(await fetch({ partitions: [0, 1, 2], maxBytes: 10 }))).toEqual([500, 0, 0])
  expect(bytesOf(await fetch({ partitions: [0, 1, 2], partitionMaxBytes: 10 }))).toEqual([500, 0, 0])
  expect(bytesOf(await fetch({ partitions: [0, 1, 2], maxBytes: 1500 }))).toEqual([1000, 500, 0])
  expect(bytesOf(await fetch({ partitions: [2, 1, 0], maxBytes: 1600 }))).toEqual([1000, 500, 0])
})

test('an empty partition is waited for, and answered when time is up', async () => {
  const { world, logs, fetch, answer } = start()
  logs.append(0)
  expect(await fetch({ maxWaitMs: 500 })).toBeUndefined()
  expect(logs.watched).toBe(1)
  await world.pass(499)
  expect(answer()).toBeUndefined()
  await world.pass(1)
  expect(bytesOf(answer())).toEqual([0])
  expect(logs.watched).toBe(0)
})

test('an append wakes a parked fetch, and only what changed is read again', async () => {
  const { world, logs, fetch, answer } = start()
  logs.append(0)
  logs.append(1)
  expect(await fetch({ partitions: [0, 1] })).toBeUndefined()
  logs.reads.length = 0
  logs.append(1, batchOf(100))
  await world.settle()
  expect(bytesOf(answer())).toEqual([0, 100])
  expect(logs.reads).toHaveLength(1)
  expect(logs.watched).toBe(0)
  expect(world.timers).toBe(1)
})

test('min bytes are counted over all partitions, and looked for now and then, not at every append', async () => {
  const { world, logs, fetch, answer } = start()
  logs.append(0)
  logs.append(1)
  expect(await fetch({ partitions: [0, 1], minBytes: 1000, maxWaitMs: 10_000 })).toBeUndefined()
  logs.reads.length = 0
  for (let count = 0; count < 9; count++) logs.append(count % 2, batchOf(100))
  await world.pass(100)
  expect(answer()).toBeUndefined()
  expect(logs.reads).toHaveLength(2)
  logs.append(0, batchOf(100))
  await world.pass(100)
  expect(bytesOf(answer())).toEqual([600, 400])
})

test('more min bytes than max bytes is no reason to wait for ever', async () => {
  const { logs, fetch } = start()
  logs.append(0, batchOf(100))
  expect(bytesOf(await fetch({ minBytes: 5000, maxBytes: 100 }))).toEqual([100])
})

test('an error answers at once, with where the log is', async () => {
  const { logs, fetch } = start()
  logs.append(0)
  const response = await fetch({ partitions: [0, 7], maxWaitMs: 10_000 })
  expect(response?.responses[0].partitions).toMatchObject([{ errorCode: 0 }, { errorCode: 3, highWatermark: -1 }])
  const beyond = await fetch({ offset: 5 })
  expect(beyond?.responses[0].partitions[0]).toMatchObject({ errorCode: 1, highWatermark: 0, logStartOffset: 0 })
})

test('a partition that goes away while it is waited for is an error at once', async () => {
  const { world, logs, fetch, answer } = start()
  logs.append(0)
  await fetch()
  logs.partitions.delete(0)
  for (const changed of logs.watchers.get(0) ?? []) changed()
  await world.settle()
  expect(answer()?.responses[0].partitions[0].errorCode).toBe(3)
})

test('what was appended while another partition came from the disk is not missed', async () => {
  const { world, logs, send, answer } = start()
  logs.fromDisk = true
  logs.append(0)
  logs.append(1)
  send({ partitions: [0, 1], maxWaitMs: 10_000 })
  // The first read is under way; nobody watches yet.
  logs.append(0, batchOf(100))
  await world.settle()
  expect(bytesOf(answer())).toEqual([100, 0])
})

test('a fetch does not outlive its connection, nor a drain', async () => {
  const { world, logs, client, fetch } = start()
  logs.append(0)
  await fetch({ maxWaitMs: 1_000_000 })
  client.connection.leave()
  await world.settle()
  expect(logs.watched).toBe(0)
  expect(world.timers).toBe(0)

  const other = start()
  other.logs.append(0)
  await other.fetch({ maxWaitMs: 1_000_000 })
  void other.client.conversation.drain(10_000)
  await other.world.settle()
  expect(bytesOf(other.answer())).toEqual([0])
  expect(other.client.connection.state).toBe('ended')
  expect(other.logs.watched).toBe(0)
})

test('a throttled fetch says so and its sender is muted (KIP-219)', async () => {
  const charged: unknown[] = []
  const { world, logs, client, fetch } = start({
    throttle: (kind, bytes) => {
      charged.push([kind, bytes])
      return 250
    },
  })
  logs.append(0, batchOf(100))
  expect((await fetch())?.throttleTimeMs).toBe(250)
  expect(charged).toEqual([['fetch', 100]])
  expect(client.connection.isReading).toBe(false)
  await world.pass(250)
  expect(client.connection.isReading).toBe(true)
})

test('zstd is not sent to clients that cannot know it (KIP-110)', async () => {
  const { logs, fetch } = start()
  const zstd = batchOf(100)
  zstd[22] = 4
  logs.append(0, Buffer.concat([batchOf(80), zstd]))
  expect((await fetch({ version: 9 }))?.responses[0].partitions[0].errorCode).toBe(76)
  expect((await fetch({ version: 10 }))?.responses[0].partitions[0].errorCode).toBe(0)
})

test('a storage error is told to clients before version 6 as one they know (KIP-112)', async () => {
  const { fetch } = start({ read: () => refuse('storageFailed', 'broken') })
  expect((await fetch({ version: 5 }))?.responses[0].partitions[0].errorCode).toBe(6)
  expect((await fetch({ version: 6 }))?.responses[0].partitions[0].errorCode).toBe(56)
})

test('nobody follows this node', async () => {
  const { world, client } = start()
  const topics = [{ topic: 't', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 10 }] }]
  const response = await client.ask(apis.fetch, 11, { replicaId: 2, maxWaitMs: 100, minBytes: 1, topics })
  expect(response?.responses[0].partitions[0].errorCode).toBe(6)
  expect(world.timers).toBe(1)
})

test('a reader of an epoch that ended before where it reads is told where it parted (KIP-595)', async () => {
  const { logs, client } = start({ epochEnd: async () => ({ epoch: 0, end: 3 }) })
  logs.append(0, ...Array.from({ length: 9 }, () => batchOf(70)))
  const ask = (fetchOffset: number) =>
    client.ask(apis.fetch, 12, {
      maxWaitMs: 1000,
      minBytes: 1,
      topics: [{ topic: 't', partitions: [{ partition: 0, fetchOffset, lastFetchedEpoch: 0, partitionMaxBytes: 99 }] }],
    })
  expect((await ask(5))?.responses[0].partitions[0].divergingEpoch).toEqual({ epoch: 0, endOffset: 3 })
  const fine = (await ask(3))?.responses[0].partitions[0]
  expect(fine?.divergingEpoch).toEqual({ epoch: -1, endOffset: -1 })
  expect(fine?.records).toHaveLength(70)
})
