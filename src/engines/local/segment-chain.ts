// The segments of one log, oldest first, the last one active.
// Promises: batches lie contiguously in storage order; what was not written whole is cut away again; a sync covers
// files and folder. Does not know: the journal, readers who wait, the tail in memory.

import { assert } from '../../base/assert.ts'
import { batchHeadBytes, maxTimestampAt } from '../../log/batch.ts'
import { CorruptLog, type Batches, type LogSettings, type Offset, type SegmentInfo } from '../../log/store.ts'
import { segmentBase } from './layout.ts'
import { gathered } from './gather.ts'
import { readBytesMax, readBytesMin, scanBytes } from './options.ts'
import { selectBatches } from './read-selection.ts'
import { rewriteSegment, rewrittenEnding, type KeepTest } from './segment-rewrite.ts'
import { type ForeignTest, noneForeign, Segment, type SegmentWorld } from './segment.ts'

/** A batch with its place, on its way into a segment. */
export interface Placed {
  readonly batch: Buffer
  readonly base: Offset
  readonly next: Offset
  readonly maxTimestampMs: number
}

/** Up to here a log is on the medium. */
export interface SyncedEnd {
  /** Base offset of the segment. */
  readonly base: Offset
  readonly position: number
  readonly next: Offset
}

/** Offsets within a segment are 31 bits in its index, positions too. */
const segmentOffsetsMax = 2 ** 31 - 1

export class SegmentChain {
  readonly folder: string
  readonly segments: Segment[] = []
  readonly #world: SegmentWorld
  #isFolderChanged = false
  #isLeftoverRemoved = false
  #rollBefore: Offset | undefined
  #syncing: Promise<SyncedEnd> | undefined
  /** The lowest journal entry whose batches are not known to be on the medium here. */
  dirtySince = Infinity
  /** Up to here everything is on the medium. */
  synced: SyncedEnd | undefined
  /** Recovery found whole batches that neither a sync nor the journal promised: kept, yet perhaps only in the kernel. */
  isUnproven = false
  /** Written since the last sync began. */
  unsyncedBytes = 0
  #dirtyAfterSync = Infinity
  /** The lowest journal entry whose batches are still on their way into the segments. */
  pendingSince: () => number = () => Infinity
  /** A sync that failed is never tried again: what the kernel did with the bytes is not known. */
  syncFailure: unknown
  /** Its log failed: nothing more is written to it. */
  isFailed = false

  constructor(world: SegmentWorld, folder: string) {
    this.#world = world
    this.folder = folder
  }

  get active(): Segment {
    const active = this.segments.at(-1)
    assert(active !== undefined, `${this.folder} has an active segment`)
    return active
  }

  /** After the last batch in a segment. */
  get next(): Offset {
    return this.active.next
  }

  get bytes(): number {
    let bytes = 0
    for (const segment of this.segments) bytes += segment.bytes
    return bytes
  }

