// Reading one partition: batches below the high watermark, offsets by time, where the log begins and ends.
// Promises: Kafka's bounds: what lies at or above the high watermark is not there yet; a refusal tells where the log is.
// Does not know: long polls, fetch sessions, who may read.

import type { Clock } from '../../base/world.ts'
import { forEachBatch, hasLogAppendTime, type BatchHead } from '../../log/batch.ts'
import type { Batches, Log, Offset } from '../../log/store.ts'
import { offset } from '../../log/store.ts'
import type { FoundOffset, OffsetSpec, ReadOutcome, ReadRefusal } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { openBatch } from './opened-batch.ts'

/** One node never changes a partition's leader, so that its epoch stays the first. */
export const leaderEpoch = 0
const unknownEpoch = -1
const findReadBytes = 256 * 1024

/** KIP-320: a client that believes in another leader is told so. */
export function judgeLeaderEpoch(epoch: number): Refusal | undefined {
  if (epoch === unknownEpoch || epoch === leaderEpoch) return undefined
  return epoch < leaderEpoch
    ? refuse('fencedLeaderEpoch', `Leader epoch ${epoch} is older than ${leaderEpoch}.`)
    : refuse('unknownLeaderEpoch', `Leader epoch ${epoch} is not known here; it is ${leaderEpoch}.`)
}

export function readLog(log: Log, from: number, bytesMax: number): ReadOutcome | ReadRefusal | Promise<ReadOutcome> {
  if (from < log.start || from > log.end)
    return {
      ...refuse('offsetOutOfRange', `Offset ${from} is not between ${log.start} and ${log.end}.`),
      highWatermark: log.committed,
      logStart: log.start,
    }
  const batches = log.read(offset(from), bytesMax, log.committed)
  return batches instanceof Promise ? batches.then((read) => outcomeOf(log, read)) : outcomeOf(log, batches)
}

const outcomeOf = (log: Log, batches: Batches): ReadOutcome => ({
  batches,
  highWatermark: log.committed,
  lastStable: log.committed,
  logStart: log.start,
})

const found = (at: number, timestampMs = -1): FoundOffset => ({ offset: at, timestampMs, leaderEpoch })
/** Kafka answers a search without result with -1, -1 and no epoch. */
const nothing: FoundOffset = { offset: -1, timestampMs: -1, leaderEpoch: unknownEpoch }

/** What looking inside batches needs of the world. */
type Turns = Pick<Clock, 'endOfTurn'>

export async function findOffset(log: Log, spec: OffsetSpec, clock: Turns): Promise<FoundOffset> {
  if (typeof spec === 'object') return findTime(log, spec.timestampMs, clock)
  switch (spec) {
    case 'earliest':
    case 'earliestLocal':
      return found(log.start)
    case 'latest':
      return found(log.committed)
    case 'maxTimestamp':
      return findMaxTime(log, clock)
    // No tier: nothing is remote, nothing waits for upload.
    case 'latestTiered':
    case 'earliestPending':
      return nothing
  }
}

/** The first record at or above `timestampMs`. */
async function findTime(log: Log, timestampMs: number, clock: Turns): Promise<FoundOffset> {
  const base = await log.findTime(timestampMs)
  if (base === undefined) return nothing
  let at: number = base
  while (at < log.committed) {
    // The log may be trimmed while it is searched.
    at = Math.max(at, log.start)
    const batches = await log.read(offset(at), findReadBytes, log.committed)
    for (const chunk of batches.chunks) {
      for (const [head, position] of headsOf(chunk)) {
        if (head.maxTimestampMs < timestampMs) continue
        const record = await firstRecordAt(
          chunk.subarray(position, position + head.bytes),
          head,
          timestampMs,
          log.start,
          clock,
        )
        if (record !== undefined) return record
      }
    }
    if (batches.next <= at) break
    at = batches.next
  }
  return nothing
}

/** The record with the greatest timestamp, the first of several. */
async function findMaxTime(log: Log, clock: Turns): Promise<FoundOffset> {
  const base = await log.findMaxTime()
  if (base === undefined) return nothing
  if (base >= log.committed) await log.sync()
  if (base >= log.committed) return nothing
  const batches = await log.read(offset(Math.max(base, log.start)), 1, log.committed)
  const [first] = batches.chunks.length === 0 ? [] : headsOf(batches.chunks[0])
  if (first === undefined) return nothing
  const [head, position] = first
  const batch = batches.chunks[0].subarray(position, position + head.bytes)
  return (
    (await firstRecordAt(batch, head, head.maxTimestampMs, log.start, clock)) ??
    found(head.baseOffset, head.maxTimestampMs)
  )
}

function headsOf(chunk: Buffer): [BatchHead, number][] {
  const heads: [BatchHead, number][] = []
  forEachBatch(chunk, (head, at) => {
    heads.push([head, at])
  })
  return heads
}

async function firstRecordAt(
  batch: Buffer,
  head: BatchHead,
  timestampMs: number,
  start: Offset,
  clock: Turns,
): Promise<FoundOffset | undefined> {
  if (hasLogAppendTime(head.attributes)) return found(Math.max(head.baseOffset, start), head.maxTimestampMs)
  const opened = await openBatch(batch, head, clock)
  // A batch that cannot be opened still has a place and a time.
  if (opened === undefined) return found(Math.max(head.baseOffset, start), head.maxTimestampMs)
  return opened.find((offsetDelta, recordTimestampMs) => {
    const at = head.baseOffset + offsetDelta
    return recordTimestampMs >= timestampMs && at >= start ? found(at, recordTimestampMs) : undefined
  })
}
