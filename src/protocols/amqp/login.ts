// Logins: what a client says of itself in the two mechanisms served, and whether it may come in.
// Promises: a response that is none of its mechanism is a fault; the password is compared in constant time.
// Does not know: users. Until there are some, guest is the only one, and only from this machine.

import { timingSafeEqual } from 'node:crypto'
import { parseTable } from '../../base/field-codec.ts'
import { findField } from '../../base/fields.ts'
import { Fault } from './fault.ts'

export const mechanisms = 'PLAIN AMQPLAIN'

export interface Login {
  readonly user: string
  readonly password: Buffer
}

/** Throws Fault for a mechanism that is not offered and for a response that it cannot be. */
export function readLogin(mechanism: string, response: Buffer): Login {
  if (mechanism === 'PLAIN') return readPlain(response)
  if (mechanism === 'AMQPLAIN') return readAmqplain(response)
  throw new Fault('COMMAND_INVALID', `unknown authentication mechanism '${mechanism}'`)
}

/** RFC 4616 as RabbitMQ takes it: no other identity than the user's own before the first NUL. */
function readPlain(response: Buffer): Login {
  const cut = response.indexOf(0, 1)
  if (response[0] !== 0 || cut < 0 || response.indexOf(0, cut + 1) >= 0) {
    throw new Fault('SYNTAX_ERROR', 'response of mechanism PLAIN invalid')
  }
  return { user: response.toString('utf8', 1, cut), password: Buffer.from(response.subarray(cut + 1)) }
}

/** A table without its length: LOGIN and PASSWORD. */
function readAmqplain(response: Buffer): Login {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(response.length)
  const table = parseTable(Buffer.concat([length, response]))
  const user = findField(table, 'LOGIN')
  const password = findField(table, 'PASSWORD')
  if (user === undefined || password === undefined) {
    throw new Fault('SYNTAX_ERROR', 'AMQPLAIN auth info is missing LOGIN or PASSWORD field')
  }
  if (user.type !== 'text' || password.type !== 'text') {
    throw new Fault('SYNTAX_ERROR', 'AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field')
  }
  return { user: user.value.toString(), password: password.value }
}

const guest = 'guest'
const guestPassword = Buffer.from('guest')

/** Why the login is refused, for the log; undefined: it is not. */
export function loginRefusal(login: Login, address: string): string | undefined {
  const isRight = login.password.length === guestPassword.length && timingSafeEqual(login.password, guestPassword)
  if (login.user !== guest || !isRight) return `user '${login.user}' - invalid credentials`
  if (!isLoopback(address)) return `user '${login.user}' can only connect via localhost`
  return undefined
}

const isLoopback = (address: string): boolean => address === '::1' || /^127(\.\d{1,3}){3}$/.test(address)
