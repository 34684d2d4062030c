// A door to queues whose answers the test gives, and a raw AMQP client before it.
// Promises: every call is remembered; what is not prepared succeeds; receipts settle when the test says so.
// Does not know: any rule of queues.

import type { Session } from '../../broker/door.ts'
import { refuse, type Refusal, type RefusalName } from '../../broker/errors.ts'
import type {
  CancelReason,
  Channel,
  ChannelSink,
  ConsumeCall,
  Consumer,
  Got,
  Publication,
  Published,
  QueueCalls,
  Receipt,
} from '../../broker/queue-door.ts'
import { FrameReader, frameBody, frameHeader, frameMethod } from '../../wire/amqp/frame.ts'
import { FrameWriter } from '../../wire/amqp/frame-writer.ts'
import {
  decodeMethod,
  payloadMethod,
  type MethodCall,
  type MethodInput,
  type MethodName,
} from '../../wire/amqp/methods.ts'
import { StubConnection, StubWorld } from '../stub.contract.ts'
import { openAmqp, type AmqpConversation } from './connection.ts'

export class StubReceipt implements Receipt {
  state: 'pending' | 'stored' | 'refused' = 'pending'
  private waiting: (() => void)[] = []
  waits = 0

  whenSettled(done: () => void): void {
    this.waits++
    this.waiting.push(done)
  }

  settle(state: 'stored' | 'refused'): void {
    this.state = state
    for (const done of this.waiting.splice(0)) done()
  }
}

export const stored: Receipt = { state: 'stored', whenSettled: () => {} }

/** A published message as the door saw it. */
export interface Seen {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: string
  readonly body: string
}

type Answers = { readonly [name: string]: unknown }

export class StubChannel implements Channel {
  readonly sink: ChannelSink
  readonly published: Seen[] = []
  readonly calls: unknown[][] = []
  isClosed = false
  private readonly queues: StubQueues

  constructor(queues: StubQueues, sink: ChannelSink) {
    this.queues = queues
    this.sink = sink
  }

  publish({ exchange, routingKey, properties, body, bodyBytes }: Publication): Published {
    const whole = Buffer.concat(body)
    if (whole.length !== bodyBytes) throw new Error('a body is as long as it says')
    this.published.push({
      exchange,
      routingKey,
      properties: properties.toString('hex'),
      body: whole.toString('latin1'),
    })
    return this.queues.publish(this.published.length)
  }
  consume(call: ConsumeCall): Promise<Consumer | Refusal> {
    return this.said('consume', [call], {
      tag: call.consumerTag || 'amq.ctag-1',
      start: () => this.calls.push(['start']),
    })
  }
  cancel(consumerTag: string): Promise<void> {
    return this.said('cancel', [consumerTag], undefined)
  }
  get(queue: string, noAck: boolean): Promise<Got | undefined | Refusal> {
    return this.said('get', [queue, noAck], undefined)
  }
  acknowledge(tag: number, multiple: boolean): true | Refusal {
    return this.now('acknowledge', [tag, multiple])
  }
  reject(tag: number, multiple: boolean, requeue: boolean, counts: boolean): true | Refusal {
    return this.now('reject', [tag, multiple, requeue, counts])
  }
  recover(): void {
    this.calls.push(['recover'])
  }
  setPrefetch(count: number, scope: 'consumer' | 'channel'): void {
    this.calls.push(['setPrefetch', count, scope])
  }
  setFlow(): void {}
  beginTransactions(): void {
    this.calls.push(['beginTransactions'])
  }
  commit(): Promise<true | Refusal> {
    return this.said('commit', [], true)
  }
  rollback(): void {
    this.calls.push(['rollback'])
  }
  resume(): void {
    this.calls.push(['resume'])
  }
  close(): void {
    this.isClosed = true
  }

  cancelByBroker(consumerTag: string, reason: CancelReason): void {
    this.sink.cancelled(consumerTag, reason)
  }

  private now(name: string, values: unknown[]): true | Refusal {
    this.calls.push([name, ...values])
    return (this.queues.answers[name] ?? true) as true | Refusal
  }

  private said<T>(name: string, values: unknown[], usual: T): Promise<T> {
    this.calls.push([name, ...values])
    return this.queues.answer(name, usual)
  }
}

export class StubQueues implements QueueCalls {
  readonly calls: unknown[][] = []
  readonly channels: StubChannel[] = []
  /** What a call of that name answers; a promise is waited for. */
  answers: Answers = {}
  publish: (count: number) => Published = () => stored
  pressure: string | undefined
  isClosed = false
  private watchers: (() => void)[] = []

