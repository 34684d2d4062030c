// Records of the topology: exchanges, bindings and policies as the machine log keeps them.
// Promises: what a record was made of is what it gives back; a record is the whole value of its key.
// Does not know: what is done with them.
//
// A key is a letter and texts, each behind its uint16 length: `e` vhost name; `b` vhost source destination routing key,
// kind of destination, arguments (a field table, sorted by name); `p` (policy) and `o` (operators') vhost name.

import { Reader, utf8Bytes, Writer } from '../../../base/bytes.ts'
import { parseTable, readTable, tableBytes } from '../../../base/field-codec.ts'
import { bool, bytes, float64, int64, list, message, string, versions } from '../../../base/schema.ts'
import type { MachineRecord } from '../../../log/machine.ts'
import { CorruptLog } from '../../../log/store.ts'
import type { PolicyCall, PolicyView } from '../../queue-door.ts'
import { readStored, writeStored } from '../../stored.ts'
import { sortedArguments } from './bindings.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'

const storedExchange = message(versions(0, 0), {
  type: string(),
  autoDelete: bool(),
  internal: bool(),
  arguments: bytes(),
})
/** A binding is its key; the value says that it is there, and by which ledgers it copies (0: it does not). */
const storedBinding = message(versions(0, 1), { cursor: int64({ since: 1 }) })
const storedPolicy = message(versions(0, 0), {
  pattern: string(),
  appliesTo: string(),
  priority: float64(),
  texts: list({ name: string(), value: string() }),
  numbers: list({ name: string(), value: float64() }),
  flags: list({ name: string(), value: bool() }),
})

const exchangeLetter = 'e'
const bindingLetter = 'b'
const policyLetters = { users: 'p', operators: 'o' } as const

function keyOf(letter: string, texts: readonly string[], more?: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  writer.uint8(letter.charCodeAt(0))
  for (const text of texts) {
    const length = utf8Bytes(text)
    writer.uint16(length)
    writer.utf8(text, length)
  }
  more?.(writer)
  return Buffer.concat(writer.finish())
}

const text = (reader: Reader): string => reader.utf8(reader.uint16())

export function exchangeRecord(facts: ExchangeFacts): MachineRecord {
  return {
    key: keyOf(exchangeLetter, [facts.vhost, facts.name]),
    value: writeStored(storedExchange, { ...facts, arguments: tableBytes(facts.arguments) }),
  }
}

export const exchangeGone = (facts: ExchangeFacts): MachineRecord => ({
  key: keyOf(exchangeLetter, [facts.vhost, facts.name]),
  value: null,
})

function bindingKey(facts: BindingFacts): Buffer {
  const { vhost, source, destination, routingKey } = facts
  return keyOf(bindingLetter, [vhost, source, destination, routingKey], (writer) => {
    writer.bool(facts.destinationKind === 'exchange')
    writer.append(tableBytes(sortedArguments(facts.arguments)))
  })
}

export const bindingRecord = (facts: BindingFacts, cursor: number): MachineRecord => ({
  key: bindingKey(facts),
  value: writeStored(storedBinding, { cursor }),
})

export const bindingGone = (facts: BindingFacts): MachineRecord => ({ key: bindingKey(facts), value: null })

const policyKey = (vhost: string, name: string, isOperators: boolean): Buffer =>
  keyOf(isOperators ? policyLetters.operators : policyLetters.users, [vhost, name])

export function policyRecord(vhost: string, policy: PolicyCall, isOperators: boolean): MachineRecord {
  const texts: { name: string; value: string }[] = []
  const numbers: { name: string; value: number }[] = []
  const flags: { name: string; value: boolean }[] = []
  for (const [name, value] of Object.entries(policy.definition)) {
    if (typeof value === 'string') texts.push({ name, value })
    else if (typeof value === 'number') numbers.push({ name, value })
    else flags.push({ name, value })
  }
  const { pattern, appliesTo, priority } = policy
  return {
    key: policyKey(vhost, policy.name, isOperators),
    value: writeStored(storedPolicy, { pattern, appliesTo, priority, texts, numbers, flags }),
  }
}

export const policyGone = (vhost: string, name: string, isOperators: boolean): MachineRecord => ({
  key: policyKey(vhost, name, isOperators),
  value: null,
})

/** What a record says; `isThere` false: that it is gone. */
export type TopologyRecord =
  | { readonly kind: 'exchange'; readonly vhost: string; readonly name: string; readonly facts?: ExchangeFacts }
  /** `cursor` undefined: it is gone. */
  | { readonly kind: 'binding'; readonly vhost: string; readonly facts: BindingFacts; readonly cursor?: number }
  | {
      readonly kind: 'policy'
      readonly vhost: string
      readonly name: string
      readonly isOperators: boolean
      readonly policy?: PolicyView
    }

export function readRecord(key: Buffer, value: Buffer | null): TopologyRecord {
  const reader = new Reader(key)
  const letter = String.fromCharCode(reader.uint8())
  const vhost = text(reader)
  const name = text(reader)
  switch (letter) {
    case exchangeLetter:
      return value === null
        ? { kind: 'exchange', vhost, name }
        : { kind: 'exchange', vhost, name, facts: readExchange(vhost, name, value) }
    case bindingLetter: {
      const facts = readBinding(vhost, name, reader)
      if (value === null) return { kind: 'binding', vhost, facts }
      return { kind: 'binding', vhost, facts, cursor: readStored(storedBinding, value).cursor }
    }
    case policyLetters.users:
    case policyLetters.operators: {
      const isOperators = letter === policyLetters.operators
      return value === null
        ? { kind: 'policy', vhost, name, isOperators }
        : { kind: 'policy', vhost, name, isOperators, policy: readPolicy(name, isOperators, value) }
    }
    default:
      throw new CorruptLog(`a record of the topology of a kind that this program does not know: ${letter}`)
  }
}

function readExchange(vhost: string, name: string, value: Buffer): ExchangeFacts {
  const { type, autoDelete, internal, arguments: args } = readStored(storedExchange, value)
  return { vhost, name, type, durable: true, autoDelete, internal, arguments: parseTable(args) }
}

function readBinding(vhost: string, source: string, reader: Reader): BindingFacts {
  const destination = text(reader)
  const routingKey = text(reader)
  const destinationKind = reader.bool() ? 'exchange' : 'queue'
  return { vhost, source, destination, destinationKind, routingKey, arguments: readTable(reader) }
}

function readPolicy(name: string, isOperators: boolean, value: Buffer): PolicyView {
  const stored = readStored(storedPolicy, value)
  const definition = Object.fromEntries(
    [...stored.texts, ...stored.numbers, ...stored.flags].map((one) => [one.name, one.value]),
  )
  const appliesTo = stored.appliesTo as PolicyCall['appliesTo']
  return { name, pattern: stored.pattern, appliesTo, priority: stored.priority, definition, isOperators }
}
