// The other end of the admin socket: one request of the management API, for the command line.
// Promises: the answer's status and JSON, or an AdminUnreachable that says why in one line.
// Does not know: routes.

import http from 'node:http'

export interface AdminAnswer {
  readonly status: number
  /** The body as JSON; undefined when it is empty. */
  readonly body: unknown
}

/** Nobody answers at the socket. */
export class AdminUnreachable extends Error {
  override readonly name = 'AdminUnreachable'
}

/** Between two requests: the process waits for it, as it does not for a broker's timers. */
export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

const requestMsMax = 60_000

export function askAdmin(socketPath: string, method: string, path: string, body?: unknown): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const request = http.request({ socketPath, method, path, headers, timeout: requestMsMax }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: response.statusCode ?? 0, body: jsonOf(text) })
      })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer within ${requestMsMax / 1000} s`)))
    request.on('error', (error) => reject(new AdminUnreachable(error.message)))
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function jsonOf(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return { reason: text.trim() }
  }
}
