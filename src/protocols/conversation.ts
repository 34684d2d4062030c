// A conversation: one socket's requests and answers, whatever protocol they are in.
// Promises: requests begin in arrival order and are answered in that order; a peer that sends faster than we commit, or
//   reads slower than we answer, is not read; hostile bytes cost their sender the connection.
// Does not know: frames, messages, versions. The protocol cuts requests and answers them.
//
// Kafka works on one request of a connection at a time (it mutes the channel meanwhile). We keep that for all but the
// requests a protocol calls `overlapping`: those begin while earlier overlapping ones still wait for their commit.

import { assert, InvariantError } from '../base/assert.ts'
import { DecodeError } from '../base/bytes.ts'
import { publishInflightBytesMax, requestsInFlightMax, unsentBytesMax } from '../base/limits.ts'
import type { Connection, Timer, World } from '../base/world.ts'

/** Bytes to send (none: the request wants no answer) and for how long the peer is not read after (KIP-219). */
export interface Reply {
  readonly chunks: readonly Uint8Array[]
  readonly muteMs: number
  /** Called once the bytes are with the kernel; not when the connection is gone before. */
  readonly sent?: () => void
}

/** Instead of an answer: the connection ends here. `hostile`: the peer broke the protocol. */
export interface Hangup {
  readonly hangup: string
  readonly hostile: boolean
}

export type Answer = Reply | Hangup

/** What one protocol makes of one socket's bytes. */
export interface Protocol<Request> {
  readonly name: string
  /** Takes bytes as they came. Throws DecodeError. */
  receive(chunk: Buffer): void
  /** The next whole request, undefined when more bytes are needed. Throws DecodeError. */
  next(): Request | undefined
  /** What a request weighs while it is under way. */
  bytesOf(request: Request): number
  /** Whether it may begin while earlier overlapping requests are under way. */
  overlaps(request: Request): boolean
  /** Throws (or rejects with) DecodeError for a stranger's fault; anything else thrown is our bug. */
  answer(request: Request): Answer | Promise<Answer>
  /** We are about to stop: whatever is parked should answer now. */
  hurry(): void
  /** The connection is gone: let go of everything held for it. Called once. */
  closed(): void
}

export interface ConversationOptions {
  /** A connection that is silent for this long is closed (Kafka's connections.max.idle.ms); 0: never. */
  readonly idleMs: number
  /** Told when one of our own invariants broke: the process is expected to stop. */
  readonly broken?: (error: unknown) => void
}

interface Exchange {
  answer: Answer | undefined
  readonly bytes: number
  readonly overlaps: boolean
}

/** How long a connection that we ended may take to send what is left and to say goodbye. */
const lingerMs = 2000

export class Conversation<Request> {
  private readonly world: World
  private readonly connection: Connection
  private readonly protocol: Protocol<Request>
  private readonly options: ConversationOptions
  /** Under way, oldest first: answered from the front only. */
  private readonly exchanges: Exchange[] = []
  private bytesUnderWay = 0
  /** A request that was cut but must wait for those before it. */
  private held: Request | undefined
  private pumping = false
  private reading = true
  private muted: Timer | undefined
  private idle: Timer | undefined
  private lastActivityMs: number
  /** The peer broke the protocol: it is hung up on once what came before is answered. */
  private condemned = false
  private state: 'open' | 'draining' | 'ending' | 'closed' = 'open'
  private readonly closedWaiters: (() => void)[] = []

  constructor(world: World, connection: Connection, protocol: Protocol<Request>, options: ConversationOptions) {
    this.world = world
    this.connection = connection
    this.protocol = protocol
    this.options = options
    this.lastActivityMs = world.clock.monotonicMs()
    this.watchIdle(options.idleMs)
    connection.onClose(() => this.onClosed())
    connection.onDrain(() => this.pump())
    connection.onData((chunk) => this.onData(chunk))
  }

  get isClosed(): boolean {
    return this.state === 'closed'
  }

  /** Requests that have begun and are not answered yet. */
  get underWay(): number {
    return this.exchanges.length
  }

  /** Begins no further request, answers what is under way, closes. Resolves when the connection is gone. */
  drain(timeoutMs: number): Promise<void> {
    if (this.state === 'closed') return Promise.resolve()
    const gone = new Promise<void>((resolve) => this.closedWaiters.push(resolve))
    if (this.state === 'open') {
      this.state = 'draining'
      this.held = undefined
      this.world.clock.after(timeoutMs, () => this.connection.destroy())
      this.protocol.hurry()
      this.settle()
    }
    return gone
  }

  /** Closes at once, whatever is under way. */
  destroy(): void {
    this.connection.destroy()
  }

  private onData(chunk: Buffer): void {
    if (this.state !== 'open' || this.condemned) return
    this.lastActivityMs = this.world.clock.monotonicMs()
    try {
      this.protocol.receive(chunk)
    } catch (error) {
      this.condemn(error)
    }
    this.pump()
  }

  private onClosed(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.muted?.cancel()
    this.idle?.cancel()
    this.held = undefined
    this.protocol.closed()
    for (const done of this.closedWaiters.splice(0)) done()
  }

