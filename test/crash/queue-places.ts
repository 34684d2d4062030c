// The queues, exchanges and bindings of the crash run: those that stay, and those that come and go.
// Promises: what was declared and answered is there after a crash, what was deleted and answered is not.
// Does not know: the messages in them.

import { connect, type Channel, type ChannelModel, type Options } from 'amqplib'
import type { Dice } from './producers.ts'

export interface QueuePlace {
  readonly name: string
  readonly arguments: Readonly<Record<string, string | number>>
  /** How many consumers work it off; first deliveries are in order where there is one. */
  readonly workers: number
  readonly prefetch: number
}

const dead = 'crash.dead'
const audit = 'crash.audit'
/** Queues over another's log: what is in the one is in the other. */
export const furtherQueues: ReadonlyMap<string, string> = new Map([['crash.shared', audit]])
const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }

export const widePartitions = 3

export const queuePlaces: readonly QueuePlace[] = [
  { name: 'crash.work', arguments: toDead, workers: 1, prefetch: 40 },
  { name: 'crash.shared', arguments: {}, workers: 2, prefetch: 10 },
  // A ledger of its own over the same log: the limit is one that is never reached.
  { name: audit, arguments: { 'x-log': 'crash.shared', 'x-max-length': 10_000_000 }, workers: 1, prefetch: 50 },
  { name: 'crash.levels', arguments: { 'x-max-priority': 4 }, workers: 1, prefetch: 5 },
  // Every crash may count as a delivery, and a message may lie through more of them than the usual limit.
  { name: 'crash.quorum', arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': -1 }, workers: 1, prefetch: 100 },
  { name: 'crash.wide', arguments: { 'x-partitions': widePartitions }, workers: 2, prefetch: 20 },
  { name: 'crash.brief', arguments: { ...toDead, 'x-message-ttl': 150 }, workers: 0, prefetch: 0 },
  { name: dead, arguments: {}, workers: 1, prefetch: 0 },
]

/** Dead letters come from several queues at once, shared work goes two ways, partitions take turns: no order to keep. */
export const unorderedQueues: ReadonlySet<string> = new Set([dead, 'crash.shared', 'crash.wide'])

export const deadLetterTargets: ReadonlyMap<string, string> = new Map(
  queuePlaces.filter((place) => 'x-dead-letter-routing-key' in place.arguments).map(({ name }) => [name, dead]),
)

export interface Route {
  readonly exchange: string
  readonly key: string
  readonly queues: readonly string[]
}

const fanout = 'crash.fanout'
const topic = 'crash.topic'

/** Each way a message may be published, and where it ends. */
export const routes: readonly Route[] = [
  { exchange: '', key: 'crash.work', queues: ['crash.work'] },
  { exchange: '', key: 'crash.levels', queues: ['crash.levels'] },
  { exchange: '', key: 'crash.wide', queues: ['crash.wide'] },
  { exchange: '', key: 'crash.brief', queues: ['crash.brief'] },
  { exchange: fanout, key: '', queues: ['crash.work', 'crash.quorum', 'crash.shared', audit] },
  { exchange: topic, key: 'to.quorum', queues: ['crash.quorum'] },
  { exchange: topic, key: 'to.shared', queues: ['crash.shared', audit] },
]

export async function declareStaying(connection: ChannelModel): Promise<void> {
  const channel = await connection.createChannel()
  for (const { name, arguments: args } of queuePlaces)
    await channel.assertQueue(name, { durable: true, arguments: args })
  await channel.assertExchange(fanout, 'fanout', { durable: true })
  await channel.assertExchange(topic, 'topic', { durable: true })
  for (const { exchange, key, queues } of routes) {
    if (exchange === '') continue
    for (const queue of queues) if (queue !== audit) await channel.bindQueue(queue, exchange, key)
  }
  await channel.close()
}

/** Connects to the broker; what ends the connection is nobody's mistake here. */
export async function amqpClient(address: string): Promise<ChannelModel> {
  const connection = await connect(`amqp://guest:guest@${address}`)
  connection.on('error', () => {})
  return connection
}

/** Whether it is there, asked on a channel of its own: the answer may end it. */
async function exists(connection: ChannelModel, ask: (channel: Channel) => Promise<unknown>): Promise<boolean> {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  const isThere = await ask(channel).then(
    () => true,
    () => false,
  )
  if (isThere) await channel.close()
  return isThere
}

interface Passing {
  readonly name: string
  readonly isTransient: boolean
}

const transient: Options.AssertQueue = { durable: false }

/** Makes and deletes queues with a binding each, and knows what it was told. */
export class QueueKeeper {
  private living: Passing[] = []
  private gone: string[] = []
  /** Asked for and not answered. */
  private readonly unknown = new Set<string>()
  private next = 0

  async run(connection: ChannelModel, dice: Dice): Promise<void> {
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    await channel.assertQueue('crash.mine', { exclusive: true })
    for (;;) {
      await this.create(channel, dice)
      if (this.living.length > 4) await this.remove(channel)
    }
  }

  private async create(channel: Channel, dice: Dice): Promise<void> {
    const name = `crash.passing.${this.next++}`
    const isTransient = dice.below(3) === 0
    this.unknown.add(name)
    await channel.assertQueue(name, isTransient ? transient : { durable: true })
    await channel.bindQueue(name, topic, name)
    this.unknown.delete(name)
    this.living.push({ name, isTransient })
  }

  private async remove(channel: Channel): Promise<void> {
    const first = this.living.shift()
    if (first === undefined) return
    this.unknown.add(first.name)
    await channel.deleteQueue(first.name)
    this.unknown.delete(first.name)
    this.gone.push(first.name)
  }

  /** After a crash, against a broker that is there again. */
  async judge(connection: ChannelModel): Promise<string[]> {
    const broken: string[] = []
    const isThere = (name: string): Promise<boolean> => exists(connection, (channel) => channel.checkQueue(name))
    for (const { name } of queuePlaces) if (!(await isThere(name))) broken.push(`${name}: the queue is gone`)
    for (const { name, isTransient } of this.living) {
      if (isTransient && (await isThere(name))) broken.push(`${name}: not durable, and there after a crash`)
      if (!isTransient && !(await isThere(name))) broken.push(`${name}: declared and answered, and gone`)
      if (!isTransient && !(await this.routesTo(connection, name))) broken.push(`${name}: its binding is gone`)
    }
    for (const name of this.gone.splice(0)) {
      if (await isThere(name)) broken.push(`${name}: deleted and answered, and there again`)
    }
    if (await isThere('crash.mine')) broken.push('crash.mine: exclusive, and there after a crash')
    this.living = this.living.filter(({ isTransient }) => !isTransient)
    return broken
  }

  /** A mandatory message by its binding comes back when that is not there. */
  private async routesTo(connection: ChannelModel, name: string): Promise<boolean> {
    const channel = await connection.createConfirmChannel()
    let cameBack = false
    channel.on('return', () => (cameBack = true))
    channel.publish(topic, name, Buffer.from('is it bound?'), { mandatory: true })
    await channel.waitForConfirms()
    await channel.close()
    return !cameBack
  }
}
