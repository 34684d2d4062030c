// Our tables against kafkajs 2.2.4, whose codecs others wrote by hand: its requests read by us, our answers read by it.
// Promises: every request it can send in a version of ours is read to its end and written again byte for byte.
// Does not know: flexible versions of most APIs: kafkajs stops before them.

import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { Reader, Writer } from '../../base/bytes.ts'
import { codecFor, hasVersion } from '../../base/schema-compose.ts'
import { apiByKey, apis } from './api-table.ts'
import { decodeRequestHead, encodeResponse, FrameCutter } from './frame.ts'

interface Request {
  readonly apiKey: number
  readonly apiVersion: number
}
interface Protocol {
  readonly request: Request
  readonly response: { decode(body: Buffer): Promise<unknown> }
}
type Definition = { versions: string[]; protocol(of: { version: number }): (options: unknown) => Protocol }

const load = createRequire(import.meta.url)
const frameRequest = load('kafkajs/src/protocol/request') as (of: object) => Promise<{ buffer: Buffer }>
const definition = (folder: string): Definition => load(`kafkajs/src/protocol/requests/${folder}`) as Definition

const partitions = [{ partition: 3, offset: '77', metadata: 'žluť', timestamp: '-1', replicas: [1, 2] }]
const topics = [{ topic: 'orders', partitions, numPartitions: 3, replicationFactor: 1, configEntries: [], configs: [] }]
const member = { memberId: 'member-1', groupInstanceId: 'static-1' }
const group = { groupId: 'billing', memberId: 'member-1', generationId: 4, groupGenerationId: 4, retentionTime: '-1' }
const resources = [{ type: 2, name: 'orders', configNames: ['a'], configEntries: [{ name: 'a', value: null }] }]
const messages = [{ key: Buffer.from('k'), value: Buffer.from('v'), timestamp: 5, headers: { a: 'b' } }]

/** What kafkajs is told to send, by the folder of its request. */
const sent: readonly (readonly [folder: string, options: unknown])[] = [
  [
    'produce',
    { acks: -1, timeout: 30_000, topicData: [{ topic: 'orders', partitions: [{ partition: 3, messages }] }] },
  ],
  [
    'fetch',
    {
      maxWaitTime: 500,
      minBytes: 1,
      maxBytes: 1 << 20,
      rackId: 'a',
      topics: [{ topic: 'orders', partitions: [{ partition: 3, fetchOffset: '77', maxBytes: 1000 }] }],
    },
  ],
  ['listOffsets', { replicaId: -1, isolationLevel: 1, topics }],
  ['metadata', { topics: ['orders'], allowAutoTopicCreation: false }],
  ['offsetCommit', { ...group, topics }],
  ['offsetFetch', { ...group, topics }],
  ['findCoordinator', { coordinatorKey: 'billing', coordinatorType: 0, groupId: 'billing' }],
  [
    'joinGroup',
    {
      ...group,
      groupInstanceId: 'static-1',
      sessionTimeout: 30_000,
      rebalanceTimeout: 60_000,
      protocolType: 'consumer',
      groupProtocols: [{ name: 'RoundRobin', metadata: Buffer.from('meta') }],
    },
  ],
  ['heartbeat', { ...group, ...member }],
  ['leaveGroup', { ...group, members: [member] }],
  ['syncGroup', { ...group, groupAssignment: [{ memberId: 'member-1', memberAssignment: Buffer.from('mine') }] }],
  ['describeGroups', { groupIds: ['billing', ''] }],
  ['listGroups', {}],
  ['apiVersions', {}],
  ['createTopics', { topics, timeout: 5000, validateOnly: true }],
  ['deleteTopics', { topics: ['orders'], timeout: 5000 }],
  ['deleteRecords', { topics, timeout: 5000 }],
  ['initProducerId', { transactionalId: null, transactionTimeout: 60_000 }],
  ['describeConfigs', { resources, includeSynonyms: true }],
  ['alterConfigs', { resources, validateOnly: true }],
  ['createPartitions', { topicPartitions: [{ topic: 'orders', count: 6, assignments: [[1], [2]] }], timeout: 5000 }],
  ['deleteGroups', ['billing']],
  ['alterPartitionReassignments', { topics: [{ topic: 'orders', partitionAssignment: partitions }] }],
  ['listPartitionReassignments', { topics: null }],
]

