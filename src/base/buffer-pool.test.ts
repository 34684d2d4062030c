// The pool of buffers: sizes, reuse, bounds.
// Promises: what is taken twice without being given back never shares a byte.
// Does not know: frames and tails.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BufferPool } from './buffer-pool.ts'

test('a buffer has the length asked for, whatever its size, and at most a third more behind it', () => {
  const pool = new BufferPool(0)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 * 1024 * 1024 }), (bytes) => {
      const taken = pool.take(bytes)
      expect(taken.length).toBe(bytes)
      if (bytes >= 8192) expect(taken.buffer.byteLength).toBeLessThanOrEqual(Math.ceil((bytes * 4) / 3))
    }),
  )
})

test('a buffer given back serves the next of its size, and only one', () => {
  const pool = new BufferPool(1024 * 1024)
  const first = pool.take(100_000)
  pool.giveBack(first)
  const second = pool.take(99_000)
  expect(second.buffer).toBe(first.buffer)
  expect(pool.take(99_000).buffer).not.toBe(first.buffer)
})

test('no more than its bound is kept, and nothing that is not its own', () => {
  const pool = new BufferPool(150_000)
  const [one, other] = [pool.take(100_000), pool.take(100_000)]
  pool.giveBack(one)
  pool.giveBack(other)
  pool.giveBack(Buffer.alloc(100_001).subarray(1))
  expect(pool.take(100_000).buffer).toBe(one.buffer)
  expect(pool.take(100_000).buffer).not.toBe(other.buffer)
})

test("a slice of Node's own slab is never lent to another", () => {
  const pool = new BufferPool(1024 * 1024)
  // Slabs are shared: the first slice of one is at its beginning and looks like a whole buffer.
  const small = Array.from({ length: 1000 }, () => pool.take(1000))
  const first = small.filter(({ byteOffset }) => byteOffset === 0)
  expect(first.length).toBeGreaterThan(0)
  for (const buffer of first) {
    pool.giveBack(buffer)
    expect(pool.take(buffer.buffer.byteLength).buffer).not.toBe(buffer.buffer)
  }
})

test('buffers that are out at the same time never overlap', () => {
  const steps = fc.array(fc.record({ give: fc.boolean(), bytes: fc.integer({ min: 1, max: 40_000 }), pick: fc.nat() }))
  fc.assert(
    fc.property(steps, (all) => {
      const pool = new BufferPool(1024 * 1024)
      const out: Buffer[] = []
      for (const { give, bytes, pick } of all) {
        if (give && out.length > 0) pool.giveBack(out.splice(pick % out.length, 1)[0])
        else out.push(pool.take(bytes))
      }
      for (const [mark, buffer] of out.entries()) buffer.fill(mark)
      for (const [mark, buffer] of out.entries()) expect(buffer.every((byte) => byte === mark % 256)).toBe(true)
    }),
    { numRuns: 50 },
  )
})
