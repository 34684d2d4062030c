// AMQP's tables against all that real clients and a real RabbitMQ said to each other.
// Promises: each method, header and property list decodes and encodes to the same bytes again; each message is written
//   as it was sent, by the fast paths too.
// Does not know: what a broker would answer.

import { describe, expect, test } from 'vitest'
import { parseTable, tableBytes } from '../../src/base/field-codec.ts'
import { readProperties, withHeaders, withProperties, writeProperties } from '../../src/base/properties.ts'
import { PropertyScan } from '../../src/base/property-scan.ts'
import { ContentHeaderView, keyPublish, methodKeyAt, PublishView } from '../../src/wire/amqp/content.ts'
import { FrameReader, openingOf, protocolHeader } from '../../src/wire/amqp/frame.ts'
import { FrameWriter } from '../../src/wire/amqp/frame-writer.ts'
import { decodeMethod, encodeMethod, methodNamed, payloadMethod } from '../../src/wire/amqp/methods.ts'
import type { MethodCall } from '../../src/wire/amqp/methods.ts'
import { readRecordings } from './amqp/recording.ts'
import type { Recording, Said } from './amqp/recording.ts'

const recordings = readRecordings()

const isHeader = ({ bytes }: Said): boolean => bytes.equals(protocolHeader)
const framesOf = ({ said }: Recording): Said[] => said.filter((one) => !isHeader(one))
const payloadOf = ({ bytes }: Said): Buffer => bytes.subarray(7, bytes.length - 1)
const methodsOf = (recording: Recording): Buffer[] =>
  framesOf(recording)
    .filter(({ bytes }) => bytes[0] === 1)
    .map(payloadOf)

function callOf(payload: Buffer): MethodCall {
  const name = payloadMethod(payload)
  if (name === undefined) throw new Error(`no table for ${payload.toString('hex', 0, 4)}`)
  return decodeMethod(name, payload)
}

interface Message {
  readonly by: Said['by']
  readonly channel: number
  readonly call: MethodCall
  readonly properties: Buffer
  readonly body: Buffer
  /** The frames as they were sent. */
  readonly bytes: Buffer
}

/** Methods that carry content, with the frames that follow them on their channel. */
function messagesOf(recording: Recording): Message[] {
  const messages: Message[] = []
  const frames = framesOf(recording)
  for (const [index, first] of frames.entries()) {
    if (first.bytes[0] !== 1) continue
    const call = callOf(payloadOf(first))
    if (!methodNamed(call.name).hasContent) continue
    const channel = first.bytes.readUInt16BE(1)
    const same = (one: Said): boolean =>
      one.by === first.by && one.connection === first.connection && one.bytes.readUInt16BE(1) === channel
    const rest = frames.slice(index + 1).filter(same)
    const view = new ContentHeaderView()
    view.decode(rest[0].bytes, 7, rest[0].bytes.length - 1)
    const parts = [rest[0]]
    let bodyBytes = 0
    while (bodyBytes < view.bodyBytes) {
      parts.push(rest[parts.length])
      bodyBytes += payloadOf(parts[parts.length - 1]).length
    }
    messages.push({
      by: first.by,
      channel,
      call,
      properties: rest[0].bytes.subarray(view.propertiesStart, rest[0].bytes.length - 1),
      body: Buffer.concat(parts.slice(1).map(payloadOf)),
      bytes: Buffer.concat([first, ...parts].map(({ bytes }) => bytes)),
    })
  }
  return messages
}

test('every client is there, with all that matters said', () => {
  expect(recordings.map(({ client }) => client.replace(/\d.*/, 'N'))).toEqual(['amqplib N', 'pika N'])
  for (const recording of recordings) {
    expect(recording.broker).toMatch(/^RabbitMQ \d+\.\d+\.\d+$/)
    const said = new Set(methodsOf(recording).map((payload) => callOf(payload).name))
    for (const name of ['basicPublish', 'basicDeliver', 'basicGetOk', 'basicGetEmpty', 'basicReturn', 'basicAck']) {
      expect([...said]).toContain(name)
    }
    for (const name of ['channelClose', 'basicNack', 'basicReject', 'exchangeUnbindOk', 'confirmSelectOk']) {
      expect([...said]).toContain(name)
    }
  }
})

