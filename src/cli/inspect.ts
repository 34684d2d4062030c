// odradek inspect segment: what is in a segment file, ours or Kafka's own.
// Promises: every batch's CRC is checked; the first byte that is no batch is named; damage is exit 1. Nothing is changed.
// Does not know: the journal, indexes, whether a broker has the file open.

import { CommandFailure, exitCodes } from './exit.ts'
import { nodeDisk } from '../server/node-disk.ts'
import { printInstant } from '../server/node-time.ts'
import { DiskError, type DiskFile } from '../base/world.ts'
import {
  batchBytesAt,
  batchCrcHolds,
  batchHeadBytes,
  compressionOf,
  isControl,
  isTransactional,
  readBatchHead,
  type BatchHead,
} from '../log/batch.ts'
import { openBatch, type FetchedRecord } from './fetcher.ts'
import { endQuietlyOnClosedPipe, progress, say, sayJson } from './output.ts'
import { bytesText, table, type Cell } from './table.ts'
import { jsonFormat } from './record-format.ts'

export interface InspectFlags {
  readonly records?: boolean
  readonly json?: boolean
}

interface InspectedBatch {
  readonly position: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly records: number
  readonly bytes: number
  readonly compression: string
  readonly maxTimestamp: string
  readonly producerId: number
  readonly kind: 'data' | 'transactional' | 'control'
  readonly crc: 'ok' | 'wrong'
}

/** Larger than a broker ever stores one: then the length is damage. */
const batchBytesMax = 256 * 1024 * 1024
/** Rows of one table: a long file is written out in parts. */
const rowsMax = 500

export async function inspectSegment(path: string, flags: InspectFlags): Promise<void> {
  endQuietlyOnClosedPipe()
  const file = openFile(path)
  const shown = progress()
  const totals = { batches: 0, records: 0, wrong: 0, at: 0 }
  let rows: InspectedBatch[] = []
  const bytes = file.bytes()
  try {
    for (const { batch, head, position } of batchesOf(file)) {
      const row = inspected(batch, head, position)
      totals.batches++
      totals.records += head.count
      totals.at = position + head.bytes
      if (row.crc === 'wrong') totals.wrong++
      rows.push(row)
      shown.show(`${bytesText(totals.at)} of ${bytesText(bytes)}`)
      if (flags.records === true || flags.json === true || rows.length === rowsMax) {
        shown.end()
        await sayBatches(rows, flags)
        if (flags.records === true && row.crc === 'ok') await sayRecords(batch, head)
        rows = []
      }
    }
  } finally {
    shown.end()
    file.close()
  }
  if (rows.length > 0) await sayBatches(rows, flags)
  await summary(path, bytes, totals, flags)
}

function openFile(path: string): DiskFile {
  try {
    return nodeDisk().open(path, 'read')
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    throw new CommandFailure(error.message, error.kind === 'missing' ? exitCodes.notFound : exitCodes.failure)
  }
}

function* batchesOf(file: DiskFile): Generator<{ batch: Buffer; head: BatchHead; position: number }> {
  const headBytes = Buffer.alloc(batchHeadBytes)
  for (let position = 0; ;) {
    if (file.readNow(headBytes, position) < batchHeadBytes) return
    const bytes = batchBytesAt(headBytes, 0)
    if (bytes < batchHeadBytes || bytes > batchBytesMax) return
    const batch = Buffer.allocUnsafeSlow(bytes)
    if (file.readNow(batch, position) < bytes) return
    const head = readBatchHead(batch)
    if (head === undefined) return
    yield { batch, head, position }
    position += bytes
  }
}

function inspected(batch: Buffer, head: BatchHead, position: number): InspectedBatch {
  const { attributes } = head
  return {
    position,
    baseOffset: head.baseOffset,
    lastOffset: head.baseOffset + head.lastOffsetDelta,
    records: head.count,
    bytes: head.bytes,
    compression: compressionOf(attributes) ?? 'unknown',
    maxTimestamp: printInstant(head.maxTimestampMs),
    producerId: head.producerId,
    kind: isControl(attributes) ? 'control' : isTransactional(attributes) ? 'transactional' : 'data',
    crc: batchCrcHolds(batch, 0, head.bytes) ? 'ok' : 'wrong',
  }
}

const columns = ['POSITION', 'OFFSETS', 'RECORDS', 'BYTES', 'CODEC', 'MAX TIMESTAMP', 'PRODUCER', 'KIND', 'CRC']

async function sayBatches(rows: readonly InspectedBatch[], flags: InspectFlags): Promise<void> {
  if (flags.json === true) {
    for (const row of rows) await sayJson(row)
    return
  }
  const cells = rows.map((row): Cell[] => [
    row.position,
    `${row.baseOffset}–${row.lastOffset}`,
    row.records,
    row.bytes,
    row.compression,
    row.maxTimestamp,
    row.producerId < 0 ? '-' : row.producerId,
    row.kind,
    row.crc,
  ])
  await say(table(columns, cells))
}

/** The records of one batch, a line of JSON each. */
async function sayRecords(batch: Buffer, head: BatchHead): Promise<void> {
  const records: FetchedRecord[] = []
  openBatch(batch, head, { topic: 'segment', partition: 0, offset: head.baseOffset, end: -1 }, records)
  for (const record of records) await say(jsonFormat(record))
}

async function summary(
  path: string,
  bytes: number,
  totals: { readonly batches: number; readonly records: number; readonly wrong: number; readonly at: number },
  flags: InspectFlags,
): Promise<void> {
  const rest = bytes - totals.at
  if (flags.json !== true) {
    await say(`\n${totals.batches} batches, ${totals.records} records, ${bytesText(totals.at)} in ${path}\n`)
  }
  if (totals.wrong > 0)
    throw new CommandFailure(`${path}: ${totals.wrong} of ${totals.batches} batches have a wrong CRC`)
  if (rest > 0) {
    throw new CommandFailure(
      `${path}: no batch at byte ${totals.at}; ${rest} bytes follow (a torn write at the end is cut off at the next start)`,
    )
  }
}
