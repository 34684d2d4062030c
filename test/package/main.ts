// What npm would publish, as a user meets it: packed, installed into an empty project, run, imported, type-checked.
// Promises: ends within two minutes; works in temporary folders only; one line a check, exit 1 when one fails.
// Does not know: what brokers do beyond one record through each of the packed ways.

import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { consumers, type ConsumerProgram } from './consumers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = (name: string): string => join(root, 'node_modules/.bin', name)
const stepMs = 60_000

/** Runs to its end; what it printed is part of the error. */
async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const options = { cwd, timeout: stepMs, env: { ...process.env, ...env }, maxBuffer: 16 * 1024 * 1024 }
  try {
    return (await promisify(execFile)(command, [...args], options)).stdout
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
    throw new Error(`${command} ${args.join(' ')}: ${message.split('\n')[0]}\n${stdout}${stderr}`)
  }
}

/** `serve --json` from its ready line to its orderly end. */
async function serving(
  command: string,
  args: readonly string[],
  cwd: string,
  use: (kafka: string) => Promise<void>,
): Promise<void> {
  const given = ['serve', '--json', '--store', 'memory:', '--kafka', '127.0.0.1:0', '--amqp', '127.0.0.1:0']
  const child = spawn(command, [...args, ...given], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const limit = setTimeout(() => child.kill('SIGKILL'), stepMs)
  try {
    let kafka: string | undefined
    for await (const line of createInterface({ input: child.stdout })) {
      const ready = JSON.parse(line) as { ready: boolean; kafka: string; pid: number }
      kafka = ready.kafka
      await use(kafka)
      // npx stands in between: the broker is told itself.
      process.kill(ready.pid, 'SIGTERM')
      break
    }
    if (kafka === undefined) throw new Error(`${command} ${args.join(' ')} was never ready`)
    await ended
  } finally {
    clearTimeout(limit)
    child.kill('SIGKILL')
  }
}

async function oneRecord(kafka: string): Promise<void> {
  const client = new Kafka({ brokers: [kafka], logLevel: logLevel.NOTHING })
  const producer = client.producer()
  await producer.connect()
  await producer.send({ topic: 'orders', messages: [{ value: 'one' }] })
  await producer.disconnect()
  const consumer = client.consumer({ groupId: 'group' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'orders', fromBeginning: true })
  const value = await new Promise((resolve) => {
    void consumer.run({ eachMessage: ({ message }) => Promise.resolve(resolve(String(message.value))) })
  })
  await consumer.disconnect()
  if (value !== 'one') throw new Error(`consumed ${String(value)}`)
}

interface Place {
  readonly folder: string
  readonly tarball: string
  readonly project: string
}

/** Nothing that only the project itself needs, nothing that types need missing. */
async function packed({ folder }: Place): Promise<void> {
  const inside = join(folder, 'unpacked/package')
  const files = readdirSync(inside, { recursive: true, encoding: 'utf8' })
  const extra = files.filter((path) =>
    /(^|\/)(test|src|node_modules)(\/|$)|\.map$|\.test\.|\.contract\.|tsconfig/.test(path),
  )
  if (extra.length > 0) throw new Error(`nobody needs ${extra.slice(0, 5).join(', ')}`)
  for (const path of [
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'dist/index.d.ts',
    'dist/cli/main.js',
    'docs/embedding.md',
  ])
    if (!existsSync(join(inside, path))) throw new Error(`${path} is missing`)
  await run(bin('publint'), ['run', inside, '--strict', '--pack', 'false'], root)
}

const attw = async ({ tarball }: Place): Promise<void> => {
  await run(bin('attw'), [tarball, '--profile', 'esm-only', '--no-emoji'], root)
}

async function imported({ project }: Place): Promise<void> {
  const code = `
    import { startBroker } from 'odradek'
    const broker = await startBroker()
    await broker.topics.produce('orders', { value: 'one' })
    const [{ value }] = await broker.topics.records('orders')
    await broker.close()
    console.log(value)
  `
  const printed = await run(process.execPath, ['--input-type=module', '-e', code], project)
  if (printed !== 'one\n') throw new Error(`printed ${printed}`)
}

function groupedByOptions(): Map<string, [string, ConsumerProgram][]> {
  const groups = new Map<string, [string, ConsumerProgram][]>()
  for (const one of Object.entries(consumers)) {
    const options = JSON.stringify(one[1].options ?? {})
    groups.set(options, [...(groups.get(options) ?? []), one])
  }
  return groups
}

/** Without the libraries of Node, for the types of the package need none; skipLibCheck is off. */
async function typed({ project }: Place): Promise<void> {
  // One run of the compiler for all that share its options.
  const runs = groupedByOptions()
  for (const [options, programs] of runs) {
    for (const [name, { code }] of programs) writeFileSync(join(project, `${name}.mts`), code)
    const compilerOptions = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, types: [] }
    const files = programs.map(([name]) => `${name}.mts`)
    const config = { compilerOptions: { ...compilerOptions, ...(JSON.parse(options) as object) }, files }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config))
    const said = await run(bin('tsc'), ['-p', '.'], project).then(
      () => '',
      (error: Error) => error.message,
    )
    const errors = said.split(/\n(?=\S)/).filter((error) => error.includes('error TS'))
    for (const [name, { fails }] of programs) {
      const own = errors.filter((error) => error.startsWith(`${name}.mts(`)).join('\n')
      if (fails === undefined ? own !== '' : !fails.test(own)) throw new Error(`${name}: ${own || 'compiles'}`)
    }
    const strange = errors.filter((error) => !files.some((file) => error.startsWith(`${file}(`)))
    if (strange.length > 0) throw new Error(strange.join('\n'))
  }
}

