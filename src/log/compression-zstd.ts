// Zstandard frames: node:zlib where it has them (Node 22.15), else the package @cloudpss/zstd.
// Promises: output stops at the limit, whatever a frame's head claims; a frame cut short is refused.
// Does not know: batches and records; dictionaries.
//
// A frame, RFC 8878 §3.1.1: magic 28 b5 2f fd, descriptor, window (1, unless single segment), dictionary id (0–4),
// content size (0–8), blocks of a three-byte head (last, type, size) each, checksum (4, when the descriptor says so).

import * as zlib from 'node:zlib'
import { KiB } from '../base/limits.ts'
import type { Clock } from '../base/world.ts'
import { lazyCodec, OutputTooLarge, requirePackage } from './compression-codec.ts'
import { MalformedRecords } from './records.ts'

type Done = (error: Error | null, content: Buffer) => void

/** What node:zlib has since 22.15; the types of Node 20 do not know it. */
interface ZlibZstd {
  zstdCompressSync(input: Uint8Array, options: { params?: Record<number, number> }): Buffer
  zstdDecompressSync(input: Uint8Array, options: { maxOutputLength: number }): Buffer
  zstdDecompress(input: Uint8Array, options: { maxOutputLength: number }, done: Done): void
}

/** The part of @cloudpss/zstd's native binding that is used. `data` answers with pieces of at most 128 KiB. */
interface NativeZstd {
  compress(data: Buffer, level: number): Buffer
  decompress(data: Buffer, bytesMax: number): Buffer
  readonly Decompressor: new () => { data(input: Buffer, take: (piece: Buffer) => void): void }
}

type ZstdApi =
  { readonly kind: 'zlib'; readonly api: ZlibZstd } | { readonly kind: 'package'; readonly api: NativeZstd }

export const zstd = lazyCodec('zstd', '@cloudpss/zstd', (): ZstdApi => {
  const builtIn = zlib as unknown as ZlibZstd
  if (typeof builtIn.zstdCompressSync === 'function') return { kind: 'zlib', api: builtIn }
  return packageZstd()
})

/** The package, whether node:zlib could do it or not; exported for the test that compares both. */
export function packageZstd(): ZstdApi {
  const loaded = requirePackage('@cloudpss/zstd/napi') as { readonly _NapiBindings: NativeZstd }
  return { kind: 'package', api: loaded._NapiBindings }
}

const defaultLevel = 3
const frameMagic = 0xfd2fb528
const blockContentBytesMax = 128 * KiB
/** Blocks that come to less are opened together, so many at most: a batch may be a million empty ones. */
const littleBytes = 16 * KiB
const littleBlocksMax = 32
const compressionLevelParam = 100
const zlibTooLarge = 'ERR_BUFFER_TOO_LARGE'
/** How the package says that a frame announces more than it may. */
const packageTooLarge = 'Content size is too large'

export function deflateZstd(section: Buffer, level = defaultLevel): Buffer {
  const { kind, api } = zstd()
  if (kind === 'package') return api.compress(section, level)
  return api.zstdCompressSync(section, { params: { [compressionLevelParam]: level } })
}

export function inflateZstd(section: Buffer, bytesMax: number, codec: ZstdApi = zstd()): Buffer {
  const blocks = frameBlocks(section)
  try {
    if (codec.kind === 'zlib') return codec.api.zstdDecompressSync(section, { maxOutputLength: bytesMax })
    return codec.api.decompress(section, bytesMax)
  } catch (error) {
    const reason = zstdError(error)
    // The package judges a frame without a content size by its blocks, full ones: it may still be small enough.
    if (codec.kind === 'zlib' || !(reason instanceof OutputTooLarge)) throw reason
    const opening = new FrameOpening(codec.api, section, bytesMax)
    for (const end of blocks) opening.feed(end)
    return opening.content()
  }
}

export async function inflateZstdOffLoop(
  section: Buffer,
  bytesMax: number,
  clock: Pick<Clock, 'endOfTurn'>,
  codec: ZstdApi = zstd(),
): Promise<Buffer> {
  const blocks = frameBlocks(section)
  if (codec.kind === 'zlib') {
    return new Promise((resolve, reject) => {
      codec.api.zstdDecompress(section, { maxOutputLength: bytesMax }, (error, content) => {
        if (error === null) resolve(content)
        else reject(zstdError(error))
      })
    })
  }
  // The package has no call off the loop: one block, at most 128 KiB and some 0.1 ms, a turn, or some that hold little.
  const opening = new FrameOpening(codec.api, section, bytesMax)
  let openedBefore = 0
  for (const [index, end] of blocks.entries()) {
    opening.feed(end)
    if (opening.bytes - openedBefore < littleBytes && index % littleBlocksMax !== littleBlocksMax - 1) continue
    openedBefore = opening.bytes
    await new Promise<void>((resolve) => clock.endOfTurn(resolve))
  }
  return opening.content()
}

function zstdError(error: unknown): Error {
  if (error instanceof OutputTooLarge) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === zlibTooLarge || message === packageTooLarge) return new OutputTooLarge()
  return new MalformedRecords(`a zstd section is broken: ${message}`)
}

/** A frame being opened block by block with the package's stream. */
class FrameOpening {
  private readonly section: Buffer
  private readonly bytesMax: number
  private readonly stream: InstanceType<NativeZstd['Decompressor']>
  private readonly pieces: Buffer[] = []
  bytes = 0
  private fed = 0

  constructor(api: NativeZstd, section: Buffer, bytesMax: number) {
    this.section = section
    this.bytesMax = bytesMax
    this.stream = new api.Decompressor()
  }

  /** Opens the section up to `end`. */
  feed(end: number): void {
    const part = this.section.subarray(this.fed, end)
    this.fed = end
    try {
      this.stream.data(part, (piece) => {
        this.bytes += piece.length
        if (this.bytes > this.bytesMax) throw new OutputTooLarge()
        this.pieces.push(piece)
      })
    } catch (error) {
      throw zstdError(error)
    }
  }

  content(): Buffer {
    return Buffer.concat(this.pieces, this.bytes)
  }
}

/** Where each block of the one frame ends; the last end is the section's. Throws when the frame is not whole. */
function frameBlocks(section: Buffer): number[] {
  if (section.length < 6 || section.readUInt32LE(0) !== frameMagic) throw new MalformedRecords('no zstd frame')
  const descriptor = section[4]
  const singleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes + sizeBytes
  const ends: number[] = []
  for (let last = false; !last;) {
    if (at + 3 > section.length) throw new MalformedRecords('a zstd frame without its end')
    const head = section.readUIntLE(at, 3)
    last = (head & 1) !== 0
    const type = (head >> 1) & 3
    const size = head >> 3
    if (type === 3 || size > blockContentBytesMax) throw new MalformedRecords('a zstd block of an unknown kind')
    at += 3 + (type === 1 ? 1 : size)
    if (at > section.length) throw new MalformedRecords('a zstd block passes its frame')
    ends.push(at)
  }
  at += (descriptor & 0x04) !== 0 ? 4 : 0
  if (at !== section.length) throw new MalformedRecords('a zstd frame has not the length of its section')
  ends[ends.length - 1] = at
  return ends
}
