// RabbitMQ PerfTest, the load generator on the Java client: short runs that must end by themselves and move messages.
// Promises: each check is one JVM with names of its own; the rates are printed for the reader and judged by nobody.
// Does not know: any other client; how fast is fast (test/bench).

import { perfTestLibraries } from '../install.ts'
import { run } from '../process.ts'
import { expect, runChecks, type Check, type Suite, type SuiteContext } from '../suite.ts'

const RUN_LIMIT_MS = 60_000
/** What is run, by its name: a command line. `Q` stands for a name that no other run uses. */
const RUNS: Readonly<Record<string, string>> = {
  'transient messages, automatic acknowledgement': '-z 4 -u Q -x 1 -y 1 -a',
  'persistent messages, confirms, prefetch, two on each side':
    '-z 4 -u Q -x 2 -y 2 -c 100 -q 50 -f persistent -ad false',
  'a quorum queue': '-z 4 -u Q --quorum-queue -x 1 -y 1 -c 100 -q 50',
  'a stream': '-z 4 -u Q --stream-queue -x 1 -y 1 -c 100 -q 50',
  'a topic exchange that feeds ten queues':
    '-z 4 -e Q -t topic -k a.b -x 1 -y 10 --queue-pattern Q-%d --queue-pattern-from 1 --queue-pattern-to 10',
  'transactions on both sides': '-z 4 -u Q -m 10 -n 10',
  '4 KiB, acknowledged fifty at a time': '-z 4 -u Q -s 4096 -A 50 -q 100',
  'rates and sizes that change': '-z 6 -u Q --variable-rate 100:2 --variable-rate 1000:2 -vs 100:2 -vs 1000:2',
  priorities: '-z 4 -u Q -mp priority=5 -mp deliveryMode=2 -qa x-max-priority=10',
}

function rate(said: string, side: 'sending' | 'receiving'): number {
  return Number(new RegExp(`${side} rate avg: (\\d+)`).exec(said)?.[1] ?? 0)
}

function checkOf(context: SuiteContext, libraries: string, name: string, wishes: string): Check {
  return {
    name,
    limitMs: RUN_LIMIT_MS + 10_000,
    run: async () => {
      const own = `perf-${name.replaceAll(/\W+/g, '-')}-${context.tag}`
      const args = wishes.split(' ').map((wish) => wish.replace(/^Q/, own))
      const light = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', libraries, 'com.rabbitmq.perf.PerfTest']
      const target = ['-h', `amqp://guest:guest@${context.broker.address}`]
      const result = await run('java', [...light, ...target, ...args], { timeoutMs: RUN_LIMIT_MS })
      const said = `${result.stdout}\n${result.stderr}`
      expect(!result.timedOut, `no end within ${RUN_LIMIT_MS} ms: ${said.slice(-300)}`)
      expect(result.code === 0, `ended with ${result.code}: ${said.slice(-300)}`)
      const [sent, received] = [rate(said, 'sending'), rate(said, 'receiving')]
      expect(sent > 0 && received > 0, `${sent} msg/s sent, ${received} msg/s received: ${said.slice(-300)}`)
      console.log(`     ${sent} msg/s sent, ${received} msg/s received`)
    },
  }
}

export const suite: Suite = {
  name: 'perf-test',
  needs: ['java', 'mvn'],
  limitMinutes: 5,
  protocol: 'amqp',
  run: async (context) => {
    const libraries = await perfTestLibraries(context.cacheDir)
    return runChecks(
      context,
      Object.entries(RUNS).map(([name, wishes]) => checkOf(context, libraries, name, wishes)),
    )
  },
}