const served = ({ project }: Place): Promise<void> => serving('npx', ['--no-install', 'odradek'], project, oneRecord)

async function bundled({ folder }: Place): Promise<void> {
  const alone = join(folder, 'alone')
  mkdirSync(alone)
  await run(process.execPath, ['build/bundle.js', join(alone, 'odradek.mjs')], root)
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object }
  const notices = readFileSync(join(alone, 'odradek.mjs'), 'utf8').split('It contains:').at(-1) ?? ''
  for (const name of Object.keys(dependencies))
    if (!new RegExp(`^${name} \\d.*\\n\\n[\\s\\S]*?Copyright`, 'm').test(notices))
      throw new Error(`no licence of ${name}`)
  await serving(process.execPath, [join(alone, 'odradek.mjs')], alone, async (kafka) => {
    await oneRecord(kafka)
    const topics = await run(process.execPath, ['odradek.mjs', 'topics', 'list', '--json', '--kafka', kafka], alone)
    if (!topics.includes('orders')) throw new Error(topics)
  })
}

const checks = { packed, attw, imported, typed, served, bundled }

async function prepare(folder: string): Promise<Place> {
  await run('npm', ['pack', '--silent', '--pack-destination', folder], root)
  const tarball = join(folder, readdirSync(folder).find((path) => path.endsWith('.tgz')) ?? '')
  const unpacked = join(folder, 'unpacked')
  const project = join(folder, 'project')
  mkdirSync(unpacked)
  mkdirSync(project)
  await run('tar', ['-xzf', tarball, '-C', unpacked], folder)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }))
  await run('npm', ['install', '--no-audit', '--no-fund', '--silent', tarball], project)
  return { folder, tarball, project }
}

async function main(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'odradek-package-'))
  let isWhole = true
  const say = (what: string, beganMs: number, error?: unknown): void => {
    const tookS = ((performance.now() - beganMs) / 1000).toFixed(1)
    process.stdout.write(`${error === undefined ? 'ok    ' : 'FAILED'} ${what} (${tookS} s)\n`)
    if (error === undefined) return
    process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`)
    isWhole = false
  }
  try {
    let beganMs = performance.now()
    const place = await prepare(folder)
    say('packed and installed', beganMs)
    for (const [name, check] of Object.entries(checks)) {
      beganMs = performance.now()
      const outcome = await check(place).then(
        () => undefined,
        (error: unknown) => error,
      )
      say(name, beganMs, outcome)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return isWhole
}

process.exitCode = (await main()) ? 0 : 1
