// All cursors of a broker: one for each partition of each binding that leads from an exchange of type x-log.
// Promises: there is a cursor as long as its binding is there, whatever brings and removes bindings; a binding that comes
// back after its removal was refused goes on where it was.
// Does not know: how bindings are made and their beginnings kept (log-desk.ts).

import type { Timer, World } from '../../../base/world.ts'
import type { Topic } from '../../catalog.ts'
import type { Partitions } from '../../streams/partitions.ts'
import type { Binding } from '../exchanges/bindings.ts'
import type { LedgersPart, QueuesPart } from '../parts.ts'
import { ReadingBudget } from '../messages/reading.ts'
import { Cursor, type CursorTools } from './cursor.ts'
import { CursorMoves, type CursorMovesHost } from './cursor-moves.ts'
import { CursorRoom } from './cursor-room.ts'

/** That disk may be given back is told at most so often. */
const closedToldMs = 1000

export interface CursorsHost extends CursorMovesHost {
  readonly world: World
  readonly partitions: Partitions
  readonly ledgers: LedgersPart
  readonly queues: QueuesPart
  /** Bindings that copy. */
  bindings(): Iterable<Binding>
  topicOf(vhost: string, name: string): Topic | undefined
  /** A ledger over the topic's logs closed more. */
  closed(topic: Topic): void
}

/** The cursors of one binding, by partition. */
interface Copying {
  readonly cursors: Cursor[]
}

export class Cursors {
  readonly #host: CursorsHost
  readonly #tools: CursorTools
  readonly #copying = new Map<string, Copying>()
  /** Where bindings begin that are kept nowhere; once one was stopped its cursors know, whatever they had under way. */
  readonly #starts = new Map<string, readonly number[] | readonly Cursor[]>()
  /** Topics of which ledgers closed more since the last time. */
  readonly #closed = new Map<string, Topic>()
  #timer: Timer | undefined
  #isScheduled = false
  #isClosed = false

  constructor(host: CursorsHost) {
    this.#host = host
    const { world, ledgers } = host
    this.#tools = { world, ledgers, budget: new ReadingBudget(), room: new CursorRoom(), moves: new CursorMoves(host) }
  }

  /** Of a binding that is only in memory. */
  startAt(topic: Topic, number: number, starts: readonly number[]): void {
    this.#starts.set(nameOf(topic, number), starts)
  }

  /** Bindings came or went, or a topic has more partitions: looked at with the end of this turn. */
  changed(): void {
    if (this.#isScheduled || this.#isClosed) return
    this.#isScheduled = true
    this.#host.world.clock.endOfTurn(() => {
      this.#isScheduled = false
      if (!this.#isClosed) this.#look()
    })
  }

  #look(): void {
    const there = new Set<string>()
    for (const binding of this.#host.bindings()) {
      const topic = this.#host.topicOf(binding.vhost, binding.source)
      // It is being deleted, and its exchange with it.
      if (topic === undefined) continue
      const name = nameOf(topic, binding.cursor)
      there.add(name)
      let copying = this.#copying.get(name)
      if (copying === undefined) this.#copying.set(name, (copying = { cursors: [] }))
      while (copying.cursors.length < topic.partitions) if (!this.#begin(copying, binding, topic)) break
    }
    for (const [name, { cursors }] of this.#copying) {
      if (there.has(name)) continue
      this.#copying.delete(name)
      for (const cursor of cursors) cursor.stop()
    }
  }

  /** The cursor of the next partition. False: it is not there yet. */
  #begin(copying: Copying, binding: Binding, topic: Topic): boolean {
    const { partitions, queues } = this.#host
    const index = copying.cursors.length
    const partition = partitions.of(topic, index)
    const source = queues.findStream(topic.vhost, topic.name)?.lanes[index]
    if (partition === undefined || source === undefined) return false
    const known = this.#starts.get(nameOf(topic, binding.cursor))?.[index] ?? 0
    const start = typeof known === 'number' ? known : known.floor
    const cursor = new Cursor(this.#tools, {
      binding,
      index,
      partition,
      source,
      start,
      isVolatile: !binding.isDurable,
      closed: () => this.closed(source.queue.topic),
    })
    copying.cursors.push(cursor)
    cursor.wake()
    return true
  }

  /** A ledger over the topic's logs closed more, or is gone. Every copy comes by: passed on now and then. */
  closed(topic: Topic): void {
    if (this.#isClosed || !topic.policy.dropsConsumed) return
    this.#closed.set(topic.id, topic)
    this.#timer ??= this.#host.world.clock.after(closedToldMs, () => {
      this.#timer = undefined
      for (const one of this.#closed.values()) this.#host.closed(one)
      this.#closed.clear()
    })
  }

  /** A binding is gone, and with its ledgers nothing may be written any more: not even in this turn. */
  stop(topic: Topic, number: number): void {
    const name = nameOf(topic, number)
    const copying = this.#copying.get(name)
    this.#copying.delete(name)
    for (const cursor of copying?.cursors ?? []) cursor.stop()
    // If it comes back after all.
    if (copying !== undefined && this.#starts.has(name)) this.#starts.set(name, copying.cursors)
    this.changed()
  }

  /** It does not come back. */
  ended(topic: Topic, number: number): void {
    this.#starts.delete(nameOf(topic, number))
  }

  /** What is being copied is copied; nothing else is. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    const all = [...this.#copying.values()].flatMap(({ cursors }) => cursors)
    for (const cursor of all) cursor.stop()
    await Promise.all(all.map((cursor) => cursor.settled()))
  }
}

const nameOf = (topic: Topic, number: number): string => `${topic.id} ${number}`
