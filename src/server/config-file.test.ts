// The configuration file: what is read from it and the line for each fault.
// Promises: no file of the machine is touched.
// Does not know: precedence (config.test.ts).

import { expect, test } from 'vitest'
import type { Disk } from '../base/world.ts'
import { composeConfig, serveDefaults } from './config.ts'
import { readConfigFile } from './config-file.ts'

const diskWith = (text: string | undefined): Disk =>
  ({ readFile: () => (text === undefined ? undefined : Buffer.from(text)) }) as unknown as Disk

test('options and settings', () => {
  const layer = readConfigFile(
    diskWith(`
data: /var/lib/odradek   # a comment
kafka: 127.0.0.1:9092
log-level: warn
settings:
  num.partitions: 3
  auto.create.topics.enable: false
`),
    'o.yaml',
  )
  if ('problems' in layer) throw new Error(layer.problems.join('\n'))
  expect(composeConfig([layer], serveDefaults)).toEqual({
    ...serveDefaults,
    store: 'file:/var/lib/odradek',
    logLevel: 'warn',
    settings: { 'num.partitions': '3', 'auto.create.topics.enable': 'false' },
  })
})

test('an empty file says nothing', () => {
  const layer = readConfigFile(diskWith('# nothing yet\n'), 'o.yaml')
  if ('problems' in layer) throw new Error(layer.problems.join('\n'))
  expect(composeConfig([layer], serveDefaults)).toEqual(serveDefaults)
})

const known = 'data, store, kafka, amqp, advertise, durability, log-level, log-format, settings'

test.each([
  ['no file', undefined, '--config: o.yaml does not exist'],
  [
    'no YAML',
    'kafka: [1\n',
    'o.yaml:2:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  ['a list', '- 1\n', `o.yaml: must be a map of options (${known})`],
  ['an unknown key', 'kafak: a:1\n', `o.yaml: kafak: there is no such option; there are ${known}`],
  [
    'a map for a text',
    'kafka: {a: 1}\n',
    'o.yaml: kafka: {"a":1} is not allowed; it must be a text, a number or true/false',
  ],
  ['settings as a text', 'settings: x\n', 'o.yaml: settings: "x" is not allowed; it must be a map of broker settings'],
  [
    'a list as a setting',
    'settings:\n  num.partitions: [1]\n',
    'o.yaml: settings.num.partitions: [1] is not allowed; it must be a text, a number or true/false',
  ],
])('%s is one line', (_, text, line) => {
  const layer = readConfigFile(diskWith(text), 'o.yaml')
  expect('problems' in layer ? layer.problems.slice(0, 1) : []).toEqual([line])
})
