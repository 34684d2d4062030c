// Where reading a stream begins: what the argument x-stream-offset says, of consumers and of bindings.
// Promises: refused in RabbitMQ's words.
// Does not know: logs; which offset it comes to.

import { fieldTypeName, findField, type Field, type FieldTable } from '../../../base/fields.ts'
import { refuse, type Refusal } from '../../errors.ts'
import { ageMsOf } from '../desk/argument-values.ts'

export const startArgument = 'x-stream-offset'

/** Where reading begins. */
export type StreamStart =
  | { readonly at: 'first' | 'last' | 'next' }
  | { readonly at: 'offset'; readonly offset: number }
  | { readonly at: 'time'; readonly timestampMs: number }

/** What basic.consume's arguments say; refused in RabbitMQ's words. */
export function streamStartOf(args: FieldTable, queue: string, vhost: string, nowMs: number): StreamStart | Refusal {
  const said = findField(args, 'x-stream-offset')
  if (said === undefined) return { at: 'next' }
  const start = startSaidBy(said, nowMs)
  if (start !== undefined) return start
  const term =
    said.type === 'text' ? erlangText(said.value.toString('utf8')) : 'value' in said ? String(said.value) : ''
  const why = `{invalid_stream_offset_arg,{${fieldTypeName(said)},${term}}}`
  return refuse('invalidArgument', `invalid arg 'x-stream-offset' for queue '${queue}' in vhost '${vhost}': ${why}`)
}

const erlangText = (text: string): string => (text === '' ? '<<>>' : `<<"${text}">>`)

/** undefined: it says no beginning. */
export function startSaidBy(said: Field, nowMs: number): StreamStart | undefined {
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
