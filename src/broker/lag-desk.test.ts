// Lag through the door, on real engines: groups and queues in one list.
// Promises: counts are exact after acks out of order, trims, restarts; what nobody used is counted too.
// Does not know: protocols; how the command line shows it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { noProperties } from '../base/properties.ts'
import { openLocalStore } from '../engines/local/local-store.ts'
import { nodeWorld } from '../server/node-world.ts'
import { openBroker, type Broker } from './broker.ts'
import { testBatch, testIdentity } from './broker-world.contract.ts'
import type { Log } from '../log/store.ts'
import type { Topic } from './catalog.ts'
import type { LagView, Session } from './door.ts'
import { LagDesk, type LagHost } from './lag-desk.ts'
import { isRefusal } from './errors.ts'
import type { Receipt } from './queue-door.ts'

const ends: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

function place() {
  const path = mkdtempSync(join(tmpdir(), 'odradek-lag-'))
  ends.push(() => rmSync(path, { recursive: true, force: true }))
  const world = nodeWorld({ trace: { level: 'error' } })
  let close = async (): Promise<void> => undefined
  ends.push(() => close())
  return async (): Promise<Session> => {
    await close()
    const onFatal = (error: Error): void => {
      throw error
    }
    const store = await openLocalStore(world, { path, onFatal })
    const broker: Broker = await openBroker(world, store, {})
    close = async () => {
      await broker.close()
      await store.close()
    }
    return broker.session(testIdentity)
  }
}

const declaration = { durable: true, exclusive: false, autoDelete: false, arguments: [] }
const sink = { hasRoom: true, deliver: () => undefined, cancelled: () => undefined }

async function publish(session: Session, queue: string, count: number): Promise<void> {
  const channel = session.queues.openChannel(sink)
  let receipt: Receipt | undefined
  for (let sent = 0; sent < count; sent++) {
    const body = Buffer.from(`message ${sent}`)
    const one = channel.publish({
      exchange: '',
      routingKey: queue,
      properties: noProperties,
      body: [body],
      bodyBytes: body.length,
    })
    if (typeof one !== 'string' && !isRefusal(one)) receipt = one
  }
  await new Promise<void>((done) => receipt?.whenSettled(done))
  channel.close()
}

const commitOf = (
  group: string,
  topic: string,
  offsets: readonly (readonly [partition: number, offset: number])[],
) => ({
  group,
  memberId: '',
  instanceId: null,
  generation: -1,
  offsets: offsets.map(([partition, offset]) => ({
    topic: { name: topic },
    partition,
    offset,
    leaderEpoch: -1,
    metadata: '',
  })),
})

async function rowsOf(session: Session, name?: string): Promise<readonly LagView[]> {
  const { rows } = await session.lag(name)
  return [...rows].sort((one, other) => (one.name < other.name ? -1 : 1))
}

test('a queue: ready and unacknowledged, acknowledged out of order, and after a restart without being used', async () => {
  const open = place()
  let session = await open()
  await session.queues.declareQueue({ ...declaration, name: 'jobs' })
  await session.queues.declareQueue({ ...declaration, name: 'untouched' })
  const before = Date.now()
  await publish(session, 'jobs', 10)
  const channel = session.queues.openChannel(sink)
  for (let got = 0; got < 5; got++) await channel.get('jobs', false)
  channel.acknowledge(1, false)
  channel.acknowledge(3, false)
  const [jobs, untouched] = await rowsOf(session)
  expect(jobs).toMatchObject({
    kind: 'queue',
    name: 'jobs',
    topic: 'jobs',
    partitions: 1,
    backlog: { records: 8, unacknowledged: 3, end: 10, position: 2, bytesAreEstimated: true },
  })
  expect(jobs.backlog?.bytes).toBeGreaterThan(8 * 'message 0'.length)
  expect(jobs.backlog?.oldestMs).toBeGreaterThanOrEqual(before)
  expect(jobs.backlog?.oldestMs).toBeLessThanOrEqual(Date.now())
  expect(untouched.backlog).toMatchObject({ records: 0, bytes: 0, oldestMs: undefined, end: 0, position: 0 })

  session = await open()
  expect(await rowsOf(session, 'jobs')).toMatchObject([
    { backlog: { records: 8, unacknowledged: 0, end: 10, position: 2 } },
  ])
  // Nobody was kept from using it, and looking made no messages ready that were not.
  expect(await session.queues.checkQueue('jobs')).toMatchObject({ messages: 8 })
})

test('a queue that was worked off has no lag, and no rate appears when its log is opened', async () => {
  const open = place()
  let session = await open()
  await session.queues.declareQueue({ ...declaration, name: 'jobs' })
  await publish(session, 'jobs', 7)
  const channel = session.queues.openChannel(sink)
  while ((await channel.get('jobs', true)) !== undefined);
  const done = { records: 0, bytes: 0, oldestMs: undefined, end: 7, position: 7 }
  expect(await rowsOf(session)).toMatchObject([{ backlog: done }])
  session = await open()
  expect(await rowsOf(session)).toMatchObject([{ backlog: done }])
  await session.queues.checkQueue('jobs')
  expect(await rowsOf(session)).toMatchObject([{ backlog: done }])
})

