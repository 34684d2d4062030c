// What is written on the dead, against what a RabbitMQ 4.3.6 wrote on the same messages: reject, TTL, length, loops.
// Promises: names, types, order of fields, counts and routing keys are those captured there; times are our clock's.
// Does not know: how messages get from queue to queue (dead-letter.test.ts).

import { describe, expect, test } from 'vitest'
import {
  arrayField,
  fieldTable,
  findField,
  int32Field,
  tableField,
  textField,
  type FieldTable,
} from '../../../base/fields.ts'
import { tableToJson } from '../../../base/field-json.ts'
import { readProperties, writeProperties } from '../../../base/properties.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { isCycle, recordDeath, type Dead, type Dying } from './death.ts'
import type { DeathReason } from '../parts.ts'

const nowMs = 1_700_000_000_999
const seconds = 1_700_000_000

const message = (
  routingKey: string,
  said: Partial<Dying> & { headers?: FieldTable; expiration?: string } = {},
): Dying => ({
  exchange: '',
  routingKey,
  isDeadLetter: false,
  properties: writeProperties({
    messageId: 'm',
    ...(said.headers === undefined ? {} : { headers: said.headers }),
    ...(said.expiration === undefined ? {} : { expiration: said.expiration }),
  }),
  ...said,
})

/** What becomes of a dead letter in the next queue. */
const next = (dead: Dead, exchange: string, routingKey: string): Dying => ({
  exchange,
  routingKey,
  properties: dead.properties,
  isDeadLetter: true,
})

const headersOf = (dead: Dead): FieldTable => readProperties(dead.properties).headers ?? []
const namesOf = (dead: Dead): string[] => headersOf(dead).map(({ name }) => name)

/** Each death as its fields, in order: name, type, value. */
function deathsOf(dead: Dead): (readonly [string, string, unknown])[][] {
  const field = findField(headersOf(dead), 'x-death')
  if (field?.type !== 'array') throw new Error('no x-death')
  return field.value.map((entry) => {
    if (entry.type !== 'table') throw new Error('a death is a table')
    const values = tableToJson(entry.value)
    return entry.value.map(({ name, value }) => [name, value.type, values[name]] as const)
  })
}

const death = (
  count: number,
  reason: DeathReason,
  queue: string,
  exchange: string,
  keys: string[],
  expiration?: string,
) => [
  ...(expiration === undefined ? [] : [['original-expiration', 'text', expiration] as const]),
  ['count', 'int64', count] as const,
  ['reason', 'text', reason] as const,
  ['queue', 'text', queue] as const,
  ['time', 'timestamp', seconds] as const,
  ['exchange', 'text', exchange] as const,
  ['routing-keys', 'array', keys] as const,
]

