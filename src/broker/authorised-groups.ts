// Group calls as one principal may make them: each is asked about before it reaches the coordinator.
// Promises: Kafka's operations (docs/security): READ to take part and commit, DESCRIBE to look, DELETE to remove; offsets
// also need their topic.
// Does not know: what a group is.

import type { Operation } from './access.ts'
import type { CommittedOffset, GroupCalls, TopicRef } from './door.ts'
import type { Refusal } from './errors.ts'

/** undefined: allowed. */
export type JudgeGroup = (
  operation: Operation,
  kind: 'group' | 'topic' | 'cluster',
  name: string,
) => Refusal | undefined

/** `nameOf` gives the name of a topic told by id; undefined: there is none, which the coordinator says. */
export function authorisedGroups(
  calls: GroupCalls,
  judge: JudgeGroup,
  nameOf: (topic: TopicRef) => string | undefined,
): GroupCalls {
  const group = async <T>(operation: Operation, name: string, call: () => Promise<T>): Promise<T | Refusal> =>
    judge(operation, 'group', name) ?? (await call())
  const topic = (operation: Operation, ref: TopicRef): Refusal | undefined => {
    const name = nameOf(ref)
    return name === undefined ? undefined : judge(operation, 'topic', name)
  }
  return {
    join: async (call) => {
      const denied = judge('read', 'group', call.group)
      return denied === undefined ? calls.join(call) : { ...denied, memberId: call.memberId }
    },
    sync: (call) => group('read', call.group, () => calls.sync(call)),
    heartbeat: (call) => group('read', call.group, () => calls.heartbeat(call)),
    leave: (call) => group('read', call.group, () => calls.leave(call)),
    commit: async (call) => {
      const denied = judge('read', 'group', call.group)
      if (denied !== undefined) return call.offsets.map(() => denied)
      return each<(typeof call.offsets)[number], true, Outcomes<true>>(
        call.offsets,
        (one) => topic('read', one.topic),
        (offsets) => calls.commit({ ...call, offsets }),
      )
    },
    fetch: (call) =>
      group('describe', call.group, async () => {
        const { partitions } = call
        if (partitions !== undefined)
          return each<(typeof partitions)[number], CommittedOffset, Refusal>(
            partitions,
            (one) => topic('describe', one.topic),
            (allowed) => calls.fetch({ ...call, partitions: allowed }),
          )
        const all = await calls.fetch(call)
        // Who may not see a topic does not hear of its offsets.
        if ('refused' in all) return all
        return all.filter((one) => 'refused' in one || topic('describe', { name: one.topic }) === undefined)
      }),
    describe: (name) => group('describe', name, () => calls.describe(name)),
    list: async () => {
      const listings = await calls.list()
      if (judge('describe', 'cluster', 'kafka-cluster') === undefined) return listings
      return listings.filter((one) => judge('describe', 'group', one.group) === undefined)
    },
    delete: (name) => group('delete', name, () => calls.delete(name)),
    deleteOffsets: (name, partitions) =>
      group('delete', name, () =>
        each<(typeof partitions)[number], true, Refusal>(
          partitions,
          (one) => topic('read', { name: one.topic }),
          (allowed) => calls.deleteOffsets(name, allowed),
        ),
      ),
  }
}

type Outcomes<Answer> = readonly (Answer | Refusal)[]

/** Asks `call` for those allowed and puts its answers among the refusals of the others, in order. */
async function each<One, Answer, Whole extends Outcomes<Answer> | Refusal>(
  all: readonly One[],
  judge: (one: One) => Refusal | undefined,
  call: (allowed: readonly One[]) => Promise<Whole | Outcomes<Answer>>,
): Promise<Whole | Outcomes<Answer>> {
  const denied = all.map(judge)
  if (denied.every((refusal) => refusal === undefined)) return call(all)
  const answers = await call(all.filter((_, index) => denied[index] === undefined))
  if ('refused' in answers) return answers
  let at = 0
  return denied.map((refusal) => refusal ?? answers[at++])
}
