// Tests of filters of dead letters, and of what is told of a letter.
// Promises: each form of a filter, wanted and not; what a client wrote by our names counts for nothing.
// Does not know: what is done with a letter (redrive.test.ts).

import { expect, test } from 'vitest'
import { arrayField, tableField, textField, type FieldTable } from '../../../base/fields.ts'
import { writeProperties } from '../../../base/properties.ts'
import { isRefusal } from '../../errors.ts'
import { blankMessage } from '../messages/message.ts'
import type { LanePart, StoredMessage } from '../parts.ts'
import { letterFilter, letterOf } from './redrive-letter.ts'

const death = (queue: string, reason: string, key: string): FieldTable => [
  { name: 'queue', value: textField(queue) },
  { name: 'reason', value: textField(reason) },
  { name: 'exchange', value: textField('ex') },
  { name: 'routing-keys', value: arrayField([textField(key)]) },
]

const stored = (isDeadLetter: boolean, more: FieldTable = []): StoredMessage => {
  const deaths = [death('retry', 'expired', 'again'), death('orders', 'rejected', 'eu.order.1')]
  const headers = [{ name: 'x-death', value: arrayField(deaths.map(tableField)) }, ...more]
  return {
    ...blankMessage({} as LanePart),
    exchange: Buffer.from('dlx'),
    routingKey: Buffer.from('now'),
    properties: writeProperties({ headers }),
    isDeadLetter,
  }
}

test.each([
  ['key=eu.#', true],
  ['key=eu.*.1', true],
  ['key=*.1', false],
  ['key=now', false],
  ['reason=expired', true],
  ['reason=rejected', false],
  ['queue=retry', true],
  ['queue=orders', false],
  ['header:tenant=a=b', true],
  ['header:tenant=a', false],
  ['header:size=3', true],
  ['header:raw=bytes', true],
  ['header:none=', false],
])('%s: %s', (text, isWanted) => {
  const filter = letterFilter([text])
  if (isRefusal(filter)) throw new Error(filter.why)
  const headers: FieldTable = [
    { name: 'tenant', value: textField('a=b') },
    { name: 'size', value: { type: 'int32', value: 3 } },
    { name: 'raw', value: { type: 'bytes', value: Buffer.from('bytes') } },
  ]
  expect(filter(letterOf(stored(true, headers)))).toBe(isWanted)
})

test.each(['', 'key', 'size=3', 'header:=3', 'header=3'])('%j is no filter', (text) => {
  expect(letterFilter(['key=#', text])).toMatchObject({ refused: 'invalidArgument' })
})

test('where it came from: the topic it says, else the queue of its first death; of a client nothing is believed', () => {
  const source = { name: 'x-source-topic', value: textField('topic') }
  expect(letterOf(stored(true))).toMatchObject({ cameFrom: 'orders', exchange: 'ex', routingKey: 'eu.order.1' })
  expect(letterOf(stored(true, [source])).cameFrom).toBe('topic')
  expect(letterOf(stored(false, [source]))).toMatchObject({
    cameFrom: undefined,
    queue: undefined,
    reason: undefined,
    exchange: 'dlx',
    routingKey: 'now',
  })
})
