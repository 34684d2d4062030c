// One consumer of a stream: where it stands, what it wants to see, and what is written on what it is given.
// Promises: every message from its beginning on that its filter lets through, in order; nothing is taken from the log.
// Does not know: other consumers of the stream, acknowledgements beyond the credit they give back.

import { findField, type FieldTable } from '../../../base/fields.ts'
import { readProperties } from '../../../base/properties.ts'
import type { Log } from '../../../log/store.ts'
import { blankMessage } from '../messages/message.ts'
import { withPlace } from '../messages/message-place.ts'
import type { LanePart, QueueConsumer, StoredMessage } from '../parts.ts'
import type { Reading } from '../messages/reading.ts'
import type { StreamStart } from './stream-start.ts'

/** Which values of x-stream-filter-value are wanted; undefined: all messages are. */
interface StreamFilter {
  readonly values: ReadonlySet<string>
  readonly matchesUnfiltered: boolean
}

const filterValueHeader = 'x-stream-filter-value'

function filterOf(args: FieldTable): StreamFilter | undefined {
  const said = findField(args, 'x-stream-filter')
  if (said === undefined) return undefined
  const all = said.type === 'array' ? said.value : [said]
  const values = new Set<string>()
  for (const one of all) if (one.type === 'text') values.add(one.value.toString('utf8'))
  // As RabbitMQ has it: what is no text filters nothing.
  if (values.size === 0) return undefined
  const unfiltered = findField(args, 'x-stream-match-unfiltered')
  return { values, matchesUnfiltered: unfiltered?.type === 'bool' && unfiltered.value }
}

export class StreamReader {
  readonly consumer: QueueConsumer
  /** Told with each message; below 0: there is one, and everybody knows it. */
  readonly #partition: number
  readonly #log: Log
  readonly #reading: Reading
  readonly #filter: StreamFilter | undefined
  readonly #message: StoredMessage
  readonly #resume: () => void
  readonly #failed: (error: unknown) => void
  /** undefined: still being looked for. */
  #next: number | undefined
  #isWaiting = false
  #isClosed = false

  constructor(
    consumer: QueueConsumer,
    lane: LanePart,
    partition: number,
    log: Log,
    reading: Reading,
    resume: () => void,
    failed: (error: unknown) => void,
  ) {
    this.consumer = consumer
    this.#partition = partition
    this.#log = log
    this.#reading = reading
    this.#filter = filterOf(consumer.arguments)
    this.#resume = resume
    this.#failed = failed
    this.#message = blankMessage(lane)
  }

  begin(start: StreamStart): void {
    const log = this.#log
    switch (start.kind) {
      case 'first':
        this.#next = log.start
        return
      case 'next':
        this.#next = log.committed
        return
      case 'offset':
        this.#next = Math.max(start.offset, log.start)
        return
      case 'last':
        return this.#wait(this.#findLast())
      case 'time': {
        const end = log.committed
        return this.#wait(
          log.findTime(start.timeMs).then((found) => {
            this.#next = found ?? end
          }),
        )
      }
    }
  }

  /** The batch that was stored last, as RabbitMQ begins with the last chunk. */
  async #findLast(): Promise<void> {
    const last = this.#log.committed - 1
    this.#next = Math.max(last + 1, this.#log.start)
    if (last < this.#log.start) return
    for (;;) {
      const missing = this.#reading.seek(last)
      if (missing === undefined) this.#next = this.#reading.batchBase
      if (!(missing instanceof Promise)) return
      await missing
      if (this.#isClosed) return
    }
  }

  #wait(done: Promise<void>): void {
    this.#isWaiting = true
    done.then(
      () => this.goOn(),
      (error: unknown) => {
        if (!this.#isClosed) this.#failed(error)
      },
    )
  }

  /** Once what it waited for is there. */
  goOn(): void {
    this.#isWaiting = false
    if (!this.#isClosed) this.#resume()
  }

  /** Gives out or passes over at most so many. True: more could be given out now. */
  pump(messagesMax: number): boolean {
    if (this.#isWaiting || this.#isClosed || this.#next === undefined) return false
    for (let count = 0; count < messagesMax; count++) {
      if (!this.consumer.canTake) return false
      // What was dropped is not given out, though it may still be at hand.
      const offset: number = Math.max(this.#next, this.#log.start)
      if (offset >= this.#log.committed) {
        this.#reading.release()
        return false
      }
      const missing = this.#reading.seek(offset)
      if (missing instanceof Promise) {
        this.#wait(missing)
        return false
      }
      if (missing !== undefined) {
        this.#next = Math.max(this.#reading.missingBelow, offset + 1)
        continue
      }
      this.#next = offset + 1
      this.#give(offset)
      this.#reading.passed(offset)
    }
    return true
  }

  #give(offset: number): void {
    const message = this.#message
    this.#reading.fill(offset, message)
    if (this.#filter !== undefined && !passes(this.#filter, message.properties)) return
    message.offset = offset
    message.properties = withPlace(message.properties, this.#partition, offset)
    this.consumer.deliver(message)
  }

  close(): void {
    this.#isClosed = true
    this.#reading.close()
  }
}

function passes(filter: StreamFilter, properties: Buffer): boolean {
  const { headers = [] } = readProperties(properties)
  const value = findField(headers, filterValueHeader)
  if (value === undefined) return filter.matchesUnfiltered
  return value.type === 'text' && filter.values.has(value.value.toString('utf8'))
}
