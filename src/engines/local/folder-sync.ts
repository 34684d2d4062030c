// The folder of all logs: which journal entries promise names in it that may not be on the medium.
// Promises: an entry is let go only when the folder was synced after the names were made or removed.
// Does not know: what is in the logs.

import type { Disk } from '../../base/world.ts'

export class FolderSync {
  /** The lowest journal entry that is still needed for the names in the folder. */
  dirtySince = Infinity
  #dirtyAfterSync = Infinity
  /** Names to be removed that are still there, and the entries that promised it. */
  readonly #held = new Map<string, number>()
  /** Removed since the last sync began: they may come back with a power cut. */
  readonly #removed = new Set<string>()
  #syncing: Promise<void> = Promise.resolve()
  readonly #disk: Disk
  readonly #path: string

  constructor(disk: Disk, path: string) {
    this.#disk = disk
    this.#path = path
  }

  dirtyAt(sequence: number): void {
    this.dirtySince = Math.min(this.dirtySince, sequence)
    this.#dirtyAfterSync = Math.min(this.#dirtyAfterSync, sequence)
  }

  hold(name: string, sequence: number): void {
    this.#held.set(name, sequence)
  }

  /** The name is gone, though perhaps not on the medium. */
  release(name: string): void {
    const sequence = this.#held.get(name)
    this.#held.delete(name)
    this.#removed.add(name)
    if (sequence !== undefined) this.dirtyAt(sequence)
  }

  heldSince(): number {
    let since = Infinity
    for (const sequence of this.#held.values()) since = Math.min(since, sequence)
    return since
  }

  /** Its removal was promised, and a power cut or a failure may still show what it held. */
  isLingering(name: string): boolean {
    return this.#held.has(name) || this.#removed.has(name)
  }

  /** One at a time: an earlier one that ends must not answer for what only a later one covers. */
  sync(): Promise<void> {
    this.#syncing = this.#syncing.catch(() => undefined).then(() => this.#syncNow())
    return this.#syncing
  }

  async #syncNow(): Promise<void> {
    if (this.dirtySince === Infinity) return
    this.#dirtyAfterSync = Infinity
    this.#removed.clear()
    await this.#disk.syncFolder(this.#path)
    this.dirtySince = this.#dirtyAfterSync
  }
}
