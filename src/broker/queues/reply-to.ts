// Direct reply-to: a consumer of the pseudo-queue `amq.rabbitmq.reply-to`, to which answers go without any queue.
// Promises: an address names one channel's consumer as long as that lives; a reply is given at most once, or dropped.
// Does not know: queues, logs; how a channel numbers its deliveries.

import type { World } from '../../base/world.ts'
import type { NewMessage } from './parts.ts'

/** The name clients consume from and put in `reply-to`. */
export const replyQueue = 'amq.rabbitmq.reply-to'
const addressPrefix = `${replyQueue}.`
const tokenBytes = 18

/** Who waits for replies. */
export interface ReplyTaker {
  takeReply(message: NewMessage): void
}

/** Everyone of one broker who waits for replies, by address. */
export class ReplyDesk {
  readonly #world: World
  readonly #takers = new Map<string, ReplyTaker>()

  constructor(world: World) {
    this.#world = world
  }

  /** The address replies to `taker` carry as routing key, until forget(). */
  register(vhost: string, taker: ReplyTaker): string {
    const address = addressPrefix + this.#world.random.bytes(tokenBytes).toString('base64url')
    this.#takers.set(keyOf(vhost, address), taker)
    return address
  }

  forget(vhost: string, address: string): void {
    this.#takers.delete(keyOf(vhost, address))
  }

  find(vhost: string, address: string): ReplyTaker | undefined {
    return this.#takers.get(keyOf(vhost, address))
  }

  /** Passive declare of an address: whether its consumer still waits. */
  isLive(vhost: string, address: string): boolean {
    return this.#takers.has(keyOf(vhost, address))
  }
}

/** Whether the name is an address (or the pseudo-queue itself), and no queue's. */
export const isReplyName = (name: string): boolean => name === replyQueue || name.startsWith(addressPrefix)

const keyOf = (vhost: string, address: string): string => `${vhost}\0${address}`
