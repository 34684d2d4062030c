// Our tables against @platformatic/kafka 1.35.0, which speaks the flexible versions that kafkajs lacks.
// Promises: every request given here is read to its end and written again byte for byte; our answers are read by it.
// Does not know: connections: it is given one that only listens to what would be sent.

import * as platformatic from '@platformatic/kafka'
import { describe, expect, test } from 'vitest'
import { Reader, Writer } from '../../base/bytes.ts'
import { codecFor } from '../../base/schema-compose.ts'
import { apiByKey, apis } from './api-table.ts'
import { encodeResponse } from './frame.ts'

type Parse = (correlationId: number, apiKey: number, apiVersion: number, reader: platformatic.Reader) => unknown
interface Call {
  readonly apiKey: number
  readonly apiVersion: number
  readonly body: () => Buffer
  readonly parse: Parse
  readonly tagsBehindResponseHead: boolean
}

/** Calls one of its functions (`fetchV17`) with a connection that keeps what it is told to send. */
function call(name: string, ...options: unknown[]): Call {
  let kept: Call | undefined
  const connection = {
    send(
      apiKey: number,
      apiVersion: number,
      create: () => platformatic.Writer,
      parse: Parse,
      _requestTags: boolean,
      tagsBehindResponseHead: boolean,
    ) {
      kept = { apiKey, apiVersion, body: () => create().buffer, parse, tagsBehindResponseHead }
    },
  }
  const apisOf = platformatic as unknown as Record<string, { api: (...of: unknown[]) => void }>
  apisOf[name].api(connection, ...options)
  if (kept === undefined) throw new Error(`${name} sent nothing`)
  return kept
}

const id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
const partition = {
  partition: 3,
  partitionIndex: 3,
  currentLeaderEpoch: -1,
  fetchOffset: 77n,
  lastFetchedEpoch: -1,
  partitionMaxBytes: 1000,
  committedOffset: 77n,
  committedLeaderEpoch: -1,
  committedMetadata: 'žluť',
  timestamp: -1n,
  leaderEpoch: 0,
}
const topics = [{ topic: 'orders', topicId: id, name: 'orders', partitions: [partition], partitionIndexes: [3] }]
const message = { topic: 'orders', partition: 3, key: Buffer.from('k'), value: Buffer.from('v'), timestamp: 5n }
const protocols = [{ name: 'range', metadata: Buffer.from('meta') }]
const made = { name: 'orders', numPartitions: 3, replicationFactor: 1, assignments: [], configs: [{ name: 'a' }] }

const sent: readonly (readonly [name: string, ...options: unknown[]])[] = [
  ['apiVersionsV3', 'platformatic', '1.0'],
  ['apiVersionsV4', 'platformatic', '1.0'],
  ['metadataV9', ['orders'], true, true, true],
  ['metadataV12', ['orders'], true, true],
  ['metadataV12', null, true, true],
  ['findCoordinatorV4', 0, ['billing']],
  ['findCoordinatorV6', 0, ['billing', 'more']],
  ['produceV9', 1, 1000, [{ ...message }], {}],
  ['produceV11', -1, 1000, [{ ...message }], {}],
  ['initProducerIdV3', null, 60_000, 0n, 0],
  ['initProducerIdV5', 'payments', 60_000, 7n, 2],
  ['fetchV12', 500, 1, 1 << 20, 1, 0, -1, topics, [], ''],
  ['fetchV15', 500, 1, 1 << 20, 1, 0, -1, topics, [], ''],
  ['fetchV17', 500, 1, 1 << 20, 1, 0, -1, topics, [], 'rack'],
  ['listOffsetsV6', -1, 1, topics],
  ['listOffsetsV9', -1, 1, topics],
  ['joinGroupV6', 'billing', 1000, 2000, '', null, 'consumer', protocols],
  ['joinGroupV9', 'billing', 1000, 2000, '', 'static', 'consumer', protocols, null],
  ['syncGroupV5', 'billing', 4, 'm', null, 'consumer', 'range', [{ memberId: 'm', assignment: Buffer.from('mine') }]],
  ['heartbeatV4', 'billing', 4, 'm', null],
  ['leaveGroupV4', 'billing', [{ memberId: 'm', groupInstanceId: null }]],
  ['leaveGroupV5', 'billing', [{ memberId: 'm', groupInstanceId: null, reason: 'done' }]],
  ['offsetCommitV8', 'billing', 4, 'm', null, topics],
  ['offsetCommitV9', 'billing', 4, 'm', null, topics],
  ['offsetFetchV8', [{ groupId: 'billing', topics }], false],
  ['offsetFetchV9', [{ groupId: 'billing', memberId: null, memberEpoch: -1, topics }], true],
  ['createTopicsV7', [made], 1000, true],
  ['deleteTopicsV6', [{ name: 'orders' }], 1000],
  ['deleteTopicsV6', [{ name: null, topicId: id }], 1000],
  ['createPartitionsV3', [{ name: 'orders', count: 6, assignments: [{ brokerIds: [1] }] }], 1000, false],
  ['describeGroupsV5', ['billing'], true],
  ['listGroupsV5', ['Stable'], ['classic']],
  ['deleteGroupsV2', ['billing']],
  ['describeClusterV1', true, 1],
  ['describeConfigsV4', [{ resourceType: 2, resourceName: 'orders', configurationKeys: ['a'] }], true, true],
]

