// Arguments of queues: every refusal as RabbitMQ 4.3.6 says it (captured from it), and what arguments and policies come to.
// Promises: texts letter by letter.
// Does not know: queues.

import { expect, test } from 'vitest'
import type { Field, FieldTable } from '../../../base/fields.ts'
import type { DeclareQueueCall } from '../../queue-door.ts'
import { ageMsOf } from './argument-values.ts'
import { judgeArguments, judgeEquivalence, judgeProperties, resourceName } from './queue-arguments.ts'
import { compileQueue, type PolicyDefinition } from './queue-arguments-policy.ts'
import { factsOf } from './queue-plans.ts'

type Said = Readonly<Record<string, Field | string | number | boolean>>

const fieldOf = (value: Field | string | number | boolean): Field => {
  if (typeof value === 'string') return { type: 'text', value: Buffer.from(value) }
  if (typeof value === 'boolean') return { type: 'bool', value }
  if (typeof value === 'number') return { type: Math.abs(value) > 0x7fffffff ? 'int64' : 'int32', value }
  return value
}
const table = (said: Said): FieldTable => Object.entries(said).map(([name, value]) => ({ name, value: fieldOf(value) }))
const call = (said: Said, over: Partial<DeclareQueueCall> = {}): DeclareQueueCall => ({
  name: 'q',
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: table(said),
  ...over,
})
const q = resourceName('queue', '/', 'q')
const quorum = { 'x-queue-type': 'quorum' }
const stream = { 'x-queue-type': 'stream' }
const list: Field = { type: 'array', value: [fieldOf(1), fieldOf('a')] }
const inner: Field = { type: 'table', value: table({ k: 1 }) }

const wrongValues: readonly (readonly [Said, string])[] = [
  [{ 'x-expires': 0 }, '{value_zero,0}'],
  [{ 'x-expires': -1 }, '{value_negative,-1}'],
  [{ 'x-expires': 'a' }, '"expected integer, got longstr"'],
  [{ 'x-expires': true }, '"expected integer, got bool"'],
  [{ 'x-expires': 315_360_000_001 }, '{value_too_large,315360000001}'],
  [{ 'x-expires': { type: 'void' } }, '"expected integer, got void"'],
  [{ 'x-expires': list }, '"expected integer, got array"'],
  [{ 'x-expires': inner }, '"expected integer, got table"'],
  [{ 'x-message-ttl': -1 }, '{value_negative,-1}'],
  [{ 'x-message-ttl': '5' }, '"expected integer, got longstr"'],
  [{ 'x-message-ttl': { type: 'float64', value: 5 } }, '"expected integer, got double"'],
  [{ 'x-max-length': -1 }, '{value_negative,-1}'],
  [{ 'x-max-length-bytes': -5 }, '{value_negative,-5}'],
  [{ 'x-max-priority': 256 }, '{max_value_exceeded,256}'],
  [{ 'x-max-priority': -1 }, '{value_negative,-1}'],
  [{ 'x-overflow': 'foo' }, 'invalid_overflow'],
  [{ 'x-overflow': 3 }, '{unacceptable_type,signedint}'],
  [{ 'x-queue-version': 1 }, `"unsupported queue version '1'"`],
  [{ 'x-single-active-consumer': 'y' }, '{unacceptable_type,longstr}'],
  [{ 'x-queue-type': 'foo' }, `"unsupported queue type 'foo'"`],
  [{ 'x-queue-type': 3 }, '{unacceptable_type,signedint}'],
  [{ 'x-dead-letter-routing-key': 'k' }, 'routing_key_but_no_dlx_defined'],
  [{ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 4 }, '{unacceptable_type,signedint}'],
  // RabbitMQ takes it and fails when the message is delivered.
  [
    { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'é'.repeat(128) },
    '"a routing key has at most 255 bytes"',
  ],
  [{ 'x-queue-leader-locator': 'foo' }, 'invalid_queue_locator_arg'],
  [{ 'x-queue-leader-locator': 3 }, '{unacceptable_type,signedint}'],
  [{ 'x-partitions': 0 }, '{value_zero,0}'],
  [{ 'x-partitions': 1025 }, '{value_too_large,1025}'],
  [{ 'x-partitions': 'three' }, '"expected integer, got longstr"'],
  [{ 'x-dead-letter-strategy': 'foo', ...quorum }, 'invalid_dlx_strategy'],
  [{ 'x-consumer-timeout': -1, ...quorum }, '{value_negative,-1}'],
  [{ 'x-quorum-initial-group-size': 0, ...quorum }, '{value_zero,0}'],
  [{ 'x-delivery-limit': 'a', ...quorum }, '"expected integer, got longstr"'],
  [{ 'x-delayed-retry-type': 'some', ...quorum }, 'invalid_delayed_retry_type'],
  [{ 'x-delayed-retry-type': 3, ...quorum }, '{unacceptable_type,signedint}'],
  [{ 'x-delayed-retry-min': -1, ...quorum }, '{value_negative,-1}'],
  [{ 'x-delayed-retry-max': 'a', ...quorum }, '"expected integer, got longstr"'],
  [{ 'x-delayed-retry-backoff': 'cubic' }, 'invalid_delayed_retry_backoff'],
  [{ 'x-delayed-retry-jitter': 2 }, '"expected a number from 0 to 1, got 2"'],
  [{ 'x-delayed-retry-jitter': 'a' }, '"expected a number from 0 to 1, got longstr"'],
  [{ 'x-dead-letter-topic': 3 }, '{unacceptable_type,signedint}'],
  [
    { 'x-dead-letter-topic': 'a', 'x-dead-letter-exchange': '' },
    '"a dead letter goes to an exchange or to a topic, not to both"',
  ],
  [{ 'x-max-age': '1x', ...stream }, 'invalid_max_age'],
  [{ 'x-max-age': 'h', ...stream }, 'invalid_max_age'],
  [{ 'x-max-age': '0s', ...stream }, 'invalid_max_age'],
  [{ 'x-max-age': 5, ...stream }, '{unacceptable_type,signedint}'],
  [{ 'x-max-length-bytes': -1, ...stream }, '{value_negative,-1}'],
  [{ 'x-stream-filter-size-bytes': 'a', ...stream }, '"expected integer, got longstr"'],
  [{ 'x-initial-cluster-size': 0, ...stream }, '{value_zero,0}'],
]

