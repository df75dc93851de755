/** Exports have names: a default export is called something else in every importing file, and a search finds none of them. */
import ts from 'typescript';
import { type Finding, isTypeScript, lineAt, type SourceFile } from '../source.js';
import { visitNodes } from './syntax.js';

export function defaultExports(file: SourceFile): readonly Finding[] {
  if (!isTypeScript(file.path)) return [];
  const findings: Finding[] = [];
  visitNodes(file, (node, offset) => {
    if (isDefaultExport(node))
      findings.push({ path: file.path, line: lineAt(file.text, offset), message: 'default export: export by name' });
  });
  return findings;
}

function isDefaultExport(node: ts.Node): boolean {
  if (ts.isExportAssignment(node)) return true;
  if (ts.isExportSpecifier(node)) return node.name.text === 'default';
  return ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword);
}
