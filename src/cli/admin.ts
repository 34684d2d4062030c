// Commands that ask a running broker through its admin socket.
// Promises: a refusal is the broker's own sentence with the exit code of its kind; no broker there is exit 5.
// Does not know: what is asked.

import { resolve } from 'node:path'
import { adminSocketPath, socketPathBytesMax } from '../server/admin-path.ts'
import { AdminUnreachable, askAdmin } from '../server/node-admin.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { pairs } from './flags.ts'
import { endQuietlyOnClosedPipe } from './output.ts'

export interface AdminFlags {
  /** The data folder of the broker. */
  readonly data: string
  readonly json?: boolean
}

/** Percent-encoded words of a path below /api. */
export const apiPath = (...words: readonly string[]): string => `/api/${words.map(encodeURIComponent).join('/')}`

export async function ask(flags: AdminFlags, method: string, path: string, body?: unknown): Promise<unknown> {
  endQuietlyOnClosedPipe()
  const socket = adminSocketPath(resolve(flags.data))
  if (Buffer.byteLength(socket) > socketPathBytesMax) {
    const what = `longer than the path of a socket file may be (${socketPathBytesMax} bytes)`
    throw new CommandFailure(`${socket} is ${what}: use a data folder with a shorter path`, exitCodes.unreachable)
  }
  const answer = await askAdmin(socket, method, path, body).catch((error: unknown) => {
    if (!(error instanceof AdminUnreachable)) throw error
    throw new CommandFailure(
      `no broker answers at ${socket}: ${error.message}; start one with odradek serve --data ${flags.data}, or name its folder with --data DIR`,
      exitCodes.unreachable,
    )
  })
  if (answer.status < 300) return answer.body
  throw new CommandFailure(reasonOf(answer.body), answer.status === 404 ? exitCodes.notFound : exitCodes.failure)
}

function reasonOf(body: unknown): string {
  const reason = (body as { readonly reason?: unknown } | undefined)?.reason
  return typeof reason === 'string' ? reason : 'the broker gave no reason'
}

/** The `key=value` pairs of a repeatable option: numbers and true/false as such, everything else as text. */
export function argumentsOf(option: string, texts?: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(pairs(option, texts).map(([key, value]) => [key, valueOf(key, value)]))
}

/** The one setting that is a fraction; elsewhere `1.10` may be a version. */
const fraction = /^(x-)?delayed-retry-jitter$/

function valueOf(key: string, text: string): unknown {
  if (/^-?\d{1,15}$/.test(text)) return Number(text)
  if (fraction.test(key) && /^\d?\.\d{1,9}$/.test(text)) return Number(text)
  if (text === 'true' || text === 'false') return text === 'true'
  return text
}
