// The limits of the broker: every bound with its name, unit and reason.
// Promises: constants only; derived ones are asserted against each other at the end.
// Does not know: which of them a setting may override; settings name their own defaults by these.

import { assert } from './assert.ts'

export const KiB = 1024
export const MiB = 1024 * KiB

/** Largest request frame a Kafka client may send (Kafka's socket.request.max.bytes). */
export const kafkaFrameBytesMax = 100 * MiB
/** Largest record batch stored by default (Kafka's message.max.bytes: 1 MiB plus the batch head). */
export const batchBytesMax = 1_048_588
/** The most a batch may inflate to when we open it. */
export const batchInflateBytesMax = 64 * MiB
/** Reading of a connection pauses while this many of its own bytes wait for their commit. */
export const publishInflightBytesMax = 16 * MiB
/** Buffers of frames that are kept for the frames to come, all connections of a listener together. */
export const frameSpareBytesMax = 8 * MiB
/** Reading of a connection pauses while this many response bytes are unsent. */
export const unsentBytesMax = 32 * MiB
/** Requests of one connection that may be under way; more stay in the socket. */
export const requestsInFlightMax = 256
/** Largest fetch response, whatever the client asks (Kafka's fetch.max.bytes). */
export const fetchBytesMax = 55 * MiB
/** Longest topic name (Kafka's Topic.MAX_NAME_LENGTH). */
export const topicNameCharsMax = 249
/** Most partitions of one topic. */
export const partitionsMax = 10_000
/** Committed-offset metadata (Kafka's offset.metadata.max.bytes). */
export const offsetMetadataBytesMax = 4096
/** Batches remembered per producer and partition for duplicate detection (Kafka's NUM_BATCHES_TO_RETAIN). */
export const producerBatchesRetained = 5

assert(batchBytesMax < kafkaFrameBytesMax, 'a batch of the largest size fits a frame')
assert(batchBytesMax < batchInflateBytesMax, 'a batch may be opened')
