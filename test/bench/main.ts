// The benchmark command: our broker against a real Kafka or RabbitMQ under the same client processes, in alternating pairs.
// Promises: only one side runs at a time, the other is stopped; medians are printed and kept as JSON lines.
// Does not know: what a case does on a side.

import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cacheFolder } from '../compat/install.ts'
import { endAll, run } from '../compat/process.ts'
import { PROJECT } from '../compat/serve.ts'
import { AMQP_CASES } from './amqp-cases.ts'
import { startOursOverAmqp, startRabbit } from './amqp-sides.ts'
import { KAFKA_CASES, type Case, type Figures } from './cases.ts'
import { CROSS_CASES } from './cross-cases.ts'
import { LEDGER_CASES } from './ledger-cases.ts'
import { keep, printResult, summarise, writeTable, type Pair, type Result } from './results.ts'
import { noSide, startOurs, startPeer, type Side } from './sides.ts'

const USAGE = `usage: npm run bench -- [NAME…] [--pairs N] [--no-keep] [--smoke] [--rabbitmq PROGRAM]
       npm run bench -- list
       npm run bench -- table
  NAME      a case; * stands for anything; without names the usual ones (starred in the list)
  --pairs   how many alternating pairs (5)
  --no-keep do not append to results.jsonl
  --smoke   one pair, a hundredth of the messages, nothing kept: whether it runs, not how fast it is
  --rabbitmq PROGRAM start|stop|wipe|ctl with RMQ_PORT runs the peer of the AMQP cases and prints its pid
            (ODRADEK_COMPAT_RABBITMQ says it too; without it those cases are left out)`

const CASES: readonly Case[] = [...KAFKA_CASES, ...AMQP_CASES, ...LEDGER_CASES, ...CROSS_CASES]
const CASE_LIMIT_MINUTES = 15
const SMOKE_SCALE = 0.01
const BUSY_LOAD = 0.5

interface Sides {
  readonly ours: Side
  readonly peer: Side
}

/** What a run was told, beside the names of cases. */
interface Wishes {
  readonly cacheDir: string
  readonly pairs: number
  readonly scale: number
  readonly keeping: boolean
  readonly rabbitmq: string
}

function startOther(chosen: Case, wishes: Wishes): Promise<Side> {
  if (chosen.protocol === 'none') return Promise.resolve(noSide(chosen.beside ?? ''))
  if (chosen.protocol === 'both') return startOursOverAmqp(chosen.durability, chosen.beside)
  if (chosen.protocol === 'amqp') return startRabbit(wishes.rabbitmq)
  return chosen.againstOurselves === true ? startOurs('os') : startPeer(chosen.durability, wishes.cacheDir)
}

function startOwn({ protocol, durability }: Case): Promise<Side> {
  if (protocol === 'none') return Promise.resolve(noSide('ours, in memory'))
  return protocol === undefined ? startOurs(durability) : startOursOverAmqp(durability)
}

async function startSides(chosen: Case, wishes: Wishes): Promise<Sides> {
  const peer = await startOther(chosen, wishes)
  peer.pause()
  try {
    const ours = await startOwn(chosen)
    ours.pause()
    return { ours, peer }
  } catch (error) {
    await peer.stop()
    throw error
  }
}

async function stopSides(sides: Sides): Promise<void> {
  await Promise.all([sides.ours.stop(), sides.peer.stop()])
}

async function pairsOf(chosen: Case, wishes: Wishes): Promise<{ pairs: Pair[]; labels: [string, string] }> {
  const { cacheDir, scale } = wishes
  let sides = await startSides(chosen, wishes)
  const labels: [string, string] = [sides.ours.label, sides.peer.label]
  const prepared = `prepared-${chosen.name}`
  const onSide = async (side: Side, round: string): Promise<Figures> => {
    side.resume()
    try {
      if (round === 'warm' && chosen.prepare !== undefined) {
        await chosen.prepare({ side, cacheDir, topic: '', prepared, scale })
      }
      const run = side === sides.peer ? (chosen.runPeer ?? chosen.run) : chosen.run
      return await run({ side, cacheDir, topic: `${chosen.name}-${round}`, prepared, scale })
    } finally {
      side.pause()
    }
  }
  const pairs: Pair[] = []
  try {
    // The first run of each side pays for its compilation and is not counted, unless starting is what is measured.
    if (chosen.freshSides !== true) {
      await onSide(sides.ours, 'warm')
      await onSide(sides.peer, 'warm')
    }
    for (let round = 0; round < wishes.pairs; round++) {
      if (chosen.freshSides === true && round > 0) {
        await stopSides(sides)
        sides = await startSides(chosen, wishes)
      }
      const ours = await onSide(sides.ours, `${round}`)
      const peer = await onSide(sides.peer, `${round}`)
      pairs.push({ ours, peer })
    }
  } finally {
    await stopSides(sides)
  }
  return { pairs, labels }
}

