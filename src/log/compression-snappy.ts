// Snappy as Kafka clients send it: one raw block (librdkafka) or blocks in xerial's frame (Java, kafkajs).
// Promises: a block's claimed length is judged against the block and the limit before anything is allocated.
// Does not know: batches and records. We write xerial's frame, which every client reads.
//
// The frame, xerial/snappy-java SnappyOutputStream: 0x82 "SNAPPY" 0x00, version int32, compatible version int32, then
// blocks, each an int32 length and one raw snappy block. A raw block begins with its content's length as a varint.

import { KiB } from '../base/limits.ts'
import { lazyCodec, OutputTooLarge, requirePackage } from './compression-codec.ts'
import { MalformedRecords } from './records.ts'

interface SnappyPackage {
  compressSync(input: Uint8Array): Buffer
  uncompressSync(input: Uint8Array): Buffer
  uncompress(input: Uint8Array): Promise<Buffer>
}

export const snappy = lazyCodec('snappy', 'snappy', () => requirePackage('snappy') as SnappyPackage)

const frameMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const frameHead = Buffer.concat([frameMagic, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])
/** What snappy-java puts into one block. */
const blockContentBytes = 32 * KiB
/** The densest element, a copy of 64 bytes, takes three: no block can hold more than this many times its own size. */
const expansionMax = 22

/** One raw block of a section and the length it claims. */
interface RawBlock {
  readonly bytes: Buffer
  readonly claimed: number
}

/** The raw blocks of a section, their claims judged: together at most `bytesMax`. */
function rawBlocks(section: Buffer, bytesMax: number): RawBlock[] {
  const blocks: RawBlock[] = []
  let total = 0
  const take = (bytes: Buffer): void => {
    const claimed = claimedLength(bytes)
    if (claimed > expansionMax * bytes.length) throw new MalformedRecords('a snappy block claims more than it can hold')
    total += claimed
    if (total > bytesMax) throw new OutputTooLarge()
    blocks.push({ bytes, claimed })
  }
  if (section.length < frameMagic.length || frameMagic.compare(section, 0, frameMagic.length) !== 0) {
    take(section)
    return blocks
  }
  let at = frameHead.length
  if (section.length < at) throw new MalformedRecords('a snappy frame ends in its head')
  while (at < section.length) {
    if (at + 4 > section.length) throw new MalformedRecords('a snappy frame ends in a block length')
    const length = section.readInt32BE(at)
    at += 4
    if (length < 1 || length > section.length - at) throw new MalformedRecords('a snappy block passes its frame')
    take(section.subarray(at, at + length))
    at += length
  }
  return blocks
}

/** The varint that a raw block begins with. */
function claimedLength(block: Buffer): number {
  let value = 0
  for (let index = 0; index < 5 && index < block.length; index++) {
    const byte = block[index]
    value += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) return value
  }
  throw new MalformedRecords('a snappy block without a length')
}

const broken = (error: unknown): MalformedRecords =>
  new MalformedRecords(`a snappy section is broken: ${(error as Error).message}`)

export function inflateSnappy(section: Buffer, bytesMax: number): Buffer {
  const { uncompressSync } = snappy()
  const blocks = rawBlocks(section, bytesMax)
  try {
    return joined(
      blocks,
      blocks.map((block) => uncompressSync(block.bytes)),
    )
  } catch (error) {
    throw broken(error)
  }
}

export async function inflateSnappyOffLoop(section: Buffer, bytesMax: number): Promise<Buffer> {
  const { uncompress } = snappy()
  const blocks = rawBlocks(section, bytesMax)
  try {
    const contents: Buffer[] = []
    for (const block of blocks) contents.push(await uncompress(block.bytes))
    return joined(blocks, contents)
  } catch (error) {
    throw broken(error)
  }
}

function joined(blocks: readonly RawBlock[], contents: readonly Buffer[]): Buffer {
  for (const [index, content] of contents.entries()) {
    if (content.length !== blocks[index].claimed) throw new MalformedRecords('a snappy block lies about its length')
  }
  return contents.length === 1 ? contents[0] : Buffer.concat(contents)
}

export function deflateSnappy(section: Buffer): Buffer {
  const { compressSync } = snappy()
  const parts: Buffer[] = [frameHead]
  for (let at = 0; at < section.length; at += blockContentBytes) {
    const block = compressSync(section.subarray(at, at + blockContentBytes))
    const length = Buffer.allocUnsafe(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}
