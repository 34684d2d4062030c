// The exchange desk: what RabbitMQ 4.3.6 answered to the same calls, word for word, and what is kept.
// Promises: commits and failures happen when a test says so; nothing waits for a clock.
// Does not know: where messages go (routing-model.test.ts).

import { describe, expect, test } from 'vitest'
import { fieldTable, int32Field, int64Field, textField, type Field, type FieldTable } from '../../../base/fields.ts'
import { noProperties } from '../../../base/properties.ts'
import { MachineLog } from '../../../log/machine.ts'
import { testWorld, turns } from '../../broker-world.contract.ts'
import type { BindCall, DeclareExchangeCall, PolicyCall } from '../../queue-door.ts'
import { StubStore } from '../../stub-store.contract.ts'
import { ExchangeDesk } from './exchange-desk.ts'
import { noLogExchanges } from './log-exchanges.contract.ts'
import { removalRecords, Topology } from './topology.ts'

const vhost = '/'

class Room {
  readonly store = new StubStore()
  readonly queues = new Map<string, boolean>()
  topology!: Topology
  machineLog!: MachineLog
  desk!: ExchangeDesk

  static async open(): Promise<Room> {
    const room = new Room()
    await room.restart()
    return room
  }

  async restart(): Promise<void> {
    const { queues } = this
    this.topology = new Topology({
      queueExists: (_vhost, name) => queues.has(name),
      isQueueDurable: (_vhost, name) => queues.get(name) === true,
      fraction: () => 0.5,
    })
    this.machineLog = await MachineLog.open(testWorld(), this.store, [this.topology])
    this.desk = new ExchangeDesk({ topology: this.topology, machineLog: this.machineLog, logs: noLogExchanges })
  }

  declare(name: string, type: string, more: Partial<DeclareExchangeCall> = {}) {
    const plain = { durable: false, autoDelete: false, internal: false, arguments: [] }
    return this.desk.declare(vhost, { ...plain, ...more, name, type })
  }

  bind(source: string, destination: string, more: Partial<BindCall> = {}) {
    return this.desk.bind(vhost, binding(source, destination, more))
  }

  unbind(source: string, destination: string, more: Partial<BindCall> = {}) {
    return this.desk.unbind(vhost, binding(source, destination, more))
  }

  names(): string[] {
    const names = this.topology.listExchanges(vhost).map((one) => one.name)
    return names.filter((name) => name !== '' && !name.startsWith('amq.'))
  }

  bindings(): string[] {
    return this.topology.listBindings(vhost).map((one) => `${one.source} ${one.routingKey} ${one.destination}`)
  }
}

const binding = (source: string, destination: string, more: Partial<BindCall>): BindCall => ({
  source,
  destination,
  destinationKind: 'queue',
  routingKey: '',
  arguments: [],
  ...more,
})
const ae = (name: string): { readonly arguments: FieldTable } => ({
  arguments: fieldTable({ 'alternate-exchange': textField(name) }),
})