async function bounded<T>(work: Promise<T>, { name, limitMinutes = CASE_LIMIT_MINUTES }: Case): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${name} took longer than ${limitMinutes} minutes`)),
      limitMinutes * 60_000,
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

async function commitId(): Promise<string> {
  const found = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd: PROJECT, timeoutMs: 10_000 })
  return found.code === 0 ? found.stdout.trim() : 'unknown'
}

function machine(): string {
  const memory = /MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? '0'
  const model = cpus()[0]?.model.replace(/\s+/g, ' ').trim()
  const named = model === undefined || model === '' || model === 'unknown' ? '' : ` (${model})`
  return `${cpus().length} cores${named}, ${Math.round(Number(memory) / 1_048_576)} GiB`
}

// Every side has something to end with us.
process.setMaxListeners(0)

async function idle(): Promise<void> {
  const [load = 0] = loadavg()
  if (load > BUSY_LOAD) console.log(`warning: the machine is not idle (load ${load.toFixed(2)}); figures will be noisy`)
}

function chosenCases(names: readonly string[]): readonly Case[] {
  if (names.length === 0) return CASES.filter((chosen) => chosen.usual)
  return names.flatMap((name) => {
    const pattern = new RegExp(`^${name.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)
    const found = CASES.filter((chosen) => pattern.test(chosen.name))
    if (found.length === 0) throw new Error(`no case "${name}"; see: npm run bench -- list`)
    return found
  })
}

async function bench(names: readonly string[], wishes: Wishes): Promise<number> {
  const commit = await commitId()
  let failed = 0
  await idle()
  for (const chosen of chosenCases(names)) {
    console.log(`${chosen.name}: ${chosen.title}`)
    if (chosen.protocol === 'amqp' && wishes.rabbitmq === '') {
      console.log('  left out: no RabbitMQ was named, see --rabbitmq')
      continue
    }
    try {
      const { pairs: measured, labels } = await bounded(pairsOf(chosen, wishes), chosen)
      const result: Result = {
        date: new Date().toISOString(),
        commit,
        node: process.version,
        machine: machine(),
        case: chosen.name,
        title: chosen.title,
        oursLabel: labels[0],
        peerLabel: labels[1],
        pairs: wishes.pairs,
        ...summarise(measured),
      }
      console.log(`  ${''.padEnd(32)} ${'ours'.padStart(9)} ${'peer'.padStart(9)}   better by (${labels.join(' | ')})`)
      printResult(result)
      if (wishes.keeping) keep(result)
    } catch (error) {
      failed++
      console.log(`  failed: ${error instanceof Error ? error.message : String(error)}`)
      endAll()
    }
  }
  return failed > 0 ? 1 : 0
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      pairs: { type: 'string' },
      'no-keep': { type: 'boolean' },
      smoke: { type: 'boolean', default: false },
      rabbitmq: { type: 'string', default: process.env['ODRADEK_COMPAT_RABBITMQ'] ?? '' },
      help: { type: 'boolean' },
    },
  })
  const isSmoke = values.smoke
  const pairs = Number(values.pairs ?? (isSmoke ? '1' : '5'))
  if (values.help === true || !Number.isInteger(pairs) || pairs < 1) {
    console.log(USAGE)
    return 2
  }
  if (positionals[0] === 'list') {
    for (const chosen of CASES) console.log(`${chosen.usual ? '*' : ' '} ${chosen.name.padEnd(34)} ${chosen.title}`)
    return 0
  }
  if (positionals[0] === 'table') {
    writeTable(join(PROJECT, 'README.md'))
    return 0
  }
  return bench(positionals, {
    cacheDir: cacheFolder(),
    pairs,
    scale: isSmoke ? SMOKE_SCALE : 1,
    keeping: values['no-keep'] !== true && !isSmoke,
    rabbitmq: values.rabbitmq,
  })
}

main()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error))
    return 2
  })
  .then((code) => {
    endAll()
    process.exit(code)
  })
