/**
 * Purity of the decision core: the same state and event give the same transition on every machine and in every test, so nothing under
 * decide/ and model/ reads a clock, draws a random number, sets a timer or reaches the process around it. Time is an argument there.
 */
import ts from 'typescript';
import { type Finding, isTypeScript, lineAt, type SourceFile } from '../source.js';
import { visitNodes } from './syntax.js';

const PURE_FOLDERS = /^core\/src\/(decide|model)\//;
const FORBIDDEN_MEMBERS = new Set(['Date.now', 'performance.now', 'Math.random']);
const FORBIDDEN_GLOBALS = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'performance',
  'crypto',
  'process',
  'console',
  'fetch',
  'globalThis',
]);

export function purity(file: SourceFile): readonly Finding[] {
  if (!isTypeScript(file.path) || !PURE_FOLDERS.test(file.path)) return [];
  const findings: Finding[] = [];
  visitNodes(file, (node, offset) => {
    const impure = impureUse(node);
    if (impure === undefined) return;
    findings.push({ path: file.path, line: lineAt(file.text, offset), message: `${impure} in the pure core: pass it in as an argument` });
  });
  return findings;
}

function impureUse(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node) && isNamed(node.expression, 'Date') && (node.arguments ?? []).length === 0) return 'new Date()';
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const name = `${node.expression.text}.${node.name.text}`;
    return FORBIDDEN_MEMBERS.has(name) || FORBIDDEN_GLOBALS.has(node.expression.text) ? name : undefined;
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
    const name = node.expression.text;
    return name === 'Date' || FORBIDDEN_GLOBALS.has(name) ? `${name}()` : undefined;
  }
  return undefined;
}

function isNamed(node: ts.Node, name: string): boolean {
  return ts.isIdentifier(node) && node.text === name;
}
