// The composition root: a world, the engine that the store URL names, the broker on it, a listener before it.
// Promises: startBroker answers a broker that takes connections, or rejects with a StartFailure of one line and leaves
// nothing open; close() answers what is in flight and syncs.
// Does not know: argv, signals, the environment (cli/serve).

import { resolve } from 'node:path'
import { DiskError, NetError, type DiskErrorKind, type World } from '../base/world.ts'
import { openBroker, SettingError, type BrokerConfig } from '../broker/broker.ts'
import { AppendFailure, CorruptLog, type Store } from '../log/store.ts'
import { openKafka } from '../protocols/kafka/connection.ts'
import { parseAddress, printAddress, type Address } from './address.ts'
import { composeConfig, embeddedDefaults, layerOfProgram, storeOf, type Config, type StorePlace } from './config.ts'
import { openListener } from './listeners.ts'
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

export async function startBroker(given: Partial<Config> = {}): Promise<RunningBroker> {
  const config = judged(given)
  const world = nodeWorld({ trace: { level: config.logLevel, format: config.logFormat } })
  const { failed, fail } = failure()
  /** What is open, to be closed in reverse. */
  const opened: { close(): Promise<void> }[] = []
  const closeAll = async (): Promise<void> => {
    let first: unknown
    for (const one of opened.splice(0).toReversed()) {
      // One that fails must not keep the next from releasing what it holds.
      await one.close().catch((error: unknown) => (first ??= error))
    }
    if (first !== undefined) throw first
  }
  try {
    const { store, dataPath, clusterId } = await openStore(world, storeOf(config.store) as StorePlace, fail)
    opened.push(store)
    const at = parseAddress(config.kafka, 0) as Address
    // Known once it is there; the broker shows it to operators.
    let listensAt = at
    const broker = await openBroker(
      world,
      store,
      brokerConfig(config, dataPath, clusterId, () => `PLAINTEXT://${printAddress(listensAt)}`),
    )
    opened.push(broker)
    const advertise = config.advertise === undefined ? undefined : parseAddress(config.advertise)
    const kafka = openKafka({
      world,
      openSession: (identity) => broker.session(identity),
      broken: fail,
      ...(advertise === undefined ? {} : { advertise }),
    })
    const listener = await openListener(world, at, (connection) => kafka.converse(connection))
    opened.push({ close: () => listener.drain(drainMs) })
    const { host, port } = listener
    listensAt = { host, port }
    let closing: Promise<void> | undefined
    return {
      kafka: { host, port, address: printAddress({ host, port }) },
      ...(dataPath === undefined ? {} : { dataPath }),
      failed,
      close: () => (closing ??= closeAll()),
    }
  } catch (error) {
    await closeAll().catch(() => {})
    throw startFailure(error, config)
  }
}

/** A program's configuration is judged as the command line's is. */
function judged(given: Partial<Config>): Config {
  const layer = layerOfProgram(given)
  if ('problems' in layer) throw new StartFailure(layer.problems.join('\n'))
  const config = composeConfig([layer], embeddedDefaults)
  if ('problems' in config) throw new StartFailure(config.problems.join('\n'))
  return config
}

function brokerConfig(
  config: Config,
  dataPath: string | undefined,
  clusterId: string | undefined,
  listeners: () => string,
): BrokerConfig {
  return {
    durability: config.durability,
    settings: config.settings,
    dataPath: dataPath ?? 'memory:',
    listeners,
    ...(config.advertise === undefined ? {} : { advertisedListeners: `PLAINTEXT://${config.advertise}` }),
    ...(clusterId === undefined ? {} : { clusterId }),
  }
}

interface OpenedStore {
  readonly store: Store
  readonly dataPath?: string
  readonly clusterId?: string
}

async function openStore(world: World, place: StorePlace, fail: (error: unknown) => void): Promise<OpenedStore> {
  // An engine is loaded when it is used: the others cost a start nothing.
  if (place.kind === 'memory') {
    const { openMemoryStore } = await import('../engines/memory/memory-store.ts')
    return { store: openMemoryStore(world, { bytesMax: memoryStoreBytesMax }) }
  }
  const dataPath = resolve(place.path)
  const { openLocalStore } = await import('../engines/local/local-store.ts')
  const store = await openLocalStore(world, { path: dataPath, onFatal: fail })
  return { store, dataPath, clusterId: store.clusterId }
}

function failure(): { readonly failed: Promise<Error>; readonly fail: (error: unknown) => void } {
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<Error>((resolve) => {
    fail = (error) => resolve(error instanceof Error ? error : new Error(String(error)))
  })
  return { failed, fail }
}

/** One line that says what prevents the start and what to do; a bug goes on as what it is. */
function startFailure(error: unknown, config: Config): unknown {
  if (error instanceof NetError) {
    const stop = error.message.endsWith('already in use') ? 'stop what listens there, or ' : ''
    return new StartFailure(`${error.message}: ${stop}choose another address with --kafka HOST:PORT`)
  }
  if (error instanceof DiskError) {
    // Ours say all there is to say; the kernel's name their error and no way out.
    const advice = / E[A-Z]+: /.test(error.message) ? adviceFor[error.kind] : undefined
    return new StartFailure(advice === undefined ? error.message : `${error.message}; ${advice}`)
  }
  if (error instanceof AppendFailure && error.kind === 'closed') {
    return new StartFailure(`${error.message}: stop it, or choose another folder with --data DIR`)
  }
  if (error instanceof CorruptLog || error instanceof AppendFailure || error instanceof SettingError) {
    return new StartFailure(`${config.store}: ${error.message}`)
  }
  return error
}

const adviceFor: Readonly<Partial<Record<DiskErrorKind, string>>> = {
  denied: 'choose a folder that this user may write with --data DIR',
  exists: 'it is no folder; choose another with --data DIR',
  missing: 'it is no folder; choose another with --data DIR',
  full: 'make room, or choose another folder with --data DIR',
}
