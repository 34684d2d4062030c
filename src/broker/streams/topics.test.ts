// Topics through the door: made, grown, deleted, and what a crash between two steps leaves.
// Promises: Kafka's validations; no crash leaves a log without a topic or a topic without its logs.
// Does not know: protocols, real engines.

import { expect, test } from 'vitest'
import { machineLogId } from '../../log/machine.ts'
import { AppendFailure } from '../../log/store.ts'
import { openBroker } from '../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../broker-world.contract.ts'
import type { NewTopic, Session } from '../door.ts'
import { isRefusal } from '../errors.ts'
import { StubStore } from '../stub-store.contract.ts'
import { judgeTopicName } from './topic-names.ts'

async function bench(store = new StubStore(), settings: Record<string, string> = {}) {
  const world = testWorld()
  const broker = await openBroker(world, store, { settings })
  return { world, store, broker, session: broker.session(testIdentity) }
}

const topic = (name: string, more: Partial<NewTopic> = {}): NewTopic => ({
  name,
  partitions: undefined,
  replicationFactor: undefined,
  settings: new Map(),
  ...more,
})

const outcomes = async (session: Session, topics: readonly NewTopic[], validateOnly = false): Promise<string[]> =>
  (await session.createTopics(topics, validateOnly)).map((one) => (isRefusal(one) ? one.refused : one.name))

const logsIn = (store: StubStore): number => store.list().filter((id) => id !== machineLogId).length

test('each topic of a request is judged on its own, as Kafka does', async () => {
  const { session, store } = await bench()
  const wanted: readonly (readonly [string, NewTopic])[] = [
    ['plain', topic('plain', { partitions: 3, replicationFactor: 1 })],
    ['minus-one', topic('minus-one', { partitions: -1, replicationFactor: -1 })],
    ['invalidPartitions', topic('none', { partitions: 0 })],
    ['invalidPartitions', topic('less', { partitions: -2 })],
    ['invalidPartitions', topic('many', { partitions: 1_000_000 })],
    ['invalidReplicationFactor', topic('three', { replicationFactor: 3 })],
    ['invalidReplicationFactor', topic('zero', { replicationFactor: 0 })],
    ['assigned', topic('assigned', { partitions: -1, replicationFactor: -1, assignments: [[1], [1]] })],
    ['invalidReplicaAssignment', topic('elsewhere', { assignments: [[2]] })],
    ['invalidReplicaAssignment', topic('twice', { assignments: [[1, 1]] })],
    ['invalidRequest', topic('both', { partitions: 2, assignments: [[1], [1]] })],
    ['invalidRequest', topic('factor', { replicationFactor: 1, assignments: [[1]] })],
    ['invalidTopicName', topic('a/b')],
    ['invalidTopicName', topic('')],
    ['invalidSetting', topic('unknown', { settings: new Map([['no.such.thing', '1']]) })],
    ['invalidSetting', topic('null', { settings: new Map([['retention.ms', null]]) })],
    ['invalidSetting', topic('bad', { settings: new Map([['retention.ms', 'soon']]) })],
    ['policyViolation', topic('compact', { settings: new Map([['cleanup.policy', 'compact']]) })],
    ['invalidRequest', topic('dup')],
    ['invalidRequest', topic('dup')],
    ['a.b', topic('a.b')],
    ['invalidTopicName', topic('a_b')],
  ]
  const names = wanted.map(([, one]) => one)
  const expected = wanted.map(([outcome]) => outcome)
  expect(await outcomes(session, names, true)).toEqual(expected)
  expect(logsIn(store)).toBe(0)
  expect(await outcomes(session, names)).toEqual(expected)
  expect(logsIn(store)).toBe(3 + 1 + 2 + 1)
  expect(await outcomes(session, [topic('plain')])).toEqual(['topicExists'])
  expect(await outcomes(session, [topic('a_b')])).toEqual(['invalidTopicName'])
  expect(session.listTopics().map((one) => one.name)).toEqual(['a.b', 'assigned', 'minus-one', 'plain'])
})

test('logs of a deleted topic go once what is on its way to them is decided', async () => {
  const { session, store, world } = await bench()
  await session.createTopics([topic('t')], false)
  await session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  const append = store.append.bind(store)
  let commit = (): void => undefined
  store.append = (entries) =>
    entries[0].log.id === machineLogId ? append(entries) : new Promise((resolve) => (commit = resolve))
  const produced = session.produce({ topic: { name: 't' }, partition: 0, batch: testBatch(world.clock), acks: 1 })
  const deleted = session.deleteTopics([{ name: 't' }])
  await turns()
  expect([session.listTopics(), logsIn(store)]).toEqual([[], 1])
  commit()
  expect(isRefusal(await produced)).toBe(false)
  await deleted
  expect(logsIn(store)).toBe(0)
})