describe('declaring', () => {
  test('the same again is fine, anything else is told as RabbitMQ tells it', async () => {
    const room = await Room.open()
    expect(await room.declare('x', 'direct', { durable: true })).toBe(true)
    expect(await room.declare('x', 'direct', { durable: true })).toBe(true)
    const differing: readonly (readonly [string, Partial<DeclareExchangeCall>, string])[] = [
      ['fanout', { durable: true }, "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"],
      ['direct', {}, "'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"],
      [
        'direct',
        { durable: true, autoDelete: true },
        "'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
      ],
      [
        'direct',
        { durable: true, internal: true },
        "'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
      ],
      [
        'direct',
        { durable: true, ...ae('y') },
        "'alternate-exchange' for exchange 'x' in vhost '/': received the value 'y' of type 'longstr' but current is none",
      ],
    ]
    for (const [type, more, why] of differing)
      expect(await room.declare('x', type, more)).toEqual({
        refused: 'inequivalentDeclaration',
        why: `inequivalent arg ${why}`,
      })
  })

  test('alternate exchanges are compared, and must be text', async () => {
    const room = await Room.open()
    expect(await room.declare('x', 'direct', ae('y'))).toBe(true)
    expect(await room.declare('x', 'direct', ae('z'))).toMatchObject({
      why: "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received 'z' but current is 'y'",
    })
    expect(await room.declare('x', 'direct')).toMatchObject({
      why:
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': " +
        "received none but current is the value 'y' of type 'longstr'",
    })
    const number = { arguments: fieldTable({ 'alternate-exchange': int32Field(5) }) }
    expect(await room.declare('x2', 'direct', number)).toEqual({
      refused: 'invalidArgument',
      why: "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x2' in vhost '/'",
    })
  })

  test('names and types', async () => {
    const room = await Room.open()
    expect(await room.declare('x', 'foo')).toEqual({
      refused: 'exchangeTypeUnknown',
      why: "unknown exchange type 'foo'",
    })
    expect(await room.declare('amq.x', 'direct')).toEqual({
      refused: 'reservedName',
      why: "exchange name 'amq.x' contains reserved prefix 'amq.*'",
    })
    expect(await room.declare('', 'direct', { durable: true })).toEqual({
      refused: 'systemExchange',
      why: 'operation not permitted on the default exchange',
    })
    expect(await room.declare('amq.direct', 'direct', { durable: true })).toBe(true)
    expect(await room.declare('amq.rabbitmq.trace', 'topic', { durable: true, internal: true })).toBe(true)
    expect(await room.declare('with\r\nend', 'direct')).toBe(true)
    expect(room.desk.check(vhost, 'withend')).toBe(true)
    expect(room.desk.check(vhost, 'none')).toEqual({
      refused: 'exchangeMissing',
      why: "no exchange 'none' in vhost '/'",
    })
    expect(room.desk.check(vhost, '')).toMatchObject({ refused: 'systemExchange' })
  })

  test('a delayed exchange says of what type it is once messages have waited', async () => {
    const room = await Room.open()
    const declare = (type: Field | undefined, name = 'd') => {
      const args = type === undefined ? [] : fieldTable({ 'x-delayed-type': type })
      return room.declare(name, 'x-delayed-message', { arguments: args })
    }
    const missing = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    expect(await declare(undefined)).toEqual({ refused: 'invalidArgument', why: missing })
    expect(await declare(int32Field(1))).toMatchObject({ why: missing })
    expect(await declare(textField('foo'))).toMatchObject({ why: "unknown exchange type 'foo'" })
    expect(await declare(textField('x-delayed-message'))).toMatchObject({
      why: "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
    })
    expect(await declare(textField('topic'))).toBe(true)
    expect(await declare(textField('direct'))).toMatchObject({ refused: 'inequivalentDeclaration' })
    room.queues.set('q', true)
    expect(await room.bind('d', 'q', { routingKey: '#.#.#' })).toMatchObject({ refused: 'invalidArgument' })
    expect(await room.bind('d', 'q', { routingKey: 'a.#' })).toBe(true)
    const routed = room.topology.route(vhost, 'd', ['a.b'], { properties: noProperties }, false)
    expect(routed).toEqual(['q'])
  })

  test('answers after the commit, also to one who finds it done', async () => {
    const room = await Room.open()
    room.store.manual = true
    const answers: unknown[] = []
    void room.declare('x', 'direct', { durable: true }).then((answer) => answers.push(answer))
    void room.declare('x', 'direct', { durable: true }).then((answer) => answers.push(answer))
    await turns()
    expect(answers).toEqual([])
    room.store.commit()
    await turns()
    expect(answers).toEqual([true, true])
  })

  test('what could not be stored is not there', async () => {
    const room = await Room.open()
    room.store.manual = true
    const first = room.declare('x', 'direct', { durable: true })
    const second = room.declare('x', 'direct', { durable: true })
    expect(await room.declare('t', 'direct')).toBe(true)
    room.store.fail('full')
    expect(await first).toMatchObject({ refused: 'storageFull' })
    expect(await second).toMatchObject({ refused: 'storageFull' })
    room.store.manual = false
    await turns()
    expect(room.names()).toEqual(['t'])
    expect(await room.declare('x', 'fanout', { durable: true })).toBe(true)
  })
})

