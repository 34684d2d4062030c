// What the package exports: the broker inside a program of one's own.
// Promises: the one re-export there is; what is here keeps its shape between minor versions.
// Does not know: the command line.

export { startBroker, StartFailure, type Listening, type RunningBroker } from './server/start.ts'
export type { Config } from './server/config.ts'
