// What a queue would be as a topic: name, facts, partitions and settings of a declaration that was judged.
// Promises: names the broker makes up are hard to guess; what is not durable is only in memory.
// Does not know: how topics are made, whether the name is taken.

import { fieldNumber, fieldText, findField, type FieldTable } from '../../../base/fields.ts'
import { MiB } from '../../../base/limits.ts'
import type { Random } from '../../../base/world.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { DeclareQueueCall } from '../../queue-door.ts'
import type { NewLog, NewQueue } from '../../streams/topics.ts'
import { reservedPrefix } from '../../catalog-topics.ts'
import type { QueueFacts } from '../facts.ts'
import { ageMsOf } from './argument-values.ts'
import { queueTypeOf } from './queue-arguments.ts'
import { retentionMsOf } from './queue-arguments-ours.ts'

const nameBytesMax = 255
/** A body of the largest size with its properties and names. */
export const queueMessageBytesMax = 17 * MiB
/** What is consumed is dropped by whole segments: small enough that a stuck message holds little. */
const segmentBytes = 64 * MiB

/** RabbitMQ takes line ends out of names. */
export const nameWithoutLineEnds = (name: string): string => name.replaceAll(/[\r\n]/g, '')

/** The call with the name its queue will have. */
export function namedCall(call: DeclareQueueCall, random: Random): DeclareQueueCall | Refusal {
  const name = nameWithoutLineEnds(call.name)
  if (name === '') {
    const type = queueTypeOf(call.arguments)
    return type === 'classic'
      ? { ...call, name: `${reservedPrefix}gen-${random.bytes(16).toString('base64url')}` }
      : refuse('invalidArgument', `Cannot declare a server-named queue for type rabbit_${type}_queue`)
  }
  // Names of the broker's own begin with it.
  if (name.startsWith('\0')) return refuse('reservedName', `queue name '${name}' contains reserved prefix NUL`)
  if (name.startsWith(reservedPrefix))
    return refuse('reservedName', `queue name '${name}' contains reserved prefix 'amq.*'`)
  if (Buffer.byteLength(name) > nameBytesMax)
    return refuse('invalidArgument', `a queue's name has at most ${nameBytesMax} bytes`)
  return name === call.name ? call : { ...call, name }
}

/** An exclusive queue is never durable, whatever was said. */
export const factsOf = (call: DeclareQueueCall): QueueFacts => ({
  durable: call.durable && !call.exclusive,
  exclusive: call.exclusive,
  autoDelete: call.autoDelete,
  arguments: call.arguments,
})

/** Topics that are queues are alike: one object for those that say nothing of their own. */
const consumedSettings: ReadonlyMap<string, string> = new Map([
  ['cleanup.policy', 'consumed'],
  ['max.message.bytes', String(queueMessageBytesMax)],
  ['segment.bytes', String(segmentBytes)],
])

/** What a declaration says of the topic: what its settings go back to. */
export function declaredSettings(args: FieldTable): ReadonlyMap<string, string> {
  if (queueTypeOf(args) === 'stream') return streamSettings(args)
  const retentionMs = retentionMsOf(args)
  return retentionMs === undefined
    ? consumedSettings
    : new Map([...consumedSettings, ['retention.ms', settingOf(retentionMs)]])
}

/** As a setting that Kafka's clients could have made: an argument may be a number that is no exact one of ours. */
const settingOf = (value: number): string => String(Math.min(value, Number.MAX_SAFE_INTEGER))

export function plannedQueue(vhost: string, call: DeclareQueueCall): NewQueue {
  const queue = factsOf(call)
  return {
    vhost,
    name: call.name,
    partitions: fieldNumber(findField(call.arguments, 'x-partitions')) ?? 1,
    overrides: declaredSettings(call.arguments),
    queue,
    isVolatile: !queue.durable,
  }
}

/** A stream keeps what it is told to keep, consumed or not; without limits everything. */
function streamSettings(args: FieldTable): ReadonlyMap<string, string> {
  const ageMs = ageMsOf(fieldText(findField(args, 'x-max-age')) ?? '') ?? -1
  const lengthBytes = fieldNumber(findField(args, 'x-max-length-bytes')) ?? -1
  const stated = fieldNumber(findField(args, 'x-stream-max-segment-size-bytes')) || segmentBytes
  return new Map([
    ['cleanup.policy', 'delete'],
    ['max.message.bytes', String(queueMessageBytesMax)],
    ['retention.bytes', settingOf(lengthBytes)],
    ['retention.ms', settingOf(ageMs)],
    ['segment.bytes', String(Math.min(Math.max(stated, 1024), 2_147_483_647))],
  ])
}

/** What an exchange of type x-log is: a topic that keeps what Kafka's topics keep, and takes what AMQP's clients send. */
export const plannedLog = (vhost: string, name: string, partitions = 1): NewLog => ({
  vhost,
  name,
  partitions,
  overrides: new Map([
    ['cleanup.policy', 'delete'],
    ['max.message.bytes', String(queueMessageBytesMax)],
  ]),
})