  answer<T>(name: string, usual: T): Promise<T> {
    const prepared = this.answers[name]
    return Promise.resolve((prepared === undefined ? usual : prepared) as T | Promise<T>)
  }

  private said<T>(name: string, usual: T, ...values: unknown[]): Promise<T> {
    this.calls.push([name, ...values])
    return this.answer(name, usual)
  }

  readonly declareExchange: QueueCalls['declareExchange'] = (call) => this.said('declareExchange', true, call)
  readonly checkExchange: QueueCalls['checkExchange'] = (name) => {
    this.calls.push(['checkExchange', name])
    return (this.answers.checkExchange ?? true) as true | Refusal
  }
  readonly deleteExchange: QueueCalls['deleteExchange'] = (...said) => this.said('deleteExchange', true, ...said)
  readonly bind: QueueCalls['bind'] = (call) => this.said('bind', true, call)
  readonly unbind: QueueCalls['unbind'] = (call) => this.said('unbind', true, call)
  readonly declareQueue: QueueCalls['declareQueue'] = (call) => {
    const name = call.name === '' ? 'amq.gen-1' : call.name
    return this.said('declareQueue', { name, messages: 2, consumers: 1 }, call)
  }
  readonly checkQueue: QueueCalls['checkQueue'] = (name) =>
    this.said('checkQueue', { name, messages: 0, consumers: 0 }, name)
  readonly deleteQueue: QueueCalls['deleteQueue'] = (...said) => this.said('deleteQueue', 3, ...said)
  readonly purgeQueue: QueueCalls['purgeQueue'] = (name) => this.said('purgeQueue', 4, name)
  readonly rewindQueue: QueueCalls['rewindQueue'] = (...said) => this.said('rewindQueue', [], ...said)
  openChannel(sink: ChannelSink): Channel {
    const channel = new StubChannel(this, sink)
    this.channels.push(channel)
    return channel
  }
  storagePressure(): string | undefined {
    return this.pressure
  }
  watchPressure(changed: () => void): () => void {
    this.watchers.push(changed)
    return () => void (this.watchers = this.watchers.filter((other) => other !== changed))
  }
  setPressure(why: string | undefined): void {
    this.pressure = why
    for (const changed of this.watchers) changed()
  }
  readonly redrive: QueueCalls['redrive'] = () => Promise.resolve(no('queueMissing'))
  readonly listQueues: QueueCalls['listQueues'] = () => Promise.resolve([])
  readonly describeQueue: QueueCalls['describeQueue'] = () => Promise.resolve(no('queueMissing'))
  readonly listExchanges: QueueCalls['listExchanges'] = () => []
  readonly listBindings: QueueCalls['listBindings'] = () => []
  readonly listPolicies: QueueCalls['listPolicies'] = () => []
  readonly setPolicy: QueueCalls['setPolicy'] = () => Promise.resolve(true)
  readonly deletePolicy: QueueCalls['deletePolicy'] = () => Promise.resolve(true)
  async close(): Promise<void> {
    await this.said('close', undefined)
    this.isClosed = true
  }
}

export const no = (refused: RefusalName, why = 'for a reason'): Refusal => refuse(refused, why)

/** What the broker said: a method, or the parts of a content. */
export type Said =
  | { readonly channel: number; readonly method: MethodCall }
  | { readonly channel: number; readonly header: string; readonly bodyBytes: number }
  | { readonly channel: number; readonly body: string }
  | { readonly channel: number; readonly heartbeat: true }

export const clientCapabilities = [
  'authentication_failure_close',
  'connection.blocked',
  'consumer_cancel_notify',
  'basic.nack',
  'publisher_confirms',
]

/** A client that says what it is told to, on a connection of its own. */
export class RawClient {
  readonly world = new StubWorld()
  readonly connection: StubConnection
  readonly queues = new StubQueues()
  readonly conversation: AmqpConversation
  readonly identities: unknown[] = []
  readonly broken: unknown[] = []
  private readonly reader = new FrameReader(131_072)
  private read = 0

  constructor(address = '127.0.0.1') {
    this.connection = new StubConnection()
    Object.assign(this.connection, { remoteAddress: address })
    const { converse } = openAmqp({
      world: this.world,
      openSession: (identity) => {
        this.identities.push(identity)
        return { queues: this.queues } as unknown as Session
      },
      broken: (error) => this.broken.push(error),
    })
    this.conversation = converse(this.connection)
  }

