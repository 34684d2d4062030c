// Reading a queue's log message by message: in order from windows that grow, anywhere else from small ones.
// Promises: what one queue holds in memory is bounded, and what all hold together is too; nothing is held when idle.
// Does not know: which message is next and who gets it (dispatch.ts), what became of it (the ledger).

import { assert } from '../../../base/assert.ts'
import { KiB, MiB } from '../../../base/limits.ts'
import { noProperties } from '../../../base/properties.ts'
import type { World } from '../../../base/world.ts'
import { RecordCursor } from '../../../log/records.ts'
import { offset as asOffset, type Batches, type Log } from '../../../log/store.ts'
import { MessageReader } from './message.ts'
import { ForeignReader, shortStringBytesMax } from './message-foreign.ts'
import { withPlace } from './message-place.ts'
import type { StoredMessage } from '../parts.ts'
import { ReadingWindow, type Absence, type Openings, type WindowHost } from './reading-window.ts'

/** The first read of a place; each that goes on where one ended takes twice as much. */
const windowBytesMin = 16 * KiB
/** The most one read of one queue takes. */
const windowBytesMax = 512 * KiB
/** Places of one queue's log held at a time: its head, priorities, what came back. */
const windowsMax = 4
/** What the windows of all queues hold together, opened batches included; those unused for longest go first. */
export const windowsBytesMax = 32 * MiB
/** Batches that all queues open at a time: as many as the pool has threads. */
const openingsMax = 4

const nothing: Buffer = Buffer.alloc(0)

/** Why nothing is at an offset: what the window says, or the log's start has passed it. */
export type Missing = Absence | 'retention'

/** All windows of a broker under one bound. */
export class ReadingBudget implements Openings {
  #bytes = 0
  #uses = 0
  #opening = 0
  readonly #entering: (() => void)[] = []
  readonly #windows = new Map<ReadingWindow, { readonly reading: Reading; bytes: number }>()

  use(): number {
    return ++this.#uses
  }

