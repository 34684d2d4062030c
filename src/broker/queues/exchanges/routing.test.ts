// Routing in particular: header types as RabbitMQ 4.3.6 compares them, exchanges that choose, answers given again.
// Promises: the table of header types was measured; shares are counted over keys that never change.
// Does not know: how exchanges are declared (exchange-desk.test.ts); everything together (routing-model.test.ts).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arrayField,
  boolField,
  bytesField,
  fieldTable,
  float64Field,
  int32Field,
  int64Field,
  textField,
  timestampField,
  voidField,
  type Field,
  type FieldTable,
} from '../../../base/fields.ts'
import { writeProperties, type Properties } from '../../../base/properties.ts'
import type { Destinations } from '../parts.ts'
import { Patterns } from './pattern.ts'
import { headerCondition, meets } from './routing-headers.ts'
import { VhostTopology } from './topology-vhost.ts'

const vhost = '/'

function place(fraction: () => number = () => 0.5, exists: (name: string) => boolean = () => true) {
  const { routing } = new VhostTopology(vhost, {
    queueExists: (_vhost, name) => exists(name),
    fraction,
    cursorsChanged: () => undefined,
  })
  const declare = (name: string, type: string, args: FieldTable = []): void =>
    routing.setExchange({ vhost, name, type, durable: true, autoDelete: false, internal: false, arguments: args })
  const bind = (source: string, destination: string, routingKey = '', args: FieldTable = []): void =>
    routing.addBinding({ vhost, source, destination, destinationKind: 'queue', routingKey, arguments: args }, true)
  const unbind = (source: string, destination: string): void => {
    for (const one of routing.bindings.from(source).values())
      if (one.destination === destination) routing.removeBinding(one)
  }
  const route = (exchange: string, keys: readonly string[], properties: Properties = {}): Destinations => {
    const found = routing.exchange(exchange)
    if (found === undefined) throw new Error(`no exchange ${exchange}`)
    return routing.route(found, keys, { properties: writeProperties(properties) })
  }
  return { routing, declare, bind, unbind, route }
}

describe('header types', () => {
  const samples: Readonly<Record<string, Field>> = {
    true: boolField(true),
    int8: { type: 'int8', value: 5 },
    uint8: { type: 'uint8', value: 5 },
    int16: { type: 'int16', value: 5 },
    uint16: { type: 'uint16', value: 5 },
    int32: int32Field(5),
    uint32: { type: 'uint32', value: 5 },
    int64: int64Field(5),
    float32: { type: 'float32', value: 5 },
    float64: float64Field(5),
    decimal: { type: 'decimal', scale: 0, value: 5 },
    text: textField('5'),
    bytes: bytesField(Buffer.from('5')),
    time: timestampField(5),
    void: voidField,
    array: arrayField([int32Field(5)]),
  }
  const integers = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64']
  const alike = [integers, ['float32', 'float64'], ['text', 'bytes']]

  test.each(Object.keys(samples))('%s', (given) => {
    const met = Object.keys(samples).filter((name) =>
      meets(fieldTable({ k: samples[given] }), headerCondition(fieldTable({ k: samples[name] }))),
    )
    const group = alike.find((names) => names.includes(given)) ?? [given]
    expect(met.sort()).toEqual([...new Set([...group, 'void'])].sort())
  })

  const mode = (name: string): FieldTable => fieldTable({ 'x-match': textField(name) })
  const one = int32Field(1)
  test.each<[FieldTable, FieldTable, boolean]>([
    [[], [], true],
    [mode('any'), fieldTable({ a: one }), false],
    [mode('all'), [], true],
    [[...mode('any'), { name: 'x-a', value: one }], fieldTable({ 'x-a': one }), false],
    [[...mode('all'), { name: 'x-a', value: one }], fieldTable({ 'x-a': int32Field(2) }), true],
    [[...mode('any-with-x'), { name: 'x-a', value: one }], fieldTable({ 'x-a': one }), true],
    [[...mode('all-with-x'), { name: 'x-a', value: one }], fieldTable({ 'x-a': int32Field(2) }), false],
    [mode('any-with-x'), fieldTable({ 'x-match': one }), false],
    [mode('all-with-x'), [], true],
    [fieldTable({ k: voidField }), fieldTable({ k: voidField }), true],
    [fieldTable({ k: voidField }), [], false],
    [fieldTable({ k: int32Field(2) }), [...fieldTable({ k: one }), ...fieldTable({ k: int32Field(2) })], true],
    [fieldTable({ k: one }), [...fieldTable({ k: one }), ...fieldTable({ k: int32Field(2) })], false],
  ])('%j and %j: %s', (binding, headers, met) => {
    expect(meets(headers, headerCondition(binding))).toBe(met)
  })
})

