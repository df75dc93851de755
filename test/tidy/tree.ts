/**
 * The files of the repository, read from disk without git, which a build machine need not have: everything below the root except what
 * `.gitignore` names. Of git's patterns only the two used here are understood, `name/` and `*.suffix`; any other is refused.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SourceFile } from './source.js';

interface Ignored {
  readonly folders: ReadonlySet<string>;
  readonly suffixes: readonly string[];
}

export function parseIgnore(text: string): Ignored {
  const folders = new Set(['.git']);
  const suffixes: string[] = [];
  for (const pattern of text.split('\n').map((line) => line.trim())) {
    if (pattern === '' || pattern.startsWith('#')) continue;
    if (/^[\w.-]+\/$/.test(pattern)) folders.add(pattern.slice(0, -1));
    else if (/^\*\.[\w.]+$/.test(pattern)) suffixes.push(pattern.slice(1));
    else throw new Error(`.gitignore: pattern "${pattern}" is neither "name/" nor "*.suffix"`);
  }
  return { folders, suffixes };
}

/** Every text file below `root` in alphabetical order; a file with a zero byte is binary and has empty text. */
export function readTree(root: string): SourceFile[] {
  const ignored = parseIgnore(readFileSync(join(root, '.gitignore'), 'utf8'));
  return listFiles(root, '', ignored).map((path) => ({ path, text: readText(join(root, path)) }));
}

function listFiles(root: string, folder: string, ignored: Ignored): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (ignored.folders.has(entry.name)) return [];
    if (entry.isDirectory()) return listFiles(root, path, ignored);
    return entry.isFile() && !ignored.suffixes.some((suffix) => entry.name.endsWith(suffix)) ? [path] : [];
  });
}

function readText(path: string): string {
  const text = readFileSync(path, 'utf8');
  return text.includes('\0') ? '' : text;
}
