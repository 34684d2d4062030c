// Names of topics that are being made, changed or unmade: one change at a time.
// Promises: who finds a name free takes it in the same turn; a change that failed frees its names like any other.
// Does not know: what a change is.

import { assert } from '../../base/assert.ts'

const keyOf = (vhost: string, name: string): string => `${vhost}\0${name}`

export class NameTurns {
  readonly #busy = new Map<string, Promise<unknown>>()

  /** Who wants to change a topic waits while this gives something, and asks again in the same turn as it goes on. */
  busyWith(vhost: string, names: readonly string[]): Promise<unknown> | undefined {
    if (this.#busy.size === 0) return undefined
    return names.map((name) => this.#busy.get(keyOf(vhost, name))).find((one) => one !== undefined)
  }

  async whileBusy<T>(vhost: string, names: readonly string[], task: () => Promise<T>): Promise<T> {
    const done = task()
    const settled = done.then(
      () => undefined,
      () => undefined,
    )
    for (const name of names) {
      assert(!this.#busy.has(keyOf(vhost, name)), 'one change a topic at a time')
      this.#busy.set(keyOf(vhost, name), settled)
    }
    try {
      return await done
    } finally {
      for (const name of names) this.#busy.delete(keyOf(vhost, name))
    }
  }
}
