// Sockets between which things go wrong: base/world's Net around another, for one protocol.
// Promises: without a fault every byte passes as it is; what is dropped or late is whole answers, in order; a connection
// that is cut is closed on both sides.
// Does not know: which faults there are (faults.ts asks for them); protocols beyond where an answer begins and ends.

import type { Clock, Connection, Listener, Net } from '../base/world.ts'
import type { ResponseCutter } from './response-cutter.ts'

/** What is to become of one answer. */
export interface Fate {
  readonly drops: boolean
  readonly cuts: boolean
  readonly delayMs: number
}

/** What a net asks before it lets something pass. */
export interface FaultRules {
  /** Whether any answer may have a fate: then they are looked at one by one. */
  readonly concernsResponses: boolean
  fateOf(response: string): Fate | undefined
  refusesConnection(): boolean
}

export class FaultNet implements Net {
  readonly #inner: Net
  readonly #clock: Clock
  readonly #rules: FaultRules
  readonly #cutter: () => ResponseCutter
  /** Told of bytes that come and go. */
  readonly #stirred: () => void
  readonly #open = new Set<Connection>()

  constructor(inner: Net, clock: Clock, rules: FaultRules, cutter: () => ResponseCutter, stirred: () => void) {
    this.#inner = inner
    this.#clock = clock
    this.#rules = rules
    this.#cutter = cutter
    this.#stirred = stirred
  }

  listen(
    at: { host: string; port: number } | { path: string },
    accept: (connection: Connection) => void,
  ): Promise<Listener> {
    return this.#inner.listen(at, (connection) => {
      if (this.#rules.refusesConnection()) return connection.destroy()
      this.#open.add(connection)
      connection.onClose(() => {
        this.#open.delete(connection)
        this.#stirred()
      })
      this.#stirred()
      accept(new FaultConnection(connection, this.#clock, this.#rules, this.#cutter(), this.#stirred))
    })
  }

  /** Cuts what is open; answers how many. */
  disconnect(): number {
    const open = [...this.#open]
    for (const connection of open) connection.destroy()
    return open.length
  }
}

interface Late {
  readonly bytes: Buffer
  readonly dueMs: number
}

class FaultConnection implements Connection {
  readonly remoteAddress: string
  readonly localHost: string
  readonly localPort: number
  readonly #inner: Connection
  readonly #clock: Clock
  readonly #rules: FaultRules
  readonly #cutter: ResponseCutter
  readonly #stirred: () => void
  /** What waits for its time, and for what waits before it. */
  readonly #late: Late[] = []
  #lateBytes = 0
  #isEnding = false
  #isGone = false
  readonly #drained: (() => void)[] = []

  constructor(inner: Connection, clock: Clock, rules: FaultRules, cutter: ResponseCutter, stirred: () => void) {
    this.remoteAddress = inner.remoteAddress
    this.localHost = inner.localHost
    this.localPort = inner.localPort
    this.#inner = inner
    this.#clock = clock
    this.#rules = rules
    this.#cutter = cutter
    this.#stirred = stirred
    inner.onClose(() => {
      this.#isGone = true
    })
  }

  onData(take: (chunk: Buffer) => void): void {
    this.#inner.onData((chunk) => {
      this.#stirred()
      this.#cutter.asked(chunk)
      take(chunk)
    })
  }

  onClose(done: () => void): void {
    this.#inner.onClose(done)
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): boolean {
    this.#stirred()
    if (!this.#rules.concernsResponses && this.#late.length === 0) return this.#inner.write(chunks, sent)
    if (this.#isGone) return true
    this.#judge(Buffer.concat(chunks))
    // What passes is a copy.
    if (sent !== undefined) this.#clock.endOfTurn(sent)
    return this.unsentBytes < unsentBytesMark
  }

  #judge(bytes: Buffer): void {
    let passing: Buffer[] = []
    let isCut = false
    this.#cutter.responses(bytes, (name, response) => {
      // What would have come after the cut meets no fault: it is lost with its connection.
      if (isCut) return
      const fate = this.#rules.fateOf(name)
      if (fate === undefined) return void passing.push(response)
      isCut = fate.cuts
      if (fate.drops) return
      this.#pass(passing)
      passing = []
      this.#delay(response, fate.delayMs)
    })
    if (isCut) this.#cutAfter(passing)
    else this.#pass(passing)
  }

  /** What was answered before still arrives, unless it is late: then it is lost too. */
  #cutAfter(responses: readonly Buffer[]): void {
    if (responses.length === 0 || this.#late.length > 0) return this.destroy()
    this.#isGone = true
    this.#inner.pause()
    this.#inner.write(responses, () => this.#inner.destroy())
  }

  #pass(responses: readonly Buffer[]): void {
    if (responses.length === 0) return
    if (this.#late.length === 0) this.#inner.write(responses)
    else for (const response of responses) this.#delay(response, 0)
  }

  #delay(bytes: Buffer, delayMs: number): void {
    const dueMs = Math.max(this.#clock.monotonicMs() + delayMs, this.#late.at(-1)?.dueMs ?? 0)
    this.#late.push({ bytes, dueMs })
    this.#lateBytes += bytes.length
    if (this.#late.length === 1) this.#waitForFirst()
  }

  #waitForFirst(): void {
    this.#clock.after(Math.max(0, this.#late[0].dueMs - this.#clock.monotonicMs()), () => {
      if (this.#isGone) return
      const nowMs = this.#clock.monotonicMs()
      while (this.#late.length > 0 && this.#late[0].dueMs <= nowMs) {
        const { bytes } = this.#late.shift() as Late
        this.#lateBytes -= bytes.length
        this.#inner.write([bytes])
        this.#stirred()
      }
      if (this.#late.length > 0) return this.#waitForFirst()
      for (const task of this.#drained) task()
      if (this.#isEnding) this.#inner.end()
    })
  }

  onDrain(task: () => void): void {
    this.#drained.push(task)
    this.#inner.onDrain(task)
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  get unsentBytes(): number {
    return this.#inner.unsentBytes + this.#lateBytes
  }

  end(): void {
    this.#isEnding = true
    if (this.#late.length === 0) this.#inner.end()
  }

  destroy(): void {
    this.#isGone = true
    this.#late.length = 0
    this.#lateBytes = 0
    this.#inner.destroy()
  }
}

/** As the real sockets have it. */
const unsentBytesMark = 1024 * 1024
