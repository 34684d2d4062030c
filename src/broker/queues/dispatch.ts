// Giving out one queue's messages: who is next, which message, and how it gets there.
// Promises: the order of the ledger; consumers of one priority take turns, higher ones come first while they can take;
// one who cannot take holds up nobody; a message is acquired (or closed) before anyone sees it.
// Does not know: acknowledgements, limits, why a message may not be given out (rules), channels.

import type { World } from '../../base/world.ts'
import { refuse, type Refusal } from '../errors.ts'
import { blankMessage } from './message.ts'
import type { LedgerPart, QueueConsumer, QueuePart, StoredMessage } from './parts.ts'
import type { Missing, Reading } from './reading.ts'

/** What may keep a message from being given out, and what is written on those that are. */
export interface DeliveryRules {
  /** So many wait for their next try that nothing more is given out. */
  readonly isFull: boolean
  /** A few messages are about to be given out, in this turn. */
  begin(): void
  /** True: the message the reading stands at is not given out any more; the rule has dealt with it. */
  drops(offset: number, isGot: boolean): boolean
  /** The message is about to go out: to a consumer, or to one who asked; kept: it is to be settled. */
  taken(message: StoredMessage, consumer: QueueConsumer | undefined, isKept: boolean): void
  /** The batch that holds the offset cannot be read. True: it leaves by this offset for those who may look into it. */
  lies(offset: number): boolean
}

interface Rank {
  readonly priority: number
  readonly consumers: QueueConsumer[]
  /** Who of them is asked first. */
  turn: number
}

const retryMs = 1000

export class Dispatch {
  readonly #world: World
  readonly #queue: QueuePart
  readonly #ledger: LedgerPart
  readonly #reading: Reading
  readonly #rules: DeliveryRules
  readonly #resume: () => void
  readonly #message: StoredMessage
  /** A read is under way, or was not possible a moment ago. */
  isWaiting = false
  #isClosed = false

  constructor(
    world: World,
    queue: QueuePart,
    ledger: LedgerPart,
    reading: Reading,
    rules: DeliveryRules,
    resume: () => void,
  ) {
    this.#world = world
    this.#queue = queue
    this.#ledger = ledger
    this.#reading = reading
    this.#rules = rules
    this.#resume = resume
    this.#message = blankMessage(queue)
  }

