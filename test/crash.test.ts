// The crash run's bookkeeping: each way to break a promise is shown to be found.
// Promises: plain values, no broker.
// Does not know: processes (test/crash/main.ts).

import { beforeEach, describe, expect, test } from 'vitest'
import { judgeCopies, judgeSources } from './crash/log-side.ts'
import { idOf, PromiseBook, valueOf } from './crash/promises.ts'
import { QueueBook } from './crash/queue-book.ts'
import { QueueTopics } from './crash/queue-topics.ts'

const key = 'topic/0'
const ids = ['a:0', 'a:1', 'a:2', 'a:3']
const contentsOf = (there: readonly (readonly [number, string])[], end = there.length, start = 0) => ({
  start,
  offsets: there.map(([offset]) => offset),
  values: there.map(([, id]) => valueOf(id)),
  end,
})
const all = ids.map((id, offset) => [offset, id] as const)

describe('a promise that is broken is found', () => {
  let book: PromiseBook
  beforeEach(() => {
    book = new PromiseBook()
    book.send(key, [...ids, 'a:4'])
    book.acknowledge(key, 0, ids)
  })

  test('none is broken when all is there, with or without what was never acknowledged', () => {
    expect(book.judge(key, contentsOf(all))).toEqual([])
    expect(book.judge(key, contentsOf([...all, [4, 'a:4']]))).toEqual([])
  })

  test('gaps are allowed', () => {
    expect(book.judge(key, contentsOf([...all, [9, 'a:4']], 10))).toEqual([])
  })

  test.each([
    ['lost', all.slice(0, 3), 'a:3 acknowledged at 3 is gone'],
    ['lost in the middle', [all[0], all[2], all[3]], 'a:1 acknowledged at 1 is gone'],
    ['at another offset', [...all.slice(0, 3), [7, 'a:3'] as const], 'a:3 acknowledged at 3 is gone'],
    ['twice', [...all, [4, 'a:0'] as const], 'a:0 is at 0 and again at 4'],
    ['never sent', [...all, [4, 'b:0'] as const], 'b:0 at 4 was never sent here'],
    ['its offset given to another', [...all.slice(0, 3), [3, 'a:4'] as const], 'which now holds a:4'],
  ])('%s', (_name, there, what) => {
    expect(book.judge(key, contentsOf(there, 10))).toEqual([expect.stringContaining(what)])
    expect(book.judge(key, contentsOf(there, 10)).filter((one) => one.includes('acknowledged'))).toEqual([])
  })

  test('other bytes', () => {
    const contents = contentsOf(all)
    contents.values[2] = Buffer.concat([contents.values[2], Buffer.from('!')])
    expect(book.judge(key, contents)).toEqual(['topic/0: a:2 at 2 has other bytes than were sent'])
  })

  test('out of order, and beyond the end', () => {
    const [first, second, ...rest] = all
    expect(book.judge(key, contentsOf([second, first, ...rest]))).toEqual(['topic/0: offset 0 comes after 1'])
    expect(book.judge(key, contentsOf(all, 3))).toEqual(['topic/0: offset 3 is not below the end 3'])
  })

  test('what was once there stays, acknowledged or not', () => {
    book.judge(key, contentsOf([...all, [4, 'a:4']]))
    expect(book.judge(key, contentsOf(all))).toEqual([expect.stringContaining('a:4 acknowledged at 4 is gone')])
  })

  test('what a consumer saw stays', () => {
    book.keep(key, 4, 'a:4')
    expect(book.judge(key, contentsOf(all))).toEqual([expect.stringContaining('a:4 acknowledged at 4 is gone')])
  })

  test('what was acknowledged as a duplicate is there', () => {
    book.acknowledgeSomewhere(key, ['a:4'])
    expect(book.judge(key, contentsOf(all))).toEqual([expect.stringContaining('a:4 was acknowledged as a duplicate')])
    book.acknowledgeSomewhere(key, ['a:3'])
    expect(book.judge(key, contentsOf(all))).toEqual([])
  })

  test('what is deleted on request may be there until that is acknowledged, and not after', () => {
    book.askTrim(key, 2)
    expect(book.judge(key, contentsOf(all))).toEqual([])
    expect(book.judge(key, contentsOf(all.slice(2), 4, 2))).toEqual([])
    expect(book.judge(key, contentsOf(all.slice(3), 4, 3))).toEqual([
      'topic/0: starts at 3, deleted was below 2 at most',
      expect.stringContaining('a:2 acknowledged at 2 is gone'),
    ])
    book.acknowledgeTrim(key, 2)
    expect(book.judge(key, contentsOf(all))).toEqual(['topic/0: deleted below 2, and starts at 0'])
  })

  test('a topic that was deleted promises nothing', () => {
    book.forgetTopic('topic')
    expect(book.judge(key, contentsOf([], 0))).toEqual([])
  })
})

