// Tests of properties that have to fit.
// Promises: whatever they hold, they do afterwards; nothing of what fits is touched.
// Does not know: frames.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findField, textField } from './fields.ts'
import { omittedHeader, propertiesWithin } from './properties-fit.ts'
import { readProperties, writeProperties } from './properties.ts'

test('what fits is the very same', () => {
  const properties = writeProperties({ messageId: 'm', headers: [{ name: 'a', value: textField('1') }] })
  expect(propertiesWithin(properties, properties.length)).toBe(properties)
})

test('whatever does not fit does afterwards, with the same properties, and kept or named headers', () => {
  const header = fc.record({
    name: fc.string({ minLength: 1, maxLength: 40 }),
    value: fc.nat(3000).map((bytes) => textField('x'.repeat(bytes))),
  })
  fc.assert(
    fc.property(fc.array(header, { maxLength: 60 }), fc.string({ maxLength: 60 }), (headers, messageId) => {
      const properties = writeProperties({ headers, messageId })
      const fitting = propertiesWithin(properties, 4068)
      expect(fitting.length).toBeLessThanOrEqual(4068)
      const read = readProperties(fitting)
      expect(read.messageId).toBe(messageId)
      if (properties.length <= 4068) return
      const told = findField(read.headers ?? [], omittedHeader)
      const named = told?.type === 'array' ? told.value : []
      expect(named.length).toBeGreaterThan(0)
      // In their order: what is kept is a part of what there was.
      const kept = (read.headers ?? []).slice(0, -1)
      let at = 0
      for (const one of kept) {
        at = headers.findIndex((given, index) => index >= at && given.name === one.name) + 1
        expect(at).toBeGreaterThan(0)
      }
    }),
    { numRuns: 200 },
  )
})

test('what was left out before is named too', () => {
  const before = { type: 'array', value: [textField('a'), textField('b')] } as const
  const headers = [
    { name: omittedHeader, value: before },
    { name: 'large', value: textField('x'.repeat(5000)) },
    { name: 'small', value: textField('1') },
  ]
  expect(readProperties(propertiesWithin(writeProperties({ headers }), 4068)).headers).toEqual([
    { name: 'small', value: textField('1') },
    { name: omittedHeader, value: { type: 'array', value: ['a', 'b', 'large'].map(textField) } },
  ])
})
