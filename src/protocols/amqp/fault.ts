// Faults: what ends a channel or a connection, with the code, text and method that the client is told.
// Promises: the whole text fits a short string, cut between characters; which codes end the connection is said here.
// Does not know: who is at fault, nor how it is sent.

import { isRefusal, type Refusal } from '../../broker/errors.ts'
import { shortTextBytesMax } from '../../wire/amqp/argument.ts'
import type { MethodInput } from '../../wire/amqp/methods.ts'
import { amqpErrors, amqpErrorName, type AmqpErrorName } from '../errors.ts'

/** Thrown while a client's method or frame is handled; caught by its channel or connection. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: AmqpErrorName
  /** class id · 65,536 + method id of the method at fault; 0: none, or the one under way. */
  readonly method: number

  constructor(code: AmqpErrorName, why: string, method = 0) {
    super(why)
    this.code = code
    this.method = method
  }

  /** Whether the connection ends, not only the channel. */
  get isHard(): boolean {
    return hardErrors.has(this.code)
  }
}

/** AMQP 0-9-1's hard errors: constants of class `hard-error`, and RabbitMQ's reading of them. */
const hardErrors: ReadonlySet<AmqpErrorName> = new Set([
  'CONNECTION_FORCED',
  'INVALID_PATH',
  'FRAME_ERROR',
  'SYNTAX_ERROR',
  'COMMAND_INVALID',
  'CHANNEL_ERROR',
  'UNEXPECTED_FRAME',
  'RESOURCE_ERROR',
  'NOT_ALLOWED',
  'NOT_IMPLEMENTED',
  'INTERNAL_ERROR',
])

/** What connection.close and channel.close say of it. `key`: class and method id of what was under way. */
export function closing(fault: Fault, key: number): MethodInput<'connectionClose'> {
  const at = fault.method === 0 ? key : fault.method
  return { replyCode: amqpErrors[fault.code], replyText: replyText(fault), classId: at >>> 16, methodId: at & 0xffff }
}

/** `NAME - why`, in at most 255 bytes. */
export function replyText(fault: Fault): string {
  return shortText(`${fault.code} - ${fault.message}`)
}

/** For logs, which hold no bodies and no passwords: a fault's text without the octets that the peer sent. */
export const withoutOctets = (text: string): string => text.replaceAll(/<<[\d,]+/g, '<<…')

/** As much of the text as a short string holds. */
export function shortText(text: string): string {
  if (Buffer.byteLength(text) <= shortTextBytesMax) return text
  const bytes = Buffer.from(text)
  let end = shortTextBytesMax - 3
  while ((bytes[end] & 0xc0) === 0x80) end--
  return `${bytes.toString('utf8', 0, end)}...`
}

/** The value of an outcome; a refusal is thrown as the fault that the client is told. */
export function accepted<T>(outcome: T | Refusal): Exclude<T, Refusal> {
  if (isRefusal(outcome)) throw faultOf(outcome)
  return outcome as Exclude<T, Refusal>
}

export const faultOf = (refusal: Refusal): Fault => new Fault(amqpErrorName(refusal), refusal.why)
