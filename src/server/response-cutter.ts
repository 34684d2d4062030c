// Where the answers of a protocol begin and end in the bytes of one connection, and what they answer.
// Promises: Kafka's by the name of their request, AMQP's methods with the content that follows by their own; what is
// neither passes under no name.
// Does not know: what becomes of an answer.

import { apiByKey } from '../wire/kafka/api-table.ts'
import { methodKey, methods } from '../wire/amqp/methods.ts'
import type { ClientProtocol } from './surroundings.ts'

/** The two directions of one connection. */
export interface ResponseCutter {
  /** Bytes of the client, as they come. */
  asked(chunk: Buffer): void
  /** Calls `take` for each answer in `bytes`, which are whole answers as the protocols write them. */
  responses(bytes: Buffer, take: (name: string, response: Buffer) => void): void
}

export const cutterOf: Readonly<Record<ClientProtocol, () => ResponseCutter>> = {
  kafka: () => new KafkaCutter(),
  amqp: () => ({ asked: () => {}, responses: amqpResponses }),
}

/** Every name that an answer may have. */
export const responseNames: Readonly<Record<ClientProtocol, ReadonlySet<string>>> = {
  kafka: new Set([...apiByKey.values()].map(({ name }) => name)),
  amqp: new Set(Object.values(methods).map(({ title }) => title)),
}

// --- Kafka ------------------------------------------------------------------------------------------------------

/** Length, API key, version, correlation id. */
const requestHeadBytes = 12
/** Requests of one connection that are remembered until they are answered: records may be sent without an answer. */
const askedMax = 10_000

class KafkaCutter implements ResponseCutter {
  /** API keys by correlation id, oldest first; those before the one that is answered have no answer. */
  readonly #asked = new Map<number, number>()
  #head = Buffer.alloc(0)
  /** Bytes of the request under way that are still to come. */
  #left = 0

  asked(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at)
        this.#left -= skipped
        at += skipped
        continue
      }
      const taken = Math.min(requestHeadBytes - this.#head.length, chunk.length - at)
      this.#head = Buffer.concat([this.#head, chunk.subarray(at, at + taken)])
      at += taken
      if (this.#head.length < requestHeadBytes) return
      this.#remember(this.#head.readInt32BE(8), this.#head.readInt16BE(4))
      // A length that lies is the broker's to refuse.
      this.#left = Math.max(0, this.#head.readInt32BE(0) + 4 - requestHeadBytes)
      this.#head = Buffer.alloc(0)
    }
  }

  #remember(correlationId: number, key: number): void {
    // An id that comes again is the newest.
    this.#asked.delete(correlationId)
    this.#asked.set(correlationId, key)
    if (this.#asked.size <= askedMax) return
    for (const oldest of this.#asked.keys()) return void this.#asked.delete(oldest)
  }

  responses(bytes: Buffer, take: (name: string, response: Buffer) => void): void {
    for (let at = 0; at + 8 <= bytes.length;) {
      const end = at + 4 + bytes.readInt32BE(at)
      take(this.#answered(bytes.readInt32BE(at + 4)), bytes.subarray(at, end))
      at = end
    }
  }

  #answered(correlationId: number): string {
    const key = this.#asked.get(correlationId)
    if (key === undefined) return ''
    for (const id of this.#asked.keys()) {
      this.#asked.delete(id)
      if (id === correlationId) break
    }
    return apiByKey.get(key)?.name ?? ''
  }
}

// --- AMQP -------------------------------------------------------------------------------------------------------

const methodFrame = 1
const heartbeatFrame = 8
const frameHeadBytes = 7
const frameEnd = 0xce
const titles = new Map(Object.values(methods).map((one) => [methodKey(one.classId, one.methodId), one.title]))

/** A method and the content frames behind it are one answer; a heartbeat is one without a name. */
function amqpResponses(bytes: Buffer, take: (name: string, response: Buffer) => void): void {
  let from = 0
  let name = ''
  for (let at = 0; at < bytes.length;) {
    const end = frameEndAt(bytes, at)
    // Not frames: what a client of another version is told.
    if (end === undefined) return take('', bytes.subarray(from))
    const type = bytes[at]
    if (type === methodFrame || type === heartbeatFrame) {
      if (at > from) take(name, bytes.subarray(from, at))
      from = at
      const start = at + frameHeadBytes
      const key = type === methodFrame ? methodKey(bytes.readUInt16BE(start), bytes.readUInt16BE(start + 2)) : 0
      name = titles.get(key) ?? ''
    }
    at = end
  }
  if (from < bytes.length) take(name, bytes.subarray(from))
}

function frameEndAt(bytes: Buffer, at: number): number | undefined {
  if (at + frameHeadBytes > bytes.length) return undefined
  const end = at + frameHeadBytes + bytes.readUInt32BE(at + 3) + 1
  return end <= bytes.length && bytes[end - 1] === frameEnd ? end : undefined
}
