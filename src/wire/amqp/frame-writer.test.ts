// Frames as they are written: what a reader finds in them, and whose memory they are in.
// Promises: each fast path writes what its table writes; bodies are split by the limit; buffers are used again, and not
//   before the kernel has them.
// Does not know: sockets.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferPool } from '../../base/buffer-pool.ts'
import { EncodeError } from '../../base/bytes.ts'
import { writeProperties } from '../../base/properties.ts'
import { FrameReader, protocolHeader } from './frame.ts'
import { FrameWriter } from './frame-writer.ts'
import { decodeMethod, encodeMethod, payloadMethod } from './methods.ts'

interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
}

function framesOf(chunks: readonly Buffer[], frameBytesMax: number): Frame[] {
  const reader = new FrameReader(frameBytesMax)
  reader.push(Buffer.concat(chunks))
  const frames: Frame[] = []
  while (reader.next()) frames.push({ type: reader.type, channel: reader.channel, payload: reader.payload })
  expect(reader.heldBytes).toBe(0)
  return frames
}

const names = fc.string({ unit: 'binary', maxLength: 60 })
const properties = fc
  .record({ deliveryMode: fc.nat(2), type: names, appId: names }, { requiredKeys: [] })
  .map((values) => writeProperties(values))
const bodies = fc
  .tuple(fc.oneof(fc.nat(30), fc.nat(9000), fc.constantFrom(4088, 4089, 8176, 300_000)), fc.nat(255))
  .map(([length, fill]) => Buffer.alloc(length, fill))
const frameMax = 4096

/** Header and body frames of a message, as the specification has them (clause 4.2.6). */
function contentOf(channel: number, list: Buffer, body: Buffer): Frame[] {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(60)
  head.writeUInt32BE(body.length, 8)
  const frames: Frame[] = [{ type: 2, channel, payload: Buffer.concat([head, list]) }]
  for (let from = 0; from < body.length; from += frameMax - 8) {
    frames.push({ type: 3, channel, payload: body.subarray(from, from + frameMax - 8) })
  }
  return frames
}

describe('a message', () => {
  const messages = fc.record({
    channel: fc.nat(0xffff),
    consumerTag: names,
    deliveryTag: fc.maxSafeNat(),
    redelivered: fc.boolean(),
    exchange: names,
    routingKey: names,
    messageCount: fc.nat(5),
    list: properties,
    body: bodies,
  })

  test('is written as its table has it, its frames following one another', () => {
    fc.assert(
      fc.property(fc.array(messages, { minLength: 1, maxLength: 6 }), fc.boolean(), (all, isGet) => {
        const writer = new FrameWriter(frameMax, new BufferPool(1 << 20))
        const expected: Frame[] = []
        for (const { channel, list, body, ...rest } of all) {
          const { consumerTag, deliveryTag, redelivered, messageCount } = rest
          const exchange = Buffer.from(rest.exchange)
          const key = Buffer.from(rest.routingKey)
          if (isGet) writer.getOk(channel, deliveryTag, redelivered, exchange, key, messageCount, list, body)
          else writer.deliver(channel, consumerTag, deliveryTag, redelivered, exchange, key, list, body)
          const payload = isGet ? encodeMethod('basicGetOk', rest) : encodeMethod('basicDeliver', rest)
          expected.push({ type: 1, channel, payload }, ...contentOf(channel, list, body))
        }
        const written = framesOf(writer.take(), frameMax)
        expect(written.length).toBe(expected.length)
        for (const [index, { type, channel, payload }] of expected.entries()) {
          expect(written[index].type).toBe(type)
          expect(written[index].channel).toBe(channel)
          expect(written[index].payload.equals(payload)).toBe(true)
        }
      }),
      { seed: 15, numRuns: 200 },
    )
  })

  test('returned, or published by a client, in the pieces it came in', () => {
    const writer = new FrameWriter(frameMax)
    const list = writeProperties({ deliveryMode: 2 })
    const body = [Buffer.alloc(5000, 1), Buffer.alloc(0), Buffer.alloc(10, 2)]
    const values = { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'e', routingKey: 'k' }
    writer.returned(7, values, list, body, 5010)
    writer.publish(7, { exchange: 'e', routingKey: 'k' }, list, [], 0)
    const frames = framesOf(writer.take(), frameMax)
    expect(frames.map(({ type, payload }) => [type, payload.length])).toEqual([
      [1, 19],
      [2, 15],
      [3, 4088],
      [3, 912],
      [3, 10],
      [1, 11],
      [2, 15],
    ])
    expect(decodeMethod('basicReturn', frames[0].payload)).toEqual({ name: 'basicReturn', arguments: values })
  })

  test('names of more than 255 bytes are refused before a byte is written', () => {
    const writer = new FrameWriter(frameMax)
    const none = Buffer.alloc(0)
    const long = Buffer.alloc(256)
    expect(() => writer.deliver(1, 'é'.repeat(128), 1, false, none, none, none, none)).toThrow(EncodeError)
    expect(() => writer.deliver(1, '', 1, false, long, none, none, none)).toThrow(EncodeError)
    expect(() => writer.getOk(1, 1, false, none, long, 0, none, none)).toThrow(EncodeError)
    expect(writer.pendingBytes).toBe(0)
  })
})

