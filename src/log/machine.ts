// The machine log: what the broker's state machines decided, as keyed records in one log, replayed at start.
// Promises: a record is applied at once, in append order; the promise of append() resolves at its commit. After a
// refused append every machine is reset and replayed from what was committed, and meanwhile append() refuses.
// Does not know: what the machines are (catalog, groups, offsets …); it sees kinds, keys and values.
//
// Every record is the whole present value of its key (null: gone), so a snapshot needs no second form: the live
// entries are appended again at the end, a piece a turn, and then everything before the first piece is trimmed.

import { assert } from '../base/assert.ts'
import type { Timer, World } from '../base/world.ts'
import { batchHeadBytes, compressionOf, forEachBatch } from './batch.ts'
import { machineBatch } from './machine-batch.ts'
import { RecordCursor } from './records.ts'
import {
  AppendFailure,
  CorruptLog,
  logId,
  offset,
  type AppendEntry,
  type Log,
  type LogSettings,
  type Offset,
  type Store,
  type TopicId,
} from './store.ts'

/** Reserved: the first id after the two that Kafka keeps for itself. */
export const machineLogId = logId('AAAAAAAAAAAAAAAAAAAAAg' as TopicId, 0)

const machineLogSettings: LogSettings = {
  durability: 'commit',
  segmentBytesMax: 16 * 1024 * 1024,
  segmentAgeMsMax: Number.MAX_SAFE_INTEGER,
  indexIntervalBytes: 64 * 1024,
}

/** The log is rewritten once it holds this much more than twice what was live after the last rewrite. */
const rewriteSlackBytes = 4 * 1024 * 1024
/** A piece of a rewrite: about this many bytes a turn, well under a millisecond. */
const rewritePieceBytes = 48 * 1024
const rewritePieceRecords = 256
const readBytes = 1024 * 1024

/** One decided fact: the whole new value of a key, or null when the key is gone. */
export interface MachineRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

/** What one machine decided: part of an atomic append. */
export interface Decision {
  readonly machine: Machine
  readonly records: readonly MachineRecord[]
}

/** A state machine over keyed records. apply() and reset() never fail; what may be refused is refused in its decide. */
export interface Machine {
  /** 1–255, stored as the first byte of each key: never reused for another machine. */
  readonly kind: number
  apply(key: Buffer, value: Buffer | null): void
  /** The live state as records; may be walked while it changes (a key may be given twice or in its newer value). */
  entries(): Iterable<MachineRecord>
  reset(): void
  /** True: its state is ahead of the log (it decides by changing), so append() does not apply again; replay does. */
  readonly appliesItself?: boolean
  /** True: apply() keeps neither key nor value, which then may be slices of what is read. */
  readonly keepsNothing?: boolean
  /** Called after each (re)play, when the state is that of the log's end. */
  replayed?(): void
}

export class MachineLog {
  private readonly world: World
  private readonly store: Store
  private readonly log: Log
  private readonly machines = new Map<number, Machine>()
  private state: 'ready' | 'replaying' | 'closed' = 'replaying'
  /** The end as decided: ahead of log.end once an append is refused, so that all decided after it is refused too. */
  private decidedEnd: Offset
  private rewriting = false
  private rewriteAtBytes = rewriteSlackBytes
  private pause: Timer | undefined
  private lastAppend: Promise<void> = Promise.resolve()
  /** How often the machines were replayed after a refusal. */
  private replays = 0
  private readonly whenAppended = (): void => this.rewriteWhenDue()
  private readonly whenRefused = (failure: unknown): Promise<void> => this.forget(failure)

  private constructor(world: World, store: Store, log: Log, machines: readonly Machine[]) {
    this.world = world
    this.store = store
    this.log = log
    this.decidedEnd = log.end
    for (const machine of machines) {
      assert(machine.kind > 0 && machine.kind < 256, 'a machine kind is one byte')
      assert(!this.machines.has(machine.kind), 'machine kinds are distinct')
      this.machines.set(machine.kind, machine)
    }
  }

