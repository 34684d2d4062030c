// One segment of a log: a file of batches, its offset index and its time index, in Kafka's format.
// Promises: what is accounted is in the file whole; an index that is missing or cannot be right is built again.
// Does not know: other segments, the journal, who reads.

import { assert } from '../../base/assert.ts'
import type { Disk } from '../../base/world.ts'
import { baseOffsetAt, lastOffsetDeltaAt, maxTimestampAt } from '../../log/batch.ts'
import { CorruptLog, type Offset, type SegmentInfo } from '../../log/store.ts'
import type { BufferPool } from '../../base/buffer-pool.ts'
import { FileSlot, type FileSlots } from './file-slots.ts'
import { segmentName } from './layout.ts'
import { hintsMax, loadedIndexesMax } from './options.ts'
import { scanBatches, type SegmentVisit } from './scan.ts'
import { OffsetIndex, TimeIndex } from './sparse-index.ts'

/** What all segments of a store share. */
export interface SegmentWorld {
  readonly disk: Disk
  readonly slots: FileSlots
  /** Closed segments whose indexes are in memory, oldest first. */
  readonly loaded: Set<Segment>
  /** What is read from the files is read into these. */
  readonly readBuffers: BufferPool
}

export const noTimestampMs = -1

/** Whether an unsynced batch is another than the one that the journal has at its offset. */
export type ForeignTest = (base: Offset, chunk: Buffer, at: number) => boolean

export const noneForeign: ForeignTest = () => false

export class Segment {
  readonly base: Offset
  readonly path: string
  readonly slot: FileSlot
  /** After the last batch. */
  next: Offset
  bytes: number
  maxTimestampMs = noTimestampMs
  /** Last offset of the first batch that has the greatest timestamp. */
  maxTimestampOffset: Offset
  /** When its first batch was appended, by the clock; undefined while it has none. */
  bornMs: number | undefined
  /** Bytes known to be on the medium. */
  syncedBytes = 0
  isActive = true
  isRemoved = false
  /** Was made shorter since the last sync: what was cut away must not come back. */
  isCut = false
  /** Closed, and its index files perhaps only in the kernel. */
  hasUnsyncedIndexes = false
  #offsets: OffsetIndex | undefined
  #times: TimeIndex | undefined
  #bytesSinceEntry = 0
  #isRebuilt = false
  readonly #hints = new Map<Offset, number>()
  readonly #world: SegmentWorld

  constructor(world: SegmentWorld, folder: string, base: Offset) {
    this.#world = world
    this.base = base
    this.next = base
    this.maxTimestampOffset = base
    this.bytes = 0
    this.path = `${folder}/${segmentName(base)}`
    this.slot = new FileSlot(`${this.path}.log`, 'create')
  }

  /** A file that is there already, of `bytes`, ending at `next`; `isTrusted` says that its bytes were promised. */
  static existing(world: SegmentWorld, folder: string, base: Offset, bytes: number, next: Offset): Segment {
    const segment = new Segment(world, folder, base)
    segment.bytes = bytes
    segment.next = next
    segment.syncedBytes = bytes
    return segment
  }

  info(): SegmentInfo {
    const { base, next, bytes, maxTimestampMs } = this
    return { base, next, bytes, maxTimestampMs }
  }

  /** Makes the empty file, so that the name is there. */
  touch(): void {
    assert(this.bytes === 0, `${this.path} is new`)
    const indexes = this.#active()
    indexes.offsets.cut(0)
    indexes.times.cut(-1)
    this.#world.slots.use(this.slot).truncate(0)
  }

  /** A batch that was just written at the end. Both indexes get their entry as Kafka would give it. */
  account(bytes: number, next: Offset, maxTimestampMs: number, indexIntervalBytes: number): void {
    const { offsets, times } = this.#active()
    const lastOffset = (next - 1) as Offset
    if (maxTimestampMs > this.maxTimestampMs) {
      this.maxTimestampMs = maxTimestampMs
      this.maxTimestampOffset = lastOffset
    }
    if (this.#bytesSinceEntry > indexIntervalBytes) {
      offsets.add(lastOffset - this.base, this.bytes)
      if (this.maxTimestampMs >= 0) times.add(this.maxTimestampMs, this.maxTimestampOffset - this.base)
      this.#bytesSinceEntry = 0
    }
    this.bytes += bytes
    this.#bytesSinceEntry += bytes
    this.next = next
  }

