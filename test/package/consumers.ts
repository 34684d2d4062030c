// Programs of users in TypeScript, compiled against the packed types.
// Promises: what should compile and what should not, each with the options it is about.
// Does not know: whether they do what they say; other tests run brokers.

interface ConsumerProgram {
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

export const consumers: Readonly<Record<string, ConsumerProgram>> = {
  whole: { code: whole },
  older: { code: whole, options: { lib: ['es2022'], target: 'es2022' } },
  bundler: { code: whole, options: { module: 'esnext', moduleResolution: 'bundler' } },
  using: { code: using, options: { lib: ['es2022', 'esnext.disposable'] } },
  withoutClock: { code: withoutClock, fails: /'clock' does not exist/ },
  wrongDuration: { code: wrongDuration, fails: /"soon"/ },
}
