// journal/checkpoint: how far each log is on the medium, and from where on the journal is needed.
// Promises: replaced as a whole; proven by a CRC; written before any journal file is used again.
// Does not know: segments. It is text, one line a log, for people who have to look.

import { crc32c } from '../../../base/crc32c.ts'
import type { Disk } from '../../../base/world.ts'
import { CorruptLog, type LogId, type Offset } from '../../../log/store.ts'
import type { SyncedEnd } from '../segment-chain.ts'

export interface LogCheckpoint {
  /** First readable offset. */
  readonly start: Offset
  readonly synced: SyncedEnd | undefined
  /** Of all segments, when it was written. */
  readonly bytes: number
}

export interface Checkpoint {
  /** Rises with every opening of the store. */
  readonly generation: number
  /** Journal entries below are not needed. */
  readonly lowSequence: number
  /** The store was closed: the journal holds nothing that is needed. */
  readonly isClean: boolean
  readonly logs: ReadonlyMap<LogId, LogCheckpoint>
}

const title = 'odradek-checkpoint-1'

export function encodeCheckpoint(checkpoint: Checkpoint): Buffer {
  const { generation, lowSequence, isClean, logs } = checkpoint
  const lines = [`${generation} ${lowSequence} ${isClean ? 'clean' : 'open'}`]
  for (const [id, { start, synced, bytes }] of logs) {
    const end = synced === undefined ? '- - -' : `${synced.base} ${synced.position} ${synced.next}`
    lines.push(`${id} ${start} ${end} ${bytes}`)
  }
  const body = Buffer.from(`${lines.join('\n')}\n`, 'latin1')
  const crc = crc32c(body).toString(16).padStart(8, '0')
  return Buffer.concat([Buffer.from(`${title} ${crc}\n`, 'latin1'), body])
}

/** Undefined when there is none yet; a damaged one is refused. */
export function readCheckpoint(disk: Disk, path: string): Checkpoint | undefined {
  const content = disk.readFile(path)
  if (content === undefined) return undefined
  const headEnd = content.indexOf('\n') + 1
  const [name, crc] = content.toString('latin1', 0, headEnd).trim().split(' ')
  const body = content.subarray(headEnd)
  if (name !== title || Number.parseInt(crc ?? '', 16) !== crc32c(body)) {
    throw new CorruptLog(`${path}: damaged, the checksum of its lines does not hold`)
  }
  const [first, ...rest] = body.toString('latin1').split('\n')
  const [generation, lowSequence, state] = (first ?? '').split(' ')
  const logs = new Map<LogId, LogCheckpoint>()
  for (const line of rest) {
    const [id, start, base, position, next, bytes] = line.split(' ')
    if (id === undefined || id === '') continue
    const synced =
      base === '-'
        ? undefined
        : { base: Number(base) as Offset, position: Number(position), next: Number(next) as Offset }
    logs.set(id as LogId, { start: Number(start) as Offset, synced, bytes: Number(bytes) })
  }
  return { generation: Number(generation), lowSequence: Number(lowSequence), isClean: state === 'clean', logs }
}
