// Refusals as RabbitMQ's management API tells them.
// Promises: every refusal has a status; the reason is the refusal's own sentence.
// Does not know: routes.

import type { HttpResponse } from '../../base/world.ts'
import type { Refusal } from '../../broker/errors.ts'
import { amqpErrorName } from '../errors.ts'
import { failed } from './routing.ts'

export function refused(refusal: Refusal): HttpResponse {
  const name = amqpErrorName(refusal)
  switch (name) {
    case 'NOT_FOUND':
      return failed(404, 'Object Not Found', refusal.why)
    case 'ACCESS_REFUSED':
      return failed(403, 'access_refused', refusal.why)
    case 'INTERNAL_ERROR':
      return failed(500, 'internal_error', refusal.why)
    case 'CONNECTION_FORCED':
      return failed(503, 'unavailable', refusal.why)
    default:
      return failed(400, 'bad_request', refusal.why)
  }
}
