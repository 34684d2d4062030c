// One file of the journal: its header, and the entries after it.
// Promises: a file that is used again has a new salt, so that nothing it held before is taken for an entry.
// Does not know: which entries are still needed.

import { crc32c } from '../../../base/crc32c.ts'
import type { Disk, DiskFile } from '../../../base/world.ts'
import { readInt64, writeInt64 } from '../../../log/batch.ts'
import { saltBytes } from './entry.ts'

/** magic(4) version(4) salt(8) firstSequence(8) crc(4), padded. */
export const fileHeadBytes = 64
const magic = 0x4f_44_52_4a
const version = 1

export interface JournalFile {
  readonly number: number
  readonly path: string
  readonly file: DiskFile
  /** Zero-filled or written up to here. */
  bytes: number
  salt: Buffer
  firstSequence: number
  /** Below firstSequence while it has no entry. */
  lastSequence: number
}

export function openJournalFile(disk: Disk, path: string, number: number): JournalFile {
  const file = disk.open(path, 'create')
  return { number, path, file, bytes: file.bytes(), salt: Buffer.alloc(saltBytes), firstSequence: 0, lastSequence: -1 }
}

export function encodeFileHead(salt: Buffer, firstSequence: number): Buffer {
  const head = Buffer.alloc(fileHeadBytes)
  head.writeUInt32BE(magic, 0)
  head.writeUInt32BE(version, 4)
  salt.copy(head, 8)
  writeInt64(head, firstSequence, 16)
  head.writeUInt32BE(crc32c(head.subarray(0, 24)), 24)
  return head
}

/** Salt and first sequence, or undefined: never used, or its first use was not synced. */
export function readFileHead(content: Buffer): { readonly salt: Buffer; readonly firstSequence: number } | undefined {
  if (content.length < fileHeadBytes || content.readUInt32BE(0) !== magic || content.readUInt32BE(4) !== version) {
    return undefined
  }
  if (content.readUInt32BE(24) !== crc32c(content.subarray(0, 24))) return undefined
  return { salt: Buffer.from(content.subarray(8, 8 + saltBytes)), firstSequence: readInt64(content, 16) }
}