describe('deleting', () => {
  test('what is not there is deleted already; what is of the system is not deleted', async () => {
    const room = await Room.open()
    expect(await room.desk.delete(vhost, 'none', false)).toBe(true)
    for (const name of ['amq.direct', 'amq.none'])
      expect(await room.desk.delete(vhost, name, false)).toEqual({
        refused: 'systemExchange',
        why: `deletion of system exchange '${name}' in vhost '/' not allowed`,
      })
    expect(await room.desk.delete(vhost, '', false)).toMatchObject({
      why: 'operation not permitted on the default exchange',
    })
  })

  test('unused is one from which nothing leads', async () => {
    const room = await Room.open()
    await room.declare('a', 'fanout')
    await room.declare('b', 'fanout')
    await room.bind('a', 'b', { destinationKind: 'exchange' })
    expect(await room.desk.delete(vhost, 'a', true)).toEqual({
      refused: 'exchangeInUse',
      why: "exchange 'a' in vhost '/' in use",
    })
    expect(await room.desk.delete(vhost, 'b', true)).toBe(true)
    expect(room.bindings()).toEqual([])
  })

  test('an auto-delete exchange goes with the last binding from it, and takes others along', async () => {
    const room = await Room.open()
    room.queues.set('q', true)
    await room.declare('last', 'fanout', { autoDelete: true, durable: true })
    await room.declare('first', 'fanout', { autoDelete: true })
    await room.bind('first', 'last', { destinationKind: 'exchange' })
    await room.bind('last', 'q', { routingKey: 'one' })
    await room.bind('last', 'q', { routingKey: 'two' })
    await room.unbind('last', 'q', { routingKey: 'one' })
    expect(room.names()).toEqual(['last', 'first'])
    await room.unbind('last', 'q', { routingKey: 'two' })
    expect(room.names()).toEqual([])
    expect(room.bindings()).toEqual([])
    await room.restart()
    expect(room.names()).toEqual([])
  })

  test('a deleted queue takes its bindings and auto-delete exchanges in one append', async () => {
    const room = await Room.open()
    room.queues.set('q', true).set('t', false)
    await room.declare('kept', 'fanout', { durable: true })
    await room.declare('goes', 'fanout', { durable: true, autoDelete: true })
    await room.bind('kept', 'q')
    await room.bind('goes', 't')
    expect(removalRecords(room.topology.removalWith(vhost, 'none', true))).toEqual([])
    for (const [name, records] of [
      ['q', 1],
      ['t', 1],
    ] as const) {
      const deletion = removalRecords(room.topology.removalWith(vhost, name, true))
      expect(deletion.length).toBe(records)
      room.queues.delete(name)
      await room.machineLog.append(room.topology, deletion)
      room.topology.gone(vhost, name, true)
    }
    expect(room.names()).toEqual(['kept'])
    expect(room.bindings()).toEqual([])
  })

  test('a deletion that could not be stored did not happen, also to what is in memory only', async () => {
    const room = await Room.open()
    room.queues.set('t', false)
    await room.declare('x', 'fanout', { durable: true })
    await room.bind('x', 't')
    room.store.manual = true
    const deleted = room.desk.delete(vhost, 'x', false)
    expect(room.bindings()).toEqual([])
    room.store.fail('io')
    expect(await deleted).toMatchObject({ refused: 'storageFailed' })
    await turns()
    expect(room.names()).toEqual(['x'])
    expect(room.bindings()).toEqual(['x  t'])
  })
})

