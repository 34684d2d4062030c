// The composition root: a world, the engine that the store URL names, the broker on it, listeners before it.
// Promises: startServer answers a broker that takes connections, or rejects with a StartFailure of one line and leaves
// nothing open; close() answers what is in flight and syncs.
// Does not know: argv, signals, the environment (cli/serve); what an embedding program sees of it (embedded.ts).

import { resolve } from 'node:path'
import { loadNativeCrc32c } from '../base/crc32c.ts'
import { DiskError, NetError, type Clock, type Connection, type DiskErrorKind, type World } from '../base/world.ts'
import { openBroker, SettingError, type Broker, type BrokerConfig } from '../broker/broker.ts'
import type { Session, SessionIdentity } from '../broker/door.ts'
import { AppendFailure, CorruptLog, type Store } from '../log/store.ts'
import { openAmqp } from '../protocols/amqp/connection.ts'
import { openKafka } from '../protocols/kafka/connection.ts'
import { parseAddress, printAddress } from './address.ts'
import { adminSocketPath } from './admin-path.ts'
import { composeConfig, embeddedDefaults, layerOfProgram, storeOf, type Config, type StorePlace } from './config.ts'
import { StartFailure } from './embedding.ts'
import { openListener, type Drainable, type OpenListener } from './listeners.ts'
import type { HttpListener } from './node-http.ts'
import { nodeWorld } from './node-world.ts'
import type { ClientProtocol, Surroundings } from './surroundings.ts'

/** Where clients connect. `address` is host:port; of a listener that is off it is `off`, and the port 0. */
export interface Listening {
  readonly host: string
  readonly port: number
  readonly address: string
}

export interface RunningServer {
  readonly kafka: Listening
  /** `url` is what RabbitMQ's clients take whole; empty when off. */
  readonly amqp: Listening & { readonly url: string }
  /** The data folder; undefined in memory. */
  readonly dataPath?: string
  /** The socket file of the command line; undefined in memory, and where no such file can be. */
  readonly adminSocket?: string
  /** The broker's. */
  readonly clock: Clock
  /** The door, for this process itself. */
  session(identity: SessionIdentity): Session
  /** Resolves when storage failed for good: nothing can be promised any more and the process should end. */
  readonly failed: Promise<Error>
  /** Says so: what storage and protocols do when they find out. */
  fail(error: unknown): void
  /** Stops accepting, answers what is in flight, syncs, releases the data folder. May be called again. */
  close(): Promise<void>
}

/** How long requests under way may take to be answered when the broker closes. */
const drainMs = 1000
/** The memory store holds no more than this: a test that never ends must not take the machine down. */
const memoryStoreBytesMax = 1024 * 1024 * 1024

export async function startServer(
  given: Partial<Config> = {},
  surroundings: Surroundings = {},
  words: Words = flagWords,
): Promise<RunningServer> {
  const config = judged(given)
  const real = nodeWorld({ trace: { level: config.logLevel, format: config.logFormat } })
  const world = surroundings.clock === undefined ? real : { ...real, clock: surroundings.clock(real.clock) }
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
    const engine = await openStore(world, storeOf(config.store) as StorePlace, fail)
    const { dataPath, clusterId } = engine
    const store = surroundings.store?.(engine.store) ?? engine.store
    opened.push(store)
    // Known once it is there; the broker shows it to operators.
    let kafka = off
    const broker = await openBroker(
      world,
      store,
      brokerConfig(config, dataPath, clusterId, () => `PLAINTEXT://${kafka.address}`),
    )
    opened.push(broker)
    const listeners = await openListeners(real, surroundings, config, broker, fail, words)
    opened.push({ close: () => listeners.drain(drainMs) })
    kafka = listeners.kafka
    const { amqp } = listeners
    const openSession = (identity: SessionIdentity): Session => broker.session(identity)
    const admin = dataPath === undefined ? undefined : await openAdmin(real, dataPath, openSession)
    if (admin !== undefined) opened.push({ close: () => admin.drain(drainMs) })
    let closing: Promise<void> | undefined
    return {
      kafka,
      amqp: { ...amqp, url: amqp.port === 0 ? '' : `amqp://guest:guest@${amqp.address}` },
      ...(dataPath === undefined ? {} : { dataPath }),
      ...(dataPath === undefined || admin === undefined ? {} : { adminSocket: adminSocketPath(dataPath) }),
      clock: world.clock,
      session: openSession,
      failed,
      fail,
      close: () => (closing ??= closeAll()),
    }
  } catch (error) {
    await closeAll().catch(() => {})
    throw startFailure(error, config, words)
  }
}

