// What the broker says of itself to an AMQP client, and what the client says it can do.
// Promises: names and values that clients and frameworks read to find RabbitMQ's features.
// Does not know: connections.

import {
  boolField,
  fieldBool,
  fieldTable,
  findField,
  tableField,
  textField,
  type FieldTable,
} from '../../base/fields.ts'

/** The RabbitMQ whose behaviour this one's is compared with: libraries read major and minor. */
const rabbitVersion = '4.3.0'

const capabilities = fieldTable({
  publisher_confirms: boolField(true),
  exchange_exchange_bindings: boolField(true),
  'basic.nack': boolField(true),
  consumer_cancel_notify: boolField(true),
  'connection.blocked': boolField(true),
  consumer_priorities: boolField(true),
  authentication_failure_close: boolField(true),
  per_consumer_qos: boolField(true),
  direct_reply_to: boolField(true),
})

export const serverProperties = (clusterName: string): FieldTable =>
  fieldTable({
    capabilities: tableField(capabilities),
    cluster_name: textField(clusterName),
    copyright: textField('Copyright of the Odradek contributors'),
    information: textField('Licensed under the Apache License 2.0. This is Odradek, which speaks RabbitMQ.'),
    platform: textField('Odradek'),
    product: textField('RabbitMQ'),
    version: textField(rabbitVersion),
  })

/** What a client asked to be told, in the capabilities of its start-ok. */
export interface ClientCapabilities {
  readonly consumerCancelNotify: boolean
  readonly blocked: boolean
  readonly authenticationFailureClose: boolean
}

export const noCapabilities: ClientCapabilities = {
  consumerCancelNotify: false,
  blocked: false,
  authenticationFailureClose: false,
}

export function readCapabilities(clientProperties: FieldTable): ClientCapabilities {
  const said = findField(clientProperties, 'capabilities')
  if (said?.type !== 'table') return noCapabilities
  const has = (name: string): boolean => fieldBool(findField(said.value, name)) === true
  return {
    consumerCancelNotify: has('consumer_cancel_notify'),
    blocked: has('connection.blocked'),
    authenticationFailureClose: has('authentication_failure_close'),
  }
}
