/**
 * What a rule sees: one file of the repository as text, and a finding about it. Rules are functions from files to findings and touch
 * nothing else, so that a test can hand them a file that does not exist.
 */

export interface SourceFile {
  /** Relative to the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly path: string;
  /** 1-based; 1 for a finding about the file as a whole. */
  readonly line: number;
  readonly message: string;
}

/** A rule over one file. */
export type FileRule = (file: SourceFile) => readonly Finding[];

/** A rule over the whole tree: what is missing, or in the wrong place. */
export type TreeRule = (files: readonly SourceFile[]) => readonly Finding[];

/** `plugins/vip-arp/src/index.ts:12: message`, as editors and build logs understand it. */
export function describeFinding(finding: Finding): string {
  return `${finding.path}:${finding.line}: ${finding.message}`;
}

/** One finding for each match of `pattern` (global) in the file, at the line of the match. */
export function findMatches(file: SourceFile, pattern: RegExp, message: (matched: string) => string): Finding[] {
  return [...file.text.matchAll(pattern)].map((match) => ({
    path: file.path,
    line: lineAt(file.text, match.index),
    message: message(match[0]),
  }));
}

/** 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}

export function isTypeScript(path: string): boolean {
  return path.endsWith('.ts');
}

/** Files that people write as code: their size and width are limited. */
export function isCode(path: string): boolean {
  return /\.(ts|js|mjs|sh)$/.test(path) || path === '.ci/run';
}