test('a value says its id and follows from it', () => {
  for (const id of [...ids, 'huge:1']) {
    expect(idOf(valueOf(id))).toBe(id)
    expect(valueOf(id).equals(valueOf(id))).toBe(true)
  }
  expect(valueOf('huge:1').length).toBeGreaterThan(1000)
})

describe('a promise about a queue that is broken is found', () => {
  const queue = 'work'
  const dead = 'dead'
  let book: QueueBook
  const publish = (id: string, isConfirmed = true): void => {
    book.publish([queue], id)
    if (isConfirmed) book.confirm([queue], id)
  }
  const deliver = (id: string, isRedelivered = false, where = queue): void =>
    book.deliver(where, id, valueOf(id), isRedelivered)
  const empty = (there: readonly string[], letters: readonly string[] = []): string[] => {
    book.judgeEmptied(
      new Map([
        [queue, new Set(there)],
        [dead, new Set(letters)],
      ]),
    )
    return book.complaints()
  }
  beforeEach(() => {
    book = new QueueBook(new Map([[queue, dead]]), new Set([dead]))
    for (const id of ['a:0', 'a:1', 'a:2']) publish(id)
    publish('a:3', false)
  })

  test('none is broken when all comes, with or without what was never confirmed', () => {
    for (const id of ['a:0', 'a:1', 'a:2']) deliver(id)
    expect(empty(['a:0', 'a:1', 'a:2'])).toEqual([])
  })

  test('an acknowledged message may be gone or come again, marked', () => {
    deliver('a:0')
    book.acknowledge(queue, 'a:0')
    deliver('a:0', true)
    book.acknowledge(queue, 'a:0')
    deliver('a:1')
    deliver('a:2')
    expect(empty(['a:1', 'a:2'])).toEqual([])
  })

  test('a confirmed message that is gone', () => {
    deliver('a:0')
    deliver('a:2')
    expect(empty(['a:0', 'a:2'])).toEqual(['work: a:1 was confirmed and is gone'])
  })

  test('an acknowledgement that was settled and did not hold', () => {
    deliver('a:0')
    book.acknowledge(queue, 'a:0')
    book.settle(queue, ['a:0'], 'confirm')
    deliver('a:0', true)
    expect(book.complaints()).toEqual(['work: a:0 was acknowledged, a later confirm came, and it comes again'])
  })

  test('a message that comes again unmarked, or twice', () => {
    deliver('a:0')
    deliver('a:0')
    expect(book.complaints()).toEqual(['work: a:0 comes again and is not marked as redelivered'])
  })

  test('out of order', () => {
    deliver('a:1')
    deliver('a:0', true)
    expect(book.complaints()).toEqual(['work: a:0 comes after a:1'])
  })

  test('never sent, sent elsewhere, or with other bytes', () => {
    deliver('b:0')
    book.deliver(queue, 'a:0', Buffer.from('a:0|'), false)
    expect(book.complaints()).toEqual(['work: b:0 was never sent here', 'work: a:0 has other bytes than were sent'])
  })

  test('a rejected message is in its queue or among the dead letters, and nowhere else', () => {
    for (const id of ['a:0', 'a:1', 'a:2']) {
      deliver(id)
      book.reject(queue, id)
    }
    deliver('a:0', false, dead)
    deliver('a:1', true)
    expect(empty(['a:1'], ['a:0'])).toEqual(['work: a:2 was confirmed and is gone'])
  })

  test('a dead letter that comes twice', () => {
    deliver('a:0', false, dead)
    deliver('a:0', false, dead)
    expect(book.complaints()).toEqual(['dead: a:0 comes again and is not marked as redelivered'])
  })
})