describe('binding', () => {
  test('the exchange is missed first, then the queue', async () => {
    const room = await Room.open()
    room.queues.set('q', true)
    const none = "no exchange 'none' in vhost '/'"
    expect(await room.bind('none', 'q')).toEqual({ refused: 'exchangeMissing', why: none })
    expect(await room.bind('none', 'none too')).toMatchObject({ why: none })
    expect(await room.bind('amq.direct', 'none')).toEqual({
      refused: 'queueMissing',
      why: "no queue 'none' in vhost '/'",
    })
    expect(await room.bind('amq.direct', 'none', { destinationKind: 'exchange' })).toMatchObject({ why: none })
    const denied = { refused: 'systemExchange', why: 'operation not permitted on the default exchange' }
    expect(await room.bind('', 'q')).toEqual(denied)
    expect(await room.bind('amq.direct', '', { destinationKind: 'exchange' })).toEqual(denied)
    expect(await room.unbind('', 'q')).toEqual(denied)
    expect(await room.unbind('none', 'q')).toBe(true)
    expect(await room.unbind('amq.direct', 'none')).toBe(true)
  })

  test('each binding is there once, whatever the order of its arguments', async () => {
    const room = await Room.open()
    room.queues.set('q', true)
    const one = fieldTable({ a: int32Field(1), b: textField('2') })
    await room.bind('amq.headers', 'q', { arguments: one })
    await room.bind('amq.headers', 'q', { arguments: one.toReversed() })
    expect(room.bindings().length).toBe(1)
    await room.bind('amq.headers', 'q', { arguments: fieldTable({ a: int64Field(1), b: textField('2') }) })
    expect(room.bindings().length).toBe(2)
    await room.restart()
    expect(room.bindings().length).toBe(2)
    await room.unbind('amq.headers', 'q', { arguments: one.toReversed() })
    expect(room.bindings().length).toBe(1)
  })

  test.each([
    [
      'amq.headers',
      '',
      fieldTable({ 'x-match': textField('foo') }),
      'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x',
    ],
    [
      'amq.headers',
      '',
      fieldTable({ 'x-match': int32Field(5) }),
      'Invalid x-match field type signedint (value 5); expected longstr',
    ],
    ['amq.topic', '#.#.#', [], "Topic binding key '#.#.#' uses 3 '#' wildcards, at most 2 are allowed"],
    ['hash', 'a', [], 'The binding key must be an integer: <<"a">>'],
    ['hash', '0', [], 'The binding key must be greater than 0'],
    ['hash', '1001', [], 'The binding key must not exceed 1000'],
    ['local', 'a', [], "Non empty binding 'a' key not permitted"],
  ])('%s does not take %j', async (source, routingKey, args, why) => {
    const room = await Room.open()
    room.queues.set('q', true)
    await room.declare('hash', 'x-consistent-hash')
    await room.declare('local', 'x-local-random')
    expect(await room.bind(source, 'q', { routingKey, arguments: args })).toEqual({ refused: 'invalidArgument', why })
  })

  test('durable bindings are there after a restart, with all that is durable', async () => {
    const room = await Room.open()
    room.queues.set('d', true).set('t', false)
    await room.declare('x', 'topic', { durable: true, ...ae('y') })
    await room.declare('y', 'fanout')
    for (const source of ['x', 'y'])
      for (const destination of ['d', 't']) await room.bind(source, destination, { routingKey: 'k' })
    await room.bind('x', 'amq.fanout', { destinationKind: 'exchange', routingKey: '' })
    const before = room.topology.listExchanges(vhost).find((one) => one.name === 'x')
    room.queues.delete('t')
    await room.restart()
    expect(room.names()).toEqual(['x'])
    expect(room.topology.listExchanges(vhost).find((one) => one.name === 'x')).toEqual(before)
    expect(room.bindings().sort()).toEqual(['x  amq.fanout', 'x k d'])
  })
})

