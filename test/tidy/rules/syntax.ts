/** Syntax trees of single files, from the TypeScript parser: no types, no module resolution, so a file need not be able to compile. */
import ts from 'typescript';
import type { SourceFile } from '../source.js';

/** Calls `visit` for every node, parents first, with the offset of its first character. */
export function visitNodes(file: SourceFile, visit: (node: ts.Node, offset: number) => void): void {
  const source = parse(file);
  const walk = (node: ts.Node): void => {
    visit(node, node.getStart(source));
    ts.forEachChild(node, walk);
  };
  ts.forEachChild(source, walk);
}

export interface ImportedModule {
  readonly specifier: string;
  readonly offset: number;
}

/** Everything that a file imports or re-exports: static, type-only, dynamic and `import('x').T`. */
export function importsOf(file: SourceFile): ImportedModule[] {
  return ts.preProcessFile(file.text, true, true).importedFiles.map(({ fileName, pos }) => ({ specifier: fileName, offset: pos }));
}

function parse(file: SourceFile): ts.SourceFile {
  return ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, false);
}
