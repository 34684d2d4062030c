// Exchanges of type x-log, each a topic of its name: what may be said of them and of their bindings.
// Promises: what would have no meaning is refused: what such an exchange was given stays, whoever is bound and whatever is
// routed, so it is durable, does not delete itself, and has no alternate.
// Does not know: topics; how bindings copy (cursors/).

import { fieldNumber, fieldText, findField, type FieldTable } from '../../../base/fields.ts'
import { partitionsMax } from '../../../base/limits.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { BindingFacts, ExchangeFacts } from '../facts.ts'
import { startArgument, startSaidBy } from '../stream/stream-start.ts'
import { topicBindingFault } from './pattern.ts'
import { headerCondition, headersFault, type HeaderCondition } from './routing-headers.ts'

const partitionsArgument = 'x-partitions'

/** What is wrong with the arguments of a new exchange. */
export function logExchangeFault(args: FieldTable): string | undefined {
  for (const { name } of args)
    if (name === 'alternate-exchange')
      return "invalid arg 'alternate-exchange': an exchange of type x-log stores everything, so that nothing is left to route"
    else if (name !== partitionsArgument) return `an exchange of type x-log knows no argument '${name}'`
  const said = findField(args, partitionsArgument)
  if (said === undefined) return undefined
  const partitions = fieldNumber(said)
  return partitions !== undefined && Number.isInteger(partitions) && partitions >= 1 && partitions <= partitionsMax
    ? undefined
    : `invalid arg '${partitionsArgument}': a topic has from 1 to ${partitionsMax} partitions`
}

/** How many partitions the declaration wants; undefined: it does not say. */
export const logPartitionsOf = (args: FieldTable): number | undefined =>
  fieldNumber(findField(args, partitionsArgument))

/** Why there cannot be an exchange of type x-log like that. */
export function judgeLogExchange({ name, vhost, durable, autoDelete }: ExchangeFacts): Refusal | undefined {
  const invalid = (property: string): Refusal =>
    refuse(
      'inequivalentDeclaration',
      `invalid property '${property}' for exchange '${name}' in vhost '${vhost}': of type x-log, it is a topic, and that stays`,
    )
  if (!durable) return invalid('non-durable')
  return autoDelete ? invalid('auto-delete') : undefined
}

export function logBindingFault(binding: BindingFacts): string | undefined {
  const fault = topicBindingFault(binding) ?? headersFault(binding.arguments)
  if (fault !== undefined) return fault
  const isOnHeaders = findField(binding.arguments, 'x-match') !== undefined
  const unheard = binding.arguments.find(({ name }) => name !== startArgument && !isOnHeaders)
  if (unheard !== undefined)
    return `argument '${unheard.name}' of a binding of an exchange of type x-log says nothing without 'x-match'`
  const start = findField(binding.arguments, startArgument)
  // Any time does: only whether it can be understood is asked.
  return start === undefined || startSaidBy(start, 0) !== undefined
    ? undefined
    : `invalid arg '${startArgument}': first, last, next, an offset, a time or an age`
}

/** What a binding's headers have to be; undefined: they are not looked at. */
export function logHeaderCondition({ arguments: args }: BindingFacts): HeaderCondition | undefined {
  if (fieldText(findField(args, 'x-match')) === undefined) return undefined
  return headerCondition(args.filter(({ name }) => name !== startArgument))
}
