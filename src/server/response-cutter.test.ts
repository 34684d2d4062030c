// Answers found in bytes: Kafka's by their requests, however those are cut; AMQP's methods with their content.
// Promises: what is put together again is what was cut, byte for byte.
// Does not know: sockets, faults.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutterOf, type ResponseCutter } from './response-cutter.ts'

function cut(cutter: ResponseCutter, bytes: Buffer): string[] {
  const names: string[] = []
  const whole: Buffer[] = []
  cutter.responses(bytes, (name, response) => {
    names.push(name)
    whole.push(Buffer.from(response))
  })
  expect(Buffer.concat(whole)).toEqual(bytes)
  return names
}

function request(apiKey: number, correlationId: number, bodyBytes: number): Buffer {
  const bytes = Buffer.alloc(12 + bodyBytes)
  bytes.writeInt32BE(8 + bodyBytes, 0)
  bytes.writeInt16BE(apiKey, 4)
  bytes.writeInt32BE(correlationId, 8)
  return bytes
}

function response(correlationId: number): Buffer {
  const bytes = Buffer.alloc(11)
  bytes.writeInt32BE(7, 0)
  bytes.writeInt32BE(correlationId, 4)
  return bytes
}

describe('Kafka', () => {
  const names = new Map([
    [0, 'Produce'],
    [1, 'Fetch'],
    [18, 'ApiVersions'],
  ])
  const asked = fc.array(
    fc.record({
      key: fc.constantFrom(0, 1, 18),
      body: fc.nat(30),
      answered: fc.boolean(),
      chunk: fc.integer({ min: 1, max: 40 }),
    }),
    { minLength: 1, maxLength: 20 },
  )

  test('requests cut anywhere; some are never answered', () => {
    fc.assert(
      fc.property(asked, (requests) => {
        const cutter = cutterOf.kafka()
        const bytes = Buffer.concat(requests.map(({ key, body }, id) => request(key, id, body)))
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const { chunk } = requests[turn % requests.length]
          cutter.asked(bytes.subarray(at, at + chunk))
          at += chunk
        }
        const answered = [...requests.entries()].filter(([, one]) => one.answered)
        const responses = Buffer.concat(answered.map(([id]) => response(id)))
        expect(cut(cutter, responses)).toEqual(answered.map(([, { key }]) => names.get(key)))
      }),
    )
  })

  test('of very many that are never answered the newest are remembered', () => {
    const cutter = cutterOf.kafka()
    for (let id = 0; id < 10_002; id++) cutter.asked(request(0, id, 0))
    cutter.asked(request(1, 2, 0))
    expect(cut(cutter, response(1))).toEqual([''])
    expect(cut(cutter, response(10_001))).toEqual(['Produce'])
    expect(cut(cutter, response(2))).toEqual(['Fetch'])
  })

  test('an answer to nobody has no name', () => {
    expect(cut(cutterOf.kafka(), response(7))).toEqual([''])
  })
})

describe('AMQP', () => {
  const frame = (type: number, payload: Buffer): Buffer => {
    const bytes = Buffer.alloc(8 + payload.length, 0xce)
    bytes[0] = type
    bytes.writeUInt16BE(1, 1)
    bytes.writeUInt32BE(payload.length, 3)
    payload.copy(bytes, 7)
    return bytes
  }
  const method = (classId: number, methodId: number): Buffer => frame(1, Buffer.from([0, classId, 0, methodId]))
  const content = [frame(2, Buffer.alloc(14)), frame(3, Buffer.alloc(100, 0xce)), frame(3, Buffer.alloc(1))]

  test('a method is one answer with its content; a heartbeat is one of its own', () => {
    const bytes = Buffer.concat([method(60, 60), ...content, frame(8, Buffer.alloc(0)), method(60, 80), method(50, 11)])
    expect(cut(cutterOf.amqp(), bytes)).toEqual(['basic.deliver', '', 'basic.ack', 'queue.declare_ok'])
  })

  test('what is no frame passes', () => {
    expect(cut(cutterOf.amqp(), Buffer.from('AMQP\0\0\u0009\u0001'))).toEqual([''])
  })
})
