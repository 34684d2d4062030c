// odradek exchanges and odradek bindings: list, declare, delete; list, add, remove.
// Promises: what is printed is what the broker answered.
// Does not know: how the broker is reached (admin.ts).

import { apiPath, argumentsOf, ask, type AdminFlags } from './admin.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { say, sayJson } from './output.ts'
import { plainText, table } from './table.ts'

interface ExchangeJson {
  readonly name: string
  readonly type: string
  readonly durable: boolean
  readonly auto_delete: boolean
  readonly internal: boolean
}

interface BindingJson {
  readonly source: string
  readonly destination: string
  readonly destination_type: 'queue' | 'exchange'
  readonly routing_key: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly properties_key: string
}

const vhost = '/'
const defaultName = '(default)'

export async function listExchanges(flags: AdminFlags): Promise<void> {
  const exchanges = (await ask(flags, 'GET', apiPath('exchanges', vhost))) as readonly ExchangeJson[]
  if (flags.json === true) return sayJson(exchanges)
  const rows = exchanges.map(({ name, type, durable, auto_delete: autoDelete, internal }) => [
    name === '' ? defaultName : name,
    type,
    [durable ? 'durable' : 'transient', ...(autoDelete ? ['auto-delete'] : []), ...(internal ? ['internal'] : [])].join(
      ', ',
    ),
  ])
  await say(table(['EXCHANGE', 'TYPE', 'FEATURES'], rows))
}

export interface DeclareExchangeFlags extends AdminFlags {
  readonly type: string
  readonly transient?: boolean
  readonly autoDelete?: boolean
  readonly internal?: boolean
  readonly argument?: readonly string[]
}

export async function declareExchange(name: string, flags: DeclareExchangeFlags): Promise<void> {
  await ask(flags, 'PUT', apiPath('exchanges', vhost, name), {
    type: flags.type,
    durable: flags.transient !== true,
    auto_delete: flags.autoDelete === true,
    internal: flags.internal === true,
    arguments: argumentsOf('--argument', flags.argument),
  })
  if (flags.json === true) return sayJson({ name, declared: true })
  await say(`Declared exchange ${plainText(name)}.\n`)
}

export async function deleteExchanges(
  names: readonly string[],
  flags: AdminFlags & { readonly ifUnused?: boolean },
): Promise<void> {
  for (const name of names) {
    await ask(flags, 'DELETE', `${apiPath('exchanges', vhost, name)}?if-unused=${flags.ifUnused === true}`)
    if (flags.json === true) await sayJson({ name, deleted: true })
    else await say(`Deleted exchange ${plainText(name)}.\n`)
  }
}

export async function listBindings(flags: AdminFlags): Promise<void> {
  const bindings = (await ask(flags, 'GET', apiPath('bindings', vhost))) as readonly BindingJson[]
  const sorted = bindings.toSorted((one, other) => (orderOf(one) < orderOf(other) ? -1 : 1))
  if (flags.json === true) return sayJson(sorted)
  if (bindings.length === 0)
    return say('There are no bindings. Make one: odradek bindings add EXCHANGE QUEUE --key KEY\n')
  const rows = sorted.map((binding) => [
    binding.source === '' ? defaultName : binding.source,
    binding.destination,
    binding.destination_type,
    binding.routing_key,
    Object.keys(binding.arguments).length === 0 ? '' : JSON.stringify(binding.arguments),
  ])
  await say(table(['EXCHANGE', 'TO', 'KIND', 'KEY', 'ARGUMENTS'], rows))
}

const orderOf = ({ source, destination, routing_key: key }: BindingJson): string =>
  [source, destination, key].join('\0')

export interface BindingFlags extends AdminFlags {
  readonly key?: string
  readonly toExchange?: boolean
  readonly argument?: readonly string[]
}

const between = (source: string, destination: string, flags: BindingFlags): string =>
  apiPath('bindings', vhost, 'e', source, flags.toExchange === true ? 'e' : 'q', destination)

export async function addBinding(source: string, destination: string, flags: BindingFlags): Promise<void> {
  const body = { routing_key: flags.key ?? '', arguments: argumentsOf('--argument', flags.argument) }
  await ask(flags, 'POST', between(source, destination, flags), body)
  if (flags.json === true) return sayJson({ source, destination, bound: true })
  await say(`Bound ${plainText(destination)} to ${plainText(source)}.\n`)
}

/** Arguments are the same in any order. */
const inOrder = (table: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(Object.entries(table).sort(([one], [other]) => (one < other ? -1 : 1)))

export async function removeBinding(source: string, destination: string, flags: BindingFlags): Promise<void> {
  const path = between(source, destination, flags)
  const there = (await ask(flags, 'GET', path)) as readonly BindingJson[]
  const wanted = inOrder(argumentsOf('--argument', flags.argument))
  const found = there.filter(
    (binding) => binding.routing_key === (flags.key ?? '') && inOrder(binding.arguments) === wanted,
  )
  const [binding] = found
  if (binding === undefined)
    throw new CommandFailure(
      `there is no such binding from ${source} to ${destination}: odradek bindings list shows those there are`,
      exitCodes.notFound,
    )
  await ask(flags, 'DELETE', `${path}/${encodeURIComponent(binding.properties_key)}`)
  if (flags.json === true) return sayJson({ source, destination, unbound: true })
  await say(`Unbound ${plainText(destination)} from ${plainText(source)}.\n`)
}
