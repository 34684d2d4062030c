// A window on a log: some batches as they were read, and where their records lie.
// Promises: a record is found without an object made for it; a batch that lies is malformed and never half given.
// Does not know: which offsets are wanted (reading.ts), what a record means (message.ts).

import { assert } from '../../../base/assert.ts'
import { batchInflateBytesMax, MiB } from '../../../base/limits.ts'
import type { Clock } from '../../../base/world.ts'
import {
  attributesAt,
  baseOffsetAt,
  batchBytesAt,
  batchHeadBytes,
  compressionOf,
  hasLogAppendTime,
  isControl,
  isOwnBatch,
  lastOffsetDeltaAt,
  maxTimestampAt,
  readInt64,
  type CompressionName,
} from '../../../log/batch.ts'
import { CodecUnavailable } from '../../../log/compression-codec.ts'
import { inflateOffLoop } from '../../../log/compression.ts'
import { MalformedRecords, RecordCursor } from '../../../log/records.ts'
import type { Batches } from '../../../log/store.ts'
import { behindVarint, varintAt } from './message.ts'
import { headersReadMax } from './message-foreign.ts'

/** Why there is no message at an offset that a window covers. */
export type Absence = 'gap' | 'malformed' | 'control'

/** Batches are opened a few at a time: what they come to is in nobody's count before. */
export interface Openings {
  /** undefined: at once. To be followed by leave(). */
  enter(): Promise<void> | undefined
  leave(): void
}

export interface WindowHost {
  readonly clock: Pick<Clock, 'endOfTurn'>
  readonly openings: Openings
}

/** Of a stranger's batch so much is walked in one turn of the loop. */
const judgedBytesPerTurn = MiB
/** Places of records that are kept for the next batch: few batches have more. */
const positionsKeptMax = 65_536
const countAt = 57
const baseTimestampAt = 27
const nothing: Buffer = Buffer.alloc(0)

export class ReadingWindow {
  /** Offsets [from, next) were read; what is not in a batch of them is a gap. */
  readonly from: number
  readonly next: number
  readonly bytes: number
  /** Counts uses, for whoever has to drop one. */
  usedAt = 0
  /** A batch of it is being opened: letting it go now would give nothing back. */
  isOpening = false
  readonly #chunks: readonly Buffer[]
  readonly #release: (() => void) | undefined

  // The batch at hand.
  base = 0
  batchNext = 0
  attributes = 0
  section: Buffer = nothing
  #chunkIndex = -1
  #chunk: Buffer = nothing
  #at = 0
  #bytes = 0
  #absence: Absence | undefined
  #isOpen = false
  #isReleased = false
  /** Where the known records of the batch begin in its section. */
  #positions = new Uint32Array(64)
  #known = 0
  #walkedTo = 0

  constructor(from: number, batches: Batches) {
    this.from = from
    this.next = batches.next
    this.bytes = batches.bytes
    this.#chunks = batches.chunks
    this.#release = batches.release
    this.#firstBatch()
  }

  covers(offset: number): boolean {
    return offset >= this.from && offset < this.next
  }

  /** What it holds now: what was read, what it was opened to, where records lie in it. */
  get heldBytes(): number {
    const openedBytes = this.section.buffer === this.#chunk.buffer ? 0 : this.section.length
    return this.bytes + openedBytes + this.#positions.byteLength
  }

  /** Also while it is being opened: what comes of that is let go. */
  release(): void {
    this.#isReleased = true
    this.section = this.#chunk = nothing
    this.#release?.()
  }

