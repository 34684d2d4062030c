// The frames of the Kafka protocol, as a server and as a client reads them.
// Promises: requests and answers survive the way; heads of unknown requests are read; any cut of a stream is the same.
// Does not know: every message (messages.test.ts), sockets.

import { describe, expect, test } from 'vitest'
import { DecodeError } from '../../base/bytes.ts'
import { apis } from './api-table.ts'
import type { ProduceRequest } from './messages/data.ts'
import {
  FrameCutter,
  decodeRequestBody,
  decodeRequestHead,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  responseCorrelationId,
} from './frame.ts'

const cut = (chunks: Buffer[], max = 1 << 20): Buffer[] => {
  const cutter = new FrameCutter(max)
  return chunks.flatMap((chunk) => cutter.push(chunk))
}
const frameOf = (chunks: Buffer[]): Buffer => cut([Buffer.concat(chunks)])[0]

describe('a request and its answer', () => {
  const batch = Buffer.alloc(10_000, 7)
  const produce = {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [
      { name: 'orders', partitionData: [{ index: 3, records: [batch.subarray(0, 61), batch.subarray(61)] }] },
    ],
  }

  test.each([3, 8, 9, 12])('Produce v%i comes back, its records a slice of the frame', (version) => {
    const frame = frameOf(encodeRequest(apis.produce, version, 42, 'a client', produce))
    const head = decodeRequestHead(frame)
    expect(head).toMatchObject({ apiKey: 0, apiVersion: version, correlationId: 42, clientId: 'a client' })
    const body: ProduceRequest = decodeRequestBody(apis.produce, frame, head)
    expect(body).toMatchObject({ transactionalId: null, acks: -1, timeoutMs: 30_000 })
    const [{ index, records }] = body.topicData[0].partitionData
    expect(index).toBe(3)
    expect(records?.equals(batch)).toBe(true)
    expect(records?.buffer).toBe(frame.buffer)
  })

  test('large records are sent by reference', () => {
    const chunks = encodeRequest(apis.produce, 9, 1, null, produce)
    expect(chunks.some((chunk) => chunk.buffer === batch.buffer && chunk.length === 10_000 - 61)).toBe(true)
  })

  test('ApiVersions is answered with head v0 in every version', () => {
    for (const version of [0, 3, 5]) {
      const frame = frameOf(encodeResponse(apis.apiVersions, version, 7, { errorCode: 35 }))
      expect(responseCorrelationId(frame)).toBe(7)
      expect(frame.readInt16BE(4)).toBe(35)
      expect(decodeResponse(apis.apiVersions, version, frame).errorCode).toBe(35)
    }
  })

  test('a flexible answer has tags behind its correlation id', () => {
    const frame = frameOf(encodeResponse(apis.heartbeat, 4, 7, { throttleTimeMs: 1, errorCode: 27 }))
    expect(frame.toString('hex')).toBe('00000007' + '00' + '00000001' + '001b' + '00')
    expect(decodeResponse(apis.heartbeat, 4, frame)).toEqual({ throttleTimeMs: 1, errorCode: 27 })
  })
})

describe('request heads', () => {
  test('an unknown key or version still gives correlation and client id', () => {
    const bytes = Buffer.from('03e7' + '0063' + '0000002a' + '0002' + '6869' + 'ffff', 'hex')
    expect(decodeRequestHead(bytes)).toEqual({
      apiKey: 999,
      apiVersion: 99,
      correlationId: 42,
      clientId: 'hi',
      bodyPosition: 12,
    })
    bytes.writeInt16BE(18, 0)
    expect(decodeRequestHead(bytes)).toMatchObject({ apiKey: 18, apiVersion: 99, correlationId: 42 })
  })

  test('unknown tags are passed over', () => {
    const head = Buffer.from('000c' + '0004' + '00000001' + 'ffff' + '02' + '0002abcd' + '7f00', 'hex')
    expect(decodeRequestHead(head)).toMatchObject({ clientId: null, bodyPosition: head.length })
  })

  test('every cut is refused', () => {
    const head = Buffer.from('000c' + '0004' + '00000001' + '0002' + '6869' + '01' + '0002abcd', 'hex')
    for (let bytes = 0; bytes < head.length; bytes++) {
      expect(() => decodeRequestHead(head.subarray(0, bytes))).toThrow(DecodeError)
    }
  })
})

describe('cutting a stream', () => {
  const frames = [0, 1, 5, 300, 40_000, 70_000, 3].map((bytes, index) =>
    Buffer.from(Array.from({ length: bytes }, (_, at) => (at * 31 + index) % 251)),
  )
  const stream = Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(4)
      length.writeInt32BE(frame.length)
      return [length, frame]
    }),
  )
  const pieces = (size: number): Buffer[] =>
    Array.from({ length: Math.ceil(stream.length / size) }, (_, at) => stream.subarray(at * size, (at + 1) * size))

  test.each([1, 2, 3, 7, 1000, 16_384, 65_536, 1 << 20])('pieces of %i bytes give the same frames', (size) => {
    const found = cut(pieces(size))
    expect(found.map((frame) => frame.length)).toEqual(frames.map((frame) => frame.length))
    expect(found.every((frame, index) => frame.equals(frames[index]))).toBe(true)
  })

  test('pieces of all lengths mixed', () => {
    const lengths = [400, 20_000, 5, 30_000, 1, 1, 17_000, 16_383, 16_385, 9, 1 << 20]
    let at = 0
    const found = cut(lengths.map((length) => stream.subarray(at, (at += length))))
    expect(found.every((frame, index) => frame.equals(frames[index]))).toBe(true)
    expect(found.length).toBe(frames.length)
  })

  test('a frame outlives the chunk it came in', () => {
    const chunk = Buffer.from(stream)
    const found = cut([chunk])
    chunk.fill(0)
    expect(found.every((frame, index) => frame.equals(frames[index]))).toBe(true)
  })

  test('a length that no frame can have is refused', () => {
    expect(() => cut([Buffer.from('ffffffff', 'hex')])).toThrow(DecodeError)
    expect(() => cut([Buffer.from('0000', 'hex'), Buffer.from('03e9', 'hex')], 1000)).toThrow(DecodeError)
    const lost = new FrameCutter(1000)
    expect(() => lost.push(Buffer.from('ffffffff', 'hex'))).toThrow(DecodeError)
    expect(() => lost.push(Buffer.from('0000000100', 'hex'))).toThrow(DecodeError)
  })

  test('an announced length alone holds nothing', () => {
    const cutter = new FrameCutter(1 << 30)
    cutter.push(Buffer.from('3fffffff00', 'hex'))
    expect(cutter.heldBytes).toBe(1)
  })
})
