// Exchanges of type x-log through the broker's door: their topics, their bindings' beginnings and ends, and the log that
// cursors hold.
// Promises: a stub store and a clock that a test moves; what clients see is test/e2e/log-exchanges.test.ts.
// Does not know: protocols.

import { beforeEach, describe, expect, test } from 'vitest'
import { fieldTable, int32Field, textField, type Field, type FieldTable } from '../../../base/fields.ts'
import { MiB } from '../../../base/limits.ts'
import { noProperties } from '../../../base/properties.ts'
import { assembleBatch } from '../../../log/batch.ts'
import type { LogId } from '../../../log/store.ts'
import { openBroker, type Broker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestWorld } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import type { DeclareQueueCall, QueueCalls } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { copiesBytesMax } from './cursor-room.ts'

let world: TestWorld
let store: StubStore
let broker: Broker
let session: Session
let calls: QueueCalls

async function start(): Promise<void> {
  broker = await openBroker(world, store, {})
  session = broker.session(testIdentity)
  calls = session.queues
}
beforeEach(async () => {
  world = testWorld()
  store = new StubStore()
  await start()
})

const log = (name: string, more: object = {}) => {
  const plain = { durable: true, autoDelete: false, internal: false, arguments: [] as FieldTable }
  return calls.declareExchange({ name, type: 'x-log', ...plain, ...more })
}
const queue = (name: string, more: Partial<DeclareQueueCall> = {}) =>
  calls.declareQueue({ name, durable: true, exclusive: false, autoDelete: false, arguments: [], ...more })
const bindingOf = (source: string, destination: string, args: FieldTable = []) => ({
  source,
  destination,
  destinationKind: 'queue' as const,
  routingKey: '#',
  arguments: args,
})
const bind = (source: string, destination: string, offset?: string) =>
  calls.bind(bindingOf(source, destination, offset === undefined ? [] : startsAt(offset)))
const startsAt = (offset: string): FieldTable => fieldTable({ 'x-stream-offset': textField(offset) })

async function topic(name: string, partitions = 1): Promise<void> {
  await session.createTopics([{ name, partitions, replicationFactor: 1, settings: new Map() }], false)
}

async function produce(name: string, ...values: string[]): Promise<void> {
  await session.produce({ topic: { name }, partition: 0, batch: testBatch(world.clock, { values }), acks: -1 })
  await turns(20)
}

async function publish(exchange: string, body: string): Promise<unknown> {
  const channel = calls.openChannel({ hasRoom: true, deliver: () => undefined, cancelled: () => undefined })
  const content = Buffer.from(body)
  const published = channel.publish({
    exchange,
    routingKey: 'k',
    properties: noProperties,
    body: [content],
    bodyBytes: content.length,
  })
  await turns(20)
  return published
}

/** What the queue holds is taken. */
async function taken(name: string): Promise<string[]> {
  const channel = calls.openChannel({ hasRoom: true, deliver: () => undefined, cancelled: () => undefined })
  const bodies: string[] = []
  for (;;) {
    const got = await channel.get(name, true)
    if (got === undefined || isRefusal(got)) return bodies
    bodies.push(got.body.toString())
  }
}

const topicOf = (name: string) => session.listTopics().find((one) => one.name === name)
const counter = (name: string): number => world.trace.counters().get(name) ?? 0

