// Captures golden bytes: a real client at work against a real RabbitMQ, through the recording proxy.
// usage: npx tsx test/golden/amqp/capture.ts --client pika|amqplib|all --broker HOST:PORT --rabbitmq VERSION
// Promises: the recording of the client named is replaced, no other; needs a running RabbitMQ with user guest, for pika
// what compat/install brings, for amqplib that it is installed.
// Does not know: our own broker.

import { parseArgs } from 'node:util'
import { join } from 'node:path'
import { cacheFolder, pythonWith } from '../../compat/install.ts'
import { must } from '../../compat/process.ts'
import { startRecorder, writeRecording } from './recording.ts'

const timeoutMs = 60_000
const program = (name: string): string => join(import.meta.dirname, name)

/** Drives the client against the proxy and answers its version. */
const clients: Readonly<Record<string, (port: string) => Promise<{ stdout: string }>>> = {
  pika: async (port) => {
    const python = await pythonWith(cacheFolder(), 'golden-pika', ['pika==1.3.2'])
    return must(python, [program('pika-client.py'), port], { timeoutMs })
  },
  amqplib: (port) => must('node', [program('amqplib-client.mjs'), port], { timeoutMs }),
}

const { values } = parseArgs({
  options: { client: { type: 'string' }, broker: { type: 'string' }, rabbitmq: { type: 'string' } },
})
const [host, port] = (values.broker ?? '').split(':')
const chosen = values.client === 'all' ? Object.keys(clients) : [values.client ?? '']
if (port === undefined || values.rabbitmq === undefined || chosen.some((name) => !(name in clients))) {
  const names = Object.keys(clients).join('|')
  console.error(`usage: capture.ts --client ${names}|all --broker HOST:PORT --rabbitmq VERSION`)
  process.exit(2)
}
for (const name of chosen) {
  const recorder = await startRecorder({ host, port: Number(port) })
  try {
    const { stdout } = await clients[name](String(recorder.port))
    const client = `${name} ${stdout.trim()}`
    writeRecording({ name: `${name}.txt`, client, broker: `RabbitMQ ${values.rabbitmq}`, said: recorder.said })
    console.log(`${client}: ${recorder.said.length} frames`)
  } finally {
    await recorder.close()
  }
}
process.exit(0)