describe.each(sent)('%s', (folder, options) => {
  const { versions, protocol } = definition(folder)
  const asked = versions.map((version) => protocol({ version: Number(version) })(options).request)
  const known = asked.filter(({ apiKey, apiVersion }) => hasVersion(apiByKey.get(apiKey)!.request, apiVersion))

  test(`is read and written again in versions ${known.map((request) => request.apiVersion).join(' ')}`, async () => {
    expect(known.length).toBeGreaterThan(0)
    for (const request of known) {
      const { buffer } = await frameRequest({ correlationId: 9, clientId: 'kafkajs', request })
      const [frame] = new FrameCutter(1 << 20).push(buffer)
      const head = decodeRequestHead(frame)
      expect(head).toMatchObject({ apiKey: request.apiKey, correlationId: 9, clientId: 'kafkajs' })
      const codec = codecFor(apiByKey.get(request.apiKey)!.request, request.apiVersion)
      const reader = new Reader(frame, head.bodyPosition)
      const value = codec.decode(reader)
      expect(reader.remaining).toBe(0)
      const writer = new Writer()
      codec.encode(writer, value as never)
      const again = Buffer.concat(writer.finish())
      expect(again.toString('hex')).toBe(frame.subarray(head.bodyPosition).toString('hex'))
    }
  })
})

describe('our answers', () => {
  async function readByKafkajs(folder: string, version: number, options: object, chunks: Buffer[]): Promise<unknown> {
    const { response } = definition(folder).protocol({ version })(options)
    return response.decode(Buffer.concat(chunks).subarray(8))
  }

  test.each([0, 1, 2, 5, 6])('Metadata v%i', async (version) => {
    const answer = encodeResponse(apis.metadata, version, 9, {
      brokers: [{ nodeId: 1, host: 'localhost', port: 9092 }],
      controllerId: 1,
      topics: [{ name: 'orders', partitions: [{ partitionIndex: 3, leaderId: 1, replicaNodes: [1], isrNodes: [1] }] }],
    })
    expect(await readByKafkajs('metadata', version, { topics: [] }, answer)).toMatchObject({
      brokers: [{ nodeId: 1, host: 'localhost', port: 9092 }],
      topicMetadata: [{ topic: 'orders', partitionMetadata: [{ partitionId: 3, leader: 1, replicas: [1], isr: [1] }] }],
    })
  })

  test.each([3, 5, 7])('Produce v%i', async (version) => {
    const answer = encodeResponse(apis.produce, version, 9, {
      responses: [{ name: 'orders', partitionResponses: [{ index: 3, baseOffset: 2 ** 40 }] }],
    })
    expect(await readByKafkajs('produce', version, { topicData: [] }, answer)).toMatchObject({
      topics: [
        { topicName: 'orders', partitions: [{ partition: 3, baseOffset: String(2 ** 40), logAppendTime: '-1' }] },
      ],
    })
  })

  test.each([4, 7, 11])('Fetch v%i', async (version) => {
    const partition = { partitionIndex: 3, highWatermark: 5, lastStableOffset: 5, records: Buffer.alloc(0) }
    const answer = encodeResponse(apis.fetch, version, 9, { responses: [{ topic: 'orders', partitions: [partition] }] })
    expect(await readByKafkajs('fetch', version, { topics: [] }, answer)).toMatchObject({
      responses: [{ topicName: 'orders', partitions: [{ partition: 3, highWatermark: '5', messages: [] }] }],
    })
  })

  test.each([0, 2, 5])('JoinGroup v%i', async (version) => {
    const answer = encodeResponse(apis.joinGroup, version, 9, {
      generationId: 4,
      protocolName: 'RoundRobin',
      leader: 'member-1',
      memberId: 'member-1',
      members: [{ memberId: 'member-1', metadata: Buffer.from('meta') }],
    })
    expect(await readByKafkajs('joinGroup', version, {}, answer)).toMatchObject({
      generationId: 4,
      leaderId: 'member-1',
      members: [{ memberId: 'member-1', memberMetadata: Buffer.from('meta') }],
    })
  })

  test.each([1, 4])('OffsetFetch v%i', async (version) => {
    const answer = encodeResponse(apis.offsetFetch, version, 9, {
      topics: [{ name: 'orders', partitions: [{ partitionIndex: 3, committedOffset: 77, metadata: null }] }],
    })
    expect(await readByKafkajs('offsetFetch', version, { topics: [] }, answer)).toMatchObject({
      responses: [{ topic: 'orders', partitions: [{ partition: 3, offset: '77', metadata: null }] }],
    })
  })
})
