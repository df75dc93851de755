/**
 * Layers: who may import whom. The linter checks the same while one edits; this check resolves relative paths exactly, also sees dynamic
 * imports, and cannot be switched off by a comment in the file.
 */
import { posix } from 'node:path';
import { type Finding, isTypeScript, lineAt, type SourceFile } from '../source.js';
import { importsOf } from './syntax.js';

interface Layer {
  /** Files of the layer; the first layer that fits a file holds. */
  readonly files: RegExp;
  readonly rule: string;
  /** `target` is a path from the root for a relative import, the specifier itself for a package. */
  allows(target: string, file: string): boolean;
}

const LAYERS: readonly Layer[] = [
  {
    files: /^core\/src\/model\//,
    rule: 'core/src/model imports nothing outside itself',
    allows: (target) => target.startsWith('core/src/model/'),
  },
  {
    files: /^core\/src\/decide\//,
    rule: 'core/src/decide imports core/src/model and itself, nothing else',
    allows: (target) => /^core\/src\/(model|decide)\//.test(target),
  },
  {
    files: /^sdk\/src\//,
    rule: 'the contracts import nothing',
    allows: (target) => target.startsWith('sdk/src/'),
  },
  {
    files: /^plugins\/checker-sql\/src\//,
    rule: 'this plug-in imports @holdfast/sdk, node: modules, its own files and the clients of its databases',
    allows: (target, file) =>
      ['@holdfast/sdk', 'pg', 'mysql2'].includes(target) || target.startsWith('node:') || target.startsWith(`${packageOf(file)}/src/`),
  },
  {
    files: /^plugins\/[^/]+\/src\//,
    rule: 'a plug-in imports @holdfast/sdk, koffi, node: modules and its own files',
    allows: (target, file) =>
      target === '@holdfast/sdk' || target === 'koffi' || target.startsWith('node:') || target.startsWith(`${packageOf(file)}/src/`),
  },
  {
    files: /^plugins\/[^/]+\/test\//,
    rule: 'tests of a plug-in see the contracts and their own plug-in, not the core',
    allows: (target, file) =>
      !target.startsWith('@holdfast/') || /^@holdfast\/sdk(\/testkit(\/|$)|$)/.test(target) || target.startsWith(`${packageOf(file)}/`),
  },
  {
    files: /^(core|cli|test)\//,
    rule: 'plug-ins are loaded by the host through their manifest, never imported',
    allows: (target) => !/^(plugins\/|@holdfast\/plugin-)/.test(target),
  },
];

export function layers(file: SourceFile): readonly Finding[] {
  const layer = LAYERS.find(({ files }) => files.test(file.path));
  if (layer === undefined || !isTypeScript(file.path)) return [];
  return importsOf(file)
    .filter(({ specifier }) => !layer.allows(resolveImport(file.path, specifier), file.path))
    .map(({ specifier, offset }) => ({
      path: file.path,
      line: lineAt(file.text, offset),
      message: `imports "${specifier}": ${layer.rule}`,
    }));
}

function resolveImport(path: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier;
}

/** `plugins/vip-arp` for a file below it. */
function packageOf(path: string): string {
  return path.split('/').slice(0, 2).join('/');
}
