// One life of a store under a random workload with power cuts and process deaths, beside a book of what it promised.
// Promises: what was acknowledged under `commit`, or synced, is there once, at its offset, with its bytes; nothing
// acknowledged is given to another record; an append over several logs is whole or absent. Does not know: the engine's insides.

import { expect } from 'vitest'
import { FaultDisk, seeded, testWorld, type TestWorld } from '../../../test/fault-disk.ts'
import { assembleBatch, forEachBatch } from '../../log/batch.ts'
import { type Log, type LogId, logId, type LogSettings, type Offset, type TopicId } from '../../log/store.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

interface Written {
  readonly base: number
  readonly next: number
  readonly bytes: Buffer
  readonly isMulti: boolean
}

/** What the test knows of one log. */
interface Known {
  readonly id: LogId
  readonly settings: LogSettings
  log: Log | undefined
  /** All ever tried at an offset. */
  readonly tried: Map<number, Buffer[]>
  /** Acknowledged, and must survive. */
  readonly promised: Map<number, Written>
  /** Acknowledged under `os`: promised once a sync says so. */
  readonly written: Map<number, Written>
  startAtMost: number
  startAtLeast: number
  /** Base offsets of batches that a rewriting may have taken away. */
  readonly dropped: Set<number>
}

/**
 * In a `rewriting` life closed segments are written anew too. In one `ahead`, the disk is slow, batches are larger, and
 * every entry is written to the journal while those before it are synced.
 */
export type LifeKind = 'plain' | 'rewriting' | 'ahead'

interface Multi {
  readonly parts: readonly { readonly known: Known; readonly written: Written }[]
  isAcknowledged: boolean
}

const settingsOf = (durability: 'commit' | 'os', segmentBytesMax: number): LogSettings => ({
  durability,
  segmentBytesMax,
  segmentAgeMsMax: 1e12,
  indexIntervalBytes: 1024,
})

class Run {
  readonly random: () => number
  readonly disk: FaultDisk
  readonly seed: number
  readonly kind: LifeKind
  world: TestWorld
  store: LocalStore | undefined
  readonly logs: Known[] = []
  multis: Multi[] = []
  readonly created = new Set<LogId>()
  readonly deleted = new Set<LogId>()
  #topics = 0
  #records = 0
  #opens = 0

  constructor(seed: number, kind: LifeKind, disk: FaultDisk) {
    this.seed = seed
    this.kind = kind
    this.disk = disk
    this.random = seeded(seed)
    this.world = testWorld(this.disk.boot(), seed)
  }

