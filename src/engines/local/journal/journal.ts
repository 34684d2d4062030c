// The journal: entries one after the other in preallocated files that are used again.
// Promises: a resolved commit is on the medium with all before it; one entry at a time, so that the next is written
// only after the sync of the last. Does not know: logs, what parts mean, when they are no longer needed.

import { assert } from '../../../base/assert.ts'
import type { Disk, Random } from '../../../base/world.ts'
import { gathered } from '../gather.ts'
import { journalFileName, layout } from '../layout.ts'
import {
  journalFileBytesMax,
  journalFileBytesMin,
  journalGrowBytes,
  journalReserveBytes,
  type LocalSettings,
  writeNowBytesMax,
} from '../options.ts'
import { encodeEntry, type Part, partBytes, entryHeadBytes, saltBytes } from './entry.ts'
import { encodeFileHead, fileHeadBytes, type JournalFile, openJournalFile } from './journal-file.ts'

/** Where a start leaves the journal. */
export interface JournalState {
  /** Files with entries that may still be needed, oldest first. */
  readonly live: JournalFile[]
  readonly free: JournalFile[]
  readonly nextSequence: number
}

export type JournalRoom = 'ready' | 'wait'

export class Journal {
  isBusy = false
  readonly #disk: Disk
  readonly #random: Random
  readonly #folder: string
  readonly #bytesMax: number
  readonly #fileBytes: number
  readonly #live: JournalFile[]
  readonly #free: JournalFile[]
  #current: JournalFile | undefined
  #position = 0
  #nextSequence: number
  #nextNumber: number
  #isFolderChanged = false

  constructor(world: { readonly disk: Disk; readonly random: Random }, settings: LocalSettings, state: JournalState) {
    this.#disk = world.disk
    this.#random = world.random
    this.#folder = layout.journal(settings.path)
    this.#bytesMax = settings.journalBytesMax
    const share = Math.floor(settings.journalBytesMax / 8)
    this.#fileBytes = Math.max(journalFileBytesMin, Math.min(journalFileBytesMax, share))
    this.#live = state.live
    this.#free = state.free
    this.#nextSequence = state.nextSequence
    this.#nextNumber = Math.max(0, ...[...state.live, ...state.free].map(({ number }) => number + 1))
  }

  /** What the next entry will be. */
  get nextSequence(): number {
    return this.#nextSequence
  }

  /** Entries below are on the medium, and what they promise has been done in memory. */
  get settledSequence(): number {
    return this.isBusy ? this.#nextSequence - 1 : this.#nextSequence
  }

  /** Bytes of files whose entries are still needed. */
  get liveBytes(): number {
    let bytes = 0
    for (const file of this.#live) bytes += file === this.#current ? this.#position : file.bytes
    return bytes
  }

  /** Above this many live bytes, segments are synced so that files come free. */
  get isFilling(): boolean {
    return this.liveBytes > this.#bytesMax / 4
  }

  /**
   * Makes room for an entry of these parts. `wait`: the journal is at its bound until something is recycled. Throws
   * DiskError when the disk is full; nothing is written then. `isUrgent` may use the reserve.
   */
  prepare(parts: readonly Part[], isUrgent: boolean): JournalRoom {
    assert(!this.isBusy, 'one entry at a time')
    let bytes = entryHeadBytes + 8
    for (const part of parts) bytes += partBytes(part)
    if (this.#current !== undefined && this.#position + bytes <= Math.max(this.#fileBytes, this.#current.bytes)) {
      this.#grow(this.#current, this.#position, bytes, isUrgent)
      return 'ready'
    }
    const file = this.#free.pop() ?? this.#create()
    if (file === undefined) return 'wait'
    try {
      this.#grow(file, fileHeadBytes, bytes, isUrgent)
    } catch (error) {
      this.#free.push(file)
      throw error
    }
    file.salt = this.#random.bytes(saltBytes)
    file.firstSequence = this.#nextSequence
    file.lastSequence = this.#nextSequence - 1
    this.#live.push(file)
    this.#current = file
    this.#position = 0
    return 'ready'
  }

  #create(): JournalFile | undefined {
    let bytes = 0
    for (const file of [...this.#live, ...this.#free]) bytes += Math.max(file.bytes, this.#fileBytes)
    // Beside the current file there is always room for the next: otherwise one large entry could stop everything.
    if (bytes + this.#fileBytes > this.#bytesMax && this.#live.length > 1) return undefined
    const number = this.#nextNumber++
    this.#isFolderChanged = true
    return openJournalFile(this.#disk, `${this.#folder}/${journalFileName(number)}`, number)
  }

  /** Zero-fills ahead in steps: within them a sync writes no metadata. */
  #grow(file: JournalFile, position: number, bytes: number, isUrgent: boolean): void {
    const least = position + bytes
    const wanted = least + (isUrgent ? 0 : journalReserveBytes)
    if (wanted <= file.bytes) return
    const steps = Math.ceil(wanted / journalGrowBytes) * journalGrowBytes
    try {
      file.file.allocate(Math.max(wanted, Math.min(steps, this.#fileBytes)))
    } catch (error) {
      if (!isUrgent || file.file.bytes() < least) throw error
    } finally {
      file.bytes = file.file.bytes()
    }
  }

  /** Writes and syncs one entry in the room prepared. A rejection means that nothing can be promised any more. */
  async commit(parts: readonly Part[]): Promise<void> {
    const file = this.#current
    assert(file !== undefined && !this.isBusy, 'room was prepared')
    this.isBusy = true
    const sequence = this.#nextSequence++
    const entry = encodeEntry(parts, file.salt, sequence)
    const chunks = gathered(entry.chunks)
    let at = this.#position
    let { bytes } = entry
    if (at === 0) {
      chunks.unshift(encodeFileHead(file.salt, file.firstSequence))
      bytes += fileHeadBytes
    }
    this.#position += bytes
    assert(this.#position <= file.bytes, 'an entry fits the room prepared')
    file.lastSequence = sequence
    if (bytes <= writeNowBytesMax) file.file.writeNow(chunks, at)
    else await file.file.write(chunks, at)
    await file.file.sync()
    if (this.#isFolderChanged) {
      this.#isFolderChanged = false
      await this.#disk.syncFolder(this.#folder)
    }
    this.isBusy = false
  }

  /** Whether a file would come free if nothing below `low` is needed. */
  canRecycle(low: number): boolean {
    return this.#live.some((file) => file !== this.#current && file.lastSequence < low)
  }

  /** Nothing below `low` is needed, and a checkpoint on the medium says so. */
  recycle(low: number): void {
    for (const file of this.#live.filter((live) => live !== this.#current && live.lastSequence < low)) {
      this.#live.splice(this.#live.indexOf(file), 1)
      if (file.bytes <= this.#fileBytes) this.#free.push(file)
      else {
        // It grew for one large entry and is not kept at that size.
        file.file.close()
        this.#disk.removeFile(file.path)
      }
    }
  }

  close(): void {
    for (const { file } of [...this.#live, ...this.#free]) file.close()
    this.#live.length = 0
    this.#free.length = 0
    this.#current = undefined
  }
}
