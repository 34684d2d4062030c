// What waits for the journal: appends and single promises, gathered into entries; one sync for all that are written.
// Promises: an append joins an entry only with or after all that was taken before it in its logs; entries settle in
// order. A journal that fails fails everything, once. Does not know: the journal's bytes; what follows a commit.

import { DiskError } from '../../base/world.ts'
import { AppendFailure } from '../../log/store.ts'
import type { Part } from './journal/entry.ts'
import type { Journal, WrittenEntry } from './journal/journal.ts'
import type { Partition, PartitionAppend, PartitionItem } from './partition.ts'
import { noSequence } from './item.ts'
import { journalEntryBytesMax } from './options.ts'

export interface JournalQueueHost {
  /** These parts of appends are committed. */
  onJournalled(items: readonly PartitionItem[]): void
  onRefused(item: PartitionItem, why: AppendFailure): void
  /** The journal has no room until something is recycled; false: nothing can be. */
  onJournalFull(): void
  onJournalFailed(error: unknown): void
  /** The journal is free for the next entry. */
  onJournalIdle(): void
}

/** A promise that is no append: a trim, a create, a delete, a checkpoint of a segment. */
interface Control {
  readonly parts: readonly Part[]
  readonly resolve: (sequence: number) => void
  readonly reject: (why: Error) => void
}

/** An entry of the journal that waits for its sync, and who waits for it. */
interface Entry extends WrittenEntry {
  readonly items: readonly PartitionItem[]
  readonly controls: readonly Control[]
}

export class JournalQueue {
  readonly #journal: Journal
  readonly #host: JournalQueueHost
  readonly #earlyBytesMin: number
  #appends: PartitionAppend[] = []
  #controls: Control[] = []
  /** Written and not synced yet, oldest first. */
  #written: Entry[] = []
  #isSyncing = false
  #deletesUnderWay = 0
  #settling: { readonly below: number; resolve(): void }[] = []
  #stopped: AppendFailure | undefined

  constructor(journal: Journal, earlyBytesMin: number, host: JournalQueueHost) {
    this.#journal = journal
    this.#earlyBytesMin = earlyBytesMin
    this.#host = host
  }

  get isIdle(): boolean {
    return this.#stopped !== undefined || (!this.#isBusy && this.#appends.length === 0 && this.#controls.length === 0)
  }

