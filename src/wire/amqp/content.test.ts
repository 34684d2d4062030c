// The frames of every message, read without tables.
// Promises: each fast path gives what its table gives, and refuses what it refuses.
// Does not know: frames around payloads (frame.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ContentHeaderView,
  keyAck,
  keyNack,
  keyPublish,
  keyReject,
  methodKeyAt,
  PublishView,
  SettlementView,
} from './content.ts'
import { FrameFault } from './frame.ts'
import { decodeMethod, encodeMethod, methodKey } from './methods.ts'
import type { MethodName } from './methods.ts'

const faultOrValue = <Value>(read: () => Value): Value | 'fault' => {
  try {
    return read()
  } catch (error) {
    expect(error).toBeInstanceOf(FrameFault)
    return 'fault'
  }
}
/** The payload somewhere inside of a larger buffer, as in a chunk. */
const within = (payload: Buffer, before: number): { buffer: Buffer; start: number; end: number } => ({
  buffer: Buffer.concat([Buffer.alloc(before, 0xff), payload, Buffer.alloc(3, 0xff)]),
  start: before,
  end: before + payload.length,
})
const spoilt = (payload: Buffer, cut: number, flips: readonly number[]): Buffer => {
  const bytes = Buffer.concat([payload, Buffer.alloc(cut % 2)])
  for (const flip of flips) bytes[4 + ((flip >>> 3) % (bytes.length - 4))] ^= 1 << (flip & 7)
  return bytes.subarray(0, cut % 3 === 0 ? 4 + (cut % (bytes.length - 3)) : bytes.length)
}
const cuts = fc.tuple(fc.nat(), fc.array(fc.nat(), { maxLength: 2 }))

// Few names, so that the same ones come again and again, with others between them that hash alike.
const names = fc.oneof(
  fc.constantFrom('', 'orders', 'Aa', 'BB', 'AaBB', 'BBAa', 'é', '\ufffd', 'x'.repeat(64), 'x'.repeat(65)),
  fc.string({ unit: 'binary', maxLength: 80 }),
)

describe('a publish', () => {
  const publishes = fc.record({
    ticket: fc.nat(0xffff),
    exchange: names,
    routingKey: names,
    mandatory: fc.boolean(),
    immediate: fc.boolean(),
  })

  test('is what its table says, one after the other through one view', () => {
    const one = fc.tuple(publishes, fc.nat(20), cuts)
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), (all) => {
        const view = new PublishView()
        for (const [values, before, [cut, flips]] of all) {
          const payload = spoilt(encodeMethod('basicPublish', values), cut, flips)
          const table = faultOrValue(() => decodeMethod('basicPublish', payload).arguments)
          const { buffer, start, end } = within(payload, before)
          const fast = faultOrValue(() => {
            view.decode(buffer, start, end)
            const { exchange, routingKey, mandatory, immediate } = view
            return { ticket: payload.readUInt16BE(4), exchange, routingKey, mandatory, immediate }
          })
          expect(fast).toEqual(table)
        }
      }),
      { seed: 10, numRuns: 500 },
    )
  })

  test('gives the very same string again, without making one', () => {
    const view = new PublishView()
    const payload = encodeMethod('basicPublish', { exchange: 'amq.topic', routingKey: 'a.b' })
    view.decode(payload, 0, payload.length)
    const { exchange } = view
    payload.fill(0x20, 7, 16)
    view.decode(payload, 0, payload.length)
    expect(view.exchange).toBe(' '.repeat(9))
    expect(exchange).toBe('amq.topic')
  })

  test('a name of one byte above ASCII is no Latin-1', () => {
    const view = new PublishView()
    const good = encodeMethod('basicPublish', { routingKey: 'é' })
    view.decode(good, 0, good.length)
    expect(view.routingKey).toBe('é')
    const bad = Buffer.concat([good.subarray(0, 7), Buffer.from([1, 0xe9, 0])])
    expect(() => view.decode(bad, 0, bad.length)).toThrow(new FrameFault('Malformed UTF-8 in shortstr'))
  })
})

describe('a settlement', () => {
  const tags = fc.oneof(fc.maxSafeNat(), fc.nat(5))

  test.each<[MethodName & ('basicAck' | 'basicNack' | 'basicReject'), number]>([
    ['basicAck', keyAck],
    ['basicNack', keyNack],
    ['basicReject', keyReject],
  ])('%s is what its table says', (name, key) => {
    const view = new SettlementView()
    fc.assert(
      fc.property(tags, fc.boolean(), fc.boolean(), cuts, (deliveryTag, multiple, requeue, [cut, flips]) => {
        const payload = spoilt(encodeMethod(name, { deliveryTag, multiple, requeue }), cut, flips)
        const table = faultOrValue(() => ({
          multiple: false,
          requeue: false,
          ...decodeMethod(name, payload).arguments,
        }))
        const { buffer, start, end } = within(payload, cut % 9)
        expect(methodKeyAt(buffer, start, end)).toBe(key)
        const fast = faultOrValue(() => {
          view.decode(key, buffer, start, end)
          return { deliveryTag: view.tag, multiple: view.multiple, requeue: view.requeue }
        })
        expect(fast).toEqual(table)
      }),
      { seed: 11, numRuns: 500 },
    )
  })
})

test('keys are class and method id', () => {
  expect([keyPublish, keyAck, keyReject, keyNack]).toEqual([40, 80, 90, 120].map((id) => methodKey(60, id)))
  expect(methodKeyAt(Buffer.from([0xff, 0xff, 0, 1]), 0, 4)).toBe(0xffff_0001)
  expect(methodKeyAt(Buffer.from([0, 60, 0]), 0, 3)).toBe(-1)
})

describe('a content header', () => {
  test('is class, weight, size, and properties', () => {
    const view = new ContentHeaderView()
    const { buffer, start, end } = within(Buffer.from('003c' + '0001' + '0000000100000002' + '8000' + '0161', 'hex'), 5)
    view.decode(buffer, start, end)
    expect(view).toMatchObject({ classId: 60, weight: 1, bodyBytes: 2 ** 32 + 2 })
    expect(buffer.toString('hex', view.propertiesStart, end)).toBe('80000161')
  })

  test('of a size beyond 2^53 has the largest there is', () => {
    const view = new ContentHeaderView()
    view.decode(Buffer.from('003c' + '0000' + 'ffffffffffffffff' + '0000', 'hex'), 0, 14)
    expect(view.bodyBytes).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('too short for its flags is no frame', () => {
    const bytes = Buffer.from('003c' + '0000' + '0000000000000002' + '80', 'hex')
    const text = 'type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,2,128>>: unknown_frame'
    expect(() => new ContentHeaderView().decode(bytes, 0, bytes.length)).toThrow(new FrameFault(text))
  })
})