  /**
   * What the folder holds. Below `synced` it is trusted; above, it is read, and cut at the first batch that is not
   * whole or, between two segments, at the first offset that is missing: what was lost there was not promised, or is
   * in the journal. Segments that end below `start` are removed.
   */
  async recover(
    synced: SyncedEnd | undefined,
    start: Offset,
    settings: LogSettings,
    nowMs: number,
    isForeign: ForeignTest = noneForeign,
  ): Promise<void> {
    this.synced = synced
    const bases = this.#bases()
    while (bases.length > 1 && bases[1] <= start) this.#removeLeftover(bases.shift() as Offset)
    const firstChanged = synced?.base ?? (0 as Offset)
    if (synced !== undefined && !bases.includes(synced.base) && synced.next > start && synced.position > 0) {
      throw new CorruptLog(`${this.folder}: the segment of offset ${synced.base} is missing`)
    }
    // The synced segment was trimmed, so all before it were: a name whose removal was lost is not the log's beginning.
    if (!bases.includes(firstChanged))
      while (bases.length > 0 && bases[0] < firstChanged) this.#removeLeftover(bases.shift() as Offset)
    // The oldest file's name was lost: what follows it is above a hole, like what follows a bad batch.
    if (bases.length > 0 && bases[0] > Math.max(start, firstChanged)) {
      for (const base of bases.splice(0)) this.#removeLeftover(base)
    }
    for (let at = 0; at < bases.length; at++) {
      const base = bases[at]
      const segment = new Segment(this.#world, this.folder, base)
      const fileBytes = this.#world.slots.use(segment.slot).bytes()
      if (base < firstChanged && at + 1 < bases.length) {
        this.segments.push(this.#closed(base, fileBytes, bases[at + 1]))
        continue
      }
      const trusted = synced !== undefined && base === synced.base ? synced.position : 0
      if (fileBytes < trusted)
        throw new CorruptLog(`${this.folder}: ${segment.path}.log ends at ${fileBytes}, ${trusted} bytes were promised`)
      const valid = await segment.recover(trusted, fileBytes, settings.indexIntervalBytes, isForeign)
      segment.syncedBytes = trusted
      this.segments.push(segment)
      if (valid < fileBytes) segment.cutToAccounted()
      const isBroken = valid < fileBytes || (at + 1 < bases.length && bases[at + 1] !== segment.next)
      if (isBroken) {
        for (const later of bases.splice(at + 1)) this.#removeLeftover(later)
      } else if (at + 1 < bases.length) segment.closeForWriting()
    }
    const last = this.segments.at(-1)
    // Names that the last run made may be known to the kernel only, like the bytes it wrote.
    if (last === undefined || last.base !== synced?.base || last.bytes !== synced.position) this.#isFolderChanged = true
    await this.#settleCuts()
    for (const segment of this.segments) if (!segment.isActive) await segment.loadMaxTimestamp()
    if (this.segments.length > 0) await this.#readBirth(nowMs)
  }

  /**
   * What recovery took away goes for good before anything takes its offsets: a second power cut must not bring an
   * old batch or an old segment back beside what was written in its place.
   */
  async #settleCuts(): Promise<void> {
    for (const segment of this.segments) if (segment.isCut) await this.#syncBatches(segment, segment.syncedBytes)
    if (this.#isLeftoverRemoved) await this.#world.disk.syncFolder(this.folder)
    this.#isLeftoverRemoved = false
  }

  #closed(base: Offset, bytes: number, next: Offset): Segment {
    const segment = Segment.existing(this.#world, this.folder, base, bytes, next)
    segment.isActive = false
    segment.slot.mode = 'read'
    return segment
  }

  #bases(): Offset[] {
    const bases: Offset[] = []
    for (const { name } of this.#world.disk.list(this.folder)) {
      const base = segmentBase(name)
      if (base !== undefined) bases.push(base)
      if (name.endsWith(rewrittenEnding)) this.#world.disk.removeFile(`${this.folder}/${name}`)
    }
    return bases
  }

  #removeLeftover(base: Offset): void {
    new Segment(this.#world, this.folder, base).remove()
    this.#isFolderChanged = true
    this.#isLeftoverRemoved = true
  }

  /** A segment's age counts from its first batch, also over a restart; its timestamp is all that is left of that. */
  async #readBirth(nowMs: number): Promise<void> {
    const { active } = this
    if (active.bytes === 0) return
    const head = Buffer.alloc(batchHeadBytes)
    const file = this.#world.slots.hold(active.slot)
    try {
      await file.read(head, 0)
    } finally {
      this.#world.slots.release(active.slot)
    }
    const timestampMs = maxTimestampAt(head, 0)
    active.bornMs = timestampMs >= 0 ? Math.min(timestampMs, nowMs) : nowMs
  }

  /** A new active segment at `base`. */
  begin(base: Offset): void {
    const last = this.segments.at(-1)
    if (last !== undefined) {
      assert(base >= last.next, `${this.folder}: segments follow each other`)
      if (last.base === base) return
      if (last.bytes === 0) {
        last.remove()
        this.segments.pop()
      } else last.closeForWriting()
    }
    const fresh = new Segment(this.#world, this.folder, base)
    fresh.touch()
    this.segments.push(fresh)
    this.#isFolderChanged = true
  }

  /** The active segment is closed before the first batch at or above `before`. */
  rollBefore(before: Offset): void {
    if (this.next >= before) this.#roll(before)
    else this.#rollBefore = before
  }

  #roll(base: Offset): void {
    if (this.active.bytes > 0) this.begin(base)
    // What was asked for is done: what follows stays together again.
    if (this.#rollBefore !== undefined && base >= this.#rollBefore) this.#rollBefore = undefined
  }

  /** How many of `run` go into the active segment together; a new one is begun first when they have to. */
  fit(run: readonly Placed[], settings: LogSettings, nowMs: number): number {
    assert(run.length > 0, 'something is written')
    if (!this.#takes(this.active.bytes, run[0], settings, nowMs)) this.#roll(run[0].base)
    let bytes = this.active.bytes + run[0].batch.length
    let count = 1
    while (count < run.length && this.#takes(bytes, run[count], settings, nowMs)) bytes += run[count++].batch.length
    return count
  }

  #takes(bytes: number, { base, next, batch }: Placed, settings: LogSettings, nowMs: number): boolean {
    if (this.#rollBefore !== undefined && base >= this.#rollBefore) {
      if (bytes > 0) return false
      this.#rollBefore = undefined
    }
    if (bytes === 0) return true
    if (bytes + batch.length > Math.min(settings.segmentBytesMax, segmentOffsetsMax)) return false
    if (next - this.active.base > segmentOffsetsMax) return false
    const { bornMs } = this.active
    return bornMs === undefined || nowMs - bornMs <= settings.segmentAgeMsMax
  }

  /** Writes what fit() said goes together. When it throws, nothing of it is in the segment. */
  writeNow(run: readonly Placed[], settings: LogSettings, nowMs: number): void {
    const { active } = this
    try {
      this.#world.slots.use(active.slot).writeNow(chunksOf(run), active.bytes)
    } catch (error) {
      this.#cut(active)
      throw error
    }
    this.#account(active, run, settings, nowMs)
  }

  async write(run: readonly Placed[], settings: LogSettings, nowMs: number): Promise<void> {
    const { active } = this
    const file = this.#world.slots.hold(active.slot)
    try {
      await file.write(chunksOf(run), active.bytes)
    } catch (error) {
      this.#cut(active)
      throw error
    } finally {
      this.#world.slots.release(active.slot)
    }
    this.#account(active, run, settings, nowMs)
  }

  /** Bytes of a failed write go away; where even that fails, the next write or the next start overwrites them. */
  #cut(active: Segment): void {
    try {
      active.cutToAccounted()
    } catch {
      // The write's own error says more, and recovery cuts what is not a whole batch.
    }
  }

  #account(active: Segment, run: readonly Placed[], settings: LogSettings, nowMs: number): void {
    active.bornMs ??= nowMs
    for (const { batch, base, next, maxTimestampMs } of run) {
      assert(base >= active.next, `${active.path}: offsets rise`)
      this.unsyncedBytes += batch.length
      active.account(batch.length, next, maxTimestampMs, settings.indexIntervalBytes)
    }
  }

