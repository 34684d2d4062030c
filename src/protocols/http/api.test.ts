// The management API against a session that answers from memory.
// Promises: each status that a route can have is asked for once.
// Does not know: sockets; those are server/admin-socket's.

import { expect, test } from 'vitest'
import type { HttpRequest } from '../../base/world.ts'
import type { Session } from '../../broker/door.ts'
import { refuse } from '../../broker/errors.ts'
import type { BindCall, Channel, QueueCalls, QueueView } from '../../broker/queue-door.ts'
import { answerHttp } from './api.ts'

const view: QueueView = {
  name: 'orders',
  type: 'classic',
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: [{ name: 'x-max-length', value: { type: 'int64', value: 5 } }],
  policy: undefined,
  operatorPolicy: undefined,
  ready: 3,
  unacknowledged: 1,
  delayed: 0,
  consumers: 2,
  bytes: 99,
  topic: {
    name: 'orders',
    origin: 'amqp',
    partitions: 1,
    cleanupPolicy: 'consumed',
    retentionMs: 60_000,
    retentionBytes: -1,
    holdGroups: ['auditor'],
  },
}
const binding: BindCall = {
  source: 'amq.topic',
  destination: 'orders',
  destinationKind: 'queue',
  routingKey: 'a/b',
  arguments: [],
}
const missing = refuse('queueMissing', "no queue 'none' in vhost '/'")

function sessionOf(calls: Partial<QueueCalls>): { session: Session; asked: string[] } {
  const asked: string[] = []
  const queues: Partial<QueueCalls> = {
    listQueues: () => Promise.resolve([view]),
    describeQueue: (name) => Promise.resolve(name === 'orders' ? view : missing),
    deleteQueue: (name, only) => {
      asked.push(`${name} ${JSON.stringify(only)}`)
      return Promise.resolve(0)
    },
    declareQueue: (call) => {
      asked.push(JSON.stringify(call))
      return Promise.resolve({ name: call.name, messages: 0, consumers: 0 })
    },
    purgeQueue: () => Promise.resolve(refuse('queueLocked', 'it is locked')),
    listBindings: () => [binding],
    unbind: (call) => {
      asked.push(`unbind ${call.routingKey}`)
      return Promise.resolve(true as const)
    },
    ...calls,
  }
  return { session: { queues } as unknown as Session, asked }
}

const ask = (session: Session, method: string, target: string, body?: unknown) => {
  const [path, query] = target.split('?')
  const request: HttpRequest = {
    method,
    path,
    query: new URLSearchParams(query),
    body: body === undefined ? Buffer.alloc(0) : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  }
  return answerHttp(session, request, () => new Map([['produce.duplicates', 2]]))
}

test('queues are listed and described in the words of the management API', async () => {
  const { session } = sessionOf({})
  const listed = await ask(session, 'GET', '/api/queues/%2F')
  expect(listed.status).toBe(200)
  expect(JSON.parse(String(listed.body))).toMatchObject([
    { name: 'orders', vhost: '/', messages: 4, messages_ready: 3, arguments: { 'x-max-length': 5 }, consumers: 2 },
  ])
  expect((await ask(session, 'GET', '/api/queues/%2F/orders')).status).toBe(200)
  const none = await ask(session, 'GET', '/api/queues/%2F/none')
  expect([none.status, JSON.parse(String(none.body))]).toEqual([
    404,
    { error: 'Object Not Found', reason: "no queue 'none' in vhost '/'" },
  ])
})

test.each([
  ['PUT', '/api/queues/%2F/fresh', { arguments: { 'x-max-priority': 3 } }, 201],
  ['PUT', '/api/queues/%2F/orders', {}, 204],
  ['PUT', '/api/queues/%2F/orders', { durable: 'perhaps' }, 400],
  ['PUT', '/api/queues/%2F/orders', '{', 400],
  ['PUT', '/api/queues/%2F/orders', [1], 400],
  ['DELETE', '/api/queues/%2F/orders?if-empty=true', undefined, 204],
  ['DELETE', '/api/queues/%2F/none', undefined, 404],
  ['DELETE', '/api/queues/%2F/orders/contents', undefined, 400],
  ['POST', '/api/queues/%2F/orders/get', { ackmode: 'toString' }, 400],
  ['POST', '/api/queues/%2F/orders/get', { encoding: 'utf8' }, 400],
  ['POST', '/api/exchanges/%2F/e/publish', { payload: '', payload_encoding: 'hex' }, 400],
  ['POST', '/api/queues/%2F/orders', {}, 405],
  ['GET', '/api/queues/other', undefined, 404],
  ['GET', '/api/queues/%2', undefined, 400],
  ['GET', '/nothing', undefined, 404],
  ['DELETE', '/api/bindings/%2F/e/amq.topic/q/orders/a%252Fb', undefined, 204],
  ['DELETE', '/api/bindings/%2F/e/amq.topic/q/orders/other', undefined, 404],
  ['DELETE', '/api/bindings/%2F/e/amq.topic/x/orders/other', undefined, 400],
] as const)('%s %s with %j is %i', async (method, target, body, status) => {
  expect((await ask(sessionOf({}).session, method, target, body)).status).toBe(status)
})

