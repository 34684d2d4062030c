/// <reference lib="esnext.disposable" preserve="true" />
// What a program sees of the broker that it runs inside itself: the types of the package, and its two errors.
// Promises: everything here is public and keeps its shape between minor versions; no type of Node is needed to read it.
// Does not know: how it is done (embedded.ts and the files that it puts together).

/** What `startBroker` is told. All of it may be left out: in memory, on free ports of 127.0.0.1, on the real clock. */
export interface BrokerOptions {
  /** `memory:` forgets everything at the end and holds 1 GiB, `file:DIR` keeps everything in one folder. Default: `memory:`. */
  readonly store?: string | undefined
  /** HOST:PORT for Kafka clients; port 0 takes any free one, `off` listens nowhere. Default: `127.0.0.1:0`. */
  readonly kafka?: string | undefined
  /** HOST:PORT for RabbitMQ's clients; port 0 takes any free one, `off` listens nowhere. Default: `127.0.0.1:0`. */
  readonly amqp?: string | undefined
  /** HOST:PORT that Kafka clients are told to connect to. Default: the address they did connect to. */
  readonly advertise?: string | undefined
  /** An acknowledgement means synced to the medium (`commit`, the default), or given to the kernel (`os`). */
  readonly durability?: 'commit' | 'os' | undefined
  /** What is written to stderr. Default: `warn`. */
  readonly logLevel?: 'silent' | 'error' | 'warn' | 'info' | undefined
  /** How: lines for people (the default) or a JSON object each. */
  readonly logFormat?: 'line' | 'json' | undefined
  /** Broker settings by Kafka's names, for example `{ 'num.partitions': 3 }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined
  /**
   * `virtual`: time stands still until `broker.clock.advance()` moves it. Everything the broker waits for is on this
   * clock; what concerns a socket (heartbeats of AMQP, how long a fetch may wait, idle connections) stays on the real
   * one, because the client at the other end lives there. Default: `real`.
   */
  readonly clock?: 'real' | 'virtual' | undefined
}

