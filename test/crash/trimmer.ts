// Records deleted under load: the start of one partition is raised, a little at a time.
// Promises: an acknowledged start is there after a crash; nothing above what was asked for is gone.
// Does not know: what the records are.

import { apis } from '../../src/wire/kafka/api-table.ts'
import { unlessGone, type Dice, type Place } from './producers.ts'
import { partitionKey, type PromiseBook } from './promises.ts'
import type { WireClient } from './wire-client.ts'

/** So many records are kept at least, so that something is left to be lost. */
const keptRecords = 2000

export async function startAndEnd(client: WireClient, { topic, partition }: Place): Promise<[number, number]> {
  const [start, end] = await Promise.all([-2, -1].map((timestamp) => findOffset(client, topic, partition, timestamp)))
  return [start, end]
}

async function findOffset(client: WireClient, name: string, partition: number, timestamp: number): Promise<number> {
  const { topics } = await client.send(apis.listOffsets, 4, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name, partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }] }],
  })
  const [{ errorCode, offset }] = topics[0].partitions
  if (errorCode !== 0) throw new Error(`offset ${timestamp} of ${name}/${partition}: error ${errorCode}`)
  return offset
}

export async function trimUnderLoad(
  client: WireClient,
  place: Place,
  book: PromiseBook,
  dice: Dice,
  complain: (what: string) => void,
): Promise<void> {
  const key = partitionKey(place.topic, place.partition)
  try {
    while (!client.isGone) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      const [start, end] = await startAndEnd(client, place)
      if (end - start <= keptRecords) continue
      const before = start + 1 + dice.below(end - start - keptRecords)
      book.askTrim(key, before)
      const { topics } = await client.send(apis.deleteRecords, 1, {
        topics: [{ name: place.topic, partitions: [{ partitionIndex: place.partition, offset: before }] }],
        timeoutMs: 10_000,
      })
      const [{ errorCode, lowWatermark }] = topics[0].partitions
      if (errorCode !== 0) return complain(`${key}: deleting below ${before} was refused with ${errorCode}`)
      if (lowWatermark < before) complain(`${key}: deleted below ${before}, told of a start at ${lowWatermark}`)
      book.acknowledgeTrim(key, before)
    }
  } catch (error) {
    unlessGone(error)
  }
}
