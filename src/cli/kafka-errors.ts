// Kafka's error codes as a person at a terminal should read them.
// Promises: a name for every code a broker of any make may answer these commands with; unknown ones keep their number.
// Does not know: our broker's refusals: these commands also talk to a real Kafka.

import { CommandFailure, exitCodes, type ExitCode } from './exit.ts'

interface KnownError {
  readonly name: string
  readonly means: string
  readonly code?: ExitCode
}

const known: Readonly<Record<number, KnownError>> = {
  [-1]: { name: 'UNKNOWN_SERVER_ERROR', means: 'the broker failed; its log says why' },
  1: { name: 'OFFSET_OUT_OF_RANGE', means: 'the offset is below the log start or above the log end' },
  2: { name: 'CORRUPT_MESSAGE', means: 'the records arrived damaged' },
  3: { name: 'UNKNOWN_TOPIC_OR_PARTITION', means: 'there is no such topic or partition', code: exitCodes.notFound },
  5: { name: 'LEADER_NOT_AVAILABLE', means: 'the partition has no leader at the moment; try again' },
  6: { name: 'NOT_LEADER_OR_FOLLOWER', means: 'the partition has moved to another broker; try again' },
  7: { name: 'REQUEST_TIMED_OUT', means: 'the broker did not finish in time; try again' },
  10: { name: 'MESSAGE_TOO_LARGE', means: 'larger than max.message.bytes of the topic' },
  14: { name: 'COORDINATOR_LOAD_IN_PROGRESS', means: 'the group coordinator is starting; try again' },
  15: { name: 'COORDINATOR_NOT_AVAILABLE', means: 'the group has no coordinator at the moment; try again' },
  16: { name: 'NOT_COORDINATOR', means: 'the group has moved to another broker; try again' },
  17: {
    name: 'INVALID_TOPIC_EXCEPTION',
    means: 'not a topic name: at most 249 of letters, digits, dot, underscore and hyphen',
  },
  22: { name: 'ILLEGAL_GENERATION', means: 'the group has rebalanced meanwhile' },
  25: { name: 'UNKNOWN_MEMBER_ID', means: 'the group has members; stop its consumers first' },
  27: { name: 'REBALANCE_IN_PROGRESS', means: 'the group is rebalancing; try again' },
  29: { name: 'TOPIC_AUTHORIZATION_FAILED', means: 'not allowed on this topic' },
  30: { name: 'GROUP_AUTHORIZATION_FAILED', means: 'not allowed on this group' },
  35: { name: 'UNSUPPORTED_VERSION', means: 'the broker does not know this request' },
  36: { name: 'TOPIC_ALREADY_EXISTS', means: 'there is a topic of this name already', code: exitCodes.exists },
  37: { name: 'INVALID_PARTITIONS', means: 'not a number of partitions the topic can have' },
  38: { name: 'INVALID_REPLICATION_FACTOR', means: 'more replicas than brokers' },
  40: { name: 'INVALID_CONFIG', means: 'a setting is unknown or its value not allowed' },
  42: { name: 'INVALID_REQUEST', means: 'the broker refuses the request' },
  44: { name: 'POLICY_VIOLATION', means: 'the broker does not allow it' },
  56: { name: 'KAFKA_STORAGE_ERROR', means: "the broker's disk is full or failing" },
  68: { name: 'NON_EMPTY_GROUP', means: 'the group has members; stop its consumers first' },
  69: { name: 'GROUP_ID_NOT_FOUND', means: 'there is no such group', code: exitCodes.notFound },
  72: { name: 'LISTENER_NOT_FOUND', means: 'the leader has no listener that this client can reach' },
  76: { name: 'UNSUPPORTED_COMPRESSION_TYPE', means: 'the broker does not take this codec' },
  79: { name: 'MEMBER_ID_REQUIRED', means: 'the broker wants a member id' },
  87: { name: 'INVALID_RECORD', means: 'the broker refuses the record' },
  89: { name: 'THROTTLING_QUOTA_EXCEEDED', means: 'over a quota; try again later' },
  100: { name: 'UNKNOWN_TOPIC_ID', means: 'the topic was deleted meanwhile', code: exitCodes.notFound },
}

export const errorCodes = {
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  coordinatorLoading: 14,
  coordinatorUnavailable: 15,
  notCoordinator: 16,
  illegalGeneration: 22,
  unknownMember: 25,
  rebalanceInProgress: 27,
  unsupportedVersion: 35,
  memberIdRequired: 79,
  groupIdNotFound: 69,
} as const

/** `what` failed with this code: the line a person reads, in the broker's own words where it has some. */
export function kafkaFailure(what: string, code: number, brokerSays?: string | null): CommandFailure {
  const {
    name,
    means,
    code: exit,
  } = known[code] ?? { name: `error ${code}`, means: 'a code this program does not know' }
  const why = brokerSays === null || brokerSays === undefined || brokerSays === '' ? means : brokerSays
  return new CommandFailure(`${what}: ${why} (${name})`, exit ?? exitCodes.failure)
}

/** Errors that pass by themselves when leaders or coordinators settle. */
export const isPassing = (code: number): boolean => [5, 6, 7, 14, 15, 16].includes(code)
