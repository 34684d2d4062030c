// Published messages over any chunks: what the door is given is what was sent, wherever the bytes were cut.
// Promises: whole messages in one chunk are not copied; gathered memory is given back; noise ends in a close, never in
//   a bug of ours.
// Does not know: what the door does with a message.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferPool } from '../../base/buffer-pool.ts'
import { ContentHeaderView } from '../../wire/amqp/content.ts'
import { Content, type ContentHost } from './content.ts'
import { headerFrame, methodFrame, publishFrames, RawClient, rawFrame, type Seen } from './stub-queues.contract.ts'

interface Message {
  readonly channel: number
  readonly exchange: string
  readonly routingKey: string
  readonly body: string
  readonly pieceBytes: number
  readonly properties: string
}

const message: fc.Arbitrary<Message> = fc.record({
  channel: fc.integer({ min: 1, max: 3 }),
  exchange: fc.constantFrom('', 'e', 'ž'.repeat(20)),
  routingKey: fc.string({ maxLength: 20 }),
  body: fc.oneof(
    fc.string({ unit: 'binary-ascii', maxLength: 40 }),
    fc.integer({ min: 100, max: 6000 }).map((n) => 'b'.repeat(n)),
  ),
  pieceBytes: fc.integer({ min: 1, max: 4000 }),
  properties: fc.constantFrom('0000', '100002', '8000027474'),
})

const framesOf = ({ channel, exchange, routingKey, body, pieceBytes, properties }: Message): Buffer[] => {
  const bytes = Buffer.from(body, 'latin1')
  const pieces = Math.max(pieceBytes, Math.ceil(bytes.length / 8))
  const frames = [
    methodFrame(channel, 'basicPublish', { exchange, routingKey }),
    headerFrame(channel, bytes.length, properties),
  ]
  for (let at = 0; at < bytes.length; at += pieces) frames.push(rawFrame(3, channel, bytes.subarray(at, at + pieces)))
  return frames
}

const seenOf = ({ exchange, routingKey, body, properties }: Message): Seen => ({
  exchange,
  routingKey,
  properties,
  body,
})

/** The messages of each channel in order, their frames interleaved between channels as `turns` says. */
function interleaved(messages: readonly Message[], turns: readonly number[]): Buffer {
  const left = [1, 2, 3].map((channel) => messages.filter((one) => one.channel === channel).flatMap(framesOf))
  const all: Buffer[] = []
  for (let turn = 0; left.some((frames) => frames.length > 0); turn++) {
    const some = left.filter((frames) => frames.length > 0)
    all.push(...some[turns[turn % turns.length] % some.length].splice(0, 1))
  }
  return Buffer.concat(all)
}

async function send(bytes: Buffer, cuts: readonly number[]): Promise<RawClient> {
  const client = await RawClient.open()
  client.say(2, 'channelOpen')
  client.say(3, 'channelOpen')
  await client.heard()
  let from = 0
  for (const cut of [...cuts.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b), bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(from, cut))
    if (chunk.length > 0) client.send(chunk)
    from = cut
  }
  return client
}

const fraction = fc.double({ min: 0, max: 0.999, noNaN: true })

