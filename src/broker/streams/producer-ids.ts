// Producer ids: given once each, ever, in blocks; epochs of an id that comes back.
// Promises: an id handed out is in no later answer, also after a crash: its block was committed before.
// Does not know: partitions' producers; transactional ids (not built yet).

import { int64, message, versions } from '../../base/schema.ts'
import type { Machine, MachineLog, MachineRecord } from '../../log/machine.ts'
import { AppendFailure } from '../../log/store.ts'
import type { ProducerIdentity } from '../door.ts'
import { refuse, type Refusal } from '../errors.ts'
import { readStored, writeStored } from '../stored.ts'

/** Ids a block: what a restart may leave unused. */
const blockIds = 1000
/** The last epoch is kept for fencing: a producer that reached the one before gets a new id (as in Kafka). */
const epochMax = 32_767

const storedBlock = message(versions(0, 0), { end: int64() })
const blockKey = Buffer.from('end')

export class ProducerIds implements Machine {
  readonly kind = 2
  /** All ids below it may have been handed out, by this process or an earlier one. */
  #claimed = 0
  /** The rest of this process's block. */
  #next = 0
  #blockEnd = 0
  #claiming: Promise<Refusal | undefined> | undefined
  #machineLog: MachineLog | undefined

  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  /** A new id, or the next epoch of `current` (KIP-360). */
  async init(current: ProducerIdentity | undefined): Promise<ProducerIdentity | Refusal> {
    if (current !== undefined && current.producerId >= 0) {
      if (current.producerId >= this.#claimed)
        return refuse('unknownProducer', `Producer id ${current.producerId} was never given out here.`)
      if (current.producerEpoch + 1 < epochMax)
        return { producerId: current.producerId, producerEpoch: current.producerEpoch + 1 }
    }
    while (this.#next >= this.#blockEnd) {
      const refused = await (this.#claiming ??= this.#claim().finally(() => {
        this.#claiming = undefined
      }))
      if (refused !== undefined) return refused
    }
    return { producerId: this.#next++, producerEpoch: 0 }
  }

  async #claim(): Promise<Refusal | undefined> {
    const machineLog = this.#machineLog
    if (machineLog?.ready !== true) return refuse('coordinatorLoading', 'Producer ids are being recovered: try again.')
    const from = this.#claimed
    try {
      await machineLog.append(this, [{ key: blockKey, value: writeStored(storedBlock, { end: from + blockIds }) }])
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return refuse('coordinatorUnavailable', `No producer ids could be claimed: ${error.message}`)
    }
    this.#next = from
    this.#blockEnd = from + blockIds
    return undefined
  }

  apply(_key: Buffer, value: Buffer | null): void {
    this.#claimed = value === null ? 0 : readStored(storedBlock, value).end
  }

  *entries(): Generator<MachineRecord> {
    if (this.#claimed > 0) yield { key: blockKey, value: writeStored(storedBlock, { end: this.#claimed }) }
  }

  /** The rest of the block stays valid: it was committed before it was handed out. */
  reset(): void {
    this.#claimed = 0
  }
}
