// amqplib against the whole broker: queues, acknowledgements, confirms, transactions, and what a restart leaves.
// Promises: real sockets, both stores; every wait ends with its event or fails.
// Does not know: how anything is stored.

import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Arrivals, openPlace, stores, within, type Place } from './place.ts'

const text = (message: ConsumeMessage | null): string => message?.content.toString() ?? 'cancelled'

/** What a channel's or connection's end says: code and first words. */
const endOf = (of: Channel | ChannelModel): Promise<string> =>
  within('an error', new Promise((resolve) => of.once('error', (error: Error) => resolve(error.message))))

describe.each(stores)('on %s', (kind) => {
  let place: Place
  let client: ChannelModel
  beforeAll(async () => {
    place = await openPlace(kind)
    client = await amqp.connect(place.url)
  })
  afterAll(async () => {
    await client.close()
    await place.close()
  })

  test('published, confirmed, consumed in order, acknowledged', async () => {
    const channel = await client.createConfirmChannel()
    await channel.assertQueue('orders', { durable: true })
    const arrived = new Arrivals<string>()
    for (let at = 0; at < 1000; at++) {
      channel.sendToQueue('orders', Buffer.from(`order ${at}`), { persistent: true, headers: { at } })
    }
    await within('confirms', channel.waitForConfirms())
    expect(await channel.checkQueue('orders')).toMatchObject({ messageCount: 1000, consumerCount: 0 })
    await channel.prefetch(50)
    await channel.consume('orders', (message) => {
      if (message === null) return
      expect(message.properties.headers?.at).toBe(arrived.all.length)
      expect(message.properties.deliveryMode).toBe(2)
      expect(message.fields).toMatchObject({ exchange: '', routingKey: 'orders', redelivered: false })
      arrived.add(text(message))
      channel.ack(message)
    })
    const all = await arrived.until('a thousand orders', ({ length }) => length === 1000)
    expect(all).toEqual(Array.from({ length: 1000 }, (_, at) => `order ${at}`))
    await channel.close()
    const other = await client.createChannel()
    expect(await other.deleteQueue('orders', { ifEmpty: true })).toEqual({ messageCount: 0 })
    await other.close()
  })

  test('unacknowledged messages come back, marked, at their place', async () => {
    const channel = await client.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    expect(queue).toMatch(/^amq\.gen-/)
    for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body))
    await channel.waitForConfirms()
    const first = await channel.get(queue)
    const second = await channel.get(queue)
    if (first === false || second === false) throw new Error('two messages were expected')
    channel.ack(second)
    channel.nack(first)
    const again = await channel.get(queue)
    if (again === false) throw new Error('a message was expected')
    expect([again.content.toString(), again.fields.redelivered, again.fields.messageCount]).toEqual(['a', true, 1])
    await channel.recover()
    const got = new Arrivals<string>()
    await channel.consume(queue, (message) => got.add(`${text(message)} ${String(message?.fields.redelivered)}`), {
      noAck: true,
    })
    expect(await got.until('both', ({ length }) => length === 2)).toEqual(['a true', 'c false'])
    await channel.close()
  })

  test('prefetch bounds what is unacknowledged; a second consumer works beside a slow one', async () => {
    const channel = await client.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const slow = await client.createChannel()
    await slow.prefetch(2)
    const held = new Arrivals<string>()
    await slow.consume(queue, (message) => held.add(text(message)))
    for (let at = 0; at < 10; at++) channel.sendToQueue(queue, Buffer.from(String(at)))
    await channel.waitForConfirms()
    await held.until('two', ({ length }) => length === 2)
    const rest = new Arrivals<string>()
    await channel.consume(queue, (message) => rest.add(text(message)), { noAck: true })
    await rest.until('the rest', ({ length }) => length === 8)
    expect([...held.all, ...rest.all].sort()).toEqual(Array.from({ length: 10 }, (_, at) => String(at)))
    await slow.close()
    await rest.until('what the slow one held', ({ length }) => length === 10)
    await channel.close()
  })

  test('a body of a megabyte, and one of none', async () => {
    const channel = await client.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const large = Buffer.alloc(1_500_000, 'x')
    large.write('begin')
    large.write('end', large.length - 3)
    channel.sendToQueue(queue, large)
    channel.sendToQueue(queue, Buffer.alloc(0), { messageId: 'empty' })
    await within('confirms', channel.waitForConfirms())
    const got = await channel.get(queue, { noAck: true })
    const empty = await channel.get(queue, { noAck: true })
    if (got === false || empty === false) throw new Error('two messages were expected')
    expect(got.content.equals(large)).toBe(true)
    expect([empty.content.length, empty.properties.messageId]).toEqual([0, 'empty'])
    await channel.close()
  })

  test('a mandatory message that nobody takes comes back before its confirm', async () => {
    const channel = await client.createConfirmChannel()
    const told = new Arrivals<string>()
    channel.on('return', ({ content, fields }) => told.add(`${content.toString()} ${String(fields.routingKey)}`))
    channel.publish('', 'nowhere', Buffer.from('back'), { mandatory: true }, () => told.add('confirmed'))
    expect(await told.until('both', ({ length }) => length === 2)).toEqual(['back nowhere', 'confirmed'])
    await channel.close()
  })

  test('faults of a channel leave the connection; its number serves again', async () => {
    const missing = await client.createChannel()
    const ended = endOf(missing)
    await expect(missing.checkQueue('none')).rejects.toThrow(/NOT_FOUND - no queue 'none' in vhost '\/'/)
    expect(await ended).toMatch(/404/)
    const unequal = await client.createChannel()
    await unequal.assertQueue('unequal', { durable: true })
    unequal.on('error', () => {})
    await expect(unequal.assertQueue('unequal', { durable: false })).rejects.toThrow(
      /PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'unequal' in vhost '\/': received 'false' but current is 'true'/,
    )
    const unknown = await client.createChannel()
    const refused = endOf(unknown)
    unknown.ackAll()
    unknown.ack({ fields: { deliveryTag: 7 } } as ConsumeMessage)
    expect(await refused).toMatch(/406 \(PRECONDITION-FAILED\).*unknown delivery tag 7/)
    const last = await client.createChannel()
    await last.deleteQueue('unequal')
    await last.close()
  })

  test('an exclusive queue is its connection’s alone, and gone with it', async () => {
    const own = await amqp.connect(place.url)
    const owner = await own.createChannel()
    await owner.assertQueue('mine', { exclusive: true })
    const channel = await client.createChannel()
    channel.on('error', () => {})
    await expect(channel.checkQueue('mine')).rejects.toThrow(/405.*RESOURCE_LOCKED/)
    await own.close()
    const other = await client.createChannel()
    other.on('error', () => {})
    await expect(other.checkQueue('mine')).rejects.toThrow(/404/)
  })

  test('who consumes a queue is told when it is deleted', async () => {
    const channel = await client.createChannel()
    await channel.assertQueue('short', { durable: true })
    const told = new Arrivals<string>()
    await channel.consume('short', (message) => told.add(text(message)))
    const other = await client.createChannel()
    await other.deleteQueue('short')
    expect(await told.until('the cancel', ({ length }) => length === 1)).toEqual(['cancelled'])
    await channel.close()
    await other.close()
  })

  test('a reply finds the one that asked', async () => {
    const server = await client.createChannel()
    await server.assertQueue('rpc', { autoDelete: true })
    await server.consume('rpc', (message) => {
      if (message === null) return
      const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string }
      server.sendToQueue(replyTo, Buffer.from(`re: ${text(message)}`), { correlationId })
      server.ack(message)
    })
    const asking = await client.createChannel()
    const replies = new Arrivals<string>()
    await asking.consume(
      'amq.rabbitmq.reply-to',
      (message) => replies.add(`${text(message)} ${String(message?.properties.correlationId)}`),
      { noAck: true },
    )
    asking.sendToQueue('rpc', Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '42' })
    expect(await replies.until('the answer', ({ length }) => length === 1)).toEqual(['re: question 42'])
    await asking.close()
    await server.close()
  })

  test('a login that is wrong is told why', async () => {
    await expect(amqp.connect(place.url.replace('guest:guest', 'guest:guess'))).rejects.toThrow(
      /ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/,
    )
    await expect(amqp.connect(`${place.url}/nowhere`)).rejects.toThrow('ConnectionClose')
  })
})

