// Programs of users in TypeScript, compiled against the packed types.
// Promises: what should compile and what should not, each with the options it is about.
// Does not know: whether they do what they say; other tests run brokers.

export interface ConsumerProgram {
  readonly code: string
  readonly options?: Readonly<Record<string, unknown>>
  /** What the compiler has to say; undefined: nothing. */
  readonly fails?: RegExp
}

const whole = `
import { startBroker, RequestRefused, StartFailure } from 'odradek'
import type { BrokerOptions, RunningBroker, VirtualBroker, StoredRecord, Faults, Duration } from 'odradek'

const options: BrokerOptions = { store: 'memory:', settings: { 'num.partitions': 3 } }
const real: RunningBroker = await startBroker(options)
const virtual: VirtualBroker = await startBroker({ clock: 'virtual', logLevel: 'silent' })
const addresses: [string, string] = [real.kafka, real.amqp]
const hour: Duration = '1h'
await virtual.clock.advance(hour)
await virtual.clock.advance(1500)
const now: number = virtual.clock.now()
await real.topics.create('orders', { partitions: 3, settings: { 'retention.ms': 1000 } })
const [{ partition, offset }] = await real.topics.produce('orders', { key: 'a', value: new Uint8Array(1), headers: { a: 'b' } })
const texts: StoredRecord<string>[] = await real.topics.records('orders')
const bytes: StoredRecord<Uint8Array>[] = await real.topics.records('orders', { as: 'bytes' })
const value: string | null = texts[0].value
const { ready } = await real.queues.counts('work')
const faults: Faults = real.faults
const fault = faults.dropResponses(1, { name: 'Produce', thenDisconnect: true })
faults.failDisk('full', 1)
fault.heal()
const failure: Error = await real.failed
if (failure instanceof StartFailure || failure instanceof RequestRefused) throw failure
await real[Symbol.asyncDispose]()
await virtual.close()
export { addresses, now, partition, offset, bytes, value, ready }
`

const using = `
import { startBroker } from 'odradek'
await using broker = await startBroker({ clock: 'virtual' })
await broker.clock.advance('7d')
`

const maybe = `
import { startBroker } from 'odradek'
declare const folder: string | undefined
const broker = await startBroker({ store: folder, kafka: folder, logLevel: undefined, settings: undefined, clock: undefined })
await broker.close()
`

const withoutClock = `
import { startBroker } from 'odradek'
const broker = await startBroker({ store: 'memory:' })
await broker.clock.advance('1h')
`

const wrongDuration = `
import { startBroker } from 'odradek'
const broker = await startBroker({ clock: 'virtual' })
await broker.clock.advance('soon')
`

/** One statement after the start of a broker `b`, whose clock is virtual; `o` are its options. */
const wrong = (statement: string, fails: RegExp): ConsumerProgram => ({
  code: `
import { startBroker, type BrokerOptions } from 'odradek'
const o: BrokerOptions = { clock: 'virtual' }
const b = await startBroker({ clock: 'virtual' })
${statement}
export { b, o }
`,
  fails,
})

export const consumers: Readonly<Record<string, ConsumerProgram>> = {
  whole: { code: whole },
  older: { code: whole, options: { lib: ['es2022'], target: 'es2022' } },
  bundler: { code: whole, options: { module: 'esnext', moduleResolution: 'bundler' } },
  using: { code: using, options: { lib: ['es2022', 'esnext.disposable'] } },
  withoutClock: { code: withoutClock, fails: /'clock' does not exist/ },
  maybe: { code: maybe, options: { exactOptionalPropertyTypes: true } },
  wrongOption: wrong(`await startBroker({ clocks: 'virtual' })`, /'clocks' does not exist/),
  wrongStore: wrong(`await startBroker('memory:')`, /"memory:"/),
  wrongClock: wrong(`await startBroker({ clock: 'fake' })`, /"fake"/),
  optionsApart: wrong(`const c = await startBroker(o), now = c.clock.now()`, /'clock' does not exist/),
  severalUnits: wrong(`await b.clock.advance('1h30m')`, /"1h30m"/),
  wrongFault: wrong(`b.faults.dropResponses(1, { nam: 'Produce' })`, /'nam' does not exist/),
  wrongDelay: wrong(`b.faults.delayResponses(1, { thenDisconnect: true })`, /'thenDisconnect' does not exist/),
  wrongDisk: wrong(`b.faults.failDisk('wet')`, /"wet"/),
  wrongTopic: wrong(`await b.topics.create('orders', { partition: 3 })`, /'partition' does not exist/),
  wrongRecord: wrong(`await b.topics.produce('orders', { value: 3 })`, /'number' is not assignable/),
  wrongDuration: { code: wrongDuration, fails: /"soon"/ },
}