describe('any messages, interleaved and cut anywhere', () => {
  test('arrive whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }),
        fc.array(fraction, { maxLength: 12 }),
        async (messages, turns, cuts) => {
          const client = await send(interleaved(messages, turns), cuts)
          for (const number of [1, 2, 3]) {
            const wanted = messages.filter((one) => one.channel === number).map(seenOf)
            expect(client.queues.channels[number - 1].published).toEqual(wanted)
          }
          expect(await client.names()).toEqual([])
        },
      ),
      { numRuns: 150 },
    )
  })

  test('byte by byte', async () => {
    const one: Message = {
      channel: 2,
      exchange: 'e',
      routingKey: 'k',
      body: 'x'.repeat(300),
      pieceBytes: 70,
      properties: '100002',
    }
    const bytes = interleaved([one, { ...one, channel: 1, body: '' }], [0])
    const client = await send(
      bytes,
      Array.from({ length: bytes.length }, (_, at) => at / bytes.length),
    )
    expect(client.queues.channels[1].published).toEqual([seenOf(one)])
    expect(client.queues.channels[0].published).toEqual([seenOf({ ...one, body: '' })])
  })

  test('noise after a login ends in a close at most', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
            fc
              .tuple(fc.constantFrom(1, 2, 3, 8, 9), fc.nat(3), fc.uint8Array({ maxLength: 30 }))
              .map(([type, channel, bytes]) => rawFrame(type, channel, Buffer.from(bytes))),
            fc
              .tuple(
                fc.nat(2),
                fc.constantFrom(10, 20, 40, 50, 60, 85, 90),
                fc.integer({ min: 10, max: 120 }),
                fc.uint8Array({ maxLength: 30 }),
              )
              .map(([channel, classId, methodId, bytes]) =>
                rawFrame(1, channel, Buffer.from([0, classId, 0, methodId, ...bytes])),
              ),
            message.map((one) => publishFrames(one.channel, { exchange: one.exchange }, one.body)),
          ),
          { maxLength: 8 },
        ),
        async (chunks) => {
          const client = await RawClient.open()
          client.send(...chunks.filter((chunk) => chunk.length > 0))
          await client.heard()
          expect(client.broken).toEqual([])
          expect(client.world.trace.counters().get('amqp.methods.failed')).toBeUndefined()
        },
      ),
      { numRuns: 400 },
    )
  })

  test('noise as the first bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 5 }),
        fc.boolean(),
        async (chunks, isAmqp) => {
          const client = new RawClient()
          if (isAmqp) client.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
          client.send(...chunks.map((chunk) => Buffer.from(chunk)))
          await client.world.settle()
          await client.world.pass(20_000)
          expect(client.connection.state).toBe('destroyed')
          expect(client.broken).toEqual([])
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('what is kept of a chunk', () => {
  class Host implements ContentHost {
    readonly pool = new BufferPool(0)
    chunk: Buffer = Buffer.alloc(0)
    gathered = 0
    most = 0
    outlivesFrame(buffer: Buffer): boolean {
      return buffer === this.chunk
    }
    gathering(bytes: number): void {
      this.gathered += bytes
      this.most = Math.max(this.most, this.gathered)
    }
  }
  const payload = (frame: Buffer): { start: number; end: number } => ({ start: 7, end: frame.length - 1 })

  test('nothing, of a message that lies in it: the door is given slices of it', () => {
    const host = new Host()
    const content = new Content(host, new ContentHeaderView())
    const header = headerFrame(1, 6, '100002')
    const chunk = Buffer.concat([header, rawFrame(3, 1, Buffer.from('abc')), rawFrame(3, 1, Buffer.from('def'))])
    host.chunk = chunk
    content.begin()
    expect(content.header({ type: 2, buffer: chunk, ...payload(header) })).toBe(false)
    const at = header.length + 7
    expect(content.body({ type: 3, buffer: chunk, start: at, end: at + 3 })).toBe(false)
    expect(content.body({ type: 3, buffer: chunk, start: at + 11, end: at + 14 })).toBe(true)
    expect(content.pieces.map(String)).toEqual(['abc', 'def'])
    for (const slice of [content.properties, ...content.pieces]) expect(slice.buffer).toBe(chunk.buffer)
    expect(host.gathered).toBe(0)
  })

  test('memory grows with what came, not with what was announced, and is given back', () => {
    const host = new Host()
    const content = new Content(host, new ContentHeaderView())
    const header = headerFrame(1, 16 * 1024 * 1024)
    content.begin()
    content.header({ type: 2, buffer: header, ...payload(header) })
    const piece = Buffer.alloc(1000, 1)
    content.body({ type: 3, buffer: piece, start: 0, end: 1000 })
    expect(host.gathered).toBeLessThanOrEqual(64 * 1024)
    for (let sent = 1000; sent < 8_000_000; sent += 1000) content.body({ type: 3, buffer: piece, start: 0, end: 1000 })
    expect(host.most).toBeLessThan(10_000_000)
    expect(content.pieces.reduce((sum, { length }) => sum + length, 0)).toBe(8_000_000)
    content.reset()
    expect(host.gathered).toBe(0)
  })
})