  enter(): Promise<void> | undefined {
    if (this.#opening < openingsMax) {
      this.#opening++
      return undefined
    }
    return new Promise((enter) => this.#entering.push(enter))
  }

  leave(): void {
    const enter = this.#entering.shift()
    if (enter === undefined) this.#opening--
    else enter()
  }

  /** All that is held. */
  get bytes(): number {
    return this.#bytes
  }

  add(window: ReadingWindow, reading: Reading): void {
    this.#windows.set(window, { reading, bytes: 0 })
    this.weigh(window)
  }

  /** It may hold more than before: a batch was opened, which can be much larger than it was when it was read. */
  weigh(window: ReadingWindow): void {
    const weighed = this.#windows.get(window)
    if (weighed === undefined) return
    const { heldBytes } = window
    this.#bytes += heldBytes - weighed.bytes
    weighed.bytes = heldBytes
    while (this.#bytes > windowsBytesMax && this.#windows.size > 1) {
      let oldest: ReadingWindow | undefined
      for (const one of this.#windows.keys())
        if (one !== window && !one.isOpening && (oldest === undefined || one.usedAt < oldest.usedAt)) oldest = one
      if (oldest === undefined) return
      this.#windows.get(oldest)?.reading.let(oldest)
    }
  }

  remove(window: ReadingWindow): void {
    this.#bytes -= this.#windows.get(window)?.bytes ?? 0
    this.#windows.delete(window)
  }
}

/** What of the log's topic and partition is written on messages. */
export interface ReadFrom {
  readonly name: string
  readonly partition: number
  /** Messages of ours are told their place too: those of the topic that are not would be told apart by nothing else. */
  readonly tellsPlace: boolean
}

export class Reading {
  readonly #host: WindowHost
  readonly #budget: ReadingBudget
  readonly #log: Log
  readonly #from: ReadFrom
  readonly #foreign: ForeignReader
  readonly #messages = new MessageReader()
  #windows: ReadingWindow[] = []
  #current: ReadingWindow | undefined
  #pending: Promise<void> | undefined
  /** Nobody waits for what is being read. */
  #isLeft = false
  /** Where the last read ended and how large it was: one that goes on there is larger. */
  #readTo = -1
  #readBytes = windowBytesMin
  /** A read found nothing in [from, to), and nothing will ever be there. */
  #emptyFrom = 0
  #emptyTo = 0
  /** After seek() said why a message is missing: the same holds for all below this offset. */
  missingBelow = 0

  constructor(world: Pick<World, 'clock'>, budget: ReadingBudget, log: Log, from: ReadFrom) {
    this.#host = { clock: world.clock, openings: budget }
    this.#budget = budget
    this.#log = log
    this.#from = from
    this.#foreign = new ForeignReader(from.name, from.partition)
  }

  /**
   * Moves to the message at `offset`. undefined: fill() gives it. A promise: ask again when it resolved. Else why there
   * is none, here and up to `missingBelow`. Rejects when the log cannot be read.
   */
  seek(offset: number): Missing | undefined | Promise<void> {
    if (this.#pending !== undefined) return this.#pending
    let window = this.#current
    if (window === undefined || !window.covers(offset)) {
      window = this.#windowFor(offset)
      if (window === undefined) return this.#read(offset)
      if (window instanceof Promise) return window
      this.#current = window
      window.usedAt = this.#budget.use()
    }
    const found = window.seek(offset, this.#host)
    if (found === undefined) return undefined
    if (typeof found === 'string') {
      this.missingBelow = window.absentBelow(offset)
      return found
    }
    const opening = window
    return this.#wait(found.then(() => this.#budget.weigh(opening)))
  }

  #windowFor(offset: number): ReadingWindow | undefined {
    for (const window of this.#windows) if (window.covers(offset)) return window
    return undefined
  }

  #wait(done: Promise<void>): Promise<void> {
    const pending = done.finally(() => {
      if (this.#pending === pending) this.#pending = undefined
    })
    // Whoever only asked whether it is at hand does not wait, and need not hear that it cannot be read.
    pending.catch(() => undefined)
    return (this.#pending = pending)
  }

  #read(offset: number): Missing | undefined | Promise<void> {
    const log = this.#log
    this.#isLeft = false
    if (offset < log.start) {
      this.missingBelow = log.start
      return 'retention'
    }
    assert(offset < log.committed, 'only what is committed is read')
    if (offset >= this.#emptyFrom && offset < this.#emptyTo) {
      this.missingBelow = this.#emptyTo
      return 'gap'
    }
    this.#readBytes = offset === this.#readTo ? Math.min(2 * this.#readBytes, windowBytesMax) : windowBytesMin
    const below = log.committed
    const batches = log.read(asOffset(offset), this.#readBytes, below)
    if (batches instanceof Promise)
      return this.#wait(batches.then((read) => (this.#isLeft ? read.release?.() : this.#took(offset, read, below))))
    this.#took(offset, batches, below)
    return this.seek(offset)
  }

  /** Keeps what was read, or that there was nothing. */
  #took(offset: number, batches: Batches, below: number): void {
    this.#readTo = batches.next
    if (batches.bytes === 0) {
      // Trimmed meanwhile: the log's start says so.
      if (offset < this.#log.start) return
      this.#emptyFrom = offset
      this.#emptyTo = below
      return
    }
    const window = new ReadingWindow(offset, batches)
    window.usedAt = this.#budget.use()
    if (this.#windows.length === windowsMax) {
      let oldest = this.#windows[0]
      for (const one of this.#windows) if (one.usedAt < oldest.usedAt) oldest = one
      this.let(oldest)
    }
    this.#windows.push(window)
    this.#current = window
    this.#budget.add(window, this)
  }

  /** Lets one window go. */
  let(window: ReadingWindow): void {
    this.#windows = this.#windows.filter((one) => one !== window)
    if (this.#current === window) this.#current = undefined
    this.#budget.remove(window)
    window.release()
  }

  /** Fills in everything but lane, offset and redelivered. After seek() found the message, in the same turn. */
  fill(offset: number, message: StoredMessage): void {
    const window = this.#current
    assert(window !== undefined, 'a message was sought before it is read')
    const at = window.position(offset)
    if (!window.isOwn) return this.#foreign.read(window.section, at, window, offset, message)
    this.#messages.read(window.section, at, message)
    const from = this.#from
    if (!from.tellsPlace) return
    message.properties = withPlace(message.properties, from.partition, offset)
    message.isPlaced = true
  }

  /** After seek() said that the batch lies: all of it as the body of one message, in the same turn. */
  fillRaw(offset: number, message: StoredMessage): void {
    const window = this.#current
    assert(window !== undefined && window.covers(offset), 'a message was sought before it is read')
    const { name, partition } = this.#from
    message.exchange = nothing
    message.routingKey = Buffer.from(name).subarray(0, shortStringBytesMax)
    message.properties = withPlace(noProperties, partition, offset)
    message.body = window.batch
    message.isDeadLetter = false
    message.isPlaced = true
  }

  /** Where the batch begins that holds what was sought. */
  get batchBase(): number {
    assert(this.#current !== undefined, 'a message was sought')
    return this.#current.base
  }

  /** The time of the message that fill() would give, ms. */
  timestampMs(offset: number): number {
    const window = this.#current
    assert(window !== undefined, 'a message was sought before its time is read')
    if (window.isOwn) return window.maxTimestampMs
    const cursor = new RecordCursor(window.section.subarray(window.position(offset)))
    cursor.next()
    return window.timestampMs(cursor.timestampDeltaMs)
  }

  /** The message at `offset` was given: a window that ends there is of no more use. */
  passed(offset: number): void {
    const window = this.#current
    if (window !== undefined && offset === window.next - 1) this.let(window)
  }

  /** As release(), by the last who reads here: what is being read is not kept either. */
  close(): void {
    this.#isLeft = true
    this.release()
  }

  /** Nothing is held any more but what is being read. */
  release(): void {
    for (const window of this.#windows) {
      this.#budget.remove(window)
      window.release()
    }
    this.#windows = []
    this.#current = undefined
  }
}