test('groups: by topic, over the partitions they have offsets of; a stream and its readers are no queue', async () => {
  const session = await place()()
  await session.createTopics(
    [{ name: 'orders', partitions: 3, replicationFactor: undefined, settings: new Map() }],
    false,
  )
  for (const partition of [0, 1])
    for (const timestampMs of [1000, 2000]) {
      const batch = testBatch(
        { nowMs: () => timestampMs },
        { count: 2, timestampsMs: [timestampMs, timestampMs + 500] },
      )
      await session.produce({ topic: { name: 'orders' }, partition, batch, acks: -1 })
    }
  const arguments_ = [{ name: 'x-queue-type', value: { type: 'text', value: Buffer.from('stream') } }] as const
  await session.queues.declareQueue({ ...declaration, name: 'events', arguments: arguments_ })
  await session.groups.commit(commitOf('billing', 'orders', [[0, 1], [1, 4], [2, 0]])) // prettier-ignore
  await session.groups.commit(commitOf('audit', 'orders', [[0, 0]]))
  expect(await rowsOf(session)).toMatchObject([
    { kind: 'group', name: 'audit', topic: 'orders', partitions: 1, backlog: { records: 4, end: 4, position: 0 } },
    { kind: 'group', name: 'billing', topic: 'orders', partitions: 3, backlog: { records: 3, end: 8, position: 5 } },
  ])
  const [audit, billing] = await rowsOf(session)
  expect([audit.backlog?.oldestMs, billing.backlog?.oldestMs]).toEqual([1000, 1500])
  expect([audit.backlog?.bytesAreEstimated, billing.backlog?.bytesAreEstimated]).toEqual([false, true])
  const { bytes } = (await session.describePartition({ name: 'orders' }, 0)) as { readonly bytes: number }
  expect(audit.backlog?.bytes).toBe(bytes)
  expect(billing.backlog?.bytes).toBe((bytes * 3) / 4)
  // What was deleted unread is behind nobody.
  await session.deleteRecords('orders', 0, 3)
  expect(await rowsOf(session, 'audit')).toMatchObject([{ backlog: { records: 1, position: 0, oldestMs: 2500 } }])
  expect((await rowsOf(session, 'orders')).length).toBe(2)
  expect(await rowsOf(session, 'none')).toEqual([])
})

test('a queue over a topic of several partitions: their sum, the oldest of all of them', async () => {
  const open = place()
  let session = await open()
  await session.createTopics(
    [{ name: 'orders', partitions: 3, replicationFactor: undefined, settings: new Map() }],
    false,
  )
  for (const [partition, timestampMs] of [
    [0, 3000],
    [1, 1000],
    [2, 2000],
  ])
    // prettier-ignore
    await session.produce({
      topic: { name: 'orders' },
      partition,
      batch: testBatch({ nowMs: () => timestampMs }, { count: 2 + partition }),
      acks: -1,
    })
  await session.queues.declareQueue({ ...declaration, name: 'orders' })
  const channel = session.queues.openChannel(sink)
  await channel.get('orders', true)
  await channel.get('orders', false)
  const row = { kind: 'queue', name: 'orders', topic: 'orders', partitions: 3 }
  expect(await rowsOf(session)).toMatchObject([
    { ...row, backlog: { records: 8, unacknowledged: 1, end: 9, position: 1, oldestMs: 1000 } },
  ])
  session = await open()
  expect(await rowsOf(session)).toMatchObject([{ ...row, backlog: { records: 8, unacknowledged: 0, position: 1 } }])
})

test('further ledgers: each its own row over the one log, whether or not anybody opened them', async () => {
  const open = place()
  let session = await open()
  const text = (name: string, value: string) => ({ name, value: { type: 'text', value: Buffer.from(value) } }) as const
  await session.createTopics(
    [{ name: 'orders', partitions: 1, replicationFactor: undefined, settings: new Map() }],
    false,
  )
  const batch = testBatch({ nowMs: () => 1000 }, { count: 6, timestampsMs: [1000, 1001, 1002, 1003, 1004, 1005] })
  await session.produce({ topic: { name: 'orders' }, partition: 0, batch, acks: -1 })
  const further = { ...declaration, arguments: [text('x-log', 'orders')] }
  await session.queues.declareQueue({ ...further, name: 'audit' })
  await session.queues.declareQueue({
    ...further,
    name: 'late',
    arguments: [...further.arguments, text('x-start', 'next')],
  })
  const channel = session.queues.openChannel(sink)
  for (const _ of [1, 2, 3, 4]) await channel.get('audit', true)
  const rows = [
    { kind: 'queue', name: 'audit', topic: 'orders', backlog: { records: 2, end: 6, position: 4, oldestMs: 1004 } },
    { kind: 'queue', name: 'late', topic: 'orders', backlog: { records: 0, end: 6, position: 6 } },
  ]
  expect(await rowsOf(session)).toMatchObject(rows)
  expect(await rowsOf(session, 'orders')).toMatchObject(rows)
  session = await open()
  expect(await rowsOf(session)).toMatchObject(rows)
})

