/**
 * Names of files and folders: words that say nothing collect everything. The root has a fixed list of entries, so that it shows the
 * product.
 */
import type { Finding, SourceFile } from '../source.js';

const EMPTY_WORDS = new Set(['util', 'utils', 'utilities', 'helper', 'helpers', 'manager', 'managers', 'common', 'misc']);

export function emptyNames(file: SourceFile): readonly Finding[] {
  return file.path
    .split('/')
    .flatMap((segment) => segment.split(/[-._]|(?<=[a-z])(?=[A-Z])/))
    .filter((word) => EMPTY_WORDS.has(word.toLowerCase()))
    .map((word) => ({ path: file.path, line: 1, message: `"${word}" in the path says nothing: name the thing by what it does` }));
}

const ROOT_FOLDERS = new Set(['core', 'plugins', 'modules-catalog', 'sdk', 'cli', 'test', '.ci']);
const ROOT_FILES = new Set(
  ['package.json', 'package-lock.json', 'README.md', 'ARCHITECTURE.md', 'LICENSE', '.gitignore', '.npmrc', '.editorconfig'].concat([
    'eslint.config.js',
    'biome.json',
    'knip.json',
  ]),
);
const ROOT_FILE_PATTERNS = [/^tsconfig(\.[\w-]+)?\.json$/, /^\.mocharc\.[\w-]+\.json$/];

export function rootEntries(files: readonly SourceFile[]): readonly Finding[] {
  const strangers = new Map<string, string>();
  for (const { path } of files) {
    const [entry = path, ...below] = path.split('/');
    if (!isRootEntry(entry, below.length > 0)) strangers.set(entry, path);
  }
  return [...strangers].map(([entry, path]) => ({ path, line: 1, message: `"${entry}" is not an entry of the root of this repository` }));
}

function isRootEntry(entry: string, isFolder: boolean): boolean {
  if (isFolder) return ROOT_FOLDERS.has(entry);
  return ROOT_FILES.has(entry) || ROOT_FILE_PATTERNS.some((pattern) => pattern.test(entry));
}
