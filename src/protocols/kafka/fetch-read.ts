// A fetch's reading: the partitions of one request, read within its byte limits, and read again where there is news.
// Promises: never more than the limits but for one first batch; each partition is read from where the client asked.
// Does not know: sessions, timers, the response's form.

import type { ReadOutcome, ReadRefusal } from '../../broker/door.ts'
import { isRefusal } from '../../broker/errors.ts'
import { fetchBytesMax } from '../../base/limits.ts'
import type { FetchRequest } from '../../wire/kafka/messages/data.ts'
import { kafkaErrorCode, kafkaErrors } from '../errors.ts'
import type { Call } from './call.ts'
import type { FetchPartition } from './fetch-session.ts'

export interface PartitionRead {
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStable: number
  readonly logStart: number
  readonly chunks: readonly Buffer[]
  readonly bytes: number
  /** KIP-595: where the client's log left ours. */
  readonly diverging: { readonly epoch: number; readonly endOffset: number } | undefined
  /** Gives the chunks' memory back to the log. */
  readonly release?: (() => void) | undefined
}

const noChunks: readonly Buffer[] = []

const failed = (errorCode: number, refusal?: ReadRefusal): PartitionRead => ({
  errorCode,
  highWatermark: refusal?.highWatermark ?? -1,
  lastStable: -1,
  logStart: refusal?.logStart ?? -1,
  chunks: noChunks,
  bytes: 0,
  diverging: undefined,
})

export class FetchRead {
  /** What was found, a place for each partition of the request; undefined: left out for want of room. */
  readonly reads: (PartitionRead | undefined)[]
  private readonly call: Call
  private readonly partitions: readonly FetchPartition[]
  private readonly mayOmit: boolean
  private readonly committedOnly: boolean
  private readonly isFollower: boolean
  private readonly bytesMax: number
  private readonly bytesMin: number
  private total = 0
  private failures = 0
  private readonly changed = new Set<number>()

  constructor(call: Call, request: FetchRequest, partitions: readonly FetchPartition[], mayOmit: boolean) {
    this.call = call
    this.partitions = partitions
    this.mayOmit = mayOmit
    this.committedOnly = request.isolationLevel === 1
    // A replica's fetch: nobody follows this node. -2 is the consumer for debugging.
    this.isFollower = request.replicaId >= 0 || request.replicaState.replicaId >= 0
    this.bytesMax = Math.max(0, Math.min(request.maxBytes, fetchBytesMax))
    this.bytesMin = Math.min(request.minBytes, this.bytesMax)
    this.reads = partitions.map(() => undefined)
  }

  /** Bytes of records found. */
  get bytes(): number {
    return this.total
  }

  /** Whether the answer may go out before its time. */
  get isEnough(): boolean {
    return this.failures > 0 || this.total >= this.bytesMin
  }

  /** The answer is with the kernel: nobody looks at what was read any more. */
  release(): void {
    for (const read of this.reads) read?.release?.()
  }

  get hasNews(): boolean {
    return this.changed.size > 0
  }

  /** Reads every partition, in order. */
  async all(): Promise<void> {
    for (const index of this.partitions.keys()) {
      const found = this.readOne(index)
      if (found instanceof Promise) {
        this.put(index, await found)
        for (let earlier = 0; earlier <= index; earlier++) this.changed.add(earlier)
      } else this.put(index, found)
    }
    if (this.isEnough) this.changed.clear()
  }

  /** Reads again what changed since it was read. */
  async news(): Promise<void> {
    const indexes = [...this.changed].sort((a, b) => a - b)
    this.changed.clear()
    for (const index of indexes) {
      const found = this.readOne(index)
      this.put(index, found instanceof Promise ? await found : found)
    }
  }

  /** Watches every partition; `changed` is called when hasNews became true. Returns how to stop. */
  watch(changed: () => void): (() => void)[] {
    return this.partitions.map(({ topic, partition }, index) =>
      this.call.session.watch(topic, partition, () => {
        this.changed.add(index)
        changed()
      }),
    )
  }

  private put(index: number, found: PartitionRead | undefined): void {
    const before = this.reads[index]
    this.total += (found?.bytes ?? 0) - (before?.bytes ?? 0)
    this.failures += failuresOf(found) - failuresOf(before)
    this.reads[index] = found
  }

