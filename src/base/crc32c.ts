// CRC-32C (Castagnoli), the checksum of record batches and journal entries.
// Promises: the same value from every path; small inputs in JavaScript (a native call costs 90 ns), large ones native,
// once there were a few.
// Does not know: what the bytes mean. Without the native package everything runs in JavaScript, slower.

import { createRequire } from 'node:module'

const polynomial = 0x82f63b78
/** Below this many bytes the JavaScript loop is faster than a call into native code (measured). */
const nativeFromBytes = 256

/** Eight tables of 256: slice-by-8, eight bytes a step. */
const tables = (() => {
  const all = Array.from({ length: 8 }, () => new Int32Array(256))
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    all[0][byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < 8; slice++) {
      const previous = all[slice - 1][byte]
      all[slice][byte] = (previous >>> 8) ^ all[0][previous & 0xff]
    }
  }
  return all
})()
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables

/** The portable path, exported for the test that compares both. */
export function crc32cPortable(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  let at = 0
  const wholeEnd = bytes.length - 7
  while (at < wholeEnd) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    crc =
      t7[crc & 0xff] ^
      t6[(crc >>> 8) & 0xff] ^
      t5[(crc >>> 16) & 0xff] ^
      t4[crc >>> 24] ^
      t3[bytes[at + 4]] ^
      t2[bytes[at + 5]] ^
      t1[bytes[at + 6]] ^
      t0[bytes[at + 7]]
    at += 8
  }
  while (at < bytes.length) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at++]) & 0xff]
  return ~crc >>> 0
}

type NativeCrc = (bytes: Uint8Array, seed?: number) => number

/**
 * So many bytes are done in JavaScript before the native package is looked for: loading it takes 5 MB of memory, which a
 * program with a few records in a test gets nothing for.
 */
const portableBytesMax = 1024 * 1024
let portableBytes = 0
let native: NativeCrc | undefined
let isSought = false

/** Loads the native package now, for whoever will need it and has time. It is optional: not every platform has one. */
export function loadNativeCrc32c(): void {
  if (isSought) return
  isSought = true
  try {
    native = (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: NativeCrc }).crc32c
  } catch {
    native = undefined
  }
}

/** CRC-32C of `bytes` as an unsigned 32-bit number; `seed` continues an earlier one. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  if (bytes.length < nativeFromBytes) return crc32cPortable(bytes, seed)
  if (native !== undefined) return native(bytes, seed)
  if (!isSought && (portableBytes += bytes.length) > portableBytesMax) loadNativeCrc32c()
  return crc32cPortable(bytes, seed)
}