const off: Listening = { host: '', port: 0, address: 'off' }

/** A listener for each protocol that is not off: all of them, or none is left open. */
async function openListeners(
  world: World,
  { net }: Surroundings,
  config: Config,
  broker: Broker,
  broken: (error: unknown) => void,
  words: Words,
): Promise<{ readonly kafka: Listening; readonly amqp: Listening; drain(timeoutMs: number): Promise<void> }> {
  const open: OpenListener[] = []
  const listen = async (
    option: ClientProtocol,
    converse: () => (connection: Connection) => Drainable,
  ): Promise<Listening> => {
    const at = parseAddress(config[option], 0)
    if (at === undefined) return off
    const near = net === undefined ? world : { ...world, net: net(world.net, option) }
    const listener = await openListener(near, at, converse()).catch((error: unknown) => {
      throw error instanceof NetError ? new StartFailure(listenFailure(error, option, words)) : error
    })
    open.push(listener)
    const { host, port } = listener
    return { host, port, address: printAddress({ host, port }) }
  }
  const openSession = (identity: SessionIdentity): Session => broker.session(identity)
  const advertise = config.advertise === undefined ? undefined : parseAddress(config.advertise)
  try {
    const kafka = await listen('kafka', () => {
      const { converse } = openKafka({ world, openSession, broken, ...(advertise === undefined ? {} : { advertise }) })
      return converse
    })
    const amqp = await listen(
      'amqp',
      () => openAmqp({ world, openSession, broken, clusterName: broker.clusterId }).converse,
    )
    return {
      kafka,
      amqp,
      drain: async (timeoutMs) => void (await Promise.all(open.map((listener) => listener.drain(timeoutMs)))),
    }
  } catch (error) {
    for (const listener of open) listener.destroy()
    throw error
  }
}

/** How whoever started the broker says where things are. */
export interface Words {
  readonly folder: string
  readonly say: (option: ClientProtocol, value: string) => string
}

const flagWords: Words = { folder: '--data DIR', say: (option, value) => `--${option} ${value}` }

function listenFailure(error: NetError, option: ClientProtocol, { say }: Words): string {
  const stop = error.message.endsWith('already in use') ? 'stop what listens there, or ' : ''
  const orOff = option === 'amqp' ? `, or ${say(option, 'off')}` : ''
  return `${error.message}: ${stop}choose another address with ${say(option, 'HOST:PORT')}${orOff}`
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

async function openAdmin(
  world: World,
  dataPath: string,
  openSession: (identity: SessionIdentity) => Session,
): Promise<HttpListener | undefined> {
  // In memory there is none: what it needs of Node is not loaded for nothing.
  const { openAdminSocket } = await import('./admin-socket.ts')
  return openAdminSocket(world, dataPath, openSession)
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
  // What is read back is checked: better now than with the first clients.
  loadNativeCrc32c()
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
function startFailure(error: unknown, config: Config, { folder }: Words): unknown {
  if (error instanceof DiskError) {
    // Ours say all there is to say; the kernel's name their error and no way out.
    const advice = / E[A-Z]+: /.test(error.message) ? adviceFor[error.kind] : undefined
    return new StartFailure(advice === undefined ? error.message : `${error.message}; ${advice} with ${folder}`)
  }
  if (error instanceof AppendFailure && error.kind === 'closed') {
    return new StartFailure(`${error.message}: stop it, or choose another folder with ${folder}`)
  }
  if (error instanceof CorruptLog || error instanceof AppendFailure || error instanceof SettingError) {
    return new StartFailure(`${config.store}: ${error.message}`)
  }
  return error
}

const adviceFor: Readonly<Partial<Record<DiskErrorKind, string>>> = {
  denied: 'choose a folder that this user may write',
  exists: 'it is no folder; choose another',
  missing: 'it is no folder; choose another',
  full: 'make room, or choose another folder',
}
