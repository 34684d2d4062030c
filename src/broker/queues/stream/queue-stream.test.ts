// Tests of streams: where a consumer begins, what its filter lets through, and that nothing is taken away.
// Promises: texts and beginnings as measured on RabbitMQ 4.3.
// Does not know: retention, channels.

import { describe, expect, test } from 'vitest'
import { readProperties, writeProperties } from '../../../base/properties.ts'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { logId } from '../../../log/store.ts'
import { turns } from '../../broker-world.contract.ts'
import { consume, publish, QueueStage, testMessage, TestConsumer } from '../queue-stage.contract.ts'
import { withPlace } from '../messages/message-place.ts'

const text = (value: string): Field => ({ type: 'text', value: Buffer.from(value) })
const args = (given: Record<string, Field>): FieldTable =>
  Object.entries(given).map(([name, value]) => ({ name, value }))
const filtered = (body: string, value: string) =>
  testMessage(body, { headers: args({ 'x-stream-filter-value': text(value) }) })

async function stream() {
  const stage = await QueueStage.open()
  return { stage, queue: await stage.anyQueue('s', { type: 'stream' }) }
}

const from = (offset: Field) => ({ prefetch: 100, arguments: args({ 'x-stream-offset': offset }) })

describe('a stream', () => {
  test('is read by everybody, again and again, with the offset as a header', async () => {
    const { stage, queue } = await stream()
    await publish(queue, 'a', 'b')
    const first = consume(queue, from(text('first')))
    await turns()
    expect(first.bodies).toEqual(['a', 'b'])
    expect(first.got.map(({ redelivered }) => redelivered)).toEqual([false, false])
    expect(first.got.map(({ properties }) => readProperties(properties).headers)).toEqual([
      args({ 'x-stream-offset': { type: 'int64', value: 0 } }),
      args({ 'x-stream-offset': { type: 'int64', value: 1 } }),
    ])
    queue.lanes[0].acknowledge(0)
    queue.lanes[0].reject(1)
    expect([queue.messages, queue.unacknowledged]).toEqual([2, 0])
    await stage.crash()
    const again = consume(await stage.anyQueue('s'), from(text('first')))
    await turns()
    expect(again.bodies).toEqual(['a', 'b'])
  })

  test('acknowledging gives credit back', async () => {
    const { queue } = await stream()
    await publish(queue, 'a', 'b', 'c')
    const consumer = consume(queue, { ...from(text('first')), credit: 1 })
    await turns()
    expect(consumer.bodies).toEqual(['a'])
    consumer.credit = 1
    queue.lanes[0].acknowledge(0)
    await turns()
    expect(consumer.bodies).toEqual(['a', 'b'])
  })

  test('begins where a consumer asks', async () => {
    const { stage, queue } = await stream()
    for (const body of ['a', 'b', 'c']) {
      await publish(queue, body)
      stage.world.clock.advance(60_000)
    }
    const seconds = Math.floor(stage.world.clock.nowMs() / 1000)
    const bodiesFrom = async (offset: Field) => {
      const consumer = consume(queue, from(offset))
      await turns()
      queue.cancel(consumer)
      return consumer.bodies.join('')
    }
    expect(await bodiesFrom(text('first'))).toBe('abc')
    expect(await bodiesFrom(text('last'))).toBe('c')
    expect(await bodiesFrom(text('next'))).toBe('')
    expect(await bodiesFrom({ type: 'int64', value: 1 })).toBe('bc')
    expect(await bodiesFrom({ type: 'int32', value: -1 })).toBe('abc')
    expect(await bodiesFrom({ type: 'int32', value: 100 })).toBe('')
    expect(await bodiesFrom({ type: 'timestamp', value: seconds - 120 })).toBe('bc')
    expect(await bodiesFrom({ type: 'timestamp', value: seconds + 5 })).toBe('')
    expect(await bodiesFrom(text('1h'))).toBe('abc')
    expect(await bodiesFrom(text('2m'))).toBe('bc')
    const waiting = [consume(queue, { prefetch: 1 }), consume(queue, from({ type: 'int32', value: 4 }))]
    await publish(queue, 'd', 'e')
    await turns()
    expect(waiting.map(({ bodies }) => bodies)).toEqual([['d', 'e'], ['e']])
  })

  test('is filtered message by message', async () => {
    const { queue } = await stream()
    await publish(queue, filtered('a1', 'a'), filtered('b1', 'b'), 'none', filtered('a2', 'a'))
    const bodiesOf = async (given: Record<string, Field>) => {
      const consumer = consume(queue, {
        prefetch: 100,
        arguments: args({ 'x-stream-offset': text('first'), ...given }),
      })
      await turns()
      queue.cancel(consumer)
      return consumer.bodies
    }
    expect(await bodiesOf({ 'x-stream-filter': text('a') })).toEqual(['a1', 'a2'])
    const both: Field = { type: 'array', value: [text('a'), text('b')] }
    expect(await bodiesOf({ 'x-stream-filter': both })).toEqual(['a1', 'b1', 'a2'])
    const unfiltered: Field = { type: 'bool', value: true }
    expect(await bodiesOf({ 'x-stream-filter': text('a'), 'x-stream-match-unfiltered': unfiltered })).toEqual([
      'a1',
      'none',
      'a2',
    ])
    expect(await bodiesOf({ 'x-stream-filter': { type: 'int32', value: 5 } })).toHaveLength(4)
  })

  test('refuses in RabbitMQ’s words', async () => {
    const { queue } = await stream()
    const why = (options: ConstructorParameters<typeof TestConsumer>[0]) =>
      queue.consume(new TestConsumer(options))?.why
    const name = "queue 's' in vhost '/'"
    expect(why({})).toBe(`consumer prefetch count is not set for stream ${name}`)
    expect(why({ noAck: true, prefetch: 1 })).toBe(`automatic acknowledgement not supported by stream ${name}`)
    expect(why(from(text('bogus')))).toBe(
      `invalid arg 'x-stream-offset' for ${name}: {invalid_stream_offset_arg,{longstr,<<"bogus">>}}`,
    )
    expect(why({ prefetch: 1, arguments: args({ 'x-priority': { type: 'int32', value: 1 } }) })).toBe(
      `invalid arg 'x-priority' for ${name} of queue type rabbit_stream_queue`,
    )
    expect(await queue.take(false)).toMatchObject({ why: `basic.get not supported by stream queues ${name}` })
    expect(await queue.purge()).toMatchObject({ why: `queue.purge not supported by stream queues ${name}` })
    expect(queue.consumers).toBe(0)
  })

  test('tells its consumers when it is deleted', async () => {
    const { stage, queue } = await stream()
    const consumer = consume(queue, { prefetch: 1 })
    stage.queues.drop(queue.topic)
    expect(consumer.cancels).toEqual(['queueDeleted'])
  })
})

