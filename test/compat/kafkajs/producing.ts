// kafkajs producers: acknowledgements, keys, headers, compression, idempotence, refusals, transactions.
// Promises: each check uses topics of its own.
// Does not know: groups beyond reading back, the admin client beyond making topics.

import { randomBytes } from 'node:crypto'
import { CompressionTypes } from 'kafkajs'
import { expect, expectEqual, until, type Check } from '../suite.ts'
import type { Clients } from './clients.ts'

async function refusal(action: Promise<unknown>): Promise<string> {
  try {
    await action
  } catch (error) {
    if (error instanceof Error && 'type' in error && error.type !== undefined) return String(error.type)
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  }
  throw new Error('nothing was refused')
}

function plainChecks(clients: Clients): Check[] {
  const acks = [0, 1, -1].map((level) => ({
    name: `produce with acks=${level}`,
    run: async () => {
      const topic = await clients.topic(`acks${level}`)
      const producer = await clients.producer()
      const answer = await producer.send({ topic, acks: level, messages: [{ value: 'a' }, { value: 'b' }] })
      if (level !== 0) expectEqual(answer[0]?.baseOffset, '0', 'base offset')
      const reads = await clients.readAll(topic, 2)
      expectEqual(
        reads.map((read) => read.value),
        ['a', 'b'],
        'values',
      )
    },
  }))
  return [
    ...acks,
    {
      name: 'keys, headers, timestamps and nulls come back as sent',
      run: async () => {
        const topic = await clients.topic('shape')
        const producer = await clients.producer()
        const headers = { trace: 'abc', many: ['x', 'y'], raw: Buffer.from([0, 255]) }
        const messages = [
          { key: 'user_123', value: 'clicked', headers, timestamp: '1700000000000' },
          { key: 'user_123', value: null },
        ]
        await producer.send({ topic, messages })
        const reads = await clients.readAll(topic, 2)
        const first = reads[0]?.message
        expectEqual(
          reads.map((read) => [read.key, read.value]),
          [
            ['user_123', 'clicked'],
            ['user_123', null],
          ],
          'pairs',
        )
        expectEqual(first?.timestamp, '1700000000000', 'timestamp')
        expectEqual(String(first?.headers?.['trace']), 'abc', 'header')
        expectEqual([first?.headers?.['many']].flat().map(String), ['x', 'y'], 'repeated header')
        expect(Buffer.from([0, 255]).equals(first?.headers?.['raw'] as Buffer), 'binary header differs')
      },
    },
    {
      name: 'gzip batches',
      run: async () => {
        const topic = await clients.topic('gzip')
        const producer = await clients.producer()
        const messages = Array.from({ length: 500 }, (_, index) => ({ key: `${index}`, value: `value-${index}` }))
        await producer.send({ topic, compression: CompressionTypes.GZIP, messages })
        const reads = await clients.readAll(topic, 500)
        expectEqual(
          reads.map((read) => read.value),
          messages.map((message) => message.value),
          'values',
        )
      },
    },
    {
      name: 'one key keeps to one partition, many keys spread',
      run: async () => {
        const topic = await clients.topic('spread', 4)
        const producer = await clients.producer()
        const messages = Array.from({ length: 80 }, (_, index) => ({ key: `user_${index % 20}`, value: `${index}` }))
        await producer.send({ topic, messages })
        const reads = await clients.readAll(topic, 80)
        const homes = new Map<string, Set<number>>()
        for (const read of reads)
          homes.set(read.key ?? '', (homes.get(read.key ?? '') ?? new Set()).add(read.partition))
        expect(
          [...homes.values()].every((home) => home.size === 1),
          'a key lies in two partitions',
        )
        expect(new Set(reads.map((read) => read.partition)).size > 1, 'all keys lie in one partition')
      },
    },
    {
      name: 'sendBatch to several topics',
      run: async () => {
        const topics = [await clients.topic('batch-a'), await clients.topic('batch-b')]
        const producer = await clients.producer()
        const answers = await producer.sendBatch({
          topicMessages: topics.map((topic) => ({ topic, messages: [{ value: topic }] })),
        })
        expectEqual(answers.length, 2, 'answers')
        for (const topic of topics) expectEqual((await clients.readAll(topic, 1))[0]?.value, topic, 'value')
      },
    },
    {
      name: 'a topic is made by the first send',
      run: async () => {
        const producer = await clients.producer({ allowAutoTopicCreation: true })
        const topic = clients.name('user_activity')
        await producer.send({ topic, messages: [{ key: 'user_123', value: 'login' }] })
        expectEqual((await clients.readAll(topic, 1))[0]?.key, 'user_123', 'key')
      },
    },
    {
      name: 'many sends in flight keep their order',
      run: async () => {
        const topic = await clients.topic('order')
        const producer = await clients.producer({ maxInFlightRequests: 1 })
        const sends = Array.from({ length: 60 }, (_, index) =>
          producer.send({ topic, messages: [{ value: `${index}` }] }),
        )
        await Promise.all(sends)
        const offsets = (await clients.readAll(topic, 60)).map((read) => read.offset)
        expectEqual(
          offsets,
          Array.from({ length: 60 }, (_, index) => index),
          'offsets',
        )
      },
    },
  ]
}

