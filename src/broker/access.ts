// Access: who may do what. Everything is allowed today; the question is asked at every call already.
// Promises: authorise is asked before anything is done or told; undefined means yes.
// Does not know: how principals proved who they are.

import { refuse, type Refusal } from './errors.ts'

/** Kafka's operations (AclOperation), as far as the door has calls for them. */
export type Operation =
  'read' | 'write' | 'create' | 'delete' | 'alter' | 'describe' | 'describeConfigs' | 'alterConfigs' | 'idempotentWrite'

export interface Resource {
  readonly kind: 'topic' | 'group' | 'cluster'
  readonly vhost: string
  readonly name: string
}

export interface Access {
  /** undefined: allowed. */
  authorise(principal: string, operation: Operation, resource: Resource): Refusal | undefined
}

export const everythingAllowed: Access = { authorise: () => undefined }

export const notAllowed = (principal: string, operation: Operation, resource: Resource): Refusal =>
  refuse('notAllowed', `${principal} may not ${operation} ${resource.kind} ${resource.name}.`)
