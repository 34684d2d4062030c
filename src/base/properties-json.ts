// Message properties as JSON, by the names of RabbitMQ's management API.
// Promises: what is printed and taken again says the same; a property of another type than its own is a DecodeError.
// Does not know: who prints them.

import { DecodeError } from './bytes.ts'
import { tableFromJson, tableToJson, type Json } from './field-json.ts'
import { readProperties, writeProperties, type Properties } from './properties.ts'

const texts = {
  content_type: 'contentType',
  content_encoding: 'contentEncoding',
  correlation_id: 'correlationId',
  reply_to: 'replyTo',
  expiration: 'expiration',
  message_id: 'messageId',
  type: 'type',
  user_id: 'userId',
  app_id: 'appId',
  cluster_id: 'clusterId',
} as const satisfies Readonly<Record<string, keyof Properties>>

const numbers = {
  delivery_mode: 'deliveryMode',
  priority: 'priority',
  timestamp: 'timestamp',
} as const satisfies Readonly<Record<string, keyof Properties>>

export function propertiesToJson(bytes: Buffer): Record<string, Json> {
  const properties = readProperties(bytes)
  const json: Record<string, Json> = {}
  for (const [name, key] of Object.entries(texts)) {
    const value = properties[key]
    if (value !== undefined) json[name] = value
  }
  for (const [name, key] of Object.entries(numbers)) {
    const value = properties[key]
    if (value !== undefined) json[name] = typeof value === 'bigint' ? String(value) : value
  }
  if (properties.headers !== undefined) json.headers = tableToJson(properties.headers)
  return json
}

export function propertiesFromJson(json: { readonly [name: string]: Json }): Buffer {
  const properties: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(json)) {
    if (value === null) continue
    if (name === 'headers') {
      if (typeof value !== 'object' || Array.isArray(value)) throw new DecodeError('headers must be a JSON object')
      properties.headers = tableFromJson(value as { readonly [name: string]: Json })
    } else if (Object.hasOwn(texts, name)) {
      if (typeof value !== 'string') throw new DecodeError(`${name} must be a string`)
      properties[texts[name as keyof typeof texts]] = value
    } else if (Object.hasOwn(numbers, name)) {
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
        throw new DecodeError(`${name} must be a whole number`)
      properties[numbers[name as keyof typeof numbers]] = value
    } else throw new DecodeError(`${name} is no property of a message`)
  }
  return writeProperties(properties as Properties)
}
