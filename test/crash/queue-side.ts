// The queues of a crash round: who publishes, who consumes, who writes and reads them as topics, what is looked at.
// Promises: in some rounds, and at the end, everything is taken out of the queues and judged; in the others it piles up.
// Does not know: topics that are no queues, processes.

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
import { QueueTopics } from './queue-topics.ts'
import { emptyAll, work } from './queue-workers.ts'
import { WireClient } from './wire-client.ts'

const closeLimitMs = 3_000

/** Where the broker is: for AMQP's clients, and for Kafka's. */
export interface Addresses {
  readonly amqp: string
  readonly address: string
}

export class QueueSide {
  private readonly book = new QueueBook(deadLetterTargets, unorderedQueues)
  private readonly keeper = new QueueKeeper()
  private readonly topics = new QueueTopics()
  private readonly publishers = [new QueuePublisher('cleo'), new QueuePublisher('dora'), hugePublisher()]

  counts(): string {
    const { confirmed, delivered, redelivered, settled } = this.book
    return `${confirmed} confirmed (${this.topics.produced} by Kafka), ${delivered} delivered (${redelivered} again), ${settled} settled`
  }

  async declare(address: string): Promise<void> {
    const connection = await amqpClient(address)
    await declareStaying(connection)
    await connection.close()
  }

  /** Until the broker dies. */
  async load({ amqp, address: kafka }: Addresses, dice: Dice, complain: (what: string) => void): Promise<void> {
    const running: Promise<void>[] = []
    running.push(this.writeTopics(kafka, dice, complain))
    const start = (run: (connection: ChannelModel) => Promise<void>): void => {
      running.push(amqpClient(amqp).then(run).catch(unlessEnded))
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

  private async writeTopics(address: string, dice: Dice, complain: (what: string) => void): Promise<void> {
    const client = await WireClient.open(address, 'queues')
    await this.topics.run(client, this.book, dice, complain)
    client.end()
  }

  /** What a crash left: always the definitions, sometimes what the topics hold, sometimes every message. */
  async verify({ amqp, address }: Addresses, dice: Dice): Promise<string[]> {
    const connection = await amqpClient(amqp)
    const broken = await this.keeper.judge(connection)
    await closeSoon(connection)
    broken.push(...this.book.complaints())
    if (dice.below(3) === 0) broken.push(...(await this.readTopics(address)))
    if (dice.below(4) === 0) broken.push(...(await this.verifyAll({ amqp, address })))
    return broken
  }

  private async readTopics(address: string): Promise<string[]> {
    const client = await WireClient.open(address, 'queues')
    const broken = await this.topics.judge(client, this.book)
    client.end()
    return broken
  }

  /** Every message is taken out, acknowledged and judged. */
  async verifyAll({ amqp }: Addresses): Promise<string[]> {
    const connection = await amqpClient(amqp)
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
export function unlessEnded(error: unknown): void {
  const { message } = error as Error
  if (!/closed|ended|ECONNRESET|ECONNREFUSED|EPIPE|closing|Socket/i.test(message)) throw error
}
