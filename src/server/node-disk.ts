// The real disk: node:fs behind base/world's Disk.
// Promises: partial writes are continued, errors come as DiskError with the path, sync is fdatasync.
// Does not know: what is stored. The lock is node-lock.ts.

import fs from 'node:fs'
import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import { DiskError, type Disk, type DiskEntry, type DiskErrorKind, type DiskFile } from '../base/world.ts'
import { takeLock } from './node-lock.ts'

/** Where /proc does not tell: what every system gives. */
const openFilesAtLeast = 1024

/** The process's soft limit, which Node raises to the hard one when it starts. */
function openFilesMax(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))
    return line === null ? openFilesAtLeast : Number(line[1])
  } catch {
    return openFilesAtLeast
  }
}

export function nodeDisk(): Disk {
  return {
    openFilesMax: openFilesMax(),
    makeFolder: (path) => attempt(path, () => void fs.mkdirSync(path, { recursive: true })),
    list: (path) => attempt(path, () => list(path)),
    exists: (path) => fs.existsSync(path),
    open: (path, mode) => attempt(path, () => new NodeFile(path, mode)),
    readFile: (path) => attempt(path, () => readFile(path)),
    replaceFile,
    rename: (source, target) => attempt(source, () => fs.renameSync(source, target)),
    removeFile: (path) => attempt(path, () => removeFile(path)),
    removeFolder: (path) => attempt(path, () => fs.rmSync(path, { recursive: true, force: true })),
    syncFolder,
    freeBytes: (path) => attempt(path, () => freeBytes(path)),
    lock: (path) => attempt(path, () => takeLock(path)),
  }
}

const kinds: Readonly<Record<string, DiskErrorKind>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
}

function diskError(error: unknown, path: string): DiskError {
  if (error instanceof DiskError) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  // The path is said already.
  return new DiskError(kinds[code] ?? 'io', path, message.replace(` '${path}'`, ''))
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw diskError(error, path)
  }
}

/** From here on, giving the blocks back to the file system takes long enough to be felt. */
const largeFileBytes = 4 * 1024 * 1024

/** The name goes at once; a large file's blocks go with its last descriptor, which is closed off the loop. */
function removeFile(path: string): void {
  const bytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const descriptor = bytes < largeFileBytes ? undefined : fs.openSync(path, 'r')
  fs.rmSync(path, { force: true })
  if (descriptor !== undefined) fs.close(descriptor, () => {})
}

function list(path: string): DiskEntry[] {
  if (!fs.existsSync(path)) return []
  const entries = fs.readdirSync(path, { withFileTypes: true })
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  return entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
}

function readFile(path: string): Buffer | undefined {
  try {
    return fs.readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function freeBytes(path: string): number {
  const { bavail, bsize } = fs.statfsSync(path)
  return bavail * bsize
}

async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const fresh = `${path}.new`
  try {
    const handle = await fs.promises.open(fresh, 'w')
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.promises.rename(fresh, path)
  } catch (error) {
    throw diskError(error, path)
  }
  await syncFolder(dirname(path))
}

async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await fs.promises.open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw diskError(error, path)
  }
}

/** How much is zero-filled at a time when a file is made longer. */
const zeros = Buffer.alloc(1024 * 1024)

class NodeFile implements DiskFile {
  readonly path: string
  #fd: number

  constructor(path: string, mode: 'create' | 'read') {
    this.path = path
    const { O_RDWR, O_CREAT, O_RDONLY } = fs.constants
    this.#fd = fs.openSync(path, mode === 'create' ? O_RDWR | O_CREAT : O_RDONLY, 0o644)
  }

  bytes(): number {
    return attempt(this.path, () => fs.fstatSync(this.#fd).size)
  }

  writeNow(chunks: readonly Uint8Array[], position: number): void {
    try {
      let at = position
      let rest = chunks
      while (rest.length > 0) {
        // One chunk goes by write: it is cheaper than a vector of one.
        const wrote = rest.length === 1 ? this.#writeOne(rest[0], at) : fs.writevSync(this.#fd, [...rest], at)
        at += wrote
        rest = unwritten(rest, wrote)
      }
    } catch (error) {
      throw diskError(error, this.path)
    }
  }

  #writeOne(chunk: Uint8Array, at: number): number {
    return fs.writeSync(this.#fd, chunk, 0, chunk.byteLength, at)
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let at = position
      let rest = chunks
      const step = (): void => {
        if (rest.length === 0) return resolve()
        fs.writev(this.#fd, rest as Uint8Array[], at, (error, wrote) => {
          if (error !== null) return reject(diskError(error, this.path))
          at += wrote
          rest = unwritten(rest, wrote)
          step()
        })
      }
      step()
    })
  }

  readNow(target: Uint8Array, position: number): number {
    return attempt(this.path, () => {
      let done = 0
      while (done < target.length) {
        const count = fs.readSync(this.#fd, target, done, target.length - done, position + done)
        if (count === 0) break
        done += count
      }
      return done
    })
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let done = 0
      const step = (): void => {
        fs.read(this.#fd, target, done, target.length - done, position + done, (error, count) => {
          if (error !== null) return reject(diskError(error, this.path))
          done += count
          if (count === 0 || done === target.length) return resolve(done)
          step()
        })
      }
      step()
    })
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#fd, (error) => (error === null ? resolve() : reject(diskError(error, this.path))))
    })
  }

  truncate(bytes: number): void {
    attempt(this.path, () => fs.ftruncateSync(this.#fd, bytes))
  }

  allocate(bytes: number): void {
    // Zeros are really written: room reserved by a sparse file could still be missing when it is needed.
    let at = this.bytes()
    while (at < bytes) {
      const piece = zeros.subarray(0, Math.min(zeros.length, bytes - at))
      this.writeNow([piece], at)
      at += piece.length
    }
  }

  close(): void {
    assert(this.#fd >= 0, `${this.path} is closed once`)
    const fd = this.#fd
    this.#fd = -1
    attempt(this.path, () => fs.closeSync(fd))
  }
}

/** What is left of `chunks` after `wrote` bytes of them. */
function unwritten(chunks: readonly Uint8Array[], wrote: number): readonly Uint8Array[] {
  let left = wrote
  let at = 0
  while (at < chunks.length && left >= chunks[at].byteLength) left -= chunks[at++].byteLength
  if (at === chunks.length) return []
  const rest = chunks.slice(at)
  rest[0] = rest[0].subarray(left)
  return rest
}
