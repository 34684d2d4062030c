// The disk that scratch logs see: files that stay in memory until they hold a named number of bytes.
// Promises: a small transient queue makes no file and no folder; beyond the bound, for one file or for all together, a
// file moves to the real disk whole. Syncs do nothing: scratch is wiped at the start. Does not know: logs, segments.

import { dirname } from 'node:path'
import { DiskError, type Disk, type DiskEntry, type DiskFile } from '../../base/world.ts'
import { scratchFileBytesMax, scratchMemoryBytesMax } from './options.ts'

const firstBytes = 1024
const none = Buffer.alloc(0)

/** One file: in memory, or on the disk since it grew. */
class ScratchFile {
  readonly path: string
  memory: Buffer = none
  bytes = 0
  isSpilled = false

  constructor(path: string) {
    this.path = path
  }
}

export class ScratchDisk {
  readonly #disk: Disk
  readonly #folders = new Map<string, Map<string, ScratchFile>>()
  /** Bytes of memory that files take now. */
  #memoryBytes = 0

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** As the segments want it: the verbs that a log's folder needs; the rest goes to the real disk. */
  asDisk(): Disk {
    const disk = this.#disk
    return {
      openFilesMax: disk.openFilesMax,
      makeFolder: (path) => void this.#folder(path),
      list: (path) => this.#list(path),
      exists: (path) => this.#find(path) !== undefined,
      open: (path, mode) => this.#open(path, mode),
      readFile: (path) => this.#readFile(path),
      replaceFile: (path, content) => disk.replaceFile(path, content),
      rename: (source, target) => this.#rename(source, target),
      removeFile: (path) => this.#remove(path),
      removeFolder: (path) => this.#removeFolder(path),
      syncFolder: () => Promise.resolve(),
      freeBytes: (path) => disk.freeBytes(path),
      lock: (path) => disk.lock(path),
    }
  }

  #folder(path: string): Map<string, ScratchFile> {
    let folder = this.#folders.get(path)
    if (folder === undefined) this.#folders.set(path, (folder = new Map()))
    return folder
  }

  #find(path: string): ScratchFile | undefined {
    return this.#folders.get(dirname(path))?.get(path)
  }

  #list(path: string): DiskEntry[] {
    const names = [...(this.#folders.get(path)?.keys() ?? [])].map((file) => file.slice(path.length + 1))
    return names.toSorted().map((name) => ({ name, isFolder: false }))
  }

  #open(path: string, mode: 'create' | 'read'): DiskFile {
    let file = this.#find(path)
    if (file === undefined) {
      if (mode === 'read') throw new DiskError('missing', path, 'there is no such scratch file')
      file = new ScratchFile(path)
      this.#folder(dirname(path)).set(path, file)
    }
    return new OpenScratchFile(this, file)
  }

  #readFile(path: string): Buffer | undefined {
    const file = this.#find(path)
    if (file === undefined) return undefined
    return file.isSpilled ? this.#disk.readFile(path) : Buffer.from(file.memory.subarray(0, file.bytes))
  }

  #rename(source: string, target: string): void {
    const file = this.#find(source)
    if (file === undefined) throw new DiskError('missing', source, 'there is no such scratch file')
    this.#remove(target)
    const renamed = new ScratchFile(target)
    renamed.memory = file.memory
    renamed.bytes = file.bytes
    renamed.isSpilled = file.isSpilled
    if (file.isSpilled) this.#disk.rename(source, target)
    this.#folder(dirname(source)).delete(source)
    this.#folder(dirname(target)).set(target, renamed)
  }

  #remove(path: string): void {
    const file = this.#find(path)
    if (file === undefined) return
    this.#folder(dirname(path)).delete(path)
    this.#memoryBytes -= file.memory.length
    file.memory = none
    file.bytes = 0
    if (file.isSpilled) this.#disk.removeFile(path)
  }

  #removeFolder(path: string): void {
    const files = [...(this.#folders.get(path)?.values() ?? [])]
    const isOnDisk = files.some((file) => file.isSpilled)
    for (const file of files) this.#remove(file.path)
    this.#folders.delete(path)
    if (isOnDisk) this.#disk.removeFolder(path)
  }

  /** Room for `bytes` in memory, or the file is moved to the disk. */
  reserve(file: ScratchFile, bytes: number): void {
    if (file.isSpilled || bytes <= file.memory.length) return
    const size = Math.max(firstBytes, 2 ** Math.ceil(Math.log2(bytes)))
    const more = size - file.memory.length
    if (bytes > scratchFileBytesMax || this.#memoryBytes + more > scratchMemoryBytesMax) return this.#spill(file)
    const larger = Buffer.alloc(size)
    file.memory.copy(larger, 0, 0, file.bytes)
    file.memory = larger
    this.#memoryBytes += more
  }

  #spill(file: ScratchFile): void {
    this.#disk.makeFolder(dirname(file.path))
    const real = this.#disk.open(file.path, 'create')
    try {
      real.truncate(0)
      real.writeNow([file.memory.subarray(0, file.bytes)], 0)
    } finally {
      real.close()
    }
    this.#memoryBytes -= file.memory.length
    file.memory = none
    file.isSpilled = true
  }

  openReal(path: string): DiskFile {
    return this.#disk.open(path, 'create')
  }
}