describe('patterns', () => {
  test('the empty key has no word', () => {
    const patterns = new Patterns<string>()
    for (const pattern of ['', '*', '#', '*.*', '#.#', '*.#']) patterns.add(pattern, pattern)
    const matching = (key: string): string[] => {
      const found: string[] = []
      patterns.match(key, (pattern) => found.push(pattern))
      return found.sort()
    }
    expect(matching('')).toEqual(['', '#', '#.#'])
    expect(matching('.')).toEqual(['#', '#.#', '*.#', '*.*'])
    expect(matching('a')).toEqual(['#', '#.#', '*', '*.#'])
    expect(matching('a..b')).toEqual(['#', '#.#', '*.#'])
  })

  test('what is removed leaves nothing behind', () => {
    const patterns = new Patterns<string>()
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a.*.b', '#', 'a.#', '', 'a', '*', '#.#.b')), (added) => {
        for (const pattern of added) patterns.add(pattern, pattern)
        for (const pattern of added) patterns.remove(pattern, pattern)
        patterns.remove('never.added', 'never')
      }),
    )
    expect(JSON.stringify(patterns)).toBe(JSON.stringify(new Patterns<string>()))
    for (const key of ['', 'a', 'a.a.b', 'b'])
      patterns.match(key, (value) => {
        throw new Error(`${value} matches ${key}`)
      })
  })

  test('hostile patterns and keys take no long search', () => {
    const patterns = new Patterns<string>()
    const pattern = Array.from({ length: 60 }, () => '#.a').join('.')
    patterns.add(`${pattern}.b`, 'never')
    patterns.add(pattern, 'found')
    const found: string[] = []
    patterns.match(Array.from({ length: 120 }, () => 'a').join('.'), (value) => found.push(value))
    expect(found).toEqual(['found'])
  })
})

