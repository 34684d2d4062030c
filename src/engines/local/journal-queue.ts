// What waits for the journal: appends and single promises, gathered into one entry a cycle.
// Promises: an append joins an entry only with or after all that was taken before it in its logs. A journal that
// fails fails everything, once. Does not know: the journal's bytes; what follows a commit.

import { DiskError } from '../../base/world.ts'
import { AppendFailure } from '../../log/store.ts'
import type { Part } from './journal/entry.ts'
import type { Journal } from './journal/journal.ts'
import type { Partition, PartitionAppend, PartitionItem } from './partition.ts'
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

export class JournalQueue {
  readonly #journal: Journal
  readonly #host: JournalQueueHost
  #appends: PartitionAppend[] = []
  #controls: Control[] = []
  #settling: (() => void)[] = []
  #stopped: AppendFailure | undefined

  constructor(journal: Journal, host: JournalQueueHost) {
    this.#journal = journal
    this.#host = host
  }

  get isIdle(): boolean {
    return (
      this.#stopped !== undefined ||
      (!this.#journal.isBusy && this.#appends.length === 0 && this.#controls.length === 0)
    )
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
    if (this.#stopped !== undefined || this.#journal.isBusy) return
    const items: PartitionItem[] = []
    const parts: Part[] = []
    this.#gather(items, parts)
    for (const control of this.#controls) parts.push(...control.parts)
    if (parts.length === 0) return
    if (!this.#hasRoom(items, parts)) return
    const controls = this.#controls
    this.#controls = []
    const sequence = this.#journal.nextSequence
    for (const item of items) {
      item.sequence = sequence
      if (item.state !== 'waiting') continue
      item.state = 'journalling'
      if (item.partition.settings.durability !== 'scratch') item.partition.chain.dirtyAt(sequence)
    }
    const taken = new Set(items.map(({ append }) => append))
    this.#appends = this.#appends.filter((append) => !taken.has(append))
    void this.#commit(parts, items, controls, sequence)
  }

  /** What destroys or was written before may use the reserve, so that a full disk can become less full. */
  #hasRoom(items: readonly PartitionItem[], parts: readonly Part[]): boolean {
    const isUrgent = items.every(({ state }) => state === 'landed')
    try {
      if (this.#journal.prepare(parts, isUrgent) === 'ready') return true
      this.#host.onJournalFull()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.refuse(new AppendFailure(error.kind === 'full' ? 'full' : 'io', error.message), isUrgent)
    }
    return false
  }

  #gather(items: PartitionItem[], parts: Part[]): void {
    const joined = new Set<PartitionItem>()
    const landed = new Set<Partition>()
    let bytes = 0
    this.#appends = this.#appends.filter(({ items: [first] }) => first.state !== 'refused')
    for (const append of this.#appends) {
      const more = append.items[0].state === 'landed' ? 0 : append.bytes
      if (bytes > 0 && bytes + more > journalEntryBytesMax) break
      if (!append.items.every((item) => isReady(item, joined))) continue
      bytes += more
      for (const item of append.items) {
        joined.add(item)
        items.push(item)
        if (item.state === 'landed') landed.add(item.partition)
        else if (item.partition.settings.durability !== 'scratch') parts.push(appendPart(item))
      }
    }
    for (const { id, chain } of landed) parts.push({ kind: 'landed', id, ...chain.promisedEnd() })
  }

  async #commit(
    parts: readonly Part[],
    items: readonly PartitionItem[],
    controls: readonly Control[],
    sequence: number,
  ): Promise<void> {
    try {
      await this.#journal.commit(parts)
    } catch (error) {
      this.#host.onJournalFailed(error)
      const why = new AppendFailure('io', `the journal failed: ${error instanceof Error ? error.message : 'unknown'}`)
      for (const { append } of items) append.reject(why)
      for (const { reject } of controls) reject(why)
      return
    }
    if (this.#stopped !== undefined) return
    this.#host.onJournalled(items)
    for (const { resolve } of controls) resolve(sequence)
    const settling = this.#settling
    this.#settling = []
    for (const resolve of settling) resolve()
    this.#host.onJournalIdle()
  }

  /** Resolves when the entry under way is. */
  settled(): Promise<void> {
    return this.#journal.isBusy ? new Promise((resolve) => this.#settling.push(resolve)) : Promise.resolve()
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

/** Whether all that was taken before `item` in its log is in the journal, in this entry, or in the segment. */
function isReady(item: PartitionItem, joined: ReadonlySet<PartitionItem>): boolean {
  if (item.state === 'landed') return true
  if (item.state !== 'waiting' || item.partition.failed || item.partition.isStuck) return false
  const { before } = item
  if (before === undefined || before.append === item.append || joined.has(before)) return true
  return before.state === 'journalling' || before.state === 'committed' || before.state === 'done'
}

function appendPart({ partition, batch, base }: PartitionItem): Part {
  const { id, epoch, settings, isSwitching } = partition
  return { kind: 'append', id, epoch, base, batch, isPromised: settings.durability === 'commit' && !isSwitching }
}
