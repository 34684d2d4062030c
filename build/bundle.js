// The command line as one file: dist/ and what it needs from node_modules, in dist-bundle/odradek.mjs.
// Promises: runs without node_modules; the optional native packages stay outside and are used where they are found; the
// licence of each package inside is at the end of the file, which is what they ask for.
// Does not know: TypeScript. `npm run bundle` builds first.

import { appendFileSync, chmodSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version, optionalDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const outfile = process.argv[2] ?? `${root}dist-bundle/odradek.mjs`

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['dist/cli/main.js'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  external: Object.keys(optionalDependencies),
  logLevel: 'warning',
  metafile: true,
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
/** Folders of the packages that are inside: node_modules/commander, node_modules/@scope/name. */
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []),
)

function noticeOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${root}${folder}/package.json`, 'utf8'))
  const file = readdirSync(`${root}${folder}`).find((path) => /^licen[cs]e/i.test(path))
  if (file === undefined) throw new Error(`${name} has no licence to show`)
  return `${name} ${version} (${license})\n\n${readFileSync(`${root}${folder}/${file}`, 'utf8').trim()}`
}

const own = `odradek ${version}\n\n${readFileSync(`${root}LICENSE`, 'utf8').trim()}`
const notices = [own, 'It contains:', ...[...packages].toSorted().map(noticeOf)].join('\n\n')
appendFileSync(outfile, `\n/*\n${notices.replaceAll('*/', '* /')}\n*/\n`)
chmodSync(outfile, 0o755)
