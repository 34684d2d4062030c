// The version of this program, as its package says.
// Promises: one place; read once.
// Does not know: versions of protocols or of the data format.

import { createRequire } from 'node:module'

export const version = (createRequire(import.meta.url)('../../package.json') as { readonly version: string }).version