class OpenScratchFile implements DiskFile {
  readonly path: string
  readonly #disk: ScratchDisk
  readonly #file: ScratchFile
  #real: DiskFile | undefined

  constructor(disk: ScratchDisk, file: ScratchFile) {
    this.path = file.path
    this.#disk = disk
    this.#file = file
  }

  /** The file on the disk, once it is there. */
  #onDisk(): DiskFile | undefined {
    if (!this.#file.isSpilled) return undefined
    return (this.#real ??= this.#disk.openReal(this.path))
  }

  bytes(): number {
    return this.#onDisk()?.bytes() ?? this.#file.bytes
  }

  writeNow(chunks: readonly Uint8Array[], position: number): void {
    const real = this.#prepare(chunks, position)
    if (real === undefined) this.#fill(chunks, position)
    else real.writeNow(chunks, position)
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    const real = this.#prepare(chunks, position)
    if (real === undefined) this.#fill(chunks, position)
    else await real.write(chunks, position)
  }

  #prepare(chunks: readonly Uint8Array[], position: number): DiskFile | undefined {
    let end = position
    for (const chunk of chunks) end += chunk.length
    this.#disk.reserve(this.#file, end)
    return this.#onDisk()
  }

  #fill(chunks: readonly Uint8Array[], position: number): void {
    const file = this.#file
    if (position > file.bytes) file.memory.fill(0, file.bytes, position)
    for (const chunk of chunks) {
      file.memory.set(chunk, position)
      position += chunk.length
    }
    file.bytes = Math.max(file.bytes, position)
  }

  readNow(target: Uint8Array, position: number): number {
    const real = this.#onDisk()
    if (real !== undefined) return real.readNow(target, position)
    const { memory, bytes } = this.#file
    const count = Math.max(0, Math.min(target.length, bytes - position))
    target.set(memory.subarray(position, position + count))
    return count
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const real = this.#onDisk()
    return real === undefined ? this.readNow(target, position) : real.read(target, position)
  }

  sync(): Promise<void> {
    return Promise.resolve()
  }

  truncate(bytes: number): void {
    const real = this.#onDisk()
    if (real !== undefined) return real.truncate(bytes)
    this.#disk.reserve(this.#file, bytes)
    const grown = this.#onDisk()
    if (grown !== undefined) return grown.truncate(bytes)
    if (bytes > this.#file.bytes) this.#file.memory.fill(0, this.#file.bytes, bytes)
    this.#file.bytes = bytes
  }

  allocate(bytes: number): void {
    if (bytes > this.bytes()) this.truncate(bytes)
  }

  close(): void {
    this.#real?.close()
    this.#real = undefined
  }
}
