// What a channel published and is not promised yet: confirms in as few frames as are legal, and the bytes under way.
// Promises: each sequence number is told once, never before its receipt is settled; `multiple` covers only what is told
//   with it or was told before; a receipt shared by many publishes is waited for once.
// Does not know: frames, sockets. It says acks and nacks to its sink when flush() is called.

import type { Receipt } from '../../broker/queue-door.ts'

export interface ConfirmSink {
  confirmed(sequence: number, multiple: boolean): void
  refused(sequence: number, multiple: boolean): void
  /** These bytes are not under way any more. */
  released(bytes: number): void
  /** flush() has something to do: to be called at the end of this turn. */
  due(): void
}

/** Consecutive publishes with one receipt. */
interface Run {
  readonly receipt: Receipt
  /** Sequence numbers; 0: published before confirms were asked for, nobody is told. */
  readonly first: number
  last: number
  bytes: number
  isTold: boolean
}

/** Runs looked at behind the first that is pending: what settled out of order beyond them is told later. */
const runsAheadMax = 1024

const settledNow = (state: 'stored' | 'refused'): Receipt => ({ state, whenSettled: () => {} })
/** For what needs no waiting: an unroutable message is confirmed, one refused for want of room is not. */
export const storedAlready = settledNow('stored')
export const refusedAlready = settledNow('refused')

export class Confirms {
  private readonly sink: ConfirmSink
  private isConfirming = false
  private isSilent = false
  private nextSequence = 1
  private runs: Run[] = []
  private head = 0
  private current: Run | undefined
  private bytesTold = 0
  private readonly waitedFor = new Set<Receipt>()
  private readonly settled = (): void => this.sink.due()

  constructor(sink: ConfirmSink) {
    this.sink = sink
  }

  get isOn(): boolean {
    return this.isConfirming
  }

  /** confirm.select: publishes from now on are told, numbered from 1. Again: nothing changes. */
  turnOn(): void {
    if (this.isConfirming) return
    this.isConfirming = true
    this.current = undefined
  }

  published(receipt: Receipt, bytes: number): void {
    const sequence = this.isConfirming ? this.nextSequence++ : 0
    const run = this.current
    if (run !== undefined && run.receipt === receipt && !run.isTold) {
      run.last = sequence
      run.bytes += bytes
      return
    }
    if (receipt.state !== 'pending') {
      if (sequence === 0) return this.sink.released(bytes)
      this.sink.due()
    } else if (!this.waitedFor.has(receipt)) {
      this.waitedFor.add(receipt)
      receipt.whenSettled(this.settled)
    }
    this.current = { receipt, first: sequence, last: sequence, bytes, isTold: false }
    this.runs.push(this.current)
  }

  /** Says all that is settled: the front in runs, what is settled behind a pending one singly. */
  flush(): void {
    this.flushFront()
    const until = Math.min(this.runs.length, this.head + runsAheadMax)
    for (let at = this.head + 1; at < until; at++) {
      const run = this.runs[at]
      if (run.isTold || run.receipt.state === 'pending') continue
      this.tell(run)
      if (run.first === 0 || this.isSilent) continue
      for (let sequence = run.first; sequence <= run.last; sequence++) {
        if (run.receipt.state === 'stored') this.sink.confirmed(sequence, false)
        else this.sink.refused(sequence, false)
      }
    }
    for (const receipt of this.waitedFor) if (receipt.state !== 'pending') this.waitedFor.delete(receipt)
    this.compact()
    // At the end: whoever waits for nothing to be under way may take all to be told.
    const bytes = this.bytesTold
    this.bytesTold = 0
    if (bytes > 0) this.sink.released(bytes)
  }

  /** The channel is closed: nobody is told any more. What is under way stays so until it settles. */
  silence(): void {
    this.isSilent = true
    this.isConfirming = false
    this.current = undefined
  }

  private flushFront(): void {
    /** A run of acks not said yet: its last number, and how many. */
    let last = 0
    let count = 0
    const say = (): void => {
      if (count > 0) this.sink.confirmed(last, count > 1)
      count = 0
    }
    for (; this.head < this.runs.length; this.head++) {
      const run = this.runs[this.head]
      if (run.isTold) continue
      const { state } = run.receipt
      if (state === 'pending') break
      this.tell(run)
      if (run.first === 0 || this.isSilent) continue
      const length = run.last - run.first + 1
      if (state === 'stored') {
        last = run.last
        count += length
      } else {
        say()
        this.sink.refused(run.last, length > 1)
      }
    }
    say()
  }

  private tell(run: Run): void {
    run.isTold = true
    this.bytesTold += run.bytes
  }

  private compact(): void {
    if (this.head === this.runs.length) {
      this.runs.length = 0
      this.head = 0
    } else if (this.head > 256 && this.head * 2 > this.runs.length) {
      this.runs = this.runs.slice(this.head)
      this.head = 0
    }
  }
}
