// All ledgers of a broker: opened, written once a turn for all of them together, replayed at start.
// Promises: what is closed together with an append is closed with it or not at all; a replay asks no order of records.
// Does not know: queues, what messages hold; it sees offsets and the logs they are in by name.

import { assert } from '../../base/assert.ts'
import type { World } from '../../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../../log/machine.ts'
import type { AppendEntry } from '../../log/store.ts'
import type { LedgerClosing, LedgerId, LedgerPart, LedgersPart } from './parts.ts'

export class Ledgers implements Machine, LedgersPart {
  readonly kind = 7
  readonly appliesItself = true
  readonly #world: World
  #machineLog: MachineLog | undefined

  constructor(world: World) {
    this.#world = world
  }

  /** Once the machine log is replayed. */
  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  apply(_key: Buffer, _value: Buffer | null): void {}

  *entries(): Generator<MachineRecord> {}

  reset(): void {}

  replayed(): void {}

  open(_id: LedgerId, _start: number, _levels: number, _isVolatile: boolean): LedgerPart {
    assert(this.#world === undefined || this.#machineLog === undefined, 'not built')
    throw new Error('not built')
  }

  release(_id: LedgerId): void {}

  recordsForForgotten(_id: LedgerId): readonly MachineRecord[] {
    return []
  }

  append(_alongside: readonly AppendEntry[]): Promise<void> {
    return Promise.resolve()
  }

  appendClosing(_alongside: readonly AppendEntry[], _closings: readonly LedgerClosing[]): Promise<void> {
    return Promise.resolve()
  }
}
