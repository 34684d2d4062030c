// The partitioner against the values Kafka's own test pins down.
// Promises: murmur2 is bit for bit that of the Java client.
// Does not know: brokers.

import { expect, test } from 'vitest'
import { murmur2, partitionOfKey } from './partitioner.ts'

// clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('murmur2 of %s', (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash)
})

test('a partition is within the topic', () => {
  for (let key = 0; key < 1000; key++) {
    const partition = partitionOfKey(Buffer.from(String(key)), 7)
    expect(partition).toBeGreaterThanOrEqual(0)
    expect(partition).toBeLessThan(7)
  }
})
