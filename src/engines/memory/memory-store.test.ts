// The storage contract on the memory engine.
// Promises: the same suite as every engine.
// Does not know: disks.

import { logContract } from '../../log/log.contract.ts'
import { FaultDisk, testWorld } from '../../../test/fault-disk.ts'
import { openMemoryStore } from './memory-store.ts'

logContract(
  'memory',
  () => {
    const store = openMemoryStore(testWorld(new FaultDisk().boot(), 1), { bytesMax: 1_000_000 })
    return Promise.resolve({ store, dispose: () => store.close() })
  },
  { durability: 'commit', randomRuns: 60 },
)
// A store so small that the suite's large batches do not fit.
logContract(
  'memory, full',
  () => {
    const store = openMemoryStore(testWorld(new FaultDisk().boot(), 1), { bytesMax: 100_000 })
    return Promise.resolve({ store, fill: () => () => {}, dispose: () => store.close() })
  },
  { durability: 'commit', randomRuns: 1 },
)
