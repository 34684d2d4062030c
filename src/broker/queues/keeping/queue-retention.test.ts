// Retention against queues, through the door: what is dropped is dead-lettered first, held, or lost and counted.
// Promises: nothing is dead-lettered twice by one that holds it; what cannot be stored keeps its record, unless the disk is
// full.
// Does not know: why retention drops (streams/retention.test.ts); protocols.

import { expect, test } from 'vitest'
import type { Field, FieldTable } from '../../../base/fields.ts'
import type { Log } from '../../../log/store.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import type { Topic } from '../../catalog.ts'
import { isRefusal } from '../../errors.ts'
import type { ChannelSink, Delivery } from '../../queue-door.ts'
import { Retention, type RetentionHost } from '../../streams/retention.ts'
import { StubStore } from '../../stub-store.contract.ts'
import type { QueuePolicy } from '../facts.ts'
import type { Lane } from '../lanes/lane.ts'
import type { LedgersPart } from '../parts.ts'
import { QueueRetention } from './queue-retention.ts'

const text = (value: string): Field => ({ type: 'text', value: Buffer.from(value) })
const yes: Field = { type: 'bool', value: true }
const args = (said: Readonly<Record<string, Field>>): FieldTable =>
  Object.entries(said).map(([name, value]) => ({ name, value }))
const toGraves = { 'x-dead-letter-exchange': text(''), 'x-dead-letter-routing-key': text('graves') }

/** A topic of five records that is a queue too, and a queue for its dead. */
async function bench(said: Readonly<Record<string, Field>>) {
  const world = testWorld()
  const store = new StubStore()
  const session = (await openBroker(world, store, {})).session(testIdentity)
  const declare = (name: string, more: Readonly<Record<string, Field>> = {}) =>
    session.queues.declareQueue({
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: args(more),
    })
  await session.findOrCreateTopic('t')
  for (const value of ['a', 'b', 'c', 'd', 'e'])
    await session.produce({
      topic: { name: 't' },
      partition: 0,
      batch: testBatch(world.clock, { values: [value] }),
      acks: -1,
    })
  await declare('graves')
  await declare('t', said)
  const given: string[] = []
  const sink: ChannelSink = {
    hasRoom: true,
    deliver: ({ body, tag }: Delivery) => void given.push(`${body.toString()}${tag}`),
    cancelled: () => undefined,
  }
  const channel = session.queues.openChannel(sink)
  const digging = session.queues.openChannel(sink)
  return {
    world,
    store,
    session,
    channel,
    given,
    declare,
    count: async (name: string) => {
      const counted = await session.queues.checkQueue(name)
      return isRefusal(counted) ? counted.refused : counted.messages
    },
    consume: async (prefetch: number) => {
      channel.setPrefetch(prefetch, 'consumer')
      const call = { queue: 't', consumerTag: 'c', noAck: false, exclusive: false, arguments: [] }
      const consumer = await channel.consume(call)
      if (isRefusal(consumer)) throw new Error(consumer.why)
      consumer.start()
      await turns(8)
    },
    dead: async () => {
      const bodies: string[] = []
      for (;;) {
        const got = await digging.get('graves', true)
        if (got === undefined || isRefusal(got)) return bodies
        bodies.push(got.body.toString())
      }
    },
    counter: (name: string) => world.trace.counters().get(name),
  }
}

test('what consumers hold is dead-lettered with the rest, once, and does not come back', async () => {
  const { session, channel, given, consume, count, dead, counter } = await bench(toGraves)
  await consume(2)
  expect(given).toEqual(['a1', 'b2'])
  expect(await session.deleteRecords('t', 0, 3)).toBe(3)
  expect(await dead()).toEqual(['a', 'b', 'c'])
  // Whatever its holder says of it.
  expect(channel.reject(1, false, true, true)).toBe(true)
  expect(channel.acknowledge(2, false)).toBe(true)
  await turns(8)
  expect(given).toEqual(['a1', 'b2', 'd3', 'e4'])
  expect([await dead(), await count('t'), counter('deadletters.retention')]).toEqual([[], 0, 3])
})

test('without a place for the dead they are counted', async () => {
  const { session, count, counter } = await bench({})
  expect(await session.deleteRecords('t', 0, 3)).toBe(3)
  expect([await count('t'), await count('graves'), counter('ledger.closed.retention')]).toEqual([2, 0, 3])
})

test('dead letters that cannot be stored keep their records; on a full disk retention wins', async () => {
  const { world, session, store, count, dead } = await bench(toGraves)
  store.manual = true
  const deleted = session.deleteRecords('t', 0, 2)
  await turns(8)
  store.fail('full')
  store.manual = false
  expect(await deleted).toMatchObject({ refused: 'policyViolation' })
  expect((await session.describePartition({ name: 't' }, 0)) as object).toMatchObject({ start: 0 })
  store.freeBytes = 0
  world.clock.advance(2000)
  await turns(8)
  expect(await session.deleteRecords('t', 0, 2)).toBe(2)
  store.freeBytes = 1_000_000_000
  expect([await count('t'), await dead()]).toEqual([3, []])
})

