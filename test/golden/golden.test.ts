// The tables against bytes that real clients sent and a real Kafka answered.
// Promises: each fixture decodes, also when it comes byte by byte, and encodes to the same bytes again.
// Does not know: what a broker would answer.

import { describe, expect, test } from 'vitest'
import { apiByKey, type AnyApi } from '../../src/wire/kafka/api-table.ts'
import {
  decodeRequestBody,
  decodeRequestHead,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  FrameCutter,
} from '../../src/wire/kafka/frame.ts'
import { readFixtures } from './fixture.ts'

const fixtures = readFixtures()

function apiOf(request: Buffer): { readonly api: AnyApi; readonly version: number } {
  const { apiKey, apiVersion } = decodeRequestHead(request)
  const api = apiByKey.get(apiKey)
  if (api === undefined) throw new Error(`no table for API key ${apiKey}`)
  return { api, version: apiVersion }
}

const hexOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).subarray(4).toString('hex')

test('every client is there', () => {
  const clients = new Set(fixtures.map(({ client }) => client.split(' ')[0]))
  expect([...clients].sort()).toEqual(['@platformatic/kafka', 'Java', 'confluent-kafka', 'kafkajs', 'kcat'])
  for (const { client, broker } of fixtures) {
    expect(client).toMatch(/ \d+\.\d+/)
    expect(broker).toMatch(/^Apache Kafka \d+\.\d+\.\d+$/)
  }
})

describe.each(fixtures)('$name', ({ request, response }) => {
  test('the request, there and back', () => {
    const { api, version } = apiOf(request)
    const head = decodeRequestHead(request)
    const body = decodeRequestBody(api, request, head)
    expect(hexOf(encodeRequest(api, version, head.correlationId, head.clientId, body as never))).toBe(
      request.toString('hex'),
    )
  })

  test('a frame that comes byte by byte is the same frame', () => {
    const cutter = new FrameCutter(request.length)
    const length = Buffer.alloc(4)
    length.writeInt32BE(request.length)
    const frames: Buffer[] = []
    for (const byte of Buffer.concat([length, request])) frames.push(...cutter.push(Buffer.of(byte)))
    expect(frames.map((frame) => frame.toString('hex'))).toEqual([request.toString('hex')])
    const { api } = apiOf(frames[0])
    expect(decodeRequestBody(api, frames[0], decodeRequestHead(frames[0]))).toEqual(
      decodeRequestBody(api, request, decodeRequestHead(request)),
    )
  })

  test.runIf(response !== undefined)('the answer of a real Kafka, there and back', () => {
    const { api, version } = apiOf(request)
    const answer = response as Buffer
    const body = decodeResponse(api, version, answer)
    const again = encodeResponse(api, version, answer.readInt32BE(0), body as never)
    expect(hexOf(again)).toBe(answer.toString('hex'))
  })
})
