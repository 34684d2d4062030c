// The lock of a data folder: who counts as its holder.
// Promises: real processes, ended by their own parent within a second.
// Does not know: what the lock protects.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeLock } from './node-lock.ts'

let folder: string

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'lock-'))
})

afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const statOf = (pid: number): string => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2)
}

/** The content of a lock file that this process would have written. */
const identityOf = (pid: number): string =>
  `${pid} ${statOf(pid).split(' ')[19]} ${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`

test('one holder at a time, and again after its release', () => {
  const path = join(folder, 'LOCK')
  const lock = takeLock(path)
  expect(takeLock(path)).toEqual({ heldBy: `this process (${process.pid})` })
  if ('release' in lock) lock.release()
  expect(takeLock(path)).toHaveProperty('release')
})

test.skipIf(!fs.existsSync('/proc/self/stat'))(
  'a live process holds it, one that only nobody buried does not',
  async () => {
    // The shell becomes a program that never waits for the child it inherits.
    const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 5'], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      const said = await new Promise<string>((resolve) =>
        parent.stdout.once('data', (chunk: Buffer) => resolve(`${chunk}`)),
      )
      const child = Number(said)
      const path = join(folder, 'LOCK')
      fs.writeFileSync(path, `${identityOf(child)}\n`)
      expect(takeLock(path)).toEqual({ heldBy: `process ${child}` })
      await expect.poll(() => statOf(child)[0], { timeout: 4000, interval: 20 }).toBe('Z')
      expect(takeLock(path)).toHaveProperty('release')
    } finally {
      parent.kill('SIGKILL')
    }
  },
)
