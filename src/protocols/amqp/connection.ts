// An AMQP connection: one socket's frames to channels and back, from the protocol header to its end.
// Promises: a fault costs the channel or the connection as RabbitMQ has it, in bounded time; the peer is not read while
//   too much of what it published waits for its commit; exclusive queues are gone before close-ok; an idle one is small.
// Does not know: what methods mean (channel.ts and its handlers), listeners (server/).

import { InvariantError } from '../../base/assert.ts'
import { BufferPool } from '../../base/buffer-pool.ts'
import { DecodeError } from '../../base/bytes.ts'
import { frameSpareBytesMax, MiB, publishInflightBytesMax, unsentBytesMax } from '../../base/limits.ts'
import type { Connection, Timer, World } from '../../base/world.ts'
import type { Session, SessionIdentity } from '../../broker/door.ts'
import type { Publication, QueueCalls } from '../../broker/queue-door.ts'
import { ContentHeaderView, methodKeyAt, PublishView, SettlementView } from '../../wire/amqp/content.ts'
import { FrameWriter } from '../../wire/amqp/frame-writer.ts'
import { FrameFault, FrameReader, frameBody, frameHeartbeat, frameMethod, octetsOf } from '../../wire/amqp/frame.ts'
import { protocolHeader, saslProtocolHeader, undecodable, unknownFrame, type Opening } from '../../wire/amqp/frame.ts'
import { decodeMethod, methodKey, methodName, type MethodInput, type MethodName } from '../../wire/amqp/methods.ts'
import { AmqpChannel, type ChannelHost } from './channel.ts'
import { closing, Fault, replyText, withoutOctets } from './fault.ts'
import { Handshake, offered, type HandshakeSide, type Negotiated } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import type { ClientCapabilities } from './identity.ts'
import { Intake, openings } from './intake.ts'
import { Outlet } from './outlet.ts'
import { Pressure } from './pressure.ts'

export interface AmqpOptions {
  readonly world: World
  /** The door. Called for each connection once its user is known. */
  readonly openSession: (identity: SessionIdentity) => Session
  /** What clients are told of the cluster's name. */
  readonly clusterName?: string
  /** Told when an invariant of ours broke: stop the process. */
  readonly broken?: (error: unknown) => void
}

/** One open connection. */
export interface AmqpConversation {
  /** Answers what is under way, says goodbye, closes. Resolves when the connection is gone. */
  drain(timeoutMs: number): Promise<void>
  destroy(): void
}

export interface Amqp {
  converse(connection: Connection): AmqpConversation
}

export function openAmqp(options: AmqpOptions): Amqp {
  const pool = new BufferPool(frameSpareBytesMax)
  return { converse: (connection) => new AmqpConnection(options, connection, pool) }
}

/** Bodies that are gathered for one connection, all channels together. */
const gatheringBytesMax = 512 * MiB
const handshakeMs = 10_000
/** A peer whose login was refused is kept waiting, so that guessing is slow (rabbit_reader: SILENT_CLOSE_DELAY). */
const refusedMs = 3000
/** How long a peer may take to answer our close. */
const closeOkMs = 10_000
/** How long the last bytes and the goodbye of a socket may take. */
const lingerMs = 2000

const keyClose = methodKey(10, 50)
const keyCloseOk = methodKey(10, 51)
const keyUpdateSecret = methodKey(10, 70)
const noBytes = Buffer.alloc(0)

/**
 * `closing`: the client asked for it and is answered when all is tidy. `failed`: we ended it; its close-ok is waited
 * for. `deaf`: nothing the peer sends is looked at any more. `gone`: there is no socket.
 */
type State = 'hello' | 'handshake' | 'running' | 'closing' | 'failed' | 'deaf' | 'gone'

class AmqpConnection implements AmqpConversation, ChannelHost, HandshakeSide {
  readonly pool: BufferPool
  readonly writer: FrameWriter
  readonly outlet: Outlet
  readonly clusterName: string
  readonly publishView = new PublishView()
  readonly settlementView = new SettlementView()
  readonly headerView = new ContentHeaderView()
  readonly publication: Publication = { exchange: '', routingKey: '', properties: noBytes, body: [], bodyBytes: 0 }

