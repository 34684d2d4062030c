// Metadata, topics and positions over a made-up broker.
// Promises: what each version may ask and is told.
// Does not know: the broker's own judgement.

import { describe, expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import { zeroUuid } from '../../base/bytes.ts'
import type { NewTopic, OffsetSpec, Session } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import { StubWorld } from '../stub.contract.ts'
import { agreeingSession, StubClient, topicId, topicView } from './stub-session.contract.ts'

const start = (overrides: Partial<Session> = {}): StubClient =>
  new StubClient(new StubWorld(), agreeingSession(overrides as object))

describe('metadata', () => {
  test('all topics are asked for by null, in version 0 by an empty list', async () => {
    const client = start()
    expect((await client.ask(apis.metadata, 9, { topics: null }))?.topics).toHaveLength(1)
    expect((await client.ask(apis.metadata, 0, { topics: [] }))?.topics).toHaveLength(1)
    expect((await client.ask(apis.metadata, 1, { topics: [] }))?.topics).toHaveLength(0)
  })

  test('one node leads every partition, in an epoch that never changes', async () => {
    const answer = await start().ask(apis.metadata, 12, {
      topics: [{ name: 'x' }],
      includeTopicAuthorizedOperations: true,
    })
    expect(answer).toMatchObject({ clusterId: 'c-1', controllerId: 1, brokers: [{ nodeId: 1, rack: null }] })
    expect(answer?.topics[0]).toMatchObject({
      errorCode: 0,
      name: 'x',
      topicId,
      isInternal: false,
      topicAuthorizedOperations: 3576,
    })
    expect(answer?.topics[0].partitions[1]).toEqual({
      errorCode: 0,
      partitionIndex: 1,
      leaderId: 1,
      leaderEpoch: 0,
      replicaNodes: [1],
      isrNodes: [1],
      offlineReplicas: [],
    })
  })

  test('operations are told when asked for, else the number that means not told', async () => {
    const asked = { topics: [{ name: 'x' }], includeClusterAuthorizedOperations: true }
    const told = await start().ask(apis.metadata, 8, asked)
    expect(told?.clusterAuthorizedOperations).toBe(8096)
    expect(told?.topics[0].topicAuthorizedOperations).toBe(-0x8000_0000)
  })

  test('a topic is made when the client allows it; versions before 4 always do', async () => {
    const made: string[] = []
    const client = start({
      describeTopic: () => refuse('unknownTopic', 'not there'),
      findOrCreateTopic: async (name) => {
        made.push(name)
        return topicView(name)
      },
    })
    const ask = async (version: number, allow: boolean): Promise<number | undefined> => {
      const asked = version >= 4 ? { allowAutoTopicCreation: allow } : {}
      return (await client.ask(apis.metadata, version, { topics: [{ name: 'x' }], ...asked }))?.topics[0].errorCode
    }
    expect(await ask(9, false)).toBe(3)
    expect(made).toHaveLength(0)
    expect(await ask(9, true)).toBe(0)
    expect(await ask(1, false)).toBe(0)
    expect(made).toEqual(['x', 'x'])
  })

  test('by id from version 12 on; an id nobody has is 100 and has no name', async () => {
    const client = start({
      describeTopic: (topic) =>
        'id' in topic && topic.id === topicId ? topicView('t') : refuse('unknownTopicId', 'no'),
    })
    const other = 'pppppppppppppppppppppA'
    const asked = {
      topics: [
        { name: null, topicId },
        { name: null, topicId: other },
      ],
    }
    expect((await client.ask(apis.metadata, 12, asked))?.topics).toMatchObject([
      { errorCode: 0, name: 't', topicId },
      { errorCode: 100, name: null, topicId: other, partitions: [] },
    ])
    expect((await client.ask(apis.metadata, 10, { topics: [{ name: null, topicId }] }))?.topics[0].errorCode).toBe(42)
    expect((await client.ask(apis.metadata, 12, { topics: [{ name: null }] }))?.topics[0].errorCode).toBe(42)
  })
})

describe('making and removing topics', () => {
  const capturing = () => {
    const asked: NewTopic[] = []
    const client = start({
      createTopics: async (topics) => {
        asked.push(...topics)
        return topics.map(({ name }) =>
          name === 'bad' ? refuse('topicExists', 'there') : { ...topicView(name), settings: [] },
        )
      },
    })
    return { asked, client }
  }

  test('-1 leaves partitions and replication to the broker (KIP-464)', async () => {
    const { asked, client } = capturing()
    const configs = [{ name: 'retention.ms', value: '5' }]
    await client.ask(apis.createTopics, 5, {
      topics: [{ name: 'a', numPartitions: -1, replicationFactor: -1, configs }],
    })
    expect(asked).toEqual([
      { name: 'a', partitions: undefined, replicationFactor: undefined, settings: new Map([['retention.ms', '5']]) },
    ])
  })

  test('outcomes keep their places among topics that never reach the broker', async () => {
    const { asked, client } = capturing()
    const topic = { numPartitions: 1, replicationFactor: 1 }
    const names = ['twice', 'a', 'twice', 'bad', 'b']
    const answer = await client.ask(apis.createTopics, 7, { topics: names.map((name) => ({ name, ...topic })) })
    expect(asked.map(({ name }) => name)).toEqual(['a', 'bad', 'b'])
    expect(answer?.topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['twice', 42],
      ['a', 0],
      ['twice', 42],
      ['bad', 36],
      ['b', 0],
    ])
    expect(answer?.topics[1]).toMatchObject({ topicId, numPartitions: 2, replicationFactor: 1 })
  })

  test('assignments are of partitions 0, 1, 2 …, and stand instead of the counts', async () => {
    const { asked, client } = capturing()
    const assigned = (indexes: readonly number[]) =>
      indexes.map((partitionIndex) => ({ partitionIndex, brokerIds: [1] }))
    const ask = async (indexes: readonly number[], numPartitions = -1): Promise<number | undefined> => {
      const topic = { name: 'a', numPartitions, replicationFactor: -1, assignments: assigned(indexes) }
      return (await client.ask(apis.createTopics, 5, { topics: [topic] }))?.topics[0].errorCode
    }
    expect(await ask([1, 0])).toBe(0)
    expect(asked[0]).toMatchObject({ partitions: undefined, assignments: [[1], [1]] })
    expect(await ask([0, 2])).toBe(39)
    expect(await ask([0, 0])).toBe(39)
    expect(await ask([0], 1)).toBe(42)
  })

  test('topics are removed by name or by id, not by both', async () => {
    const answer = await start().ask(apis.deleteTopics, 6, {
      topics: [{ name: 'a' }, { name: null, topicId }, { name: 'a', topicId }, { name: null, topicId: zeroUuid }],
    })
    expect(answer?.responses.map(({ errorCode }) => errorCode)).toEqual([0, 0, 42, 42])
    expect(answer?.responses[1].name).toBe('t')
  })

  test('new partitions lie here and are as many as are assigned', async () => {
    const ask = async (count: number, brokers: readonly (readonly number[])[] | null): Promise<number | undefined> => {
      const assignments = brokers?.map((brokerIds) => ({ brokerIds })) ?? null
      const answer = await start().ask(apis.createPartitions, 2, { topics: [{ name: 'a', count, assignments }] })
      return answer?.results[0].errorCode
    }
    expect(await ask(4, null)).toBe(0)
    expect(await ask(4, [[1], [1]])).toBe(0)
    expect(await ask(4, [[1]])).toBe(39)
    expect(await ask(4, [[1], [2]])).toBe(39)
    expect(await ask(4, [[1], [1, 2]])).toBe(39)
  })
})

