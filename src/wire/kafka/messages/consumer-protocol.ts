// Tables of what consumers of a classic group say to each other through the broker.
// Promises: field for field the Kafka 4.4 message definitions; behind each comes an int16 version, written by its user.
// Does not know: groups. A newer version than ours is read as our newest (KIP-429): fields are only ever added.

import { array, bytes, int32, list, message, string, versions } from '../../../base/schema.ts'
import type { ValueOf } from '../../../base/schema.ts'

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