describe('an exchange of type x-log', () => {
  test('attaches to what is there, and makes what is not', async () => {
    await topic('three', 3)
    expect(await log('three')).toBe(true)
    expect(await log('three')).toBe(true)
    expect(topicOf('three')?.partitions).toBe(3)
    expect(await log('made', { arguments: fieldTable({ 'x-partitions': int32Field(2) }) })).toBe(true)
    expect(topicOf('made')?.partitions).toBe(2)
    await topic('two', 2)
    const four = { arguments: fieldTable({ 'x-partitions': int32Field(4) }) }
    expect(await log('two', four)).toMatchObject({ refused: 'inequivalentDeclaration' })
    await queue('fleeting', { durable: false })
    expect(await log('fleeting')).toMatchObject({ refused: 'inequivalentDeclaration' })
    await queue('further', { arguments: fieldTable({ 'x-log': textField('three') }) })
    expect(await log('further')).toMatchObject({ refused: 'inequivalentDeclaration' })
  })

  test('stores what is published, also when nothing is bound or only other exchanges lead to it', async () => {
    await log('e')
    expect(await publish('e', 'a')).toMatchObject({ state: 'stored' })
    const plain = { durable: true, autoDelete: false, internal: false, arguments: [] }
    await calls.declareExchange({ name: 'in', type: 'fanout', ...plain })
    await calls.bind({ ...bindingOf('in', 'e'), destinationKind: 'exchange' })
    await queue('e')
    await bind('in', 'e')
    // Bound as an exchange and as a queue it is one topic.
    expect(await publish('in', 'b')).toMatchObject({ state: 'stored' })
    expect(await taken('e')).toEqual(['a', 'b'])
  })

  test('takes what a transaction publishes whole, or none of it', async () => {
    await log('e')
    await queue('q')
    await bind('e', 'q')
    const channel = calls.openChannel({ hasRoom: true, deliver: () => undefined, cancelled: () => undefined })
    channel.beginTransactions()
    const send = (body: string) => {
      const content = Buffer.from(body)
      const message = { routingKey: 'k', properties: noProperties, body: [content], bodyBytes: content.length }
      channel.publish({ exchange: 'e', ...message })
    }
    send('forgotten')
    channel.rollback()
    send('a')
    send('b')
    await turns(20)
    expect(await taken('q')).toEqual([])
    store.manual = true
    const refused = channel.commit()
    await turns(5)
    store.fail('full')
    store.manual = false
    expect(await refused).toMatchObject({ refused: 'storageFull' })
    send('c')
    send('d')
    expect(await channel.commit()).toBe(true)
    await turns(20)
    expect(await taken('q')).toEqual(['c', 'd'])
  })

  test('is internal if it is said to be: only exchanges and producers write it', async () => {
    await log('e', { internal: true })
    expect(await publish('e', 'a')).toMatchObject({ refused: 'internalExchange' })
    await queue('q')
    await bind('e', 'q')
    await produce('e', 'b')
    expect(await taken('q')).toEqual(['b'])
  })

  test('its policies and alternates close no loop', async () => {
    await log('e')
    const plain = { durable: true, autoDelete: false, internal: false }
    await calls.declareExchange({ name: 'x', type: 'direct', ...plain, arguments: [] })
    await calls.bind({ ...bindingOf('e', 'x'), destinationKind: 'exchange' })
    const policy = { name: 'p', pattern: '^[xy]$', appliesTo: 'exchanges' as const, priority: 0 }
    const alternate = (name: string) => ({ ...policy, definition: { 'alternate-exchange': name } })
    expect(await calls.setPolicy(alternate('e'), false)).toMatchObject({ refused: 'inequivalentDeclaration' })
    expect(await calls.setPolicy(alternate('y'), false)).toBe(true)
    // One that another outweighs may apply again when that goes.
    await calls.declareExchange({ name: 'safe', type: 'direct', ...plain, arguments: [] })
    const hidden = { ...policy, name: 'hidden', pattern: '^z$', definition: { 'alternate-exchange': 'e' } }
    expect(await calls.setPolicy(hidden, false)).toBe(true)
    const above = { ...hidden, name: 'above', priority: 1, definition: { 'alternate-exchange': 'safe' } }
    expect(await calls.setPolicy(above, false)).toBe(true)
    await calls.declareExchange({ name: 'z', type: 'direct', ...plain, arguments: [] })
    expect(await calls.bind({ ...bindingOf('e', 'z'), destinationKind: 'exchange' })).toMatchObject({
      refused: 'inequivalentDeclaration',
    })
    await calls.deleteExchange('z', false)
    // A name that was an alternate before there was such an exchange.
    await calls.deletePolicy('p', false)
    expect(await calls.setPolicy({ ...alternate('y'), pattern: '^x$' }, false)).toBe(true)
    const back = fieldTable({ 'alternate-exchange': textField('e') })
    expect(await calls.declareExchange({ name: 'y', type: 'direct', ...plain, arguments: back })).toMatchObject({
      refused: 'inequivalentDeclaration',
    })
  })
})

