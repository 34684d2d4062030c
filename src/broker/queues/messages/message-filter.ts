// Which messages of a log a queue takes: by a pattern over the routing key and by headers.
// Promises: the languages of topic and headers exchanges; both given, both have to match.
// Does not know: queues, what becomes of a message that is not taken.

import { fieldText, findField, type FieldTable } from '../../../base/fields.ts'
import { readProperties } from '../../../base/properties.ts'
import { Patterns } from '../exchanges/pattern.ts'
import { headerCondition, meets, type HeaderCondition } from '../exchanges/routing-headers.ts'
import type { StoredMessage } from '../parts.ts'

/** Routing keys whose answer is remembered: few keys come often. */
const rememberedMax = 1024

export class MessageFilter {
  readonly #patterns: Patterns<true> | undefined
  readonly #headers: HeaderCondition | undefined
  readonly #answers = new Map<string, boolean>()

  constructor(keyPattern: string | undefined, headers: FieldTable | undefined) {
    if (keyPattern !== undefined) {
      this.#patterns = new Patterns()
      this.#patterns.add(keyPattern, true)
    }
    if (headers !== undefined) this.#headers = headerCondition(headers)
  }

  takes({ routingKey, properties }: Pick<StoredMessage, 'routingKey' | 'properties'>): boolean {
    if (this.#patterns !== undefined && !this.#takesKey(this.#patterns, routingKey.toString('utf8'))) return false
    return this.#headers === undefined || meets(readProperties(properties).headers ?? [], this.#headers)
  }

  #takesKey(patterns: Patterns<true>, key: string): boolean {
    let answer = this.#answers.get(key)
    if (answer !== undefined) return answer
    answer = false
    patterns.match(key, () => {
      answer = true
    })
    if (this.#answers.size >= rememberedMax) this.#answers.clear()
    this.#answers.set(key, answer)
    return answer
  }
}

const keyArgument = 'x-filter-key'
const headersArgument = 'x-filter-headers'

/** What a declaration asks for; undefined: everything. */
export function filterOf(args: FieldTable): MessageFilter | undefined {
  const key = fieldText(findField(args, keyArgument))
  const headers = findField(args, headersArgument)
  const table = headers?.type === 'table' ? headers.value : undefined
  return key === undefined && table === undefined ? undefined : new MessageFilter(key, table)
}
