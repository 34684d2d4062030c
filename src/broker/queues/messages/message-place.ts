// A message's place written on it: the headers x-partition and x-stream-offset.
// Promises: whatever else is in the properties stays byte for byte; a header of these names that somebody else wrote is
// replaced.
// Does not know: which messages are told their place (reading.ts, stream-reader.ts).

import type { FieldEntry, FieldTable } from '../../../base/fields.ts'
import { readProperties, withHeaders } from '../../../base/properties.ts'
import { putBytes } from '../../../log/record-fields.ts'
import { hasTable, tableEndOf, withRoomForHeaders } from './header-room.ts'

export const partitionHeader = 'x-partition'
export const offsetHeader = 'x-stream-offset'
const partitionName = Buffer.from(partitionHeader)
const offsetName = Buffer.from(offsetHeader)
/** An entry: length of the name, name, type, value. */
const partitionEntryBytes = 1 + partitionName.length + 1 + 4
const offsetEntryBytes = 1 + offsetName.length + 1 + 8
export const placeBytes = partitionEntryBytes + offsetEntryBytes
/** What comes before the values. */
const partitionLead = Buffer.concat([Buffer.of(partitionName.length), partitionName, Buffer.from('I')])
const offsetLead = Buffer.concat([Buffer.of(offsetName.length), offsetName, Buffer.from('l')])

/** Writes the entries of a place into a table; answers where they end. `partition` below 0: the offset alone. */
export function putPlace(target: Buffer, at: number, partition: number, offset: number): number {
  if (partition >= 0) {
    at = putBytes(target, at, partitionLead)
    at = target.writeInt32BE(partition, at)
  }
  at = putBytes(target, at, offsetLead)
  at = target.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), at)
  return target.writeUInt32BE(offset >>> 0, at)
}

/** The place as entries of a table. */
export function placeEntries(partition: number, offset: number): FieldEntry[] {
  const place: FieldEntry = { name: offsetHeader, value: { type: 'int64', value: offset } }
  return partition < 0 ? [place] : [{ name: partitionHeader, value: { type: 'int32', value: partition } }, place]
}

/** The headers without a place. */
export const placeless = (headers: FieldTable): FieldTable =>
  headers.filter(({ name }) => name !== partitionHeader && name !== offsetHeader)

/** The properties as they are without the place that was written on them. */
export function withoutPlace(properties: Buffer): Buffer {
  const headers = placeless(readProperties(properties).headers ?? [])
  return withHeaders(properties, headers.length === 0 ? undefined : headers)
}

/** The properties with the message's place as further headers. `partition` below 0: the offset alone. */
export function withPlace(properties: Buffer, partition: number, offset: number): Buffer {
  if (
    hasTable(properties) &&
    (properties.includes(offsetName) || (partition >= 0 && properties.includes(partitionName)))
  ) {
    const { headers = [] } = readProperties(properties)
    const place = placeEntries(partition, offset)
    const others = headers.filter((header) => !place.some(({ name }) => name === header.name))
    return withHeaders(properties, [...others, ...place])
  }
  const addedBytes = partition < 0 ? offsetEntryBytes : placeBytes
  const written = withRoomForHeaders(properties, addedBytes)
  putPlace(written, tableEndOf(written) - addedBytes, partition, offset)
  return written
}