const deep = (levels: number): unknown => (levels === 0 ? 1 : { in: deep(levels - 1) })

test.each([
  ['PUT', '/api/queues/%2F/deep', { arguments: deep(40) }, 'fields more than 32 deep'],
  ['PUT', '/api/queues/%2F/wide', { arguments: { ['n'.repeat(256)]: 1 } }, "a field's name of 256 bytes"],
  ['PUT', `/api/exchanges/%2F/${'e'.repeat(256)}`, {}, 'name has at most 255 bytes'],
  [
    'POST',
    '/api/bindings/%2F/e/amq.topic/q/orders',
    { routing_key: '\ud800' },
    'routing_key must be a string of whole characters',
  ],
  [
    'POST',
    '/api/bindings/%2F/e/amq.topic/q/orders',
    { routing_key: 'é'.repeat(128) },
    'routing_key has at most 255 bytes',
  ],
  [
    'POST',
    '/api/exchanges/%2F/e/publish',
    { payload: '', routing_key: 'k'.repeat(256) },
    'routing_key has at most 255 bytes',
  ],
  [
    'POST',
    '/api/exchanges/%2F/e/publish',
    { payload: '', properties: { type: 't'.repeat(256) } },
    'a property of 256 bytes',
  ],
  [
    'POST',
    '/api/exchanges/%2F/e/publish',
    { payload: '', properties: { headers: { a: 'x'.repeat(131_040) } } },
    'the properties have 131053 bytes and may have 131052',
  ],
] as const)('%s %.40s with what nobody could read again is refused', async (method, target, body, reason) => {
  const { session, asked } = sessionOf({
    checkExchange: () => missing,
    openChannel: () => ({ publish: () => expect.unreachable(), close: () => {} }) as never,
  })
  const answer = await ask(session, method, target, body)
  expect([answer.status, JSON.parse(String(answer.body))]).toEqual([400, { error: 'bad_request', reason }])
  expect(asked).toEqual([])
})

test('what was asked reaches the door', async () => {
  const { session, asked } = sessionOf({})
  await ask(session, 'PUT', '/api/queues/%2F/a%2Fb', { durable: false, arguments: { 'x-max-priority': 3 } })
  await ask(session, 'DELETE', '/api/queues/%2F/orders?if-unused=true')
  expect(JSON.parse(asked[0])).toMatchObject({
    name: 'a/b',
    durable: false,
    arguments: [{ name: 'x-max-priority', value: { type: 'int64', value: 3 } }],
  })
  expect(asked[1]).toBe('orders {"ifUnused":true,"ifEmpty":false}')
})

test('the binding that is meant is unbound: keys that look alike in a path are two', async () => {
  const keys = ['~', '', '%7E', 'a~b']
  const { session, asked } = sessionOf({ listBindings: () => keys.map((routingKey) => ({ ...binding, routingKey })) })
  const listed = await ask(session, 'GET', '/api/bindings/%2F')
  for (const { properties_key: key } of JSON.parse(String(listed.body)) as { properties_key: string }[])
    await ask(session, 'DELETE', `/api/bindings/%2F/e/amq.topic/q/orders/${encodeURIComponent(key)}`)
  expect(asked).toEqual(keys.map((key) => `unbind ${key}`))
})

test('a publish answers once the message is stored, and says when a queue refused it', async () => {
  for (const [end, status, body] of [
    ['stored', 200, { routed: true }],
    ['refused', 400, { error: 'bad_request', reason: 'a queue refused the message' }],
  ] as const) {
    let state: 'pending' | 'stored' | 'refused' = 'pending'
    let tell = (): void => {}
    const published: string[] = []
    const { session } = sessionOf({
      openChannel: () =>
        ({
          publish: (publication: { exchange: string; body: readonly Buffer[]; properties: Buffer }) => {
            published.push(`${publication.exchange} ${String(publication.body[0])} ${publication.properties.length}`)
            return {
              get state() {
                return state
              },
              whenSettled: (done: () => void) => void (tell = done),
            }
          },
          close: () => void published.push('closed'),
        }) as never,
    })
    const answered = ask(session, 'POST', '/api/exchanges/%2F/amq.default/publish', {
      routing_key: 'orders',
      payload: 'aGk=',
      payload_encoding: 'base64',
      properties: { delivery_mode: 2 },
    })
    await Promise.resolve()
    state = end
    tell()
    const answer = await answered
    expect([answer.status, JSON.parse(String(answer.body))]).toEqual([status, body])
    expect(published).toEqual([' hi 3', 'closed'])
  }
})

test('a property that there is not, or of another type, is the fault of who asked', async () => {
  const { session } = sessionOf({ openChannel: () => ({ close: () => {} }) as never })
  for (const properties of [{ colour: 'red' }, { priority: 'high' }, { headers: 'x' }]) {
    const answer = await ask(session, 'POST', '/api/exchanges/%2F/e/publish', { payload: '', properties })
    expect(answer.status, JSON.stringify(properties)).toBe(400)
  }
})

