// Properties that have to fit: headers are left out until they do, and named.
// Promises: what fits stays byte for byte; what does not loses the headers that are too large for the room that is left,
// in their order, and says which in x-headers-omitted.
// Does not know: how large a frame may be.

import { tableBytes } from './field-codec.ts'
import type { FieldEntry } from './fields.ts'
import { readProperties, withHeaders } from './properties.ts'

/** Names what was left out, as an array of texts. */
export const omittedHeader = 'x-headers-omitted'
/** Names of what was left out are told while they take no more than so much of the room. */
const namesShare = 0.25

export function propertiesWithin(properties: Buffer, bytesMax: number): Buffer {
  if (properties.length <= bytesMax) return properties
  const { headers = [] } = readProperties(properties)
  // Flags, lengths and the entry that names the others.
  const others = withHeaders(properties, []).length + omittedHeader.length + 6
  const namesMax = Math.floor((bytesMax - others) * namesShare)
  let room = bytesMax - others - namesMax
  let namesBytes = 0
  const kept: FieldEntry[] = []
  const omitted: Buffer[] = []
  const omit = (name: Buffer): void => {
    namesBytes += name.length + 5
    if (namesBytes <= namesMax) omitted.push(name)
  }
  for (const header of headers) {
    const { name, value } = header
    if (name === omittedHeader && value.type === 'array') {
      // What was left out before is so still.
      for (const one of value.value) if (one.type === 'text') omit(one.value)
      continue
    }
    const bytes = tableBytes([header]).length - 4
    if (bytes <= room) {
      room -= bytes
      kept.push(header)
      continue
    }
    omit(Buffer.from(name))
  }
  const told: FieldEntry = {
    name: omittedHeader,
    value: { type: 'array', value: omitted.map((value) => ({ type: 'text', value })) },
  }
  return withHeaders(properties, [...kept.filter(({ name }) => name !== omittedHeader), told])
}
