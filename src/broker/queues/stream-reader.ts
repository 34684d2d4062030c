// One consumer of a stream: where it stands, what it wants to see, and what is written on what it is given.
// Promises: every message from its beginning on that its filter lets through, in order; nothing is taken from the log.
// Does not know: other consumers of the stream, acknowledgements beyond the credit they give back.

import { fieldTypeName, findField, type Field, type FieldTable } from '../../base/fields.ts'
import { readProperties } from '../../base/properties.ts'
import type { Log } from '../../log/store.ts'
import { refuse, type Refusal } from '../errors.ts'
import { blankMessage } from './message.ts'
import { withPlace } from './message-place.ts'
import type { LanePart, QueueConsumer, StoredMessage } from './parts.ts'
import { ageMsOf } from './desk/argument-values.ts'
import type { Reading } from './reading.ts'

/** Where a consumer begins. */
export type StreamStart =
  | { readonly at: 'first' | 'last' | 'next' }
  | { readonly at: 'offset'; readonly offset: number }
  | { readonly at: 'time'; readonly timestampMs: number }

/** What basic.consume's arguments say; refused in RabbitMQ's words. */
export function streamStartOf(args: FieldTable, queue: string, vhost: string, nowMs: number): StreamStart | Refusal {
  const said = findField(args, 'x-stream-offset')
  if (said === undefined) return { at: 'next' }
  const start = startOf(said, nowMs)
  if (start !== undefined) return start
  const term =
    said.type === 'text' ? erlangText(said.value.toString('utf8')) : 'value' in said ? String(said.value) : ''
  const why = `{invalid_stream_offset_arg,{${fieldTypeName(said)},${term}}}`
  return refuse('invalidArgument', `invalid arg 'x-stream-offset' for queue '${queue}' in vhost '${vhost}': ${why}`)
}

const erlangText = (text: string): string => (text === '' ? '<<>>' : `<<"${text}">>`)

function startOf(said: Field, nowMs: number): StreamStart | undefined {
  switch (said.type) {
    case 'text': {
      const text = said.value.toString('utf8')
      if (text === 'first' || text === 'last' || text === 'next') return { at: text }
      const ageMs = ageMsOf(text)
      return ageMs === undefined ? undefined : { at: 'time', timestampMs: nowMs - ageMs }
    }
    case 'timestamp':
      return { at: 'time', timestampMs: Number(said.value) * 1000 }
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
      return { at: 'offset', offset: Number(said.value) }
    default:
      return undefined
  }
}

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
    switch (start.at) {
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
          log.findTime(start.timestampMs).then((found) => {
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
      const offset: number = this.#next
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
    this.#reading.release()
  }
}

function passes(filter: StreamFilter, properties: Buffer): boolean {
  const { headers = [] } = readProperties(properties)
  const value = findField(headers, filterValueHeader)
  if (value === undefined) return filter.matchesUnfiltered
  return value.type === 'text' && filter.values.has(value.value.toString('utf8'))
}
