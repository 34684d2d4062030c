// All ledgers of a broker: opened, written every few milliseconds for all of them together, replayed at start.
// Promises: what is closed together with an append is closed with it or not at all; a replay asks no order of records;
// a ledger that nobody opened costs little more than its name.
// Does not know: queues, what messages hold; it sees offsets and the logs they are in by name.

import { assert } from '../../../base/assert.ts'
import type { World } from '../../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../../log/machine.ts'
import { AppendFailure, type AppendEntry, type LogId } from '../../../log/store.ts'
import { Ledger, type LedgerHost } from './ledger.ts'
import { LedgerRecordWriter } from './ledger-record.ts'
import { LedgerState } from './ledger-state.ts'
import { OffsetSet } from './offset-set.ts'
import type { ClosedReason, LedgerClosing, LedgerId, LedgersPart, LogClosings } from '../parts.ts'

const topicIdChars = 22
const topicIdBytes = 16
const defaultGatherMs = 5

/** Names of counters are constant strings: none is put together for a message. */
const closedCounters: Readonly<Record<ClosedReason, string>> = {
  acked: 'ledger.closed.acked',
  rejected: 'ledger.closed.rejected',
  expired: 'ledger.closed.expired',
  maxlen: 'ledger.closed.maxlen',
  deliveryLimit: 'ledger.closed.deliveryLimit',
  purged: 'ledger.closed.purged',
  malformed: 'ledger.closed.malformed',
  gap: 'ledger.closed.gap',
  retention: 'ledger.closed.retention',
  control: 'ledger.closed.control',
  filtered: 'ledger.closed.filtered',
  copied: 'ledger.closed.copied',
}

const keyWriter = new LedgerRecordWriter()
const noClosings: readonly LogClosings[] = []

/** The stored name of a ledger: the topic's id, and partition and number as varints. */
function keyOf({ log, number }: LedgerId): Buffer {
  assert(log.length > topicIdChars && log[topicIdChars] === '-', 'a log id is a topic id and a partition')
  keyWriter.reset()
  keyWriter.bytes(Buffer.from(log.slice(0, topicIdChars), 'base64url'))
  keyWriter.number(Number(log.slice(topicIdChars + 1)))
  keyWriter.number(number)
  return Buffer.from(keyWriter.slice(0, keyWriter.at))
}

/** What a ledger has not closed: ready, or handed out and unsettled. */
export interface OpenOffsets {
  readonly count: number
  readonly acquired: number
  /** undefined: there is none. */
  readonly first: number | undefined
}

/** A varint ends with 0 only if it is 0: that of a log's first ledger, which needs no index. */
const isFurther = (name: string): boolean => name.charCodeAt(name.length - 1) !== 0

/** The part of a ledger's name that all over the same log have in common. */
function logPartOf(name: string): string {
  let at = topicIdBytes
  while (name.charCodeAt(at) > 0x7f) at++
  return name.slice(0, at + 1)
}

/** What appends of one turn carry of one ledger. */
interface Written {
  readonly ledger: Ledger
  readonly state: LedgerState
  readonly floor: number
}

export class Ledgers implements Machine, LedgersPart, LedgerHost {
  readonly kind = 7
  readonly appliesItself = true
  readonly keepsNothing = true
  readonly #world: World
  readonly #gatherMs: number
  #machineLog: MachineLog | undefined
  /** What is durable of each, by its key as text of a character a byte. */
  readonly #states = new Map<string, LedgerState>()
  /** Names of what is known of ledgers with a number, by the log's part of them; plain queues are not in it. */
  readonly #further = new Map<string, Set<string>>()
  readonly #open = new Map<string, Ledger>()
  /** Being forgotten: what is done to them is written only if that is refused. */
  readonly #leaving = new Map<string, Ledger>()
  /** Of all that are being forgotten, open or not, what they had closed: it counts until that is committed. */
  readonly #forgetting = new Map<string, LedgerState>()
  #whenForgotten: (() => void)[] = []
  /** Those that have something to write at the next flush. */
  #changed: Ledger[] = []
  #isScheduled = false
  #flushedAtMs = -Infinity
  /** The newest append; undefined: settled, as far as somebody asked. */
  #last: Promise<void> | undefined
  readonly #writer = new LedgerRecordWriter()
  /** Whose record came last: in a replay the next is often of the same. */
  #lastKey = ''
  #lastState: LedgerState | undefined

  /** `gatherMs`: acknowledgements of this long are one append, unless something else is appended meanwhile. */
  constructor(world: World, gatherMs = defaultGatherMs) {
    this.#world = world
    this.#gatherMs = gatherMs
  }

  /** Once the machine log is replayed. */
  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  // --- machine ------------------------------------------------------------------------------------------------------

