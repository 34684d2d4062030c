// The world as the broker sees it: clock, random numbers, disk, sockets, a place for log lines.
// Promises: interfaces only; the one real implementation is server/node-world.ts, tests bring their own.
// Does not know: Node. Nothing below server/ imports node:fs, node:net, timers, Date or Math.random.

/** A pending timer. cancel() is idempotent. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  nowMs(): number
  /** Monotonic milliseconds with fraction, for durations and deadlines. */
  monotonicMs(): number
  /** Runs `task` once after `delayMs`. Timers do not keep the process alive. */
  after(delayMs: number, task: () => void): Timer
  /** Runs `task` at the end of this turn of the event loop, before sockets are read again. */
  endOfTurn(task: () => void): void
}

export interface Random {
  /** `bytes` unpredictable bytes. */
  bytes(bytes: number): Buffer
  /** A number in [0, 1): jitter and choice only. */
  fraction(): number
}

export type DiskErrorKind = 'full' | 'missing' | 'exists' | 'denied' | 'io'

/** What a disk says when it cannot. `path` is the file or folder concerned. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly kind: DiskErrorKind
  readonly path: string
  constructor(kind: DiskErrorKind, path: string, cause: string) {
    super(`${path}: ${cause}`)
    this.kind = kind
    this.path = path
  }
}

export interface DiskEntry {
  readonly name: string
  readonly isFolder: boolean
}

/** An open file. Positions are absolute bytes; nothing is appended implicitly. All may throw DiskError. */
export interface DiskFile {
  readonly path: string
  /** Bytes in the file now. */
  bytes(): number
  /** Writes all chunks one after the other from `position`, before it returns. For small writes. */
  writeNow(chunks: readonly Uint8Array[], position: number): void
  /** As writeNow, off the loop. For large writes. */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  /** Reads up to target.length bytes; returns how many were there. Short only at the end of the file. */
  readNow(target: Uint8Array, position: number): number
  read(target: Uint8Array, position: number): Promise<number>
  /** fdatasync: when it resolves, all that was written before the call is on the medium. */
  sync(): Promise<void>
  truncate(bytes: number): void
  /** Reserves room (the file grows to `bytes`, zero filled). */
  allocate(bytes: number): void
  close(): void
}

export interface Disk {
  /** How many files and sockets the process may have open. */
  readonly openFilesMax: number
  makeFolder(path: string): void
  /** Entries of a folder, sorted by name; an absent folder has none. */
  list(path: string): DiskEntry[]
  exists(path: string): boolean
  /** `create`: made when absent, kept when present. `read`: must exist, not writable. */
  open(path: string, mode: 'create' | 'read'): DiskFile
  /** Whole file, or undefined when it is not there. For small files. */
  readFile(path: string): Buffer | undefined
  /** Writes a new file beside `path`, syncs it, renames it over `path`, syncs the folder. */
  replaceFile(path: string, content: Uint8Array): Promise<void>
  rename(source: string, target: string): void
  removeFile(path: string): void
  removeFolder(path: string): void
  syncFolder(path: string): Promise<void>
  freeBytes(path: string): number
  /** Takes a lock on `path` for this process; a holder that is dead is passed over. Refusal names the holder. */
  lock(path: string): { release(): void } | { heldBy: string }
}

/** One accepted stream connection. */
export interface Connection {
  readonly remoteAddress: string
  /** The address the client connected to, as host and port. */
  readonly localHost: string
  readonly localPort: number
  /** Called with bytes as they come. The chunk is the callee's during the call only: what is kept is copied. */
  onData(take: (chunk: Buffer) => void): void
  /** Called once: the peer ended, reset, or we closed. */
  onClose(done: () => void): void
  /**
   * Chunks are written in order; false when the outgoing buffer is above its mark (wait for onDrain). `sent` is called
   * once the kernel has them and they may change; not at all when the connection is gone already.
   */
  write(chunks: readonly Uint8Array[], sent?: () => void): boolean
  onDrain(task: () => void): void
  /** Stops and restarts reading: back-pressure to the peer. */
  pause(): void
  resume(): void
  /** Bytes accepted by write() and not yet handed to the kernel. */
  readonly unsentBytes: number
  /** Sends what is buffered, then closes. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

export interface Listener {
  readonly host: string
  readonly port: number
  /** Stops accepting; open connections stay. */
  close(): Promise<void>
}

export interface Net {
  /** host:port, or a unix socket path. Rejects with NetError. */
  listen(
    at: { host: string; port: number } | { path: string },
    accept: (connection: Connection) => void,
  ): Promise<Listener>
}

/** A request as a web server of the world hands it over, its body whole and within the bound given. */
export interface HttpRequest {
  readonly method: string
  /** Without query, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  readonly body: Buffer
}

export interface HttpResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** A listener that could not be opened, in one line for people. */
export class NetError extends Error {
  override readonly name = 'NetError'
}

export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly net: Net
  readonly trace: Trace
}

/** Log lines and counters. Values never hold secrets or message bodies. */
export interface Trace {
  info(event: string, values?: Readonly<Record<string, string | number | boolean>>): void
  warn(event: string, values?: Readonly<Record<string, string | number | boolean>>): void
  error(event: string, values?: Readonly<Record<string, string | number | boolean>>): void
  /** Adds to a named counter. Names are constant strings, labels few. */
  count(name: string, by?: number): void
  /** All counters, for metrics and tests. */
  counters(): ReadonlyMap<string, number>
}
