// The real web server: node:http, on a unix socket or a port.
// Promises: bodies are bounded; what the handler throws is a 500 and a log line; draining ends every connection in time.
// Does not know: routes.

import fs from 'node:fs'
import http from 'node:http'
import { type HttpRequest, type HttpResponse, NetError, type Trace } from '../base/world.ts'

export interface HttpListener {
  readonly host: string
  readonly port: number
  /** Accepts nothing new, answers what is under way, closes. */
  drain(timeoutMs: number): Promise<void>
}

/** Largest request body: definitions and published messages. */
const bodyBytesMax = 32 * 1024 * 1024
/** A request whose head or body takes longer is given up. */
const requestMsMax = 30_000

export function listenHttp(
  at: { readonly host: string; readonly port: number } | { readonly path: string },
  answer: (request: HttpRequest) => Promise<HttpResponse>,
  trace: Trace,
): Promise<HttpListener> {
  const server = http.createServer({ requestTimeout: requestMsMax, keepAliveTimeout: 5000 }, (request, response) => {
    void respond(request, response, answer, trace)
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const place = 'path' in at ? at.path : `${at.host}:${at.port}`
      reject(new NetError(`${place} cannot be listened on: ${error.message}`))
    })
    const ready = (): void => {
      server.removeAllListeners('error')
      server.on('error', () => {})
      // The socket is as good as a password: it is for the user who runs the broker.
      if ('path' in at) fs.chmodSync(at.path, 0o600)
      const address = server.address()
      const isTcp = typeof address === 'object' && address !== null
      resolve({
        host: isTcp ? address.address : String(address),
        port: isTcp ? address.port : 0,
        drain: (timeoutMs) => drain(server, timeoutMs),
      })
    }
    if ('path' in at) {
      // Left by a process that died: the folder's lock is ours, so nobody listens there.
      fs.rmSync(at.path, { force: true })
      server.listen({ path: at.path }, ready)
    } else server.listen({ host: at.host, port: at.port }, ready)
  })
}

function drain(server: http.Server, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}

/** The host is nobody's business here: routes are paths. */
const origin = 'http://broker'

async function respond(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  answer: (request: HttpRequest) => Promise<HttpResponse>,
  trace: Trace,
): Promise<void> {
  try {
    const body = await bodyOf(request)
    if (body === undefined) return send(response, { status: 413, body: `a body has at most ${bodyBytesMax} bytes\n` })
    const target = request.url ?? '/'
    if (!URL.canParse(target, origin)) return send(response, { status: 400, body: 'the path is none\n' })
    const url = new URL(target, origin)
    const { pathname: path, searchParams: query } = url
    send(response, await answer({ method: request.method ?? 'GET', path, query, body }))
  } catch (error) {
    // Who asked left in the middle of it.
    if (!request.complete) return
    trace.count('http.requests.failed')
    trace.error('http.request.failed', { why: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    if (!response.headersSent) send(response, { status: 500, body: 'the broker failed to answer\n' })
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bodyBytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function send(response: http.ServerResponse, { status, headers, body }: HttpResponse): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers })
  response.end(body)
}
