// The storage contract on the local engine: over a real disk, over one that fails, and over one that takes 100 ms.
// Promises: the same suite as every engine, for `commit` and for `os`.
// Does not know: power cuts; power.test.ts does.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FaultDisk, testWorld } from '../../../test/fault-disk.ts'
import { type ContractStore, logContract } from '../../log/log.contract.ts'
import { nodeWorld } from '../../server/node-world.ts'
import { type LocalStore, openLocalStore } from './local-store.ts'

const onFatal = (error: Error): void => {
  throw error
}
const small = {
  journalBytesMax: 1024 * 1024,
  largeBytesMin: 512 * 1024,
  cacheBytesMax: 50_000,
  cacheBytesPerLogMax: 1500,
  onFatal,
}

async function onRealDisk(): Promise<ContractStore> {
  const path = mkdtempSync(join(tmpdir(), 'odradek-contract-'))
  const world = nodeWorld({ trace: { level: 'silent' } })
  let store: LocalStore = await openLocalStore(world, { path, ...small })
  return {
    store,
    reopen: async () => {
      await store.close()
      store = await openLocalStore(world, { path, ...small })
      return store
    },
    dispose: async () => {
      await store.close()
      rmSync(path, { recursive: true, force: true })
    },
  }
}

const onFaultDisk = (latencyMs: number) => async (): Promise<ContractStore> => {
  const disk = new FaultDisk()
  const world = testWorld(disk.boot(), 7)
  if (latencyMs > 0) disk.latency = () => world.sleep(latencyMs)
  const path = '/data'
  let store: LocalStore = await openLocalStore(world, { path, ...small })
  return {
    store,
    reopen: async () => {
      await store.close()
      store = await openLocalStore(world, { path, ...small })
      return store
    },
    fill: () => {
      disk.capacityBytes = disk.usedBytes() + 10_000
      return () => {
        disk.capacityBytes = Infinity
      }
    },
    breakWrites: () => {
      disk.fault = (operation, file) => (operation === 'write' && file.endsWith('.log') ? 'io' : undefined)
      return () => {
        disk.fault = () => undefined
      }
    },
    dispose: () => store.close(),
  }
}

for (const durability of ['commit', 'os'] as const) {
  logContract(`local, real disk, ${durability}`, onRealDisk, { durability, randomRuns: 25 })
  logContract(`local, ${durability}`, onFaultDisk(0), { durability, randomRuns: 60 })
  logContract(`local, 100 ms, ${durability}`, onFaultDisk(100), { durability, randomRuns: 20 })
}
logContract('local, scratch', async () => ({ ...(await onFaultDisk(0)()), reopen: undefined }), {
  durability: 'scratch',
  randomRuns: 20,
})
