// Brings what suites and benchmarks run with into the cache folder, from package registries only.
// Promises: each thing is installed once and whole (a stamp is written last); a second call is cheap.
// Does not know: which suite asks, the project's own dependencies.

import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { must, run } from './process.ts'

export const KAFKA_VERSION = '4.3.1'

const named = process.env['ODRADEK_COMPAT_CACHE']

export function cacheFolder(): string {
  return named !== undefined && named !== '' ? named : join(homedir(), '.cache', 'odradek-compat')
}

async function once(folder: string, make: () => Promise<void>): Promise<string> {
  const stamp = join(folder, '.complete')
  if (existsSync(stamp)) return folder
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await make()
  writeFileSync(stamp, '')
  return folder
}

export async function hasCommand(name: string): Promise<boolean> {
  const found = await run('sh', ['-c', `command -v ${name}`], { timeoutMs: 10_000 })
  return found.code === 0
}

/** Debian packages for commands that are missing; needs root. */
export async function debianPackage(command: string, packageName: string): Promise<void> {
  if (await hasCommand(command)) return
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  await must('apt-get', ['-qq', 'update'], { env, timeoutMs: 180_000 })
  await must('apt-get', ['-qq', 'install', '-y', packageName], { env, timeoutMs: 300_000 })
}

/** A Python virtual environment with the given requirements; answers the path of its python. */
export async function pythonWith(cacheDir: string, name: string, requirements: readonly string[]): Promise<string> {
  const folder = await once(join(cacheDir, 'python', `${name}-${requirements.join('+')}`), async () => {
    const target = join(cacheDir, 'python', `${name}-${requirements.join('+')}`)
    await must('python3', ['-m', 'venv', target], { timeoutMs: 120_000 })
    await must(join(target, 'bin', 'pip'), ['-q', 'install', ...requirements], { timeoutMs: 300_000 })
  })
  return join(folder, 'bin', 'python')
}

/** The source distribution of a Python package, unpacked; it carries the tests that the wheel leaves out. */
export async function pythonSource(cacheDir: string, name: string, version: string): Promise<string> {
  const target = join(cacheDir, 'python-source', `${name}-${version}`)
  return once(target, async () => {
    const only = ['--no-deps', '--no-binary', ':all:', '--no-build-isolation', `${name}==${version}`]
    // A newer pip than Debian's is not needed for this: it only fetches.
    await must('python3', ['-m', 'venv', join(target, 'venv')], { timeoutMs: 120_000 })
    const python = join(target, 'venv', 'bin', 'python')
    await must(python, ['-m', 'pip', '-q', 'install', 'setuptools', 'wheel'], { timeoutMs: 120_000 })
    await must(python, ['-m', 'pip', '-q', 'download', '-d', target, ...only], { timeoutMs: 180_000 })
    const archive = `${name}-${version}.tar.gz`
    await must('tar', ['xzf', archive, '--strip-components=1'], { cwd: target, timeoutMs: 60_000 })
  })
}

function pomOf(artifacts: readonly string[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [group, id, version] = artifact.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version></dependency>`
  })
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0">',
    '<modelVersion>4.0.0</modelVersion>',
    '<groupId>odradek</groupId><artifactId>libraries</artifactId><version>1</version>',
    `<dependencies>${dependencies.join('\n')}</dependencies>`,
    '</project>',
  ].join('\n')
}

/** Java artifacts (`group:id:version`) and all they need at run time; answers a class path. */
export async function javaLibraries(cacheDir: string, name: string, artifacts: readonly string[]): Promise<string> {
  const target = join(cacheDir, 'java', name)
  await once(target, async () => {
    const pom = join(target, 'pom.xml')
    writeFileSync(pom, pomOf(artifacts))
    const copy = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(target, 'libs')}`]
    await must('mvn', ['-q', '-B', '-f', pom, ...copy], { timeoutMs: 600_000 })
  })
  return join(target, 'libs', '*')
}

const LOGGER = 'org.slf4j:slf4j-simple:1.7.36'

/** Apache Kafka's command-line clients and its broker code, which dumps segments and serves as the peer. */
export function kafkaLibraries(cacheDir: string): Promise<string> {
  const artifacts = [
    `org.apache.kafka:kafka-tools:${KAFKA_VERSION}`,
    `org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`,
    LOGGER,
  ]
  return javaLibraries(cacheDir, `kafka-${KAFKA_VERSION}`, artifacts)
}

export const PERF_TEST_VERSION = '2.22.1'

/** RabbitMQ's own load generator, on the Java client. */
export function perfTestLibraries(cacheDir: string): Promise<string> {
  const artifacts = [`com.rabbitmq:perf-test:${PERF_TEST_VERSION}`]
  return javaLibraries(cacheDir, `perf-test-${PERF_TEST_VERSION}`, artifacts)
}

/** The source of a Go module, read-only, as the proxy serves it. */
export async function goModule(module: string, version: string): Promise<string> {
  const result = await must('go', ['mod', 'download', '-json', `${module}@${version}`], {
    cwd: tmpdir(),
    env: { GOFLAGS: '-mod=mod' },
    timeoutMs: 300_000,
  })
  const value: unknown = JSON.parse(result.stdout)
  if (typeof value === 'object' && value !== null && 'Dir' in value && typeof value.Dir === 'string') return value.Dir
  throw new Error(`no folder for ${module}@${version}`)
}

/** A writable copy of a Go module in `target`. */
export async function goModuleCopy(module: string, version: string, target: string): Promise<string> {
  const source = await goModule(module, version)
  cpSync(source, target, { recursive: true })
  await must('chmod', ['-R', 'u+w', target], { timeoutMs: 60_000 })
  return target
}
