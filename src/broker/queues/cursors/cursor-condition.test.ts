// Tests of what a binding of an exchange of type x-log copies.
// Promises: patterns as topic exchanges have them, headers as headers exchanges.
// Does not know: cursors.

import { expect, test } from 'vitest'
import { arrayField, fieldTable, int32Field, textField, type FieldTable } from '../../../base/fields.ts'
import { noProperties, writeProperties } from '../../../base/properties.ts'
import { CursorCondition, keysOf } from './cursor-condition.ts'

const condition = (routingKey: string, args: FieldTable = []) =>
  new CursorCondition({
    vhost: '/',
    source: 's',
    destination: 'd',
    destinationKind: 'queue',
    routingKey,
    arguments: args,
  })

test.each([
  ['#', '', true],
  ['#', 'a.b', true],
  ['', '', true],
  ['', 'a', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a', false],
  ['a.#', 'a', true],
])('the pattern %j and the key %j: %s', (pattern, key, wanted) => {
  const binding = condition(pattern)
  for (let again = 0; again < 2; again++) expect(binding.meets([key], noProperties)).toBe(wanted)
})

test('with x-match headers decide too, with an empty pattern alone; where it begins is no condition', () => {
  const args = fieldTable({
    'x-match': textField('all-with-x'),
    n: int32Field(1),
    'x-stream-offset': textField('first'),
  })
  const met = writeProperties({ headers: fieldTable({ n: int32Field(1) }) })
  const unmet = writeProperties({ headers: fieldTable({ n: int32Field(2) }) })
  expect([met, unmet].map((properties) => condition('', args).meets(['k'], properties))).toEqual([true, false])
  expect(condition('a', args).meets(['k'], met)).toBe(false)
  expect(condition('k', args).meets(['k'], met)).toBe(true)
})

test('copies count as keys', () => {
  const properties = writeProperties({ headers: fieldTable({ CC: arrayField([textField('b'), textField('c')]) }) })
  expect(keysOf('a', properties)).toEqual(['a', 'b', 'c'])
  expect(condition('c').meets(keysOf('a', properties), properties)).toBe(true)
  expect(keysOf('a', noProperties)).toEqual(['a'])
})
