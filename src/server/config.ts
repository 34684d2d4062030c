// The configuration: its options, where each may be said, and which saying wins.
// Promises: flag > environment > file > default; an unknown key or a bad value is one line that names option, value and
// what is allowed, and no broker starts on it.
// Does not know: argv, process.env or files; they come in as layers (cli/serve, config-file). Broker settings are judged
// by the broker's own table.

import { parseAddress } from './address.ts'
import type { TraceLevel } from './node-trace.ts'
import { settingProblems, type Said } from './setting-problems.ts'

/** All that a broker is told at its start, judged; what each means is said at BrokerOptions (embedding.ts). */
export interface Config {
  readonly store: string
  readonly kafka: string
  readonly amqp: string
  readonly advertise: string | undefined
  readonly durability: 'commit' | 'os'
  readonly logLevel: TraceLevel
  readonly logFormat: 'line' | 'json'
  readonly settings: Readonly<Record<string, string | number | boolean>>
}

/** What `serve` runs on when nothing is said. */
export const serveDefaults: Config = {
  store: 'file:./data',
  kafka: '127.0.0.1:9092',
  amqp: '127.0.0.1:5672',
  advertise: undefined,
  durability: 'commit',
  logLevel: 'info',
  logFormat: 'line',
  settings: {},
}

/** What `startBroker()` runs on when nothing is said: nothing on disk, no fixed port, no chatter. */
export const embeddedDefaults: Config = {
  ...serveDefaults,
  store: 'memory:',
  kafka: '127.0.0.1:0',
  amqp: '127.0.0.1:0',
  logLevel: 'warn',
}

/** All that one source says. `data` is short for `store: file:…`. */
export interface Layer {
  readonly options: ReadonlyMap<OptionName, Said>
  readonly settings: ReadonlyMap<string, Said>
}

export type OptionName = 'data' | 'store' | 'kafka' | 'amqp' | 'advertise' | 'durability' | 'logLevel' | 'logFormat'

interface Option {
  readonly key: string
  readonly allowed: string
  readonly allows: (text: string) => boolean
}

const oneOf = (...texts: readonly string[]): Pick<Option, 'allowed' | 'allows'> => ({
  allowed: texts.slice(0, -1).join(', ') + ` or ${texts[texts.length - 1]}`,
  allows: (text) => texts.includes(text),
})

const listening = {
  allowed: 'HOST:PORT, port 0 for any free one, or off',
  allows: (text: string): boolean => text === 'off' || parseAddress(text, 0) !== undefined,
}

/** Every option by its name in code; `key` is its name in files, flags (--key) and, in capitals, the environment. */
export const options: Readonly<Record<OptionName, Option>> = {
  data: { key: 'data', allowed: 'a folder', allows: (text) => text.trim() !== '' },
  store: { key: 'store', allowed: 'file:DIR or memory:', allows: (text) => storeOf(text) !== undefined },
  kafka: { key: 'kafka', ...listening },
  amqp: { key: 'amqp', ...listening },
  advertise: { key: 'advertise', allowed: 'HOST:PORT', allows: (text) => parseAddress(text) !== undefined },
  durability: { key: 'durability', ...oneOf('commit', 'os') },
  logLevel: { key: 'log-level', ...oneOf('silent', 'error', 'warn', 'info') },
  logFormat: { key: 'log-format', ...oneOf('line', 'json') },
}

const ofPrograms: readonly string[] = Object.keys(options).filter((name) => name !== 'data')

export type StorePlace = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'memory' }

export function storeOf(url: string): StorePlace | undefined {
  if (url === 'memory:' || url === 'memory://') return { kind: 'memory' }
  if (!url.startsWith('file:')) return undefined
  const path = url.startsWith('file:///') ? url.slice('file://'.length) : url.slice('file:'.length)
  return path.trim() === '' ? undefined : { kind: 'file', path }
}

/** Lines for people, one a problem. */
export interface ConfigProblems {
  readonly problems: readonly string[]
}

