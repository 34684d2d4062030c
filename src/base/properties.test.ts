// Message properties: read, written, changed and scanned.
// Promises: a change touches nothing else; scanning finds what reading finds and refuses what reading refuses.
// Does not know: what clients send; the golden bytes say that (test/golden/amqp.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError, EncodeError } from './bytes.ts'
import { arrayField, fieldTable, int32Field, textField } from './fields.ts'
import type { FieldTable } from './fields.ts'
import { noProperties, readProperties, withHeaders, withProperties, writeProperties } from './properties.ts'
import type { Properties } from './properties.ts'
import { PropertyScan } from './property-scan.ts'

const texts = fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 12 }))
const octets = fc.nat(255)
const tables: fc.Arbitrary<FieldTable> = fc.array(
  fc.record({
    name: texts,
    value: fc.oneof(
      fc.integer().map(int32Field),
      texts.map(textField),
      fc.array(fc.integer().map(int32Field), { maxLength: 3 }).map(arrayField),
    ),
  }),
  { maxLength: 3 },
)
const propertiesOf: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: texts,
    contentEncoding: texts,
    headers: tables,
    deliveryMode: octets,
    priority: octets,
    correlationId: texts,
    replyTo: texts,
    expiration: texts,
    messageId: texts,
    timestamp: fc.maxSafeNat(),
    type: texts,
    userId: texts,
    appId: texts,
    clusterId: texts,
  },
  { requiredKeys: [] },
)

const faultOf = (read: () => unknown): DecodeError | undefined => {
  try {
    read()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError)
    return error as DecodeError
  }
}

test('what is written is read again', () => {
  fc.assert(
    fc.property(propertiesOf, (properties) => {
      expect(readProperties(writeProperties(properties))).toEqual(properties)
    }),
    { seed: 3, numRuns: 500 },
  )
  expect(writeProperties({})).toEqual(noProperties)
})

test('the scan finds what reading finds', () => {
  const scan = new PropertyScan()
  fc.assert(
    fc.property(propertiesOf, (properties) => {
      scan.scan(writeProperties(properties))
      expect(scan.deliveryMode).toBe(properties.deliveryMode ?? -1)
      expect(scan.priority).toBe(properties.priority ?? -1)
      expect(scan.expiration()).toBe(properties.expiration)
      expect(scan.replyTo()).toBe(properties.replyTo)
      expect(scan.userId()).toBe(properties.userId)
      expect(scan.headers()).toEqual(properties.headers)
    }),
    { seed: 4, numRuns: 500 },
  )
})

test('cut or with flipped bits: scanning and reading say the same, a DecodeError or what is there', () => {
  const scan = new PropertyScan()
  fc.assert(
    fc.property(propertiesOf, fc.nat(), fc.array(fc.nat(), { maxLength: 4 }), (properties, cut, flips) => {
      const whole = writeProperties(properties)
      const bytes = Buffer.from(whole.subarray(0, cut % 3 === 0 ? cut % (whole.length + 1) : whole.length))
      for (const flip of flips) if (bytes.length > 0) bytes[(flip >>> 3) % bytes.length] ^= 1 << (flip & 7)
      const scanned = faultOf(() => scan.scan(bytes))
      const read = faultOf(() => readProperties(bytes))
      expect(scanned === undefined, `${scanned?.message} / ${read?.message}`).toBe(read === undefined)
    }),
    { seed: 5, numRuns: 2000 },
  )
})

test('noise too', () => {
  const scan = new PropertyScan()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
      const bytes = Buffer.from(noise)
      expect(faultOf(() => scan.scan(bytes)) === undefined).toBe(faultOf(() => readProperties(bytes)) === undefined)
    }),
    { seed: 6, numRuns: 2000 },
  )
})

describe('a change', () => {
  test('of the headers keeps all else, byte for byte', () => {
    fc.assert(
      fc.property(propertiesOf, fc.option(tables, { nil: undefined }), (properties, headers) => {
        const { headers: _, ...rest } = properties
        const changed = withHeaders(writeProperties(properties), headers)
        expect(changed).toEqual(writeProperties(headers === undefined ? rest : { ...rest, headers }))
      }),
      { seed: 7, numRuns: 500 },
    )
  })

  test('keeps bytes that are not UTF-8', () => {
    const bytes = Buffer.from('c000' + '02fffe' + '01fe', 'hex')
    const changed = withProperties(bytes, { expiration: '60' })
    expect(changed.toString('hex')).toBe('c100' + '02fffe' + '01fe' + '023630')
    expect(withProperties(changed, { expiration: undefined })).toEqual(bytes)
  })

  test('removes what is named and undefined only', () => {
    const bytes = writeProperties({ deliveryMode: 2, expiration: '5', replyTo: 'r' })
    expect(readProperties(withProperties(bytes, { expiration: undefined }))).toEqual({ deliveryMode: 2, replyTo: 'r' })
    expect(withProperties(bytes, {})).toEqual(bytes)
  })

  test('that does not fit is refused', () => {
    expect(() => writeProperties({ replyTo: 'x'.repeat(256) })).toThrow(EncodeError)
    expect(() => writeProperties({ priority: 256 })).toThrow(EncodeError)
    expect(() => writeProperties({ timestamp: -1 })).toThrow(EncodeError)
  })
})

test('another word of flags is refused: class basic has no property for it', () => {
  for (const hex of ['00010000', '80010000' + '0161']) {
    expect(() => new PropertyScan().scan(Buffer.from(hex, 'hex'))).toThrow(DecodeError)
    expect(() => readProperties(Buffer.from(hex, 'hex'))).toThrow(DecodeError)
  }
})

test('headers outlive the bytes they were in', () => {
  const bytes = writeProperties({ headers: fieldTable({ a: textField('kept') }) })
  const scan = new PropertyScan()
  scan.scan(bytes)
  const headers = scan.headers()
  bytes.fill(0)
  expect(headers).toEqual(fieldTable({ a: textField('kept') }))
})
