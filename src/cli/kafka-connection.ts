// One connection to one Kafka broker: versions negotiated, requests matched to their answers.
// Promises: each request goes in the highest version both sides speak; a lost connection or a silent broker rejects
// what waits, with one line.
// Does not know: topics, leaders, groups (kafka-client.ts).

import { NetError } from '../base/world.ts'
import type { Clock } from '../base/world.ts'
import type { InputOf, ValueOf } from '../base/schema.ts'
import { printAddress, type Address } from '../server/address.ts'
import { dial, type Dialled } from '../server/node-dial.ts'
import { apis, type AnyApi } from '../wire/kafka/api-table.ts'
import { decodeResponse, encodeRequest, FrameCutter, responseCorrelationId } from '../wire/kafka/frame.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { errorCodes } from './kafka-errors.ts'

const connectTimeoutMs = 5000
const answerTimeoutMs = 30_000
/** An answer larger than any broker sends: a stranger that speaks another protocol. */
const answerBytesMax = 256 * 1024 * 1024
const clientId = 'odradek-cli'

type VersionRange = readonly [first: number, last: number]

interface Waiting {
  readonly take: (frame: Buffer) => void
  readonly fail: (error: Error) => void
}

export class KafkaConnection {
  readonly address: Address
  private readonly socket: Dialled
  private readonly clock: Clock
  private readonly cutter = new FrameCutter(answerBytesMax)
  private readonly waiting = new Map<number, Waiting>()
  private readonly versions = new Map<number, VersionRange>()
  private nextCorrelation = 1
  private lost: CommandFailure | undefined

  private constructor(socket: Dialled, address: Address, clock: Clock) {
    this.socket = socket
    this.address = address
    this.clock = clock
    socket.onData((chunk) => this.onData(chunk))
    socket.onClose(() => this.lose('closed the connection'))
  }

  /** `advice`: what to do when nothing answers there. */
  static async open(address: Address, clock: Clock, advice: string): Promise<KafkaConnection> {
    let socket: Dialled
    try {
      socket = await dial(address, connectTimeoutMs)
    } catch (error) {
      if (!(error instanceof NetError)) throw error
      throw new CommandFailure(`${error.message}; ${advice}`, exitCodes.unreachable)
    }
    const connection = new KafkaConnection(socket, address, clock)
    await connection.negotiate()
    return connection
  }

  get isLost(): boolean {
    return this.lost !== undefined
  }

  /** KIP-35; a broker that does not speak our newest version answers in v0 which it does (KIP-511). */
  private async negotiate(): Promise<void> {
    const api = apis.apiVersions
    const ask = { clientSoftwareName: 'odradek', clientSoftwareVersion: '0' }
    const frame = await this.exchange(encodeRequest(api, 3, this.nextCorrelation, clientId, ask))
    let answer = frame.readInt16BE(4) === errorCodes.unsupportedVersion ? undefined : decodeResponse(api, 3, frame)
    if (answer === undefined) {
      const older = await this.exchange(encodeRequest(api, 0, this.nextCorrelation, clientId, {}))
      answer = decodeResponse(api, 0, older)
    }
    for (const { apiKey, minVersion, maxVersion } of answer.apiKeys) this.versions.set(apiKey, [minVersion, maxVersion])
  }

  /** Sends a request in the highest version both sides speak, or at most `versionMax`. */
  async request<A extends AnyApi>(
    api: A,
    value: InputOf<A['request']>,
    options: { readonly versionMax?: number; readonly timeoutMs?: number } = {},
  ): Promise<ValueOf<A['response']>> {
    const version = this.versionOf(api, options.versionMax)
    if (version === undefined) {
      throw new CommandFailure(
        `the broker at ${printAddress(this.address)} does not speak ${api.name} as this program does`,
      )
    }
    const frame = encodeRequest(api, version, this.nextCorrelation, clientId, value)
    return decodeResponse(api, version, await this.exchange(frame, options.timeoutMs))
  }

  /** Sends a request that the broker does not answer: a produce with acks=0. */
  tell<A extends AnyApi>(api: A, value: InputOf<A['request']>, versionMax?: number): void {
    const version = this.versionOf(api, versionMax)
    if (version === undefined) throw new CommandFailure(`the broker does not speak ${api.name} as this program does`)
    this.socket.write(encodeRequest(api, version, this.nextCorrelation++, clientId, value))
  }

  /** The highest version of `api` both sides speak; undefined: none. */
  versionOf(api: AnyApi, versionMax = Number.MAX_SAFE_INTEGER): number | undefined {
    const theirs = this.versions.get(api.key)
    if (theirs === undefined) return undefined
    const version = Math.min(theirs[1], api.valid[1], versionMax)
    return version < theirs[0] || version < api.valid[0] ? undefined : version
  }

  private exchange(frame: Buffer[], timeoutMs = answerTimeoutMs): Promise<Buffer> {
    const correlation = this.nextCorrelation++
    return new Promise((resolve, reject) => {
      if (this.lost !== undefined) return reject(this.lost)
      const timer = this.clock.after(timeoutMs, () => this.lose(`did not answer within ${timeoutMs} ms`))
      this.waiting.set(correlation, {
        take: (answer) => {
          timer.cancel()
          resolve(answer)
        },
        fail: (error) => {
          timer.cancel()
          reject(error)
        },
      })
      this.socket.write(frame)
    })
  }

  private onData(chunk: Buffer): void {
    try {
      for (const frame of this.cutter.push(chunk)) {
        const correlation = responseCorrelationId(frame)
        const waiting = this.waiting.get(correlation)
        this.waiting.delete(correlation)
        waiting?.take(frame)
      }
    } catch {
      this.lose('does not speak the Kafka protocol')
    }
  }

  private lose(why: string): void {
    if (this.lost !== undefined) return
    this.lost = new CommandFailure(`the broker at ${printAddress(this.address)} ${why}`, exitCodes.unreachable)
    for (const waiting of this.waiting.values()) waiting.fail(this.lost)
    this.waiting.clear()
    this.socket.close()
  }

  close(): void {
    this.lose('is no longer needed')
  }
}