test.each(sent.map((given) => ({ api: given[0], given })))(
  '$api is read and written again',
  ({ given: [name, ...options] }) => {
    const { apiKey, apiVersion, body } = call(name, ...options)
    const bytes = body()
    const codec = codecFor(apiByKey.get(apiKey)!.request, apiVersion)
    const reader = new Reader(bytes)
    const value = codec.decode(reader)
    expect(reader.remaining).toBe(0)
    const writer = new Writer()
    codec.encode(writer, value as never)
    expect(Buffer.concat(writer.finish()).toString('hex')).toBe(bytes.toString('hex'))
  },
)

describe('our answers', () => {
  /** The answer as it would reach its parser: behind length, correlation id and, where it expects them, tags. */
  function read(name: string, answer: Buffer[]): unknown {
    const { apiKey, apiVersion, parse, tagsBehindResponseHead } = call(name)
    const body = Buffer.concat(answer).subarray(tagsBehindResponseHead ? 9 : 8)
    return parse(9, apiKey, apiVersion, platformatic.Reader.from(body))
  }

  test('ApiVersions v4', () => {
    const apiKeys = [{ apiKey: 0, minVersion: 0, maxVersion: 13 }]
    const finalizedFeatures = [{ name: 'transaction.version', maxVersionLevel: 2, minVersionLevel: 2 }]
    const answer = encodeResponse(apis.apiVersions, 4, 9, { apiKeys, finalizedFeatures, finalizedFeaturesEpoch: 0 })
    expect(read('apiVersionsV4', answer)).toMatchObject({ apiKeys: [{ apiKey: 0, minVersion: 0, maxVersion: 13 }] })
  })

  test('Metadata v12', () => {
    const answer = encodeResponse(apis.metadata, 12, 9, {
      clusterId: 'c',
      brokers: [{ nodeId: 1, host: 'localhost', port: 9092 }],
      topics: [{ name: 'orders', topicId: Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url') }],
    })
    expect(read('metadataV12', answer)).toMatchObject({
      clusterId: 'c',
      brokers: [{ nodeId: 1, host: 'localhost', port: 9092, rack: null }],
      topics: [{ name: 'orders', topicId: id, partitions: [] }],
    })
  })

  test('FindCoordinator v6', () => {
    const coordinators = [{ key: 'billing', nodeId: 1, host: 'localhost', port: 9092 }]
    const answer = encodeResponse(apis.findCoordinator, 6, 9, { coordinators })
    expect(read('findCoordinatorV6', answer)).toMatchObject({ coordinators })
  })

  test('InitProducerId v5 and Produce v11', () => {
    const given = encodeResponse(apis.initProducerId, 5, 9, { producerId: 2 ** 40, producerEpoch: 3 })
    expect(read('initProducerIdV5', given)).toMatchObject({ producerId: BigInt(2 ** 40), producerEpoch: 3 })
    const partitionResponses = [{ index: 3, baseOffset: 77, currentLeader: { leaderId: 1, leaderEpoch: 0 } }]
    const produced = encodeResponse(apis.produce, 11, 9, { responses: [{ name: 'orders', partitionResponses }] })
    expect(read('produceV11', produced)).toMatchObject({
      responses: [{ name: 'orders', partitionResponses: [{ index: 3, errorCode: 0, baseOffset: 77n }] }],
    })
  })

  test('JoinGroup v9 and OffsetFetch v9', () => {
    const members = [{ memberId: 'm', metadata: Buffer.from('meta') }]
    const joined = encodeResponse(apis.joinGroup, 9, 9, { generationId: 4, leader: 'm', memberId: 'm', members })
    expect(read('joinGroupV9', joined)).toMatchObject({ generationId: 4, members })
    const partitions = [{ partitionIndex: 3, committedOffset: 77, metadata: null }]
    const groups = [{ groupId: 'billing', topics: [{ name: 'orders', partitions }] }]
    expect(read('offsetFetchV9', encodeResponse(apis.offsetFetch, 9, 9, { groups }))).toMatchObject({
      groups: [{ groupId: 'billing', topics: [{ name: 'orders', partitions: [{ committedOffset: 77n }] }] }],
    })
  })
})
