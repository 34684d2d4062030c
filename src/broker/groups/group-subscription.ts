// Which topics a consumer's metadata subscribes to: ConsumerProtocolSubscription, as far as a coordinator reads it.
// Promises: a member's bytes are its own: what cannot be read is undefined, never an error.
// Does not know: owned partitions, user data, racks; those are for the members to each other.

import { DecodeError, Reader } from '../../base/bytes.ts'

/** The protocol type whose metadata the coordinator may read. */
export const consumerProtocolType = 'consumer'

/**
 * int16 version, then an int32 count of int16-length texts: version 0, with which every later one begins.
 * undefined: these bytes are something else.
 */
export function subscribedTopics(metadata: Buffer): readonly string[] | undefined {
  try {
    const reader = new Reader(metadata)
    reader.int16()
    const count = reader.elements(reader.int32(), 2)
    return Array.from({ length: count }, () => reader.utf8(reader.int16()))
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}
