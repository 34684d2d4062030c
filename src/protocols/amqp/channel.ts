// A channel: its methods in the order they came, its messages in and out, its end.
// Promises: strict order: while an answer is awaited, later frames of the channel wait, copied and counted, and other
//   channels go on; after a fault nothing of the channel is heard but the end; what is published is told as it settles.
// Does not know: sockets, other channels, what the methods of topology, basic and modes do.

import { MiB } from '../../base/limits.ts'
import { propertiesWithin } from '../../base/properties-fit.ts'
import type { CancelReason, Channel, ChannelSink, Delivery, Got, Publication } from '../../broker/queue-door.ts'
import type { QueueCalls } from '../../broker/queue-door.ts'
import { keyAck, keyNack, keyPublish, keyReject, methodKeyAt } from '../../wire/amqp/content.ts'
import type { ContentHeaderView, PublishView, SettlementView } from '../../wire/amqp/content.ts'
import type { FrameWriter } from '../../wire/amqp/frame-writer.ts'
import { frameBody, frameHeader, frameMethod, undecodable, unknownFrame } from '../../wire/amqp/frame.ts'
import { decodeMethod, methodKey, methodName, type MethodInput, type MethodName } from '../../wire/amqp/methods.ts'
import { amqpErrors } from '../errors.ts'
import { basicHandlers } from './basic.ts'
import { Confirms, refusedAlready, storedAlready, type ConfirmSink } from './confirms.ts'
import { Content, unexpectedHeader, type ContentHost, type Frame } from './content.ts'
import type { ChannelContext, Handler } from './context.ts'
import { closing, Fault, faultOf } from './fault.ts'
import type { ClientCapabilities } from './identity.ts'
import { modeHandlers } from './modes.ts'
import { topologyHandlers } from './topology.ts'

/** What a channel needs of its connection. */
export interface ChannelHost extends ContentHost {
  readonly queues: QueueCalls
  readonly writer: FrameWriter
  readonly capabilities: ClientCapabilities
  readonly publishView: PublishView
  readonly settlementView: SettlementView
  readonly headerView: ContentHeaderView
  /** One object for all publishes: nobody keeps it. */
  readonly publication: Publication
  /** Whether deliveries may be written now. */
  readonly hasRoom: boolean
  /** Something was written: it leaves with this turn. */
  wrote(): void
  /** Bytes that wait for a commit or for their channel's turn, or that do no more (negative). */
  underWay(bytes: number): void
  /** The channel has slices of the chunk that is being read: keep() is called at its end. */
  loosened(channel: AmqpChannel): void
  confirmsDue(channel: AmqpChannel): void
  /** A publish was refused for want of room. */
  refusedForRoom(why: string): void
  /** The number is free again. */
  forget(channel: AmqpChannel): void
  /** Whatever was thrown while `key` (class and method) of the channel was handled. */
  failed(error: unknown, key: number, channel: AmqpChannel): void
  /** Nothing of the channel waits any more. */
  isQuiet(channel: AmqpChannel): void
}

const handlers = { ...basicHandlers, ...modeHandlers, ...topologyHandlers } as Readonly<
  Partial<Record<MethodName, Handler<MethodName>>>
>

const keyOpen = methodKey(20, 10)
const keyClose = methodKey(20, 40)
const keyCloseOk = methodKey(20, 41)

/** What a publish or a frame that waits costs beside its bytes: none is free, however many there are. */
const overheadBytes = 64

/** A message that no queue took, in a transaction whose end it waits for. */
interface HeldReturn {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Buffer
  readonly body: Buffer
}

/** As much as of what queues took (channel-host.ts). */
const heldReturnBytesMax = 64 * MiB
/** Two names, two buffers, one object: a message without a body is not free either. */
const heldOverheadBytes = 1024
const heldBytes = (properties: number, body: number): number => properties + body + heldOverheadBytes

export class AmqpChannel implements ChannelContext, ChannelSink, ConfirmSink {
  readonly number: number
  readonly confirms: Confirms
  lastQueue = ''
  isTransactional = false

