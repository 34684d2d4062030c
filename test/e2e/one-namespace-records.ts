// Rows of docs/one-namespace.md: records as messages and messages as records, and who reads them beside the queue.
// Promises: each row stands alone, on names of its own. Every type of value is in both-ways.test.ts.
// Does not know: in which broker it runs.

import type { GetMessage } from 'amqplib'
import { expect } from 'vitest'
import { eventually, type Row, type Sides } from './one-namespace.ts'

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
      expect(got.properties.headers).toMatchObject({ 'x-key': 'customer 7' })
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
    name: 'Place',
    steps: async (sides) => {
      await sides.createTopic('placed-by-kafka')
      await sides.declare('placed-by-kafka')
      await sides.declare('placed-wide', { arguments: { 'x-partitions': 2 } })
      await sides.declare('placed-plain')
      const places: unknown[] = []
      for (const queue of ['placed-by-kafka', 'placed-wide', 'placed-plain']) {
        await sides.publish(queue, 'by AMQP')
        places.push((await getOne(sides, queue)).properties.headers)
      }
      const place = { 'x-partition': expect.any(Number), 'x-stream-offset': 0 }
      expect(places).toEqual([place, place, {}])
      await sides.produce('placed-plain', 'by Kafka')
      const place1 = { 'x-partition': 0, 'x-stream-offset': 1 }
      expect((await getOne(sides, 'placed-plain')).properties.headers).toEqual(place1)
    },
  },
  {
    name: 'No value',
    steps: async (sides) => {
      await sides.declare('entombed')
      const channel = await sides.channel()
      const headers = { 'x-key': 'k', 'x-tombstone': true }
      channel.sendToQueue('entombed', Buffer.alloc(0), { headers })
      channel.sendToQueue('entombed', Buffer.alloc(0), {})
      await channel.waitForConfirms()
      await sides.produceOne('entombed', { key: 'k', value: null })
      const records = await sides.read('entombed', 3)
      expect(records.map(({ value }) => value?.length)).toEqual([undefined, 0, undefined])
      const got = [await getOne(sides, 'entombed'), await getOne(sides, 'entombed'), await getOne(sides, 'entombed')]
      expect(got.map(({ content }) => content.length)).toEqual([0, 0, 0])
      expect(got.map(({ properties }) => properties.headers?.['x-tombstone'] as unknown)).toEqual([
        true,
        undefined,
        true,
      ])
      const refused = await sides.refusal(async (other) => {
        other.sendToQueue('entombed', Buffer.from('body'), { headers })
        await other.checkQueue('entombed')
      })
      expect(refused).toBe('406')
    },
  },
  {
    name: 'Compression',
    steps: async (sides) => {
      const body = 'thread '.repeat(200)
      await sides.createTopic('packed', { 'compression.type': 'zstd' })
      await sides.declare('packed')
      await sides.publish('packed', body)
      await sides.produce('packed', body)
      expect((await sides.read('packed', 2)).map(({ value }) => value?.toString())).toEqual([body, body])
      expect(await sides.workOff('packed')).toEqual([body, body])
    },
  },
  {
    name: 'A batch that lies',
    steps: async (sides) => {
      await sides.declare('doubtful-dead')
      const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'doubtful-dead' }
      await sides.declare('doubtful', { arguments: toDead })
      await sides.produce('doubtful', 'before')
      const noGzip = Buffer.from('no gzip at all')
      await sides.produceAsGzip('doubtful', noGzip)
      await sides.produce('doubtful', 'after')
      expect(await sides.workOff('doubtful')).toEqual(['before', 'after'])
      await eventually('the dead letter', async () => (await sides.declare('doubtful-dead')) === 1)
      const letter = await getOne(sides, 'doubtful-dead')
      expect(letter.content.subarray(61)).toEqual(noGzip)
      expect(letter.properties.headers).toMatchObject({
        'x-first-death-reason': 'malformed',
        'x-first-death-queue': 'doubtful',
        'x-source-offset': 1,
      })
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
