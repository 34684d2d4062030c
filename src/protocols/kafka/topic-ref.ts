// A topic as a Kafka request names it.
// Promises: by id in the versions that have ids (KIP-516), else by name.
// Does not know: whether there is such a topic.

import type { TopicRef, TopicView } from '../../broker/door.ts'

export const topicRef = (byId: boolean, name: string, id: string): TopicRef =>
  byId ? { id: id as TopicView['id'] } : { name }
