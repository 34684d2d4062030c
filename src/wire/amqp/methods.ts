// AMQP 0-9-1's methods with RabbitMQ's extensions: one table each, and the registry by class and method id.
// Promises: every method of RabbitMQ's machine-readable specification is here; values are typed by the tables.
// Does not know: who may send what when; frames.

import { DecodeError, Reader, Writer } from '../../base/bytes.ts'
import { bit, codecOf, longText, shortText, table, u16, u32, u64, u8 } from './argument.ts'
import { frameMethod, FrameFault, undecodable, unknownFrame } from './frame.ts'
import type { ArgumentInput, Arguments, ArgumentsCodec, ArgumentValues } from './argument.ts'

export interface Method<A extends Arguments> {
  /** As the specification and error texts write it: `queue.declare`. */
  readonly title: string
  readonly classId: number
  readonly methodId: number
  /** The sender waits for an answer. */
  readonly isSynchronous: boolean
  /** A content header and body follow. */
  readonly hasContent: boolean
  readonly argumentTypes: A
  readonly codec: ArgumentsCodec<A>
}

interface Traits {
  readonly isSynchronous: boolean
  readonly hasContent: boolean
}

const asks: Traits = { isSynchronous: true, hasContent: false }
const tells: Traits = { isSynchronous: false, hasContent: false }
const carries: Traits = { isSynchronous: false, hasContent: true }

function method<A extends Arguments>(
  title: string,
  classId: number,
  methodId: number,
  traits: Traits,
  argumentTypes: A,
): Method<A> {
  return { title, classId, methodId, ...traits, argumentTypes, codec: codecOf(argumentTypes) }
}

const closing = { replyCode: u16, replyText: shortText, classId: u16, methodId: u16 }
const tuning = { channelMax: u16, frameMax: u32, heartbeat: u16 }
const exchangeBinding = {
  ticket: u16,
  destination: shortText,
  source: shortText,
  routingKey: shortText,
  nowait: bit,
  arguments: table,
}
/** Spelled so by RabbitMQ's basic.reject and nack: a client that leaves it out means true. */
const requeue = { ...bit, default: true }

