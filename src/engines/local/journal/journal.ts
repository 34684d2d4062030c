// The journal: entries one after the other in preallocated files that are used again.
// Promises: entries lie in the order they were written; what a resolved sync covers is on the medium. An entry may be
// written while those before it are synced: nothing is promised of it before theirs. Does not know: logs, what parts mean.

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
import { encodeEntry, type Part, partBytes, entryHeadBytes, saltBytes, unsyncedEntriesMax } from './entry.ts'
import { encodeFileHead, fileHeadBytes, type JournalFile, openJournalFile } from './journal-file.ts'

/** Where a start leaves the journal. */
export interface JournalState {
  /** Files with entries that may still be needed, oldest first. */
  readonly live: JournalFile[]
  readonly free: JournalFile[]
  readonly nextSequence: number
}

/** `wait`: until something is recycled; `later`: until all that is written is synced. */
export type JournalRoom = 'ready' | 'wait' | 'later'

/** One entry in its file. */
export interface WrittenEntry {
  readonly sequence: number
  readonly file: JournalFile
}

export class Journal {
  /** An entry is being written off the loop: no other may begin. */
  isWriting = false
  /** Entries below are on the medium, and what they promise has been done in memory: said by who does it. */
  settledSequence: number
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
  /** Entries below are known to be on the medium. */
  #syncedBelow: number
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
    this.settledSequence = state.nextSequence
    this.#syncedBelow = state.nextSequence
    this.#nextNumber = Math.max(0, ...[...state.live, ...state.free].map(({ number }) => number + 1))
  }

  /** What the next entry will be. */
  get nextSequence(): number {
    return this.#nextSequence
  }

  /** Entries written that are not known to be on the medium. */
  get unsynced(): number {
    return this.#nextSequence - this.#syncedBelow
  }

  /** As many entries as may be wait for a sync. */
  get isFarAhead(): boolean {
    return this.unsynced >= unsyncedEntriesMax
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
   * DiskError when the disk is full; nothing is written then.
   */
  prepare(parts: readonly Part[], mayUseReserve: boolean): JournalRoom {
    assert(!this.isWriting, 'one entry at a time')
    let bytes = entryHeadBytes + 8
    for (const part of parts) bytes += partBytes(part)
    if (this.#current !== undefined && this.#position + bytes <= Math.max(this.#fileBytes, this.#current.bytes)) {
      this.#grow(this.#current, this.#position, bytes, mayUseReserve)
      return 'ready'
    }
    // A file begins only when all before it is on the medium: a start must not find it behind a hole.
    if (this.unsynced > 0) return 'later'
    const file = this.#free.pop() ?? this.#create()
    if (file === undefined) return 'wait'
    try {
      this.#grow(file, fileHeadBytes, bytes, mayUseReserve)
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
  #grow(file: JournalFile, position: number, bytes: number, mayUseReserve: boolean): void {
    const least = position + bytes
    const wanted = least + (mayUseReserve ? 0 : journalReserveBytes)
    if (wanted <= file.bytes) return
    const steps = Math.ceil(wanted / journalGrowBytes) * journalGrowBytes
    try {
      file.file.allocate(Math.max(wanted, Math.min(steps, this.#fileBytes)))
    } catch (error) {
      if (!mayUseReserve || file.file.bytes() < least) throw error
    } finally {
      file.bytes = file.file.bytes()
    }
  }

  /** Writes one entry in the room prepared. A rejection means that nothing can be promised any more. */
  write(parts: readonly Part[]): WrittenEntry | Promise<WrittenEntry> {
    const file = this.#current
    assert(file !== undefined && !this.isWriting, 'room was prepared')
    const entry = encodeEntry(parts, file.salt, this.#nextSequence, this.unsynced)
    const sequence = this.#nextSequence++
    const chunks = gathered(entry.chunks)
    const at = this.#position
    let { bytes } = entry
    if (at === 0) {
      chunks.unshift(encodeFileHead(file.salt, file.firstSequence))
      bytes += fileHeadBytes
    }
    this.#position += bytes
    assert(this.#position <= file.bytes, 'an entry fits the room prepared')
    file.lastSequence = sequence
    const written = { sequence, file }
    if (bytes <= writeNowBytesMax) {
      file.file.writeNow(chunks, at)
      return written
    }
    this.isWriting = true
    return file.file.write(chunks, at).then(() => {
      this.isWriting = false
      return written
    })
  }

  /** When it resolves, these entries are on the medium with all before them. */
  async sync(entries: readonly WrittenEntry[]): Promise<void> {
    for (const file of new Set(entries.map((entry) => entry.file))) await file.file.sync()
    if (this.#isFolderChanged) {
      this.#isFolderChanged = false
      await this.#disk.syncFolder(this.#folder)
    }
    for (const { sequence } of entries) this.#syncedBelow = Math.max(this.#syncedBelow, sequence + 1)
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
