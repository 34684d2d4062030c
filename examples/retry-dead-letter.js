// A consumer that tries again later what failed, and sets aside what keeps failing:
//   jobs ──failed──▶ jobs.retry (waits 100, 200, 400 ms) ──failed too often──▶ jobs.dead-letter
// The jobs behind a failed one do not wait for it. node examples/retry-dead-letter.js [HOST:PORT]
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'

const attemptsMax = 4
const backoffMs = (attempt) => 100 * 2 ** (attempt - 1)

const brokers = [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092']
const kafka = new Kafka({ clientId: 'worker', brokers, logLevel: logLevel.ERROR })
const producer = kafka.producer()
const consumer = kafka.consumer({ groupId: 'workers' })
const textOf = (header) => header?.toString() ?? ''

/** What the job is about: flaky ones succeed the third time, broken ones never. */
async function work(job, attempt) {
  if (job.startsWith('broken') || (job.startsWith('flaky') && attempt < 3)) throw new Error(`${job} failed`)
}

async function handle({ topic, partition, message }) {
  const job = message.value.toString()
  const attempt = Number(textOf(message.headers.attempt) || 1)
  const dueMs = Number(textOf(message.headers['not-before'])) - Date.now()
  // Records of the retry topic are due nearly in order, so waiting for the first holds none of the others up for long.
  if (dueMs > 0) await sleep(dueMs)
  try {
    await work(job, attempt)
    console.log(`done: ${job}, attempt ${attempt}`)
    finished()
  } catch (error) {
    await setAside({ topic, partition, message, attempt, error })
  }
}

async function setAside({ topic, partition, message, attempt, error }) {
  const from = textOf(message.headers.from) || `${topic}-${partition}@${message.offset}`
  if (attempt < attemptsMax) {
    const headers = { attempt: String(attempt + 1), 'not-before': String(Date.now() + backoffMs(attempt)), from }
    await producer.send({ topic: 'jobs.retry', messages: [{ key: message.key, value: message.value, headers }] })
    return
  }
  const headers = { attempts: String(attempt), from, reason: error.message }
  await producer.send({ topic: 'jobs.dead-letter', messages: [{ key: message.key, value: message.value, headers }] })
  console.log(`dead: ${message.value}, from ${from}, ${error.message}`)
  finished()
}

let left = 4
const allDone = deferred()
function deferred() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}
const finished = () => --left === 0 && allDone.resolve()

const admin = kafka.admin()
await admin.connect()
await admin.createTopics({ topics: ['jobs', 'jobs.retry', 'jobs.dead-letter'].map((topic) => ({ topic })) })
await admin.disconnect()
await producer.connect()
await producer.send({
  topic: 'jobs',
  messages: ['good-1', 'flaky-1', 'broken-1', 'good-2'].map((job) => ({ key: job, value: job })),
})
await consumer.connect()
await consumer.subscribe({ topics: ['jobs', 'jobs.retry'], fromBeginning: true })
await consumer.run({ eachMessage: handle, partitionsConsumedConcurrently: 2 })
await allDone.promise
await consumer.disconnect()
await producer.disconnect()
