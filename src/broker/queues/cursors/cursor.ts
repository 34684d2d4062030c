// One cursor: how far one binding of an exchange of type x-log has copied one partition of its topic.
// Promises: each record that the binding matches is copied once, in the partition's order, also across restarts: the
// ledger says what is done, and is appended with the copies. Without news it costs its place in memory.
// Does not know: topology; what else copies from the same log.

import { InvariantError } from '../../../base/assert.ts'
import { MiB } from '../../../base/limits.ts'
import type { Timer, World } from '../../../base/world.ts'
import { AppendFailure, type Log } from '../../../log/store.ts'
import type { Topic } from '../../catalog.ts'
import { isRefusal } from '../../errors.ts'
import type { Partition } from '../../streams/partition.ts'
import { blankMessage } from '../messages/message.ts'
import { withoutPlace } from '../messages/message-place.ts'
import type { CopyingBinding, LanePart, LedgerPart, LedgersPart, NewMessage, StoredMessage } from '../parts.ts'
import { Reading, type ReadingBudget } from '../messages/reading.ts'
import { CursorCondition, keysOf } from './cursor-condition.ts'
import type { Copy, CursorMoves, Found } from './cursor-moves.ts'
import type { CursorRoom } from './cursor-room.ts'

/**
 * One append copies at most so many messages, to so many destinations in all, and so many bytes there, but for a single
 * message that alone comes to more.
 */
const movedMax = 512
const movedCopiesMax = 4096
const movedBytesMax = 4 * MiB
/** Records looked at before others have their turn. */
const lookedAtMax = 4096
const retryMsMin = 50
const retryMsMax = 2000

/** What cursors share. */
export interface CursorTools {
  readonly world: World
  readonly ledgers: LedgersPart
  readonly budget: ReadingBudget
  readonly room: CursorRoom
  readonly moves: CursorMoves
}

/** What one cursor is made with. */
export interface CursorFacts {
  readonly binding: CopyingBinding
  readonly index: number
  readonly partition: Partition
  /** The partition as a stream has it: whose messages they are. */
  readonly source: LanePart
  /** Everything below was there before the binding; what is stored of a durable one says so itself. */
  readonly start: number
  readonly isVolatile: boolean
  /** Its ledger may be closed further: the log may be trimmed. */
  closed(): void
}

interface Opened {
  readonly log: Log
  readonly ledger: LedgerPart
  readonly reading: Reading
}

export class Cursor {
  readonly #tools: CursorTools
  readonly #facts: CursorFacts
  readonly #condition: CursorCondition
  readonly #message: StoredMessage
  #opened: Opened | undefined
  #stopWatching: (() => void) | undefined
  #running: Promise<void> | undefined
  /** Something came while it was at work. */
  #isAwake = false
  #isStopped = false
  #timer: Timer | undefined
  #retryMs = retryMsMin
  /** What it holds of the room that all share. */
  #heldBytes = 0

  constructor(tools: CursorTools, facts: CursorFacts) {
    this.#tools = tools
    this.#facts = facts
    this.#condition = new CursorCondition(facts.binding)
    this.#message = blankMessage(facts.source)
  }

  get topic(): Topic {
    return this.#facts.source.queue.topic
  }

  /** All below is done. */
  get floor(): number {
    return this.#opened?.ledger.floor ?? this.#facts.start
  }

  /** There may be something to copy, or room for it. */
  wake(): void {
    if (this.#isStopped) return
    this.#isAwake = true
    if (this.#running !== undefined || this.#timer !== undefined) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#isAwake) this.wake()
    })
  }

  async #run(): Promise<void> {
    // Whoever woke it is in the middle of a commit; and what else this turn brings goes with it.
    await new Promise<void>((resolve) => this.#tools.world.clock.endOfTurn(resolve))
    try {
      while (this.#isAwake && !this.#isStopped) {
        this.#isAwake = false
        const opened = this.#opened ?? (await this.#open())
        if (opened === undefined) return this.#later('the log could not be opened')
        while (!this.#isStopped) {
          const outcome = await this.#step(opened)
          if (outcome === 'waits') return this.#later('a destination takes nothing now')
          this.#retryMs = retryMsMin
          if (outcome === 'done') break
        }
      }
    } catch (error) {
      // A refused append, a log that cannot be read: it goes on where its ledger says. A bug of ours waits for nothing.
      if (error instanceof InvariantError) throw error
      this.#later(error instanceof AppendFailure ? error.message : String(error))
    }
  }

