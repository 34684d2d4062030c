// Where reading a stream begins: what the argument x-stream-offset says, of consumers and of bindings.
// Promises: refused in RabbitMQ's words.
// Does not know: logs; which offset it comes to.

import { fieldNumber, fieldTypeName, findField, type Field, type FieldTable } from '../../../base/fields.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { RewindTo } from '../../queue-door.ts'
import { ageMsOf } from '../desk/argument-values.ts'
import type { BindingFacts } from '../facts.ts'

export const startArgument = 'x-stream-offset'

/** Where reading begins. */
export type StreamStart = RewindTo | { readonly kind: 'last' }

/** What basic.consume's arguments say; refused in RabbitMQ's words. */
export function streamStartOf(args: FieldTable, queue: string, vhost: string, nowMs: number): StreamStart | Refusal {
  const said = findField(args, startArgument)
  if (said === undefined) return { kind: 'next' }
  const start = startSaidBy(said, nowMs)
  if (start !== undefined) return start
  const term =
    said.type === 'text' ? erlangText(said.value.toString('utf8')) : 'value' in said ? String(said.value) : ''
  const why = `{invalid_stream_offset_arg,{${fieldTypeName(said)},${term}}}`
  return refuse('invalidArgument', `invalid arg 'x-stream-offset' for queue '${queue}' in vhost '${vhost}': ${why}`)
}

/** What a binding's arguments say, once judged: what does not say is from now on. */
export function bindingStartOf(binding: BindingFacts, nowMs: number): StreamStart {
  const said = findField(binding.arguments, startArgument)
  return (said === undefined ? undefined : startSaidBy(said, nowMs)) ?? { kind: 'next' }
}

const erlangText = (text: string): string => (text === '' ? '<<>>' : `<<"${text}">>`)

/** undefined: it says no beginning. */
export function startSaidBy(said: Field, nowMs: number): StreamStart | undefined {
  switch (said.type) {
    case 'text': {
      const text = said.value.toString('utf8')
      if (text === 'first' || text === 'last' || text === 'next') return { kind: text }
      const ageMs = ageMsOf(text)
      return ageMs === undefined ? undefined : { kind: 'time', timeMs: nowMs - ageMs }
    }
    case 'timestamp':
      return { kind: 'time', timeMs: Number(said.value) * 1000 }
    default: {
      const offset = fieldNumber(said)
      return offset === undefined ? undefined : { kind: 'offset', offset }
    }
  }
}
