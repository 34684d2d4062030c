// Direct replies: from a channel's pseudo-queue to whoever answers, and back, without any queue.
// Promises: texts as RabbitMQ's.
// Does not know: passive declares (the desk of queues asks ReplyDesk).

import { expect, test } from 'vitest'
import { readProperties, writeProperties } from '../../../base/properties.ts'
import { isRefusal, refuse } from '../../errors.ts'
import type { Channel } from '../../queue-door.ts'
import { consume, publication, Stage, StageSink } from './channel-stage.contract.ts'
import { isReplyAddress, isReplyName, replyQueue } from './reply-to.ts'

const request = publication({ properties: writeProperties({ replyTo: replyQueue, correlationId: '1' }) })

/** A requester that waits, and the address its request carries. */
async function staged() {
  const stage = new Stage()
  const queue = stage.queue('q')
  const sink = new StageSink()
  const requester = stage.channel(sink)
  const tag = await consume(requester, replyQueue, { noAck: true })
  requester.publish(request)
  const { replyTo = '', correlationId } = readProperties(queue.at(0).properties)
  return { stage, sink, requester, tag, replyTo, correlationId, responder: stage.channel() }
}

const answer = (channel: Channel, routingKey: string, body = 'answer') =>
  channel.publish(publication({ routingKey, body }))

test('the request carries an address, all else as it was; the answer comes as a delivery', async () => {
  const { sink, tag, replyTo, correlationId, responder } = await staged()
  expect(isReplyAddress(replyTo)).toBe(true)
  expect(correlationId).toBe('1')
  expect(answer(responder, replyTo)).toMatchObject({ state: 'stored' })
  expect(answer(responder, replyTo, 'more')).toMatchObject({ state: 'stored' })
  expect(sink.given).toMatchObject([
    { tag: 1, consumerTag: tag, routingKey: replyTo, body: 'answer', redelivered: false },
    { tag: 2, body: 'more' },
  ])
})

test('an address is known while its consumer waits', async () => {
  const { stage, requester, tag, replyTo, responder, sink } = await staged()
  expect(stage.replies.isLive('/', replyTo)).toBe(true)
  expect(stage.replies.isLive('/', replyQueue)).toBe(true)
  expect(stage.replies.isLive('other', replyTo)).toBe(false)
  await requester.cancel(tag)
  expect(stage.replies.isLive('/', replyTo)).toBe(false)
  expect(answer(responder, replyTo)).toBe('unroutable')
  expect(requester.publish(request)).toEqual(refuse('replyConsumer', 'fast reply consumer does not exist'))
  const again = await consume(requester, replyQueue, { noAck: true })
  expect(again).not.toBe(tag)
  requester.close()
  expect(answer(responder, replyTo)).toBe('unroutable')
  expect(sink.given).toEqual([])
})

test('one a channel, without acknowledgements', async () => {
  const { requester, tag } = await staged()
  const call = { queue: replyQueue, consumerTag: '', noAck: true, exclusive: false, arguments: [] }
  expect(await requester.consume({ ...call, noAck: false })).toEqual(
    refuse('replyConsumer', 'reply consumer cannot acknowledge'),
  )
  expect(await requester.consume(call)).toEqual(refuse('replyConsumer', 'reply consumer already set'))
  expect(await requester.consume({ ...call, consumerTag: tag })).toMatchObject({ refused: 'consumerTagTaken' })
  expect(await requester.get(replyQueue, true)).toMatchObject({ refused: 'queueMissing' })
})

test('before start and without room answers wait; beyond the limit they are dropped and counted', async () => {
  const stage = new Stage()
  const queue = stage.queue('q')
  const sink = new StageSink()
  const requester = stage.channel(sink)
  const consumer = await requester.consume({
    queue: replyQueue,
    consumerTag: '',
    noAck: true,
    exclusive: false,
    arguments: [],
  })
  if (isRefusal(consumer)) throw new Error(consumer.why)
  requester.publish(request)
  const { replyTo = '' } = readProperties(queue.at(0).properties)
  const responder = stage.channel()
  answer(responder, replyTo, 'one')
  sink.hasRoom = false
  consumer.start()
  answer(responder, replyTo, 'two')
  expect(sink.given).toEqual([])
  sink.hasRoom = true
  requester.resume()
  expect(sink.bodies).toEqual(['one', 'two'])
  sink.hasRoom = false
  const large = 'x'.repeat(6 * 1024 * 1024)
  for (let count = 0; count < 4; count++) answer(responder, replyTo, large)
  expect(stage.world.trace.counters().get('replies.dropped')).toBe(2)
  sink.hasRoom = true
  requester.resume()
  expect(sink.given).toHaveLength(4)
})

test('names', () => {
  expect([replyQueue, `${replyQueue}.x`, `${replyQueue}x`, 'q'].map(isReplyName)).toEqual([true, true, false, false])
})
