// A broker for one test, in memory or in a folder of its own, and things to wait for.
// Promises: listens on a free port; close() removes what it made. A wait ends with its event, or fails after 15 s.
// Does not know: clients.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer, type RunningServer } from '../../src/server/start.ts'

export const stores = ['memory:', 'file:'] as const
export type StoreKind = (typeof stores)[number]

export interface Place {
  readonly address: string
  /** What RabbitMQ's clients take. */
  readonly url: string
  /** Where its data is; undefined: in memory. */
  readonly folder: string | undefined
  /** Ends the broker and starts another on the same data; only where there is data. */
  restart(): Promise<void>
  close(): Promise<void>
}

export async function openPlace(
  kind: StoreKind,
  settings: Readonly<Record<string, string | number | boolean>> = {},
): Promise<Place> {
  const folder = kind === 'file:' ? mkdtempSync(join(tmpdir(), 'odradek-e2e-')) : undefined
  const start = (kafka: string, amqp: string): Promise<RunningServer> =>
    startServer({ store: folder === undefined ? kind : `file:${folder}`, kafka, amqp, settings })
  let broker = await start('127.0.0.1:0', '127.0.0.1:0')
  return {
    folder,
    get address() {
      return broker.kafka.address
    },
    get url() {
      return broker.amqp.url
    },
    restart: async () => {
      const { kafka, amqp } = broker
      await broker.close()
      broker = await start(kafka.address, amqp.address)
    },
    close: async () => {
      await broker.close()
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

const waitMsMax = 15_000

/** The promise, or an error that says what was waited for. */
export function within<T>(what: string, promise: Promise<T>, waitMs = waitMsMax): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${waitMs} ms`)), waitMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Values as they come, and ways to wait for a state of them. */
export class Arrivals<T> {
  readonly all: T[] = []
  private readonly waiting = new Set<() => void>()

  add(...values: readonly T[]): void {
    this.all.push(...values)
    const waiting = Array.from(this.waiting)
    for (const look of waiting) look()
  }

  /** Resolves once `holds` is true of all that arrived, now or after a later arrival. */
  until(what: string, holds: (all: readonly T[]) => boolean): Promise<readonly T[]> {
    const happened = new Promise<readonly T[]>((resolve) => {
      const look = (): void => {
        if (!holds(this.all)) return
        this.waiting.delete(look)
        resolve(this.all)
      }
      this.waiting.add(look)
      look()
    })
    return within(`${what} (${this.all.length} arrived at first)`, happened).catch((error: Error) => {
      throw new Error(`${error.message}; ${this.all.length} arrived`)
    })
  }
}
