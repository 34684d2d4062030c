// Topic patterns: which of many bindings a routing key matches, by a trie of words.
// Promises: `*` is one word, `#` any number of words, words may be empty; time is bounded by words × nodes, whatever
// the patterns (no backtracking).
// Does not know: exchanges, queues; what the values are.

/** Words between dots. The empty key has no word at all, so that `*` does not match it and `#` does. */
export const wordsOf = (key: string): readonly string[] => (key === '' ? [] : key.split('.'))

/** RabbitMQ's limit, though our search needs none. */
const hashWordsMax = 2

/** Why RabbitMQ would not bind by this pattern; undefined: it would. */
export function topicBindingFault({ routingKey }: { readonly routingKey: string }): string | undefined {
  const hashes = wordsOf(routingKey).filter((word) => word === '#').length
  return hashes <= hashWordsMax
    ? undefined
    : `Topic binding key '${routingKey}' uses ${hashes} '#' wildcards, at most ${hashWordsMax} are allowed`
}

interface Node<T> {
  /** By the word that leads there. */
  words: Map<string, Node<T>> | undefined
  /** Reached by any one word. */
  star: Node<T> | undefined
  /** Reached by no word, and stays reached whatever words follow. */
  hash: Node<T> | undefined
  readonly isHash: boolean
  /** Values whose pattern ends here, with how many patterns bring each. */
  values: Map<T, number> | undefined
  /** The step of a search that reached it last: a node counts once a step. */
  reachedAt: number
}

const newNode = <T>(isHash: boolean): Node<T> => ({
  words: undefined,
  star: undefined,
  hash: undefined,
  isHash,
  values: undefined,
  reachedAt: 0,
})

const isEmpty = (node: Node<unknown>): boolean =>
  node.words === undefined && node.star === undefined && node.hash === undefined && node.values === undefined

function childOf<T>(node: Node<T>, word: string): Node<T> | undefined {
  if (word === '*') return node.star
  return word === '#' ? node.hash : node.words?.get(word)
}

function makeChild<T>(node: Node<T>, word: string): Node<T> {
  const made = newNode<T>(word === '#')
  if (word === '*') node.star = made
  else if (word === '#') node.hash = made
  else (node.words ??= new Map()).set(word, made)
  return made
}

function dropChild<T>(node: Node<T>, word: string): void {
  if (word === '*') node.star = undefined
  else if (word === '#') node.hash = undefined
  else {
    node.words?.delete(word)
    if (node.words?.size === 0) node.words = undefined
  }
}

export class Patterns<T> {
  readonly #root = newNode<T>(false)
  #step = 0
  /** Nodes reached by the words so far, and by one more; used again by every search. */
  #here: Node<T>[] = []
  #next: Node<T>[] = []

  add(pattern: string, value: T): void {
    let node = this.#root
    for (const word of wordsOf(pattern)) node = childOf(node, word) ?? makeChild(node, word)
    node.values ??= new Map()
    node.values.set(value, (node.values.get(value) ?? 0) + 1)
  }

  remove(pattern: string, value: T): void {
    const words = wordsOf(pattern)
    const path = [this.#root]
    for (const word of words) {
      const child = childOf(path[path.length - 1], word)
      if (child === undefined) return
      path.push(child)
    }
    const { values } = path[words.length]
    const count = values?.get(value)
    if (values === undefined || count === undefined) return
    if (count > 1) values.set(value, count - 1)
    else values.delete(value)
    if (values.size === 0) path[words.length].values = undefined
    for (let depth = words.length; depth > 0 && isEmpty(path[depth]); depth--)
      dropChild(path[depth - 1], words[depth - 1])
  }

  /** Calls `found` for the values of all patterns that match; for one value several times when several match. */
  match(key: string, found: (value: T) => void): void {
    this.#step++
    this.#here.length = 0
    this.#reach(this.#root, this.#here)
    for (const word of wordsOf(key)) {
      this.#step++
      this.#next.length = 0
      for (const node of this.#here) {
        if (node.isHash) this.#reach(node, this.#next)
        if (node.star !== undefined) this.#reach(node.star, this.#next)
        const child = node.words?.get(word)
        if (child !== undefined) this.#reach(child, this.#next)
      }
      const passed = this.#here
      this.#here = this.#next
      this.#next = passed
    }
    for (const node of this.#here) if (node.values !== undefined) for (const value of node.values.keys()) found(value)
  }

  #reach(node: Node<T>, reached: Node<T>[]): void {
    for (let at: Node<T> | undefined = node; at !== undefined && at.reachedAt !== this.#step; at = at.hash) {
      at.reachedAt = this.#step
      reached.push(at)
    }
  }
}