describe('topics page by page (KIP-966)', () => {
  const client = () =>
    start({
      listTopics: () => [topicView('a', 3), topicView('b', 2), topicView('c', 1)],
      describeTopic: (topic) => {
        const name = 'name' in topic ? topic.name : ''
        const partitions = { a: 3, b: 2, c: 1 }[name]
        return partitions === undefined ? refuse('unknownTopic', 'no') : topicView(name, partitions)
      },
    })

  test('from cursor to cursor everything is told once, in order', async () => {
    const told: string[] = []
    let cursor: { topicName: string; partitionIndex: number } | null = null
    for (let pages = 0; pages < 10; pages++) {
      const answer: Awaited<ReturnType<typeof page>> = await page(cursor)
      for (const { name, partitions } of answer?.topics ?? []) {
        told.push(...partitions.map(({ partitionIndex }) => `${name}${partitionIndex}`))
        expect(partitions.length).toBeLessThanOrEqual(2)
      }
      cursor = answer?.nextCursor ?? null
      if (cursor === null) break
    }
    expect(told).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'c0'])
  })

  const page = (cursor: { topicName: string; partitionIndex: number } | null) =>
    client().ask(apis.describeTopicPartitions, 0, { topics: [], responsePartitionLimit: 2, cursor })

  test('topics that are named are sorted; one that is not there is an error', async () => {
    const answer = await client().ask(apis.describeTopicPartitions, 0, {
      topics: [{ name: 'c' }, { name: 'x' }, { name: 'a' }, { name: 'a' }],
    })
    expect(answer?.topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['a', 0],
      ['c', 0],
      ['x', 3],
    ])
    expect(answer?.nextCursor).toBeNull()
  })

  test('a cursor cannot be before the first partition', async () => {
    const answer = await client().ask(apis.describeTopicPartitions, 0, {
      topics: [{ name: 'a' }],
      cursor: { topicName: 'a', partitionIndex: -1 },
    })
    expect(answer?.topics).toMatchObject([{ name: 'a', errorCode: 42 }])
  })
})

