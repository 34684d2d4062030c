// LZ4 frames as Kafka clients send them since magic 2: the standard frame with a correct header checksum.
// Promises: the frame is walked and its output bounded before it is opened; what passes the limit is never allocated.
// Does not know: batches and records; the wrong header checksum of magic 0 and 1 (KAFKA-3160), which we do not read.
//
// The frame, lz4_Frame_format.md: magic 04 22 4d 18, FLG, BD, content size (8, when FLG bit 3), header checksum, then
// blocks: a little-endian length (bit 31: stored), the bytes, a checksum (4, when FLG bit 4); length 0 ends; then the
// content's checksum (4, when FLG bit 2).

import { KiB } from '../base/limits.ts'
import { lazyCodec, OutputTooLarge, requirePackage } from './compression-codec.ts'
import { MalformedRecords } from './records.ts'

interface Lz4Package {
  compressFrameSync(input: Buffer): Buffer
  decompressFrameSync(input: Buffer): Buffer
  decompressFrame(input: Buffer): Promise<Buffer>
}

export const lz4 = lazyCodec('lz4', 'lz4-napi', () => requirePackage('lz4-napi') as Lz4Package)

const frameMagic = 0x184d2204
const blockBytesMaxOf = [0, 0, 0, 0, 64 * KiB, 256 * KiB, 1024 * KiB, 4096 * KiB]
/** A run's length grows by 255 a byte: no compressed block holds more than this many times its own size. */
const expansionMax = 255

type Measure = (frame: Buffer, from: number, end: number, blockBytesMax: number) => number

/** What a block can hold at most, from its size alone. */
const boundOfBlock: Measure = (_frame, from, end, blockBytesMax) => Math.min(blockBytesMax, expansionMax * (end - from))

/**
 * Throws when the frame is not whole, or holds more than `bytesMax`. Its bound passing the limit proves nothing yet,
 * for most last blocks are not full: only then the content is measured, which costs a walk of every sequence.
 */
function judgeFrame(frame: Buffer, bytesMax: number): void {
  if (contentFits(frame, bytesMax, boundOfBlock)) return
  if (!contentFits(frame, bytesMax, measuredBlock)) throw new OutputTooLarge()
}

/** Walks the frame's blocks. False as soon as they measure more than `bytesMax`. */
function contentFits(frame: Buffer, bytesMax: number, measure: Measure): boolean {
  if (frame.length < 11 || frame.readUInt32LE(0) !== frameMagic) throw new MalformedRecords('no lz4 frame')
  const flags = frame[4]
  const blockBytesMax = blockBytesMaxOf[(frame[5] >> 4) & 7]
  if (flags >> 6 !== 1 || blockBytesMax === 0) throw new MalformedRecords('an lz4 frame of an unknown kind')
  if ((flags & 0x01) !== 0) throw new MalformedRecords('an lz4 frame with a dictionary')
  const blockTail = (flags & 0x10) !== 0 ? 4 : 0
  let at = (flags & 0x08) !== 0 ? 15 : 7
  let content = 0
  for (;;) {
    if (at + 4 > frame.length) throw new MalformedRecords('an lz4 frame without its end')
    const word = frame.readUInt32LE(at)
    at += 4
    if (word === 0) break
    const length = word & 0x7fff_ffff
    if (length > blockBytesMax || length > frame.length - at)
      throw new MalformedRecords('an lz4 block passes its frame')
    content += word >= 0x8000_0000 ? length : measure(frame, at, at + length, blockBytesMax)
    if (content > bytesMax) return false
    at += length + blockTail
  }
  if ((flags & 0x04) !== 0) at += 4
  if (at !== frame.length) throw new MalformedRecords('an lz4 frame has not the length of its section')
  return true
}

/** How many bytes a compressed block holds: its sequences' lengths, nothing copied (lz4_Block_format.md). */
function measuredBlock(frame: Buffer, from: number, end: number): number {
  let bytes = 0
  let at = from
  const run = (short: number): number => {
    let length = short
    if (short < 15) return length
    for (let more = 255; more === 255;) {
      if (at >= end) throw new MalformedRecords('an lz4 run passes its block')
      more = frame[at++]
      length += more
    }
    return length
  }
  while (at < end) {
    const token = frame[at++]
    const literals = run(token >> 4)
    at += literals
    bytes += literals
    if (at > end) throw new MalformedRecords('an lz4 run passes its block')
    if (at === end) break
    at += 2
    bytes += run(token & 15) + 4
  }
  return bytes
}

const broken = (error: unknown): MalformedRecords =>
  new MalformedRecords(`an lz4 section is broken: ${(error as Error).message}`)

export function inflateLz4(section: Buffer, bytesMax: number): Buffer {
  const { decompressFrameSync } = lz4()
  judgeFrame(section, bytesMax)
  try {
    return decompressFrameSync(section)
  } catch (error) {
    throw broken(error)
  }
}

export async function inflateLz4OffLoop(section: Buffer, bytesMax: number): Promise<Buffer> {
  const { decompressFrame } = lz4()
  judgeFrame(section, bytesMax)
  try {
    return await decompressFrame(section)
  } catch (error) {
    throw broken(error)
  }
}

export function deflateLz4(section: Buffer): Buffer {
  return lz4().compressFrameSync(section)
}