test('settlements are written as their tables have them', () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.maxSafeNat(), fc.boolean(), (channel, deliveryTag, multiple) => {
      const writer = new FrameWriter(frameMax)
      writer.ack(channel, deliveryTag, multiple)
      writer.nack(channel, deliveryTag, multiple)
      expect(framesOf(writer.take(), frameMax)).toEqual([
        { type: 1, channel, payload: encodeMethod('basicAck', { deliveryTag, multiple }) },
        { type: 1, channel, payload: encodeMethod('basicNack', { deliveryTag, multiple, requeue: true }) },
      ])
    }),
    { seed: 16, numRuns: 100 },
  )
})

test('heads, heartbeats and methods', () => {
  const writer = new FrameWriter(frameMax)
  writer.raw(protocolHeader)
  expect(Buffer.concat(writer.take())).toEqual(protocolHeader)
  writer.heartbeat()
  expect(Buffer.concat(writer.take()).toString('hex')).toBe('08' + '0000' + '00000000' + 'ce')
  const arguments_ = { mechanisms: Buffer.alloc(40_000, 'PLAIN ') }
  writer.method(0, 'connectionStart', arguments_)
  const [{ type, channel, payload }] = framesOf(writer.take(), 65_536)
  expect([type, channel, payloadMethod(payload)]).toEqual([1, 0, 'connectionStart'])
  expect(decodeMethod('connectionStart', payload)).toMatchObject({ arguments: arguments_ })
})

describe('memory', () => {
  const body = Buffer.alloc(1000, 5)
  const none = Buffer.alloc(0)
  const list = Buffer.alloc(2)
  const write = (writer: FrameWriter, count: number): void => {
    for (let tag = 1; tag <= count; tag++) writer.deliver(1, 'tag', tag, false, none, none, list, body)
  }

  test('what was taken does not change before it is recycled, whatever is written meanwhile', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(60), fc.boolean()), { maxLength: 12 }), (turns) => {
        const pool = new BufferPool(1 << 22)
        // Two connections share the pool: a buffer given back too early would be seen in the other's bytes.
        const writers = [new FrameWriter(frameMax, pool), new FrameWriter(frameMax, pool)]
        const underWay: { writer: FrameWriter; chunks: Buffer[]; copy: Buffer }[] = []
        for (const [index, [count, recycles]] of turns.entries()) {
          const writer = writers[index % 2]
          const expected = new FrameWriter(frameMax)
          for (let tag = 0; tag < count; tag++) {
            for (const one of [writer, expected]) {
              one.deliver(index, 'tag', tag, false, none, none, list, body.subarray(0, (tag * 37) % 1000))
            }
          }
          // The kernel may have older bytes between a write and the take that sends it.
          const at = recycles ? underWay.findIndex((one) => one.writer === writer) : -1
          if (at >= 0) {
            const [oldest] = underWay.splice(at, 1)
            expect(Buffer.concat(oldest.chunks).equals(oldest.copy)).toBe(true)
            writer.recycle()
          }
          const chunks = writer.take()
          const copy = Buffer.concat(expected.take())
          if (chunks.length > 0) underWay.push({ writer, chunks, copy })
        }
        for (const { chunks, copy } of underWay) expect(Buffer.concat(chunks).equals(copy)).toBe(true)
      }),
      { seed: 17, numRuns: 200 },
    )
  })

  test('is used again turn by turn, and given back when all is sent', () => {
    const pool = new BufferPool(1 << 22)
    const writer = new FrameWriter(131_072, pool)
    const seen = new Set<ArrayBufferLike>()
    for (let turn = 0; turn < 50; turn++) {
      write(writer, 300)
      for (const chunk of writer.take()) seen.add(chunk.buffer)
      writer.recycle()
    }
    expect(seen.size).toBeLessThan(8)
  })

  test('a small turn after another takes no further block', () => {
    const writer = new FrameWriter(131_072, new BufferPool(1 << 22))
    const seen = new Set<ArrayBufferLike>()
    for (let turn = 0; turn < 5; turn++) {
      write(writer, 2)
      for (const chunk of writer.take()) seen.add(chunk.buffer)
    }
    expect(seen.size).toBe(1)
  })

  test('nothing written is nothing to send and nothing to recycle', () => {
    const writer = new FrameWriter(4096)
    expect(writer.take()).toEqual([])
    writer.heartbeat()
    expect(writer.pendingBytes).toBe(8)
    expect(writer.take()).toHaveLength(1)
    expect(writer.pendingBytes).toBe(0)
    writer.recycle()
    expect(() => writer.recycle()).toThrow('what is recycled was taken')
  })
})
