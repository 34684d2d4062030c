// odradek policies: list, set, delete; those of users, or those of the operators.
// Promises: what is printed is what the broker answered; which settings there are the broker says.
// Does not know: how the broker is reached (admin.ts).

import { apiPath, argumentsOf, ask, type AdminFlags } from './admin.ts'
import { oneOf, usage, wholeNumber } from './flags.ts'
import { say, sayJson } from './output.ts'
import { plainText, table } from './table.ts'

interface PolicyJson {
  readonly name: string
  readonly pattern: string
  readonly 'apply-to': string
  readonly priority: number
  readonly definition: Readonly<Record<string, unknown>>
}

export interface PolicyFlags extends AdminFlags {
  readonly operator?: boolean
}

const vhost = '/'
const path = (flags: PolicyFlags, ...name: readonly string[]): string =>
  apiPath(flags.operator === true ? 'operator-policies' : 'policies', vhost, ...name)
const kind = (flags: PolicyFlags): string => (flags.operator === true ? 'operator policy' : 'policy')

export async function listPolicies(flags: PolicyFlags): Promise<void> {
  const policies = (await ask(flags, 'GET', path(flags))) as readonly PolicyJson[]
  if (flags.json === true) return sayJson(policies)
  if (policies.length === 0) {
    const option = flags.operator === true ? ' --operator' : ''
    return say(`There is none. Make one: odradek policies set NAME PATTERN --set message-ttl=60000${option}\n`)
  }
  const rows = policies.map((policy) => [
    policy.name,
    policy.pattern,
    policy['apply-to'],
    policy.priority,
    Object.entries(policy.definition)
      .map(([key, value]) => `${key}=${String(value)}`)
      .sort()
      .join(' '),
  ])
  await say(table([kind(flags).toUpperCase(), 'PATTERN', 'FOR', 'PRIORITY', 'SETTINGS'], rows))
}

export interface SetPolicyFlags extends PolicyFlags {
  readonly set?: readonly string[]
  readonly applyTo: string
  readonly priority: string
}

const targets = ['all', 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges'] as const

export async function setPolicy(name: string, pattern: string, flags: SetPolicyFlags): Promise<void> {
  if (flags.set === undefined) throw usage('--set: a policy sets something, for example --set message-ttl=60000')
  await ask(flags, 'PUT', path(flags, name), {
    pattern,
    'apply-to': oneOf('--apply-to', flags.applyTo, targets),
    priority: wholeNumber('--priority', flags.priority),
    definition: argumentsOf('--set', flags.set),
  })
  if (flags.json === true) return sayJson({ name, set: true })
  await say(`Set ${kind(flags)} ${plainText(name)}.\n`)
}

export async function deletePolicies(names: readonly string[], flags: PolicyFlags): Promise<void> {
  for (const name of names) {
    await ask(flags, 'DELETE', path(flags, name))
    if (flags.json === true) await sayJson({ name, deleted: true })
    else await say(`Deleted ${kind(flags)} ${plainText(name)}.\n`)
  }
}
