// Consumers with amqplib: order, acknowledgement, credit, cancellation.
// Promises: checks only.
// Does not know: exchanges, confirms.

import { expect, expectEqual, until, type Check, type SuiteContext } from '../suite.ts'
import { at, Inbox, pause, reaches, send, take, takeTexts, textOf } from './desk.ts'

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`)

export function consuming(context: SuiteContext): readonly Check[] {
  return [
    at(context, 'consume: what is there and what comes, in order', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 200)) send(channel, queue, text)
      const inbox = await Inbox.open(await desk.channel(), queue)
      for (const text of numbers(200, 400)) send(channel, queue, text)
      await inbox.reach(400)
      expectEqual(inbox.texts, numbers(0, 400), 'order')
      expectEqual(inbox.messages.map(({ fields }) => fields.deliveryTag).at(-1), 400, 'the last delivery tag')
    }),
    at(context, 'consume: without acknowledgement nothing comes back', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 10)) send(channel, queue, text)
      const inbox = await Inbox.open(await desk.channel(), queue, { noAck: true })
      await inbox.reach(10)
      await inbox.channel.close()
      expectEqual((await channel.checkQueue(queue)).messageCount, 0, 'left')
    }),
    at(context, 'ack: one, all up to one, all', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 10)) send(channel, queue, text)
      const one = await Inbox.open(await desk.channel(), queue)
      const [first, , , , fifth] = await one.reach(10)
      if (first === undefined || fifth === undefined) throw new Error('not there')
      one.channel.ack(first)
      one.channel.ack(fifth, true)
      await one.channel.close()
      const two = await Inbox.open(await desk.channel(), queue)
      await two.reach(5)
      expectEqual(two.texts, numbers(5, 10), 'what came again')
      expect(
        two.messages.every(({ fields }) => fields.redelivered),
        'not marked as redelivered',
      )
      two.channel.ackAll()
      await two.channel.close()
      expectEqual((await channel.checkQueue(queue)).messageCount, 0, 'left')
    }),
    at(context, 'nack and reject: back to where they were, or gone', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 5)) send(channel, queue, text)
      const held = []
      for (let taken = 0; taken < 4; taken++) held.push(await take(channel, queue, { noAck: false }))
      const [zero, one, two, three] = held
      if (zero === undefined || one === undefined || two === undefined || three === undefined) throw new Error('no')
      channel.nack(one)
      channel.reject(two, false)
      channel.nack(three)
      channel.nack(zero)
      await reaches(channel, queue, 4)
      expectEqual(await takeTexts(channel, queue, 4), ['0', '1', '3', '4'], 'order')
    }),
    at(context, 'nack of all puts all back', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 6)) send(channel, queue, text)
      const other = await desk.channel()
      for (let taken = 0; taken < 6; taken++) await take(other, queue, { noAck: false })
      other.nackAll()
      await reaches(channel, queue, 6)
      expectEqual(await takeTexts(channel, queue, 6), numbers(0, 6), 'order')
    }),
    at(context, 'recover: handed out again on the same channel', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      send(channel, queue, 'again')
      await take(channel, queue, { noAck: false })
      await channel.recover()
      const message = await take(channel, queue)
      expectEqual([textOf(message), message.fields.redelivered], ['again', true], 'recovered')
    }),
    at(context, 'prefetch: a window that moves with acknowledgements', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 30)) send(channel, queue, text)
      const own = await desk.channel()
      await own.prefetch(10)
      const inbox = await Inbox.open(own, queue)
      await inbox.stay(10)
      const [, , third] = inbox.messages
      if (third === undefined) throw new Error('not there')
      own.ack(third, true)
      await inbox.stay(13)
    }),
    at(context, 'prefetch: each consumer has its own, unless it is global', async (desk) => {
      const channel = await desk.channel()
      const [one, two] = [await desk.queue(channel), await desk.queue(channel)]
      for (const text of numbers(0, 10)) for (const queue of [one, two]) send(channel, queue, text)
      const apart = await desk.channel()
      await apart.prefetch(3)
      const first = await Inbox.open(apart, one)
      const second = await Inbox.open(apart, two)
      await first.stay(3)
      await second.stay(3)
    }),
    at(context, 'prefetch: changed, it holds for the consumers that come', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      for (const text of numbers(0, 20)) send(channel, queue, text)
      const own = await desk.channel()
      await own.prefetch(2)
      const inbox = await Inbox.open(own, queue)
      await inbox.stay(2)
      await own.prefetch(5)
      const more = await Inbox.open(own, queue)
      await more.stay(5)
      await inbox.stay(2)
    }),
    at(context, 'two consumers: one message each in turn', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const one = await Inbox.open(await desk.channel(), queue, { noAck: true })
      const two = await Inbox.open(await desk.channel(), queue, { noAck: true })
      for (const text of numbers(0, 20)) send(channel, queue, text)
      await one.reach(10)
      await two.reach(10)
      expectEqual([one.messages.length, two.messages.length], [10, 10], 'shares')
    }),
    at(context, 'cancel: nothing more comes, what is held may be acknowledged', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      send(channel, queue, 'held')
      const inbox = await Inbox.open(await desk.channel(), queue)
      const [held] = await inbox.reach(1)
      await inbox.channel.cancel(inbox.consumerTag)
      send(channel, queue, 'later')
      await inbox.stay(1)
      if (held !== undefined) inbox.channel.ack(held)
      await inbox.channel.close()
      expectEqual(await takeTexts(channel, queue, 1), ['later'], 'left')
      expectEqual(await channel.get(queue), false, 'nothing else')
    }),
    at(context, 'cancel: the broker tells when the queue goes', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const inbox = await Inbox.open(await desk.channel(), queue)
      await channel.deleteQueue(queue)
      await until('the cancellation', 5_000, async () => (inbox.isCancelled ? true : null))
    }),
    at(context, 'auto-delete: the queue goes with its last consumer', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel, { autoDelete: true })
      const inbox = await Inbox.open(await desk.channel(), queue)
      await inbox.channel.cancel(inbox.consumerTag)
      await until('it is gone', 5_000, async () => {
        const probe = await desk.channel()
        return probe.checkQueue(queue).then(
          () => null,
          () => true as const,
        )
      })
    }),
    at(context, 'single active consumer: the next takes over, in order', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel, { arguments: { 'x-single-active-consumer': true } })
      const one = await Inbox.open(await desk.channel(), queue)
      const two = await Inbox.open(await desk.channel(), queue)
      for (const text of numbers(0, 5)) send(channel, queue, text)
      await one.stay(5)
      expectEqual(two.messages.length, 0, 'the second waits')
      await one.channel.close()
      await two.reach(5)
      expectEqual(two.texts, numbers(0, 5), 'handed over')
    }),
    at(context, 'consumer priority: the important one is asked first', async (desk) => {
      const channel = await desk.channel()
      const queue = await desk.queue(channel)
      const low = await Inbox.open(await desk.channel(), queue, { priority: 1, noAck: true })
      const high = await Inbox.open(await desk.channel(), queue, { priority: 5, noAck: true })
      for (const text of numbers(0, 10)) send(channel, queue, text)
      await high.stay(10)
      expectEqual(low.messages.length, 0, 'the other')
    }),
    at(context, 'stream: from the first, an offset, a moment, and what comes next', async (desk) => {
      const channel = await (await desk.connection()).createConfirmChannel()
      const queue = await desk.queue(channel, { durable: true, arguments: { 'x-queue-type': 'stream' } })
      for (const text of numbers(0, 10)) send(channel, queue, text)
      await channel.waitForConfirms()
      const read = async (from: string | number): Promise<Inbox> => {
        const own = await desk.channel()
        await own.prefetch(100)
        return Inbox.open(own, queue, { arguments: { 'x-stream-offset': from } })
      }
      const [first, offset, next] = [await read('first'), await read(6), await read('next')]
      await first.reach(10)
      await offset.reach(4)
      await pause(300)
      send(channel, queue, 'new')
      await next.reach(1)
      await first.reach(11)
      expectEqual(first.texts, [...numbers(0, 10), 'new'], 'from the first')
      expectEqual(offset.texts.slice(0, 4), numbers(6, 10), 'from an offset')
      expectEqual(next.texts, ['new'], 'what comes next')
    }),
  ]
}
