// Rows of docs/one-namespace.md: further ledgers over a topic, what they hold and when they go, and going back.
// Promises: each row stands alone, on names of its own.
// Does not know: in which broker it runs; width and edge cases are in further-ledgers.test.ts and rewind.test.ts.

import { expect } from 'vitest'
import type { Row } from './one-namespace.ts'
import { odradek } from './program.ts'

export const ledgerRows: readonly Row[] = [
  {
    name: 'Further ledger',
    steps: async (sides) => {
      await sides.createTopic('ledgered')
      await sides.produce('ledgered', 'a', 'b')
      await sides.declare('ledgered')
      await sides.declare('ledgered-too', { arguments: { 'x-log': 'ledgered' } })
      expect(await sides.topics()).not.toContain('ledgered-too')
      expect(await sides.workOff('ledgered')).toEqual(['a', 'b'])
      expect(await sides.workOff('ledgered-too')).toEqual(['a', 'b'])
      const refusal = (queue: string) => sides.refusal((channel) => channel.bindQueue(queue, 'amq.direct', 'k'))
      expect(await refusal('ledgered-too')).toBe('404')
    },
  },
  {
    name: 'What a further ledger takes',
    steps: async (sides) => {
      await sides.createTopic('regions')
      await sides.produceOne('regions', { key: 'eu.de', value: 'a', headers: { kind: 'order' } })
      await sides.produceOne('regions', { key: 'us', value: 'b', headers: { kind: 'order' } })
      await sides.produceOne('regions', { key: 'eu.fr', value: 'c', headers: { kind: 'offer' } })
      const filters = { 'x-filter-key': 'eu.#', 'x-filter-headers': { 'x-match': 'all', kind: 'order' } }
      await sides.declare('regions.europe', { arguments: { 'x-log': 'regions', 'x-filter-key': 'eu.#' } })
      await sides.declare('regions.orders', { arguments: { 'x-log': 'regions', ...filters } })
      expect(await sides.workOff('regions.europe')).toEqual(['a', 'c'])
      expect(await sides.workOff('regions.orders')).toEqual(['a'])
    },
  },
  {
    name: 'Over a consumed topic',
    steps: async (sides) => {
      await sides.declare('shared')
      const further = (args: object) =>
        sides.refusal((channel) => channel.assertQueue('shared.too', { arguments: { 'x-log': 'shared', ...args } }))
      expect(await further({})).toBe('406')
      expect(await further({ 'x-max-length': 2 })).toBe('taken')
      await sides.publish('shared', 'a', 'b', 'c')
      expect(await sides.workOff('shared')).toEqual(['a', 'b', 'c'])
      expect(await sides.workOff('shared.too')).toEqual(['b', 'c'])
    },
  },
  {
    name: 'Deleting under further ledgers',
    steps: async (sides) => {
      await sides.declare('base')
      await sides.declare('base.too', { arguments: { 'x-log': 'base', 'x-expires': 600_000 } })
      const drop = (queue: string) => sides.refusal((channel) => channel.deleteQueue(queue))
      expect(await drop('base')).toBe('406')
      await sides.publish('base', 'a')
      const admin = await sides.admin()
      await admin.deleteTopics({ topics: ['base'] })
      expect(await sides.refusal((channel) => channel.checkQueue('base.too'))).toBe('404')
    },
  },
  {
    name: 'Going back',
    steps: async (sides) => {
      await sides.createTopic('again')
      await sides.declare('again')
      await sides.produce('again', 'a', 'b', 'c')
      expect(await sides.workOff('again')).toEqual(['a', 'b', 'c'])
      const ended = await odradek(['queues', 'rewind', 'again', '--to-offset', '1', '--data', sides.place.folder ?? ''])
      expect(ended).toMatchObject({ code: 0, err: '' })
      expect(await sides.workOff('again')).toEqual(['b', 'c'])
      expect(await sides.bounds('again')).toEqual({ low: 0, high: 3 })
    },
  },
]
