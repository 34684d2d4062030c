// What stands in for sockets, clock and log lines in the tests of this floor.
// Promises: time moves only when told to; a connection shows what was written, paused, ended.
// Does not know: any protocol.

import { randomBytes } from 'node:crypto'
import type { Connection, Disk, Net, Timer, World } from '../base/world.ts'

interface Waiting {
  readonly atMs: number
  readonly task: () => void
}

/** A world whose clock is turned by hand. */
export class StubWorld implements World {
  readonly disk = {} as Disk
  readonly net = {} as Net
  readonly random = { bytes: (bytes: number) => randomBytes(bytes), fraction: () => 0.5 }
  readonly lines: { readonly event: string; readonly values: unknown }[] = []
  private readonly counted = new Map<string, number>()
  private timeMs = 1_000
  private waiting: Waiting[] = []
  private endings: (() => void)[] = []

  readonly trace = {
    info: (event: string, values?: unknown): void => void this.lines.push({ event, values }),
    warn: (event: string, values?: unknown): void => void this.lines.push({ event, values }),
    error: (event: string, values?: unknown): void => void this.lines.push({ event, values }),
    count: (name: string, by = 1): void => void this.counted.set(name, (this.counted.get(name) ?? 0) + by),
    counters: (): ReadonlyMap<string, number> => this.counted,
  }

  readonly clock = {
    nowMs: (): number => this.timeMs,
    monotonicMs: (): number => this.timeMs,
    after: (delayMs: number, task: () => void): Timer => {
      const entry = { atMs: this.timeMs + delayMs, task }
      this.waiting.push(entry)
      return { cancel: () => void (this.waiting = this.waiting.filter((other) => other !== entry)) }
    },
    endOfTurn: (task: () => void): void => void this.endings.push(task),
  }

  /** Timers that were set and neither ran nor were cancelled. */
  get timers(): number {
    return this.waiting.length
  }

  /** Lets all that can go on go on, ends of turns included. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet++) {
      await new Promise<void>((resolve) => void setImmediate(resolve))
      const endings = this.endings
      this.endings = []
      if (endings.length > 0) quiet = -1
      for (const task of endings) task()
    }
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.timeMs + ms
    for (;;) {
      const next = this.waiting.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.waiting = this.waiting.filter((other) => other !== next)
      this.timeMs = Math.max(this.timeMs, next.atMs)
      next.task()
      await this.settle()
    }
    this.timeMs = untilMs
    await this.settle()
  }
}

export class StubConnection implements Connection {
  readonly remoteAddress = '192.0.2.7'
  readonly localHost = '192.0.2.1'
  readonly localPort = 9092
  unsentBytes = 0
  isReading = true
  state: 'open' | 'ended' | 'destroyed' = 'open'
  written: Buffer[] = []
  private takers: ((chunk: Buffer) => void)[] = []
  private closers: (() => void)[] = []
  private drainers: (() => void)[] = []

  onData(take: (chunk: Buffer) => void): void {
    this.takers.push(take)
  }
  onClose(done: () => void): void {
    this.closers.push(done)
  }
  onDrain(task: () => void): void {
    this.drainers.push(task)
  }
  write(chunks: readonly Uint8Array[]): boolean {
    for (const chunk of chunks) this.written.push(Buffer.from(chunk))
    return true
  }
  pause(): void {
    this.isReading = false
  }
  resume(): void {
    this.isReading = true
  }
  end(): void {
    if (this.state === 'open') this.state = 'ended'
  }
  destroy(): void {
    if (this.state === 'destroyed') return
    this.state = 'destroyed'
    for (const done of this.closers) done()
  }

  /** The peer sends. */
  send(...chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) for (const take of this.takers) take(Buffer.from(chunk))
  }
  /** The peer goes. */
  leave(): void {
    this.destroy()
  }
  /** The kernel took everything. */
  drained(): void {
    this.unsentBytes = 0
    for (const task of this.drainers) task()
  }
  get text(): string {
    return Buffer.concat(this.written).toString()
  }
}