function strictChecks(clients: Clients): Check[] {
  return [
    {
      name: 'idempotent producer',
      run: async () => {
        const topic = await clients.topic('idempotent', 2)
        const producer = await clients.producer({ idempotent: true })
        for (let round = 0; round < 5; round++) {
          await producer.send({
            topic,
            messages: [
              { value: `${round}`, partition: 0 },
              { value: 'x', partition: 1 },
            ],
          })
        }
        const reads = (await clients.readAll(topic, 10)).filter((read) => read.partition === 0)
        expectEqual(
          reads.map((read) => read.value),
          ['0', '1', '2', '3', '4'],
          'values',
        )
      },
    },
    {
      name: 'an unknown topic is refused when making it is not allowed',
      run: async () => {
        const producer = await clients.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } })
        const error = await refusal(producer.send({ topic: clients.name('nowhere'), messages: [{ value: 'a' }] }))
        expect(/UNKNOWN_TOPIC_OR_PARTITION|NumberOfRetries/.test(error), `refused with ${error}`)
      },
    },
    {
      name: 'an invalid topic name is refused',
      run: async () => {
        const producer = await clients.producer({ retry: { retries: 0 } })
        const error = await refusal(producer.send({ topic: 'no spaces allowed', messages: [{ value: 'a' }] }))
        expect(/INVALID_TOPIC_EXCEPTION|[Ii]nvalid topic/.test(error), `refused with ${error}`)
      },
    },
    {
      name: 'a record above max.message.bytes is refused',
      run: async () => {
        const topic = await clients.topic('too-large')
        const producer = await clients.producer({ retry: { retries: 0 } })
        const error = await refusal(producer.send({ topic, messages: [{ value: randomBytes(2_000_000) }] }))
        expectEqual(error, 'MESSAGE_TOO_LARGE', 'refusal')
        await producer.send({ topic, messages: [{ value: 'small' }] })
        expectEqual((await clients.readAll(topic, 1))[0]?.value, 'small', 'the value sent after')
      },
    },
  ]
}

function transactionChecks(clients: Clients): Check[] {
  return [
    {
      name: 'transactions: committed is read, aborted is not',
      run: async () => {
        const topic = await clients.topic('transaction')
        const transactionalId = clients.name('transaction')
        const producer = await clients.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true })
        const aborted = await producer.transaction()
        await aborted.send({ topic, messages: [{ value: 'aborted' }] })
        await aborted.abort()
        const committed = await producer.transaction()
        await committed.send({ topic, messages: [{ value: 'committed' }] })
        await committed.commit()
        expectEqual(
          (await clients.readAll(topic, 1)).map((read) => read.value),
          ['committed'],
          'values',
        )
      },
    },
    {
      name: 'transactions: offsets are committed with the records',
      run: async () => {
        const topic = await clients.topic('transaction-offsets')
        const consumerGroupId = clients.name('transaction-offsets')
        const transactionalId = clients.name('transaction-offsets')
        const producer = await clients.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true })
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ value: 'a' }] })
        const partitions = [{ partition: 0, offset: '1' }]
        await transaction.sendOffsets({ consumerGroupId, topics: [{ topic, partitions }] })
        await transaction.commit()
        const admin = await clients.admin()
        await until('the offset', 5_000, async () => {
          const answer = await admin.fetchOffsets({ groupId: consumerGroupId, topics: [topic] })
          return answer[0]?.partitions[0]?.offset === '1' ? true : null
        })
      },
    },
  ]
}

export function producing(clients: Clients): Check[] {
  return [...plainChecks(clients), ...strictChecks(clients), ...transactionChecks(clients)]
}