test.each(wrongValues)('%j is no value', (said, why) => {
  const name = Object.keys(said).find((one) => one !== 'x-queue-type' && one !== 'x-dead-letter-exchange')
  expect(judgeArguments(q, table(said))).toEqual({
    refused: 'invalidArgument',
    why: `invalid arg '${name ?? 'x-queue-type'}' for queue 'q' in vhost '/': ${why}`,
  })
})

const ofOtherTypes: readonly (readonly [Said, string])[] = [
  ...['x-dead-letter-strategy', 'x-max-age', 'x-consumer-timeout', 'x-max-in-memory-length'].map(
    (name) => [{ [name]: 1 }, `'${name}' for ${q} of queue type rabbit_classic_queue`] as const,
  ),
  ...['x-max-priority', 'x-queue-mode', 'x-queue-version', 'x-max-age', 'x-queue-master-locator'].map(
    (name) => [{ [name]: 1, ...quorum }, `'${name}' for ${q} of queue type rabbit_quorum_queue`] as const,
  ),
  ...['x-max-length', 'x-message-ttl', 'x-overflow', 'x-expires', 'x-single-active-consumer', 'x-delivery-limit'].map(
    (name) => [{ [name]: 1, ...stream }, `'${name}' for ${q} of queue type rabbit_stream_queue`] as const,
  ),
]

test.each(ofOtherTypes)('%j is another type of queue’s', (said, why) => {
  expect(judgeArguments(q, table(said))?.why).toBe(`invalid arg ${why}`)
})

const taken: readonly Said[] = [
  {},
  { 'x-queue-mode': 'lazy' },
  { 'x-queue-mode': 3 },
  { 'x-queue-version': 2 },
  { 'x-queue-type': '' },
  { 'x-foo': 'bar' },
  { 'x-member-placement-tag': 'a' },
  { 'x-message-ttl': 0 },
  { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'k' },
  { 'x-dead-letter-topic': 'orders.dlq' },
  { 'x-delayed-retry-type': 'disabled', ...quorum },
  { 'x-delayed-retry-type': 'all', 'x-delayed-retry-min': 5, 'x-delayed-retry-jitter': 1 },
  { 'x-delivery-limit': -5, ...quorum },
  { 'x-overflow': 'reject-publish-dlx', ...quorum },
  { 'x-max-age': '1Y', ...stream },
]