  /** Begins every request that may begin now. */
  private pump(): void {
    if (this.pumping || this.condemned || this.state !== 'open') return
    this.pumping = true
    try {
      while (this.hasRoom()) {
        const request = this.held ?? this.protocol.next()
        this.held = request
        if (request === undefined || !this.mayBegin(request)) break
        this.held = undefined
        this.begin(request)
        if (this.state !== 'open') return
      }
    } catch (error) {
      this.condemn(error)
    } finally {
      this.pumping = false
    }
    this.adjustReading()
  }

  private condemn(error: unknown): void {
    this.condemned = true
    // What is parked need not be waited for: nothing that it would wait for reaches this peer any more.
    this.protocol.hurry()
    this.begun({ answer: this.answerOfError(error), bytes: 0, overlaps: false })
  }

  private hasRoom(): boolean {
    return (
      this.muted === undefined &&
      this.exchanges.length < requestsInFlightMax &&
      this.bytesUnderWay <= publishInflightBytesMax &&
      this.connection.unsentBytes <= unsentBytesMax
    )
  }

  private mayBegin(request: Request): boolean {
    if (this.exchanges.length === 0) return true
    return this.protocol.overlaps(request) && this.exchanges[this.exchanges.length - 1].overlaps
  }

  private begin(request: Request): void {
    const exchange: Exchange = {
      answer: undefined,
      bytes: this.protocol.bytesOf(request),
      overlaps: this.protocol.overlaps(request),
    }
    let answer: Answer | Promise<Answer>
    try {
      answer = this.protocol.answer(request)
    } catch (error) {
      answer = this.answerOfError(error)
    }
    if (!(answer instanceof Promise)) {
      exchange.answer = answer
    } else {
      answer.then(
        (value) => this.answered(exchange, value),
        (error: unknown) => this.answered(exchange, this.answerOfError(error)),
      )
    }
    this.begun(exchange)
  }

  private begun(exchange: Exchange): void {
    this.exchanges.push(exchange)
    this.bytesUnderWay += exchange.bytes
    if (exchange.answer !== undefined) this.settle()
  }

  private answered(exchange: Exchange, answer: Answer): void {
    assert(exchange.answer === undefined, 'a request is answered once')
    exchange.answer = answer
    this.settle()
    this.pump()
  }

  /** Sends the answers that are next in order. The connection gathers what a turn writes into one write. */
  private settle(): void {
    for (;;) {
      if (this.state === 'closed' || this.state === 'ending') return
      const answer = this.exchanges[0]?.answer
      if (answer === undefined) break
      this.bytesUnderWay -= this.exchanges[0].bytes
      this.exchanges.shift()
      this.lastActivityMs = this.world.clock.monotonicMs()
      if ('hangup' in answer) return this.hangUp(answer)
      if (answer.chunks.length > 0) this.connection.write(answer.chunks, answer.sent)
      if (answer.muteMs > 0) this.mute(answer.muteMs)
    }
    if (this.state === 'draining' && this.exchanges.length === 0) this.end()
  }

  private mute(forMs: number): void {
    this.muted?.cancel()
    this.muted = this.world.clock.after(forMs, () => {
      this.muted = undefined
      this.pump()
    })
  }

  /** While a request parks we go on reading, to notice that the peer leaves; not when one more already waits. */
  private adjustReading(): void {
    if (this.state !== 'open') return
    const wanted = this.held === undefined && this.hasRoom()
    if (wanted === this.reading) return
    this.reading = wanted
    if (wanted) this.connection.resume()
    else this.connection.pause()
  }

  private hangUp(why: Hangup): void {
    if (why.hostile) {
      this.world.trace.count(`${this.protocol.name}.connections.hostile`)
      this.world.trace.warn(`${this.protocol.name}.connection.refused`, {
        peer: this.connection.remoteAddress,
        why: why.hangup,
      })
    } else this.world.trace.count(`${this.protocol.name}.connections.hungup`)
    this.end()
  }

  /** Sends what was answered, then closes; the peer's goodbye is read and not waited for longer than lingerMs. */
  private end(): void {
    this.state = 'ending'
    this.held = undefined
    this.connection.end()
    this.connection.resume()
    this.world.clock.after(lingerMs, () => this.connection.destroy())
  }

  private answerOfError(error: unknown): Hangup {
    if (error instanceof DecodeError) return { hangup: error.message, hostile: true }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.world.trace.count(`${this.protocol.name}.requests.failed`)
    this.world.trace.error(`${this.protocol.name}.request.failed`, { error: text })
    if (error instanceof InvariantError) this.options.broken?.(error)
    return { hangup: 'the broker failed to answer', hostile: false }
  }

  private watchIdle(forMs: number): void {
    if (this.options.idleMs <= 0) return
    this.idle = this.world.clock.after(forMs, () => {
      const silentMs = this.world.clock.monotonicMs() - this.lastActivityMs
      if (silentMs < this.options.idleMs || this.exchanges.length > 0) {
        this.watchIdle(Math.max(1, this.options.idleMs - (this.exchanges.length > 0 ? 0 : silentMs)))
        return
      }
      this.world.trace.count(`${this.protocol.name}.connections.idle`)
      this.end()
    })
  }
}
