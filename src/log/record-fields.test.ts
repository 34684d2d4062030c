// Tests of the fields of records: as many bytes as were counted, and the number that was written.
// Promises: both signs and all lengths. Does not know: records.

import { expect, test } from 'vitest'
import { Reader } from '../base/bytes.ts'
import { putVarint, varintBytes } from './record-fields.ts'

const lengths = [0, 1, 63, 64, 8191, 8192, 1_048_575, 1_048_576, 2 ** 27 - 1, 2 ** 27, 2 ** 31, 2 ** 45]

test.each([...lengths, ...lengths.map((length) => -1 - length)])('a varint of %d', (value) => {
  const target = Buffer.alloc(12)
  const end = putVarint(target, 1, value)
  expect(end - 1).toBe(varintBytes(value))
  expect(new Reader(target.subarray(1, end)).varlong()).toBe(value)
})
