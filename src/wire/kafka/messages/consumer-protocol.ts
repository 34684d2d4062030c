// Tables of what consumers of a classic group say to each other through the broker.
// Promises: field for field the Kafka 4.4 definitions, after an int16 version; a newer one is read as our newest.
// Does not know: groups; members of other protocol types, whose bytes are their own.

import { decodeVersioned, encodeVersioned } from '../../../base/schema-compose.ts'
import { array, bytes, int32, list, message, string, versions } from '../../../base/schema.ts'
import type { InputOf, ValueOf } from '../../../base/schema.ts'

export const ConsumerProtocolSubscription = message(versions(0, 3), {
  topics: array(string()),
  userData: bytes({ nullable: 0, default: null }),
  ownedPartitions: list({ topic: string(), partitions: array(int32()) }, { since: 1, ignorable: true }),
  generationId: int32({ since: 2, default: -1, ignorable: true }),
  rackId: string({ since: 3, nullable: 0, default: null, ignorable: true }),
})
export type ConsumerProtocolSubscription = ValueOf<typeof ConsumerProtocolSubscription>

export const ConsumerProtocolAssignment = message(versions(0, 3), {
  assignedPartitions: list({ topic: string(), partitions: array(int32()) }),
  userData: bytes({ nullable: 0, default: null }),
})
export type ConsumerProtocolAssignment = ValueOf<typeof ConsumerProtocolAssignment>

// Fields are only ever added, so what a newer member wrote begins with what we know (KIP-429).
export function decodeSubscription(bytes: Buffer): ConsumerProtocolSubscription {
  return decodeVersioned(ConsumerProtocolSubscription, bytes, 'read as the last')
}

export function decodeAssignment(bytes: Buffer): ConsumerProtocolAssignment {
  return decodeVersioned(ConsumerProtocolAssignment, bytes, 'read as the last')
}

export function encodeSubscription(version: number, value: InputOf<typeof ConsumerProtocolSubscription>): Buffer {
  return encodeVersioned(ConsumerProtocolSubscription, version, value)
}

export function encodeAssignment(version: number, value: InputOf<typeof ConsumerProtocolAssignment>): Buffer {
  return encodeVersioned(ConsumerProtocolAssignment, version, value)
}