  /** Opens (or makes) the log and replays it into `machines`. Rejects with CorruptLog. */
  static async open(world: World, store: Store, machines: readonly Machine[]): Promise<MachineLog> {
    if (!store.list().includes(machineLogId)) {
      await store.create([{ id: machineLogId, settings: machineLogSettings }])
    }
    const log = await store.open(machineLogId, machineLogSettings)
    const machineLog = new MachineLog(world, store, log, machines)
    await machineLog.replay()
    return machineLog
  }

  /** False while the machines are being replayed: decide nothing then. */
  get ready(): boolean {
    return this.state === 'ready'
  }

  /**
   * Appends the records of `machine` (and `alongside`, entries of other logs) atomically and applies them at once.
   * Resolves at the commit; rejects with AppendFailure, after which the decision and all later ones are forgotten.
   */
  append(machine: Machine, records: readonly MachineRecord[], alongside: readonly AppendEntry[] = []): Promise<void> {
    return this.appendAll([{ machine, records }], alongside)
  }

  /** As append(); the records outlive the process from the end of this turn on (AppendEntry.isUrgent). */
  appendUrgently(machine: Machine, records: readonly MachineRecord[]): Promise<void> {
    return this.appendAll([{ machine, records }], [], true)
  }

  /** As append(), for several machines at once. Without any record it is an append of the other logs alone. */
  appendAll(decisions: readonly Decision[], alongside: readonly AppendEntry[] = [], isUrgent = false): Promise<void> {
    if (this.state !== 'ready') return Promise.reject(new AppendFailure('closed', 'the machine log is not ready'))
    if (decisions.every(({ records }) => records.length === 0)) return this.store.append(alongside)
    const entry = isUrgent ? { ...this.entryOf(decisions), isUrgent } : this.entryOf(decisions)
    const appended = (this.lastAppend = this.store.append(alongside.length === 0 ? [entry] : [entry, ...alongside]))
    for (const { machine, records } of decisions) {
      if (machine.appliesItself === true) continue
      for (const record of records) this.applyOne(machine, record)
    }
    return appended.then(this.whenAppended, this.whenRefused)
  }

  private applyOne(machine: Machine, record: MachineRecord): void {
    machine.apply(Buffer.from(record.key), record.value === null ? null : Buffer.from(record.value))
  }

  private entryOf(decisions: readonly Decision[]): AppendEntry {
    const timestampMs = this.world.clock.nowMs()
    const expectedEnd = this.decidedEnd
    const { batch, count } = machineBatch(decisions, timestampMs)
    assert(count > 0, 'an append has records')
    this.decidedEnd = offset(expectedEnd + count)
    return {
      log: this.log,
      batch,
      offsets: count,
      maxTimestampMs: timestampMs,
      epoch: this.log.epoch,
      expectedEnd,
    }
  }

  /** After a refused append: drop what was applied, replay what is committed, then let the caller know. */
  private async forget(failure: unknown): Promise<void> {
    if (this.state === 'ready') {
      this.state = 'replaying'
      this.replays++
      this.world.trace.error('machine log append refused', { why: String(failure) })
      void this.recover()
    }
    throw failure
  }

  private async recover(): Promise<void> {
    try {
      if (this.log.failed) await this.log.reopen()
      await this.replay()
    } catch (error) {
      if (this.isClosed()) return
      this.world.trace.error('machine log not readable, trying again', { why: String(error) })
      this.pause = this.world.clock.after(1000, () => void this.recover())
    }
  }

  private async replay(): Promise<void> {
    for (const machine of this.machines.values()) machine.reset()
    let at = this.log.start
    while (at < this.log.end) {
      const batches = await this.log.read(at, readBytes, this.log.end)
      if (batches.bytes === 0) break
      for (const chunk of batches.chunks) this.replayChunk(chunk)
      at = batches.next
    }
    if (this.isClosed()) return
    this.decidedEnd = this.log.end
    this.state = 'ready'
    for (const machine of this.machines.values()) machine.replayed?.()
  }

