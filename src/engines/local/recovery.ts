// What a start makes of checkpoint and journal: which logs there are, and each with its promised batches.
// Promises: journal entries applied in order; below the end skipped, at the end written; promised bytes that are
// nowhere are refused. Does not know: the store's open logs.

import { assert } from '../../base/assert.ts'
import { lastOffsetDeltaAt, maxTimestampAt } from '../../log/batch.ts'
import { CorruptLog, type LogId, type LogSettings, type Offset } from '../../log/store.ts'
import type { Checkpoint } from './journal/checkpoint.ts'
import { type Part, partNext } from './journal/entry.ts'
import type { Replay } from './journal/replay.ts'
import type { ForeignTest, SegmentWorld } from './segment.ts'
import { SegmentChain, type SyncedEnd } from './segment-chain.ts'

export interface JournalledAppend {
  readonly sequence: number
  readonly part: Extract<Part, { kind: 'append' }>
}

/** What is promised of one log. */
export interface Promised {
  start: Offset
  synced: SyncedEnd | undefined
  appends: JournalledAppend[]
  /** The lowest journal entry that concerns it. */
  since: number
}

export interface Digest {
  readonly created: ReadonlySet<LogId>
  readonly deleted: ReadonlySet<LogId>
  readonly logs: ReadonlyMap<LogId, Promised>
}

export const nothingPromised = (): Promised => ({
  start: 0 as Offset,
  synced: undefined,
  appends: [],
  since: Infinity,
})

/** Checkpoint and journal, told log by log. */
export function digest(checkpoint: Checkpoint | undefined, replay: Replay | undefined): Digest {
  const logs = new Map<LogId, Promised>()
  const created = new Set<LogId>()
  const deleted = new Set<LogId>()
  for (const [id, { start, synced }] of checkpoint?.logs ?? []) logs.set(id, { ...nothingPromised(), start, synced })
  for (const { sequence, parts } of replay?.entries ?? []) {
    for (const part of parts) {
      if (part.kind === 'delete') {
        logs.delete(part.id)
        created.delete(part.id)
        deleted.add(part.id)
      } else if (part.kind === 'create') {
        // A log whose making was taken back may be made again under its id: what is there since then is its own.
        deleted.delete(part.id)
        created.add(part.id)
      } else if (!deleted.has(part.id)) {
        const promised = logs.get(part.id) ?? nothingPromised()
        logs.set(part.id, promised)
        promised.since = Math.min(promised.since, sequence)
        addPart(promised, part, sequence)
      }
    }
  }
  return { created, deleted, logs }
}

function addPart(promised: Promised, part: Exclude<Part, { kind: 'create' | 'delete' }>, sequence: number): void {
  if (part.kind === 'trim') {
    promised.start = Math.max(promised.start, part.start) as Offset
  } else if (part.kind === 'landed') {
    const { base, position, next } = part
    if (promised.synced === undefined || next >= promised.synced.next) promised.synced = { base, position, next }
  } else {
    // At an equal offset the later entry has the higher epoch: what it replaces was taken back.
    const { appends } = promised
    while (appends.length > 0 && (appends.at(-1) as JournalledAppend).part.base >= part.base) appends.pop()
    appends.push({ sequence, part })
  }
}

/** The segments of one log as promised: recovered, and completed from the journal. */
export async function recoverChain(
  world: SegmentWorld,
  folder: string,
  promised: Promised,
  settings: LogSettings & { readonly endAtMost?: Offset },
  nowMs: number,
): Promise<SegmentChain> {
  const chain = new SegmentChain(world, folder)
  const { start, synced, appends } = promised
  await chain.recover(synced, start, settings, nowMs, foreignTo(appends, settings.endAtMost))
  const end = (synced?.next ?? 0) as Offset
  const last = appends.at(-1)
  const proven = Math.max(end, last === undefined ? 0 : partNext(last.part))
  chain.isUnproven = chain.segments.length > 0 && chain.next > proven
  if (chain.segments.length === 0 || end > chain.next) chain.begin(end)
  for (const { sequence, part } of appends) {
    chain.dirtyAt(sequence)
    if (partNext(part) > chain.next) applyAppend(chain, part, start, settings, nowMs)
  }
  // Only now: what the journal has below the start must still find its place.
  if (start > chain.next) chain.begin(start)
  chain.trim(start)
  assert(chain.next >= start && chain.next >= end, `${folder} ends where it was promised to, or above`)
  return chain
}

/** Above `endAtMost` lies only what was refused; at a journalled offset only the journal's own batch belongs. */
function foreignTo(appends: readonly JournalledAppend[], endAtMost = Infinity): ForeignTest {
  const crcs = new Map<number, number>()
  for (const { part } of appends) crcs.set(part.base, part.batch.readUInt32BE(17))
  return (base, chunk, at) => {
    if (base >= endAtMost) return true
    const crc = crcs.get(base)
    return crc !== undefined && crc !== chunk.readUInt32BE(at + 17)
  }
}

function applyAppend(
  chain: SegmentChain,
  part: Extract<Part, { kind: 'append' }>,
  start: Offset,
  settings: LogSettings,
  nowMs: number,
): void {
  const { base, batch } = part
  // A hole below the start was trimmed: of the segments removed, a power cut may bring back the one before it.
  if (base < chain.next || (base > Math.max(chain.next, start) && part.isPromised)) {
    const { active } = chain
    throw new CorruptLog(
      `${active.path}.log: damaged at position ${active.bytes}: ends at offset ${chain.next}, the journal goes on at ${base}`,
    )
  }
  const next = (base + lastOffsetDeltaAt(batch, 0) + 1) as Offset
  const run = [{ batch, base, next, maxTimestampMs: maxTimestampAt(batch, 0) }]
  chain.fit(run, settings, nowMs)
  chain.writeNow(run, settings, nowMs)
}