export const methods = {
  connectionStart: method('connection.start', 10, 10, asks, {
    versionMajor: u8,
    versionMinor: { ...u8, default: 9 },
    serverProperties: table,
    mechanisms: longText,
    locales: longText,
  }),
  connectionStartOk: method('connection.start_ok', 10, 11, tells, {
    clientProperties: table,
    mechanism: shortText,
    response: longText,
    locale: shortText,
  }),
  connectionSecure: method('connection.secure', 10, 20, asks, { challenge: longText }),
  connectionSecureOk: method('connection.secure_ok', 10, 21, tells, { response: longText }),
  connectionTune: method('connection.tune', 10, 30, asks, tuning),
  connectionTuneOk: method('connection.tune_ok', 10, 31, tells, tuning),
  connectionOpen: method('connection.open', 10, 40, asks, {
    virtualHost: { ...shortText, default: '/' },
    capabilities: shortText,
    insist: bit,
  }),
  connectionOpenOk: method('connection.open_ok', 10, 41, tells, { knownHosts: shortText }),
  connectionClose: method('connection.close', 10, 50, asks, closing),
  connectionCloseOk: method('connection.close_ok', 10, 51, tells, {}),
  connectionBlocked: method('connection.blocked', 10, 60, tells, { reason: shortText }),
  connectionUnblocked: method('connection.unblocked', 10, 61, tells, {}),
  connectionUpdateSecret: method('connection.update_secret', 10, 70, asks, { newSecret: longText, reason: shortText }),
  connectionUpdateSecretOk: method('connection.update_secret_ok', 10, 71, tells, {}),

  channelOpen: method('channel.open', 20, 10, asks, { outOfBand: shortText }),
  channelOpenOk: method('channel.open_ok', 20, 11, tells, { channelId: longText }),
  channelFlow: method('channel.flow', 20, 20, asks, { active: bit }),
  channelFlowOk: method('channel.flow_ok', 20, 21, tells, { active: bit }),
  channelClose: method('channel.close', 20, 40, asks, closing),
  channelCloseOk: method('channel.close_ok', 20, 41, tells, {}),

  accessRequest: method('access.request', 30, 10, asks, {
    realm: { ...shortText, default: '/data' },
    exclusive: bit,
    passive: bit,
    active: bit,
    write: bit,
    read: bit,
  }),
  accessRequestOk: method('access.request_ok', 30, 11, tells, { ticket: { ...u16, default: 1 } }),

  exchangeDeclare: method('exchange.declare', 40, 10, asks, {
    ticket: u16,
    exchange: shortText,
    type: { ...shortText, default: 'direct' },
    passive: bit,
    durable: bit,
    autoDelete: bit,
    internal: bit,
    nowait: bit,
    arguments: table,
  }),
  exchangeDeclareOk: method('exchange.declare_ok', 40, 11, tells, {}),
  exchangeDelete: method('exchange.delete', 40, 20, asks, {
    ticket: u16,
    exchange: shortText,
    ifUnused: bit,
    nowait: bit,
  }),
  exchangeDeleteOk: method('exchange.delete_ok', 40, 21, tells, {}),
  exchangeBind: method('exchange.bind', 40, 30, asks, exchangeBinding),
  exchangeBindOk: method('exchange.bind_ok', 40, 31, tells, {}),
  exchangeUnbind: method('exchange.unbind', 40, 40, asks, exchangeBinding),
  exchangeUnbindOk: method('exchange.unbind_ok', 40, 51, tells, {}),

  queueDeclare: method('queue.declare', 50, 10, asks, {
    ticket: u16,
    queue: shortText,
    passive: bit,
    durable: bit,
    exclusive: bit,
    autoDelete: bit,
    nowait: bit,
    arguments: table,
  }),
  queueDeclareOk: method('queue.declare_ok', 50, 11, tells, {
    queue: shortText,
    messageCount: u32,
    consumerCount: u32,
  }),
  queueBind: method('queue.bind', 50, 20, asks, {
    ticket: u16,
    queue: shortText,
    exchange: shortText,
    routingKey: shortText,
    nowait: bit,
    arguments: table,
  }),
  queueBindOk: method('queue.bind_ok', 50, 21, tells, {}),
  queuePurge: method('queue.purge', 50, 30, asks, { ticket: u16, queue: shortText, nowait: bit }),
  queuePurgeOk: method('queue.purge_ok', 50, 31, tells, { messageCount: u32 }),
  queueDelete: method('queue.delete', 50, 40, asks, {
    ticket: u16,
    queue: shortText,
    ifUnused: bit,
    ifEmpty: bit,
    nowait: bit,
  }),
  queueDeleteOk: method('queue.delete_ok', 50, 41, tells, { messageCount: u32 }),
  queueUnbind: method('queue.unbind', 50, 50, asks, {
    ticket: u16,
    queue: shortText,
    exchange: shortText,
    routingKey: shortText,
    arguments: table,
  }),
  queueUnbindOk: method('queue.unbind_ok', 50, 51, tells, {}),

  basicQos: method('basic.qos', 60, 10, asks, { prefetchSize: u32, prefetchCount: u16, global: bit }),
  basicQosOk: method('basic.qos_ok', 60, 11, tells, {}),
  basicConsume: method('basic.consume', 60, 20, asks, {
    ticket: u16,
    queue: shortText,
    consumerTag: shortText,
    noLocal: bit,
    noAck: bit,
    exclusive: bit,
    nowait: bit,
    arguments: table,
  }),
  basicConsumeOk: method('basic.consume_ok', 60, 21, tells, { consumerTag: shortText }),
  basicCancel: method('basic.cancel', 60, 30, asks, { consumerTag: shortText, nowait: bit }),
  basicCancelOk: method('basic.cancel_ok', 60, 31, tells, { consumerTag: shortText }),
  basicPublish: method('basic.publish', 60, 40, carries, {
    ticket: u16,
    exchange: shortText,
    routingKey: shortText,
    mandatory: bit,
    immediate: bit,
  }),
  basicReturn: method('basic.return', 60, 50, carries, {
    replyCode: u16,
    replyText: shortText,
    exchange: shortText,
    routingKey: shortText,
  }),
  basicDeliver: method('basic.deliver', 60, 60, carries, {
    consumerTag: shortText,
    deliveryTag: u64,
    redelivered: bit,
    exchange: shortText,
    routingKey: shortText,
  }),
  basicGet: method('basic.get', 60, 70, asks, { ticket: u16, queue: shortText, noAck: bit }),
  basicGetOk: method('basic.get_ok', 60, 71, carries, {
    deliveryTag: u64,
    redelivered: bit,
    exchange: shortText,
    routingKey: shortText,
    messageCount: u32,
  }),
  basicGetEmpty: method('basic.get_empty', 60, 72, tells, { clusterId: shortText }),
  basicAck: method('basic.ack', 60, 80, tells, { deliveryTag: u64, multiple: bit }),
  basicReject: method('basic.reject', 60, 90, tells, { deliveryTag: u64, requeue }),
  basicRecoverAsync: method('basic.recover_async', 60, 100, tells, { requeue: bit }),
  basicRecover: method('basic.recover', 60, 110, asks, { requeue: bit }),
  basicRecoverOk: method('basic.recover_ok', 60, 111, tells, {}),
  basicNack: method('basic.nack', 60, 120, tells, { deliveryTag: u64, multiple: bit, requeue }),

  confirmSelect: method('confirm.select', 85, 10, asks, { nowait: bit }),
  confirmSelectOk: method('confirm.select_ok', 85, 11, tells, {}),

  txSelect: method('tx.select', 90, 10, asks, {}),
  txSelectOk: method('tx.select_ok', 90, 11, tells, {}),
  txCommit: method('tx.commit', 90, 20, asks, {}),
  txCommitOk: method('tx.commit_ok', 90, 21, tells, {}),
  txRollback: method('tx.rollback', 90, 30, asks, {}),
  txRollbackOk: method('tx.rollback_ok', 90, 31, tells, {}),
} as const

