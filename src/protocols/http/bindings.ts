// Bindings over HTTP: listed, made, taken away; the routes of RabbitMQ's management.
// Promises: the key that tells a binding in a path is unlike that of any other between the same two ends.
// Does not know: sockets, who may what (the door judges), how routing works.

import { tableBytes } from '../../base/field-codec.ts'
import { tableToJson } from '../../base/field-json.ts'
import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { BindCall } from '../../broker/queue-door.ts'
import { exchangeNamed } from './exchanges.ts'
import { refused } from './refused.ts'
import { done, failed, json, route, type Asked, type Route } from './routing.ts'
import { BadRequest, short, Wanted } from './wanted.ts'

/** What tells bindings of the same two ends apart in a path: the key, and the arguments where there are any. */
function propertiesKey({ routingKey, arguments: table }: BindCall): string {
  // The sign that parts the two, and alone means an empty key, stands in no key as it is.
  const key = encodeURIComponent(routingKey).replaceAll('~', '%7E')
  if (table.length === 0) return key === '' ? '~' : key
  return `${key}~${tableBytes(table).toString('base64url')}`
}

const bindingJson = (binding: BindCall): Record<string, unknown> => ({
  source: binding.source,
  vhost: '/',
  destination: binding.destination,
  destination_type: binding.destinationKind,
  routing_key: binding.routingKey,
  arguments: tableToJson(binding.arguments),
  properties_key: propertiesKey(binding),
})

function bindingsOf(asked: Asked, isWanted: (binding: BindCall) => boolean): HttpResponse {
  const bindings = asked.session.queues.listBindings()
  return isRefusal(bindings) ? refused(bindings) : json(200, bindings.filter(isWanted).map(bindingJson))
}

const kindOf = (text: string): BindCall['destinationKind'] => {
  if (text !== 'q' && text !== 'e') throw new BadRequest('a binding leads to q or e')
  return text === 'q' ? 'queue' : 'exchange'
}

const isBetween = ({ parts }: Asked): ((binding: BindCall) => boolean) => {
  const kind = kindOf(parts.kind)
  return ({ source, destination, destinationKind }) =>
    source === exchangeNamed(parts.source) && destination === parts.destination && destinationKind === kind
}

async function bind(asked: Asked): Promise<HttpResponse> {
  const { session, parts, body } = asked
  const wanted = new Wanted(body)
  const call: BindCall = {
    source: parts.source,
    destination: parts.destination,
    destinationKind: kindOf(parts.kind),
    routingKey: short('routing_key', wanted.text('routing_key', '')),
    arguments: wanted.table('arguments'),
  }
  const outcome = await session.queues.bind(call)
  return isRefusal(outcome) ? refused(outcome) : done(201)
}

async function unbind(asked: Asked): Promise<HttpResponse> {
  const { session, parts } = asked
  const bindings = session.queues.listBindings()
  if (isRefusal(bindings)) return refused(bindings)
  const between = bindings.filter(isBetween(asked))
  const found =
    between.find((binding) => propertiesKey(binding) === parts.key) ??
    between.find((binding) => decodeURIComponent(propertiesKey(binding)) === parts.key)
  if (found === undefined) return failed(404, 'Object Not Found', 'there is no such binding')
  const outcome = await session.queues.unbind(found)
  return isRefusal(outcome) ? refused(outcome) : done(204)
}

export const bindingRoutes: readonly Route[] = [
  route('GET', '/api/bindings', (asked) => bindingsOf(asked, () => true)),
  route('GET', '/api/bindings/:vhost', (asked) => bindingsOf(asked, () => true)),
  route('GET', '/api/queues/:vhost/:queue/bindings', (asked) =>
    bindingsOf(
      asked,
      ({ destination, destinationKind }) => destinationKind === 'queue' && destination === asked.parts.queue,
    ),
  ),
  route('GET', '/api/exchanges/:vhost/:exchange/bindings/source', (asked) =>
    bindingsOf(asked, ({ source }) => source === exchangeNamed(asked.parts.exchange)),
  ),
  route('GET', '/api/bindings/:vhost/e/:source/:kind/:destination', (asked) => bindingsOf(asked, isBetween(asked))),
  route('POST', '/api/bindings/:vhost/e/:source/:kind/:destination', bind),
  route('DELETE', '/api/bindings/:vhost/e/:source/:kind/:destination/:key', unbind),
]
