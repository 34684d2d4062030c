// The range assignor against what it must always keep.
// Promises: random members, topics and partitions.
// Does not know: the protocol.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assignRanges } from './range-assignor.ts'

test('seven partitions over three members: 3, 2, 2', () => {
  const members = ['c', 'a', 'b'].map((memberId) => ({ memberId, topics: ['t'] }))
  const assigned = assignRanges(members, new Map([['t', 7]]))
  expect(assigned.get('a')?.get('t')).toEqual([0, 1, 2])
  expect(assigned.get('b')?.get('t')).toEqual([3, 4])
  expect(assigned.get('c')?.get('t')).toEqual([5, 6])
})

test('every partition of a wanted topic has one owner, who wants it; shares differ by one at most', () => {
  const topics = ['t', 'u', 'v']
  const member = fc.record({ topics: fc.subarray(topics), memberId: fc.string({ minLength: 1 }) })
  fc.assert(
    fc.property(fc.uniqueArray(member, { selector: (one) => one.memberId }), fc.nat(20), (members, partitions) => {
      const assigned = assignRanges(members, new Map(topics.map((topic) => [topic, partitions])))
      for (const topic of topics) {
        const wanting = members.filter((one) => one.topics.includes(topic))
        const owned = members.flatMap(({ memberId }) => assigned.get(memberId)?.get(topic) ?? [])
        expect(owned.toSorted((a, b) => a - b)).toEqual(wanting.length === 0 ? [] : [...Array(partitions).keys()])
        const shares = wanting.map(({ memberId }) => assigned.get(memberId)?.get(topic)?.length ?? 0)
        if (shares.length > 0) expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
        for (const one of members.filter((each) => !each.topics.includes(topic)))
          expect(assigned.get(one.memberId)?.has(topic)).toBe(false)
      }
    }),
  )
})