  private readonly host: ChannelHost
  private readonly content: Content
  private opened: Channel | undefined
  /** `closing`: we ended it and wait for close-ok. `gone`: nothing is heard or said any more. */
  private state: 'new' | 'open' | 'closing' | 'gone' = 'new'
  /** The method under way, for the fault it may become. */
  private key = 0
  private exchange = ''
  private routingKey = ''
  private mandatory = false
  private isAwaiting = false
  private isGoingOn = false
  private isAbandoned = false
  /** Frames that wait, from `waitingFrom` on. */
  private waiting: Frame[] = []
  private waitingFrom = 0
  private wantsRoom = false
  private roomWaiter: (() => void) | undefined
  private heldReturns: HeldReturn[] = []
  private heldReturnBytes = 0

  constructor(number: number, host: ChannelHost) {
    this.number = number
    this.host = host
    this.content = new Content(host, host.headerView)
    this.confirms = new Confirms(this)
  }

  get queues(): QueueCalls {
    return this.host.queues
  }

  get isOpen(): boolean {
    return this.state === 'open' && !this.isAbandoned
  }

  get door(): Channel {
    if (this.opened === undefined) throw new Fault('CHANNEL_ERROR', "expected 'channel.open'")
    return this.opened
  }

  /** Whether frames wait, or an answer is awaited. */
  get isBusy(): boolean {
    return this.isAwaiting || this.isGoingOn
  }

  get methodUnderWay(): number {
    return this.key
  }

  // --- frames in ----------------------------------------------------------------------------------------------------

  /** The next frame of this channel. May throw what failed() of the host is to be told. */
  take(frame: Frame): void {
    if (this.isAwaiting) this.hold(frame)
    else this.handle(frame)
  }

  /** The chunk is about to be somebody else's. */
  keep(): void {
    this.content.keep()
  }

  private handle(frame: Frame): void {
    const { stage } = this.content
    if (frame.type === frameMethod && stage === 'none') return this.method(frame)
    if (this.state === 'closing' || this.state === 'gone') return
    if (frame.type === frameHeader && stage === 'header') {
      if (this.content.header(frame)) this.publish()
      else this.host.loosened(this)
    } else if (frame.type === frameBody && stage === 'body') {
      if (this.content.body(frame)) this.publish()
      else this.host.loosened(this)
    } else throw this.unexpected(stage)
  }

  private unexpected(stage: Content['stage']): Fault {
    if (stage === 'header') return unexpectedHeader()
    if (stage === 'body') {
      return new Fault('UNEXPECTED_FRAME', 'expected content body, got non content body frame instead')
    }
    this.key = 0
    return new Fault('UNEXPECTED_FRAME', 'expected method frame, got non method frame instead')
  }

  private method({ buffer, start, end }: Frame): void {
    const key = methodKeyAt(buffer, start, end)
    this.key = Math.max(0, key)
    if (key < 0) throw unknownFrame(frameMethod, buffer.subarray(start, end))
    if (this.state !== 'open') return this.methodOutside(key, buffer.subarray(start, end))
    if (key === keyPublish) {
      const view = this.host.publishView
      view.decode(buffer, start, end)
      if (view.immediate) throw new Fault('NOT_IMPLEMENTED', 'immediate=true')
      this.exchange = view.exchange
      this.routingKey = view.routingKey
      this.mandatory = view.mandatory
      this.content.begin()
    } else if (key === keyAck || key === keyNack || key === keyReject) {
      this.settle(key, buffer, start, end)
    } else this.general(key, buffer.subarray(start, end))
  }

  private settle(key: number, buffer: Buffer, start: number, end: number): void {
    const view = this.host.settlementView
    view.decode(key, buffer, start, end)
    const outcome =
      key === keyAck
        ? this.door.acknowledge(view.tag, view.multiple)
        : this.door.reject(view.tag, view.multiple, view.requeue, key === keyReject)
    if (outcome !== true) throw faultOf(outcome)
  }

  /** A method on a channel that is not open yet, or no more. */
  private methodOutside(key: number, payload: Buffer): void {
    if (this.state === 'new') {
      if (key !== keyOpen) throw new Fault('CHANNEL_ERROR', "expected 'channel.open'")
      decodeMethod('channelOpen', payload)
      this.opened = this.host.queues.openChannel(this)
      this.state = 'open'
      this.reply('channelOpenOk', {})
    } else if (this.state === 'closing') {
      if (key === keyClose) this.write('channelCloseOk', {})
      else if (key === keyCloseOk) this.end()
    }
  }

