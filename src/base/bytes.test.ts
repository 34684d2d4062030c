// The primitives of Reader and Writer against each other and against known bytes.
// Promises: what is written is read again; what is cut or lies is a DecodeError; large slices are not copied.
// Does not know: messages.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError, EncodeError, Reader, utf8Bytes, Writer, zeroUuid } from './bytes.ts'

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  const { bytes } = writer
  const whole = Buffer.concat(writer.finish())
  expect(bytes).toBe(whole.length)
  return whole
}

const hex = (write: (writer: Writer) => void): string => written(write).toString('hex')
const reader = (text: string): Reader => new Reader(Buffer.from(text, 'hex'))
const safe = fc.maxSafeInteger()
const runs = { numRuns: 300 }

describe('numbers', () => {
  test('int64 is exact to 2^53 and as a BigInt would write it', () => {
    fc.assert(
      fc.property(safe, (value) => {
        const bytes = written((writer) => writer.int64(value))
        expect(bytes.readBigInt64BE()).toBe(BigInt(value))
        expect(new Reader(bytes).int64()).toBe(value)
      }),
      runs,
    )
  })

  test('an int64 beyond 2^53 is refused, or saturates where asked', () => {
    for (const text of ['7fffffffffffffff', '0020000000000000', '8000000000000000', 'ffe0000000000000']) {
      expect(() => reader(text).int64()).toThrow(DecodeError)
      const sign = text < '8' ? 1 : -1
      expect(reader(text).saturatedInt64()).toBe(sign * Number.MAX_SAFE_INTEGER)
    }
    expect(reader('001fffffffffffff').int64()).toBe(Number.MAX_SAFE_INTEGER)
    expect(reader('ffe0000000000001').int64()).toBe(Number.MIN_SAFE_INTEGER)
  })

  test('every fixed width keeps its values', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -128, max: 127 }),
        fc.integer({ min: -32_768, max: 32_767 }),
        fc.integer(),
        fc.double({ noNaN: true }),
        (a, b, c, d) => {
          const back = new Reader(
            written((writer) => {
              writer.int8(a)
              writer.int16(b)
              writer.uint16(b & 0xffff)
              writer.int32(c)
              writer.uint32(c >>> 0)
              writer.float64(d)
              writer.bool(c > 0)
            }),
          )
          expect([back.int8(), back.int16(), back.uint16(), back.int32(), back.uint32()]).toEqual([
            a,
            b,
            b & 0xffff,
            c,
            c >>> 0,
          ])
          expect(back.float64()).toBe(d)
          expect(back.bool()).toBe(c > 0)
          expect(back.remaining).toBe(0)
        },
      ),
      runs,
    )
  })

  test('varints of all widths', () => {
    fc.assert(
      fc.property(fc.integer(), safe, (small, large) => {
        const back = new Reader(
          written((writer) => {
            writer.varint(small)
            writer.unsignedVarint(small >>> 0)
            writer.varlong(small)
            writer.varlong(large)
          }),
        )
        expect([back.varint(), back.unsignedVarint(), back.varlong(), back.varlong()]).toEqual([
          small,
          small >>> 0,
          small,
          large,
        ])
      }),
      runs,
    )
    expect(hex((writer) => writer.unsignedVarint(300))).toBe('ac02')
    expect(hex((writer) => writer.varint(-1))).toBe('01')
    expect(hex((writer) => writer.varlong(-64))).toBe('7f')
    expect(reader('ffffffffffffffffff01').varlong()).toBe(Number.MIN_SAFE_INTEGER)
    expect(() => reader('ffffffff1f').unsignedVarint()).toThrow(DecodeError)
    expect(() => reader('ffffffffffffffffff02').varlong()).toThrow(DecodeError)
  })

  test('a number that its width cannot hold is refused', () => {
    const refused: ((writer: Writer) => void)[] = [
      (writer) => writer.int8(128),
      (writer) => writer.int16(-32_769),
      (writer) => writer.uint16(-1),
      (writer) => writer.int32(2 ** 31),
      (writer) => writer.int32(1.5),
      (writer) => writer.uint32(-1),
      (writer) => writer.int64(2 ** 53),
      (writer) => writer.int64(Number.NaN),
      (writer) => writer.unsignedVarint(2 ** 32),
      (writer) => writer.varint(2 ** 31),
      (writer) => writer.uuid('short'),
      (writer) => writer.uuid('*'.repeat(22)),
    ]
    for (const write of refused) expect(() => write(new Writer())).toThrow(EncodeError)
  })
})

