// Patterns of policies: regular expressions over the names of queues and exchanges.
// Promises: the part of Perl's syntax that needs no memory of what was matched, lookahead included; time is bounded by
// the pattern's length × the name's, whatever both are; an invalid pattern is told as RabbitMQ tells it.
// Does not know: policies. Parsing is policies-regex.ts.
//
// Not RegExp: that backtracks, so whoever may set a policy could stop the loop for minutes with `(a+)+$` and a queue's
// name, and the engine that does not is behind a flag of V8. Nor does it read all of what RabbitMQ does: `(?i)`,
// `[[:alpha:]]`, `\A`.

import { isWord, parseRegex, RegexError, type Regex } from './policies-regex.ts'

export interface NamePattern {
  matches(name: string): boolean
}

/** RabbitMQ's limit (rabbit_re.erl). */
const patternBytesMax = 1024
/** Steps of a compiled pattern: repetitions are written out. */
const stepsMax = 20_000
/** RabbitMQ's names are at most this long; a search looks at every step once at each place of the name. */
const nameCharsMax = 255

/** One step; `next` are the steps that may follow without a further character. */
type Step =
  | { readonly kind: 'char'; readonly isIn: (code: number) => boolean; next: number }
  | { readonly kind: 'either'; next: number; other: number }
  | { readonly kind: 'start'; next: number }
  | { readonly kind: 'end'; next: number }
  | { readonly kind: 'boundary'; readonly isNegative: boolean; next: number }
  | { readonly kind: 'look'; readonly isNegative: boolean; first: number; next: number }
  | { readonly kind: 'done' }

/** The pattern, or what is wrong with it. */
export function compilePattern(pattern: string): NamePattern | string {
  if (Buffer.byteLength(pattern) > patternBytesMax) return `pattern must not exceed ${patternBytesMax} bytes`
  try {
    const steps: Step[] = [{ kind: 'done' }]
    const first = compiled(parseRegex(pattern), 0, steps)
    return { matches: (name) => search(steps, first, name.slice(0, nameCharsMax)) }
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    return `pattern should be regular expression but is invalid: ${error.message}`
  }
}

function add(steps: Step[], step: Step): number {
  if (steps.length >= stepsMax) throw new RegexError('regular expression is too large')
  return steps.push(step) - 1
}

/** Adds the steps of `regex`, followed by `next`; answers the first. */
function compiled(regex: Regex, next: number, steps: Step[]): number {
  switch (regex.kind) {
    case 'char':
      return add(steps, { kind: 'char', isIn: regex.isIn, next })
    case 'start':
    case 'end':
      return add(steps, { kind: regex.kind, next })
    case 'boundary':
      return add(steps, { kind: 'boundary', isNegative: regex.isNegative, next })
    case 'look': {
      const first = compiled(regex.of, 0, steps)
      return add(steps, { kind: 'look', isNegative: regex.isNegative, first, next })
    }
    case 'sequence':
      return regex.parts.reduceRight((after, part) => compiled(part, after, steps), next)
    case 'choice':
      return regex.of
        .map((one) => compiled(one, next, steps))
        .reduceRight((other, first) => add(steps, { kind: 'either', next: first, other }))
    case 'repeat':
      return repeated(regex, next, steps)
  }
}

function repeated(regex: Extract<Regex, { kind: 'repeat' }>, next: number, steps: Step[]): number {
  const { of, least, most } = regex
  let first = next
  if (most === Infinity) {
    const again: Step = { kind: 'either', next: 0, other: next }
    first = add(steps, again)
    again.next = compiled(of, first, steps)
  } else
    for (let count = most; count > least; count--)
      first = add(steps, { kind: 'either', next: compiled(of, first, steps), other: next })
  for (let count = 0; count < least; count++) first = compiled(of, first, steps)
  return first
}

/** Whether `first` leads to the end of the pattern from some place of the name. */
function search(steps: readonly Step[], first: number, name: string): boolean {
  const tried = new Uint8Array(steps.length * (name.length + 1))
  const isNew = (key: number): boolean => tried[key] === 0 && (tried[key] = 1) === 1
  // Looking ahead is the same question at a place, asked again by every way that leads there.
  const looked = new Map<number, boolean>()
  const looks = (from: number, place: number): boolean => {
    const key = from * (name.length + 1) + place
    let found = looked.get(key)
    if (found === undefined) {
      const seen = new Set<number>()
      found = leadsOn(steps, from, name, place, (one) => seen.size !== seen.add(one).size, looks)
      looked.set(key, found)
    }
    return found
  }
  for (let place = 0; place <= name.length; place++) if (leadsOn(steps, first, name, place, isNew, looks)) return true
  return false
}

/** A step that failed at a place fails there whatever led to it: `isNew` says which were not tried yet. */
function leadsOn(
  steps: readonly Step[],
  from: number,
  name: string,
  start: number,
  isNew: (key: number) => boolean,
  looks: (first: number, place: number) => boolean,
): boolean {
  const pending = [from, start]
  const holds = (step: Exclude<Step, { kind: 'char' | 'either' | 'done' }>, place: number): boolean => {
    if (step.kind === 'start') return place === 0
    if (step.kind === 'end') return place === name.length
    if (step.kind === 'look') return looks(step.first, place) !== step.isNegative
    const isBoundary = isWord(name.charCodeAt(place - 1)) !== isWord(name.charCodeAt(place))
    return isBoundary !== step.isNegative
  }
  for (;;) {
    const place = pending.pop()
    const at = pending.pop()
    if (place === undefined || at === undefined) return false
    const step = steps[at]
    if (step.kind === 'done') return true
    if (!isNew(at * (name.length + 1) + place)) continue
    if (step.kind === 'either') pending.push(step.other, place, step.next, place)
    else if (step.kind === 'char') {
      if (place < name.length && step.isIn(name.charCodeAt(place))) pending.push(step.next, place + 1)
    } else if (holds(step, place)) pending.push(step.next, place)
  }
}
