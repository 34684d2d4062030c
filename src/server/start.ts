// The composition root: a world, the engine that the store URL names, the broker on it, a listener before it.
// Promises: startBroker answers a broker that takes connections, or rejects with a StartFailure of one line and leaves
// nothing open; close() answers what is in flight and syncs.
// Does not know: argv, signals, the environment (cli/serve).

import { DiskError, NetError, type Connection, type World } from '../base/world.ts'
import { openMemoryStore } from '../engines/memory/memory-store.ts'
import { CorruptLog, type Store } from '../log/store.ts'
import { parseAddress, printAddress } from './address.ts'
import { composeConfig, embeddedDefaults, layerOfProgram, storeOf, type Config, type StorePlace } from './config.ts'
import { openListener, type Drainable, type OpenListener } from './listeners.ts'
import { nodeWorld } from './node-world.ts'

export interface RunningBroker {
  /** Where Kafka clients connect. `address` is host:port. */
  readonly kafka: { readonly host: string; readonly port: number; readonly address: string }
  /** The data folder; undefined in memory. */
  readonly dataPath?: string
  /** Resolves when storage failed for good: nothing can be promised any more and the process should end. */
  readonly failed: Promise<Error>
  /** Stops accepting, answers what is in flight, syncs, releases the data folder. May be called again. */
  close(): Promise<void>
}

/** Why a broker did not start: a line for people. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure'
}

/** How long requests under way may take to be answered when the broker closes. */
const drainMs = 1000
/** The memory store holds no more than this: a test that never ends must not take the machine down. */
const memoryStoreBytesMax = 1024 * 1024 * 1024

/** The broker as the listener sees it. */
interface Core {
  converse(connection: Connection): Drainable
  close(): Promise<void>
}

export async function startBroker(given: Partial<Config> = {}): Promise<RunningBroker> {
  const layer = layerOfProgram(given)
  if ('problems' in layer) throw new StartFailure(layer.problems.join('\n'))
  const config = composeConfig([layer], embeddedDefaults)
  if ('problems' in config) throw new StartFailure(config.problems.join('\n'))
  const world = nodeWorld({ trace: { level: config.logLevel, format: config.logFormat } })
  const place = storeOf(config.store) as StorePlace
  const { failed, fail } = failure()
  const opened: (() => Promise<void>)[] = []
  try {
    const store = await openStore(world, place, fail)
    opened.push(() => store.close())
    const core = await openCore(world, store, config, place, fail)
    opened.push(() => core.close())
    const at = parseAddress(config.kafka, 0) as { host: string; port: number }
    const listener = await openListener(world, at, (connection) => core.converse(connection))
    return running(listener, core, store, place, failed)
  } catch (error) {
    for (const close of opened.toReversed()) await close().catch(() => {})
    throw startFailure(error, config)
  }
}

function running(
  listener: OpenListener,
  core: Core,
  store: Store,
  place: StorePlace,
  failed: Promise<Error>,
): RunningBroker {
  const { host, port } = listener
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await listener.drain(drainMs)
    await core.close()
    await store.close()
  }
  return {
    kafka: { host, port, address: printAddress({ host, port }) },
    ...(place.kind === 'file' ? { dataPath: place.path } : {}),
    failed,
    close: () => (closing ??= close()),
  }
}

function failure(): { readonly failed: Promise<Error>; readonly fail: (error: unknown) => void } {
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<Error>((resolve) => {
    fail = (error) => resolve(error instanceof Error ? error : new Error(String(error)))
  })
  return { failed, fail }
}

function openStore(world: World, place: StorePlace, fail: (error: unknown) => void): Promise<Store> {
  void fail
  if (place.kind === 'memory') return Promise.resolve(openMemoryStore(world, { bytesMax: memoryStoreBytesMax }))
  return Promise.reject(new StartFailure('file: stores are not built yet'))
}

function openCore(
  world: World,
  store: Store,
  config: Config,
  place: StorePlace,
  fail: (error: unknown) => void,
): Promise<Core> {
  void [world, store, config, place, fail]
  return Promise.reject(new StartFailure('the broker is not built yet'))
}

/** One line that says what prevents the start and what to do; a bug goes on as what it is. */
function startFailure(error: unknown, config: Config): unknown {
  if (error instanceof StartFailure) return error
  if (error instanceof NetError) {
    return new StartFailure(
      `${error.message}: stop what listens there or choose another address with --kafka HOST:PORT`,
    )
  }
  if (error instanceof DiskError) {
    const advice: Readonly<Partial<Record<DiskError['kind'], string>>> = {
      denied: 'this user may not write there; choose another folder with --data DIR',
      full: 'the disk is full; make room or choose another folder with --data DIR',
    }
    return new StartFailure(`${config.store}: ${advice[error.kind] ?? 'the disk failed'} (${error.message})`)
  }
  if (error instanceof CorruptLog) return new StartFailure(`${config.store}: ${error.message}`)
  return error
}
