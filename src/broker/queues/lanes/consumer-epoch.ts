// The epoch of a single active consumer, written on what it is given: the header x-consumer-epoch.
// Promises: a header of this name that somebody else wrote is replaced; every other byte stays as it is.
// Does not know: where epochs come from (epochs.ts), who is active.

import { readProperties, withHeaders } from '../../../base/properties.ts'
import { hasTable, tableEndOf, withRoomForHeaders } from '../messages/header-room.ts'

export const epochHeader = 'x-consumer-epoch'
const epochName = Buffer.from(epochHeader)
const int64Tag = 'l'.charCodeAt(0)

/** The header as an entry of a table: made once an epoch. */
export function epochEntry(epoch: number): Buffer {
  const entry = Buffer.alloc(1 + epochName.length + 1 + 8)
  entry[0] = epochName.length
  let at = 1 + epochName.copy(entry, 1)
  entry[at++] = int64Tag
  at = entry.writeUInt32BE(Math.floor(epoch / 0x1_0000_0000), at)
  entry.writeUInt32BE(epoch >>> 0, at)
  return entry
}

export function withEpoch(properties: Buffer, entry: Buffer): Buffer {
  const written = withRoomForHeaders(withoutEpoch(properties), entry.length)
  entry.copy(written, tableEndOf(written) - entry.length)
  return written
}

function withoutEpoch(properties: Buffer): Buffer {
  if (!hasTable(properties) || !properties.includes(epochName)) return properties
  const { headers = [] } = readProperties(properties)
  return withHeaders(
    properties,
    headers.filter(({ name }) => name !== epochHeader),
  )
}