test.each(taken)('%j is taken', (said) => {
  expect(judgeArguments(q, table(said))).toBeUndefined()
})

test('a dead letter exchange that is no text has words of its own', () => {
  expect(judgeArguments(q, table({ 'x-dead-letter-exchange': 3 }))?.why).toBe(
    "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
  )
})

test.each([
  [call(quorum, { durable: false }), "invalid property 'non-durable' for queue 'q' in vhost '/'"],
  [call(quorum, { exclusive: true }), "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"],
  [call(stream, { autoDelete: true }), "invalid property 'auto-delete' for queue 'q' in vhost '/'"],
  [
    call({ 'x-stream-max-segment-size-bytes': 4_000_000_000, ...stream }),
    'Exceeded max value for x-stream-max-segment-size-bytes',
  ],
  [call({ 'x-stream-filter-size-bytes': 5, ...stream }), 'Invalid value for x-stream-filter-size-bytes'],
  [call({ 'x-stream-filter-size-bytes': 256, ...stream }), 'Invalid value for x-stream-filter-size-bytes'],
])('properties %#', (declared, why) => {
  expect(judgeProperties(q, declared)).toEqual({ refused: 'invalidArgument', why })
})

test('classic queues may be anything', () => {
  expect(judgeProperties(q, call({}, { durable: false, exclusive: true, autoDelete: true }))).toBeUndefined()
})

const differences: readonly (readonly [DeclareQueueCall, DeclareQueueCall, string])[] = [
  [call({}), call({}, { durable: false }), "'durable' for Q: received 'false' but current is 'true'"],
  [call({}, { durable: false }), call({}), "'durable' for Q: received 'true' but current is 'false'"],
  [call({}), call({}, { autoDelete: true }), "'auto_delete' for Q: received 'true' but current is 'false'"],
  [
    call({}),
    call({ 'x-message-ttl': 1 }),
    "'x-message-ttl' for Q: received the value '1' of type 'signedint' but current is none",
  ],
  [
    call({ 'x-message-ttl': 1 }),
    call({}),
    "'x-message-ttl' for Q: received none but current is the value '1' of type 'signedint'",
  ],
  [
    call({ 'x-message-ttl': 1 }),
    call({ 'x-message-ttl': 2 ** 40 }),
    "'x-message-ttl' for Q: received '1099511627776' but current is '1'",
  ],
  [
    call({ 'x-message-ttl': 1 }),
    call({ 'x-message-ttl': 'q' }),
    "'x-message-ttl' for Q: received 'q' but current is '1'",
  ],
  [
    call({ 'x-overflow': 'drop-head' }),
    call({ 'x-overflow': 'reject-publish' }),
    "'x-overflow' for Q: received 'reject-publish' but current is 'drop-head'",
  ],
  [call({}), call(quorum), "'x-queue-type' for Q: received 'quorum' but current is 'classic'"],
  [call(quorum), call({ 'x-queue-type': 'foo' }), "'x-queue-type' for Q: received 'foo' but current is 'quorum'"],
  [
    call({ 'x-single-active-consumer': true }),
    call({ 'x-single-active-consumer': false }),
    "'x-single-active-consumer' for Q: received 'false' but current is 'true'",
  ],
  [
    call({ 'x-queue-mode': 'lazy' }),
    call({}),
    "'x-queue-mode' for Q: received none but current is the value 'lazy' of type 'longstr'",
  ],
  [
    call({}),
    call({ 'x-max-length': list }),
    `'x-max-length' for Q: received the value '[{signedint,1},{longstr,<<"a">>}]' of type 'array' but current is none`,
  ],
  [
    call({}),
    call({ 'x-max-length': inner }),
    `'x-max-length' for Q: received the value '[{<<"k">>,signedint,1}]' of type 'table' but current is none`,
  ],
]

test.each(differences)('declared again otherwise %#', (first, second, why) => {
  expect(judgeEquivalence(q, factsOf(first), second)).toEqual({
    refused: 'inequivalentDeclaration',
    why: `inequivalent arg ${why.replace('Q', q)}`,
  })
})

