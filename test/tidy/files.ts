// The files of this checkout, and what git remembers of the commit before.
// Promises: everything tracked or about to be, sorted; without git the folders are walked. Reads, never writes.
// Does not know: any rule.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')

/** Git's answer, or undefined when there is no git, no repository or no such thing. */
export function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 64 * 1024 * 1024,
    })
  } catch {
    return undefined
  }
}

const notOurs = new Set(['node_modules', 'dist', '.git', 'coverage'])

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (notOurs.has(entry.name)) return []
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    return entry.isDirectory() ? walk(path) : [path]
  })
}

/** Paths from the root of the checkout. */
export function projectFiles(): string[] {
  const listed = git('ls-files', '--cached', '--others', '--exclude-standard')?.split('\n').filter(Boolean)
  const files = listed ?? walk('')
  return [...new Set(files)].filter((path) => existsSync(join(root, path))).sort()
}

export const textOf = (path: string): string => readFileSync(join(root, path), 'utf8')

/** The text of a file, or undefined when it is large or holds zero bytes. */
export function plainTextOf(path: string): string | undefined {
  if (statSync(join(root, path)).size > 2 * 1024 * 1024) return undefined
  const text = textOf(path)
  return text.includes('\0') ? undefined : text
}
