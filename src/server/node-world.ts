// The one real world: Node's clock, random numbers, disk, sockets and a log line on stderr.
// Promises: everything that base/world.ts says; nothing else in the program touches timers, Date, fs or net.
// Does not know: the broker. It is made once by server/start and handed down.

import { randomBytes } from 'node:crypto'
import type { Clock, Random, Timer, World } from '../base/world.ts'
import { nodeDisk } from './node-disk.ts'
import { nodeNet } from './node-net.ts'
import { lineTrace, type TraceOptions } from './node-trace.ts'

export interface NodeWorldOptions {
  readonly trace?: TraceOptions
}

export function nodeWorld(options: NodeWorldOptions = {}): World {
  const clock = nodeClock()
  return { clock, random: nodeRandom(), disk: nodeDisk(), net: nodeNet(), trace: lineTrace(clock, options.trace) }
}

/** Longest delay Node's timers take; a longer one is waited for in pieces. */
const delayMsMax = 2 ** 31 - 1

/**
 * What tasks of a turn put off to its end is done in the same turn, once: a batch that is appended is written, what is
 * delivered is sent, without another look at the sockets between. Not more often: sockets wait meanwhile.
 */
const roundsMax = 2

export function nodeClock(): Clock {
  // One immediate for all tasks of a turn: immediates run right after the poll phase, so a task sees everything that
  // the sockets of this phase delivered, which is what makes one write of many appends.
  let tasks: (() => void)[] = []
  let isRunning = false
  const runTasks = (): void => {
    isRunning = true
    try {
      for (let round = 0; round < roundsMax && tasks.length > 0; round++) runRound()
    } finally {
      isRunning = false
      if (tasks.length > 0) setImmediate(runTasks)
    }
  }
  const runRound = (): void => {
    const current = tasks
    tasks = []
    for (let at = 0; at < current.length; at++) {
      try {
        current[at]()
      } catch (error) {
        // The others still have their turn; the error goes on as it would have without us.
        for (const task of current.slice(at + 1)) setImmediate(task)
        throw error
      }
    }
  }
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after,
    endOfTurn: (task) => {
      if (tasks.length === 0 && !isRunning) setImmediate(runTasks)
      tasks.push(task)
    },
  }
}

function after(delayMs: number, task: () => void): Timer {
  let left = Math.max(0, delayMs)
  let handle: NodeJS.Timeout
  const wait = (): void => {
    const piece = Math.min(left, delayMsMax)
    left -= piece
    handle = setTimeout(() => (left > 0 ? wait() : task()), piece)
    handle.unref()
  }
  wait()
  return { cancel: () => clearTimeout(handle) }
}

function nodeRandom(): Random {
  return { bytes: (bytes) => randomBytes(bytes), fraction: () => Math.random() }
}