test('of thousands of logs that nobody used only some are opened for one answer, the others at the next', async () => {
  const open = place()
  let session = await open()
  const topics = Array.from({ length: 3 }, (_, index) => ({
    name: `t${index}`,
    partitions: 100,
    replicationFactor: undefined,
    settings: new Map(),
  }))
  await session.createTopics(topics, false)
  const partitions = Array.from({ length: 100 }, (_, index) => index)
  for (const { name } of topics) {
    const stored = partitions.map((partition) =>
      session.produce({ topic: { name }, partition, batch: testBatch({ nowMs: () => 1000 }), acks: 1 }),
    )
    await Promise.all(stored)
    await session.groups.commit(commitOf('g', name, partitions.map((partition) => [partition, 0]))) // prettier-ignore
  }
  session = await open()
  const records = async () => (await rowsOf(session)).map(({ backlog }) => backlog?.records)
  expect(await records()).toEqual([100, 100, undefined])
  expect(await records()).toEqual([100, 100, 100])
})

test('bytes are an estimate when some in between are acknowledged; the time of an append is its batch’s', async () => {
  const session = await place()()
  await session.queues.declareQueue({ ...declaration, name: 'jobs' })
  await publish(session, 'jobs', 10)
  const channel = session.queues.openChannel(sink)
  for (let got = 0; got < 2; got++) await channel.get('jobs', false)
  expect(await rowsOf(session)).toMatchObject([{ backlog: { records: 10, bytesAreEstimated: false } }])
  channel.acknowledge(2, false)
  expect(await rowsOf(session)).toMatchObject([{ backlog: { records: 9, position: 1, bytesAreEstimated: true } }])

  const settings = new Map([['message.timestamp.type', 'LogAppendTime']])
  await session.createTopics([{ name: 'orders', partitions: 1, replicationFactor: undefined, settings }], false)
  const batch = testBatch({ nowMs: () => 1000 }, { count: 2, timestampsMs: [1000, 2000] })
  const before = Date.now()
  await session.produce({ topic: { name: 'orders' }, partition: 0, batch, acks: -1 })
  await session.groups.commit(commitOf('audit', 'orders', [[0, 1]]))
  const [{ backlog }] = await rowsOf(session, 'orders')
  expect(backlog?.oldestMs).toBeGreaterThanOrEqual(before)
})

/** A desk over queues that are all over one log, and what is asked of its clock. */
function deskOver(names: readonly string[], log: Partial<Log>) {
  const asked = { turns: 0, gone: new Set<string>() }
  const queues = names.map((name) => ({ name, id: name, partitions: 1 }) as unknown as Topic)
  const partition = { log: { start: 0, committed: 5, failed: false, segments: () => [], ...log } }
  const host = {
    clock: { nowMs: () => 0, endOfTurn: (task: () => void) => (asked.turns++, setImmediate(task)) },
    store: { bytesOf: () => 1 },
    catalog: {
      queues: () => queues,
      find: (_: string, { name }: { name: string }) =>
        asked.gone.has(name) ? undefined : queues.find((one) => one.name === name),
    },
    partitions: { of: () => partition, seen: () => partition },
    ledgers: { openIn: () => ({ count: 5, acquired: 0, first: 0 }), endOf: () => 5 },
    ledgersOf: (topic: Topic) => ({ topic, number: 0 }),
  } as unknown as LagHost
  const groups = { list: () => Promise.resolve([]), fetch: () => Promise.resolve([]) }
  const list = (name?: string) => new LagDesk(host).list({ vhost: '/', name, groups, mayTellOf: () => true })
  return { asked, list }
}

test('a log that cannot be read, or is deleted meanwhile, spoils no list', async () => {
  const broken = (): never => {
    throw new Error('the log is closed')
  }
  const { asked, list } = deskOver(['a', 'b'], { read: broken })
  asked.gone.add('b')
  expect((await list()).rows).toMatchObject([{ name: 'a', backlog: { records: 5, oldestMs: undefined } }])
})

test('others have their turn, also while nothing that is asked for is found', async () => {
  const names = Array.from({ length: 1000 }, (_, at) => `q${at}`)
  const { asked, list } = deskOver(names, {})
  expect((await list('none')).rows).toEqual([])
  expect(asked.turns).toBeGreaterThan(20)
})
