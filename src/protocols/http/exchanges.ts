// Exchanges over HTTP: listed, described, declared, deleted, published to; the routes of RabbitMQ's management.
// Promises: a publish answers whether it was routed after the message is stored.
// Does not know: sockets, who may what (the door judges), how routing works.

import { KiB } from '../../base/limits.ts'
import { tableToJson } from '../../base/field-json.ts'
import { propertiesFromJson } from '../../base/properties-json.ts'
import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { ExchangeView, Receipt } from '../../broker/queue-door.ts'
import { quietSink } from './queues.ts'
import { refused } from './refused.ts'
import { done, failed, json, route, type Asked, type Route } from './routing.ts'
import { BadRequest, short, Wanted } from './wanted.ts'

/** A client's frame holds them: 128 KiB, without eight bytes around it and twelve before them. */
const propertiesBytesMax = 128 * KiB - 20

/** The exchange that a path means: RabbitMQ's tools call the default one amq.default. */
export const exchangeNamed = (text: string): string => (text === 'amq.default' ? '' : text)

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
  const found = exchanges.find(({ name }) => name === exchangeNamed(parts.exchange))
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
      exchange: exchangeNamed(parts.exchange),
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

export const exchangeRoutes: readonly Route[] = [
  route('GET', '/api/exchanges', listExchanges),
  route('GET', '/api/exchanges/:vhost', listExchanges),
  route('GET', '/api/exchanges/:vhost/:exchange', describeExchange),
  route('PUT', '/api/exchanges/:vhost/:exchange', declareExchange),
  route('DELETE', '/api/exchanges/:vhost/:exchange', deleteExchange),
  route('POST', '/api/exchanges/:vhost/:exchange/publish', publish),
]
