// Try again later what failed, and set aside what keeps failing, without a timer of one's own:
//   work ──failed──▶ work.retry.100, .200 (messages expire there and are dead-lettered back to work)
//        ──failed too often──▶ work.dead
// The jobs behind a failed one do not wait for it. node examples/rabbitmq/retry-dead-letter.js [URL]
import amqp from 'amqplib'

const delaysMs = [100, 200]
const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()

// The default exchange routes by the queue's name, also what is dead.
const deadTo = (queue) => ({ deadLetterExchange: '', deadLetterRoutingKey: queue })
await channel.assertQueue('work.dead', { durable: true })
await channel.assertQueue('work', { durable: true, ...deadTo('work.dead') })
for (const delayMs of delaysMs)
  await channel.assertQueue(`work.retry.${delayMs}`, { durable: true, messageTtl: delayMs, ...deadTo('work') })

/** What the job is about: flaky ones succeed the third time, broken ones never. */
function work(job, attempt) {
  if (job.startsWith('broken') || (job.startsWith('flaky') && attempt < 3)) throw new Error(`${job} failed`)
}

async function handle(message) {
  const job = message.content.toString()
  // Counted by us: what the broker writes down of deaths it believes from nobody else, so a copy begins anew.
  const attempt = message.properties.headers?.attempt ?? 1
  try {
    work(job, attempt)
    console.log(`done: ${job}, attempt ${attempt}`)
    channel.ack(message)
    finished()
  } catch {
    // Refused without requeue it goes where the queue's dead letters go: work.dead.
    if (attempt > delaysMs.length) return channel.nack(message, false, false)
    const headers = { attempt: attempt + 1 }
    channel.sendToQueue(`work.retry.${delaysMs[attempt - 1]}`, message.content, { headers })
    // First the copy is safe, then the original may go: a crash in between makes two, never none.
    await channel.waitForConfirms()
    channel.ack(message)
  }
}

let left = 4
let allDone
const end = new Promise((resolve) => (allDone = resolve))
const finished = () => --left === 0 && allDone()
await channel.consume('work', handle)
await channel.consume('work.dead', (message) => {
  const { attempt, ...deaths } = message.properties.headers
  console.log(`dead: ${message.content}, ${deaths['x-last-death-reason']} after attempt ${attempt}`)
  channel.ack(message)
  finished()
})
for (const job of ['good-1', 'flaky-1', 'broken-1', 'good-2']) channel.sendToQueue('work', Buffer.from(job))
await end
await channel.close()
await connection.close()
