// The house's rules as tests: who imports whom, how files open, how large they are, what they may call.
// Promises: reads the checkout only; each complaint names file, line and what to do instead; each rule is shown to bite.
// Does not know: what the code does.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { git, plainTextOf, projectFiles, root, textOf } from './tidy/files.ts'
import { masked } from './tidy/masked.ts'
import { circles, importComplaints, importsOf } from './tidy/rooms.ts'
import { complaintsAbout, isTest, placesIn } from './tidy/rules.ts'

const files = projectFiles()
const typescript = files.filter((path) => /^(src|test|examples)\/.*\.ts$/.test(path) && !path.includes('/fixtures/'))
const sources = typescript.filter((path) => path.startsWith('src/') && !isTest(path))

describe('the checkout', () => {
  test('each floor imports only from below', () => {
    expect(sources.length).toBeGreaterThan(5)
    expect(sources.flatMap((path) => importComplaints(importsOf(path, textOf(path))))).toEqual([])
  })

  test('no circles among the sources', () => {
    const imports = sources.flatMap((path) => importsOf(path, textOf(path)))
    expect(circles(imports).map((circle) => circle.join(' → '))).toEqual([])
  })

  test('heads, sizes, names, calls and forms', () => {
    expect(typescript.flatMap((path) => complaintsAbout(path, textOf(path)))).toEqual([])
  })

  test('functions of at most 70 lines', () => {
    // A compat suite's function is a list of checks, as a describe() is.
    const judged = typescript.filter((path) => !isTest(path) && !path.startsWith('test/compat/'))
    expect(longFunctions(judged)).toEqual([])
  })

  test('no place of one machine in any file', () => {
    expect(files.flatMap((path) => placesIn(path, plainTextOf(path) ?? ''))).toEqual([])
  })

  const lists = files.filter((path) => /^test\/compat\/[^/]+\/tests\.allow$/.test(path))
  test.each(lists)('%s never shrinks but into tests.excluded, with a reason', (path) => {
    const before = git('show', `HEAD~:${path}`) ?? git('show', `HEAD:${path}`)
    if (before === undefined) return
    const names = (text: string): string[] =>
      text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'))
    const excluded = path.replace(/allow$/, 'excluded')
    const reasons = names(files.includes(excluded) ? textOf(excluded) : '').filter((line) => /\t\S/.test(line))
    const now = new Set([...names(textOf(path)), ...reasons.map((line) => line.split('\t')[0])])
    const lost = names(before).filter((name) => !now.has(name))
    expect(lost, `${path} lost names: make them pass again, or name each in tests.excluded with its reason`).toEqual([])
  })
})

/** Counted by oxlint, whose parser knows a function when it sees one. */
function longFunctions(paths: readonly string[]): string[] {
  const run = (): string => {
    const args = ['--config', 'test/tidy/oxlint.json', '--format', 'json', ...paths]
    try {
      return execFileSync(join(root, 'node_modules/.bin/oxlint'), args, { cwd: root, encoding: 'utf8' })
    } catch (error) {
      return (error as { stdout: string }).stdout
    }
  }
  interface Diagnostic {
    message: string
    filename: string
    labels: { span: { line: number } }[]
  }
  const { diagnostics } = JSON.parse(run()) as { diagnostics: Diagnostic[] }
  return diagnostics.map(({ filename, labels, message }) => `${filename}:${labels[0]?.span.line}: ${message}`)
}

const head = '// A spool of thread.\n// Promises: none.\n// Does not know: what it is for.\n'