  private readonly options: AmqpOptions
  private readonly world: World
  private readonly connection: Connection
  private readonly intake: Intake
  private readonly handshake: Handshake
  private readonly channels = new Map<number, AmqpChannel>()
  private state: State = 'hello'
  private current: AmqpChannel | undefined
  /** The method under way on channel 0. */
  private key = 0
  private session: QueueCalls | undefined
  private channelsAllowed: number = offered.channelsMax
  private heartbeat: Heartbeat | undefined
  private deadline: Timer | undefined
  private bytesUnderWay = 0
  private bytesGathering = 0
  private isPaused = false
  private isDraining = false
  private readonly confirming = new Set<AmqpChannel>()
  private readonly pressure = new Pressure((name, values) => this.write(name, values))
  /** Called when no channel awaits an answer any more. */
  private whenQuiet: (() => void) | undefined
  private readonly goneWaiters: (() => void)[] = []
  private readonly flushConfirms = (): void => this.tellConfirms()

  constructor(options: AmqpOptions, connection: Connection, pool: BufferPool) {
    this.options = options
    this.world = options.world
    this.clusterName = options.clusterName ?? 'odradek'
    this.connection = connection
    this.pool = pool
    this.intake = new Intake(new FrameReader(offered.firstFrameBytesMax, pool), {
      opened: (opening) => this.openedWith(opening),
      frame: (reader) => this.frame(reader),
      failed: (error) => {
        if (this.intake.isLost) this.failed(error, 0, undefined)
        else this.failed(error, this.current?.methodUnderWay ?? this.key, this.current)
      },
    })
    this.writer = new FrameWriter(offered.frameBytesMax, pool)
    this.outlet = new Outlet(connection, this.writer, () => this.giveRoom())
    this.handshake = new Handshake(this)
    this.endWithin(handshakeMs, 'the handshake took too long')
    connection.onClose(() => this.onGone())
    connection.onDrain(() => this.adjustReading())
    connection.onData((chunk) => this.onData(chunk))
  }

  get address(): string {
    return this.connection.remoteAddress
  }

  get capabilities(): ClientCapabilities {
    return this.handshake.capabilities
  }

  get queues(): QueueCalls {
    if (this.session === undefined) throw new InvariantError('channels are opened on an open connection')
    return this.session
  }

  // --- bytes in -----------------------------------------------------------------------------------------------------

  private onData(chunk: Buffer): void {
    if (this.heartbeat !== undefined) this.heartbeat.heard = true
    if (this.state === 'deaf' || this.state === 'gone') return
    this.outlet.hold()
    this.intake.take(chunk)
    this.outlet.release()
    this.adjustReading()
  }

  /** The first bytes: AMQP 0-9-1, or something else that found this port. */
  private openedWith(opening: Opening): void {
    if (opening === 'amqp-0-9-1') {
      this.state = 'handshake'
      return this.handshake.start()
    }
    this.writer.raw(opening === 'amqp-0-9-x' ? protocolHeader : saslProtocolHeader)
    this.warn('amqp.connection.refused', `the first bytes are not AMQP 0-9-1 but ${openings[opening]}`)
    this.hangUp()
  }

  private frame(reader: FrameReader): void {
    const { type } = reader
    this.current = undefined
    this.key = 0
    if (reader.channel === 0) return this.frameOnZero(reader)
    if (this.state !== 'running') {
      if (this.state === 'handshake') throw this.unexpectedFrame(reader)
      return
    }
    if (this.isDraining) return
    if (type > frameBody || type < frameMethod) {
      throw type === frameHeartbeat ? this.unexpectedFrame(reader) : unknownFrame(type, reader.payload)
    }
    const channel = this.channels.get(reader.channel) ?? this.newChannel(reader.channel)
    this.current = channel
    channel.take(reader)
  }

  private newChannel(number: number): AmqpChannel {
    const { size } = this.channels
    if (size >= this.channelsAllowed) {
      const max = this.channelsAllowed
      const why = `number of channels opened (${size}) has reached the negotiated channel_max (${max})`
      throw new Fault('NOT_ALLOWED', why)
    }
    const channel = new AmqpChannel(number, this)
    this.channels.set(number, channel)
    return channel
  }

  private frameOnZero(reader: FrameReader): void {
    const { type, buffer, start, end } = reader
    const isStopping = this.state === 'failed' || this.state === 'closing' || this.state === 'deaf'
    if (type === frameHeartbeat && end === start) return
    if (type !== frameMethod || end - start < 4) {
      if (isStopping) return
      throw type > frameMethod && type <= frameBody ? this.unexpectedFrame(reader) : unknownFrame(type, reader.payload)
    }
    this.key = methodKeyAt(buffer, start, end)
    if (isStopping) return this.methodWhileStopping(this.key)
    if (this.key === keyClose) return this.closedByClient()
    if (this.key === keyUpdateSecret && this.state === 'running') {
      decodeMethod('connectionUpdateSecret', reader.payload)
      return this.write('connectionUpdateSecretOk', {})
    }
    const name = methodName(this.key >>> 16, this.key & 0xffff)
    if (name === undefined) throw undecodable(reader.payload)
    this.handshake.take(decodeMethod(name, reader.payload))
  }