describe('texts, ids and slices', () => {
  test('utf-8 texts of any length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const bytes = utf8Bytes(text)
        expect(bytes).toBe(Buffer.byteLength(text))
        expect(new Reader(written((writer) => writer.utf8(text, bytes))).utf8(bytes)).toBe(text)
      }),
      runs,
    )
  })

  test('a uuid is 22 characters of base64url', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const uuid = new Reader(Buffer.from(bytes)).uuid()
        expect(uuid).toBe(Buffer.from(bytes).toString('base64url'))
        expect(written((writer) => writer.uuid(uuid)).equals(bytes)).toBe(true)
      }),
      runs,
    )
    expect(new Reader(Buffer.alloc(16)).uuid()).toBe(zeroUuid)
    expect(written((writer) => writer.uuid(zeroUuid)).equals(Buffer.alloc(16))).toBe(true)
  })

  test('slices are neither copied on the way in nor, when large, on the way out', () => {
    const large = Buffer.alloc(100_000, 1)
    expect(new Reader(large).slice(50_000).buffer).toBe(large.buffer)
    const writer = new Writer()
    writer.int32(0)
    writer.append(Buffer.from('small'))
    writer.append(large)
    writer.int16(7)
    writer.patchInt32(0, writer.bytes)
    const chunks = writer.finish()
    expect(chunks.map((chunk) => chunk.length)).toEqual([9, 100_000, 2])
    expect(chunks[1].buffer).toBe(large.buffer)
    expect(chunks[0].readInt32BE()).toBe(100_011)
  })

  test('a length is patched wherever it lies', () => {
    const writer = new Writer()
    for (let index = 0; index < 50_000; index++) writer.int32(index)
    for (const index of [0, 16_383, 16_384, 30_000, 49_999]) writer.patchInt32(index * 4, -index)
    const back = new Reader(Buffer.concat(writer.finish()))
    for (let index = 0; index < 50_000; index++) {
      const patched = [0, 16_383, 16_384, 30_000, 49_999].includes(index)
      if (back.int32() !== (patched ? 0 - index : index)) throw new Error(`wrong at ${index}`)
    }
  })

  test('a text larger than a block', () => {
    const text = 'ž'.repeat(100_000)
    expect(new Reader(written((writer) => writer.utf8(text, 200_000))).utf8(200_000)).toBe(text)
  })

  test('what a finished writer wrote stays as it is', () => {
    const writer = new Writer()
    writer.utf8('done', 4)
    const [chunk] = writer.finish()
    writer.utf8('late', 4)
    const other = written((next) => next.utf8('next', 4))
    expect([String(chunk), String(other)]).toEqual(['done', 'next'])
  })

  test('writers that overlap share nothing', () => {
    const first = new Writer()
    first.utf8('first', 5)
    const second = new Writer()
    second.utf8('second', 6)
    const third = Buffer.concat(second.finish())
    first.utf8('more', 4)
    const fourth = written((writer) => writer.utf8('fourth', 6))
    expect([Buffer.concat(first.finish()), third, fourth].map(String)).toEqual(['firstmore', 'second', 'fourth'])
  })
})

describe('bounds', () => {
  test('nothing is read past the end', () => {
    const reads: ((from: Reader) => unknown)[] = [
      (from) => from.int8(),
      (from) => from.int16(),
      (from) => from.int32(),
      (from) => from.int64(),
      (from) => from.float64(),
      (from) => from.uuid(),
      (from) => from.varint(),
      (from) => from.varlong(),
      (from) => from.slice(1),
      (from) => from.utf8(1),
      (from) => from.slice(-1),
      (from) => from.skip(0xffff_ffff),
    ]
    for (const read of reads) expect(() => read(new Reader(Buffer.alloc(32), 4, 4))).toThrow(DecodeError)
  })

  test('an array may announce no more than the bytes left and the message may hold', () => {
    expect(new Reader(Buffer.alloc(40)).elements(10, 4)).toBe(10)
    expect(() => new Reader(Buffer.alloc(40)).elements(11, 4)).toThrow(DecodeError)
    expect(() => new Reader(Buffer.alloc(40)).elements(-2, 4)).toThrow(DecodeError)
    const tight = new Reader(Buffer.alloc(40), 0, 40, 15)
    tight.elements(10, 1)
    expect(() => tight.elements(10, 1)).toThrow(DecodeError)
  })
})
