// The range assignor: partitions of each topic in ranges over the members that want it, as Kafka's Java client does it.
// Promises: every partition to exactly one member that subscribed its topic; the same input gives the same ranges.
// Does not know: groups, the protocol that carries it.

export interface Subscription {
  readonly memberId: string
  readonly topics: readonly string[]
}

/** memberId → topic → partitions. Members are ordered by id, as the Java client orders dynamic members. */
export function assignRanges(
  members: readonly Subscription[],
  partitionsOf: ReadonlyMap<string, number>,
): Map<string, Map<string, number[]>> {
  const assignments = new Map(members.map(({ memberId }) => [memberId, new Map<string, number[]>()]))
  for (const [topic, partitions] of partitionsOf) {
    const wanting = members.filter(({ topics }) => topics.includes(topic)).map(({ memberId }) => memberId)
    wanting.sort((a, b) => (a < b ? -1 : 1))
    let next = 0
    for (const [at, memberId] of wanting.entries()) {
      const share = Math.floor(partitions / wanting.length) + (at < partitions % wanting.length ? 1 : 0)
      if (share > 0) assignments.get(memberId)?.set(topic, numbers(next, share))
      next += share
    }
  }
  return assignments
}

const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at)