  async open(): Promise<LocalStore> {
    // Random numbers are never those of an earlier start: salts rely on it.
    this.world = testWorld(this.disk.boot(), this.seed + ++this.#opens * 1_000_003)
    this.store = await openLocalStore(this.world, {
      path: '/data',
      journalBytesMax: 1024 * 1024,
      largeBytesMin: 512 * 1024,
      ...(this.kind === 'ahead' ? { journalEarlyBytesMin: 1 } : {}),
      cacheBytesMax: 40_000,
      cacheBytesPerLogMax: 10_000,
      openFilesMax: 8,
      onFatal: (error) => {
        throw error
      },
    })
    return this.store
  }

  /** How many batches are larger than others … */
  get bulk(): number {
    return this.kind === 'ahead' ? 0.3 : 0.1
  }

  /** … and by how much at most. */
  get bytesMax(): number {
    return this.kind === 'ahead' ? 60_000 : 6000
  }

  int(below: number): number {
    return Math.floor(this.random() * below)
  }

  async create(durability: 'commit' | 'os'): Promise<void> {
    const id = logId(`topic${String(this.#topics++).padStart(17, '0')}` as TopicId, 0)
    const settings = settingsOf(durability, this.random() < 0.5 ? (this.kind === 'rewriting' ? 2000 : 8192) : 1_000_000)
    const known: Known = {
      id,
      settings,
      log: undefined,
      tried: new Map(),
      promised: new Map(),
      written: new Map(),
      startAtMost: 0,
      startAtLeast: 0,
      dropped: new Set(),
    }
    await this.store?.create([{ id, settings }])
    this.created.add(id)
    known.log = await this.store?.open(id, settings)
    this.logs.push(known)
  }

  batch(large: boolean): Buffer {
    const payload = Buffer.alloc(large ? 530_000 : 20 + this.int(this.random() < this.bulk ? this.bytesMax : 600))
    payload.writeUInt32BE(++this.#records, 0)
    const count = 1 + this.int(3)
    return assembleBatch(
      { attributes: 0, lastOffsetDelta: count - 1, baseTimestampMs: 5, maxTimestampMs: this.int(1000), count },
      payload,
    )
  }

  append(targets: readonly Known[], large: boolean): Promise<void> {
    const parts: { known: Known; written: Written }[] = []
    const ends = new Map<Known, number>()
    const entries = targets.map((known) => {
      const log = known.log as Log
      const batch = this.batch(large)
      const base = ends.get(known) ?? log.end
      const offsets = batch.readInt32BE(23) + 1
      ends.set(known, base + offsets)
      const written = { base, next: base + offsets, bytes: Buffer.from(batch), isMulti: targets.length > 1 }
      const tried = known.tried.get(base) ?? []
      known.tried.set(base, [...tried, written.bytes])
      // Given again: what had it was lost, and what has it now was not dropped.
      known.dropped.delete(base)
      known.written.delete(base)
      parts.push({ known, written })
      return { log, batch, offsets, maxTimestampMs: 5, epoch: log.epoch, expectedEnd: base as Offset }
    })
    const multi: Multi = { parts, isAcknowledged: false }
    if (targets.length > 1) this.multis.push(multi)
    return this.store!.append(entries).then(() => {
      multi.isAcknowledged = true
      for (const { known, written } of parts) {
        const isPromised = known.settings.durability === 'commit' || written.isMulti
        const book = isPromised ? known.promised : known.written
        book.set(written.base, written)
      }
    })
  }

  pick(): Known {
    return this.logs[this.int(this.logs.length)]
  }

  async step(): Promise<void> {
    const dice = this.random()
    const known = this.pick()
    const log = known.log as Log
    if (dice < 0.6) void this.append([known], this.random() < 0.01).catch(() => {})
    else if (dice < 0.75) {
      const targets = [known, this.pick(), this.pick()].slice(0, 2 + this.int(2))
      void this.append(targets, false).catch(() => {})
    } else if (dice < 0.8) {
      const to = log.start + this.int(log.committed - log.start + 1)
      known.startAtMost = Math.max(known.startAtMost, to)
      void log.trim(to as Offset).then(() => {
        known.startAtLeast = Math.max(known.startAtLeast, to)
      })
    } else if (dice < 0.83) {
      if (this.kind !== 'rewriting' || dice < 0.805) log.roll()
      else {
        this.rewrite(known, log)
        // It takes many turns: mostly it is not the next thing that meets it.
        await this.turns(this.int(20))
      }
    } else if (dice < 0.84) await this.create(this.random() < 0.5 ? 'commit' : 'os')
    else if (dice < 0.85 && this.logs.length > 3) {
      this.logs.splice(this.logs.indexOf(known), 1)
      this.multis = this.multis.filter(({ parts }) => parts.every((part) => part.known !== known))
      this.created.delete(known.id)
      await this.store?.delete([known.id])
      this.deleted.add(known.id)
    } else if (dice < 0.86) this.sync(known, log)
    else await this.turns(1 + this.int(4))
  }

  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** What was acknowledged at the call is promised from its end on. */
  sync(known: Known, log: Log): void {
    const written = [...known.written]
    void log.sync().then(
      () => {
        for (const [base, one] of written) if (known.written.get(base) === one) known.promised.set(base, one)
      },
      () => {},
    )
  }

  /** Some closed segment loses most of its batches. */
  rewrite(known: Known, log: Log): void {
    const closed = log.segments().slice(0, -1)
    if (closed.length === 0) return
    const { base, next } = closed[this.int(closed.length)]
    for (const tried of known.tried.keys())
      if (tried >= base && tried < next && this.random() < 0.7) known.dropped.add(tried)
    void log.rewrite(base, (batch) => !known.dropped.has(batch)).catch(() => {})
  }

  /** In a callback of its own: a program without power has no continuation still to run. */
  cut(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        this.world.stop()
        if (this.random() < 0.3) this.disk.kill()
        else this.disk.crash(this.random)
        resolve()
      })
    })
  }

  async check(): Promise<void> {
    const store = this.store as LocalStore
    const ids = new Set(store.list())
    for (const id of this.created) expect(ids.has(id), `${id} was created`).toBe(true)
    for (const id of this.deleted) expect(ids.has(id), `${id} was deleted`).toBe(false)
    const found = new Map<Known, Map<number, Written>>()
    for (const known of this.logs) {
      const atLeast = Math.max(0, ...[...known.promised.values()].map(({ next }) => next))
      known.log = await store.open(known.id, known.settings, atLeast as Offset)
      found.set(known, await this.readAll(known))
    }
    for (const { parts, isAcknowledged } of this.multis) {
      const there = parts.map(({ known, written }) => {
        if (written.next <= known.startAtMost || known.dropped.has(written.base)) return undefined
        return found.get(known)?.get(written.base)?.bytes.equals(written.bytes) ?? false
      })
      const judged = there.filter((one) => one !== undefined)
      if (isAcknowledged) expect(judged, 'an acknowledged append over logs is whole').not.toContain(false)
      else expect(new Set(judged).size, 'an append over logs is whole or absent').toBeLessThan(2)
    }
    this.multis = this.multis.filter(({ isAcknowledged }) => isAcknowledged)
  }

  async readAll(known: Known): Promise<Map<number, Written>> {
    const log = known.log as Log
    expect(log.start).toBeGreaterThanOrEqual(known.startAtLeast)
    const found = new Map<number, Written>()
    let at = log.start
    while (at < log.end) {
      const { chunks, next } = await log.read(at, 3000, log.end)
      if (chunks.length === 0) break
      for (const chunk of chunks) {
        forEachBatch(chunk, (head, position) => {
          const bytes = Buffer.from(chunk.subarray(position, position + head.bytes))
          const base = head.baseOffset
          expect(found.has(base), 'once').toBe(false)
          const tried = known.tried.get(base) ?? []
          expect(
            tried.some((one) => one.subarray(12).equals(bytes.subarray(12))),
            `${known.id} ${base} is one of those`,
          ).toBe(true)
          found.set(base, { base, next: base + head.lastOffsetDelta + 1, bytes, isMulti: false })
        })
      }
      at = next
    }
    for (const written of known.promised.values()) {
      if (written.next <= known.startAtMost || known.dropped.has(written.base)) continue
      const stored = found.get(written.base)
      expect(stored, `${known.id} offset ${written.base} was acknowledged`).toBeDefined()
      expect(stored?.bytes.subarray(12).equals(written.bytes.subarray(12)), 'with its bytes').toBe(true)
    }
    // Whatever is there now was seen, and must stay in a commit log.
    if (known.settings.durability === 'commit') for (const [base, one] of found) known.promised.set(base, one)
    else for (const base of known.written.keys()) if (!found.has(base)) known.written.delete(base)
    return found
  }
}

/** Batches as they were before the engine gave them offsets compare from byte 12 on. */
function unplaced(multis: readonly Multi[]): void {
  for (const { parts } of multis) for (const { written } of parts) written.bytes.writeBigInt64BE(BigInt(written.base))
}

export async function life(seed: number, kind: LifeKind, disk = new FaultDisk()): Promise<void> {
  const run = new Run(seed, kind, disk)
  if (kind === 'ahead') disk.latency = () => run.turns(1 + run.int(6))
  await run.open()
  for (const durability of ['commit', 'commit', 'os', 'os'] as const) await run.create(durability)
  for (let cut = 0; cut < 3; cut++) {
    const steps = 5 + run.int(60)
    for (let step = 0; step < steps; step++) {
      await run.step()
      if (kind === 'ahead' && run.random() < 0.4) await run.turns(1)
    }
    if (kind === 'rewriting') {
      const known = run.pick()
      run.rewrite(known, known.log as Log)
    }
    await run.turns(run.int(kind === 'rewriting' ? 25 : 6))
    await run.cut()
    unplaced(run.multis)
    await run.open()
    await run.check()
  }
  await run.store?.close()
}
