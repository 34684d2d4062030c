// How a consumed record is written: its value, a format string as kcat has it, or a line of JSON.
// Promises: values are written byte for byte unless JSON is asked for, which writes what is no text as base64.
// Does not know: where records come from.

import { printInstant } from '../server/node-time.ts'
import type { FetchedRecord } from './fetcher.ts'
import { usage } from './flags.ts'

export type RecordFormat = (record: FetchedRecord) => Uint8Array

const newline = Buffer.from('\n')
const nothing = Buffer.alloc(0)

export const valueFormat: RecordFormat = ({ value }) => Buffer.concat([value ?? nothing, newline])

export const jsonFormat: RecordFormat = ({ topic, partition, offset, timestampMs, key, value, headers }) =>
  Buffer.from(
    JSON.stringify({
      topic,
      partition,
      offset,
      timestamp: printInstant(timestampMs),
      key: jsonBytes(key),
      value: jsonBytes(value),
      headers: headers.map((header) => ({ name: header.name, value: jsonBytes(header.value) })),
    }) + '\n',
  )

/** Text where the bytes are UTF-8, else an object that says so: nothing is lost. */
function jsonBytes(bytes: Buffer | null): string | { readonly base64: string } | null {
  if (bytes === null) return null
  try {
    return utf8.decode(bytes)
  } catch {
    return { base64: bytes.toString('base64') }
  }
}
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

type Piece = (record: FetchedRecord) => Uint8Array

const pieces: Readonly<Record<string, Piece>> = {
  t: ({ topic }) => Buffer.from(topic),
  p: ({ partition }) => Buffer.from(String(partition)),
  o: ({ offset }) => Buffer.from(String(offset)),
  k: ({ key }) => key ?? nothing,
  K: ({ key }) => Buffer.from(String(key?.length ?? -1)),
  s: ({ value }) => value ?? nothing,
  S: ({ value }) => Buffer.from(String(value?.length ?? -1)),
  T: ({ timestampMs }) => Buffer.from(String(timestampMs)),
  D: ({ timestampMs }) => Buffer.from(printInstant(timestampMs)),
  h: ({ headers }) =>
    Buffer.from(headers.map(({ name, value }) => `${name}=${value?.toString('utf8') ?? 'null'}`).join(',')),
  '%': () => Buffer.from('%'),
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '0': '\0', '\\': '\\' }

/** %t topic, %p partition, %o offset, %k key, %s value, %K %S their bytes, %T timestamp, %D the same as a date, %h headers. */
export function compileFormat(text: string): RecordFormat {
  const parts: Piece[] = []
  let literal = ''
  const flush = (): void => {
    if (literal === '') return
    const bytes = Buffer.from(literal)
    parts.push(() => bytes)
    literal = ''
  }
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    const next = text[at + 1]
    if (char === '%') {
      const piece = next === undefined ? undefined : pieces[next]
      if (piece === undefined) {
        throw usage(
          `--format: %${next ?? ''} is not known; there are ${Object.keys(pieces)
            .map((name) => `%${name}`)
            .join(' ')}`,
        )
      }
      flush()
      parts.push(piece)
      at++
    } else if (char === '\\' && next !== undefined && escapes[next] !== undefined) {
      literal += escapes[next]
      at++
    } else literal += char
  }
  flush()
  return (record) => Buffer.concat(parts.map((part) => part(record)))
}
