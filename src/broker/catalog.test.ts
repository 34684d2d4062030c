// The catalog: what its records keep, in each of their versions, and what is only in memory.
// Promises: records of older programs are read; what was applied is what entries() give back.
// Does not know: logs, who made a topic.

import { expect, test } from 'vitest'
import { array, bool, bytes, int32, int64, list, message, string, uuid, versions } from '../base/schema.ts'
import type { TopicId } from '../log/store.ts'
import { Catalog, type TopicFacts } from './catalog.ts'
import { writeStored } from './stored.ts'

const idOf = (digit: number): TopicId => Buffer.alloc(16, digit).toString('base64url') as TopicId

const topic = (name: string, over: Partial<TopicFacts> = {}): TopicFacts => ({
  vhost: '/',
  name,
  id: idOf(name.length),
  partitions: 1,
  origin: 'amqp',
  createdAtMs: 5,
  overrides: new Map([['retention.ms', '7']]),
  queue: {
    durable: true,
    exclusive: false,
    autoDelete: true,
    arguments: [{ name: 'x-expires', value: { type: 'int32', value: 9 } }],
  },
  isVolatile: false,
  ...over,
})

function keep(catalog: Catalog, facts: TopicFacts): void {
  const { key, value } = catalog.topicRecord(facts)
  catalog.apply(Buffer.from(key), value === null ? null : Buffer.from(value))
}

test('a record keeps all that a queue was declared with', () => {
  const catalog = new Catalog(new Map())
  keep(catalog, topic('a'))
  const other = new Catalog(new Map())
  for (const { key, value } of catalog.entries()) other.apply(Buffer.from(key), Buffer.from(value as Buffer))
  expect(other.find('/', { name: 'a' })).toMatchObject({ ...topic('a') })
  expect(other.byId(idOf(1))?.policy).toMatchObject({ retentionMs: 7 })
})

test('a record of version 0 is a topic that is no queue', () => {
  const stored = message(versions(0, 0), {
    id: uuid(),
    partitions: int32(),
    origin: string(),
    createdAtMs: int64(),
    settings: list({ name: string(), value: string() }),
  })
  const catalog = new Catalog(new Map())
  const value = writeStored(stored, { id: idOf(1), partitions: 3, origin: 'kafka', createdAtMs: 5, settings: [] })
  catalog.apply(Buffer.from('t/\0a'), value)
  expect(catalog.find('/', { name: 'a' })).toMatchObject({
    id: idOf(1),
    partitions: 3,
    origin: 'kafka',
    queue: undefined,
  })
})

test('a record of version 1 is a queue that goes by its log’s first ledger', () => {
  const stored = message(versions(0, 1), {
    id: uuid(),
    partitions: int32(),
    origin: string(),
    createdAtMs: int64(),
    settings: list({ name: string(), value: string() }),
    isQueue: bool({ since: 1 }),
    autoDelete: bool({ since: 1 }),
    arguments: bytes({ since: 1 }),
  })
  const catalog = new Catalog(new Map())
  const facts = { id: idOf(1), partitions: 1, origin: 'amqp', createdAtMs: 5, settings: [] }
  const value = writeStored(stored, { ...facts, isQueue: true, autoDelete: false, arguments: Buffer.alloc(0) })
  catalog.apply(Buffer.from('t/\0a'), value)
  const found = catalog.find('/', { name: 'a' })
  expect(found).toMatchObject({ partitions: 1, queue: { durable: true } })
  expect([found?.ledger, found?.over]).toEqual([undefined, undefined])
})

test('further ledgers are kept with their number, found by their topic, and no topic to clients of Kafka', () => {
  const catalog = new Catalog(new Map())
  keep(catalog, topic('orders', { ledger: 3 }))
  const over = idOf('orders'.length)
  keep(catalog, topic('audit', { partitions: 0, over, ledger: 1 }))
  catalog.putVolatile(topic('tail', { partitions: 0, over, ledger: 2, isVolatile: true }))
  expect(catalog.further(over).map(({ name, ledger }) => [name, ledger])).toEqual([
    ['audit', 1],
    ['tail', 2],
  ])
  expect(catalog.list('/').map(({ name, ledger }) => [name, ledger])).toEqual([['orders', 3]])
  const other = new Catalog(new Map())
  for (const { key, value } of catalog.entries()) other.apply(Buffer.from(key), Buffer.from(value as Buffer))
  const audit = other.named('/', 'audit')
  expect(audit).toMatchObject({ over, ledger: 1, partitions: 0 })
  expect(audit === undefined ? undefined : other.sourceOf(audit).name).toBe('orders')
  other.apply(Buffer.from('t/\0audit'), null)
  expect(other.further(over)).toEqual([])
})

test('a record of a newer version is refused', () => {
  const catalog = new Catalog(new Map())
  expect(() => catalog.apply(Buffer.from('t/\0a'), Buffer.of(3, 0))).toThrow('newer version')
})

test('what is only in memory stays over a replay and is in no record', () => {
  const catalog = new Catalog(new Map())
  keep(catalog, topic('a'))
  catalog.putVolatile(topic('bb', { isVolatile: true }))
  expect(catalog.list('/').map((one) => one.name)).toEqual(['a', 'bb'])
  catalog.reset()
  // Until the replay is whole everybody sees the state before.
  expect(catalog.find('/', { name: 'a' })).toBeDefined()
  catalog.replayed()
  expect(catalog.find('/', { name: 'a' })).toBeUndefined()
  expect(catalog.find('/', { name: 'bb' })?.policy.durability).toBe('scratch')
  expect([...catalog.entries()]).toEqual([])
  expect(catalog.queues('/').map((one) => one.name)).toEqual(['bb'])
})

test('settings and policies of topics that are alike are one object, and follow the broker’s', () => {
  const catalog = new Catalog(new Map())
  for (const name of ['a', 'bb', 'ccc']) keep(catalog, topic(name))
  catalog.putVolatile(topic('dddd', { isVolatile: true }))
  const [one, other] = catalog.all()
  expect(one.policy).toBe(other.policy)
  expect(one.queue).toBe(other.queue)
  const value = writeStored(message(versions(0, 0), { texts: array(string()) }), { texts: ['2000'] })
  catalog.apply(Buffer.from('bmessage.max.bytes'), value)
  for (const { policy } of catalog.all()) expect(policy.batchBytesMax).toBe(2000)
  expect(catalog.find('/', { name: 'dddd' })?.policy.durability).toBe('scratch')
})
