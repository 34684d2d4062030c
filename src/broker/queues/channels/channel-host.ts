// What a channel is opened with: the rooms it asks, who its client is, and its limits.
// Promises: interfaces and the default limits; one host serves all channels of a broker.
// Does not know: what channels do with it.

import { MiB } from '../../../base/limits.ts'
import type { World } from '../../../base/world.ts'
import type { Refusal } from '../../errors.ts'
import type { LedgersPart, QueuePart, QueuesPart, Router } from '../parts.ts'
import type { ReplyDesk } from './reply-to.ts'

export interface ChannelLimits {
  /** Largest body of one message (RabbitMQ's max_message_size). */
  readonly messageBytesMax: number
  /** What one transaction may keep: its publishes and settlements. */
  readonly transactionBytesMax: number
  readonly consumersMax: number
  /** Unsettled deliveries of one channel; at the limit nothing more is delivered to it. */
  readonly unsettledMax: number
}

export const channelLimits: ChannelLimits = {
  messageBytesMax: 16 * MiB,
  transactionBytesMax: 64 * MiB,
  consumersMax: 65_535,
  unsettledMax: 16_000_000,
}

/** What all channels of a broker share. */
export interface ChannelHost {
  readonly world: World
  readonly router: Router
  readonly queues: QueuesPart
  readonly ledgers: LedgersPart
  readonly replies: ReplyDesk
  readonly deadLetters: { settled(): Promise<unknown> | undefined }
  readonly limits: ChannelLimits
  /** Why nothing may be published now (a full disk); undefined: it may. */
  produceRefusal(): Refusal | undefined
}

/** Whose channel it is. */
export interface ChannelIdentity {
  readonly vhost: string
  readonly principal: string
  /** May publish in other users' names (`user-id`). */
  readonly mayImpersonate: boolean
  /** Whether this client may consume or get from the queue (an exclusive queue belongs to one connection). */
  mayUse(queue: QueuePart): Refusal | undefined
}
