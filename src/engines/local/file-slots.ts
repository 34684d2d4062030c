// Open files, at most a given number of them: thousands of partitions under a ulimit of 1024.
// Promises: a slot's file is open when use() returns and stays so until the next use() of another, or release().
// Does not know: what is in the files.

import { assert } from '../../base/assert.ts'
import type { Disk, DiskFile } from '../../base/world.ts'

/** One file that is opened when needed. */
export class FileSlot {
  readonly path: string
  mode: 'create' | 'read'
  file: DiskFile | undefined
  /** Work off the loop under way on it: it must not be closed. */
  holds = 0
  usedAt = 0

  constructor(path: string, mode: 'create' | 'read') {
    this.path = path
    this.mode = mode
  }
}

export class FileSlots {
  readonly #disk: Disk
  readonly #openFilesMax: number
  readonly #open = new Set<FileSlot>()
  #ticks = 0

  constructor(disk: Disk, openFilesMax: number) {
    this.#disk = disk
    this.#openFilesMax = openFilesMax
  }

  use(slot: FileSlot): DiskFile {
    slot.usedAt = ++this.#ticks
    if (slot.file !== undefined) return slot.file
    if (this.#open.size >= this.#openFilesMax) this.#closeSome()
    slot.file = this.#disk.open(slot.path, slot.mode)
    this.#open.add(slot)
    return slot.file
  }

  hold(slot: FileSlot): DiskFile {
    const file = this.use(slot)
    slot.holds++
    return file
  }

  release(slot: FileSlot): void {
    assert(slot.holds > 0, `${slot.path} is held`)
    slot.holds--
  }

  /** Closes now, or not at all while held: then the last open file of a removed name goes with the process. */
  drop(slot: FileSlot): void {
    if (slot.file === undefined || slot.holds > 0) return
    slot.file.close()
    slot.file = undefined
    this.#open.delete(slot)
  }

  closeAll(): void {
    for (const slot of this.#open) {
      slot.holds = 0
      this.drop(slot)
    }
  }

  /** An eighth at once: finding those unused for longest costs a sort of all. */
  #closeSome(): void {
    const unused = [...this.#open].filter(({ holds }) => holds === 0).toSorted((a, b) => a.usedAt - b.usedAt)
    for (const slot of unused.slice(0, Math.ceil(this.#openFilesMax / 8))) this.drop(slot)
  }
}
