// murmur2 as Kafka's Java client computes it: which partition a key belongs to.
// Promises: the same number as org.apache.kafka.common.utils.Utils.murmur2 for the same bytes, signed 32 bits.
// Does not know: partitions, records. librdkafka's default partitioner is another (CRC-32).

const multiplier = 0x5bd1e995
const seed = 0x9747b28c
const shift = 24

export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes
  let hash = seed ^ length
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) {
    let word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> shift
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length - whole
  if (rest > 2) hash ^= bytes[whole + 2] << 16
  if (rest > 1) hash ^= bytes[whole + 1] << 8
  if (rest > 0) hash = Math.imul(hash ^ bytes[whole], multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

/** As the Java client's default partitioner places a record with a key. */
export const partitionOfKey = (key: Uint8Array, partitions: number): number => (murmur2(key) & 0x7fffffff) % partitions
