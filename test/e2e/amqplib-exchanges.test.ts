// amqplib against the whole broker: what is routed where, what comes back late or elsewhere, and what a transaction does.
// Promises: real sockets; every wait ends with its event or fails.
// Does not know: how routing is done.

import amqp, { type ChannelModel, type ConfirmChannel } from 'amqplib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Arrivals, openPlace, within, type Place } from './place.ts'

let place: Place
let client: ChannelModel
let channel: ConfirmChannel
beforeAll(async () => {
  place = await openPlace('memory:')
  client = await amqp.connect(place.url)
})
beforeEach(async () => {
  channel = await client.createConfirmChannel()
})
afterEach(() => channel.close())
afterAll(async () => {
  await client.close()
  await place.close()
})

/** A queue of this connection, bound; what arrives in it. */
async function bound(exchange: string, pattern: string, args: object = {}): Promise<Arrivals<string>> {
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, exchange, pattern, args)
  const arrivals = new Arrivals<string>()
  await channel.consume(queue, (message) => arrivals.add(message?.content.toString() ?? ''), { noAck: true })
  return arrivals
}

const drained = async (queue: string): Promise<string[]> => {
  const all: string[] = []
  for (;;) {
    const message = await channel.get(queue, { noAck: true })
    if (message === false) return all
    all.push(message.content.toString())
  }
}

