// The pages against the code: paths they name, programs they show, options and codes they list.
// Promises: a page that lags behind fails here, with the place named.
// Does not know: whether the prose is true.

import { execFile } from 'node:child_process'
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

describe('the programs of the README', () => {
  const blocks = [...textOf('README.md').matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code ?? '')
  const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' }
  /** Not synchronously: a broker may live in this process. */
  const run = async (code: string): Promise<string> => {
    const args = ['--input-type=module', '-e', code]
    return (await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 15_000, env })).stdout
  }

  test('the kafkajs one stores its message', async () => {
    const broker = await startBroker({ logLevel: 'error' })
    const code = (blocks[0] ?? '').replace('127.0.0.1:9092', broker.kafka.address)
    expect(code).toContain(broker.kafka.address)
    await run(code)
    const consumed = await odradek(['consume', 'orders', '--from-beginning', '--exit', '--kafka', broker.kafka.address])
    await broker.close()
    expect(consumed).toEqual({ code: 0, out: 'Order: #12345\n', err: '' })
  })

  test('the embedded one prints its address', async () => {
    expect(await run(blocks[1] ?? '')).toMatch(/^127\.0\.0\.1:\d+\n$/)
  })
})