  private general(key: number, payload: Buffer): void {
    if (key === keyOpen) throw new Fault('CHANNEL_ERROR', "second 'channel.open' seen")
    if (key === keyClose) return this.closedByClient()
    const name = methodName(key >>> 16, key & 0xffff)
    if (name === undefined) throw undecodable(payload)
    const handler = handlers[name]
    if (handler === undefined) throw new Fault('COMMAND_INVALID', 'unimplemented method')
    const answer = handler(this, decodeMethod(name, payload).arguments)
    if (answer === undefined) return
    this.isAwaiting = true
    answer.then(
      () => this.goOn(),
      (error: unknown) => {
        this.host.failed(error, key, this)
        this.goOn()
      },
    )
  }

  // --- waiting ------------------------------------------------------------------------------------------------------

  private hold({ type, buffer, start, end }: Frame): void {
    const copy = Buffer.from(buffer.subarray(start, end))
    this.waiting.push({ type, buffer: copy, start: 0, end: copy.length })
    this.host.underWay(copy.length + overheadBytes)
  }

  private goOn(): void {
    this.isAwaiting = false
    this.isGoingOn = true
    while (this.waitingFrom < this.waiting.length && !this.isAwaiting) {
      const frame = this.waiting[this.waitingFrom++]
      this.host.underWay(-frame.end - overheadBytes)
      try {
        this.handle(frame)
      } catch (error) {
        this.host.failed(error, this.key, this)
      }
    }
    // Now and then: a client may send a hundred thousand binds and wait for none of them.
    if (this.waitingFrom * 2 >= this.waiting.length) {
      this.waiting = this.waiting.slice(this.waitingFrom)
      this.waitingFrom = 0
    }
    this.isGoingOn = false
    if (!this.isAwaiting) this.host.isQuiet(this)
  }

  // --- publishing ---------------------------------------------------------------------------------------------------

  private publish(): void {
    const { content, host } = this
    const { publication } = host
    publication.exchange = this.exchange
    publication.routingKey = this.routingKey
    publication.properties = content.properties
    publication.body = content.pieces
    publication.bodyBytes = content.bodyBytes
    try {
      this.published(publication)
    } finally {
      content.reset()
    }
  }

  private published(publication: Publication): void {
    const outcome = this.door.publish(publication)
    if (outcome === 'unroutable') {
      if (this.mandatory) this.returnMessage(publication)
      if (this.confirms.isOn) this.confirms.published(storedAlready, 0)
    } else if ('refused' in outcome) {
      if (outcome.refused === 'storageFull') this.host.refusedForRoom(outcome.why)
      if (outcome.refused !== 'storageFull' || !this.confirms.isOn) throw faultOf(outcome)
      this.confirms.published(refusedAlready, 0)
    } else if (!this.isTransactional) {
      const bytes = publication.bodyBytes + publication.properties.length + overheadBytes
      this.host.underWay(bytes)
      this.confirms.published(outcome, bytes)
    }
  }

  /** RabbitMQ routes what a transaction published when it commits: only then is anything returned. */
  private returnMessage({ exchange, routingKey, properties, body, bodyBytes }: Publication): void {
    if (!this.isTransactional) return this.writeReturn(exchange, routingKey, properties, body, bodyBytes)
    const bytes = heldBytes(properties.length, bodyBytes)
    if (this.heldReturnBytes + bytes > heldReturnBytesMax) {
      throw new Fault('PRECONDITION_FAILED', `the transaction holds more than ${heldReturnBytesMax} bytes`)
    }
    this.host.gathering(bytes)
    this.heldReturnBytes += bytes
    this.heldReturns.push({ exchange, routingKey, properties: Buffer.from(properties), body: Buffer.concat(body) })
  }

  transactionEnded(isCommitted: boolean): void {
    for (const { exchange, routingKey, properties, body } of this.heldReturns) {
      if (isCommitted) this.writeReturn(exchange, routingKey, properties, [body], body.length)
    }
    this.host.gathering(-this.heldReturnBytes)
    this.heldReturnBytes = 0
    this.heldReturns = []
  }

