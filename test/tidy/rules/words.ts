/**
 * Words that must not be in the tree: marks of unfinished or switched-off work, paths of somebody's own machine, a registry's address in
 * the lock file, error codes in another spelling than the one operators can look up. The patterns are written so that they do not match
 * their own source.
 */
import ts from 'typescript';
import { type Finding, findMatches, isCode, isTypeScript, lineAt, type SourceFile } from '../source.js';
import { visitNodes } from './syntax.js';

export function unfinishedWork(file: SourceFile): readonly Finding[] {
  if (!isTypeScript(file.path)) return [];
  return findMatches(file, /\b(?:T[O]DO|F[I]XME)\b/g, (word) => `${word}: finish it or write down the limit in the documentation`);
}

export function switchedOffTests(file: SourceFile): readonly Finding[] {
  if (!isTypeScript(file.path)) return [];
  return findMatches(file, /\.(?:only|skip)\(|\bx(?:it|describe)\(/g, (word) => `"${word}" switches tests off`);
}

/** An exception from a check says why, after `--` for the linter and after the colon for the formatter. */
export function silentExceptions(file: SourceFile): readonly Finding[] {
  if (!isCode(file.path)) return [];
  const pattern = /eslint-d[i]sable(?![^\n]* -- \w)[^\n]*|biome-i[g]nore(?![^\n]*: \w)[^\n]*/g;
  return findMatches(file, pattern, (directive) => `"${directive.trim()}" without a reason`);
}

/** An absolute path below a home or a work folder; the same words behind a placeholder or a host name are not absolute. */
export function machinePaths(file: SourceFile): readonly Finding[] {
  const pattern = /(?<![\w.)}\]/-])\/(?:(?:work|home|root)\/|tmp\/brief)/g;
  return findMatches(file, pattern, (path) => `"${path}" is a path of one machine`);
}

export function registryAddresses(file: SourceFile): readonly Finding[] {
  if (!file.path.endsWith('package-lock.json')) return [];
  return findMatches(file, /"resolved": "http[^"]*"/g, (entry) => `${entry} ties the lock file to one registry`);
}

/** Mocha must end by itself: a forced exit hides sockets, timers and processes that a test left behind. */
export function forcedExit(file: SourceFile): readonly Finding[] {
  const configures = file.path.endsWith('package.json') || file.path.startsWith('.mocharc') || file.path.startsWith('.ci/');
  if (!configures) return [];
  return findMatches(file, /--e[x]it\b|"exit":\s*true/g, (option) => `${option} hides what tests leave behind`);
}

/** Codes are looked up and compared as text, so they have one spelling. A bare prefix for `startsWith` is no code. */
export function errorCodes(file: SourceFile): readonly Finding[] {
  if (!isTypeScript(file.path) || !/^(sdk|core|cli|plugins\/[^/]+)\/src\//.test(file.path)) return [];
  const findings: Finding[] = [];
  visitNodes(file, (node, offset) => {
    if (!ts.isStringLiteralLike(node) && !ts.isTemplateHead(node)) return;
    for (const [code] of node.text.matchAll(/\bHF_\w+/gi)) {
      if (/^HF_[A-Z0-9_]+$/.test(code)) continue;
      findings.push({ path: file.path, line: lineAt(file.text, offset), message: `error code "${code}" is not HF_ and upper case` });
    }
  });
  return findings;
}