  get channel(): StubChannel {
    const channel = this.queues.channels.at(-1)
    if (channel === undefined) throw new Error('no channel was opened')
    return channel
  }

  send(...chunks: readonly Buffer[]): void {
    this.connection.send(...chunks)
  }

  say<Name extends MethodName>(channel: number, name: Name, values: MethodInput<Name> = {}): void {
    this.send(methodFrame(channel, name, values))
  }

  /** All that the broker said since the last time this was asked, once nothing moves any more. */
  async heard(): Promise<Said[]> {
    await this.world.settle()
    const bytes = Buffer.concat(this.connection.written.slice(this.read))
    this.read = this.connection.written.length
    const said: Said[] = []
    this.reader.push(bytes)
    while (this.reader.next()) said.push(saidBy(this.reader))
    return said
  }

  /** Names of methods, channel before them; contents as `header` and `body`. */
  async names(): Promise<string[]> {
    return (await this.heard()).map(
      (said) => `${said.channel} ${'method' in said ? said.method.name : Object.keys(said)[1]}`,
    )
  }

  async login(
    capabilities: readonly string[] = clientCapabilities,
    tune: MethodInput<'connectionTuneOk'> = {},
  ): Promise<void> {
    this.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
    this.say(0, 'connectionStartOk', startOk(capabilities))
    this.say(0, 'connectionTuneOk', { channelMax: 2047, frameMax: 131_072, heartbeat: 60, ...tune })
    this.say(0, 'connectionOpen', {})
    await this.heard()
  }

  /** Logged in, with channel 1 open. */
  static async open(capabilities = clientCapabilities, tune: MethodInput<'connectionTuneOk'> = {}): Promise<RawClient> {
    const client = new RawClient()
    await client.login(capabilities, tune)
    client.say(1, 'channelOpen')
    await client.heard()
    return client
  }
}

export const startOk = (
  capabilities: readonly string[],
  response = '\0guest\0guest',
  mechanism = 'PLAIN',
): MethodInput<'connectionStartOk'> => ({
  clientProperties: [
    {
      name: 'capabilities',
      value: {
        type: 'table',
        value: capabilities.map((name) => ({ name, value: { type: 'bool', value: true } as const })),
      },
    },
    { name: 'connection_name', value: { type: 'text', value: Buffer.from('test') } },
  ],
  mechanism,
  response: Buffer.from(response, 'latin1'),
  locale: 'en_US',
})

function saidBy(reader: FrameReader): Said {
  const { channel, payload } = reader
  if (reader.type === frameMethod) {
    const name = payloadMethod(payload)
    if (name === undefined) throw new Error('nobody specified that method')
    return { channel, method: decodeMethod(name, Buffer.from(payload)) }
  }
  if (reader.type === frameHeader) {
    return { channel, header: payload.toString('hex', 12), bodyBytes: payload.readUInt32BE(8) }
  }
  return reader.type === frameBody ? { channel, body: payload.toString('latin1') } : { channel, heartbeat: true }
}

export function methodFrame<Name extends MethodName>(
  channel: number,
  name: Name,
  values: MethodInput<Name> = {},
): Buffer {
  const writer = new FrameWriter(131_072)
  writer.method(channel, name, values)
  return Buffer.concat(writer.take())
}

export function rawFrame(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head[0] = type
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}

export function headerFrame(channel: number, bodyBytes: number, properties = '0000', classId = 60, weight = 0): Buffer {
  const payload = Buffer.alloc(12)
  payload.writeUInt16BE(classId)
  payload.writeUInt16BE(weight, 2)
  payload.writeUInt32BE(Math.floor(bodyBytes / 2 ** 32), 4)
  payload.writeUInt32BE(bodyBytes % 2 ** 32, 8)
  return rawFrame(2, channel, Buffer.concat([payload, Buffer.from(properties, 'hex')]))
}

/** basic.publish with its content, the body in pieces of `pieceBytes`. */
export function publishFrames(
  channel: number,
  values: MethodInput<'basicPublish'>,
  body: string,
  pieceBytes = 1_000_000,
  properties = '0000',
): Buffer {
  const bytes = Buffer.from(body, 'latin1')
  const frames = [methodFrame(channel, 'basicPublish', values), headerFrame(channel, bytes.length, properties)]
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    frames.push(rawFrame(3, channel, bytes.subarray(at, at + pieceBytes)))
  }
  return Buffer.concat(frames)
}
