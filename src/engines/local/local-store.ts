// The storage port on a local disk: the logs of a data folder, and what each of the port's verbs sets going.
// Promises: the port's Store; one process at a time in a folder; creates, deletes and trims are journalled.
// Does not know: topics, protocols. Writing is the writer's, files are the segments', promises are the journal's.

import { assert } from '../../base/assert.ts'
import {
  AppendFailure,
  type AppendEntry,
  type Log,
  type LogId,
  type LogSettings,
  type Offset,
  type Store,
  type StoreUsage,
} from '../../log/store.ts'
import { Checkpointer, type CheckpointerHost } from './checkpointer.ts'
import { FolderSync } from './folder-sync.ts'
import { encodeCheckpoint, type LogCheckpoint } from './journal/checkpoint.ts'
import { readJournal } from './journal/replay.ts'
import { JournalQueue, type JournalQueueHost } from './journal-queue.ts'
import { layout } from './layout.ts'
import { type LocalWorld, openFolder, type Opened, promisedOf } from './opening.ts'
import {
  closeSyncMsMax,
  closeSyncsAtOnce,
  localSettings,
  type LocalSettings,
  type LocalStoreOptions,
} from './options.ts'
import { Partition, type PartitionHost, type PartitionItem } from './partition.ts'
import { digest, recoverChain } from './recovery.ts'
import type { SegmentWorld } from './segment.ts'
import { SegmentChain } from './segment-chain.ts'
import type { KeepTest } from './segment-rewrite.ts'
import { TailBudget } from './tail.ts'
import { appendFailure, Writer, type WriterHost } from './writer.ts'

export interface LocalStore extends Store {
  /** Given to the data folder when it was made. */
  readonly clusterId: string
}

