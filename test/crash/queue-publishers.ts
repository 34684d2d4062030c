// Publishers with confirms: up to a hundred messages unconfirmed, by every route there is.
// Promises: every confirm goes into the book as it comes; what was not confirmed is never published again.
// Does not know: when the broker dies. A publisher's round ends when its connection does.

import type { ChannelModel } from 'amqplib'
import { hugeName, valueOf } from './promises.ts'
import type { Dice } from './producers.ts'
import type { QueueBook } from './queue-book.ts'
import { routes, type Route } from './queue-places.ts'

const inFlightMax = 100
const burstMax = 20

/** Others are told of a channel that went. */
const isNack = (error: unknown): boolean => error instanceof Error && error.message.includes('nacked')

export class QueuePublisher {
  private readonly name: string
  private readonly sentPerRunMax: number
  private next = 0

  constructor(name: string, sentPerRunMax = Infinity) {
    this.name = name
    this.sentPerRunMax = sentPerRunMax
  }

  async run(connection: ChannelModel, book: QueueBook, dice: Dice, complain: (what: string) => void): Promise<void> {
    const channel = await connection.createConfirmChannel()
    channel.on('error', (error: Error) => complain(`${this.name}: the channel was closed: ${error.message}`))
    let open = true
    let inFlight = 0
    let wake = (): void => {}
    connection.on('close', () => {
      open = false
      wake()
    })
    const publish = (route: Route): void => {
      const priority = dice.below(6)
      // Messages of one priority keep their order among themselves.
      const id = `${this.name}.${route.key}.${priority}:${this.next++}`
      book.publish(route.queues, id)
      inFlight++
      channel.publish(
        route.exchange,
        route.key,
        valueOf(id),
        { messageId: id, priority, persistent: true },
        (error) => {
          inFlight--
          if (error === null || error === undefined) book.confirm(route.queues, id)
          else if (isNack(error)) complain(`${this.name}: ${id} was refused`)
          wake()
        },
      )
    }
    let sent = 0
    while (open && sent < this.sentPerRunMax) {
      for (let burst = 1 + dice.below(burstMax); burst > 0 && inFlight < inFlightMax; burst--, sent++) {
        publish(routes[dice.below(routes.length)])
      }
      await new Promise<void>((resolve) => {
        wake = resolve
        if (inFlight < inFlightMax) setImmediate(resolve)
      })
    }
  }
}

export const hugePublisher = (): QueuePublisher => new QueuePublisher(hugeName, 3)
