// The AMQP half of a crash round: who publishes, who consumes, what is looked at afterwards.
// Promises: in some rounds, and at the end, everything is taken out of the queues and judged; in the others it piles up.
// Does not know: Kafka's half, processes.

import type { ChannelModel } from 'amqplib'
import type { Dice } from './producers.ts'
import { QueueBook } from './queue-book.ts'
import {
  amqpClient,
  declareStaying,
  deadLetterTargets,
  QueueKeeper,
  queuePlaces,
  unorderedQueues,
} from './queue-places.ts'
import { hugePublisher, QueuePublisher } from './queue-publishers.ts'
import { emptyAll, work } from './queue-workers.ts'

const closeLimitMs = 3_000

export class QueueSide {
  private readonly book = new QueueBook(deadLetterTargets, unorderedQueues)
  private readonly keeper = new QueueKeeper()
  private readonly publishers = [new QueuePublisher('cleo'), new QueuePublisher('dora'), hugePublisher()]

  counts(): string {
    const { confirmed, delivered, redelivered, settled } = this.book
    return `${confirmed} confirmed, ${delivered} delivered (${redelivered} again), ${settled} settled`
  }

  async declare(address: string): Promise<void> {
    const connection = await amqpClient(address)
    await declareStaying(connection)
    await connection.close()
  }

  /** Until the broker dies. */
  async load(address: string, dice: Dice, complain: (what: string) => void): Promise<void> {
    const running: Promise<void>[] = []
    const start = (run: (connection: ChannelModel) => Promise<void>): void => {
      running.push(amqpClient(address).then(run).catch(unlessEnded))
    }
    for (const publisher of this.publishers) start((connection) => publisher.run(connection, this.book, dice, complain))
    for (const place of queuePlaces) {
      for (let worker = 0; worker < place.workers; worker++) {
        start((connection) => work(connection, place, this.book, dice, complain))
      }
    }
    start((connection) => this.keeper.run(connection, dice))
    await Promise.all(running)
  }

  /** What a crash left: always the definitions, sometimes every message. */
  async verify(address: string, dice: Dice): Promise<string[]> {
    const connection = await amqpClient(address)
    const broken = await this.keeper.judge(connection)
    await closeSoon(connection)
    broken.push(...this.book.complaints())
    if (dice.below(4) === 0) broken.push(...(await this.verifyAll(address)))
    return broken
  }

  /** Every message is taken out, acknowledged and judged. */
  async verifyAll(address: string): Promise<string[]> {
    const connection = await amqpClient(address)
    this.book.judgeEmptied(await emptyAll(connection, queuePlaces, this.book))
    await closeSoon(connection)
    return this.book.complaints()
  }
}

async function closeSoon(connection: ChannelModel): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeLimitMs)))
  await Promise.race([connection.close(), late])
  clearTimeout(timer)
}

/** amqplib tells in several ways that the connection went. */
function unlessEnded(error: unknown): void {
  const { message } = error as Error
  if (!/closed|ended|ECONNRESET|ECONNREFUSED|EPIPE|closing|Socket/i.test(message)) throw error
}