  #firstBatch(): boolean {
    this.#chunkIndex = -1
    this.#at = this.#bytes = 0
    this.#chunk = nothing
    return this.#nextBatch()
  }

  /** Moves to the following batch. False: there is none. */
  #nextBatch(): boolean {
    let at = this.#at + this.#bytes
    while (at >= this.#chunk.length) {
      if (this.#chunkIndex + 1 >= this.#chunks.length) return false
      this.#chunk = this.#chunks[++this.#chunkIndex]
      at = 0
    }
    const chunk = this.#chunk
    this.#at = at
    this.#bytes = batchBytesAt(chunk, at)
    assert(at + this.#bytes <= chunk.length, 'a log gives whole batches')
    this.base = baseOffsetAt(chunk, at)
    this.batchNext = this.base + lastOffsetDeltaAt(chunk, at) + 1
    this.attributes = attributesAt(chunk, at)
    this.section = nothing
    this.#isOpen = false
    this.#absence = undefined
    this.#known = 0
    if (this.#positions.length > positionsKeptMax) this.#positions = new Uint32Array(64)
    return true
  }

  /**
   * Makes the record at `offset` the one that `position` tells. undefined: it is there. A promise: ask again when it
   * resolves. Else there is none, for all offsets from this one up to `absentBelow`.
   */
  seek(offset: number, host: WindowHost): Absence | undefined | Promise<void> {
    if (offset < this.base) {
      if (!this.#firstBatch() || offset < this.base) return 'gap'
    }
    while (offset >= this.batchNext) if (!this.#nextBatch()) return 'gap'
    if (offset < this.base) return 'gap'
    if (!this.#isOpen) {
      const opening = this.#open(host)
      if (opening !== undefined) return opening
    }
    return this.#absence
  }

  /** After an absence at `offset`: where it ends. */
  absentBelow(offset: number): number {
    if (offset < this.base) return this.base
    return offset < this.batchNext ? this.batchNext : this.next
  }

  #open(host: WindowHost): Promise<void> | undefined {
    const { attributes } = this
    const section = this.#chunk.subarray(this.#at + batchHeadBytes, this.#at + this.#bytes)
    if (isControl(attributes)) {
      this.#absent('control')
      return undefined
    }
    const codec = compressionOf(attributes)
    if (codec === 'none') return this.#opened(section, host.clock)
    if (codec === undefined) {
      this.#absent('malformed')
      return undefined
    }
    return this.#openPacked(codec, section, host)
  }

  async #openPacked(codec: CompressionName, section: Buffer, { clock, openings }: WindowHost): Promise<void> {
    const waiting = openings.enter()
    if (waiting !== undefined) await waiting
    try {
      if (this.#isReleased) return
      this.isOpening = true
      const content = await inflateOffLoop(codec, section, batchInflateBytesMax, clock)
      if (!this.#isReleased) await this.#opened(content, clock)
    } catch (error) {
      if (!(error instanceof MalformedRecords) && !(error instanceof CodecUnavailable)) throw error
      if (!this.#isReleased) this.#absent('malformed')
    } finally {
      this.isOpening = false
      openings.leave()
    }
  }

  #absent(why: Absence): void {
    this.#absence = why
    this.section = nothing
    this.#isOpen = true
  }

  #opened(section: Buffer, clock: Pick<Clock, 'endOfTurn'>): Promise<void> | undefined {
    this.section = section
    if (!this.isOwn) return this.#judgeForeign(clock)
    this.#walkedTo = 0
    this.#isOpen = true
    return undefined
  }

  /** A stranger's batch is walked whole before anything of it is believed. */
  #judgeForeign(clock: Pick<Clock, 'endOfTurn'>): Promise<void> | undefined {
    const cursor = new RecordCursor(this.section)
    if (this.section.length > judgedBytesPerTurn) return this.#judgeInTurns(cursor, clock)
    this.#judgeDownTo(cursor, 0)
    return undefined
  }

  async #judgeInTurns(cursor: RecordCursor, clock: Pick<Clock, 'endOfTurn'>): Promise<void> {
    while (!this.#isReleased) {
      this.#judgeDownTo(cursor, cursor.remaining - judgedBytesPerTurn)
      if (this.#isOpen) return
      await new Promise<void>((resolve) => clock.endOfTurn(resolve))
    }
  }

  /** Walks until no more than so many bytes are left; the end opens the batch, and so does the first lie. */
  #judgeDownTo(cursor: RecordCursor, leftBytes: number): void {
    const { section } = this
    const count = this.#chunk.readInt32BE(this.#at + countAt)
    try {
      while (cursor.remaining > leftBytes) {
        const at = section.length - cursor.remaining
        if (!cursor.pass(headersReadMax)) break
        const index = this.#known
        if (cursor.offsetDelta !== index || index >= count) return this.#absent('malformed')
        this.#remember(at)
      }
      if (cursor.remaining > 0) return
      if (this.#known !== count || count !== this.batchNext - this.base) return this.#absent('malformed')
      this.#isOpen = true
    } catch (error) {
      if (!(error instanceof MalformedRecords)) throw error
      this.#absent('malformed')
    }
  }

  #remember(at: number): void {
    if (this.#known === this.#positions.length) {
      const larger = new Uint32Array(this.#positions.length * 2)
      larger.set(this.#positions)
      this.#positions = larger
    }
    this.#positions[this.#known++] = at
  }

  /** Where the record of `offset` begins in `section`; after seek() found it. */
  position(offset: number): number {
    const delta = offset - this.base
    while (this.#known <= delta) {
      const at = this.#walkedTo
      this.#walkedTo = behindVarint(this.section, at) + varintAt(this.section, at)
      this.#remember(at)
    }
    return this.#positions[delta]
  }

  /** The batch at hand, as it lies in the log. */
  get batch(): Buffer {
    return this.#chunk.subarray(this.#at, this.#at + this.#bytes)
  }

  get isOwn(): boolean {
    return isOwnBatch(this.attributes)
  }

  /** The greatest time of the batch at hand: that of every record of ours, which a turn of the loop made. */
  get maxTimestampMs(): number {
    return maxTimestampAt(this.#chunk, this.#at)
  }

  /** A record's time from its delta to the batch's. */
  timestampMs(deltaMs: number): number {
    return hasLogAppendTime(this.attributes)
      ? this.maxTimestampMs
      : readInt64(this.#chunk, this.#at + baseTimestampAt) + deltaMs
  }
}
