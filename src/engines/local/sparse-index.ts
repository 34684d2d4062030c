// Kafka's sparse indexes: offset → position (8 bytes an entry) and timestamp → offset (12 bytes an entry).
// Promises: in memory exactly the bytes of the file; entries only rise; a file that does not is not accepted.
// Does not know: segments. Offsets are relative to the segment's base, and name the last offset of a batch.

import { assert } from '../../base/assert.ts'
import { readInt64, writeInt64 } from '../../log/batch.ts'

const offsetEntryBytes = 8
const timeEntryBytes = 12
const firstEntries = 8

/** Entries that grow in one buffer; what is already in the file is counted. */
class Entries {
  buffer: Buffer
  count: number
  written: number
  readonly entryBytes: number

  constructor(entryBytes: number, buffer: Buffer = Buffer.alloc(0)) {
    this.entryBytes = entryBytes
    this.buffer = buffer
    this.count = buffer.length / entryBytes
    this.written = this.count
  }

  /** The place of a new entry. */
  add(): number {
    const at = this.count++ * this.entryBytes
    if (at + this.entryBytes > this.buffer.length) {
      const larger = Buffer.alloc(Math.max(this.buffer.length * 2, firstEntries * this.entryBytes))
      this.buffer.copy(larger)
      this.buffer = larger
    }
    return at
  }

  /** Bytes that the file does not hold yet, and where they go. */
  unwritten(): { readonly bytes: Buffer; readonly position: number } {
    const position = this.written * this.entryBytes
    return { bytes: this.buffer.subarray(position, this.count * this.entryBytes), position }
  }

  /** How many entries from the first fulfil `holds`, which is true up to a point. */
  prefix(holds: (at: number) => boolean): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holds(middle * this.entryBytes)) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Last offset of a batch (relative) → position of that batch in the file. */
export class OffsetIndex {
  readonly entries: Entries

  constructor(file?: Buffer) {
    this.entries = new Entries(offsetEntryBytes, file)
  }

  /** The file's bytes as an index of a segment of `bytes`, or undefined when they cannot be that. */
  static accept(file: Buffer, bytes: number): OffsetIndex | undefined {
    if (file.length % offsetEntryBytes !== 0) return undefined
    let offset = -1
    let position = -1
    for (let at = 0; at < file.length; at += offsetEntryBytes) {
      const nextOffset = file.readInt32BE(at)
      const nextPosition = file.readInt32BE(at + 4)
      if (nextOffset <= offset || nextPosition <= position || nextPosition >= bytes) return undefined
      offset = nextOffset
      position = nextPosition
    }
    return new OffsetIndex(file)
  }

  add(relativeOffset: number, position: number): void {
    const at = this.entries.add()
    assert(at === 0 || this.entries.buffer.readInt32BE(at - 8) < relativeOffset, 'index offsets rise')
    this.entries.buffer.writeInt32BE(relativeOffset, at)
    this.entries.buffer.writeInt32BE(position, at + 4)
  }

  /** Where to begin looking for the batch that holds `relativeOffset`. */
  position(relativeOffset: number): number {
    const { buffer } = this.entries
    const found = this.entries.prefix((at) => buffer.readInt32BE(at) <= relativeOffset)
    return found === 0 ? 0 : buffer.readInt32BE((found - 1) * offsetEntryBytes + 4)
  }

  lastPosition(): number {
    const { buffer, count } = this.entries
    return count === 0 ? 0 : buffer.readInt32BE((count - 1) * offsetEntryBytes + 4)
  }

  /** Forgets entries of batches at or above `position`. */
  cut(position: number): void {
    const { buffer } = this.entries
    this.entries.count = this.entries.prefix((at) => buffer.readInt32BE(at + 4) < position)
    this.entries.written = Math.min(this.entries.written, this.entries.count)
  }
}

/** Greatest timestamp so far → last offset (relative) of the batch that has it. */
export class TimeIndex {
  readonly entries: Entries

  constructor(file?: Buffer) {
    this.entries = new Entries(timeEntryBytes, file)
  }

  static accept(file: Buffer): TimeIndex | undefined {
    if (file.length % timeEntryBytes !== 0) return undefined
    const index = new TimeIndex(file)
    let timestamp = -Infinity
    let offset = -1
    for (let at = 0; at < file.length; at += timeEntryBytes) {
      const nextTimestamp = readInt64(file, at)
      const nextOffset = file.readInt32BE(at + 8)
      if (nextTimestamp <= timestamp || nextOffset <= offset) return undefined
      timestamp = nextTimestamp
      offset = nextOffset
    }
    return index
  }

  /** No effect unless the timestamp is greater than the last entry's. */
  add(timestampMs: number, relativeOffset: number): void {
    const last = this.last()
    if (last !== undefined && timestampMs <= last.timestampMs) return
    const at = this.entries.add()
    writeInt64(this.entries.buffer, timestampMs, at)
    this.entries.buffer.writeInt32BE(relativeOffset, at + 8)
  }

  last(): { readonly timestampMs: number; readonly relativeOffset: number } | undefined {
    const { buffer, count } = this.entries
    if (count === 0) return undefined
    const at = (count - 1) * timeEntryBytes
    return { timestampMs: readInt64(buffer, at), relativeOffset: buffer.readInt32BE(at + 8) }
  }

  /** A relative offset below which no batch reaches `timestampMs`. */
  floor(timestampMs: number): number {
    const { buffer } = this.entries
    const found = this.entries.prefix((at) => readInt64(buffer, at) < timestampMs)
    return found === 0 ? 0 : buffer.readInt32BE((found - 1) * timeEntryBytes + 8)
  }

  /** Forgets entries of batches that end above `relativeOffset`. */
  cut(relativeOffset: number): void {
    const { buffer } = this.entries
    this.entries.count = this.entries.prefix((at) => buffer.readInt32BE(at + 8) <= relativeOffset)
    this.entries.written = Math.min(this.entries.written, this.entries.count)
  }
}
