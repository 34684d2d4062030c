// Refusals: the broker's own names for everything it may say no to.
// Promises: a refusal is a value with a name and a sentence for people; thrown are only bugs and broken disks.
// Does not know: the codes of any protocol. protocols/errors.ts is the one table from these names to codes.

export type RefusalName =
  // topics and partitions
  | 'unknownTopic'
  | 'unknownTopicId'
  | 'inconsistentTopicId'
  | 'topicExists'
  | 'invalidTopicName'
  | 'invalidPartitions'
  | 'invalidReplicationFactor'
  | 'invalidReplicaAssignment'
  | 'invalidSetting'
  | 'policyViolation'
  | 'invalidRequest'
  | 'notAllowed'
  | 'unsupportedVersion'
  | 'unsupportedForMessageFormat'
  // records
  | 'corruptBatch'
  | 'invalidRecord'
  | 'batchTooLarge'
  | 'batchListTooLarge'
  | 'unsupportedCompression'
  | 'invalidTimestamp'
  | 'invalidRequiredAcks'
  | 'offsetOutOfRange'
  | 'fencedLeaderEpoch'
  | 'unknownLeaderEpoch'
  | 'storageFull'
  | 'storageFailed'
  // producers
  | 'outOfOrderSequence'
  | 'duplicateSequence'
  | 'staleProducerEpoch'
  | 'unknownProducer'
  | 'transactionsUnavailable'
  // groups
  | 'coordinatorLoading'
  | 'coordinatorUnavailable'
  | 'illegalGeneration'
  | 'unknownMember'
  | 'memberIdRequired'
  | 'inconsistentGroupProtocol'
  | 'invalidGroupId'
  | 'invalidSessionTimeout'
  | 'rebalanceInProgress'
  | 'fencedInstance'
  | 'groupFull'
  | 'groupNotEmpty'
  | 'groupMissing'
  | 'groupSubscribed'
  | 'offsetMetadataTooLarge'
  // queues and exchanges; `why` is the explanation clients of AMQP know
  | 'queueMissing'
  | 'exchangeMissing'
  | 'queueLocked'
  | 'inequivalentDeclaration'
  | 'invalidArgument'
  | 'queueInUse'
  | 'queueNotEmpty'
  | 'exchangeInUse'
  | 'exchangeTypeUnknown'
  | 'reservedName'
  | 'systemExchange'
  | 'internalExchange'
  | 'exclusiveUse'
  | 'consumerTagTaken'
  | 'unknownDelivery'
  | 'invalidMessage'
  | 'messageTooLarge'
  | 'userIdMismatch'
  | 'replyConsumer'
  | 'notForThisQueue'
  | 'limitReached'
  // one node
  | 'electionNotNeeded'
  | 'noReassignment'
  | 'logDirMissing'
  | 'featureUpdateFailed'
  | 'transactionMissing'
  | 'brokerMissing'
  | 'timedOut'
  | 'shuttingDown'
  | 'internal'

export interface Refusal {
  readonly refused: RefusalName
  /** One sentence for people: what, why and, where there is something to do, what to do. */
  readonly why: string
}

export const refuse = (refused: RefusalName, why: string): Refusal => ({ refused, why })

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value
}
