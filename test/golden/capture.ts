// Captures golden bytes: a real client at work against a real Kafka, through the recording proxy.
// usage: npx tsx test/golden/capture.ts --client kafkajs|platformatic|confluent|kcat|java|all --broker HOST:PORT --kafka VERSION
// Promises: the fixtures of the client named are replaced, no others; needs a running Apache Kafka and, for the
// commands, what compat/install brings.
// Does not know: our own broker.

import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { cacheFolder, debianPackage, kafkaLibraries, pythonWith } from '../compat/install.ts'
import { driveConfluent, driveJava, driveKcat } from './clients/commands.ts'
import { driveKafkajs } from './clients/kafkajs.ts'
import { drivePlatformatic } from './clients/platformatic.ts'
import { writeFixtures } from './fixture.ts'
import { startRecorder } from './recorder.ts'

const require = createRequire(import.meta.url)
const versionOf = (name: string): string => (require(`${name}/package.json`) as { version: string }).version

/** Drives the client against `broker` and answers its name and version. */
const clients: Readonly<Record<string, (broker: string) => Promise<string>>> = {
  kafkajs: async (broker) => {
    await driveKafkajs(broker)
    return `kafkajs ${versionOf('kafkajs')}`
  },
  platformatic: async (broker) => {
    await drivePlatformatic(broker)
    return '@platformatic/kafka 1.35.0'
  },
  confluent: async (broker) => {
    const python = await pythonWith(cacheFolder(), 'confluent-kafka', ['confluent-kafka'])
    return driveConfluent(broker, python)
  },
  kcat: async (broker) => {
    await debianPackage('kcat', 'kcat')
    return driveKcat(broker)
  },
  java: async (broker) => driveJava(broker, await kafkaLibraries(cacheFolder())),
}

const { values } = parseArgs({
  options: { client: { type: 'string' }, broker: { type: 'string' }, kafka: { type: 'string', default: '4.3.1' } },
})
const [host, port] = (values.broker ?? '').split(':')
const chosen = values.client === 'all' ? Object.keys(clients) : [values.client ?? '']
if (port === undefined || chosen.some((name) => !(name in clients))) {
  console.error(`usage: capture.ts --client ${Object.keys(clients).join('|')}|all --broker HOST:PORT [--kafka VERSION]`)
  process.exit(2)
}
for (const name of chosen) {
  const recorder = await startRecorder({ host, port: Number(port) })
  try {
    const client = await clients[name](recorder.address)
    const written = writeFixtures(client, `Apache Kafka ${values.kafka}`, recorder.exchanges)
    console.log(`${client}: ${written.length} fixtures of ${recorder.exchanges.length} exchanges`)
  } finally {
    await recorder.close()
  }
}
process.exit(0)
