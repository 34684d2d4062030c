// Which partition a message of AMQP's clients goes to: as Kafka's Java client chooses for a record.
// Promises: messages of one key (header x-key) go to one partition; those without one go to the same for a turn, then to
// the next that takes them, so that a turn makes few batches.
// Does not know: logs, batches.

import { findField } from '../../../base/fields.ts'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { PropertyScan } from '../../../base/property-scan.ts'
import { keyHeader, keyOf } from '../messages/message.ts'

const keyName = Buffer.from(keyHeader)
const scan = new PropertyScan()

/** The key that the message's record gets. */
function keyIn(properties: Buffer): Buffer | null {
  if (!properties.includes(keyName)) return null
  scan.scan(properties)
  const value = findField(scan.headers() ?? [], keyHeader)
  return value === undefined ? null : keyOf(value)
}

export class PartitionChoice {
  #sticky: number
  #isUsed = false
  readonly #takes: (partition: number) => boolean

  /** `first`: where messages without a key go in the first turn. `takes`: whether one may be stored there now. */
  constructor(first: number, takes: (partition: number) => boolean = () => true) {
    this.#sticky = first
    this.#takes = takes
  }

  of(properties: Buffer, partitions: number): number {
    if (partitions === 1) return 0
    const key = keyIn(properties)
    if (key !== null) return partitionOfKey(key, partitions)
    this.#isUsed = true
    for (let tried = 0; tried < partitions && !this.#takes(this.#sticky % partitions); tried++) this.#sticky++
    return this.#sticky % partitions
  }

  /** The turn is over. */
  next(): void {
    if (this.#isUsed) this.#sticky = (this.#sticky + 1) % Number.MAX_SAFE_INTEGER
    this.#isUsed = false
  }
}
