// A store whose appends fail when asked to: the storage port around another.
// Promises: a refused append wrote nothing and took no offset, as the port says of every refusal; all else passes.
// Does not know: when appends fail, and as what.

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
} from '../log/store.ts'
import type { Activity } from './node-activity.ts'

export type DiskFault = Extract<AppendFailureKind, 'full' | 'io'>

const why: Readonly<Record<DiskFault, string>> = {
  full: 'the disk has no room (a fault that was asked for)',
  io: 'the disk fails (a fault that was asked for)',
}

export class FaultStore implements Store {
  readonly #inner: Store
  readonly #activity: Activity
  /** How the next append fails, if it does. */
  readonly #next: () => DiskFault | undefined

  constructor(inner: Store, activity: Activity, next: () => DiskFault | undefined) {
    this.#inner = inner
    this.#activity = activity
    this.#next = next
  }

  append(entries: readonly AppendEntry[]): Promise<void> {
    const fault = this.#next()
    if (fault !== undefined) return Promise.reject(new AppendFailure(fault, why[fault]))
    return this.#activity.following(this.#inner.append(entries))
  }

  list(): readonly LogId[] {
    return this.#inner.list()
  }

  create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void> {
    return this.#activity.following(this.#inner.create(logs))
  }

  open(id: LogId, settings: LogSettings, endAtLeast?: Offset): Promise<Log> {
    return this.#activity.following(this.#inner.open(id, settings, endAtLeast))
  }

  delete(ids: readonly LogId[]): Promise<void> {
    return this.#activity.following(this.#inner.delete(ids))
  }

  usage(): StoreUsage {
    return this.#inner.usage()
  }

  bytesOf(id: LogId): number {
    return this.#inner.bytesOf(id)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
