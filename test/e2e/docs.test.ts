// The pages against the code: paths they name, programs they show, options and codes they list.
// Promises: a page that lags behind fails here, with the place named.
// Does not know: whether the prose is true.

import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit.ts'
import { startBroker } from '../../src/index.ts'
import { options } from '../../src/server/config.ts'
import { projectFiles, root, textOf } from '../tidy/files.ts'
import { odradek } from './program.ts'

const pages = projectFiles().filter((path) =>
  /^(README|CONTRIBUTING|CHANGELOG)\.md$|^(docs|examples)\/.*\.md$/.test(path),
)

test('every path of ours that a page names exists', () => {
  const missing = pages.flatMap((page) =>
    [...textOf(page).matchAll(/`((?:src|test|docs|examples)\/[\w./-]*\w\/?)`/g)]
      .map(([, path]) => path ?? '')
      .filter((path) => !existsSync(join(root, path)))
      .map((path) => `${page}: ${path}`),
  )
  expect(missing).toEqual([])
})

test('every link within the project leads somewhere', () => {
  const dead = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g)]
      .map(([, target]) => join(page, '..', target ?? ''))
      .filter((target) => !existsSync(join(root, target)))
      .map((target) => `${page}: ${target}`),
  )
  expect(dead).toEqual([])
})

test('operating.md lists every option and exit code', () => {
  const page = textOf('docs/operating.md')
  for (const { key } of Object.values(options)) {
    expect(page).toContain(`\`${key}\``)
    expect(page).toContain(`\`ODRADEK_${key.replaceAll('-', '_').toUpperCase()}\``)
  }
  for (const code of Object.values(exitCodes)) expect(page).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'))
})

describe('operating.md lists what the command line has', () => {
  const page = textOf('docs/operating.md')
  const helpOf = async (...command: string[]): Promise<string> => (await odradek([...command, '--help'])).out
  const commandsIn = (help: string): string[] =>
    [...(help.split('Commands:\n')[1] ?? '').matchAll(/^ {2}([a-z]+)/gm)]
      .map(([, name]) => name ?? '')
      .filter((name) => name !== 'help')
  const optionsIn = (help: string): string[] =>
    [...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, name]) => name ?? '').filter((name) => name !== '--version')

  // A process for each command: on a machine with other work that takes a while.
  test('commands and their options', { timeout: 60_000 }, async () => {
    const groups = commandsIn(await helpOf())
    expect(groups).toContain('queues')
    const missing: string[] = []
    const look = async (group: string): Promise<void> => {
      const help = await helpOf(group)
      const commands = commandsIn(help)
      // The rows that speak of it, or the section of serve.
      const about = group === 'serve' ? page : (page.match(new RegExp(`^\\| \`${group}\\b.*$`, 'gm')) ?? []).join('\n')
      for (const command of commands)
        if (!new RegExp(`\`(${group} )?${command}\\b`).test(about)) missing.push(`${group} ${command}`)
      const helps = [help, ...(await Promise.all(commands.map((command) => helpOf(group, command))))]
      for (const option of new Set(helps.flatMap(optionsIn)))
        if (!about.includes(option) && !['--json', '--kafka', '--data'].includes(option))
          missing.push(`${group} ${option}`)
      if (about === '') missing.push(group)
    }
    await Promise.all(groups.map(look))
    expect(missing).toEqual([])
  })

  test('every reason for which a message leaves a queue', () => {
    const [, union = ''] = /type ClosedReason =((?:\n {2}\| '\w+')+)/.exec(textOf('src/broker/queues/parts.ts')) ?? []
    const reasons = [...union.matchAll(/'(\w+)'/g)].map(([, reason]) => reason ?? '')
    expect(reasons.length).toBeGreaterThan(5)
    const row = /^\| `ledger\.closed\.REASON`.*$/m.exec(page)?.[0]
    for (const reason of reasons) expect(row).toContain(`\`${reason}\``)
  })

  test('every counter of something dropped', () => {
    const sources = projectFiles().filter((path) => /^src\/broker\/.*\.ts$/.test(path) && !path.includes('.test.'))
    const counters = sources.flatMap((path) =>
      [...textOf(path).matchAll(/count\(['`]([\w.]*dropped)/g)].map(([, name]) => name ?? ''),
    )
    expect(counters.length).toBeGreaterThan(2)
    for (const counter of counters) expect(page).toContain(`\`${counter}`)
  })
})

test('protocols.md names every exchange type and every argument of a queue', () => {
  const page = textOf('docs/protocols.md')
  const types = [...textOf('src/broker/queues/exchanges/exchange-types.ts').matchAll(/^ {2,4}\[?'([a-z-]+)',/gm)]
  const args = [...textOf('src/broker/queues/desk/queue-arguments.ts').matchAll(/'(x-[a-z-]+)'/g)]
  expect(types.length).toBeGreaterThan(4)
  const missing = [...types, ...args].map(([, name]) => `\`${name}\``).filter((name) => !page.includes(name))
  expect([...new Set(missing)]).toEqual([])
})

describe('the programs of the README', () => {
  const blocks = [...textOf('README.md').matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code ?? '')
  const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' }
  /** Not synchronously: a broker may live in this process. */
  const run = async (code: string): Promise<string> => {
    const args = ['--input-type=module', '-e', code]
    return (await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 15_000, env })).stdout
  }

  /** The first line of a program that goes on until it is ended. */
  const firstLine = async (code: string): Promise<string> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: root, env, timeout: 15_000 })
    try {
      for await (const chunk of child.stdout) return String(chunk)
      return ''
    } finally {
      child.kill()
    }
  }

  test('what the kafkajs one writes the amqplib one takes, and a group reads again', async () => {
    const broker = await startBroker({ logLevel: 'error' })
    const [produces, works] = blocks.map((code) =>
      code.replace('127.0.0.1:9092', broker.kafka).replace('amqp://127.0.0.1', broker.amqp),
    )
    expect(produces).toContain(broker.kafka)
    expect(works).toContain(broker.amqp)
    await run(produces)
    expect(await firstLine(works)).toBe('Order: #12345\n')
    const consumed = await odradek(['consume', 'orders', '--from-beginning', '--exit', '--kafka', broker.kafka])
    await broker.close()
    expect(consumed).toEqual({ code: 0, out: 'Order: #12345\n', err: '' })
  })

  test('the embedded one prints its address', async () => {
    expect(await run(blocks[2] ?? '')).toMatch(/^127\.0\.0\.1:\d+\n$/)
  })
})
