// Routes: a method and a path of fixed words and named parts, and who answers.
// Promises: the first route that fits answers; a path that is there with other methods is 405, any other 404.
// Does not know: what is answered, nor how requests came.

import type { HttpRequest, HttpResponse } from '../../base/world.ts'
import type { Session } from '../../broker/door.ts'

/** What happened since the start, by name. */
export type Counters = () => ReadonlyMap<string, number>

/** One request as a route's handler sees it. */
export interface Asked {
  readonly session: Session
  readonly counters: Counters
  /** The named parts of the path, decoded. */
  readonly parts: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** The body as JSON; undefined when there is none. */
  readonly body: unknown
}

export type Handler = (asked: Asked) => HttpResponse | Promise<HttpResponse>

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly words: readonly string[]
  readonly answer: Handler
}

/** `path`: words separated by `/`; one that begins with `:` is a named part. */
export const route = (method: Route['method'], path: string, answer: Handler): Route => ({
  method,
  words: path.split('/').slice(1),
  answer,
})

export const json = (status: number, value: unknown): HttpResponse => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
})

/** Something wrong, in the form that RabbitMQ's management API has: a word and a sentence. */
export const failed = (status: number, error: string, reason: string): HttpResponse => json(status, { error, reason })

export const done = (status: 201 | 204): HttpResponse => ({ status, body: '' })

export async function answerBy(
  routes: readonly Route[],
  session: Session,
  request: HttpRequest,
  counters: Counters,
): Promise<HttpResponse> {
  const words = wordsOf(request.path)
  if (words === undefined) return failed(400, 'bad_request', 'the path is not percent-encoded as it should be')
  let isThere = false
  for (const one of routes) {
    const parts = partsOf(one.words, words)
    if (parts === undefined) continue
    isThere = true
    if (one.method !== request.method) continue
    const body = bodyOf(request.body)
    if (body === notJson) return failed(400, 'bad_request', 'the body is not JSON')
    return one.answer({ session, counters, parts, query: request.query, body })
  }
  return isThere
    ? failed(405, 'method_not_allowed', `${request.method} is not for ${request.path}`)
    : failed(404, 'Object Not Found', 'Not Found')
}

function wordsOf(path: string): string[] | undefined {
  try {
    return path.split('/').slice(1).map(decodeURIComponent)
  } catch {
    return undefined
  }
}

function partsOf(wanted: readonly string[], words: readonly string[]): Record<string, string> | undefined {
  if (wanted.length !== words.length) return undefined
  const parts: Record<string, string> = {}
  for (const [at, word] of wanted.entries()) {
    if (word.startsWith(':')) parts[word.slice(1)] = words[at]
    else if (word !== words[at]) return undefined
  }
  return parts
}

const notJson = Symbol('no JSON')

function bodyOf(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return notJson
  }
}
