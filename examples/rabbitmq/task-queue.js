// Two workers share a queue of tasks. With a prefetch of 1 each gets its next task when it has done its last: the slow
// task holds up one worker, and the other does all the rest. node examples/rabbitmq/task-queue.js [URL]
import { setTimeout as sleep } from 'node:timers/promises'
import amqp from 'amqplib'

const url = process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1'
const tasks = ['slow', 'quick-1', 'quick-2', 'quick-3']
let left = tasks.length
let allDone
const end = new Promise((resolve) => (allDone = resolve))

async function startWorker(name) {
  const connection = await amqp.connect(url)
  const channel = await connection.createChannel()
  await channel.assertQueue('tasks', { durable: true })
  // Without this the broker would hand out everything at once, however busy the worker is.
  await channel.prefetch(1)
  await channel.consume('tasks', async (message) => {
    const task = message.content.toString()
    await sleep(task === 'slow' ? 300 : 10)
    console.log(`worker ${name}: ${task} is done`)
    // Only after the work: a worker that dies before loses nothing, its task goes to another.
    channel.ack(message)
    if (--left === 0) allDone()
  })
  return { stop: () => channel.close().then(() => connection.close()) }
}

const workers = [await startWorker('A'), await startWorker('B')]

const connection = await amqp.connect(url)
const channel = await connection.createConfirmChannel()
await channel.assertQueue('tasks', { durable: true })
for (const task of tasks) channel.sendToQueue('tasks', Buffer.from(task), { persistent: true })
await channel.waitForConfirms()

await end
for (const worker of workers) await worker.stop()
await connection.close()
