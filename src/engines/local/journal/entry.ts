// The bytes of a journal entry: what one cycle promised, for all logs together.
// Promises: a head proven by a CRC, bodies proven by the batches' own; torn or stale bytes are never taken for an entry.
// Does not know: files. docs/formats.md says the same in words.

import { assert } from '../../../base/assert.ts'
import { crc32c } from '../../../base/crc32c.ts'
import {
  batchCrcHolds,
  batchHeadBytes,
  isPlacedAt,
  lastOffsetDeltaAt,
  readBatchHead,
  readInt64,
  writeInt64,
} from '../../../log/batch.ts'
import type { LogId, Offset } from '../../../log/store.ts'

/** One thing an entry promises. */
export type Part =
  | {
      readonly kind: 'append'
      readonly id: LogId
      readonly epoch: number
      readonly base: Offset
      readonly batch: Buffer
      /** The log itself promises `commit`: what was below was promised too, so it must be there. */
      readonly isPromised: boolean
    }
  /** The log's segment is on the medium up to here. */
  | {
      readonly kind: 'landed'
      readonly id: LogId
      readonly base: Offset
      readonly position: number
      readonly next: Offset
    }
  | { readonly kind: 'trim'; readonly id: LogId; readonly start: Offset }
  | { readonly kind: 'create'; readonly id: LogId }
  | { readonly kind: 'delete'; readonly id: LogId }

const kinds = ['append', 'landed', 'trim', 'create', 'delete'] as const

export const saltBytes = 8
/**
 * magic(4) salt(8) crc(4) sequence(8) unsynced(1) headBytes(3) bodyBytes(4) parts(4), then the parts, then the bodies.
 * `unsynced`: how many entries before it were not known to be on the medium when it was written.
 */
export const entryHeadBytes = 36
const magic = 0x4f_44_4a_45
/** Entries begin at multiples of this. */
const alignment = 8
const partFixedBytes = { append: 25, landed: 24, trim: 8, create: 0, delete: 0 } as const

/** Most entries that wait for one sync. */
export const unsyncedEntriesMax = 255
const headBytesMax = 0xff_ffff

export const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

export interface EncodedEntry {
  /** Head first, then the batches as they are, then padding. */
  readonly chunks: Buffer[]
  readonly bytes: number
}

/** Bytes an entry of these parts takes, at most. */
export function partBytes(part: Part): number {
  const body = part.kind === 'append' ? part.batch.length : 0
  return 2 + part.id.length + partFixedBytes[part.kind] + body
}

export function encodeEntry(parts: readonly Part[], salt: Buffer, sequence: number, unsynced = 0): EncodedEntry {
  assert(salt.length === saltBytes && parts.length > 0, 'an entry has a salt and parts')
  let headBytes = entryHeadBytes
  for (const { id, kind } of parts) headBytes += 2 + id.length + partFixedBytes[kind]
  assert(headBytes <= headBytesMax && unsynced <= unsyncedEntriesMax, 'the fields of an entry hold what it says')
  const head = Buffer.allocUnsafe(headBytes)
  const chunks: Buffer[] = [head]
  let bodyBytes = 0
  let at = entryHeadBytes
  for (const part of parts) {
    at = encodePart(head, at, part)
    if (part.kind !== 'append') continue
    chunks.push(part.batch)
    bodyBytes += part.batch.length
  }
  assert(at === headBytes, 'the parts fill the head')
  head.writeUInt32BE(magic, 0)
  head.set(salt, 4)
  writeInt64(head, sequence, 16)
  head.writeUInt32BE(unsynced * 0x100_0000 + headBytes, 24)
  head.writeUInt32BE(bodyBytes, 28)
  head.writeUInt32BE(parts.length, 32)
  head.writeUInt32BE(crc32c(head.subarray(16)), 12)
  const bytes = aligned(headBytes + bodyBytes)
  const padding = bytes - headBytes - bodyBytes
  if (padding > 0) chunks.push(zeros.subarray(0, padding))
  return { chunks, bytes }
}

const zeros = Buffer.alloc(alignment)

function encodePart(head: Buffer, start: number, part: Part): number {
  head[start] = kinds.indexOf(part.kind)
  head[start + 1] = part.id.length
  let at = start + 2 + head.write(part.id, start + 2, 'latin1')
  if (part.kind === 'append') {
    head[at] = part.isPromised ? 1 : 0
    writeInt64(head, part.epoch, at + 1)
    writeInt64(head, part.base, at + 9)
    head.writeUInt32BE(part.batch.length, at + 17)
    // The batch's own CRC stands in the head, so that the head's covers which bytes belong to it.
    part.batch.copy(head, at + 21, 17, 21)
  } else if (part.kind === 'landed') {
    writeInt64(head, part.base, at)
    writeInt64(head, part.position, at + 8)
    writeInt64(head, part.next, at + 16)
  } else if (part.kind === 'trim') writeInt64(head, part.start, at)
  at += partFixedBytes[part.kind]
  return at
}

