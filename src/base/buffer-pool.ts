// A pool of large buffers, reused by size: what arrives in frames and lives for a while in tails.
// Promises: a buffer taken is nobody else's until it is given back; what is never given back the collector frees.
// Does not know: what is in them. Whoever gives one back vouches that no slice of it is held anywhere.
//
// Why: V8 counts buffers outside its heap and starts a full collection for every 64 MiB of them. Half of the broker's
// processor time under a produce load was that.

import { assert } from './assert.ts'

/** Smaller ones are cut from Node's own slabs and not reused. */
const pooledBytesMin = 8 * 1024
const pooledBytesMax = 4 * 1024 * 1024

/** Four sizes an octave: at most a quarter of a buffer is unused. */
const sizes: readonly number[] = (() => {
  const all: number[] = []
  for (let octave = pooledBytesMin; octave < pooledBytesMax; octave *= 2)
    for (let quarter = 4; quarter < 8; quarter++) all.push((octave / 4) * quarter)
  return [...all, pooledBytesMax]
})()

/** The smallest size that holds `bytes`: its place in `sizes`. */
function sizeFor(bytes: number): number {
  const octave = 31 - Math.clz32(bytes - 1) - 13
  if (octave < 0) return 0
  const quarter = (bytes - 1) >>> (octave + 11)
  return octave * 4 + quarter - 3
}

export class BufferPool {
  private readonly spareBytesMax: number
  private readonly spares: Buffer[][] = sizes.map(() => [])
  private spareBytes = 0

  /** At most `spareBytesMax` bytes are kept for reuse. */
  constructor(spareBytesMax: number) {
    this.spareBytesMax = spareBytesMax
  }

  /** A buffer of exactly `bytes`, of unspecified content. */
  take(bytes: number): Buffer {
    if (bytes < pooledBytesMin) return Buffer.allocUnsafe(bytes)
    if (bytes > pooledBytesMax) return Buffer.allocUnsafeSlow(bytes)
    const size = sizeFor(bytes)
    assert(sizes[size] >= bytes, 'the size holds what is asked for')
    const spare = this.spares[size].pop()
    if (spare === undefined) return Buffer.allocUnsafeSlow(sizes[size]).subarray(0, bytes)
    this.spareBytes -= spare.length
    return spare.subarray(0, bytes)
  }

  /** Takes back what take() gave; buffers of other origins and too many of one are left to the collector. */
  giveBack(buffer: Buffer): void {
    const bytes = buffer.buffer.byteLength
    // A small one may be the first slice of a slab of Node's, which has the very size of ours and other owners.
    if (buffer.byteOffset !== 0 || buffer.length < pooledBytesMin || bytes > pooledBytesMax) return
    const size = sizeFor(buffer.length)
    if (sizes[size] !== bytes || this.spareBytes + bytes > this.spareBytesMax) return
    this.spareBytes += bytes
    this.spares[size].push(Buffer.from(buffer.buffer, 0, bytes))
  }
}