  private writeReturn(
    exchange: string,
    routingKey: string,
    properties: Buffer,
    body: readonly Buffer[],
    bodyBytes: number,
  ): void {
    if (this.state !== 'open') return
    const values = { replyCode: amqpErrors.NO_ROUTE, replyText: 'NO_ROUTE', exchange, routingKey }
    this.host.writer.returned(this.number, values, properties, body, bodyBytes)
    this.host.wrote()
  }

  // --- what is told of publishes ------------------------------------------------------------------------------------

  confirmed(sequence: number, multiple: boolean): void {
    if (this.state !== 'open') return
    this.host.writer.ack(this.number, sequence, multiple)
    this.host.wrote()
  }

  refused(sequence: number, multiple: boolean): void {
    if (this.state !== 'open') return
    this.host.writer.nack(this.number, sequence, multiple)
    this.host.wrote()
  }

  released(bytes: number): void {
    if (bytes > 0) this.host.underWay(-bytes)
  }

  due(): void {
    this.host.confirmsDue(this)
  }

  // --- deliveries ---------------------------------------------------------------------------------------------------

  get hasRoom(): boolean {
    if (this.host.hasRoom) return true
    this.wantsRoom = true
    return false
  }

  deliver({ consumerTag, tag, redelivered, exchange, routingKey, properties, body }: Delivery): void {
    if (this.state !== 'open') return
    const { writer } = this.host
    // A client with small frames would end the connection for one that is larger, and be given the same again.
    const fitting = propertiesWithin(properties, writer.propertyBytesMax)
    writer.deliver(this.number, consumerTag, tag, redelivered, exchange, routingKey, fitting, body)
    this.host.wrote()
  }

  cancelled(consumerTag: string, _reason: CancelReason): void {
    if (this.host.capabilities.consumerCancelNotify) this.reply('basicCancel', { consumerTag, nowait: true })
  }

  /** The socket has room again. */
  resume(): void {
    if (!this.wantsRoom) return
    this.wantsRoom = false
    this.stopWaiting()
    if (this.state === 'open') this.opened?.resume()
  }

  /** Resolves when there is room for a large answer, or nobody left to read it. */
  roomToAnswer(): Promise<void> | undefined {
    return this.isAbandoned || this.hasRoom ? undefined : new Promise((resolve) => (this.roomWaiter = resolve))
  }

  /** The socket is gone: what was sent before is done, and nobody reads the answers. */
  abandon(): void {
    this.isAbandoned = true
    this.stopWaiting()
  }

  private stopWaiting(): void {
    this.roomWaiter?.()
    this.roomWaiter = undefined
  }

  // --- answers ------------------------------------------------------------------------------------------------------

  reply<Name extends MethodName>(name: Name, values: MethodInput<Name>): void {
    if (this.state === 'open') this.write(name, values)
  }

  replyGot({ tag, redelivered, exchange, routingKey, messages, properties, body }: Got): void {
    if (this.state !== 'open') return
    const { writer } = this.host
    const fitting = propertiesWithin(properties, writer.propertyBytesMax)
    writer.getOk(this.number, tag, redelivered, exchange, routingKey, messages, fitting, body)
    this.host.wrote()
  }

  private write<Name extends MethodName>(name: Name, values: MethodInput<Name>): void {
    this.host.writer.method(this.number, name, values)
    this.host.wrote()
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  /** We end it: the client is told why, and then heard no more. */
  fail(fault: Fault, key: number): void {
    if (this.state === 'gone' || this.state === 'closing') return
    this.confirms.flush()
    this.write('channelClose', closing(fault, key))
    this.state = 'closing'
    this.letGo()
  }

  /** The number is free before the client reads that it is: it may open the same again at once. */
  private closedByClient(): void {
    this.confirms.flush()
    this.end()
    this.write('channelCloseOk', {})
  }

  /** Nothing is heard or said any more: closed in order, or its connection ends. */
  end(): void {
    if (this.state === 'gone') return
    this.state = 'gone'
    this.letGo()
    this.host.forget(this)
  }

  private letGo(): void {
    this.stopWaiting()
    this.content.reset()
    this.transactionEnded(false)
    this.opened?.close()
    this.opened = undefined
    this.confirms.silence()
  }
}
