// Targets of messages that the broker itself moves: which of them have to be opened, and which have room.
// Promises: what goes along in the same append counts too, so that no queue is given more than it takes.
// Does not know: why messages move, what becomes of those that are not taken.

import type { Ahead, QueuePart } from './parts.ts'

/** What moves, as far as it matters here. */
interface Moving {
  readonly targets: readonly QueuePart[]
}

/** Whether it takes one more beside those `ahead`, which it is then among. */
export function takesToo(target: QueuePart, bodyBytes: number, ahead: Map<QueuePart, Ahead>): boolean {
  const before = ahead.get(target)
  if (!target.accepts(bodyBytes, before)) return false
  ahead.set(target, { messages: (before?.messages ?? 0) + 1, bytes: (before?.bytes ?? 0) + bodyBytes })
  return true
}

/** One that cannot be appended to yet, and is there; undefined: all can be. */
export function firstClosed(moving: readonly (Moving | undefined)[]): QueuePart | undefined {
  for (const one of moving)
    for (const target of one?.targets ?? []) if (!target.isReady && !target.isDeleted) return target
  return undefined
}