  apply(key: Buffer, value: Buffer | null): void {
    const name = key.toString('latin1')
    if (value === null) {
      this.#drop(name)
      this.#lastKey = ''
      return
    }
    let state = name === this.#lastKey ? this.#lastState : this.#states.get(name)
    if (state === undefined) this.#keep(name, (state = new LedgerState()))
    this.#lastKey = name
    this.#lastState = state
    state.merge(value)
  }

  *entries(): Generator<MachineRecord> {
    for (const [name, state] of this.#states) {
      if (state.isBlank) continue
      const key = Buffer.from(name, 'latin1')
      for (const value of state.pieces(this.#open.get(name)?.closing)) {
        // Gone, or read again, between two pieces.
        if (this.#states.get(name) !== state) break
        yield { key, value }
      }
    }
  }

  #keep(name: string, state: LedgerState): void {
    this.#states.set(name, state)
    if (!isFurther(name)) return
    const log = logPartOf(name)
    const names = this.#further.get(log)
    if (names === undefined) this.#further.set(log, new Set([name]))
    else names.add(name)
  }

  #drop(name: string): boolean {
    if (isFurther(name)) {
      const names = this.#further.get(logPartOf(name))
      names?.delete(name)
      if (names?.size === 0) this.#further.delete(logPartOf(name))
    }
    return this.#states.delete(name)
  }

  reset(): void {
    this.#states.clear()
    this.#further.clear()
    this.#lastKey = ''
  }