  private readOne(index: number): PartitionRead | undefined | Promise<PartitionRead | undefined> {
    const part = this.partitions[index]
    if (this.isFollower) return failed(kafkaErrors.NOT_LEADER_OR_FOLLOWER)
    const taken = this.total - (this.reads[index]?.bytes ?? 0)
    const left = this.bytesMax - taken
    if (taken > 0 && left <= 0) return this.mayOmit ? undefined : this.withoutRecords(part)
    if (part.lastFetchedEpoch >= 0) return this.readAfterEpoch(part, taken, left)
    return this.read(part, taken, left)
  }

  private read(part: FetchPartition, taken: number, left: number): PartitionRead | Promise<PartitionRead> {
    const bytesMax = Math.max(0, Math.min(part.bytesMax, left))
    const outcome = this.call.session.read({
      topic: part.topic,
      partition: part.partition,
      offset: part.fetchOffset,
      bytesMax,
      leaderEpoch: part.leaderEpoch,
      committedTransactionsOnly: this.committedOnly,
    })
    if (outcome instanceof Promise) return outcome.then((value) => this.judge(value, taken, bytesMax))
    return this.judge(outcome, taken, bytesMax)
  }

  private judge(outcome: ReadOutcome | ReadRefusal, taken: number, bytesMax: number): PartitionRead {
    if (isRefusal(outcome)) return failed(kafkaErrorCode(outcome), outcome)
    const { batches, highWatermark, lastStable, logStart } = outcome
    const found = { errorCode: kafkaErrors.NONE, highWatermark, lastStable, logStart, diverging: undefined }
    // Only the first batch of the whole answer may be larger than was asked for (KIP-74).
    if (taken > 0 && batches.bytes > bytesMax) return { ...found, chunks: noChunks, bytes: 0 }
    if (this.call.version < 10 && holdsZstd(batches.chunks)) return failed(kafkaErrors.UNSUPPORTED_COMPRESSION_TYPE)
    return { ...found, chunks: batches.chunks, bytes: batches.bytes, release: batches.release }
  }

  /** A partition there is no room for, which must be answered all the same. */
  private async withoutRecords(part: FetchPartition): Promise<PartitionRead> {
    const view = await this.call.session.describePartition(part.topic, part.partition)
    if (isRefusal(view)) return failed(kafkaErrorCode(view))
    const { committed, start } = view
    return {
      errorCode: kafkaErrors.NONE,
      highWatermark: committed,
      lastStable: committed,
      logStart: start,
      chunks: noChunks,
      bytes: 0,
      diverging: undefined,
    }
  }

  /** KIP-595: a reader that names the epoch it read last is told where that epoch ended, when it has read beyond. */
  private async readAfterEpoch(part: FetchPartition, taken: number, left: number): Promise<PartitionRead> {
    const { topic, partition, lastFetchedEpoch, leaderEpoch, fetchOffset } = part
    const ended = await this.call.session.epochEnd(topic, partition, lastFetchedEpoch, leaderEpoch)
    if (isRefusal(ended)) return failed(kafkaErrorCode(ended))
    if (ended.end >= fetchOffset && ended.epoch >= lastFetchedEpoch) return this.read(part, taken, left)
    const empty = await this.withoutRecords(part)
    return { ...empty, diverging: { epoch: ended.epoch, endOffset: ended.end } }
  }
}

function failuresOf(found: PartitionRead | undefined): number {
  return found !== undefined && (found.errorCode !== kafkaErrors.NONE || found.diverging !== undefined) ? 1 : 0
}

const batchHeadBytes = 61
const zstd = 4

/** KIP-110: a client that fetches below version 10 cannot open zstd. Batches follow each other within a chunk. */
function holdsZstd(chunks: readonly Buffer[]): boolean {
  for (const chunk of chunks) {
    let at = 0
    while (at + batchHeadBytes <= chunk.length) {
      if ((chunk[at + 22] & 0x07) === zstd) return true
      const bytes = chunk.readInt32BE(at + 8) + 12
      if (bytes < batchHeadBytes) break
      at += bytes
    }
  }
  return false
}
