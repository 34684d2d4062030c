// Consumers that acknowledge, give back, reject and hold what they are handed, and learn what of that is settled.
// Promises: every delivery and answer goes into the book; what is asked later on the same connection settles them.
// Does not know: when the broker dies. A worker's round ends when its connection does.

import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { Dice } from './producers.ts'
import { idOf, valueOf } from './promises.ts'
import type { QueueBook } from './queue-book.ts'
import type { QueuePlace } from './queue-places.ts'

const settleEvery = 25
const settlingQueue = 'crash.brief'
let settling = 0

/** Of a record that a Kafka client wrote its value says it. */
export const idOfMessage = (message: ConsumeMessage): string =>
  String(message.properties.messageId ?? idOf(message.content))

/** One consumer of one queue. */
export async function work(
  connection: ChannelModel,
  place: QueuePlace,
  book: QueueBook,
  dice: Dice,
  complain: (what: string) => void,
): Promise<void> {
  const channel = await connection.createConfirmChannel()
  channel.on('error', (error: Error) => complain(`${place.name}: the channel was closed: ${error.message}`))
  const closed = new Promise<void>((resolve) => connection.once('close', () => resolve()))
  let held: ConsumeMessage[] = []
  let answered: string[] = []
  const settle = (): void => {
    const ids = answered
    answered = []
    const done = (by: string) => (): void => book.settle(place.name, ids, by)
    // Either answer comes after what was answered before it on this connection is on disk.
    if (dice.below(2) === 0) {
      channel.assertQueue(place.name, { durable: true, arguments: place.arguments }).then(done('declare-ok'), () => {})
      return
    }
    const id = `${place.name} settles:${settling++}`
    book.publish([settlingQueue], id)
    channel.publish('', settlingQueue, valueOf(id), { messageId: id, persistent: true }, (error) => {
      if (error !== null && error !== undefined) return
      book.confirm([settlingQueue], id)
      done('confirm')()
    })
  }
  const acknowledge = (message: ConsumeMessage): void => {
    channel.ack(message)
    book.acknowledge(place.name, idOfMessage(message))
    answered.push(idOfMessage(message))
  }
  await channel.prefetch(place.prefetch)
  await channel.consume(place.name, (message) => {
    if (message === null) return complain(`${place.name}: the consumer was cancelled`)
    book.deliver(place.name, idOfMessage(message), message.content, message.fields.redelivered)
    try {
      const choice = dice.below(20)
      if (choice < 13) acknowledge(message)
      else if (choice < 15) channel.nack(message)
      else if (choice < 16 && 'x-dead-letter-routing-key' in place.arguments) {
        channel.reject(message, false)
        // Its letter is written by and by: until then a crash may bring it back.
        book.reject(place.name, idOfMessage(message))
      } else held.push(message)
      if (held.length > place.prefetch / 2) {
        // Of what is held the older half is answered; the rest is what a crash finds unacknowledged.
        for (const one of held.splice(0, Math.ceil(held.length / 2))) acknowledge(one)
      }
      if (answered.length >= settleEvery) settle()
    } catch {
      // The connection went between the delivery and the answer.
      held = []
    }
  })
  await closed
}

const quietMs = 400
const emptyLimitMs = 20_000

/** Takes everything out of the queues, dead letters last; answers which ids were in which. */
export async function emptyAll(
  connection: ChannelModel,
  places: readonly QueuePlace[],
  book: QueueBook,
): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>()
  const channel = await connection.createConfirmChannel()
  // What lives briefly is left to die; its letters are found where they go.
  for (const place of places.filter(({ workers }) => workers === 0)) {
    found.set(place.name, new Set())
    await untilEmpty(channel, place.name)
  }
  for (const place of places.filter(({ workers }) => workers > 0))
    found.set(place.name, await empty(channel, place.name, book))
  await channel.close()
  return found
}

async function untilEmpty(channel: Channel, queue: string): Promise<void> {
  const deadline = performance.now() + emptyLimitMs
  while ((await channel.checkQueue(queue)).messageCount > 0) {
    if (performance.now() > deadline) throw new Error(`${queue}: still not empty`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function empty(channel: Channel, queue: string, book: QueueBook): Promise<Set<string>> {
  const there = new Set<string>()
  const deadline = performance.now() + emptyLimitMs
  let last = performance.now()
  await channel.prefetch(500)
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return
    last = performance.now()
    const id = idOfMessage(message)
    book.deliver(queue, id, message.content, message.fields.redelivered)
    channel.ack(message)
    book.acknowledge(queue, id)
    there.add(id)
  })
  for (;;) {
    const { messageCount } = await channel.checkQueue(queue)
    if (messageCount === 0 && performance.now() - last > quietMs) break
    if (performance.now() > deadline) throw new Error(`${queue}: ${messageCount} messages after ${there.size} came`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await channel.cancel(consumerTag)
  return there
}