describe('policies', () => {
  const policy = (more: Partial<PolicyCall>): PolicyCall => ({
    name: 'p',
    pattern: '^q',
    appliesTo: 'queues',
    priority: 0,
    definition: { 'max-length': 10 },
    ...more,
  })

  test.each([
    [{ definition: {} }, false, 'no policy provided'],
    [{ definition: { nothing: 1 } }, false, '[{<<"nothing">>,1}] are not recognised policy settings'],
    [
      { definition: { 'dead-letter-exchange': 'x' } },
      true,
      '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings',
    ],
    [{ definition: { 'message-ttl': -1 } }, false, '-1 is not a valid message TTL'],
    [{ definition: { 'message-ttl': 'x' } }, false, '<<"x">> is not a valid message TTL'],
    [{ definition: { expires: 0 } }, false, '0 is not a valid queue expiry'],
    [{ definition: { overflow: 'x' } }, false, '<<"x">> is not a valid overflow value'],
    [
      { definition: { 'dead-letter-routing-key': 'k'.repeat(256) } },
      false,
      `<<"${'k'.repeat(256)}">> is not a valid dead letter routing key`,
    ],
    [{ definition: { 'max-age': '1x' } }, false, '<<"1x">> is not a valid max age'],
    [{ definition: { 'max-age': '0s' } }, false, '<<"0s">> is not a valid max age'],
    [{ definition: { 'delayed-retry-type': 'some' } }, true, '<<"some">> is not a valid delayed retry type'],
    [{ definition: { 'delayed-retry-min': -5 } }, false, '-5 is not a valid delayed retry minimum delay'],
    [
      { definition: { 'delayed-retry-jitter': 2 } },
      false,
      '2 is not a valid delayed retry jitter, a number from 0 to 1',
    ],
    [
      { definition: { 'stream-max-segment-size-bytes': 5 } },
      false,
      '5 is not a valid segment size: a stream is given it by its argument x-stream-max-segment-size-bytes',
    ],
    [{ pattern: 'a'.repeat(1025) }, false, 'pattern must not exceed 1024 bytes'],
  ] as const)('%j is refused', async (more, isOperators, why) => {
    const room = await Room.open()
    expect(await room.desk.setPolicy(vhost, policy(more), isOperators)).toEqual({
      refused: 'invalidArgument',
      why: `Validation failed: ${why}`,
    })
  })

  test('an invalid pattern is refused', async () => {
    const room = await Room.open()
    const refused = await room.desk.setPolicy(vhost, policy({ pattern: '(' }), false)
    expect(refused).toMatchObject({ why: expect.stringContaining('should be regular expression but is invalid') })
  })

  test('one of each kind applies, merged, and is kept', async () => {
    const room = await Room.open()
    const changes: string[] = []
    room.topology.watchPolicies((name) => changes.push(name))
    const set = (more: Partial<PolicyCall>, isOperators = false) =>
      room.desk.setPolicy(vhost, policy(more), isOperators)
    expect(await set({ name: 'low', definition: { 'max-length': 5, 'message-ttl': 7 } })).toBe(true)
    expect(await set({ name: 'high', priority: 1, definition: { 'max-length': 9, overflow: 'drop-head' } })).toBe(true)
    expect(await set({ name: 'op', definition: { 'max-length': 8, overflow: 'reject-publish' } }, true)).toBe(true)
    expect(await set({ name: 'x', appliesTo: 'exchanges', definition: { 'alternate-exchange': 'amq.fanout' } })).toBe(
      true,
    )
    expect(await set({ name: 'dl', priority: 5, definition: { 'delivery-limit': 3 } })).toBe(true)
    expect(changes).toEqual(['/', '/', '/', '/', '/'])
    const check = (): void => {
      expect(room.topology.policyFor(vhost, 'queue', 'q1', 'classic')).toEqual({
        policy: 'high',
        operatorPolicy: 'op',
        definition: { 'max-length': 8, overflow: 'reject-publish' },
      })
      expect(room.topology.policyFor(vhost, 'queue', 'q1', 'quorum')?.policy).toBe('dl')
      expect(room.topology.policyFor(vhost, 'queue', 'other', 'classic')).toBeUndefined()
      expect(room.topology.policyFor(vhost, 'exchange', 'q')?.definition).toEqual({
        'alternate-exchange': 'amq.fanout',
      })
    }
    check()
    await room.restart()
    check()
    expect(await room.desk.deletePolicy(vhost, 'high', false)).toBe(true)
    expect(room.topology.policyFor(vhost, 'queue', 'q1', 'classic')?.policy).toBe('low')
    expect(await room.desk.deletePolicy(vhost, 'high', false)).toMatchObject({ refused: 'invalidRequest' })
  })
})
