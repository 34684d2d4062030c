// The tail's buffers: used again only when neither the tail nor a reader holds them.
// Promises: what a reader was given does not change before he says that he is done, whatever happens meanwhile.
// Does not know: segments.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { offset, type Batches } from '../../log/store.ts'
import { TailBudget, Tail } from './tail.ts'

const batchBytes = 16 * 1024

/** A budget of four batches, with one tail; each batch is filled with its number. */
function stage() {
  const budget = new TailBudget(100 * batchBytes, 4 * (batchBytes + 128))
  const tail = new Tail(offset(0), budget.pool)
  let count = 0
  const push = (): void => {
    const batch = budget.pool.take(batchBytes)
    batch.fill(count % 251)
    // A batch head says where its offsets end; the tail is told.
    budget.push(tail, batch, offset(++count), () => offset(count))
  }
  const isWhole = (read: Batches, from: number): boolean =>
    read.chunks.every((chunk, index) => chunk.every((byte) => byte === (from + index) % 251))
  return { budget, tail, push, isWhole }
}

test('a buffer let go serves the next batch; one that is read does so after the reader is done', () => {
  const { tail, push } = stage()
  for (let index = 0; index < 4; index++) push()
  const read = tail.read(offset(0), batchBytes, offset(4))
  const [held] = read.chunks
  for (let index = 0; index < 8; index++) push()
  expect(held.every((byte) => byte === 0)).toBe(true)
  read.release?.()
  read.release?.()
  push()
  expect(held.every((byte) => byte === 0)).toBe(false)
})

test('whatever readers and writers do, nobody sees a batch change', () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant('push' as const) }),
    fc.record({ does: fc.constant('read' as const), back: fc.nat(3), batches: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ does: fc.constant('release' as const), which: fc.nat(), twice: fc.boolean() }),
    fc.record({ does: fc.constant('forget' as const), which: fc.nat() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { tail, push, isWhole } = stage()
      const held: { readonly read: Batches; readonly from: number }[] = []
      let end = 0
      for (const todo of steps) {
        if (todo.does === 'push') {
          push()
          end++
        } else if (todo.does === 'read') {
          const from = Math.max(tail.base, end - 1 - todo.back)
          if (from < end) held.push({ read: tail.read(offset(from), todo.batches * batchBytes, offset(end)), from })
        } else if (held.length > 0) {
          const [{ read }] = held.splice(todo.which % held.length, 1)
          if (todo.does === 'release') read.release?.()
          if (todo.does === 'release' && todo.twice) read.release?.()
        }
        for (const { read, from } of held) expect(isWhole(read, from)).toBe(true)
      }
    }),
    { numRuns: 60 },
  )
})
