// Choosing one destination by a hash: always the same for the same key, by weight, with as few moves as possible when
// destinations come and go.
// Promises: depends on names, weights and key only, so that a restart changes nothing.
// Does not know: exchanges; what is hashed.

/** FNV-1a with a final mix (fmix32 of MurmurHash3): short keys that differ in one character must not cluster. */
export function hash32(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ seed
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mixed(hash)
}

function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

export interface Weighted {
  /** hash32 of its name. */
  readonly hash: number
  readonly weight: number
}

/**
 * Rendezvous hashing by weight: each candidate draws from the key and its own name, the best wins. A candidate that
 * leaves hands on its own keys only, and one that comes takes its share from all.
 */
export function chosenByHash<T extends Weighted>(candidates: readonly T[], key: string): T | undefined {
  const keyHash = hash32(key)
  let best: T | undefined
  let bestScore = -Infinity
  for (const candidate of candidates) {
    const draw = mixed(keyHash ^ Math.imul(candidate.hash, 0x9e3779b1))
    // An exponential variable of rate `weight`: the least of them is candidate i with probability weight i / sum.
    const score = Math.log((draw + 0.5) / 0x1_0000_0000) / candidate.weight
    if (score > bestScore) {
      best = candidate
      bestScore = score
    }
  }
  return best
}
