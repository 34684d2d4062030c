// Confirms with amqplib, by promise and by callback.
// Promises: checks only.
// Does not know: consumers.

import { connect as connectWithCallback } from 'amqplib/callback_api'
import { expectEqual, type Check, type SuiteContext } from '../suite.ts'
import { at, send, takeTexts, type Desk } from './desk.ts'

const publishEach = (
  desk: Desk,
  count: number,
  queueOf: (number: number) => string,
): Promise<{ confirmed: number; refused: number }> =>
  desk
    .connection()
    .then((connection) => connection.createConfirmChannel())
    .then(async (channel) => {
      const counts = { confirmed: 0, refused: 0 }
      const answers = Array.from(
        { length: count },
        (_, number) =>
          new Promise<void>((resolve) => {
            channel.sendToQueue(queueOf(number), Buffer.from(`${number}`), { persistent: true }, (error) => {
              if (error === null || error === undefined) counts.confirmed++
              else counts.refused++
              resolve()
            })
          }),
      )
      await Promise.all(answers)
      return counts
    })

export function confirming(context: SuiteContext): readonly Check[] {
  return [
    at(context, 'confirms: a thousand in flight, each confirmed once', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel, { durable: true })
      expectEqual(await publishEach(desk, 1_000, () => queue), { confirmed: 1_000, refused: 0 }, 'answers')
      expectEqual((await channel.checkQueue(queue)).messageCount, 1_000, 'there')
    }),
    at(context, 'confirms: what nobody wants is confirmed too', async (desk) => {
      const nowhere = desk.name('nowhere')
      expectEqual(await publishEach(desk, 10, () => nowhere), { confirmed: 10, refused: 0 }, 'answers')
    }),
    at(context, 'confirms: a full queue refuses, others do not', async (desk) => {
      const channel = await desk.channel()
      const full = await desk.queue(channel, { maxLength: 5, overflow: 'reject-publish' })
      const free = await desk.queue(channel)
      const answers = await publishEach(desk, 20, (number) => (number % 2 === 0 ? full : free))
      expectEqual(answers, { confirmed: 15, refused: 5 }, 'answers')
    }),
    at(context, 'confirms: a return comes before its confirm', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const seen: string[] = []
      channel.on('return', () => seen.push('return'))
      channel.publish('', desk.name('nowhere'), Buffer.from('x'), { mandatory: true }, () => seen.push('confirm'))
      await channel.waitForConfirms()
      expectEqual(seen, ['return', 'confirm'], 'order')
    }),
    at(context, 'confirms: waiting for all, over several queues and exchanges', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const exchange = await desk.exchange(channel, 'fanout')
      const queues = [await desk.queue(channel), await desk.queue(channel, { durable: true })]
      for (const queue of queues) await channel.bindQueue(queue, exchange, '')
      for (let number = 0; number < 100; number++) channel.publish(exchange, '', Buffer.from(`${number}`))
      await channel.waitForConfirms()
      for (const queue of queues) expectEqual((await channel.checkQueue(queue)).messageCount, 100, queue)
    }),
    at(context, 'callbacks: connect, declare, send, get', async (desk) => {
      const queue = desk.name('callbacks')
      const text = await new Promise<string>((resolve, reject) => {
        connectWithCallback(desk.url, (failure, connection) => {
          if (failure !== null) return reject(failure)
          connection.createChannel((refused, channel) => {
            if (refused !== null) return reject(refused)
            channel.assertQueue(queue, { exclusive: true }, () => {
              channel.sendToQueue(queue, Buffer.from('by callback'))
              channel.consume(queue, (message) => connection.close(() => resolve(message?.content.toString() ?? '')), {
                noAck: true,
              })
            })
          })
        })
      })
      expectEqual(text, 'by callback', 'consumed')
    }),
    at(context, 'flow: ten thousand written without waiting, none lost', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const queue = await desk.queue(channel)
      for (let number = 0; number < 10_000; number++) send(channel, queue, `${number}`)
      await channel.waitForConfirms()
      expectEqual((await channel.checkQueue(queue)).messageCount, 10_000, 'there')
      expectEqual(await takeTexts(channel, queue, 3), ['0', '1', '2'], 'the first')
    }),
  ]
}
