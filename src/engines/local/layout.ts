// Names of everything in the data folder.
// Promises: one place that knows them; the same names as docs/formats.md.
// Does not know: what the files hold.

import type { LogId, Offset } from '../../log/store.ts'

/** The format of the data folder this program writes, and the newest it reads. */
export const formatVersion = 1

export const layout = {
  identity: (data: string): string => `${data}/odradek.json`,
  lock: (data: string): string => `${data}/LOCK`,
  logs: (data: string): string => `${data}/logs`,
  scratch: (data: string): string => `${data}/scratch`,
  journal: (data: string): string => `${data}/journal`,
  checkpoint: (data: string): string => `${data}/journal/checkpoint`,
  log: (data: string, id: LogId): string => `${data}/logs/${id}`,
  scratchLog: (data: string, id: LogId): string => `${data}/scratch/${id}`,
}

/** Kafka's name of a segment: its base offset in twenty digits. */
export const segmentName = (base: Offset): string => String(base).padStart(20, '0')

const segmentFile = /^(\d{20})\.log$/

/** The base offset in a segment file's name, or undefined for any other file. */
export function segmentBase(name: string): Offset | undefined {
  const match = segmentFile.exec(name)
  return match === null ? undefined : (Number(match[1]) as Offset)
}

export const journalFileName = (number: number): string => `${String(number).padStart(8, '0')}.journal`

const journalFile = /^(\d{8,})\.journal$/

export function journalFileNumber(name: string): number | undefined {
  const match = journalFile.exec(name)
  return match === null ? undefined : Number(match[1])
}
