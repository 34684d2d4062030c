// The management API: every route there is, answered through the door.
// Promises: a request of a vhost that is not there is 404; a body of the wrong shape is 400 and says why.
// Does not know: whether it came by a socket file or a port, nor who asked: the session does.

import { DecodeError, EncodeError } from '../../base/bytes.ts'
import type { HttpRequest, HttpResponse } from '../../base/world.ts'
import type { Session } from '../../broker/door.ts'
import { bindingRoutes } from './bindings.ts'
import { exchangeRoutes } from './exchanges.ts'
import { lagRoute } from './lag.ts'
import { policyRoutes } from './policies.ts'
import { redriveRoute } from './redrive.ts'
import { queueRoutes } from './queues.ts'
import { answerBy, failed, json, route, type Asked, type Counters, type Route } from './routing.ts'
import { BadRequest } from './wanted.ts'

const inThisVhost = (one: Route): Route => ({
  ...one,
  answer: (asked: Asked) =>
    asked.parts.vhost === undefined || asked.parts.vhost === '/'
      ? one.answer(asked)
      : failed(404, 'Object Not Found', `vhost ${asked.parts.vhost} not found`),
})

/** Ours alone: RabbitMQ's management API has nothing like it. */
const counterRoute = route('GET', '/api/odradek/counters', ({ counters }) =>
  json(200, Object.fromEntries([...counters()].sort(([one], [other]) => (one < other ? -1 : 1)))),
)

const routes: readonly Route[] = [
  ...queueRoutes,
  ...exchangeRoutes,
  ...bindingRoutes,
  ...policyRoutes,
  counterRoute,
  lagRoute,
  redriveRoute,
].map(inThisVhost)

export async function answerHttp(session: Session, request: HttpRequest, counters: Counters): Promise<HttpResponse> {
  try {
    return await answerBy(routes, session, request, counters)
  } catch (error) {
    const isAskers = error instanceof BadRequest || error instanceof DecodeError || error instanceof EncodeError
    if (isAskers) return failed(400, 'bad_request', error.message)
    throw error
  }
}
