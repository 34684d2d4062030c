// A Kafka connection: frames to handlers and back, over one conversation.
// Promises: an API or version that is not served costs the connection, as Kafka does, but an unknown ApiVersions is
//   told what to come back with; a session of the door for each client id a connection uses.
// Does not know: what any request means; listeners and their sockets (server/).

import { BufferPool } from '../../base/buffer-pool.ts'
import { DecodeError } from '../../base/bytes.ts'
import { frameSpareBytesMax, kafkaFrameBytesMax } from '../../base/limits.ts'
import type { Connection, World } from '../../base/world.ts'
import type { Session, SessionIdentity } from '../../broker/door.ts'
import { apis } from '../../wire/kafka/api-table.ts'
import { decodeRequestHead, encodeResponse, FrameCutter, type RequestHead } from '../../wire/kafka/frame.ts'
import { Conversation, type Answer, type Protocol } from '../conversation.ts'
import { unknownApiVersions } from './api-versions.ts'
import { advertised, servedByKey, type ServedApi } from './apis.ts'
import { clientIdCharsMax, kafkaVhost, type Call } from './call.ts'
import { FetchSessions } from './fetch-session.ts'

export interface KafkaOptions {
  readonly world: World
  /** The door. Called for each connection and client id. */
  readonly openSession: (identity: SessionIdentity) => Session
  /** What clients are told to connect to; undefined: the address they connected to. */
  readonly advertise?: { readonly host: string; readonly port: number }
  /** Kafka's connections.max.idle.ms; 0: never. */
  readonly idleMs?: number
  /** Told when an invariant of ours broke: stop the process. */
  readonly broken?: (error: unknown) => void
}

/** One open conversation. */
export interface KafkaConversation {
  readonly isClosed: boolean
  /** Begins no further request, answers what is under way, closes. Resolves when the connection is gone. */
  drain(timeoutMs: number): Promise<void>
  destroy(): void
}

/** What all conversations of a broker share. */
export interface Kafka {
  converse(connection: Connection): KafkaConversation
}

const idleMsDefault = 10 * 60 * 1000

export function openKafka(options: KafkaOptions): Kafka {
  const fetchSessions = new FetchSessions(options.world)
  const framePool = new BufferPool(frameSpareBytesMax)
  return {
    converse: (connection) => {
      const protocol = new KafkaProtocol(options, connection, fetchSessions, framePool)
      const { idleMs = idleMsDefault, broken } = options
      return new Conversation(
        options.world,
        connection,
        protocol,
        broken === undefined ? { idleMs } : { idleMs, broken },
      )
    },
  }
}

interface KafkaRequest {
  readonly frame: Buffer
  readonly head: RequestHead
  /** undefined: ApiVersions in a version we do not know. */
  readonly served: ServedApi | undefined
}

class KafkaProtocol implements Protocol<KafkaRequest> {
  readonly name = 'kafka'
  private readonly options: KafkaOptions
  private readonly connection: Connection
  private readonly fetchSessions: FetchSessions
  private readonly framePool: BufferPool
  private readonly cutter: FrameCutter
  private frames: Buffer[] = []
  private nextFrame = 0
  private readonly parked = new Set<() => void>()
  private hurried = false
  private session: { readonly clientId: string; readonly session: Session } | undefined

  constructor(options: KafkaOptions, connection: Connection, fetchSessions: FetchSessions, framePool: BufferPool) {
    this.framePool = framePool
    this.cutter = new FrameCutter(kafkaFrameBytesMax, framePool)
    this.options = options
    this.connection = connection
    this.fetchSessions = fetchSessions
  }

  receive(chunk: Buffer): void {
    const frames = this.cutter.push(chunk)
    if (this.nextFrame === this.frames.length) {
      this.frames = frames
      this.nextFrame = 0
    } else for (const frame of frames) this.frames.push(frame)
  }

  next(): KafkaRequest | undefined {
    if (this.nextFrame === this.frames.length) return undefined
    const frame = this.frames[this.nextFrame++]
    // A frame that was taken is not kept alive by a connection that falls silent.
    if (this.nextFrame === this.frames.length) {
      this.frames = []
      this.nextFrame = 0
    }
    const head = decodeRequestHead(frame)
    if (head.clientId !== null && head.clientId.length > clientIdCharsMax) {
      throw new DecodeError(`a client id of more than ${clientIdCharsMax} characters`)
    }
    const served = servedByKey.get(head.apiKey)
    if (served !== undefined && head.apiVersion >= served.min && head.apiVersion <= served.max) {
      return { frame, head, served }
    }
    if (head.apiKey === apis.apiVersions.key) return { frame, head, served: undefined }
    this.options.world.trace.count('kafka.requests.unsupported')
    throw new DecodeError(`API ${served?.api.name ?? head.apiKey} version ${head.apiVersion} is not served`)
  }

  bytesOf(request: KafkaRequest): number {
    return request.frame.length
  }

  overlaps(request: KafkaRequest): boolean {
    return request.served !== undefined && request.served.overlaps
  }

  answer({ frame, head, served }: KafkaRequest): Answer | Promise<Answer> {
    if (served !== undefined) {
      this.options.world.trace.count(served.counter)
      const answer = served.answer(this.callOf(head, frame.length), frame, head)
      // A batch is copied by whoever keeps it, so nothing of a produce request is needed once it has begun.
      if (head.apiKey === apis.produce.key) this.framePool.giveBack(frame)
      return answer
    }
    const own = advertised.find(({ apiKey }) => apiKey === apis.apiVersions.key)
    const response = unknownApiVersions(own ?? { apiKey: apis.apiVersions.key, minVersion: 0, maxVersion: 0 })
    return { chunks: encodeResponse(apis.apiVersions, 0, head.correlationId, response), muteMs: 0 }
  }

  hurry(): void {
    this.hurried = true
    for (const wake of this.parked) wake()
  }

  closed(): void {
    this.hurry()
  }

  private callOf(head: RequestHead, requestBytes: number): Call {
    const { connection, options } = this
    return {
      world: options.world,
      session: this.sessionOf(head.clientId ?? ''),
      version: head.apiVersion,
      clientId: head.clientId ?? '',
      clientHost: `/${connection.remoteAddress}`,
      requestBytes,
      host: options.advertise?.host ?? connection.localHost,
      port: options.advertise?.port ?? connection.localPort,
      advertised,
      fetchSessions: this.fetchSessions,
      park: (wake) => this.park(wake),
    }
  }

  private park(wake: () => void): () => void {
    if (this.hurried) wake()
    else this.parked.add(wake)
    return () => this.parked.delete(wake)
  }

  private sessionOf(clientId: string): Session {
    if (this.session?.clientId !== clientId) {
      const address = this.connection.remoteAddress
      const identity = { vhost: kafkaVhost, principal: 'User:ANONYMOUS', clientId, address }
      this.session = { clientId, session: this.options.openSession(identity) }
    }
    return this.session.session
  }
}