describe('a binding', () => {
  test('begins where it is asked to, once', async () => {
    await topic('t')
    await produce('t', 'a', 'b')
    await produce('t', 'c')
    await log('t')
    for (const name of ['first', 'last', 'next']) {
      await queue(name)
      await bind('t', name, name)
    }
    await queue('second')
    await calls.bind(bindingOf('t', 'second', fieldTable({ 'x-stream-offset': int32Field(1) })))
    await produce('t', 'd')
    expect(await taken('first')).toEqual(['a', 'b', 'c', 'd'])
    expect(await taken('last')).toEqual(['c', 'd'])
    expect(await taken('next')).toEqual(['d'])
    expect(await taken('second')).toEqual(['b', 'c', 'd'])
    await bind('t', 'first', 'first')
    await turns(20)
    expect(await taken('first')).toEqual([])
  })

  test('has no arguments that would say nothing', async () => {
    await log('e')
    await queue('q')
    const said = { n: int32Field(1) }
    expect(await calls.bind(bindingOf('e', 'q', fieldTable(said)))).toMatchObject({
      refused: 'invalidArgument',
      why: "argument 'n' of a binding of an exchange of type x-log says nothing without 'x-match'",
    })
    expect(await calls.bind(bindingOf('e', 'q', fieldTable({ ...said, 'x-match': textField('any') })))).toBe(true)
  })

  test.each<[string, Field, string]>([
    ['an offset far off', { type: 'int64', value: 2n ** 63n - 1n }, 'c'],
    ['one below zero', { type: 'int64', value: -(2n ** 63n) }, 'abc'],
    ['a time that never comes', { type: 'timestamp', value: 2n ** 64n - 1n }, 'c'],
    ['the beginning of time', { type: 'timestamp', value: 0 }, 'abc'],
    ['an age before all time', textField('999999999999Y'), 'abc'],
  ])('begins somewhere with any number: %s', async (_what, at, wanted) => {
    await topic('t')
    await produce('t', 'a', 'b')
    await log('t')
    await queue('q')
    expect(await calls.bind(bindingOf('t', 'q', fieldTable({ 'x-stream-offset': at })))).toBe(true)
    await produce('t', 'c')
    expect((await taken('q')).join('')).toBe(wanted)
  })

  test('refuses beginnings that are none', async () => {
    await log('e')
    await queue('q')
    const faults: Field[] = [
      { type: 'float64', value: Number.NaN },
      { type: 'bool', value: true },
      textField('NaN'),
      textField(''),
    ]
    for (const fault of faults)
      expect(await calls.bind(bindingOf('e', 'q', fieldTable({ 'x-stream-offset': fault })))).toMatchObject({
        refused: 'invalidArgument',
      })
  })

  test('passes over batches that lie, and counts them', async () => {
    await topic('t')
    await log('t')
    await queue('q')
    await bind('t', 'q')
    await produce('t', 'a')
    const lie = assembleBatch(
      { attributes: 1, lastOffsetDelta: 2, baseTimestampMs: 0, maxTimestampMs: 0, count: 3 },
      Buffer.from('this is no gzip'),
    )
    expect(await session.produce({ topic: { name: 't' }, partition: 0, batch: lie, acks: -1 })).toMatchObject({
      baseOffset: 1,
    })
    await produce('t', 'b')
    expect(await taken('q')).toEqual(['a', 'b'])
    expect(counter('ledger.closed.malformed')).toBe(3)
  })

  test('is undone by its arguments in any order', async () => {
    await log('e')
    await queue('q')
    const args = fieldTable({ 'x-match': textField('all'), a: int32Field(1), 'x-stream-offset': textField('first') })
    await calls.bind(bindingOf('e', 'q', args))
    expect(calls.listBindings()).toHaveLength(1)
    await calls.unbind(bindingOf('e', 'q', args.toReversed()))
    expect(calls.listBindings()).toEqual([])
  })

  test('made anew begins anew; its end leaves nothing behind', async () => {
    await topic('t')
    await log('t')
    await queue('q')
    for (let again = 0; again < 2; again++) {
      await bind('t', 'q', 'first')
      await produce('t', String(again))
      await calls.unbind(bindingOf('t', 'q', startsAt('first')))
    }
    expect(await taken('q')).toEqual(['0', '0', '1'])
    await produce('t', 'unseen')
    expect(await taken('q')).toEqual([])
  })

  test('of a queue that is not durable lasts as long as the queue', async () => {
    await topic('t')
    await produce('t', 'a')
    await log('t')
    await queue('q', { exclusive: true, durable: false })
    await bind('t', 'q', 'first')
    await produce('t', 'b')
    expect(await taken('q')).toEqual(['a', 'b'])
    await broker.close()
    await start()
    expect(calls.listBindings()).toEqual([])
  })

  test('goes on where it was when its end is refused', async () => {
    await topic('t')
    await log('t')
    await queue('kept')
    await queue('own', { exclusive: true, durable: false })
    for (const name of ['kept', 'own']) await bind('t', name, 'first')
    await produce('t', 'a')
    store.manual = true
    const deleted = calls.deleteExchange('t', false)
    await turns(5)
    store.fail('full')
    store.manual = false
    expect(await deleted).toMatchObject({ refused: 'storageFull' })
    await turns(20)
    await produce('t', 'b')
    for (const name of ['kept', 'own']) expect(await taken(name)).toEqual(['a', 'b'])
    expect(await calls.deleteExchange('t', false)).toBe(true)
    expect(calls.listBindings()).toEqual([])
  })

  test('copies nothing again when its end is refused while it copies', async () => {
    await topic('t')
    await log('t')
    await queue('own', { exclusive: true, durable: false })
    await bind('t', 'own', 'first')
    store.manual = true
    void produce('t', 'a')
    await turns(5)
    store.commit()
    await turns(10)
    // The copy is under way.
    const deleted = calls.deleteExchange('t', false)
    await turns(5)
    store.commit(1)
    await turns(5)
    store.fail('full')
    store.manual = false
    expect(await deleted).toMatchObject({ refused: 'storageFull' })
    await turns(20)
    await produce('t', 'b')
    expect(await taken('own')).toEqual(['a', 'b'])
  })

  test('copies partitions that are added, from their beginning', async () => {
    await topic('t', 1)
    await log('t')
    await queue('q')
    await bind('t', 'q')
    await session.createPartitions('t', 2, false)
    const batch = testBatch(world.clock, { values: ['new'] })
    await session.produce({ topic: { name: 't' }, partition: 1, batch, acks: -1 })
    await turns(20)
    expect(await taken('q')).toEqual(['new'])
  })

  test('waits while its queue is full, and counts what retention took meanwhile', async () => {
    await topic('t')
    await log('t')
    await queue('q', {
      arguments: fieldTable({ 'x-max-length': int32Field(2), 'x-overflow': textField('reject-publish') }),
    })
    await bind('t', 'q')
    await produce('t', 'a', 'b', 'c', 'd')
    expect(counter('cursors.waits')).toBeGreaterThan(0)
    expect(await taken('q')).toEqual(['a', 'b'])
    await session.deleteRecords('t', 0, 3)
    for (let round = 0; round < 4; round++) {
      world.clock.advance(2500)
      await turns(20)
    }
    expect(await taken('q')).toEqual(['d'])
    expect(counter('cursors.dropped.retention')).toBe(1)
  })

  test('holds the log of a queue that is worked off before it is copied', async () => {
    await queue('worked')
    await log('worked')
    await queue('q', {
      arguments: fieldTable({ 'x-max-length': int32Field(0), 'x-overflow': textField('reject-publish') }),
    })
    await bind('worked', 'q')
    await publish('worked', 'a')
    const stored = store.logs.get(`${topicOf('worked')?.id}-0` as LogId)
    stored?.roll()
    await publish('worked', 'b')
    expect(await taken('worked')).toEqual(['a', 'b'])
    const trimmed = async (): Promise<number> => {
      for (let round = 0; round < 4; round++) {
        world.clock.advance(2500)
        await turns(20)
      }
      return stored?.start ?? -1
    }
    expect(await trimmed()).toBe(0)
    await calls.unbind(bindingOf('worked', 'q'))
    expect(await trimmed()).toBe(1)
  })

  test('begins in the topic that is there, though another was when it was asked for', async () => {
    await log('e')
    await queue('q')
    await publish('e', 'before')
    await publish('e', 'before')
    let found: () => void = () => undefined
    const first = store.logs.get(`${topicOf('e')?.id}-0` as LogId)
    if (first !== undefined)
      first.findTime = async () => {
        await new Promise<void>((resolve) => (found = resolve))
        return undefined
      }
    const bound = bind('e', 'q', '1h')
    await turns(5)
    await calls.deleteExchange('e', false)
    await log('e')
    await publish('e', 'between')
    found()
    expect(await bound).toBe(true)
    await publish('e', 'after')
    expect(await taken('q')).toEqual(['between', 'after'])
  })

  test('goes with its queue and with its topic', async () => {
    await topic('t')
    await log('t')
    await queue('q')
    await bind('t', 'q')
    await calls.deleteQueue('q', { ifUnused: false, ifEmpty: false })
    expect(calls.listBindings()).toEqual([])
    await queue('q')
    await bind('t', 'q')
    await session.deleteTopics([{ name: 't' }])
    expect(calls.listBindings()).toEqual([])
    expect(calls.checkExchange('t')).toMatchObject({ refused: 'exchangeMissing' })
    await produce('q', 'own')
    expect(await taken('q')).toEqual(['own'])
  })
})