test.each([
  {},
  { contentType: 'text/plain' },
  { contentEncoding: 'gzip', priority: 3, correlationId: 'c' },
  { headers: [], messageId: 'm' },
  { contentType: 'a', contentEncoding: 'b', headers: args({ h: text('v') }), deliveryMode: 2, appId: 'x' },
  { headers: args({ 'x-stream-offset': text('forged'), h: text('v') }), type: 't' },
])('the offset is written into any properties, and nothing else changes: %j', (given) => {
  const { headers = [], ...rest } = readProperties(withPlace(writeProperties(given), -1, 2 ** 40 + 7))
  const { headers: before = [], ...restBefore } = readProperties(writeProperties(given))
  expect(rest).toEqual(restBefore)
  expect(headers).toEqual([
    ...before.filter(({ name }) => name !== 'x-stream-offset'),
    { name: 'x-stream-offset', value: { type: 'int64', value: 2 ** 40 + 7 } },
  ])
})

test('one partition that cannot be opened stops none of the others, and is tried again', async () => {
  const stage = await QueueStage.open()
  stage.partitionsOf.set('s', 2)
  await stage.anyQueue('s', { type: 'stream' })
  await stage.crash()
  const broken = logId(stage.topic('/', 's').id, 1)
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = (id, ...rest) => (id === broken ? Promise.reject(new Error('a bad disk')) : openLog(id, ...rest))
  const queue = stage.queues.find('/', 's')!
  expect(await queue.ready()).toMatchObject({ refused: 'storageFailed' })
  expect(await queue.opened()).toBeUndefined()
  const consumer = consume(queue, { prefetch: 10 })
  await turns(4)
  stage.store.open = openLog
  stage.world.clock.advance(1000)
  await turns(4)
  const keys = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const key of keys) await publish(queue, testMessage(key, { headers: args({ 'x-key': text(key) }) }))
  await turns(6)
  expect(consumer.bodies.toSorted()).toEqual(keys)
})

test('who left while a partition could not be opened is not given what is in it later', async () => {
  const stage = await QueueStage.open()
  await stage.anyQueue('s', { type: 'stream' })
  await stage.crash()
  const openLog = stage.store.open.bind(stage.store)
  stage.store.open = () => Promise.reject(new Error('a bad disk'))
  const queue = stage.queues.find('/', 's')!
  const gone = consume(queue, from(text('first')))
  await turns(4)
  queue.cancel(gone)
  stage.store.open = openLog
  await publish(queue, 'a')
  stage.world.clock.advance(1000)
  await turns(4)
  expect(gone.bodies).toEqual([])
})
