// The topic directory: how the rest of the broker asks which topics there are.
// Promises: answers are of this instant and synchronous; a deleted and re-created topic has another id.
// Does not know: settings, partitions' contents, who asks.

import type { TopicId } from '../log/store.ts'
import type { TopicRef, TopicView } from './door.ts'

export interface TopicDirectory {
  /** The topic by name or id within its vhost; undefined: there is none. */
  find(vhost: string, topic: TopicRef): TopicView | undefined
  /** The topic with this id, whatever its vhost. */
  byId(id: TopicId): (TopicView & { readonly vhost: string }) | undefined
}
