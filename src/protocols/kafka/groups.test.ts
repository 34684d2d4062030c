// Groups and their offsets over a made-up broker: what each version may say.
// Promises: the fields that came and went with versions.
// Does not know: members and generations; those are the broker's.

import { describe, expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import type { CommitCall, FetchOffsetsCall, GroupCalls, JoinCall, LeaveCall } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import { StubWorld } from '../stub.contract.ts'
import { agreeingSession, refusingSession, StubClient, topicId } from './stub-session.contract.ts'

const start = (groups: Partial<GroupCalls> = {}): StubClient =>
  new StubClient(new StubWorld(), agreeingSession({ groups }))
const refusing = (name: Parameters<typeof refusingSession>[0]): StubClient =>
  new StubClient(new StubWorld(), refusingSession(name))

describe('finding a coordinator', () => {
  test('this node coordinates every group, one by one or many at once (KIP-699)', async () => {
    expect(await start().ask(apis.findCoordinator, 3, { key: 'g' })).toMatchObject({
      errorCode: 0,
      nodeId: 1,
      host: '192.0.2.1',
      port: 9092,
    })
    const many = await start().ask(apis.findCoordinator, 4, { coordinatorKeys: ['g', 'h'] })
    expect(many?.coordinators.map(({ key, nodeId }) => [key, nodeId])).toEqual([
      ['g', 1],
      ['h', 1],
    ])
  })

  test('of transactions and shares there is no coordinator', async () => {
    const ask = async (keyType: number): Promise<number | undefined> =>
      (await start().ask(apis.findCoordinator, 3, { key: 'x', keyType }))?.errorCode
    expect(await ask(1)).toBe(48)
    expect(await ask(2)).toBe(42)
  })
})

describe('joining', () => {
  const request = {
    groupId: 'g',
    sessionTimeoutMs: 30_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('m') }],
  }
  const join = async (version: number, more: object = {}): Promise<JoinCall> => {
    const calls: JoinCall[] = []
    const client = start({
      join: async (call) => {
        calls.push(call)
        return { ...refuse('memberIdRequired', 'come again'), memberId: 'new' }
      },
    })
    const answer = await client.ask(apis.joinGroup, version, { ...request, ...more })
    expect(answer).toMatchObject({ errorCode: 79, memberId: 'new', generationId: -1 })
    return calls[0]
  }

  test('version 0 has one timeout for sessions and rebalances', async () => {
    expect(await join(0)).toMatchObject({ sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000 })
    expect(await join(1, { rebalanceTimeoutMs: 60_000 })).toMatchObject({ rebalanceTimeoutMs: 60_000 })
  })

  test('from version 4 on a member must know its id, unless it is static (KIP-394, KIP-345)', async () => {
    expect((await join(3)).requireKnownMemberId).toBe(false)
    expect((await join(4)).requireKnownMemberId).toBe(true)
    expect((await join(5, { groupInstanceId: 'i' })).requireKnownMemberId).toBe(false)
  })

  test('from version 9 on an assignment may be skipped (KIP-814)', async () => {
    expect((await join(8)).canSkipAssignment).toBe(false)
    expect((await join(9)).canSkipAssignment).toBe(true)
  })

  test('members are told where they come from, and their leader who there is', async () => {
    expect(await join(5)).toMatchObject({ clientId: 'stub', clientHost: '/192.0.2.7' })
    const answer = await start().ask(apis.joinGroup, 7, request)
    expect(answer).toMatchObject({
      errorCode: 0,
      generationId: 3,
      protocolType: 'consumer',
      protocolName: 'range',
      leader: 'm',
      memberId: 'm',
      members: [{ memberId: 'm', groupInstanceId: null, metadata: Buffer.from('meta') }],
    })
  })

  test('from SyncGroup 5 on the protocol must be told (KIP-559)', async () => {
    const sync = { groupId: 'g', memberId: 'm', generationId: 1 }
    expect((await start().ask(apis.syncGroup, 4, sync))?.errorCode).toBe(0)
    expect((await start().ask(apis.syncGroup, 5, sync))?.errorCode).toBe(23)
    const told = { ...sync, protocolType: 'consumer', protocolName: 'range' }
    expect(await start().ask(apis.syncGroup, 5, told)).toMatchObject({ errorCode: 0, assignment: Buffer.from('mine') })
  })
})

describe('leaving', () => {
  test('versions before 3 are about one member, whose outcome is the whole answer', async () => {
    const calls: LeaveCall[] = []
    const client = start({
      leave: async (call) => {
        calls.push(call)
        return [refuse('unknownMember', 'who')]
      },
    })
    expect((await client.ask(apis.leaveGroup, 2, { groupId: 'g', memberId: 'm' }))?.errorCode).toBe(25)
    expect(calls[0].members).toEqual([{ memberId: 'm', instanceId: null, reason: null }])
  })

  test('later ones are about many (KIP-345)', async () => {
    const client = start({ leave: async () => [true, refuse('fencedInstance', 'no')] })
    const members = [{ memberId: 'a' }, { memberId: 'b', groupInstanceId: 'i' }]
    expect(await client.ask(apis.leaveGroup, 5, { groupId: 'g', members })).toMatchObject({
      errorCode: 0,
      members: [
        { memberId: 'a', groupInstanceId: null, errorCode: 0 },
        { memberId: 'b', groupInstanceId: 'i', errorCode: 82 },
      ],
    })
  })
})

