// connection.blocked and unblocked: a publisher is told why its publishes are refused, and when they are taken again.
// Promises: told once a pressure, at the first publish that it refuses; only clients that can take it are told.
// Does not know: what the pressure is.

import type { QueueCalls } from '../../broker/queue-door.ts'
import type { MethodInput, MethodName } from '../../wire/amqp/methods.ts'
import { shortText } from './fault.ts'

export class Pressure {
  private readonly write: <Name extends MethodName>(name: Name, values: MethodInput<Name>) => void
  private unwatch: (() => void) | undefined

  constructor(write: <Name extends MethodName>(name: Name, values: MethodInput<Name>) => void) {
    this.write = write
  }

  /** A publish was refused for want of room. */
  refused(queues: QueueCalls, why: string): void {
    if (this.unwatch !== undefined || queues.storagePressure() === undefined) return
    this.write('connectionBlocked', { reason: shortText(why) })
    this.unwatch = queues.watchPressure(() => {
      if (this.unwatch === undefined || queues.storagePressure() !== undefined) return
      this.stop()
      this.write('connectionUnblocked', {})
    })
  }

  stop(): void {
    this.unwatch?.()
    this.unwatch = undefined
  }
}