  private methodWhileStopping(key: number): void {
    if (key === keyClose) this.write('connectionCloseOk', {})
    else if (key === keyCloseOk && this.state === 'failed') this.hangUp()
  }

  private unexpectedFrame({ type, payload }: FrameReader): Fault {
    return new Fault('UNEXPECTED_FRAME', `type ${type}, ${octetsOf(payload)}`)
  }

  // --- the handshake's side -----------------------------------------------------------------------------------------

  write<Name extends MethodName>(name: Name, values: MethodInput<Name>): void {
    this.writer.method(0, name, values)
    this.wrote()
  }

  tuned(limits: Parameters<HandshakeSide['tuned']>[0]): void {
    this.channelsAllowed = limits.channelsMax
    this.intake.reader.setFrameBytesMax(limits.frameBytesMax)
    this.writer.setFrameBytesMax(limits.frameBytesMax)
    this.heartbeat = new Heartbeat(this.world.clock, limits.heartbeatSeconds, {
      beat: () => {
        if (this.state === 'gone') return
        this.writer.heartbeat()
        this.wrote()
      },
      silent: () => {
        this.world.trace.count('amqp.connections.silent')
        this.connection.destroy()
      },
    })
  }

  opened({ user, vhost, connectionName }: Negotiated): void {
    const { address } = this
    this.session = this.options.openSession({ vhost, principal: user, clientId: connectionName, address }).queues
    this.deadline?.cancel()
    this.state = 'running'
    this.world.trace.count('amqp.connections.opened')
    this.write('connectionOpenOk', {})
  }

  refusedLogin(why: string, fault: Fault): void {
    this.world.trace.count('amqp.logins.refused')
    this.warn('amqp.login.refused', why)
    this.refuse(fault, 0)
  }

  /** Before anybody is known: told if the client can take it, and dropped after a while in any case. */
  private refuse(fault: Fault, key: number): void {
    if (this.capabilities.authenticationFailureClose || this.handshake.state !== 'starting') {
      this.write('connectionClose', closing(fault, key))
      this.state = 'failed'
    } else this.state = 'deaf'
    this.endWithin(refusedMs)
  }

  // --- the channels' side -------------------------------------------------------------------------------------------

  get hasRoom(): boolean {
    return this.outlet.hasRoom
  }

  private giveRoom(): void {
    for (const channel of this.channels.values()) channel.resume()
  }

  outlivesFrame(buffer: Buffer): boolean {
    return this.intake.outlivesFrame(buffer)
  }

  loosened(channel: AmqpChannel): void {
    this.intake.hold(channel)
  }

  gathering(bytes: number): void {
    if (this.bytesGathering + bytes > gatheringBytesMax) {
      throw new Fault('RESOURCE_ERROR', `more than ${gatheringBytesMax} bytes of unfinished messages`)
    }
    this.bytesGathering += bytes
  }

  underWay(bytes: number): void {
    this.bytesUnderWay += bytes
    if (bytes < 0 && this.isPaused) this.adjustReading()
    if (this.bytesUnderWay === 0) this.lookIfQuiet()
  }

  confirmsDue(channel: AmqpChannel): void {
    if (this.confirming.size === 0) this.world.clock.endOfTurn(this.flushConfirms)
    this.confirming.add(channel)
  }

  private tellConfirms(): void {
    const due = [...this.confirming]
    this.confirming.clear()
    for (const channel of due) channel.confirms.flush()
  }

  refusedForRoom(why: string): void {
    if (this.capabilities.blocked) this.pressure.refused(this.queues, why)
  }

  forget(channel: AmqpChannel): void {
    if (this.channels.get(channel.number) === channel) this.channels.delete(channel.number)
  }

  isQuiet(): void {
    this.lookIfQuiet()
  }

  // --- bytes out ----------------------------------------------------------------------------------------------------

  wrote(): void {
    this.outlet.wrote()
  }

  private adjustReading(): void {
    if (this.state === 'gone') return
    const isBehind = this.bytesUnderWay > publishInflightBytesMax
    if (this.heartbeat !== undefined) this.heartbeat.isSuspended = isBehind
    const isPaused = isBehind || this.connection.unsentBytes > unsentBytesMax
    if (isPaused === this.isPaused) return
    this.isPaused = isPaused
    if (isPaused) this.connection.pause()
    else this.connection.resume()
  }

