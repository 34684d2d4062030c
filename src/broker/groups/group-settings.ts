// The settings and limits of groups: what an operator may choose, and the bounds nobody chooses.
// Promises: every bound has a name and a unit; the defaults are Kafka's but for the initial delay, which tests would wait for.
// Does not know: where settings come from; who is refused by them.

import { assert } from '../../base/assert.ts'
import { MiB, offsetMetadataBytesMax } from '../../base/limits.ts'

export interface GroupSettings {
  /** How long the first rebalance of an empty group waits for more members (Kafka: 3000). */
  readonly initialRebalanceDelayMs: number
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  /** Members of one group; as many again may hold an id they have not come back with (KIP-394). */
  readonly groupSizeMax: number
  /** Groups of one vhost. */
  readonly groupsMax: number
  /** Offsets go this long after the group became empty, or after their commit where nobody subscribes. */
  readonly offsetsRetentionMs: number
  readonly offsetsRetentionCheckMs: number
  readonly offsetMetadataBytesMax: number
}

const dayMs = 24 * 3_600_000

export const defaultGroupSettings: GroupSettings = {
  initialRebalanceDelayMs: 0,
  sessionTimeoutMsMin: 6000,
  sessionTimeoutMsMax: 1_800_000,
  groupSizeMax: 10_000,
  groupsMax: 100_000,
  offsetsRetentionMs: 7 * dayMs,
  offsetsRetentionCheckMs: 600_000,
  offsetMetadataBytesMax,
}

/** A member whose first join is parked is given up after this (Kafka's NewMemberJoinTimeoutMs). */
export const newMemberJoinMsMax = 5 * 60_000
/** Where no member at all came back, the next look is not sooner than this, whatever their rebalance timeout. */
export const emptyRebalanceMsMin = 1000
/** Longest group id, in characters (Kafka has no bound of its own). */
export const groupIdCharsMax = 4096
/** Longest group.instance.id (Kafka's JoinGroupRequest.MAX_GROUP_INSTANCE_ID_LENGTH). */
export const instanceIdCharsMax = 249
/** Longest protocol type or name of a join. */
export const protocolNameCharsMax = 255
/** Protocols one member may offer. */
export const memberProtocolsMax = 100
/** What is kept of a client's id, in a member id and for operators. */
export const clientIdCharsKept = 255
/** All members' metadata together; and, apart from it, all assignments together. Both are in the group's record. */
export const groupBytesMax = 16 * MiB

// A stored text carries its length in 15 bits, and a character may take three bytes.
assert(3 * Math.max(groupIdCharsMax, instanceIdCharsMax, clientIdCharsKept + 64) < 2 ** 15, 'names fit their records')