test.each<[string, (publish: (key: string, headers?: object) => void) => void, [string, object?][], string[][]]>([
  ['direct', (publish) => ['a', 'b', 'c'].forEach((key) => publish(key)), [['a'], ['b']], [['a'], ['b']]],
  [
    'fanout',
    (publish) => ['a', 'b'].forEach((key) => publish(key)),
    [['x'], ['']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
  ],
  [
    'topic',
    (publish) => ['sport.ball', 'sport.ball.foot', 'news', 'a..b'].forEach((key) => publish(key)),
    [['sport.*'], ['#'], ['*.*.*'], ['sport.#']],
    [
      ['sport.ball'],
      ['sport.ball', 'sport.ball.foot', 'news', 'a..b'],
      ['sport.ball.foot', 'a..b'],
      ['sport.ball', 'sport.ball.foot'],
    ],
  ],
  [
    'headers',
    (publish) => {
      publish('both', { a: 1, b: 'x' })
      publish('one', { a: 1 })
      publish('none')
    },
    [
      ['', { 'x-match': 'all', a: 1, b: 'x' }],
      ['', { 'x-match': 'any', a: 1, b: 'x' }],
    ],
    [['both'], ['both', 'one']],
  ],
])('%s', async (type, publishAll, bindings, wanted) => {
  const exchange = `e-${type}`
  await channel.assertExchange(exchange, type, { autoDelete: false })
  const arrivals = []
  for (const [pattern, args] of bindings) arrivals.push(await bound(exchange, pattern, args))
  publishAll((key, headers = {}) => channel.publish(exchange, key, Buffer.from(key), { headers }))
  await within('confirms', channel.waitForConfirms())
  for (const [index, of] of arrivals.entries()) {
    await of.until(`all of binding ${index}`, ({ length }) => length >= wanted[index].length)
    expect(of.all).toEqual(wanted[index])
  }
  await channel.deleteExchange(exchange)
})

describe('between exchanges', () => {
  test('bound exchanges, each queue once; an alternate takes what nobody wants', async () => {
    await channel.assertExchange('lost', 'fanout')
    await channel.assertExchange('front', 'direct', { alternateExchange: 'lost' })
    await channel.assertExchange('back', 'fanout')
    await channel.bindExchange('back', 'front', 'k')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'front', 'k')
    await channel.bindQueue(queue, 'back', '')
    const lost = await bound('lost', '')
    channel.publish('front', 'k', Buffer.from('once'))
    channel.publish('front', 'other', Buffer.from('unwanted'), { mandatory: true })
    await within('confirms', channel.waitForConfirms())
    await lost.until('the unwanted', ({ length }) => length === 1)
    expect(await drained(queue)).toEqual(['once'])
    expect(lost.all).toEqual(['unwanted'])
    for (const exchange of ['front', 'back', 'lost']) await channel.deleteExchange(exchange)
  })

  test('a retry through time to live and dead lettering, with its deaths told', async () => {
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const { queue: wait } = await channel.assertQueue('', {
      exclusive: true,
      messageTtl: 20,
      deadLetterExchange: '',
      deadLetterRoutingKey: queue,
    })
    const arrived = new Arrivals<{ reason: string; count: number; queue: string }[]>()
    await channel.consume(queue, (message) => {
      if (message === null) return
      const deaths = (message.properties.headers?.['x-death'] ?? []) as {
        reason: string
        count: number
        queue: string
      }[]
      arrived.add(deaths)
      channel.ack(message)
      if (arrived.all.length < 3)
        channel.sendToQueue(wait, message.content, { headers: message.properties.headers ?? {} })
    })
    channel.sendToQueue(queue, Buffer.from('try'))
    const all = await arrived.until('three tries', ({ length }) => length === 3)
    expect(all[0]).toEqual([])
    expect(all[1]).toMatchObject([{ reason: 'expired', count: 1, queue: wait }])
    expect(all[2]).toMatchObject([{ reason: 'expired', queue: wait }])
  })

  test('rejected and dropped from a full queue, both with their reason', async () => {
    const dead = await channel.assertQueue('', { exclusive: true })
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      maxLength: 2,
      deadLetterExchange: '',
      deadLetterRoutingKey: dead.queue,
    })
    const reasons = new Arrivals<string>()
    await channel.consume(
      dead.queue,
      (message) =>
        reasons.add(`${message?.content.toString()} ${String(message?.properties.headers?.['x-first-death-reason'])}`),
      { noAck: true },
    )
    for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body))
    await within('confirms', channel.waitForConfirms())
    await reasons.until('the dropped', ({ length }) => length === 1)
    const message = await channel.get(queue)
    if (message === false) throw new Error('a message was expected')
    channel.nack(message, false, false)
    expect(await reasons.until('the rejected', ({ length }) => length === 2)).toEqual(['a maxlen', 'b rejected'])
  })

  test('a full queue that refuses is told by a nack', async () => {
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      maxLength: 1,
      overflow: 'reject-publish',
    } as object)
    const told: string[] = []
    for (const body of ['a', 'b']) {
      channel.sendToQueue(queue, Buffer.from(body), {}, (error: unknown) => told.push(error === null ? 'ack' : 'nack'))
      await channel.waitForConfirms().catch(() => {})
    }
    expect(told).toEqual(['ack', 'nack'])
    expect(await drained(queue)).toEqual(['a'])
  })
})

test('priorities, highest first', async () => {
  const { queue } = await channel.assertQueue('', { exclusive: true, maxPriority: 5 })
  for (const priority of [1, 5, 0, 9, 3]) channel.sendToQueue(queue, Buffer.from(String(priority)), { priority })
  await within('confirms', channel.waitForConfirms())
  expect(await drained(queue)).toEqual(['5', '9', '3', '1', '0'])
})

test('a consumer that is first in line alone, then the next', async () => {
  const { queue } = await channel.assertQueue('', { exclusive: true, arguments: { 'x-single-active-consumer': true } })
  const by = new Arrivals<string>()
  const first = await channel.consume(queue, () => by.add('first'), { noAck: true })
  await channel.consume(queue, () => by.add('second'), { noAck: true })
  for (let at = 0; at < 3; at++) channel.sendToQueue(queue, Buffer.from('x'))
  await by.until('three', ({ length }) => length === 3)
  await channel.cancel(first.consumerTag)
  channel.sendToQueue(queue, Buffer.from('x'))
  expect(await by.until('the fourth', ({ length }) => length === 4)).toEqual(['first', 'first', 'first', 'second'])
})
