// What records are made of: zigzag varints and bytes, written one behind the other.
// Promises: whatever writes a record counts and writes its numbers here, so that all writers agree.
// Does not know: records; buffers too small for what is put there.

/** Up to here copying byte by byte is cheaper than a call into native code (measured). */
const copyInlineMax = 48

/** Bytes of a number (within ±2^52) as a zigzag varint. */
export function varintBytes(value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  if (rest < 0x80) return 1
  if (rest < 0x4000) return 2
  if (rest < 0x20_0000) return 3
  let bytes = 3
  rest /= 0x20_0000
  while (rest >= 1) {
    rest /= 128
    bytes++
  }
  return bytes
}

/** Writes a number as a zigzag varint; returns where it ends. */
export function putVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  while (rest >= 128) {
    target[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at
}

/** Copies source[from, from + bytes); returns where they end. */
export function putRange(target: Uint8Array, at: number, source: Buffer, from: number, bytes: number): number {
  if (bytes > copyInlineMax) source.copy(target, at, from, from + bytes)
  else for (let index = 0; index < bytes; index++) target[at + index] = source[from + index]
  return at + bytes
}

/** Copies bytes; returns where they end. */
export function putBytes(target: Uint8Array, at: number, bytes: Uint8Array): number {
  const { length } = bytes
  if (length > copyInlineMax) target.set(bytes, at)
  else for (let index = 0; index < length; index++) target[at + index] = bytes[index]
  return at + length
}
