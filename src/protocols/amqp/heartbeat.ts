// Heartbeats: a frame now and then, and the end of a peer that is silent.
// Promises: a heartbeat each half interval, whatever else was sent; told silent between two and three intervals
//   after the last byte came.
// Does not know: frames, sockets.

import type { Clock, Timer } from '../../base/world.ts'

export interface HeartbeatSide {
  /**
   * Half an interval is over. Also when something else left meanwhile: left out because of that, the next one would come
   * up to an interval after it, and clients there are that wait no longer (the Java client on netty).
   */
  beat(): void
  /** Nothing came for more than two intervals. */
  silent(): void
}

/** Half intervals without a byte after which a peer is taken for gone (rabbit_heartbeat: more than two intervals). */
const silentHalvesMax = 5

export class Heartbeat {
  /** Set by its owner when something comes: cheaper than looking at the clock. */
  heard = false
  /** The peer is not read: its silence means nothing. */
  isSuspended = false

  private readonly clock: Clock
  private readonly halfMs: number
  private readonly side: HeartbeatSide
  private silentHalves = 0
  private timer: Timer | undefined

  constructor(clock: Clock, intervalSeconds: number, side: HeartbeatSide) {
    this.clock = clock
    this.halfMs = intervalSeconds * 500
    this.side = side
    if (intervalSeconds > 0) this.wait()
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  private wait(): void {
    this.timer = this.clock.after(this.halfMs, () => {
      this.wait()
      this.halfPassed()
    })
  }

  private halfPassed(): void {
    this.side.beat()
    this.silentHalves = this.heard || this.isSuspended ? 0 : this.silentHalves + 1
    this.heard = false
    if (this.silentHalves >= silentHalvesMax) this.side.silent()
  }
}
