// Every API that is advertised, in every version, agreed to and refused.
// Promises: no version loses its connection to an answer that it cannot carry; the list is the one that is documented.
// Does not know: what the answers mean; that is told theme by theme.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import { encodeRequest } from '../../wire/kafka/frame.ts'
import type { Session } from '../../broker/door.ts'
import type { RefusalName } from '../../broker/errors.ts'
import { StubWorld } from '../stub.contract.ts'
import { advertised, servedByKey, type ServedApi } from './apis.ts'
import { agreeingSession, batchOf, refusingSession, StubClient, topicId } from './stub-session.contract.ts'

const partition = { partition: 0, partitionIndex: 0, index: 0 }

/** A plausible request of each API; fields a version lacks are left out below. */
function requestOf(key: number, version: number): Record<string, unknown> {
  const topic = { name: 't', topic: 't', topicId }
  const byName: Record<number, Record<string, unknown>> = {
    0: { acks: -1, topicData: [{ ...topic, partitionData: [{ ...partition, records: batchOf(70) }] }] },
    1: { maxWaitMs: 0, maxBytes: 1000, topics: [{ ...topic, partitions: [{ partition: 0, partitionMaxBytes: 100 }] }] },
    2: { topics: [{ ...topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] }] },
    3: { topics: [{ name: 't' }] },
    8: { groupId: 'g', topics: [{ ...topic, partitions: [{ partitionIndex: 0, committedOffset: 1 }] }] },
    9:
      version < 8
        ? { groupId: 'g', topics: [{ name: 't', partitionIndexes: [0] }] }
        : { groups: [{ groupId: 'g', topics: [{ ...topic, partitionIndexes: [0] }] }] },
    10: version < 4 ? { key: 'g' } : { coordinatorKeys: ['g', 'h'] },
    11: { groupId: 'g', protocolType: 'consumer', protocols: [{ name: 'range', metadata: Buffer.from('m') }] },
    12: { groupId: 'g', memberId: 'm' },
    13: version < 3 ? { groupId: 'g', memberId: 'm' } : { groupId: 'g', members: [{ memberId: 'm' }] },
    14: { groupId: 'g', protocolType: 'consumer', protocolName: 'range' },
    15: { groups: ['g'], ...(version >= 3 ? { includeAuthorizedOperations: true } : {}) },
    18: version < 3 ? {} : { clientSoftwareName: 'stub', clientSoftwareVersion: '1.0' },
    19: { topics: [{ name: 't', numPartitions: 1, replicationFactor: 1, configs: [{ name: 'a', value: 'b' }] }] },
    20: version < 6 ? { topicNames: ['t'] } : { topics: [{ name: 't' }, { topicId }] },
    21: { topics: [{ name: 't', partitions: [{ partitionIndex: 0, offset: 1 }] }] },
    23: { topics: [{ topic: 't', partitions: [{ partition: 0 }] }] },
    32: { resources: [{ resourceType: 2, resourceName: 't', configurationKeys: null }], includeSynonyms: true },
    33: { resources: [{ resourceType: 2, resourceName: 't', configs: [{ name: 'a', value: 'b' }] }] },
    34: { dirs: [{ path: '/elsewhere', topics: [{ name: 't', partitions: [0] }] }] },
    35: { topics: null },
    37: { topics: [{ name: 't', count: 3, assignments: null }] },
    42: { groupsNames: ['g'] },
    43: { topicPartitions: [{ topic: 't', partitions: [0, 9] }] },
    44: { resources: [{ resourceType: 2, resourceName: 't', configs: [{ name: 'a', value: 'b' }] }] },
    45: { topics: [{ name: 't', partitions: [{ partitionIndex: 0, replicas: [1] }, { partitionIndex: 1 }] }] },
    47: { groupId: 'g', topics: [{ name: 't', partitions: [{ partitionIndex: 0 }] }] },
    48: { components: [{ entityType: 'user', matchType: 0, match: 'ann' }] },
    49: { entries: [{ entity: [{ entityType: 'user', entityName: null }], ops: [{ key: 'k', value: 1 }] }] },
    55: { topics: [{ topicName: '__cluster_metadata', partitions: [{ partitionIndex: 0 }] }] },
    57: { featureUpdates: [{ feature: 'group.version', maxVersionLevel: 1 }] },
    61: { topics: [{ name: 't', partitionIndexes: [0] }] },
    65: { transactionalIds: ['x'] },
    75: { topics: [{ name: 't' }] },
  }
  return byName[key] ?? {}
}

const refusals: readonly RefusalName[] = ['unknownTopic', 'notAllowed', 'storageFailed', 'groupMissing', 'internal']
const sessions: readonly (readonly [string, Session])[] = [
  ['agreed to', agreeingSession()],
  ...refusals.map((name) => [`refused as ${name}`, refusingSession(name, 'é'.repeat(40_000))] as const),
]

async function answers({ api, min, max }: ServedApi, session: Session): Promise<void> {
  for (let version = min; version <= max; version++) {
    const world = new StubWorld()
    const client = new StubClient(world, session)
    const request = requestOf(api.key, version)
    const answer = await client.ask(api, version, request as never)
    expect(answer, `${api.name} ${version}: ${JSON.stringify(world.lines)}`).toBeDefined()
    expect(client.connection.state).toBe('open')
  }
}

test.each(sessions)('every version of every API is answered when %s', async (_how, session) => {
  for (const served of servedByKey.values()) await answers(served, session)
})

test('advertised is what docs/protocols.md says, API by API', () => {
  const page = readFileSync(new URL('../../../docs/protocols.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (\d+) \| (\w+) \| (\d+)–(\d+) \|/gm)].map((row) => row.slice(1, 5).join(' '))
  const names = new Map(Object.values(apis).map(({ key, name }) => [key as number, name as string]))
  expect(advertised.map((a) => `${a.apiKey} ${names.get(a.apiKey)} ${a.minVersion} ${a.maxVersion}`)).toEqual(rows)
})

const anyRequest = fc
  .record({
    served: fc.constantFrom(...servedByKey.values()),
    pick: fc.nat(),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255))),
  })
  .map(({ served: { api, min, max }, pick, changes }) => {
    const version = min + (pick % (max - min + 1))
    const bytes = Buffer.concat(encodeRequest(api, version, 1, 'c', requestOf(api.key, version) as never))
    // The length stays true, and the key: what is broken is inside.
    for (const [at, value] of changes) bytes[6 + (at % (bytes.length - 6))] = value
    return bytes
  })

test('a request broken anywhere is answered or costs its sender the connection, never us', async () => {
  const session = agreeingSession()
  await fc.assert(
    fc.asyncProperty(anyRequest, async (bytes) => {
      const world = new StubWorld()
      const client = new StubClient(world, session)
      client.connection.send(bytes)
      await world.settle()
      expect(world.lines.filter(({ event }) => event === 'kafka.request.failed')).toEqual([])
    }),
    { numRuns: 1500 },
  )
})
