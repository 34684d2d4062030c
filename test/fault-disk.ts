// A disk in memory that behaves as badly as disks may, and a world around it with its own time.
// Promises: what was not synced is kept or forgotten by sector at a power cut, by a seed; writes and syncs fail when told.
// Does not know: what is stored on it.

import {
  type Clock,
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskErrorKind,
  type DiskFile,
} from '../src/base/world.ts'
import type { Random, Timer, Trace } from '../src/base/world.ts'

const sectorBytes = 512

/** A small generator of its own, so that a seed is a whole story. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Inode {
  live: Buffer
  bytes: number
  /** What the medium has. */
  stable: Buffer
  stableBytes: number
  readonly dirty: Set<number>
}

type DirectoryChange = { readonly name: string; readonly node: Inode | 'folder' | undefined }

export type FaultyOperation = 'write' | 'sync' | 'syncFolder' | 'open' | 'read'

export class FaultDisk {
  /** Says which operations fail, and how. */
  fault: (operation: FaultyOperation, path: string) => DiskErrorKind | undefined = () => undefined
  readonly openFilesMax = 1024
  /** Says of which file or folder a sync answers and does nothing: a lie that a test of promises must notice. */
  lies: (path: string) => boolean = () => false
  /** Bytes of all files; more is a full disk. */
  capacityBytes = Infinity
  /** Waits before each operation that is a promise. */
  latency: () => Promise<void> = () => new Promise((resolve) => setImmediate(resolve))
  syncs = 0
  #nodes = new Map<string, Inode | 'folder'>()
  #stable = new Map<string, Inode | 'folder'>()
  #changes: DirectoryChange[] = []
  #locks = new Set<string>()
  #boot = 0