describe('offsets', () => {
  const topics = [
    {
      name: 'a',
      partitions: [
        { partitionIndex: 0, committedOffset: 1 },
        { partitionIndex: 1, committedOffset: 2 },
      ],
    },
    { name: 'b', partitions: [{ partitionIndex: 0, committedOffset: 3, committedMetadata: null }] },
  ]

  test('each commit has its outcome, in its place', async () => {
    const calls: CommitCall[] = []
    const client = start({
      commit: async (call) => {
        calls.push(call)
        return [true, refuse('offsetMetadataTooLarge', 'long'), true]
      },
    })
    const answer = await client.ask(apis.offsetCommit, 6, {
      groupId: 'g',
      memberId: 'm',
      generationIdOrMemberEpoch: 4,
      topics,
    })
    expect(answer?.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([[0, 12], [0]])
    expect(calls[0]).toMatchObject({ memberId: 'm', generation: 4 })
    expect(calls[0].offsets[2]).toEqual({
      topic: { name: 'b' },
      partition: 0,
      offset: 3,
      leaderEpoch: -1,
      metadata: '',
    })
  })

  test('an outcome comes back for one group, for many, by name and by id', async () => {
    const calls: FetchOffsetsCall[] = []
    const client = start({
      fetch: async (call) => {
        calls.push(call)
        const committed = { topic: 't', topicId, offset: 5, leaderEpoch: 2, metadata: 'm', committedAtMs: 1 }
        return [{ ...committed, partition: 0 }]
      },
    })
    const one = await client.ask(apis.offsetFetch, 5, { groupId: 'g', topics: [{ name: 't', partitionIndexes: [0] }] })
    expect(one).toMatchObject({
      errorCode: 0,
      topics: [
        { name: 't', partitions: [{ partitionIndex: 0, committedOffset: 5, committedLeaderEpoch: 2, metadata: 'm' }] },
      ],
    })
    await client.ask(apis.offsetFetch, 2, { groupId: 'g', topics: null })
    expect(calls[1].partitions).toBeUndefined()
    const groups = [{ groupId: 'g', memberId: 'm', memberEpoch: 3, topics: [{ topicId, partitionIndexes: [0] }] }]
    const many = await client.ask(apis.offsetFetch, 10, { groups })
    expect(calls[2]).toMatchObject({
      memberId: 'm',
      memberEpoch: 3,
      partitions: [{ topic: { id: topicId }, partition: 0 }],
    })
    expect(many?.groups[0].topics[0]).toMatchObject({ topicId, partitions: [{ committedOffset: 5 }] })
  })

  test('all offsets of a group, asked by id: a topic without one is left out', async () => {
    const committed = { topic: 'gone', topicId: undefined, offset: 5, leaderEpoch: -1, metadata: '', committedAtMs: 1 }
    const client = start({
      fetch: async () => [
        { ...committed, partition: 0 },
        { ...committed, topic: 't', topicId, partition: 1 },
      ],
    })
    const byId = await client.ask(apis.offsetFetch, 10, { groups: [{ groupId: 'g', topics: null }] })
    expect(byId?.groups[0].topics.map((topic) => topic.topicId)).toEqual([topicId])
    const byName = await client.ask(apis.offsetFetch, 9, { groups: [{ groupId: 'g', topics: null }] })
    expect(byName?.groups[0].topics.map(({ name }) => name)).toEqual(['gone', 't'])
  })

  test('a refused group is told in every partition by version 1, by the group from 2 on', async () => {
    const asked = { groupId: 'g', topics: [{ name: 't', partitionIndexes: [0, 1] }] }
    const first = await refusing('coordinatorLoading').ask(apis.offsetFetch, 1, asked)
    expect(first?.topics[0].partitions.map(({ errorCode }) => errorCode)).toEqual([14, 14])
    expect((await refusing('coordinatorLoading').ask(apis.offsetFetch, 2, asked))?.errorCode).toBe(14)
    const groups = [{ groupId: 'g', topics: null }]
    expect((await refusing('notAllowed').ask(apis.offsetFetch, 8, { groups }))?.groups[0].errorCode).toBe(30)
  })
})

describe('groups as operators see them', () => {
  test('a group that is not there is dead; only version 6 may say that it is missing', async () => {
    const ask = async (version: number) =>
      (await refusing('groupMissing').ask(apis.describeGroups, version, { groups: ['g'] }))?.groups[0]
    expect(await ask(5)).toMatchObject({ errorCode: 0, groupState: 'Dead', errorMessage: null })
    expect(await ask(6)).toMatchObject({ errorCode: 69, groupState: 'Dead', errorMessage: 'no' })
  })

  test('lists are filtered by state and type, whatever their case', async () => {
    const ask = async (statesFilter: string[], typesFilter: string[] = []): Promise<number | undefined> =>
      (await start().ask(apis.listGroups, 5, { statesFilter, typesFilter }))?.groups.length
    expect(await ask([])).toBe(1)
    expect(await ask(['stable'])).toBe(1)
    expect(await ask(['Empty'])).toBe(0)
    expect(await ask([], ['Classic'])).toBe(1)
    expect(await ask([], ['consumer'])).toBe(0)
  })

  test('offsets are deleted partition by partition, or not at all', async () => {
    const asked = { groupId: 'g', topics: [{ name: 't', partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] }] }
    const client = start({ deleteOffsets: async () => [true, refuse('groupSubscribed', 'in use')] })
    const codes = (await client.ask(apis.offsetDelete, 0, asked))?.topics[0].partitions.map((p) => p.errorCode)
    expect(codes).toEqual([0, 86])
    expect(await refusing('groupMissing').ask(apis.offsetDelete, 0, asked)).toMatchObject({ errorCode: 69, topics: [] })
  })
})
