// Tests of murmur2: the numbers that Kafka's own tests have.
// Promises: values of UtilsTest.testMurmur2 of Kafka 4.
// Does not know: partitioners.

import { expect, test } from 'vitest'
import { murmur2, partitionOfKey } from './murmur2.ts'

test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('%s', (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash)
})

test('a partition is never negative', () => {
  for (let one = 0; one < 1000; one++) {
    const partition = partitionOfKey(Buffer.from(`key ${one}`), 7)
    expect(partition >= 0 && partition < 7).toBe(true)
  }
})
