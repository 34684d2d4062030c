// Policies of one vhost: users' and operators', and which of each applies to a queue or an exchange.
// Promises: at most one of each kind applies: the one of highest priority among those whose pattern, kind and settings
// fit (of equals the first by name).
// Does not know: how they are stored; what their settings mean (policies-keys.ts).

import { refuse, type Refusal } from '../../errors.ts'
import type { PolicyCall, PolicyView } from '../../queue-door.ts'
import type { QueueType } from '../facts.ts'
import { appliesToType, definitionFault, mergedDefinitions, type PolicyDefinition } from './policies-keys.ts'
import { compilePattern, type NamePattern } from './policies-pattern.ts'

/** The policy and the operators' policy of one queue or exchange, merged. */
export interface AppliedPolicy {
  readonly policy: string | undefined
  readonly operatorPolicy: string | undefined
  readonly definition: PolicyDefinition
}

const targets = new Set(['queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges', 'all'])
const typeTargets: Readonly<Record<string, QueueType>> = {
  classic_queues: 'classic',
  quorum_queues: 'quorum',
  streams: 'stream',
}

/** Policies of one vhost, of each kind. */
export const policiesMax = 10_000
const nameCharsMax = 255

interface Compiled {
  readonly view: PolicyView
  readonly pattern: NamePattern
}

export function judgePolicy(policy: PolicyCall, isOperators: boolean): Refusal | undefined {
  const fault = policyFault(policy, isOperators)
  return fault === undefined ? undefined : refuse('invalidArgument', `Validation failed: ${fault}`)
}

function policyFault(policy: PolicyCall, isOperators: boolean): string | undefined {
  const { name, pattern, appliesTo, priority, definition } = policy
  if (name === '' || name.length > nameCharsMax) return `a policy's name has 1 to ${nameCharsMax} characters`
  if (!Number.isFinite(priority)) return `priority should be a number, actually was ${priority}`
  const compiled = compilePattern(pattern)
  if (typeof compiled === 'string') return compiled
  if (!targets.has(appliesTo))
    return (
      `apply-to '${String(appliesTo)}' unrecognised; should be one of: 'queues', 'classic_queues', ` +
      `'quorum_queues', 'streams', 'exchanges', or 'all'`
    )
  return definitionFault(definition, isOperators)
}

export class Policies {
  readonly #users = new Map<string, Compiled>()
  readonly #operators = new Map<string, Compiled>()
  /** By priority; made when asked for. */
  #sorted: { readonly users: readonly Compiled[]; readonly operators: readonly Compiled[] } | undefined

  has(name: string, isOperators: boolean): boolean {
    return this.#of(isOperators).has(name)
  }

  count(isOperators: boolean): number {
    return this.#of(isOperators).size
  }

  list(): readonly PolicyView[] {
    return [...this.#users.values(), ...this.#operators.values()].map((one) => one.view)
  }

  set(view: PolicyView): void {
    const pattern = compilePattern(view.pattern)
    // Judged before it was stored; one that only another version could read applies to nothing.
    this.#of(view.isOperators).set(view.name, {
      view,
      pattern: typeof pattern === 'string' ? { matches: () => false } : pattern,
    })
    this.#sorted = undefined
  }

  delete(name: string, isOperators: boolean): void {
    this.#of(isOperators).delete(name)
    this.#sorted = undefined
  }

  /** undefined: none applies. */
  applied(kind: 'queue' | 'exchange', name: string, queueType: QueueType | undefined): AppliedPolicy | undefined {
    if (this.#users.size === 0 && this.#operators.size === 0) return undefined
    const { users, operators } = (this.#sorted ??= { users: sorted(this.#users), operators: sorted(this.#operators) })
    const fits = ({ view, pattern }: Compiled): boolean => isFor(view, kind, queueType) && pattern.matches(name)
    const policy = users.find(fits)?.view
    const operatorPolicy = operators.find(fits)?.view
    if (policy === undefined && operatorPolicy === undefined) return undefined
    return {
      policy: policy?.name,
      operatorPolicy: operatorPolicy?.name,
      definition: mergedDefinitions(policy?.definition ?? {}, operatorPolicy?.definition ?? {}),
    }
  }

  /** What all policies say that are for an exchange of this name, whichever of them applies. */
  matching(exchange: string): readonly PolicyDefinition[] {
    return [...this.#users.values(), ...this.#operators.values()]
      .filter(({ view, pattern }) => isFor(view, 'exchange', undefined) && pattern.matches(exchange))
      .map(({ view }) => view.definition)
  }

  #of(isOperators: boolean): Map<string, Compiled> {
    return isOperators ? this.#operators : this.#users
  }
}

function sorted(policies: ReadonlyMap<string, Compiled>): readonly Compiled[] {
  return [...policies.values()].sort(
    ({ view: one }, { view: other }) => other.priority - one.priority || (one.name < other.name ? -1 : 1),
  )
}

function isFor(policy: PolicyView, kind: 'queue' | 'exchange', queueType: QueueType | undefined): boolean {
  const { appliesTo, definition } = policy
  if (kind === 'exchange') return appliesTo === 'exchanges' || appliesTo === 'all'
  if (appliesTo === 'exchanges') return false
  if (queueType === undefined) return appliesTo === 'queues' || appliesTo === 'all'
  const only = typeTargets[appliesTo]
  return (only === undefined || only === queueType) && appliesToType(definition, queueType)
}
