// Every method we have a table for: the specification's, round trips, cuts, noise.
// Promises: names, ids, traits and argument types are those of RabbitMQ's machine-readable specification; what is
//   encoded is decoded again; noise gives a FrameFault or a value, nothing else.
// Does not know: whether clients agree; the golden bytes say that (test/golden/amqp.test.ts).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EncodeError } from '../../base/bytes.ts'
import { fieldTable, int32Field, textField } from '../../base/fields.ts'
import type { ArgumentType, Arguments } from './argument.ts'
import { FrameFault } from './frame.ts'
import { decodeMethod, encodeMethod, methodKey, methodName, methodNamed, methods, payloadMethod } from './methods.ts'
import type { MethodName } from './methods.ts'

const names = Object.keys(methods) as MethodName[]
const typesOf = (name: MethodName): Arguments => methodNamed(name).argumentTypes

test('are those of the specification, each and no other', () => {
  const specified = readFileSync(join(import.meta.dirname, 'fixtures/methods.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const ours = names.map((name) => {
    const { title, classId, methodId, isSynchronous, hasContent } = methodNamed(name)
    const traits = [...(isSynchronous ? ['synchronous'] : []), ...(hasContent ? ['content'] : [])].join(' ')
    const types = Object.values(typesOf(name)).map(({ kind }) => kind)
    return [title.replaceAll('_', '-'), classId, methodId, `[${traits}]`, ...types].join(' ')
  })
  expect(ours.sort()).toEqual(specified.sort())
})

test('our names are theirs', () => {
  for (const name of names) {
    const camel = methodNamed(name).title.replaceAll(/[._](\w)/g, (_, letter: string) => letter.toUpperCase())
    expect(name).toBe(camel)
  }
})

const kinds: Readonly<Record<ArgumentType<unknown>['kind'], fc.Arbitrary<unknown>>> = {
  bit: fc.boolean(),
  octet: fc.nat(0xff),
  short: fc.nat(0xffff),
  long: fc.integer({ min: 0, max: 0xffff_ffff }),
  longlong: fc.maxSafeNat(),
  shortstr: fc.string({ unit: 'binary', maxLength: 40 }),
  longstr: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  table: fc.constantFrom([], fieldTable({ a: int32Field(1), b: textField('x') })),
}
const argumentsOf = (name: MethodName): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(Object.fromEntries(Object.entries(typesOf(name)).map(([key, { kind }]) => [key, kinds[kind]])))

describe.each(names)('%s', (name) => {
  test('comes back as it was encoded', () => {
    fc.assert(
      fc.property(argumentsOf(name), (values) => {
        const payload = encodeMethod(name, values)
        expect(payloadMethod(payload)).toBe(name)
        expect(decodeMethod(name, payload)).toEqual({ name, arguments: values })
      }),
      { seed: 8, numRuns: 40 },
    )
  })

  test('what is left out has its default', () => {
    const defaults = Object.fromEntries(Object.entries(typesOf(name)).map(([key, type]) => [key, type.default]))
    expect(decodeMethod(name, encodeMethod(name, {}))).toEqual({ name, arguments: defaults })
  })

  test('cut, longer or with flipped bits: a FrameFault or a value', () => {
    fc.assert(
      fc.property(argumentsOf(name), fc.nat(), fc.array(fc.nat(), { maxLength: 3 }), (values, cut, flips) => {
        const whole = encodeMethod(name, values)
        const bytes = Buffer.concat([whole, Buffer.alloc(cut % 2)])
        for (const flip of flips) bytes[4 + ((flip >>> 3) % Math.max(1, bytes.length - 4))] ^= 1 << (flip & 7)
        const kept = bytes.subarray(0, cut % 3 === 0 ? 4 + (cut % (bytes.length - 3)) : bytes.length)
        try {
          expect(decodeMethod(name, kept).name).toBe(name)
          if (flips.length === 0) expect(kept.length).toBe(whole.length)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameFault)
        }
      }),
      { seed: 9, numRuns: 60 },
    )
  })
})

describe('what the wire cannot hold', () => {
  test.each<[string, () => Buffer]>([
    ['a short string of 256 bytes', () => encodeMethod('queueDeclare', { queue: 'é'.repeat(128) })],
    ['a short beyond 65535', () => encodeMethod('basicQos', { prefetchCount: 65_536 })],
    ['an octet beyond 255', () => encodeMethod('connectionStart', { versionMajor: 256 })],
    ['a long beyond 2^32', () => encodeMethod('queuePurgeOk', { messageCount: 2 ** 32 })],
    ['a negative delivery tag', () => encodeMethod('basicAck', { deliveryTag: -1 })],
  ])('%s is an EncodeError', (_, encode) => {
    expect(encode).toThrow(EncodeError)
  })
})

// Each as RabbitMQ 4.3 answered it.
describe("RabbitMQ's words for what cannot be decoded", () => {
  const declare = (queue: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0, 50, 0, 10, 0, 0, queue.length]), queue, Buffer.from([12, 0, 0, 0, 0])])

  test('bytes behind the arguments', () => {
    const payload = Buffer.concat([declare(Buffer.from('wiretry')), Buffer.from([1])])
    const text = 'cannot decode <<0,0,7,119,105,114,101,116,114,121,12,0,0,0,0,1>>'
    expect(() => decodeMethod('queueDeclare', payload)).toThrow(new FrameFault(text))
  })

  test('a short string that is not UTF-8', () => {
    const payload = declare(Buffer.from([0x61, 0xff, 0xfe]))
    expect(() => decodeMethod('queueDeclare', payload)).toThrow(new FrameFault('Malformed UTF-8 in shortstr'))
    const replaced = declare(Buffer.from('\ufffd'))
    expect(decodeMethod('queueDeclare', replaced)).toMatchObject({ arguments: { queue: '\ufffd' } })
  })

  test('too short for its ids', () => {
    const text = 'type 1, all octets = <<0,60,0>>: unknown_frame'
    expect(() => payloadMethod(Buffer.from([0, 60, 0]))).toThrow(new FrameFault(text))
  })

  test('a method that nobody specified is for the caller to judge', () => {
    expect(payloadMethod(Buffer.from([0, 60, 0, 99]))).toBeUndefined()
    expect(methodName(60, 99)).toBeUndefined()
    expect(methodKey(60, 40)).toBe(0x003c_0028)
  })
})

test('a delivery tag that nobody was given is the largest safe integer', () => {
  const payload = Buffer.from('003c0050' + 'ffffffffffffffff' + '00', 'hex')
  expect(decodeMethod('basicAck', payload)).toMatchObject({ arguments: { deliveryTag: Number.MAX_SAFE_INTEGER } })
})

test("values are the caller's to keep", () => {
  const payload = encodeMethod('connectionStartOk', { response: Buffer.from('kept'), mechanism: 'PLAIN' })
  const call = decodeMethod('connectionStartOk', payload)
  payload.fill(0)
  expect(call).toMatchObject({ arguments: { response: Buffer.from('kept'), mechanism: 'PLAIN' } })
})