describe('positions', () => {
  test.each<[number, OffsetSpec, number]>([
    [-1, 'latest', 1],
    [-2, 'earliest', 1],
    [-3, 'maxTimestamp', 7],
    [-4, 'earliestLocal', 8],
    [-5, 'latestTiered', 9],
    [-6, 'earliestPending', 11],
  ])('timestamp %i is %s from version %i on', async (timestamp, spec, since) => {
    const asked: OffsetSpec[] = []
    const client = start({
      findOffset: async (_topic, _partition, what) => {
        asked.push(what)
        return { offset: 4, timestampMs: 9, leaderEpoch: 0 }
      },
    })
    const topics = [{ name: 't', partitions: [{ partitionIndex: 0, timestamp }] }]
    for (let version = 1; version <= 11; version++) {
      const answer = await client.ask(apis.listOffsets, version, { topics })
      const { errorCode, offset } = answer?.topics[0].partitions[0] ?? {}
      expect([errorCode, offset]).toEqual(version >= since ? [0, 4] : [35, -1])
    }
    expect(asked).toEqual(Array.from({ length: 12 - since }, () => spec))
  })

  test('times are passed on; -7 is no time; a partition named twice is refused', async () => {
    const ask = async (timestamps: readonly number[]): Promise<(number | undefined)[] | undefined> => {
      const partitions = timestamps.map((timestamp) => ({ partitionIndex: 0, timestamp }))
      const answer = await start().ask(apis.listOffsets, 7, { topics: [{ name: 't', partitions }] })
      return answer?.topics[0].partitions.map(({ errorCode }) => errorCode)
    }
    expect(await ask([0])).toEqual([0])
    expect(await ask([1_700_000_000_000])).toEqual([0])
    expect(await ask([-7])).toEqual([35])
    expect(await ask([-1, -2])).toEqual([42, 42])
  })
})