test('topic names are those of Kafka', () => {
  for (const name of ['a', 'A-b_c.9', 'x'.repeat(249), '...', '-'])
    expect([name, judgeTopicName(name)]).toEqual([name, undefined])
  for (const name of ['', '.', '..', 'x'.repeat(250), 'a b', 'ä', 'a\0b', 'a/b'])
    expect(judgeTopicName(name)).toMatchObject({ refused: 'invalidTopicName' })
})

test('ids are what a tool can read, and new for a name made again', async () => {
  const { session } = await bench()
  const ids = new Set<string>()
  for (let round = 0; round < 60; round++) {
    const [made] = await session.createTopics([topic('again')], false)
    if (isRefusal(made)) throw new Error(made.why)
    expect(made.id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/)
    expect(Buffer.from(made.id, 'base64url').length).toBe(16)
    ids.add(made.id)
    expect(session.describeTopic({ id: made.id })).toMatchObject({ name: 'again' })
    await session.deleteTopics([{ id: made.id }])
    expect(session.describeTopic({ id: made.id })).toMatchObject({ refused: 'unknownTopicId' })
  }
  expect(ids.size).toBe(60)
})

test('one name is made once: by many asking, by asking and creating, after a deletion under way', async () => {
  const { session } = await bench()
  const asked = await Promise.all([
    session.findOrCreateTopic('one'),
    session.createTopics([topic('one')], false),
    session.findOrCreateTopic('one'),
  ])
  expect(asked).toMatchObject([{ name: 'one' }, [{ refused: 'topicExists' }], { name: 'one' }])
  const [deleted, again] = await Promise.all([
    session.deleteTopics([{ name: 'one' }]),
    session.findOrCreateTopic('one'),
  ])
  expect(deleted).toMatchObject([{ name: 'one' }])
  if (isRefusal(again)) expect(again.refused).toBe('unknownTopic')
  const twice = await Promise.all([session.deleteTopics([{ name: 'one' }]), session.deleteTopics([{ name: 'one' }])])
  expect(twice.flat().filter((one) => isRefusal(one)).length).toBeGreaterThan(0)
})

test('auto-creation is a setting, and keeps to the rules of names', async () => {
  const { session } = await bench(new StubStore(), { 'auto.create.topics.enable': 'false' })
  expect(await session.findOrCreateTopic('one')).toMatchObject({ refused: 'unknownTopic' })
  const other = await bench(new StubStore(), { 'num.partitions': '4' })
  expect(await other.session.findOrCreateTopic('one')).toMatchObject({ partitions: 4 })
  expect(await other.session.findOrCreateTopic('a/b')).toMatchObject({ refused: 'invalidTopicName' })
})

test('a topic grows and never shrinks', async () => {
  const { session, store, world } = await bench()
  await session.createTopics([topic('t')], false)
  expect(await session.createPartitions('t', 3, true)).toMatchObject({ partitions: 3 })
  expect(session.describeTopic({ name: 't' })).toMatchObject({ partitions: 1 })
  expect(await session.createPartitions('t', 3, false)).toMatchObject({ partitions: 3 })
  expect(logsIn(store)).toBe(3)
  expect(await session.createPartitions('t', 3, false)).toMatchObject({ refused: 'invalidPartitions' })
  expect(await session.createPartitions('t', 2, false)).toMatchObject({ refused: 'invalidPartitions' })
  expect(await session.createPartitions('other', 2, false)).toMatchObject({ refused: 'unknownTopic' })
  const batch = testBatch(world.clock)
  expect(await session.produce({ topic: { name: 't' }, partition: 2, batch, acks: 1 })).toMatchObject({ baseOffset: 0 })
})

test('a start knows what was made, set and deleted, and the cluster by its id', async () => {
  const { session, broker, store } = await bench()
  await session.createTopics([topic('kept', { settings: new Map([['retention.ms', '1000']]) }), topic('gone')], false)
  await session.deleteTopics([{ name: 'gone' }])
  await session.createPartitions('kept', 2, false)
  const change = { name: 'num.partitions', operation: 'set', value: '7' } as const
  expect(await session.alterSettings({ kind: 'broker', name: '1' }, [change], 'incremental', false)).toBe(true)
  const kept = session.describeTopic({ name: 'kept' })
  await broker.close()
  const next = await bench(store)
  expect(next.broker.clusterId).toBe(broker.clusterId)
  expect(next.session.listTopics()).toMatchObject([kept])
  expect(next.session.describeSettings({ kind: 'topic', name: 'kept' })).toContainEqual(
    expect.objectContaining({ name: 'retention.ms', value: '1000', source: 'topic' }),
  )
  expect(await next.session.findOrCreateTopic('seven')).toMatchObject({ partitions: 7 })
})

