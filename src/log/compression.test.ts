// Compression against bytes of Kafka's own codecs, round trips, and sections that lie.
// Promises: nothing here opens more than it allows; bombs are refused in milliseconds.
// Does not know: batches.

import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CompressionName } from './batch.ts'
import { codecLoads, deflate, inflate, inflateOffLoop } from './compression.ts'
import { CodecUnavailable, lazyCodec, OutputTooLarge, requirePackage } from './compression-codec.ts'
import { inflateZstd, inflateZstdOffLoop, packageZstd } from './compression-zstd.ts'
import { MalformedRecords } from './records.ts'

const MiB = 1024 * 1024
const codecs: readonly CompressionName[] = ['gzip', 'snappy', 'lz4', 'zstd']
const clock = { endOfTurn: (task: () => void): void => void setImmediate(task) }

/** 300 bytes as Kafka 4.3.1's own Compression.wrapForOutput writes them (Java clients send exactly this). */
const text = 'Odradek rolled down the stairs. '.repeat(10).slice(0, 300)
const javaSections: Record<string, string> = {
  gzip: '1f8b08000000000000fff34f294a4c49cd5628cacfc9494d5148c92fcf5328c94855282e49cc2c2ad653f01f9587cb0300d719f2152c010000',
  snappy:
    '82534e4150505900000000010000000100000032ac027c4f64726164656b20726f6c6c656420646f776e20746865207374616972732e20' +
    'fe2000fe2000fe2000fe20002e2000',
  lz4:
    '04224d186040822b000000ff114f64726164656b20726f6c6c656420646f776e20746865207374616972732e202000f45020726f6c6c' +
    '00000000',
  zstd: '28b52ffd00584c010004024f64726164656b20726f6c6c656420646f776e20746865207374616972732e2001004818aa7a02010000',
}

describe('sections of the Java client', () => {
  test.each(Object.entries(javaSections))('%s', async (name, hex) => {
    const section = Buffer.from(hex, 'hex')
    expect(inflate(name as CompressionName, section, 300).toString()).toBe(text)
    expect((await inflateOffLoop(name as CompressionName, section, 300, clock)).toString()).toBe(text)
    expect(() => inflate(name as CompressionName, section, 299)).toThrow(MalformedRecords)
    await expect(inflateOffLoop(name as CompressionName, section, 299, clock)).rejects.toThrow(MalformedRecords)
  })

  test('snappy as librdkafka sends it: the raw block', () => {
    const raw = Buffer.from(javaSections.snappy, 'hex').subarray(20)
    expect(inflate('snappy', raw, 300).toString()).toBe(text)
  })
})

describe.each(codecs)('%s', (codec) => {
  test('what we deflate comes back, on and off the loop', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.nat(2000), async (piece, times) => {
        const content = Buffer.concat(Array.from({ length: times }, () => piece))
        const section = deflate(codec, content)
        const bytesMax = Math.max(1, content.length)
        expect(inflate(codec, section, bytesMax).equals(content)).toBe(true)
        expect((await inflateOffLoop(codec, section, bytesMax, clock)).equals(content)).toBe(true)
      }),
      { numRuns: 30 },
    )
  })

  test('a level is taken where the codec has one', () => {
    const content = Buffer.alloc(10_000, 'odradek')
    expect(inflate(codec, deflate(codec, content, 1), 10_000).equals(content)).toBe(true)
  })

  test('broken, cut and invented sections are MalformedRecords and nothing else', async () => {
    const valid = deflate(codec, Buffer.alloc(3000, 'some thread, wound up; '))
    const offLoopLater: Buffer[] = []
    const judge = (section: Buffer): void => {
      try {
        expect(inflate(codec, section, MiB).length).toBeLessThanOrEqual(MiB)
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedRecords)
        if (offLoopLater.length < 20) offLoopLater.push(section)
      }
    }
    for (let cut = 0; cut < valid.length; cut++) judge(valid.subarray(0, cut))
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const section = Buffer.from(valid)
        section[at] ^= flip
        judge(section)
      }),
      { numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => judge(Buffer.from(bytes))),
      { numRuns: 200 },
    )
    for (const section of offLoopLater) {
      await expect(inflateOffLoop(codec, section, MiB, clock)).rejects.toBeInstanceOf(MalformedRecords)
    }
  })

  test('every cut of a section longer than a try on the loop is refused off it as well', async () => {
    const noise = Buffer.from(Array.from({ length: 60_000 }, (_, index) => (index * 2_654_435_761) >>> (index % 24)))
    const valid = deflate(codec, noise)
    expect(valid.length).toBeGreaterThan(32 * 1024)
    for (const cut of [valid.length - 1, valid.length - 5, 40_000]) {
      await expect(inflateOffLoop(codec, valid.subarray(0, cut), MiB, clock)).rejects.toBeInstanceOf(MalformedRecords)
    }
  })

  test('a bomb is refused without being opened', async () => {
    const bomb = deflate(codec, Buffer.alloc(100 * MiB))
    const startedMs = performance.now()
    const heldBefore = process.memoryUsage.rss()
    expect(() => inflate(codec, bomb, 2 * MiB)).toThrow(MalformedRecords)
    await expect(inflateOffLoop(codec, bomb, 2 * MiB, clock)).rejects.toThrow(/more than 2097152 bytes/)
    expect(performance.now() - startedMs).toBeLessThan(1000)
    expect(process.memoryUsage.rss() - heldBefore).toBeLessThan(40 * MiB)
  })
})