/** A broker in this process. */
export interface RunningBroker {
  /** What Kafka clients take as bootstrap server: `127.0.0.1:49152`; `off` when so configured. */
  readonly kafka: string
  /** What RabbitMQ's clients take as URL: `amqp://guest:guest@127.0.0.1:49153`; `off` when so configured. */
  readonly amqp: string
  /** Topics without a client: to prepare a test, and to look at what came of it. */
  readonly topics: Topics
  /** Queues without a client: their names and counts. */
  readonly queues: Queues
  /** What goes wrong in production, on demand. */
  readonly faults: Faults
  /** The data folder; undefined in memory. */
  readonly dataPath?: string
  /**
   * Resolves when storage failed for good or a bug was found: this broker promises nothing any more. The process goes
   * on, and so do other brokers in it; what is left to do here is `close()`.
   */
  readonly failed: Promise<Error>
  /**
   * Answers what is in flight, syncs, releases everything. May be called again; what else is asked of a closed broker is
   * refused, with the reason `closed`.
   */
  close(): Promise<void>
  /** As `close()`: `await using broker = await startBroker()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A broker whose time is the test's. */
export interface VirtualBroker extends RunningBroker {
  /** Moves time: `await broker.clock.advance('1h')`. */
  readonly clock: BrokerClock
}

/** `1500` milliseconds, or `'250ms'`, `'90s'`, `'5m'`, `'1h'`, `'7d'`, up to a thousand years. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Time stands still between two calls of `advance`. It begins at the real time of the start. */
export interface BrokerClock {
  /** Whole milliseconds since 1970. */
  now(): number
  /**
   * Moves time. Everything that comes due on the way happens at its time, in order: TTLs, delays, sessions of groups,
   * retention … Each time what it sets going is waited for, to the disk and to clients of this process, as far as they
   * answer at once. Resolves when nothing that is due is left. Calls follow one another; `close()` ends the one that is
   * under way.
   */
  advance(by: Duration): Promise<void>
}

// --- faults -----------------------------------------------------------------------------------------------------

/**
 * What goes wrong in production, on demand. A fault of the network hits what is sent from now on, over all connections
 * together; of several that an answer meets the newest strikes. Every fault ends by itself once its count is used up, or
 * by `heal()`. What answers nothing, a heartbeat, is neither counted nor dropped.
 */
export interface Faults {
  /**
   * The broker does what it is asked and the next `count` answers never leave. The client then waits for as long as it
   * would, unless `thenDisconnect` cuts its connection, which is how an answer gets lost in a real network; what was
   * answered before arrives. One answer may be for many: a `basic.ack` often confirms several messages.
   */
  dropResponses(count: number, of?: ResponsesOf & { readonly thenDisconnect?: boolean }): Fault
  /** Answers, and whatever follows them on their connection, leave `byMs` of real time later. */
  delayResponses(byMs: number, of?: ResponsesOf): Fault
  /** Cuts the open connections, all or those of one protocol; answers how many. */
  disconnect(protocol?: 'kafka' | 'amqp'): number
  /** New connections are cut at once; open ones stay. */
  refuseConnections(protocol?: 'kafka' | 'amqp'): Fault
  /**
   * Nothing can be stored: `full` is a disk without room, `io` one that fails. With a count only so many appends fail,
   * one append being what the broker writes at once: often the records of several clients.
   */
  failDisk(as: 'full' | 'io', appends?: number): Fault
  /** Ends all that are left. */
  heal(): void
}

/** Which answers a fault is about; without a word, all. */
export interface ResponsesOf {
  readonly protocol?: 'kafka' | 'amqp'
  /**
   * Kafka's name of the request (`Produce`, `OffsetCommit`) or AMQP's of the method that is sent (`basic.ack`, `basic.deliver`);
   * it says the protocol too.
   */
  readonly name?: string
}

/** A fault that was asked for. */
export interface Fault {
  /** How often it struck. */
  readonly hits: number
  /** Ends it. */
  heal(): void
}

// --- topics and queues ------------------------------------------------------------------------------------------

/** Topics without a client: to prepare a test, and to look at what came of it. A queue's name is a topic's too. */
export interface Topics {
  create(
    name: string,
    options?: {
      readonly partitions?: number
      readonly settings?: Readonly<Record<string, string | number | boolean>>
    },
  ): Promise<void>
  delete(name: string): Promise<void>
  /** Sorted by name. */
  list(): Promise<TopicSummary[]>
  /**
   * Stores records; resolves when they are. A missing topic is made as for a Kafka client. Without `partition` a key
   * decides as in Kafka's Java client; records without a key go to one partition a call, in turn.
   */
  produce(name: string, records: RecordToStore | readonly RecordToStore[]): Promise<StoredPlace[]>
  /**
   * Every record that a Kafka client could read now, by partition and offset. Keys, values and headers are read as
   * UTF-8; where one is not, this rejects and `{ as: 'bytes' }` is what to ask for.
   */
  records(name: string, options?: { readonly as?: 'text' }): Promise<StoredRecord<string>[]>
  records(name: string, options: { readonly as: 'bytes' }): Promise<StoredRecord<Uint8Array>[]>
}

/** A topic by name and size. */
export interface TopicSummary {
  readonly name: string
  readonly partitions: number
}

/** What `topics.produce` takes. */
export interface RecordToStore {
  readonly key?: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly headers?: Readonly<Record<string, string | Uint8Array | null>>
  readonly partition?: number
  /** Milliseconds since 1970; default: now, by the broker's clock. */
  readonly timestamp?: number
}

/** Where a record is. */
export interface StoredPlace {
  readonly partition: number
  readonly offset: number
}

/** What `topics.records` answers: `Bytes` are strings, or arrays where bytes were asked for. */
export interface StoredRecord<Bytes> extends StoredPlace {
  readonly key: Bytes | null
  readonly value: Bytes | null
  /**
   * A name that comes several times has a list of values. Of a message that an AMQP client published, the header in
   * which Odradek keeps its properties is there only `as: 'bytes'`.
   */
  readonly headers: Readonly<Record<string, Bytes | null | (Bytes | null)[]>>
  /** Milliseconds since 1970. */
  readonly timestamp: number
}

/** Queues of RabbitMQ's clients, looked at. To publish and to consume there are the clients. */
export interface Queues {
  /** Sorted by name. */
  list(): Promise<string[]>
  /** Counted after everything that was published before. */
  counts(name: string): Promise<QueueCounts>
}

/** How many of what a queue has. */
export interface QueueCounts {
  /** Ready to be delivered. */
  readonly ready: number
  /** Delivered and not settled. */
  readonly unacknowledged: number
  readonly consumers: number
}

// --- errors -----------------------------------------------------------------------------------------------------

/** Why a broker did not start: a line for people. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure'
}

/** What a broker would not do, of what it was asked for without a client. `reason` is one word for programs. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused'
  readonly reason: string
  constructor(reason: string, why: string) {
    super(why)
    this.reason = reason
  }
}