test('redrive: a step as it was asked for, and its place back', async () => {
  const place = { lane: 1, from: 5, begin: 0, ends: [9, 9] }
  const asked: unknown[] = []
  const redrive: QueueCalls['redrive'] = (call) => {
    asked.push(call)
    return Promise.resolve({ looked: 1, moved: 1, filtered: 0, stranded: 0, notTaken: 0, samples: [], next: place })
  }
  const { session } = sessionOf({ redrive })
  const body = { source: 'dead', filters: ['key=#'], count: 7, place }
  const answer = await ask(session, 'POST', '/api/odradek/redrive', body)
  expect([answer.status, JSON.parse(String(answer.body))]).toMatchObject([200, { moved: 1, place }])
  expect(asked).toEqual([
    { source: 'dead', target: undefined, filters: ['key=#'], isDryRun: false, from: 0, messagesMax: 7, place },
  ])
})

test.each([
  [{}, 'source must be a string'],
  [{ source: 'dead', to: 3 }, 'to must be a string'],
  [{ source: 'dead', dry_run: 'perhaps' }, 'dry_run must be true or false'],
  [{ source: 'dead', from: -1 }, 'from must be a whole number'],
  [{ source: 'dead', count: 0 }, 'count must be a whole number from 1 to 512'],
  [{ source: 'dead', count: 513 }, 'count must be a whole number'],
  [{ source: 'dead', filters: 'key=#' }, 'filters must be a list of at most 64'],
  [{ source: 'dead', filters: Array.from({ length: 65 }, () => 'key=#') }, 'filters must be a list of at most 64'],
  [{ source: 'dead', filters: [1] }, 'each of filters must be a string'],
  [{ source: 'dead', filters: [`key=${'#.'.repeat(600)}`] }, 'a string of at most 1024 characters'],
  [{ source: 'dead', place: [] }, 'must be a JSON object'],
  [{ source: 'dead', place: { ends: [0.5] } }, 'place must be one that an answer named'],
  [{ source: 'dead', place: { ends: [-1] } }, 'place must be one that an answer named'],
  [{ source: 'dead', place: { ends: 'all' } }, 'place must be one that an answer named'],
  [{ source: 'dead', place: { ends: [1], lane: -1 } }, 'lane must be a whole number'],
  [{ source: 'dead', place: { ends: [1], begin: 2 ** 53 } }, 'begin must be a whole number'],
])('redrive %j is refused in words', async (body, why) => {
  const redrive = (): never => {
    throw new Error('nobody asks the broker')
  }
  const answer = await ask(sessionOf({ redrive }).session, 'POST', '/api/odradek/redrive', body)
  const { reason } = JSON.parse(String(answer.body)) as { reason: string }
  expect([answer.status, reason]).toEqual([400, expect.stringContaining(why)])
})

test('lag: what the broker counted, ages as of its own time', async () => {
  const backlog = {
    records: 3,
    unacknowledged: 1,
    bytes: 300,
    bytesAreEstimated: true,
    oldestMs: 900,
    end: 10,
    position: 7,
  }
  const row = { kind: 'queue', name: 'orders', topic: 'orders', partitions: 1 } as const
  const asked: (string | undefined)[] = []
  const lag = (name: string | undefined) => {
    asked.push(name)
    return Promise.resolve({
      atMs: 1000,
      rows: [
        { ...row, backlog },
        { ...row, backlog: undefined },
      ],
    })
  }
  const session = { lag } as unknown as Session
  const answer = await ask(session, 'GET', '/api/odradek/lag?name=orders')
  expect(JSON.parse(String(answer.body))).toEqual({
    at_ms: 1000,
    rows: [
      {
        ...row,
        backlog: {
          records: 3,
          unacknowledged: 1,
          bytes: 300,
          bytes_are_estimated: true,
          oldest_age_ms: 100,
          end: 10,
          position: 7,
        },
      },
      { ...row, backlog: null },
    ],
  })
  await ask(session, 'GET', '/api/odradek/lag')
  expect(asked).toEqual(['orders', undefined])
})

test('counters are told by name', async () => {
  const { session } = sessionOf({})
  expect(await ask(session, 'GET', '/api/odradek/counters')).toMatchObject({
    status: 200,
    body: '{"produce.duplicates":2}',
  })
})

test('an answer holds no more bodies than memory is meant for; what is shown goes back', async () => {
  const body = Buffer.alloc(16 * 1024 * 1024, 'x')
  const none = Buffer.alloc(0)
  const given: number[] = []
  let tag = 0
  const channel = {
    get: () =>
      Promise.resolve({
        tag: ++tag,
        redelivered: false,
        exchange: none,
        routingKey: none,
        properties: Buffer.alloc(2),
        body,
        messages: 9,
      }),
    reject: (back: number, multiple: boolean, requeue: boolean) => void (requeue && !multiple && given.push(back)),
    close: () => {},
  } as unknown as Channel
  const { session } = sessionOf({ openChannel: () => channel })
  const got = await ask(session, 'POST', '/api/queues/%2F/orders/get', { count: 100, ackmode: 'ack_requeue_true' })
  expect((JSON.parse(String(got.body)) as unknown[]).length).toBe(2)
  expect(given).toEqual([1, 2])
})
