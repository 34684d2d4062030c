// Ownership: which node writes which log. One node owns everything today: one local row.
// Promises: the row's shape is that of a table of many nodes.
// Does not know: logs; leases and other nodes come later.

interface Owner {
  readonly nodeId: number
  /** Rises when the ownership passes to another node; never yet. */
  readonly epoch: number
}

export interface Ownership {
  readonly self: Owner
  ownerOf(log: string): Owner
}

export function localOwnership(nodeId: number): Ownership {
  const self: Owner = { nodeId, epoch: 0 }
  return { self, ownerOf: () => self }
}