  // --- faults -------------------------------------------------------------------------------------------------------

  failed(error: unknown, key: number, channel: AmqpChannel | undefined): void {
    const fault = this.faultOf(error)
    if (channel !== undefined && (!fault.isHard || this.state !== 'running')) {
      this.world.trace.count('amqp.channels.failed')
      return channel.fail(fault, key)
    }
    if (this.state === 'handshake') {
      this.warn('amqp.connection.refused', replyText(fault))
      return this.refuse(fault, key)
    }
    if (this.state !== 'running') return
    this.world.trace.count('amqp.connections.failed')
    this.warn('amqp.connection.failed', replyText(fault))
    this.failWith(fault, key)
  }

  private faultOf(error: unknown): Fault {
    if (error instanceof Fault) return error
    if (error instanceof FrameFault) return new Fault('FRAME_ERROR', error.message)
    if (error instanceof DecodeError) return new Fault('SYNTAX_ERROR', error.message)
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.world.trace.count('amqp.methods.failed')
    this.world.trace.error('amqp.method.failed', { error: text })
    if (error instanceof InvariantError) this.options.broken?.(error)
    return new Fault('INTERNAL_ERROR', 'the broker failed to answer')
  }

  /** Everything of the connection ends; then the peer is told why, and may answer. */
  private failWith(fault: Fault, key: number): void {
    this.state = 'failed'
    this.endWithin(closeOkMs)
    this.tidyUp(() => {
      this.write('connectionClose', closing(fault, key))
      if (this.intake.isLost) this.hangUp()
    })
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  private closedByClient(): void {
    this.state = 'closing'
    this.deadline?.cancel()
    this.onceQuiet(() => {
      this.tidyUp(() => {
        this.write('connectionCloseOk', {})
        this.hangUp()
      })
    })
  }

  /** Runs `task` when no channel awaits an answer: what was asked before is done before. */
  private onceQuiet(task: () => void): void {
    this.whenQuiet = task
    this.lookIfQuiet()
  }

  private lookIfQuiet(): void {
    if (this.whenQuiet === undefined) return
    for (const channel of this.channels.values()) if (channel.isBusy) return
    if (this.isDraining && this.bytesUnderWay > 0) return
    const task = this.whenQuiet
    this.whenQuiet = undefined
    task()
  }

  /** Channels end, exclusive queues go; then, if the socket is still there, `done`. */
  private tidyUp(done: () => void): void {
    for (const channel of this.channels.values()) channel.end()
    this.pressure.stop()
    const { session } = this
    this.session = undefined
    if (session === undefined) return done()
    session.close().then(
      () => {
        if (this.state !== 'gone') done()
      },
      (error: unknown) => {
        this.faultOf(error)
        this.connection.destroy()
      },
    )
  }

  /** Sends what was written, then closes; what the peer still sends is read and not looked at. */
  private hangUp(): void {
    if (this.state === 'gone') return
    this.state = 'deaf'
    this.outlet.flush()
    this.connection.end()
    this.connection.resume()
    this.endWithin(lingerMs)
  }

  private endWithin(ms: number, why?: string): void {
    this.deadline?.cancel()
    this.deadline = this.world.clock.after(ms, () => {
      if (why !== undefined) this.warn('amqp.connection.refused', why)
      this.connection.destroy()
    })
  }

  private onGone(): void {
    if (this.state === 'gone') return
    this.state = 'gone'
    this.outlet.close()
    this.deadline?.cancel()
    this.heartbeat?.stop()
    for (const channel of this.channels.values()) channel.abandon()
    // What was sent before the end is done before the end.
    this.isDraining = false
    this.onceQuiet(() => this.tidyUp(() => {}))
    for (const done of this.goneWaiters.splice(0)) done()
  }

  drain(timeoutMs: number): Promise<void> {
    if (this.state === 'gone') return Promise.resolve()
    const gone = new Promise<void>((resolve) => this.goneWaiters.push(resolve))
    if (this.state !== 'running') this.hangUp()
    else if (!this.isDraining) {
      this.isDraining = true
      this.onceQuiet(() => {
        this.failWith(new Fault('CONNECTION_FORCED', "broker forced connection closure with reason 'shutdown'"), 0)
      })
    }
    this.world.clock.after(timeoutMs, () => this.connection.destroy())
    return gone
  }

  destroy(): void {
    this.connection.destroy()
  }

  private warn(event: string, why: string): void {
    this.world.trace.warn(event, { peer: this.connection.remoteAddress, why: withoutOctets(why) })
  }
}