export async function openLocalStore(world: LocalWorld, options: LocalStoreOptions): Promise<LocalStore> {
  const settings = localSettings(options, world.disk.openFilesMax)
  world.disk.makeFolder(settings.path)
  const lock = world.disk.lock(layout.lock(settings.path))
  if ('heldBy' in lock) throw new AppendFailure('closed', `${settings.path} is in use by ${lock.heldBy}`)
  try {
    return new Local(world, settings, await openFolder(world, settings), lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Writer epochs of one opening of the store, below those of the next. */
const epochsPerGeneration = 65_536

class Local implements LocalStore, PartitionHost, WriterHost, JournalQueueHost, CheckpointerHost {
  readonly clusterId: string
  readonly tails: TailBudget
  readonly folder: FolderSync
  readonly #world: LocalWorld
  readonly #settings: LocalSettings
  readonly #opened: Opened
  readonly #lock: { release(): void }
  readonly #queue: JournalQueue
  readonly #writer: Writer
  readonly #checkpointer: Checkpointer
  readonly #scratchIds = new Set<LogId>()
  readonly #open = new Map<LogId, Partition>()
  readonly #opening = new Map<LogId, Promise<Partition>>()
  #lowSequence: number
  #closing: Promise<void> | undefined
  #fatal: AppendFailure | undefined

  constructor(world: LocalWorld, settings: LocalSettings, opened: Opened, lock: { release(): void }) {
    this.#world = world
    this.#settings = settings
    this.#opened = opened
    this.#lock = lock
    this.#lowSequence = opened.lowSequence
    this.clusterId = opened.clusterId
    this.tails = new TailBudget(settings.cacheBytesMax, settings.cacheBytesPerLogMax)
    this.folder = new FolderSync(world.disk, layout.logs(settings.path))
    this.#queue = new JournalQueue(opened.journal, settings.journalEarlyBytesMin, this)
    this.#writer = new Writer(world, settings.largeBytesMin, this, this.#queue)
    this.#checkpointer = new Checkpointer(this, opened.journal)
  }

  list(): readonly LogId[] {
    return [...this.#opened.ids]
  }

  async create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void> {
    this.#refuseWhenClosed()
    const kept: LogId[] = []
    for (const { id, settings } of logs) {
      assert(!this.#opened.ids.has(id) && !this.#scratchIds.has(id), `${id} is created once`)
      if (settings.durability === 'scratch') this.#scratchIds.add(id)
      else kept.push(id)
    }
    for (const id of kept) if (this.folder.isLingering(id)) await this.#forgetFormer(id)
    const make = (sequence: number): void => {
      this.#makeLogs(
        logs.map(({ id }) => id),
        sequence,
      )
      if (kept.length > 0) this.folder.dirtyAt(sequence)
    }
    if (kept.length === 0) return make(0)
    try {
      await this.#queue.promise(
        kept.map((id) => ({ kind: 'create', id })),
        make,
      )
    } catch (error) {
      for (const { id } of logs) this.#scratchIds.delete(id)
      throw error
    }
  }

  /** A log of this id was deleted: nothing of it may be found in the one that is made now. */
  async #forgetFormer(id: LogId): Promise<void> {
    this.#world.disk.removeFolder(this.#folderOf(id))
    this.folder.release(id)
    await this.folder.sync()
  }

  /** All or none: where the disk has no room for a folder, those made before it go again. */
  #makeLogs(ids: readonly LogId[], sequence: number): void {
    try {
      for (const id of ids) if (!this.#scratchIds.has(id)) this.#world.disk.makeFolder(this.#folderOf(id))
    } catch (error) {
      for (const id of ids) this.#world.disk.removeFolder(this.#folderOf(id))
      this.folder.dirtyAt(sequence)
      throw appendFailure(error)
    }
    for (const id of ids) this.#opened.ids.add(id)
  }

  #folderOf(id: LogId): string {
    const { path } = this.#settings
    return this.#scratchIds.has(id) ? layout.scratchLog(path, id) : layout.log(path, id)
  }

  async open(id: LogId, settings: LogSettings, endAtLeast: Offset = 0 as Offset): Promise<Log> {
    this.#refuseWhenClosed()
    const known = this.#open.get(id)
    if (known === undefined) {
      const opening = this.#opening.get(id) ?? this.#openFirst(id, settings)
      this.#opening.set(id, opening)
      await opening.finally(() => this.#opening.delete(id))
    } else {
      known.epoch++
      await this.configurePartition(known, settings)
    }
    const partition = this.#open.get(id)
    if (partition === undefined) throw closed(`${id} is deleted`)
    if (endAtLeast > partition.end) await this.#leaveGap(partition, endAtLeast)
    return partition
  }

  async #openFirst(id: LogId, settings: LogSettings): Promise<Partition> {
    if (!this.#opened.ids.has(id)) throw closed(`${id} is not there`)
    const damage = this.#opened.damaged.get(id)
    if (damage !== undefined) throw damage.error
    const isScratch = this.#scratchIds.has(id)
    assert(isScratch === (settings.durability === 'scratch'), `${id}: a log is scratch from its creation or never`)
    const known = this.#opened.closed.get(id)
    const chain = this.#opened.chains.get(id) ?? (await this.#recover(id, settings, known))
    // Readers take all of a commit log for committed: it has to be before they may.
    if (chain.isUnproven && settings.durability === 'commit') await chain.sync()
    chain.isUnproven = false
    const start = Math.max(known?.start ?? 0, chain.segments[0].base) as Offset
    const epoch = this.#opened.generation * epochsPerGeneration + 1
    const partition = new Partition(this, id, settings, chain, { epoch, start })
    if (!this.#opened.ids.has(id)) throw closed(`${id} is deleted`)
    this.#open.set(id, partition)
    if (!isScratch) this.#opened.chains.set(id, chain)
    return partition
  }

  #recover(id: LogId, settings: LogSettings, known: LogCheckpoint | undefined): Promise<SegmentChain> {
    const nowMs = this.#world.clock.nowMs()
    return recoverChain(this.#segmentsFor(id), this.#folderOf(id), promisedOf(known), settings, nowMs)
  }

  #segmentsFor(id: LogId): SegmentWorld {
    return this.#scratchIds.has(id) ? this.#opened.scratch : this.#opened.segments
  }

  /** Somebody refers to offsets that the log lost: they are never given again, and a new segment's name says so. */
  async #leaveGap(partition: Partition, end: Offset): Promise<void> {
    await partition.landed()
    if (end <= partition.end) return
    assert(partition.queue.length === 0, `${partition.id}: a gap is left while nothing is on its way`)
    partition.chain.begin(end)
    partition.end = end
    partition.commitTo(end)
    partition.letGo()
    await this.#promiseSynced(partition)
  }

  /** Syncs the segments, and has the journal say so: from then on what they hold is promised. */
  async #promiseSynced(partition: Partition): Promise<void> {
    await this.syncPartition(partition)
    if (this.#scratchIds.has(partition.id)) return
    const { id, chain } = partition
    await this.#queue.promise([{ kind: 'landed', id, ...chain.promisedEnd() }], () => {})
  }

  async delete(ids: readonly LogId[]): Promise<void> {
    this.#refuseWhenClosed()
    const kept = ids.filter((id) => this.#opened.ids.has(id) && !this.#scratchIds.has(id))
    const removed: Promise<void>[] = []
    const remove = (sequence: number): void => {
      for (const id of ids) removed.push(this.#remove(id, sequence))
    }
    if (kept.length === 0) remove(Infinity)
    else
      await this.#queue.promise(
        kept.map((id) => ({ kind: 'delete', id })),
        remove,
      )
    await Promise.all(removed)
  }

  /** The delete is promised: nobody sees the log any more, and its files go as soon as nobody writes them. */
  async #remove(id: LogId, sequence: number): Promise<void> {
    const { ids, closed: known, chains, damaged } = this.#opened
    const folder = this.#folderOf(id)
    const partition = this.#open.get(id)
    const isScratch = this.#scratchIds.delete(id)
    ids.delete(id)
    known.delete(id)
    damaged.delete(id)
    const chain = partition?.chain ?? chains.get(id)
    chains.delete(id)
    this.#open.delete(id)
    if (!isScratch) this.folder.hold(id, sequence)
    if (partition !== undefined) {
      this.#end(partition, closed(`${id} is deleted`))
      await partition.free()
    }
    try {
      chain?.removeAll()
      this.#world.disk.removeFolder(folder)
    } catch (error) {
      // The journal keeps its delete, so that the next start removes what is left.
      this.#world.trace.error('log not removed', { log: id, why: String(error) })
      return
    }
    if (!isScratch) this.folder.release(id)
  }

  #end(partition: Partition, why: AppendFailure): void {
    partition.failure = why
    this.#writer.refuseWaiting(partition, why)
    this.#writer.forget(partition)
    partition.letGo()
    partition.tell()
  }

  append(entries: readonly AppendEntry[]): Promise<void> {
    const refusal = this.#judge(entries)
    return refusal === undefined ? this.#writer.append(entries) : Promise.reject(refusal)
  }

  #judge(entries: readonly AppendEntry[]): AppendFailure | undefined {
    if (this.#closing !== undefined) return closed('the store is closed')
    if (this.#fatal !== undefined) return this.#fatal
    const ends = entries.length > 1 ? new Map<Log, number>() : undefined
    for (const { log, epoch, expectedEnd, offsets } of entries) {
      assert(log instanceof Partition && offsets > 0, `${log.id}: a batch for a log of this store takes offsets`)
      if (log.failure !== undefined) return log.failure
      if (epoch !== log.epoch) return fenced(`${log.id}: epoch ${epoch} is not ${log.epoch}`)
      const end = ends?.get(log) ?? log.end
      if (expectedEnd !== end) return fenced(`${log.id}: its end is ${end}, not ${expectedEnd}`)
      if (log.isStuck) return new AppendFailure('full', `${log.id}: the disk is full`)
      ends?.set(log, end + offsets)
    }
    return undefined
  }

  onJournalled(items: readonly PartitionItem[]): void {
    this.#writer.onJournalled(items)
  }

  onRefused(item: PartitionItem, why: AppendFailure): void {
    this.#writer.refuse(item, why)
  }

  onJournalFull(): void {
    this.#checkpointer.nudge(true)
  }

  onRoom(isRecycled: boolean): void {
    // Held by logs that cannot be synced: it stays full until they are reopened or deleted.
    if (isRecycled) return this.#writer.pump()
    this.#queue.refuse(new AppendFailure('full', 'the journal is full'), true)
    this.#writer.retryLater()
  }

  onJournalIdle(): void {
    if (this.#opened.journal.isFilling) this.#checkpointer.nudge()
    this.#writer.pump()
  }

  onDirty(): void {
    this.#checkpointer.nudge()
  }

  /** A failed sync of the journal is never tried again: the process has to stop. */
  onJournalFailed(error: unknown): void {
    const why = error instanceof Error ? error : new Error(String(error))
    this.#fatal ??= new AppendFailure('io', `the journal failed: ${why.message}`)
    this.#world.trace.error('journal failed', { why: why.message })
    this.#queue.stop(this.#fatal)
    for (const partition of this.#open.values()) this.#writer.failLog(partition, this.#fatal)
    this.#settings.onFatal(why)
  }

  onFailure(error: unknown): void {
    this.onJournalFailed(error)
  }

  *chains(): Iterable<readonly [LogId, SegmentChain]> {
    yield* this.#opened.chains
  }

  pinnedSince(): number {
    let since = this.folder.heldSince()
    for (const damage of this.#opened.damaged.values()) since = Math.min(since, damage.since)
    return since
  }

  async syncChain(id: LogId, chain: SegmentChain): Promise<void> {
    try {
      await chain.sync()
    } catch (error) {
      const partition = this.#open.get(id)
      if (partition !== undefined && partition.chain === chain) this.#writer.failLog(partition, appendFailure(error))
    }
  }

  async writeCheckpoint(low: number, isClean = false): Promise<void> {
    const { generation, ids, closed: known, chains } = this.#opened
    const logs = new Map<LogId, LogCheckpoint>()
    for (const id of ids) {
      if (this.#scratchIds.has(id)) continue
      const chain = chains.get(id)
      const last = known.get(id)
      const start = this.#open.get(id)?.start ?? last?.start ?? (0 as Offset)
      if (chain !== undefined) logs.set(id, { start, synced: chain.synced, bytes: chain.bytes })
      else if (last !== undefined) logs.set(id, last)
    }
    const content = encodeCheckpoint({ generation, lowSequence: low, isClean, logs })
    await this.#world.disk.replaceFile(layout.checkpoint(this.#settings.path), content)
    this.#lowSequence = low
  }

  async commitTrim(partition: Partition, to: Offset): Promise<void> {
    const { id } = partition
    if (this.#scratchIds.has(id)) return partition.trimmed(to)
    await this.#queue.promise([{ kind: 'trim', id, start: to }], () => partition.trimmed(to))
  }

  async syncPartition(partition: Partition): Promise<void> {
    await partition.landed()
    if (partition.failure !== undefined) throw partition.failure
    await this.syncChain(partition.id, partition.chain)
    if (partition.failed) throw partition.failure
  }

  async configurePartition(partition: Partition, settings: LogSettings): Promise<void> {
    const { durability } = partition.settings
    assert((durability === 'scratch') === (settings.durability === 'scratch'), `${partition.id} stays scratch or kept`)
    partition.settings = settings
    if (durability !== 'os' || settings.durability !== 'commit') return
    partition.isSwitching = true
    await this.#promiseSynced(partition)
    partition.isSwitching = false
  }

  /** Recovery trusts closed segments below what is promised to be synced, whatever their size: so that comes first. */
  async rewriteSegment(partition: Partition, base: Offset, keep: KeepTest): Promise<void> {
    await this.#promiseSynced(partition)
    await partition.chain.rewrite(base, keep)
  }

  /** What was committed is found again: in the segments as far as they are whole, else in the journal. */
  async reopenPartition(partition: Partition): Promise<void> {
    const { id, failure } = partition
    if (failure?.kind === 'closed' || this.#fatal !== undefined) throw this.#fatal ?? failure
    partition.epoch++
    if (failure === undefined) return
    await partition.free()
    await this.#queue.settled()
    const before = partition.chain
    before.close()
    const replay = readJournal(this.#world.disk, layout.journal(this.#settings.path), this.#lowSequence)
    const promised = digest(undefined, replay).logs.get(id) ?? promisedOf(undefined)
    Object.assign(promised, { start: partition.start, synced: before.synced })
    const segments = this.#segmentsFor(id)
    const limits = { ...partition.settings, endAtMost: partition.committed }
    const chain = await recoverChain(segments, this.#folderOf(id), promised, limits, this.#world.clock.nowMs())
    if (before.syncFailure !== undefined) await chain.rewriteUnsynced()
    if (chain.next < partition.committed) chain.begin(partition.committed)
    if (!this.#scratchIds.has(id)) this.#opened.chains.set(id, chain)
    partition.recovered(chain)
  }

  usage(): StoreUsage {
    let usedBytes = 0
    for (const id of this.#opened.ids) usedBytes += this.bytesOf(id)
    return { usedBytes, freeBytes: this.#world.disk.freeBytes(this.#settings.path) }
  }

  bytesOf(id: LogId): number {
    const chain = this.#open.get(id)?.chain ?? this.#opened.chains.get(id)
    return chain?.bytes ?? this.#opened.closed.get(id)?.bytes ?? 0
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#fatal === undefined) await this.#writer.idle()
    await this.#checkpointer.stop()
    const { journal, chains, segments } = this.#opened
    if (this.#fatal === undefined) {
      await this.#syncBeforeEnd([...chains].filter(([, chain]) => chain.syncFailure === undefined))
      try {
        await this.folder.sync()
        const low = this.#checkpointer.low()
        await this.writeCheckpoint(low, low === journal.nextSequence)
      } catch (error) {
        // The one before still holds: the next start reads more of the journal.
        this.#world.trace.warn('no checkpoint at the end', { why: String(error) })
      }
    }
    for (const partition of this.#open.values()) this.#end(partition, closed('the store is closed'))
    this.#writer.close()
    this.#queue.stop(closed('the store is closed'))
    journal.close()
    segments.slots.closeAll()
    this.#lock.release()
  }

  /** As many logs as there is time for: what is left the journal still has, and the next start reads it. */
  async #syncBeforeEnd(chains: (readonly [LogId, SegmentChain])[]): Promise<void> {
    const { clock } = this.#world
    const untilMs = clock.monotonicMs() + closeSyncMsMax
    const syncNext = async (): Promise<void> => {
      for (;;) {
        const next = clock.monotonicMs() > untilMs ? undefined : chains.pop()
        if (next === undefined) return
        await this.syncChain(...next)
      }
    }
    await Promise.all(Array.from({ length: closeSyncsAtOnce }, syncNext))
  }

  #refuseWhenClosed(): void {
    if (this.#closing !== undefined) throw closed('the store is closed')
    if (this.#fatal !== undefined) throw this.#fatal
  }
}

function fenced(why: string): AppendFailure {
  return new AppendFailure('fenced', why)
}

function closed(why: string): AppendFailure {
  return new AppendFailure('closed', why)
}