  get #isBusy(): boolean {
    return this.#isSyncing || this.#journal.isWriting || this.#written.length > 0
  }

  add(append: PartitionAppend): void {
    this.#appends.push(append)
  }

  /** Promises the parts. `committed` runs when they are on the medium, before anything that waits for it. */
  promise(parts: readonly Part[], committed: (sequence: number) => void): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    return new Promise((resolve, reject) => {
      const done = (sequence: number): void => {
        // What fails here is this promise's alone: the entry is on the medium, and others wait for it too.
        try {
          committed(sequence)
          resolve()
        } catch (error) {
          reject(error)
        }
      }
      this.#controls.push({ parts, resolve: done, reject })
      this.pump()
    })
  }

  pump(): void {
    if (this.#stopped !== undefined || this.#journal.isWriting) return
    // The next entry is written while a sync runs only if there is much of it, or something urgent: else what comes
    // meanwhile joins it. Nothing is written behind a delete that is not settled: what waits for that log is refused
    // then.
    if (this.#deletesUnderWay === 0 && (!this.#isSyncing || this.#isWorthEarly())) this.#writeNext()
    if (!this.#isSyncing && this.#written.length > 0) void this.#sync()
  }

  #isWorthEarly(): boolean {
    if (this.#journal.isFarAhead) return false
    let bytes = 0
    for (const append of this.#appends) {
      bytes += append.bytes
      if (append.isUrgent || bytes >= this.#earlyBytesMin) return true
    }
    return false
  }

  #writeNext(): void {
    if (this.#appends.length === 0 && this.#controls.length === 0) return
    const items: PartitionItem[] = []
    const parts: Part[] = []
    const sequence = this.#journal.nextSequence
    const left = this.#gather(sequence, items, parts)
    for (const control of this.#controls) parts.push(...control.parts)
    if (parts.length === 0) return void (this.#appends = left)
    if (!this.#hasRoom(items, parts)) {
      for (const item of items) if (item.state === 'waiting') item.sequence = noSequence
      return
    }
    const controls = this.#controls
    this.#controls = []
    this.#deletesUnderWay += deletesIn(controls)
    for (const item of items) {
      if (item.state !== 'waiting') continue
      item.state = 'journalling'
      if (item.partition.settings.durability !== 'scratch') item.partition.chain.dirtyAt(sequence)
    }
    this.#appends = left
    try {
      const written = this.#journal.write(parts)
      if (!(written instanceof Promise)) return void this.#written.push({ ...written, items, controls })
      written.then(
        (entry) => {
          this.#written.push({ ...entry, items, controls })
          this.pump()
        },
        (error: unknown) => this.#fail(error, [{ items, controls }]),
      )
    } catch (error) {
      this.#fail(error, [{ items, controls }])
    }
  }

  /** What destroys or was written before may use the reserve, so that a full disk can become less full. */
  #hasRoom(items: readonly PartitionItem[], parts: readonly Part[]): boolean {
    const mayUseReserve = items.every(({ state }) => state === 'landed')
    try {
      const room = this.#journal.prepare(parts, mayUseReserve)
      if (room === 'wait') this.#host.onJournalFull()
      return room === 'ready'
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.refuse(new AppendFailure(error.kind === 'full' ? 'full' : 'io', error.message), mayUseReserve)
    }
    return false
  }

  /** What goes into the entry of this sequence, marked with it; answers what stays behind. */
  #gather(sequence: number, items: PartitionItem[], parts: Part[]): PartitionAppend[] {
    const landed = new Set<Partition>()
    const left: PartitionAppend[] = []
    let bytes = 0
    let isFull = false
    for (const append of this.#appends) {
      const { state } = append.items[0]
      if (state === 'refused') continue
      const more = state === 'landed' ? 0 : append.bytes
      isFull ||= bytes > 0 && bytes + more > journalEntryBytesMax
      if (isFull || !areReady(append.items, sequence)) {
        left.push(append)
        continue
      }
      bytes += more
      for (const item of append.items) {
        item.sequence = sequence
        items.push(item)
        if (item.state === 'landed') landed.add(item.partition)
        else if (item.partition.settings.durability !== 'scratch') parts.push(appendPart(item))
      }
    }
    for (const { id, chain } of landed) parts.push({ kind: 'landed', id, ...chain.promisedEnd() })
    return left
  }

  async #sync(): Promise<void> {
    this.#isSyncing = true
    const entries = this.#written
    this.#written = []
    try {
      await this.#journal.sync(entries)
    } catch (error) {
      return this.#fail(error, entries)
    }
    this.#isSyncing = false
    if (this.#stopped !== undefined) return this.#reject(this.#stopped, entries)
    // The medium goes on with what came meanwhile, while this turn does what the sync promised.
    if (this.#deletesUnderWay === 0) this.pump()
    for (const entry of entries) this.#settle(entry)
    this.#host.onJournalIdle()
  }

  #settle({ items, controls, sequence }: Entry): void {
    this.#host.onJournalled(items)
    this.#journal.settledSequence = sequence + 1
    for (const { resolve } of controls) resolve(sequence)
    this.#deletesUnderWay -= deletesIn(controls)
    if (this.#settling.length === 0) return
    const settling = this.#settling
    this.#settling = settling.filter(({ below }) => below > sequence + 1)
    for (const { below, resolve } of settling) if (below <= sequence + 1) resolve()
  }

  #fail(error: unknown, entries: readonly Pick<Entry, 'items' | 'controls'>[]): void {
    const later = this.#written
    this.#written = []
    this.#host.onJournalFailed(error)
    const text = error instanceof Error ? error.message : 'unknown'
    this.#reject(new AppendFailure('io', `the journal failed: ${text}`), [...entries, ...later])
  }

  #reject(why: AppendFailure, entries: readonly Pick<Entry, 'items' | 'controls'>[]): void {
    for (const { items, controls } of entries) {
      for (const { append } of items) append.reject(why)
      for (const { reject } of controls) reject(why)
    }
  }

  /** Resolves when all entries written by now are settled. */
  settled(): Promise<void> {
    if (!this.#isBusy) return Promise.resolve()
    return new Promise((resolve) => this.#settling.push({ below: this.#journal.nextSequence, resolve }))
  }

  /** No room for an entry: nothing of what waits was written. */
  refuse(why: AppendFailure, withControls: boolean): void {
    const firsts = this.#appends.map(({ items }) => items[0])
    // A landed body is in its segment already; its promise can be made later.
    for (const item of firsts) if (item.state === 'waiting') this.#host.onRefused(item, why)
    const controls = this.#controls
    if (!withControls) return void (controls.length > 0 && this.pump())
    this.#controls = []
    for (const { reject } of controls) reject(why)
  }

  /** Nothing is promised any more. */
  stop(why: AppendFailure): void {
    this.#stopped ??= why
    const appends = this.#appends
    const controls = this.#controls
    this.#appends = []
    this.#controls = []
    for (const append of appends) append.reject(why)
    for (const { reject } of controls) reject(why)
  }
}

function deletesIn(controls: readonly Control[]): number {
  return controls.filter(({ parts }) => parts.some(({ kind }) => kind === 'delete')).length
}

function areReady(items: readonly PartitionItem[], sequence: number): boolean {
  for (const item of items) if (!isReady(item, sequence)) return false
  return true
}

/** Whether all that was taken before `item` in its log is in the journal, in the entry of `sequence`, or in the segment. */
function isReady(item: PartitionItem, sequence: number): boolean {
  if (item.state === 'landed') return true
  if (item.state !== 'waiting' || item.partition.failed || item.partition.isStuck) return false
  const { before } = item
  if (before === undefined || before.append === item.append || before.sequence === sequence) return true
  return before.state === 'journalling' || before.state === 'committed' || before.state === 'done'
}

function appendPart({ partition, batch, base }: PartitionItem): Part {
  const { id, epoch, settings, isSwitching } = partition
  return { kind: 'append', id, epoch, base, batch, isPromised: settings.durability === 'commit' && !isSwitching }
}
