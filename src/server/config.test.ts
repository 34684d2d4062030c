// The configuration: which source wins, and the line for everything that cannot be.
// Promises: every error line is shown whole, as people read it.
// Does not know: argv and files; layers are made by hand here (config-file.test.ts has the file).

import { expect, test } from 'vitest'
import type { Said } from './setting-problems.ts'
import {
  composeConfig,
  type Config,
  embeddedDefaults,
  layerOfEnvironment,
  layerOfProgram,
  serveDefaults,
  type ConfigProblems,
  type Layer,
  type OptionName,
} from './config.ts'

type Values = Readonly<Record<string, string>>

const flags = (options: Partial<Record<OptionName, string>>, settings: Values = {}): Layer => ({
  options: new Map(Object.entries(options).map(([name, text]) => [name as OptionName, { as: `--${name}`, text }])),
  settings: new Map(
    Object.entries(settings).map(([name, text]): [string, Said] => [name, { as: `--set ${name}`, text }]),
  ),
})
const file = (options: Partial<Record<OptionName, string>>, settings: Values = {}): Layer => ({
  options: new Map(
    Object.entries(options).map(([name, text]) => [name as OptionName, { as: `o.yaml: ${name}`, text }]),
  ),
  settings: new Map(
    Object.entries(settings).map(([name, text]): [string, Said] => [name, { as: `o.yaml: ${name}`, text }]),
  ),
})

function config(...layers: Layer[]): Config {
  const composed = composeConfig(layers, serveDefaults)
  if ('problems' in composed) throw new Error(composed.problems.join('\n'))
  return composed
}

function problems(composed: Config | ConfigProblems): readonly string[] {
  return 'problems' in composed ? composed.problems : []
}

test('nothing said: the defaults', () => {
  expect(config()).toEqual(serveDefaults)
  expect(composeConfig([], embeddedDefaults)).toMatchObject({ store: 'memory:', kafka: '127.0.0.1:0' })
})

test('flag over environment over file over default, option by option', () => {
  const environment = layerOfEnvironment({ ODRADEK_KAFKA: '127.0.0.1:2', ODRADEK_DURABILITY: 'os', HOME: '/' })
  const composed = config(
    flags({ kafka: '127.0.0.1:1' }),
    environment,
    file({ kafka: '127.0.0.1:3', durability: 'commit', advertise: 'b.example:9092' }),
  )
  expect(composed).toEqual({
    ...serveDefaults,
    kafka: '127.0.0.1:1',
    durability: 'os',
    advertise: 'b.example:9092',
  })
})

test('settings are merged name by name; the environment writes them in capitals', () => {
  const composed = config(
    flags({}, { 'num.partitions': '1' }),
    layerOfEnvironment({ ODRADEK_NUM_PARTITIONS: '2', ODRADEK_LOG_RETENTION_MS: '2' }),
    file({}, { 'num.partitions': '3', 'log.retention.ms': '3', 'auto.create.topics.enable': 'false' }),
  )
  expect(composed.settings).toEqual({
    'num.partitions': '1',
    'log.retention.ms': '2',
    'auto.create.topics.enable': 'false',
  })
})

test('variables of the test programs are theirs, others are not passed over', () => {
  expect(config(layerOfEnvironment({ ODRADEK_COMPAT_CACHE: '/cache' }))).toEqual(serveDefaults)
  expect(composeConfig([layerOfEnvironment({ ODRADEK_COMPATIBLE: '1' })], serveDefaults)).toHaveProperty('problems')
})

test('data and store are one option: the stronger source wins whichever of the two it says', () => {
  expect(config(flags({ data: 'd' }), file({ store: 'memory:' })).store).toBe('file:d')
  expect(config(flags({ store: 'memory:' }), file({ data: 'd' })).store).toBe('memory:')
})

test.each<[string, Layer, string]>([
  ['store', flags({ store: 's3://bucket' }), '--store: "s3://bucket" is not allowed; it must be file:DIR or memory:'],
  ['an empty folder', flags({ data: ' ' }), '--data: " " is not allowed; it must be a folder'],
  [
    'no port',
    flags({ kafka: 'localhost' }),
    '--kafka: "localhost" is not allowed; it must be HOST:PORT, port 0 for any free one, or off',
  ],
  [
    'a port too high',
    flags({ kafka: 'a:70000' }),
    '--kafka: "a:70000" is not allowed; it must be HOST:PORT, port 0 for any free one, or off',
  ],
  ['advertise port 0', flags({ advertise: 'a:0' }), '--advertise: "a:0" is not allowed; it must be HOST:PORT'],
  ['durability', flags({ durability: 'fsync' }), '--durability: "fsync" is not allowed; it must be commit or os'],
  [
    'log level',
    flags({ logLevel: 'debug' }),
    '--logLevel: "debug" is not allowed; it must be silent, error, warn or info',
  ],
  [
    'data and store at once',
    flags({ data: 'd', store: 'memory:' }),
    '--data and --store both say where the data is; give one of them',
  ],
  [
    'a setting nobody knows',
    flags({}, { 'num.partition': '1' }),
    '--set num.partition: "1" is not allowed: there is no broker setting of this name',
  ],
  [
    'a setting of another type',
    flags({}, { 'num.partitions': 'two' }),
    '--set num.partitions: "two" is not allowed: it is not a number of type int',
  ],
  [
    'a setting out of bounds',
    flags({}, { 'num.partitions': '0' }),
    '--set num.partitions: "0" is not allowed: it must be at least 1',
  ],
  [
    'durability as a setting',
    flags({}, { durability: 'os' }),
    '--set durability: "os" is not allowed: it is said as the option durability',
  ],
  [
    'an unknown variable',
    layerOfEnvironment({ ODRADEK_KAFFKA: 'a:1' }),
    'ODRADEK_KAFFKA: "a:1" is not allowed: there is no broker setting of this name',
  ],
  [
    'a bad variable',
    layerOfEnvironment({ ODRADEK_DURABILITY: '1' }),
    'ODRADEK_DURABILITY: "1" is not allowed; it must be commit or os',
  ],
])('%s is one line', (_, layer, line) => {
  expect(problems(composeConfig([layer], serveDefaults))).toEqual([line])
})

test('a bad value is named even where a stronger source hides it, and all of them at once', () => {
  const composed = composeConfig([flags({ kafka: 'a:1', durability: 'x' }), file({ kafka: 'nowhere' })], serveDefaults)
  expect(problems(composed)).toEqual([
    '--durability: "x" is not allowed; it must be commit or os',
    'o.yaml: kafka: "nowhere" is not allowed; it must be HOST:PORT, port 0 for any free one, or off',
  ])
})

test('what a program gives is judged by name and value', () => {
  expect(layerOfProgram({ kafak: 'a:1' })).toEqual({
    problems: [
      'kafak: there is no such option; there are store, kafka, amqp, advertise, durability, logLevel, logFormat, settings, clock',
    ],
  })
  for (const name of ['data', 'constructor', '0'])
    expect(layerOfProgram({ [name]: 'x' })).toMatchObject({
      problems: [expect.stringMatching(`^${name}: there is no`)],
    })
  expect(layerOfProgram({ settings: 3 })).toEqual({
    problems: ['settings: "3" is not allowed; it must be an object of broker settings'],
  })
  const layer = layerOfProgram({ kafka: '127.0.0.1:0', advertise: undefined, settings: { 'num.partitions': 3 } })
  if ('problems' in layer) throw new Error('judged well')
  expect(config(layer)).toMatchObject({ kafka: '127.0.0.1:0', settings: { 'num.partitions': '3' } })
})
