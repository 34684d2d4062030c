// Room for further headers in the properties of a message that is given out.
// Promises: every other byte stays as it is; one allocation, nothing is decoded.
// Does not know: which headers; whether one of the same name is there already.

const flagsWithHeaders = 0x20

/** The properties with so many bytes at the end of their table of headers, for the caller to fill with entries. */
export function withRoomForHeaders(properties: Buffer, addedBytes: number): Buffer {
  const hasHeaders = hasTable(properties)
  const at = tableAt(properties)
  const before = hasHeaders ? properties.readUInt32BE(at) : 0
  const tableEnd = hasHeaders ? at + 4 + before : at
  const written = Buffer.allocUnsafe(properties.length + addedBytes + (hasHeaders ? 0 : 4))
  properties.copy(written, 0, 0, at)
  written[0] |= flagsWithHeaders
  written.writeUInt32BE(before + addedBytes, at)
  if (hasHeaders) properties.copy(written, at + 4, at + 4, tableEnd)
  properties.copy(written, at + 4 + before + addedBytes, tableEnd)
  return written
}

export const hasTable = (properties: Buffer): boolean => (properties[0] & flagsWithHeaders) !== 0

/** Where the table of headers ends, of properties that have one. */
export function tableEndOf(properties: Buffer): number {
  const at = tableAt(properties)
  return at + 4 + properties.readUInt32BE(at)
}

/** Headers follow content type and content encoding. */
function tableAt(properties: Buffer): number {
  let at = 2
  if ((properties[0] & 0x80) !== 0) at += 1 + properties[at]
  if ((properties[0] & 0x40) !== 0) at += 1 + properties[at]
  return at
}
