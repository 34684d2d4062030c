// Queues with a ledger of their own over another's logs (`x-log`): what may be declared, and what it comes to.
// Promises: nothing is accepted that would have no effect; whatever holds a log for others says when it lets go.
// Does not know: how they are made (streams/topics.ts), who is asked for permission.

import { fieldText, findField, type FieldTable } from '../../../base/fields.ts'
import type { Topic } from '../../catalog.ts'
import { refuse, type Refusal } from '../../errors.ts'
import type { DeclareQueueCall } from '../../queue-door.ts'
import type { NewFurtherQueue } from '../../streams/topic-ledgers.ts'
import { resourceName } from './queue-arguments.ts'
import { factsOf } from './queue-plans.ts'

/** Whose log a declaration is to be over; undefined: its own. */
export const sourceNameOf = (args: FieldTable): string | undefined => fieldText(findField(args, 'x-log'))

/** What only says something of a queue that messages are published to, or of the log itself. */
const ofOwnLogs = ['x-max-priority', 'x-partitions', 'x-retention', 'x-hold']

/** Why no such queue can be over `source`; undefined: it can. The arguments are judged one by one already. */
export function judgeFurther(vhost: string, call: DeclareQueueCall, source: Topic | undefined): Refusal | undefined {
  const queue = resourceName('queue', vhost, call.name)
  const invalid = (name: string, why: string): Refusal =>
    refuse('invalidArgument', `invalid arg '${name}' for ${queue}: ${why}`)
  const name = sourceNameOf(call.arguments) ?? ''
  // What one client declared for itself is nobody else's, and what is gone at the next start holds nothing.
  if (source === undefined || (source.isVolatile && source.queue?.exclusive === true))
    return refuse('queueMissing', `no topic or queue '${name}' in vhost '${vhost}'`)
  if (source.over !== undefined) return invalid('x-log', `"'${name}' is a ledger over another's log itself"`)
  if (source.isVolatile) return invalid('x-log', `"'${name}' is transient"`)
  for (const own of ofOwnLogs)
    if (findField(call.arguments, own) !== undefined)
      return invalid(own, '"nothing is published to a queue with x-log"')
  const overflow = fieldText(findField(call.arguments, 'x-overflow')) ?? 'drop-head'
  if (overflow !== 'drop-head') return invalid('x-overflow', '"nothing is published to a queue with x-log"')
  const letsGo = ['x-expires', 'x-max-length'].some((one) => findField(call.arguments, one) !== undefined)
  if (source.policy.dropsConsumed && !letsGo)
    return invalid('x-log', `"'${name}' is kept until all have consumed it: x-expires or x-max-length is needed"`)
  return undefined
}

export function plannedFurther(call: DeclareQueueCall, over: Topic): NewFurtherQueue {
  const queue = factsOf(call)
  return { name: call.name, over, queue, isVolatile: !queue.durable }
}