export interface EntryHead {
  readonly sequence: number
  /** All entries below were on the medium when it was written. */
  readonly syncedBelow: number
  readonly headBytes: number
  readonly bytes: number
}

/** The head at `at` when it is whole, of this salt and proven; its bodies are not looked at. */
export function readEntryHead(file: Buffer, at: number, salt: Buffer): EntryHead | undefined {
  if (at + entryHeadBytes > file.length || file.readUInt32BE(at) !== magic) return undefined
  if (salt.compare(file, at + 4, at + 4 + saltBytes) !== 0) return undefined
  const headBytes = file.readUIntBE(at + 25, 3)
  const bytes = aligned(headBytes + file.readUInt32BE(at + 28))
  if (headBytes < entryHeadBytes || at + bytes > file.length) return undefined
  if (file.readUInt32BE(at + 12) !== crc32c(file.subarray(at + 16, at + headBytes))) return undefined
  const sequence = readInt64(file, at + 16)
  return { sequence, syncedBelow: sequence - file[at + 24], headBytes, bytes }
}

/** The parts of the entry whose head was read, or undefined when a body is torn. Batches are slices of `file`. */
export function readParts(file: Buffer, start: number, head: EntryHead): Part[] | undefined {
  const parts: Part[] = []
  const count = file.readUInt32BE(start + 32)
  let at = start + entryHeadBytes
  let body = start + head.headBytes
  for (let place = 0; place < count; place++) {
    const kind = kinds[file[at]]
    if (kind === undefined) return undefined
    const end = at + 2 + file[at + 1]
    const id = file.toString('latin1', at + 2, end) as LogId
    const part = readPart(file, kind, id, end, body)
    if (part === undefined) return undefined
    if (part.kind === 'append') body += part.batch.length
    parts.push(part)
    at = end + partFixedBytes[kind]
  }
  return parts
}

function readPart(file: Buffer, kind: Part['kind'], id: LogId, at: number, body: number): Part | undefined {
  if (kind === 'create' || kind === 'delete') return { kind, id }
  if (kind === 'trim') return { kind, id, start: readInt64(file, at) as Offset }
  if (kind === 'landed') {
    const base = readInt64(file, at) as Offset
    return { kind, id, base, position: readInt64(file, at + 8), next: readInt64(file, at + 16) as Offset }
  }
  const bytes = file.readUInt32BE(at + 17)
  const batch = file.subarray(body, body + bytes)
  if (batch.length !== bytes || bytes < batchHeadBytes || readBatchHead(batch, 0)?.bytes !== bytes) return undefined
  if (batch.readUInt32BE(17) !== file.readUInt32BE(at + 21) || !batchCrcHolds(batch, 0, bytes)) return undefined
  const base = readInt64(file, at + 9) as Offset
  // The batch's CRC does not cover its offset and leader epoch: a torn sector may have held just these.
  if (!isPlacedAt(batch, base, 0)) return undefined
  return { kind, id, epoch: readInt64(file, at + 1), base, batch, isPromised: file[at] === 1 }
}

/** After the last offset of an append's batch. */
export const partNext = (part: Extract<Part, { kind: 'append' }>): Offset =>
  (part.base + lastOffsetDeltaAt(part.batch, 0) + 1) as Offset

/** Where the entry of this salt and sequence begins, from `from` on. */
export function findEntry(file: Buffer, from: number, salt: Buffer, sequence: number): number | undefined {
  for (const [at, head] of entriesFrom(file, from, salt)) if (head.sequence === sequence) return at
  return undefined
}

/** Whether an entry of this salt, anywhere from `from` on, was written when entry `sequence` was on the medium. */
export function hasEntryAfterSync(file: Buffer, from: number, salt: Buffer, sequence: number): boolean {
  for (const [, head] of entriesFrom(file, from, salt)) if (head.syncedBelow > sequence) return true
  return false
}

function* entriesFrom(file: Buffer, from: number, salt: Buffer): Generator<readonly [at: number, head: EntryHead]> {
  const needle = Buffer.alloc(4 + saltBytes)
  needle.writeUInt32BE(magic, 0)
  salt.copy(needle, 4)
  for (let at = file.indexOf(needle, from); at >= 0; at = file.indexOf(needle, at + 1)) {
    const head = readEntryHead(file, at, salt)
    if (head !== undefined) yield [at, head]
  }
}
