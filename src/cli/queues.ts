// odradek queues: list, describe, declare, delete, purge, get, publish.
// Promises: what is printed is what the broker answered; getting puts messages back unless told otherwise.
// Does not know: how the broker is reached (admin.ts).

import { apiPath, argumentsOf, ask, type AdminFlags } from './admin.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { pairs, wholeNumber } from './flags.ts'
import { say, sayJson } from './output.ts'
import { readStdin } from './stdin.ts'
import { bytesText, plainText, table } from './table.ts'

interface QueueJson {
  readonly name: string
  readonly type: string
  readonly durable: boolean
  readonly auto_delete: boolean
  readonly exclusive: boolean
  readonly arguments: Readonly<Record<string, unknown>>
  readonly policy: string | null
  readonly operator_policy: string | null
  readonly messages_ready: number | null
  readonly messages_unacknowledged: number
  readonly messages_delayed: number
  readonly message_bytes: number
  readonly consumers: number
  readonly topic: {
    readonly name: string
    readonly origin: string
    readonly partitions: number
    readonly cleanup_policy: string
    readonly retention_ms: number
    readonly retention_bytes: number
    readonly hold_groups: readonly string[]
  }
}

const vhost = '/'
const queuePath = (queue: string, ...more: readonly string[]): string => apiPath('queues', vhost, queue, ...more)

export async function listQueues(flags: AdminFlags): Promise<void> {
  const queues = (await ask(flags, 'GET', apiPath('queues', vhost))) as readonly QueueJson[]
  if (flags.json === true) return sayJson(queues)
  if (queues.length === 0) return say('There are no queues. Make one: odradek queues declare NAME\n')
  const rows = queues.map((queue) => [
    queue.name,
    queue.type,
    queue.messages_ready ?? '-',
    queue.messages_unacknowledged,
    queue.consumers,
    bytesText(queue.message_bytes),
  ])
  await say(table(['QUEUE', 'TYPE', 'READY', 'UNACKED', 'CONSUMERS', 'ON DISK'], rows))
}

export async function describeQueue(name: string, flags: AdminFlags): Promise<void> {
  const queue = (await ask(flags, 'GET', queuePath(name))) as QueueJson
  if (flags.json === true) return sayJson(queue)
  const marks = [
    queue.durable ? 'durable' : 'transient',
    ...(queue.exclusive ? ['exclusive'] : []),
    ...(queue.auto_delete ? ['auto-delete'] : []),
  ]
  await say(`${plainText(queue.name)}: ${queue.type}, ${marks.join(', ')}\n`)
  await say(
    table(
      ['READY', 'UNACKED', 'DELAYED', 'CONSUMERS', 'ON DISK'],
      [
        [
          queue.messages_ready ?? '-',
          queue.messages_unacknowledged,
          queue.messages_delayed,
          queue.consumers,
          bytesText(queue.message_bytes),
        ],
      ],
    ),
  )
  const { topic } = queue
  const kept = [
    topic.name,
    topic.origin,
    topic.partitions,
    topic.cleanup_policy,
    topic.retention_ms,
    topic.retention_bytes,
  ]
  const heads = ['TOPIC', 'MADE BY', 'PARTITIONS', 'CLEANUP', 'RETENTION MS', 'RETENTION BYTES']
  await say(table(heads, [kept]))
  if (topic.hold_groups.length > 0) await say(`held for: ${topic.hold_groups.map(plainText).join(', ')}\n`)
  const settings = Object.entries(queue.arguments).map(([key, value]) => [key, JSON.stringify(value)])
  if (settings.length > 0) await say(table(['ARGUMENT', 'VALUE'], settings))
  if (queue.policy !== null) await say(`policy: ${plainText(queue.policy)}\n`)
  if (queue.operator_policy !== null) await say(`operator policy: ${plainText(queue.operator_policy)}\n`)
}

export interface DeclareQueueFlags extends AdminFlags {
  readonly transient?: boolean
  readonly autoDelete?: boolean
  readonly type?: string
  readonly argument?: readonly string[]
}

