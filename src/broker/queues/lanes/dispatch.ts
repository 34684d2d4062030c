// Giving out one lane's messages: which is next, and how it gets to who is given it.
// Promises: the order of the ledger; a message is acquired (or closed) before anyone sees it.
// Does not know: other lanes, who is next (consumers.ts), acknowledgements, limits, why a message may not be given out (rules), channels.

import type { World } from '../../../base/world.ts'
import { refuse, type Refusal } from '../../errors.ts'
import { withEpoch } from './consumer-epoch.ts'
import type { Consumers } from './consumers.ts'
import { blankMessage } from '../messages/message.ts'
import type { LanePart, LedgerPart, QueueConsumer, StoredMessage } from '../parts.ts'
import type { Missing, Reading } from '../messages/reading.ts'

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

/**
 * What a pump came to: `more` could be given out now; `nobody` takes more; the lane is `empty`, or is `waiting` for what
 * has to be read.
 */
export type Pumped = 'more' | 'nobody' | 'empty' | 'waiting'

const retryMs = 1000
/** Messages that one who asks is not given, before others have their turn. */
const droppedPerTurn = 512

export class Dispatch {
  readonly #world: World
  readonly #lane: LanePart
  readonly #ledger: LedgerPart
  readonly #reading: Reading
  readonly #rules: DeliveryRules
  readonly #resume: () => void
  readonly #message: StoredMessage
  /** A read is under way, or was not possible a moment ago. */
  isWaiting = false
  /** The last read was not possible. */
  isFailing = false
  /** How many the last pump gave out or found to be for nobody. */
  given = 0
  #isClosed = false

  constructor(
    world: World,
    lane: LanePart,
    ledger: LedgerPart,
    reading: Reading,
    rules: DeliveryRules,
    resume: () => void,
  ) {
    this.#world = world
    this.#lane = lane
    this.#ledger = ledger
    this.#reading = reading
    this.#rules = rules
    this.#resume = resume
    this.#message = blankMessage(lane)
  }

  /** Gives out at most so many. */
  pump(consumers: Consumers, messagesMax: number): Pumped {
    this.given = 0
    if (this.isWaiting) return 'waiting'
    if (this.#isClosed || this.#rules.isFull) return 'empty'
    const ledger = this.#ledger
    const message = this.#message
    this.#rules.begin()
    while (this.given < messagesMax) {
      const consumer = consumers.next()
      if (consumer === undefined) return 'nobody'
      const offset = this.#find(messagesMax)
      if (offset === undefined) {
        if (this.given >= messagesMax) break
        return this.isWaiting ? 'waiting' : 'empty'
      }
      this.#reading.fill(offset, message)
      message.offset = offset
      if (consumer.noAck) {
        message.redelivered = ledger.wasHandedOut(offset)
        ledger.close(offset, 'acked')
      } else message.redelivered = ledger.acquire(offset)
      this.#rules.taken(message, consumer, !consumer.noAck)
      if (consumers.epoch !== undefined) message.properties = withEpoch(message.properties, consumers.epoch)
      consumers.given()
      consumer.deliver(message)
      this.given++
      this.#reading.passed(offset)
    }
    return 'more'
  }

  /** The next offset to be given out, its message sought; undefined: none now, or too many were for nobody. */
  #find(messagesMax: number): number | undefined {
    while (this.given < messagesMax) {
      const offset = this.#ledger.peek()
      if (offset === undefined) {
        this.#reading.release()
        return undefined
      }
      const missing = this.#reading.seek(offset)
      if (missing === undefined) {
        if (!this.#rules.drops(offset, false)) return offset
        this.given++
        this.#reading.passed(offset)
        continue
      }
      if (typeof missing !== 'string') {
        this.#wait(missing)
        return undefined
      }
      this.#closeMissing(offset, missing)
    }
    return undefined
  }

  #wait(reading: Promise<void>): void {
    this.isWaiting = true
    reading.then(
      () => {
        this.isFailing = false
        this.#goOn()
      },
      (error: unknown) => {
        if (this.#isClosed) return
        this.isFailing = true
        this.#world.trace.error('queue not readable, trying again', {
          queue: this.#lane.queue.topic.name,
          partition: this.#lane.partition,
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
    for (let dropped = 1; ; dropped++) {
      if (this.#isClosed || this.#rules.isFull) return undefined
      // Many may be for nobody.
      if (dropped % droppedPerTurn === 0) await new Promise<void>((resolve) => this.#world.clock.endOfTurn(resolve))
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
      if (this.#rules.drops(offset, true)) {
        this.#reading.passed(offset)
        continue
      }
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