test('a restart keeps durable queues, persistent messages and bindings, and redelivers the unacknowledged', async () => {
  const place = await openPlace('file:')
  const client = await amqp.connect(place.url)
  const channel = await client.createConfirmChannel()
  await channel.assertExchange('news', 'topic', { durable: true })
  await channel.assertQueue('kept', { durable: true })
  await channel.bindQueue('kept', 'news', 'sport.#')
  for (let at = 0; at < 10; at++) channel.publish('news', `sport.${at}`, Buffer.from(String(at)), { persistent: true })
  await within('confirms', channel.waitForConfirms())
  for (let at = 0; at < 5; at++) {
    const message = await channel.get('kept')
    if (message === false) throw new Error('a message was expected')
    if (at < 3) channel.ack(message)
  }
  const closed = new Promise<Error | undefined>((resolve) => client.once('close', resolve))
  await place.restart()
  expect((await within('the close', closed))?.message).toMatch(/320 \(CONNECTION-FORCED\)/)

  const again = await amqp.connect(place.url)
  const reader = await again.createChannel()
  reader.publish('news', 'sport.late', Buffer.from('late'))
  const arrived = new Arrivals<string>()
  await reader.consume('kept', (message) => {
    if (message === null) return
    arrived.add(`${text(message)}${message.fields.redelivered ? ' again' : ''}`)
    reader.ack(message)
  })
  const all = await arrived.until('what was left', ({ length }) => length === 8)
  expect(all.slice(0, 2)).toEqual(['3 again', '4 again'])
  expect(all.map((body) => body.replace(' again', ''))).toEqual(['3', '4', '5', '6', '7', '8', '9', 'late'])
  await again.close()
  await place.close()
})
