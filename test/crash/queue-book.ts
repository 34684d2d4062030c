// What the broker promised of messages in queues, and the search for promises that are broken.
// Promises: a broken promise is told once; what a crash leaves open (unconfirmed, unsettled) is judged neither way.
// Does not know: connections, how anything is published or consumed.

import { valueOf } from './promises.ts'

/** What a message's consumer answered, and whether a later answer of the broker settled that. */
interface Fate {
  isConfirmed: boolean
  wasSeen: boolean
  answer: 'none' | 'acknowledged' | 'rejected'
  /** Which answer it was; empty while there was none. */
  settledBy: string
}

/** An id is `publisher:number`; a publisher's numbers rise as it publishes. */
const cut = (id: string): [string, number] => {
  const at = id.lastIndexOf(':')
  return [id.slice(0, at), Number(id.slice(at + 1))]
}

export class QueueBook {
  /** By queue, then by id. */
  private readonly fates = new Map<string, Map<string, Fate>>()
  /** Where a queue's dead letters go. */
  private readonly deadLetters: ReadonlyMap<string, string>
  /** The highest number of a publisher that was seen in a queue: what is seen first comes in order. */
  private readonly highest = new Map<string, number>()
  private readonly unordered: ReadonlySet<string>
  private readonly broken: string[] = []
  confirmed = 0
  delivered = 0
  settled = 0
  redelivered = 0

  constructor(deadLetters: ReadonlyMap<string, string>, unordered: ReadonlySet<string>) {
    this.deadLetters = deadLetters
    this.unordered = unordered
  }

  private fatesOf(queue: string): Map<string, Fate> {
    let fates = this.fates.get(queue)
    if (fates === undefined) this.fates.set(queue, (fates = new Map()))
    return fates
  }

  private fateOf(queue: string, id: string): Fate | undefined {
    return this.fates.get(queue)?.get(id)
  }

  publish(queues: readonly string[], id: string): void {
    const fresh = (): Fate => ({ isConfirmed: false, wasSeen: false, answer: 'none', settledBy: '' })
    for (const queue of queues) this.fatesOf(queue).set(id, fresh())
  }

  confirm(queues: readonly string[], id: string): void {
    this.confirmed++
    for (const queue of queues) {
      const fate = this.fateOf(queue, id)
      if (fate !== undefined) fate.isConfirmed = true
    }
  }

  deliver(queue: string, id: string, body: Buffer, isRedelivered: boolean): void {
    this.delivered++
    if (isRedelivered) this.redelivered++
    const fate = this.arrived(queue, id)
    if (fate === undefined)
      return void this.broken.push(`${queue}: ${id || body.toString('hex', 0, 20)} was never sent here`)
    if (!body.equals(valueOf(id))) this.broken.push(`${queue}: ${id} has other bytes than were sent`)
    if (fate.settledBy !== '') {
      this.broken.push(`${queue}: ${id} was acknowledged, a later ${fate.settledBy} came, and it comes again`)
    }
    fate.settledBy = ''
    if (fate.wasSeen && !isRedelivered) this.broken.push(`${queue}: ${id} comes again and is not marked as redelivered`)
    if (!fate.wasSeen && !this.unordered.has(queue)) this.judgeOrder(queue, id)
    fate.wasSeen = true
    fate.answer = 'none'
  }

  /** The fate of what is delivered; a dead letter has one in its queue from now on. */
  private arrived(queue: string, id: string): Fate | undefined {
    const fates = this.fatesOf(queue)
    const known = fates.get(id)
    if (known !== undefined) return known
    const from = [...this.deadLetters].find(([source, to]) => to === queue && this.fateOf(source, id) !== undefined)
    if (from === undefined) return undefined
    const fate: Fate = { isConfirmed: true, wasSeen: false, answer: 'none', settledBy: '' }
    fates.set(id, fate)
    return fate
  }

  private judgeOrder(queue: string, id: string): void {
    const [publisher, number] = cut(id)
    const key = `${queue} ${publisher}`
    const before = this.highest.get(key) ?? -1
    if (number < before) this.broken.push(`${queue}: ${id} comes after ${publisher}:${before}`)
    else this.highest.set(key, number)
  }

  /** Sent; nobody knows whether it arrived. */
  acknowledge(queue: string, id: string): void {
    this.answered(queue, id, 'acknowledged')
  }

  reject(queue: string, id: string): void {
    this.answered(queue, id, 'rejected')
  }

  private answered(queue: string, id: string, answer: 'acknowledged' | 'rejected'): void {
    const fate = this.fateOf(queue, id)
    if (fate !== undefined) fate.answer = answer
  }

  /** The broker answered something asked later on the same connection: these acknowledgements are on disk. */
  settle(queue: string, ids: readonly string[], by: string): void {
    for (const id of ids) {
      const fate = this.fateOf(queue, id)
      if (fate === undefined || fate.answer !== 'acknowledged') continue
      fate.settledBy = by
      this.settled++
    }
  }

  /** Whether it has to be in the queue, or among its dead letters, whatever happens. */
  isOwed(queue: string, id: string): boolean {
    const fate = this.fateOf(queue, id)
    return fate !== undefined && fate.isConfirmed && fate.answer === 'none'
  }

  /** All queues were emptied, each message in them delivered: what is confirmed, open and was not among them is lost. */
  judgeEmptied(found: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (const [queue, there] of found) {
      const target = this.deadLetters.get(queue)
      for (const [id, fate] of this.fatesOf(queue)) {
        if (!fate.isConfirmed || there.has(id) || this.mayBeGone(fate, target, id)) continue
        this.broken.push(`${queue}: ${id} was confirmed and is gone`)
      }
    }
    // Nothing is left: whatever comes from now on was published later.
    for (const queue of found.keys()) this.fates.delete(queue)
  }

  private mayBeGone(fate: Fate, target: string | undefined, id: string): boolean {
    if (fate.answer === 'acknowledged') return true
    if (target === undefined) return fate.answer === 'rejected'
    return this.fateOf(target, id) !== undefined
  }

  /** What was found broken so far. */
  complaints(): string[] {
    return this.broken.splice(0)
  }
}
