// Loops through exchanges of type x-log: what is stored in a topic must not come back there by its own bindings.
// Promises: a walk over bindings as they are, and over alternate exchanges also as a policy would have them that another
// outweighs now; a queue of a topic's name counts as the topic.
// Does not know: dead letters, which leave a queue for other reasons than being routed (cursors stop those that go round).

import type { Routing } from './routing.ts'

export interface Step {
  readonly kind: 'queue' | 'exchange'
  readonly name: string
}

/**
 * Whether a new way from the exchange `from` to `to` would close a loop through a topic. Loops of other exchanges are no
 * harm: each is passed once.
 */
export function closesLogLoop(routing: Routing, from: string, to: Step): boolean {
  if (routing.logCount === 0) return false
  const isLog = (name: string): boolean => routing.exchange(name)?.isLog === true
  /** Walked already: by a way through a topic, or by one without. */
  const walked = { through: new Set<string>(), beside: new Set<string>() }
  const open: { readonly step: Step; readonly isThrough: boolean }[] = [{ step: to, isThrough: isLog(from) }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { kind, name } = next.step
    // A queue ends the way, unless it is the topic of an exchange.
    if (kind === 'queue' && !isLog(name)) continue
    const isThrough = next.isThrough || isLog(name)
    if (name === from && isThrough) return true
    const seen = isThrough ? walked.through : walked.beside
    if (seen.has(name)) continue
    seen.add(name)
    for (const { destinationKind, destination } of routing.bindings.from(name).values())
      open.push({ step: { kind: destinationKind, name: destination }, isThrough })
    const exchange = routing.exchange(name)
    if (exchange === undefined || exchange.isLog) continue
    for (const alternate of routing.alternatesOf(exchange.facts))
      open.push({ step: { kind: 'exchange', name: alternate }, isThrough })
  }
  return false
}