  /** Removes whole closed segments below `to`. */
  trim(to: Offset): void {
    while (this.segments.length > 1 && this.segments[1].base <= to && this.segments[0].next <= to) {
      const [oldest] = this.segments.splice(0, 1)
      oldest.remove()
      this.#isFolderChanged = true
    }
  }

  /** Whether a closed segment begins at `base`. */
  hasClosed(base: Offset): boolean {
    return this.#closedAt(base) !== undefined
  }

  #closedAt(base: Offset): Segment | undefined {
    const segment = this.segments[this.segmentAt(base)]
    return segment?.base === base && !segment.isActive && !segment.isRemoved ? segment : undefined
  }

  /** The closed segment at `base`, which lies below what is promised to be synced, without the batches not kept. */
  async rewrite(base: Offset, keep: KeepTest): Promise<void> {
    const segment = this.#closedAt(base)
    if (segment === undefined) return
    const rewritten = await rewriteSegment(this.#world, segment, keep)
    if (rewritten === undefined) return
    const { disk } = this.#world
    // Trimmed, deleted or failed meanwhile.
    if (this.#closedAt(base) !== segment || this.isFailed) return disk.removeFile(rewritten.path)
    // An index of the old batches must not meet the new ones: it goes first, and for good.
    for (const ending of ['.index', '.timeindex']) disk.removeFile(`${segment.path}${ending}`)
    await disk.syncFolder(this.folder)
    if (this.#closedAt(base) !== segment || this.isFailed) return disk.removeFile(rewritten.path)
    const fresh = Segment.existing(this.#world, this.folder, base, rewritten.bytes, segment.next)
    fresh.isActive = false
    fresh.slot.mode = 'read'
    fresh.maxTimestampMs = segment.maxTimestampMs
    fresh.maxTimestampOffset = segment.maxTimestampOffset
    disk.rename(rewritten.path, `${segment.path}.log`)
    this.segments[this.segments.indexOf(segment)] = fresh
    segment.giveWay()
    await disk.syncFolder(this.folder)
  }

  promisedEnd(): SyncedEnd {
    assert(this.synced !== undefined, `${this.folder} was synced`)
    return this.synced
  }

  /** A journal entry holds batches for this log. */
  dirtyAt(sequence: number): void {
    this.dirtySince = Math.min(this.dirtySince, sequence)
    this.#dirtyAfterSync = Math.min(this.#dirtyAfterSync, sequence)
  }

  /** All that is written at the call is on the medium when it resolves: data, file names, indexes saved. */
  sync(): Promise<SyncedEnd> {
    const after = this.#syncing ?? Promise.resolve(undefined)
    // One at a time: a later caller needs a later sync, not a share of the earlier one.
    const own = after.catch(() => undefined).then(() => this.#syncAll())
    this.#syncing = own
    return own
  }

  async #syncAll(): Promise<SyncedEnd> {
    if (this.syncFailure !== undefined) throw this.syncFailure
    const last = this.active
    const reached = { base: last.base, position: last.bytes, next: last.next }
    this.#dirtyAfterSync = this.pendingSince()
    this.unsyncedBytes = 0
    // A copy: a trim may take segments away meanwhile.
    const segments = [...this.segments]
    try {
      for (const segment of segments) await this.#syncSegment(segment)
      if (last.isActive) last.saveIndexes()
      if (this.#isFolderChanged) {
        this.#isFolderChanged = false
        await this.#world.disk.syncFolder(this.folder)
      }
    } catch (error) {
      this.syncFailure = error
      throw error
    }
    this.dirtySince = this.#dirtyAfterSync
    this.synced = reached
    return reached
  }

  async #syncSegment(segment: Segment): Promise<void> {
    if (segment.isRemoved) return
    const { bytes } = segment
    if (segment.syncedBytes !== bytes || segment.isCut) await this.#syncBatches(segment, bytes)
    if (segment.hasUnsyncedIndexes) await segment.syncIndexes()
  }

  async #syncBatches(segment: Segment, bytes: number): Promise<void> {
    segment.isCut = false
    const file = this.#world.slots.hold(segment.slot)
    try {
      await file.sync()
    } finally {
      this.#world.slots.release(segment.slot)
    }
    segment.syncedBytes = Math.max(segment.syncedBytes, bytes)
  }

  /** After a failed sync: what the kernel may have dropped is written once more, so that a later sync means it. */
  async rewriteUnsynced(): Promise<void> {
    for (const segment of this.segments) {
      const file = this.#world.slots.hold(segment.slot)
      try {
        for (let at = segment.syncedBytes; at < segment.bytes; at += scanBytes) {
          const piece = Buffer.allocUnsafe(Math.min(scanBytes, segment.bytes - at))
          await file.read(piece, at)
          await file.write([piece], at)
        }
      } finally {
        this.#world.slots.release(segment.slot)
      }
    }
  }

  /** As the port's read, from the files. */
  async read(from: Offset, bytesMax: number, below: Offset): Promise<Batches> {
    let at = this.segmentAt(from)
    while (at < this.segments.length) {
      const found = await this.#readSegment(this.segments[at], from, bytesMax, below)
      if (found !== undefined) return found
      at++
    }
    return { chunks: [], bytes: 0, next: from }
  }

  /** The place in `segments` of the one that holds `from` or what comes after it. */
  segmentAt(from: Offset): number {
    let low = 0
    let high = this.segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.segments[middle].base <= from) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  /** Undefined: no batch of this segment ends above `from`. */
  async #readSegment(segment: Segment, from: Offset, bytesMax: number, below: Offset): Promise<Batches | undefined> {
    if (segment.next <= from || segment.bytes === 0) return undefined
    const end = segment.bytes
    let position = await segment.position(from)
    let size = Math.min(Math.max(bytesMax, readBytesMin), readBytesMax)
    let isFirst = true
    const { readBuffers } = this.#world
    const file = this.#world.slots.hold(segment.slot)
    try {
      while (position < end) {
        const buffer = readBuffers.take(Math.min(size, end - position))
        const filled = await file.read(buffer, position)
        if (filled < buffer.length) throw segment.damagedAt(position + filled)
        const selection = selectBatches(segment, buffer, position, from, bytesMax, below, isFirst && position > 0)
        if (selection === 'doubtful') {
          if (!(await segment.doubtIndexes())) throw segment.damagedAt(position)
          position = await segment.position(from)
          continue
        }
        isFirst = false
        const { begin, stop, next, wanted } = selection
        if (stop > begin) {
          segment.remember(next, position + stop)
          const chunks = [buffer.subarray(begin, stop)]
          return { chunks, bytes: stop - begin, next, release: once(() => readBuffers.giveBack(buffer)) }
        }
        if (wanted === 0) return { chunks: [], bytes: 0, next: from }
        if (begin === 0 && position + buffer.length >= end) throw segment.damagedAt(position)
        position += begin
        size = Math.max(size, wanted)
      }
    } finally {
      this.#world.slots.release(segment.slot)
    }
    return undefined
  }

  infos(): SegmentInfo[] {
    return this.segments.map((segment) => segment.info())
  }

  removeAll(): void {
    for (const segment of this.segments) segment.remove()
    this.segments.length = 0
    this.#world.disk.removeFolder(this.folder)
  }

  /** Saves what a clean close leaves behind. */
  close(): void {
    const { active } = this
    if (active.isActive) active.saveIndexes()
    for (const segment of this.segments) {
      this.#world.loaded.delete(segment)
      this.#world.slots.drop(segment.slot)
    }
  }
}

/** Giving a buffer back twice would lend it to two. */
function once(task: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) task()
    isDone = true
  }
}

function chunksOf(run: readonly Placed[]): Buffer[] {
  const chunks: Buffer[] = []
  for (const { batch } of run) chunks.push(batch)
  return gathered(chunks)
}