describe('as RabbitMQ writes it', () => {
  test('a reject, with copies, an expiration and headers that a client made up', () => {
    const headers = fieldTable({
      zz: int32Field(1),
      CC: arrayField([textField('cc1')]),
      'x-death': arrayField([tableField(fieldTable({ queue: textField('a'), reason: textField('rejected') }))]),
      a: textField('b'),
      'x-first-death-queue': textField('mine'),
    })
    const dead = recordDeath(message('a', { headers, expiration: '60000' }), 'a', 'rejected', nowMs)
    expect(deathsOf(dead)).toEqual([death(1, 'rejected', 'a', '', ['a', 'cc1'], '60000')])
    expect(dead.routingKeys).toEqual(['a', 'cc1'])
    expect(namesOf(dead).toSorted()).toEqual([
      'CC',
      'a',
      'x-death',
      'x-first-death-exchange',
      'x-first-death-queue',
      'x-first-death-reason',
      'x-last-death-exchange',
      'x-last-death-queue',
      'x-last-death-reason',
      'zz',
    ])
    expect(tableToJson(headersOf(dead))).toMatchObject({
      'x-first-death-queue': 'a',
      'x-first-death-reason': 'rejected',
      'x-first-death-exchange': '',
      'x-last-death-queue': 'a',
    })
    expect(readProperties(dead.properties)).toMatchObject({ messageId: 'm' })
    expect(readProperties(dead.properties).expiration).toBeUndefined()
  })

  test('a key of the queue’s own ends the copies; both deaths stand, the latest first', () => {
    const headers = fieldTable({ CC: arrayField([textField('cc1'), textField('b')]) })
    const first = recordDeath(message('a', { headers }), 'a', 'rejected', nowMs)
    const second = recordDeath(next(first, '', 'c'), 'c', 'rejected', nowMs)
    expect(deathsOf(second)).toEqual([
      death(1, 'rejected', 'c', '', ['c']),
      death(1, 'rejected', 'a', '', ['a', 'cc1', 'b']),
    ])
    expect(second.routingKeys).toEqual(['c'])
    expect(tableToJson(headersOf(second))).toMatchObject({
      CC: ['cc1', 'b'],
      'x-first-death-queue': 'a',
      'x-last-death-queue': 'c',
    })
  })

  test('without one the copies go along', () => {
    const headers = fieldTable({ CC: arrayField([textField('cc1')]) })
    const first = recordDeath(message('a', { headers }), 'a', 'rejected', nowMs)
    const second = recordDeath(next(first, 'dlx', 'a'), 'b', 'rejected', nowMs)
    expect(second.routingKeys).toEqual(['a', 'cc1'])
    expect(deathsOf(second)[0]).toEqual(death(1, 'rejected', 'b', 'dlx', ['a', 'cc1']))
  })

  test('rejected and waiting in turn: two deaths whose counts rise and whose times stay', () => {
    let dying = message('a', { expiration: '50000' })
    let dead: Dead | undefined
    for (let round = 0; round < 3; round++) {
      dead = recordDeath(dying, 'a', 'rejected', nowMs + round * 5000)
      dead = recordDeath(next(dead, '', 'b'), 'b', 'expired', nowMs + round * 5000)
      dying = next(dead, '', 'a')
    }
    expect(deathsOf(dead as Dead)).toEqual([
      death(3, 'expired', 'b', '', ['b']),
      death(3, 'rejected', 'a', '', ['a'], '50000'),
    ])
    expect(tableToJson(headersOf(dead as Dead))).toMatchObject({
      'x-first-death-queue': 'a',
      'x-first-death-reason': 'rejected',
      'x-last-death-queue': 'b',
      'x-last-death-reason': 'expired',
    })
  })

  test('pushed out of one queue, then of the next', () => {
    const first = recordDeath(message('a', { expiration: '40000' }), 'a', 'maxlen', nowMs)
    const second = recordDeath(next(first, '', 'b'), 'b', 'maxlen', nowMs)
    expect(deathsOf(second)).toEqual([death(1, 'maxlen', 'b', '', ['b']), death(1, 'maxlen', 'a', '', ['a'], '40000')])
  })

  test('what a client publishes again begins anew', () => {
    const first = recordDeath(message('a'), 'a', 'rejected', nowMs)
    const again = recordDeath({ ...next(first, '', 'a'), isDeadLetter: false }, 'a', 'rejected', nowMs)
    expect(deathsOf(again)).toEqual([death(1, 'rejected', 'a', '', ['a'])])
  })

  test('the same queue for another reason is another death', () => {
    const first = recordDeath(message('a'), 'a', 'expired', nowMs)
    const second = recordDeath(next(first, '', 'a'), 'a', 'delivery_limit', nowMs)
    expect(second.deaths.map(({ queue, reason }) => [queue, reason])).toEqual([
      ['a', 'delivery_limit'],
      ['a', 'expired'],
    ])
  })

  test('an expiration is remembered as the number it is', () => {
    const dead = recordDeath(message('a', { expiration: '+0500' }), 'a', 'expired', nowMs)
    expect(deathsOf(dead)[0][0]).toEqual(['original-expiration', 'text', '500'])
  })
})

