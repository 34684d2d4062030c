// Access: who may do what. Everything is allowed today; the question is asked at every call already.
// Promises: authorise is asked before anything is done or told; undefined means yes.
// Does not know: how principals proved who they are.

import { refuse, type Refusal } from './errors.ts'

/** Kafka's operations (AclOperation), as far as the door has calls for them, and RabbitMQ's. */
export type Operation =
  | 'read'
  | 'write'
  | 'create'
  | 'delete'
  | 'alter'
  | 'describe'
  | 'describeConfigs'
  | 'alterConfigs'
  | 'idempotentWrite'
  // RabbitMQ's third beside read and write: declaring and deleting.
  | 'configure'

export interface Resource {
  readonly kind: 'topic' | 'group' | 'cluster' | 'queue' | 'exchange'
  readonly vhost: string
  readonly name: string
}

export interface Access {
  /** undefined: allowed. */
  authorise(principal: string, operation: Operation, resource: Resource): Refusal | undefined
}

export const everythingAllowed: Access = { authorise: () => undefined }

export const notAllowed = (principal: string, operation: Operation, resource: Resource): Refusal =>
  resource.kind === 'queue' || resource.kind === 'exchange'
    ? refuse('notAllowed', refusedText(principal, operation, resource))
    : refuse('notAllowed', `${principal} may not ${operation} ${resource.kind} ${resource.name}.`)

/** As RabbitMQ says it. */
const refusedText = (principal: string, operation: Operation, { kind, vhost, name }: Resource): string =>
  `${operation} access to ${kind} '${name}' in vhost '${vhost}' refused for user '${principal.replace(/^User:/, '')}'`
