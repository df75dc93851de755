/**
 * Packages: the contracts depend on nothing, a plug-in depends on the contracts and at most koffi, and every plug-in comes with its
 * manifest, a page for people and a test.
 */
import type { Finding, SourceFile } from '../source.js';

const RUNTIME_FIELDS = ['dependencies', 'optionalDependencies', 'peerDependencies'];
const PLUGIN_DEPENDENCIES = new Set(['@holdfast/sdk', 'koffi']);
/** Nobody should write the protocol of a database anew. */
const OF_ONE_PLUGIN: Readonly<Record<string, ReadonlySet<string>>> = {
  'plugins/checker-sql/package.json': new Set(['@holdfast/sdk', 'mysql2', 'pg']),
};

export function packageDependencies(file: SourceFile): readonly Finding[] {
  const allowed = allowedDependencies(file.path);
  if (allowed === undefined) return [];
  return runtimeDependencies(file.text)
    .filter((name) => !allowed.has(name))
    .map((name) => ({ path: file.path, line: lineOf(file.text, `"${name}"`), message: `depends on "${name}"${hint(allowed)}` }));
}

function allowedDependencies(path: string): ReadonlySet<string> | undefined {
  if (path === 'sdk/package.json') return new Set();
  return OF_ONE_PLUGIN[path] ?? (/^plugins\/[^/]+\/package\.json$/.test(path) ? PLUGIN_DEPENDENCIES : undefined);
}

function hint(allowed: ReadonlySet<string>): string {
  return allowed.size === 0 ? ': the contracts depend on nothing' : `: a plug-in depends on ${[...allowed].join(' and ')} only`;
}

function runtimeDependencies(text: string): string[] {
  const manifest = JSON.parse(text) as Readonly<Record<string, unknown>>;
  return RUNTIME_FIELDS.flatMap((field) => {
    const value = manifest[field];
    return typeof value === 'object' && value !== null ? Object.keys(value) : [];
  });
}

/** Line of the first occurrence, 1 when there is none. */
function lineOf(text: string, needle: string): number {
  return text.split('\n').findIndex((line) => line.includes(needle)) + 1 || 1;
}

export function pluginShape(files: readonly SourceFile[]): readonly Finding[] {
  const paths = files.map(({ path }) => path);
  const plugins = new Set(paths.filter((path) => /^plugins\/[^/]+\//.test(path)).map((path) => path.split('/').slice(0, 2).join('/')));
  return [...plugins].flatMap((plugin) =>
    REQUIRED.filter(({ isIt }) => !paths.some((path) => path.startsWith(`${plugin}/`) && isIt(path.slice(plugin.length + 1)))).map(
      ({ what }) => ({ path: plugin, line: 1, message: `plug-in without ${what}` }),
    ),
  );
}

const REQUIRED: readonly { readonly what: string; readonly isIt: (path: string) => boolean }[] = [
  { what: 'plugin.json', isIt: (path) => path === 'plugin.json' },
  { what: 'package.json', isIt: (path) => path === 'package.json' },
  { what: 'README.md', isIt: (path) => path === 'README.md' },
  { what: 'a test (test/*.spec.ts)', isIt: (path) => /^test\/.*\.spec\.ts$/.test(path) },
];
