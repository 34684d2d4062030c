// What the broker promised, and the search for broken promises in what is there after a crash.
// Promises: a broken promise is told once, then what is there is taken as it is, so that rounds judge only new damage.
// Does not know: how records are sent or read.

import { crc32c } from '../../src/base/crc32c.ts'

export type PartitionKey = string
export const partitionKey = (topic: string, partition: number): PartitionKey => `${topic}/${partition}`
export const topicOf = (key: PartitionKey): string => key.slice(0, key.lastIndexOf('/'))

/** Ids that begin so have values of up to 400 KB: such batches take another way to the disk than small ones. */
export const hugeName = 'huge'

/** The one value that belongs to an id: its length and every byte follow from the id. */
export function valueOf(id: string): Buffer {
  const crc = crc32c(Buffer.from(id))
  const more = id.startsWith(hugeName) ? crc % 400_000 : crc % 700
  return Buffer.from(`${id}|`.padEnd(id.length + 1 + more, crc.toString(36)))
}

export const idOf = (value: Buffer): string => value.toString('latin1', 0, Math.max(0, value.indexOf(0x7c)))

/** All records of a partition from its start, in storage order. */
export interface Contents {
  readonly start: number
  readonly offsets: readonly number[]
  readonly values: readonly Buffer[]
  readonly end: number
}

export class PromiseBook {
  /** Every id that was ever sent, with its partition. */
  private readonly sent = new Map<string, PartitionKey>()
  /** Acknowledged or read: these stay where they are. */
  private readonly kept = new Map<PartitionKey, Map<number, string>>()
  /** Ids whose sender retried until it was told: they are there exactly once. */
  private readonly told = new Map<string, PartitionKey>()
  /** Starts that were asked for, and those that were acknowledged. */
  private readonly trims = new Map<PartitionKey, { asked: number; promised: number }>()
  acknowledged = 0

  send(key: PartitionKey, ids: readonly string[]): void {
    for (const id of ids) this.sent.set(id, key)
  }

  acknowledge(key: PartitionKey, baseOffset: number, ids: readonly string[]): void {
    this.acknowledged += ids.length
    for (const [index, id] of ids.entries()) this.keep(key, baseOffset + index, id)
  }

  /** An acknowledgement without an offset: the broker knows the batch as a duplicate. */
  acknowledgeSomewhere(key: PartitionKey, ids: readonly string[]): void {
    this.acknowledged += ids.length
    for (const id of ids) this.told.set(id, key)
  }

  /** A consumer saw it below the high watermark. */
  keep(key: PartitionKey, offset: number, id: string): void {
    let kept = this.kept.get(key)
    if (kept === undefined) this.kept.set(key, (kept = new Map()))
    kept.set(offset, id)
  }

  /** From now on nobody may say whether what lies below is there. */
  askTrim(key: PartitionKey, before: number): void {
    const trim = this.trims.get(key) ?? { asked: 0, promised: 0 }
    trim.asked = Math.max(trim.asked, before)
    this.trims.set(key, trim)
    const kept = this.kept.get(key)
    for (const offset of kept?.keys() ?? []) if (offset < before) kept?.delete(offset)
  }

  acknowledgeTrim(key: PartitionKey, before: number): void {
    const trim = this.trims.get(key)
    if (trim !== undefined) trim.promised = Math.max(trim.promised, before)
  }

  forgetTopic(topic: string): void {
    for (const key of this.kept.keys()) if (topicOf(key) === topic) this.kept.delete(key)
    for (const [id, key] of this.sent) if (topicOf(key) === topic) this.sent.delete(id)
    for (const [id, key] of this.told) if (topicOf(key) === topic) this.told.delete(id)
  }

  /** Judges one partition and takes its contents as what is kept from now on. */
  judge(key: PartitionKey, contents: Contents): string[] {
    const broken: string[] = []
    const found = new Map<number, string>()
    const places = new Map<string, number>()
    const { asked, promised } = this.trims.get(key) ?? { asked: 0, promised: 0 }
    if (contents.start < promised) broken.push(`${key}: deleted below ${promised}, and starts at ${contents.start}`)
    if (contents.start > asked) broken.push(`${key}: starts at ${contents.start}, deleted was below ${asked} at most`)
    let before = -1
    for (const [index, offset] of contents.offsets.entries()) {
      const value = contents.values[index]
      const id = idOf(value)
      if (offset <= before) broken.push(`${key}: offset ${offset} comes after ${before}`)
      before = offset
      const twice = places.get(id)
      if (twice !== undefined) broken.push(`${key}: ${id} is at ${twice} and again at ${offset}`)
      if (this.sent.get(id) !== key)
        broken.push(`${key}: ${id || value.toString('hex', 0, 20)} at ${offset} was never sent here`)
      else if (!value.equals(valueOf(id))) broken.push(`${key}: ${id} at ${offset} has other bytes than were sent`)
      places.set(id, offset)
      found.set(offset, id)
    }
    if (before >= contents.end) broken.push(`${key}: offset ${before} is not below the end ${contents.end}`)
    for (const [offset, id] of this.kept.get(key) ?? []) {
      // An acknowledgement may come after its record was deleted.
      if (offset < asked) continue
      const there = found.get(offset)
      if (there === undefined)
        broken.push(`${key}: ${id} acknowledged at ${offset} is gone (the end is ${contents.end})`)
      else if (there !== id) broken.push(`${key}: ${id} acknowledged at ${offset}, which now holds ${there}`)
    }
    for (const [id, where] of this.told) {
      if (where !== key) continue
      // Where records are deleted it may have been one of them.
      if (asked === 0 && !places.has(id)) broken.push(`${key}: ${id} was acknowledged as a duplicate and is not there`)
      this.told.delete(id)
    }
    this.kept.set(key, found)
    return broken
  }

  get keptRecords(): number {
    return [...this.kept.values()].reduce((sum, kept) => sum + kept.size, 0)
  }
}
