// odradek serve: configuration to a running broker to its orderly end.
// Promises: one ready line with real addresses; SIGTERM and SIGINT answer what is in flight, sync and exit 0; what
// prevents a start is one line each on stderr, and exit 1; of a wrong configuration exit 2.
// Does not know: the broker. startServer composes it.

import { relative, resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { isLoopback, printAddress } from '../server/address.ts'
import type { Said } from '../server/setting-problems.ts'
import {
  composeConfig,
  layerOfEnvironment,
  serveDefaults,
  type Config,
  type ConfigProblems,
  type Layer,
  type OptionName,
} from '../server/config.ts'
import { StartFailure } from '../server/embedding.ts'
import { nodeDisk } from '../server/node-disk.ts'
import { nodeClock } from '../server/node-world.ts'
import { startServer, type RunningServer } from '../server/start.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { version } from './version.ts'

export interface ServeFlags {
  readonly data?: string
  readonly store?: string
  readonly kafka?: string
  readonly amqp?: string
  readonly advertise?: string
  readonly durability?: string
  readonly logLevel?: string
  readonly config?: string
  readonly set?: readonly string[]
  readonly json?: boolean
}

/**
 * The young generation stays as small as it begins: what a broker allocates dies at once, so that a larger one costs
 * tens of megabytes and saves nothing. Only here: a process that embeds a broker has its own mind about its heap.
 */
const keepYoungGenerationSmall = (): void => setFlagsFromString('--semi-space-growth-factor=1')

export async function serve(flags: ServeFlags, env: NodeJS.ProcessEnv): Promise<void> {
  keepYoungGenerationSmall()
  const config = await readConfig(flags, env)
  if ('problems' in config) throw new CommandFailure(config.problems.join('\n'), exitCodes.usage)
  let broker: RunningServer
  try {
    broker = await startServer(config)
  } catch (error) {
    if (error instanceof StartFailure) throw new CommandFailure(error.message)
    throw error
  }
  watchForEnd(broker)
  process.stdout.write(flags.json === true ? readyLine(broker) : greeting(broker, config))
  const { host, address } = broker.kafka
  if (address !== 'off' && !isLoopback(host)) {
    process.stderr.write(
      `warning: ${address} can be reached from other machines and there is no authentication yet: ` +
        'anybody who reaches it may read and delete everything\n',
    )
  }
}

export async function readConfig(flags: ServeFlags, env: NodeJS.ProcessEnv): Promise<Config | ConfigProblems> {
  const layers: Layer[] = [layerOfFlags(flags), layerOfEnvironment(env)]
  const path = flags.config ?? env.ODRADEK_CONFIG
  if (path !== undefined) {
    const { readConfigFile } = await import('../server/config-file.ts')
    const layer = readConfigFile(nodeDisk(), path, flags.config === undefined ? 'ODRADEK_CONFIG' : '--config')
    if ('problems' in layer) return layer
    layers.push(layer)
  }
  return composeConfig(layers, { ...serveDefaults, logFormat: flags.json === true ? 'json' : 'line' })
}

function layerOfFlags(flags: ServeFlags): Layer {
  const options = new Map<OptionName, Said>()
  const say = (name: OptionName, as: string, text: string | undefined): void => {
    if (text !== undefined) options.set(name, { as, text })
  }
  say('data', '--data', flags.data)
  say('store', '--store', flags.store)
  say('kafka', '--kafka', flags.kafka)
  say('amqp', '--amqp', flags.amqp)
  say('advertise', '--advertise', flags.advertise)
  say('durability', '--durability', flags.durability)
  say('logLevel', '--log-level', flags.logLevel)
  const settings = new Map<string, Said>()
  for (const pair of flags.set ?? []) {
    const cut = pair.indexOf('=')
    if (cut <= 0) throw new CommandFailure(`--set: ${JSON.stringify(pair)} is not key=value`, exitCodes.usage)
    const name = pair.slice(0, cut).trim()
    settings.set(name, { as: `--set ${name}`, text: pair.slice(cut + 1).trim() })
  }
  return { options, settings }
}

/** The process ends by a signal, in order, or by a storage failure, at once: nothing can be promised any more. */
function watchForEnd(broker: RunningServer): void {
  let isEnding = false
  const end = (): void => {
    if (isEnding) process.exit(exitCodes.failure)
    isEnding = true
    broker.close().then(
      () => process.exit(exitCodes.ok),
      (error: unknown) => fail(error),
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  void broker.failed.then(fail)
}

function fail(error: unknown): void {
  process.stderr.write(`odradek: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(exitCodes.failure)
}

function readyLine(broker: RunningServer): string {
  const ready = {
    ready: true,
    kafka: broker.kafka.address,
    amqp: broker.amqp.address,
    data: broker.dataPath ?? null,
    pid: process.pid,
    startMs: Math.round(nodeClock().monotonicMs()),
  }
  return `${JSON.stringify(ready)}\n`
}

const durabilityMeans: Readonly<Record<Config['durability'], string>> = {
  commit: 'commit: what is acknowledged is synced to the disk and survives a power cut',
  os: 'os: what is acknowledged survives the end of this process, NOT a power cut or a crash of the machine',
}

function greeting(broker: RunningServer, config: Config): string {
  const odradek = ownCommand(process.argv[1] ?? 'odradek')
  const { host, port } = broker.kafka
  const near = printAddress({ host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port })
  const to = near === '127.0.0.1:9092' ? '' : ` --kafka ${near}`
  const data = broker.dataPath === undefined ? 'in memory only: gone when this process ends' : resolve(broker.dataPath)
  const toTry = [
    'Try, in another terminal:',
    `  echo 'hello' | ${odradek} produce orders${to}`,
    `  ${odradek} consume orders --from-beginning${to}`,
    `  ${odradek} topics list${to}`,
    '',
  ]
  return [
    `Odradek ${version} is ready after ${Math.round(nodeClock().monotonicMs())} ms.`,
    '',
    `  Kafka clients     ${broker.kafka.address}${config.advertise === undefined ? '' : `, advertised as ${config.advertise}`}`,
    `  RabbitMQ clients  ${broker.amqp.url || 'off'}`,
    `  Data              ${data}`,
    ...(broker.dataPath === undefined ? [] : [`  Durability        ${durabilityMeans[config.durability]}`]),
    '',
    ...(port === 0 ? [] : toTry),
    'Ctrl-C stops it.',
    '',
  ].join('\n')
}

/** How this program was called, so that what the greeting shows can be typed. */
function ownCommand(script: string): string {
  if (script.includes('_npx') || script.includes('node_modules')) return 'npx odradek'
  return /\.[jt]s$/.test(script) ? `node ${relative('.', script)}` : 'odradek'
}
