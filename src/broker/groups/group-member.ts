// A member of a classic group: who it is, what it offers, what it was given, which of its calls are parked.
// Promises: plain data; what a call brought is copied, so that no request's memory is kept alive.
// Does not know: the group around it (group.ts), time, replies.

import type { JoinCall } from '../door.ts'
import { clientIdCharsKept } from './group-settings.ts'

/** Names a parked call; never given twice. */
export type Ticket = number

export interface MemberProtocol {
  readonly name: string
  readonly metadata: Buffer
}

export interface Member {
  readonly id: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  /** In the order of the member's preference. */
  protocols: readonly MemberProtocol[]
  assignment: Buffer
  /** The parked join or sync; undefined: there is none. */
  joining: Ticket | undefined
  syncing: Ticket | undefined
  /** Joined this generation and has not asked for its assignment yet. */
  mustSync: boolean
  /** Its first join is not answered yet: it has no heartbeat to keep itself alive with. */
  isNew: boolean
  /** When it is given up, on the monotonic clock. */
  deadlineMs: number
}

export const noBytes = Buffer.alloc(0)

export function newMember(call: JoinCall, id: string): Member {
  return {
    id,
    instanceId: call.instanceId,
    clientId: keptOf(call.clientId),
    clientHost: keptOf(call.clientHost),
    ...timeoutsOf(call),
    protocols: ownProtocols(call),
    assignment: noBytes,
    joining: undefined,
    syncing: undefined,
    mustSync: false,
    isNew: true,
    deadlineMs: Infinity,
  }
}

/** What is kept of a client's own text: whole characters, so that it is the same after a way over the wire. */
export function keptOf(text: string): string {
  return text.length <= clientIdCharsKept ? text : Buffer.from(text.slice(0, clientIdCharsKept)).toString()
}

export function timeoutsOf(call: JoinCall): { sessionTimeoutMs: number; rebalanceTimeoutMs: number } {
  return { sessionTimeoutMs: call.sessionTimeoutMs, rebalanceTimeoutMs: Math.max(0, call.rebalanceTimeoutMs) }
}

/** What the call offers, as copies; of a name given twice the first counts. */
export function ownProtocols(call: JoinCall): readonly MemberProtocol[] {
  const seen = new Set<string>()
  const own: MemberProtocol[] = []
  for (const { name, metadata } of call.protocols) {
    if (seen.has(name)) continue
    seen.add(name)
    own.push({ name, metadata: Buffer.from(metadata) })
  }
  return own
}

/** Whether the call offers what the member offered before, in the same order and byte for byte. */
export function offersTheSame(member: Member, call: JoinCall): boolean {
  const { protocols } = member
  if (protocols.length !== call.protocols.length) return false
  return protocols.every(({ name, metadata }, at) => {
    const offered = call.protocols[at]
    return name === offered.name && metadata.equals(offered.metadata)
  })
}

/** The member's metadata for the protocol the group chose. */
export function metadataFor(member: Member, protocol: string | null): Buffer {
  return member.protocols.find(({ name }) => name === protocol)?.metadata ?? noBytes
}

export function metadataBytes(protocols: readonly { readonly metadata: Buffer }[]): number {
  let bytes = 0
  for (const { metadata } of protocols) bytes += metadata.length
  return bytes
}
