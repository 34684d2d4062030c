// What an embedding program may put between the broker and the world: another clock, sockets and a store of its own.
// Promises: types and nothing else; without them the broker runs on the world as it is.
// Does not know: which there are (virtual-clock.ts, fault-net.ts, fault-store.ts).

import type { Clock, Net } from '../base/world.ts'
import type { Store } from '../log/store.ts'

export type ClientProtocol = 'kafka' | 'amqp'

export interface Surroundings {
  /** The clock of broker and store. Sockets and their conversations stay on the real one. */
  readonly clock?: (real: Clock) => Clock
  /** Where clients of a protocol come from. */
  readonly net?: (real: Net, protocol: ClientProtocol) => Net
  readonly store?: (real: Store) => Store
}