test('exactly as much as allowed is allowed, also when blocks could hold more', () => {
  const content = Buffer.alloc(5 * MiB + 1, 'abcdefghijk')
  for (const codec of codecs) {
    const section = deflate(codec, content)
    expect(inflate(codec, section, content.length).equals(content), codec).toBe(true)
    expect(() => inflate(codec, section, content.length - 1), codec).toThrow(MalformedRecords)
  }
})

test('snappy claims are judged before anything is allocated', () => {
  const claim = Buffer.from('ffffffff0f00', 'hex')
  expect(() => inflate('snappy', claim, 2 ** 33)).toThrow('claims more than it can hold')
  const frame = Buffer.concat([
    Buffer.from(javaSections.snappy, 'hex').subarray(0, 16),
    Buffer.from('7fffffff00', 'hex'),
  ])
  expect(() => inflate('snappy', frame, MiB)).toThrow('passes its frame')
})

test('a gzip of several members is read whole, as every gzip reader does', () => {
  const section = Buffer.concat([gzipSync('Odra'), gzipSync('dek')])
  expect(inflate('gzip', section, 7).toString()).toBe('Odradek')
  expect(() => inflate('gzip', section, 6)).toThrow(MalformedRecords)
})

test('the zstd package agrees with what is used here, also for a frame without its content size', async () => {
  const codec = packageZstd()
  const section = Buffer.from(javaSections.zstd, 'hex')
  expect(inflateZstd(section, 300, codec).toString()).toBe(text)
  expect((await inflateZstdOffLoop(section, 300, clock, codec)).toString()).toBe(text)
  expect(() => inflateZstd(section, 299, codec)).toThrow(OutputTooLarge)
  await expect(inflateZstdOffLoop(section, 299, clock, codec)).rejects.toThrow(OutputTooLarge)
})

test('inflating off the loop lets other work happen meanwhile', async () => {
  for (const codec of codecs) {
    const section = deflate(codec, Buffer.alloc(32 * MiB, 'turn by turn '))
    let turns = 0
    let counting = true
    const count = (): void => {
      turns++
      if (counting) setImmediate(count)
    }
    setImmediate(count)
    await inflateOffLoop(codec, section, 32 * MiB, clock)
    counting = false
    expect(turns, codec).toBeGreaterThan(3)
  }
})

test('a codec that cannot load refuses by name, each time, and is looked for once', () => {
  let lookups = 0
  const codec = lazyCodec('brotli', 'no-such-package', () => {
    lookups++
    return requirePackage('no-such-package')
  })
  expect(codec).toThrow(CodecUnavailable)
  expect(codec).toThrow('brotli is not available here: package no-such-package does not load (MODULE_NOT_FOUND)')
  expect(lookups).toBe(1)
  for (const name of codecs) expect(codecLoads(name), name).toBe(true)
  expect(codecLoads('none')).toBe(true)
})

test('a zstd section of very many empty blocks takes few turns', async () => {
  let turns = 0
  const counting = { endOfTurn: (task: () => void) => (turns++, setImmediate(task)) }
  const blocks = 3200
  // A frame of one segment whose content size is told as 0, raw blocks of nothing; the last says that it is.
  const section = Buffer.concat([Buffer.from('28b52ffd2000', 'hex'), Buffer.alloc(3 * blocks)])
  section[section.length - 3] = 1
  expect(await inflateZstdOffLoop(section, 300, counting as never, packageZstd())).toHaveLength(0)
  expect(turns).toBe(blocks / 32)
})