test('x-hold keeps what is not acknowledged, and nothing else', async () => {
  const { session, channel, consume } = await bench({ 'x-hold': yes })
  expect(await session.deleteRecords('t', 0, 1)).toMatchObject({ refused: 'policyViolation' })
  await consume(3)
  channel.acknowledge(1, false)
  channel.acknowledge(3, false)
  await turns(8)
  await session.queues.checkQueue('t')
  expect(await session.deleteRecords('t', 0, 2)).toMatchObject({ refused: 'policyViolation' })
  expect(await session.deleteRecords('t', 0, 1)).toBe(1)
  channel.acknowledge(2, false)
  await turns(8)
  await session.queues.checkQueue('t')
  expect(await session.deleteRecords('t', 0, 3)).toBe(3)
})

test('a queue whose end is refused held all the time; one that is declared while others are dead-lettered holds too', async () => {
  const { session, store } = await bench({ 'x-hold': yes })
  store.manual = true
  const ended = session.queues.deleteQueue('t', { ifUnused: false, ifEmpty: false })
  await turns(8)
  const deleted = session.deleteRecords('t', 0, 2)
  await turns(8)
  store.fail('full')
  store.manual = false
  expect(await ended).toMatchObject({ refused: 'storageFull' })
  expect(await deleted).toMatchObject({ refused: 'policyViolation' })

  const other = await bench({})
  await other.session.queues.deleteQueue('t', { ifUnused: false, ifEmpty: false })
  await other.declare('all', { 'x-log': text('t'), ...toGraves })
  other.store.manual = true
  const dropped = other.session.deleteRecords('t', 0, 2)
  await turns(8)
  const holding = other.declare('t', { 'x-hold': yes })
  await turns(8)
  expect(await Promise.race([dropped, 'waits'])).toBe('waits')
  other.store.manual = false
  other.store.commit()
  expect(await holding).toMatchObject({ messages: 5 })
  expect(await dropped).toMatchObject({ refused: 'policyViolation' })
  expect(await other.count('t')).toBe(5)
})

test('each queue over the log is asked; what a filter does not let in is no dead letter', async () => {
  const { session, declare, count, dead } = await bench({})
  await declare('all', { 'x-log': text('t'), ...toGraves })
  await declare('none', { 'x-log': text('t'), 'x-filter-key': text('other'), ...toGraves })
  expect(await session.deleteRecords('t', 0, 2)).toBe(2)
  expect([await dead(), await count('all')]).toEqual([['a', 'b'], 3])
})

test('more dead letters than one call sends are left to the next, which is soon; those that wait are not', async () => {
  const topic = { id: 'BBBBBBBBBBBBBBBBBBBBBA' } as unknown as Topic
  let floor = 0
  let isStuck = false
  const lane = {
    isVoid: false,
    ready: () => Promise.resolve(undefined),
    flush: () => undefined,
    log: {
      ledger: {
        get floor() {
          return floor
        },
        countOpen: (from: number, to: number) => to - from,
      },
    },
    rules: { retire: (_: number, count: number) => void (floor += isStuck ? 0 : count) },
  } as unknown as Lane
  const retention = new QueueRetention({
    ledgers: { settledLeaving: () => Promise.resolve() } as unknown as LedgersPart,
    queuesOver: () => [topic],
    policyOf: () => ({ deadLetterExchange: 'dlx' }) as unknown as QueuePolicy,
    laneOf: () => lane,
    deadLettersSettled: () => undefined,
    isFull: () => false,
  })
  const log = { id: 'BBBBBBBBBBBBBBBBBBBBBA-0', start: 0 } as unknown as Log
  expect([await retention.mayTrim(topic, log, 70_000), retention.tookAllItsTime()]).toEqual([65_536, true])
  isStuck = true
  expect([await retention.mayTrim(topic, log, 70_000), retention.tookAllItsTime()]).toEqual([65_536, false])

  const world = testWorld()
  let rounds = 0
  const rounder = new Retention({
    world,
    catalog: { all: () => [] },
    settings: { number: (name: string) => (name === 'retention.budget.bytes' ? -1 : 30_000) },
    roomLeft: { keepBudget: () => undefined },
    partitions: { all: () => [] },
    tookAllItsTime: () => rounds === 1,
    lookAtConsumed: () => void rounds++,
  } as unknown as RetentionHost)
  rounder.start()
  for (const [afterMs, expected] of [
    [30_000, 1],
    [1000, 2],
    [29_000, 2],
    [1000, 3],
  ]) {
    world.clock.advance(afterMs)
    await turns(8)
    expect(rounds).toBe(expected)
  }
  await rounder.close()
})