  private replayChunk(chunk: Buffer): void {
    const walked = forEachBatch(chunk, (head, at) => {
      if (compressionOf(head.attributes) !== 'none') throw new CorruptLog('the machine log holds a compressed batch')
      const cursor = new RecordCursor(chunk.subarray(at + batchHeadBytes, at + head.bytes))
      while (cursor.next()) {
        if (cursor.key === null || cursor.key.length === 0) throw new CorruptLog('a machine record has no key')
        const machine = this.machines.get(cursor.key[0])
        if (machine === undefined)
          throw new CorruptLog(
            `the machine log holds records of kind ${cursor.key[0]}, which this version does not know`,
          )
        const key = cursor.key.subarray(1)
        if (machine.keepsNothing === true) machine.apply(key, cursor.value)
        else machine.apply(Buffer.from(key), cursor.value === null ? null : Buffer.from(cursor.value))
      }
    })
    if (walked !== chunk.length)
      throw new CorruptLog(`${this.log.id}: a batch is not whole at byte ${walked} of a read`)
  }

  private rewriteWhenDue(): void {
    if (this.rewriting || this.state !== 'ready' || this.log.bytes < this.rewriteAtBytes) return
    this.rewriting = true
    // Whole segments are removed: the pieces begin one.
    this.log.roll()
    const from = this.log.end
    const pieces = this.pieces()
    void this.rewrite(pieces)
      .then(async (liveBytes) => {
        if (liveBytes === undefined) return
        await this.log.trim(from)
        this.rewriteAtBytes = 2 * liveBytes + rewriteSlackBytes
      })
      .catch((error: unknown) => this.world.trace.warn('machine log not rewritten', { why: String(error) }))
      .finally(() => {
        this.rewriting = false
      })
  }

  /** Appends all live entries again, one piece a turn; the bytes written, or undefined when given up. */
  private async rewrite(
    pieces: Iterator<{ machine: Machine; records: MachineRecord[]; bytes: number }>,
  ): Promise<number | undefined> {
    let liveBytes = 0
    const { replays } = this
    const isLost = (): boolean => this.state !== 'ready' || this.replays !== replays
    const endOfTurn = (): Promise<void> => new Promise((resolve) => this.world.clock.endOfTurn(resolve))
    for (;;) {
      if (isLost()) return undefined
      const piece = pieces.next()
      if (piece.done === true) break
      const append = (this.lastAppend = this.store.append([this.entryOf([piece.value])]))
      append.catch((failure: unknown) => this.forget(failure).catch(() => undefined))
      liveBytes += piece.value.bytes
      await endOfTurn()
    }
    // The pieces show, and leave out, what was decided while they were written: that has to be committed as well before
    // what it replaces is trimmed. A machine that gathers what it decided in a turn appends it by the turn's end.
    await endOfTurn()
    await endOfTurn()
    if (isLost()) return undefined
    await this.lastAppend
    return isLost() ? undefined : liveBytes
  }

  private *pieces(): Generator<{ machine: Machine; records: MachineRecord[]; bytes: number }> {
    for (const machine of this.machines.values()) {
      let records: MachineRecord[] = []
      let bytes = 0
      for (const record of machine.entries()) {
        records.push(record)
        bytes += record.key.length + (record.value?.length ?? 0) + 32
        if (bytes >= rewritePieceBytes || records.length >= rewritePieceRecords) {
          yield { machine, records, bytes }
          records = []
          bytes = 0
        }
      }
      if (records.length > 0) yield { machine, records, bytes }
    }
  }

  private isClosed(): boolean {
    return this.state === 'closed'
  }

  /** Takes no more decisions; the store is closed by its owner. */
  close(): void {
    this.state = 'closed'
    this.pause?.cancel()
  }
}
