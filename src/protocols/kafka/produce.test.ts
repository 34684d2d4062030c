// Produce over a made-up broker: what is refused before it, what is told after it.
// Promises: each acks, each kind of records.
// Does not know: the judging of batches; order under pipelining is in connection.test.ts.

import { expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import type { InputOf } from '../../base/schema.ts'
import type { ProduceCall, Session } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import { ProduceRequest } from '../../wire/kafka/messages/data.ts'
import { StubWorld } from '../stub.contract.ts'
import { agreeingSession, batchOf, offsetOf, StubClient, topicId } from './stub-session.contract.ts'

function start(overrides: Partial<Session> = {}) {
  const world = new StubWorld()
  const calls: ProduceCall[] = []
  const session = agreeingSession({
    produce: async (call) => {
      calls.push(call)
      return { baseOffset: offsetOf(41 + calls.length), logAppendTimeMs: -1, logStart: offsetOf(3) }
    },
    ...(overrides as object),
  })
  const client = new StubClient(world, session)
  const produce = (records: readonly (Buffer | null)[], version = 9, more: InputOf<typeof ProduceRequest> = {}) =>
    client.ask(apis.produce, version, {
      acks: -1,
      topicData: [
        {
          ...(version >= 13 ? { topicId } : { name: 't' }),
          partitionData: records.map((batch, index) => ({ index, records: batch })),
        },
      ],
      ...more,
    })
  return { world, client, calls, produce }
}

test('a batch a partition goes down, a base offset comes back', async () => {
  const { calls, produce } = start()
  const answer = await produce([batchOf(100), batchOf(200)])
  expect(calls.map(({ partition, batch, acks }) => [partition, batch.length, acks])).toEqual([
    [0, 100, -1],
    [1, 200, -1],
  ])
  expect(answer?.responses[0]).toMatchObject({
    name: 't',
    partitionResponses: [
      { index: 0, errorCode: 0, baseOffset: 42, logAppendTimeMs: -1, logStartOffset: 3, errorMessage: null },
      { index: 1, errorCode: 0, baseOffset: 43 },
    ],
  })
})

test('from version 13 on topics go by id', async () => {
  const { calls, produce } = start()
  expect((await produce([batchOf(100)], 13))?.responses[0].topicId).toBe(topicId)
  expect(calls[0].topic).toEqual({ id: topicId })
})

test('acks are 0, 1 or all', async () => {
  for (const acks of [2, -2, 100]) {
    const { calls, produce } = start()
    const answer = await produce([batchOf(100)], 9, { acks })
    expect(answer?.responses[0].partitionResponses[0]).toMatchObject({ errorCode: 21, baseOffset: -1 })
    expect(calls).toHaveLength(0)
  }
})

test('there are no transactions: what is produced in one is refused', async () => {
  const { calls, produce } = start()
  const answer = await produce([batchOf(100)], 9, { transactionalId: 'x' })
  expect(answer?.responses[0].partitionResponses[0].errorCode).toBe(48)
  expect(calls).toHaveLength(0)
})

test('exactly one batch of magic 2 a partition; the others of the request are not held up by a bad one', async () => {
  const { calls, produce } = start()
  const old = batchOf(100)
  old[16] = 1
  const records = [
    null,
    Buffer.alloc(0),
    old,
    Buffer.concat([batchOf(100), batchOf(100)]),
    Buffer.alloc(14),
    batchOf(90),
  ]
  const answer = await produce(records)
  const codes = answer?.responses[0].partitionResponses.map(({ errorCode }) => errorCode)
  expect(codes).toEqual([87, 87, 87, 87, 2, 0])
  expect(calls).toHaveLength(1)
})

test('zstd may be produced from version 7 on (KIP-110)', async () => {
  const { produce } = start()
  const zstd = batchOf(100)
  zstd[22] = 4
  expect((await produce([zstd], 6))?.responses[0].partitionResponses[0].errorCode).toBe(76)
  expect((await produce([zstd], 7))?.responses[0].partitionResponses[0].errorCode).toBe(0)
})

test('with acks=0 nothing is answered, and a failure closes the connection', async () => {
  const fine = start()
  expect(await fine.produce([batchOf(100)], 9, { acks: 0 })).toBeUndefined()
  expect(fine.calls).toHaveLength(1)
  expect(fine.client.connection.state).toBe('open')
  expect(await fine.client.ask(apis.metadata, 9, { topics: [] })).toBeDefined()

  const failing = start({ produce: async () => refuse('unknownTopic', 'not there') })
  expect(await failing.produce([batchOf(100)], 9, { acks: 0 })).toBeUndefined()
  expect(failing.client.connection.state).toBe('ended')
  expect(failing.world.trace.counters().get('kafka.connections.hungup')).toBe(1)
})

test('refused records are named one by one, with what is wrong', async () => {
  const refusal = {
    ...refuse('invalidRecord', 'no key'),
    records: [{ index: 3, why: 'null key' }],
    logStart: offsetOf(7),
  }
  const { produce } = start({ produce: async () => refusal })
  expect((await produce([batchOf(100)], 8))?.responses[0].partitionResponses[0]).toMatchObject({
    errorCode: 87,
    baseOffset: -1,
    logStartOffset: 7,
    recordErrors: [{ batchIndex: 3, batchIndexErrorMessage: 'null key' }],
    errorMessage: 'no key',
  })
  expect((await produce([batchOf(100)], 7))?.responses[0].partitionResponses[0].errorCode).toBe(87)
})

test('a storage error is told to clients before version 4 as one they know (KIP-112)', async () => {
  const { produce } = start({ produce: async () => refuse('storageFull', 'full') })
  expect((await produce([batchOf(100)], 3))?.responses[0].partitionResponses[0].errorCode).toBe(6)
  expect((await produce([batchOf(100)], 4))?.responses[0].partitionResponses[0].errorCode).toBe(56)
})

test('bytes are charged, and who is over its quota is muted after the answer, also with acks=0', async () => {
  for (const acks of [1, 0]) {
    const charged: unknown[] = []
    const { world, client, produce } = start({
      throttle: (kind, bytes) => {
        charged.push([kind, bytes > 100])
        return 300
      },
    })
    const answer = await produce([batchOf(100)], 9, { acks })
    expect(answer?.throttleTimeMs).toBe(acks === 0 ? undefined : 300)
    expect(charged).toEqual([['produce', true]])
    expect(client.connection.isReading).toBe(false)
    await world.pass(300)
    expect(client.connection.isReading).toBe(true)
  }
})
