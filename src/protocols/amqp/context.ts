// What the methods of one channel may use: its connection's session, its own state, and the way to answer.
// Promises: types and the checks that several methods share.
// Does not know: frames, sockets, the order of methods (channel.ts).

import type { Channel, Got, QueueCalls } from '../../broker/queue-door.ts'
import type { MethodInput, MethodName, MethodValues } from '../../wire/amqp/methods.ts'
import type { Confirms } from './confirms.ts'
import { Fault } from './fault.ts'

export interface ChannelContext {
  readonly queues: QueueCalls
  readonly door: Channel
  readonly confirms: Confirms
  /** The name that an empty queue name stands for: what was declared last. */
  lastQueue: string
  isTransactional: boolean
  /** False: closed, or without a peer, while an answer was awaited. */
  readonly isOpen: boolean
  /** Says nothing when the channel was closed meanwhile. */
  reply<Name extends MethodName>(name: Name, values: MethodInput<Name>): void
  replyGot(got: Got): void
  /** To be waited for before an answer that may be large; undefined: there is room. */
  roomToAnswer(): Promise<void> | undefined
  /** What a transaction held back may be told: its messages that no queue took. */
  transactionEnded(isCommitted: boolean): void
}

/** undefined: done. A promise: later methods of the channel wait for it. Both may fail with a Fault. */
export type Handler<Name extends MethodName> = (
  channel: ChannelContext,
  values: MethodValues<Name>,
) => void | Promise<void>

export type Handlers = { readonly [Name in MethodName]?: Handler<Name> }

/** Names never hold line ends: RabbitMQ drops them (rabbit_channel:strip_cr_lf). */
export const plainName = (name: string): string => (/[\r\n]/.test(name) ? name.replaceAll(/[\r\n]/g, '') : name)

/** The queue that is meant: '' is the one declared last on this channel. */
export function queueMeant(channel: ChannelContext, said: string): string {
  if (said !== '') return plainName(said)
  if (channel.lastQueue === '') throw new Fault('NOT_FOUND', 'no previously declared queue')
  return channel.lastQueue
}

/** The default exchange is there of itself: nothing is declared, deleted or bound. */
export function namedExchange(said: string): string {
  const name = plainName(said)
  if (name === '') throw new Fault('ACCESS_REFUSED', 'operation not permitted on the default exchange')
  return name
}
