// Tests of loops through exchanges of type x-log.
// Promises: what comes back to a topic by bindings and alternates is found, however long the way; nothing else is.
// Does not know: who refuses them.

import { expect, test } from 'vitest'
import { fieldTable, textField } from '../../../base/fields.ts'
import { closesLogLoop, type Step } from './log-loops.ts'
import { VhostTopology } from './topology-vhost.ts'

const vhost = '/'
const queue = (name: string): Step => ({ kind: 'queue', name })
const exchange = (name: string): Step => ({ kind: 'exchange', name })

/** `logs` and `plain` exchanges; ways as `from→to`, to a queue `from→(to)`, to an alternate `from⇒to`. */
function place(logs: string, plain: string, ...ways: string[]) {
  const host = { queueExists: () => true, fraction: () => 0, cursorsChanged: () => undefined }
  const { routing } = new VhostTopology(vhost, host)
  const facts = { vhost, durable: true, autoDelete: false, internal: false }
  for (const name of logs) routing.setExchange({ ...facts, name, type: 'x-log', arguments: [] })
  for (const name of plain) {
    const alternate = ways.find((way) => way.startsWith(`${name}⇒`))?.slice(2)
    const args = alternate === undefined ? [] : fieldTable({ 'alternate-exchange': textField(alternate) })
    routing.setExchange({ ...facts, name, type: 'fanout', arguments: args })
  }
  for (const way of ways) {
    const [source, to] = way.split('→')
    if (to === undefined) continue
    const isQueue = to.startsWith('(')
    routing.addBinding(
      {
        vhost,
        source,
        destination: isQueue ? to.slice(1, -1) : to,
        destinationKind: isQueue ? 'queue' : 'exchange',
        routingKey: '#',
        arguments: [],
      },
      true,
      logs.includes(source) ? 1 : 0,
    )
  }
  return routing
}

test.each<[string, string, string[], string, Step, boolean]>([
  ['a topic to itself', 'A', [], 'A', exchange('A'), true],
  ['a topic to the queue of its name', 'A', [], 'A', queue('A'), true],
  ['a topic to another queue', 'A', [], 'A', queue('q'), false],
  ['two topics', 'AB', ['A→B'], 'B', exchange('A'), true],
  ['two topics by the queue of one', 'AB', ['A→(B)'], 'B', queue('A'), true],
  ['through plain exchanges', 'A', ['A→x', 'x→y'], 'y', queue('A'), true],
  ['a way that joins', 'AB', ['A→x', 'B→x', 'x→(q)'], 'A', exchange('B'), false],
  ['plain exchanges alone', 'A', ['x→y'], 'y', exchange('x'), false],
  ['plain exchanges beside a topic', 'A', ['x→y', 'y→A'], 'y', exchange('x'), false],
  ['plain exchanges with a topic on the way', 'A', ['x→y', 'y→A'], 'A', exchange('x'), true],
  ['a plain way closed last', 'A', ['A→x', 'y→A'], 'x', exchange('y'), true],
  ['by an alternate', 'A', ['A→x', 'y⇒A'], 'x', exchange('y'), true],
  ['no way back', 'ABC', ['A→B', 'B→C'], 'A', exchange('C'), false],
])('%s', (_, logs, ways, from, to, wanted) => {
  expect(closesLogLoop(place(logs, 'xyz', ...ways), from, to)).toBe(wanted)
})

test('where there is no such exchange nobody looks', () => {
  expect(closesLogLoop(place('', 'xy', 'x→y'), 'y', exchange('x'))).toBe(false)
})