describe.each(recordings)('$client and $broker', (recording) => {
  test('a client begins with our protocol header', () => {
    const first = recording.said.filter(({ by }) => by === 'client')[0]
    expect(openingOf(first.bytes)).toBe('amqp-0-9-1')
  })

  test('frames that come byte by byte are the same frames', () => {
    for (const by of ['client', 'broker'] as const) {
      const frames = framesOf(recording).filter((one) => one.by === by)
      const reader = new FrameReader(131_072)
      const seen: Buffer[] = []
      for (const byte of Buffer.concat(frames.map(({ bytes }) => bytes))) {
        reader.push(Buffer.of(byte))
        while (reader.next()) seen.push(Buffer.from(reader.payload))
      }
      expect(seen).toEqual(frames.map(payloadOf))
    }
  })

  test('each method, there and back', () => {
    for (const payload of methodsOf(recording)) {
      const call = callOf(payload)
      expect(encodeMethod(call.name, call.arguments as never).toString('hex'), call.name).toBe(payload.toString('hex'))
    }
  })

  test('each list of properties, there and back, scanned and changed', () => {
    const scan = new PropertyScan()
    const seen = new Set<string>()
    for (const { properties } of messagesOf(recording)) {
      const values = readProperties(properties)
      for (const name of Object.keys(values)) seen.add(name)
      expect(writeProperties(values)).toEqual(properties)
      scan.scan(properties)
      expect(scan.headers()).toEqual(values.headers)
      expect(scan.expiration()).toEqual(values.expiration)
      if (scan.headersAt >= 0) {
        const table = properties.subarray(scan.headersAt, scan.headersEnd)
        expect(tableBytes(parseTable(table))).toEqual(table)
      }
      expect(withHeaders(properties, values.headers)).toEqual(properties)
      expect(withProperties(withProperties(properties, { expiration: undefined }), values)).toEqual(properties)
    }
    expect(seen.size).toBeGreaterThanOrEqual(13)
  })

  test('each message is written as it was sent', () => {
    const writer = new FrameWriter(131_072)
    const view = new PublishView()
    for (const { channel, call, properties, body, bytes } of messagesOf(recording)) {
      const named = call.arguments as { readonly exchange: string; readonly routingKey: string }
      const exchange = Buffer.from(named.exchange)
      const key = Buffer.from(named.routingKey)
      if (call.name === 'basicPublish') {
        expect(methodKeyAt(bytes, 7, bytes.length)).toBe(keyPublish)
        view.decode(bytes, 7, 7 + bytes.readUInt32BE(3))
        expect(view).toMatchObject({ exchange: named.exchange, routingKey: named.routingKey })
        expect(view.mandatory).toBe(call.arguments.mandatory)
        writer.publish(channel, call.arguments, properties, [body], body.length)
      } else if (call.name === 'basicReturn') {
        writer.returned(channel, call.arguments, properties, [body], body.length)
      } else if (call.name === 'basicGetOk') {
        const { deliveryTag, redelivered, messageCount } = call.arguments
        writer.getOk(channel, deliveryTag, redelivered, exchange, key, messageCount, properties, body)
      } else if (call.name === 'basicDeliver') {
        const { consumerTag, deliveryTag, redelivered } = call.arguments
        writer.deliver(channel, consumerTag, deliveryTag, redelivered, exchange, key, properties, body)
      }
      expect(Buffer.concat(writer.take()).toString('hex'), call.name).toBe(bytes.toString('hex'))
    }
  })
})
