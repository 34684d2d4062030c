// Queues over HTTP: listed, described, declared, deleted, purged, and looked into; the routes of RabbitMQ's management.
// Promises: what is fetched with a requeueing ack mode goes back to its place before the answer.
// Does not know: sockets, who may what (the door judges).

import { isUtf8 } from 'node:buffer'
import { tableToJson } from '../../base/field-json.ts'
import { MiB } from '../../base/limits.ts'
import { propertiesToJson } from '../../base/properties-json.ts'
import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { Channel, ChannelSink, Got, QueueView, RewindTo } from '../../broker/queue-door.ts'
import { refused } from './refused.ts'
import { done, json, route, type Asked, type Route } from './routing.ts'
import { BadRequest, Wanted } from './wanted.ts'

/** Most messages one request looks at. */
const getMessagesMax = 10_000
/** Most bytes of a body that are shown. */
const truncateBytesMax = 16 * MiB
/** Most bytes of bodies in one answer: beyond, fewer messages than asked for are shown. */
const getBytesMax = 32 * MiB

/** A channel that only gets and publishes: nothing is pushed into it. */
export const quietSink: ChannelSink = { hasRoom: true, deliver: () => {}, cancelled: () => {} }

const queueJson = (vhost: string, queue: QueueView): Record<string, unknown> => ({
  name: queue.name,
  vhost,
  type: queue.type,
  durable: queue.durable,
  auto_delete: queue.autoDelete,
  exclusive: queue.exclusive,
  arguments: tableToJson(queue.arguments),
  policy: queue.policy ?? null,
  operator_policy: queue.operatorPolicy ?? null,
  messages: queue.ready === undefined ? null : queue.ready + queue.unacknowledged + queue.delayed,
  messages_ready: queue.ready ?? null,
  messages_unacknowledged: queue.unacknowledged,
  messages_delayed: queue.delayed,
  message_bytes: queue.bytes,
  consumers: queue.consumers,
  topic: {
    name: queue.topic.name,
    origin: queue.topic.origin,
    partitions: queue.topic.partitions,
    cleanup_policy: queue.topic.cleanupPolicy,
    retention_ms: queue.topic.retentionMs,
    retention_bytes: queue.topic.retentionBytes,
    hold_groups: queue.topic.holdGroups,
  },
  state: 'running',
})

async function list({ session, parts }: Asked): Promise<HttpResponse> {
  const queues = await session.queues.listQueues()
  return json(
    200,
    queues.map((queue) => queueJson(parts.vhost ?? '/', queue)),
  )
}

async function describe({ session, parts }: Asked): Promise<HttpResponse> {
  const queue = await session.queues.describeQueue(parts.queue)
  return isRefusal(queue) ? refused(queue) : json(200, queueJson(parts.vhost, queue))
}

async function declare({ session, parts, body }: Asked): Promise<HttpResponse> {
  const wanted = new Wanted(body)
  const before = await session.queues.describeQueue(parts.queue)
  const outcome = await session.queues.declareQueue({
    name: parts.queue,
    durable: wanted.flag('durable', true),
    exclusive: false,
    autoDelete: wanted.flag('auto_delete'),
    arguments: wanted.table('arguments'),
  })
  if (isRefusal(outcome)) return refused(outcome)
  return done(isRefusal(before) ? 201 : 204)
}

async function remove({ session, parts, query }: Asked): Promise<HttpResponse> {
  const there = await session.queues.describeQueue(parts.queue)
  if (isRefusal(there)) return refused(there)
  const only = { ifUnused: query.get('if-unused') === 'true', ifEmpty: query.get('if-empty') === 'true' }
  const outcome = await session.queues.deleteQueue(parts.queue, only)
  return isRefusal(outcome) ? refused(outcome) : done(204)
}

async function purge({ session, parts }: Asked): Promise<HttpResponse> {
  const outcome = await session.queues.purgeQueue(parts.queue)
  return isRefusal(outcome) ? refused(outcome) : done(204)
}

/** `to`: first or next; or an `offset`; or a `time`, ms since 1970. */
async function rewind({ session, parts, body }: Asked): Promise<HttpResponse> {
  const outcome = await session.queues.rewindQueue(parts.queue, rewindTo(new Wanted(body)))
  if (isRefusal(outcome)) return refused(outcome)
  return json(
    200,
    outcome.map(({ partition, offset, isCut }) => ({ partition, offset, cut: isCut })),
  )
}

function rewindTo(wanted: Wanted): RewindTo {
  const said = ['to', 'offset', 'time'].filter((name) => wanted.has(name))
  if (said.length !== 1) throw new BadRequest('one of to, offset and time must be given')
  if (said[0] === 'offset') return { kind: 'offset', offset: wanted.whole('offset', 0, Number.MAX_SAFE_INTEGER) }
  if (said[0] === 'time') return { kind: 'time', timeMs: wanted.whole('time', 0, Number.MAX_SAFE_INTEGER) }
  return { kind: wanted.oneOf('to', ['first', 'next']) }
}

const ackModes = ['ack_requeue_true', 'reject_requeue_true', 'ack_requeue_false', 'reject_requeue_false'] as const
type AckMode = (typeof ackModes)[number]

async function get({ session, parts, body }: Asked): Promise<HttpResponse> {
  const wanted = new Wanted(body)
  const ackMode = wanted.oneOf('ackmode', ackModes)
  const count = wanted.whole('count', 1, getMessagesMax)
  const truncate = wanted.whole('truncate', truncateBytesMax, truncateBytesMax)
  const encoding = wanted.oneOf('encoding', ['auto', 'base64'])
  const channel = session.queues.openChannel(quietSink)
  try {
    const messages: unknown[] = []
    const tags: number[] = []
    let bytes = 0
    while (messages.length < count && bytes < getBytesMax) {
      const got = await channel.get(parts.queue, false)
      if (isRefusal(got)) return refused(got)
      if (got === undefined) break
      tags.push(got.tag)
      bytes += Math.min(truncate, got.body.length)
      messages.push(messageJson(got, encoding, truncate))
    }
    settle(channel, tags, ackMode)
    return json(200, messages)
  } finally {
    channel.close()
  }
}

function settle(channel: Channel, tags: readonly number[], ackMode: AckMode): void {
  for (const tag of tags) {
    if (ackMode === 'ack_requeue_false') channel.acknowledge(tag, false)
    else channel.reject(tag, false, ackMode !== 'reject_requeue_false', ackMode === 'reject_requeue_true')
  }
}

function messageJson(got: Got, encoding: 'auto' | 'base64', truncate: number): Record<string, unknown> {
  const body = got.body.subarray(0, truncate)
  const isText = encoding === 'auto' && isUtf8(body)
  return {
    payload_bytes: got.body.length,
    redelivered: got.redelivered,
    exchange: got.exchange.toString('utf8'),
    routing_key: got.routingKey.toString('utf8'),
    message_count: got.messages,
    properties: propertiesToJson(got.properties),
    payload: body.toString(isText ? 'utf8' : 'base64'),
    payload_encoding: isText ? 'string' : 'base64',
  }
}

export const queueRoutes: readonly Route[] = [
  route('GET', '/api/queues', list),
  route('GET', '/api/queues/:vhost', list),
  route('GET', '/api/queues/:vhost/:queue', describe),
  route('PUT', '/api/queues/:vhost/:queue', declare),
  route('DELETE', '/api/queues/:vhost/:queue', remove),
  route('DELETE', '/api/queues/:vhost/:queue/contents', purge),
  route('POST', '/api/queues/:vhost/:queue/get', get),
  route('POST', '/api/queues/:vhost/:queue/rewind', rewind),
]