  /** Gives out at most so many. True: more could be given out now. */
  pump(consumers: Consumers, messagesMax: number): boolean {
    if (this.isWaiting || this.#isClosed || this.#rules.isFull) return false
    const ledger = this.#ledger
    const message = this.#message
    this.#rules.begin()
    for (let count = 0; count < messagesMax; count++) {
      const consumer = consumers.next()
      if (consumer === undefined) return false
      const offset = this.#find()
      if (offset === undefined) return false
      this.#reading.fill(offset, message)
      message.offset = offset
      if (consumer.noAck) {
        message.redelivered = ledger.wasHandedOut(offset)
        ledger.close(offset, 'acked')
      } else message.redelivered = ledger.acquire(offset)
      this.#rules.taken(message, consumer, !consumer.noAck)
      consumers.given()
      consumer.deliver(message)
      this.#reading.passed(offset)
    }
    return true
  }

  /** The next offset to be given out, its message sought; undefined: none now. */
  #find(): number | undefined {
    for (;;) {
      const offset = this.#ledger.peek()
      if (offset === undefined) {
        this.#reading.release()
        return undefined
      }
      const missing = this.#reading.seek(offset)
      if (missing === undefined) {
        if (this.#rules.drops(offset, false)) continue
        return offset
      }
      if (typeof missing !== 'string') {
        this.#wait(missing)
        return undefined
      }
      this.#closeMissing(offset, missing)
    }
  }

  #wait(reading: Promise<void>): void {
    this.isWaiting = true
    reading.then(
      () => this.#goOn(),
      (error: unknown) => {
        if (this.#isClosed) return
        this.#world.trace.error('queue not readable, trying again', {
          queue: this.#queue.topic.name,
          why: String(error),
        })
        this.#world.clock.after(retryMs, () => this.#goOn())
      },
    )
  }

  #goOn(): void {
    this.isWaiting = false
    if (!this.#isClosed) this.#resume()
  }

  /** Nothing will ever be read there. */
  #closeMissing(offset: number, why: Missing): void {
    const below = this.#reading.missingBelow
    const from = why === 'malformed' && this.#rules.lies(offset) ? offset + 1 : offset
    // A batch that lies may claim millions.
    this.#ledger.closeReady(below, why, from)
  }

  /** The next message for one who asks; its slices are his. */
  async take(noAck: boolean): Promise<StoredMessage | undefined | Refusal> {
    for (;;) {
      if (this.#isClosed || this.#rules.isFull) return undefined
      const offset = this.#ledger.peek()
      if (offset === undefined) return undefined
      const missing = this.#reading.seek(offset)
      if (typeof missing === 'string') {
        this.#closeMissing(offset, missing)
        continue
      }
      if (missing !== undefined) {
        const failure = await missing.then(
          () => undefined,
          (error: unknown) => String(error),
        )
        if (failure === undefined) continue
        return refuse('storageFailed', `the queue's log could not be read: ${failure}`)
      }
      this.#rules.begin()
      if (this.#rules.drops(offset, true)) continue
      return this.#taken(offset, noAck)
    }
  }

  #taken(offset: number, noAck: boolean): StoredMessage {
    const message = this.#message
    this.#reading.fill(offset, message)
    message.offset = offset
    if (noAck) {
      message.redelivered = this.#ledger.wasHandedOut(offset)
      this.#ledger.close(offset, 'acked')
    } else message.redelivered = this.#ledger.acquire(offset)
    this.#rules.taken(message, undefined, !noAck)
    const kept = {
      ...message,
      exchange: Buffer.from(message.exchange),
      routingKey: Buffer.from(message.routingKey),
      properties: Buffer.from(message.properties),
      body: Buffer.from(message.body),
    }
    this.#reading.passed(offset)
    return kept
  }

  /** Shows messages by offset, whatever became of them. */
  async readEach(offsets: readonly number[], see: (message: StoredMessage) => void, raw = false): Promise<boolean> {
    for (const offset of offsets) {
      let missing = this.#reading.seek(offset)
      while (missing instanceof Promise) {
        await missing
        if (this.#isClosed) return false
        missing = this.#reading.seek(offset)
      }
      if (missing !== undefined && !(raw && missing === 'malformed')) continue
      const message = this.#message
      if (missing === undefined) this.#reading.fill(offset, message)
      else this.#reading.fillRaw(offset, message)
      message.offset = offset
      message.redelivered = true
      see(message)
    }
    return true
  }

  close(): void {
    this.#isClosed = true
  }
}

// --- consumers ------------------------------------------------------------------------------------------------------

/** Who takes from a queue, in the order they came and by priority. */
export class Consumers {
  /** Only one is given messages: the first of the highest priority there was when the last one went. */
  isSingleActive = false
  readonly #ranks: Rank[] = []
  #count = 0
  #active: QueueConsumer | undefined
  #asked: Rank | undefined

  get count(): number {
    return this.#count
  }

  get isExclusive(): boolean {
    return this.#count === 1 && this.#ranks[0].consumers[0].isExclusive
  }

  add(consumer: QueueConsumer): void {
    let rank = this.#ranks.find((one) => one.priority === consumer.priority)
    if (rank === undefined) {
      rank = { priority: consumer.priority, consumers: [], turn: 0 }
      this.#ranks.push(rank)
      this.#ranks.sort((one, other) => other.priority - one.priority)
    }
    rank.consumers.push(consumer)
    this.#count++
    this.#active ??= consumer
  }

  /** False: it was not there. */
  remove(consumer: QueueConsumer): boolean {
    const rank = this.#ranks.find((one) => one.consumers.includes(consumer))
    if (rank === undefined) return false
    rank.consumers.splice(rank.consumers.indexOf(consumer), 1)
    rank.turn = 0
    if (rank.consumers.length === 0) this.#ranks.splice(this.#ranks.indexOf(rank), 1)
    this.#count--
    if (this.#active === consumer) this.#active = this.#ranks.at(0)?.consumers[0]
    return true
  }

  /** Who is given the next message; undefined: nobody can take one. */
  next(): QueueConsumer | undefined {
    if (this.isSingleActive) return this.#active?.canTake === true ? this.#active : undefined
    for (const rank of this.#ranks) {
      const { consumers } = rank
      for (let tried = 0, index = rank.turn; tried < consumers.length; tried++) {
        if (consumers[index].canTake) {
          rank.turn = index
          this.#asked = rank
          return consumers[index]
        }
        index = index + 1 === consumers.length ? 0 : index + 1
      }
    }
    return undefined
  }

  /** Whom next() named was given one: the one behind is first the next time. */
  given(): void {
    const rank = this.#asked
    if (rank !== undefined) rank.turn = rank.turn + 1 >= rank.consumers.length ? 0 : rank.turn + 1
  }

  get canAnyTake(): boolean {
    if (this.isSingleActive) return this.#active?.canTake === true
    for (const { consumers } of this.#ranks) for (const consumer of consumers) if (consumer.canTake) return true
    return false
  }

  all(): QueueConsumer[] {
    return this.#ranks.flatMap((rank) => rank.consumers)
  }
}
