// Client quotas: how many bytes a second a user or client id may write and read, and how long one over it waits.
// Promises: a machine (kind 5); Kafka's precedence of eight levels; a rate over eleven windows of a second; a quota
// that is not kept here is refused, never stored.
// Does not know: connections. It answers milliseconds; muting the connection for them is the protocol's (KIP-219).

import { float64, list, message, string, versions } from '../base/schema.ts'
import type { Clock } from '../base/world.ts'
import type { Machine, MachineLog, MachineRecord } from '../log/machine.ts'
import { AppendFailure } from '../log/store.ts'
import type { QuotaEntity, QuotaView } from './door.ts'
import { refuse, type Refusal } from './errors.ts'
import { readStored, writeStored } from './stored.ts'

/** Kafka's quota.window.num and quota.window.size.seconds. */
const windows = 11
const windowMs = 1000
/** Rates remembered at once; the ones unused for longest go first, which forgives them at most eleven seconds. */
const ratesMax = 10_000

const quotaNames = { produce: 'producer_byte_rate', fetch: 'consumer_byte_rate' } as const
type QuotaKind = keyof typeof quotaNames

const storedQuotas = message(versions(0, 0), { values: list({ name: string(), value: float64() }) })

/** undefined: the entity has no such part; null: the default of that part. */
type Part = string | null | undefined

const partText = (part: Part): string => (part === undefined ? '' : part === null ? 'd' : `n${part}`)
const keyOf = (user: Part, clientId: Part): string => `${partText(user)}\0${partText(clientId)}`

/** Kafka's order: user before client id, the named before the default. */
function levels(user: string, clientId: string): readonly (readonly [Part, Part])[] {
  return [
    [user, clientId],
    [user, null],
    [user, undefined],
    [null, clientId],
    [null, null],
    [null, undefined],
    [undefined, clientId],
    [undefined, null],
  ]
}

/** Bytes of the last eleven seconds. */
class Rate {
  readonly #bytes = new Float64Array(windows)
  #newest = 0

  /** Adds `bytes` and answers how long until the rate is `quota` again. */
  add(bytes: number, quota: number, nowMs: number): number {
    const window = Math.floor(nowMs / windowMs)
    for (let passed = Math.max(this.#newest + 1, window - windows + 1); passed <= window; passed++)
      this.#bytes[passed % windows] = 0
    this.#newest = Math.max(this.#newest, window)
    this.#bytes[window % windows] += bytes
    const total = this.#bytes.reduce((sum, one) => sum + one, 0)
    // As Kafka's Rate: the windows passed whole and the part of the present one.
    const spanMs = (windows - 1) * windowMs + (nowMs % windowMs)
    const overBytes = total - (quota * spanMs) / 1000
    if (overBytes <= 0) return 0
    return Math.min(Math.ceil((overBytes / quota) * 1000), windows * windowMs)
  }
}

export interface ThrottledClient {
  throttle(kind: QuotaKind, bytes: number): number
}

export class Quotas implements Machine {
  readonly kind = 5
  readonly #clock: Clock
  readonly #values = new Map<string, { readonly entity: QuotaEntity; readonly values: ReadonlyMap<string, number> }>()
  readonly #rates = new Map<string, Rate>()
  #machineLog: MachineLog | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(machineLog: MachineLog): void {
    this.#machineLog = machineLog
  }

  client(user: string, clientId: string): ThrottledClient {
    return { throttle: (kind, bytes) => (this.#values.size === 0 ? 0 : this.#throttle(kind, user, clientId, bytes)) }
  }

  #throttle(kind: QuotaKind, user: string, clientId: string, bytes: number): number {
    for (const [userPart, clientPart] of levels(user, clientId)) {
      const quota = this.#values.get(keyOf(userPart, clientPart))?.values.get(quotaNames[kind])
      if (quota === undefined) continue
      // A default counts each client on its own; a level without one part counts all of its clients together.
      const who = keyOf(userPart === undefined ? undefined : user, clientPart === undefined ? undefined : clientId)
      return this.#rate(`${kind}\0${who}`).add(bytes, quota, this.#clock.monotonicMs())
    }
    return 0
  }

  #rate(key: string): Rate {
    let rate = this.#rates.get(key)
    if (rate !== undefined) return rate
    if (this.#rates.size >= ratesMax)
      for (const oldest of this.#rates.keys()) {
        this.#rates.delete(oldest)
        break
      }
    rate = new Rate()
    this.#rates.set(key, rate)
    return rate
  }

  list(): readonly QuotaView[] {
    return [...this.#values.values()]
  }

  async alter(
    entity: QuotaEntity,
    changes: ReadonlyMap<string, number | null>,
    validateOnly: boolean,
  ): Promise<true | Refusal> {
    const wrong = judgeQuotas(entity, changes)
    if (wrong !== undefined) return wrong
    if (validateOnly) return true
    const key = keyOf(entity.user, entity.clientId)
    const values = new Map(this.#values.get(key)?.values)
    for (const [name, value] of changes) {
      if (value === null) values.delete(name)
      else values.set(name, value)
    }
    if (this.#machineLog?.ready !== true) return refuse('storageFailed', 'Quotas are being recovered: try again.')
    try {
      await this.#machineLog.append(this, [recordOf(key, values)])
      return true
    } catch (error) {
      if (!(error instanceof AppendFailure)) throw error
      return refuse('storageFailed', `The quota could not be stored: ${error.message}`)
    }
  }

  apply(key: Buffer, value: Buffer | null): void {
    const text = key.toString('utf8')
    if (value === null) {
      this.#values.delete(text)
      return
    }
    const [user, clientId] = text.split('\0').map(partOf)
    const values = new Map(readStored(storedQuotas, value).values.map((one) => [one.name, one.value]))
    this.#values.set(text, { entity: { user, clientId, ip: undefined }, values })
  }

  *entries(): Generator<MachineRecord> {
    for (const [key, { values }] of this.#values) yield recordOf(key, values)
  }

  reset(): void {
    this.#values.clear()
  }
}

const partOf = (text: string): Part => (text === '' ? undefined : text === 'd' ? null : text.slice(1))

function recordOf(key: string, values: ReadonlyMap<string, number>): MachineRecord {
  const stored = [...values].map(([name, value]) => ({ name, value }))
  return { key: Buffer.from(key), value: stored.length === 0 ? null : writeStored(storedQuotas, { values: stored }) }
}

function judgeQuotas(entity: QuotaEntity, changes: ReadonlyMap<string, number | null>): Refusal | undefined {
  if (entity.ip !== undefined)
    return refuse('invalidRequest', 'Quotas on addresses (connection_creation_rate) are not kept here.')
  if (entity.user === undefined && entity.clientId === undefined)
    return refuse('invalidRequest', 'A quota is for a user, a client id or both.')
  if (entity.user?.includes('\0') === true || entity.clientId?.includes('\0') === true)
    return refuse('invalidRequest', 'A name with a zero character cannot have a quota.')
  for (const [name, value] of changes) {
    if (name !== quotaNames.produce && name !== quotaNames.fetch)
      return refuse(
        'invalidRequest',
        `Quota ${name} is not kept here: ${quotaNames.produce} and ${quotaNames.fetch} are.`,
      )
    if (value !== null && !(value > 0 && Number.isFinite(value)))
      return refuse('invalidRequest', `Quota ${name} must be greater than 0.`)
  }
  return undefined
}
