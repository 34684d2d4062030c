// Queues with amqplib: declaring, properties, bodies, limits, expiry, dead letters.
// Promises: checks only.
// Does not know: consumers, exchanges.

import { connect } from 'amqplib'
import { expect, expectEqual, type Check, type SuiteContext } from '../suite.ts'
import { at, pause, reaches, send, take, takeTexts, textOf } from './desk.ts'

const HEADERS = {
  text: 'Löwe',
  number: 17,
  negative: -4_000_000,
  big: 2 ** 45,
  fraction: 0.25,
  yes: true,
  nothing: null,
  list: [1, 'two', [3], { four: 4 }],
  table: { inner: { deep: 'yes' }, empty: {} },
  bytes: Buffer.from([0, 255, 1]),
}

export function queueing(context: SuiteContext): readonly Check[] {
  return [
    at(context, 'queue: assert, check, fill, delete', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of ['a', 'b', 'c']) send(channel, queue, text)
      await reaches(channel, queue, 3)
      const again = await channel.assertQueue(queue, { durable: false })
      expectEqual(again, { queue, messageCount: 3, consumerCount: 0 }, 'asserted again')
      expectEqual(await channel.deleteQueue(queue), { messageCount: 3 }, 'deleted')
    }),
    at(context, 'queue: the broker names it when nobody does', async (desk) => {
      const channel = await desk.channel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      expect(/^amq\.gen-[\w-]{22}$/.test(queue), `it is named ${queue}`)
      send(channel, queue, 'x')
      expectEqual(await takeTexts(channel, queue, 1), ['x'], 'what it holds')
    }),
    at(context, 'get: a message, the count left behind it, and false', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      send(channel, queue, 'one')
      send(channel, queue, 'two')
      await reaches(channel, queue, 2)
      const message = await take(channel, queue)
      expectEqual([textOf(message), message.fields.messageCount], ['one', 1], 'the first')
      expectEqual([message.fields.exchange, message.fields.routingKey], ['', queue], 'its way')
      await take(channel, queue)
      expectEqual(await channel.get(queue), false, 'an empty queue')
    }),
    at(context, 'properties: all of them come back', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const sent = {
        contentType: 'application/json',
        contentEncoding: 'identity',
        deliveryMode: 2,
        priority: 7,
        correlationId: 'c',
        replyTo: 'r',
        expiration: '90000',
        messageId: 'm',
        timestamp: 1_750_000_000,
        type: 't',
        userId: 'guest',
        appId: 'a',
      }
      send(channel, queue, 'x', sent)
      const { properties } = await take(channel, queue)
      for (const [name, value] of Object.entries(sent)) {
        expectEqual(Object.getOwnPropertyDescriptor(properties, name)?.value, value, name)
      }
    }),
    at(context, 'headers: every type comes back', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      send(channel, queue, 'x', { headers: HEADERS })
      const headers: object = (await take(channel, queue)).properties.headers ?? {}
      // In which order is nobody's promise.
      expectEqual(Object.keys(headers).sort(), Object.keys(HEADERS).sort(), 'names')
      for (const [name, value] of Object.entries(HEADERS)) {
        expectEqual(Object.getOwnPropertyDescriptor(headers, name)?.value, value, name)
      }
    }),
    at(context, 'bodies: empty, around a frame, 4 MiB', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const sizes = [0, 1, 4_087, 4_088, 4_089, 131_064, 4 << 20]
      for (const size of sizes) channel.sendToQueue(queue, Buffer.alloc(size, size % 256))
      for (const size of sizes) {
        const { content } = await take(channel, queue)
        expect(content.equals(Buffer.alloc(size, size % 256)), `${content.length} bytes for ${size}`)
      }
    }),
    at(context, 'frames: a size of 8192 is kept to on both sides', async (desk) => {
      const channel = await (await desk.connection('/?frameMax=8192')).createChannel()
      const queue = await desk.queue(channel)
      const body = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 256))
      channel.sendToQueue(queue, body)
      expect((await take(channel, queue)).content.equals(body), 'the body changed')
    }),
    at(context, 'expiry: a message, a queue of them, a queue', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const brief = await desk.queue(channel, { messageTtl: 100 })
      const unused = await desk.queue(channel, { expires: 150 })
      send(channel, queue, 'stays')
      send(channel, queue, 'goes', { expiration: 80 })
      send(channel, brief, 'goes')
      await pause(500)
      expectEqual(await takeTexts(channel, queue, 1), ['stays'], 'what stays')
      expectEqual(await channel.get(queue), false, 'what went')
      expectEqual((await channel.checkQueue(brief)).messageCount, 0, 'the brief queue')
      const other = await desk.channel()
      const gone = await other.checkQueue(unused).then(
        () => false,
        () => true,
      )
      expect(gone, 'the unused queue is there')
    }),
    at(context, 'limits: the oldest are dropped, by count and by bytes', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const byCount = await desk.queue(channel, { maxLength: 2 })
      const byBytes = await desk.queue(channel, { arguments: { 'x-max-length-bytes': 10 } })
      for (const text of ['1111', '2222', '3333']) {
        send(channel, byCount, text)
        send(channel, byBytes, text)
      }
      await channel.waitForConfirms()
      expectEqual(await takeTexts(channel, byCount, 2), ['2222', '3333'], 'by count')
      expectEqual(await takeTexts(channel, byBytes, 2), ['2222', '3333'], 'by bytes')
    }),
    at(context, 'priorities: the most important first', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel, { maxPriority: 10 })
      for (const priority of [1, 10, 5, 5, 0, 200]) send(channel, queue, `${priority}`, { priority })
      await reaches(channel, queue, 6)
      expectEqual(await takeTexts(channel, queue, 6), ['10', '200', '5', '5', '1', '0'], 'order')
    }),
    at(context, 'dead letters: retry with backoff, three times round and out', async (desk) => {
      const channel = await desk.channel()
      const waiting = desk.name('waiting')
      const queue = await desk.queue(channel, { deadLetterExchange: '', deadLetterRoutingKey: waiting })
      const back = { deadLetterExchange: '', deadLetterRoutingKey: queue, messageTtl: 60 }
      await channel.assertQueue(waiting, { durable: false, ...back })
      send(channel, queue, 'try')
      const counts: unknown[] = []
      for (let round = 0; round < 4; round++) {
        const message = await take(channel, queue, { noAck: false })
        const deaths = message.properties.headers?.['x-death'] ?? []
        counts.push(deaths.find((death) => death.queue === queue)?.count ?? 0)
        if (round === 3) channel.ack(message)
        else channel.reject(message, false)
      }
      await channel.deleteQueue(waiting)
      expectEqual(counts, [0, 1, 2, 3], 'deaths')
    }),
    at(context, 'exclusive: nobody else may, and it goes with its connection', async (desk) => {
      const owner = await connect(desk.url)
      const mine = await owner.createChannel()
      const queue = desk.name('mine')
      await mine.assertQueue(queue, { exclusive: true })
      const other = await desk.connection()
      const first = await other.createChannel()
      first.on('error', () => {})
      const refused = await first.checkQueue(queue).then(
        () => false,
        () => true,
      )
      expect(refused, 'another connection may use it')
      await owner.close()
      const second = await other.createChannel()
      expectEqual(
        await second.assertQueue(queue, { exclusive: true }),
        { queue, messageCount: 0, consumerCount: 0 },
        'anew',
      )
    }),
    at(context, 'quorum queue: durable work with prefetch', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const queue = await desk.queue(channel, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
      for (let number = 0; number < 50; number++) send(channel, queue, `${number}`, { persistent: true })
      await channel.waitForConfirms()
      const wanted = Array.from({ length: 50 }, (_, number) => `${number}`)
      expectEqual(await takeTexts(channel, queue, 50), wanted, 'order')
    }),
  ]
}
