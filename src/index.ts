// What the package exports: the broker inside a program of one's own.
// Promises: the one re-export there is; what is here keeps its shape between minor versions.
// Does not know: the command line.

export { startBroker } from './server/start-broker.ts'
export {
  RequestRefused,
  StartFailure,
  type BrokerClock,
  type BrokerOptions,
  type Duration,
  type Fault,
  type Faults,
  type QueueCounts,
  type Queues,
  type RecordToStore,
  type ResponsesOf,
  type RunningBroker,
  type StoredPlace,
  type StoredRecord,
  type Topics,
  type TopicSummary,
  type VirtualBroker,
} from './server/embedding.ts'
