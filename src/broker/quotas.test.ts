// Quotas: who is counted with whom, how long one over its rate waits, and what is refused.
// Promises: Kafka's precedence of eight levels and eleven windows of a second; what was set is there after a restart.
// Does not know: connections.

import { expect, test } from 'vitest'
import { openBroker } from './broker.ts'
import { testIdentity, testWorld } from './broker-world.contract.ts'
import type { QuotaEntity } from './door.ts'
import { StubStore } from './stub-store.contract.ts'

async function bench(store = new StubStore(), world = testWorld()) {
  const broker = await openBroker(world, store, {})
  const as = (principal: string, clientId: string) => broker.session({ ...testIdentity, principal, clientId })
  const set = async (user: string | null | undefined, clientId: string | null | undefined, rate: number | null) =>
    as('admin', '').alterQuotas({ user, clientId, ip: undefined }, new Map([['producer_byte_rate', rate]]), false)
  return { world, store, broker, as, set }
}

test('without a quota nobody waits', async () => {
  const { as } = await bench()
  expect(as('u', 'c').throttle('produce', 1e9)).toBe(0)
})

test('a client over its rate waits until the rate is right again', async () => {
  const { as, set, world } = await bench()
  expect(await set('u', 'c', 1000)).toBe(true)
  const session = as('u', 'c')
  // Ten seconds' worth fit the windows.
  expect(session.throttle('produce', 10_000)).toBe(0)
  expect(session.throttle('produce', 2000)).toBe(2000)
  expect(session.throttle('fetch', 1e9)).toBe(0)
  world.clock.advance(2000)
  expect(session.throttle('produce', 0)).toBe(2000)
  world.clock.advance(9000)
  expect(session.throttle('produce', 0)).toBe(0)
  expect(session.throttle('produce', 1e9)).toBe(11_000)
})

test('the first of eight levels that has a quota counts', async () => {
  const { as, set } = await bench()
  const waits = (): number => as('u', 'c').throttle('produce', 100_000)
  const levels: readonly (readonly [string | null | undefined, string | null | undefined])[] = [
    [undefined, null],
    [undefined, 'c'],
    [null, undefined],
    [null, null],
    [null, 'c'],
    ['u', undefined],
    ['u', null],
    ['u', 'c'],
  ]
  // Each level set later is stronger: a generous one ends the waiting, a strict one begins it.
  for (const [index, [user, clientId]] of levels.entries()) {
    expect(await set(user, clientId, index % 2 === 0 ? 1 : 1e9)).toBe(true)
    expect([user, clientId, waits() > 0]).toEqual([user, clientId, index % 2 === 0])
  }
  for (const [index, [user, clientId]] of levels.toReversed().entries()) {
    expect(await set(user, clientId, null)).toBe(true)
    const left = levels.length - 2 - index
    expect(waits() > 0).toBe(left >= 0 && left % 2 === 0)
  }
})

test("a user's clients share its quota; under a default each has its own", async () => {
  const { as, set } = await bench()
  await set('u', undefined, 1000)
  expect(as('u', 'one').throttle('produce', 10_000)).toBe(0)
  expect(as('u', 'other').throttle('produce', 1000)).toBe(1000)
  await set(undefined, null, 1000)
  expect(as('v', 'one').throttle('produce', 10_000)).toBe(0)
  expect(as('v', 'other').throttle('produce', 10_000)).toBe(0)
  expect(as('w', 'one').throttle('produce', 1000)).toBe(1000)
})

test('what is not kept is refused, and only judged when only validated', async () => {
  const { as } = await bench()
  const session = as('admin', '')
  const user: QuotaEntity = { user: 'u', clientId: undefined, ip: undefined }
  const refusals: readonly (readonly [QuotaEntity, string, number])[] = [
    [user, 'request_percentage', 50],
    [user, 'controller_mutation_rate', 5],
    [user, 'no_such_rate', 5],
    [user, 'producer_byte_rate', 0],
    [user, 'producer_byte_rate', Number.NaN],
    [{ user: undefined, clientId: undefined, ip: '127.0.0.1' }, 'connection_creation_rate', 5],
    [{ user: undefined, clientId: undefined, ip: undefined }, 'producer_byte_rate', 5],
  ]
  for (const [entity, name, value] of refusals)
    expect(await session.alterQuotas(entity, new Map([[name, value]]), false)).toMatchObject({
      refused: 'invalidRequest',
    })
  expect(await session.alterQuotas(user, new Map([['producer_byte_rate', 5]]), true)).toBe(true)
  expect(session.describeQuotas()).toEqual([])
})

test('quotas are there after a restart', async () => {
  const { set, store, broker, world } = await bench()
  await set('u', null, 1000.5)
  await set(null, undefined, 5)
  await set(null, undefined, null)
  await broker.close()
  const next = await bench(store, world)
  expect(next.as('u', 'c').describeQuotas()).toEqual([
    { entity: { user: 'u', clientId: null, ip: undefined }, values: new Map([['producer_byte_rate', 1000.5]]) },
  ])
})