test.each([
  [call({}), call({ 'x-foo': 'x' })],
  [call({}), call({ 'x-queue-type': 'classic' })],
  [call(quorum), call({ 'x-max-priority': 3, ...quorum })],
  [call({ 'x-expires': 5 }), call({ 'x-expires': { type: 'uint8', value: 5 } })],
  [call({}, { exclusive: true }), call({}, { exclusive: true, durable: false })],
  [call({ 'x-max-length': 1, 'x-expires': 2 }), call({ 'x-expires': 2, 'x-max-length': 1 })],
])('declared again the same %#', (first, second) => {
  expect(judgeEquivalence(q, factsOf(first), second)).toBeUndefined()
})

test.each([
  ['90s', 90_000],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['1D', 86_400_000],
  ['1M', 2_592_000_000],
  ['1Y', 31_536_000_000],
  ['', undefined],
  ['1.5h', undefined],
])('an age of %s', (said, ms) => {
  expect(ageMsOf(said)).toBe(ms)
})

const compiled: readonly (readonly [Said, PolicyDefinition, object])[] = [
  [{}, {}, { type: 'classic', overflow: 'drop-head', priorityMax: 0, deliveryLimit: undefined, expiresMs: undefined }],
  [{ 'x-message-ttl': 5 }, { 'message-ttl': 3, 'max-length': 7 }, { messageTtlMs: 3, lengthMax: 7 }],
  [{ 'x-message-ttl': 2, 'x-max-length': 9 }, { 'message-ttl': 3 }, { messageTtlMs: 2, lengthMax: 9 }],
  [{ 'x-dead-letter-exchange': '' }, { 'dead-letter-exchange': 'p' }, { deadLetterExchange: '' }],
  [
    { 'x-dead-letter-topic': 't' },
    { 'dead-letter-exchange': 'p', 'dead-letter-routing-key': 'k' },
    { deadLetterTopic: 't', deadLetterExchange: undefined, deadLetterRoutingKey: undefined },
  ],
  [{}, { 'dead-letter-topic': 't' }, { deadLetterTopic: 't', deadLetterExchange: undefined }],
  [{}, { 'dead-letter-exchange': 'p' }, { deadLetterExchange: 'p', deadLetterRoutingKey: undefined }],
  [{ 'x-overflow': 'reject-publish' }, { overflow: 'drop-head' }, { overflow: 'reject-publish' }],
  [{ 'x-overflow': 'reject-publish', ...quorum }, { overflow: 'drop-head' }, { overflow: 'drop-head' }],
  [{ 'x-overflow': 'reject-publish-dlx', ...quorum }, {}, { overflow: 'reject-publish-dlx' }],
  [{ 'x-overflow': 'reject-publish-dlx' }, {}, { overflow: 'reject-publish-dlx' }],
  [{ 'x-max-priority': 9 }, {}, { priorityMax: 9, priorityDefault: 0 }],
  [quorum, {}, { type: 'quorum', deliveryLimit: 20, priorityMax: 31, priorityDefault: 4 }],
  [{ 'x-delivery-limit': -1, ...quorum }, {}, { deliveryLimit: undefined }],
  [{ 'x-delivery-limit': 0, ...quorum }, {}, { deliveryLimit: 0 }],
  [{ 'x-delivery-limit': 5, ...quorum }, { 'delivery-limit': 3 }, { deliveryLimit: 3 }],
  [{ 'x-delivery-limit': -1, ...quorum }, { 'delivery-limit': 3 }, { deliveryLimit: 3 }],
  [{ 'x-delivery-limit': 5 }, {}, { deliveryLimit: 5 }],
  [{ 'x-delayed-retry-type': 'all' }, {}, { retry: undefined }],
  [
    { 'x-delayed-retry-min': 5, 'x-delayed-retry-backoff': 'exponential' },
    { 'delayed-retry-type': 'failed', 'delayed-retry-min': 7, 'delayed-retry-max': 9, 'delayed-retry-jitter': 0.5 },
    { retry: { of: 'failed', minMs: 5, maxMs: 9, backoff: 'exponential', jitter: 0.5 } },
  ],
  [{ 'x-consumer-timeout': 9, ...quorum }, { 'consumer-timeout': 4 }, { consumerTimeoutMs: 4 }],
  [{ 'x-max-age': '1h', ...stream }, { 'max-age': '1m' }, { type: 'stream', maxAgeMs: 60_000 }],
]

test.each(compiled)('%j under %j', (said, definition, expected) => {
  expect(compileQueue(factsOf(call(said)), definition)).toMatchObject(expected)
})
