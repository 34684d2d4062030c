// The admin socket: the management API on a socket file in the data folder, for the command line of this machine.
// Promises: only the user who runs the broker may open it; where no such file can be, the broker runs without it.
// Does not know: routes.

import type { HttpRequest, HttpResponse, World } from '../base/world.ts'
import type { Session, SessionIdentity } from '../broker/door.ts'
import { answerHttp } from '../protocols/http/api.ts'
import { adminSocketPath, socketPathBytesMax } from './admin-path.ts'
import { listenHttp, type HttpListener } from './node-http.ts'

export async function openAdminSocket(
  world: World,
  dataPath: string,
  openSession: (identity: SessionIdentity) => Session,
): Promise<HttpListener | undefined> {
  const path = adminSocketPath(dataPath)
  if (Buffer.byteLength(path) > socketPathBytesMax) {
    world.trace.warn('no admin socket', { why: `${path} is longer than a socket file's path may be` })
    return undefined
  }
  const session = openSession({ vhost: '/', principal: 'guest', clientId: 'admin', address: 'socket' })
  const answer = (request: HttpRequest): Promise<HttpResponse> =>
    answerHttp(session, request, () => world.trace.counters())
  try {
    return await listenHttp({ path }, answer, world.trace)
  } catch (error) {
    world.trace.warn('no admin socket', { why: error instanceof Error ? error.message : String(error) })
    return undefined
  }
}