describe('what bindings hold in memory', () => {
  /** The most bytes of appends that were under way at a time, and of one append. */
  function watchAppends() {
    const most = { underWay: 0, inOne: 0 }
    let now = 0
    const append = store.append.bind(store)
    store.append = (entries) => {
      const bytes = entries.reduce((sum, { batch }) => sum + batch.length, 0)
      most.inOne = Math.max(most.inOne, bytes)
      most.underWay = Math.max(most.underWay, (now += bytes))
      return append(entries).finally(() => (now -= bytes))
    }
    return most
  }
  const large = 'x'.repeat(500_000)

  test('is bounded, however many there are', async () => {
    await topic('t')
    await log('t')
    const names = Array.from({ length: 40 }, (_, index) => `q${index}`)
    for (const name of names) await queue(name)
    await Promise.all(names.map((name) => bind('t', name)))
    const most = watchAppends()
    store.manual = true
    for (let index = 0; index < 4; index++) void produce('t', large)
    await turns(20)
    store.commit()
    await turns(100)
    store.manual = false
    store.commit()
    await turns(100)
    expect(most.underWay).toBeGreaterThan(10 * MiB)
    expect(most.underWay).toBeLessThan(copiesBytesMax + 1 * MiB)
    for (const name of names) expect((await taken(name)).length).toBe(4)
  })

  test('is bounded in one append, however many queues a message goes to', async () => {
    await topic('t')
    for (let index = 0; index < 4; index++) await produce('t', large)
    await log('t')
    const plain = { durable: true, autoDelete: false, internal: false, arguments: [] }
    await calls.declareExchange({ name: 'f', type: 'fanout', ...plain })
    const names = Array.from({ length: 20 }, (_, index) => `q${index}`)
    for (const name of names) await queue(name)
    for (const name of names) await bind('f', name)
    const most = watchAppends()
    await calls.bind({ ...bindingOf('t', 'f', startsAt('first')), destinationKind: 'exchange' })
    await turns(100)
    expect(most.inOne).toBeLessThan(11 * MiB)
    for (const name of names) expect((await taken(name)).length).toBe(4)
  })
})
