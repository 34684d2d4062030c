// The storage port on a local disk: the data folder, its lock and identity, and the logs in it.
// Promises: the port's Store; one process at a time in a folder; a folder of a newer format is refused.
// Does not know: topics, protocols. Writing is the writer's, files are the segments'.

import { assert } from '../../base/assert.ts'
import type { World } from '../../base/world.ts'
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
import { FileSlots } from './file-slots.ts'
import { openIdentity } from './identity.ts'
import { layout } from './layout.ts'
import { localSettings, type LocalSettings, type LocalStoreOptions } from './options.ts'
import { Partition, type PartitionHost } from './partition.ts'
import type { SegmentWorld } from './segment.ts'
import { SegmentChain } from './segment-chain.ts'
import { TailBudget } from './tail.ts'
import { Writer } from './writer.ts'

export type LocalWorld = Pick<World, 'clock' | 'random' | 'disk' | 'trace'>

export interface LocalStore extends Store {
  /** Given to the data folder when it was made. */
  readonly clusterId: string
}

export async function openLocalStore(world: LocalWorld, options: LocalStoreOptions): Promise<LocalStore> {
  const settings = localSettings(options)
  world.disk.makeFolder(settings.path)
  const lock = world.disk.lock(layout.lock(settings.path))
  if ('heldBy' in lock) throw new AppendFailure('closed', `${settings.path} is in use by ${lock.heldBy}`)
  try {
    const clusterId = await openIdentity(world, settings.path)
    world.disk.removeFolder(layout.scratch(settings.path))
    for (const part of [layout.logs, layout.journal, layout.scratch]) world.disk.makeFolder(part(settings.path))
    return new Local(world, settings, clusterId, lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

class Local implements LocalStore, PartitionHost {
  readonly clusterId: string
  readonly tails: TailBudget
  readonly #world: LocalWorld
  readonly #settings: LocalSettings
  readonly #lock: { release(): void }
  readonly #segments: SegmentWorld
  readonly #writer: Writer
  readonly #ids = new Set<LogId>()
  readonly #scratchIds = new Set<LogId>()
  readonly #open = new Map<LogId, Partition>()
  #isClosed = false

  constructor(world: LocalWorld, settings: LocalSettings, clusterId: string, lock: { release(): void }) {
    this.#world = world
    this.#settings = settings
    this.#lock = lock
    this.clusterId = clusterId
    this.tails = new TailBudget(settings.cacheBytesMax, settings.cacheBytesPerLogMax)
    this.#segments = { disk: world.disk, slots: new FileSlots(world.disk, settings.openFilesMax), loaded: new Set() }
    this.#writer = new Writer(world)
    for (const { name, isFolder } of world.disk.list(layout.logs(settings.path))) {
      if (isFolder) this.#ids.add(name as LogId)
    }
  }

  list(): readonly LogId[] {
    return [...this.#ids]
  }

  async create(logs: readonly { readonly id: LogId; readonly settings: LogSettings }[]): Promise<void> {
    if (this.#isClosed) throw closed('the store is closed')
    for (const { id, settings } of logs) {
      assert(!this.#ids.has(id), `${id} is created once`)
      this.#world.disk.makeFolder(this.#folder(id, settings))
      if (settings.durability === 'scratch') this.#scratchIds.add(id)
      this.#ids.add(id)
    }
    await this.#world.disk.syncFolder(layout.logs(this.#settings.path))
  }

  #folder(id: LogId, settings: LogSettings): string {
    return settings.durability === 'scratch'
      ? layout.scratchLog(this.#settings.path, id)
      : layout.log(this.#settings.path, id)
  }

  async open(id: LogId, settings: LogSettings, endAtLeast: Offset = 0 as Offset): Promise<Log> {
    if (this.#isClosed) throw closed('the store is closed')
    const known = this.#open.get(id)
    if (known !== undefined) {
      known.epoch++
      known.settings = settings
      return known
    }
    if (!this.#ids.has(id)) throw closed(`${id} is not there`)
    const chain = new SegmentChain(this.#segments, this.#folder(id, settings))
    await chain.recover(undefined, 0 as Offset, settings, this.#world.clock.nowMs())
    const start = chain.segments.at(0)?.base ?? (0 as Offset)
    const end = Math.max(chain.segments.length === 0 ? 0 : chain.next, start, endAtLeast) as Offset
    if (chain.segments.length === 0 || end > chain.next) chain.begin(end)
    const partition = new Partition(this, id, settings, chain, { epoch: 1, start })
    this.#open.set(id, partition)
    return partition
  }

  async delete(ids: readonly LogId[]): Promise<void> {
    if (this.#isClosed) throw closed('the store is closed')
    for (const id of ids) {
      const partition = this.#open.get(id)
      this.#open.delete(id)
      this.#ids.delete(id)
      if (partition !== undefined) this.#close(partition, `${id} is deleted`)
      for (const folder of [layout.log, layout.scratchLog])
        this.#world.disk.removeFolder(folder(this.#settings.path, id))
    }
    await this.#world.disk.syncFolder(layout.logs(this.#settings.path))
  }

  #close(partition: Partition, why: string): void {
    partition.failure = closed(why)
    this.#writer.refuseAll(partition, partition.failure)
    partition.chain.close()
    partition.letGo()
    partition.tell()
  }

  append(entries: readonly AppendEntry[]): Promise<void> {
    const refusal = this.#judge(entries)
    return refusal === undefined ? this.#writer.append(entries) : Promise.reject(refusal)
  }

  #judge(entries: readonly AppendEntry[]): AppendFailure | undefined {
    if (this.#isClosed) return closed('the store is closed')
    const ends = new Map<Log, number>()
    for (const { log, epoch, expectedEnd, offsets } of entries) {
      assert(log instanceof Partition && offsets > 0, `${log.id}: a batch for a log of this store takes offsets`)
      if (log.failure !== undefined) return log.failure
      if (epoch !== log.epoch) return refusal('fenced', `${log.id}: epoch ${epoch} is not ${log.epoch}`)
      const end = ends.get(log) ?? log.end
      if (expectedEnd !== end) return refusal('fenced', `${log.id}: its end is ${end}, not ${expectedEnd}`)
      ends.set(log, end + offsets)
    }
    return undefined
  }

  commitTrim(partition: Partition, to: Offset): Promise<void> {
    partition.trimmed(to)
    return Promise.resolve()
  }

  async syncPartition(partition: Partition): Promise<void> {
    await this.#writer.idle()
    await partition.chain.sync()
  }

  configurePartition(partition: Partition, settings: LogSettings): Promise<void> {
    partition.settings = settings
    return Promise.resolve()
  }

  reopenPartition(partition: Partition): Promise<void> {
    partition.failure = undefined
    partition.epoch++
    return Promise.resolve()
  }

  usage(): StoreUsage {
    let usedBytes = 0
    for (const id of this.#ids) usedBytes += this.bytesOf(id)
    return { usedBytes, freeBytes: this.#world.disk.freeBytes(this.#settings.path) }
  }

  bytesOf(id: LogId): number {
    return this.#open.get(id)?.bytes ?? 0
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#writer.idle()
    for (const partition of this.#open.values()) {
      await partition.chain.sync()
      this.#close(partition, 'the store is closed')
    }
    this.#segments.slots.closeAll()
    this.#lock.release()
  }
}

function refusal(kind: AppendFailureKind, why: string): AppendFailure {
  return new AppendFailure(kind, why)
}

function closed(why: string): AppendFailure {
  return new AppendFailure('closed', why)
}