test('a crash after the logs and before the record leaves nothing', async () => {
  const { session, store } = await bench()
  store.manual = true
  void session.createTopics([topic('half', { partitions: 3 })], false)
  await turns()
  expect(logsIn(store)).toBe(3)
  store.crash()
  store.manual = false
  const next = await bench(store)
  expect(next.session.listTopics()).toEqual([])
  expect(logsIn(store)).toBe(0)
})

test('a crash after the record of a deletion and before its logs leaves nothing', async () => {
  const { session, store } = await bench()
  await session.createTopics([topic('t', { partitions: 3 })], false)
  store.failing = { delete: new Error('killed here') }
  expect(await session.deleteTopics([{ name: 't' }])).toMatchObject([{ name: 't' }])
  expect(logsIn(store)).toBe(3)
  const next = await bench(store)
  expect(next.session.listTopics()).toEqual([])
  expect(logsIn(store)).toBe(0)
})

test('a crash before the record of a deletion leaves the topic', async () => {
  const { session, store } = await bench()
  await session.createTopics([topic('t', { partitions: 3 })], false)
  store.manual = true
  void session.deleteTopics([{ name: 't' }])
  await turns()
  store.crash()
  store.manual = false
  const next = await bench(store)
  expect(next.session.listTopics()).toMatchObject([{ name: 't', partitions: 3 }])
  expect(logsIn(store)).toBe(3)
})

test('logs that a topic misses are made at start', async () => {
  const { session, store } = await bench()
  await session.createTopics([topic('t', { partitions: 3 })], false)
  const [lost] = store.list().filter((id) => id !== machineLogId)
  store.logs.delete(lost)
  const next = await bench(store)
  expect(store.list()).toContain(lost)
  expect(next.session.listTopics()).toMatchObject([{ name: 't' }])
})

test('a topic whose record or logs could not be written is not there, and its name is free', async () => {
  const { session, store } = await bench()
  store.failing = { create: new AppendFailure('full', 'no room') }
  expect(await outcomes(session, [topic('t')])).toEqual(['storageFull'])
  store.manual = true
  const refused = outcomes(session, [topic('t')])
  await turns()
  store.fail('io')
  expect(await refused).toEqual(['storageFailed'])
  store.manual = false
  await turns()
  expect(logsIn(store)).toBe(0)
  expect(session.listTopics()).toEqual([])
  expect(await outcomes(session, [topic('t')])).toEqual(['t'])
})

test('while the catalog is read again after a failure, what was there stays there and nothing is made', async () => {
  const { session, store } = await bench()
  await session.createTopics([topic('kept')], false)
  const machineLog = store.logs.get(machineLogId)
  if (machineLog === undefined) throw new Error('no machine log')
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const read = machineLog.read.bind(machineLog)
  machineLog.read = (from, bytesMax, below) => held.then(() => read(from, bytesMax, below)) as never
  store.manual = true
  const refused = outcomes(session, [topic('lost')])
  await turns()
  store.fail('io')
  expect(await refused).toEqual(['storageFailed'])
  store.manual = false
  expect(session.describeTopic({ name: 'kept' })).toMatchObject({ name: 'kept' })
  expect(await outcomes(session, [topic('more')])).toEqual(['storageFailed'])
  expect(await session.findOrCreateTopic('kept')).toMatchObject({ name: 'kept' })
  release()
  await turns()
  expect(await outcomes(session, [topic('more')])).toEqual(['more'])
  expect(session.listTopics().map((one) => one.name)).toEqual(['kept', 'more'])
})

test('a hundred topics made at once take one append of the catalog', async () => {
  const { session, store } = await bench()
  const machineLog = store.logs.get(machineLogId)
  const before = machineLog?.batches.length ?? 0
  const wanted = Array.from({ length: 100 }, (_, index) => topic(`t${index}`, { partitions: 10 }))
  expect(new Set(await outcomes(session, wanted)).size).toBe(100)
  expect(machineLog?.batches.length).toBe(before + 1)
  expect(logsIn(store)).toBe(1000)
})

test('vhosts do not see each other', async () => {
  const { session, broker } = await bench()
  const other = broker.session({ ...testIdentity, vhost: 'other' })
  const [mine] = await session.createTopics([topic('same')], false)
  const [theirs] = await other.createTopics([topic('same')], false)
  if (isRefusal(mine) || isRefusal(theirs)) throw new Error('not made')
  expect(theirs.id).not.toBe(mine.id)
  expect(other.describeTopic({ id: mine.id })).toMatchObject({ refused: 'unknownTopicId' })
  await session.deleteTopics([{ name: 'same' }])
  expect(other.listTopics()).toMatchObject([{ id: theirs.id }])
})
