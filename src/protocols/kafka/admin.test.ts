// Settings, quotas and what one node answers to those who ask of clusters.
// Promises: Kafka's codes in both directions.
// Does not know: which settings and quotas there are.

import { describe, expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import type { ConfigResource, QuotaEntity, QuotaView, Session, SettingChange, SettingView } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import { StubWorld } from '../stub.contract.ts'
import { agreeingSession, StubClient, topicView } from './stub-session.contract.ts'

const start = (overrides: Partial<Session> = {}): StubClient =>
  new StubClient(new StubWorld(), agreeingSession(overrides as object))

describe('settings', () => {
  const setting = (name: string, more: Partial<SettingView> = {}): SettingView => ({
    name,
    value: 'v',
    source: 'default',
    isDefault: true,
    readOnly: false,
    sensitive: false,
    type: 'string',
    documentation: 'About it.',
    synonyms: [{ name, value: 'w', source: 'static' }],
    ...more,
  })
  const describeAll = (more: object, views: readonly SettingView[] = [setting('a'), setting('b')]) =>
    start({ describeSettings: () => views }).ask(apis.describeConfigs, 4, {
      resources: [{ resourceType: 2, resourceName: 't', configurationKeys: null, ...more }],
    })

  test('all, an empty list of keys, or those that are named', async () => {
    const names = async (configurationKeys: string[] | null): Promise<string[] | undefined> =>
      (await describeAll({ configurationKeys }))?.results[0].configs.map(({ name }) => name)
    expect(await names(null)).toEqual(['a', 'b'])
    expect(await names([])).toEqual(['a', 'b'])
    expect(await names(['b', 'c'])).toEqual(['b'])
  })

  test('synonyms and documentation when asked for; secrets never', async () => {
    const secret = setting('s', { sensitive: true, type: 'password', source: 'broker' })
    const client = start({ describeSettings: () => [setting('a', { type: 'list', source: 'topic' }), secret] })
    const ask = async (version: number, more: object) =>
      (
        await client.ask(apis.describeConfigs, version, {
          resources: [{ resourceType: 2, resourceName: 't', configurationKeys: null }],
          ...more,
        })
      )?.results[0].configs
    expect((await ask(4, { includeSynonyms: true, includeDocumentation: true }))?.[0]).toMatchObject({
      value: 'v',
      configSource: 1,
      configType: 7,
      documentation: 'About it.',
      synonyms: [{ name: 'a', value: 'w', source: 4 }],
    })
    expect((await ask(2, {}))?.[0]).toMatchObject({ synonyms: [] })
    expect((await ask(3, { includeSynonyms: true }))?.[1]).toMatchObject({
      value: null,
      isSensitive: true,
      configSource: 2,
      configType: 9,
      synonyms: [{ value: null }],
    })
  })

  test('resources by their type; of loggers and client metrics there are no settings', async () => {
    const asked: ConfigResource[] = []
    const client = start({
      describeSettings: (resource) => {
        asked.push(resource)
        return []
      },
    })
    const resources = [2, 4, 32, 8, 16, 77].map((resourceType) => ({
      resourceType,
      resourceName: '1',
      configurationKeys: null,
    }))
    const answer = await client.ask(apis.describeConfigs, 4, { resources })
    expect(answer?.results.map(({ errorCode }) => errorCode)).toEqual([0, 0, 0, 0, 0, 42])
    expect(asked.map(({ kind }) => kind)).toEqual(['topic', 'broker', 'group'])
    const changes = [8, 16].map((resourceType) => ({ resourceType, resourceName: '1', configs: [] }))
    const refused = await client.ask(apis.incrementalAlterConfigs, 1, { resources: changes })
    expect(refused?.responses.map(({ errorCode }) => errorCode)).toEqual([42, 42])
  })

  test('changes: all at once by the old way, one by one by the new', async () => {
    const calls: [readonly SettingChange[], string, boolean][] = []
    const client = start({
      alterSettings: async (_resource, changes, mode, validateOnly) => {
        calls.push([changes, mode, validateOnly])
        return true
      },
    })
    const resource = { resourceType: 2, resourceName: 't' }
    const configs = [{ name: 'a', value: 'x' }]
    await client.ask(apis.alterConfigs, 1, { resources: [{ ...resource, configs }], validateOnly: true })
    const operations = [0, 1, 2, 3].map((configOperation) => ({
      name: `k${configOperation}`,
      configOperation,
      value: 'x',
    }))
    await client.ask(apis.incrementalAlterConfigs, 1, { resources: [{ ...resource, configs: operations }] })
    expect(calls[0]).toEqual([[{ name: 'a', operation: 'set', value: 'x' }], 'replace', true])
    expect(calls[1][0].map(({ operation }) => operation)).toEqual(['set', 'delete', 'append', 'subtract'])
    expect(calls[1].slice(1)).toEqual(['incremental', false])
  })

  test('what cannot be meant is refused before the broker is asked', async () => {
    const ask = async (configs: object[], copies = 1): Promise<(number | undefined)[] | undefined> => {
      const resource = { resourceType: 2, resourceName: 't', configs }
      const resources = Array.from({ length: copies }, () => resource)
      const answer = await start().ask(apis.incrementalAlterConfigs, 1, { resources })
      return answer?.responses.map(({ errorCode }) => errorCode)
    }
    const set = { name: 'a', configOperation: 0, value: 'x' }
    expect(await ask([set])).toEqual([0])
    expect(await ask([set], 2)).toEqual([42, 42])
    expect(await ask([set, set])).toEqual([42])
    expect(await ask([{ ...set, configOperation: 9 }])).toEqual([42])
    expect(await ask([{ ...set, value: null }])).toEqual([42])
    expect(await ask([{ ...set, value: null, configOperation: 1 }])).toEqual([0])
  })

  test('resources are listed by type; version 0 knew client metrics, of which there are none', async () => {
    const ask = async (version: number, resourceTypes: number[] = []) => {
      const answer = await start().ask(apis.listConfigResources, version, version > 0 ? { resourceTypes } : {})
      return [answer?.errorCode, answer?.configResources.map((r) => `${r.resourceType} ${r.resourceName}`)]
    }
    expect(await ask(0)).toEqual([0, []])
    expect(await ask(1)).toEqual([0, ['2 t', '4 1']])
    expect(await ask(1, [4])).toEqual([0, ['4 1']])
    expect(await ask(1, [5])).toEqual([35, []])
  })
})

describe('quotas', () => {
  const view = (user: string | null | undefined, clientId: string | null | undefined): QuotaView => ({
    entity: { user, clientId, ip: undefined },
    values: new Map([['producer_byte_rate', 1024.5]]),
  })
  const views = [view('ann', undefined), view('ann', 'app'), view(null, undefined), view(undefined, 'app')]
  const ask = async (components: { entityType: string; matchType: number; match: string | null }[], strict = false) => {
    const client = start({ describeQuotas: () => views })
    const answer = await client.ask(apis.describeClientQuotas, 1, { components, strict })
    return (
      answer?.entries?.map(({ entity }) => entity.map((e) => `${e.entityType}=${e.entityName}`).join(',')) ??
      answer?.errorCode
    )
  }
  const user = { entityType: 'user', match: null }

  test('are found by name, by default, by any; strictly or with more beside', async () => {
    expect(await ask([{ ...user, matchType: 0, match: 'ann' }])).toEqual(['user=ann', 'user=ann,client-id=app'])
    expect(await ask([{ ...user, matchType: 0, match: 'ann' }], true)).toEqual(['user=ann'])
    expect(await ask([{ ...user, matchType: 1 }])).toEqual(['user=null'])
    expect(await ask([{ ...user, matchType: 2 }], true)).toEqual(['user=ann', 'user=null'])
    expect(await ask([])).toHaveLength(4)
  })

  test('filters that cannot be meant are refused', async () => {
    expect(await ask([{ ...user, matchType: 3 }])).toBe(42)
    expect(await ask([{ ...user, matchType: 0 }])).toBe(42)
    expect(await ask([{ entityType: 'planet', matchType: 2, match: null }])).toBe(35)
    expect(
      await ask([
        { ...user, matchType: 1 },
        { ...user, matchType: 2 },
      ]),
    ).toBe(42)
  })

  test('are changed entity by entity', async () => {
    const calls: [QuotaEntity, ReadonlyMap<string, number | null>, boolean][] = []
    const client = start({
      alterQuotas: async (entity, changes, validateOnly) => {
        calls.push([entity, changes, validateOnly])
        return true
      },
    })
    const entries = [
      {
        entity: [
          { entityType: 'user', entityName: 'ann' },
          { entityType: 'client-id', entityName: null },
        ],
        ops: [
          { key: 'producer_byte_rate', value: 9 },
          { key: 'consumer_byte_rate', remove: true },
        ],
      },
      { entity: [{ entityType: 'planet', entityName: 'x' }] },
      { entity: [] },
      {
        entity: [
          { entityType: 'ip', entityName: 'x' },
          { entityType: 'user', entityName: 'y' },
        ],
      },
    ]
    const answer = await client.ask(apis.alterClientQuotas, 1, { entries, validateOnly: true })
    expect(answer?.entries.map(({ errorCode }) => errorCode)).toEqual([0, 42, 42, 42])
    expect(calls).toEqual([
      [
        { user: 'ann', clientId: null, ip: undefined },
        new Map([
          ['producer_byte_rate', 9],
          ['consumer_byte_rate', null],
        ]),
        true,
      ],
    ])
  })
})

describe('one node', () => {
  const known = {
    describeTopic: (topic: object) =>
      'name' in topic && topic.name === 't' ? topicView('t') : refuse('unknownTopic', 'no'),
  }

  test('is the cluster, but no controller to connect to', async () => {
    expect(await start().ask(apis.describeCluster, 1, {})).toMatchObject({
      errorCode: 0,
      clusterId: 'c-1',
      controllerId: 1,
      brokers: [{ brokerId: 1, host: '192.0.2.1', port: 9092, rack: null }],
    })
    expect((await start().ask(apis.describeCluster, 1, { endpointType: 2 }))?.errorCode).toBe(114)
    expect((await start().ask(apis.describeCluster, 1, { endpointType: 7 }))?.errorCode).toBe(115)
  })

  test('is the whole quorum', async () => {
    const topics = [
      { topicName: '__cluster_metadata', partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] },
      { topicName: 't', partitions: [{ partitionIndex: 0 }] },
    ]
    const answer = await start().ask(apis.describeQuorum, 2, { topics })
    expect(answer?.topics[0].partitions[0]).toMatchObject({
      errorCode: 0,
      leaderId: 1,
      currentVoters: [{ replicaId: 1 }],
    })
    expect(answer?.topics[0].partitions[1].errorCode).toBe(3)
    expect(answer?.topics[1].partitions[0].errorCode).toBe(3)
    expect(answer?.nodes).toMatchObject([{ nodeId: 1, listeners: [{ host: '192.0.2.1', port: 9092 }] }])
  })

  test('has no features to change', async () => {
    const featureUpdates = [
      { feature: 'group.version', maxVersionLevel: 0 },
      { feature: 'group.version', maxVersionLevel: 1 },
    ]
    const each = await start().ask(apis.updateFeatures, 1, { featureUpdates })
    expect(each?.results.map(({ errorCode }) => errorCode)).toEqual([0, 96])
    expect((await start().ask(apis.updateFeatures, 2, { featureUpdates }))?.errorCode).toBe(96)
  })

  test('elects nobody and moves nothing', async () => {
    const election = await start(known).ask(apis.electLeaders, 2, {
      topicPartitions: [
        { topic: 't', partitions: [0, 5] },
        { topic: 'x', partitions: [0] },
      ],
    })
    const results = election?.replicaElectionResults.map(({ partitionResult }) =>
      partitionResult.map((p) => p.errorCode),
    )
    expect(results).toEqual([[84, 3], [3]])
    expect((await start(known).ask(apis.electLeaders, 2, { topicPartitions: null }))?.replicaElectionResults).toEqual(
      [],
    )
    const moves = await start(known).ask(apis.alterPartitionReassignments, 1, {
      topics: [
        {
          name: 't',
          partitions: [
            { partitionIndex: 0, replicas: [1] },
            { partitionIndex: 1, replicas: [1, 2] },
            { partitionIndex: 0, replicas: null },
            { partitionIndex: 9, replicas: [1] },
          ],
        },
      ],
    })
    expect(moves?.responses[0].partitions.map(({ errorCode }) => errorCode)).toEqual([0, 39, 85, 3])
    expect((await start().ask(apis.listPartitionReassignments, 0, {}))?.topics).toEqual([])
  })

  test('has one folder', async () => {
    const dirs = await start().ask(apis.describeLogDirs, 4, { topics: null })
    expect(dirs?.results).toMatchObject([{ errorCode: 0, logDir: '/data', totalBytes: 1100, usableBytes: 1000 }])
    expect(dirs?.results[0].topics[0].partitions.map(({ partitionSize }) => partitionSize)).toEqual([50, 50])
    const topics = [{ name: 't', partitions: [0, 9] }]
    const move = async (path: string) =>
      (await start(known).ask(apis.alterReplicaLogDirs, 2, { dirs: [{ path, topics }] }))?.results[0].partitions.map(
        ({ errorCode }) => errorCode,
      )
    expect(await move('/data')).toEqual([0, 3])
    expect(await move('/other')).toEqual([57, 3])
  })

  test('knows no transactions', async () => {
    const listed = await start().ask(apis.listTransactions, 2, { stateFilters: ['Ongoing', 'Asleep'] })
    expect(listed).toMatchObject({ errorCode: 0, unknownStateFilters: ['Asleep'], transactionStates: [] })
    const described = await start().ask(apis.describeTransactions, 0, { transactionalIds: ['x'] })
    expect(described?.transactionStates[0].errorCode).toBe(105)
    const begun = await start().ask(apis.initProducerId, 4, { transactionalId: 'x' })
    expect(begun).toMatchObject({ errorCode: 48, producerId: -1, producerEpoch: -1 })
    expect(await start().ask(apis.initProducerId, 4, {})).toMatchObject({ errorCode: 0, producerId: 4000 })
  })

  test('a producer without transactions gets a new id, whatever it says it had', async () => {
    const asked: unknown[] = []
    const client = start({
      initProducer: async (current) => {
        asked.push(current)
        return { producerId: 7, producerEpoch: 0 }
      },
    })
    const answer = await client.ask(apis.initProducerId, 5, { producerId: 0, producerEpoch: 0 })
    expect(answer).toMatchObject({ errorCode: 0, producerId: 7 })
    expect(asked).toEqual([undefined])
  })
})
