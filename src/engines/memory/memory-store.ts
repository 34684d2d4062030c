// The storage port in memory, under a byte limit.
// Promises: the port's Store; over the limit an append is refused as 'full' and nothing is kept of it.
// Does not know: disks. Commits at the end of the turn, so that callers live with the port's order from the start.

import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/world.ts'
import {
  AppendFailure,
  type AppendEntry,
  type AppendFailureKind,
  type Log,
  type LogId,
  type LogSettings,
  type Offset,
  type Store,
  type StoreUsage,
} from '../../log/store.ts'
import { MemoryLog, type MemoryBudget } from './memory-log.ts'

export interface MemoryStoreOptions {
  /** All batches of all logs together stay below this. */
  readonly bytesMax: number
}

export function openMemoryStore(world: { readonly clock: Clock }, options: MemoryStoreOptions): Store {
  assert(options.bytesMax > 0, 'a memory store holds something')
  return new MemoryStore(world.clock, options)
}

class MemoryStore implements Store {
  readonly #clock: Clock
  readonly #budget: MemoryBudget
  readonly #logs = new Map<LogId, MemoryLog>()
  #waiting: { readonly entries: readonly AppendEntry[]; resolve(): void; reject(error: Error): void }[] = []
  #isClosed = false

  constructor(clock: Clock, options: MemoryStoreOptions) {
    this.#clock = clock
    this.#budget = { usedBytes: 0, bytesMax: options.bytesMax }
  }

  list(): readonly LogId[] {
    return [...this.#logs.keys()]
  }

  create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void> {
    if (this.#isClosed) return refused('closed', 'the store is closed')
    for (const { id } of logs) assert(!this.#logs.has(id), `${id} is created once`)
    for (const { id, settings } of logs) this.#logs.set(id, new MemoryLog(id, settings, this.#clock, this.#budget))
    return Promise.resolve()
  }

  open(id: LogId, settings: LogSettings, endAtLeast: Offset = 0 as Offset): Promise<Log> {
    const log = this.#logs.get(id)
    if (this.#isClosed || log === undefined) return refused('closed', `${id} is not there`)
    log.settings = settings
    log.epoch++
    log.raiseEnd(endAtLeast)
    return Promise.resolve(log)
  }

  delete(ids: readonly LogId[]): Promise<void> {
    if (this.#isClosed) return refused('closed', 'the store is closed')
    for (const id of ids) {
      const log = this.#logs.get(id)
      this.#logs.delete(id)
      log?.drop()
    }
    return Promise.resolve()
  }

  append(entries: readonly AppendEntry[]): Promise<void> {
    const refusal = this.#judge(entries)
    if (refusal !== undefined) return Promise.reject(refusal)
    for (const entry of entries) logOf(entry).take(entry)
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) this.#clock.endOfTurn(() => this.#commit())
      this.#waiting.push({ entries, resolve, reject })
    })
  }

  #judge(entries: readonly AppendEntry[]): AppendFailure | undefined {
    if (this.#isClosed) return new AppendFailure('closed', 'the store is closed')
    const ends = new Map<Log, number>()
    let bytes = 0
    for (const { log, epoch, expectedEnd, offsets, batch } of entries) {
      assert(offsets > 0, `${log.id}: a batch takes offsets`)
      if (this.#logs.get(log.id) !== log) return new AppendFailure('closed', `${log.id} is deleted`)
      if (epoch !== log.epoch) return new AppendFailure('fenced', `${log.id}: epoch ${epoch} is not ${log.epoch}`)
      const end = ends.get(log) ?? log.end
      if (expectedEnd !== end) return new AppendFailure('fenced', `${log.id}: its end is ${end}, not ${expectedEnd}`)
      ends.set(log, end + offsets)
      bytes += batch.length
    }
    if (this.#budget.usedBytes + bytes <= this.#budget.bytesMax) return undefined
    return new AppendFailure('full', `the memory store is full (${this.#budget.bytesMax} bytes)`)
  }

  #commit(): void {
    const waiting = this.#waiting
    this.#waiting = []
    const logs = new Set<MemoryLog>()
    for (const { entries, resolve, reject } of waiting) {
      const gone = entries.find(({ log }) => logOf({ log }).isDeleted)
      for (const entry of entries) if (!logOf(entry).isDeleted) logs.add(logOf(entry))
      if (gone === undefined) resolve()
      else reject(new AppendFailure('closed', `${gone.log.id} is deleted`))
    }
    for (const log of logs) log.commit()
  }

  usage(): StoreUsage {
    const { usedBytes, bytesMax } = this.#budget
    return { usedBytes, freeBytes: bytesMax - usedBytes }
  }

  bytesOf(id: LogId): number {
    return this.#logs.get(id)?.bytes ?? 0
  }

  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#commit()
    this.#isClosed = true
    for (const log of this.#logs.values()) log.drop()
    this.#logs.clear()
    return Promise.resolve()
  }
}

function logOf({ log }: { readonly log: Log }): MemoryLog {
  assert(log instanceof MemoryLog, `${log.id} is a log of this store`)
  return log
}

function refused(kind: AppendFailureKind, why: string): Promise<never> {
  return Promise.reject(new AppendFailure(kind, why))
}