export async function declareQueue(name: string, flags: DeclareQueueFlags): Promise<void> {
  const table = argumentsOf('--argument', flags.argument)
  if (flags.type !== undefined) table['x-queue-type'] = flags.type
  await ask(flags, 'PUT', queuePath(name), {
    durable: flags.transient !== true,
    auto_delete: flags.autoDelete === true,
    arguments: table,
  })
  if (flags.json === true) return sayJson({ name, declared: true })
  await say(`Declared queue ${plainText(name)}.\n`)
}

export interface DeleteQueueFlags extends AdminFlags {
  readonly ifUnused?: boolean
  readonly ifEmpty?: boolean
}

export async function deleteQueues(names: readonly string[], flags: DeleteQueueFlags): Promise<void> {
  const only = `?if-unused=${flags.ifUnused === true}&if-empty=${flags.ifEmpty === true}`
  for (const name of names) {
    await ask(flags, 'DELETE', queuePath(name) + only)
    if (flags.json === true) await sayJson({ name, deleted: true })
    else await say(`Deleted queue ${plainText(name)}.\n`)
  }
}

export async function purgeQueue(name: string, flags: AdminFlags): Promise<void> {
  await ask(flags, 'DELETE', queuePath(name, 'contents'))
  if (flags.json === true) return sayJson({ name, purged: true })
  await say(`Purged queue ${plainText(name)}.\n`)
}

export interface GetFlags extends AdminFlags {
  readonly count: string
  readonly ack?: boolean
}

interface MessageJson {
  readonly payload: string
  readonly payload_encoding: 'string' | 'base64'
  readonly payload_bytes: number
  readonly routing_key: string
  readonly exchange: string
  readonly redelivered: boolean
  readonly message_count: number
  readonly properties: Readonly<Record<string, unknown>>
}

export async function getMessages(name: string, flags: GetFlags): Promise<void> {
  const messages = (await ask(flags, 'POST', queuePath(name, 'get'), {
    count: wholeNumber('--count', flags.count, 1, 10_000),
    ackmode: flags.ack === true ? 'ack_requeue_false' : 'ack_requeue_true',
    encoding: 'auto',
  })) as readonly MessageJson[]
  if (flags.json === true) return sayJson(messages)
  if (messages.length === 0) return say(`Queue ${plainText(name)} has no message that is ready.\n`)
  const rows = messages.map((message) => [
    message.exchange === '' ? '(default)' : message.exchange,
    message.routing_key,
    message.redelivered ? 'yes' : 'no',
    message.payload_bytes,
    message.payload_encoding === 'string' ? message.payload : `base64:${message.payload}`,
  ])
  await say(table(['EXCHANGE', 'ROUTING KEY', 'REDELIVERED', 'BYTES', 'BODY'], rows))
}

export interface PublishFlags extends AdminFlags {
  readonly exchange?: string
  readonly property?: readonly string[]
  readonly header?: readonly string[]
  readonly body?: string
}

const wholeProperties = new Set(['delivery_mode', 'priority', 'timestamp'])

export async function publish(routingKey: string, flags: PublishFlags): Promise<void> {
  const properties: Record<string, unknown> = { delivery_mode: 2 }
  for (const [key, value] of pairs('--property', flags.property))
    properties[key] = wholeProperties.has(key) ? wholeNumber(`--property ${key}`, value) : value
  const headers = argumentsOf('--header', flags.header)
  if (Object.keys(headers).length > 0) properties.headers = headers
  const payload = flags.body === undefined ? await readStdin() : Buffer.from(flags.body)
  const exchange = flags.exchange ?? 'amq.default'
  const answer = (await ask(flags, 'POST', apiPath('exchanges', vhost, exchange, 'publish'), {
    routing_key: routingKey,
    properties,
    payload: payload.toString('base64'),
    payload_encoding: 'base64',
  })) as { readonly routed: boolean }
  if (flags.json === true) await sayJson(answer)
  // A script must not go on as if it had been stored.
  if (!answer.routed) throw new CommandFailure(nobodyTook(routingKey, flags.exchange), exitCodes.notFound)
  if (flags.json !== true) await say(`Published ${payload.length} bytes.\n`)
}

const nobodyTook = (key: string, exchange: string | undefined): string =>
  exchange === undefined
    ? `no queue took the message: there is no queue ${key}; odradek queues list shows those there are`
    : `no queue took the message: nothing is bound to ${exchange} for ${JSON.stringify(key)}; odradek bindings list shows what is`