  replayed(): void {
    this.#lastKey = ''
    this.#lastState = undefined
    // The append that was to forget them was refused with the others.
    for (const [name, ledger] of this.#leaving) if (!this.#open.has(name)) this.#open.set(name, ledger)
    this.#leaving.clear()
    this.#forgetting.clear()
    this.#tellForgotten()
    for (const [name, ledger] of this.#open) {
      if (ledger.isVolatile) continue
      let state = this.#states.get(name)
      const isNew = state === undefined
      if (state === undefined) this.#keep(name, (state = newState(ledger.start)))
      ledger.rebase(state)
      if (isNew) ledger.writeStart()
    }
    for (const ledger of this.#open.values()) if (!ledger.isVolatile) ledger.onReplayed?.()
    if (this.#changed.length > 0) this.#schedule()
  }

  // --- ledgers ------------------------------------------------------------------------------------------------------

  open(id: LedgerId, start: number, levels: number, isVolatile: boolean, neutral = 0): Ledger {
    const key = keyOf(id)
    const name = key.toString('latin1')
    const known = this.#open.get(name) ?? this.#leaving.get(name)
    if (known !== undefined) return known
    const leaving = this.#forgetting.get(name)
    let state = leaving ?? this.#states.get(name)
    const isNew = state === undefined
    if (state === undefined) {
      state = newState(start)
      if (!isVolatile) this.#keep(name, state)
    }
    const ledger = new Ledger(this, { id, key, name, start, levels, neutral, isVolatile }, state)
    // A record of one that is being forgotten would outlive the one that forgets it.
    if (leaving === undefined) this.#open.set(name, ledger)
    else this.#leaving.set(name, ledger)
    if (isNew) ledger.writeStart()
    return ledger
  }

  /** What the log's ledgers speak of ends here: no offset below may be given again. */
  endOf(log: LogId): number {
    const name = keyOf({ log, number: 0 }).toString('latin1')
    let end = endOfState(this.#states.get(name))
    const further = this.#further.size === 0 ? undefined : this.#further.get(logPartOf(name))
    if (further !== undefined) for (const one of further) end = Math.max(end, endOfState(this.#states.get(one)))
    for (const [one, state] of this.#forgetting)
      if (logPartOf(one) === logPartOf(name)) end = Math.max(end, endOfState(state))
    return end
  }

  closings(id: LedgerId): LogClosings {
    const name = keyOf(id).toString('latin1')
    const open = this.#open.get(name)
    if (open !== undefined) return open.state
    // While the machine log is read again what is read by then may be of a ledger that had the number before.
    const isWhole = this.#machineLog?.ready !== false
    return (isWhole ? this.#states.get(name) : undefined) ?? new LedgerState()
  }

  closingsLeaving(log: LogId): readonly LogClosings[] {
    if (this.#forgetting.size === 0) return noClosings
    const part = logPartOf(keyOf({ log, number: 0 }).toString('latin1'))
    const leaving: LogClosings[] = []
    for (const [name, state] of this.#forgetting) if (logPartOf(name) === part) leaving.push(state)
    return leaving
  }

  async settledLeaving(log: LogId): Promise<void> {
    while (this.closingsLeaving(log).length > 0)
      await new Promise<void>((resolve) => void this.#whenForgotten.push(resolve))
  }

  #tellForgotten(): void {
    const waiting = this.#whenForgotten
    if (waiting.length === 0) return
    this.#whenForgotten = []
    for (const tell of waiting) tell()
  }

  recordsForStart(id: LedgerId, start: number): readonly MachineRecord[] {
    const key = keyOf(id)
    const name = key.toString('latin1')
    assert(!this.#states.has(name) && !this.#open.has(name), 'a ledger begins once')
    // While the machine log is read again what the caller appends is refused.
    if (this.#machineLog?.ready !== true || start === 0) return []
    const state = newState(start)
    this.#keep(name, state)
    return [{ key, value: state.startRecord() }]
  }

  started(id: LedgerId, start: number): void {
    const state = this.#states.get(keyOf(id).toString('latin1'))
    if (state !== undefined && start <= state.floor) state.committedFloor = Math.max(state.committedFloor, start)
  }

  /** What of [start, end) is not closed: counted from what is kept, whether or not the ledger is open. */
  openIn(id: LedgerId, start: number, end: number): OpenOffsets {
    const name = keyOf(id).toString('latin1')
    const ledger = this.#open.get(name)
    const state = ledger?.state ?? this.#states.get(name)
    const from = Math.max(start, state?.floor ?? 0)
    const closed = state?.detail?.closed
    const count = Math.max(0, end - from) - (closed?.countRange(from, end) ?? 0)
    const first = count === 0 ? undefined : (closed?.firstMissingAtOrAfter(from) ?? from)
    return { count, acquired: ledger?.acquired ?? 0, first }
  }

  hasExpirations(id: LedgerId): boolean {
    return (this.#states.get(keyOf(id).toString('latin1'))?.detail?.expiries?.blocks ?? 0) > 0
  }

  release(id: LedgerId): void {
    const key = keyOf(id)
    const name = key.toString('latin1')
    const ledger = this.#open.get(name)
    // While the machine log is read again what is only in memory has to stay there.
    if (ledger === undefined || ledger.isVolatile || this.#machineLog?.ready !== true) return
    assert(ledger.acquired === 0, 'of a ledger that is released nothing is acquired')
    if (ledger.settleMark()) this.changed(ledger)
    this.#write([ledger])
    this.#open.delete(name)
    ledger.state.compact()
  }

  recordsForForgotten(id: LedgerId): readonly MachineRecord[] {
    const key = keyOf(id)
    const name = key.toString('latin1')
    const ledger = this.#open.get(name)
    if (ledger?.isVolatile === true) {
      this.#open.delete(name)
      ledger.forgetChanges()
    }
    // While the machine log is read again what the caller appends is refused: all stays as it is.
    if (ledger?.isVolatile === true || this.#machineLog?.ready !== true) return []
    if (ledger !== undefined) {
      this.#open.delete(name)
      this.#leaving.set(name, ledger)
    }
    this.#forgetting.set(name, ledger?.state ?? this.#states.get(name) ?? new LedgerState())
    return this.#drop(name) ? [{ key, value: null }] : []
  }

  forgotten(id: LedgerId): void {
    const name = keyOf(id).toString('latin1')
    this.#leaving.delete(name)
    if (this.#forgetting.delete(name)) this.#tellForgotten()
    // Of a queue whose declaration was refused: nothing of it is stored.
    this.#open.delete(name)
    this.#drop(name)
  }

  // --- writing ------------------------------------------------------------------------------------------------------

  changed(ledger: Ledger): void {
    if (ledger.isListed) return
    ledger.isListed = true
    this.#changed.push(ledger)
    this.#schedule()
  }

  /**
   * At the end of this turn, but not sooner after the last time than this many ms: an acknowledgement promises its sender
   * nothing until he is told something later, and whatever tells him flushes first.
   */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const { clock } = this.#world
    const waitMs = this.#flushedAtMs + this.#gatherMs - clock.monotonicMs()
    if (waitMs <= 0) clock.endOfTurn(() => this.flush())
    else clock.after(waitMs, () => this.flush())
  }

  /** In an append of its own, at once: closings of this turn may belong to an append that is still to come. */
  markRaised(ledger: Ledger): void {
    const machineLog = this.#machineLog
    // Of one that is being forgotten nothing is written any more, unless that is refused.
    if (machineLog?.ready !== true || this.#open.get(ledger.name) !== ledger) {
      this.changed(ledger)
      return
    }
    this.#writer.reset()
    ledger.writeMark(this.#writer)
    machineLog
      .appendUrgently(this, [{ key: ledger.key, value: this.#writer.slice(0, this.#writer.at) }])
      .catch(() => undefined)
  }

  closed(reason: ClosedReason, count: number): void {
    this.#world.trace.count(closedCounters[reason], count)
  }

  /** Writes what changed, now. Who is about to append what a client may rely on calls it first. */
  flush(): void {
    this.#isScheduled = false
    if (this.#changed.length === 0) return
    this.#flushedAtMs = this.#world.clock.monotonicMs()
    if (this.#machineLog?.ready === true) this.#write(this.#changed)
    // Otherwise all of it stays noted; replayed() comes back to it.
  }

  #write(ledgers: Ledger[]): void {
    if (ledgers.length === 0) return
    const listed = ledgers === this.#changed ? this.#take() : ledgers
    this.#append(listed, [], []).catch(() => undefined)
  }

  #take(): Ledger[] {
    const listed = this.#changed
    this.#changed = []
    for (const ledger of listed) ledger.isListed = false
    return listed
  }

  append(alongside: readonly AppendEntry[]): Promise<void> {
    return this.appendClosing(alongside, [])
  }

  async appendClosing(alongside: readonly AppendEntry[], closings: readonly LedgerClosing[]): Promise<void> {
    if (this.#machineLog?.ready === false) {
      // What is acknowledged meanwhile stays noted for the time after; of batches that are refused here nothing does.
      for (const ledger of this.#changed) ledger.forgetNotes()
      throw new AppendFailure('closed', 'the machine log is not ready')
    }
    for (const { ledger, offsets } of closings) {
      assert(ledger instanceof Ledger, 'a ledger of these')
      const closing = (ledger.closing ??= new OffsetSet())
      for (const offset of offsets) closing.add(offset)
    }
    try {
      await this.#append(this.#take(), alongside, closings)
    } finally {
      for (const { ledger, offsets } of closings)
        if (ledger instanceof Ledger && ledger.closing !== undefined)
          for (const offset of offsets) ledger.closing.remove(offset)
    }
    for (const { ledger, offsets, reason } of closings) for (const offset of offsets) ledger.close(offset, reason)
  }

  /** One append of what changed in these ledgers and of what goes with it. */
  #append(
    listed: readonly Ledger[],
    alongside: readonly AppendEntry[],
    closings: readonly LedgerClosing[],
  ): Promise<void> {
    const machineLog = this.#machineLog
    assert(machineLog !== undefined, 'ledgers are written once the machine log is there')
    const ends: number[] = []
    const written: Written[] = []
    const writer = this.#writer
    writer.reset()
    const write = (ledger: Ledger, closing: readonly number[] | undefined): void => {
      // Released or forgotten meanwhile: what it had to write is written.
      if (this.#open.get(ledger.name) !== ledger) return
      if (ledger.isVolatile) ledger.forgetChanges()
      else if (ledger.hasChanges || closing !== undefined) ledger.writeChanges(writer, closing)
      // Without a record its floor may still be on the way in an earlier append.
      else return
      written.push({ ledger, state: ledger.state, floor: ledger.floor })
      ends.push(writer.at)
    }
    for (const ledger of listed) write(ledger, undefined)
    for (const { ledger, offsets } of closings) if (ledger instanceof Ledger) write(ledger, offsets)
    const records: MachineRecord[] = []
    let from = 0
    for (const [at, { ledger }] of written.entries()) {
      if (ends[at] > from) records.push({ key: ledger.key, value: writer.slice(from, ends[at]) })
      from = ends[at]
    }
    if (records.length === 0 && alongside.length === 0) {
      this.#committed(written)
      return Promise.resolve()
    }
    const committed = machineLog.append(this, records, alongside).then(() => this.#committed(written))
    this.#last = committed
    return committed
  }

  /** Resolves when all that was decided by now is committed or refused; undefined: it is. */
  settled(): Promise<void> | undefined {
    if (this.#machineLog?.ready === true) this.#write(this.#changed)
    const last = this.#last
    return last?.then(
      () => this.#forgetLast(last),
      () => this.#forgetLast(last),
    )
  }

  #forgetLast(last: Promise<void>): void {
    if (this.#last === last) this.#last = undefined
  }

  #committed(written: readonly Written[]): void {
    for (const { ledger, state, floor } of written) {
      // After a replay the state is another.
      if (floor > state.committedFloor && floor <= state.floor) state.committedFloor = floor
      const open = this.#open.get(ledger.name)
      if (open?.state === state) open.onCommitted?.()
    }
  }

  /** Nothing is handed out any more: writes how far each ledger handed out, and waits for all that is to be written. */
  async close(): Promise<void> {
    for (const ledger of this.#open.values()) if (ledger.settleMark()) this.changed(ledger)
    if (this.#machineLog?.ready === true) await this.append([])
  }
}

const endOfState = (state: LedgerState | undefined): number =>
  state === undefined ? 0 : Math.max(state.floor, state.detail?.closed.ceiling ?? 0)

function newState(start: number): LedgerState {
  const state = new LedgerState()
  state.floor = start
  return state
}