  #active(): { readonly offsets: OffsetIndex; readonly times: TimeIndex } {
    assert(this.isActive, `${this.path} is the active segment`)
    this.#offsets ??= new OffsetIndex()
    this.#times ??= new TimeIndex()
    return { offsets: this.#offsets, times: this.#times }
  }

  /** Writes index entries that the files do not hold. They are not synced: an index can be built again. */
  saveIndexes(): void {
    if (this.#offsets === undefined || this.#times === undefined) return
    save(this.#world.disk, `${this.path}.index`, this.#offsets.entries)
    save(this.#world.disk, `${this.path}.timeindex`, this.#times.entries)
  }

  /**
   * A closed segment's greatest time is known from its index alone after a start: an older one would let retention
   * drop the segment early. While it is active, an older index only makes a search begin earlier.
   */
  async syncIndexes(): Promise<void> {
    this.hasUnsyncedIndexes = false
    for (const ending of ['.index', '.timeindex']) {
      // Trimmed while the one before was synced: opening would make the file again.
      if (this.isRemoved) return
      const file = this.#world.disk.open(`${this.path}${ending}`, 'create')
      try {
        await file.sync()
      } finally {
        file.close()
      }
    }
  }

  /** No batch is added any more. The time index ends with the greatest timestamp, as Kafka's does. */
  closeForWriting(): void {
    const { times } = this.#active()
    if (this.maxTimestampMs >= 0) times.add(this.maxTimestampMs, this.maxTimestampOffset - this.base)
    this.saveIndexes()
    this.hasUnsyncedIndexes = true
    this.isActive = false
    this.slot.mode = 'read'
    this.#world.loaded.add(this)
    this.#unloadOldest()
  }

  #unloadOldest(): void {
    for (const oldest of this.#world.loaded) {
      if (this.#world.loaded.size <= loadedIndexesMax) return
      this.#world.loaded.delete(oldest)
      oldest.#offsets = undefined
      oldest.#times = undefined
    }
  }

  /** The indexes from their files, checked and completed up to the end of the segment. */
  async #load(): Promise<{ readonly offsets: OffsetIndex; readonly times: TimeIndex }> {
    if (this.#offsets !== undefined && this.#times !== undefined) return { offsets: this.#offsets, times: this.#times }
    const files = this.#readIndexes()
    if (files === undefined) await this.#rebuild()
    else [this.#offsets, this.#times] = files
    if (!this.isActive) {
      this.#world.loaded.add(this)
      this.#unloadOldest()
    }
    assert(this.#offsets !== undefined && this.#times !== undefined, `${this.path} has its indexes`)
    return { offsets: this.#offsets, times: this.#times }
  }

  #readIndexes(): [OffsetIndex, TimeIndex] | undefined {
    const offsetFile = this.#world.disk.readFile(`${this.path}.index`)
    const timeFile = this.#world.disk.readFile(`${this.path}.timeindex`)
    if (offsetFile === undefined || timeFile === undefined) return undefined
    const offsets = OffsetIndex.accept(offsetFile, this.bytes)
    const times = TimeIndex.accept(timeFile)
    return offsets === undefined || times === undefined ? undefined : [offsets, times]
  }

  /** Index files may be older than the batches after a power cut. Says whether they could be the cause of nonsense. */
  async doubtIndexes(): Promise<boolean> {
    if (this.#isRebuilt) return false
    this.#hints.clear()
    await this.#rebuild()
    return true
  }

  /** For a segment whose indexes were lost: its batches are trusted, only their heads are looked at. */
  async #rebuild(): Promise<void> {
    this.#isRebuilt = true
    const offsets = new OffsetIndex()
    const times = new TimeIndex()
    let greatest = noTimestampMs
    let greatestOffset = 0
    let since = 0
    const interval = rebuiltIntervalBytes
    await this.scan(0, this.bytes, false, (chunk, at, position, bytes) => {
      const last = chunkLast(chunk, at)
      const timestampMs = maxTimestampAt(chunk, at)
      if (timestampMs > greatest) {
        greatest = timestampMs
        greatestOffset = last - this.base
      }
      if (since > interval) {
        offsets.add(last - this.base, position)
        if (greatest >= 0) times.add(greatest, greatestOffset)
        since = 0
      }
      since += bytes
    })
    if (greatest >= 0) times.add(greatest, greatestOffset)
    this.#offsets = offsets
    this.#times = times
    if (!this.isActive) this.saveIndexes()
  }

  /**
   * Prepares the active segment for appends after a start: `position` bytes were promised, the index files are used
   * as far as they go below it, what follows is read and, above `position`, proven by its CRC. Answers where the
   * valid batches end.
   */
  async recover(
    position: number,
    fileBytes: number,
    indexIntervalBytes: number,
    isForeign: ForeignTest,
  ): Promise<number> {
    const files = this.#readRecoverable(position)
    if (files[0].entries.count > 0) {
      // The index files were not synced: where they lead to nonsense, they and not the batches are wrong.
      const valid = await this.#recoverWith(files, position, fileBytes, indexIntervalBytes, isForeign)
      if (valid >= position) return valid
      this.next = this.base
      this.maxTimestampMs = noTimestampMs
    }
    const none: [OffsetIndex, TimeIndex] = [new OffsetIndex(), new TimeIndex()]
    const valid = await this.#recoverWith(none, position, fileBytes, indexIntervalBytes, isForeign)
    if (valid < position)
      throw new CorruptLog(`${this.path}.log: damaged at position ${valid}, below what was promised`)
    return valid
  }

  async #recoverWith(
    indexes: [OffsetIndex, TimeIndex],
    position: number,
    fileBytes: number,
    indexIntervalBytes: number,
    isForeign: ForeignTest,
  ): Promise<number> {
    this.#offsets = indexes[0]
    this.#times = indexes[1]
    const from = this.#offsets.lastPosition()
    const last = this.#times.last()
    this.bytes = from
    this.#bytesSinceEntry = 0
    if (last !== undefined) {
      this.maxTimestampMs = last.timestampMs
      this.maxTimestampOffset = (this.base + last.relativeOffset) as Offset
    }
    // Entries are given again from the last one on: the batch it names must not get a second one.
    let isKnown = from > 0
    return scanBatches(this.#world.slots, this.slot, from, fileBytes, position, (chunk, at, start, bytes) => {
      const base = baseOffsetAt(chunk, at)
      if (base < this.next || (start >= position && isForeign(base as Offset, chunk, at))) return false
      const last = chunkLast(chunk, at)
      if (isKnown) {
        isKnown = false
        this.bytes = start + bytes
        this.#bytesSinceEntry = bytes
        this.next = (last + 1) as Offset
        this.#seeTimestamp(maxTimestampAt(chunk, at), last as Offset)
      } else this.account(bytes, (last + 1) as Offset, maxTimestampAt(chunk, at), indexIntervalBytes)
      return true
    })
  }

  #seeTimestamp(timestampMs: number, lastOffset: Offset): void {
    if (timestampMs <= this.maxTimestampMs) return
    this.maxTimestampMs = timestampMs
    this.maxTimestampOffset = lastOffset
  }

  /** Index files cut to what lies below `position`; empty ones when they cannot be trusted. */
  #readRecoverable(position: number): [OffsetIndex, TimeIndex] {
    const offsetFile = this.#world.disk.readFile(`${this.path}.index`)
    const timeFile = this.#world.disk.readFile(`${this.path}.timeindex`)
    const offsets = offsetFile && OffsetIndex.accept(offsetFile, Infinity)
    const times = timeFile && TimeIndex.accept(timeFile)
    if (offsets === undefined || times === undefined) return [new OffsetIndex(), new TimeIndex()]
    offsets.cut(position)
    const { buffer, count } = offsets.entries
    times.cut(count === 0 ? -1 : buffer.readInt32BE((count - 1) * 8))
    return [offsets, times]
  }

  /** Calls `visit` for each batch between the positions; a batch that is not whole and right is damage. */
  async scan(position: number, end: number, checkCrc: boolean, visit: SegmentVisit): Promise<void> {
    let isEnough = false
    const done = await scanBatches(
      this.#world.slots,
      this.slot,
      position,
      end,
      checkCrc ? position : end,
      (...batch) => {
        isEnough = visit(...batch) === false
        return !isEnough
      },
    )
    if (done < end && !isEnough) throw this.damagedAt(done)
  }

  damagedAt(position: number): CorruptLog {
    return new CorruptLog(`${this.path}.log: damaged at position ${position}`)
  }

  /** Where to begin looking for the batch that holds `from` or the next above it. */
  async position(from: Offset): Promise<number> {
    const hint = this.#hints.get(from)
    if (hint !== undefined) return hint
    const { offsets } = await this.#load()
    return offsets.position(from - this.base)
  }

  /** Whether `position` is known to be right for `from`: a reader ended there, or the index was built anew. */
  isProven(from: Offset, position: number): boolean {
    return this.#isRebuilt || this.#hints.get(from) === position
  }

  /** A reader was given all below `offset`, which lies at `position`. */
  remember(offset: Offset, position: number): void {
    this.#hints.delete(offset)
    this.#hints.set(offset, position)
    if (this.#hints.size <= hintsMax) return
    for (const oldest of this.#hints.keys()) {
      this.#hints.delete(oldest)
      return
    }
  }

  /** Where to begin looking for the first batch that reaches `timestampMs`. */
  async timePosition(timestampMs: number): Promise<number> {
    const { offsets, times } = await this.#load()
    return offsets.position(times.floor(timestampMs))
  }

  /** The greatest timestamp of a closed segment: the last entry of its time index is all that is read. */
  async loadMaxTimestamp(): Promise<void> {
    const last = this.#times?.last() ?? lastEntry(this.#world.disk, `${this.path}.timeindex`)
    const known = last ?? (await this.#load()).times.last()
    if (known === undefined) return
    this.maxTimestampMs = known.timestampMs
    this.maxTimestampOffset = (this.base + known.relativeOffset) as Offset
  }

  /** Cuts the file to what is accounted: a write that failed left more. */
  cutToAccounted(): void {
    this.isCut = true
    this.#world.slots.use(this.slot).truncate(this.bytes)
  }

  /** Another file has its name now. Reads under way go on in this one, which nothing else is done with. */
  giveWay(): void {
    this.isRemoved = true
    this.#world.loaded.delete(this)
    this.#world.slots.drop(this.slot)
  }

  remove(): void {
    this.isRemoved = true
    this.#world.loaded.delete(this)
    this.#world.slots.drop(this.slot)
    for (const ending of ['.log', '.index', '.timeindex']) this.#world.disk.removeFile(`${this.path}${ending}`)
  }
}

/** Kafka's default interval; a rebuilt index need not have the entries that the first one had. */
const rebuiltIntervalBytes = 4096

/** Last offset of the batch at `at`. */
export function chunkLast(chunk: Buffer, at: number): number {
  return baseOffsetAt(chunk, at) + lastOffsetDeltaAt(chunk, at)
}

function save(disk: Disk, path: string, entries: OffsetIndex['entries'] | TimeIndex['entries']): void {
  const { bytes, position } = entries.unwritten()
  const file = disk.open(path, 'create')
  try {
    file.truncate(position)
    if (bytes.length > 0) file.writeNow([bytes], position)
    entries.written = entries.count
  } finally {
    file.close()
  }
}

function lastEntry(disk: Disk, path: string): ReturnType<TimeIndex['last']> {
  if (!disk.exists(path)) return undefined
  const file = disk.open(path, 'read')
  try {
    const bytes = file.bytes()
    const entry = Buffer.alloc(12)
    if (bytes < entry.length || bytes % entry.length !== 0) return undefined
    file.readNow(entry, bytes - entry.length)
    return TimeIndex.accept(entry)?.last()
  } finally {
    file.close()
  }
}
