// Lag over HTTP: how far behind groups and queues are. Ours alone: RabbitMQ's management API has nothing like it.
// Promises: `at_ms` is the broker's time of the answer, so that two of them tell rates.
// Does not know: how lag is counted.

import type { HttpResponse } from '../../base/world.ts'
import type { LagView } from '../../broker/door.ts'
import { json, route, type Asked, type Route } from './routing.ts'

function rowJson({ kind, name, topic, partitions, backlog }: LagView, nowMs: number): Record<string, unknown> {
  const row = { kind, name, topic, partitions }
  if (backlog === undefined) return { ...row, backlog: null }
  const { records, unacknowledged, bytes, bytesAreEstimated, oldestMs, end, position } = backlog
  const age = oldestMs === undefined ? null : Math.max(0, nowMs - oldestMs)
  return {
    ...row,
    backlog: {
      records,
      unacknowledged,
      bytes,
      bytes_are_estimated: bytesAreEstimated,
      oldest_age_ms: age,
      end,
      position,
    },
  }
}

async function list({ session, query }: Asked): Promise<HttpResponse> {
  const { atMs, rows } = await session.lag(query.get('name') ?? undefined)
  return json(200, { at_ms: atMs, rows: rows.map((row) => rowJson(row, atMs)) })
}

export const lagRoute: Route = route('GET', '/api/odradek/lag', list)