  /** The disk as one run of a program sees it: after the next power cut it is dead to it. */
  boot(): Disk {
    const boot = this.#boot
    const alive = (): void => {
      if (boot !== this.#boot) throw new DiskError('io', '', 'the power is off')
    }
    const wait = async (): Promise<void> => {
      await this.latency()
      // A program without power does not learn how its call ended.
      if (boot !== this.#boot) await new Promise(() => {})
    }
    return {
      openFilesMax: this.openFilesMax,
      makeFolder: (path) => (alive(), this.#makeFolder(path)),
      list: (path) => (alive(), this.#list(path)),
      exists: (path) => this.#nodes.has(path),
      open: (path, mode) => (alive(), this.#open(path, mode, alive, wait)),
      readFile: (path) => (alive(), this.#readFile(path)),
      replaceFile: (path, content) => (alive(), this.#replaceFile(path, content, wait)),
      rename: (source, target) => (alive(), this.#rename(source, target)),
      removeFile: (path) => (alive(), this.#remove(path)),
      removeFolder: (path) => (alive(), this.#removeFolder(path)),
      syncFolder: (path) => (alive(), this.#syncFolder(path, wait)),
      freeBytes: () => Math.max(0, this.capacityBytes - this.usedBytes()),
      lock: (path) => this.#lock(path, boot),
    }
  }

  usedBytes(): number {
    let bytes = 0
    for (const node of this.#nodes.values()) if (node !== 'folder') bytes += node.bytes
    return bytes
  }

  paths(): string[] {
    return [...this.#nodes.keys()].sort()
  }

  /** Flips one bit of a stored byte, also on the medium. */
  flip(path: string, position: number): void {
    const node = this.#file(path)
    node.live[position] ^= 1
    if (position < node.stableBytes) node.stable[position] ^= 1
  }

  bytesOf(path: string): number {
    return this.#file(path).bytes
  }

  /** The process dies, the machine does not: all that was written is there. */
  kill(): void {
    this.#boot++
    this.#locks.clear()
  }

  /** The power goes: of what was not synced, each sector and each name is kept or lost. */
  crash(random: () => number): void {
    this.kill()
    const keep = [0, 1, random()][Math.floor(random() * 3)]
    const seen = new Set<Inode>()
    for (const node of [...this.#nodes.values(), ...this.#stable.values()]) {
      if (node === 'folder' || seen.has(node)) continue
      seen.add(node)
      settle(node, keep, random)
    }
    const names = new Map(this.#stable)
    for (const { name, node } of this.#changes) {
      if (random() >= keep) continue
      if (node === undefined) names.delete(name)
      else names.set(name, node)
    }
    const all = [...names.keys()]
    for (const name of all) if (!hasParent(names, name)) names.delete(name)
    this.#nodes = names
    this.#stable = new Map(names)
    this.#changes = []
  }

  #file(path: string): Inode {
    const node = this.#nodes.get(path)
    if (node === undefined || node === 'folder') throw new DiskError('missing', path, 'no such file')
    return node
  }

  #change(name: string, node: Inode | 'folder' | undefined): void {
    if (node === undefined) this.#nodes.delete(name)
    else this.#nodes.set(name, node)
    this.#changes.push({ name, node })
  }

  #makeFolder(path: string): void {
    for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) {
      if (!this.#nodes.has(path.slice(0, at))) this.#change(path.slice(0, at), 'folder')
    }
    if (!this.#nodes.has(path)) this.#change(path, 'folder')
  }

  #list(path: string): DiskEntry[] {
    const entries: DiskEntry[] = []
    for (const [name, node] of this.#nodes) {
      if (parentOf(name) === path) entries.push({ name: name.slice(path.length + 1), isFolder: node === 'folder' })
    }
    return entries.sort((one, other) => (one.name < other.name ? -1 : 1))
  }

  #fail(operation: FaultyOperation, path: string): void {
    const kind = this.fault(operation, path)
    if (kind !== undefined) throw new DiskError(kind, path, `${operation} failed, as the test asked`)
  }

  #open(path: string, mode: 'create' | 'read', alive: () => void, wait: () => Promise<void>): DiskFile {
    this.#fail('open', path)
    let node = this.#nodes.get(path)
    if (node === undefined) {
      if (mode === 'read') throw new DiskError('missing', path, 'no such file')
      if (this.#nodes.get(parentOf(path)) !== 'folder') throw new DiskError('missing', path, 'no such folder')
      node = emptyInode()
      this.#change(path, node)
    }
    if (node === 'folder') throw new DiskError('exists', path, 'is a folder')
    return this.#handle(path, node, mode, alive, wait)
  }

  #handle(path: string, node: Inode, mode: string, alive: () => void, wait: () => Promise<void>): DiskFile {
    let isOpen = true
    const check = (): void => {
      alive()
      if (!isOpen) throw new Error(`${path} is used after it was closed`)
    }
    const put = (chunks: readonly Uint8Array[], position: number): void => {
      check()
      if (mode === 'read') throw new DiskError('denied', path, 'opened to read')
      this.#fail('write', path)
      this.#put(path, node, chunks, position)
    }
    return {
      path,
      bytes: () => (check(), node.bytes),
      writeNow: put,
      write: async (chunks, position) => {
        check()
        await wait()
        put(chunks, position)
      },
      readNow: (target, position) => (
        check(),
        this.#fail('read', path),
        node.live.copy(target, 0, position, node.bytes)
      ),
      read: async (target, position) => {
        check()
        await wait()
        check()
        this.#fail('read', path)
        return position >= node.bytes ? 0 : node.live.copy(target, 0, position, node.bytes)
      },
      sync: async () => {
        check()
        // What is synced is what was written before the call; later writes may or may not be.
        const dirty = [...node.dirty]
        const { bytes } = node
        await wait()
        this.#fail('sync', path)
        this.syncs++
        if (!this.lies(path)) harden(node, dirty, bytes)
      },
      truncate: (bytes) => {
        check()
        resize(node, bytes)
      },
      allocate: (bytes) => {
        if (bytes > node.bytes) put([Buffer.alloc(bytes - node.bytes)], node.bytes)
      },
      close: () => {
        check()
        isOpen = false
      },
    }
  }

  #put(path: string, node: Inode, chunks: readonly Uint8Array[], position: number): void {
    const content = Buffer.concat(chunks)
    const room = this.capacityBytes - this.usedBytes() + node.bytes - position
    const fits = content.subarray(0, Math.max(0, Math.min(content.length, room)))
    if (fits.length > 0) overwrite(node, fits, position)
    if (fits.length < content.length) throw new DiskError('full', path, 'no space left')
  }

  #readFile(path: string): Buffer | undefined {
    const node = this.#nodes.get(path)
    return node === undefined || node === 'folder' ? undefined : Buffer.from(node.live.subarray(0, node.bytes))
  }

  async #replaceFile(path: string, content: Uint8Array, wait: () => Promise<void>): Promise<void> {
    const node = emptyInode()
    this.#put(path, node, [content], 0)
    harden(node, [...node.dirty], node.bytes)
    await wait()
    this.#fail('write', path)
    this.#change(path, node)
    await this.#syncFolder(parentOf(path), wait)
  }

  #rename(source: string, target: string): void {
    const node = this.#file(source)
    this.#change(target, node)
    this.#change(source, undefined)
  }

  #remove(path: string): void {
    if (this.#nodes.has(path)) this.#change(path, undefined)
  }

  #removeFolder(path: string): void {
    const inside = [...this.#nodes.keys()].filter((name) => name === path || name.startsWith(`${path}/`))
    for (const name of inside.reverse()) this.#change(name, undefined)
  }

  async #syncFolder(path: string, wait: () => Promise<void>): Promise<void> {
    const changes = new Set(this.#changes.filter(({ name }) => parentOf(name) === path))
    await wait()
    this.#fail('syncFolder', path)
    if (this.lies(path)) return
    for (const { name, node } of changes) {
      if (node === undefined) this.#stable.delete(name)
      else this.#stable.set(name, node)
    }
    // A folder that is synced is itself there: its parents' names are journalled before.
    for (const change of this.#changes) {
      if (change.node === 'folder' && (path === change.name || path.startsWith(`${change.name}/`))) {
        this.#stable.set(change.name, 'folder')
      }
    }
    this.#changes = this.#changes.filter((change) => !changes.has(change))
  }

  #lock(path: string, boot: number): { release(): void } | { heldBy: string } {
    if (this.#locks.has(path)) return { heldBy: 'another' }
    this.#locks.add(path)
    return { release: () => void (boot === this.#boot && this.#locks.delete(path)) }
  }
}

const emptyInode = (): Inode => ({
  live: Buffer.alloc(0),
  bytes: 0,
  stable: Buffer.alloc(0),
  stableBytes: 0,
  dirty: new Set(),
})

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

function hasParent(names: ReadonlyMap<string, Inode | 'folder'>, name: string): boolean {
  for (let parent = parentOf(name); parent !== ''; parent = parentOf(parent)) {
    if (names.get(parent) !== 'folder') return false
  }
  return true
}

function grown(buffer: Buffer, bytes: number): Buffer {
  if (bytes <= buffer.length) return buffer
  const larger = Buffer.alloc(Math.max(bytes, buffer.length * 2, 4096))
  buffer.copy(larger)
  return larger
}

function overwrite(node: Inode, content: Buffer, position: number): void {
  const end = position + content.length
  node.live = grown(node.live, end)
  if (position > node.bytes) node.live.fill(0, node.bytes, position)
  content.copy(node.live, position)
  node.bytes = Math.max(node.bytes, end)
  for (let at = Math.floor(position / sectorBytes); at * sectorBytes < end; at++) node.dirty.add(at)
}

function resize(node: Inode, bytes: number): void {
  node.live = grown(node.live, bytes)
  node.live.fill(0, Math.min(bytes, node.bytes))
  for (
    let at = Math.floor(Math.min(bytes, node.bytes) / sectorBytes);
    at * sectorBytes < Math.max(bytes, node.bytes);
    at++
  ) {
    node.dirty.add(at)
  }
  node.bytes = bytes
}

function harden(node: Inode, dirty: readonly number[], bytes: number): void {
  node.stable = grown(node.stable, node.live.length)
  for (const sector of dirty) {
    node.live.copy(node.stable, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes)
    node.dirty.delete(sector)
  }
  node.stableBytes = bytes
}

/** After the power cut: each unsynced sector is the new one or the old one, and the size follows. */
function settle(node: Inode, keep: number, random: () => number): void {
  node.stable = grown(node.stable, node.live.length)
  let bytes = node.bytes < node.stableBytes && random() < keep ? node.bytes : node.stableBytes
  for (const sector of [...node.dirty].sort((one, other) => one - other)) {
    if (random() >= keep) continue
    node.live.copy(node.stable, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes)
    if (sector * sectorBytes < node.bytes) bytes = Math.max(bytes, Math.min(node.bytes, (sector + 1) * sectorBytes))
  }
  node.stable.fill(0, Math.min(bytes, node.stable.length))
  node.live = Buffer.from(node.stable)
  node.bytes = bytes
  node.stableBytes = bytes
  node.dirty.clear()
}

export interface TestWorld {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly trace: Trace
  /** Nothing of this program runs any more. */
  stop(): void
  /** Resolves after `ms` of this world's time. */
  sleep(ms: number): Promise<void>
}

/** A world of its own time: it jumps to the next timer whenever nothing else is to do. */
export function testWorld(disk: Disk, seed: number): TestWorld {
  const random = seeded(seed)
  const counters = new Map<string, number>()
  const timers: { at: number; task: () => void }[] = []
  let now = 1_700_000_000_000
  let isStopped = false
  let isRunning = false
  const run = (): void => {
    isRunning = false
    if (isStopped || timers.length === 0) return
    timers.sort((one, other) => one.at - other.at)
    const { at, task } = timers.shift() as { at: number; task: () => void }
    now = Math.max(now, at)
    schedule()
    task()
  }
  const schedule = (): void => {
    if (isRunning || timers.length === 0) return
    isRunning = true
    setImmediate(run)
  }
  const after = (delayMs: number, task: () => void): Timer => {
    const timer = { at: now + delayMs, task }
    timers.push(timer)
    schedule()
    return { cancel: () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1)) }
  }
  const silent = (): void => {}
  return {
    clock: {
      nowMs: () => now,
      monotonicMs: () => now,
      after,
      endOfTurn: (task) => void setImmediate(() => isStopped || task()),
    },
    random: {
      bytes: (bytes) => Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256))),
      fraction: random,
    },
    disk,
    trace: {
      info: silent,
      warn: silent,
      error: silent,
      count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
      counters: () => counters,
    },
    stop: () => void (isStopped = true),
    sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
  }
}
