// Exchanges, bindings and policies over HTTP; the routes of RabbitMQ's management.
// Promises: a publish answers whether it was routed after the message is stored.
// Does not know: sockets, who may what (the door judges), how routing works.

import { tableBytes } from '../../base/field-codec.ts'
import { KiB } from '../../base/limits.ts'
import { tableToJson } from '../../base/field-json.ts'
import { propertiesFromJson } from '../../base/properties-json.ts'
import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { BindCall, ExchangeView, PolicyCall, PolicyView, Receipt } from '../../broker/queue-door.ts'
import { quietSink } from './queues.ts'
import { refused } from './refused.ts'
import { done, failed, json, route, type Asked, type Route } from './routing.ts'
import { BadRequest, short, Wanted } from './wanted.ts'

const policyPriorityMax = 2 ** 31 - 1
/** A client's frame holds them: 128 KiB, without eight bytes around it and twelve before them. */
const propertiesBytesMax = 128 * KiB - 20

const exchangeJson = (exchange: ExchangeView): Record<string, unknown> => ({
  name: exchange.name,
  vhost: '/',
  type: exchange.type,
  durable: exchange.durable,
  auto_delete: exchange.autoDelete,
  internal: exchange.internal,
  arguments: tableToJson(exchange.arguments),
  policy: exchange.policy ?? null,
})

function listExchanges({ session }: Asked): HttpResponse {
  const exchanges = session.queues.listExchanges()
  return isRefusal(exchanges) ? refused(exchanges) : json(200, exchanges.map(exchangeJson))
}

function describeExchange({ session, parts }: Asked): HttpResponse {
  const exchanges = session.queues.listExchanges()
  if (isRefusal(exchanges)) return refused(exchanges)
  const found = exchanges.find(({ name }) => name === nameOf(parts.exchange))
  return found === undefined
    ? failed(404, 'Object Not Found', `no exchange '${parts.exchange}' in vhost '/'`)
    : json(200, exchangeJson(found))
}

async function declareExchange({ session, parts, body }: Asked): Promise<HttpResponse> {
  const wanted = new Wanted(body)
  const isThere = session.queues.checkExchange(parts.exchange) === true
  const outcome = await session.queues.declareExchange({
    name: short('name', parts.exchange),
    type: wanted.text('type', 'direct'),
    durable: wanted.flag('durable', true),
    autoDelete: wanted.flag('auto_delete'),
    internal: wanted.flag('internal'),
    arguments: wanted.table('arguments'),
  })
  if (isRefusal(outcome)) return refused(outcome)
  return done(isThere ? 204 : 201)
}

async function deleteExchange({ session, parts, query }: Asked): Promise<HttpResponse> {
  const there = session.queues.checkExchange(parts.exchange)
  if (isRefusal(there)) return refused(there)
  const outcome = await session.queues.deleteExchange(parts.exchange, query.get('if-unused') === 'true')
  return isRefusal(outcome) ? refused(outcome) : done(204)
}

/** RabbitMQ's tools call the default exchange by this name. */
const nameOf = (text: string): string => (text === 'amq.default' ? '' : text)

async function publish({ session, parts, body }: Asked): Promise<HttpResponse> {
  const wanted = new Wanted(body)
  const payload = Buffer.from(
    wanted.text('payload'),
    wanted.oneOf('payload_encoding', ['string', 'base64']) === 'base64' ? 'base64' : 'utf8',
  )
  const properties = propertiesFromJson(wanted.object('properties'))
  if (properties.length > propertiesBytesMax)
    throw new BadRequest(`the properties have ${properties.length} bytes and may have ${propertiesBytesMax}`)
  const channel = session.queues.openChannel(quietSink)
  try {
    const published = channel.publish({
      exchange: nameOf(parts.exchange),
      routingKey: short('routing_key', wanted.text('routing_key', '')),
      properties,
      body: [payload],
      bodyBytes: payload.length,
    })
    if (published === 'unroutable') return json(200, { routed: false })
    if (isRefusal(published)) return refused(published)
    await settled(published)
    if (published.state === 'refused') return failed(400, 'bad_request', 'a queue refused the message')
    return json(200, { routed: true })
  } finally {
    channel.close()
  }
}

