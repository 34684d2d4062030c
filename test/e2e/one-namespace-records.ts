// Rows of docs/one-namespace.md: records as messages and messages as records, and who reads them beside the queue.
// Promises: each row stands alone, on names of its own. Every type of value is in both-ways.test.ts.
// Does not know: in which broker it runs.

import type { GetMessage } from 'amqplib'
import { expect } from 'vitest'
import type { Row, Sides } from './one-namespace.ts'

async function getOne(sides: Sides, queue: string): Promise<GetMessage> {
  const channel = await sides.channel()
  const got = await channel.get(queue, { noAck: true })
  await channel.close()
  if (got === false) throw new Error(`${queue} was expected to hold a message`)
  return got
}

export const recordRows: readonly Row[] = [
  {
    name: 'Key and routing key',
    steps: async (sides) => {
      await sides.declare('keyed')
      await sides.produceOne('keyed', { key: 'customer 7', value: 'a' })
      const got = await getOne(sides, 'keyed')
      expect(got.fields.routingKey).toBe('customer 7')
      expect(got.properties.headers).toMatchObject({ 'x-key': 'customer 7', 'x-partition': 0, 'x-stream-offset': 0 })
      await sides.produceOne('keyed', { value: 'b' })
      expect((await getOne(sides, 'keyed')).fields.routingKey).toBe('keyed')
      const channel = await sides.channel()
      channel.sendToQueue('keyed', Buffer.from('c'), { headers: { 'x-key': 'customer 8' } })
      channel.sendToQueue('keyed', Buffer.from('d'))
      await channel.waitForConfirms()
      const [, , withKey, without] = await sides.read('keyed', 4)
      expect([withKey.key?.toString(), without.key]).toEqual(['customer 8', null])
    },
  },
  {
    name: 'Headers and properties',
    steps: async (sides) => {
      await sides.declare('headed')
      const channel = await sides.channel()
      const properties = {
        contentType: 'text/plain',
        correlationId: 'c1',
        headers: { tries: 3, kind: 'new', all: [1] },
      }
      channel.sendToQueue('headed', Buffer.from('a'), properties)
      await channel.waitForConfirms()
      const [record] = await sides.read('headed', 1)
      expect(Object.keys(record.headers ?? {}).sort()).toEqual(['amqp', 'kind', 'tries'])
      expect([String(record.headers?.kind), String(record.headers?.tries)]).toEqual(['new', '3'])
      expect((await getOne(sides, 'headed')).properties).toMatchObject(properties)
      await sides.produceOne('headed', { value: 'b', headers: { trace: 'x1', tag: ['p', 'q'] } })
      expect((await getOne(sides, 'headed')).properties.headers).toMatchObject({ trace: 'x1', tag: ['p', 'q'] })
    },
  },
  {
    name: 'Time',
    steps: async (sides) => {
      await sides.declare('timed')
      await sides.produceOne('timed', { value: 'a', timestamp: '1700000000123' })
      expect((await getOne(sides, 'timed')).properties.timestamp).toBe(1_700_000_000)
      const before = Date.now()
      const channel = await sides.channel()
      channel.sendToQueue('timed', Buffer.from('b'), { timestamp: 1_600_000_000 })
      await channel.waitForConfirms()
      const [, record] = await sides.read('timed', 2)
      expect(Number(record.timestamp)).toBeGreaterThanOrEqual(before)
      expect((await getOne(sides, 'timed')).properties.timestamp).toBe(1_600_000_000)
    },
  },
  {
    name: 'Reading without taking',
    steps: async (sides) => {
      await sides.createTopic('looked-at')
      await sides.produce('looked-at', 'a', 'b', 'c')
      const channel = await sides.channel()
      await channel.prefetch(10)
      const all = await sides.consume(channel, 'looked-at', { arguments: { 'x-stream-offset': 1 } })
      expect(await all.until('two records', ({ length }) => length === 2)).toEqual(['b', 'c'])
      expect(await sides.refusal((other) => other.checkQueue('looked-at'))).toBe('404')
      expect(await sides.declare('looked-at')).toBe(3)
    },
  },
  {
    name: 'Exchange that remembers',
    steps: async (sides) => {
      await sides.createTopic('remembered')
      await sides.produceOne('remembered', { key: 'eu.new', value: 'a' })
      await sides.produceOne('remembered', { key: 'us.new', value: 'b' })
      const channel = await sides.channel()
      await channel.assertExchange('remembered', 'x-log')
      await sides.declare('of-europe')
      await channel.bindQueue('of-europe', 'remembered', 'eu.#', { 'x-stream-offset': 'first' })
      channel.publish('remembered', 'eu.paid', Buffer.from('c'))
      await channel.waitForConfirms()
      expect((await sides.read('remembered', 3)).map(({ value }) => String(value))).toEqual(['a', 'b', 'c'])
      const copied = await sides.consume(channel, 'of-europe')
      expect(await copied.until('both copies', ({ length }) => length === 2)).toEqual(['a', 'c'])
      await channel.deleteExchange('remembered')
      expect(await sides.topics()).toContain('remembered')
    },
  },
]