  #later(why: string): void {
    if (this.#isStopped) return
    const { clock, trace } = this.#tools.world
    trace.count('cursors.waits')
    if (this.#retryMs === retryMsMin) {
      const { binding, index } = this.#facts
      trace.info('a binding waits', { exchange: binding.source, to: binding.destination, partition: index, why })
    }
    this.#isAwake = false
    this.#timer = clock.after(this.#retryMs, () => {
      this.#timer = undefined
      this.wake()
    })
    this.#retryMs = Math.min(retryMsMax, 2 * this.#retryMs)
  }

  async #open(): Promise<Opened | undefined> {
    const { world, ledgers, budget } = this.#tools
    const { partition, binding, start, isVolatile, index } = this.#facts
    const log = await partition.open(this.topic.policy)
    if (isRefusal(log) || this.#isStopped) return undefined
    const ledger = ledgers.open({ log: partition.id, number: binding.cursor }, isVolatile ? start : 0, 1, isVolatile)
    ledger.onReplayed = () => this.wake()
    ledger.onCommitted = () => this.#facts.closed()
    this.#stopWatching = log.watch(() => this.wake())
    const from = { name: binding.source, partition: index, tellsPlace: false }
    return (this.#opened = { log, ledger, reading: new Reading(world, budget, log, from) })
  }

  async #step({ log, ledger, reading }: Opened): Promise<'more' | 'waits' | 'done'> {
    // A log that failed is opened again by whoever uses it next.
    if (log.failed && isRefusal(await this.#facts.partition.open(this.topic.policy))) return 'waits'
    if (this.#isStopped) return 'done'
    ledger.extend(log.committed)
    if (log.start > ledger.floor) {
      const missed = ledger.closeBelow(log.start, 'retention')
      if (missed > 0) this.#tools.world.trace.count('cursors.dropped.retention', missed)
    }
    const from = ledger.nextReady(ledger.floor)
    if (from === undefined) {
      reading.release()
      return 'done'
    }
    try {
      return await this.#copy(from, ledger, reading)
    } finally {
      this.#tools.room.give(this.#heldBytes)
      this.#heldBytes = 0
    }
  }

  async #copy(from: number, ledger: LedgerPart, reading: Reading): Promise<'more' | 'waits' | 'done'> {
    const { room } = this.#tools
    await room.look()
    const looking = this.#isStopped ? undefined : this.#find(from, ledger, reading)
    const found = await (looking ?? Promise.resolve(undefined)).finally(() => room.found())
    if (found === undefined || this.#isStopped) return 'done'
    if (found.copies.length === 0) {
      // Nothing is lost when a crash forgets it: it is looked at again.
      await new Promise<void>((resolve) => this.#tools.world.clock.endOfTurn(resolve))
      return 'more'
    }
    const moved = await this.#tools.moves.move(ledger, found, () => this.#isStopped)
    return moved === 0 && !this.#isStopped ? 'waits' : 'more'
  }

  /** What is next to be copied. What comes before and is not wanted is closed when nothing is found, or left to move(). */
  async #find(from: number, ledger: LedgerPart, reading: Reading): Promise<Found> {
    const { room } = this.#tools
    const copies: Copy[] = []
    const offsets: number[] = []
    let copied = 0
    let at: number | undefined = from
    for (let seen = 0; at !== undefined && seen < lookedAtMax && copies.length < movedMax; seen++) {
      let missing = reading.seek(at)
      while (missing instanceof Promise) {
        await missing
        if (this.#isStopped) return { copies: [], offsets }
        missing = reading.seek(at)
      }
      if (missing !== undefined) {
        // Copies that were found go first, so that what is closed here is all before the next.
        if (copies.length > 0) break
        ledger.closeReady(at, 'filtered')
        at = Math.max(reading.missingBelow, at + 1)
        ledger.closeReady(at, missing)
      } else {
        const message = this.#messageAt(at, reading)
        if (message !== undefined) {
          const copy = this.#copyOf(at, message)
          const times = Math.max(1, copy.targets.length)
          const bytes = times * (message.bodyBytes + message.properties.length)
          copied += times
          const isMuch = copied > movedCopiesMax || this.#heldBytes + bytes > movedBytesMax
          // Others were faster: it looks again when there is room.
          if (room.isFull || (copies.length > 0 && isMuch)) break
          this.#heldBytes += bytes
          room.take(bytes)
          copies.push(copy)
        }
        if (copies.length > 0) offsets.push(at)
        reading.passed(at)
        at++
      }
      at = ledger.nextReady(at)
    }
    if (copies.length === 0) ledger.closeReady(at ?? ledger.end, 'filtered')
    return { copies, offsets }
  }

  /** Copied out of the log's memory; undefined: it is not wanted. */
  #messageAt(offset: number, reading: Reading): NewMessage | undefined {
    const stored = this.#message
    reading.fill(offset, stored)
    const routingKey = stored.routingKey.toString()
    if (!this.#condition.meets(keysOf(routingKey, stored.properties), stored.properties)) return undefined
    return {
      // Records of Kafka's clients, and what was published to the queue of that name, come by this exchange.
      exchange: stored.exchange.length === 0 ? this.#facts.binding.source : stored.exchange.toString(),
      routingKey,
      // A copy lies elsewhere.
      properties: stored.isPlaced ? withoutPlace(stored.properties) : Buffer.from(stored.properties),
      body: [Buffer.from(stored.body)],
      bodyBytes: stored.body.length,
      isDeadLetter: stored.isDeadLetter,
    }
  }

  #copyOf(offset: number, message: NewMessage): Copy {
    const keys = keysOf(message.routingKey, message.properties)
    return this.#tools.moves.copyOf(this.#facts.binding, offset, keys, message)
  }

  /** Nothing more is copied; what is being appended stays with its outcome. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#stopWatching?.()
    this.#opened?.reading.close()
    if (this.#opened !== undefined) this.#opened.ledger.onCommitted = this.#opened.ledger.onReplayed = undefined
  }

  /** Resolves when nothing of it is under way. */
  async settled(): Promise<void> {
    await this.#running
  }
}