describe('a queue read as a topic', () => {
  const queue = 'q'
  const contents = (there: readonly (readonly [number, string])[]) => contentsOf(there, 10)
  let topics: QueueTopics
  let book: QueueBook
  beforeEach(() => {
    topics = new QueueTopics()
    book = new QueueBook(new Map(), new Set())
    for (const id of ids) book.publish([queue], id)
    book.confirm([queue], ids[0])
    expect(topics.judgeOne(`${queue}/0`, contents(all), book)).toEqual([])
  })

  test('what was taken, or never confirmed, may vanish', () => {
    book.acknowledge(queue, ids[0])
    expect(topics.judgeOne(`${queue}/0`, contents(all.slice(3)), book)).toEqual([])
  })

  test.each([
    ['gone, and taken by nobody', all.slice(1), 'a:0 at 0 was taken by nobody'],
    ['another in its place', [...all.slice(0, 3), [3, 'a:9'] as const], 'offset 3 held a:3, and holds a:9 now'],
    ['twice', [...all, [4, 'a:0'] as const], 'a:0 is at 0 and again at 4'],
  ])('%s', (_, there, what) => {
    expect(topics.judgeOne(`${queue}/0`, contents(there), book)).toEqual([expect.stringContaining(what)])
  })
})

describe('what an exchange that remembers got wrong is found', () => {
  const contents = (...there: string[]) => contentsOf(there.map((id, offset) => [offset, id] as const))
  const sources = [contents('some.a:0', 'else.a:1', 'some.a:2'), contents('some.b:0')]
  const wants = (id: string): boolean => id.startsWith('some.')
  const judge = (...there: string[]) => judgeCopies('q', sources, contents(...there), wants)

  test('nothing is wrong with each copy once, in the order of its partition', () => {
    expect(judge('some.a:0', 'some.b:0', 'some.a:2')).toEqual({ broken: [], missing: [] })
    expect(judgeSources(sources, new Set(['some.b:0'])).broken).toEqual([])
  })

  test.each([
    ['twice', ['some.a:0', 'some.b:0', 'some.a:2', 'some.b:0'], 'q: some.b:0 was copied twice'],
    ['out of order', ['some.a:2', 'some.b:0', 'some.a:0'], 'q: some.a:0 comes after'],
    ['unwanted', ['some.a:0', 'some.b:0', 'else.a:1', 'some.a:2'], 'nothing that its binding wants'],
    ['from nowhere', ['some.a:0', 'some.b:0', 'some.a:2', 'some.c:0'], 'some.c:0 is not in crash.log'],
  ])('%s', (_name, there, what) => {
    expect(judge(...there).broken).toEqual([expect.stringContaining(what)])
  })

  test('not copied; not even stored; stored twice', () => {
    expect(judge('some.a:0', 'some.a:2').missing).toEqual(['q: some.b:0 was not copied'])
    expect(judgeSources(sources, new Set(['some.c:0'])).broken).toEqual([
      'crash.log: some.c:0 was confirmed and is gone',
    ])
    expect(judgeSources([sources[0], sources[0]], new Set()).broken).toHaveLength(3)
  })
})
