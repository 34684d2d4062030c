// A lock file: one process at a time in a data folder.
// Promises: refuses while the holder lives, also a second broker in this process; a dead holder is passed over.
// Does not know: what is locked. Works within one machine's process table; two containers that share a folder but not
// their processes cannot see each other's holder and must not be pointed at one folder.

import fs from 'node:fs'
import { resolve } from 'node:path'

/** Paths held by this process: its own pid in the file says nothing about a second broker in it. */
const heldHere = new Set<string>()
let attempts = 0

export function takeLock(path: string): { release(): void } | { heldBy: string } {
  const full = resolve(path)
  if (heldHere.has(full)) return { heldBy: `this process (${process.pid})` }
  // The content is complete before the name appears: link() is atomic and fails when the name is taken.
  const fresh = `${full}.${process.pid}.${attempts++}`
  fs.writeFileSync(fresh, `${identity(process.pid)}\n`)
  try {
    for (;;) {
      try {
        fs.linkSync(fresh, full)
        break
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const holder = passOverDeadHolder(full, `${fresh}.stale`)
      if (holder !== undefined) return { heldBy: holder }
    }
  } finally {
    fs.rmSync(fresh, { force: true })
  }
  heldHere.add(full)
  return { release: () => release(full) }
}

function release(full: string): void {
  if (!heldHere.delete(full)) return
  fs.rmSync(full, { force: true })
}

/** Moves a dead holder's file away and answers undefined; names the holder when it lives. */
function passOverDeadHolder(full: string, aside: string): string | undefined {
  const seen = readOr(full)
  if (seen === undefined) return undefined
  if (isAlive(seen)) return `process ${seen.split(' ')[0]}`
  try {
    fs.renameSync(full, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  // Somebody may have passed over the dead holder between our look and our move: then it is his, and given back.
  const moved = readOr(aside)
  if (moved !== undefined && isAlive(moved)) {
    fs.linkSync(aside, full)
    fs.rmSync(aside, { force: true })
    return `process ${moved.split(' ')[0]}`
  }
  fs.rmSync(aside, { force: true })
  return undefined
}

function readOr(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'latin1').trim()
  } catch {
    return undefined
  }
}

function isAlive(holder: string): boolean {
  const pid = Number(holder.split(' ')[0])
  if (!Number.isInteger(pid) || pid <= 0) return false
  if (!fs.existsSync('/proc/self/stat')) return answersSignals(pid)
  return identity(pid) === holder && !isOver(pid)
}

/**
 * Killed, and only waiting for its parent to look: where the first process of a container never does, that lasts for
 * ever. A thread of it that is still inside the kernel may be writing, so all of them must be gone.
 */
function isOver(pid: number): boolean {
  const stat = readOr(`/proc/${pid}/stat`) ?? ''
  const state = stat.slice(stat.lastIndexOf(')') + 2)[0]
  if (state !== 'Z' && state !== 'X') return false
  try {
    return fs.readdirSync(`/proc/${pid}/task`).length <= 1
  } catch {
    return true
  }
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** pid, start time and boot: a pid that was given again, also after a restart of the machine, is another identity. */
function identity(pid: number): string {
  const stat = readOr(`/proc/${pid}/stat`)
  const boot = readOr('/proc/sys/kernel/random/boot_id') ?? '-'
  // The command in parentheses may itself hold spaces; start time is the 22nd field, the 20th after it.
  const started = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-'
  return `${pid} ${started} ${boot}`
}