describe('each rule bites', () => {
  test.each([
    ['base', 'src/base/a.ts', '../log/batch.ts'],
    ['wire', 'src/wire/kafka/a.ts', '../../log/batch.ts'],
    ['wire', 'src/wire/amqp/a.ts', '../kafka/frame.ts'],
    ['log', 'src/log/a.ts', '../engines/memory/memory-store.ts'],
    ['engines', 'src/engines/local/a.ts', '../memory/memory-store.ts'],
    ['broker', 'src/broker/a.ts', '../engines/memory/memory-store.ts'],
    ['broker', 'src/broker/streams/a.ts', '../../wire/kafka/frame.ts'],
    ['protocols', 'src/protocols/kafka/a.ts', '../../broker/streams/topic.ts'],
    ['protocols', 'src/protocols/kafka/a.ts', '../../log/store.ts'],
    ['protocols', 'src/protocols/kafka/a.ts', '../amqp/channel.ts'],
    ['protocols', 'src/protocols/conversation.ts', './kafka/connection.ts'],
    ['server', 'src/server/a.ts', '../cli/main.ts'],
    ['cli', 'src/cli/a.ts', '../broker/door.ts'],
    ['cli', 'src/cli/a.ts', '../log/store.ts'],
    ['log', 'src/log/a.ts', '../../test/fault-disk.ts'],
  ])('%s: %s must not import %s', (floor, path, target) => {
    for (const form of [
      `import { a } from '${target}'`,
      `import type { a } from '${target}'`,
      `import '${target}'`,
      `const a = await import('${target}')`,
      `import {\n  a, // why\n  type b,\n} from "${target}"`,
    ]) {
      const complaints = importComplaints(importsOf(path, `${head}\n${form}\n`))
      expect(complaints, form).toHaveLength(1)
      expect(complaints[0]).toMatch(new RegExp(`^${path}:5: ${floor}`))
    }
  })

  test.each([
    ['src/protocols/kafka/a.ts', '../../broker/door.ts'],
    ['src/protocols/kafka/a.ts', '../conversation.ts'],
    ['src/protocols/kafka/a.ts', '../../wire/kafka/frame.ts'],
    ['src/broker/streams/a.ts', '../directory.ts'],
    ['src/engines/local/a.ts', '../../log/store.ts'],
    ['src/cli/a.ts', '../log/compression.ts'],
    ['src/server/a.ts', '../engines/local/engine.ts'],
  ])('%s may import %s', (path, target) => {
    expect(importComplaints(importsOf(path, `import { a } from '${target}'`))).toEqual([])
  })

  test('a circle is found, once, also through types', () => {
    const imports = [
      ...importsOf('src/log/a.ts', "import type { B } from './b.ts'"),
      ...importsOf('src/log/b.ts', "import { c } from './c.ts'"),
      ...importsOf('src/log/c.ts', "import { a } from './a.ts'\nimport { d } from './d.ts'"),
    ]
    expect(circles(imports)).toEqual([['src/log/a.ts', 'src/log/b.ts', 'src/log/c.ts', 'src/log/a.ts']])
  })

  test.each([
    ['Date.now()', 'const a = Date.now()'],
    ['new Date()', 'const a = new Date()'],
    ['Math.random', 'const a = Math.random()'],
    ['performance.now', 'const a = performance.now()'],
    ['setTimeout', 'setTimeout(a, 1)'],
    ['setInterval', 'setInterval(a, 1)'],
    ['setImmediate', 'setImmediate(a)'],
    ['process.env', 'const a = process.env.A'],
    ['process.nextTick', 'process.nextTick(a)'],
    ['node:fs', "import { readFileSync } from 'node:fs'"],
    ['node:fs/promises', "import { readFile } from 'node:fs/promises'"],
    ['node:net', "import type { Socket } from 'node:net'"],
    ['BigInt', 'const a = BigInt(1)'],
    ['a bigint literal', 'const a = 1n'],
    ['readBigInt64BE', 'const a = b.readBigInt64BE(0)'],
    ['a call inside a template', 'const a = `${Date.now()}`'],
    ['any', 'const a: any = 1'],
    ['as any', 'const a = b as any'],
    ['any[]', 'function a(b: any[]): void {}'],
    ['enum', 'enum A { B }'],
    ['const enum', 'export const enum A { B }'],
    ['namespace', 'namespace A {}'],
    ['a default export', 'export default 1'],
    ['a barrel', "export * from './b.ts'"],
    ['a re-export', "export { b } from './b.ts'"],
    ['inheritance', 'class A extends B {}'],
    ['a manager', 'class LogManager {}'],
    ['a reminder', `// ${'TO' + 'DO'} later`],
    ['another reminder', `// ${'FIX' + 'ME'}`],
  ])('%s is banned', (_name, line) => {
    const complaints = complaintsAbout('src/log/a.ts', `${head}\n${line}\n`)
    expect(complaints, line).toHaveLength(1)
    expect(complaints[0]).toMatch(/^src\/log\/a\.ts:5: .*(take|leave)/)
  })

  test('what only looks like it is not', () => {
    const text = [
      "const a = 'Date.now() is banned' // as is Math.random, and setTimeout",
      'const b = `any ${a} enum`',
      'class Broken extends Error {}',
      'class Lost extends DecodeError {}',
      'const when = new Date(ms).toISOString()',
      'const first = Promise.any(tries)',
      'const half = total / 2 / setSize // not a regular expression',
      'const quoted = /[\'"`]/.test(a) ? 1 : 0',
      '/* new Date() */ const sum = 1',
    ].join('\n')
    expect(complaintsAbout('src/log/a.ts', `${head}\n${text}\n`)).toEqual([])
  })

  test('the world may call the world, and the environment is read in one place', () => {
    const text = `${head}\nimport { readFileSync } from 'node:fs'\nsetTimeout(() => Date.now(), 1)\n`
    expect(complaintsAbout('src/server/node-world.ts', text)).toEqual([])
    expect(complaintsAbout('src/cli/main.ts', text)).toEqual([])
    expect(complaintsAbout('src/cli/other.ts', text)).toHaveLength(3)
  })

  test.each([
    ['a head without promises', 'src/log/a.ts', '// A spool.\n// It rolls.\n// Does not know: why.\n'],
    ['no head', 'src/log/a.ts', 'const a = 1\n'],
    ['a head in the wrong order', 'src/log/a.ts', '// A.\n// Does not know: b.\n// Promises: c.\n'],
    ['501 lines', 'src/log/a.ts', head + '\n'.repeat(498)],
    ['701 lines of test', 'src/log/a.test.ts', head + '\n'.repeat(698)],
    ['camel case', 'src/log/aSpool.ts', head],
    ['utils', 'src/log/utils.ts', head],
    ['a folder of helpers', 'test/helpers/spool.ts', head],
    ['a sleeping test', 'src/log/a.test.ts', `${head}\nawait new Promise((resolve) => setTimeout(resolve, 50))\n`],
  ])('%s is refused', (_name, path, text) => {
    expect(complaintsAbout(path, text)).toHaveLength(1)
  })

  test('a long head, 500 lines and a command with its #! are fine', () => {
    expect(
      complaintsAbout('src/log/a.ts', '// A.\n// More.\n// Promises: b\n// and c.\n// Does not know: d.\n'),
    ).toEqual([])
    expect(complaintsAbout('src/log/a.ts', head + '\n'.repeat(497))).toEqual([])
    const waits = '// Nothing may come meanwhile.\nawait new Promise((resolve) => setTimeout(resolve, 50))\n'
    expect(complaintsAbout('src/log/a.test.ts', `${head}\n${waits}`)).toEqual([])
    expect(complaintsAbout('src/cli/main.ts', `#!/usr/bin/env node\n${head}`)).toEqual([])
  })

  test('places of one machine are found', () => {
    const places = [
      `/${'work'}/main`,
      `"/${'home'}/k/odradek"`,
      `"resolved": "https://${'registry'}.example.org/a.tgz"`,
    ]
    for (const place of places) expect(placesIn('a.md', `first\n ${place}\n`)).toHaveLength(1)
    expect(placesIn('a.md', `https://kafka.apache.org/protocol and src/${'work'}/a.ts and /healthz`)).toEqual([])
  })

  test('masking keeps length and lines', () => {
    for (const path of typescript) {
      const text = textOf(path)
      const { code } = masked(text)
      expect(code.length, path).toBe(text.length)
      expect(code.split('\n').length, path).toBe(text.split('\n').length)
    }
  })
})
