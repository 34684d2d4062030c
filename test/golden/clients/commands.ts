// Clients that are commands: confluent-kafka for Python, kcat, and the Java clients in Kafka's own tools.
// Promises: each runs to its end within a minute and leaves no topic or group behind; answers its name and version.
// Does not know: who listens.

import { join } from 'node:path'
import { KAFKA_VERSION } from '../../compat/install.ts'
import { must } from '../../compat/process.ts'

const timeoutMs = 60_000

export async function driveConfluent(broker: string, python: string): Promise<string> {
  const { stdout } = await must(python, [join(import.meta.dirname, 'confluent.py'), broker], { timeoutMs })
  return `confluent-kafka ${stdout.trim()}`
}

export async function driveKcat(broker: string): Promise<string> {
  const topic = 'golden-kcat'
  const kcat = (args: readonly string[], input = ''): Promise<{ stdout: string; stderr: string }> =>
    must('kcat', ['-b', broker, '-X', 'client.id=golden', ...args], { timeoutMs, input })
  await kcat(['-P', '-t', topic, '-K:', '-H', 'one=1'], 'key:value\nkey:other\n')
  for (const codec of ['gzip', 'snappy', 'lz4']) await kcat(['-P', '-t', topic, '-z', codec], 'thread '.repeat(200))
  await kcat(['-C', '-t', topic, '-o', 'beginning', '-e', '-q'])
  await kcat(['-Q', '-t', `${topic}:0:1`])
  await kcat(['-G', 'golden-kcat', '-e', '-q', '-X', 'auto.offset.reset=earliest', topic])
  await kcat(['-L'])
  const { stdout } = await must('kcat', ['-V'], { timeoutMs })
  const version = /Version (\S+) .*librdkafka (\S+)/.exec(stdout)
  return `kcat ${version?.[1]} librdkafka ${version?.[2]}`
}

/** `classpath` holds kafka-tools and what it needs. */
export async function driveJava(broker: string, classpath: string): Promise<string> {
  const topic = 'golden-java'
  const quiet = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error']
  const tool = (name: string, args: readonly string[], input = ''): Promise<unknown> =>
    must('java', [...quiet, '-cp', classpath, `org.apache.kafka.tools.${name}`, ...args], { timeoutMs, input })
  const at = ['--bootstrap-server', broker]
  const topics = (...args: string[]): Promise<unknown> => tool('TopicCommand', [...at, ...args])
  const groups = (...args: string[]): Promise<unknown> =>
    tool('consumer.group.ConsumerGroupCommand', [...at, '--group', 'golden-java', ...args])
  await topics('--create', '--topic', topic, '--partitions', '2', '--config', 'retention.ms=60000')
  await topics('--alter', '--topic', topic, '--partitions', '3')
  await topics('--describe', '--topic', topic)
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    const props = ['--reader-property', 'parse.key=true', '--reader-property', 'key.separator=:']
    await tool(
      'ConsoleProducer',
      [...at, '--topic', topic, '--compression-codec', codec, ...props],
      'key:value\n'.repeat(20),
    )
  }
  const from = ['--from-beginning', '--max-messages', '100', '--timeout-ms', '20000']
  await tool('consumer.ConsoleConsumer', [...at, '--topic', topic, '--group', 'golden-java', ...from])
  await groups('--describe')
  await groups('--describe', '--members')
  await groups('--reset-offsets', '--to-earliest', '--topic', topic, '--execute')
  await tool('GetOffsetShell', [...at, '--topic', topic])
  const alter = ['--alter', '--entity-type', 'topics', '--entity-name', topic, '--add-config', 'retention.ms=90000']
  await must('java', [...quiet, '-cp', classpath, 'kafka.admin.ConfigCommand', ...at, ...alter], { timeoutMs })
  await groups('--delete')
  await topics('--delete', '--topic', topic)
  await topics('--list')
  return `Java ${KAFKA_VERSION}`
}