export type MethodName = keyof typeof methods

type ArgumentsOf<M> = M extends Method<infer A> ? A : never
/** The decoded arguments of a method by its name. */
export type MethodValues<Name extends MethodName> = ArgumentValues<ArgumentsOf<(typeof methods)[Name]>>
/** What encoding a method takes; what is left out has its default. */
export type MethodInput<Name extends MethodName> = ArgumentInput<ArgumentsOf<(typeof methods)[Name]>>

/** A decoded method: `switch (call.name)` tells what its arguments are. */
export type MethodCall = {
  [Name in MethodName]: { readonly name: Name; readonly arguments: MethodValues<Name> }
}[MethodName]

/** Class and method id as one number: the first four bytes of a method frame. */
export const methodKey = (classId: number, methodId: number): number => classId * 0x1_0000 + methodId

const nameByKey = new Map<number, MethodName>()
for (const [name, { classId, methodId }] of Object.entries(methods)) {
  nameByKey.set(methodKey(classId, methodId), name as MethodName)
}

export function methodName(classId: number, methodId: number): MethodName | undefined {
  return nameByKey.get(methodKey(classId, methodId))
}

/** What the tables have in common, whatever their arguments are. */
type AnyMethod = Omit<Method<Arguments>, 'codec'> & {
  readonly codec: {
    decode(reader: Reader): unknown
    encode(writer: Writer, values: unknown): void
  }
}

/** Traits and ids of a method. */
export function methodNamed(name: MethodName): AnyMethod {
  return methods[name] as AnyMethod
}

/** Throws FrameFault only. The arguments of a method, which take all of payload[4, …): payload begins with class and method id. */
export function decodeMethod(name: MethodName, payload: Buffer): MethodCall {
  try {
    const decoded: unknown = methodNamed(name).codec.decode(new Reader(payload, 4))
    return { name, arguments: decoded } as MethodCall
  } catch (error) {
    if (!(error instanceof DecodeError) || error instanceof FrameFault) throw error
    throw undecodable(payload)
  }
}

/** Class id, method id and arguments: the payload of a method frame. */
export function encodeMethod<Name extends MethodName>(name: Name, values: MethodInput<Name>): Buffer {
  const writer = new Writer()
  const { classId, methodId, codec } = methodNamed(name)
  writer.uint16(classId)
  writer.uint16(methodId)
  codec.encode(writer, values)
  const chunks = writer.finish()
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
}

/** The method that a payload begins with; undefined: one that nobody specified. */
export function payloadMethod(payload: Buffer): MethodName | undefined {
  if (payload.length < 4) throw unknownFrame(frameMethod, payload)
  return nameByKey.get(payload.readUInt32BE(0))
}
