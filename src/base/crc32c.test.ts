// The checksum against its published check value and itself.
// Promises: both paths agree on every length and seed.
// Does not know: batches.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c, crc32cPortable, loadNativeCrc32c } from './crc32c.ts'

test('the check value of CRC-32C is that of RFC 3720', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
})

test('the native and the portable path agree, also continued from a seed', () => {
  loadNativeCrc32c()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(2000), (bytes, cut) => {
      const at = Math.min(cut, bytes.length)
      const whole = crc32cPortable(bytes)
      expect(crc32c(bytes)).toBe(whole)
      expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(whole)
    }),
    { numRuns: 200 },
  )
})
