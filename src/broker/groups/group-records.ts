// Stored groups: the machine (kind 3) that holds each group's last stored form, and that form's layout.
// Promises: a group comes back with its members, generation and assignment; one whose assignment was not stored yet
// comes back rebalancing, under the same generation, so that no generation's number is given twice.
// Does not know: parked calls, pending ids, deadlines: those are not stored. Live groups are group-desk.ts's.
//
// Key: vhost, group, each an int16 length and UTF-8. Value: uint8 version, then the table below.

import { Reader, Writer } from '../../base/bytes.ts'
import { codecFor } from '../../base/schema-compose.ts'
import { bytes, int32, int64, int8, list, message, string, versions } from '../../base/schema.ts'
import type { Machine, MachineRecord } from '../../log/machine.ts'
import { CorruptLog } from '../../log/store.ts'
import { addMember, newGroup, rebalanceTimeoutMs, topicsOf, type Group } from './group.ts'
import { readStored, writeStored } from '../stored.ts'

/** Names of a group in its vhost, as the keys of groups and offsets begin. */
const groupKeyTable = message(versions(0, 0), { vhost: string(), group: string() })
const groupKey = codecFor(groupKeyTable, 0)

const storedGroup = message(versions(0, 0), {
  /** 0 Empty, 1 Stable, 2 a generation without an assignment. */
  state: int8(),
  /** Wall clock, ms. */
  stateSinceMs: int64(),
  generation: int32(),
  protocolType: string({ nullable: 0, default: null }),
  protocolName: string({ nullable: 0, default: null }),
  leader: string({ nullable: 0, default: null }),
  members: list({
    memberId: string(),
    instanceId: string({ nullable: 0, default: null }),
    clientId: string(),
    clientHost: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32(),
    protocols: list({ name: string(), metadata: bytes() }),
    assignment: bytes(),
  }),
})

const storedStates = ['Empty', 'Stable', 'PreparingRebalance'] as const

export class GroupRecords implements Machine {
  readonly kind = 3
  /** vhost → group → stored form. */
  readonly #stored = new Map<string, Map<string, Buffer>>()
  readonly #onReset: () => void
  readonly #onReplayed: () => void

  /** `onReset`: all that is live is void. `onReplayed`: it may be made again from what is stored. */
  constructor(onReset: () => void, onReplayed: () => void) {
    this.#onReset = onReset
    this.#onReplayed = onReplayed
  }

  has(vhost: string, group: string): boolean {
    return this.#stored.get(vhost)?.has(group) ?? false
  }

  /** Every stored group, alive again at this time. */
  *revived(nowMs: number): Generator<{ readonly vhost: string; readonly group: Group }> {
    for (const [vhost, groups] of this.#stored)
      for (const [name, value] of groups) yield { vhost, group: readGroup(name, value, nowMs) }
  }

  recordOf(vhost: string, group: Group): MachineRecord {
    return { key: writeGroupKey(vhost, group.name), value: writeGroup(group) }
  }

  goneRecord(vhost: string, group: string): MachineRecord {
    return { key: writeGroupKey(vhost, group), value: null }
  }

  // --- the machine ---

  apply(key: Buffer, value: Buffer | null): void {
    const { vhost, group } = groupKey.decode(new Reader(key))
    let groups = this.#stored.get(vhost)
    if (groups === undefined) this.#stored.set(vhost, (groups = new Map()))
    if (value === null) groups.delete(group)
    else groups.set(group, value)
  }

  *entries(): Generator<MachineRecord> {
    for (const [vhost, groups] of this.#stored)
      for (const [group, value] of groups) yield { key: writeGroupKey(vhost, group), value }
  }

  reset(): void {
    this.#stored.clear()
    this.#onReset()
  }

  replayed(): void {
    this.#onReplayed()
  }
}

function writeGroupKey(vhost: string, group: string): Buffer {
  const writer = new Writer()
  groupKey.encode(writer, { vhost, group })
  return Buffer.concat(writer.finish())
}

function writeGroup(group: Group): Buffer {
  const { state, stateSinceMs, generation, protocolType, protocolName, leader } = group
  return writeStored(storedGroup, {
    state: state === 'Empty' ? 0 : state === 'Stable' ? 1 : 2,
    stateSinceMs,
    generation,
    protocolType,
    protocolName,
    leader,
    members: Array.from(group.members.values(), ({ id, ...member }) => ({ memberId: id, ...member })),
  })
}

/** The group as a start finds it: every session begins now, and a rebalance under way begins again. */
function readGroup(name: string, value: Buffer, nowMs: number): Group {
  const stored = readStored(storedGroup, value)
  const state = storedStates[stored.state]
  if (state === undefined) throw new CorruptLog(`the group ${name} is stored in a state that is none`)
  const group = newGroup(name, stored.stateSinceMs)
  for (const { memberId, ...member } of stored.members) {
    addMember(group, {
      id: memberId,
      ...member,
      joining: undefined,
      syncing: undefined,
      mustSync: false,
      isNew: false,
      deadlineMs: nowMs + member.sessionTimeoutMs,
    })
  }
  const { generation, protocolType, protocolName, leader } = stored
  Object.assign(group, { state, generation, protocolType, protocolName, leader })
  group.topics = topicsOf(group)
  if (state === 'PreparingRebalance') group.joinDeadlineMs = nowMs + rebalanceTimeoutMs(group)
  return group
}