describe('exchanges that choose one', () => {
  const keys = Array.from({ length: 2000 }, (_, index) => `key ${index}`)

  function shares(of: (key: string) => Destinations): Map<string, number> {
    const counts = new Map<string, number>()
    for (const key of keys) for (const name of of(key)) counts.set(name, (counts.get(name) ?? 0) + 1)
    return counts
  }

  test('consistent hash: by weight, and only the keys of a queue that goes move', () => {
    const { declare, bind, unbind, route } = place()
    declare('x', 'x-consistent-hash')
    bind('x', 'q1', '1')
    bind('x', 'q2', '1')
    bind('x', 'q3', '2')
    bind('x', 'q3', '9')
    const before = new Map(keys.map((key) => [key, route('x', [key])[0]]))
    const counts = shares((key) => route('x', [key]))
    expect(counts.get('q1')).toBeGreaterThan(400)
    expect(counts.get('q2')).toBeGreaterThan(400)
    expect(counts.get('q3')).toBeGreaterThan(900)
    unbind('x', 'q1')
    for (const key of keys) {
      const [now] = route('x', [key])
      if (before.get(key) !== 'q1') expect(now).toBe(before.get(key))
      else expect(now).not.toBe('q1')
    }
  })

  test('consistent hash by header and by property', () => {
    const { declare, bind, route } = place()
    declare('header', 'x-consistent-hash', fieldTable({ 'hash-header': textField('h') }))
    declare('property', 'x-consistent-hash', fieldTable({ 'hash-property': textField('message_id') }))
    for (const name of ['header', 'property']) for (const queue of ['q1', 'q2', 'q3']) bind(name, queue, '1')
    const byHeader = shares((key) => route('header', ['same'], { headers: fieldTable({ h: textField(key) }) }))
    const byProperty = shares((key) => route('property', ['same'], { messageId: key }))
    for (const counts of [byHeader, byProperty]) for (const count of counts.values()) expect(count).toBeGreaterThan(500)
    expect(shares(() => route('header', ['same'])).size).toBe(1)
  })

  test('modulus hash: every queue some, the same after queues were bound in another order', () => {
    const [one, other] = [place(), place()]
    for (const { declare } of [one, other]) declare('x', 'x-modulus-hash')
    for (const queue of ['q1', 'q2', 'q3']) one.bind('x', queue)
    for (const queue of ['q3', 'q1', 'q2']) other.bind('x', queue)
    const counts = shares((key) => one.route('x', [key]))
    for (const queue of ['q1', 'q2', 'q3']) expect(counts.get(queue)).toBeGreaterThan(500)
    for (const key of keys) expect(other.route('x', [key])).toEqual(one.route('x', [key]))
  })

  test('random: as chance has it, one at a time', () => {
    let drawn = 0
    const { declare, bind, route } = place(() => drawn)
    declare('x', 'x-random')
    declare('y', 'x-local-random')
    for (const exchange of ['x', 'y']) {
      expect(route(exchange, ['k'])).toEqual([])
      for (const queue of ['q1', 'q2']) bind(exchange, queue)
      drawn = 0.1
      expect(route(exchange, ['k'])).toEqual(['q1'])
      drawn = 0.9
      expect(route(exchange, ['k'])).toEqual(['q2'])
    }
  })
})

describe('answers', () => {
  test('the same question has the very same answer until something changes', () => {
    const { declare, bind, unbind, route, routing } = place()
    declare('f', 'fanout')
    for (const queue of ['q1', 'q2']) {
      bind('amq.topic', queue, 'a.#')
      bind('amq.direct', queue, 'a.b')
      bind('f', queue)
    }
    for (const exchange of ['amq.topic', 'amq.direct', 'f']) {
      const answer = route(exchange, ['a.b'])
      expect(answer).toEqual(['q1', 'q2'])
      expect(route(exchange, ['a.b'])).toBe(answer)
    }
    expect(route('f', ['one', 'other'])).toBe(route('f', ['third']))
    const single = routing.routeToQueues(['q1'])
    unbind('amq.topic', 'q2')
    expect(route('amq.topic', ['a.b'])).toEqual(['q1'])
    expect(route('amq.topic', ['a.b'])).toBe(single)
  })

  test('more keys than are remembered are answered all the same', () => {
    const { bind, route } = place()
    bind('amq.topic', 'q', '#.7')
    const wrong: number[] = []
    for (let index = 0; index < 40_000; index++)
      if (route('amq.topic', [`k.${index}.${index % 10}`]).length !== (index % 10 === 7 ? 1 : 0)) wrong.push(index)
    expect(wrong).toEqual([])
  })

  test('the default exchange leads to queues that are there, each once', () => {
    const { routing } = place(undefined, (name) => name.startsWith('q'))
    expect(routing.routeToQueues(['q1'])).toEqual(['q1'])
    expect(routing.routeToQueues(['q1'])).toBe(routing.routeToQueues(['q1']))
    expect(routing.routeToQueues(['none'])).toEqual([])
    expect(routing.routeToQueues(['q1', 'none', 'q2', 'q1'])).toEqual(['q1', 'q2'])
  })

  test('an alternate exchange that is the default one leads nowhere, as in RabbitMQ', () => {
    const { declare, route, routing } = place()
    declare('x', 'direct', fieldTable({ 'alternate-exchange': textField('') }))
    expect(route('x', ['q1'])).toEqual([])
    expect(routing.exchange('x')?.alternate).toBe('')
  })
})
