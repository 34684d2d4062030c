// Redrive over HTTP: one step of it a request. Ours alone: RabbitMQ's management API has nothing like it.
// Promises: the place an answer names is taken back as it is; without one the source was looked at to its end.
// Does not know: rates, how often it is asked.

import type { HttpResponse } from '../../base/world.ts'
import { isRefusal } from '../../broker/errors.ts'
import type { RedrivePlace, RedriveSample } from '../../broker/queue-door.ts'
import { refused } from './refused.ts'
import { json, route, type Asked, type Route } from './routing.ts'
import { BadRequest, Wanted } from './wanted.ts'

const offsetMax = Number.MAX_SAFE_INTEGER
const messagesMax = 512
const filtersMax = 64
/** A pattern is matched with each message's key. */
const filterCharsMax = 1024
const partitionsMax = 100_000

async function redrive({ session, body }: Asked): Promise<HttpResponse> {
  const wanted = new Wanted(body)
  const to = wanted.text('to', '')
  const step = await session.queues.redrive({
    source: wanted.text('source'),
    target: to === '' ? undefined : to,
    filters: textsIn(body),
    isDryRun: wanted.flag('dry_run'),
    from: wanted.whole('from', 0, offsetMax),
    messagesMax: countIn(wanted),
    place: placeIn(body),
  })
  if (isRefusal(step)) return refused(step)
  const { looked, moved, filtered, stranded, notTaken, samples, next } = step
  return json(200, {
    looked,
    moved,
    filtered,
    stranded,
    not_taken: notTaken,
    samples: samples.map(sampleJson),
    place: next ?? null,
  })
}

const sampleJson = ({ partition, offset, exchange, routingKey, reason, queue, to }: RedriveSample) => ({
  partition,
  offset,
  exchange,
  routing_key: routingKey,
  reason: reason ?? null,
  queue: queue ?? null,
  to: to ?? null,
})

function countIn(wanted: Wanted): number {
  const count = wanted.whole('count', messagesMax, messagesMax)
  if (count === 0) throw new BadRequest(`count must be a whole number from 1 to ${messagesMax}`)
  return count
}

function textsIn(body: unknown): readonly string[] {
  const { filters = [] } = (body ?? {}) as { readonly filters?: unknown }
  if (!Array.isArray(filters) || filters.length > filtersMax)
    throw new BadRequest(`filters must be a list of at most ${filtersMax}`)
  return filters.map((text) => {
    if (typeof text !== 'string' || text.length > filterCharsMax)
      throw new BadRequest(`each of filters must be a string of at most ${filterCharsMax} characters`)
    return text
  })
}

function placeIn(body: unknown): RedrivePlace | undefined {
  const { place } = (body ?? {}) as { readonly place?: unknown }
  if (place === undefined || place === null) return undefined
  const wanted = new Wanted(place)
  const { ends } = place as { readonly ends?: unknown }
  if (
    !Array.isArray(ends) ||
    ends.length > partitionsMax ||
    !ends.every((end) => Number.isSafeInteger(end) && end >= 0)
  )
    throw new BadRequest('place must be one that an answer named')
  return {
    lane: wanted.whole('lane', 0, partitionsMax),
    from: wanted.whole('from', 0, offsetMax),
    begin: wanted.whole('begin', 0, offsetMax),
    ends: ends as readonly number[],
  }
}

export const redriveRoute: Route = route('POST', '/api/odradek/redrive', redrive)
