// Producer snapshots: per log, what its producers had written up to an offset, so that a start reads only what follows.
// Promises: a machine (kind 6); one bounded record a log; a topic's snapshots go with it.
// Does not know: what is inside (producers.ts), when to take one (partition.ts).

import { Reader, Writer } from '../../base/bytes.ts'
import type { Machine, MachineLog, MachineRecord } from '../../log/machine.ts'
import { CorruptLog, logId, type LogId, type TopicId } from '../../log/store.ts'

export interface ProducerSnapshot {
  readonly log: LogId
  /** All batches below it are in the snapshot. */
  readonly offset: number
  /** As Producers.write gave them. */
  readonly producers: Buffer
}

const version = 0
/** Snapshots of one append: a clean end may have many. */
const pieceBytes = 256 * 1024

export class ProducerSnapshots implements Machine {
  readonly kind = 6
  readonly #snapshots = new Map<LogId, ProducerSnapshot>()
  #machineLog: MachineLog | undefined

  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  of(log: LogId): ProducerSnapshot | undefined {
    return this.#snapshots.get(log)
  }

  /** True when kept; false while the machine log is being recovered. */
  async keep(snapshots: readonly ProducerSnapshot[]): Promise<boolean> {
    if (this.#machineLog?.ready !== true) return false
    let piece: MachineRecord[] = []
    let bytes = 0
    for (const snapshot of snapshots) {
      piece.push(recordOf(snapshot))
      bytes += snapshot.producers.length
      if (bytes < pieceBytes) continue
      await this.#append(piece)
      piece = []
      bytes = 0
    }
    await this.#append(piece)
    return true
  }

  async #append(records: readonly MachineRecord[]): Promise<void> {
    if (records.length > 0 && this.#machineLog?.ready === true) await this.#machineLog.append(this, records)
  }

  /** A topic is deleted: so are its snapshots. */
  async forget(topic: TopicId, partitions: number): Promise<void> {
    const gone: MachineRecord[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const log = logId(topic, partition)
      if (this.#snapshots.has(log)) gone.push({ key: Buffer.from(log), value: null })
    }
    await this.#append(gone)
  }

  apply(key: Buffer, value: Buffer | null): void {
    const log = key.toString('utf8') as LogId
    if (value === null) {
      this.#snapshots.delete(log)
      return
    }
    const reader = new Reader(value)
    if (reader.uint8() !== version) throw new CorruptLog('a producer snapshot of a newer version of this program')
    this.#snapshots.set(log, { log, offset: reader.int64(), producers: reader.slice(reader.remaining) })
  }

  *entries(): Generator<MachineRecord> {
    for (const snapshot of this.#snapshots.values()) yield recordOf(snapshot)
  }

  reset(): void {
    this.#snapshots.clear()
  }
}

function recordOf(snapshot: ProducerSnapshot): MachineRecord {
  const writer = new Writer()
  writer.uint8(version)
  writer.int64(snapshot.offset)
  writer.append(snapshot.producers)
  return { key: Buffer.from(snapshot.log), value: Buffer.concat(writer.finish()) }
}
