// Apache Kafka's command-line tools as functions: a class of the tools jar, its arguments, what it printed.
// Promises: each call is one JVM, small and bounded in time; a tool that ends badly is an error unless it was meant to.
// Does not know: the checks made with it.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kafkaLibraries } from '../install.ts'
import { run, start, type Child } from '../process.ts'
import type { SuiteContext } from '../suite.ts'

const TOOLS = 'org.apache.kafka.tools'
const CALL_LIMIT_MS = 40_000

const CLASSES = {
  'broker-api-versions': `${TOOLS}.BrokerApiVersionsCommand`,
  'client-metrics': `${TOOLS}.ClientMetricsCommand`,
  cluster: `${TOOLS}.ClusterTool`,
  configs: 'kafka.admin.ConfigCommand',
  'console-consumer': `${TOOLS}.consumer.ConsoleConsumer`,
  'console-producer': `${TOOLS}.ConsoleProducer`,
  'console-share-consumer': `${TOOLS}.consumer.ConsoleShareConsumer`,
  'consumer-groups': `${TOOLS}.consumer.group.ConsumerGroupCommand`,
  'consumer-perf-test': `${TOOLS}.ConsumerPerformance`,
  acls: `${TOOLS}.AclCommand`,
  'delete-records': `${TOOLS}.DeleteRecordsCommand`,
  'dump-log': `${TOOLS}.DumpLogSegments`,
  'e2e-latency': `${TOOLS}.EndToEndLatency`,
  features: `${TOOLS}.FeatureCommand`,
  'get-offsets': `${TOOLS}.GetOffsetShell`,
  groups: `${TOOLS}.GroupsCommand`,
  'leader-election': `${TOOLS}.LeaderElectionCommand`,
  'log-dirs': `${TOOLS}.LogDirsCommand`,
  'metadata-quorum': `${TOOLS}.MetadataQuorumCommand`,
  'producer-perf-test': `${TOOLS}.ProducerPerformance`,
  'reassign-partitions': `${TOOLS}.reassign.ReassignPartitionsCommand`,
  topics: `${TOOLS}.TopicCommand`,
  transactions: `${TOOLS}.TransactionsCommand`,
  'verifiable-consumer': `${TOOLS}.VerifiableConsumer`,
  'verifiable-producer': `${TOOLS}.VerifiableProducer`,
} as const

export type Tool = keyof typeof CLASSES

export interface CallOptions {
  readonly input?: string
  /** The tool is expected to end with an error; its words are the answer. */
  readonly mayFail?: boolean
  /** The answer is standard output alone. */
  readonly quiet?: boolean
}

export class Tools {
  readonly context: SuiteContext
  private readonly classPath: string

  private constructor(context: SuiteContext, classPath: string) {
    this.context = context
    this.classPath = classPath
  }

  static async install(context: SuiteContext): Promise<Tools> {
    return new Tools(context, await kafkaLibraries(context.cacheDir))
  }

  name(kind: string): string {
    return `java-${kind}-${this.context.tag}`
  }

  file(name: string, content: string): string {
    const path = join(this.context.workDir, name)
    writeFileSync(path, content)
    return path
  }

  private java(tool: Tool, args: readonly string[]): string[] {
    const light = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto']
    const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
    return [...light, quiet, '-cp', this.classPath, CLASSES[tool], ...args]
  }

  /** Standard output, then standard error. */
  async bare(tool: Tool, args: readonly string[], options: CallOptions = {}): Promise<string> {
    const input = options.input === undefined ? {} : { input: options.input }
    const result = await run('java', this.java(tool, args), { timeoutMs: CALL_LIMIT_MS, ...input })
    const said = `${result.stdout}\n${result.stderr}`.trim()
    if (result.timedOut) throw new Error(`${tool} took longer than ${CALL_LIMIT_MS} ms: ${said.slice(-300)}`)
    if (result.code !== 0 && options.mayFail !== true) {
      throw new Error(`${tool} ended with ${result.code}: ${said.slice(-300)}`)
    }
    return options.quiet === true ? result.stdout : said
  }

  call(tool: Tool, ...args: string[]): Promise<string> {
    return this.bare(tool, ['--bootstrap-server', this.context.broker.address, ...args])
  }

  refused(tool: Tool, ...args: string[]): Promise<string> {
    return this.bare(tool, ['--bootstrap-server', this.context.broker.address, ...args], { mayFail: true })
  }

  begin(tool: Tool, ...args: string[]): Child {
    return start('java', this.java(tool, ['--bootstrap-server', this.context.broker.address, ...args]))
  }

  async topic(kind: string, partitions = 1, ...config: string[]): Promise<string> {
    const topic = this.name(kind)
    const settings = config.flatMap((setting) => ['--config', setting])
    await this.call('topics', '--create', '--topic', topic, '--partitions', `${partitions}`, ...settings)
    return topic
  }

  async produce(topic: string, lines: readonly string[], ...args: string[]): Promise<void> {
    const target = ['--bootstrap-server', this.context.broker.address, '--topic', topic]
    const said = await this.bare('console-producer', [...target, ...args], { input: `${lines.join('\n')}\n` })
    if (/Error when sending|Exception/.test(said)) throw new Error(`console-producer: ${said.slice(-300)}`)
  }

  /** The lines of a topic; ends after `count`, or when nothing comes for a while. */
  async consume(topic: string, count: number, ...args: string[]): Promise<readonly string[]> {
    const where = args.includes('--offset') ? [] : ['--from-beginning']
    const what = ['--bootstrap-server', this.context.broker.address, '--topic', topic]
    const bounds = ['--max-messages', `${count}`, '--timeout-ms', '15000']
    const said = await this.bare('console-consumer', [...what, ...where, ...bounds, ...args], { quiet: true })
    return said.split('\n').filter((line) => line !== '')
  }
}
