// What one amqplib check works with: connections, channels, queues and exchanges made for it alone.
// Promises: all of it is gone when the check ends, whichever way it ends; waiting is bounded.
// Does not know: what the checks assert.

import { connect, type Channel, type ChannelModel, type ConsumeMessage, type GetMessage, type Options } from 'amqplib'
import { until, type Check, type SuiteContext } from '../suite.ts'

const WAIT_MS = 10_000
let made = 0

export class Desk {
  readonly url: string
  private readonly tag: string
  private readonly connections: ChannelModel[] = []
  private readonly queues: string[] = []
  private readonly exchanges: string[] = []

  constructor(context: SuiteContext) {
    this.url = `amqp://guest:guest@${context.broker.address}`
    this.tag = context.tag
  }

  name(kind: string): string {
    return `amqplib-${kind}-${made++}-${this.tag}`
  }

  async connection(parameters = ''): Promise<ChannelModel> {
    const connection = await connect(`${this.url}${parameters}`)
    // What ends it is told to the check by the call that fails.
    connection.on('error', () => {})
    this.connections.push(connection)
    return connection
  }

  async channel(): Promise<Channel> {
    const channel = await (await this.connection()).createChannel()
    channel.on('error', () => {})
    return channel
  }

  async queue(channel: Channel, options: Options.AssertQueue = {}): Promise<string> {
    const { queue } = await channel.assertQueue(this.name('queue'), { durable: false, ...options })
    this.queues.push(queue)
    return queue
  }

  async exchange(channel: Channel, type: string, options: Options.AssertExchange = {}): Promise<string> {
    const { exchange } = await channel.assertExchange(this.name(type), type, { durable: false, ...options })
    this.exchanges.push(exchange)
    return exchange
  }

  async close(): Promise<void> {
    for (const connection of this.connections) await connection.close().catch(() => {})
    if (this.queues.length === 0 && this.exchanges.length === 0) return
    const connection = await connect(this.url)
    const channel = await connection.createChannel()
    for (const queue of this.queues) await channel.deleteQueue(queue)
    for (const exchange of this.exchanges) await channel.deleteExchange(exchange)
    await connection.close()
  }
}

/** A check that is handed a desk, which is cleared afterwards. */
export function at(context: SuiteContext, name: string, run: (desk: Desk) => Promise<void>): Check {
  return {
    name,
    limitMs: 30_000,
    run: async () => {
      const desk = new Desk(context)
      try {
        await run(desk)
      } finally {
        await desk.close()
      }
    },
  }
}

export function send(channel: Channel, queue: string, text: string, options: Options.Publish = {}): void {
  channel.sendToQueue(queue, Buffer.from(text), options)
}

export const textOf = (message: GetMessage | ConsumeMessage): string => message.content.toString()

/** The next message of a queue; it may be on its way. */
export function take(channel: Channel, queue: string, options: Options.Get = { noAck: true }): Promise<GetMessage> {
  return until(`a message in ${queue}`, WAIT_MS, async () => {
    const message = await channel.get(queue, options)
    return message === false ? null : message
  })
}

export async function takeTexts(channel: Channel, queue: string, count: number): Promise<string[]> {
  const texts: string[] = []
  for (let taken = 0; taken < count; taken++) texts.push(textOf(await take(channel, queue)))
  return texts
}

export async function reaches(channel: Channel, queue: string, count: number): Promise<void> {
  const ask = async (): Promise<true | null> => ((await channel.checkQueue(queue)).messageCount === count ? true : null)
  await until(`${count} messages in ${queue}`, WAIT_MS, ask)
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A consumer that gathers what it is handed. */
export class Inbox {
  readonly messages: ConsumeMessage[] = []
  readonly channel: Channel
  consumerTag = ''
  /** The broker ended it. */
  isCancelled = false

  private constructor(channel: Channel) {
    this.channel = channel
  }

  static async open(channel: Channel, queue: string, options: Options.Consume = {}): Promise<Inbox> {
    const inbox = new Inbox(channel)
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) inbox.isCancelled = true
      else inbox.messages.push(message)
    }
    inbox.consumerTag = (await channel.consume(queue, take, options)).consumerTag
    return inbox
  }

  get texts(): string[] {
    return this.messages.map(textOf)
  }

  async reach(count: number): Promise<readonly ConsumeMessage[]> {
    const ask = async (): Promise<true | null> => (this.messages.length >= count ? true : null)
    await until(`${count} messages`, WAIT_MS, ask).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}, ${this.messages.length} came`)
    })
    return this.messages
  }

  /** So many came, and for a moment no more. */
  async stay(count: number): Promise<void> {
    await this.reach(count)
    await pause(200)
    if (this.messages.length > count) throw new Error(`${count} messages expected, ${this.messages.length} came`)
  }
}

/** The error a call on a fresh channel of this connection is refused with. */
export async function refusal(
  connection: ChannelModel,
  call: (channel: Channel) => Promise<unknown>,
): Promise<{ code: number; text: string }> {
  const channel = await connection.createChannel()
  const closed = new Promise<Error>((resolve) => channel.on('error', resolve))
  await call(channel).catch(() => {})
  return told(await Promise.race([closed, pause(WAIT_MS).then(() => new Error('it was not refused'))]))
}

/** Code and text of an error that amqplib made of a close. */
export function told(error: Error): { code: number; text: string } {
  const code: unknown = Object.getOwnPropertyDescriptor(error, 'code')?.value
  const text = /with message "(.*)"$/s.exec(error.message)?.[1] ?? error.message
  return { code: typeof code === 'number' ? code : 0, text }
}