const settled = (receipt: Receipt): Promise<void> | undefined =>
  receipt.state === 'pending' ? new Promise((resolve) => receipt.whenSettled(resolve)) : undefined

// --- bindings -----------------------------------------------------------------------------------------------------

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
    source === nameOf(parts.source) && destination === parts.destination && destinationKind === kind
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

// --- policies -----------------------------------------------------------------------------------------------------

const policyJson = (policy: PolicyView): Record<string, unknown> => ({
  vhost: '/',
  name: policy.name,
  pattern: policy.pattern,
  'apply-to': policy.appliesTo,
  priority: policy.priority,
  definition: policy.definition,
})

const listPolicies =
  (isOperators: boolean) =>
  ({ session }: Asked): HttpResponse => {
    const policies = session.queues.listPolicies()
    if (isRefusal(policies)) return refused(policies)
    return json(200, policies.filter((policy) => policy.isOperators === isOperators).map(policyJson))
  }

const setPolicy =
  (isOperators: boolean) =>
  async ({ session, parts, body }: Asked): Promise<HttpResponse> => {
    const wanted = new Wanted(body)
    const policy: PolicyCall = {
      name: parts.name,
      pattern: wanted.text('pattern'),
      appliesTo: wanted.text('apply-to', 'all') as PolicyCall['appliesTo'],
      priority: wanted.whole('priority', 0, policyPriorityMax),
      definition: wanted.object('definition') as PolicyCall['definition'],
    }
    const outcome = await session.queues.setPolicy(policy, isOperators)
    return isRefusal(outcome) ? refused(outcome) : done(204)
  }

const deletePolicy =
  (isOperators: boolean) =>
  async ({ session, parts }: Asked): Promise<HttpResponse> => {
    const policies = session.queues.listPolicies()
    if (isRefusal(policies)) return refused(policies)
    if (!policies.some((one) => one.name === parts.name && one.isOperators === isOperators))
      return failed(404, 'Object Not Found', `${isOperators ? 'operator policy' : 'policy'} '${parts.name}' not found`)
    const outcome = await session.queues.deletePolicy(parts.name, isOperators)
    return isRefusal(outcome) ? refused(outcome) : done(204)
  }

export const exchangeRoutes: readonly Route[] = [
  route('GET', '/api/exchanges', listExchanges),
  route('GET', '/api/exchanges/:vhost', listExchanges),
  route('GET', '/api/exchanges/:vhost/:exchange', describeExchange),
  route('PUT', '/api/exchanges/:vhost/:exchange', declareExchange),
  route('DELETE', '/api/exchanges/:vhost/:exchange', deleteExchange),
  route('POST', '/api/exchanges/:vhost/:exchange/publish', publish),
  route('GET', '/api/bindings', (asked) => bindingsOf(asked, () => true)),
  route('GET', '/api/bindings/:vhost', (asked) => bindingsOf(asked, () => true)),
  route('GET', '/api/queues/:vhost/:queue/bindings', (asked) =>
    bindingsOf(
      asked,
      ({ destination, destinationKind }) => destinationKind === 'queue' && destination === asked.parts.queue,
    ),
  ),
  route('GET', '/api/exchanges/:vhost/:exchange/bindings/source', (asked) =>
    bindingsOf(asked, ({ source }) => source === nameOf(asked.parts.exchange)),
  ),
  route('GET', '/api/bindings/:vhost/e/:source/:kind/:destination', (asked) => bindingsOf(asked, isBetween(asked))),
  route('POST', '/api/bindings/:vhost/e/:source/:kind/:destination', bind),
  route('DELETE', '/api/bindings/:vhost/e/:source/:kind/:destination/:key', unbind),
  route('GET', '/api/policies', listPolicies(false)),
  route('GET', '/api/policies/:vhost', listPolicies(false)),
  route('PUT', '/api/policies/:vhost/:name', setPolicy(false)),
  route('DELETE', '/api/policies/:vhost/:name', deletePolicy(false)),
  route('GET', '/api/operator-policies', listPolicies(true)),
  route('GET', '/api/operator-policies/:vhost', listPolicies(true)),
  route('PUT', '/api/operator-policies/:vhost/:name', setPolicy(true)),
  route('DELETE', '/api/operator-policies/:vhost/:name', deletePolicy(true)),
]
