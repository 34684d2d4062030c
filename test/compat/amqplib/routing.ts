// Exchanges with amqplib: types, bindings, returns, requests and answers.
// Promises: checks only.
// Does not know: what queues do with messages.

import { expect, expectEqual, until, type Check, type SuiteContext } from '../suite.ts'
import { at, Inbox, reaches, send, takeTexts, textOf } from './desk.ts'

export function routing(context: SuiteContext): readonly Check[] {
  return [
    at(context, 'direct: bound, bound twice, unbound', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'direct')
      const queue = await desk.queue(channel)
      await channel.bindQueue(queue, exchange, 'key')
      await channel.bindQueue(queue, exchange, 'key')
      await channel.bindQueue(queue, exchange, 'other')
      for (const key of ['key', 'other', 'none']) channel.publish(exchange, key, Buffer.from(key))
      await reaches(channel, queue, 2)
      expectEqual(await takeTexts(channel, queue, 2), ['key', 'other'], 'routed')
      await channel.unbindQueue(queue, exchange, 'key')
      for (const key of ['key', 'other']) channel.publish(exchange, key, Buffer.from(key))
      expectEqual(await takeTexts(channel, queue, 1), ['other'], 'after unbinding')
      expectEqual(await channel.get(queue), false, 'nothing else')
    }),
    at(context, 'fanout: a copy for everyone', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'fanout')
      const queues: string[] = []
      for (let number = 0; number < 8; number++) {
        const queue = await desk.queue(channel)
        await channel.bindQueue(queue, exchange, `${number}`)
        queues.push(queue)
      }
      channel.publish(exchange, 'anything', Buffer.from('news'))
      for (const queue of queues) expectEqual(await takeTexts(channel, queue, 1), ['news'], queue)
    }),
    at(context, 'topic: logs by severity and place', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'topic')
      const patterns = { 'log.*.error': 2, 'log.#': 5, '*.kitchen.*': 2, '#.error': 3, 'log.kitchen.error': 1 }
      const keys = ['log.kitchen.error', 'log.kitchen.info', 'log.hall.error', 'log', 'error', 'log.hall.door.open']
      const queues = new Map<string, string>()
      for (const pattern of Object.keys(patterns)) {
        const queue = await desk.queue(channel)
        await channel.bindQueue(queue, exchange, pattern)
        queues.set(pattern, queue)
      }
      for (const key of keys) channel.publish(exchange, key, Buffer.from(key))
      for (const [pattern, count] of Object.entries(patterns)) await reaches(channel, queues.get(pattern) ?? '', count)
    }),
    at(context, 'headers: all, any, and with the reserved ones', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'headers')
      const matches = { all: 1, any: 2, 'all-with-x': 1 } as const
      const queues: [string, number][] = []
      for (const [match, count] of Object.entries(matches)) {
        const queue = await desk.queue(channel)
        const extra = match === 'all-with-x' ? { 'x-tenant': 'me' } : {}
        await channel.bindQueue(queue, exchange, '', { 'x-match': match, a: 1, b: 'two', ...extra })
        queues.push([queue, count])
      }
      channel.publish(exchange, '', Buffer.from('both'), { headers: { a: 1, b: 'two', 'x-tenant': 'me' } })
      channel.publish(exchange, '', Buffer.from('one'), { headers: { b: 'two', 'x-tenant': 'you' } })
      channel.publish(exchange, '', Buffer.from('none'), { headers: { a: '1' } })
      for (const [queue, count] of queues) await reaches(channel, queue, count)
    }),
    at(context, 'exchange to exchange', async (desk) => {
      const channel = await desk.channel()
      const [outer, inner] = [await desk.exchange(channel, 'topic'), await desk.exchange(channel, 'direct')]
      const queue = await desk.queue(channel)
      await channel.bindExchange(inner, outer, '*.in')
      await channel.bindQueue(queue, inner, 'way.in')
      for (const key of ['way.in', 'other.in', 'way.out']) channel.publish(outer, key, Buffer.from(key))
      expectEqual(await takeTexts(channel, queue, 1), ['way.in'], 'routed')
      await channel.unbindExchange(inner, outer, '*.in')
      channel.publish(outer, 'way.in', Buffer.from('no'))
      expectEqual(await channel.get(queue), false, 'after unbinding')
    }),
    at(context, 'alternate exchange: what finds no queue', async (desk) => {
      const channel = await desk.channel()
      const fallback = await desk.exchange(channel, 'fanout')
      const exchange = await desk.exchange(channel, 'direct', { alternateExchange: fallback })
      const queue = await desk.queue(channel)
      await channel.bindQueue(queue, fallback, '')
      channel.publish(exchange, 'nobody', Buffer.from('found'))
      expectEqual(await takeTexts(channel, queue, 1), ['found'], 'routed')
    }),
    at(context, 'CC and BCC: more queues by header', async (desk) => {
      const channel = await desk.channel()
      const [to, copy, blind] = [await desk.queue(channel), await desk.queue(channel), await desk.queue(channel)]
      send(channel, to, 'letter', { CC: copy, BCC: [blind] })
      for (const queue of [to, copy, blind]) expectEqual(await takeTexts(channel, queue, 1), ['letter'], queue)
    }),
    at(context, 'mandatory: what finds no queue comes back', async (desk) => {
      const channel = await desk.channel()
      const back: [string, string][] = []
      channel.on('return', (message) => back.push([message.fields.routingKey, message.content.toString()]))
      const name = desk.name('nowhere')
      channel.publish('', name, Buffer.from('back'), { mandatory: true })
      await until('the return', 5_000, async () => (back.length > 0 ? true : null))
      expectEqual(back, [[name, 'back']], 'returned')
    }),
    at(context, 'request and answer: a queue of the asker', async (desk) => {
      const server = await desk.channel()
      const queue = await desk.queue(server)
      await server.consume(queue, (message) => {
        if (message === null) return
        const { replyTo, correlationId } = message.properties
        send(server, String(replyTo), `${Number(textOf(message)) * 2}`, { correlationId: String(correlationId) })
        server.ack(message)
      })
      const client = await desk.channel()
      const { queue: replyTo } = await client.assertQueue('', { exclusive: true })
      const inbox = await Inbox.open(client, replyTo, { noAck: true })
      for (const number of [1, 2, 3]) send(client, queue, `${number}`, { replyTo, correlationId: `${number}` })
      await inbox.reach(3)
      expectEqual(inbox.texts, ['2', '4', '6'], 'answers')
      expectEqual(
        inbox.messages.map(({ properties }) => properties.correlationId),
        ['1', '2', '3'],
        'correlation',
      )
    }),
    at(context, 'request and answer: direct reply-to', async (desk) => {
      const server = await desk.channel()
      const queue = await desk.queue(server)
      await server.consume(queue, (message) => {
        if (message === null) return
        send(server, String(message.properties.replyTo), textOf(message).toUpperCase())
        server.ack(message)
      })
      const client = await desk.channel()
      const inbox = await Inbox.open(client, 'amq.rabbitmq.reply-to', { noAck: true })
      for (const text of ['a', 'b']) send(client, queue, text, { replyTo: 'amq.rabbitmq.reply-to' })
      await inbox.reach(2)
      expectEqual(inbox.texts, ['A', 'B'], 'answers')
    }),
    at(context, 'exchanges: assert, check, delete, and the ones that are there', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'direct', { durable: true })
      await channel.checkExchange(exchange)
      for (const name of ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']) {
        await channel.checkExchange(name)
      }
      await channel.deleteExchange(exchange)
      const other = await desk.channel()
      const gone = await other.checkExchange(exchange).then(
        () => false,
        () => true,
      )
      expect(gone, 'it is still there')
    }),
    at(context, 'auto-delete: the exchange goes with its last binding', async (desk) => {
      const channel = await desk.channel()
      const exchange = await desk.exchange(channel, 'fanout', { autoDelete: true })
      const queue = await desk.queue(channel)
      await channel.bindQueue(queue, exchange, '')
      await channel.deleteQueue(queue)
      const other = await desk.channel()
      const gone = await other.checkExchange(exchange).then(
        () => false,
        () => true,
      )
      expect(gone, 'it is still there')
    }),
  ]
}
