// The recipes of docs/embedding.md, run as they stand by the tools they are for.
// Promises: each passes, and a broken one is told; in folders of their own.
// Does not know: jest, which is no dependency of ours: its recipe is only read here.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { root, textOf } from '../tidy/files.ts'

const page = textOf('docs/embedding.md')

function recipe(tool: string): string {
  const [, code] = new RegExp(`### ${tool}\\n[\\s\\S]*?\`\`\`js\\n([\\s\\S]*?)\`\`\``).exec(page) ?? []
  if (code === undefined) throw new Error(`docs/embedding.md has no recipe for ${tool}`)
  return code
}

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

/** A project with the recipe in it, which finds our packages, and us by our own name. */
function project(code: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'odradek-recipe-'))
  folders.push(folder)
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  for (const name of ['vitest', 'kafkajs', 'amqplib'])
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  symlinkSync(root, join(modules, 'odradek'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  writeFileSync(join(folder, 'orders.test.js'), code)
  writeFileSync(join(folder, 'vitest.config.js'), 'export default { test: { include: ["*.test.js"] } }\n')
  return folder
}

const env = { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', NODE_OPTIONS: '' }
const run = async (cwd: string, ...args: string[]): Promise<string> => {
  const options = { cwd, timeout: 60_000, env: { ...env, VITEST: undefined, NODE_TEST_CONTEXT: undefined } }
  const { stdout } = await promisify(execFile)(process.execPath, args, options)
  return stdout
}

test.each(['forks', 'threads'])('vitest, %s', { timeout: 60_000 }, async (pool) => {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  expect(await run(project(recipe('vitest')), vitest, 'run', `--pool=${pool}`)).toMatch(/Tests .*1 passed/)
})

test('node:test', { timeout: 60_000 }, async () => {
  expect(await run(project(recipe('node:test')), '--test', '--test-reporter=tap')).toMatch(/# pass 1\n# fail 0/)
})

test('jest: the recipe parses, and asks for what there is', async () => {
  const code = recipe('jest')
  expect(code).toContain("from '@jest/globals'")
  const folder = project(code)
  await run(folder, '--check', 'orders.test.js')
})
