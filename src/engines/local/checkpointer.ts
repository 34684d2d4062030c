// Syncs segments behind the appends, writes checkpoints, and gives journal files back.
// Promises: one background sync at a time; a journal file is given back only after a checkpoint that does without it.
// Does not know: appends. It is nudged when there may be something to do.

import type { LogId } from '../../log/store.ts'
import type { Journal } from './journal/journal.ts'
import { unsyncedBytesMax } from './options.ts'
import type { SegmentChain } from './segment-chain.ts'

export interface CheckpointerHost {
  /** Logs with files that outlive the process. */
  chains(): Iterable<readonly [LogId, SegmentChain]>
  /** The folder of all logs: its entries are promised by the journal until it is synced. */
  readonly folder: { dirtySince: number; sync(): Promise<void> }
  /** Syncs one log and records how far it is on the medium. Failures are the host's to handle. */
  syncChain(id: LogId, chain: SegmentChain): Promise<void>
  /** Writes the checkpoint file; entries below `low` are not needed from then on. */
  writeCheckpoint(low: number): Promise<void>
  /** Journal entries that can never be let go: of damaged or failed logs. */
  pinnedSince(): number
  onFailure(error: unknown): void
  /** The work that was wanted has ended; `isRecycled`: a journal file was given back. */
  onRoom(isRecycled: boolean): void
}

export class Checkpointer {
  readonly #host: CheckpointerHost
  readonly #journal: Journal
  #running: Promise<void> | undefined
  #isWanted = false
  #isStopped = false
  #isRecycled = false
  #isPending = false

  constructor(host: CheckpointerHost, journal: Journal) {
    this.#host = host
    this.#journal = journal
  }

  /** Something may be due; `isWanted`: the journal waits for room. */
  nudge(isWanted = false): void {
    this.#isWanted ||= isWanted
    if (this.#running !== undefined || this.#isStopped) return
    // A placeholder until the first await: no step may begin a second run.
    this.#running = Promise.resolve()
    const running = this.#run()
    this.#running = running
  }

  /** No more work is begun; resolves when the work under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    this.#isRecycled = false
    this.#isPending = false
    try {
      while (!this.#isStopped && (await this.#step()));
    } catch (error) {
      this.#host.onFailure(error)
    }
    const wasWanted = this.#isWanted
    this.#isWanted = false
    // From here on a nudge begins the next run: whoever is told of room may want more of it at once.
    this.#running = undefined
    if (wasWanted && !this.#isStopped && (this.#isRecycled || !this.#isPending)) this.#host.onRoom(this.#isRecycled)
  }

  /** One sync or one recycling. False: nothing to do, or nothing that can be done. */
  async #step(): Promise<boolean> {
    const { folder } = this.#host
    const low = this.low()
    if (this.#journal.canRecycle(low)) {
      await this.#host.writeCheckpoint(low)
      this.#journal.recycle(low)
      this.#isRecycled = true
      return this.#isWanted ? false : this.#journal.isFilling
    }
    if (this.#isWanted || this.#journal.isFilling) {
      const oldest = this.#oldest()
      if (oldest === undefined || folder.dirtySince < oldest[1].dirtySince) {
        if (folder.dirtySince === Infinity) return false
        await folder.sync()
        return true
      }
      const before = oldest[1].dirtySince
      await this.#host.syncChain(...oldest)
      // What is still on its way into the segments holds it: the end of that write asks again.
      this.#isPending = oldest[1].dirtySince === before && !isLost(oldest[1])
      return !this.#isPending
    }
    const largest = this.#largest()
    if (largest === undefined) return false
    await this.#host.syncChain(...largest)
    return true
  }

  /** Below it no journal entry is needed. */
  low(): number {
    let low = Math.min(this.#journal.settledSequence, this.#host.folder.dirtySince, this.#host.pinnedSince())
    for (const [, chain] of this.#host.chains()) low = Math.min(low, chain.dirtySince)
    return low
  }

  #oldest(): readonly [LogId, SegmentChain] | undefined {
    let oldest: readonly [LogId, SegmentChain] | undefined
    for (const entry of this.#host.chains()) {
      const [, chain] = entry
      if (chain.dirtySince === Infinity || isLost(chain)) continue
      if (oldest === undefined || chain.dirtySince < oldest[1].dirtySince) oldest = entry
    }
    return oldest
  }

  #largest(): readonly [LogId, SegmentChain] | undefined {
    for (const entry of this.#host.chains()) {
      const [, chain] = entry
      if (!isLost(chain) && chain.unsyncedBytes > unsyncedBytesMax) return entry
    }
    return undefined
  }
}

/** Failed: nothing more of it reaches the medium before it is opened anew. */
const isLost = (chain: SegmentChain): boolean => chain.syncFailure !== undefined || chain.isFailed
