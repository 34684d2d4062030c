// A call: one request under way, as a handler sees it.
// Promises: types only; everything a handler may use is here, so that a test can make one up.
// Does not know: sockets and frames (connection.ts), the table of APIs (apis.ts).

import type { Session } from '../../broker/door.ts'
import type { World } from '../../base/world.ts'
import type { Hangup } from '../conversation.ts'
import type { FetchSessions } from './fetch-session.ts'

export interface AdvertisedApi {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

export interface Call {
  readonly world: World
  readonly session: Session
  readonly version: number
  readonly clientId: string
  /** As Kafka prints a member's host: `/127.0.0.1`. */
  readonly clientHost: string
  /** Bytes of the request, for quotas. */
  readonly requestBytes: number
  /** Where clients find this node. */
  readonly host: string
  readonly port: number
  readonly advertised: readonly AdvertisedApi[]
  readonly fetchSessions: FetchSessions
  /** Registers a parked request: `wake` is called when the connection closes or we are about to stop. */
  park(wake: () => void): () => void
}

/** A request that its sender wants no answer to (produce with acks=0). */
export interface Unanswered {
  readonly unanswered: true
  readonly throttleTimeMs: number
}

/** An answer whose bytes are lent: `sent` is called when the kernel has them. */
export interface Lent {
  readonly sent?: () => void
}

export type Handled<Response> = (Response & Lent) | Hangup | Unanswered

/** Longest client id taken; it becomes part of member ids and is told to operators. */
export const clientIdCharsMax = 1024

/** Every Kafka listener shows one vhost. */
export const kafkaVhost = '/'
/** There is one leader, of one epoch: nothing is ever truncated (KIP-101, KIP-320). */
export const leaderEpoch = 0

/** KIP-430, as bits of AclOperation: what an unauthenticated client of an open broker may do. */
const operationBits = (operations: readonly number[]): number =>
  operations.reduce((bits, operation) => bits | (1 << operation), 0)

/** READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS. */
export const topicOperations = operationBits([3, 4, 5, 6, 7, 8, 10, 11])
/** READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS. */
export const groupOperations = operationBits([3, 6, 8, 10, 11])
/** CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE. */
export const clusterOperations = operationBits([5, 7, 8, 9, 10, 11, 12])
/** Not asked for. */
export const noOperations = -0x8000_0000