describe('a cycle', () => {
  /** The deaths of a message that died so, the latest last. */
  function died(...deaths: (readonly [queue: string, reason: DeathReason])[]): Dead {
    let dead: Dead | undefined
    for (const [queue, reason] of deaths)
      dead = recordDeath(dead === undefined ? message('k') : next(dead, '', 'k'), queue, reason, nowMs)
    return dead as Dead
  }

  test.each([
    ['to a queue it was never in', died(['a', 'expired']), 'b', false],
    ['to the queue it died in', died(['a', 'expired']), 'a', true],
    ['round, all by itself', died(['a', 'expired'], ['b', 'maxlen']), 'a', true],
    ['round, rejected on the way', died(['a', 'expired'], ['b', 'rejected'], ['c', 'expired']), 'a', false],
    ['rejected before it was ever there', died(['z', 'rejected'], ['a', 'expired'], ['b', 'expired']), 'a', true],
    ['rejected there', died(['a', 'rejected'], ['b', 'expired']), 'a', false],
  ])('%s', (_, dead, target, isOne) => {
    expect(isCycle(target, dead, (queue, place) => queue === place)).toBe(isOne)
  })

  test('by a queue that is given what is stored there', () => {
    const dead = died(['a', 'expired'], ['b', 'expired'])
    expect(isCycle('log of a', dead, (queue, place) => place === `log of ${queue}`)).toBe(true)
  })
})

describe('where it was', () => {
  const placed = [
    { name: 'x-key', value: textField('k') },
    { name: 'x-source-topic', value: textField('a lie') },
    { name: 'x-partition', value: { type: 'int32', value: 3 } },
    { name: 'x-stream-offset', value: { type: 'int64', value: 77 } },
  ] as const
  const dyingMessage = (headers: FieldTable, isDeadLetter: boolean) => ({
    exchange: '',
    routingKey: 'orders',
    properties: writeProperties({ headers }),
    isDeadLetter,
  })
  const found = (properties: Buffer) =>
    (readProperties(properties).headers ?? [])
      .filter(({ name }) => !name.includes('death'))
      .map(({ name, value }) => [name, value.type === 'text' ? value.value.toString() : value])

  test('is written from the place it was read at, which is no part of it any more, and kept at later deaths', () => {
    const source = { topic: 'orders', partition: 3, offset: 77, isPlaced: true }
    const first = recordDeath(dyingMessage(placed, false), 'orders', 'rejected', 0, source)
    const written = [
      ['x-key', 'k'],
      ['x-source-topic', 'orders'],
      ['x-source-partition', { type: 'int32', value: 3 }],
      ['x-source-offset', { type: 'int64', value: 77 }],
    ]
    expect(found(first.properties)).toEqual(written)
    const later = { topic: 'retry', partition: 0, offset: 9, isPlaced: false }
    const { headers = [] } = readProperties(first.properties)
    expect(found(recordDeath(dyingMessage(headers, true), 'retry', 'rejected', 0, later).properties)).toEqual(written)
    expect(found(recordDeath(dyingMessage(headers, true), 'plain', 'rejected', 0).properties)).toEqual(written)
  })

  test('is not written without being asked for', () => {
    expect(found(recordDeath(dyingMessage([], false), 'q', 'rejected', 0).properties)).toEqual([])
  })
})

test('a message of as many fields as a frame holds dies as often as another', () => {
  const voids = Array.from({ length: 131_000 }, () => ({ type: 'void' }) as const)
  let properties = writeProperties({ headers: [{ name: 'many', value: arrayField(voids) }] })
  expect(properties.length).toBeLessThan(131_072)
  new PropertyScan().scan(properties)
  for (const queue of ['a', 'b', 'c', 'd']) {
    const dying = { exchange: '', routingKey: 'k', properties, isDeadLetter: queue !== 'a' }
    properties = recordDeath(dying, queue, 'rejected', 0).properties
    new PropertyScan().scan(properties)
  }
})
