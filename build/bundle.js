// The command line as one file: dist/ and what it needs from node_modules, in dist-bundle/odradek.mjs.
// Promises: runs without node_modules; the optional native packages stay outside and are used where they are found.
// Does not know: TypeScript. `npm run bundle` builds first.

import { chmodSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version, optionalDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const outfile = process.argv[2] ?? `${root}dist-bundle/odradek.mjs`

await build({
  absWorkingDir: root,
  entryPoints: ['dist/cli/main.js'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  external: Object.keys(optionalDependencies),
  logLevel: 'warning',
  // Packages in CommonJS ask for Node's own modules by require.
  banner: {
    js: `import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)`,
  },
  plugins: [
    {
      name: 'version',
      // The only file that is read beside the code.
      setup: (on) =>
        on.onLoad({ filter: /[\\/]cli[\\/]version\.js$/ }, () => ({
          contents: `export const version = ${JSON.stringify(version)}`,
        })),
    },
  ],
})
chmodSync(outfile, 0o755)
