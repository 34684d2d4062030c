// Compression of a batch's records section: inflating a stranger's, deflating our own.
// Promises: never more output than asked for; lying or broken input is a MalformedRecords, a codec that cannot load
// refuses by name. Above 64 KiB of output inflateOffLoop leaves the event loop free.
// Does not know: batches and records; it sees one section of bytes and the name of its codec.

import { gunzip, gunzipSync, gzipSync } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { KiB } from '../base/limits.ts'
import type { Clock } from '../base/world.ts'
import type { CompressionName } from './batch.ts'
import { loadable, OutputTooLarge } from './compression-codec.ts'
import { deflateLz4, inflateLz4, inflateLz4OffLoop, lz4 } from './compression-lz4.ts'
import { deflateSnappy, inflateSnappy, inflateSnappyOffLoop, snappy } from './compression-snappy.ts'
import { deflateZstd, inflateZstd, inflateZstdOffLoop, zstd } from './compression-zstd.ts'
import { MalformedRecords } from './records.ts'

/** Inflating more output than this runs off the loop. */
export const inflateOnLoopBytesMax = 64 * KiB
/** A section above this is not even tried on the loop: it holds more than inflateOnLoopBytesMax, or nearly. */
const tryOnLoopBytesMax = 32 * KiB

/** The codecs whose package loads here; `none` and `gzip` always do. */
export function codecLoads(codec: CompressionName): boolean {
  if (codec === 'snappy') return loadable(snappy)
  if (codec === 'lz4') return loadable(lz4)
  if (codec === 'zstd') return loadable(zstd)
  return true
}

/**
 * The section's content, at most `bytesMax` bytes (an uncompressed section is returned as it is).
 * Throws MalformedRecords for broken or too large content, CodecUnavailable when the codec's package is not there.
 */
export function inflate(codec: CompressionName, section: Buffer, bytesMax: number): Buffer {
  assert(bytesMax > 0, 'an inflated section may hold something')
  try {
    return inflateNow(codec, section, bytesMax)
  } catch (error) {
    throw tooLargeIsMalformed(error, codec, bytesMax)
  }
}

/** As inflate, but what may take long runs on the thread pool or in slices of a turn each. */
export async function inflateOffLoop(
  codec: CompressionName,
  section: Buffer,
  bytesMax: number,
  clock: Pick<Clock, 'endOfTurn'>,
): Promise<Buffer> {
  assert(bytesMax > 0, 'an inflated section may hold something')
  try {
    if (codec === 'none') return section
    if (section.length <= tryOnLoopBytesMax) {
      const small = trySmall(codec, section, Math.min(bytesMax, inflateOnLoopBytesMax))
      if (small !== undefined) return small
    }
    if (codec === 'snappy') return await inflateSnappyOffLoop(section, bytesMax)
    if (codec === 'lz4') return await inflateLz4OffLoop(section, bytesMax)
    if (codec === 'zstd') return await inflateZstdOffLoop(section, bytesMax, clock)
    return await gunzipOffLoop(section, bytesMax)
  } catch (error) {
    throw tooLargeIsMalformed(error, codec, bytesMax)
  }
}

/** Our own section, compressed. `level` is the codec's own scale; only gzip and zstd have one. */
export function deflate(codec: CompressionName, section: Buffer, level?: number): Buffer {
  switch (codec) {
    case 'none':
      return section
    case 'gzip':
      return gzipSync(section, level === undefined ? {} : { level })
    case 'snappy':
      return deflateSnappy(section)
    case 'lz4':
      return deflateLz4(section)
    case 'zstd':
      return deflateZstd(section, level)
  }
}

function inflateNow(codec: CompressionName, section: Buffer, bytesMax: number): Buffer {
  switch (codec) {
    case 'none':
      return section
    case 'gzip':
      return gunzipNow(section, bytesMax)
    case 'snappy':
      return inflateSnappy(section, bytesMax)
    case 'lz4':
      return inflateLz4(section, bytesMax)
    case 'zstd':
      return inflateZstd(section, bytesMax)
  }
}

/** The content when it fits `bytesMax`, undefined when it is larger. */
function trySmall(codec: CompressionName, section: Buffer, bytesMax: number): Buffer | undefined {
  try {
    return inflateNow(codec, section, bytesMax)
  } catch (error) {
    if (error instanceof OutputTooLarge) return undefined
    throw error
  }
}

function tooLargeIsMalformed(error: unknown, codec: CompressionName, bytesMax: number): unknown {
  if (!(error instanceof OutputTooLarge)) return error
  return new MalformedRecords(`a ${codec} section holds more than ${bytesMax} bytes`)
}

// --- gzip -------------------------------------------------------------------------------------------------------

/** What zlib says when maxOutputLength is passed is a RangeError with this code. */
const zlibTooLarge = 'ERR_BUFFER_TOO_LARGE'

function gzipError(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  return code === zlibTooLarge ? new OutputTooLarge() : new MalformedRecords(`a gzip section is broken: ${message}`)
}

function gunzipNow(section: Buffer, bytesMax: number): Buffer {
  try {
    return gunzipSync(section, { maxOutputLength: bytesMax })
  } catch (error) {
    throw gzipError(error)
  }
}

function gunzipOffLoop(section: Buffer, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gunzip(section, { maxOutputLength: bytesMax }, (error, content) => {
      if (error === null) resolve(content)
      else reject(gzipError(error))
    })
  })
}
