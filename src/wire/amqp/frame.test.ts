// A connection's first bytes, and a stream cut into frames.
// Promises: any cut of a stream gives the same frames; memory is bounded by the frame limit; faults are RabbitMQ's.
// Does not know: what frames say.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferPool } from '../../base/buffer-pool.ts'
import { FrameFault, FrameReader, openingOf, protocolHeader, saslProtocolHeader } from './frame.ts'

interface Frame {
  readonly type: number
  readonly channel: number
  readonly payload: Buffer
}

function bytesOf({ type, channel, payload }: Frame, end = 0xce): Buffer {
  const bytes = Buffer.alloc(payload.length + 8)
  bytes[0] = type
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(payload.length, 3)
  payload.copy(bytes, 7)
  bytes[bytes.length - 1] = end
  return bytes
}

const framesIn = (reader: FrameReader): Frame[] => {
  const frames: Frame[] = []
  while (reader.next()) {
    frames.push({ type: reader.type, channel: reader.channel, payload: Buffer.from(reader.payload) })
  }
  return frames
}

const frames: fc.Arbitrary<Frame> = fc.record({
  type: fc.constantFrom(1, 2, 3, 8),
  channel: fc.nat(0xffff),
  payload: fc
    .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 100, maxLength: 300 }))
    .map((bytes) => Buffer.from(bytes)),
})

/** The stream in pieces that end at `cuts`. */
function pieces(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  return [...ends, stream.length].map((end, index) => stream.subarray(index === 0 ? 0 : ends[index - 1], end))
}

describe('a stream', () => {
  test('however it is cut, gives its frames; a chunk is free for others once it was read', () => {
    fc.assert(
      fc.property(
        fc.array(frames, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.boolean(),
        (sent, cuts, pooled) => {
          const reader = new FrameReader(4096, pooled ? new BufferPool(1 << 20) : undefined)
          const seen: Frame[] = []
          for (const piece of pieces(Buffer.concat(sent.map((frame) => bytesOf(frame))), cuts)) {
            const chunk = Buffer.from(piece)
            reader.push(chunk)
            seen.push(...framesIn(reader))
            chunk.fill(0xaa)
          }
          expect(seen).toEqual(sent)
          expect(reader.heldBytes).toBe(0)
        },
      ),
      { seed: 12, numRuns: 500 },
    )
  })

  test('may be left in the middle and read on later', () => {
    fc.assert(
      fc.property(
        fc.array(frames, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }),
        (sent, cuts, reads) => {
          const reader = new FrameReader(4096)
          const seen: Frame[] = []
          for (const [index, piece] of pieces(Buffer.concat(sent.map((frame) => bytesOf(frame))), cuts).entries()) {
            const chunk = Buffer.from(piece)
            reader.push(chunk)
            for (let left = reads[index % reads.length]; left > 0 && reader.next(); left--) {
              seen.push({ type: reader.type, channel: reader.channel, payload: Buffer.from(reader.payload) })
            }
            reader.hold()
            chunk.fill(0xaa)
          }
          expect([...seen, ...framesIn(reader)]).toEqual(sent)
        },
      ),
      { seed: 13, numRuns: 500 },
    )
  })

  test('of one chunk: frames are slices of it', () => {
    const stream = Buffer.concat([1, 2].map((channel) => bytesOf({ type: 3, channel, payload: Buffer.alloc(10_000) })))
    const reader = new FrameReader(131_072)
    reader.push(stream)
    while (reader.next()) expect(reader.payload.buffer).toBe(stream.buffer)
  })

  test('of noise gives frames or a FrameFault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.array(frames, { maxLength: 2 }), (noise, before) => {
        const reader = new FrameReader(4096)
        reader.push(Buffer.concat([...before.map((frame) => bytesOf(frame)), Buffer.from(noise)]))
        try {
          expect(framesIn(reader).length).toBeGreaterThanOrEqual(before.length)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameFault)
        }
      }),
      { seed: 14, numRuns: 1000 },
    )
  })
})