const problem = ({ as, text }: Said, allowed: string): string =>
  `${as}: ${JSON.stringify(text)} is not allowed; it must be ${allowed}`

/** The layers, strongest first, over the defaults. All values are judged, also those that a stronger one hides. */
export function composeConfig(layers: readonly Layer[], defaults: Config): Config | ConfigProblems {
  const problems: string[] = []
  for (const layer of layers) {
    for (const [name, said] of layer.options) {
      if (!options[name].allows(said.text)) problems.push(problem(said, options[name].allowed))
    }
    const data = layer.options.get('data')
    const store = layer.options.get('store')
    if (data !== undefined && store !== undefined) {
      problems.push(`${data.as} and ${store.as} both say where the data is; give one of them`)
    }
    problems.push(...settingProblems(layer.settings))
  }
  if (problems.length > 0) return { problems }
  const strongest = (name: OptionName): string | undefined =>
    layers.find((layer) => layer.options.has(name))?.options.get(name)?.text
  const settings: Record<string, string | number | boolean> = { ...defaults.settings }
  for (const layer of layers.toReversed()) for (const [name, said] of layer.settings) settings[name] = said.text
  return {
    store: strongestStore(layers) ?? defaults.store,
    kafka: strongest('kafka') ?? defaults.kafka,
    amqp: strongest('amqp') ?? defaults.amqp,
    advertise: strongest('advertise') ?? defaults.advertise,
    durability: (strongest('durability') ?? defaults.durability) as Config['durability'],
    logLevel: (strongest('logLevel') ?? defaults.logLevel) as TraceLevel,
    logFormat: (strongest('logFormat') ?? defaults.logFormat) as Config['logFormat'],
    settings,
  }
}

/** `data` and `store` are one option with two names: the strongest layer that says either wins. */
function strongestStore(layers: readonly Layer[]): string | undefined {
  for (const { options: said } of layers) {
    const data = said.get('data')
    if (data !== undefined) return `file:${data.text}`
    const store = said.get('store')
    if (store !== undefined) return store.text
  }
  return undefined
}

const ours = 'ODRADEK_'
/** What the programs that test the broker call theirs: they may be set where a broker is started too. */
const ofTestPrograms = 'ODRADEK_COMPAT_'

/** ODRADEK_KAFKA is option `kafka`, ODRADEK_NUM_PARTITIONS is setting `num.partitions`. Others are not ours to read. */
export function layerOfEnvironment(env: Readonly<Record<string, string | undefined>>): Layer {
  const said = new Map<OptionName, Said>()
  const settings = new Map<string, Said>()
  for (const [as, text] of Object.entries(env)) {
    if (!as.startsWith(ours) || text === undefined) continue
    if (as === 'ODRADEK_CONFIG' || as.startsWith(ofTestPrograms)) continue
    const name = as.slice(ours.length).toLowerCase()
    const option = optionByKey(name.replaceAll('_', '-'))
    if (option !== undefined) said.set(option, { as, text })
    else settings.set(name.replaceAll('_', '.'), { as, text })
  }
  return { options: said, settings }
}

/** What a program gives startBroker: judged as any other source. It says the store in one way. */
export function layerOfProgram(given: Readonly<Record<string, unknown>>): Layer | ConfigProblems {
  const said = new Map<OptionName, Said>()
  const settings = new Map<string, Said>()
  const problems: string[] = []
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    if (name === 'settings') {
      if (typeof value !== 'object' || value === null)
        problems.push(problem({ as: name, text: String(value) }, 'an object of broker settings'))
      else
        for (const [setting, text] of Object.entries(value)) settings.set(setting, { as: setting, text: String(text) })
    } else if (ofPrograms.includes(name)) said.set(name as OptionName, { as: name, text: String(value) })
    else problems.push(`${name}: there is no such option; there are ${[...ofPrograms, 'settings', 'clock'].join(', ')}`)
  }
  return problems.length > 0 ? { problems } : { options: said, settings }
}

export function optionByKey(key: string): OptionName | undefined {
  return (Object.keys(options) as OptionName[]).find((name) => options[name].key === key)
}
