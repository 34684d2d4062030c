// One channel: its consumers, its credit, its unsettled deliveries, what it publishes.
// Promises: calls take effect in the order made; a delivery is numbered, counted and given to the sink in one step.
// Does not know: frames, sockets; where messages lie.

import type { Channel, ChannelSink } from '../queue-door.ts'
import type { ChannelHost, ChannelIdentity } from './channel-host.ts'

export function openChannel(host: ChannelHost, identity: ChannelIdentity, sink: ChannelSink): Channel {
  void host
  void identity
  void sink
  throw new Error('channels are not built yet')
}
