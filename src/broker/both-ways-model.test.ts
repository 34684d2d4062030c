// Both protocols on one name at random, crashes included, against a naive model.
// Promises: one record has one offset and is first delivered once, in the order of the log; nothing acknowledged is lost,
// nothing settled comes back. Each claim is shown able to fail, from fixed seeds.
// Does not know: what a life consists of (both-ways-life.contract.ts).

import { expect, test } from 'vitest'
import { life, type Wrong } from './both-ways-life.contract.ts'
import type { Delivery } from './queue-door.ts'

const seeds = Array.from({ length: 40 }, (_, seed) => seed + 1)

test.each(seeds)('a topic is a queue, whatever happens to it: seed %i', async (seed) => {
  await life(seed)
})

const wrongs: readonly (readonly [what: string, wrong: Wrong])[] = [
  [
    'an acknowledgement is not passed on',
    {
      channel: (channel) => {
        channel.acknowledge = () => true
      },
    },
  ],
  [
    'what is given back is dropped',
    {
      channel: (channel) => {
        const reject = channel.reject.bind(channel)
        channel.reject = (tag, multiple, _, counts) => reject(tag, multiple, false, counts)
      },
    },
  ],
  [
    'nothing is said to come again',
    {
      sink: (sink) => ({
        ...sink,
        deliver: (delivery) => sink.deliver({ ...delivery, redelivered: false }),
      }),
    },
  ],
  [
    'deliveries overtake one another',
    {
      sink: (sink) => {
        let kept: Delivery | undefined
        return {
          ...sink,
          deliver: (delivery) => {
            if (kept === undefined) {
              const { body, properties } = delivery
              kept = { ...delivery, body: Buffer.from(body), properties: Buffer.from(properties) }
              return
            }
            sink.deliver(delivery)
            sink.deliver(kept)
            kept = undefined
          },
        }
      },
    },
  ],
  [
    'a record is stored twice',
    {
      session: (session) => {
        const produce = session.produce.bind(session)
        session.produce = async (call) => {
          await produce({ ...call, batch: Buffer.from(call.batch) })
          return produce(call)
        }
      },
    },
  ],
  [
    'a record is acknowledged before it is on disk',
    {
      session: (session) => {
        const produce = session.produce.bind(session)
        session.produce = (call) => produce({ ...call, acks: 0 })
      },
    },
  ],
  [
    'a confirm comes before the commit',
    {
      channel: (channel) => {
        const publish = channel.publish.bind(channel)
        channel.publish = (publication) => {
          publish(publication)
          return { state: 'stored', whenSettled: (done) => queueMicrotask(done) }
        }
      },
    },
  ],
  ['the disk says that it synced, and did not', { diskLies: true }],
]

test.each(wrongs)('it turns red when %s', async (_, wrong) => {
  for (const seed of seeds.slice(0, 20)) {
    const failure = await life(seed, wrong).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failure !== undefined) return
  }
  expect.fail('no life noticed')
})
