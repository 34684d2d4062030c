// Direct reply-to: a consumer of the pseudo-queue `amq.rabbitmq.reply-to`, to which answers go without any queue.
// Promises: an address names one channel's consumer as long as that lives; a reply is given at most once; what cannot
// be given at once is kept up to a limit, and beyond it dropped and counted.
// Does not know: queues, logs; how a channel numbers its deliveries.

import { MiB } from '../../../base/limits.ts'
import type { World } from '../../../base/world.ts'
import type { NewMessage } from '../parts.ts'

/** The name clients consume from and put in `reply-to`. */
export const replyQueue = 'amq.rabbitmq.reply-to'
const addressPrefix = `${replyQueue}.`
const tokenBytes = 18
/** What one consumer's replies may take while its socket has no room. */
const backlogBytesMax = 16 * MiB
const replyBytesMin = 256

/** Whether the name is the address of somebody who waits for replies. */
export const isReplyAddress = (name: string): boolean => name.startsWith(addressPrefix)
/** Whether the name is an address or the pseudo-queue itself, and no queue's. */
export const isReplyName = (name: string): boolean => name === replyQueue || isReplyAddress(name)

/** Who waits for replies. */
export interface ReplyTaker {
  /** The message is the caller's again after the call. */
  takeReply(message: NewMessage): void
}

/** Everyone of one broker who waits for replies, by address. */
export class ReplyDesk {
  readonly world: World
  readonly #takers = new Map<string, ReplyTaker>()

  constructor(world: World) {
    this.world = world
  }

  /** The address replies to `taker` carry as routing key, until forget(). */
  register(vhost: string, taker: ReplyTaker): string {
    const address = addressPrefix + this.world.random.bytes(tokenBytes).toString('base64url')
    this.#takers.set(keyOf(vhost, address), taker)
    return address
  }

  forget(vhost: string, address: string): void {
    this.#takers.delete(keyOf(vhost, address))
  }

  find(vhost: string, address: string): ReplyTaker | undefined {
    return this.#takers.get(keyOf(vhost, address))
  }

  /**
   * Passive declare: whether the pseudo-queue's name (always, there one may consume) or an address has somebody behind
   * it. It then counts no message and one consumer.
   */
  isLive(vhost: string, name: string): boolean {
    return name === replyQueue || this.#takers.has(keyOf(vhost, name))
  }
}

const keyOf = (vhost: string, address: string): string => `${vhost}\0${address}`

/** The channel of a reply consumer. */
export interface ReplyChannel {
  /** Whether it can be given something now. */
  readonly hasRoom: boolean
  giveReply(consumerTag: string, message: NewMessage): void
}

/** A channel's consumer of replies. */
export class ReplyConsumer implements ReplyTaker {
  readonly tag: string
  readonly address: string
  readonly #desk: ReplyDesk
  readonly #vhost: string
  readonly #channel: ReplyChannel
  #isStarted = false
  #backlog: NewMessage[] = []
  #backlogBytes = 0

  constructor(desk: ReplyDesk, vhost: string, tag: string, channel: ReplyChannel) {
    this.tag = tag
    this.#desk = desk
    this.#vhost = vhost
    this.#channel = channel
    this.address = desk.register(vhost, this)
  }

  start(): void {
    this.#isStarted = true
    this.resume()
  }

  takeReply(message: NewMessage): void {
    if (this.#isStarted && this.#backlog.length === 0 && this.#channel.hasRoom)
      return this.#channel.giveReply(this.tag, message)
    const bytes = replyBytesMin + message.bodyBytes + message.properties.length
    if (this.#backlogBytes + bytes > backlogBytesMax) return this.#desk.world.trace.count('replies.dropped')
    this.#backlogBytes += bytes
    const body = Buffer.concat(message.body, message.bodyBytes)
    this.#backlog.push({ ...message, properties: Buffer.from(message.properties), body: [body] })
  }

  /** Its channel may have room again. */
  resume(): void {
    if (!this.#isStarted) return
    let given = 0
    while (given < this.#backlog.length && this.#channel.hasRoom)
      this.#channel.giveReply(this.tag, this.#backlog[given++])
    if (given === 0) return
    this.#backlog = this.#backlog.slice(given)
    this.#backlogBytes = 0
    for (const { bodyBytes, properties } of this.#backlog)
      this.#backlogBytes += replyBytesMin + bodyBytes + properties.length
  }

  close(): void {
    this.#desk.forget(this.#vhost, this.address)
    this.#backlog = []
    this.#backlogBytes = 0
  }
}
