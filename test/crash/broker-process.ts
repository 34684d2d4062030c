// The broker as a process: started on a folder, killed without warning.
// Promises: only processes started here are signalled, by id; what the broker printed is kept for a failure's report.
// Does not know: what it stores.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../../dist/cli/main.js')
const readyMsMax = 20_000

export class BrokerProcess {
  private readonly child: ChildProcess
  private readonly exited: Promise<unknown>
  output = ''
  address = ''
  /** Where AMQP clients connect. */
  amqp = ''
  readyMs = 0

  private constructor(folder: string) {
    const args = [main, 'serve', '--json', '--data', folder, '--kafka', '127.0.0.1:0', '--amqp', '127.0.0.1:0']
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = once(this.child, 'exit')
    const keep = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).slice(-8000)
    }
    this.child.stdout?.on('data', keep)
    this.child.stderr?.on('data', keep)
  }

  /** Started, and not waited for. */
  static launch(folder: string): BrokerProcess {
    return new BrokerProcess(folder)
  }

  /** Started and ready; throws with what it said when it does not become ready. */
  static async start(folder: string): Promise<BrokerProcess> {
    const startedMs = performance.now()
    const broker = new BrokerProcess(folder)
    let said = ''
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`the broker ${why}:\n${broker.output}`))
      timer = setTimeout(() => fail(`was not ready within ${readyMsMax} ms`), readyMsMax)
      void broker.exited.then(() => fail('ended before it was ready'))
      broker.child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        const line = said.split('\n').find((one) => one.includes('"ready":true'))
        if (line === undefined || broker.address !== '') return
        const ready = JSON.parse(line) as { kafka: string; amqp: string }
        broker.address = ready.kafka
        broker.amqp = ready.amqp
        resolve()
      })
    }).finally(() => clearTimeout(timer))
    broker.readyMs = performance.now() - startedMs
    return broker
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }

  /** Ends it politely; its exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 10_000)
    await this.exited
    clearTimeout(timer)
    return this.child.exitCode
  }
}
