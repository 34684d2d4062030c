// What a program gives to be stored, judged: names, options, records.
// Promises: what is no record is a TypeError of one line that says which of its fields; nothing is accepted and ignored.
// Does not know: where it is stored.

import { isUint8Array } from 'node:util/types'
import { partitionOfKey } from '../base/murmur2.ts'
import type { Clock } from '../base/world.ts'
import type { TopicView } from '../broker/door.ts'
import type { NewRecord } from '../log/records.ts'
import { RequestRefused, type RecordToStore } from './embedding.ts'

/** As a program wrote it. */
export const shown = (value: unknown): string =>
  typeof value === 'object' || typeof value === 'string' ? (JSON.stringify(value) ?? String(value)) : String(value)

export function nameGiven(name: unknown): { readonly name: string } {
  if (typeof name === 'string') return { name }
  throw new TypeError(`name: ${shown(name)} is no string`)
}

/** The same; an option that is none is told. */
export function onlyKnown<T extends object>(call: string, given: T, known: readonly (keyof T & string)[]): T {
  if (typeof given !== 'object' || given === null) throw new TypeError(`${call}: ${shown(given)} is no object`)
  for (const key of Object.keys(given)) {
    if (!(known as readonly string[]).includes(key))
      throw new TypeError(`${call}: there is no ${JSON.stringify(key)}; there are ${known.join(', ')}`)
  }
  return given
}

const fields: readonly (keyof RecordToStore)[] = ['key', 'value', 'headers', 'partition', 'timestamp']

export function judgedRecord(given: RecordToStore, clock: Clock): NewRecord {
  const { key = null, value, headers = {}, timestamp = clock.nowMs() } = onlyKnown('a record', given, fields)
  if (!Number.isSafeInteger(timestamp) || timestamp < 0)
    throw new TypeError(`timestamp: ${shown(timestamp)} is no whole number of milliseconds since 1970`)
  return {
    key: bytesOf('key', key),
    value: bytesOf('value', value),
    headers: Object.entries(headers).map(([name, header]) => ({ name, value: bytesOf(`header ${name}`, header) })),
    timestampMs: timestamp,
  }
}

function bytesOf(what: string, value: unknown): Buffer | null {
  if (value === null) return null
  if (typeof value === 'string') return Buffer.from(value)
  // Also one of another realm, as test runners have them.
  if (isUint8Array(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw new TypeError(`${what}: ${shown(value)} is no string, Uint8Array or null`)
}

export function partitionOf(topic: TopicView, { key, partition }: RecordToStore, unkeyed: number): number {
  const { name, partitions } = topic
  if (partition === undefined)
    return key === undefined || key === null ? unkeyed : partitionOfKey(bytesOf('key', key) as Buffer, partitions)
  if (Number.isInteger(partition) && partition >= 0 && partition < partitions) return partition
  throw new RequestRefused('topicMissing', `${name} has partitions 0 to ${partitions - 1}, there is no ${partition}`)
}
