// Codecs from optional packages: loaded on first use, refused by name when they are not there.
// Promises: a package is required once; a missing one costs one failed lookup, then a CodecUnavailable a call.
// Does not know: any codec's format.

import { createRequire } from 'node:module'

/** The package behind a codec is not installed or has no binary for this platform. */
export class CodecUnavailable extends Error {
  override readonly name = 'CodecUnavailable'
  readonly codec: string
  constructor(codec: string, packageName: string, cause: string) {
    super(`${codec} is not available here: package ${packageName} does not load (${cause})`)
    this.codec = codec
  }
}

/** More output than was asked for. Never leaves the compression files: it becomes a MalformedRecords. */
export class OutputTooLarge extends Error {
  override readonly name = 'OutputTooLarge'
}

const require = createRequire(import.meta.url)

/** A function that loads `packageName` once and then answers from memory. */
export function lazyCodec<T>(codec: string, packageName: string, load: () => T): () => T {
  let loaded: { readonly api: T } | { readonly missing: CodecUnavailable } | undefined
  return () => {
    if (loaded === undefined) {
      try {
        loaded = { api: load() }
      } catch (error) {
        const cause = (error as NodeJS.ErrnoException).code ?? (error as Error).message
        loaded = { missing: new CodecUnavailable(codec, packageName, cause) }
      }
    }
    if ('missing' in loaded) throw loaded.missing
    return loaded.api
  }
}

export function requirePackage(packageName: string): unknown {
  return require(packageName)
}

export function loadable(codec: () => unknown): boolean {
  try {
    codec()
    return true
  } catch {
    return false
  }
}