// Each as RabbitMQ 4.3 answered it.
describe('limits and faults', () => {
  const pushed = (bytes: Buffer, max = 131_072): FrameReader => {
    const reader = new FrameReader(max)
    reader.push(bytes)
    return reader
  }

  test('a payload of the whole negotiated size is taken, one byte more is not', () => {
    const reader = pushed(bytesOf({ type: 3, channel: 1, payload: Buffer.alloc(131_072) }))
    expect(reader.next()).toBe(true)
    expect(() => pushed(bytesOf({ type: 3, channel: 1, payload: Buffer.alloc(131_073) })).next()).toThrow(
      new FrameFault('type 3, all octets = <<>>: {frame_too_large,131073,131064}'),
    )
  })

  test('what a head announces is refused before memory is taken for it', () => {
    const head = Buffer.from('01' + '0001' + 'ffffffff', 'hex')
    for (const cut of [0, 3, 7]) {
      const reader = pushed(head.subarray(0, cut))
      if (cut < 7) expect(reader.next()).toBe(false)
      if (cut < 7) reader.push(head.subarray(cut))
      expect(() => reader.next()).toThrow(
        new FrameFault('type 1, all octets = <<>>: {frame_too_large,4294967295,131064}'),
      )
    }
  })

  test('the limit may change between frames', () => {
    const reader = pushed(bytesOf({ type: 1, channel: 0, payload: Buffer.alloc(10) }), 8192)
    expect(reader.next()).toBe(true)
    reader.setFrameBytesMax(131_072)
    expect(reader.next()).toBe(false)
    reader.push(bytesOf({ type: 3, channel: 1, payload: Buffer.alloc(9000) }))
    expect(reader.next()).toBe(true)
  })

  test.each([4, 40])('another end marker is a fault, whole or cut at %i', (cut) => {
    const payload = Buffer.from([0, 50, 0, 10, 0, 0, 7, 119, 105, 114, 101, 116, 114, 121, 12, 0, 0, 0, 0])
    const bytes = bytesOf({ type: 1, channel: 1, payload }, 1)
    const reader = pushed(bytes.subarray(0, cut))
    const text =
      'type 1, first 16 octets = <<0,50,0,10,0,0,7,119,105,114,101,116,114,121,12,0>>: {invalid_frame_end_marker,1}'
    expect(() => {
      if (reader.next()) return
      reader.push(bytes.subarray(cut))
      reader.next()
    }).toThrow(new FrameFault(text))
    expect(new FrameFault('').code).toBe(501)
  })
})

describe('what a connection begins with', () => {
  test.each([
    ['AMQP\x00\x00\x09\x01', 'amqp-0-9-1'],
    ['AMQP\x01\x01\x00\x09', 'amqp-0-9-1'],
    ['AMQP\x00\x00\x09\x02', 'amqp-0-9-x'],
    ['AMQP\x00\x00\x0a\x00', 'amqp-0-9-x'],
    ['AMQP\x00\x01\x00\x00', 'amqp-1-0'],
    ['AMQP\x02\x01\x00\x00', 'amqp-1-0'],
    ['AMQP\x03\x01\x00\x00', 'amqp-1-0'],
    ['AMQP\x01\x01\x08\x00', 'amqp-other'],
    ['AMQP\x00\x00\x08\x00', 'amqp-other'],
    ['\x16\x03\x01\x02\x00', 'tls'],
    ['\x16\x02', 'unknown'],
    ['GET / HTTP/1.1', 'http'],
    ['GETS', 'unknown'],
    ['\x00\x00\x00\x10', 'unknown'],
    ['XMQP', 'unknown'],
    ['AMQX', 'unknown'],
  ])('%j', (text, opening) => {
    const bytes = Buffer.from(text, 'latin1')
    expect(openingOf(bytes)).toBe(opening)
    // Byte by byte it stays open, until it is told, and then does not change.
    for (let cut = 0; cut < bytes.length; cut++)
      expect([undefined, opening]).toContain(openingOf(bytes.subarray(0, cut)))
  })

  test("our header and RabbitMQ's to all others", () => {
    expect(protocolHeader.toString('hex')).toBe('414d515000000901')
    expect(saslProtocolHeader.toString('hex')).toBe('414d515003010000')
  })
})
